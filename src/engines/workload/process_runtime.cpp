// Programs as processes of this machine.
#include <algorithm>

#include "engines/workload/process_starter.hpp"
#include "knative/container_runtimes.hpp"

namespace knative {
namespace {

/// The path inside the image if it exists there, else the path itself.
std::string inside(const std::string& path, const std::string& root, Files& files) {
  if (path.size() < 2 || path.front() != '/') return path;
  std::string mapped = root + path;
  return files.info(mapped) ? mapped : path;
}

/// A list of paths, each as `inside`: PYTHONPATH and the like.
std::string all_inside(std::string_view paths, const std::string& root, Files& files) {
  std::string mapped;
  while (true) {
    const std::size_t colon = paths.find(':');
    mapped += inside(std::string(paths.substr(0, colon)), root, files);
    if (colon == paths.npos) return mapped;
    mapped += ':';
    paths.remove_prefix(colon + 1);
  }
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

/// What the image says of itself in its variables means the image; but PATH is searched there as it
/// stands, and the machine's programs are found by it, too.
void map_variables(ProcessOptions& process, const ImageRoot& image, Files& files) {
  for (const auto& [name, value] : image.defaults.environment) {
    const auto own = process.environment.find(name);
    if (name == "PATH" || own == process.environment.end() || own->second != value) continue;
    if (value.starts_with('/')) own->second = all_inside(value, image.directory, files);
  }
}

/// True when `directory` is one of the mounts or below one: a place of this machine already.
bool in_mount(const std::vector<ContainerMount>& mounts, const std::string& directory) {
  return std::any_of(mounts.begin(), mounts.end(), [&](const ContainerMount& mount) {
    return directory.starts_with(mount.source) &&
           (directory.size() == mount.source.size() || directory[mount.source.size()] == '/');
  });
}

bool is_below(std::string_view path, std::string_view folder) {
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

/// What a process sees at its place, and what it is told the real place of.
struct SeenMounts {
  std::vector<ContainerMount> seen;
  std::vector<ContainerMount> told;
};

/// A mount point that is new in a folder of the machine would take that folder from the process:
/// it may be one that nobody writes to.
bool has_place(Files& files, const ContainerMount& mount, const std::vector<ContainerMount>& seen) {
  const std::string& target = mount.target;
  if (target.size() < 2 || target.front() != '/') return false;
  for (const std::string_view kernels : {"/proc", "/sys"}) {
    if (target == kernels || is_below(target, kernels)) return false;
  }
  const bool covered = std::any_of(seen.begin(), seen.end(), [&](const ContainerMount& other) {
    return is_below(target, other.target);
  });
  if (covered) return true;
  const Result<FileInfo> there = files.info(target);
  if (there) {
    const Result<FileInfo> source = files.info(mount.source);
    const bool folder = source && source->type == FileType::directory;
    return source && there->type == (folder ? FileType::directory : FileType::regular);
  }
  if (there.error().code != Errc::not_found) return false;
  const std::string first = target.substr(0, target.find('/', 1));
  return first == "/dev" ? target.rfind('/') == first.size() : !files.info(first);
}

SeenMounts seen_mounts(Files& files, const std::vector<ContainerMount>& mounts, bool own_view) {
  SeenMounts result;
  for (const ContainerMount& mount : mounts) {
    const bool seen = own_view && has_place(files, mount, result.seen);
    (seen ? result.seen : result.told).push_back(mount);
  }
  return result;
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

Result<Program> PlainStarter::program(const ContainerSpec& spec, const ImageRoot& image,
                                      std::uint16_t port, const ContainerSpec*) {
  std::map<std::string, std::string> own;
  if (port != 0) own["PORT"] = std::to_string(port);
  ImageDefaults defaults = image.defaults;
  defaults.environment.insert(options.base_environment.begin(), options.base_environment.end());
  ContainerSpec told = spec;
  SeenMounts mounts =
      seen_mounts(env.files, spec.mounts, options.own_view && image.directory.empty());
  told.mounts = std::move(mounts.told);
  Result<ContainerCommand> command = container_command(with_host_paths(told), defaults, own);
  if (!command) return command.error();
  ProcessOptions process;
  for (const ContainerMount& mount : mounts.seen) {
    process.view.push_back({mount.source, mount.target, mount.read_only, 0, mount.within});
  }
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
    map_variables(process, image, env.files);
  }
  return Program{process, process, nullptr, {}, {}};
}

Result<std::unique_ptr<Process>> PlainStarter::run_beside(Process&, const ImageRoot& image,
                                                          ProcessOptions beside) {
  if (!image.directory.empty() && !options.change_root) {
    map_into_image(beside, image.directory, env.files);
  }
  return env.processes.spawn(beside);
}

FieldErrors PlainStarter::unsupported(const ContainerSpec& spec) const {
  FieldErrors errors;
  const auto ignored = [&errors](bool set, std::string_view field) {
    if (!set) return;
    errors.add(field_error("not enforced: a process of this machine is not isolated", {field})
                   .as_warning());
  };
  ignored(!spec.resources.limits.empty(), "resources.limits");
  ignored(!spec.resources.requests.empty(), "resources.requests");
  const SeenMounts mounts = seen_mounts(env.files, spec.mounts, options.own_view);
  for (const ContainerMount& mount : mounts.told) ignored(mount.read_only, "volumeMounts.readOnly");
  // A step is told where its folders are; other programs look where the manifest says.
  if (!spec.mounts.empty() && spec.identity.step.empty()) {
    errors.add(field_error("a process of this machine has no volumes", {"volumeMounts"},
                           "runtimeClassName: sandbox has"));
  }
  if (!spec.user.empty()) {
    errors.add(field_error("a process of this machine runs as the platform's own user", {"user"}));
  }
  check_security(errors, spec.security);
  check_ports(errors, spec.ports, "a process");
  return errors;
}

struct ProcessRuntime::Impl final : PlainStarter {
  using PlainStarter::PlainStarter;
};

Task<Result<std::string>> ImageProvider::pin(const ContainerSpec& spec) { co_return spec.image; }

Task<Result<ImageRoot>> ImageProvider::provide_shared(const ContainerSpec& spec) {
  return provide(spec);
}

Task<Result<ImageRoot>> HostImages::provide(const ContainerSpec&) { co_return ImageRoot(); }

ProcessRuntime::ProcessRuntime(Env& env, ImageProvider& images, ProcessRuntimeOptions options)
    : impl_(std::make_shared<Impl>(env, images, options)) {}

ProcessRuntime::~ProcessRuntime() = default;

FieldErrors ProcessRuntime::unsupported(const ContainerSpec& spec) const {
  return impl_->unsupported(spec);
}

bool ProcessRuntime::can_exec(const ContainerSpec&) const { return true; }

bool ProcessRuntime::can_freeze(const ContainerSpec&) const { return true; }

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
