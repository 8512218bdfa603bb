// A name server of one address (RFC 1035): for programs in a network where there is nothing else.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace knative::dns {

/// More than any query that is answered comes to; what is longer is cut off and malformed.
inline constexpr std::size_t query_bytes_max = 512;

/// What is known.
struct Zone {
  std::array<std::uint8_t, 4> address{};  ///< Of every name.
  /// Whether there is such a name: lower case, letters, digits, '-', '_' and dots, without the
  /// last.
  std::function<bool(std::string_view name)> knows;
  std::uint32_t seconds_to_live = 5;
};

/// The answer to a datagram from a stranger: the address for questions of type A, nothing for other
/// types of a name that is known, NXDOMAIN for any other name, FORMERR, NOTIMP or REFUSED for what
/// is no question of that kind. Empty for what must not be answered: fragments, and answers.
std::string answer(std::string_view query, const Zone& zone);

}  // namespace knative::dns
