// What a platform is made of and how its parts are plugged into each other: the one place that
// knows all engines. Members are made in `start()`, in their order.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "extensions/eventing/event_plane.hpp"
#include "extensions/serving/data_plane.hpp"
#include "extensions/serving/workloads.hpp"
#include "knative/platform.hpp"
#include "knative/http_server.hpp"
#include "platform/control_plane.hpp"
#include "platform/front.hpp"

namespace knative {

/// Everything that a started platform is made of, in the order in which it depends on each other.
struct Platform::Impl {
  Impl(Env& world, FunctionTable& table, PlatformOptions wanted);

  // composition.cpp: how it is put together.
  Result<void> start();
  Result<void> open_directory();
  Result<void> open_store();
  void make_workloads();
  void make_builder();
  void make_planes();
  Result<void> open_listener();
  Result<void> start_control_plane();

  // platform.cpp: what its callers need.
  void drop_orphan_subscriptions();
  std::string qualify(std::string_view service) const;
  std::string url_of(const ObjectRef& ref) const;
  Task<void> settle();

  Env& env;
  FunctionTable& functions;
  PlatformOptions options;
  Metrics metrics;
  bool started = false;
  bool stopped = false;
  std::optional<Error> start_error;
  std::string work_directory;  ///< For what must be a file.
  bool remove_work_directory = false;
  std::unique_ptr<File> lock;
  std::unique_ptr<Store> store;
  std::shared_ptr<oci::ImageStore> images;
  std::unique_ptr<oci::UnpackCache> unpacked;
  std::unique_ptr<StoreImages> image_provider;
  std::unique_ptr<FunctionRuntime> function_runtime;
  std::unique_ptr<ProcessRuntime> process_runtime;
  std::unique_ptr<AnyRuntime> runtime;
  StepFunctions no_step_functions;
  std::unique_ptr<Fetcher> fetcher;
  std::unique_ptr<StepRunner> step_runner;
  std::unique_ptr<Builder> builder;
  std::unique_ptr<control::Context> context;
  std::unique_ptr<DataPlane> data_plane;
  std::unique_ptr<EventPlane> event_plane;
  std::unique_ptr<ControlPlane> control_plane;
  std::unique_ptr<Front> front;
  std::unique_ptr<http::Server> server;
  std::uint64_t subscription_count = 0;
};

}  // namespace knative
