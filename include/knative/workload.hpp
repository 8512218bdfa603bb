/// \file
/// Running revisions: functions inside this process, programs beside it.
///
/// `WorkloadSpec` says what to run, `WorkloadRuntime` starts it, an `Instance` is a running copy
/// that answers requests. `RevisionPool` keeps as many instances as it is told and announces
/// those that are ready to an `EndpointListener`. The image "fn:NAME" is a function of a
/// `FunctionTable`; anything else is unpacked by an `ImageProvider` and run as a local process
/// that gets PORT, K_SERVICE, K_CONFIGURATION and K_REVISION. Everything belongs to its loop.
///
/// \code
/// knative::FunctionRuntime runtime(functions, env.offload, env.logger);
/// knative::WorkloadSpec spec{.name = "hello", .image = "fn:hello"};
/// auto instance = (co_await runtime.start(spec)).value();
/// \endcode
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/functions.hpp"
#include "knative/http.hpp"
#include "knative/task.hpp"

namespace knative {

// ---------------------------------------------------------------------------- workloads

/// How to find out that an instance may get requests.
struct ReadinessProbe {
  enum class Kind : unsigned char { tcp = 0, http = 1 };
  Kind kind = Kind::tcp;
  std::string path = "/";                      ///< HTTP: any status from 200 to 399 is ready.
  int success_threshold = 1;                   ///< Consecutive successes.
  Duration period{0};                          ///< 0: aggressive, from 1 ms growing to 20 ms.
  Duration timeout = std::chrono::seconds(1);  ///< Per try.
  friend bool operator==(const ReadinessProbe&, const ReadinessProbe&) = default;
};

/// What one revision runs.
struct WorkloadSpec {
  std::string name;   ///< For logs and errors, e.g. "default/hello-00001".
  std::string image;  ///< "fn:NAME" or an image reference.
  /// Replaces the image's entrypoint (and its arguments). In `command` and `args` a $(NAME) of
  /// the process's environment, PORT included, is expanded as in Kubernetes.
  std::vector<std::string> command;
  std::vector<std::string> args;                   ///< Replaces the image's arguments.
  std::map<std::string, std::string> environment;  ///< Literal values.
  std::string working_directory;                   ///< Empty: the image's.
  std::string service;                             ///< K_SERVICE
  std::string configuration;                       ///< K_CONFIGURATION
  std::string revision;                            ///< K_REVISION
  int container_concurrency = 0;                   ///< 0: no limit.
  ReadinessProbe readiness;
  Duration start_timeout = std::chrono::seconds(600);     ///< To become ready (progress deadline).
  Duration stop_grace = std::chrono::seconds(30);         ///< Between SIGTERM and SIGKILL.
  Duration response_timeout = std::chrono::seconds(600);  ///< To a response's header.
  friend bool operator==(const WorkloadSpec&, const WorkloadSpec&) = default;
};

/// A running copy of a workload. `handle` may be called once `ready()` succeeded, until `stop`
/// is called or it exited. Destroying it ends it at once.
class KNATIVE_EXPORT Instance : public http::Handler {
 public:
  /// Wait until it takes requests. Fails with `deadline_exceeded` (start timeout) or
  /// `unavailable` (it ended first); the detail has its last lines of output. One caller.
  virtual Task<Result<void>> ready() = 0;
  /// Ask it to end, and end it by force after `grace`. Done when it is gone.
  virtual Task<void> stop(Duration grace) = 0;
  /// Wait until it has ended, by itself or by `stop`. One caller.
  virtual Task<ExitStatus> exited() = 0;
};

/// Starts instances.
class KNATIVE_EXPORT WorkloadRuntime {
 public:
  virtual ~WorkloadRuntime() = default;
  /// Start one instance; it becomes ready later. Fails with `not_found` (no such function,
  /// image or program), `invalid_argument` (nothing to run) or what the image provider says.
  /// `spec` must stay until the task is done.
  virtual Task<Result<std::unique_ptr<Instance>>> start(const WorkloadSpec& spec) = 0;
  virtual Task<Result<std::unique_ptr<Instance>>> start(WorkloadSpec&& spec) = delete;
};

/// Prefix of images that are functions.
inline constexpr std::string_view function_image_prefix = "fn:";

/// Runs functions of `functions` on the loop. A function that throws answers 500.
class KNATIVE_EXPORT FunctionRuntime final : public WorkloadRuntime {
 public:
  FunctionRuntime(const FunctionTable& functions, Offload& offload, Logger& logger);
  ~FunctionRuntime() override;
  Task<Result<std::unique_ptr<Instance>>> start(const WorkloadSpec& spec) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// An unpacked image with what its configuration says.
struct ImageRoot {
  std::string directory;  ///< Root of the files; empty: the machine's own.
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::map<std::string, std::string> environment;
  std::string working_directory;
  std::shared_ptr<void> keep;  ///< Whatever must live while the files are used.
};

/// Turns an image reference into files.
class KNATIVE_EXPORT ImageProvider {
 public:
  virtual ~ImageProvider() = default;
  /// Fails with `not_found` when there is no such image.
  virtual Task<Result<ImageRoot>> provide(std::string image) = 0;
};

struct ProcessRuntimeOptions {
  /// Called with each line of output; `stream` is "stdout" or "stderr".
  std::function<void(const WorkloadSpec& spec, std::string_view stream, std::string_view line)>
      on_log;
  bool change_root = false;  ///< chroot into the image (needs privilege).
  /// Variables every process gets unless image or spec say otherwise.
  std::map<std::string, std::string> base_environment = {
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, {"HOME", "/tmp"}};
  std::uint16_t port_min = 20'000;  ///< Ports to give to processes, below the ephemeral ones.
  std::uint16_t port_max = 32'000;
  int start_attempts_max = 3;             ///< With other ports, when a stranger took the port.
  std::size_t log_lines_kept_max = 20;    ///< For error messages.
  std::size_t log_line_bytes_max = 8192;  ///< Longer lines are broken.
};

/// Runs images as local processes that listen on a loopback port.
///
/// Without `change_root` programs see the machine's files; the first word of the command and
/// arguments that are absolute paths of files in the image mean the image's files, and the
/// working directory is inside the image. This is no isolation: run only what you trust.
class KNATIVE_EXPORT ProcessRuntime final : public WorkloadRuntime {
 public:
  ProcessRuntime(Env& env, ImageProvider& images, ProcessRuntimeOptions options = {});
  ~ProcessRuntime() override;
  Task<Result<std::unique_ptr<Instance>>> start(const WorkloadSpec& spec) override;

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

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
  /// Failures in a row.
  int failures() const noexcept { return failures_; }

 private:
  Options options_;
  std::optional<Instant> ready_since_;
  int failures_ = 0;
};

/// Who sends requests to instances.
class KNATIVE_EXPORT EndpointListener {
 public:
  virtual ~EndpointListener() = default;
  virtual void endpoint_ready(http::Handler& endpoint) = 0;
  /// Send no more requests there, from this call on; the task is done when the last has ended.
  virtual Task<void> endpoint_draining(http::Handler& endpoint) = 0;
  /// It crashed or drained for too long: not to be used after the return.
  virtual void endpoint_gone(http::Handler& endpoint) = 0;
  /// An instance could not start or ended by itself, for the `failures`-th time in a row.
  virtual void instance_failed(const Error& error, int failures) = 0;
  /// `ready()` or `starting()` of the pool changed.
  virtual void pool_changed() = 0;
};

struct RevisionPoolOptions {
  RestartSchedule::Options restart;
  Duration drain_timeout = std::chrono::seconds(30);  ///< Then requests in progress are dropped.
  int instances_max = 1000;
};

/// Keeps the wanted number of instances of one workload.
class KNATIVE_EXPORT RevisionPool {
 public:
  /// `runtime` and `listener` must outlive the pool.
  RevisionPool(Executor& executor, Timers& timers, Logger& logger, WorkloadRuntime& runtime,
               EndpointListener& listener, WorkloadSpec spec, RevisionPoolOptions options = {});
  /// Ends all instances at once; requests in progress must be gone or are dropped.
  ~RevisionPool();
  RevisionPool(const RevisionPool&) = delete;
  RevisionPool& operator=(const RevisionPool&) = delete;

  /// Want `count` instances (cut to 0..instances_max). Starts what is missing; drains and stops
  /// what is too many: first those that are not ready, then the youngest.
  void scale_to(int count);
  /// Scale to zero and wait until every instance is gone.
  Task<void> stop();

  const WorkloadSpec& spec() const noexcept;
  int wanted() const noexcept;
  int ready() const noexcept;
  int starting() const noexcept;  ///< Includes those that wait before a restart.
  int stopping() const noexcept;
  std::uint64_t restarts() const noexcept;
  /// The last failure, until an instance becomes ready.
  const std::optional<Error>& last_error() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative
