#include "engines/workload/isolated_program.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "engines/workload/image_users.hpp"
#include "engines/workload/sandbox_door.hpp"

namespace knative {
namespace {

constexpr int resource_core = 4;  // RLIMIT_CORE: dumps of a container's programs help nobody
constexpr std::size_t hostname_bytes_max = 63;
constexpr std::uint64_t text_bytes_max = std::uint64_t{64} << 10;

/// Calls `visit(name, number or nothing)` for what `names` stand for; "ALL" is every one.
template <class Visit>
void each_capability(const std::vector<std::string>& names, Visit visit) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == "ALL") {
      visit(i, all_capabilities());
      continue;
    }
    const std::optional<int> number = capability_number(names[i]);
    visit(i, number ? Isolation::Capabilities{1} << *number : Isolation::Capabilities{0});
  }
}

Isolation::Capabilities capabilities_of(const core::SecurityContext& security) {
  Isolation::Capabilities result = default_capabilities();
  if (!security.capabilities) return result;
  each_capability(security.capabilities->drop,
                  [&](std::size_t, Isolation::Capabilities bits) { result &= ~bits; });
  each_capability(security.capabilities->add,
                  [&](std::size_t, Isolation::Capabilities bits) { result |= bits; });
  return result;
}

/// The last part of a container's name, as far as it can name a host.
std::string hostname_of(const ContainerSpec& spec) {
  std::string_view name = spec.name;
  name.remove_prefix(name.rfind('/') + 1);
  std::string result;
  for (const char c : name.substr(0, hostname_bytes_max)) {
    const bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    result.push_back(fits || (c == '-' && !result.empty()) ? c : 'x');
  }
  return result.empty() ? "container" : result;
}

std::uint64_t amount(const core::ResourceList& list, std::string_view name, bool milli) {
  const auto found = list.find(name);
  if (found == list.end()) return 0;
  const std::int64_t value = milli ? found->second.milli_value() : found->second.value();
  return value > 0 ? static_cast<std::uint64_t>(value) : 0;
}

FieldError isolation_not_enforced(std::string why, std::string field) {
  return field_error("not enforced: " + std::move(why), {std::move(field)}).as_warning();
}

void check_resources(FieldErrors& errors, const core::ResourceRequirements& resources,
                     const IsolationSupport& support) {
  for (const auto& [name, quantity] : resources.limits) {
    const std::string field = "resources.limits." + name;
    const bool counted = (name == "memory" && support.memory_limit) ||
                         (name == "cpu" && support.cpu_limit) ||
                         (name == "ephemeral-storage" && support.overlay);
    if (counted) continue;
    const bool known = name == "memory" || name == "cpu";
    errors.add(isolation_not_enforced(
        known ? "this host has no control group that counts it" : "nothing counts it", field));
  }
  for (const auto& [name, quantity] : resources.requests) {
    // Memory is not reserved: what is asked for is there until it is used up.
    if ((name == "cpu" && support.cpu_limit) || name == "memory") continue;
    errors.add(isolation_not_enforced("this host does not weigh it", "resources.requests." + name));
  }
}

void check_rights(FieldErrors& errors, const core::SecurityContext& security,
                  std::string_view what) {
  const auto refuse = [&errors](std::string why, std::string field) {
    errors.add(field_error(std::move(why), {"securityContext." + std::move(field)}));
  };
  if (security.privileged.value_or(false)) {
    refuse(std::string(what).append(" has no rights outside itself"), "privileged");
  }
  const auto in_range = [](std::int64_t id) { return id >= 0 && id < 0xffffffff; };
  if (security.run_as_user && !in_range(*security.run_as_user)) {
    refuse("expected a number of 32 bits", "runAsUser");
  }
  if (security.run_as_group && !in_range(*security.run_as_group)) {
    refuse("expected a number of 32 bits", "runAsGroup");
  }
  if (security.seccomp_profile && security.seccomp_profile->type != "RuntimeDefault" &&
      security.seccomp_profile->type != "Unconfined") {
    refuse("expected RuntimeDefault or Unconfined", "seccompProfile.type");
  }
  if (!security.capabilities) return;
  for (const char* list : {"add", "drop"}) {
    const std::vector<std::string>& names =
        std::string_view(list) == "add" ? security.capabilities->add : security.capabilities->drop;
    each_capability(names, [&](std::size_t i, Isolation::Capabilities bits) {
      if (bits != 0) return;
      refuse("no capability is named \"" + names[i] + "\"",
             std::string("capabilities.") + list + "[" + std::to_string(i) + "]");
    });
  }
}

/// Who runs it: what the spec says over what the image says.
Result<ImageUser> user_of(const ContainerSpec& spec, const std::string& user,
                          const ImageUsers& users) {
  const core::SecurityContext& security = spec.security;
  const std::string wanted = security.run_as_user ? std::to_string(*security.run_as_user) : user;
  Result<ImageUser> found = users.find(wanted);
  if (!found) return found;
  if (security.run_as_group) found->group = static_cast<std::uint32_t>(*security.run_as_group);
  if (security.run_as_non_root.value_or(false) && found->user == 0) {
    return fail(Errc::failed_precondition,
                "container has runAsNonRoot and image will run as root: "
                "securityContext.runAsNonRoot");
  }
  return found;
}

}  // namespace

IsolatingStarter::IsolatingStarter(Env& e, ImageProvider& i, const SandboxRuntimeOptions& o,
                                   std::string what)
    : ProgramStarter(e, o.program), images(i), isolating(o), what_(std::move(what)) {}

bool IsolatingStarter::has_gateway(const ContainerSpec& spec) const {
  return isolating.gateway.handler != nullptr && !shares_network() &&
         !SandboxDoor::clash(spec.ports);
}

Result<std::shared_ptr<void>> IsolatingStarter::serve_inside(const ContainerSpec& spec,
                                                             Network& inside) {
  if (!has_gateway(spec)) return std::shared_ptr<void>();
  return SandboxDoor::serve(env, inside, isolating.gateway);
}

Result<std::unique_ptr<Process>> IsolatingStarter::run_beside(Process& process, const ImageRoot&,
                                                              ProcessOptions beside) {
  beside.isolation.reset();
  return process.enter(beside);
}

Task<Result<std::unique_ptr<Container>>> IsolatingStarter::start(
    std::shared_ptr<IsolatingStarter> starter, const ContainerSpec& spec, ProcessContainer* beside,
    ContainerOutput output) {
  const IsolationSupport& support = starter->isolating.support;
  if (!support.possible) {
    co_return fail(Errc::unimplemented, "this host cannot isolate: " + support.reason);
  }
  Task<Result<ImageRoot>> providing =
      support.overlay ? starter->images.provide_shared(spec) : starter->images.provide(spec);
  Result<ImageRoot> image = co_await std::move(providing);
  if (!image) co_return image.error();
  auto container =
      std::make_unique<ProcessContainer>(starter, spec, std::move(*image), std::move(output));
  if (Result<void> started = container->start(beside); !started) co_return started.error();
  Task<Result<void>> beginning = container->begun();
  if (Result<void> begun = co_await std::move(beginning); !begun) co_return begun.error();
  co_return std::unique_ptr<Container>(std::move(container));
}

Task<Result<std::unique_ptr<Container>>> IsolatingStarter::start_beside(
    std::shared_ptr<IsolatingStarter> starter, Container& other, const ContainerSpec& spec,
    ContainerOutput output) {
  // What shares this machine's network needs nobody to join.
  const bool joins = !starter->shares_network();
  auto* const beside = joins ? dynamic_cast<ProcessContainer*>(&other) : nullptr;
  if (joins && beside == nullptr) {
    co_return fail(Errc::invalid_argument,
                   spec.name + ": what it is to run beside is not " + starter->what_);
  }
  Task<Result<std::unique_ptr<Container>>> starting =
      start(starter, spec, beside, std::move(output));
  co_return co_await std::move(starting);
}

void IsolatingStarter::isolate(const ContainerSpec& spec, bool gateway,
                               Isolation& isolation) const {
  const core::SecurityContext& security = spec.security;
  isolation.read_only_root = security.read_only_root_filesystem.value_or(false);
  isolation.hostname = hostname_of(spec);
  isolation.host_network = shares_network();
  if (gateway) isolation.address = SandboxDoor::address;
  isolation.capabilities = capabilities_of(security);
  isolation.no_new_privileges = !security.allow_privilege_escalation.value_or(true);
  isolation.filter_system_calls =
      !security.seccomp_profile || security.seccomp_profile->type != "Unconfined";
  isolation.resource_limits = {{resource_core, 0, 0}};
  isolation.limits.memory_bytes = amount(spec.resources.limits, "memory", false);
  isolation.limits.cpu_milli = amount(spec.resources.limits, "cpu", true);
  isolation.limits.cpu_shares_milli = amount(spec.resources.requests, "cpu", true);
  isolation.limits.processes = isolating.processes_max;
  for (const ContainerMount& mount : spec.mounts) {
    isolation.mounts.push_back(
        {mount.source, mount.target, mount.read_only, mount.bytes_max, mount.within});
  }
  isolation.files = {
      {"/etc/hostname", isolation.hostname + "\n"},
      {"/etc/hosts", "127.0.0.1\tlocalhost " + isolation.hostname +
                         "\n::1\tlocalhost ip6-localhost ip6-loopback\n"},
      {"/etc/resolv.conf",
       gateway ? SandboxDoor::resolver(spec.identity.namespace_)
               : env.files.read_file("/etc/resolv.conf", text_bytes_max).value_or("")}};
}

Result<ProcessOptions> IsolatingStarter::isolated(const ContainerSpec& spec, const ImageRoot& image,
                                                  std::uint16_t port,
                                                  const ContainerSpec* beside) const {
  if (image.directory.empty()) {
    return fail(Errc::failed_precondition, spec.image + " has no files to run it in");
  }
  std::map<std::string, std::string> own;
  if (port != 0) own["PORT"] = std::to_string(port);
  ImageDefaults defaults = image.defaults;
  const bool has_home = defaults.environment.count("HOME") != 0;
  defaults.environment.insert(options.base_environment.begin(), options.base_environment.end());
  Result<ContainerCommand> command = container_command(spec, defaults, own);
  if (!command) return command.error();
  const Result<ImageUser> user =
      user_of(spec, command->user, ImageUsers::read(env.files, image.directory));
  if (!user) return user.error();

  ProcessOptions process;
  process.argv = std::move(command->argv);
  process.environment = std::move(command->environment);
  if (!has_home && spec.environment.count("HOME") == 0) process.environment["HOME"] = user->home;
  process.working_directory = command->working_directory.empty() ? "/" : command->working_directory;
  if (process.working_directory.front() != '/') process.working_directory.insert(0, 1, '/');
  Isolation& isolation = process.isolation.emplace();
  isolation.root = image.directory;
  isolation.upper = image.upper;
  isolation.user = user->user;
  isolation.group = user->group;
  if (isolating.support.any_user) isolation.groups = user->groups;
  isolate(spec, has_gateway(beside != nullptr ? *beside : spec), isolation);
  if (process.environment.count("HOSTNAME") == 0) {
    process.environment["HOSTNAME"] = isolation.hostname;
  }
  return process;
}

FieldErrors IsolatingStarter::unsupported(const ContainerSpec& spec) const {
  const IsolationSupport& support = isolating.support;
  FieldErrors errors;
  if (!support.possible) {
    errors.add(field_error("this host cannot isolate: " + support.reason, {"runtimeClassName"}));
  }
  check_resources(errors, spec.resources, support);
  check_rights(errors, spec.security, what_);
  check_ports(errors, spec.ports, what_);
  const bool wants = isolating.gateway.handler != nullptr && !shares_network();
  if (const auto port = SandboxDoor::clash(spec.ports); port && wants) {
    FieldErrors found;
    found.add(field_error("the platform cannot be called from " + what_ + " that serves this port",
                          {"containerPort"})
                  .as_warning());
    errors.add(std::move(found).via_field_index("ports", *port));
  }
  return errors;
}

}  // namespace knative
