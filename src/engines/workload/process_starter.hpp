// How programs are started as they are, on this machine as it is. Private to the workload.
#pragma once

#include <memory>
#include <string_view>

#include "engines/workload/process_container.hpp"

namespace knative {

class PlainStarter : public ProgramStarter {
 public:
  PlainStarter(Env& e, ImageProvider& i, const ProcessRuntimeOptions& o,
               std::string_view chance = "workload.ports")
      : ProgramStarter(e, o, chance), images(i) {}

  bool needs_port() const override { return true; }
  Result<Program> program(const ContainerSpec& spec, const ImageRoot& image, std::uint16_t port,
                          const ContainerSpec* beside) override;
  Result<std::unique_ptr<Process>> run_beside(Process& process, const ImageRoot& image,
                                              ProcessOptions beside) override;
  /// As `ContainerRuntime::unsupported`.
  FieldErrors unsupported(const ContainerSpec& spec) const;

  ImageProvider& images;
};

}  // namespace knative
