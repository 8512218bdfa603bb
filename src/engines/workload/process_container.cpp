#include "engines/workload/process_container.hpp"

#include <optional>
#include <utility>

#include "base/complaints.hpp"
#include "base/wait_for.hpp"
#include "knative/http_client.hpp"

namespace knative {
namespace {

constexpr int signal_kill = 9;
constexpr int signal_terminate = 15;
constexpr int port_tries_max = 200;
constexpr std::size_t connections_max = 1024;
constexpr Duration begun_poll = std::chrono::milliseconds(1);

}  // namespace

void check_ports(FieldErrors& errors, const std::vector<core::ContainerPort>& ports,
                 std::string_view what) {
  const auto refuse = [&errors, what](std::size_t port, std::string_view why,
                                      std::string_view field) {
    FieldErrors found;
    found.add(field_error(std::string(what).append(why), {field}));
    errors.add(std::move(found).via_field_index("ports", port));
  };
  for (std::size_t i = 0; i < ports.size(); ++i) {
    if (ports[i].name == "h2c") refuse(i, " is spoken to in HTTP/1.1 only", "name");
    const bool tcp = ports[i].protocol.empty() || ports[i].protocol == "TCP";
    if (!tcp) refuse(i, " is reached by TCP only", "protocol");
  }
}

Result<std::unique_ptr<Process>> ProgramStarter::spawn(const Program&,
                                                       const ProcessOptions& process) {
  return env.processes.spawn(process);
}

Result<std::shared_ptr<void>> ProgramStarter::serve_inside(const ContainerSpec&, Network&) {
  return std::shared_ptr<void>();
}

Result<ClaimedPort> ProgramStarter::take_port() {
  const std::uint64_t range = std::uint64_t{options.port_max} - options.port_min + 1;
  for (int attempt = 0; attempt < port_tries_max; ++attempt) {
    const auto port = static_cast<std::uint16_t>(options.port_min + random.below(range));
    std::unique_ptr<Listener> claim = claim_port(port);
    if (claim && is_free(port)) return ClaimedPort{port, std::move(claim)};
  }
  return fail(Errc::resource_exhausted, "no free port from " + std::to_string(options.port_min) +
                                            " to " + std::to_string(options.port_max));
}

// Between the choice of a port and its program's listening there it looks free to everybody.
// Whoever runs programs on this machine as we do holds this name meanwhile; null when somebody
// has it.
std::unique_ptr<Listener> ProgramStarter::claim_port(std::uint16_t port) {
  const Endpoint name{.host = {}, .port = 0, .path = "@knative-port-" + std::to_string(port)};
  Result<std::unique_ptr<Listener>> claim = env.network.listen(name);
  return claim ? std::move(*claim) : nullptr;
}

bool ProgramStarter::is_free(std::uint16_t port) {
  const Endpoint endpoint{.host = "127.0.0.1", .port = port, .path = {}};
  return env.network.listen(endpoint).has_value();
}

ProcessContainer::ProcessContainer(std::shared_ptr<ProgramStarter> starter,
                                   const ContainerSpec& spec, ImageRoot image,
                                   ContainerOutput output)
    : starter_(std::move(starter)),
      spec_(spec),
      image_(std::move(image)),
      sink_(std::move(output)),
      last_lines_(starter_->options.log_lines_kept_max),
      out_(starter_->options.log_line_bytes_max,
           [this](std::string_view line) { on_line("stdout", line); }),
      err_(starter_->options.log_line_bytes_max,
           [this](std::string_view line) { on_line("stderr", line); }),
      tasks_(starter_->env.executor) {}

ProcessContainer::~ProcessContainer() {
  tasks_.clear();
  release();
}

Result<void> ProcessContainer::start(ProcessContainer* beside) {
  Result<void> launched = launch(beside);
  if (!launched) return launched;
  tasks_.add(watch());
  std::vector<DiskBound> bounds = disk_bounds(spec_, image_.upper, starter_->disk_bytes_max());
  if (!bounds.empty()) tasks_.add(watch_disk(std::move(bounds)));
  return launched;
}

Task<Result<void>> ProcessContainer::begun() {
  Env& env = starter_->env;
  while (!program_.begun.empty() && !env.files.info(program_.begun)) {
    if (ended_.is_set()) {
      // It may have begun and ended meanwhile.
      if (env.files.info(program_.begun)) break;
      co_return as_written(program_.failure()).within("starting " + spec_.name);
    }
    co_await env.timers.sleep_for(begun_poll);
  }
  co_return Result<void>();
}

Task<ExitStatus> ProcessContainer::wait() {
  co_await ended_.wait();
  co_return status_;
}

void ProcessContainer::signal(int number) {
  if (process_) process_->signal(number);
}

Task<void> ProcessContainer::stop(Duration grace) {
  stopping_ = true;
  if (!ended_.is_set()) {
    static_cast<void>(thaw());  // who is frozen hears nothing; SIGKILL comes in any case
    Timers& timers = starter_->env.timers;
    process_->signal(signal_terminate);
    co_await with_deadline(timers, base::wait_for(ended_), timers.now() + grace);
  }
  if (!ended_.is_set()) {
    process_->signal(signal_kill);
    co_await ended_.wait();
  }
}

std::optional<Endpoint> ProcessContainer::address(std::uint16_t port) const {
  if (port_ == 0 && port == 0) return std::nullopt;
  Endpoint place{.host = "127.0.0.1", .port = port, .path = {}};
  if (port_ == 0) return place;
  const auto served = static_cast<std::uint16_t>(spec_.ports.front().container_port);
  if (port == 0 || port == served) place.port = port_;
  return place;
}

Result<ContainerStats> ProcessContainer::stats() const {
  if (!process_ || ended_.is_set()) {
    return fail(Errc::failed_precondition, spec_.name + " has ended");
  }
  const Result<ProcessUsage> usage = process_->usage();
  if (!usage) return usage.error();
  return ContainerStats{usage->cpu_time, usage->memory_bytes, usage->processes};
}

Result<void> ProcessContainer::freeze() {
  if (ended_.is_set()) return fail(Errc::failed_precondition, spec_.name + " has ended");
  return process_->freeze();
}

Result<void> ProcessContainer::thaw() {
  return ended_.is_set() ? Result<void>() : process_->thaw();
}

Task<Result<ExitStatus>> ProcessContainer::exec(std::vector<std::string> command,
                                                ContainerOutput output) {
  if (ended_.is_set()) co_return fail(Errc::failed_precondition, spec_.name + " has ended");
  ProcessOptions options = program_.beside;
  options.argv = std::move(command);
  if (options.argv.empty()) co_return fail(Errc::invalid_argument, "exec: no command");
  const std::size_t most = starter_->options.log_line_bytes_max;
  const ContainerOutput* const sink = &output;
  LineSplitter out(most, [sink](std::string_view line) {
    if (*sink) (*sink)("stdout", line);
  });
  LineSplitter err(most, [sink](std::string_view line) {
    if (*sink) (*sink)("stderr", line);
  });
  options.on_stdout = [&out](std::string_view piece) { out.append(piece); };
  options.on_stderr = [&err](std::string_view piece) { err.append(piece); };
  Result<std::unique_ptr<Process>> process =
      starter_->run_beside(*process_, image_, std::move(options));
  if (!process) co_return process.error().within("exec in " + spec_.name);
  Task<ExitStatus> ending = (*process)->wait();
  const ExitStatus status = co_await std::move(ending);
  out.finish();
  err.finish();
  co_return status;
}

void ProcessContainer::release() {
  endpoint_.reset();
  inside_.reset();
  network_.reset();
  process_.reset();
  program_ = {};
  claim_.reset();
}

// What a $(NAME) of the program's name stands for may be a secret.
Error ProcessContainer::as_written(Error error) const {
  if (spec_.command.empty() || spec_.command.front().find("$(") == std::string::npos) return error;
  const std::string& program = program_.beside.argv.front();
  const std::size_t at = error.detail.find(program);
  if (at != std::string::npos) error.detail.replace(at, program.size(), spec_.command.front());
  return error;
}

Result<void> ProcessContainer::launch(ProcessContainer* beside) {
  if (beside != nullptr && beside->ended_.is_set()) {
    return fail(Errc::failed_precondition, beside->spec_.name + " has ended");
  }
  release();
  if (Result<void> made = make_sub_paths(starter_->env.files, spec_.mounts); !made) return made;
  if (!spec_.ports.empty()) {
    port_ = static_cast<std::uint16_t>(spec_.ports.front().container_port);
    if (starter_->needs_port()) {
      Result<ClaimedPort> port = starter_->take_port();
      if (!port) return port.error();
      port_ = port->number;
      claim_ = std::move(port->claim);
    }
  }
  Result<Program> program =
      starter_->program(spec_, image_, port_, beside != nullptr ? &beside->spec_ : nullptr);
  if (!program) return program.error();
  program_ = std::move(*program);
  ProcessOptions mine = program_.start;
  mine.freezable = spec_.freezable;
  mine.on_stdout = [this](std::string_view piece) { out_.append(piece); };
  mine.on_stderr = [this](std::string_view piece) { err_.append(piece); };
  mine.on_network = [this](Network& inside) -> Result<void> {
    Result<std::shared_ptr<void>> serving = starter_->serve_inside(spec_, inside);
    if (!serving) return serving.error();
    inside_ = std::move(*serving);
    return {};
  };
  Result<std::unique_ptr<Process>> spawned =
      beside != nullptr ? beside->process_->enter(mine) : starter_->spawn(program_, mine);
  if (!spawned) return as_written(spawned.error()).within("starting " + spec_.name);
  process_ = std::move(*spawned);
  network_ = process_->network();
  if (port_ != 0) make_endpoint();
  return {};
}

void ProcessContainer::make_endpoint() {
  http::ClientOptions client;
  client.connections_max =
      spec_.requests_max > 0 ? static_cast<std::size_t>(spec_.requests_max) : connections_max;
  if (spec_.response_timeout > Duration::zero()) client.response_timeout = spec_.response_timeout;
  client.gateway = true;
  Env& env = starter_->env;
  // Who asks only hears that there is no answer; whose program it is should hear why.
  client.on_bad_answer = [&env, name = spec_.name,
                          complaints = base::Complaints(10, 0.1)](const Error& error) mutable {
    const std::optional<std::uint64_t> unsaid = complaints.next(env.timers.now());
    if (!unsaid) return;
    env.logger.log(
        LogLevel::warning, "workload", "a program's answer is not HTTP/1.1",
        {{"container", name}, {"error", error.detail}, {"unsaid", std::to_string(*unsaid)}});
  };
  Network& network = network_ ? *network_ : env.network;
  auto made = std::make_shared<http::Client>(env.executor, env.timers, network, *address(0),
                                             std::move(client));
  // It may be held beyond the container: with the network that it connects through.
  struct Held {
    std::shared_ptr<Network> network;
    std::shared_ptr<http::Client> client;
  };
  auto held = std::make_shared<Held>(Held{network_, std::move(made)});
  endpoint_ = std::shared_ptr<http::Handler>(held, held->client.get());
}

Task<void> ProcessContainer::watch() {
  for (int attempt = 1;; ++attempt) {
    Task<ExitStatus> ending = process_->wait();
    status_ = starter_->told(co_await std::move(ending));
    status_.evicted = evicted_;
    out_.finish();
    err_.finish();
    // A stranger may have taken the port that was free a moment ago: try another.
    const bool lost_its_port = claim_ && !status_.success() && !stopping_ &&
                               attempt < starter_->options.start_attempts_max &&
                               !starter_->is_free(port_);
    if (!lost_its_port || !launch()) break;
  }
  inside_.reset();  // nobody is there any more
  ended_.set();
}

Task<void> ProcessContainer::watch_disk(std::vector<DiskBound> bounds) {
  const auto worked = [this]() -> std::optional<Duration> {
    const Result<ContainerStats> used = stats();
    return used ? std::optional(used->cpu_time) : std::nullopt;
  };
  Task<std::string> watching = until_disk_is_exceeded(starter_->env, std::move(bounds), worked);
  const std::string exceeded = co_await std::move(watching);
  evicted_ = true;
  on_line("stderr", "Evicted: " + exceeded);
  if (process_) process_->signal(signal_kill);
}

void ProcessContainer::on_line(std::string_view stream, std::string_view line) {
  last_lines_.add(line);
  if (sink_) sink_(stream, line);
}

}  // namespace knative
