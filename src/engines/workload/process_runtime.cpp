#include <algorithm>
#include <deque>

#include "engines/workload/process_command.hpp"
#include "knative/http_client.hpp"

namespace knative {
namespace {

constexpr int signal_kill = 9;
constexpr int signal_terminate = 15;
constexpr Duration probe_pause_min = std::chrono::milliseconds(1);
constexpr Duration probe_pause_max = std::chrono::milliseconds(20);
constexpr int port_tries_max = 200;
constexpr std::size_t connections_max = 1024;

Task<void> wait_for(Wakeup& event) { co_await event.wait(); }

}  // namespace

struct ProcessRuntime::Impl {
  Impl(Env& e, ImageProvider& i, ProcessRuntimeOptions o)
      : env(e), images(i), options(std::move(o)), random(e.random.split("workload.ports")) {}

  /// A port with the listener that keeps others from taking it.
  struct Port {
    std::uint16_t number = 0;
    std::unique_ptr<Listener> claim;
  };

  Result<Port> take_port() {
    const std::uint64_t range = std::uint64_t{options.port_max} - options.port_min + 1;
    for (int attempt = 0; attempt < port_tries_max; ++attempt) {
      const auto port = static_cast<std::uint16_t>(options.port_min + random.below(range));
      std::unique_ptr<Listener> claim = claim_port(port);
      if (claim && is_free(port)) return Port{port, std::move(claim)};
    }
    return fail(Errc::resource_exhausted, "no free port from " + std::to_string(options.port_min) +
                                              " to " + std::to_string(options.port_max));
  }
  /// Between the choice of a port and its program's listening there it looks free to everybody.
  /// Whoever runs programs on this machine as we do holds this name meanwhile; null when somebody
  /// has it.
  std::unique_ptr<Listener> claim_port(std::uint16_t port) {
    const Endpoint name{.host = {}, .port = 0, .path = "@knative-port-" + std::to_string(port)};
    Result<std::unique_ptr<Listener>> claim = env.network.listen(name);
    return claim ? std::move(*claim) : nullptr;
  }
  bool is_free(std::uint16_t port) {
    const Endpoint endpoint{.host = "127.0.0.1", .port = port, .path = {}};
    return env.network.listen(endpoint).has_value();
  }

  Env& env;
  ImageProvider& images;
  ProcessRuntimeOptions options;
  Random random;
};

namespace {

/// A program with its port, its client and its watcher.
class ProcessInstance final : public Instance {
 public:
  ProcessInstance(std::shared_ptr<ProcessRuntime::Impl> runtime, const WorkloadSpec& spec,
                  ImageRoot image)
      : runtime_(std::move(runtime)),
        spec_(spec),
        image_(std::move(image)),
        out_(runtime_->options.log_line_bytes_max,
             [this](std::string_view line) { on_line("stdout", line); }),
        err_(runtime_->options.log_line_bytes_max,
             [this](std::string_view line) { on_line("stderr", line); }),
        tasks_(runtime_->env.executor) {}
  ~ProcessInstance() override {
    tasks_.clear();
    release();
  }

  Result<void> launch() {
    release();
    Result<ProcessRuntime::Impl::Port> port = runtime_->take_port();
    if (!port) return port.error();
    port_ = port->number;
    claim_ = std::move(port->claim);
    Result<ProcessOptions> options =
        process_options(spec_, image_, runtime_->options, port_, runtime_->env.files);
    if (!options) return options.error();
    options->on_stdout = [this](std::string_view piece) { out_.append(piece); };
    options->on_stderr = [this](std::string_view piece) { err_.append(piece); };
    Result<std::unique_ptr<Process>> spawned = runtime_->env.processes.spawn(*options);
    if (!spawned) return spawned.error().within("starting " + spec_.name);
    process_ = std::move(*spawned);
    http::ClientOptions client;
    client.connections_max = spec_.container_concurrency > 0
                                 ? static_cast<std::size_t>(spec_.container_concurrency)
                                 : connections_max;
    client.response_timeout = spec_.response_timeout;
    client_.emplace(runtime_->env.executor, runtime_->env.timers, runtime_->env.network, endpoint(),
                    client);
    ended_.reset();
    status_.reset();
    tasks_.add(watch());
    return {};
  }

  Task<http::Response> handle(http::Request& request) override {
    http::remove_hop_by_hop(request.headers);
    http::Response response = co_await client_->handle(request);
    http::remove_hop_by_hop(response.headers);
    co_return response;
  }

  Task<Result<void>> ready() override {
    Timers& timers = runtime_->env.timers;
    const Instant deadline = timers.now() + spec_.start_timeout;
    Duration pause = spec_.readiness.period.count() > 0 ? spec_.readiness.period : probe_pause_min;
    int successes = 0;
    int attempts = 1;
    while (true) {
      const bool success = co_await probe();
      successes = success ? successes + 1 : 0;
      if (ended_.is_set()) {
        if (attempts++ >= runtime_->options.start_attempts_max || runtime_->is_free(port_)) {
          co_return ended_early();
        }
        // A stranger holds the port that was free a moment ago: take another.
        if (Result<void> again = launch(); !again) co_return again;
        continue;
      }
      if (successes >= spec_.readiness.success_threshold) co_return Result<void>();
      if (timers.now() >= deadline) co_return too_late();
      const Instant next = std::min(timers.now() + pause, deadline);
      co_await with_deadline(timers, wait_for(ended_), next);
      if (spec_.readiness.period.count() <= 0) pause = std::min(pause * 3 / 2, probe_pause_max);
    }
  }

  Task<void> stop(Duration grace) override {
    if (!ended_.is_set()) {
      Timers& timers = runtime_->env.timers;
      process_->signal(signal_terminate);
      co_await with_deadline(timers, wait_for(ended_), timers.now() + grace);
    }
    if (!ended_.is_set()) {
      process_->signal(signal_kill);
      co_await ended_.wait();
    }
  }

  Task<ExitStatus> exited() override {
    co_await ended_.wait();
    co_return *status_;
  }

 private:
  Endpoint endpoint() const { return Endpoint{.host = "127.0.0.1", .port = port_, .path = {}}; }

  void release() {
    client_.reset();
    process_.reset();
    claim_.reset();
  }

  Task<void> watch() {
    status_ = co_await process_->wait();
    out_.finish();
    err_.finish();
    ended_.set();
  }

  Task<bool> probe() {
    Timers& timers = runtime_->env.timers;
    const Instant deadline = timers.now() + spec_.readiness.timeout;
    Task<bool> attempt =
        spec_.readiness.kind == ReadinessProbe::Kind::http ? probe_http() : probe_tcp();
    const std::optional<bool> result = co_await with_deadline(timers, std::move(attempt), deadline);
    co_return result.value_or(false);
  }
  Task<bool> probe_tcp() {
    const Result<std::unique_ptr<Stream>> stream =
        co_await runtime_->env.network.connect(endpoint());
    co_return stream.has_value();
  }
  Task<bool> probe_http() {
    http::Request request = http::get(spec_.readiness.path);
    request.headers.set("Host", endpoint().to_string());
    request.headers.set("User-Agent", "kube-probe/knative");
    Result<http::Response> response = co_await client_->send(request);
    co_return response && response->status >= 200 && response->status < 400;
  }

  void on_line(std::string_view stream, std::string_view line) {
    if (runtime_->options.on_log) runtime_->options.on_log(spec_, stream, line);
    last_lines_.emplace_back(line);
    if (last_lines_.size() > runtime_->options.log_lines_kept_max) last_lines_.pop_front();
  }

  Error with_lines(Errc code, std::string text) const {
    if (!last_lines_.empty()) text.append("; its last output:");
    for (const std::string& line : last_lines_) text.append("\n  ").append(line);
    return fail(code, std::move(text));
  }
  Error ended_early() const {
    return with_lines(Errc::unavailable,
                      spec_.name + " ended before it was ready (" + status_->to_string() + ")");
  }
  Error too_late() const {
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(spec_.start_timeout).count();
    return with_lines(Errc::deadline_exceeded, spec_.name + " did not listen on port " +
                                                   std::to_string(port_) + " within " +
                                                   std::to_string(seconds) + " s");
  }

  std::shared_ptr<ProcessRuntime::Impl> runtime_;
  WorkloadSpec spec_;
  ImageRoot image_;
  LineSplitter out_;
  LineSplitter err_;
  std::deque<std::string> last_lines_;
  std::uint16_t port_ = 0;
  std::unique_ptr<Listener> claim_;
  std::unique_ptr<Process> process_;
  std::optional<http::Client> client_;
  std::optional<ExitStatus> status_;
  Wakeup ended_;
  TaskSet tasks_;
};

}  // namespace

ProcessRuntime::ProcessRuntime(Env& env, ImageProvider& images, ProcessRuntimeOptions options)
    : impl_(std::make_shared<Impl>(env, images, std::move(options))) {}

ProcessRuntime::~ProcessRuntime() = default;

Task<Result<std::unique_ptr<Instance>>> ProcessRuntime::start(const WorkloadSpec& spec) {
  Result<ImageRoot> image = co_await impl_->images.provide(spec.image);
  if (!image) co_return image.error();
  auto instance = std::make_unique<ProcessInstance>(impl_, spec, std::move(*image));
  if (Result<void> launched = instance->launch(); !launched) co_return launched.error();
  co_return std::unique_ptr<Instance>(std::move(instance));
}

}  // namespace knative
