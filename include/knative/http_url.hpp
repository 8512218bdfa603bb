/// \file
/// Absolute http and https URLs as values (RFC 3986, RFC 9110 section 4.2).
///
/// \code
/// kn::Result<kn::http::Url> url = kn::http::Url::parse("https://example.com:8443/a?b=c");
/// if (url) connect_to(url->endpoint());
/// \endcode
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "knative/error.hpp"
#include "knative/network.hpp"

namespace knative::http {

/// Decode %XX; with `plus_is_space` also '+'. Wrong escapes stay as they are.
KNATIVE_EXPORT std::string percent_decode(std::string_view text, bool plus_is_space = false);

/// A URL, right or wrong, as statuses, messages and logs may show it: what stands before the host
/// is "[redacted]", the query "?redacted". What has no "://" stays as it is.
KNATIVE_EXPORT std::string shown_url(std::string_view url);

/// A parsed absolute http or https URL. Fragments and user names are refused.
struct KNATIVE_EXPORT Url {
  std::string scheme = "http";
  std::string host;
  std::uint16_t port = 80;
  std::string target = "/";  ///< Path and query.
  /// Fails with `invalid_argument`, naming the byte offset.
  static Result<Url> parse(std::string_view text);
  std::string to_string() const;
  /// For strangers' eyes; see `shown_url`.
  std::string shown() const;
  Endpoint endpoint() const { return Endpoint{host, port, {}}; }
  friend bool operator==(const Url&, const Url&) = default;
};

}  // namespace knative::http
