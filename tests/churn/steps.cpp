// What may happen in a world: objects that come, change and go, the platform's ends, time.
#include <algorithm>
#include <utility>

#include "churn/world.hpp"

namespace knative::churn {

namespace {

std::string kind_in(const std::string& object) { return object.substr(0, object.find('/')); }

// The version of a Trigger or Subscription as it is stored, by what its subscriber is called with.
int mark_in(const std::string& uri) {
  const std::size_t at = uri.rfind("/t");
  if (at == std::string::npos) return -1;
  return std::stoi(uri.substr(at + 2));
}

}  // namespace

ObjectRef World::ref_of(const std::string& object) const {
  const std::string kind = kind_in(object);
  const std::string name = name_in(object);
  if (kind == "service") return platform_->ref<serving::Service>(name);
  if (kind == "configuration") return platform_->ref<serving::Configuration>(name);
  if (kind == "route") return platform_->ref<serving::Route>(name);
  if (kind == "revision") return platform_->ref<serving::Revision>(name);
  if (kind == "broker") return platform_->ref<eventing::Broker>(name);
  if (kind == "channel") return platform_->ref<eventing::Channel>(name);
  if (kind == "trigger") return platform_->ref<eventing::Trigger>(name);
  if (kind == "subscription") return platform_->ref<eventing::Subscription>(name);
  if (kind == "build") return platform_->ref<build::Build>(name);
  if (kind == "secret") return platform_->ref<core::Secret>(name);
  return platform_->ref<core::ConfigMap>(name);
}

void World::apply(const std::string& object, const AnyObject& wanted) {
  const Result<ObjectRef> ref = platform_->apply(wanted);
  if (!ref) {
    violate("harness", object + " refused: " + ref.error().to_string());
    return;
  }
  const std::string uid = platform_->get(*ref).value().metadata().uid;
  Life* life = ledger_.current(object);
  if (life != nullptr && life->uid == uid) return;
  if (life != nullptr) {
    life->died = sim_.now();
    life->died_order = ++ledger_.order;
  }
  if (!uids_.insert(uid).second) violate("uid-repeats", object + " has the uid " + uid + " again");
  if (plan_.verbose) say(object + " has the uid " + uid);
  ledger_.lives[object].push_back(Life{uid, sim_.now(), never, false, ++ledger_.order});
}

void World::remove(const std::string& object) {
  say("remove " + object);
  const Result<void> removed = platform_->remove(ref_of(object));
  if (!removed) violate("harness", "remove " + object + ": " + removed.error().to_string());
  ledger_.die(object, sim_.now());
}

// ---------------------------------------------------------------------------- serving

void World::apply_service(const std::string& name) {
  ServiceVersion version;
  version.mark = marks_++;
  const bool program = chance(0.35);
  version.image = program ? "local/app:1" : "fn:f" + std::to_string(version.mark);
  if (chance(0.06)) {
    version.image = "fn:absent";
    version.healthy = false;
  }
  serving::Service service = serving::service(name, version.image);
  core::Container& container = service.spec.template_.spec.containers.front();
  container.env.push_back(
      {.name = "MARK", .value = std::to_string(version.mark), .value_from = {}});
  StringMap& annotations = service.spec.template_.metadata.annotations;
  if (chance(0.2)) annotations["autoscaling.knative.dev/min-scale"] = "1";
  if (chance(0.2)) annotations["autoscaling.knative.dev/max-scale"] = "2";
  service.spec.template_.spec.container_concurrency = static_cast<std::int64_t>(pick(3));
  std::vector<std::string> revisions;
  for (const serving::Revision& revision : platform_->store().list<serving::Revision>().value()) {
    const auto owner = revision.metadata.labels.find(serving::keys::service);
    if (owner != revision.metadata.labels.end() && owner->second == name) {
      revisions.push_back(revision.metadata.name);
    }
  }
  const std::string object = "service/" + name;
  if (ledger_.current(object) != nullptr && !revisions.empty() && chance(0.2)) {
    version.pinned = true;
    serving::TrafficTarget old;
    old.revision_name = revisions[pick(revisions.size())];
    old.percent = 50;
    old.tag = "old";
    serving::TrafficTarget latest;
    latest.latest_revision = true;
    latest.percent = 50;
    service.spec.traffic = {old, latest};
  }
  if (!version.pinned && chance(0.06)) {  // traffic to a Revision that never comes
    version.healthy = false;
    serving::TrafficTarget missing;
    missing.revision_name = name + "-99999";
    missing.percent = 100;
    service.spec.traffic = {missing};
  }
  say("apply " + object + " m" + std::to_string(version.mark) + " " + version.image +
      (version.pinned                 ? " pinned"
       : service.spec.traffic.empty() ? ""
                                      : " with missing traffic"));
  apply(object, service);
  ledger_.services[object] = version;
  ledger_.versions[version.mark] = version;
}

void World::apply_configuration() {
  ServiceVersion version;
  version.mark = marks_++;
  version.image = "fn:f" + std::to_string(version.mark);
  serving::Configuration configuration;
  configuration.metadata.name = "k0";
  configuration.spec.template_ = serving::service("k0", version.image).spec.template_;
  say("apply configuration/k0 m" + std::to_string(version.mark));
  apply("configuration/k0", configuration);
  ledger_.services["configuration/k0"] = version;
  ledger_.versions[version.mark] = version;
}

void World::apply_route() {
  say("apply route/r0");
  apply("route/r0", serving::route("r0", "k0"));
}

void World::action_on_service() {
  const std::string name = "s" + std::to_string(pick(3));
  const std::string object = "service/" + name;
  if (chance(0.15)) {
    const bool configured = ledger_.current("configuration/k0") != nullptr;
    const bool routed = ledger_.current("route/r0") != nullptr;
    if (configured && chance(0.4)) return remove("configuration/k0");
    if (routed && chance(0.4)) return remove("route/r0");
    apply_configuration();
    if (!routed) apply_route();
    return;
  }
  if (ledger_.current(object) == nullptr) return apply_service(name);
  if (chance(0.1)) {
    const std::vector<serving::Revision> all = platform_->store().list<serving::Revision>().value();
    if (all.empty()) return;
    const serving::Revision& victim = all[pick(all.size())];
    say("remove revision/" + victim.metadata.name);
    (void)platform_->remove(platform_->ref<serving::Revision>(victim.metadata.name));
    return;
  }
  if (chance(0.5)) remove(object);
  if (ledger_.current(object) != nullptr || chance(0.5)) apply_service(name);
}

// ---------------------------------------------------------------------------- eventing

void World::apply_broker(const std::string& object) {
  say("apply " + object);
  if (kind_in(object) == "channel") {
    eventing::Channel channel;
    channel.metadata.name = name_in(object);
    return apply(object, channel);
  }
  eventing::Broker broker;
  broker.metadata.name = name_in(object);
  apply(object, broker);
}

void World::action_on_target() {
  const std::string object = chance(0.65) ? "broker/b" + std::to_string(pick(2)) : "channel/c0";
  if (ledger_.current(object) != nullptr) {
    if (!chance(0.5)) return;
    remove(object);
    if (!chance(0.5)) return;
  }
  apply_broker(object);
}

eventing::DeliverySpec World::delivery_of(const BindingVersion& version) const {
  eventing::DeliverySpec delivery;
  delivery.retry = version.retry;
  delivery.backoff_policy = "linear";
  delivery.backoff_delay = version.patient ? "PT30S" : "PT0.2S";
  if (version.dead_letters) {
    delivery.dead_letter_sink.emplace();
    delivery.dead_letter_sink->uri = "http://outside/dls/" + std::to_string(version.mark);
  }
  return delivery;
}

eventing::Destination World::subscriber_of(BindingVersion& version) {
  const std::string path = "/t" + std::to_string(version.mark);
  eventing::Destination destination;
  const double kind = random_.uniform();
  if (kind < 0.6) {
    destination.uri = "http://outside:" + std::to_string(outside_ports[pick(4)]) + path;
    return destination;
  }
  version.resolvable = kind < 0.85;
  return service_subscriber(version, version.resolvable ? "s" + std::to_string(pick(3)) : "ghost");
}

eventing::Destination World::service_subscriber(BindingVersion& version,
                                                const std::string& service) const {
  version.service = service;
  eventing::Destination destination;
  destination.ref.emplace();
  destination.ref->api_version = std::string(serving::Service::api_version);
  destination.ref->kind = std::string(serving::Service::kind);
  destination.ref->name = version.service;
  destination.uri = "/t" + std::to_string(version.mark);
  return destination;
}

// `failing` names a Service that is to fail in earnest.
void World::apply_binding(const std::string& object, const std::string& failing) {
  const bool trigger = kind_in(object) == "trigger";
  BindingVersion version;
  version.mark = marks_++;
  version.object = object;
  BindingVersion* before = ledger_.current_binding(object);
  version.target = trigger ? "broker/b" + std::to_string(pick(2)) : "channel/c0";
  if (before != nullptr) version.target = before->target;  // immutable
  if (trigger && chance(0.6)) version.type = chance(0.5) ? "a" : "b";
  const Manner manners[] = {Manner::accepts,     Manner::accepts, Manner::slow,
                            Manner::fails_first, Manner::fails,   Manner::refuses};
  version.manner = manners[pick(6)];
  version.dead_letters = chance(0.6);
  version.retry = static_cast<int>(pick(4));
  version.patient = chance(0.3);
  version.born = sim_.now();
  eventing::Destination subscriber = subscriber_of(version);
  if (!failing.empty()) {
    version.manner = Manner::fails;
    version.dead_letters = version.patient = version.resolvable = true;
    version.retry = 3;
    subscriber = service_subscriber(version, failing);
  }
  say("apply " + object + " m" + std::to_string(version.mark) + " on " + version.target + " type " +
      (version.type.empty() ? "*" : version.type) + " to " +
      (version.service.empty() ? "outside" : version.service) + " manner " +
      std::to_string(static_cast<int>(version.manner)) + " retry " + std::to_string(version.retry) +
      (version.dead_letters ? " dls" : ""));
  if (before != nullptr) before->died = sim_.now();
  ledger_.binding_of_mark[version.mark] = ledger_.bindings.size();
  ledger_.bindings.push_back(version);
  if (trigger) {
    eventing::Trigger made;
    made.metadata.name = name_in(object);
    made.spec.broker = name_in(version.target);
    if (!version.type.empty()) {
      made.spec.filter.emplace();
      made.spec.filter->attributes["type"] = version.type;
    }
    made.spec.subscriber = subscriber;
    made.spec.delivery = delivery_of(version);
    apply(object, made);
  } else {
    eventing::Subscription made;
    made.metadata.name = name_in(object);
    made.spec.channel.api_version = std::string(eventing::Channel::api_version);
    made.spec.channel.kind = std::string(eventing::Channel::kind);
    made.spec.channel.name = name_in(version.target);
    made.spec.subscriber = subscriber;
    made.spec.delivery = delivery_of(version);
    apply(object, made);
  }
  if (const Life* life = ledger_.current(object)) ledger_.bindings.back().uid = life->uid;
}

void World::action_on_binding() {
  const std::string object = chance(0.7) ? "trigger/t" + std::to_string(pick(3))
                                         : "subscription/u" + std::to_string(pick(2));
  if (ledger_.current(object) != nullptr && chance(0.4)) {
    remove(object);
    if (chance(0.5)) return;
  }
  apply_binding(object);
}

// ---------------------------------------------------------------------------- the rest

void World::apply_noise() {
  const std::size_t count = chance(0.1) ? 60 : 1;
  for (std::size_t i = 0; i < count; ++i) {
    core::ConfigMap map;
    map.metadata.name = "m" + std::to_string(i);
    map.data["number"] = std::to_string(marks_++ % 7);
    const std::string object = "configmap/" + map.metadata.name;
    apply(object, map);
  }
  say("apply " + std::to_string(count) + " configmaps");
  core::Secret secret;
  secret.metadata.name = "x0";
  if (ledger_.current("secret/x0") != nullptr) return remove("secret/x0");
  apply("secret/x0", secret);
}

void World::apply_build() {
  if (ledger_.current("build/d0") != nullptr) return remove("build/d0");
  if (contents_ + 2 >= 100) return;
  ++contents_;
  build::Build build;
  build.metadata.name = "d0";
  build.spec.image = "local/app:1";
  build.spec.image_config.emplace();
  build.spec.image_config->entrypoint = {"/content-" + std::to_string(contents_)};
  say("apply build/d0 content-" + std::to_string(contents_));
  apply("build/d0", build);
}

void World::one_action() {
  const double what = random_.uniform();
  if (what < 0.22) return action_on_service();
  if (what < 0.32) return action_on_target();
  if (what < 0.50) return action_on_binding();
  if (what < 0.68) return send_request();
  if (what < 0.92) return send_event();
  if (what < 0.95) return apply_noise();
  if (what < 0.975) return apply_build();
  say("retag local/app:1");
  put_image();
}

void World::step() {
  const std::size_t actions = 1 + pick(5);  // in one turn
  for (std::size_t i = 0; i < actions; ++i) one_action();
  judge();
  const double end = random_.uniform();
  if (end < 0.02) return stop_and_restart();
  if (end < 0.04 && durable_) return lose_power();
  if (end < 0.05 && durable_) return orphan_retries();
  const double then = random_.uniform();
  if (then < 0.45) return turns(pick(25));
  if (then < 0.9) return pass(Duration(static_cast<std::int64_t>(random_.exponential(4e8))));
  if (then < 0.97) return pass(std::chrono::seconds(1 + pick(15)));
  pass(std::chrono::seconds(60 + pick(120)));
}

void World::stop_and_restart() {
  const bool gently = chance(0.6);
  say(gently ? "stop and restart" : "drop and restart");
  if (gently) {
    bool stopped = false;
    auto stop = [](Platform& platform, bool& done) -> Task<void> {
      co_await platform.stop(2s);
      done = true;
    };
    TaskSet stopping(env().executor);
    stopping.add(stop(*platform_, stopped));
    const Instant limit = sim_.now() + 1min;
    while (!stopped && sim_.now() < limit) turn();
    if (!stopped) violate("stop-hangs", "stop(2s) takes more than a minute");
  }
  end_platform();
  if (!durable_) {
    for (Sent& sent : ledger_.sent) sent.voided = true;
  }
  turns_without_platform();
  begin();
  read_ledger_again();
}

// A subscriber goes while its events are tried again, and the platform after it.
void World::orphan_retries() {
  const std::string service = "s" + std::to_string(pick(3));
  const std::string object = "trigger/t" + std::to_string(pick(3));
  if (ledger_.current("service/" + service) == nullptr) apply_service(service);
  apply_binding(object, service);
  const BindingVersion& version = ledger_.bindings.back();
  if (ledger_.current(version.target) == nullptr) apply_broker(version.target);
  pass(2s);
  const std::size_t number = new_event();
  ledger_.sent[number].target = version.target;
  if (!version.type.empty()) ledger_.sent[number].type = version.type;
  say("publish n" + std::to_string(number) + " to " + version.target + ", tried in vain");
  inside_->add(publish_inside(number));
  pass(1s);
  remove("service/" + service);
  stop_and_restart();
}

void World::lose_power() {
  say("power failure");
  sim_.power_off();
  end_platform();
  sim_.crash();
  turns_without_platform();
  begin();
  read_ledger_again();
}

void World::turns_without_platform() {
  for (std::size_t i = pick(40); i > 0; --i) sim_.step();
}

// After a power failure some of the last changes may be undone; what is stored counts.
void World::read_ledger_again() {
  for (auto& [object, lives] : ledger_.lives) {
    const Result<AnyObject> stored = platform_->get(ref_of(object));
    const std::string uid = stored ? stored->metadata().uid : std::string();
    for (Life& life : lives) {
      if (life.uid != uid && life.alive()) {
        life.died = sim_.now();
        life.died_order = ++ledger_.order;
      }
      if (life.uid == uid && !life.alive()) {
        life.died = never;
        life.died_order = UINT64_MAX;
        life.revived = true;
      }
    }
    const std::string kind = kind_in(object);
    int mark = -1;
    if (stored && kind == "trigger") {
      mark = mark_in(stored->get<eventing::Trigger>().spec.subscriber.uri);
    } else if (stored && kind == "subscription") {
      mark = mark_in(stored->get<eventing::Subscription>().spec.subscriber->uri);
    }
    for (BindingVersion& version : ledger_.bindings) {
      if (version.object != object) continue;
      if (version.mark != mark && version.died == never) version.died = sim_.now();
      if (version.mark == mark) version.died = never;
    }
    if (kind != "service" && kind != "configuration") continue;
    ledger_.services.erase(object);
    if (!stored) continue;
    const auto* service = stored->get_if<serving::Service>();
    const serving::RevisionTemplateSpec& template_ =
        service != nullptr ? service->spec.template_
                           : stored->get_if<serving::Configuration>()->spec.template_;
    const core::Container& container = template_.spec.containers.front();
    for (const auto& [number, version] : ledger_.versions) {
      const bool same_variable = std::any_of(
          container.env.begin(), container.env.end(), [number = number](const core::EnvVar& one) {
            return one.name == "MARK" && one.value == std::to_string(number);
          });
      if (same_variable || container.image == "fn:f" + std::to_string(number)) {
        ledger_.services[object] = version;
      }
    }
  }
}

}  // namespace knative::churn
