// What a client of the registry writes: paths, queries and ranges. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/error.hpp"

namespace knative::registry {

/// What a path of the specification is about.
enum class Resource : unsigned char {
  base,       ///< /v2/
  catalog,    ///< /v2/_catalog
  tags,       ///< /v2/NAME/tags/list
  manifest,   ///< /v2/NAME/manifests/REFERENCE
  blob,       ///< /v2/NAME/blobs/DIGEST
  uploads,    ///< /v2/NAME/blobs/uploads/
  upload,     ///< /v2/NAME/blobs/uploads/ID
  referrers,  ///< /v2/NAME/referrers/DIGEST
};

struct Route {
  Resource resource = Resource::base;
  std::string name;  ///< Of the repository, unchecked.
  std::string last;  ///< Reference, digest or id, unchecked.
};
/// Nothing: no such path.
std::optional<Route> parse_route(std::string_view path);

/// Decoded, in order. A '+' is one: it stands in media types and digests.
class Query {
 public:
  /// At most `parameters_max` are read.
  static Query parse(std::string_view target);
  /// The first of that name.
  std::optional<std::string_view> get(std::string_view name) const;
  std::vector<std::string_view> all(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> parameters_;
};
inline constexpr std::size_t parameters_max = 128;

/// Escapes are decoded; nothing when one is malformed.
std::optional<std::string> decode(std::string_view text);
/// For a value in a query.
std::string encode(std::string_view text);

/// Bytes from `first` to before `end`.
struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};
/// Content-Range of a chunk: "0-99", both included.
std::optional<ByteRange> parse_content_range(std::string_view text);

enum class RangeAnswer : unsigned char { whole, part, none };
/// What of `size` bytes a Range field (RFC 9110 section 14.2) asks for; `part` sets `range`. What
/// is malformed, in other units, or asks for several parts, gets everything.
RangeAnswer parse_range(std::string_view field, std::uint64_t size, ByteRange& range);

/// The digits of `text` and nothing else, without overflow.
std::optional<std::uint64_t> parse_number(std::string_view text);

}  // namespace knative::registry
