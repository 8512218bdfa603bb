// What every runtime shares: the way from an object's container to words, variables and paths, and
// the choice among runtimes.
#include "knative/container.hpp"

#include <algorithm>

#include "model/expansion.hpp"

namespace knative {

namespace {

using Variables = std::map<std::string, std::string>;

void merge(Variables& into, const Variables& from) {
  for (const auto& [key, value] : from) into.insert_or_assign(key, value);
}

// Characters that continue a file name; a path that begins after one of them is part of another.
bool in_path(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
         c == '.' || c == '_' || c == '-' || c == '~' || c == '}' || c == ')';
}

bool continues_name(char c) { return c != '/' && in_path(c) && c != '}' && c != ')'; }

std::string_view without_end_slash(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return path;
}

// The mount whose target stands at the front of `text` as a whole; the longest one wins, and of
// two of the same target the later one.
const ContainerMount* mount_at(const std::vector<ContainerMount>& mounts, std::string_view text) {
  const ContainerMount* best = nullptr;
  for (const ContainerMount& mount : mounts) {
    const std::string_view target = without_end_slash(mount.target);
    if (target.empty() || !text.starts_with(target)) continue;
    if (text.size() > target.size() && continues_name(text[target.size()])) continue;
    if (best == nullptr || target.size() >= without_end_slash(best->target).size()) best = &mount;
  }
  return best;
}

}  // namespace

Result<ContainerSpec> container_spec(const core::Container& container, const Variables& known) {
  ContainerSpec spec;
  spec.image = container.image;
  spec.image_pull.policy = container.image_pull_policy;
  spec.command = container.command;
  spec.args = container.args;
  spec.working_directory = container.working_dir;
  spec.ports = container.ports;
  spec.resources = container.resources;
  if (container.security_context) spec.security = *container.security_context;
  spec.environment = known;
  if (!container.env_from.empty()) {
    return fail(Errc::failed_precondition, "envFrom: its values have not been looked up");
  }
  for (const core::EnvVar& variable : container.env) {
    if (variable.value_from) {
      return fail(Errc::failed_precondition,
                  "env " + variable.name + ": its value has not been looked up");
    }
    spec.environment[variable.name] = core::expand_references(variable.value, spec.environment);
  }
  return spec;
}

Result<ContainerCommand> container_command(const ContainerSpec& spec, const ImageDefaults& image,
                                           const Variables& own) {
  ContainerCommand result;
  result.environment = image.environment;
  merge(result.environment, spec.environment);
  if (!spec.identity.revision.empty()) {
    result.environment["K_SERVICE"] = spec.identity.service;
    result.environment["K_CONFIGURATION"] = spec.identity.configuration;
    result.environment["K_REVISION"] = spec.identity.revision;
  }
  merge(result.environment, own);

  const auto add_own = [&result](const std::vector<std::string>& words) {
    for (const std::string& word : words) {
      result.argv.push_back(core::expand_references(word, result.environment));
    }
  };
  const auto add_images = [&result](const std::vector<std::string>& words) {
    result.argv.insert(result.argv.end(), words.begin(), words.end());
  };
  if (spec.command.empty()) {
    // Who wants an image without an entrypoint of its base writes one of an empty word.
    const bool none = image.entrypoint.size() == 1 && image.entrypoint.front().empty();
    if (!none) add_images(image.entrypoint);
  } else {
    add_own(spec.command);
  }
  if (!spec.args.empty()) {
    add_own(spec.args);
  } else if (spec.command.empty()) {
    add_images(image.cmd);
  }
  if (result.argv.empty() || result.argv.front().empty()) {
    return fail(Errc::invalid_argument,
                "neither the image " + spec.image + " nor the container names a program to run");
  }
  result.working_directory =
      spec.working_directory.empty() ? image.working_directory : spec.working_directory;
  result.user = spec.user.empty() ? image.user : spec.user;
  return result;
}

std::string host_paths(const std::vector<ContainerMount>& mounts, std::string_view text) {
  std::string result;
  std::size_t i = 0;
  while (i < text.size()) {
    const bool begins = text[i] == '/' && (i == 0 || !in_path(text[i - 1]));
    const ContainerMount* match = begins ? mount_at(mounts, text.substr(i)) : nullptr;
    if (match == nullptr) {
      result.push_back(text[i++]);
      continue;
    }
    result.append(match->source);
    i += without_end_slash(match->target).size();
  }
  return result;
}

ContainerSpec with_host_paths(const ContainerSpec& spec) {
  ContainerSpec result = spec;
  if (spec.mounts.empty()) return result;
  for (std::string& word : result.command) word = host_paths(spec.mounts, word);
  for (std::string& word : result.args) word = host_paths(spec.mounts, word);
  for (auto& [name, value] : result.environment) value = host_paths(spec.mounts, value);
  result.working_directory = host_paths(spec.mounts, spec.working_directory);
  return result;
}

// ---------------------------------------------------------------------------- interfaces

Result<ContainerStats> Container::stats() const {
  return fail(Errc::unimplemented, "what this container uses is not known");
}

std::shared_ptr<Network> Container::network() const { return nullptr; }

Result<void> Container::freeze() {
  return fail(Errc::unimplemented, "this container cannot be frozen");
}

Result<void> Container::thaw() { return {}; }

Task<Result<ExitStatus>> Container::exec(std::vector<std::string>, ContainerOutput) {
  co_return fail(Errc::unimplemented, "no command can be run in this container");
}

bool ContainerRuntime::can_exec(const ContainerSpec&) const { return false; }

bool ContainerRuntime::can_freeze(const ContainerSpec&) const { return false; }

Task<Result<std::string>> ContainerRuntime::pin(const ContainerSpec& spec) { co_return spec.image; }

Task<Result<std::unique_ptr<Container>>> ContainerRuntime::start_beside(Container&,
                                                                        const ContainerSpec& spec,
                                                                        ContainerOutput output) {
  return start(spec, std::move(output));
}

std::string ContainerRuntime::name_for(const ContainerSpec&) const { return {}; }

// ---------------------------------------------------------------------------- by name

struct ContainerRuntimes::Impl {
  std::map<std::string, std::shared_ptr<ContainerRuntime>, std::less<>> runtimes;
  Choice choice = [](const ContainerSpec& spec) -> std::string {
    if (spec.image.starts_with(function_image_prefix)) return "function";
    if (!spec.runtime.empty()) return spec.runtime;
    return spec.identity.step.empty() ? "process" : "host";
  };

  std::shared_ptr<ContainerRuntime> chosen(const ContainerSpec& spec, std::string& name) const {
    name = choice(spec);
    const auto found = runtimes.find(name);
    return found == runtimes.end() ? nullptr : found->second;
  }
  std::string unknown(const std::string& name) const {
    std::string text = "no container runtime is named \"" + name + "\"; known are";
    if (runtimes.empty()) text += " none";
    for (const auto& [other, runtime] : runtimes) text.append(" ").append(other);
    return text;
  }
};

ContainerRuntimes::ContainerRuntimes() : impl_(std::make_unique<Impl>()) {}
ContainerRuntimes::~ContainerRuntimes() = default;

void ContainerRuntimes::add(std::string name, std::shared_ptr<ContainerRuntime> runtime) {
  KN_ASSERT(runtime != nullptr);
  impl_->runtimes.insert_or_assign(std::move(name), std::move(runtime));
}

std::shared_ptr<ContainerRuntime> ContainerRuntimes::find(std::string_view name) const {
  const auto found = impl_->runtimes.find(name);
  return found == impl_->runtimes.end() ? nullptr : found->second;
}

std::vector<std::string> ContainerRuntimes::names() const {
  std::vector<std::string> names;
  for (const auto& [name, runtime] : impl_->runtimes) names.push_back(name);
  return names;
}

void ContainerRuntimes::set_choice(Choice choice) { impl_->choice = std::move(choice); }

FieldErrors ContainerRuntimes::unsupported(const ContainerSpec& spec) const {
  std::string name;
  const std::shared_ptr<ContainerRuntime> runtime = impl_->chosen(spec, name);
  if (!runtime) return field_error(impl_->unknown(name), {"runtimeClassName"});
  FieldErrors errors = runtime->unsupported(spec);
  if (spec.image.starts_with(function_image_prefix) && !spec.runtime.empty() &&
      spec.runtime != name) {
    errors.add(field_error("a function of the host program runs in the runtime \"" + name + "\"",
                           {"runtimeClassName"}));
  }
  return errors;
}

bool ContainerRuntimes::can_exec(const ContainerSpec& spec) const {
  std::string name;
  const std::shared_ptr<ContainerRuntime> runtime = impl_->chosen(spec, name);
  return runtime && runtime->can_exec(spec);
}

bool ContainerRuntimes::can_freeze(const ContainerSpec& spec) const {
  std::string name;
  const std::shared_ptr<ContainerRuntime> runtime = impl_->chosen(spec, name);
  return runtime && runtime->can_freeze(spec);
}

Task<Result<std::string>> ContainerRuntimes::pin(const ContainerSpec& spec) {
  std::string name;
  const std::shared_ptr<ContainerRuntime> runtime = impl_->chosen(spec, name);
  if (!runtime) co_return fail(Errc::unimplemented, impl_->unknown(name));
  Task<Result<std::string>> pinning = runtime->pin(spec);
  co_return co_await std::move(pinning);
}

Task<Result<std::unique_ptr<Container>>> ContainerRuntimes::start(const ContainerSpec& spec,
                                                                  ContainerOutput output) {
  std::string name;
  const std::shared_ptr<ContainerRuntime> runtime = impl_->chosen(spec, name);
  if (!runtime) co_return fail(Errc::unimplemented, impl_->unknown(name));
  Task<Result<std::unique_ptr<Container>>> starting = runtime->start(spec, std::move(output));
  co_return co_await std::move(starting);
}

Task<Result<std::unique_ptr<Container>>> ContainerRuntimes::start_beside(Container& other,
                                                                         const ContainerSpec& spec,
                                                                         ContainerOutput output) {
  std::string name;
  const std::shared_ptr<ContainerRuntime> runtime = impl_->chosen(spec, name);
  if (!runtime) co_return fail(Errc::unimplemented, impl_->unknown(name));
  Task<Result<std::unique_ptr<Container>>> starting =
      runtime->start_beside(other, spec, std::move(output));
  co_return co_await std::move(starting);
}

std::string ContainerRuntimes::name_for(const ContainerSpec& spec) const {
  return impl_->choice(spec);
}

}  // namespace knative
