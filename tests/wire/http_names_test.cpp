// What the wire floor finds without looking at every byte or field, beside the slow way to find it.
#include "wire/http_names.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "wire/http_access.hpp"
#include "wire/http_parser.hpp"
#include "wire/http_render.hpp"
#include "wire/http_text.hpp"

namespace knative::http {
namespace {

using wire::name_bit;

std::size_t slow_invalid(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return i;
  }
  return text.size();
}

std::string sent(const Request& request) {
  std::string out;
  EXPECT_TRUE(wire::render_request(request, std::nullopt, false, "default", out).has_value());
  return out;
}

std::string sent(const Response& response) {
  std::string out;
  wire::render_response(response, wire::ResponsePlan(), "Date: now\r\n", "knative", out);
  return out;
}

/// The fields of a request's head with these lines.
Headers parsed(const std::string& lines) {
  const std::string head = "GET / HTTP/1.1\r\n" + lines + "\r\n";
  std::vector<wire::FieldSpan> fields;
  wire::RequestParser parser(wire::ParseLimits(), fields);
  EXPECT_EQ(parser.parse(head), wire::Parse::done);
  Headers headers{{"Left", "over"}};
  HeadersAccess::assign(headers, parser, fields, head);
  return headers;
}

TEST(HttpNames, are_known_in_every_case_and_nothing_like_them_is) {
  for (const std::string_view name :
       {"Host", "Connection", "Keep-Alive", "Content-Length", "Transfer-Encoding", "Upgrade",
        "Expect", "Date", "TE", "Trailer", "Proxy-Connection", "Proxy-Authenticate",
        "Proxy-Authorization", "Forwarded", "X-Forwarded-For"}) {
    std::string other(name);
    for (char& c : other) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : wire::to_lower(c);
    EXPECT_NE(name_bit(name), 0U) << name;
    EXPECT_EQ(name_bit(name), name_bit(other)) << other;
    if (name_bit(name) == wire::name_keep_alive) continue;  // else it is ours, by its K
    for (std::size_t i = 0; i < name.size(); ++i) {
      if (name.starts_with("X-") && i >= 12) break;  // any may follow
      std::string wrong(name);
      wrong[i] = wrong[i] == '_' ? '.' : '_';
      EXPECT_EQ(name_bit(wrong), 0U) << wrong;
    }
    EXPECT_EQ(name_bit(name.substr(1)), 0U) << name;
    EXPECT_EQ(name_bit(std::string(name) + "s") & ~wire::name_forwarded, 0U) << name;
  }
  EXPECT_EQ(name_bit("Knative-Serving-Hops"), wire::name_own);
  EXPECT_EQ(name_bit("X-Forwarded"), 0U);
  EXPECT_EQ(name_bit("Accept"), 0U);
  EXPECT_EQ(name_bit(""), 0U);
}

TEST(HttpText, finds_the_first_invalid_byte_at_every_length_and_place) {
  for (std::size_t size = 0; size <= 34; ++size) {
    const std::string good(size, 'x');
    EXPECT_EQ(wire::first_invalid_in_value(good), size);
    for (std::size_t at = 0; at < size; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string text = good;
        text[at] = static_cast<char>(byte);
        ASSERT_EQ(wire::first_invalid_in_value(text), slow_invalid(text)) << size << " " << at;
        text.back() = '\x7f';
        ASSERT_EQ(wire::first_invalid_in_value(text), slow_invalid(text)) << size << " " << at;
      }
      std::string text = good;
      text[at] = ':';
      EXPECT_EQ(wire::first_not(text, wire::token_char), at);
    }
  }
}

TEST(HeadersAccess, fields_are_the_same_whatever_blanks_stood_around_their_values) {
  const Headers plain = parsed("Host: a\r\nTE: trailers\r\nX: 1 2\r\n");
  for (const char* lines :
       {"Host:a\r\nTE:trailers\r\nX:1 2\r\n", "Host: a\r\nTE:\ttrailers\r\nX: 1 2\r\n",
        "Host: a\r\nTE: trailers \r\nX: 1 2\r\n", "Host:  a\r\nTE: trailers\r\nX: 1 2\t\r\n"}) {
    const Headers headers = parsed(lines);
    EXPECT_EQ(headers, plain) << lines;
    EXPECT_EQ(HeadersAccess::names(headers), HeadersAccess::names(plain)) << lines;
  }
  EXPECT_EQ(plain.size(), 3U);
  EXPECT_EQ(plain.get("te"), "trailers");
  EXPECT_EQ(parsed("Host: a\r\nX:\r\n").get("x"), "");
}

TEST(HeadersAccess, what_was_removed_or_moved_away_is_written_by_us_again) {
  Request request;
  request.headers = Headers{{"Host", "a"}, {"Date", "then"}};
  EXPECT_EQ(sent(request), "GET / HTTP/1.1\r\nHost: a\r\nDate: then\r\n\r\n");
  const Headers taken = std::move(request.headers);
  EXPECT_EQ(sent(request), "GET / HTTP/1.1\r\nHost: default\r\n\r\n");
  request.headers = taken;
  request.headers.remove("host");
  EXPECT_EQ(sent(request), "GET / HTTP/1.1\r\nHost: default\r\nDate: then\r\n\r\n");
  Response response;
  response.headers = taken;
  response.headers.remove("date");
  EXPECT_EQ(sent(response), "HTTP/1.1 200 OK\r\nHost: a\r\nDate: now\r\nServer: knative\r\n\r\n");
}

TEST(HeadersAccess, framing_fields_are_left_out_wherever_they_stand) {
  Request request;
  request.headers = Headers{{"Connection", "close"}, {"Host", "a"},   {"Content-Length", "7"},
                            {"Expect", "x"},         {"Accept", "b"}, {"keep-alive", "1"}};
  EXPECT_EQ(sent(request), "GET / HTTP/1.1\r\nHost: a\r\nAccept: b\r\n\r\n");
  remove_hop_by_hop(request.headers);
  EXPECT_EQ(request.headers.size(), 4U);
  EXPECT_FALSE(request.headers.has("keep-alive"));
}

}  // namespace
}  // namespace knative::http
