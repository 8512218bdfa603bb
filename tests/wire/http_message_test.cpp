#include <gtest/gtest.h>

#include "knative/http.hpp"

namespace knative::http {
namespace {

TEST(Headers, names_compare_without_case_and_keep_their_order) {
  Headers headers{{"Content-Type", "text/plain"}, {"X", "1"}, {"x", "2"}};
  EXPECT_EQ(headers.get("content-type"), "text/plain");
  EXPECT_EQ(headers.get("X"), "1");
  EXPECT_FALSE(headers.get("Y"));
  std::string seen;
  for (const auto& field : headers) {
    seen.append(field.name).append("=").append(field.value).append(" ");
  }
  EXPECT_EQ(seen, "Content-Type=text/plain X=1 x=2 ");
}

TEST(Headers, set_replaces_all_and_remove_counts) {
  Headers headers{{"a", "1"}, {"b", "2"}, {"A", "3"}, {"c", "4"}};
  EXPECT_TRUE(headers.set("a", "5"));
  EXPECT_EQ(headers, (Headers{{"b", "2"}, {"c", "4"}, {"a", "5"}}));
  EXPECT_EQ(headers.remove("b"), 1U);
  EXPECT_EQ(headers.remove("b"), 0U);
  EXPECT_EQ(headers.get("c"), "4");
  EXPECT_EQ(headers.size(), 2U);
}

TEST(Headers, a_value_may_be_a_view_of_the_same_object) {
  Headers headers{{"a", "first value that is long enough"}, {"b", "2"}};
  for (int i = 0; i < 20; ++i) headers.add("copy", *headers.get("a"));
  EXPECT_EQ(headers.at(21).value, "first value that is long enough");
  headers.set("a", *headers.get("copy"));
  EXPECT_EQ(headers.get("a"), "first value that is long enough");
}

TEST(Headers, nothing_can_be_injected) {
  Headers headers;
  EXPECT_TRUE(headers.add("X", " a\r\nEvil: 1\0b "));
  EXPECT_EQ(headers.get("X"), "a  Evil: 1");
  EXPECT_TRUE(headers.add("Y", std::string_view("a\0b", 3)));
  EXPECT_EQ(headers.get("Y"), "a b");
  EXPECT_FALSE(headers.add("", "1"));
  EXPECT_FALSE(headers.add("a b", "1"));
  EXPECT_FALSE(headers.add("a:", "1"));
  EXPECT_FALSE(headers.add("a\r\nb", "1"));
  EXPECT_EQ(headers.size(), 2U);
}

TEST(Headers, hop_by_hop_fields_go_with_those_that_connection_names) {
  Headers headers{{"Connection", "close, X-Secret ,Upgrade, host"},
                  {"Host", "a"},
                  {"X-Secret", "1"},
                  {"Keep-Alive", "5"},
                  {"TE", "trailers"},
                  {"Trailer", "X"},
                  {"Upgrade", "h2c"},
                  {"Transfer-Encoding", "chunked"},
                  {"Proxy-Connection", "close"},
                  {"X-Kept", "1"},
                  {"Content-Length", "3"}};
  remove_hop_by_hop(headers);
  EXPECT_EQ(headers, (Headers{{"Host", "a"}, {"X-Kept", "1"}, {"Content-Length", "3"}}));
}

TEST(Request, reads_path_query_and_host) {
  Request request = get("/a/b?name=ada+l&x=%41%2&flag&e=");
  EXPECT_EQ(request.path(), "/a/b");
  EXPECT_EQ(request.query("name"), "ada l");
  EXPECT_EQ(request.query("x"), "A%2");
  EXPECT_EQ(request.query("flag", "no"), "");
  EXPECT_EQ(request.query("e", "no"), "");
  EXPECT_EQ(request.query("none", "fallback"), "fallback");
  EXPECT_EQ(request.host(), "");
  request.headers.set("Host", "Hello.Example:8080");
  EXPECT_EQ(request.host(), "hello.example");
  request.headers.set("Host", "[::1]:80");
  EXPECT_EQ(request.host(), "[::1]");
}

TEST(Request, a_host_with_the_dot_of_a_full_name_is_the_same_host) {
  Request request;
  for (const char* host : {"hello.example.", "Hello.Example.:8080"}) {
    request.headers.set("Host", host);
    EXPECT_EQ(request.host(), "hello.example") << host;
  }
  request.headers.set("Host", ".");
  EXPECT_EQ(request.host(), ".");
}

TEST(Response, makers_fill_status_type_and_body) {
  EXPECT_EQ(text("a").headers.get("content-type"), "text/plain; charset=utf-8");
  EXPECT_EQ(error_response(404, "no route").body.bytes(), "Not Found: no route\n");
  EXPECT_EQ(unavailable("full", std::chrono::seconds(3)).headers.get("Retry-After"), "3");
  EXPECT_EQ(post("/", "x", "a/b").headers.get("Content-Type"), "a/b");
  EXPECT_EQ(reason_phrase(418), "");
}

TEST(PercentDecode, leaves_wrong_escapes) {
  EXPECT_EQ(percent_decode("a%20b%zz%4"), "a b%zz%4");
  EXPECT_EQ(percent_decode("a+b"), "a+b");
  EXPECT_EQ(percent_decode("a+b%2B", true), "a b+");
}

TEST(Url, parses_and_prints) {
  const Url url = Url::parse("HTTP://Example.ORG:8080/a?b=c").value();
  EXPECT_EQ(url, (Url{"http", "example.org", 8080, "/a?b=c"}));
  EXPECT_EQ(url.to_string(), "http://example.org:8080/a?b=c");
  EXPECT_EQ(Url::parse("https://a").value(), (Url{"https", "a", 443, "/"}));
  EXPECT_EQ(Url::parse("http://a?x").value().target, "/?x");
  EXPECT_EQ(Url::parse("http://[::1]:81/").value(), (Url{"http", "::1", 81, "/"}));
  for (const std::string password : {"hunter2", "p@hunter2", "p/@hunter2"}) {
    const Result<Url> refused = Url::parse("http://user:" + password + "@127.0.0.1:1/");
    EXPECT_EQ(refused.error().detail.find("hunter2"), std::string::npos);
  }
  const Result<Url> long_one = Url::parse("http://user:hunter2" + std::string(300, 'x') + "@a/");
  EXPECT_EQ(long_one.error().detail.find("hunter2"), std::string::npos);
  EXPECT_EQ(Url::parse("http://[::1]:81/").value().to_string(), "http://[::1]:81/");
}

TEST(Url, refuses_with_the_offset) {
  for (const char* wrong : {"", "a", "ftp://a", "http://", "http:///x", "http://u:p@a/",
                            "http://a:99999/", "http://a:b/", "http://a/ b", "http://a/#f",
                            "http://a/%zz", "http://[::1/", "http://a b/", "http://\xc3\xa4/"}) {
    const Result<Url> url = Url::parse(wrong);
    ASSERT_FALSE(url) << wrong;
    EXPECT_EQ(url.error().code, Errc::invalid_argument);
    EXPECT_NE(url.error().detail.find("at byte"), std::string::npos) << url.error().detail;
  }
  EXPECT_NE(Url::parse("http://a/ b").error().detail.find("at byte 9"), std::string::npos);
}

}  // namespace
}  // namespace knative::http
