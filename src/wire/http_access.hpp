/// \file
/// How the wire floor reaches into `Headers`: unchecked appends of parsed fields, and the text.
#pragma once

#include <string_view>

#include "knative/http.hpp"

namespace knative::http {

struct HeadersAccess {
  /// Append a field that was validated already.
  static void append(Headers& headers, std::string_view name, std::string_view value) {
    headers.append(name, value);
  }
  /// All fields as they are sent: "name: value CR LF" each.
  static std::string_view text(const Headers& headers) noexcept { return headers.text_; }
  /// One field as it is sent.
  static std::string_view line(const Headers& headers, std::size_t index) noexcept {
    const Headers::Line& line = headers.lines_[index];
    return std::string_view(headers.text_)
        .substr(line.begin, line.name_length + std::size_t{line.value_length} + 4);
  }
  /// Make room beforehand, so that a reused object does not grow in steps.
  static void reserve(Headers& headers, std::size_t bytes, std::size_t fields) {
    headers.text_.reserve(bytes);
    headers.lines_.reserve(fields);
  }
};

namespace wire {

/// Remove Connection and the fields that it lists (RFC 9110, 7.6.1), but neither Host, which
/// decides about routing, nor Upgrade.
void remove_listed_fields(Headers& headers);

}  // namespace wire

}  // namespace knative::http
