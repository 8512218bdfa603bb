/// \file
/// Who we are at which registry: credentials as a value, read from the files that tools keep.
///
/// docker's config.json, podman's auth.json and both kinds of Secrets for images are read. No
/// credential is ever part of an error. Values, which belong to whoever holds them.
///
/// \code
/// kn::oci::RegistryKeyring keyring = kn::oci::RegistryKeyring::parse_docker_config(json).value();
/// for (const kn::oci::RegistryCredential& one : keyring.find(reference)) { ... }
/// \endcode
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"
#include "knative/oci_image.hpp"

namespace knative::oci {

/// What a registry wants to see. One of the three ways is used, the last one that is there.
struct KNATIVE_EXPORT RegistryCredential {
  std::string user;
  std::string password;
  std::string identity_token;  ///< Exchanged for bearer tokens (an OAuth2 refresh token).
  std::string registry_token;  ///< A bearer token, sent as it is.
  bool empty() const noexcept {
    return user.empty() && password.empty() && identity_token.empty() && registry_token.empty();
  }
  friend bool operator==(const RegistryCredential&, const RegistryCredential&) = default;
};

/// Credentials by place. A place is a registry, "host[:port]", or what lies in it under a path,
/// "host/team/shop"; "https://host/v1/" and "https://host/v2/" mean the host. "*" and "?" in a
/// host stand for characters other than the dot, as Kubernetes reads them.
class KNATIVE_EXPORT RegistryKeyring {
 public:
  /// Read docker's config.json, which is podman's auth.json and what Secrets of type
  /// kubernetes.io/dockerconfigjson hold: `auths`, `credHelpers` and `credsStore`; other members
  /// are the tools' own. Fails with `invalid_argument`, naming the member, never its value.
  static Result<RegistryKeyring> parse_docker_config(std::string_view json);
  /// Read what Secrets of type kubernetes.io/dockercfg hold: `auths` alone.
  static Result<RegistryKeyring> parse_dockercfg(std::string_view json);

  /// Add a credential. Fails with `invalid_argument` when `place` is none.
  Result<void> add(std::string_view place, RegistryCredential credential);
  /// Take over what another one has; it is tried later than what is here for the same place.
  void append(const RegistryKeyring& other);

  /// What fits an image's place, the longest path first, then in order; to be tried one by one.
  std::vector<RegistryCredential> find(const Reference& image) const;
  /// The X of the program docker-credential-X that knows the credentials of an image's registry;
  /// empty: none. Whoever runs it trusts the file that names it.
  std::string helper(const Reference& image) const;
  /// True when it has neither credentials nor helpers.
  bool empty() const noexcept { return entries_.empty() && helpers_.empty() && store_.empty(); }
  friend bool operator==(const RegistryKeyring&, const RegistryKeyring&) = default;

 private:
  struct Entry {
    std::string host;  ///< With the port, perhaps a pattern.
    std::string path;  ///< Without slashes at its ends.
    RegistryCredential credential;
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  std::vector<Entry> entries_;
  std::map<std::string, std::string> helpers_;  ///< By host.
  std::string store_;                           ///< Of all other hosts.
};

}  // namespace knative::oci
