/// \file
/// How the library reaches into `Headers`: unchecked appends of parsed fields, and the text.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "knative/http.hpp"
#include "wire/http_names.hpp"
#include "wire/http_parser.hpp"

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
  /// Bits of the names that are there (http_names.hpp); a shared bit only says that one may be.
  static std::uint32_t names(const Headers& headers) noexcept { return headers.names_; }
  /// The fields of a head that was parsed, in the place of those that were there.
  static void assign(Headers& headers, const wire::HeadParser& head,
                     const std::vector<wire::FieldSpan>& fields, std::string_view input);

  struct Lengths {
    std::uint32_t name;
    std::uint32_t value;
  };
  /// Append fields as they are sent; `bits` are those of their names.
  static void append_text(Headers& headers, std::string_view text, std::span<const Lengths> fields,
                          std::uint32_t bits);
};

namespace wire {

/// Remove Connection and the fields that it lists (RFC 9110, 7.6.1), but neither Host, which
/// decides about routing, nor Upgrade.
void remove_listed_fields(Headers& headers);

}  // namespace wire

}  // namespace knative::http
