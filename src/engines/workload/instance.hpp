// One instance of a revision: its containers from start to end. Private to the workload.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engines/workload/probes.hpp"
#include "knative/workload.hpp"

namespace knative {

/// Runs the containers of one instance. Its sidecars are started again whenever they end; what
/// happens to the container that serves is told. Destroying it ends everything at once.
class Instance {
 public:
  /// Of its owner.
  class Listener {
   public:
    /// A sidecar.
    virtual void part_failed(const InstanceFailure& problem) = 0;
    /// Something runs and has not become ready for a while.
    virtual void part_waits(const std::string& why) = 0;

   protected:
    ~Listener() = default;
  };
  /// Everything must outlive the instance.
  Instance(Env& env, ContainerRuntime& runtime, const InstanceSpec& spec, ContainerOutput output,
           Listener& listener);
  ~Instance();

  /// Init containers, then everything else until it is ready; why it does not get there.
  Task<std::optional<InstanceFailure>> start();
  /// After `start`: wait until it must be replaced.
  Task<InstanceFailure> until_failed();
  /// Wait until it may get requests, or may not.
  Task<void> until_ready_is(bool wanted);
  /// Keep all of its programs from running, and ask none of them how it is, until `thaw`. Fails,
  /// with nothing frozen, when one of them cannot be or is not ready. Not while `until_failed`.
  Result<void> freeze();
  Result<void> thaw();
  /// While it is frozen: wait until it could not go on where it was.
  Task<InstanceFailure> until_lost();
  /// Hooks, SIGTERM, and SIGKILL after `grace`; done when everything is gone.
  Task<void> stop(Duration grace);

  /// Of the container that serves.
  std::shared_ptr<http::Handler> endpoint() const { return container_->endpoint(); }
  /// What the readiness of the container that serves was missing when it was asked last.
  std::string last_problem() const;
  /// How long it may take to stop, after what `until_failed` or `start` said.
  Duration grace() const noexcept { return grace_; }

 private:
  /// A sidecar.
  struct Part {
    explicit Part(const InstanceSpec& s) : spec(s) {}
    const InstanceSpec& spec;
    RestartSchedule schedule;
    std::unique_ptr<Container> container;
    std::optional<Prober> prober;
    bool ready = false;
  };
  using Problem = std::optional<InstanceFailure>;

  Task<Problem> run_init(const ContainerSpec& spec);
  Task<Problem> settle();
  Task<Problem> settle_parts();
  Task<void> until_part_is_ready(const Part& part);
  Task<void> tell_waiting(std::string why);
  Task<Problem> post_start(const InstanceSpec& spec, Container& container);
  Task<Error> unwell();
  Task<void> keep(Part& part);
  Task<Problem> live(Part& part);
  Task<Problem> serve(Part& part);
  Task<void> keep_ready(Part& part);
  Task<void> watch_readiness(Prober& prober, bool& ready);
  Task<void> stop_one(const InstanceSpec& spec, Container& container, Duration grace);
  Task<std::optional<std::string>> run_hook(const InstanceHook& hook, const InstanceSpec& spec,
                                            Container& container);
  bool ready() const noexcept;
  Result<void> keep_all_from_running(bool frozen);
  ContainerOutput output_of(const ContainerSpec& spec) const;
  static InstanceFailure ended(const ContainerSpec& spec, const Container& container,
                               const ExitStatus& status, std::string_view how);

  Env& env_;
  ContainerRuntime& runtime_;
  const InstanceSpec& spec_;
  const ContainerOutput output_;
  Listener& listener_;
  std::unique_ptr<Container> container_;
  std::optional<Prober> prober_;
  bool container_ready_ = false;
  bool frozen_ = false;
  Duration grace_;
  std::vector<std::unique_ptr<Part>> parts_;
  Wakeup changed_;  ///< Readiness of something.
  TaskSet tasks_;
};

}  // namespace knative
