/// \file
/// Instances of a revision: containers that are probed, announced when ready, and replaced.
///
/// `RevisionPool` keeps as many as it is told and announces those that are ready to an
/// `EndpointListener`. What runs in them is a `ContainerSpec` (container.hpp) and its runtime's
/// business. Everything belongs to its loop.
///
/// \code
/// knative::InstanceSpec spec{.container = {.name = "hello", .image = "fn:hello"}};
/// spec.container.ports.push_back({.container_port = 8080});
/// knative::RevisionPool pool(env, runtime, listener, spec);
/// pool.scale_to(2);
/// \endcode
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/container.hpp"
#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/http.hpp"
#include "knative/task.hpp"

namespace knative {

// ---------------------------------------------------------------------------- instances

/// How to find out that an instance is well.
struct InstanceProbe {
  enum class Kind : unsigned char { tcp = 0, http = 1, exec = 2, grpc = 3 };
  Kind kind = Kind::tcp;
  std::uint16_t port = 0;  ///< As the container calls it; 0: the one that is served.
  std::string host;        ///< To connect to; empty: the instance.
  std::string path = "/";  ///< HTTP: any status from 200 to 399 is well.
  std::vector<core::HttpHeader> headers;
  std::vector<std::string> command;  ///< exec: exit code 0 is well.
  std::string service;               ///< gRPC health checking: SERVING is well; empty: the server.
  Duration initial_delay{0};
  Duration period{0};                          ///< 0: aggressive, from 1 ms growing to 20 ms.
  Duration timeout = std::chrono::seconds(1);  ///< Per try.
  int success_threshold = 1;                   ///< Consecutive successes.
  int failure_threshold = 3;                   ///< Consecutive failures.
  std::optional<Duration> stop_grace;          ///< Of who fails it; else the container's.
  friend bool operator==(const InstanceProbe&, const InstanceProbe&) = default;
};

/// What a probe of a container says; a named port is looked up in `ports`. Fails with
/// `unimplemented` (scheme HTTPS) or `invalid_argument` (no such port), naming the field.
KNATIVE_EXPORT Result<InstanceProbe> instance_probe(const core::Probe& probe,
                                                    const std::vector<core::ContainerPort>& ports);

/// What is done when a container has started, or before it is told to stop.
struct InstanceHook {
  std::optional<InstanceProbe> action;  ///< Of kind exec or http, once.
  Duration pause{0};                    ///< Without an action: wait.
  friend bool operator==(const InstanceHook&, const InstanceHook&) = default;
};

/// What a hook of a container says, as `instance_probe`; `unimplemented` for a tcpSocket.
KNATIVE_EXPORT Result<InstanceHook> instance_hook(const core::LifecycleHandler& hook,
                                                  const std::vector<core::ContainerPort>& ports);

/// One instance of a revision: a container that gets requests, and what belongs to it.
struct InstanceSpec {
  /// Run before it, each to its end and one after the other. One that fails fails the instance.
  std::vector<ContainerSpec> init;
  ContainerSpec container;
  /// Run beside it, in its network (`ContainerRuntime::start_beside`), and started again whenever
  /// they end. The instance is ready when all of them are. Theirs count for nothing.
  std::vector<InstanceSpec> sidecars;
  /// Runs beside the program when that has started. When it fails, so does the container.
  std::optional<InstanceHook> post_start;
  /// Runs before the program is told to stop, within its grace, which is at least 2 s more.
  std::optional<InstanceHook> pre_stop;
  /// May it get requests? Asked until it may; with a `period` also afterwards: after
  /// `failure_threshold` failures it gets none until it is well again.
  InstanceProbe readiness;
  /// Begins when the startup probe has succeeded. `failure_threshold` failures end the instance;
  /// another takes its place.
  std::optional<InstanceProbe> liveness;
  /// Has it started? Asked before the others. `failure_threshold` failures end the instance.
  std::optional<InstanceProbe> startup;
  Duration start_timeout = std::chrono::seconds(600);  ///< To become ready (progress deadline).
  friend bool operator==(const InstanceSpec&, const InstanceSpec&) = default;
};

/// What of its container this runtime cannot do: its `unsupported`, and probes and hooks that need
/// `exec`.
KNATIVE_EXPORT FieldErrors unsupported(const InstanceSpec& spec, const ContainerRuntime& runtime);

// ---------------------------------------------------------------------------- pool

/// When to start a crashing instance again: at once, then after `initial`, doubling up to
/// `max`; forgotten once it was ready for `reset_after`. Pure.
class KNATIVE_EXPORT RestartSchedule {
 public:
  struct Options {
    Duration initial = std::chrono::milliseconds(100);
    Duration max = std::chrono::seconds(60);
    Duration reset_after = std::chrono::seconds(60);
    friend bool operator==(const Options&, const Options&) = default;
  };
  RestartSchedule() = default;
  explicit RestartSchedule(const Options& options) : options_(options) {}
  void ready(Instant now) noexcept { ready_since_ = now; }
  /// It ended or failed to start: how long to wait before the next start.
  Duration failed(Instant now) noexcept;
  /// How long `failed` would say if it failed now once more, but for what is forgotten.
  Duration next_pause() const noexcept;
  /// Failures in a row.
  int failures() const noexcept { return failures_; }

 private:
  Options options_;
  std::optional<Instant> ready_since_;
  int failures_ = 0;
};

/// Why an instance could not start or did not stay, or why one of its sidecars did not.
struct InstanceFailure {
  Error error;
  std::optional<ExitStatus> ended;  ///< Its program's end, when that was why.
  int failures = 1;                 ///< How many times in a row.
  std::string container;            ///< Which one of several; empty: the one that serves.
};

/// Who sends requests to instances. An endpoint may be held as long as a request needs it.
class KNATIVE_EXPORT EndpointListener {
 public:
  virtual ~EndpointListener() = default;
  virtual void endpoint_ready(const std::shared_ptr<http::Handler>& endpoint) = 0;
  /// Send no more requests there, from this call on; the task is done when the last has ended. It
  /// may come back by `endpoint_ready`.
  virtual Task<void> endpoint_draining(const std::shared_ptr<http::Handler>& endpoint) = 0;
  /// It crashed or drained for too long: requests in progress there have failed.
  virtual void endpoint_gone(const std::shared_ptr<http::Handler>& endpoint) = 0;
  /// An instance, or a part of it, could not start or ended by itself.
  virtual void instance_failed(const InstanceFailure& failure) = 0;
  /// One that runs has not become ready for a while, and why; again ever more rarely.
  virtual void instance_waits(const std::string& why);
  /// `ready()` or `starting()` of the pool changed.
  virtual void pool_changed() = 0;
};

struct RevisionPoolOptions {
  RestartSchedule::Options restart;
  Duration drain_timeout = std::chrono::seconds(30);  ///< Then requests in progress are dropped.
  int instances_max = 1000;
  /// Asked when none is wanted any more and one is ready, whose containers are `freezable`: whether
  /// that one is frozen instead of stopped. Empty: no. A frozen one is not ready and not probed;
  /// the next that is wanted is that one, announced as soon as it has been thawed.
  std::function<bool()> may_freeze;
  /// Of all instances; lines of init containers and sidecars begin with "[NAME] ". May be empty.
  ContainerOutput on_output;
  /// Called before each start with a copy of the spec: it may add what belongs to that instance
  /// alone, such as folders, and gives what is let go of when the instance has ended. Its error is
  /// the instance's failure. May be empty.
  std::function<Result<std::shared_ptr<void>>(InstanceSpec& spec)> prepare;
};

/// Keeps the wanted number of instances of one revision.
class KNATIVE_EXPORT RevisionPool {
 public:
  /// `env`, `runtime` and `listener` must outlive the pool.
  RevisionPool(Env& env, ContainerRuntime& runtime, EndpointListener& listener, InstanceSpec spec,
               RevisionPoolOptions options = {});
  /// Ends all instances at once; requests in progress must be gone or are dropped.
  ~RevisionPool();
  RevisionPool(const RevisionPool&) = delete;
  RevisionPool& operator=(const RevisionPool&) = delete;

  /// Want `count` instances (cut to 0..instances_max). Starts what is missing; drains and stops
  /// what is too many: first those that are not ready, then the youngest.
  void scale_to(int count);
  /// Stop the one that is frozen, if one is.
  void drop_frozen();
  /// Scale to zero, of frozen ones too, and wait until every instance is gone.
  Task<void> stop();

  const InstanceSpec& spec() const noexcept;
  int wanted() const noexcept;
  int ready() const noexcept;
  int starting() const noexcept;  ///< Includes those that wait before a restart.
  int stopping() const noexcept;
  int frozen() const noexcept;  ///< One at most; also one that drains for it.
  std::uint64_t restarts() const noexcept;
  /// The last failure, until an instance becomes ready.
  const std::optional<Error>& last_error() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative
