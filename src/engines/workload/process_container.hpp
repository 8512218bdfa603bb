// What runtimes of programs share: ports, output, a watcher. Private to the workload.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engines/workload/disk_bounds.hpp"
#include "engines/workload/lines.hpp"
#include "knative/container_runtimes.hpp"

namespace knative {

/// A port of this machine with the listener that keeps others from taking it.
struct ClaimedPort {
  std::uint16_t number = 0;
  std::unique_ptr<Listener> claim;
};

/// Adds what cannot be done with the ports of a program, which is spoken to by `http::Client`.
void check_ports(FieldErrors& errors, const std::vector<core::ContainerPort>& ports,
                 std::string_view what);

/// What a runtime starts for a container.
struct Program {
  ProcessOptions start;
  ProcessOptions beside;       ///< For `Container::exec`, but for the words.
  std::shared_ptr<void> keep;  ///< Whatever must live as long as the process.
  /// Not empty: a file that is there once the container's program runs. Until then its end is a
  /// failure to start it, and `failure` says why.
  std::string begun;
  std::function<Error()> failure;
};

/// How a runtime starts programs. Shared with what it has started.
class ProgramStarter {
 public:
  /// `chance`: a name of its own for whoever should not take the ports that another one of this
  /// world has just given up.
  ProgramStarter(Env& e, const ProcessRuntimeOptions& o, std::string_view chance = "workload.ports")
      : env(e), options(o), random(e.random.split(chance)) {}
  virtual ~ProgramStarter() = default;

  /// Words, variables and places of the program; `port` 0: it serves nothing. `beside`: whose
  /// network it gets; null: none but its own.
  virtual Result<Program> program(const ContainerSpec& spec, const ImageRoot& image,
                                  std::uint16_t port, const ContainerSpec* beside) = 0;
  /// Whether PORT must be a free port of this machine; else it is the container's own.
  virtual bool needs_port() const = 0;
  /// Start a command beside a program that runs, of whose options it has all but the words.
  virtual Result<std::unique_ptr<Process>> run_beside(Process& process, const ImageRoot& image,
                                                      ProcessOptions options) = 0;

  /// Start what `program` gave, with the output and the rest in `options`. This one lets
  /// `Env::processes` do it.
  virtual Result<std::unique_ptr<Process>> spawn(const Program& program,
                                                 const ProcessOptions& options);

  /// Before a program with a network of its own runs: what listens in there for it, as long as it
  /// runs. This one gives nothing.
  virtual Result<std::shared_ptr<void>> serve_inside(const ContainerSpec& spec, Network& inside);

  /// Of what one container writes to its root; 0: no bound.
  virtual std::uint64_t disk_bytes_max() const { return 0; }
  /// How the container has ended whose process has ended so. This one takes it as it is.
  virtual ExitStatus told(const ExitStatus& process) const { return process; }

  Result<ClaimedPort> take_port();
  bool is_free(std::uint16_t port);

  Env& env;
  const ProcessRuntimeOptions options;

 private:
  std::unique_ptr<Listener> claim_port(std::uint16_t port);
  Random random;
};

/// A program with its port and its watcher.
class ProcessContainer final : public Container {
 public:
  ProcessContainer(std::shared_ptr<ProgramStarter> starter, const ContainerSpec& spec,
                   ImageRoot image, ContainerOutput output);
  ~ProcessContainer() override;
  /// `beside`: a program with a network of its own, which this one shares; needed for the call.
  Result<void> start(ProcessContainer* beside = nullptr);
  /// Wait until its program runs. Fails with why it does not.
  Task<Result<void>> begun();

  Task<ExitStatus> wait() override;
  void signal(int number) override;
  Task<void> stop(Duration grace) override;
  std::shared_ptr<http::Handler> endpoint() const override { return endpoint_; }
  std::optional<Endpoint> address(std::uint16_t port) const override;
  std::shared_ptr<Network> network() const override { return network_; }
  std::vector<std::string> last_lines() const override { return last_lines_.all(); }
  Result<ContainerStats> stats() const override;
  Result<void> freeze() override;
  Result<void> thaw() override;
  Task<Result<ExitStatus>> exec(std::vector<std::string> command, ContainerOutput output) override;

 private:
  void release();
  Result<void> launch(ProcessContainer* beside = nullptr);
  Error as_written(Error error) const;
  void make_endpoint();
  Task<void> watch();
  Task<void> watch_disk(std::vector<DiskBound> bounds);
  void on_line(std::string_view stream, std::string_view line);

  std::shared_ptr<ProgramStarter> starter_;
  ContainerSpec spec_;
  ImageRoot image_;
  ContainerOutput sink_;
  LastLines last_lines_;
  LineSplitter out_;
  LineSplitter err_;
  Program program_;  ///< Without output.
  std::uint16_t port_ = 0;
  std::unique_ptr<Listener> claim_;
  std::unique_ptr<Process> process_;
  std::shared_ptr<Network> network_;
  std::shared_ptr<void> inside_;  ///< What listens in that network.
  std::shared_ptr<http::Handler> endpoint_;
  ExitStatus status_;
  bool evicted_ = false;
  bool stopping_ = false;
  Wakeup ended_;
  TaskSet tasks_;
};

}  // namespace knative
