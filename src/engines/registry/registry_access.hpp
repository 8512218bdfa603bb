// Conversations with registries: where they are, who we are there, and what is tried again.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engines/registry/registry_place.hpp"
#include "knative/registry_client.hpp"

namespace knative::oci {

// What one registry has taught us; shared by all calls to it.
struct RegistryState {
  // What one repository asks for. Another one may be kept by somebody else.
  struct Challenge {
    enum class Scheme : unsigned char { none, basic, bearer };
    Scheme scheme = Scheme::none;
    http::Url realm;
    std::string service;
    friend bool operator==(const Challenge&, const Challenge&) = default;
  };
  struct Token {
    std::string text;
    Instant refresh_at{};
  };
  http::Outbound* outbound = nullptr;
  http::Url base;                               // Scheme, host and port.
  bool undecided = false;                       // http or https: nobody knows yet.
  std::map<std::string, Challenge> challenges;  // By repository.
  std::map<std::string, Token> tokens;          // By credential, service and scopes.
};

// What all calls of a client share.
struct RegistryWorld {
  RegistryWorld(http::Outbound& outbound_, Timers& timers_, Random& random_, Offload& disk_,
                RegistryClientOptions options_)
      : outbound(outbound_),
        timers(timers_),
        random(random_.split("registry")),
        disk(disk_),
        options(std::move(options_)) {}
  // The state of a registry; fails with `invalid_argument` when `host` is none.
  Result<std::shared_ptr<RegistryState>> registry(const std::string& host);
  const RegistryHost* host_options(const std::string& host) const;
  void remember(const Digest& blob, const RegistryPlace& where);

  http::Outbound& outbound;
  Timers& timers;
  Random random;
  Offload& disk;
  RegistryClientOptions options;
  std::map<std::string, std::shared_ptr<RegistryState>> registries;
  // Where blobs have been seen, for mounts.
  std::map<Digest, RegistryPlace> seen;
};

// One request below a repository.
struct RegistryCall {
  std::string method = "GET";
  std::string path;              // "/manifests/latest"; below "/v2/NAME".
  std::optional<http::Url> url;  // Instead of `path`.
  http::Headers headers;
  std::function<http::Body()> body;  // Made anew for each attempt; empty: none.
  bool once = false;                 // Its failure is its caller's to mend.
};

// One repository with the rights of one operation.
class RepositoryAccess {
 public:
  // `actions`: "pull", "pull,push". `more_scopes`: of other repositories that are read.
  RepositoryAccess(std::shared_ptr<RegistryWorld> world, std::shared_ptr<RegistryState> state,
                   Reference name, std::string actions, RegistryKeyring credentials,
                   std::vector<std::string> more_repositories = {});

  // The final response, whatever its status. Transient failures were tried again.
  Task<Result<http::Response>> send(const RegistryCall& call);
  Task<Result<http::Response>> send(RegistryCall&&) = delete;

  // The failure that a response stands for; reads its body.
  Task<Error> refused(std::string what, http::Response& response);
  // A failure of ours in the words of this place.
  Error failed(std::string_view what, const Error& error) const;
  Error failed(Errc code, std::string_view what, std::string_view why) const {
    return failed(what, Error{code, std::string(why)});
  }

  const Reference& name() const noexcept { return name_; }
  const RegistryPlace& place() const noexcept { return place_; }
  RegistryWorld& world() const noexcept { return *world_; }
  // The URL of a path below the repository.
  http::Url url(std::string_view path) const;
  // The URL that a Location field means. Fails with `failed_precondition` when it leads from https
  // to http.
  Result<http::Url> location(std::string_view reference, const http::Url& base) const;
  // The pause after the `failures`-th failure in a row.
  Duration pause_after(int failures);

 private:
  struct Presented {
    std::string field;
    bool fresh = false;  // Made for this request: what refuses it will refuse it again.
  };
  Task<Result<http::Response>> authorized(const RegistryCall& call);
  Task<Result<http::Response>> exchange(const RegistryCall& call, const std::string& authorization);
  Task<Result<http::Response>> exchange_at(const http::Url& url, const RegistryCall& call,
                                           const std::string& authorization);
  Task<Result<Presented>> present();
  Task<Result<Presented>> bearer(const RegistryCredential& credential);
  Task<Result<std::string>> fetch_token(const RegistryCredential& credential,
                                        const std::string& key);
  Task<Result<void>> load_credentials();
  Result<bool> learn(const http::Response& response);
  bool next_credential();
  void forget_token(std::string_view field);
  http::Url below(http::Url base, std::string_view path) const;
  std::vector<std::string> scopes() const;
  const RegistryState::Challenge& challenge() const;
  std::string hidden(std::string text) const;

  std::shared_ptr<RegistryWorld> world_;
  std::shared_ptr<RegistryState> state_;
  Reference name_;
  RegistryPlace place_;
  std::string actions_;
  RegistryKeyring keyring_;
  std::vector<std::string> more_repositories_;
  std::optional<std::vector<RegistryCredential>> credentials_;  // Those that fit, when asked for.
  std::size_t current_ = 0;
  bool elsewhere_ = false;  // The last response is not the registry's own.
};

// What docker-credential-`helper` knows; empty: nothing.
Task<Result<RegistryCredential>> ask_credential_helper(RegistryWorld& world, std::string helper,
                                                       std::string host);

// The rest of a body that is not wanted, so that its connection can be used again; not for long.
Task<void> drain_body(Timers& timers, http::Response& response);

}  // namespace knative::oci
