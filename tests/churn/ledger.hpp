// What a churn world knows beside the platform: who was there when, what was sent, who got it.
//
// Every version of a Service, Trigger or Subscription has a mark of its own, a small number that
// its function answers with or its subscriber is called by. So each answer and each delivery says
// which spec it came from, and the times tell whether that one was still to be asked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "knative/env.hpp"

namespace knative::churn {

constexpr Instant never = Instant::max();

/// The name in "kind/name".
inline std::string name_in(const std::string& object) {
  return object.substr(object.find('/') + 1);
}

/// One object from its creation to its removal.
struct Life {
  std::string uid;
  Instant born{};
  Instant died = never;
  bool revived = false;  ///< Its removal was undone by a power failure.
  /// The order of what was asked for: much of it happens in one instant.
  std::uint64_t born_order = 0;
  std::uint64_t died_order = UINT64_MAX;
  bool alive() const noexcept { return died == never; }
  bool overlaps(Instant from, Instant to) const noexcept { return born <= to && died >= from; }
};

/// One version of a Service.
struct ServiceVersion {
  int mark = 0;
  std::string image;
  bool healthy = true;  ///< Can become ready and answers 200.
  bool pinned = false;  ///< Traffic names Revisions, not the latest.
};

/// What a subscriber does with the events that it gets.
enum class Manner : unsigned char { accepts, slow, fails_first, fails, refuses };

/// One version of a Trigger or Subscription.
struct BindingVersion {
  int mark = 0;
  std::string object;  ///< "trigger/t0"
  std::string uid;
  std::string target;   ///< "broker/b0" or "channel/c0"
  std::string type;     ///< Of the events that pass; empty: all.
  std::string service;  ///< Of the subscriber; empty: a machine outside.
  bool resolvable = true;
  Manner manner = Manner::accepts;
  bool dead_letters = false;
  int retry = 0;
  bool patient = false;  ///< Half a minute between attempts: much happens meanwhile.
  Instant born{};
  Instant died = never;
};

/// One event that somebody tried to publish. Its number is its subject.
struct Sent {
  bool named = true;  ///< False: the platform gives the id.
  std::string type;
  std::string target;
  Instant begun{};
  std::uint64_t begun_order = 0;
  Instant acknowledged = never;
  bool voided = false;  ///< What took it was allowed to forget it (memory, or an object undone).
};

/// One attempt at a subscriber.
struct Delivery {
  std::size_t number = 0;  ///< Of the event.
  int mark = 0;            ///< Of the Trigger or Subscription.
  int via = -1;            ///< Of the Service; -1: the machine outside.
  bool dead = false;       ///< To the dead letter sink.
  bool taken = false;
  Instant at{};
};

/// What a Route named from one moment to the next.
struct Naming {
  Instant from{};
  std::set<int> marks;
};

/// Everything that is remembered.
struct Ledger {
  std::uint64_t order = 0;                             ///< Of the latest thing asked for.
  std::map<std::string, std::vector<Life>> lives;      ///< "service/s0", "broker/b0", …
  std::map<std::string, ServiceVersion> services;      ///< As they are wanted now: "service/s0".
  std::map<int, ServiceVersion> versions;              ///< All of them by mark.
  std::map<std::string, std::vector<Naming>> namings;  ///< By Route.
  std::vector<BindingVersion> bindings;                ///< All versions; the index is no mark.
  std::map<int, std::size_t> binding_of_mark;
  std::map<std::string, std::size_t> number_of_id;
  std::vector<Sent> sent;
  std::vector<Delivery> deliveries;
  /// By "NAME/UID", as functions know it, and "NAME/", as programs do.
  std::map<std::string, std::set<int>> mark_of_revision;
  std::map<std::string, std::vector<Life>> revisions;      ///< By name.
  std::map<std::string, std::string> content_of_revision;  ///< Answered first, by "NAME/UID".

  Life* current(const std::string& object) {
    const auto found = lives.find(object);
    if (found == lives.end()) return nullptr;
    for (Life& life : found->second) {  // not the last one where a power failure undid something
      if (life.alive()) return &life;
    }
    return nullptr;
  }
  BindingVersion* current_binding(const std::string& object) {
    for (std::size_t i = bindings.size(); i-- > 0;) {
      if (bindings[i].object == object && bindings[i].died == never) return &bindings[i];
    }
    return nullptr;
  }
  void die(const std::string& object, Instant now) {
    if (Life* life = current(object)) {
      life->died = now;
      life->died_order = ++order;
    }
    if (BindingVersion* binding = current_binding(object)) binding->died = now;
    services.erase(object);
  }
  /// The uid that the Revisions of this name had all the time; empty when there were several.
  std::string only_revision(const std::string& name, Instant from, Instant to) const {
    std::string uid;
    const auto found = revisions.find(name);
    if (found == revisions.end()) return uid;
    for (const Life& life : found->second) {
      if (!life.overlaps(from, to)) continue;
      if (!uid.empty()) return {};
      uid = life.uid;
    }
    return uid;
  }
  /// The marks that a Route named at any time of an interval.
  std::set<int> named(const std::string& route, Instant from, Instant to) const {
    std::set<int> marks;
    const auto found = namings.find(route);
    if (found == namings.end()) return marks;
    const std::vector<Naming>& states = found->second;
    for (std::size_t i = 0; i < states.size(); ++i) {
      const Instant end = i + 1 < states.size() ? states[i + 1].from : never;
      if (states[i].from > to || end < from) continue;
      marks.insert(states[i].marks.begin(), states[i].marks.end());
    }
    return marks;
  }
};

}  // namespace knative::churn
