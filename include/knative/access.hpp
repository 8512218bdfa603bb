/// \file
/// What the faces of a platform need from its extensions, and what an event subscription is.
///
/// The extension that serves Brokers and Channels provides `EventAccess`, the one that runs
/// Revisions provides `ScaleAccess`; a host's own extension may stand in their place. Everything
/// belongs to the platform's loop.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/error.hpp"
#include "knative/event.hpp"
#include "knative/log.hpp"
#include "knative/parked.hpp"
#include "knative/task.hpp"

namespace knative {

/// A function that receives events and may reply with one.
using EventHandler = std::function<Task<Reply>(const CloudEvent& event)>;

/// A subscription made by `Platform::subscribe`; destroying it unsubscribes and deletes its
/// Trigger. Must not outlive its platform.
class KNATIVE_EXPORT EventSubscription {
 public:
  EventSubscription() = default;
  EventSubscription(std::string trigger, std::function<void()> cancel)
      : trigger_(std::move(trigger)), cancel_(std::move(cancel)) {}
  EventSubscription(EventSubscription&& other) noexcept
      : trigger_(std::move(other.trigger_)), cancel_(std::exchange(other.cancel_, nullptr)) {}
  EventSubscription& operator=(EventSubscription&& other) noexcept {
    if (this != &other) {
      cancel();
      trigger_ = std::move(other.trigger_);
      cancel_ = std::exchange(other.cancel_, nullptr);
    }
    return *this;
  }
  ~EventSubscription() { cancel(); }

  /// Name of the Trigger behind it.
  const std::string& trigger() const noexcept { return trigger_; }
  /// Unsubscribe now.
  void cancel() {
    if (cancel_) std::exchange(cancel_, nullptr)();
  }
  /// Keep the subscription as long as the platform lives.
  void detach() noexcept { cancel_ = nullptr; }

 private:
  std::string trigger_;
  std::function<void()> cancel_;
};

/// Publishing and subscribing in process, and what could not be delivered.
class KNATIVE_EXPORT EventAccess {
 public:
  virtual ~EventAccess() = default;
  /// See `Platform::publish`; `key` is "namespace/name".
  virtual Task<Result<Offset>> publish(std::string key, const CloudEvent& event) = 0;
  Task<Result<Offset>> publish(std::string key, CloudEvent&& event) = delete;
  /// See `Platform::subscribe`.
  virtual Result<EventSubscription> subscribe(std::string key, Filter filter,
                                              EventHandler function) = 0;
  /// See `Platform::parked`, `Platform::redrive` and `Platform::discard`.
  virtual Result<std::vector<ParkedEvent>> parked(std::string key, ParkedSelection selection,
                                                  std::size_t count_max) = 0;
  virtual Task<Result<std::size_t>> move_parked(std::string key, ParkedSelection selection,
                                                ParkedMove move) = 0;
};

/// How many instances run.
class KNATIVE_EXPORT ScaleAccess {
 public:
  virtual ~ScaleAccess() = default;
  /// Ready instances over all revisions that the Route "namespace/name" leads to; 0 when unknown.
  virtual int ready_instances(std::string_view route_key) const = 0;
};

}  // namespace knative
