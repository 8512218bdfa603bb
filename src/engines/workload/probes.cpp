#include "engines/workload/probes.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "knative/http_client.hpp"
#include "wire/grpc_health.hpp"

namespace knative {
namespace {

constexpr Duration pause_min = std::chrono::milliseconds(1);
constexpr Duration pause_max = std::chrono::milliseconds(20);
constexpr Duration period_default = std::chrono::seconds(10);
/// Whoever runs a hook bounds it.
constexpr Duration hook_timeout = std::chrono::hours(24);
/// Of output in messages, as in Kubernetes' termination messages.
constexpr std::size_t output_bytes_max = 2048;

Task<void> forever() {
  Wakeup never;
  co_await never.wait();
}

/// A named port is one of the container's.
Result<std::uint16_t> port_of(const IntOrString& wanted,
                              const std::vector<core::ContainerPort>& ports) {
  if (wanted.is_string()) {
    for (const core::ContainerPort& port : ports) {
      if (port.name == wanted.name()) return static_cast<std::uint16_t>(port.container_port);
    }
    if (wanted.name().empty()) return std::uint16_t{0};
    return fail(Errc::invalid_argument, "no port is named \"" + wanted.name() + "\": port");
  }
  return static_cast<std::uint16_t>(wanted.number());
}

}  // namespace

Result<InstanceProbe> instance_probe(const core::Probe& probe,
                                     const std::vector<core::ContainerPort>& ports) {
  InstanceProbe result;
  if (probe.grpc) {
    result.kind = InstanceProbe::Kind::grpc;
    result.port = static_cast<std::uint16_t>(probe.grpc->port);
    result.service = probe.grpc->service.value_or("");
  } else if (probe.http_get) {
    const core::HttpGetAction& get = *probe.http_get;
    if (!get.scheme.empty() && get.scheme != "HTTP") {
      return fail(Errc::unimplemented,
                  "only HTTP is probed, not " + get.scheme + ": httpGet.scheme");
    }
    Result<std::uint16_t> port = port_of(get.port, ports);
    if (!port) return port.error().within("httpGet");
    result.kind = InstanceProbe::Kind::http;
    result.port = *port;
    result.host = get.host;
    result.path = get.path.starts_with('/') ? get.path : "/" + get.path;
    result.headers = get.http_headers;
  } else if (probe.tcp_socket) {
    Result<std::uint16_t> port = port_of(probe.tcp_socket->port, ports);
    if (!port) return port.error().within("tcpSocket");
    result.port = *port;
    result.host = probe.tcp_socket->host;
  } else if (probe.exec) {
    result.kind = InstanceProbe::Kind::exec;
    result.command = probe.exec->command;
  }
  result.initial_delay = std::chrono::seconds(probe.initial_delay_seconds);
  result.period = std::chrono::seconds(probe.period_seconds);
  if (probe.timeout_seconds > 0) result.timeout = std::chrono::seconds(probe.timeout_seconds);
  result.success_threshold = std::max(1, static_cast<int>(probe.success_threshold));
  if (probe.failure_threshold > 0) result.failure_threshold = probe.failure_threshold;
  if (probe.termination_grace_period_seconds) {
    result.stop_grace = std::chrono::seconds(*probe.termination_grace_period_seconds);
  }
  return result;
}

Result<InstanceHook> instance_hook(const core::LifecycleHandler& hook,
                                   const std::vector<core::ContainerPort>& ports) {
  InstanceHook result;
  if (hook.tcp_socket) {
    return fail(Errc::unimplemented, "a hook is a command, a request or a pause: tcpSocket");
  }
  if (hook.sleep) result.pause = std::chrono::seconds(hook.sleep->seconds);
  if (!hook.exec && !hook.http_get) return result;
  core::Probe once;
  once.exec = hook.exec;
  once.http_get = hook.http_get;
  Result<InstanceProbe> action = instance_probe(once, ports);
  if (!action) return action.error();
  action->timeout = hook_timeout;
  result.action = std::move(*action);
  return result;
}

FieldErrors unsupported(const InstanceSpec& spec, const ContainerRuntime& runtime) {
  FieldErrors errors = runtime.unsupported(spec.container);
  if (runtime.can_exec(spec.container)) return errors;
  const auto check = [&errors](const InstanceProbe& probe, std::string_view field) {
    if (probe.kind != InstanceProbe::Kind::exec) return;
    errors.add(field_error("no command can be run in this container",
                           {std::string(field).append(".exec")}));
  };
  check(spec.readiness, "readinessProbe");
  if (spec.liveness) check(*spec.liveness, "livenessProbe");
  const auto check_hook = [&check](const std::optional<InstanceHook>& hook,
                                   std::string_view field) {
    if (hook && hook->action) check(*hook->action, field);
  };
  check_hook(spec.post_start, "lifecycle.postStart");
  check_hook(spec.pre_stop, "lifecycle.preStop");
  if (spec.startup) check(*spec.startup, "startupProbe");
  return errors;
}

Task<Result<void>> Prober::until_ready() {
  Timers& timers = env_.timers;
  const Instant deadline = timers.now() + spec_.start_timeout;
  auto guarded = race(start_up(), container_.wait());
  auto limited = with_deadline(timers, std::move(guarded), deadline);
  auto outcome = co_await std::move(limited);
  if (!outcome) {
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(spec_.start_timeout).count();
    co_return with_lines(Errc::deadline_exceeded,
                         container_title(spec_.container) + " was not ready within " +
                             std::to_string(seconds) + " s: " + last_problem_);
  }
  if (outcome->second) {
    ended_ = *outcome->second;
    co_return with_lines(Errc::unavailable, container_title(spec_.container) +
                                                " ended before it was ready (" +
                                                outcome->second->to_string() + ")");
  }
  co_return std::move(*outcome->first);
}

Task<Result<void>> Prober::start_up() {
  if (spec_.startup) {
    const InstanceProbe& startup = *spec_.startup;
    if (startup.initial_delay > Duration::zero()) {
      co_await env_.timers.sleep_for(startup.initial_delay);
    }
    Task<bool> asking = ask(startup, startup.failure_threshold);
    const bool started = co_await std::move(asking);
    if (!started) {
      give_up(startup);
      co_return with_lines(Errc::unavailable, container_title(spec_.container) +
                                                  " failed its startup probe: " + last_problem_);
    }
  }
  if (spec_.readiness.initial_delay > Duration::zero()) {
    co_await env_.timers.sleep_for(spec_.readiness.initial_delay);
  }
  Task<bool> asking = ask(spec_.readiness, std::nullopt);
  (void)co_await std::move(asking);
  co_return Result<void>();
}

bool Prober::asks() const {
  const InstanceProbe& readiness = spec_.readiness;
  return spec_.startup || readiness.kind != InstanceProbe::Kind::tcp || place_of(readiness);
}

Task<Error> Prober::until_unwell() {
  if (!spec_.liveness) co_await forever();
  const InstanceProbe& probe = *spec_.liveness;
  const Duration period = probe.period > Duration::zero() ? probe.period : period_default;
  co_await env_.timers.sleep_for(probe.initial_delay);
  for (int failures = 0; failures < probe.failure_threshold;) {
    Task<std::optional<std::string>> trying = attempt_at_work(probe);
    const std::optional<std::string> problem = co_await std::move(trying);
    failures = problem ? failures + 1 : 0;
    if (problem) last_problem_ = *problem;
    if (failures < probe.failure_threshold) co_await env_.timers.sleep_for(period);
  }
  give_up(probe);
  co_return with_lines(Errc::unavailable, container_title(spec_.container) +
                                              " failed its liveness probe: " + last_problem_);
}

Task<void> Prober::until_readiness(bool now_ready) {
  const InstanceProbe& probe = spec_.readiness;
  if (probe.period <= Duration::zero()) co_await forever();
  const int wanted = now_ready ? probe.failure_threshold : probe.success_threshold;
  for (int seen = 0; seen < wanted;) {
    co_await env_.timers.sleep_for(probe.period);
    Task<std::optional<std::string>> trying = attempt_at_work(probe);
    const std::optional<std::string> problem = co_await std::move(trying);
    seen = problem.has_value() == now_ready ? seen + 1 : 0;
  }
}

Task<bool> Prober::ask(const InstanceProbe& probe, std::optional<int> failures_max) {
  const bool aggressive = probe.period <= Duration::zero();
  Duration pause = aggressive ? pause_min : probe.period;
  int successes = 0;
  int failures = 0;
  while (true) {
    Task<std::optional<std::string>> trying = attempt(probe);
    const std::optional<std::string> problem = co_await std::move(trying);
    successes = problem ? 0 : successes + 1;
    failures = problem ? failures + 1 : 0;
    if (problem) last_problem_ = *problem;
    if (problem) tell_problem();
    if (successes >= probe.success_threshold) co_return true;
    if (failures_max && failures >= *failures_max) co_return false;
    co_await env_.timers.sleep_for(pause);
    if (aggressive) pause = std::min(pause * 3 / 2, pause_max);
  }
}

void Prober::pause(bool paused) {
  paused_ = paused;
  if (paused) ++pauses_;
  if (!paused) resumed_.notify_all();
}

Task<std::optional<std::string>> Prober::attempt_at_work(const InstanceProbe& probe) {
  for (;;) {
    while (paused_) co_await resumed_.wait();
    const int before = pauses_;
    Task<std::optional<std::string>> trying = attempt(probe);
    std::optional<std::string> problem = co_await std::move(trying);
    if (pauses_ == before) co_return problem;
  }
}

Task<std::optional<std::string>> Prober::attempt(const InstanceProbe& probe) {
  Task<std::optional<std::string>> trying;
  switch (probe.kind) {
    case InstanceProbe::Kind::tcp: trying = once_tcp(probe); break;
    case InstanceProbe::Kind::http: trying = once_http(probe); break;
    case InstanceProbe::Kind::exec: trying = once_exec(probe); break;
    case InstanceProbe::Kind::grpc: trying = once_grpc(probe); break;
  }
  auto limited = with_deadline(env_.timers, std::move(trying), env_.timers.now() + probe.timeout);
  std::optional<std::optional<std::string>> problem = co_await std::move(limited);
  if (!problem) co_return std::string("it did not answer in time");
  co_return std::move(*problem);
}

std::optional<Endpoint> Prober::place_of(const InstanceProbe& probe) const {
  std::optional<Endpoint> place = container_.address(probe.port);
  if (!probe.host.empty()) {
    place = Endpoint{.host = probe.host, .port = place ? place->port : probe.port, .path = {}};
  }
  return place;
}

/// Held by the container, which outlives its probes.
Network& Prober::network_of(const InstanceProbe& probe) const {
  const std::shared_ptr<Network> own = probe.host.empty() ? container_.network() : nullptr;
  return own ? *own : env_.network;
}

Task<std::optional<std::string>> Prober::once_tcp(const InstanceProbe& probe) {
  const std::optional<Endpoint> place = place_of(probe);
  if (!place) co_return std::nullopt;  // it is called, not connected to
  Task<Result<std::unique_ptr<Stream>>> connecting = network_of(probe).connect(*place);
  const Result<std::unique_ptr<Stream>> stream = co_await std::move(connecting);
  if (stream) co_return std::nullopt;
  co_return "it does not listen on port " + std::to_string(place->port);
}

Task<std::optional<std::string>> Prober::once_http(const InstanceProbe& probe) {
  http::Request request = http::get(probe.path);
  const std::optional<Endpoint> place = place_of(probe);
  request.headers.set("Host", place ? place->to_string() : std::string("localhost"));
  request.headers.set("User-Agent", "kube-probe/knative");
  for (const core::HttpHeader& header : probe.headers) {
    request.headers.set(header.name, header.value);
  }
  const std::optional<Endpoint> served = container_.address(0);
  const bool own = probe.host.empty() && (!place || !served || place->port == served->port);
  const std::shared_ptr<http::Handler> endpoint = own ? container_.endpoint() : nullptr;
  http::Response response;
  if (endpoint) {
    Task<http::Response> answering = endpoint->handle(request);
    response = co_await std::move(answering);
  } else if (place) {
    http::Client client(env_.executor, env_.timers, network_of(probe), *place);
    Task<Result<http::Response>> sending = client.send(request);
    Result<http::Response> sent = co_await std::move(sending);
    if (!sent) co_return "GET " + probe.path + ": " + sent.error().detail;
    // The body belongs to the client's connection and is not looked at.
    response.status = sent->status;
  }
  if (response.status >= 200 && response.status < 400) co_return std::nullopt;
  co_return "GET " + probe.path + " is answered with " + std::to_string(response.status);
}

Task<std::optional<std::string>> Prober::once_exec(const InstanceProbe& probe) {
  std::string said;
  const ContainerOutput hear = [&said](std::string_view, std::string_view line) {
    said = line.substr(0, base::utf8_prefix(line, output_bytes_max / 4));
  };
  Task<Result<ExitStatus>> running = container_.exec(probe.command, hear);
  const Result<ExitStatus> status = co_await std::move(running);
  if (!status) co_return status.error().detail;
  if (status->success()) co_return std::nullopt;
  std::string problem = "its command ended with " + status->to_string();
  if (!said.empty()) problem += ": " + said;
  co_return problem;
}

Task<std::optional<std::string>> Prober::once_grpc(const InstanceProbe& probe) {
  const std::optional<Endpoint> place = place_of(probe);
  if (!place) co_return std::string("it has no port to connect to, and gRPC needs one");
  Task<Result<std::unique_ptr<Stream>>> connecting = network_of(probe).connect(*place);
  const Result<std::unique_ptr<Stream>> stream = co_await std::move(connecting);
  if (!stream) co_return "it does not listen on port " + std::to_string(place->port);
  const std::string authority = place->to_string();
  Task<std::optional<std::string>> asking = grpc::ask_health(**stream, authority, probe.service);
  std::optional<std::string> problem = co_await std::move(asking);
  if (problem) problem->insert(0, "gRPC health check: ");
  co_return problem;
}

Error Prober::with_lines(Errc code, std::string text) const {
  return fail(code, std::move(text) + output_end(container_));
}

void Prober::give_up(const InstanceProbe& probe) {
  gave_up_ = true;
  stop_grace_ = probe.stop_grace;
}

void Prober::tell_problem() {
  if (!waiting_) return;
  const Instant now = env_.timers.now();
  if (!tell_at_) tell_at_ = now + tell_pause_;
  if (now < *tell_at_) return;
  tell_at_ = now + tell_pause_;
  tell_pause_ *= 2;
  waiting_(container_title(spec_.container) + " is not ready yet: " + last_problem_);
}

std::string container_title(const ContainerSpec& spec) {
  const std::string& one = spec.identity.container;
  return one.empty() ? spec.name : spec.name + " (container \"" + one + "\")";
}

std::string output_end(const Container& container) {
  const std::vector<std::string> lines = container.last_lines();
  std::size_t bytes = 0;
  std::size_t first = lines.size();
  while (first > 0 && bytes + lines[first - 1].size() <= output_bytes_max) {
    bytes += lines[--first].size();
  }
  std::string text;
  if (first == lines.size() && !lines.empty()) {
    const std::string& last = lines.back();
    return "; its last output:\n  " + last.substr(0, base::utf8_prefix(last, output_bytes_max));
  }
  if (!lines.empty()) text.append("; its last output:");
  for (; first < lines.size(); ++first) text.append("\n  ").append(lines[first]);
  return text;
}

}  // namespace knative
