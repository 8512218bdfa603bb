#include "wire/http_parser.hpp"

#include <cstring>
#include <limits>

#include "wire/http_authority.hpp"
#include "wire/http_names.hpp"
#include "wire/http_text.hpp"

namespace knative::http::wire {

namespace {
constexpr std::uint32_t u32(std::size_t value) noexcept {
  return static_cast<std::uint32_t>(value);
}
constexpr std::size_t method_bytes_max = 32;
}  // namespace

// ---------------------------------------------------------------------------- both heads

void HeadParser::reset() noexcept {
  fields_.clear();
  error_ = ParseError();
  line_begin_ = scanned_ = 0;
  content_length_ = 0;
  host_ = Span();
  names_ = 0;
  version_minor_ = 1;
  framing_ = Framing::none;
  start_line_done_ = has_content_length_ = has_transfer_encoding_ = has_host_ = false;
  keep_alive_ = plain_ = true;
  close_listed_ = keep_alive_listed_ = upgrade_listed_ = upgrade_field_ = fields_listed_ = false;
  expect_continue_ = expect_other_ = false;
}

bool HeadParser::fail(int status, std::size_t offset, std::string_view reason) noexcept {
  error_ = ParseError{status, offset, reason};
  return false;
}

inline Parse HeadParser::next_line(std::string_view buffer, Span& line) noexcept {
  const char* const begin = buffer.data();
  const std::size_t line_begin = line_begin_;
  const auto* lf =
      scanned_ < buffer.size()
          ? static_cast<const char*>(std::memchr(begin + scanned_, '\n', buffer.size() - scanned_))
          : nullptr;
  const std::size_t end = lf != nullptr ? static_cast<std::size_t>(lf - begin) : buffer.size();
  // The same bounds whether the line is complete or not, so that cutting does not matter.
  if (!start_line_done_ && end - line_begin > limits_.start_line_bytes_max) {
    fail(request_ ? 414 : 400, line_begin + limits_.start_line_bytes_max, "start line too long");
    return Parse::failed;
  }
  if (end >= limits_.head_bytes_max) {
    fail(431, limits_.head_bytes_max, "header too large");
    return Parse::failed;
  }
  if (lf == nullptr) {
    scanned_ = buffer.size();
    return Parse::more;
  }
  if (end == line_begin || begin[end - 1] != '\r') {
    fail(400, end, "line feed without carriage return");
    return Parse::failed;
  }
  line = Span{u32(line_begin), u32(end - 1 - line_begin)};
  line_begin_ = scanned_ = end + 1;
  return Parse::done;
}

inline bool HeadParser::field_line(std::string_view buffer, Span line) {
  const std::string_view text = line.of(buffer);
  if (is_blank(text.front())) return fail(400, line.begin, "folded or indented field");
  const std::size_t name = first_not(text, token_char);
  if (name == text.size()) return fail(400, line.begin + name, "field without colon");
  if (text[name] != ':') {
    return fail(400, line.begin + name,
                is_blank(text[name]) ? "blank before colon" : "invalid character in field name");
  }
  if (name == 0) return fail(400, line.begin, "empty field name");
  std::size_t begin = name + 1;
  std::size_t end = text.size();
  // Mostly one space, and then the value to its end.
  const bool plain = begin + 1 < end && text[begin] == ' ' && !is_blank(text[begin + 1]) &&
                     !is_blank(text[end - 1]);
  if (plain) {
    ++begin;
  } else {
    plain_ = false;
    while (begin < text.size() && is_blank(text[begin])) ++begin;
    while (end > begin && is_blank(text[end - 1])) --end;
  }
  const std::string_view value = text.substr(begin, end - begin);
  const std::size_t invalid = first_invalid_in_value(value);
  if (invalid < value.size()) {
    return fail(400, line.begin + begin + invalid, "invalid character in field value");
  }
  if (fields_.size() == limits_.fields_max) return fail(431, line.begin, "too many fields");
  const FieldSpan field{line.begin, u32(name), u32(line.begin + begin), u32(value.size())};
  fields_.push_back(field);
  const std::uint32_t bit = name_bit(text.substr(0, name));
  names_ |= bit;
  return bit == 0 || known_field(buffer, field, bit);
}

Parse HeadParser::field_lines(std::string_view buffer) {
  for (;;) {
    Span line;
    const Parse found = next_line(buffer, line);
    if (found != Parse::done || line.length == 0) return found;
    if (!field_line(buffer, line)) return Parse::failed;
  }
}

bool HeadParser::known_field(std::string_view buffer, const FieldSpan& field,
                             std::uint32_t bit) noexcept {
  const std::string_view value = field.value(buffer);
  switch (bit) {
    case name_host: return !request_ || host_field(value, field);
    case name_expect:
      (equal_ignoring_case(value, "100-continue") ? expect_continue_ : expect_other_) = true;
      return true;
    case name_upgrade: upgrade_field_ = true; return true;
    case name_connection: connection_field(value); return true;
    case name_content_length:
      if (has_content_length_) return fail(400, field.name_begin, "second Content-Length");
      if (has_transfer_encoding_) {
        return fail(400, field.name_begin, "Content-Length with Transfer-Encoding");
      }
      return content_length_field(value, field.value_begin);
    case name_transfer_encoding: return coding_field(value, field);
    default: return true;
  }
}

bool HeadParser::host_field(std::string_view value, const FieldSpan& field) noexcept {
  if (has_host_) return fail(400, field.name_begin, "second Host");
  has_host_ = true;
  host_ = Span{field.value_begin, field.value_length};
  const Authority authority = parse_authority(value);
  if (authority.valid) return true;
  return fail(400, field.value_begin + authority.error_offset, "invalid Host");
}

bool HeadParser::coding_field(std::string_view value, const FieldSpan& field) noexcept {
  if (has_transfer_encoding_) return fail(400, field.name_begin, "second Transfer-Encoding");
  if (has_content_length_) {
    return fail(400, field.name_begin, "Transfer-Encoding with Content-Length");
  }
  if (version_minor_ == 0) return fail(400, field.name_begin, "Transfer-Encoding in HTTP/1.0");
  if (!equal_ignoring_case(value, "chunked")) {
    return fail(400, field.value_begin, "Transfer-Encoding is not exactly chunked");
  }
  has_transfer_encoding_ = true;
  return true;
}

bool HeadParser::content_length_field(std::string_view value, std::size_t offset) noexcept {
  if (value.empty()) return fail(400, offset, "empty Content-Length");
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] < '0' || value[i] > '9') {
      return fail(400, offset + i, "Content-Length is not a number");
    }
    // 18 digits hold every length that exists and cannot overflow.
    if (i == 18) return fail(400, offset + i, "Content-Length too large");
    number = number * 10 + static_cast<std::uint64_t>(value[i] - '0');
  }
  has_content_length_ = true;
  content_length_ = number;
  return true;
}

void HeadParser::connection_field(std::string_view value) noexcept {
  for_each_element(value, [this](std::string_view element) {
    const auto is = [element](std::string_view option) {
      return equal_ignoring_case(element, option);
    };
    if (is("close")) {
      close_listed_ = true;
    } else if (is("keep-alive")) {
      keep_alive_listed_ = true;
    } else if (is("upgrade")) {
      upgrade_listed_ = true;
    } else {
      fields_listed_ = true;
    }
  });
}

// ---------------------------------------------------------------------------- requests

void RequestParser::reset() noexcept {
  HeadParser::reset();
  request_ = true;
  method_ = target_ = authority_ = Span();
  absolute_ = connect_ = empty_line_seen_ = false;
}

Parse RequestParser::parse(std::string_view buffer) {
  if (!error_.reason.empty()) return Parse::failed;
  // Whatever does not begin like a request (TLS, say) need not be read up to a line's end.
  if (scanned_ == 0 && !buffer.empty() && !has_class(buffer[0], token_char) && buffer[0] != '\r') {
    fail(400, 0, "not an HTTP request");
    return Parse::failed;
  }
  while (!start_line_done_) {
    Span line;
    const Parse found = next_line(buffer, line);
    if (found != Parse::done) return found;
    if (line.length == 0 && !empty_line_seen_) {
      empty_line_seen_ = true;  // RFC 9112 section 2.2 asks to bear one.
      continue;
    }
    if (!request_line(buffer, line)) return Parse::failed;
    start_line_done_ = true;
  }
  const Parse found = field_lines(buffer);
  if (found != Parse::done) return found;
  return finish(buffer) ? Parse::done : Parse::failed;
}

bool RequestParser::request_line(std::string_view buffer, Span line) {
  const std::string_view text = line.of(buffer);
  const std::size_t method_end = first_not(text, token_char);
  if (method_end == 0) return fail(400, line.begin, "invalid method");
  if (method_end > method_bytes_max) return fail(400, line.begin, "method too long");
  if (method_end == text.size() || text[method_end] != ' ') {
    return fail(400, line.begin + method_end, "invalid character in method");
  }
  method_ = Span{line.begin, u32(method_end)};
  const std::size_t target = method_end + 1;
  const std::size_t target_end = text.find(' ', target);
  if (target_end == std::string_view::npos) {
    return fail(400, line.begin + text.size(), "request line without version");
  }
  if (target_end == target) return fail(400, line.begin + target, "empty target");
  if (!version(buffer, line.begin + target_end + 1, line.begin + text.size())) return false;
  return request_target(buffer, line.begin + target, line.begin + target_end);
}

bool RequestParser::version(std::string_view buffer, std::size_t begin, std::size_t end) {
  const std::string_view text = buffer.substr(begin, end - begin);
  if (text == "HTTP/1.1") return true;
  if (text == "HTTP/1.0") {
    version_minor_ = 0;
    return true;
  }
  const bool well_formed = text.size() == 8 && text.substr(0, 5) == "HTTP/" && text[5] >= '0' &&
                           text[5] <= '9' && text[6] == '.' && text[7] >= '0' && text[7] <= '9';
  if (!well_formed) return fail(400, begin, "invalid version");
  // A later 1.x can be read as the latest that we know (RFC 9110 section 2.5).
  if (text[5] != '1') return fail(505, begin, "unsupported version");
  return true;
}

bool RequestParser::request_target(std::string_view buffer, std::size_t begin, std::size_t end) {
  const std::string_view text = buffer.substr(begin, end - begin);
  const std::string_view method = method_.of(buffer);
  if (method == "CONNECT") return connect_target(buffer, begin, end);
  std::size_t path = 0;
  if (text == "*") {
    if (method != "OPTIONS") return fail(400, begin, "asterisk target is for OPTIONS only");
    target_ = Span{u32(begin), 1};
    return true;
  }
  if (text.front() != '/') {
    std::size_t scheme = 0;
    if (text.size() > 7 && equal_ignoring_case(text.substr(0, 7), "http://")) scheme = 7;
    if (text.size() > 8 && equal_ignoring_case(text.substr(0, 8), "https://")) scheme = 8;
    if (scheme == 0) return fail(400, begin, "invalid target");
    path = text.find_first_of("/?#", scheme);
    if (path == std::string_view::npos) path = text.size();
    const Authority authority = parse_authority(text.substr(scheme, path - scheme));
    if (!authority.valid) {
      return fail(400, begin + scheme + authority.error_offset, "invalid host in target");
    }
    absolute_ = true;
    authority_ = Span{u32(begin + scheme), u32(path - scheme)};
  }
  const std::string_view rest = text.substr(path);
  const std::size_t invalid = first_not(rest, target_char);
  if (invalid < rest.size()) {
    return fail(400, begin + path + invalid, "invalid character in target");
  }
  const std::size_t escape = first_bad_escape(rest);
  if (escape < rest.size()) return fail(400, begin + path + escape, "invalid escape in target");
  target_ = Span{u32(begin + path), u32(rest.size())};
  return true;
}

bool RequestParser::connect_target(std::string_view buffer, std::size_t begin, std::size_t end) {
  if (!limits_.connect) return fail(501, method_.begin, "CONNECT is not supported");
  const Authority authority = parse_authority(buffer.substr(begin, end - begin));
  if (!authority.valid) return fail(400, begin + authority.error_offset, "invalid authority");
  if (!authority.port) return fail(400, end, "no port to connect to");
  connect_ = true;
  target_ = Span{u32(begin), u32(end - begin)};
  return true;
}

bool RequestParser::finish(std::string_view buffer) {
  const std::size_t end = line_begin_ - 2;
  if (!has_host_ && version_minor_ == 1) return fail(400, end, "no Host");
  if (absolute_ && has_host_ && !equal_ignoring_case(authority_.of(buffer), host_.of(buffer))) {
    return fail(400, host_.begin, "Host differs from the target's");
  }
  if (expect_other_) return fail(417, end, "unknown expectation");
  if (version_minor_ == 0) expect_continue_ = false;
  keep_alive_ = !close_listed_ && (version_minor_ == 1 || keep_alive_listed_);
  if (has_transfer_encoding_) {
    framing_ = Framing::chunked;
  } else if (has_content_length_ && content_length_ > 0) {
    framing_ = Framing::length;
  }
  // What follows CONNECT is the tunnel's (RFC 9110 section 9.3.6).
  if (connect_ && framing_ != Framing::none) return fail(400, end, "CONNECT with a body");
  return true;
}

// ---------------------------------------------------------------------------- responses

void ResponseParser::reset(bool to_head, bool to_connect) noexcept {
  HeadParser::reset();
  request_ = false;
  status_ = 0;
  to_head_ = to_head;
  to_connect_ = to_connect;
}

Parse ResponseParser::parse(std::string_view buffer) {
  if (!error_.reason.empty()) return Parse::failed;
  if (scanned_ == 0 && !buffer.empty() && buffer[0] != 'H') {
    fail(400, 0, "not an HTTP response");
    return Parse::failed;
  }
  if (!start_line_done_) {
    Span line;
    const Parse found = next_line(buffer, line);
    if (found != Parse::done) return found;
    if (!status_line(buffer, line)) return Parse::failed;
    start_line_done_ = true;
  }
  const Parse found = field_lines(buffer);
  if (found != Parse::done) return found;
  return finish() ? Parse::done : Parse::failed;
}

bool ResponseParser::status_line(std::string_view buffer, Span line) {
  const std::string_view text = line.of(buffer);
  const std::string_view version = text.substr(0, 8);
  if (version.size() < 8 || !version.starts_with("HTTP/1.") || version[7] < '0' ||
      version[7] > '9') {
    return fail(400, line.begin, "invalid version");
  }
  // A later 1.x can be read as the latest that we know (RFC 9110 section 2.5).
  if (version[7] == '0') version_minor_ = 0;
  if (text.size() < 12 || text[8] != ' ') return fail(400, line.begin + 8, "no status");
  for (std::size_t i = 9; i < 12; ++i) {
    if (text[i] < '0' || text[i] > '9') return fail(400, line.begin + i, "invalid status");
    status_ = status_ * 10 + (text[i] - '0');
  }
  if (status_ < 100 || status_ > 599) return fail(400, line.begin + 9, "invalid status");
  if (text.size() > 12 && text[12] != ' ') return fail(400, line.begin + 12, "invalid status");
  const std::size_t invalid = first_invalid_in_value(text);
  if (invalid < text.size()) {
    return fail(400, line.begin + invalid, "invalid character in reason");
  }
  return true;
}

bool ResponseParser::finish() {
  keep_alive_ = !close_listed_ && (version_minor_ == 1 || keep_alive_listed_);
  if (to_connect_ && status_ >= 200 && status_ < 300) {
    framing_ = Framing::none;
    keep_alive_ = false;
  } else if (to_head_ || status_ < 200 || status_ == 204 || status_ == 304) {
    framing_ = Framing::none;
    // A body that must not be there would be taken for the next response: use it no further.
    const bool must_be_empty = !to_head_ && status_ != 304;
    if (must_be_empty && (has_transfer_encoding_ || content_length_ > 0)) keep_alive_ = false;
  } else if (has_transfer_encoding_) {
    framing_ = Framing::chunked;
  } else if (has_content_length_) {
    framing_ = content_length_ > 0 ? Framing::length : Framing::none;
  } else {
    framing_ = Framing::until_close;
    keep_alive_ = false;
  }
  return true;
}

// ---------------------------------------------------------------------------- chunks

bool ChunkDecoder::fail(std::string_view reason, int status) noexcept {
  state_ = State::failed;
  error_ = ParseError{status, static_cast<std::size_t>(offset_), reason};
  return false;
}

ChunkDecoder::Step ChunkDecoder::next(std::string_view input) {
  Step result;
  if (state_ == State::failed) return Step{Parse::failed, 0, {}};
  if (state_ == State::done) return Step{Parse::done, 0, {}};
  std::size_t i = 0;
  while (i < input.size()) {
    if (state_ == State::data) {
      const std::size_t rest = input.size() - i;
      const std::size_t take = left_ < rest ? static_cast<std::size_t>(left_) : rest;
      result.data = input.substr(i, take);
      left_ -= take;
      offset_ += take;
      i += take;
      if (left_ == 0) state_ = State::data_cr;
      break;
    }
    if (!step(input[i])) return Step{Parse::failed, i, {}};
    ++offset_;
    ++i;
    if (state_ == State::done) break;
  }
  result.consumed = i;
  result.state = state_ == State::done ? Parse::done : Parse::more;
  return result;
}

bool ChunkDecoder::step(char c) {
  switch (state_) {
    case State::size_first:
    case State::size: return size_char(c);
    case State::extension_blank:
    case State::extension:
    case State::extension_quoted:
    case State::extension_escape: return extension_char(c);
    case State::size_lf:
      if (c != '\n') return fail("carriage return without line feed");
      state_ = left_ == 0 ? State::trailer_first : State::data;
      return true;
    case State::data_cr:
      if (c != '\r') return fail("chunk longer than its size");
      state_ = State::data_lf;
      return true;
    case State::data_lf:
      if (c != '\n') return fail("carriage return without line feed");
      state_ = State::size_first;
      return true;
    case State::trailer_first:
    case State::trailer_name:
    case State::trailer_value:
    case State::trailer_lf: return trailer_char(c);
    case State::last_lf:
      if (c != '\n') return fail("carriage return without line feed");
      state_ = State::done;
      return true;
    case State::data:
    case State::done:
    case State::failed: break;
  }
  return fail("internal");
}

bool ChunkDecoder::size_char(char c) {
  if (state_ == State::size_first) {
    left_ = 0;
    digits_ = 0;
    state_ = State::size;
  }
  const int digit = hex_value(c);
  if (digit >= 0) {
    // 15 digits: no overflow, and the sum of all sizes fits as well.
    if (++digits_ > 15) return fail("chunk size too large");
    left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
    return true;
  }
  if (digits_ == 0) return fail("invalid chunk size");
  if (c == '\r') {
    state_ = State::size_lf;
    return true;
  }
  if (c == ';' || is_blank(c)) {
    extension_named_ = extension_value_ = false;
    state_ = c == ';' ? State::extension : State::extension_blank;
    return ++extension_bytes_ <= extension_bytes_max || fail("chunk extensions too long");
  }
  return fail("invalid chunk size");
}

bool ChunkDecoder::extension_char(char c) {
  if (++extension_bytes_ > extension_bytes_max) return fail("chunk extensions too long");
  const auto byte = static_cast<unsigned char>(c);
  if (state_ == State::extension_escape) {
    if ((byte < 0x20 && c != '\t') || byte == 0x7f) return fail("invalid chunk extension");
    state_ = State::extension_quoted;
    return true;
  }
  if (state_ == State::extension_quoted) {
    if ((byte < 0x20 && c != '\t') || byte == 0x7f) return fail("invalid chunk extension");
    if (c == '\\') state_ = State::extension_escape;
    if (c == '"') state_ = State::extension;
    return true;
  }
  if (state_ == State::extension_blank) {
    // Blanks after the size are only borne before an extension.
    if (is_blank(c)) return true;
    if (c != ';') return fail("blank after chunk size");
    state_ = State::extension;
    return true;
  }
  if (c == '\r' || c == ';') {
    if (!extension_named_) return fail("empty chunk extension");
    extension_named_ = extension_value_ = false;
    state_ = c == ';' ? State::extension : State::size_lf;
    return true;
  }
  if (c == '=') {
    if (!extension_named_ || extension_value_) return fail("invalid chunk extension");
    extension_named_ = false;
    extension_value_ = true;
    return true;
  }
  if (c == '"') {
    if (!extension_value_ || extension_named_) return fail("invalid chunk extension");
    extension_named_ = true;
    state_ = State::extension_quoted;
    return true;
  }
  if (has_class(c, token_char)) {
    extension_named_ = true;
    return true;
  }
  if (is_blank(c)) return true;
  return fail("invalid chunk extension");
}

bool ChunkDecoder::trailer_char(char c) {
  if (++trailer_bytes_ > trailer_bytes_max) return fail("trailers too large", 431);
  const auto byte = static_cast<unsigned char>(c);
  switch (state_) {
    case State::trailer_first:
      if (c == '\r') {
        state_ = State::last_lf;
        return true;
      }
      trailer_name_length_ = 0;
      state_ = State::trailer_name;
      [[fallthrough]];
    case State::trailer_name:
      trailers_.push_back(c);
      if (has_class(c, token_char)) {
        if (trailer_name_length_ < sizeof trailer_name_) {
          trailer_name_[trailer_name_length_++] = to_lower(c);
        }
        return true;
      }
      if (c != ':' || trailer_name_length_ == 0) return fail("invalid trailer");
      {
        const std::string_view name(trailer_name_, trailer_name_length_);
        // What decides about framing and routing must not come after the fact
        // (RFC 9110 section 6.5.1).
        if (name == "content-length" || name == "transfer-encoding" || name == "host" ||
            name == "connection" || name == "trailer" || name == "upgrade") {
          return fail("framing field in trailers");
        }
      }
      state_ = State::trailer_value;
      return true;
    case State::trailer_value:
      trailers_.push_back(c);
      if (c == '\r') {
        state_ = State::trailer_lf;
        return true;
      }
      if ((byte < 0x20 && c != '\t') || byte == 0x7f) return fail("invalid trailer");
      return true;
    default:
      if (c != '\n') return fail("carriage return without line feed");
      trailers_.push_back(c);
      state_ = State::trailer_first;
      return true;
  }
}

std::string_view chunk_head(std::uint64_t size, char* room) noexcept {
  constexpr std::string_view digits = "0123456789abcdef";
  char* end = room + 18;
  *--end = '\n';
  *--end = '\r';
  do {
    *--end = digits[size & 15];
    size >>= 4;
  } while (size != 0);
  return std::string_view(end, static_cast<std::size_t>(room + 18 - end));
}

}  // namespace knative::http::wire
