// TLS of a platform's listener: whose certificate it shows, and how that stays up to date.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "knative/env.hpp"
#include "knative/platform_options.hpp"
#include "knative/tls.hpp"

namespace knative {

/// Belongs to the platform's loop. Must go before the listener that it has wrapped.
class ListenerTls {
 public:
  /// Read the files, or the platform's own authority in `directory`, which is made when there is
  /// none. Errors name the file. Blocks.
  static Result<std::unique_ptr<ListenerTls>> prepare(Env& env, const ListenTls& options,
                                                      const std::string& directory,
                                                      const Endpoint& listen,
                                                      const std::string& domain);
  /// Make a listener speak TLS, once, and from then on keep its certificates up to date.
  Result<std::unique_ptr<Listener>> wrap(std::unique_ptr<Listener> listener);
  /// The platform answers for this host: its own authority's certificate is for it, too.
  void add_host(std::string_view host);
  /// PEM text of the own authority's certificate; empty: there is none.
  std::string authority() const { return authority_ ? authority_->certificate() : std::string(); }

 private:
  ListenerTls(Env& env, const ListenTls& options, std::string domain);
  Result<void> load_files();
  Result<void> load_authority(const std::string& directory);
  Result<void> issue();
  tls::ServerOptions serving() const;
  Result<void> apply(const tls::Material& material);
  Task<void> keep_issued();

  Env& env_;
  ListenTls options_;
  std::string domain_;
  tls::Material material_;
  std::optional<tls::Authority> authority_;
  std::set<std::string> names_;  ///< Of the certificate that the own authority issues.
  WallTime renew_at_{};
  bool names_full_ = false;
  Wakeup names_changed_;
  tls::SecureListener* listener_ = nullptr;
  TaskSet tasks_;  // last: its tasks use the rest
};

}  // namespace knative
