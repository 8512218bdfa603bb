/// \file
/// "host[:port]" of Host fields, absolute targets and URLs (RFC 3986 section 3.2, no user name).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace knative::http::wire {

struct Authority {
  std::string_view host;  ///< With the brackets of an IPv6 address.
  std::optional<std::uint16_t> port;
  std::size_t error_offset = 0;
  bool valid = false;
};

/// Never fails in another way than `valid == false`; the host is not empty when valid.
Authority parse_authority(std::string_view text);

/// The position of the first '%' that is not followed by two hexadecimal digits; the size of
/// the text when there is none.
std::size_t first_bad_escape(std::string_view text) noexcept;

}  // namespace knative::http::wire
