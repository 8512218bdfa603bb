// Functions in a runtime of their own, in virtual time.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "knative/container_runtimes.hpp"
#include "knative/simulation.hpp"

namespace knative {

class FunctionFixture : public testing::Test {
 protected:
  FunctionFixture()
      : runtime(functions, sim.env().executor, sim.env().timers, sim.env().offload,
                sim.env().logger) {
    spec.name = "default/f-1";
    spec.ports.push_back({.container_port = 8080});
    spec.identity.service = "f";
    spec.identity.revision = "f-1";
  }

  Result<std::unique_ptr<Container>> start(std::string image) {
    spec.image = std::move(image);
    return sim.run(runtime.start(spec, output));
  }
  http::Response call(std::string image, http::Request request) {
    std::unique_ptr<Container> container = start(std::move(image)).value();
    return sim.run(container->endpoint()->handle(request));
  }

  SimulationOptions logging() {
    SimulationOptions options;
    options.log_sink = [this](const LogRecord& record) {
      logged.push_back(format_log_json(record));
    };
    return options;
  }

  std::vector<std::string> logged;
  Simulation sim{1, logging()};
  FunctionTable functions;
  FunctionRuntime runtime;
  ContainerSpec spec;
  ContainerOutput output;
};

}  // namespace knative
