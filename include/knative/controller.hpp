/// \file
/// Level-triggered control: a queue of keys, and a controller that hands them to a reconciler.
///
/// A `Reconciler` moves the world one step from what is to what is wanted, for one key,
/// idempotently. The controller calls it for one key at a time per key, again after a back-off
/// when it fails, again at the time it asks for, and once more when the key was added while it
/// ran. What a key means (usually "namespace/name") is the reconciler's business.
///
/// \code
/// knative::Controller controller(env.executor, env.timers, env.logger, "route", reconciler);
/// controller.enqueue("default/hello");
/// \endcode
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/task.hpp"

namespace knative {

/// Delays between attempts for one key: `base * 2^(failures - 1)`, at most `limit`.
struct BackoffOptions {
  Duration base = std::chrono::milliseconds(5);
  Duration limit = std::chrono::seconds(60);
};

/// A set of keys with due times. Pure: takes time as an argument, owns no timer.
///
/// A key is in the queue at most once; adding a key that is being worked on marks it dirty, and
/// `done` queues it again. Memory is bounded by the number of distinct live keys.
class KNATIVE_EXPORT WorkQueue {
 public:
  explicit WorkQueue(BackoffOptions backoff = {}) : backoff_(backoff) {}

  /// Want `key` now. An earlier due time wins over a later one.
  void add(const std::string& key, Instant now) { add_at(key, now); }
  /// Want `key` at `due` or earlier.
  void add_at(const std::string& key, Instant due);
  /// Take the key with the earliest due time at or before `now`. It is then in progress until
  /// `done`, `failed` or `forget`.
  std::optional<std::string> take(Instant now);
  /// The work for `key` succeeded; its failures are forgotten.
  void done(const std::string& key, Instant now);
  /// The work for `key` failed; it is queued again after the back-off.
  void failed(const std::string& key, Instant now);
  /// When the next key is due; empty when nothing is queued.
  std::optional<Instant> next_due() const;

  /// Failures of `key` since its last success.
  int failures(const std::string& key) const;
  std::size_t queued() const noexcept { return due_.size(); }
  std::size_t in_progress() const noexcept { return in_progress_.size(); }

 private:
  struct Entry {
    std::optional<Instant> due;
    int failures = 0;
  };
  void settle(const std::string& key, Instant now);
  BackoffOptions backoff_;
  std::map<std::string, Entry, std::less<>> entries_;
  std::set<std::pair<Instant, std::string>> due_;
  std::map<std::string, std::optional<Instant>> in_progress_;  ///< key -> wanted again at
};

/// What a reconciler asks for after a success.
struct Requeue {
  /// Call again after this long; empty: only when the key is added again.
  std::optional<Duration> after = {};
  /// Something failed although a step was made: call again after the back-off.
  std::optional<Error> failure = {};

  static Requeue never() { return {}; }
  static Requeue in(Duration duration) { return Requeue{.after = duration}; }
  static Requeue failed(Error error) { return Requeue{.failure = std::move(error)}; }
};

/// Moves the world one step for one key.
class KNATIVE_EXPORT Reconciler {
 public:
  virtual ~Reconciler() = default;
  /// Called for one key at a time per key, for several keys at once. An error is logged and the
  /// key tried again after the back-off, what it throws too; `conflict` is tried again after the
  /// base delay and does not count as a failure.
  virtual Task<Result<Requeue>> reconcile(std::string key) = 0;
};

/// Bounds of a controller.
struct ControllerOptions {
  int workers_max = 4;  ///< Keys worked on at once.
  BackoffOptions backoff;
};

/// Runs a reconciler until destroyed; destruction drops work in progress.
class KNATIVE_EXPORT Controller {
 public:
  /// All references must outlive the controller.
  Controller(Executor& executor, Timers& timers, Logger& logger, std::string name,
             Reconciler& reconciler, ControllerOptions options = {});
  ~Controller();
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  /// Want `key` reconciled soon.
  void enqueue(const std::string& key);
  /// Want `key` reconciled after `delay`.
  void enqueue_after(const std::string& key, Duration delay);
  /// True when nothing is due or in progress (keys may still wait for their time).
  bool idle() const;
  /// How often the reconciler was called, and how often it failed.
  std::size_t reconciled() const noexcept;
  std::size_t failures() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative
