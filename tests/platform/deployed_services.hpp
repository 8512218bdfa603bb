// A platform on this machine, whose Services are deployed and asked.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "knative/platform.hpp"
#include "support/real_world.hpp"

namespace knative::testing_platform {

class DeployedServices : public ::testing::Test {
 protected:
  void begin(PlatformOptions options = {}) {
    options.data_directory = folder_ / "data";
    platform_.emplace(loop_.env(), functions_, std::move(options));
    platform_->start().value();
  }
  /// What becomes of a Service with this in its template.
  Result<void> deploy(const std::string& name, const std::string& revision) {
    const std::string text =
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: " + name +
        "}\nspec:\n  template:\n" + revision;
    const Result<std::vector<ObjectRef>> applied = platform_->apply_text(text);
    if (!applied) return applied.error();
    return loop_.run(platform_->ready(applied->front(), std::chrono::seconds(60)));
  }
  std::string asked(const std::string& name) {
    http::Request request = http::get("/");
    Result<http::Response> response = loop_.run(platform_->invoke(name, request));
    if (!response) return response.error().to_string();
    if (Result<void> read = loop_.run(response->body.read_all()); !read) {
      return read.error().to_string();
    }
    return std::string(response->body.bytes());
  }

  testing_world::TemporaryDirectory folder_;
  Loop loop_{testing_world::quiet()};
  FunctionTable functions_;
  std::optional<Platform> platform_;
};

}  // namespace knative::testing_platform
