// What registries say in fields and bodies, read with care. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/http.hpp"
#include "knative/timers.hpp"

namespace knative::oci {

// Text of a stranger as an error may show it: one line of characters, not too long.
std::string clean_text(std::string_view text, std::size_t bytes_max = 300);

// What the body of a refusal says (distribution-spec, error codes).
struct RegistryErrors {
  std::string first_code;  // "MANIFEST_UNKNOWN"; empty: the body is no such document.
  std::string text;        // "MANIFEST_UNKNOWN: manifest unknown", cleaned; may be empty.
};
RegistryErrors read_registry_errors(std::string_view body);

// How many bytes of an upload have arrived: "0-99" or "bytes=0-99" is 100. Some registries say
// "0-0" for nothing, which is taken as such.
std::optional<std::uint64_t> read_upload_range(std::string_view text);

// "bytes 5-9/10" of a partial answer.
struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::optional<std::uint64_t> total;
};
std::optional<ContentRange> read_content_range(std::string_view text);

// The URL of the next page (RFC 8288, rel=next); nothing when there is none or it leads to another
// origin.
std::optional<http::Url> read_next_page(const http::Headers& headers, const http::Url& page);

// Retry-After as a pause: seconds, or an HTTP date.
std::optional<Duration> read_retry_after(const http::Headers& headers, WallTime now);

// A bearer token that a token service has given.
struct GrantedToken {
  std::string token;
  Duration lifetime{};
};
// Fails with `invalid_argument`, never showing what stands there.
Result<GrantedToken> read_granted_token(std::string_view body);

// "{"ServerURL":..., "Username":..., "Secret":...}" of a credential helper.
struct HelperAnswer {
  std::string user;
  std::string secret;
};
Result<HelperAnswer> read_helper_answer(std::string_view text);

// The body of a form, percent-encoded.
std::string form_text(const std::vector<std::pair<std::string, std::string>>& fields);

}  // namespace knative::oci
