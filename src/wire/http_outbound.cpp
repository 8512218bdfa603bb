// The client of all origins: which connections a URL needs, and what becomes of its response.
#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "knative/http_outbound.hpp"
#include "wire/http_authority.hpp"
#include "wire/http_text.hpp"

namespace knative::http {

namespace {

constexpr Duration retry_pause = std::chrono::milliseconds(50);
constexpr int challenges_max = 2;

std::string authority_of(const Url& url) {
  Url origin = url;
  origin.target = "";
  std::string text = origin.to_string();
  return text.substr(text.find("://") + 3);
}

std::string host_and_port(const Url& url) { return url.endpoint().to_string(); }

/// Makes the connections of one origin.
class OriginNetwork final : public Network {
 public:
  OriginNetwork(Network& plain, std::shared_ptr<tls::SecureNetwork> secure, Url url,
                std::shared_ptr<Client> connector, std::string proxy_authorization)
      : plain_(plain),
        secure_(std::move(secure)),
        url_(std::move(url)),
        connector_(std::move(connector)),
        proxy_authorization_(std::move(proxy_authorization)) {}

  Result<std::unique_ptr<Listener>> listen(const Endpoint&, const ListenOptions&) override {
    return fail(Errc::unimplemented, "an origin's network only connects");
  }
  Task<Result<std::unique_ptr<Stream>>> connect(Endpoint endpoint) override {
    if (url_.scheme == "http") return plain_.connect(std::move(endpoint));
    if (!connector_) return secure_->connect(std::move(endpoint));
    return connect_through();
  }

 private:
  Task<Result<std::unique_ptr<Stream>>> connect_through() {
    Request request;
    request.method = "CONNECT";
    request.target = host_and_port(url_);
    request.headers.set("Host", request.target);
    if (!proxy_authorization_.empty()) {
      request.headers.set("Proxy-Authorization", proxy_authorization_);
    }
    Result<Response> response = co_await connector_->send(request);
    if (!response) co_return std::move(response).error().within("proxy");
    if (!response->tunnel) {
      const Errc code = response->status == 407 ? Errc::failed_precondition : Errc::unavailable;
      co_return fail(code, "proxy: answers " + std::to_string(response->status) + " " +
                               std::string(reason_phrase(response->status)) + " to CONNECT " +
                               request.target);
    }
    Task<Result<std::unique_ptr<Stream>>> securing =
        secure_->secure(response->tunnel->take_stream(), url_.host);
    co_return co_await std::move(securing);
  }

  Network& plain_;
  std::shared_ptr<tls::SecureNetwork> secure_;
  Url url_;
  std::shared_ptr<Client> connector_;
  std::string proxy_authorization_;
};

struct Origin {
  Origin(Executor& executor, Timers& timers, const ClientOptions& options,
         std::unique_ptr<OriginNetwork> way, Endpoint endpoint)
      : network(std::move(way)), client(executor, timers, *network, std::move(endpoint), options) {}
  /// Nobody would notice if it were gone. `keepers`: who holds it for keeping's sake.
  bool unused() const noexcept {
    return requests == 0 && client.connections() == client.idle_connections();
  }
  std::unique_ptr<OriginNetwork> network;
  Client client;
  std::size_t requests = 0;
  std::uint64_t last_used = 0;
};

/// One more request under way, as long as it lives.
struct Count {
  explicit Count(std::size_t& of) noexcept : count(of) { ++count; }
  ~Count() { --count; }
  std::size_t& count;
};

bool redirects(int status) noexcept {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool same_origin(const Url& a, const Url& b) noexcept {
  return a.scheme == b.scheme && a.host == b.host && a.port == b.port;
}

}  // namespace

struct Outbound::Impl {
  Impl(Executor& executor_, Timers& timers_, Network& network_, OutboundOptions options_)
      : executor(executor_), timers(timers_), network(network_), options(std::move(options_)) {
    options.tls.alpn = {"http/1.1"};
  }

  Result<void> need_tls();
  std::shared_ptr<Origin> origin_of(const Url& url, const Proxies::Proxy* proxy);
  void evict();
  Task<Result<Response>> exchange(const Url& url, Request& request);
  Task<Result<Response>> attempt(const Url& url, Request& request, bool repeatable);

  Executor& executor;
  Timers& timers;
  Network& network;
  std::shared_ptr<tls::SecureNetwork> secure;
  OutboundOptions options;
  std::map<std::string, std::shared_ptr<Origin>, std::less<>> origins;
  std::map<std::string, std::shared_ptr<Client>, std::less<>> connectors;  ///< To proxies.
  std::size_t requests = 0;
  std::uint64_t uses = 0;
};

// ---------------------------------------------------------------------------- origins

/// The system's trust is not for nothing: read when it is needed first.
Result<void> Outbound::Impl::need_tls() {
  if (secure) return {};
  Result<std::unique_ptr<tls::SecureNetwork>> wrapped =
      tls::wrap(executor, timers, network, options.tls);
  if (!wrapped) return std::move(wrapped).error().within("tls");
  secure = *std::move(wrapped);
  return {};
}

std::shared_ptr<Origin> Outbound::Impl::origin_of(const Url& url, const Proxies::Proxy* proxy) {
  std::string key = url.scheme + "://" + host_and_port(url);
  const auto found = origins.find(key);
  if (found != origins.end()) {
    found->second->last_used = ++uses;
    return found->second;
  }
  evict();
  std::shared_ptr<Client> connector;
  Endpoint endpoint = url.endpoint();
  if (proxy != nullptr && url.scheme == "http") endpoint = proxy->endpoint;
  if (proxy != nullptr && url.scheme == "https") {
    std::shared_ptr<Client>& kept = connectors[proxy->endpoint.to_string()];
    if (!kept) {
      kept = std::make_shared<Client>(executor, timers, network, proxy->endpoint, options.client);
    }
    connector = kept;
  }
  auto way = std::make_unique<OriginNetwork>(network, secure, url, std::move(connector),
                                             proxy != nullptr ? proxy->authorization : "");
  auto origin = std::make_shared<Origin>(executor, timers, options.client, std::move(way),
                                         std::move(endpoint));
  origin->last_used = ++uses;
  origins.emplace(std::move(key), origin);
  return origin;
}

/// Make room for one more by dropping the one that was not used for the longest time. Those in use
/// stay, however many: they are bounded by the requests.
void Outbound::Impl::evict() {
  while (origins.size() >= options.origins_max) {
    auto oldest = origins.end();
    for (auto at = origins.begin(); at != origins.end(); ++at) {
      if (!at->second->unused()) continue;
      if (oldest == origins.end() || at->second->last_used < oldest->second->last_used) oldest = at;
    }
    if (oldest == origins.end()) return;
    origins.erase(oldest);
  }
}

// ---------------------------------------------------------------------------- one hop

/// One request to one origin.
Task<Result<Response>> Outbound::Impl::exchange(const Url& url, Request& request) {
  if (url.scheme == "https") {
    const Result<void> ready = need_tls();
    if (!ready) co_return ready.error();
  }
  const Proxies::Proxy* proxy = options.proxies.proxy_for(url);
  const std::shared_ptr<Origin> origin = origin_of(url, proxy);
  if (origin->requests >= options.requests_per_origin_max) {
    co_return fail(Errc::resource_exhausted,
                   url.host + ": " + std::to_string(origin->requests) + " requests are under way");
  }
  const Count counted(origin->requests);
  const bool whole = proxy != nullptr && url.scheme == "http";
  request.target = whole ? url.to_string() : url.target;
  request.headers.set("Host", authority_of(url));
  request.headers.remove("Proxy-Authorization");
  if (whole && !proxy->authorization.empty()) {
    request.headers.set("Proxy-Authorization", proxy->authorization);
  }
  Result<Response> response = co_await origin->client.send(request);
  request.headers.remove("Proxy-Authorization");
  co_return response;
}

/// `exchange`, again when that is safe and may help.
Task<Result<Response>> Outbound::Impl::attempt(const Url& url, Request& request, bool repeatable) {
  for (int attempt = 1;; ++attempt) {
    Result<Response> response = co_await exchange(url, request);
    if (response || !repeatable || attempt >= options.attempts_max ||
        response.error().code != Errc::unavailable) {
      co_return response;
    }
    co_await timers.sleep_for(retry_pause * attempt);
  }
}

// ---------------------------------------------------------------------------- whole requests

namespace {

/// What a request goes through until its response is final.
class Journey {
 public:
  Journey(const Url& url, Request& request, const OutboundOptions& options) noexcept
      : url_(url), request_(request), options_(options), in_memory_(!request.body.streamed()) {}

  const Url& url() const noexcept { return url_; }
  bool repeatable() const noexcept { return in_memory_ && wire::idempotent(request_.method); }
  bool can_send_again() const noexcept { return in_memory_; }

  /// Make the request the one that `response` leads to. False: `response` is final.
  Result<bool> follow(const Response& response) {
    const std::optional<std::string_view> location = response.headers.get("Location");
    if (!redirects(response.status) || !location) return false;
    const bool to_get =
        (response.status == 303 && request_.method != "HEAD") ||
        ((response.status == 301 || response.status == 302) && request_.method == "POST");
    if (!to_get && !in_memory_) return false;
    Result<Url> next = wire::resolve(url_, *location);
    if (!next) return std::move(next).error().within("redirect from " + url_.shown());
    if (url_.scheme == "https" && next->scheme != "https") {
      return fail(Errc::failed_precondition, "redirect from " + url_.shown() + " to " +
                                                 next->shown() + ": https does not lead to http");
    }
    visited_.insert(request_.method + " " + url_.to_string());
    if (to_get) become_get();
    if (!same_origin(url_, *next)) {
      request_.headers.remove("Authorization");
      request_.headers.remove("Cookie");
    }
    url_ = *std::move(next);
    if (visited_.contains(request_.method + " " + url_.to_string())) {
      return fail(Errc::failed_precondition, "redirects go round at " + url_.shown());
    }
    if (static_cast<int>(visited_.size()) > options_.redirects_max) {
      return fail(Errc::failed_precondition, "more than " + std::to_string(options_.redirects_max) +
                                                 " redirects, the last one to " + url_.shown());
    }
    return true;
  }

 private:
  void become_get() {
    request_.method = "GET";
    request_.body = Body();
    in_memory_ = true;
    for (const std::string_view name : {"Content-Type", "Content-Encoding", "Content-Language",
                                        "Content-Location", "Content-Length", "Digest", "Expect"}) {
      request_.headers.remove(name);
    }
  }

  Url url_;
  Request& request_;
  const OutboundOptions& options_;
  bool in_memory_;
  std::set<std::string> visited_;
};

/// The Authorization fields of one hop.
class Access {
 public:
  Access(Authorizer* authorizer, const Request& request) noexcept
      : authorizer_(request.headers.has("Authorization") ? nullptr : authorizer) {}
  bool may_ask() const noexcept { return authorizer_ != nullptr && asked_ <= challenges_max; }
  /// True when the request got another field than it had.
  Task<Result<bool>> ask(const Url& url, Request& request, const std::vector<Challenge>& why) {
    ++asked_;
    Result<std::string> field = co_await authorizer_->authorize(url, why);
    if (!field) co_return std::move(field).error().within("credentials for " + url.host);
    if (field->empty()) co_return false;
    const bool other = request.headers.get("Authorization").value_or("") != *field;
    request.headers.set("Authorization", *field);
    co_return other;
  }

 private:
  Authorizer* authorizer_;
  int asked_ = 0;
};

}  // namespace

Task<Result<Response>> Outbound::send(const Url& url, Request& request, SendOptions options) {
  const std::shared_ptr<Impl> impl = impl_;
  if (impl->requests >= impl->options.requests_max) {
    co_return fail(Errc::resource_exhausted,
                   std::to_string(impl->requests) + " requests are under way");
  }
  const Count counted(impl->requests);
  const std::vector<Challenge> unasked;
  Journey journey(url, request, impl->options);
  for (;;) {
    Access access(options.authorizer, request);
    if (access.may_ask()) {
      Result<bool> known = co_await access.ask(journey.url(), request, unasked);
      if (!known) co_return std::move(known).error();
    }
    Result<Response> response =
        co_await impl->attempt(journey.url(), request, journey.repeatable());
    while (response && response->status == 401 && access.may_ask() && journey.can_send_again()) {
      const std::vector<Challenge> challenges = parse_challenges(response->headers);
      Result<bool> other = co_await access.ask(journey.url(), request, challenges);
      if (!other) co_return std::move(other).error();
      if (!*other) break;
      response = co_await impl->attempt(journey.url(), request, journey.repeatable());
    }
    if (options.arrived != nullptr) *options.arrived = journey.url();
    if (!response || !options.redirects) co_return response;
    Result<bool> onward = journey.follow(*response);
    if (!onward) co_return std::move(onward).error();
    if (!*onward) co_return response;
  }
}

// ---------------------------------------------------------------------------- the client

Outbound::Outbound(Executor& executor, Timers& timers, Network& network, OutboundOptions options)
    : impl_(std::make_shared<Impl>(executor, timers, network, std::move(options))) {}

Outbound::~Outbound() = default;

Result<void> Outbound::reload(tls::ClientOptions options) {
  options.alpn = impl_->options.tls.alpn;
  if (impl_->secure) {
    if (Result<void> reloaded = impl_->secure->reload(options); !reloaded) return reloaded;
  }
  impl_->options.tls = std::move(options);
  return {};
}

std::size_t Outbound::origins() const noexcept { return impl_->origins.size(); }

std::size_t Outbound::connections() const noexcept {
  std::size_t count = 0;
  for (const auto& [key, origin] : impl_->origins) count += origin->client.connections();
  for (const auto& [key, connector] : impl_->connectors) count += connector->connections();
  return count;
}

}  // namespace knative::http
