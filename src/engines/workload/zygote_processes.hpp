// Interpreters that fork, and their forks as processes. Private to the workload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engines/workload/lines.hpp"
#include "engines/workload/python_command.hpp"
#include "knative/env.hpp"
#include "knative/value.hpp"
#include "knative/zygote_runtime.hpp"

namespace knative {

class ForkedProcess;

/// What a zygote is made of.
struct ZygotePlan {
  std::string name;        ///< Of the container that it is made for first, for messages.
  ProcessOptions program;  ///< As a program of its own would be started, without PORT.
  std::vector<std::string> preload;
  Duration preload_timeout{0};
  Duration answer_timeout{0};
  std::shared_ptr<void> keep;  ///< Whatever must live as long as it.
};

/// An interpreter that has imported, and forks. Whatever becomes of this program, it ends with it
/// as every process does, and so do its forks, with all that they have started: they bear its
/// marks. Destroying it ends it at once. It does not outlive `changed`, which it notifies when it
/// has ended and when a fork is gone.
class Zygote final : public std::enable_shared_from_this<Zygote> {
 public:
  Zygote(Env& env, ZygotePlan plan, Wakeup& changed);
  ~Zygote();
  /// Fails as `Processes::spawn`, and with `invalid_argument` when the plan is no interpreter's.
  Result<void> start();
  /// Wait until it forks. Whoever waits must share it meanwhile. Fails with why it does not.
  Task<Result<void>> ready();
  /// A fork that runs `options`, whose words begin with this interpreter's.
  Result<std::unique_ptr<Process>> start_fork(const ProcessOptions& options);
  /// False when it has ended or is about to.
  bool usable() const noexcept { return !why_ && !ended_; }
  Instant used() const noexcept { return used_; }

 private:
  friend class ForkedProcess;
  /// One that runs, or whose object is there: its output may come after its end.
  struct Fork {
    ForkedProcess* process = nullptr;  ///< Null: nobody looks at it any more.
    bool ended = false;
  };
  /// How a connection introduces itself.
  struct Hello {
    char role = 0;  ///< 'c': control; 'o' and 'e': output of a fork.
    std::uint64_t number = 0;
  };
  ProcessOptions interpreter(const PythonCommand& command);
  void on_stdout(std::string_view line);
  void on_stderr(std::string_view line);
  Task<void> accept();
  Task<void> greet(std::unique_ptr<Stream> stream);
  Task<std::optional<Hello>> hello(Stream& stream);
  Task<void> hear();
  Task<void> say();
  Task<void> watch();
  Task<void> watch_preload();
  Task<void> watch_answers();
  void on_message(std::string_view line);
  void on_answer();
  void on_fork(const Value& message);
  void on_end(const Value& message);
  void send(std::string message);
  void signal(std::uint64_t number, int signal);
  /// The fork's object is gone.
  void forget(std::uint64_t number);
  void condemn(Error why);
  void finish(const ExitStatus& status);
  void log(LogLevel level, std::string_view message, std::string_view text);

  Env& env_;
  ZygotePlan plan_;
  Wakeup& changed_;
  std::unique_ptr<Listener> listener_;
  std::string token_;
  std::string importing_;  ///< The module that it is at.
  LastLines last_lines_;
  LineSplitter out_;
  LineSplitter err_;
  std::unique_ptr<Stream> control_;
  std::deque<std::string> unsent_;
  std::deque<Instant> unanswered_;
  std::map<std::uint64_t, Fork> forks_;
  std::uint64_t count_ = 0;
  int greeting_ = 0;
  bool ready_ = false;
  bool ended_ = false;
  std::optional<Error> why_;  ///< Why it ends.
  Instant used_{};
  Wakeup moved_;  ///< Anything of the above has changed.
  std::unique_ptr<Process> process_;
  TaskSet tasks_;
};

/// The zygotes of a runtime, by what they are for.
class Zygotes {
 public:
  Zygotes(Env& env, const ZygoteOptions& options);
  /// Null when there is none that can fork.
  std::shared_ptr<Zygote> find(const std::string& key) const;
  Result<std::shared_ptr<Zygote>> make(const std::string& key, ZygotePlan plan);
  std::size_t size() const noexcept { return zygotes_.size(); }

 private:
  Task<void> tend();
  bool idle(const std::shared_ptr<Zygote>& zygote) const noexcept;
  void end_surplus();
  /// When to look again; nothing when there is nothing to look at.
  std::optional<Instant> end_expired();

  Env& env_;
  const std::size_t zygotes_max_;
  const Duration idle_;
  Wakeup changed_;
  std::map<std::string, std::shared_ptr<Zygote>> zygotes_;
  TaskSet tasks_;
};

}  // namespace knative
