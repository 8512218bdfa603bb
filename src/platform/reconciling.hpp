// What the library's own reconcilers have beyond the public frame: the platform's addresses, and
// conditions that are there before the step.
#pragma once

#include <string>
#include <utility>

#include "knative/door.hpp"
#include "knative/reconciler.hpp"

namespace knative::control {

using knative::key_of;
using knative::make_key;
using knative::split_key;

/// Handed out by value; what it refers to is the platform's.
struct Scope {
  ReconcileContext& context;
  const Addresses& addresses;

  Client& client() const noexcept { return context.client; }
  Timestamp now() const { return context.now(); }
};

template <class T>
class Frame : public ObjectReconciler<T> {
 public:
  Frame(Scope scope, std::string controller)
      : ObjectReconciler<T>(scope.context, std::move(controller)), scope_(scope) {}

 protected:
  void initialize(T& object) override {
    ObjectReconciler<T>::initialize(object);
    initialize_conditions(object.status, this->now());
  }
  const Scope& scope() const noexcept { return scope_; }

 private:
  Scope scope_;
};

}  // namespace knative::control
