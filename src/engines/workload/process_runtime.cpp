// Programs as processes of this machine.
#include <algorithm>

#include "base/wait_for.hpp"
#include "engines/workload/lines.hpp"
#include "knative/container_runtimes.hpp"
#include "knative/http_client.hpp"

namespace knative {
namespace {

constexpr int signal_kill = 9;
constexpr int signal_terminate = 15;
constexpr int port_tries_max = 200;
constexpr std::size_t connections_max = 1024;
constexpr std::string_view http2_port_name = "h2c";

/// The path inside the image if it exists there, else the path itself.
std::string inside(const std::string& path, const std::string& root, Files& files) {
  if (path.size() < 2 || path.front() != '/') return path;
  std::string mapped = root + path;
  return files.info(mapped) ? mapped : path;
}

/// Find a program without '/' in the image's PATH; left alone when the image has none.
std::string find_program(const std::string& name, std::string_view search, const std::string& root,
                         Files& files) {
  while (!search.empty()) {
    const auto colon = search.find(':');
    const std::string_view directory = search.substr(0, colon);
    search.remove_prefix(colon == std::string_view::npos ? search.size() : colon + 1);
    if (directory.empty() || directory.front() != '/') continue;
    std::string candidate = root;
    candidate.append(directory).append("/").append(name);
    if (files.info(candidate)) return candidate;
  }
  return name;
}

void map_into_image(ProcessOptions& process, const std::string& root, Files& files) {
  std::string& program = process.argv.front();
  if (program.find('/') == std::string::npos) {
    program = find_program(program, process.environment["PATH"], root, files);
  } else {
    program = inside(program, root, files);
  }
  for (std::size_t i = 1; i < process.argv.size(); ++i) {
    process.argv[i] = inside(process.argv[i], root, files);
  }
}

/// True when `directory` is one of the mounts or below one: a place of this machine already.
bool in_mount(const std::vector<ContainerMount>& mounts, const std::string& directory) {
  return std::any_of(mounts.begin(), mounts.end(), [&](const ContainerMount& mount) {
    return directory.starts_with(mount.source) &&
           (directory.size() == mount.source.size() || directory[mount.source.size()] == '/');
  });
}

void check_security(FieldErrors& errors, const core::SecurityContext& security) {
  const auto refuse = [&errors](bool set, std::string_view field) {
    if (!set) return;
    errors.add(field_error("a process of this machine runs as the platform's own user",
                           {std::string("securityContext.").append(field)}));
  };
  const auto ignored = [&errors](bool set, std::string_view field) {
    if (!set) return;
    errors.add(field_error("not enforced: a process of this machine is not isolated",
                           {std::string("securityContext.").append(field)})
                   .as_warning());
  };
  refuse(security.run_as_user.has_value(), "runAsUser");
  refuse(security.run_as_group.has_value(), "runAsGroup");
  refuse(security.run_as_non_root.value_or(false), "runAsNonRoot");
  refuse(security.privileged.value_or(false), "privileged");
  refuse(security.capabilities && !security.capabilities->add.empty(), "capabilities.add");
  ignored(security.capabilities && !security.capabilities->drop.empty(), "capabilities.drop");
  ignored(security.allow_privilege_escalation.has_value(), "allowPrivilegeEscalation");
  ignored(security.read_only_root_filesystem.value_or(false), "readOnlyRootFilesystem");
  ignored(security.seccomp_profile.has_value(), "seccompProfile");
}

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

  /// Words, variables and directories of the process; `port` 0: it serves nothing.
  Result<ProcessOptions> process_options(const ContainerSpec& spec, const ImageRoot& image,
                                         std::uint16_t port) {
    std::map<std::string, std::string> own;
    if (port != 0) own["PORT"] = std::to_string(port);
    ImageDefaults defaults = image.defaults;
    defaults.environment.insert(options.base_environment.begin(), options.base_environment.end());
    const ContainerSpec view = with_host_paths(spec);
    Result<ContainerCommand> command = container_command(view, defaults, own);
    if (!command) return command.error();
    ProcessOptions process;
    process.argv = std::move(command->argv);
    process.environment = std::move(command->environment);
    std::string directory = command->working_directory.empty() ? "/" : command->working_directory;
    if (image.directory.empty() || in_mount(spec.mounts, directory)) {
      process.working_directory = directory;
    } else if (options.change_root) {
      process.root_directory = image.directory;
      process.working_directory = directory;
    } else {
      if (directory.front() != '/') directory.insert(directory.begin(), '/');
      process.working_directory = image.directory + directory;
    }
    if (!image.directory.empty() && !options.change_root) {
      map_into_image(process, image.directory, env.files);
    }
    return process;
  }

  Env& env;
  ImageProvider& images;
  ProcessRuntimeOptions options;
  Random random;
};

namespace {

/// A program with its port and its watcher.
class ProcessContainer final : public Container {
 public:
  ProcessContainer(std::shared_ptr<ProcessRuntime::Impl> runtime, const ContainerSpec& spec,
                   ImageRoot image, ContainerOutput output)
      : runtime_(std::move(runtime)),
        spec_(spec),
        image_(std::move(image)),
        sink_(std::move(output)),
        last_lines_(runtime_->options.log_lines_kept_max),
        out_(runtime_->options.log_line_bytes_max,
             [this](std::string_view line) { on_line("stdout", line); }),
        err_(runtime_->options.log_line_bytes_max,
             [this](std::string_view line) { on_line("stderr", line); }),
        tasks_(runtime_->env.executor) {}
  ~ProcessContainer() override {
    tasks_.clear();
    release();
  }

  Result<void> start() {
    Result<void> launched = launch();
    if (launched) tasks_.add(watch());
    return launched;
  }

  Task<ExitStatus> wait() override {
    co_await ended_.wait();
    co_return status_;
  }

  void signal(int number) override {
    if (process_) process_->signal(number);
  }

  Task<void> stop(Duration grace) override {
    stopping_ = true;
    if (!ended_.is_set()) {
      Timers& timers = runtime_->env.timers;
      process_->signal(signal_terminate);
      co_await with_deadline(timers, base::wait_for(ended_), timers.now() + grace);
    }
    if (!ended_.is_set()) {
      process_->signal(signal_kill);
      co_await ended_.wait();
    }
  }

  std::shared_ptr<http::Handler> endpoint() const override { return endpoint_; }

  std::optional<Endpoint> address(std::uint16_t port) const override {
    if (port_ == 0) return std::nullopt;
    const auto served = static_cast<std::uint16_t>(spec_.ports.front().container_port);
    return Endpoint{
        .host = "127.0.0.1", .port = port == 0 || port == served ? port_ : port, .path = {}};
  }

  std::vector<std::string> last_lines() const override { return last_lines_.all(); }

  Task<Result<ExitStatus>> exec(std::vector<std::string> command, ContainerOutput output) override {
    if (ended_.is_set()) co_return fail(Errc::failed_precondition, spec_.name + " has ended");
    ProcessOptions options = options_;
    options.argv = std::move(command);
    if (options.argv.empty()) co_return fail(Errc::invalid_argument, "exec: no command");
    if (!image_.directory.empty() && !runtime_->options.change_root) {
      map_into_image(options, image_.directory, runtime_->env.files);
    }
    const std::size_t most = runtime_->options.log_line_bytes_max;
    const ContainerOutput* const sink = &output;
    LineSplitter out(most, [sink](std::string_view line) {
      if (*sink) (*sink)("stdout", line);
    });
    LineSplitter err(most, [sink](std::string_view line) {
      if (*sink) (*sink)("stderr", line);
    });
    options.on_stdout = [&out](std::string_view piece) { out.append(piece); };
    options.on_stderr = [&err](std::string_view piece) { err.append(piece); };
    Result<std::unique_ptr<Process>> process = runtime_->env.processes.spawn(options);
    if (!process) co_return process.error().within("exec in " + spec_.name);
    Task<ExitStatus> ending = (*process)->wait();
    const ExitStatus status = co_await std::move(ending);
    out.finish();
    err.finish();
    co_return status;
  }

 private:
  void release() {
    endpoint_.reset();
    process_.reset();
    claim_.reset();
  }

  Result<void> launch() {
    release();
    if (!spec_.ports.empty()) {
      Result<ProcessRuntime::Impl::Port> port = runtime_->take_port();
      if (!port) return port.error();
      port_ = port->number;
      claim_ = std::move(port->claim);
    }
    Result<ProcessOptions> options = runtime_->process_options(spec_, image_, port_);
    if (!options) return options.error();
    options_ = std::move(*options);
    ProcessOptions mine = options_;
    mine.on_stdout = [this](std::string_view piece) { out_.append(piece); };
    mine.on_stderr = [this](std::string_view piece) { err_.append(piece); };
    Result<std::unique_ptr<Process>> spawned = runtime_->env.processes.spawn(mine);
    if (!spawned) return spawned.error().within("starting " + spec_.name);
    process_ = std::move(*spawned);
    if (port_ != 0) {
      http::ClientOptions client;
      client.connections_max =
          spec_.requests_max > 0 ? static_cast<std::size_t>(spec_.requests_max) : connections_max;
      if (spec_.response_timeout > Duration::zero()) {
        client.response_timeout = spec_.response_timeout;
      }
      client.gateway = true;
      Env& env = runtime_->env;
      endpoint_ = std::make_shared<http::Client>(env.executor, env.timers, env.network, *address(0),
                                                 std::move(client));
    }
    return {};
  }

  Task<void> watch() {
    for (int attempt = 1;; ++attempt) {
      Task<ExitStatus> ending = process_->wait();
      status_ = co_await std::move(ending);
      out_.finish();
      err_.finish();
      // A stranger may have taken the port that was free a moment ago: try another.
      const bool lost_its_port = port_ != 0 && !status_.success() && !stopping_ &&
                                 attempt < runtime_->options.start_attempts_max &&
                                 !runtime_->is_free(port_);
      if (!lost_its_port || !launch()) break;
    }
    ended_.set();
  }

  void on_line(std::string_view stream, std::string_view line) {
    last_lines_.add(line);
    if (sink_) sink_(stream, line);
  }

  std::shared_ptr<ProcessRuntime::Impl> runtime_;
  ContainerSpec spec_;
  ImageRoot image_;
  ContainerOutput sink_;
  LastLines last_lines_;
  LineSplitter out_;
  LineSplitter err_;
  ProcessOptions options_;  ///< Without output, for `exec`.
  std::uint16_t port_ = 0;
  std::unique_ptr<Listener> claim_;
  std::unique_ptr<Process> process_;
  std::shared_ptr<http::Handler> endpoint_;
  ExitStatus status_;
  bool stopping_ = false;
  Wakeup ended_;
  TaskSet tasks_;
};

}  // namespace

Task<Result<std::string>> ImageProvider::pin(const ContainerSpec& spec) { co_return spec.image; }

Task<Result<ImageRoot>> HostImages::provide(const ContainerSpec&) { co_return ImageRoot(); }

ProcessRuntime::ProcessRuntime(Env& env, ImageProvider& images, ProcessRuntimeOptions options)
    : impl_(std::make_shared<Impl>(env, images, std::move(options))) {}

ProcessRuntime::~ProcessRuntime() = default;

FieldErrors ProcessRuntime::unsupported(const ContainerSpec& spec) const {
  FieldErrors errors;
  const auto ignored = [&errors](bool set, std::string_view field) {
    if (!set) return;
    errors.add(field_error("not enforced: a process of this machine is not isolated", {field})
                   .as_warning());
  };
  ignored(!spec.resources.limits.empty(), "resources.limits");
  ignored(!spec.resources.requests.empty(), "resources.requests");
  for (const ContainerMount& mount : spec.mounts) ignored(mount.read_only, "volumeMounts.readOnly");
  if (!spec.user.empty()) {
    errors.add(field_error("a process of this machine runs as the platform's own user", {"user"}));
  }
  check_security(errors, spec.security);
  for (std::size_t i = 0; i < spec.ports.size(); ++i) {
    FieldErrors port;
    if (spec.ports[i].name == http2_port_name) {
      port.add(field_error("a process is spoken to in HTTP/1.1 only", {"name"}));
    }
    if (!spec.ports[i].protocol.empty() && spec.ports[i].protocol != "TCP") {
      port.add(field_error("a process is reached by TCP only", {"protocol"}));
    }
    errors.add(std::move(port).via_field_index("ports", i));
  }
  return errors;
}

bool ProcessRuntime::can_exec(const ContainerSpec&) const { return true; }

Task<Result<std::string>> ProcessRuntime::pin(const ContainerSpec& spec) {
  return impl_->images.pin(spec);
}

Task<Result<std::unique_ptr<Container>>> ProcessRuntime::start(const ContainerSpec& spec,
                                                               ContainerOutput output) {
  Task<Result<ImageRoot>> providing = impl_->images.provide(spec);
  Result<ImageRoot> image = co_await std::move(providing);
  if (!image) co_return image.error();
  auto container =
      std::make_unique<ProcessContainer>(impl_, spec, std::move(*image), std::move(output));
  if (Result<void> started = container->start(); !started) co_return started.error();
  co_return std::unique_ptr<Container>(std::move(container));
}

}  // namespace knative
