/// \file
/// "host[:port]" of Host fields, absolute targets and URLs (RFC 3986 section 3.2, no user name).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "knative/http_url.hpp"

namespace knative::http::wire {

struct Authority {
  std::string_view host;  ///< With the brackets of an IPv6 address.
  std::optional<std::uint16_t> port;
  std::size_t error_offset = 0;
  bool valid = false;
};

/// Never fails in another way than `valid == false`; the host is not empty when valid.
Authority parse_authority(std::string_view text);

/// The host of "host[:port]", as it is written: an address with its brackets, a name without the
/// dot that a full one may end in.
constexpr std::string_view host_of(std::string_view authority) noexcept {
  const bool v6 = authority.starts_with('[');
  const std::size_t end = authority.find(v6 ? ']' : ':');
  std::string_view host =
      end == authority.npos ? authority : authority.substr(0, v6 ? end + 1 : end);
  if (host.size() > 1 && host.ends_with('.')) host.remove_suffix(1);
  return host;
}

/// Whether a connection's peer is on this machine: "127.0.0.1:80", "[::1]:80", "unix".
constexpr bool is_local_peer(std::string_view peer) noexcept {
  for (const std::string_view start : {"127.", "[::1]", "[::ffff:127.", "unix"}) {
    if (peer.starts_with(start)) return true;
  }
  return false;
}

/// The position of the first '%' that is not followed by two hexadecimal digits; the size of
/// the text when there is none.
std::size_t first_bad_escape(std::string_view text) noexcept;

/// The URL that a reference found at `base` means (RFC 3986 section 5.2); its fragment is left out.
/// Fails with `invalid_argument` as `Url::parse`.
Result<Url> resolve(const Url& base, std::string_view reference);

}  // namespace knative::http::wire
