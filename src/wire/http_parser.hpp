/// \file
/// Strict HTTP/1 message parsing (RFC 9112): pure, incremental, without allocation of its own but
/// for trailers.
///
/// The head parsers look at one line at a time, once it is complete; so the result does not
/// depend on how the bytes were cut into pieces. Every doubt about framing is an error. What is
/// found is told as offsets into the caller's buffer, which may move between calls.
/// Not here: routing, decoding of contents, policy.
///
/// \code
/// std::vector<FieldSpan> fields;
/// RequestParser parser(limits, fields);
/// switch (parser.parse(buffer)) { ... }   // buffer: everything since the message's first byte
/// \endcode
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace knative::http::wire {

struct ParseLimits {
  std::size_t start_line_bytes_max = 8 * 1024;
  std::size_t head_bytes_max = 32 * 1024;
  std::size_t fields_max = 128;
  bool connect = false;  ///< Take CONNECT; otherwise it is 501.
};

enum class Parse : unsigned char { more, done, failed };

struct ParseError {
  int status = 400;         ///< What a server answers.
  std::size_t offset = 0;   ///< Of the offending byte, from the message's (body's) beginning.
  std::string_view reason;  ///< A constant.
};

/// Where a field lies in the buffer.
struct FieldSpan {
  std::uint32_t name_begin = 0;
  std::uint32_t name_length = 0;
  std::uint32_t value_begin = 0;
  std::uint32_t value_length = 0;

  std::string_view name(std::string_view buffer) const noexcept {
    return buffer.substr(name_begin, name_length);
  }
  std::string_view value(std::string_view buffer) const noexcept {
    return buffer.substr(value_begin, value_length);
  }
};

/// How the body's end is found.
enum class Framing : unsigned char { none, length, chunked, until_close };

/// A range of the buffer.
struct Span {
  std::uint32_t begin = 0;
  std::uint32_t length = 0;
  std::string_view of(std::string_view buffer) const noexcept {
    return buffer.substr(begin, length);
  }
};

/// What both kinds of head share; internal to this file's parsers.
class HeadParser {
 public:
  const ParseError& error() const noexcept { return error_; }
  /// Length of the whole head, valid when done.
  std::size_t head_bytes() const noexcept { return line_begin_; }
  Framing framing() const noexcept { return framing_; }
  std::uint64_t content_length() const noexcept { return content_length_; }
  /// May the connection serve another message after this one?
  bool keep_alive() const noexcept { return keep_alive_; }
  /// 0 or 1 of HTTP/1.x.
  int version_minor() const noexcept { return version_minor_; }
  /// Connection lists "upgrade" and there is an Upgrade field.
  bool upgrade() const noexcept { return upgrade_listed_ && upgrade_field_; }
  /// Connection lists fields: names that are no options of the connection itself.
  bool lists_fields() const noexcept { return fields_listed_; }
  /// Every field stands as "name: value", with one space and no other blanks around the value.
  bool plain() const noexcept { return plain_; }
  /// Bits of the fields' names (http_names.hpp).
  std::uint32_t names() const noexcept { return names_; }

 protected:
  HeadParser(const ParseLimits& limits, std::vector<FieldSpan>& fields) noexcept
      : limits_(limits), fields_(fields) {}
  void reset() noexcept;
  bool fail(int status, std::size_t offset, std::string_view reason) noexcept;
  /// Find the next complete line, without its CR LF. `more` when there is none yet.
  Parse next_line(std::string_view buffer, Span& line) noexcept;
  /// Take lines up to the empty one that ends the head.
  Parse field_lines(std::string_view buffer);
  /// False when it failed.
  bool field_line(std::string_view buffer, Span line);
  bool known_field(std::string_view buffer, const FieldSpan& field, std::uint32_t bit) noexcept;
  bool host_field(std::string_view value, const FieldSpan& field) noexcept;
  bool coding_field(std::string_view value, const FieldSpan& field) noexcept;
  bool content_length_field(std::string_view value, std::size_t offset) noexcept;
  void connection_field(std::string_view value) noexcept;

  ParseLimits limits_;
  std::vector<FieldSpan>& fields_;
  ParseError error_;
  std::size_t line_begin_ = 0;
  std::size_t scanned_ = 0;
  std::uint64_t content_length_ = 0;
  Span host_;
  std::uint32_t names_ = 0;
  int version_minor_ = 1;
  Framing framing_ = Framing::none;
  bool start_line_done_ = false;
  bool plain_ = true;
  bool has_content_length_ = false;
  bool has_transfer_encoding_ = false;
  bool has_host_ = false;
  bool request_ = false;
  bool keep_alive_ = true;
  bool close_listed_ = false;
  bool keep_alive_listed_ = false;
  bool upgrade_listed_ = false;
  bool fields_listed_ = false;
  bool upgrade_field_ = false;
  bool expect_continue_ = false;
  bool expect_other_ = false;
};

/// Parses a request's head.
class RequestParser : public HeadParser {
 public:
  /// `fields` receives the fields and must outlive the parser.
  RequestParser(const ParseLimits& limits, std::vector<FieldSpan>& fields) noexcept
      : HeadParser(limits, fields) {
    reset();
  }
  /// Prepare for the next message.
  void reset() noexcept;
  /// `buffer` holds everything from the message's first byte on.
  Parse parse(std::string_view buffer);

  Span method() const noexcept { return method_; }
  /// Origin form ("/path?query") or "*"; "host:port" of CONNECT; of an absolute target only path
  /// and query, perhaps empty (meaning "/") or beginning with '?' (meaning "/?").
  Span target() const noexcept { return target_; }
  bool expects_continue() const noexcept { return expect_continue_; }

 private:
  bool request_line(std::string_view buffer, Span line);
  bool request_target(std::string_view buffer, std::size_t begin, std::size_t end);
  bool connect_target(std::string_view buffer, std::size_t begin, std::size_t end);
  bool version(std::string_view buffer, std::size_t begin, std::size_t end);
  bool finish(std::string_view buffer);

  Span method_;
  Span target_;
  Span authority_;
  bool absolute_ = false;
  bool connect_ = false;
  bool empty_line_seen_ = false;
};

/// Parses a response's head.
class ResponseParser : public HeadParser {
 public:
  ResponseParser(const ParseLimits& limits, std::vector<FieldSpan>& fields) noexcept
      : HeadParser(limits, fields) {
    reset(false);
  }
  /// Prepare for a response; `to_head` when the request's method was HEAD, `to_connect` when it was
  /// CONNECT: then there is no body in a 2xx.
  void reset(bool to_head, bool to_connect = false) noexcept;
  Parse parse(std::string_view buffer);
  int status() const noexcept { return status_; }

 private:
  bool status_line(std::string_view buffer, Span line);
  bool finish();

  int status_ = 0;
  bool to_head_ = false;
  bool to_connect_ = false;
};

/// Takes chunked coding off (RFC 9112 section 7.1). Trailers are checked and kept.
class ChunkDecoder {
 public:
  struct Step {
    Parse state = Parse::more;  ///< `done` after the last CR LF.
    std::size_t consumed = 0;   ///< Bytes of the input that are dealt with, the data included.
    std::string_view data;      ///< A piece of contents inside the input.
  };
  void reset() noexcept { *this = ChunkDecoder(); }
  /// Look at `input`, which begins where the last step stopped. Yields at most one piece of
  /// data; call again while `state` is `more` and input is left.
  Step next(std::string_view input);
  const ParseError& error() const noexcept { return error_; }
  /// The lines after the last chunk, each ending in CR LF.
  std::string take_trailers() noexcept { return std::move(trailers_); }

  /// Chunk extensions of one body may take this much.
  static constexpr std::size_t extension_bytes_max = 1024;
  static constexpr std::size_t trailer_bytes_max = 8 * 1024;

 private:
  enum class State : unsigned char {
    size_first,
    size,
    extension_blank,
    extension,
    extension_quoted,
    extension_escape,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_first,
    trailer_name,
    trailer_value,
    trailer_lf,
    last_lf,
    done,
    failed
  };
  bool step(char c);
  bool size_char(char c);
  bool extension_char(char c);
  bool trailer_char(char c);
  bool fail(std::string_view reason, int status = 400) noexcept;

  ParseError error_;
  std::uint64_t offset_ = 0;
  std::uint64_t left_ = 0;
  std::size_t extension_bytes_ = 0;
  std::size_t trailer_bytes_ = 0;
  std::string trailers_;
  char trailer_name_[20] = {};
  unsigned char trailer_name_length_ = 0;
  unsigned char digits_ = 0;
  bool extension_named_ = false;  ///< A name, or after '=' a value, has begun.
  bool extension_value_ = false;
  State state_ = State::size_first;
};

/// "1a CR LF" into `room` (at least 18 bytes). Returns a view of it.
std::string_view chunk_head(std::uint64_t size, char* room) noexcept;

}  // namespace knative::http::wire
