#include "engines/builder/source_locations.hpp"

#include <algorithm>

#include "engines/builder/credentials.hpp"
#include "knative/http.hpp"

namespace knative::builder {

namespace {

git::Credentials split_credentials(std::string& url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string::npos) return {};
  const std::size_t start = scheme + 3;
  const std::size_t slash = std::min(url.find('/', start), url.size());
  const std::size_t at = url.rfind('@', slash);
  if (at == std::string::npos || at < start) return {};
  const std::string who = url.substr(start, at - start);
  url.erase(start, at - start + 1);
  const std::size_t colon = std::min(who.find(':'), who.size());
  git::Credentials credentials;
  credentials.user = http::percent_decode(who.substr(0, colon));
  if (colon < who.size()) credentials.password = http::percent_decode(who.substr(colon + 1));
  return credentials;
}

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("-._~/").find(c) != std::string_view::npos;
}

std::string percent_encoded_path(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_unreserved(c)) {
      result.push_back(c);
    } else {
      result.append(1, '%').append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
    }
  }
  return result;
}

}  // namespace

git::Credentials take_credentials(std::string& url, const SourceCredentials& known) {
  git::Credentials own = split_credentials(url);
  if (!own.user.empty() || !own.password.empty()) return own;
  const SourceCredentials::Basic* basic = basic_for(known, url);
  return basic == nullptr ? own : git::Credentials{basic->user, basic->password};
}

bool is_http(std::string_view location) {
  return location.starts_with("http://") || location.starts_with("https://");
}

bool is_local(std::string_view location) {
  return location.find("://") == location.npos || location.starts_with("file://");
}

Result<std::string> local_path(std::string_view location) {
  std::string path(location);
  if (location.starts_with("file://")) {
    location.remove_prefix(7);
    if (location.starts_with("localhost/")) location.remove_prefix(9);
    if (!location.starts_with("/")) {
      return fail(Errc::invalid_argument, "a file:// URL of another host");
    }
    path = http::percent_decode(location);
  }
  if (path.find('\0') != path.npos) return fail(Errc::invalid_argument, "contains a zero byte");
  return path;
}

Result<std::string> storage_url(std::string_view location, std::string_view endpoint) {
  const auto wrong = [] {
    return fail(Errc::invalid_argument,
                "must be gs://BUCKET/OBJECT or gs://BUCKET/OBJECT#GENERATION");
  };
  if (!location.starts_with(storage_scheme)) return wrong();
  location.remove_prefix(storage_scheme.size());
  const std::size_t slash = location.find('/');
  if (slash == location.npos || slash == 0) return wrong();
  const std::string_view bucket = location.substr(0, slash);
  std::string_view object = location.substr(slash + 1);
  std::string_view generation;
  if (const std::size_t hash = object.rfind('#'); hash != object.npos) {
    generation = object.substr(hash + 1);
    object = object.substr(0, hash);
    const bool number =
        !generation.empty() && std::all_of(generation.begin(), generation.end(),
                                           [](char c) { return c >= '0' && c <= '9'; });
    if (!number) return wrong();
  }
  if (object.empty() || bucket == "." || bucket == "..") return wrong();
  while (endpoint.ends_with('/')) endpoint.remove_suffix(1);
  std::string url(endpoint);
  url.append("/")
      .append(percent_encoded_path(bucket))
      .append("/")
      .append(percent_encoded_path(object));
  if (!generation.empty()) url.append("?generation=").append(generation);
  return url;
}

}  // namespace knative::builder
