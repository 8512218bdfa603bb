#include "engines/registry/registry_access.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "engines/registry/registry_text.hpp"
#include "wire/http_authority.hpp"

namespace knative::oci {

namespace {

constexpr std::size_t registries_max = 256;
constexpr std::size_t seen_blobs_max = 4096;
constexpr std::size_t tokens_max = 256;
constexpr std::size_t challenges_max = 1024;
constexpr std::size_t refusal_bytes_max = 64 << 10;
constexpr std::size_t token_answer_bytes_max = 256 << 10;
constexpr Duration drain_time = std::chrono::seconds(2);
constexpr std::size_t secret_bytes_min = 4;
constexpr std::string_view user_agent = "knative";

bool same_place(const http::Url& a, const http::Url& b) noexcept {
  return a.scheme == b.scheme && a.host == b.host && a.port == b.port;
}

bool may_pass(const Error& error) noexcept {
  return error.code == Errc::unavailable || error.code == Errc::deadline_exceeded;
}

bool may_pass(int status) noexcept {
  return status == 408 || status == 429 || (status >= 500 && status != 501 && status != 505);
}

std::string status_text(int status) {
  const std::string_view reason = http::reason_phrase(status);
  return std::to_string(status) + (reason.empty() ? "" : " " + std::string(reason));
}

Errc condition(int status, const RegistryErrors& errors) {
  if (errors.first_code == "TOOMANYREQUESTS") return Errc::resource_exhausted;
  if (errors.first_code == "UNSUPPORTED" || status == 405) return Errc::unimplemented;
  // Some registries do not tell strangers whether there is such a repository.
  if (status >= 500 && status != 501 && status != 507) return Errc::unavailable;
  return status >= 400 ? http::condition_of(status) : Errc::unavailable;
}

// The token is asked for with these fields; the realm's own query comes before them.
http::Url with_query(http::Url url, const std::string& fields) {
  url.target += (url.target.find('?') == std::string::npos ? '?' : '&') + fields;
  return url;
}

}  // namespace

Task<void> drain_body(Timers& timers, http::Response& response) {
  auto reading =
      with_deadline(timers, response.body.read_all(refusal_bytes_max), timers.now() + drain_time);
  (void)co_await std::move(reading);
}

// ---------------------------------------------------------------------------- the world

const RegistryHost* RegistryWorld::host_options(const std::string& host) const {
  for (const auto& [name, options_of] : options.hosts) {
    if (canonical_registry(name) == host) return &options_of;
  }
  return nullptr;
}

Result<std::shared_ptr<RegistryState>> RegistryWorld::registry(const std::string& host) {
  const auto known = registries.find(host);
  if (known != registries.end()) return known->second;
  const RegistryHost* how = host_options(host);
  const std::string_view reached =
      host == default_registry_name ? default_registry_host : std::string_view(host);
  const bool plain = how != nullptr && how->plain_http;
  Result<http::Url> base =
      http::Url::parse((plain ? "http://" : "https://") + std::string(reached));
  if (!base) return std::move(base).error().within("registry \"" + host + "\"");
  auto state = std::make_shared<RegistryState>();
  state->base = *std::move(base);
  state->undecided = !plain && state->base.endpoint().is_loopback();
  state->outbound = how != nullptr && how->outbound != nullptr ? how->outbound : &outbound;
  if (registries.size() >= registries_max) registries.erase(registries.begin());
  registries.emplace(host, state);
  return state;
}

void RegistryWorld::remember(const Digest& blob, const RegistryPlace& where) {
  if (seen.size() >= seen_blobs_max) seen.erase(seen.begin());
  seen.insert_or_assign(blob, where);
}

// ---------------------------------------------------------------------------- one repository

RepositoryAccess::RepositoryAccess(std::shared_ptr<RegistryWorld> world,
                                   std::shared_ptr<RegistryState> state, Reference name,
                                   std::string actions, RegistryKeyring credentials,
                                   std::vector<std::string> more_repositories)
    : world_(std::move(world)),
      state_(std::move(state)),
      name_(std::move(name)),
      place_(place_of(name_)),
      actions_(std::move(actions)),
      keyring_(std::move(credentials)),
      more_repositories_(std::move(more_repositories)) {}

http::Url RepositoryAccess::below(http::Url base, std::string_view path) const {
  base.target = "/v2/" + place_.repository + std::string(path);
  return base;
}

http::Url RepositoryAccess::url(std::string_view path) const { return below(state_->base, path); }

Result<http::Url> RepositoryAccess::location(std::string_view reference,
                                             const http::Url& base) const {
  Result<http::Url> url = http::wire::resolve(base, reference);
  if (!url) return std::move(url).error().within("Location");
  if (base.scheme == "https" && url->scheme != "https") {
    return fail(Errc::failed_precondition, "Location leads from https to http");
  }
  return url;
}

Duration RepositoryAccess::pause_after(int failures) {
  const RegistryClientOptions& options = world_->options;
  const int doublings = std::min(failures - 1, 16);
  const Duration pause =
      std::min<Duration>(options.retry_pause * (1 << doublings), options.retry_pause_max);
  const double spread = 0.5 + world_->random.uniform() / 2;
  return Duration(static_cast<std::int64_t>(static_cast<double>(pause.count()) * spread));
}

Task<Result<http::Response>> RepositoryAccess::send(const RegistryCall& call) {
  const RegistryClientOptions& options = world_->options;
  for (int failures = 1;; ++failures) {
    Task<Result<http::Response>> sending = authorized(call);
    Result<http::Response> response = co_await std::move(sending);
    const bool passing = response ? may_pass(response->status) : may_pass(response.error());
    if (!passing || call.once || failures >= options.attempts_max) co_return response;
    Duration pause = pause_after(failures);
    if (response) {
      const std::optional<Duration> wanted =
          read_retry_after(response->headers, world_->timers.wall());
      if (wanted && *wanted > options.retry_after_max) co_return response;
      if (wanted) pause = std::max(pause, *wanted);
      co_await drain_body(world_->timers, *response);
    }
    response = fail(Errc::internal, "");  // its connection is not held meanwhile
    co_await world_->timers.sleep_for(pause);
  }
}

Task<Result<http::Response>> RepositoryAccess::authorized(const RegistryCall& call) {
  for (bool again = false;;) {
    Task<Result<Presented>> presenting = present();
    Result<Presented> presented = co_await std::move(presenting);
    if (!presented) {
      if (presented.error().code == Errc::failed_precondition && next_credential()) continue;
      co_return std::move(presented).error();
    }
    Task<Result<http::Response>> exchanging = exchange(call, presented->field);
    Result<http::Response> response = co_await std::move(exchanging);
    if (!response || elsewhere_) co_return response;
    if (response->status == 401) {
      forget_token(presented->field);
      Result<bool> taught = learn(*response);
      if (!taught) co_return std::move(taught).error();
      // What was made for this very request, or after the first refusal, is not good enough.
      const bool useless = presented->fresh || (again && !presented->field.empty());
      if (useless ? !next_credential() : again && !*taught) co_return response;
      again = !useless;
    } else if (response->status != 403 || presented->field.empty() || !next_credential()) {
      co_return response;
    } else {
      again = false;
    }
    co_await drain_body(world_->timers, *response);
  }
}

Task<Result<http::Response>> RepositoryAccess::exchange_at(const http::Url& url,
                                                           const RegistryCall& call,
                                                           const std::string& authorization) {
  http::Request request;
  request.method = call.method;
  request.headers = call.headers;
  request.headers.set("User-Agent", user_agent);
  const bool ours = state_->undecided || same_place(url, state_->base);
  if (!authorization.empty() && ours) request.headers.set("Authorization", authorization);
  if (call.body) request.body = call.body();
  http::Url arrived = url;
  http::SendOptions how;
  how.arrived = &arrived;
  Result<http::Response> response = co_await state_->outbound->send(url, request, how);
  elsewhere_ = !ours || !same_place(url, arrived);
  co_return response;
}

// On this machine a registry is asked in http first; one that speaks https answers 400, or with
// what is no HTTP.
Task<Result<http::Response>> RepositoryAccess::exchange(const RegistryCall& call,
                                                        const std::string& authorization) {
  if (!state_->undecided) {
    const http::Url where = call.url ? *call.url : url(call.path);
    Task<Result<http::Response>> sending = exchange_at(where, call, authorization);
    co_return co_await std::move(sending);
  }
  http::Url plain = state_->base;
  plain.scheme = "http";
  if (plain.port == 443) plain.port = 80;
  const http::Url first = below(plain, call.path);
  Task<Result<http::Response>> trying = exchange_at(first, call, authorization);
  Result<http::Response> response = co_await std::move(trying);
  if (response && response->status != 400) {
    if (std::exchange(state_->undecided, false)) state_->base = plain;
    co_return response;
  }
  const http::Url second = below(state_->base, call.path);
  Task<Result<http::Response>> retrying = exchange_at(second, call, authorization);
  Result<http::Response> other = co_await std::move(retrying);
  if (other) state_->undecided = false;
  if (other || other.error().code == Errc::failed_precondition) co_return other;
  co_return response;
}

// ---------------------------------------------------------------------------- who we are

std::vector<std::string> RepositoryAccess::scopes() const {
  std::vector<std::string> all{"repository:" + place_.repository + ":" + actions_};
  for (const std::string& other : more_repositories_) {
    all.push_back("repository:" + other + ":pull");
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

Task<Result<void>> RepositoryAccess::load_credentials() {
  std::vector<RegistryCredential> found = keyring_.find(name_);
  const RegistryKeyring& own = world_->options.credentials;
  const std::string helper = found.empty() ? own.helper(name_) : "";
  if (!helper.empty()) {
    Task<Result<RegistryCredential>> asking = ask_credential_helper(*world_, helper, place_.host);
    Result<RegistryCredential> known = co_await std::move(asking);
    if (!known) co_return std::move(known).error();
    if (!known->empty()) found.push_back(*std::move(known));
  }
  if (found.empty()) found = own.find(name_);
  if (found.empty()) found.emplace_back();  // anonymous
  credentials_ = std::move(found);
  co_return Result<void>();
}

bool RepositoryAccess::next_credential() {
  if (!credentials_ || current_ + 1 >= credentials_->size()) return false;
  ++current_;
  return true;
}

const RegistryState::Challenge& RepositoryAccess::challenge() const {
  static const RegistryState::Challenge none;
  const auto known = state_->challenges.find(place_.repository);
  return known == state_->challenges.end() ? none : known->second;
}

Task<Result<RepositoryAccess::Presented>> RepositoryAccess::present() {
  using Scheme = RegistryState::Challenge::Scheme;
  if (challenge().scheme == Scheme::none) co_return Presented{};
  if (!credentials_) {
    Task<Result<void>> loading = load_credentials();
    Result<void> loaded = co_await std::move(loading);
    if (!loaded) co_return std::move(loaded).error();
  }
  const RegistryCredential credential = (*credentials_)[current_];
  Presented presented;
  if (!credential.registry_token.empty()) {
    presented = {http::bearer_authorization(credential.registry_token), true};
  } else if (challenge().scheme == Scheme::bearer) {
    Task<Result<Presented>> asking = bearer(credential);
    co_return co_await std::move(asking);
  } else if (!credential.user.empty() || !credential.password.empty()) {
    presented = {http::basic_authorization(credential.user, credential.password), true};
  }
  co_return presented;
}

Task<Result<RepositoryAccess::Presented>> RepositoryAccess::bearer(
    const RegistryCredential& credential) {
  // Whose token it is, without keeping the secret as a key.
  std::string key = credential.user + '\n' + credential.password + '\n' + credential.identity_token;
  const RegistryState::Challenge asks = challenge();
  key = Digest::of(key).to_string() + '\n' + asks.realm.to_string() + '\n' + asks.service;
  for (const std::string& scope : scopes()) key += '\n' + scope;
  const auto cached = state_->tokens.find(key);
  if (cached != state_->tokens.end() && cached->second.refresh_at > world_->timers.now()) {
    co_return Presented{http::bearer_authorization(cached->second.text), false};
  }
  Task<Result<std::string>> fetching = fetch_token(credential, key);
  Result<std::string> token = co_await std::move(fetching);
  if (!token) co_return std::move(token).error();
  co_return Presented{http::bearer_authorization(*token), true};
}

// RFC 6749 section 6 for identity tokens, else the token protocol of the distribution project.
Task<Result<std::string>> RepositoryAccess::fetch_token(const RegistryCredential& credential,
                                                        const std::string& key) {
  std::vector<std::pair<std::string, std::string>> fields;
  const RegistryState::Challenge asks = challenge();  // another call may learn of a new one
  if (!asks.service.empty()) fields.emplace_back("service", asks.service);
  const bool exchange_identity = !credential.identity_token.empty();
  std::string joined;
  for (const std::string& scope : scopes()) {
    if (!exchange_identity) fields.emplace_back("scope", scope);
    joined += (joined.empty() ? "" : " ") + scope;
  }
  http::Url where = asks.realm;
  std::string form;
  if (exchange_identity) {
    fields.insert(fields.end(), {{"grant_type", "refresh_token"},
                                 {"client_id", "knative"},
                                 {"scope", joined},
                                 {"refresh_token", credential.identity_token}});
    form = form_text(fields);
  } else {
    where = with_query(std::move(where), form_text(fields));
  }
  const std::string service = "token service " + where.host;
  const int attempts_max = world_->options.attempts_max;
  for (int failures = 1;; ++failures) {
    const Instant asked = world_->timers.now();
    http::Request request = exchange_identity
                                ? http::post("/", form, "application/x-www-form-urlencoded")
                                : http::get("/");
    request.headers.set("User-Agent", user_agent);
    if (!exchange_identity && !credential.user.empty()) {
      request.headers.set("Authorization",
                          http::basic_authorization(credential.user, credential.password));
    }
    http::SendOptions how;
    how.redirects = !exchange_identity;  // a form with a secret goes where it was meant to go
    Result<http::Response> response = co_await state_->outbound->send(where, request, how);
    std::optional<Duration> wanted;
    if (response) {
      Result<void> read = co_await response->body.read_all(token_answer_bytes_max);
      if (!read) co_return std::move(read).error().within(service);
      if (response->status == 200) {
        Result<GrantedToken> granted = read_granted_token(response->body.bytes());
        if (!granted) co_return std::move(granted).error().within(service);
        if (state_->tokens.size() >= tokens_max) state_->tokens.erase(state_->tokens.begin());
        // A tenth before its end, for clocks and ways that differ.
        state_->tokens[key] = {granted->token, asked + granted->lifetime * 9 / 10};
        co_return std::move(granted->token);
      }
      wanted = read_retry_after(response->headers, world_->timers.wall());
    }
    const bool passing = response ? may_pass(response->status) : may_pass(response.error());
    const bool too_long = wanted && *wanted > world_->options.retry_after_max;
    if (!passing || too_long || failures >= attempts_max) {
      if (!response) co_return std::move(response).error().within(service);
      const RegistryErrors errors = read_registry_errors(response->body.bytes());
      std::string said = status_text(response->status);
      if (!errors.text.empty()) said += " " + errors.text;
      // 400 is what OAuth2 says of a grant that it does not take.
      const int status = response->status == 400 ? 401 : response->status;
      const Error error = fail(condition(status, errors), service + ": " + said);
      co_return fail(error.code, hidden(error.detail));
    }
    const Duration pause = std::max(pause_after(failures), wanted.value_or(Duration::zero()));
    co_await world_->timers.sleep_for(pause);
  }
}

void RepositoryAccess::forget_token(std::string_view field) {
  std::erase_if(state_->tokens,
                [field](const auto& entry) { return field.ends_with(entry.second.text); });
}

// What a 401 asks for. True when that is something new.
Result<bool> RepositoryAccess::learn(const http::Response& response) {
  using Challenge = RegistryState::Challenge;
  const std::vector<http::Challenge> challenges = http::parse_challenges(response.headers);
  const http::Challenge* chosen = nullptr;
  for (const http::Challenge& challenge : challenges) {
    const bool bearer = challenge.scheme == "bearer" && challenge.parameters.contains("realm");
    if (bearer || (challenge.scheme == "basic" && chosen == nullptr)) chosen = &challenge;
    if (bearer) break;
  }
  if (chosen == nullptr) return false;
  if (state_->challenges.size() >= challenges_max &&
      !state_->challenges.contains(place_.repository)) {
    state_->challenges.clear();
  }
  Challenge& known = state_->challenges[place_.repository];
  if (chosen->scheme == "basic") {
    return std::exchange(known, {.scheme = Challenge::Scheme::basic}).scheme !=
           Challenge::Scheme::basic;
  }
  Result<http::Url> realm = http::Url::parse(chosen->parameters.at("realm"));
  if (!realm) {
    return fail(Errc::invalid_argument,
                "registry " + place_.host + ": the realm of its challenge is no URL");
  }
  // Secrets go in clear text to this machine, and to those that are named for it.
  const bool named = world_->host_options(realm->endpoint().to_string()) != nullptr &&
                     world_->host_options(realm->endpoint().to_string())->plain_http;
  const bool local = realm->endpoint().is_loopback() && state_->base.endpoint().is_loopback();
  const bool same_host = state_->base.scheme == "http" && realm->host == state_->base.host;
  if (realm->scheme != "https" && !named && !local && !same_host) {
    return fail(Errc::failed_precondition, "registry " + place_.host + ": its token service " +
                                               realm->shown() + " does not speak https");
  }
  const auto service = chosen->parameters.find("service");
  const std::string served = service == chosen->parameters.end() ? "" : service->second;
  const Challenge asks{Challenge::Scheme::bearer, *std::move(realm), served};
  return std::exchange(known, asks) != asks;
}

// ---------------------------------------------------------------------------- what is said

// A registry may say back what it was told.
std::string RepositoryAccess::hidden(std::string text) const {
  std::vector<std::string> secrets;
  for (const RegistryCredential& one : credentials_.value_or(std::vector<RegistryCredential>())) {
    const std::string pair = base::to_base64(one.user + ":" + one.password);
    for (const std::string& secret : {one.password, one.identity_token, one.registry_token, pair}) {
      secrets.push_back(secret);
    }
  }
  for (const auto& [key, token] : state_->tokens) secrets.push_back(token.text);
  for (const std::string& secret : secrets) {
    if (secret.size() < secret_bytes_min) continue;
    for (std::size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at)) {
      text.replace(at, secret.size(), "[redacted]");
    }
  }
  return text;
}

Error RepositoryAccess::failed(std::string_view what, const Error& error) const {
  return fail(error.code, "registry " + place_.host + ": repository " + place_.repository + ": " +
                              std::string(what) + ": " + hidden(error.detail));
}

Task<Error> RepositoryAccess::refused(std::string what, http::Response& response) {
  co_await drain_body(world_->timers, response);
  const RegistryErrors errors = read_registry_errors(response.body.bytes());
  std::string said = status_text(response.status);
  if (elsewhere_) said += " from where the registry leads";
  if (!errors.text.empty()) said += " " + errors.text;
  if (response.status == 401 && credentials_ && credentials_->front().empty()) {
    said += "; there are no credentials for it";
  }
  const std::optional<Duration> wanted = read_retry_after(response.headers, world_->timers.wall());
  if (wanted && may_pass(response.status)) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*wanted).count();
    said += "; to be tried again in " + std::to_string(seconds) + " s";
  }
  co_return failed(what, fail(condition(response.status, errors), std::move(said)));
}

}  // namespace knative::oci
