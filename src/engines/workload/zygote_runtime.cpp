// Programs that fork from an interpreter.
#include "knative/zygote_runtime.hpp"

#include <utility>

#include "engines/workload/process_starter.hpp"
#include "engines/workload/zygote_processes.hpp"
#include "knative/value.hpp"

namespace knative {
namespace {

constexpr std::string_view preload_variable = "KNATIVE_ZYGOTE_PRELOAD";

ProcessRuntimeOptions as_they_are(ProcessRuntimeOptions options) {
  options.change_root = false;
  options.own_view = false;
  return options;
}

/// Adds the words of "numpy, yaml".
void add_words(std::vector<std::string>& words, std::string_view text) {
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    std::string_view word = text.substr(0, comma);
    text.remove_prefix(comma == text.npos ? text.size() : comma + 1);
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    if (!word.empty()) words.emplace_back(word);
  }
}

}  // namespace

struct ZygoteRuntime::Impl final : PlainStarter {
  using Started = Result<std::unique_ptr<Container>>;

  Impl(Env& e, ImageProvider& i, const ZygoteOptions& o)
      : PlainStarter(e, i, as_they_are(o.program), "workload.ports.zygote"),
        zygote(o),
        zygotes(e, o) {}

  Result<Program> program(const ContainerSpec& spec, const ImageRoot& image, std::uint16_t port,
                          const ContainerSpec* beside) override {
    Result<Program> plain = PlainStarter::program(spec, image, port, beside);
    if (!plain) return plain;
    const Result<std::string> key = key_of(spec, image);
    if (!key) return key.error();
    std::shared_ptr<Zygote> zygote = zygotes.find(*key);
    if (!zygote) return fail(Errc::unavailable, "the interpreter to fork from has ended");
    plain->keep = std::move(zygote);
    return plain;
  }

  Result<std::unique_ptr<Process>> spawn(const Program& program,
                                         const ProcessOptions& process) override {
    return std::static_pointer_cast<Zygote>(program.keep)->start_fork(process);
  }

  /// What all who fork from one zygote have in common. Words and places are those of the spec:
  /// every container has a root of its own. Fails when it is no program of Python.
  Result<std::string> key_of(const ContainerSpec& spec, const ImageRoot& image) const {
    ImageDefaults defaults = image.defaults;
    defaults.environment.insert(options.base_environment.begin(), options.base_environment.end());
    const Result<ContainerCommand> command = container_command(with_host_paths(spec), defaults);
    if (!command) return command.error();
    const Result<PythonCommand> python = PythonCommand::parse(command->argv);
    if (!python) return python.error();
    Value::List key{spec.identity.uid,          spec.identity.container, spec.name,      spec.image,
                    command->working_directory, python->kind_name(),     python->program};
    for (const std::string& word : python->interpreter) key.emplace_back(word);
    for (const auto& [name, value] : command->environment) key.emplace_back(name + "=" + value);
    return Value(std::move(key)).to_json();
  }

  Result<std::shared_ptr<Zygote>> make_zygote(const std::string& key, const ContainerSpec& spec,
                                              ImageRoot image) {
    Result<Program> plain = PlainStarter::program(spec, image, 0, nullptr);
    if (!plain) return plain.error();
    ZygotePlan plan;
    plan.name = spec.name;
    plan.program = std::move(plain->start);
    plan.preload = zygote.preload;
    plan.preload_timeout = zygote.preload_timeout;
    plan.answer_timeout = zygote.answer_timeout;
    const auto named = plan.program.environment.find(std::string(preload_variable));
    if (named != plan.program.environment.end()) add_words(plan.preload, named->second);
    plan.keep = std::move(image.keep);
    return zygotes.make(key, std::move(plan));
  }

  /// Its own root stays as long as it: what it has imported may read files of it later.
  static Task<Result<std::shared_ptr<Zygote>>> zygote_for(std::shared_ptr<Impl> impl,
                                                          const ContainerSpec& spec,
                                                          std::string key) {
    std::shared_ptr<Zygote> zygote = impl->zygotes.find(key);
    if (!zygote) {
      Task<Result<ImageRoot>> providing = impl->images.provide(spec);
      Result<ImageRoot> image = co_await std::move(providing);
      if (!image) co_return image.error();
      zygote = impl->zygotes.find(key);  // another one may have made it meanwhile
      if (!zygote) {
        Result<std::shared_ptr<Zygote>> made = impl->make_zygote(key, spec, std::move(*image));
        if (!made) co_return made.error();
        zygote = std::move(*made);
      }
    }
    Task<Result<void>> waiting = zygote->ready();
    const Result<void> ready = co_await std::move(waiting);
    if (!ready) co_return ready.error();
    co_return zygote;
  }

  static Task<Started> start(std::shared_ptr<Impl> impl, const ContainerSpec& spec,
                             ContainerOutput output) {
    Task<Result<ImageRoot>> providing = impl->images.provide(spec);
    Result<ImageRoot> image = co_await std::move(providing);
    if (!image) co_return image.error();
    Result<std::string> key = impl->key_of(spec, *image);
    if (!key) co_return key.error().within("starting " + spec.name);
    Task<Result<std::shared_ptr<Zygote>>> raising = zygote_for(impl, spec, std::move(*key));
    const Result<std::shared_ptr<Zygote>> zygote = co_await std::move(raising);
    if (!zygote) co_return zygote.error().within("starting " + spec.name);
    auto container =
        std::make_unique<ProcessContainer>(impl, spec, std::move(*image), std::move(output));
    if (Result<void> started = container->start(); !started) co_return started.error();
    co_return std::unique_ptr<Container>(std::move(container));
  }

  const ZygoteOptions zygote;
  Zygotes zygotes;
};

ZygoteRuntime::ZygoteRuntime(Env& env, ImageProvider& images, ZygoteOptions options)
    : impl_(std::make_shared<Impl>(env, images, options)) {}

ZygoteRuntime::~ZygoteRuntime() = default;

FieldErrors ZygoteRuntime::unsupported(const ContainerSpec& spec) const {
  return impl_->unsupported(spec);
}

bool ZygoteRuntime::can_exec(const ContainerSpec&) const { return true; }

bool ZygoteRuntime::can_freeze(const ContainerSpec&) const { return true; }

Task<Result<std::string>> ZygoteRuntime::pin(const ContainerSpec& spec) {
  return impl_->images.pin(spec);
}

Task<Result<std::unique_ptr<Container>>> ZygoteRuntime::start(const ContainerSpec& spec,
                                                              ContainerOutput output) {
  return Impl::start(impl_, spec, std::move(output));
}

}  // namespace knative
