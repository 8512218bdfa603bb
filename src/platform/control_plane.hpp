// Watches the objects and hands every change to the controllers it concerns: the object's own, its
// owner's, and those that asked to hear of it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "knative/controller.hpp"
#include "knative/extension.hpp"
#include "knative/reconciler.hpp"

namespace knative {

/// Lets a few reconciles begin in each turn of the loop: whatever else is ready, requests above
/// all, comes between them, however much there is to reconcile.
class Turnstile {
 public:
  explicit Turnstile(Executor& executor);
  Task<void> enter();

 private:
  static Task<void> refill(Turnstile& self);
  static constexpr int turn_max = 4;
  int left_ = turn_max;
  std::size_t waiting_ = 0;
  Wakeup used_;
  Wakeup free_;
  TaskSet tasks_;
};

class ControlPlane final : public Controllers {
 public:
  ControlPlane(Env& env, ReconcileContext& context);
  ~ControlPlane() override;

  /// Before `start` only. Fails with `already_exists`.
  Result<void> add(std::string_view api_version, std::string_view kind, std::string name,
                   std::unique_ptr<Reconciler> reconciler, ControllerOptions options);
  /// Begin with everything that is stored.
  Result<void> start();
  void enqueue(std::string_view controller, const std::string& key) override;
  void enqueue_watchers(const ObjectRef& ref) override;
  /// True when every change was handed on and no controller has work.
  bool settled() const;
  /// Wait until what was stored at the start has been looked at by its controllers, and their first
  /// conclusions by those who depend on them (bounded): only then do conditions speak of this
  /// process and not of an earlier one.
  Task<void> caught_up();
  /// Drop all work, builds in progress included; their steps are killed.
  void stop();

 private:
  class Entry;
  using Place = std::pair<std::string, std::string>;  // API version and kind.
  static Task<void> pump(ControlPlane& self);
  static Task<void> catch_up(ControlPlane& self);
  Result<void> begin_watch();
  void take(const WatchEvent& event);
  void listed();
  Entry* entry_of(std::string_view api_version, std::string_view kind) const;

  Env& env_;
  ReconcileContext& context_;
  std::map<Place, Entry*, std::less<>> by_kind_;
  std::map<std::string, std::unique_ptr<Entry>, std::less<>> entries_;  // By the controller's name.
  std::unique_ptr<Watch> watch_;
  std::string seen_version_;
  bool listing_ = false;     // What is told up to the next bookmark is everything there is.
  std::uint64_t round_ = 0;  // Of listing everything.
  std::size_t unseen_ = 0;   // Keys of the first list that no reconcile has ended for.
  bool caught_up_ = false;
  bool first_list_done_ = false;
  Wakeup progress_;
  Turnstile turnstile_;
  TaskSet tasks_;
};

}  // namespace knative
