#include "extensions/containers/image_source.hpp"

#include <algorithm>
#include <utility>

#include "knative/core.hpp"
#include "knative/registry_server.hpp"

namespace knative {

namespace {

constexpr std::string_view hub = "docker.io";
constexpr Duration refusal_pause_min = std::chrono::seconds(1);
constexpr Duration refusal_pause_max = std::chrono::minutes(1);
constexpr Duration appearance_pause = std::chrono::milliseconds(200);
constexpr std::size_t refusals_max = 1000;

std::string policy_of(const ContainerSpec& spec, const oci::Reference& name) {
  if (!spec.image_pull.policy.empty()) return spec.image_pull.policy;
  // As Kubernetes defaults it, but "latest" of the own store needs no registry, either way.
  return name.digest.empty() && name.tag == "latest" ? "Always" : "IfNotPresent";
}

oci::Reference by_digest(const oci::Reference& name, const oci::Digest& digest) {
  return {.repository = name.repository, .tag = {}, .digest = digest};
}

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

std::string registry_of(const oci::Reference& name) {
  return std::string(name.registry().empty() ? hub : name.registry());
}

bool not_reached(const Error& error) {
  return error.code == Errc::unavailable || error.code == Errc::deadline_exceeded;
}

Result<oci::RegistryKeyring> keyring_of(const core::Secret& secret) {
  const auto value = [&secret](const std::string& key) -> std::string {
    const auto found = secret.data.find(key);
    return found == secret.data.end() ? std::string() : found->second.bytes;
  };
  if (secret.type == "kubernetes.io/dockercfg") {
    return oci::RegistryKeyring::parse_dockercfg(value(".dockercfg"));
  }
  if (secret.type == "kubernetes.io/dockerconfigjson") {
    return oci::RegistryKeyring::parse_docker_config(value(".dockerconfigjson"));
  }
  return fail(Errc::invalid_argument, "its type " + quoted(secret.type) + " is none for images");
}

}  // namespace

/// Ends a pull's turn, also when its task is dropped.
struct ImageSource::Turn {
  std::map<oci::Reference, std::shared_ptr<Wakeup>>& pulling;
  oci::Reference name;
  ~Turn() {
    const auto at = pulling.find(name);
    const std::shared_ptr<Wakeup> finished = std::move(at->second);
    pulling.erase(at);
    finished->set();
  }
};

ImageSource::ImageSource(std::shared_ptr<oci::ImageStore> store, oci::RegistryClient* registry,
                         ImageHolds& holds, oci::UnpackCache& cache, const Client& objects,
                         Env& env, ImageSourceOptions options)
    : store_(std::move(store)),
      registry_(registry),
      holds_(holds),
      cache_(cache),
      objects_(objects),
      env_(env),
      options_(std::move(options)),
      following_(env.executor) {
  const auto names = store_->references();
  if (!names) return;  // whoever uses the store next hears of it
  for (const auto& [name, root] : *names) {
    if (root.annotations.contains(std::string(oci::pulled_annotation))) pulled_.insert(root.digest);
  }
}

// As the store has it: what this machine's registry has by a name is the store's own.
Result<oci::Reference> ImageSource::named(const std::string& image) const {
  const Result<oci::Reference> parsed = oci::Reference::parse(image);
  const std::uint16_t port = options_.own_port();
  return parsed && port != 0 ? registry::plain_name(*parsed, port) : parsed;
}

bool ImageSource::foreign(const std::string& image) const {
  const Result<oci::Reference> parsed = named(image);
  if (!parsed) return false;
  const auto found = store_->find(parsed->with_default_tag());
  return found && (!*found || pulled_.contains((*found)->digest));
}

ImageSource::~ImageSource() = default;

Task<Result<std::optional<ImageSource::Known>>> ImageSource::look(oci::Reference name) {
  auto work = [store = store_, name]() -> Result<std::optional<Known>> {
    Result<std::optional<oci::Descriptor>> found = store->find(name);
    if (!found) return found.error();
    if (!*found) return std::optional<Known>();
    const bool pulled = (*found)->annotations.contains(std::string(oci::pulled_annotation));
    // An index may be here without this platform's manifest.
    const Result<oci::Manifest> whole = store->manifest(name);
    if (!whole && whole.error().code == Errc::not_found) return std::optional<Known>();
    if (!whole) return whole.error();
    Result<oci::Pin> pin = store->pin((*found)->digest);
    if (!pin && pin.error().code == Errc::not_found) return std::optional<Known>();
    if (!pin) return pin.error();
    return std::optional<Known>(Known{std::move(**found), pulled, std::move(*pin)});
  };
  Task<Result<std::optional<Known>>> looking = env_.disk.run(work);
  Result<std::optional<Known>> known = co_await std::move(looking);
  const bool exact = !name.digest.empty();
  if (exact && known && *known) (*known)->pulled = pulled_.contains((*known)->manifest.digest);
  co_return known;
}

Task<Result<std::string>> ImageSource::pin(const ContainerSpec& spec) {
  const Result<oci::Reference> parsed = named(spec.image);
  if (!parsed) co_return parsed.error();
  if (!parsed->digest.empty()) co_return parsed->to_string();
  const oci::Reference name = parsed->with_default_tag();
  Task<Result<std::optional<Known>>> looking = look(name);
  const Result<std::optional<Known>> known = co_await std::move(looking);
  if (!known) co_return known.error();
  const bool ours = *known && !(*known)->pulled;
  if (ours) co_return by_digest(name, (*known)->manifest.digest).to_string();
  if (oci::keeps_tag(name, options_.keep_tags_of)) co_return parsed->to_string();
  if (registry_ == nullptr || spec.image_pull.policy == "Never") {
    if (*known) co_return by_digest(name, (*known)->manifest.digest).to_string();
    Task<Error> missing = absent(name, std::nullopt);
    co_return co_await std::move(missing);
  }
  const std::string who = name.to_string() + " " + spec.identity.uid;
  const auto refusal = refusals_.find(who);
  if (!*known && refusal != refusals_.end() && env_.timers.now() < refusal->second.until) {
    co_return refusal->second.error;
  }
  Result<oci::RegistryKeyring> credentials = keyring(spec);
  if (!credentials) co_return credentials.error();
  auto asking = race(registry_->resolve(name, std::move(*credentials)), appears(name));
  auto resolving =
      with_deadline(env_.timers, std::move(asking), env_.timers.now() + options_.resolve_timeout);
  const auto outcome = co_await std::move(resolving);
  if (outcome && outcome->second) co_return by_digest(name, outcome->second->digest).to_string();
  const std::optional<Result<oci::Descriptor>> there =
      outcome ? outcome->first : std::optional<Result<oci::Descriptor>>();
  if (there && *there) {
    refusals_.erase(who);
    Task<Result<void>> remembering = remember_tag(name, **there);
    const Result<void> remembered = co_await std::move(remembering);
    if (!remembered) co_return remembered.error();
    co_return by_digest(name, (*there)->digest).to_string();
  }
  const Error error = there ? there->error()
                            : fail(Errc::unavailable,
                                   registry_of(name) + " did not say in time what the tag means");
  if (*known && not_reached(error)) {
    env_.logger.log(LogLevel::warning, "images",
                    "a registry is not reached: the image of the last pull is taken",
                    {{"image", name.to_string()}, {"error", error.to_string()}});
    co_return by_digest(name, (*known)->manifest.digest).to_string();
  }
  Task<Error> missing = absent(name, error);
  Error whole = co_await std::move(missing);
  co_return refused(who, std::move(whole));
}

// What is built, imported or pushed here in the meantime counts.
Task<oci::Descriptor> ImageSource::appears(oci::Reference name) {
  while (true) {
    co_await env_.timers.sleep_for(appearance_pause);
    Task<Result<std::optional<Known>>> looking = look(name);
    const Result<std::optional<Known>> known = co_await std::move(looking);
    if (known && *known && !(*known)->pulled) co_return (*known)->manifest;
  }
}

// What the store says to this, and what the registry did; its condition is the registry's.
Task<Error> ImageSource::absent(oci::Reference name, std::optional<Error> registry) {
  // Strangers read this: what else the store has is not theirs to know.
  auto work = [store = store_, name]() -> Result<oci::Descriptor> {
    const auto there = store->find(name);
    if (!there || *there) return store->resolve(name);
    return fail(Errc::not_found, "image \"" + name.to_string() + "\" is not in the store");
  };
  Task<Result<oci::Descriptor>> looking = env_.disk.run(work);
  const Result<oci::Descriptor> found = co_await std::move(looking);
  if (!registry) co_return found ? fail(Errc::unavailable, "it has only just come") : found.error();
  const std::string here = found ? std::string() : found.error().detail + "; ";
  co_return fail(registry->code,
                 here + registry_of(name) + " does not give it: " + registry->detail);
}

// Whoever looks for it often finds it in the store soon when it comes there, and asks its registry
// ever more rarely.
Error ImageSource::refused(const std::string& who, Error error) {
  if (refusals_.size() >= refusals_max && !refusals_.contains(who)) refusals_.clear();
  Refusal& refusal = refusals_[who];
  refusal.pause = std::clamp(refusal.pause * 2, refusal_pause_min, refusal_pause_max);
  refusal.until = env_.timers.now() + refusal.pause;
  refusal.error = std::move(error);
  return refusal.error;
}

Task<Result<FetchedImage>> ImageSource::fetch(const ContainerSpec& spec) {
  return fetch_for(spec, false);
}

Task<Result<FetchedImage>> ImageSource::fetch_to_run(const ContainerSpec& spec) {
  return fetch_for(spec, true);
}

Task<Result<FetchedImage>> ImageSource::fetch_for(const ContainerSpec& spec, bool to_run) {
  const Result<oci::Reference> parsed = named(spec.image);
  if (!parsed) co_return parsed.error();
  const oci::Reference name = parsed->with_default_tag();
  while (true) {
    const auto at = pulling_.find(name);
    if (at == pulling_.end()) break;
    const std::shared_ptr<Wakeup> other = at->second;
    co_await other->wait();
  }
  pulling_[name] = std::make_shared<Wakeup>();
  const Turn turn{pulling_, name};
  Task<Result<std::optional<Known>>> looking = look(name);
  const Result<std::optional<Known>> known = co_await std::move(looking);
  if (!known) co_return known.error();
  const std::string policy = policy_of(spec, name);
  const bool asks = *known && (*known)->pulled && policy == "Always";
  if (*known && (!asks || registry_ == nullptr)) co_return FetchedImage{name, (*known)->pin};
  if (registry_ == nullptr || policy == "Never") {
    Task<Error> missing = absent(name, std::nullopt);
    const Error error = co_await std::move(missing);
    co_return policy == "Never" ? error.within("ErrImageNeverPull") : error;
  }
  Task<Result<FetchedImage>> getting = pull(name, spec, asks, to_run);
  Result<FetchedImage> got = co_await std::move(getting);
  if (got || !*known || !not_reached(got.error())) co_return got;
  env_.logger.log(LogLevel::warning, "images", "the image of the last pull is taken",
                  {{"image", name.to_string()}, {"error", got.error().to_string()}});
  co_return FetchedImage{name, (*known)->pin};
}

// What was pulled may be here already, under another tag.
Task<Result<void>> ImageSource::remember_tag(oci::Reference name, oci::Descriptor root) {
  const oci::Reference exact = by_digest(name, root.digest);
  Task<Result<std::optional<Known>>> looking = look(exact);
  const Result<std::optional<Known>> known = co_await std::move(looking);
  if (!known) co_return known.error();
  if (*known) {
    Task<Result<oci::Pin>> binding = bind(name, root);
    const Result<oci::Pin> bound = co_await std::move(binding);
    if (!bound) co_return bound.error();
    co_return Result<void>();
  }
  if (tags_.size() >= refusals_max) tags_.clear();
  tags_[exact] = name;
  co_return Result<void>();
}

// As a pull's. Pinned first: a name alone does not keep what was pulled.
Task<Result<oci::Pin>> ImageSource::bind(oci::Reference name, oci::Descriptor root) {
  name.digest = oci::Digest();
  if (name.tag.empty()) name.tag = "pulled-" + std::string(root.digest.hex().substr(0, 32));
  root.annotations[std::string(oci::pulled_annotation)] = "true";
  auto work = [store = store_, name, root]() -> Result<oci::Pin> {
    Result<oci::Pin> pin = store->pin(root.digest);
    if (!pin) return pin;
    if (Result<void> bound = store->set_reference(name, root); !bound) return bound.error();
    return pin;
  };
  Task<Result<oci::Pin>> binding = env_.disk.run(work);
  Result<oci::Pin> done = co_await std::move(binding);
  if (done) {
    pulled_.insert(root.digest);
    holds_.came(root.digest, *done);
  }
  co_return done;
}

Task<Result<FetchedImage>> ImageSource::pull(oci::Reference name, const ContainerSpec& spec,
                                             bool ask, bool to_run) {
  Result<oci::RegistryKeyring> credentials = keyring(spec);
  if (!credentials) co_return credentials.error();
  oci::PullOptions options;
  options.credentials = std::move(*credentials);
  const Instant begun = env_.timers.now();
  // By digest nothing is bound until it is known to be a pull's.
  oci::Reference exact = name;
  if (exact.digest.empty() || ask) {
    Task<Result<oci::Descriptor>> resolving = registry_->resolve(name, options.credentials);
    const Result<oci::Descriptor> root = co_await std::move(resolving);
    if (!root) {
      Task<Error> missing = absent(name, root.error());
      const Error error = co_await std::move(missing);
      co_return error.within("ErrImagePull");
    }
    exact = by_digest(name, root->digest);
  }
  if (to_run) {
    options.arrival = std::make_shared<oci::ImageArrival>();
    following_.add(cache_.follow(options.arrival));
  }
  Task<Result<oci::PulledImage>> pulling = registry_->pull(exact, store_, std::move(options));
  const Result<oci::PulledImage> pulled = co_await std::move(pulling);
  if (!pulled) {
    Task<Error> missing = absent(name, pulled.error());
    const Error error = co_await std::move(missing);
    co_return error.within("ErrImagePull");
  }
  const auto tag = tags_.find(exact);
  const oci::Reference bound = name.tag.empty() && tag != tags_.end() ? tag->second : name;
  if (tag != tags_.end()) tags_.erase(tag);
  Task<Result<oci::Pin>> binding = bind(bound, pulled->root);
  const Result<oci::Pin> done = co_await std::move(binding);
  if (!done) co_return done.error();
  const auto took =
      std::chrono::duration_cast<std::chrono::milliseconds>(env_.timers.now() - begun).count();
  env_.logger.log(LogLevel::info, "images", "pulled",
                  {{"image", name.to_string()},
                   {"digest", pulled->root.digest.to_string()},
                   {"bytes", std::to_string(pulled->bytes_fetched)},
                   {"ms", std::to_string(took)}});
  co_return FetchedImage{exact, *done};
}

// A Secret that is not there says so in the log and is done without, as kubelets do.
Result<oci::RegistryKeyring> ImageSource::keyring(const ContainerSpec& spec) const {
  const std::string& space = spec.identity.namespace_;
  std::vector<std::string> names = spec.image_pull.secrets;
  const std::string account =
      spec.image_pull.service_account.empty() ? "default" : spec.image_pull.service_account;
  const Result<core::ServiceAccount> found = objects_.get<core::ServiceAccount>(space, account);
  if (found) {
    for (const core::LocalObjectReference& secret : found->image_pull_secrets) {
      names.push_back(secret.name);
    }
  }
  oci::RegistryKeyring all;
  if (!spec.image_pull.docker_config.empty()) {
    Result<oci::RegistryKeyring> own =
        oci::RegistryKeyring::parse_docker_config(spec.image_pull.docker_config);
    if (!own) return own.error();
    all.append(*own);
  }
  for (const std::string& name : names) {
    const Result<core::Secret> secret = objects_.get<core::Secret>(space, name);
    if (!secret && secret.error().code != Errc::not_found) return secret.error();
    Result<oci::RegistryKeyring> one =
        secret ? keyring_of(*secret) : Result<oci::RegistryKeyring>(secret.error());
    if (one) {
      all.append(*one);
      continue;
    }
    env_.logger.log(LogLevel::warning, "images", "a secret for images is done without",
                    {{"name", space + "/" + name}, {"error", one.error().to_string()}});
  }
  return all;
}

}  // namespace knative
