/// \file
/// Containers: the one noun for whatever runs a program, a function, a step or an instance.
///
/// A `ContainerSpec` says what to run; a `ContainerRuntime` says what of it it cannot do and starts
/// it; a `Container` runs. An instance of a Revision is a container that is probed and routed to
/// (`RevisionPool`), a build's step is one that is waited for (`Builder`). Runtimes are known by
/// name (`ContainerRuntimes`): functions and processes come with the library
/// (container_runtimes.hpp), a host adds its own. Nothing in a spec refers to another object any
/// more: what stood in Secrets and ConfigMaps has been put in. Everything belongs to its loop.
///
/// \code
/// knative::ContainerSpec spec{.name = "default/hello", .image = "fn:hello"};
/// spec.ports.push_back({.container_port = 8080});
/// auto container = (co_await runtime.start(spec, nullptr)).value();
/// http::Response response = co_await container->endpoint()->handle(request);
/// \endcode
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/field_error.hpp"
#include "knative/http.hpp"
#include "knative/pod.hpp"
#include "knative/task.hpp"

namespace knative {

// ---------------------------------------------------------------------------- what to run

/// What a container is an instance or a part of; empty strings where that is nothing.
struct ContainerIdentity {
  std::string namespace_;
  std::string service;        ///< K_SERVICE
  std::string configuration;  ///< K_CONFIGURATION
  std::string revision;       ///< K_REVISION
  std::string build;
  std::string step;       ///< "build-step-compile"
  std::string container;  ///< Which one of several of an instance; empty: the one that serves.
  std::string uid;        ///< Of the Revision or the Build.
  friend bool operator==(const ContainerIdentity&, const ContainerIdentity&) = default;
};

/// A file or directory of this machine that a container sees at `target`.
struct ContainerMount {
  std::string source;  ///< Empty: a folder in memory, the container's own and gone with it.
  std::string target;
  bool read_only = false;
  /// A folder above `source` that others write to. What is missing below it is made when the
  /// container starts (`make_sub_paths`), and whoever mounts makes sure, at that moment, that no
  /// link on the way leads out of it. Empty: nobody else does.
  std::string within = {};
  std::string volume = {};  ///< Its name in the pod.
  /// Of the whole volume. Memory has no more; a container whose volume has more on disk is killed
  /// within seconds (`ExitStatus::evicted`). 0: no limit.
  std::uint64_t bytes_max = 0;
  friend bool operator==(const ContainerMount&, const ContainerMount&) = default;
};

/// How its image comes here when it is not here yet.
struct ImagePull {
  std::string policy;                ///< "Always", "IfNotPresent", "Never"; empty: by the tag.
  std::string service_account;       ///< Whose imagePullSecrets count, too; empty: "default".
  std::vector<std::string> secrets;  ///< imagePullSecrets, of the identity's namespace.
  std::string docker_config = {};    ///< A config.json whose credentials count, too. Secret.
  friend bool operator==(const ImagePull&, const ImagePull&) = default;
};

/// What to run.
struct ContainerSpec {
  std::string name;     ///< For logs and errors, e.g. "default/hello-00001".
  std::string runtime;  ///< Name of a runtime; empty: as `ContainerRuntimes` chooses.
  std::string image;    ///< "fn:NAME" or an image reference.
  ImagePull image_pull;
  /// Replaces the image's entrypoint (and its arguments). In `command` and `args` a $(NAME) of the
  /// container's environment, PORT included, is expanded as in Kubernetes.
  std::vector<std::string> command;
  std::vector<std::string> args;                   ///< Replaces the image's arguments.
  std::map<std::string, std::string> environment;  ///< Literal values.
  std::string working_directory;                   ///< Empty: the image's.
  std::string user;                                ///< "UID[:GID]" or a name; empty: the image's.
  /// The first one is served; none: it is run to its end and answers nothing.
  std::vector<core::ContainerPort> ports;
  std::vector<ContainerMount> mounts;
  core::ResourceRequirements resources;
  core::SecurityContext security;
  ContainerIdentity identity;
  int requests_max = 0;                            ///< At a time over `endpoint`; 0: no limit.
  Duration response_timeout{0};                    ///< To a response's header; 0: none.
  Duration stop_grace = std::chrono::seconds(30);  ///< Between SIGTERM and SIGKILL.
  bool freezable = false;                          ///< `Container::freeze` will be called.
  friend bool operator==(const ContainerSpec&, const ContainerSpec&) = default;
};

/// What a container of an object says, as a spec: image, words, ports, resources, security, and
/// the environment with its $(NAME) expanded over `known` and what stands before. Fails with
/// `failed_precondition`, naming the variable, when a value still stands in another object.
KNATIVE_EXPORT Result<ContainerSpec> container_spec(
    const core::Container& container, const std::map<std::string, std::string>& known = {});

// ---------------------------------------------------------------------------- running

/// Takes output by whole lines, without their ends, as valid UTF-8; long lines come in pieces.
/// `stream` is "stdout" or "stderr". A last line without an end comes when the stream ends.
using ContainerOutput = std::function<void(std::string_view stream, std::string_view line)>;

/// What a container uses.
struct ContainerStats {
  Duration cpu_time{0};
  std::uint64_t memory_bytes = 0;
  std::uint64_t processes = 0;  ///< Threads included; 0 where that is not counted.
};

/// Something that runs. Destroying it ends it at once.
class KNATIVE_EXPORT Container {
 public:
  virtual ~Container() = default;
  /// Wait until it has ended and its output has been given on. Any number of tasks may wait.
  virtual Task<ExitStatus> wait() = 0;
  /// Send a signal to everything in it; nothing when it has ended or knows no signals.
  virtual void signal(int number) = 0;
  /// Ask it to end, and end it by force after `grace`. Done when it is gone.
  virtual Task<void> stop(Duration grace) = 0;
  /// Answers requests to its first port, also while it starts (then with 502 or 503). Null without
  /// ports. May be held beyond the container's end.
  virtual std::shared_ptr<http::Handler> endpoint() const = 0;
  /// Where one of its ports is reached from here, by its number in the spec; empty when there is
  /// no such place (a function is called, not connected to).
  virtual std::optional<Endpoint> address(std::uint16_t port) const = 0;
  /// Through what `address` is connected to; null: as everything else of this machine.
  virtual std::shared_ptr<Network> network() const;
  /// The last lines of its output, oldest first.
  virtual std::vector<std::string> last_lines() const = 0;
  /// What it uses; `unimplemented` where that is not known.
  virtual Result<ContainerStats> stats() const;
  /// Keep everything in it from running until `thaw`; it keeps its memory and its connections.
  /// `stop` thaws it first. `unimplemented` unless `ContainerSpec::freezable` and
  /// `ContainerRuntime::can_freeze`.
  virtual Result<void> freeze();
  virtual Result<void> thaw();
  /// Run a command in it, to its end; dropping the task kills it. `unimplemented` where
  /// `ContainerRuntime::can_exec` says no.
  virtual Task<Result<ExitStatus>> exec(std::vector<std::string> command, ContainerOutput output);
};

/// Starts containers.
class KNATIVE_EXPORT ContainerRuntime {
 public:
  virtual ~ContainerRuntime() = default;
  /// What of `spec` it cannot do, as fields of a container ("securityContext.privileged"): errors
  /// refuse it, warnings name what is not enforced. The one source of refusals.
  virtual FieldErrors unsupported(const ContainerSpec& spec) const = 0;
  /// Whether `Container::exec` works in what it starts.
  virtual bool can_exec(const ContainerSpec& spec) const;
  /// Whether `Container::freeze` works in what it starts.
  virtual bool can_freeze(const ContainerSpec& spec) const;
  /// The image that `spec.image` means now, by digest ("repository@sha256:..."): the same content
  /// for ever. A runtime whose images never change returns the image as it is.
  virtual Task<Result<std::string>> pin(const ContainerSpec& spec);
  virtual Task<Result<std::string>> pin(ContainerSpec&& spec) = delete;
  /// Start it. Fails with `not_found` (no such function, image or program), `invalid_argument`
  /// (nothing to run), `unimplemented` (what `unsupported` refuses) or what fetching the image
  /// says. `spec` must stay until the task is done; `output` may be empty.
  virtual Task<Result<std::unique_ptr<Container>>> start(const ContainerSpec& spec,
                                                         ContainerOutput output) = 0;
  virtual Task<Result<std::unique_ptr<Container>>> start(ContainerSpec&& spec,
                                                         ContainerOutput output) = delete;
  /// The same in the network of `other`, which this runtime has started and which must stay until
  /// the task is done; both reach each other over loopback. This one calls `start`: right for all
  /// whose containers share this machine's.
  virtual Task<Result<std::unique_ptr<Container>>> start_beside(Container& other,
                                                                const ContainerSpec& spec,
                                                                ContainerOutput output);
  virtual Task<Result<std::unique_ptr<Container>>> start_beside(Container& other,
                                                                ContainerSpec&& spec,
                                                                ContainerOutput output) = delete;
  /// The name of the runtime that runs it, of several; else empty.
  virtual std::string name_for(const ContainerSpec& spec) const;
};

/// Runtimes by name, and the choice among them for each container.
class KNATIVE_EXPORT ContainerRuntimes final : public ContainerRuntime {
 public:
  /// Names the runtime for a container. The default one: "function" for images "fn:NAME", else
  /// `spec.runtime`, else "host" for a step of a build and "process" for everything else.
  using Choice = std::function<std::string(const ContainerSpec& spec)>;
  ContainerRuntimes();
  ~ContainerRuntimes() override;

  /// Replaces a runtime of that name; what it has started goes on.
  void add(std::string name, std::shared_ptr<ContainerRuntime> runtime);
  /// Null when unknown.
  std::shared_ptr<ContainerRuntime> find(std::string_view name) const;
  std::vector<std::string> names() const;
  void set_choice(Choice choice);

  FieldErrors unsupported(const ContainerSpec& spec) const override;
  bool can_exec(const ContainerSpec& spec) const override;
  bool can_freeze(const ContainerSpec& spec) const override;
  Task<Result<std::string>> pin(const ContainerSpec& spec) override;
  Task<Result<std::unique_ptr<Container>>> start(const ContainerSpec& spec,
                                                 ContainerOutput output) override;
  Task<Result<std::unique_ptr<Container>>> start_beside(Container& other, const ContainerSpec& spec,
                                                        ContainerOutput output) override;
  std::string name_for(const ContainerSpec& spec) const override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Prefix of images that are functions of the host program.
inline constexpr std::string_view function_image_prefix = "fn:";

// ---------------------------------------------------------------------------- for runtimes

/// What an image says about how it is run.
struct ImageDefaults {
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::map<std::string, std::string> environment;
  std::string working_directory;
  std::string user;
};

/// The program of a container.
struct ContainerCommand {
  std::vector<std::string> argv;
  std::map<std::string, std::string> environment;
  std::string working_directory;  ///< May be empty.
  std::string user;               ///< May be empty.
};

/// Combine image and spec: the spec's words replace the image's, its variables win over the
/// image's, `own` (such as PORT) and K_SERVICE, K_CONFIGURATION and K_REVISION over both. $(NAME)
/// in the spec's words is expanded, the image's words stay. `invalid_argument` without a program.
KNATIVE_EXPORT Result<ContainerCommand> container_command(
    const ContainerSpec& spec, const ImageDefaults& image,
    const std::map<std::string, std::string>& own = {});

/// What a container sees of its pod's volumes. `volumes` says by name what each is on this machine
/// (`source`) and whether it may be written; a subPath is a file or folder below it (`within`).
/// Fails with `invalid_argument` naming the volume.
KNATIVE_EXPORT Result<std::vector<ContainerMount>> mount_volumes(
    const std::map<std::string, ContainerMount>& volumes,
    const std::vector<core::VolumeMount>& mounts);
/// Before a container starts: what its subPaths name is there, else new folders; containers before
/// it may have made files. Fails with `invalid_argument`, naming the volume, where a link leads
/// out. Blocks briefly.
KNATIVE_EXPORT Result<void> make_sub_paths(Files& files, const std::vector<ContainerMount>& mounts);

/// `text` as it reads for a program that sees this machine's own files: a mount's target, wherever
/// such a path stands in it, becomes the mount's source.
KNATIVE_EXPORT std::string host_paths(const std::vector<ContainerMount>& mounts,
                                      std::string_view text);
/// The same for words, environment and working directory of a spec.
KNATIVE_EXPORT ContainerSpec with_host_paths(const ContainerSpec& spec);

}  // namespace knative
