// Watches the store and hands every change to the controllers it concerns: the object's own, its
// owner's, and those that asked to hear of it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/controller.hpp"
#include "knative/store.hpp"
#include "platform/reconciling.hpp"

namespace knative {

class ControlPlane {
 public:
  ControlPlane(Env& env, control::Context& context);
  ~ControlPlane();

  /// Reconcile objects of kind `T`; `name` is the controller's ("route"). Before `start` only.
  template <class T>
  void add(std::string name, std::unique_ptr<Reconciler> reconciler) {
    add(T::api_version, T::kind, std::move(name), std::move(reconciler));
  }
  /// Begin with everything that is stored.
  Result<void> start();
  void enqueue(const std::string& controller, const std::string& key);
  /// Bring back everybody who refers to this object.
  void enqueue_watchers(const ObjectRef& ref);
  /// True when every change of the store was handed on and no controller has work.
  bool settled() const;
  /// Drop all work, builds in progress included; their steps are killed.
  void stop();

 private:
  void add(std::string_view api_version, std::string_view kind, std::string name,
           std::unique_ptr<Reconciler> reconciler);
  static Task<void> pump(ControlPlane& self);
  void hand_on(const AnyObject& object);
  Controller* controller_of(std::string_view api_version, std::string_view kind) const;

  Env& env_;
  control::Context& context_;
  std::map<std::pair<std::string, std::string>, std::string, std::less<>> by_kind_;
  std::vector<std::unique_ptr<Reconciler>> reconcilers_;
  std::map<std::string, std::unique_ptr<Controller>, std::less<>> controllers_;
  std::unique_ptr<Watch> watch_;
  std::string seen_version_;
  TaskSet tasks_;
};

}  // namespace knative
