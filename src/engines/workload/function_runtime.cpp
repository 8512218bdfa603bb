// Functions of this process as containers: those that answer, and programs that run to their end.
#include <exception>

#include "engines/workload/lines.hpp"
#include "knative/container_runtimes.hpp"

namespace knative {

struct FunctionRuntime::Impl {
  FunctionTable functions;
  Executor& executor;
  Timers& timers;
  Offload& offload;
  Logger& logger;
};

namespace {

constexpr int logs_per_second_max = 10;
constexpr std::size_t lines_kept_max = 20;
constexpr std::size_t line_bytes_max = 8192;
constexpr int exit_code_failed = 1;

Task<void> nothing() { co_return; }

/// What went wrong in a function, said at most so often.
class FailureLog {
 public:
  FailureLog(Timers& timers, Logger& logger, const ContainerSpec& spec)
      : timers_(timers), logger_(logger), name_(spec.name), image_(spec.image) {}

  void say(std::string_view id, std::string_view cause) {
    const Instant now = timers_.now();
    if (now - window_ >= std::chrono::seconds(1)) {
      if (said_ > logs_per_second_max) {
        logger_.log(LogLevel::error, "function", "failed more often than is said here",
                    {{"revision", name_},
                     {"function", image_},
                     {"unsaid", std::to_string(said_ - logs_per_second_max)}});
      }
      window_ = now;
      said_ = 0;
    }
    if (++said_ > logs_per_second_max) return;
    logger_.log(LogLevel::error, "function", "failed",
                {{"revision", name_},
                 {"function", image_},
                 {"id", std::string(id)},
                 {"cause", std::string(cause)}});
  }

 private:
  Timers& timers_;
  Logger& logger_;
  const std::string name_;
  const std::string image_;
  Instant window_{};
  int said_ = 0;
};

std::string id_of(const http::Request& request) {
  for (const std::string_view name : {"ce-id", "x-request-id"}) {
    if (const std::optional<std::string_view> id = request.headers.get(name)) {
      return std::string(*id);
    }
  }
  return {};
}

/// Answers requests; held by whoever has one under way.
class FunctionEndpoint final : public http::Handler {
 public:
  FunctionEndpoint(const FunctionRuntime::Impl& runtime, const ContainerSpec& spec,
                   std::shared_ptr<const Function> function)
      : identity_(spec.identity),
        log_(runtime.timers, runtime.logger, spec),
        function_(std::move(function)),
        context_{.offload = runtime.offload, .identity = identity_, .failed = {}} {
    context_.failed = [this](std::string_view id, std::string_view cause) { log_.say(id, cause); };
  }

  Task<http::Response> handle(http::Request& request) override {
    std::string cause;
    try {
      co_return co_await function_->call(request, context_);
    } catch (const std::exception& thrown) {
      cause = thrown.what();
    } catch (...) {
      cause = "an exception of unknown type";
    }
    log_.say(id_of(request), cause);
    co_return http::error_response(500, "the function failed");
  }

 private:
  const ContainerIdentity identity_;
  FailureLog log_;
  std::shared_ptr<const Function> function_;
  FunctionContext context_;
};

/// A function that answers. It is ready at once and ends only when stopped.
class FunctionContainer final : public Container {
 public:
  explicit FunctionContainer(std::shared_ptr<FunctionEndpoint> endpoint)
      : endpoint_(std::move(endpoint)) {}

  Task<ExitStatus> wait() override {
    co_await stopped_.wait();
    co_return ExitStatus();
  }
  void signal(int) override {}
  Task<void> stop(Duration) override {
    stopped_.set();
    return nothing();
  }
  std::shared_ptr<http::Handler> endpoint() const override { return endpoint_; }
  std::optional<Endpoint> address(std::uint16_t) const override { return std::nullopt; }
  std::vector<std::string> last_lines() const override { return {}; }

 private:
  std::shared_ptr<FunctionEndpoint> endpoint_;
  Wakeup stopped_;
};

/// A function that runs to its end. Stopping it drops its task.
class ProgramContainer final : public Container {
 public:
  ProgramContainer(Executor& executor, const ContainerSpec& spec,
                   std::shared_ptr<const ProgramFunction> function, ContainerOutput output)
      : spec_(with_host_paths(spec)),
        function_(std::move(function)),
        sink_(std::move(output)),
        lines_(lines_kept_max),
        output_([this](std::string_view stream, std::string_view text) { take(stream, text); }),
        tasks_(executor) {
    tasks_.add(run());
  }
  ~ProgramContainer() override { tasks_.clear(); }

  Task<ExitStatus> wait() override {
    co_await ended_.wait();
    co_return status_;
  }
  void signal(int) override {}
  Task<void> stop(Duration) override {
    if (!ended_.is_set()) {
      tasks_.clear();
      status_ = ExitStatus{.code = 0, .signal = 15};
      ended_.set();
    }
    return nothing();
  }
  std::shared_ptr<http::Handler> endpoint() const override { return nullptr; }
  std::optional<Endpoint> address(std::uint16_t) const override { return std::nullopt; }
  std::vector<std::string> last_lines() const override { return lines_.all(); }

 private:
  Task<void> run() {
    std::string trouble;
    try {
      Task<Result<int>> task = (*function_)(spec_, output_);
      const Result<int> code = co_await std::move(task);
      if (code) {
        status_.code = *code;
      } else {
        trouble = code.error().to_string();
      }
    } catch (const std::exception& thrown) {
      trouble = thrown.what();
    } catch (...) {
      trouble = "unknown exception";
    }
    if (!trouble.empty()) {
      status_.code = exit_code_failed;
      take("stderr", "function \"" + spec_.image.substr(function_image_prefix.size()) +
                         "\" failed: " + trouble);
    }
    ended_.set();
  }

  void take(std::string_view stream, std::string_view text) {
    const std::function<void(std::string_view)> each = [this, stream](std::string_view line) {
      lines_.add(line);
      if (sink_) sink_(stream, line);
    };
    LineSplitter splitter(line_bytes_max, each);
    splitter.append(text);
    splitter.finish();
  }

  ContainerSpec spec_;
  std::shared_ptr<const ProgramFunction> function_;
  ContainerOutput sink_;
  LastLines lines_;
  ContainerOutput output_;
  ExitStatus status_;
  Wakeup ended_;
  TaskSet tasks_;
};

/// What every serving container has that says nothing else.
constexpr std::int32_t usual_port = 8080;

Error unknown_function(const std::string& name, const std::vector<std::string>& all,
                       bool other_kind, bool serves) {
  std::string known;
  for (const std::string& other : all) known.append(known.empty() ? "" : ", ").append(other);
  if (known.empty()) known = "none";
  if (other_kind) {
    return fail(Errc::invalid_argument,
                "function \"" + name + "\" " +
                    (serves ? "runs to its end and answers no requests"
                            : "answers requests and cannot be run as a step") +
                    "; those that do are: " + known);
  }
  return fail(Errc::not_found, "function \"" + name + "\" is not registered; known are: " + known);
}

}  // namespace

FunctionRuntime::FunctionRuntime(const FunctionTable& functions, Executor& executor, Timers& timers,
                                 Offload& offload, Logger& logger)
    : impl_(new Impl{functions.share(), executor, timers, offload, logger}) {}

FunctionRuntime::~FunctionRuntime() = default;

FieldErrors FunctionRuntime::unsupported(const ContainerSpec& spec) const {
  FieldErrors errors;
  const auto none = [&errors](bool set, std::string_view field) {
    if (set) errors.add(field_error("a function of the host program has none of its own", {field}));
  };
  const auto ignored = [&errors](bool set, std::string_view field) {
    if (!set) return;
    errors.add(field_error("not enforced: a function is a part of the host program", {field})
                   .as_warning());
  };
  const bool serves = !spec.ports.empty();
  none(serves && !spec.command.empty(), "command");
  none(serves && !spec.args.empty(), "args");
  none(serves && !spec.working_directory.empty(), "workingDir");
  none(serves && !spec.mounts.empty(), "volumeMounts");
  ignored(serves && !spec.environment.empty(), "env");
  ignored(!spec.resources.limits.empty(), "resources.limits");
  ignored(!spec.resources.requests.empty(), "resources.requests");
  ignored(spec.security != core::SecurityContext(), "securityContext");
  for (std::size_t i = 0; i < spec.ports.size(); ++i) {
    const core::ContainerPort& port = spec.ports[i];
    const std::string path = "ports[" + std::to_string(i) + "].";
    const bool usual = port.container_port == 0 || port.container_port == usual_port;
    ignored(!usual, path + "containerPort");
    ignored(port.name == "h2c", path + "name");
  }
  return errors;
}

Task<Result<std::unique_ptr<Container>>> FunctionRuntime::start(const ContainerSpec& spec,
                                                                ContainerOutput output) {
  const Impl& impl = *impl_;
  if (!spec.image.starts_with(function_image_prefix)) {
    co_return fail(Errc::invalid_argument, spec.image + " is no function: fn:NAME is expected");
  }
  const std::string name = spec.image.substr(function_image_prefix.size());
  std::shared_ptr<const Function> function = impl.functions.find(name);
  std::shared_ptr<const ProgramFunction> program = impl.functions.find_program(name);
  if (spec.ports.empty()) {
    if (!program) {
      co_return unknown_function(name, impl.functions.program_names(), function != nullptr, false);
    }
    co_return std::unique_ptr<Container>(std::make_unique<ProgramContainer>(
        impl.executor, spec, std::move(program), std::move(output)));
  }
  if (!function) {
    co_return unknown_function(name, impl.functions.names(), program != nullptr, true);
  }
  auto endpoint = std::make_shared<FunctionEndpoint>(impl, spec, std::move(function));
  co_return std::unique_ptr<Container>(std::make_unique<FunctionContainer>(std::move(endpoint)));
}

}  // namespace knative
