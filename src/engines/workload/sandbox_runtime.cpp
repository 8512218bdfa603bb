// Programs in namespaces of their own.
#include "knative/sandbox_runtime.hpp"

#include <utility>

#include "engines/workload/isolated_program.hpp"

namespace knative {

struct SandboxRuntime::Impl final : IsolatingStarter {
  using IsolatingStarter::IsolatingStarter;

  Result<Program> program(const ContainerSpec& spec, const ImageRoot& image, std::uint16_t port,
                          const ContainerSpec* beside) override {
    Result<ProcessOptions> process = isolated(spec, image, port, beside);
    if (!process) return process.error();
    return Program{*process, *process, nullptr, {}, {}};
  }
};

SandboxRuntime::SandboxRuntime(Env& env, ImageProvider& images, SandboxRuntimeOptions options)
    : impl_(std::make_shared<Impl>(env, images, options, "a sandbox")) {}

SandboxRuntime::~SandboxRuntime() = default;

FieldErrors SandboxRuntime::unsupported(const ContainerSpec& spec) const {
  return impl_->unsupported(spec);
}

bool SandboxRuntime::can_exec(const ContainerSpec&) const { return true; }

bool SandboxRuntime::can_freeze(const ContainerSpec&) const {
  return impl_->isolating.support.freezing;
}

Task<Result<std::string>> SandboxRuntime::pin(const ContainerSpec& spec) {
  return impl_->images.pin(spec);
}

Task<Result<std::unique_ptr<Container>>> SandboxRuntime::start_beside(Container& other,
                                                                      const ContainerSpec& spec,
                                                                      ContainerOutput output) {
  return IsolatingStarter::start_beside(impl_, other, spec, std::move(output));
}

Task<Result<std::unique_ptr<Container>>> SandboxRuntime::start(const ContainerSpec& spec,
                                                               ContainerOutput output) {
  return IsolatingStarter::start(impl_, spec, nullptr, std::move(output));
}

}  // namespace knative
