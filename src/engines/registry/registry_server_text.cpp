#include "engines/registry/registry_server_text.hpp"

#include <algorithm>
#include <charconv>

#include "base/text.hpp"

namespace knative::registry {

namespace {

int hex_value(char c) {
  if (base::is_digit(c)) return c - '0';
  const char lower = base::to_lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Cuts the last component off; false when there is none.
bool take_last(std::string_view& path, std::string_view& last) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return false;
  last = path.substr(slash + 1);
  path = path.substr(0, slash);
  return true;
}

}  // namespace

std::optional<std::string> decode(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      result.push_back(text[i]);
      continue;
    }
    const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0) return std::nullopt;
    result.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return result;
}

std::string encode(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    const bool plain = base::is_letter(c) || base::is_digit(c) ||
                       std::string_view("-._~/").find(c) != std::string_view::npos;
    if (plain) {
      result.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      result.append("%").append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
    }
  }
  return result;
}

std::optional<Route> parse_route(std::string_view raw) {
  const std::optional<std::string> decoded = decode(raw);
  if (!decoded) return std::nullopt;
  std::string_view path = *decoded;
  if (path == "/v2" || path == "/v2/") return Route{};
  if (!path.starts_with("/v2/")) return std::nullopt;
  path.remove_prefix(4);
  if (path == "_catalog") return Route{Resource::catalog, {}, {}};
  std::string_view last;
  std::string_view kind;
  if (!take_last(path, last) || !take_last(path, kind)) return std::nullopt;
  const auto route = [&](Resource resource) {
    return Route{resource, std::string(path), std::string(last)};
  };
  if (kind == "tags" && last == "list") return route(Resource::tags);
  if (kind == "manifests") return route(Resource::manifest);
  if (kind == "referrers") return route(Resource::referrers);
  if (kind == "blobs") return route(last == "uploads" ? Resource::uploads : Resource::blob);
  if (kind != "uploads" || !take_last(path, kind) || kind != "blobs") return std::nullopt;
  return route(last.empty() ? Resource::uploads : Resource::upload);
}

Query Query::parse(std::string_view target) {
  Query query;
  const std::size_t mark = target.find('?');
  std::string_view rest = mark == std::string_view::npos ? "" : target.substr(mark + 1);
  while (!rest.empty() && query.parameters_.size() < parameters_max) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view parameter = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t equals = std::min(parameter.find('='), parameter.size());
    std::optional<std::string> name = decode(parameter.substr(0, equals));
    std::optional<std::string> value =
        decode(parameter.substr(std::min(equals + 1, parameter.size())));
    if (name && value) query.parameters_.emplace_back(std::move(*name), std::move(*value));
  }
  return query;
}

std::optional<std::string_view> Query::get(std::string_view name) const {
  for (const auto& [key, value] : parameters_) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::vector<std::string_view> Query::all(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const auto& [key, value] : parameters_) {
    if (key == name) values.push_back(value);
  }
  return values;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<ByteRange> parse_content_range(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const std::optional<std::uint64_t> first = parse_number(text.substr(0, dash));
  const std::optional<std::uint64_t> last = parse_number(text.substr(dash + 1));
  if (!first || !last || *last < *first || *last == UINT64_MAX) return std::nullopt;
  return ByteRange{*first, *last + 1};
}

RangeAnswer parse_range(std::string_view field, std::uint64_t size, ByteRange& range) {
  constexpr std::string_view unit = "bytes=";
  if (!field.starts_with(unit)) return RangeAnswer::whole;
  field.remove_prefix(unit.size());
  const std::size_t dash = field.find('-');
  if (dash == std::string_view::npos) return RangeAnswer::whole;
  const std::string_view before = field.substr(0, dash);
  const std::string_view after = field.substr(dash + 1);
  const auto digits = [](std::string_view text) {
    return std::all_of(text.begin(), text.end(), base::is_digit);
  };
  if (!digits(before) || !digits(after) || (before.empty() && after.empty())) {
    return RangeAnswer::whole;
  }
  // Numbers beyond any size mean its end.
  const std::uint64_t second =
      after.empty() ? UINT64_MAX : parse_number(after).value_or(UINT64_MAX);
  if (before.empty()) {
    if (second == 0 || size == 0) return RangeAnswer::none;
    range = {size - std::min(size, second), size};
    return RangeAnswer::part;
  }
  const std::uint64_t first = parse_number(before).value_or(UINT64_MAX);
  if (second < first) return RangeAnswer::whole;
  if (first >= size) return RangeAnswer::none;
  range = {first, second >= size ? size : second + 1};
  return RangeAnswer::part;
}

}  // namespace knative::registry
