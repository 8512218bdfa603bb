/// \file
/// The runtimes that come with the library: functions of this process, and processes beside it.
///
/// `FunctionRuntime` runs images "fn:NAME" from a `FunctionTable`. `ProcessRuntime` runs an image's
/// program as a local process that gets PORT, K_SERVICE, K_CONFIGURATION and K_REVISION; it finds
/// the image's files through an `ImageProvider`. Neither isolates anything: run only what you
/// trust. Everything belongs to its loop.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "knative/container.hpp"
#include "knative/env.hpp"
#include "knative/functions.hpp"

namespace knative {

/// Runs functions on the loop. A function that throws answers 500, and the log says which one,
/// for which request and why (at most ten times a second).
class KNATIVE_EXPORT FunctionRuntime final : public ContainerRuntime {
 public:
  /// Shares `functions`: what is added to the table later is found, too.
  FunctionRuntime(const FunctionTable& functions, Executor& executor, Timers& timers,
                  Offload& offload, Logger& logger);
  ~FunctionRuntime() override;
  FieldErrors unsupported(const ContainerSpec& spec) const override;
  Task<Result<std::unique_ptr<Container>>> start(const ContainerSpec& spec,
                                                 ContainerOutput output) override;

  struct Impl;

 private:
  std::shared_ptr<const Impl> impl_;
};

/// An unpacked image.
struct ImageRoot {
  std::string directory;  ///< Root of the files, the container's alone; empty: the machine's own.
  /// A folder for what the container writes, its alone: then others share `directory`, which
  /// nobody may write to.
  std::string upper;
  ImageDefaults defaults;
  std::shared_ptr<void> keep;  ///< Whatever must live while the files are used.
};

/// Turns an image reference into files.
class KNATIVE_EXPORT ImageProvider {
 public:
  virtual ~ImageProvider() = default;
  /// A root for one container, of the image that `spec` names and as it says how to fetch it. Fails
  /// with `not_found` when there is no such image. `spec` must stay until the task is done.
  virtual Task<Result<ImageRoot>> provide(const ContainerSpec& spec) = 0;
  virtual Task<Result<ImageRoot>> provide(ContainerSpec&&) = delete;
  /// The same for a runtime that can lay an upper folder over a shared root, which costs no copy.
  /// This one gives what `provide` gives.
  virtual Task<Result<ImageRoot>> provide_shared(const ContainerSpec& spec);
  virtual Task<Result<ImageRoot>> provide_shared(ContainerSpec&&) = delete;
  /// The image by digest, as `ContainerRuntime::pin`. This one returns it as it is.
  virtual Task<Result<std::string>> pin(const ContainerSpec& spec);
  virtual Task<Result<std::string>> pin(ContainerSpec&&) = delete;
};

/// Every image is this machine as it is, whatever its name: for steps on the host.
class KNATIVE_EXPORT HostImages final : public ImageProvider {
 public:
  Task<Result<ImageRoot>> provide(const ContainerSpec& spec) override;
};

struct ProcessRuntimeOptions {
  bool change_root = false;  ///< chroot into the image (needs privilege).
  /// Variables every process gets unless image or spec say otherwise.
  std::map<std::string, std::string> base_environment = {
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, {"HOME", "/tmp"}};
  /// What is mounted is seen at its place (`IsolationSupport::own_view`), where images are this
  /// machine as it is.
  bool own_view = false;
  std::uint16_t port_min = 20'000;  ///< Ports to give to processes, below the ephemeral ones.
  std::uint16_t port_max = 32'000;
  int start_attempts_max = 3;             ///< With other ports, when a stranger took the port.
  std::size_t log_lines_kept_max = 20;    ///< For error messages.
  std::size_t log_line_bytes_max = 8192;  ///< Longer lines are broken.
};

/// Runs images as local processes; those with ports listen on a loopback port given in PORT.
///
/// Without `change_root` programs see the machine's files; the first word of the command and
/// arguments that are absolute paths of files in the image mean the image's files, and so do such
/// paths in variables that the image sets (PYTHONPATH; not PATH, by which the machine's programs
/// are found, too); the working directory is inside the image. A mount is seen at its place with
/// `own_view`, unless it would be new in a folder of this machine other than "/" and "/dev", or in
/// /proc or /sys. Otherwise paths below it, wherever they stand in the spec, mean its source.
class KNATIVE_EXPORT ProcessRuntime final : public ContainerRuntime {
 public:
  ProcessRuntime(Env& env, ImageProvider& images, ProcessRuntimeOptions options = {});
  ~ProcessRuntime() override;
  FieldErrors unsupported(const ContainerSpec& spec) const override;
  bool can_exec(const ContainerSpec& spec) const override;
  bool can_freeze(const ContainerSpec& spec) const override;
  Task<Result<std::string>> pin(const ContainerSpec& spec) override;
  Task<Result<std::unique_ptr<Container>>> start(const ContainerSpec& spec,
                                                 ContainerOutput output) override;

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace knative
