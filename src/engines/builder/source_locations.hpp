// Where sources are, as their documents say it. Pure.
#pragma once

#include <string>
#include <string_view>

#include "engines/builder/fetch_git.hpp"
#include "knative/builder.hpp"

namespace knative::builder {

// Moves "user:password@" out of a URL, so that it appears in no file, log or error; without it,
// those that the build has for the URL.
git::Credentials take_credentials(std::string& url, const SourceCredentials& known);

bool is_http(std::string_view location);
// A path, or file://.
bool is_local(std::string_view location);

// The path of a location on this machine; a file:// URL is percent-encoded.
Result<std::string> local_path(std::string_view location);

inline constexpr std::string_view storage_scheme = "gs://";

// Where "gs://BUCKET/OBJECT#GENERATION" is at an endpoint of object storage; the generation may be
// left out. `invalid_argument` when something is missing.
Result<std::string> storage_url(std::string_view location, std::string_view endpoint);

}  // namespace knative::builder
