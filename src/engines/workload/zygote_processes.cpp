#include "engines/workload/zygote_processes.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <utility>

#include "base/wait_for.hpp"
#include "engines/workload/zygote_program.hpp"
#include "knative/value.hpp"

namespace knative {
namespace {

constexpr int kill_signal = 9;
constexpr int stop_signal = 19;
constexpr int continue_signal = 18;
constexpr int names_tried_max = 8;
constexpr std::string_view token_mark = "knative-zygote-token ";
constexpr std::size_t token_bytes = 64;
constexpr std::size_t hello_bytes = token_bytes + 20;  // " r 0123456789abcdef\n"
/// Connections that have not said yet who they are: strangers keep no more, and not for longer.
constexpr int greetings_max = 64;
constexpr Duration greeting_max = std::chrono::seconds(5);
constexpr std::size_t request_bytes_max = std::size_t{4} << 20;
constexpr std::size_t answer_bytes_max = std::size_t{64} << 10;
constexpr std::size_t unsent_max = 4096;
constexpr std::size_t zygote_lines_max = 20;
constexpr std::size_t zygote_line_bytes_max = 8192;
/// As `Processes` wait for the output of who has ended.
constexpr Duration drain_max = std::chrono::seconds(2);

std::string hex(std::uint64_t number) {
  std::string digits(16, '0');
  for (std::size_t i = digits.size(); i-- > 0; number >>= 4) {
    digits[i] = "0123456789abcdef"[number & 15];
  }
  return digits;
}

Value list_of(const std::vector<std::string>& words) {
  Value::List list;
  for (const std::string& word : words) list.emplace_back(word);
  return list;
}

std::int64_t number_at(const Value& message, std::string_view name) {
  const Value* const found = message.find(name);
  const std::int64_t* const number = found != nullptr ? found->if_int() : nullptr;
  return number != nullptr ? *number : 0;
}

const std::string* text_at(const Value& message, std::string_view name) {
  const Value* const found = message.find(name);
  return found != nullptr ? found->if_string() : nullptr;
}

}  // namespace

// ---------------------------------------------------------------------------- forks

/// A fork, which its zygote watches.
class ForkedProcess final : public Process, private TimerNode {
 public:
  ForkedProcess(std::shared_ptr<Zygote> zygote, const ProcessOptions& options, std::uint64_t number)
      : zygote_(std::move(zygote)),
        number_(number),
        freezable_(options.freezable),
        out_{options.on_stdout, nullptr, false},
        err_{options.on_stderr, nullptr, false},
        tasks_(zygote_->env_.executor) {}
  ~ForkedProcess() override { zygote_->forget(number_); }

  int pid() const noexcept override { return pid_; }

  Task<ExitStatus> wait() override {
    while (!ended_ || !out_.done || !err_.done) co_await changed_.wait();
    co_return status_;
  }

  void signal(int number) noexcept override {
    if (!ended_) zygote_->signal(number_, number);
  }

  // When its zygote has heard it, as every signal.
  Result<void> freeze() override {
    if (!freezable_) return Process::freeze();
    if (ended_) return fail(Errc::failed_precondition, "it has ended");
    signal(stop_signal);
    frozen_ = true;
    return {};
  }
  Result<void> thaw() override {
    if (std::exchange(frozen_, false)) signal(continue_signal);
    return {};
  }

  // What its zygote tells.
  void started(int pid) noexcept { pid_ = pid; }
  void attach(char role, std::unique_ptr<Stream> stream) {
    Output& output = role == 'o' ? out_ : err_;
    if (output.stream || output.done) return;
    output.stream = std::move(stream);
    tasks_.add(read(output));
  }
  void ended(const ExitStatus& status) {
    ended_ = true;
    status_ = status;
    changed_.notify_all();
    // Whoever else holds its output has been killed.
    Timers& timers = zygote_->env_.timers;
    timers.arm(*this, timers.now() + drain_max);
  }
  /// Without its zygote, or for want of a process.
  void lost(const ExitStatus& status, const std::string& why) {
    if (err_.callback) err_.callback(why + "\n");
    for (Output* output : {&out_, &err_}) output->done = output->done || !output->stream;
    ended(status);
  }

 private:
  struct Output {
    std::function<void(std::string_view)> callback;
    std::unique_ptr<Stream> stream;
    bool done = false;
  };

  Task<void> read(Output& output) {
    std::array<char, 16 * 1024> buffer;
    for (;;) {
      const Result<std::size_t> got = co_await output.stream->read_some(std::span<char>(buffer));
      if (!got || *got == 0) break;
      if (output.callback) output.callback(std::string_view(buffer.data(), *got));
    }
    output.done = true;
    changed_.notify_all();
  }

  void fire() noexcept override {
    for (Output* output : {&out_, &err_}) {
      if (output->stream) output->stream->abort();  // its reader ends
      output->done = output->done || !output->stream;
    }
    changed_.notify_all();
  }

  const std::shared_ptr<Zygote> zygote_;
  const std::uint64_t number_;
  const bool freezable_;
  bool frozen_ = false;
  bool ended_ = false;
  int pid_ = 0;
  ExitStatus status_;
  Output out_;
  Output err_;
  Wakeup changed_;
  TaskSet tasks_;
};

// ---------------------------------------------------------------------------- one zygote

Zygote::Zygote(Env& env, ZygotePlan plan, Wakeup& changed)
    : env_(env),
      plan_(std::move(plan)),
      changed_(changed),
      last_lines_(zygote_lines_max),
      out_(zygote_line_bytes_max, [this](std::string_view line) { on_stdout(line); }),
      err_(zygote_line_bytes_max, [this](std::string_view line) { on_stderr(line); }),
      used_(env.timers.now()),
      tasks_(env.executor) {}

Zygote::~Zygote() {
  tasks_.clear();
  process_.reset();
}

ProcessOptions Zygote::interpreter(const PythonCommand& command) {
  const Value config = Value::Map{{"address", listener_->endpoint().path.substr(1)},
                                  {"kind", command.kind_name()},
                                  {"program", command.program},
                                  {"preload", list_of(plan_.preload)}};
  ProcessOptions options = plan_.program;
  options.argv = command.interpreter;
  options.argv.emplace_back("-c");
  options.argv.emplace_back(zygote_program);
  options.environment[zygote_variable] = config.to_json();
  options.on_stdout = [this](std::string_view piece) { out_.append(piece); };
  options.on_stderr = [this](std::string_view piece) { err_.append(piece); };
  return options;
}

Result<void> Zygote::start() {
  const Result<PythonCommand> command = PythonCommand::parse(plan_.program.argv);
  if (!command) return command.error();
  // The name is no secret: who connects must know the token.
  for (int tried = 0; !listener_; ++tried) {
    const Endpoint name{.host = {}, .port = 0, .path = "@knative-zygote-" + hex(env_.ids())};
    Result<std::unique_ptr<Listener>> listener = env_.network.listen(name);
    if (!listener && tried == names_tried_max) return listener.error();
    if (listener) listener_ = std::move(*listener);
  }
  Result<std::unique_ptr<Process>> spawned = env_.processes.spawn(interpreter(*command));
  if (!spawned) return spawned.error();
  process_ = std::move(*spawned);
  tasks_.add(watch());
  tasks_.add(accept());
  tasks_.add(watch_preload());
  tasks_.add(watch_answers());
  return {};
}

Task<Result<void>> Zygote::ready() {
  while (!ready_ && !ended_) co_await moved_.wait();
  if (why_) co_return *why_;
  co_return Result<void>();
}

Result<std::unique_ptr<Process>> Zygote::start_fork(const ProcessOptions& options) {
  if (why_) return *why_;
  const Result<PythonCommand> command = PythonCommand::parse(options.argv);
  if (!command) return command.error();
  const std::string& folder = options.working_directory;
  if (!folder.empty() && !env_.files.info(folder)) {
    return fail(Errc::not_found, folder + ": no such directory");
  }
  Value::Map environment;
  for (const auto& [name, value] : options.environment) environment.emplace(name, value);
  const std::uint64_t number = ++count_;
  const Value request = Value::Map{{"fork", number},
                                   {"kind", command->kind_name()},
                                   {"program", command->program},
                                   {"words", list_of(command->words)},
                                   {"orig", list_of(options.argv)},
                                   {"env", std::move(environment)},
                                   {"cwd", folder.empty() ? std::string("/") : folder}};
  std::string message = request.to_json();
  if (message.size() > request_bytes_max) {
    return fail(Errc::invalid_argument, "its words and variables have more than " +
                                            std::to_string(request_bytes_max) + " bytes");
  }
  auto process = std::make_unique<ForkedProcess>(shared_from_this(), options, number);
  forks_[number].process = process.get();
  send(std::move(message));
  return std::unique_ptr<Process>(std::move(process));
}

void Zygote::log(LogLevel level, std::string_view message, std::string_view text) {
  env_.logger.log(level, "workload", message,
                  {{"container", plan_.name}, {"text", std::string(text)}});
}

void Zygote::on_stdout(std::string_view line) {
  if (!token_.empty() || !line.starts_with(token_mark)) {
    return log(LogLevel::info, "a zygote says", line);
  }
  token_ = line.substr(token_mark.size());
  moved_.notify_all();
}

void Zygote::on_stderr(std::string_view line) {
  last_lines_.add(line);
  log(LogLevel::info, "a zygote says", line);
}

Task<void> Zygote::accept() {
  for (;;) {
    while (greeting_ >= greetings_max) co_await moved_.wait();
    Task<Result<std::unique_ptr<Stream>>> accepting = listener_->accept();
    Result<std::unique_ptr<Stream>> stream = co_await std::move(accepting);
    if (!stream) {
      co_await env_.timers.sleep_for(std::chrono::milliseconds(10));
      continue;
    }
    ++greeting_;
    tasks_.add(greet(std::move(*stream)));
  }
}

Task<std::optional<Zygote::Hello>> Zygote::hello(Stream& stream) {
  std::array<char, hello_bytes> buffer{};
  for (std::size_t size = 0; size < buffer.size();) {
    const Result<std::size_t> got =
        co_await stream.read_some(std::span<char>(buffer).subspan(size));
    if (!got || *got == 0) co_return std::nullopt;
    size += *got;
  }
  // Its standard output may come later than its connection.
  while (token_.empty()) co_await moved_.wait();
  const std::string_view text(buffer.data(), buffer.size());
  if (token_.size() != token_bytes || text.substr(0, token_bytes) != token_) co_return std::nullopt;
  Hello said{text[token_bytes + 1], 0};
  const char* const digits = buffer.data() + token_bytes + 3;
  std::from_chars(digits, digits + 16, said.number, 16);
  co_return said;
}

Task<void> Zygote::greet(std::unique_ptr<Stream> stream) {
  Task<std::optional<Hello>> hearing = hello(*stream);
  auto bounded = with_deadline(env_.timers, std::move(hearing), env_.timers.now() + greeting_max);
  const std::optional<std::optional<Hello>> said = co_await std::move(bounded);
  --greeting_;
  moved_.notify_all();
  if (!said || !*said) co_return;
  const Hello who = **said;
  if (who.role == 'c') {
    if (control_) co_return;
    control_ = std::move(stream);
    tasks_.add(hear());
    tasks_.add(say());
    co_return;
  }
  const auto found = forks_.find(who.number);
  if (found == forks_.end() || found->second.process == nullptr) co_return;
  found->second.process->attach(who.role, std::move(stream));
}

Task<void> Zygote::hear() {
  std::string text;
  std::array<char, 4096> buffer;
  for (;;) {
    const Result<std::size_t> got = co_await control_->read_some(std::span<char>(buffer));
    if (!got || *got == 0) break;
    text.append(buffer.data(), *got);
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = text.find('\n', begin)) != text.npos; begin = end + 1) {
      on_message(std::string_view(text).substr(begin, end - begin));
    }
    text.erase(0, begin);
    if (text.size() > answer_bytes_max) break;
  }
  process_->signal(kill_signal);  // it has ended or is of no use
}

Task<void> Zygote::say() {
  for (;;) {
    while (unsent_.empty()) co_await moved_.wait();
    const std::string message = std::move(unsent_.front());
    unsent_.pop_front();
    Task<Result<std::size_t>> writing = control_->write_all(message);
    const Result<std::size_t> written = co_await std::move(writing);
    if (!written) co_return;  // `hear` sees it, too
  }
}

Task<void> Zygote::watch() {
  Task<ExitStatus> ending = process_->wait();
  const ExitStatus status = co_await std::move(ending);
  err_.finish();
  finish(status);
}

Task<void> Zygote::watch_preload() {
  co_await env_.timers.sleep_for(plan_.preload_timeout);
  if (ready_ || !usable()) co_return;
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(plan_.preload_timeout).count();
  const std::string what = importing_.empty() ? "the interpreter did not start"
                                              : "importing " + importing_ + " did not end";
  condemn(fail(Errc::deadline_exceeded, what + " within " + std::to_string(seconds) + " s"));
}

// One that hangs would keep whoever waits for an end.
Task<void> Zygote::watch_answers() {
  for (;;) {
    while (!ready_ || unanswered_.empty()) co_await moved_.wait();
    const Instant due = unanswered_.front() + plan_.answer_timeout;
    if (env_.timers.now() >= due) break;
    co_await env_.timers.sleep_until(due);
  }
  condemn(fail(Errc::unavailable, "the interpreter to fork from does not answer"));
}

void Zygote::on_message(std::string_view line) {
  const Result<Value> parsed = Value::parse_json(line);
  if (!parsed || !parsed->is_map()) {
    return condemn(fail(Errc::unavailable, "the interpreter to fork from answers nonsense"));
  }
  const Value& message = *parsed;
  if (const std::string* module = text_at(message, "importing")) {
    importing_ = *module;
  } else if (const std::string* text = text_at(message, "log")) {
    log(LogLevel::warning, "a zygote does not import everything", *text);
  } else if (message.find("ready") != nullptr) {
    ready_ = true;
    moved_.notify_all();
  } else if (message.find("end") != nullptr) {
    on_end(message);
  } else if (message.find("fork") != nullptr) {
    on_fork(message);
  } else if (message.find("signal") != nullptr) {
    on_answer();
  }
}

void Zygote::on_fork(const Value& message) {
  on_answer();
  const auto fork = forks_.find(static_cast<std::uint64_t>(number_at(message, "fork")));
  if (fork == forks_.end()) return;
  ForkedProcess* const process = fork->second.process;
  const std::string* const error = text_at(message, "error");
  if (error == nullptr) {
    if (process != nullptr) process->started(static_cast<int>(number_at(message, "pid")));
    return;
  }
  fork->second.ended = true;
  if (process == nullptr) {
    forks_.erase(fork);
  } else {
    process->lost(ExitStatus{255}, "cannot fork: " + *error);
  }
}

void Zygote::on_end(const Value& message) {
  const auto fork = forks_.find(static_cast<std::uint64_t>(number_at(message, "end")));
  if (fork == forks_.end()) return;
  fork->second.ended = true;
  ExitStatus status;
  status.code = static_cast<int>(number_at(message, "code"));
  status.signal = static_cast<int>(number_at(message, "signal"));
  if (fork->second.process == nullptr) {
    forks_.erase(fork);
  } else {
    fork->second.process->ended(status);
  }
}

void Zygote::on_answer() {
  if (!unanswered_.empty()) unanswered_.pop_front();
}

void Zygote::send(std::string message) {
  if (!usable()) return;
  if (unsent_.size() >= unsent_max) {
    return condemn(fail(Errc::unavailable, "the interpreter to fork from does not listen"));
  }
  used_ = env_.timers.now();
  unsent_.push_back(std::move(message) + "\n");
  unanswered_.push_back(used_);
  moved_.notify_all();
}

void Zygote::signal(std::uint64_t number, int signal) {
  send("{\"signal\":" + std::to_string(number) + ",\"number\":" + std::to_string(signal) + "}");
}

void Zygote::forget(std::uint64_t number) {
  const auto fork = forks_.find(number);
  if (fork != forks_.end() && fork->second.ended) {
    forks_.erase(fork);
  } else if (fork != forks_.end()) {
    fork->second.process = nullptr;
    signal(number, kill_signal);
  }
  used_ = env_.timers.now();
  changed_.notify_all();
}

void Zygote::condemn(Error why) {
  if (!usable()) return;
  why_ = std::move(why);
  process_->signal(kill_signal);
}

void Zygote::finish(const ExitStatus& status) {
  ended_ = true;
  if (!why_) {
    std::string what = ready_ ? "the interpreter that it was forked from has ended ("
                              : plan_.program.argv.front() + " ended before it could fork (";
    what.append(status.to_string()).append(")");
    const std::vector<std::string> lines = last_lines_.all();
    if (!lines.empty()) what.append("; its last output:");
    for (const std::string& line : lines) what.append("\n  ").append(line);
    why_ = fail(Errc::unavailable, what);
  }
  log(LogLevel::warning, "a zygote has ended", why_->detail);
  // The kernel has killed them: they are its children.
  for (auto& [number, fork] : forks_) {
    if (fork.process != nullptr && !std::exchange(fork.ended, true)) {
      fork.process->lost(ExitStatus{0, kill_signal}, why_->detail);
    }
  }
  moved_.notify_all();
  changed_.notify_all();
}

// ---------------------------------------------------------------------------- all of them

Zygotes::Zygotes(Env& env, const ZygoteOptions& options)
    : env_(env), zygotes_max_(options.zygotes_max), idle_(options.idle), tasks_(env.executor) {}

std::shared_ptr<Zygote> Zygotes::find(const std::string& key) const {
  const auto found = zygotes_.find(key);
  return found != zygotes_.end() && found->second->usable() ? found->second : nullptr;
}

Result<std::shared_ptr<Zygote>> Zygotes::make(const std::string& key, ZygotePlan plan) {
  auto zygote = std::make_shared<Zygote>(env_, std::move(plan), changed_);
  if (Result<void> started = zygote->start(); !started) return started.error();
  zygotes_[key] = zygote;
  end_surplus();
  if (tasks_.empty()) tasks_.add(tend());
  changed_.notify_all();
  return zygote;
}

// Whoever waits for it, or has a fork of it, shares it.
bool Zygotes::idle(const std::shared_ptr<Zygote>& zygote) const noexcept {
  return zygote.use_count() == 1;
}

void Zygotes::end_surplus() {
  while (zygotes_.size() > zygotes_max_) {
    auto oldest = zygotes_.end();
    for (auto at = zygotes_.begin(); at != zygotes_.end(); ++at) {
      if (!idle(at->second)) continue;
      if (oldest == zygotes_.end() || at->second->used() < oldest->second->used()) oldest = at;
    }
    if (oldest == zygotes_.end()) return;
    zygotes_.erase(oldest);
  }
}

std::optional<Instant> Zygotes::end_expired() {
  const Instant now = env_.timers.now();
  std::erase_if(zygotes_, [&](const auto& entry) {
    const auto& [key, zygote] = entry;
    return !zygote->usable() || (idle(zygote) && now - zygote->used() >= idle_);
  });
  if (zygotes_.empty()) return std::nullopt;
  Instant next = now + idle_;
  for (const auto& [key, zygote] : zygotes_) {
    if (idle(zygote)) next = std::min(next, zygote->used() + idle_);
  }
  return next;
}

Task<void> Zygotes::tend() {
  for (;;) {
    end_surplus();
    const std::optional<Instant> next = end_expired();
    if (!next) {
      co_await changed_.wait();
      continue;
    }
    auto waiting = with_deadline(env_.timers, base::wait_for(changed_), *next);
    static_cast<void>(co_await std::move(waiting));
  }
}

}  // namespace knative
