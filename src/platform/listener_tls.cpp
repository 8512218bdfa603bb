#include "platform/listener_tls.hpp"

#include <algorithm>
#include <utility>

#include "base/file_tree.hpp"
#include "base/wait_for.hpp"

namespace knative {

namespace {

constexpr unsigned private_mode = 0600;
constexpr unsigned private_directory_mode = 0700;
/// Of one certificate. A host below the domain costs none, but its namespace does.
constexpr std::size_t names_max = 1'000;
constexpr Duration lifetime = std::chrono::hours(24 * 90);
constexpr Duration renew_after = std::chrono::hours(24 * 60);
/// Between two looks at the clock, which people set and which goes on while machines sleep.
constexpr Duration look_interval = std::chrono::hours(1);
constexpr Duration retry_delay = std::chrono::minutes(1);

bool any_address(std::string_view host) { return host == "0.0.0.0" || host == "::"; }

Result<std::string> read_if_there(Files& files, const std::string& path) {
  Result<std::string> text = files.read_file(path);
  if (!text && text.error().code == Errc::not_found) return std::string();
  return text;
}

}  // namespace

ListenerTls::ListenerTls(Env& env, const ListenTls& options, std::string domain)
    : env_(env), options_(options), domain_(std::move(domain)), tasks_(env.executor) {}

Result<std::unique_ptr<ListenerTls>> ListenerTls::prepare(Env& env, const ListenTls& options,
                                                          const std::string& directory,
                                                          const Endpoint& listen,
                                                          const std::string& domain) {
  std::unique_ptr<ListenerTls> made(new ListenerTls(env, options, domain));
  if (options.follow.interval <= Duration(0)) {
    return fail(Errc::invalid_argument, "follow.interval: it is not positive");
  }
  if (Result<void> loaded = made->load_files(); !loaded) return loaded.error();
  if (!made->material_.identity) {
    made->names_ = {"localhost", "127.0.0.1", "::1", domain};
    if (listen.path.empty() && !any_address(listen.host)) made->names_.insert(listen.host);
    Result<void> loaded = made->load_authority(directory);
    if (loaded) loaded = made->issue();
    if (!loaded) return loaded.error();
  }
  return made;
}

Result<void> ListenerTls::load_files() {
  Result<tls::Material> loaded = tls::load(env_.files, options_.files);
  if (!loaded) return loaded.error();
  material_ = std::move(*loaded);
  return {};
}

/// Certificate and key lie side by side: one is to be given away, the other never.
Result<void> ListenerTls::load_authority(const std::string& directory) {
  const std::string certificate = directory + "/authority.pem";
  const std::string key = directory + "/authority.key";
  Files& files = env_.files;
  Result<void> made = files.make_directories(directory);
  if (made) made = files.set_mode(directory, private_directory_mode);
  if (!made) return made;
  Result<std::string> kept = read_if_there(files, certificate);
  if (!kept) return kept.error();
  Result<std::string> kept_key = read_if_there(files, key);
  if (!kept_key) return kept_key.error();
  // Of a start that was cut short there may be a key alone; nobody trusts it yet.
  if (!kept->empty()) {
    Result<tls::Authority> authority =
        tls::Authority::from({std::move(*kept), std::move(*kept_key)});
    if (!authority) return authority.error().within(certificate + ", " + key);
    authority_ = std::move(*authority);
    return {};
  }
  tls::AuthorityOptions wanted;
  wanted.key_type = options_.key_type;
  Result<tls::Authority> authority = tls::Authority::create(wanted, env_.timers.wall());
  if (!authority) return authority.error();
  authority_ = std::move(*authority);
  made = files.write_file(key, authority_->identity().private_key, private_mode);
  if (made) made = files.write_file(certificate, authority_->certificate());
  // Who trusts it does so for long: it survives as the objects do.
  if (made) made = files.sync_directory(base::parent_of(directory));
  return made;
}

Result<void> ListenerTls::issue() {
  tls::LeafOptions leaf;
  leaf.names.assign(names_.begin(), names_.end());
  leaf.common_name = "knative";
  leaf.key_type = options_.key_type;
  leaf.lifetime = lifetime;
  const WallTime now = env_.timers.wall();
  Result<tls::Identity> issued = authority_->issue(leaf, now);
  if (!issued) return issued.error();
  material_.identity = std::move(*issued);
  renew_at_ = now + renew_after;
  return {};
}

tls::ServerOptions ListenerTls::serving() const {
  tls::ServerOptions options;
  options.identities = {*material_.identity};
  options.alpn = {"http/1.1"};
  if (!material_.trusted.empty()) {
    options.client_certificates = tls::ClientCertificates::required;
    options.client_trust.certificates = material_.trusted;
  }
  return options;
}

Result<std::unique_ptr<Listener>> ListenerTls::wrap(std::unique_ptr<Listener> listener) {
  Result<std::unique_ptr<tls::SecureListener>> wrapped =
      tls::wrap(env_.executor, env_.timers, env_.logger, std::move(listener), serving());
  if (!wrapped) {
    const std::string& file = options_.files.certificates;
    return file.empty() ? wrapped.error() : wrapped.error().within(file);
  }
  listener_ = wrapped->get();
  if (authority_) tasks_.add(keep_issued());
  const tls::Paths& files = options_.files;
  if (!files.certificates.empty() || !files.trusted.empty()) {
    tls::Material current = material_;
    if (authority_) current.identity.reset();
    tasks_.add(tls::follow(
        env_.timers, env_.files, env_.disk, env_.logger, files, std::move(current),
        [this](const tls::Material& material) { return apply(material); }, options_.follow));
  }
  return std::unique_ptr<Listener>(std::move(*wrapped));
}

/// What the files say now; the identity is ours when none of them is one.
Result<void> ListenerTls::apply(const tls::Material& material) {
  tls::Material before = material_;
  if (material.identity) material_.identity = material.identity;
  material_.trusted = material.trusted;
  Result<void> reloaded = listener_->reload(serving());
  if (!reloaded) material_ = std::move(before);
  return reloaded;
}

void ListenerTls::add_host(std::string_view host) {
  if (!authority_ || !host.ends_with(domain_) || host.size() <= domain_.size() + 1) return;
  const std::string_view above = host.substr(host.find('.') + 1);
  if (host[host.size() - domain_.size() - 1] != '.') return;
  std::string name = above == domain_ ? std::string(host) : "*." + std::string(above);
  if (names_.contains(name)) return;
  if (names_.size() >= names_max) {
    if (!std::exchange(names_full_, true)) {
      env_.logger.log(LogLevel::warning, "tls", "the certificate has no room for more names",
                      {{"first left out", name}});
    }
    return;
  }
  names_.insert(std::move(name));
  names_changed_.set();
}

/// One new certificate for all names that came in one turn, and one in good time before its end.
Task<void> ListenerTls::keep_issued() {
  for (;;) {
    Task<void> change = base::wait_for(names_changed_);
    co_await with_deadline(env_.timers, std::move(change), env_.timers.now() + look_interval);
    const Duration left = renew_at_ - env_.timers.wall();
    const bool in_time = left > Duration(0) && left <= renew_after;  // of a clock that was set back
    if (in_time && !names_changed_.is_set()) continue;
    names_changed_.reset();
    Result<void> done = issue();
    if (done) done = listener_->reload(serving());
    if (done) continue;
    env_.logger.log(LogLevel::error, "tls", "no new certificate",
                    {{"error", done.error().to_string()}});
    co_await env_.timers.sleep_for(retry_delay);
    names_changed_.set();  // whatever it was for, it is tried again
  }
}

}  // namespace knative
