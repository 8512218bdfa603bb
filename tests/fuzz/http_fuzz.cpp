// Any bytes as a request, a response and a chunked body: no crash, no read outside the input, the
// same verdict however the bytes are cut, and what is accepted survives being sent on.
//
// libFuzzer target; tests/corpus/http1 gives the seeds (see seed_http_corpus.py beside it).
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "knative/http.hpp"
#include "wire/http_access.hpp"
#include "wire/http_parser.hpp"
#include "wire/http_render.hpp"

namespace {

using namespace knative::http;
using namespace knative::http::wire;

void require(bool holds) {
  if (!holds) std::abort();
}

/// Feed a copy of exactly the right size, so that ASan sees every read beyond it.
template <class Parser>
Parse feed(Parser& parser, std::string_view bytes) {
  const std::vector<char> exact(bytes.begin(), bytes.end());
  return parser.parse(std::string_view(exact.data(), exact.size()));
}

template <class Parser>
void same_verdict_when_cut(Parser& whole, Parser& cut, std::string_view bytes, std::size_t at) {
  const Parse expected = feed(whole, bytes);
  Parse got = feed(cut, bytes.substr(0, at));
  if (got == Parse::more) got = feed(cut, bytes);
  require(got == expected);
  require(whole.error().offset == cut.error().offset);
  require(whole.error().status == cut.error().status);
  if (expected == Parse::failed) require(whole.error().offset <= bytes.size());
  if (expected == Parse::done) {
    require(whole.head_bytes() == cut.head_bytes());
    require(whole.framing() == cut.framing());
    require(whole.content_length() == cut.content_length());
    require(whole.keep_alive() == cut.keep_alive());
  }
}

void request(std::string_view bytes, std::size_t at) {
  std::vector<FieldSpan> fields;
  std::vector<FieldSpan> cut_fields;
  RequestParser parser(ParseLimits{}, fields);
  RequestParser cut(ParseLimits{}, cut_fields);
  same_verdict_when_cut(parser, cut, bytes, at);
  parser.reset();
  if (parser.parse(bytes) != Parse::done) return;
  Request message;
  message.method = parser.method().of(bytes);
  message.target = parser.target().of(bytes);
  if (message.target.empty() || message.target.front() == '?') message.target.insert(0, "/");
  for (const FieldSpan& field : fields) {
    require(message.headers.add(field.name(bytes), field.value(bytes)));
  }
  (void)message.query("a");
  (void)message.host();
  const bool chunked = parser.framing() == Framing::chunked;
  std::optional<std::uint64_t> length;
  if (parser.framing() == Framing::length) length = parser.content_length();
  std::string sent;
  require(render_request(message, length, chunked, "default", sent).has_value());
  // What is sent on is understood in the same way by the next server.
  std::vector<FieldSpan> again;
  ParseLimits wide;
  wide.start_line_bytes_max = wide.head_bytes_max = 1 << 20;
  wide.fields_max = 1 << 10;
  RequestParser next(wide, again);
  if (next.parse(sent) != Parse::done) {
    // An absolute target loses its host; only a differing Host could make that matter.
    std::abort();
  }
  require(next.head_bytes() == sent.size());
  require(next.framing() == parser.framing());
  require(next.content_length() == parser.content_length() || !length);
  require(next.method().of(sent) == std::string_view(message.method));
  require(next.target().of(sent) == std::string_view(message.target));
}

void response(std::string_view bytes, std::size_t at, bool to_head) {
  std::vector<FieldSpan> fields;
  std::vector<FieldSpan> cut_fields;
  ResponseParser parser(ParseLimits{}, fields);
  ResponseParser cut(ParseLimits{}, cut_fields);
  parser.reset(to_head);
  cut.reset(to_head);
  same_verdict_when_cut(parser, cut, bytes, at);
}

struct Decoded {
  std::string body;
  Parse state = Parse::more;
  std::size_t used = 0;
};

void decode(ChunkDecoder& decoder, std::string_view bytes, Decoded& into) {
  while (into.state == Parse::more && !bytes.empty()) {
    const ChunkDecoder::Step step = decoder.next(bytes);
    require(step.consumed <= bytes.size());
    into.state = step.state;
    into.body += step.data;
    into.used += step.consumed;
    bytes.remove_prefix(step.consumed);
  }
}

void chunks(std::string_view bytes, std::size_t at) {
  Decoded whole;
  ChunkDecoder first;
  decode(first, bytes, whole);
  Decoded cut;
  ChunkDecoder second;
  decode(second, bytes.substr(0, at), cut);
  if (cut.state == Parse::more) decode(second, bytes.substr(at), cut);
  require(whole.state == cut.state && whole.body == cut.body && whole.used == cut.used);
  require(first.error().offset == second.error().offset);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const unsigned kind = data[0];
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 3, size - 3);
  const std::size_t at = (data[1] * 256U + data[2]) % (bytes.size() + 1);
  switch (kind % 5) {
    case 0: request(bytes, at); break;
    case 1: response(bytes, at, false); break;
    case 2: response(bytes, at, true); break;
    case 3: chunks(bytes, at); break;
    default: (void)Url::parse(bytes); break;
  }
  return 0;
}
