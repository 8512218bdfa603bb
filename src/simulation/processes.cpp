// Simulated programs: coroutines with arguments, streams, signals and an exit status.
//
// Nothing of a process happens inside its owner's call: output, signals and the end come in a
// later turn, as from a real child, so callbacks may do what they like with the process.
#include <algorithm>
#include <deque>

#include "simulation/world.hpp"

namespace knative::simulation {
namespace {

class ProcessTable;

class SimProcess final : public Process, public SimProcessContext, private TimerNode {
 public:
  SimProcess(ProcessTable& table, const ProcessOptions& options, int pid, SimProgram program);
  ~SimProcess() override;

  // The owner's side.
  int pid() const noexcept override { return pid_; }
  Task<ExitStatus> wait() override;
  void signal(int number) noexcept override;
  Result<void> freeze() override;
  Result<void> thaw() override;

  // The program's side.
  const std::vector<std::string>& argv() const override { return options_.argv; }
  const std::map<std::string, std::string>& environment() const override {
    return options_.environment;
  }
  const std::string& working_directory() const override { return options_.working_directory; }
  const std::string& root_directory() const override { return options_.root_directory; }
  Env& env() override;
  void write_stdout(std::string_view text) override { write(true, text); }
  void write_stderr(std::string_view text) override { write(false, text); }
  void handle_signal(int number) override { handled_.insert(number); }
  Task<int> next_signal() override;

  void start();
  /// Something of it waits for the clock.
  bool busy() const noexcept { return armed(); }

 private:
  struct Killer final : TimerNode {
    explicit Killer(SimProcess& p) : process(p) {}
    void fire() noexcept override { process.signal(9); }
    SimProcess& process;
  };
  void write(bool to_stdout, std::string_view text);
  void wake();
  void fire() noexcept override;
  void handle_signals();
  Task<int> main();

  ProcessTable& table_;
  ProcessOptions options_;
  int pid_;
  SimProgram program_;
  Wakeup finished_;
  std::optional<detail::Branch<int>> branch_;
  std::deque<std::pair<bool, std::string>> output_;
  std::deque<int> signals_;        // sent, not yet seen by the process
  std::deque<int> handled_queue_;  // for next_signal
  Wakeup signalled_;
  std::set<int> handled_;
  std::optional<ExitStatus> status_;
  Wakeup ended_;
  bool frozen_ = false;  // hears no signal but SIGKILL; its program is not held up
  Killer killer_{*this};
  bool reported_ = false;
  bool* gone_ = nullptr;  // set while a callback runs that may destroy the process
};

class ProcessTable final : public ProcessWorld, public Processes {
 public:
  ProcessTable(World& w, Random chance) : world(w), random(chance) {}
  Processes& processes() noexcept override { return *this; }
  void add_program(std::string name, SimProgram program) override {
    programs_[std::move(name)] = std::move(program);
  }
  std::size_t running() const noexcept override { return live.size(); }
  bool busy() const noexcept override {
    return std::any_of(live.begin(), live.end(),
                       [](const auto& one) { return one.second->busy(); });
  }
  std::vector<std::string> command_lines() const override;
  Result<std::unique_ptr<Process>> spawn(const ProcessOptions& options) override;

  World& world;
  Random random;
  Env* env = nullptr;
  std::map<int, const SimProcess*> live;  // by pid: those that have not ended

 private:
  const SimProgram* find(const ProcessOptions& options) const;
  std::string interpreter(const ProcessOptions& options) const;
  std::map<std::string, SimProgram> programs_;
  int next_pid_ = 1000;
};

// ---------------------------------------------------------------------------- process

SimProcess::SimProcess(ProcessTable& table, const ProcessOptions& options, int pid,
                       SimProgram program)
    : table_(table), options_(options), pid_(pid), program_(std::move(program)) {
  table_.live.emplace(pid_, this);
}

SimProcess::~SimProcess() {
  if (gone_ != nullptr) *gone_ = true;
  branch_.reset();
  if (!reported_) {
    table_.live.erase(pid_);
    table_.world.record(TraceKind::process, "killed " + options_.argv.front(),
                        static_cast<std::uint64_t>(pid_));
  }
}

Env& SimProcess::env() { return *table_.env; }

Task<int> SimProcess::main() { return program_(*this); }

void SimProcess::start() {
  const FaultPlan& plan = table_.world.faults.plan();
  FaultDecider& faults = table_.world.faults;
  table_.world.record(TraceKind::process, "start " + options_.argv.front(),
                      static_cast<std::uint64_t>(pid_));
  if (faults.chance(plan.process_killed, "process_killed", options_.argv.front())) {
    const Duration after(
        faults.up_to(static_cast<std::uint64_t>(plan.process_killed_after_max.count())));
    table_.world.clock.arm(killer_, table_.world.clock.now() + after);
  }
  if (faults.chance(plan.process_hang, "process_hang", options_.argv.front())) return;
  auto guarded = [](SimProcess& self) -> Task<int> {
    int code = -6;
    try {
      code = co_await self.main();
    } catch (...) {
      code = -6;  // an exception that nobody catches ends in abort()
    }
    self.status_ = code < 0 ? ExitStatus{0, -code} : ExitStatus{code & 0xff, 0};
    self.wake();
    co_return code;
  };
  branch_.emplace(table_.world.ready, guarded(*this), finished_);
  branch_->run();
}

void SimProcess::wake() {
  if (!armed()) table_.world.clock.arm(*this, table_.world.clock.now());
}

void SimProcess::write(bool to_stdout, std::string_view text) {
  if (text.empty()) return;
  output_.emplace_back(to_stdout, std::string(text));
  wake();
}

void SimProcess::signal(int number) noexcept {
  if (status_) return;
  signals_.push_back(number);
  wake();
}

Result<void> SimProcess::freeze() {
  if (!options_.freezable) return Process::freeze();
  if (status_) return fail(Errc::failed_precondition, "it has ended");
  frozen_ = true;
  table_.world.record(TraceKind::process, "freeze " + options_.argv.front(),
                      static_cast<std::uint64_t>(pid_));
  return {};
}

Result<void> SimProcess::thaw() {
  if (!std::exchange(frozen_, false)) return {};
  table_.world.record(TraceKind::process, "thaw " + options_.argv.front(),
                      static_cast<std::uint64_t>(pid_));
  wake();
  return {};
}

Task<int> SimProcess::next_signal() {
  while (handled_queue_.empty()) co_await signalled_.wait();
  const int number = handled_queue_.front();
  handled_queue_.pop_front();
  co_return number;
}

void SimProcess::handle_signals() {
  while (!signals_.empty() && !status_) {
    if (frozen_ && std::find(signals_.begin(), signals_.end(), 9) == signals_.end()) return;
    const int number = signals_.front();
    signals_.pop_front();
    table_.world.record(TraceKind::process, "signal " + options_.argv.front(),
                        static_cast<std::uint64_t>(number));
    // Child, continue, window and urgent are ignored unless handled.
    const bool harmless =
        number == 0 || number == 17 || number == 18 || number == 23 || number == 28;
    if (number != 9 && handled_.count(number) != 0) {
      handled_queue_.push_back(number);
      signalled_.notify_all();
    } else if (!harmless) {
      status_ = ExitStatus{0, number};
    }
  }
}

/// Runs from the clock, never inside the program or its owner.
void SimProcess::fire() noexcept {
  handle_signals();
  while (!output_.empty()) {
    const auto [to_stdout, text] = std::move(output_.front());
    output_.pop_front();
    table_.world.record(TraceKind::process, text, text.size());
    const auto& callback = to_stdout ? options_.on_stdout : options_.on_stderr;
    if (!callback) continue;
    bool gone = false;
    gone_ = &gone;
    callback(text);
    if (gone) return;
    gone_ = nullptr;
  }
  if (status_ && !reported_) {
    reported_ = true;
    table_.live.erase(pid_);
    branch_.reset();  // drops the program when a signal ended it
    killer_.disarm();
    table_.world.record(TraceKind::process,
                        "end " + options_.argv.front() + " " + status_->to_string(),
                        static_cast<std::uint64_t>(pid_));
    ended_.set();
  }
}

Task<ExitStatus> SimProcess::wait() {
  co_await ended_.wait();
  co_return *status_;
}

// ---------------------------------------------------------------------------- table

/// The name in the first line "#!NAME" of the program's file.
std::string ProcessTable::interpreter(const ProcessOptions& options) const {
  const std::string& program = options.argv.front();
  if (program.find('/') == std::string::npos) return {};
  std::string path = options.root_directory;
  if (program.front() != '/') path += options.working_directory + "/";
  path += program;
  Result<std::unique_ptr<File>> file = env->files.open(path, OpenOptions{});
  if (!file) return {};
  char line[256];
  const Result<std::size_t> count = (*file)->read_at(0, std::span<char>(line, sizeof line));
  if (!count) return {};
  const std::string_view text(line, *count);
  if (text.substr(0, 2) != "#!") return {};
  return std::string(text.substr(2, text.find('\n') - 2));
}

const SimProgram* ProcessTable::find(const ProcessOptions& options) const {
  const std::string& program = options.argv.front();
  auto found = programs_.find(program);
  if (found == programs_.end()) found = programs_.find(interpreter(options));
  if (found == programs_.end()) found = programs_.find(program.substr(program.rfind('/') + 1));
  return found == programs_.end() ? nullptr : &found->second;
}

std::vector<std::string> ProcessTable::command_lines() const {
  std::vector<std::string> lines;
  for (const auto& [pid, process] : live) {
    std::string line;
    for (const std::string& word : process->argv())
      line.append(line.empty() ? "" : " ").append(word);
    lines.push_back(std::move(line));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

Result<std::unique_ptr<Process>> ProcessTable::spawn(const ProcessOptions& options) {
  if (options.isolation || !options.view.empty()) {
    return fail(Errc::unimplemented, "processes of this world cannot be isolated");
  }
  if (options.argv.empty() || options.argv.front().empty()) {
    return fail(Errc::invalid_argument, "argv is empty");
  }
  const std::string& name = options.argv.front();
  if (world.faults.strikes(SimOperation::spawn, name)) {
    return fail(Errc::resource_exhausted, name + ": cannot make another process");
  }
  const std::string directory = options.root_directory + options.working_directory;
  if (!directory.empty()) {
    const Result<std::vector<FileInfo>> there = env->files.list(directory);
    if (!there) return there.error().within("working directory of " + name);
  }
  const SimProgram* program = find(options);
  if (program == nullptr) return fail(Errc::not_found, name + ": no such program");
  auto process = std::make_unique<SimProcess>(*this, options, next_pid_++, *program);
  process->start();
  return std::unique_ptr<Process>(std::move(process));
}

}  // namespace

std::unique_ptr<ProcessWorld> make_processes(World& world, Random random) {
  return std::make_unique<ProcessTable>(world, random);
}

void complete_processes(ProcessWorld& processes, Env& env) {
  static_cast<ProcessTable&>(processes).env = &env;
}

}  // namespace knative::simulation
