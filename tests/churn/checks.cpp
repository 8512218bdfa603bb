// What must hold: at each delivery, when all has come to rest, and when everything is gone.
#include <algorithm>
#include <utility>

#include "churn/world.hpp"

namespace knative::churn {

namespace {

// An attempt that began before something went may still arrive.
constexpr Duration on_its_way = 100ms;
constexpr Duration rest_time = 90s;

Instant plus(Instant at, Duration by) { return at > never - by ? never : at + by; }

bool about_our_objects(const std::string& line) {
  return !line.starts_with("#") && (line.find("_name=\"s") != std::string::npos ||
                                    line.find("_name=\"k0") != std::string::npos ||
                                    line.find("broker_name=") != std::string::npos ||
                                    line.find("channel_name=") != std::string::npos);
}

}  // namespace

void World::check_delivery(const Delivery& delivery) {
  const BindingVersion& version = ledger_.bindings[ledger_.binding_of_mark.at(delivery.mark)];
  const Sent& sent = ledger_.sent[delivery.number];
  const std::string what = "n" + std::to_string(delivery.number) + " (" + sent.type + " to " +
                           sent.target + ") came to " + version.object + " m" +
                           std::to_string(delivery.mark) + (delivery.dead ? " as dead letter" : "");
  if (plan_.verbose) say(what);
  if (sent.target != version.target) return violate("wrong-target", what);
  if (!version.type.empty() && version.type != sent.type) return violate("wrong-filter", what);
  // The version: replaced ones get what was accepted while they stood, removed ones nothing.
  const Life* life = nullptr;
  for (const Life& one : ledger_.lives[version.object]) {
    if (one.uid == version.uid) life = &one;
  }
  const Instant gone = life == nullptr ? version.died : life->died;
  if (plus(gone, on_its_way) < delivery.at) violate("to-removed", what + ", which is removed");
  const Instant accepted = std::min(sent.acknowledged, delivery.at);
  if (plus(version.died, on_its_way) < sent.begun && version.died < accepted) {
    violate("to-replaced", what + ", which was replaced before the event was sent");
  }
  // The Broker: one that took the event and is still there.
  bool taken = false;
  for (const Life& one : ledger_.lives[sent.target]) {
    const bool took = one.overlaps(sent.begun, accepted);
    taken = taken || (took && plus(one.died, on_its_way) >= delivery.at);
  }
  if (!taken) violate("from-removed", what + "; who took it is removed");
  if (delivery.via < 0 || version.service.empty()) return;
  observe();
  const std::set<int> named = ledger_.named(version.service, sent.begun - 20ms, delivery.at);
  if (!named.contains(delivery.via)) {
    violate("delivered-by-unnamed", what + " at " + version.service + " m" +
                                        std::to_string(delivery.via) +
                                        ", which its Route did not name");
  }
}

// ---------------------------------------------------------------------------- at rest

void World::check_rest() {
  say("rest");
  const Instant limit = sim_.now() + 15min;
  while (!clients_->empty() || !inside_->empty()) {
    if (sim_.now() > limit) {
      violate("hangs", std::to_string(clients_->size()) + " clients and " +
                           std::to_string(inside_->size()) + " calls have no answer");
      clients_->clear();
      inside_->clear();
      break;
    }
    turn();
  }
  pass(rest_time);
  check_services();
  check_targets();
  check_bindings();
  pass(10min);
  check_losses();
  check_unsettled();
  judge();
}

void World::check_services() {
  for (const auto& [object, lives] : ledger_.lives) {
    if (!object.starts_with("service/")) continue;
    const std::string name = name_in(object);
    http::Request request = http::get("/");
    const Instant begun = sim_.now();
    const http::Response response = sim_.run(platform_->invoke(name, request)).value();
    answered(name, "at rest", begun, response.status, response.body.bytes());
    if (ledger_.current(object) == nullptr) {
      if (response.status != 404) {
        violate("answers-though-removed", object + " answers " + std::to_string(response.status) +
                                              " " + response.body.bytes());
      }
      continue;
    }
    const ServiceVersion& wanted = ledger_.services[object];
    if (!wanted.healthy) continue;
    const Result<AnyObject> stored = platform_->get(ref_of(object));
    const Readiness state = readiness(*stored);
    if (!state.ready) {
      if (wanted.pinned) continue;
      violate("not-ready", object + " m" + std::to_string(wanted.mark) + ": " + state.reason + " " +
                               state.message);
      continue;
    }
    const std::string expected = "m" + std::to_string(wanted.mark) + " ";
    if (response.status != 200 ||
        (!wanted.pinned && !response.body.bytes().starts_with(expected))) {
      violate("ready-and-wrong", object + " is Ready with " + expected + "and answers " +
                                     std::to_string(response.status) + " " + response.body.bytes());
    }
  }
}

void World::check_targets() {
  for (const auto& [object, lives] : ledger_.lives) {
    if (!object.starts_with("broker/") && !object.starts_with("channel/")) continue;
    const Result<AnyObject> stored = platform_->get(ref_of(object));
    const bool there = ledger_.current(object) != nullptr;
    if (there != stored.has_value()) violate("harness", object + " and the ledger differ");
    if (there && !readiness(*stored).ready) {
      violate("not-ready", object + ": " + readiness(*stored).message);
    }
    CloudEvent probe("probe", "/churn");
    probe.set_subject("n" + std::to_string(ledger_.sent.size()));
    Sent sent;
    sent.type = "probe";
    sent.target = object;
    sent.begun = sim_.now();
    sent.begun_order = ++ledger_.order;
    sent.named = false;
    ledger_.sent.push_back(sent);
    const Result<Offset> taken = sim_.run(platform_->publish(name_in(object), probe));
    if (taken) ledger_.sent.back().acknowledged = sim_.now();
    if (taken.has_value() == there) continue;
    violate(there ? "refuses" : "taken-by-nobody",
            object + (there ? " refuses: " + taken.error().to_string() : " takes events"));
  }
}

void World::check_bindings() {
  for (const BindingVersion& version : ledger_.bindings) {
    if (version.died != never) continue;
    const Result<AnyObject> stored = platform_->get(ref_of(version.object));
    if (!stored) {
      violate("harness", version.object + " is not stored");
      continue;
    }
    const bool served = ledger_.current(version.target) != nullptr;
    const bool resolvable =
        version.resolvable &&
        (version.service.empty() || ledger_.current("service/" + version.service) != nullptr);
    const Readiness state = readiness(*stored);
    if (state.ready && (!served || !resolvable)) {
      violate("ready-without", version.object + " m" + std::to_string(version.mark) +
                                   " is Ready without " + (served ? "subscriber" : "target"));
    }
    if (version.service.empty() && served && !state.ready) {
      violate("not-ready", version.object + ": " + state.reason + " " + state.message);
    }
  }
}

// Every acknowledged event, at every Trigger that was there for it all the time: delivered, a dead
// letter, or refused as often as its terms say when nobody wants dead letters.
void World::check_losses() {
  std::map<std::pair<std::string, std::size_t>, std::pair<int, bool>> seen;  // attempts, settled
  for (const Delivery& delivery : ledger_.deliveries) {
    const BindingVersion& version = ledger_.bindings[ledger_.binding_of_mark.at(delivery.mark)];
    auto& [attempts, settled] = seen[{version.uid, delivery.number}];
    ++attempts;
    settled = settled || delivery.taken;
  }
  for (std::size_t number = 0; number < ledger_.sent.size(); ++number) {
    const Sent& sent = ledger_.sent[number];
    const Life* target = ledger_.current(sent.target);
    if (sent.acknowledged == never || sent.voided || target == nullptr || target->revived) continue;
    if (target->born_order > sent.begun_order) continue;
    for (const BindingVersion& last : ledger_.bindings) {
      if (last.died != never || last.target != sent.target || !last.service.empty()) continue;
      const Life* life = ledger_.current(last.object);
      if (life == nullptr || life->revived || life->born_order > sent.begun_order) continue;
      bool may_drop = false;
      bool certain = true;  // that every version since would have taken it, and tried in earnest
      for (const BindingVersion& version : ledger_.bindings) {
        if (version.uid != last.uid || version.died < sent.begun) continue;
        certain = certain && (version.type.empty() || version.type == sent.type) &&
                  version.service.empty();
        const bool may_fail = version.manner != Manner::accepts && version.manner != Manner::slow;
        may_drop = may_drop || (may_fail && !version.dead_letters);
      }
      if (!certain) continue;
      const auto found = seen.find({last.uid, number});
      const bool settled = found != seen.end() && found->second.second;
      const bool tried = found != seen.end();
      if (settled || (may_drop && tried)) continue;
      violate("lost", "n" + std::to_string(number) + " of " + sent.target + " never reached " +
                          last.object + " m" + std::to_string(last.mark) +
                          (tried ? " for good" : ""));
    }
  }
}

// Who tried once must come to an end with it, whatever became of the subscriber and of the
// platform in between: where the terms stayed the same all the time, and want dead letters.
void World::check_unsettled() {
  std::map<std::pair<int, std::size_t>, bool> settled;  // by mark and event
  for (const Delivery& delivery : ledger_.deliveries) {
    bool& done = settled[{delivery.mark, delivery.number}];
    done = done || delivery.taken;
  }
  for (const auto& [attempted, done] : settled) {
    const BindingVersion& version = ledger_.bindings[ledger_.binding_of_mark.at(attempted.first)];
    const Sent& sent = ledger_.sent[attempted.second];
    if (done || !version.dead_letters || version.died != never) continue;
    const Life* target = ledger_.current(sent.target);
    const Life* life = ledger_.current(version.object);
    if (sent.acknowledged == never || sent.voided || target == nullptr || target->revived) continue;
    if (life == nullptr || life->revived || version.born >= sent.begun) continue;
    if (target->born >= sent.begun) continue;
    violate("unsettled", "n" + std::to_string(attempted.second) + " of " + sent.target +
                             " was tried by " + version.object + " m" +
                             std::to_string(attempted.first) + " and then forgotten");
  }
}

// ---------------------------------------------------------------------------- the end

void World::remove_everything() {
  say("remove everything");
  for (const auto& [object, lives] : ledger_.lives) {
    if (ledger_.current(object) != nullptr) remove(object);
  }
  judge();
}

std::vector<std::string> World::series() const {
  std::vector<std::string> lines;
  const std::string text = platform_->metrics_text();
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = std::min(text.find('\n', from), text.size());
    const std::string line = text.substr(from, end - from);
    if (about_our_objects(line)) lines.push_back(line.substr(0, line.find('}') + 1));
    from = end + 1;
  }
  return lines;
}

void World::check_empty(const std::string& directory) {
  const Result<std::vector<FileInfo>> there = env().files.list(directory);
  if (!there) return;  // in memory there is none
  for (const FileInfo& entry : *there) {
    const std::string path = directory + "/" + entry.name;
    if (entry.type == FileType::directory) check_empty(path);
    if (entry.type != FileType::directory) violate("file-left", path);
  }
}

void World::check_nothing_left() {
  for (const KindInfo* kind : platform_->kinds().all()) {
    const ObjectList left = platform_->store()
                                .list(std::string(kind->api_version), std::string(kind->kind), {})
                                .value();
    for (const AnyObject& object : left.items) {
      violate("object-left", object.ref().to_string());
    }
  }
  for (const std::string& line : series()) {
    if (std::find(series_at_rest_.begin(), series_at_rest_.end(), line) == series_at_rest_.end()) {
      violate("series-left", line);
    }
  }
  // Unpacked images stay: a cache of what the image store has.
  for (const char* directory : {"/data/events", "/data/builds", "/data/containers"}) {
    check_empty(directory);
  }
  // An image store that has written something holds its place for unfinished blobs; after a restart
  // it may not have.
  Census now = sim_.census();
  now.files_open = std::max(now.files_open, at_rest_.files_open);
  if (!(now == at_rest_)) {
    violate("leak", "at first there were " + at_rest_.to_string() + "; now " + now.to_string());
  }
  judge();
  end_platform();
  sim_.run_for(5min);
  const Census after = sim_.census();
  if (!(after == before_)) {
    violate("leak-at-end", "before: " + before_.to_string() + "; after: " + after.to_string());
  }
  judge();
}

}  // namespace knative::churn
