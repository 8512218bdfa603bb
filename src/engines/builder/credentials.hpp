// What the Secrets of a ServiceAccount give to a build: files in its home, and what our own fetcher
// shows to servers. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/builder.hpp"
#include "knative/core.hpp"

namespace knative::builder {

inline constexpr const char* docker_config_path = ".docker/config.json";

struct BuildCredentials {
  SourceCredentials sources;
  std::map<std::string, std::string> files;  // by path below the home, for its user alone
};

// Secrets in the order of their account, as Knative Build's credential initialiser takes them:
// four types, and the annotations build.knative.dev/git-* and docker-* that say where they are
// good for. The files are written even when there is nothing to put into them. `home` is where
// steps see them. Errors hold names and URLs, no values.
Result<BuildCredentials> credentials_of(const std::vector<core::Secret>& secrets,
                                        std::string_view home);

// What Knative Build checks before it makes a pod: the token BadSecretAnnotation and its text.
Result<void> check_annotations(const std::vector<core::Secret>& secrets);

// The entry whose URL covers `url` (scheme, host, port, and the beginning of the path); the longest
// one. Null when there is none.
const SourceCredentials::Basic* basic_for(const SourceCredentials& credentials,
                                          std::string_view url);

// The entry for a host; one that names `port` wins over one that does not. Null when there is none.
const SourceCredentials::Ssh* ssh_for(const SourceCredentials& credentials, std::string_view host,
                                      std::optional<std::uint16_t> port);

}  // namespace knative::builder
