#include "wire/http_parser.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "http_vectors.hpp"
#include "wire/http_text.hpp"

namespace knative::http::wire {
namespace {

using knative::testing::HttpVector;
using knative::testing::load_http_vectors;

/// Everything that a parser found out, as text that can be compared.
struct Outcome {
  Parse state = Parse::more;
  int status = 0;
  std::size_t offset = 0;
  std::string reason;
  std::map<std::string, std::string> found;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

std::string framing_name(Framing framing) {
  switch (framing) {
    case Framing::none: return "none";
    case Framing::length: return "length";
    case Framing::chunked: return "chunked";
    case Framing::until_close: return "until_close";
  }
  return "?";
}

void head_facts(const HeadParser& parser, const std::vector<FieldSpan>& fields,
                std::string_view bytes, Outcome& outcome) {
  outcome.found["framing"] = framing_name(parser.framing());
  outcome.found["length"] = std::to_string(parser.content_length());
  outcome.found["keep"] = parser.keep_alive() ? "1" : "0";
  outcome.found["minor"] = std::to_string(parser.version_minor());
  outcome.found["upgrade"] = parser.upgrade() ? "1" : "0";
  outcome.found["head"] = std::to_string(parser.head_bytes());
  outcome.found["fields"] = std::to_string(fields.size());
  for (const FieldSpan& field : fields) {
    std::string name(field.name(bytes));
    outcome.found["field:" + name] = field.value(bytes);
    if (equal_ignoring_case(name, "host")) outcome.found["host"] = field.value(bytes);
  }
}

/// Feed `bytes` in pieces that end at the positions of `cuts` and at the end.
Outcome parse_request(std::string_view bytes, const std::vector<std::size_t>& cuts) {
  std::vector<FieldSpan> fields;
  RequestParser parser(ParseLimits{}, fields);
  Outcome outcome;
  auto feed = [&](std::size_t end) {
    if (outcome.state == Parse::more) outcome.state = parser.parse(bytes.substr(0, end));
  };
  for (const std::size_t cut : cuts) feed(cut);
  feed(bytes.size());
  if (outcome.state == Parse::failed) {
    outcome.status = parser.error().status;
    outcome.offset = parser.error().offset;
    outcome.reason = parser.error().reason;
  } else if (outcome.state == Parse::done) {
    head_facts(parser, fields, bytes, outcome);
    outcome.found["method"] = parser.method().of(bytes);
    outcome.found["target"] = parser.target().of(bytes);
    outcome.found["continue"] = parser.expects_continue() ? "1" : "0";
  }
  return outcome;
}

Outcome parse_response(std::string_view bytes, const std::vector<std::size_t>& cuts) {
  std::vector<FieldSpan> fields;
  ResponseParser parser(ParseLimits{}, fields);
  Outcome outcome;
  auto feed = [&](std::size_t end) {
    if (outcome.state == Parse::more) outcome.state = parser.parse(bytes.substr(0, end));
  };
  for (const std::size_t cut : cuts) feed(cut);
  feed(bytes.size());
  if (outcome.state == Parse::failed) {
    outcome.status = parser.error().status;
    outcome.offset = parser.error().offset;
    outcome.reason = parser.error().reason;
  } else if (outcome.state == Parse::done) {
    head_facts(parser, fields, bytes, outcome);
    outcome.found["status"] = std::to_string(parser.status());
  }
  return outcome;
}

Outcome decode_chunks(std::string_view bytes, const std::vector<std::size_t>& cuts) {
  ChunkDecoder decoder;
  Outcome outcome;
  std::string body;
  std::size_t at = 0;
  auto feed = [&](std::size_t end) {
    while (outcome.state == Parse::more && at < end) {
      const ChunkDecoder::Step step = decoder.next(bytes.substr(at, end - at));
      at += step.consumed;
      body += step.data;
      outcome.state = step.state;
    }
  };
  for (const std::size_t cut : cuts) feed(cut);
  feed(bytes.size());
  if (outcome.state == Parse::failed) {
    outcome.status = decoder.error().status;
    outcome.offset = decoder.error().offset;
    outcome.reason = decoder.error().reason;
  } else if (outcome.state == Parse::done) {
    outcome.found["body"] = body;
    outcome.found["rest"] = bytes.substr(at);
  }
  return outcome;
}

using Feed = Outcome (*)(std::string_view, const std::vector<std::size_t>&);

void check_verdict(const HttpVector& vector, const Outcome& outcome) {
  if (vector.verdict == "accept") {
    ASSERT_EQ(outcome.state, Parse::done) << outcome.reason << " at " << outcome.offset;
    for (const auto& [key, value] : vector.expected) {
      const auto found = outcome.found.find(key);
      ASSERT_NE(found, outcome.found.end()) << "nothing found for " << key;
      EXPECT_EQ(found->second, value) << key;
    }
  } else if (vector.verdict == "reject") {
    ASSERT_EQ(outcome.state, Parse::failed);
    EXPECT_EQ(outcome.status, vector.status) << outcome.reason;
    ASSERT_TRUE(vector.offset) << "the vector marks no byte";
    EXPECT_EQ(outcome.offset, *vector.offset) << outcome.reason;
    EXPECT_FALSE(outcome.reason.empty());
  } else {
    ASSERT_EQ(vector.verdict, "more");
    EXPECT_EQ(outcome.state, Parse::more) << outcome.reason;
  }
}

/// Every vector whole, cut in two at every position, and byte by byte: one verdict.
void check_all(const std::string& file, Feed feed, std::size_t least) {
  const std::vector<HttpVector> vectors = load_http_vectors(file);
  ASSERT_GE(vectors.size(), least);
  for (const HttpVector& vector : vectors) {
    SCOPED_TRACE(file + ": " + vector.name);
    const Outcome whole = feed(vector.bytes, {});
    check_verdict(vector, whole);
    // Long vectors are cut at every seventh position in their middle.
    const std::size_t size = vector.bytes.size();
    for (std::size_t cut = 0; cut <= size;
         cut += size > 2000 && cut > 300 && cut + 300 < size ? 7 : 1) {
      if (feed(vector.bytes, {cut}) != whole) {
        ADD_FAILURE() << "another verdict when cut at " << cut;
        break;
      }
    }
    std::vector<std::size_t> each;
    for (std::size_t i = 0; i < size; ++i) each.push_back(i);
    EXPECT_EQ(feed(vector.bytes, each), whole) << "byte by byte";
  }
}

TEST(HttpParser, requests_of_the_corpus_get_their_verdict_however_cut) {
  check_all("requests.txt", parse_request, 150);
}

TEST(HttpParser, responses_of_the_corpus_get_their_verdict_however_cut) {
  check_all("responses.txt", parse_response, 35);
}

TEST(HttpParser, chunked_bodies_of_the_corpus_get_their_verdict_however_cut) {
  check_all("chunked.txt", decode_chunks, 50);
}

TEST(HttpParser, every_byte_value_in_every_place_of_a_request_is_judged_by_the_grammar) {
  const std::string good = "GET /path HTTP/1.1\r\nHost: host\r\nName: value\r\n\r\n";
  ASSERT_EQ(parse_request(good, {}).state, Parse::done);
  const std::size_t in_target = good.find("path") + 1;
  const std::size_t in_name = good.find("Name") + 1;
  const std::size_t in_value = good.find("value") + 1;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    auto accepts = [&](std::size_t position) {
      std::string changed = good;
      changed[position] = c;
      return parse_request(changed, {}).state == Parse::done;
    };
    // '%' opens an escape that the following letters do not finish; ':' ends a name.
    EXPECT_EQ(accepts(in_target), has_class(c, target_char) && c != '%') << byte;
    EXPECT_EQ(accepts(in_name), has_class(c, token_char) || c == ':') << byte;
    EXPECT_EQ(accepts(in_value), byte == '\t' || (byte >= 0x20 && byte != 0x7f)) << byte;
  }
}

TEST(HttpParser, a_response_to_head_has_no_body_whatever_it_says) {
  std::vector<FieldSpan> fields;
  ResponseParser parser(ParseLimits{}, fields);
  parser.reset(true);
  ASSERT_EQ(parser.parse("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"), Parse::done);
  EXPECT_EQ(parser.framing(), Framing::none);
  EXPECT_TRUE(parser.keep_alive());
  EXPECT_EQ(parser.content_length(), 7U);
}

TEST(HttpParser, is_reusable_after_reset) {
  std::vector<FieldSpan> fields;
  RequestParser parser(ParseLimits{}, fields);
  EXPECT_EQ(parser.parse("GET / HTTP/1.1\r\n\r\n"), Parse::failed);
  EXPECT_EQ(parser.parse("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Parse::failed);
  parser.reset();
  EXPECT_EQ(parser.parse("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Parse::done);
  EXPECT_EQ(fields.size(), 1U);
}

TEST(HttpParser, a_line_fed_byte_by_byte_costs_linear_time) {
  // With bytes scanned twice this would take minutes.
  std::vector<FieldSpan> fields;
  ParseLimits limits;
  limits.head_bytes_max = 4'000'000;
  limits.start_line_bytes_max = 4'000'000;
  RequestParser parser(limits, fields);
  const std::string text = "GET /" + std::string(2'000'000, 'a');
  for (std::size_t i = 1; i <= text.size(); ++i) {
    ASSERT_EQ(parser.parse(std::string_view(text).substr(0, i)), Parse::more);
  }
}

TEST(ChunkHead, writes_hexadecimal_sizes) {
  char room[18];
  EXPECT_EQ(chunk_head(0, room), "0\r\n");
  EXPECT_EQ(chunk_head(26, room), "1a\r\n");
  EXPECT_EQ(chunk_head(~std::uint64_t{0}, room), "ffffffffffffffff\r\n");
}

TEST(ChunkDecoder, gives_views_into_the_input) {
  ChunkDecoder decoder;
  const std::string input = "5\r\nhello\r\n0\r\n\r\n";
  const ChunkDecoder::Step step = decoder.next(input);
  EXPECT_EQ(step.data, "hello");
  EXPECT_EQ(step.data.data(), input.data() + 3);
}

}  // namespace
}  // namespace knative::http::wire
