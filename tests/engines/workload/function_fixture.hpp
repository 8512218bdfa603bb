// Functions in a runtime of their own, in virtual time.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "knative/simulation.hpp"
#include "knative/workload.hpp"

namespace knative {

class FunctionFixture : public testing::Test {
 protected:
  FunctionFixture() : runtime(functions, sim.env().offload, sim.env().logger) {}

  Result<std::unique_ptr<Instance>> start(std::string image) {
    WorkloadSpec spec;
    spec.name = "default/f-1";
    spec.image = std::move(image);
    return sim.run(runtime.start(spec));
  }
  http::Response call(std::string image, http::Request request) {
    std::unique_ptr<Instance> instance = start(std::move(image)).value();
    sim.run(instance->ready()).value();
    return sim.run(instance->handle(request));
  }

  Simulation sim{1};
  FunctionTable functions;
  FunctionRuntime runtime;
};

}  // namespace knative
