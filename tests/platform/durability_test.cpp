// Any file operation may fail, and the machine may die at any of them: what a publisher was told is
// accepted reaches the subscriber all the same. The whole platform, in virtual time.
#include <gtest/gtest.h>

#include <set>

#include "knative/platform.hpp"
#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

constexpr int events = 12;

/// A machine with a platform on it that may be made again.
class Machine {
 public:
  explicit Machine(std::uint64_t seed) : simulation(seed) {
    functions_.http("sink", [this](http::Request& request) {
      received.insert(std::string(request.headers.get("ce-id").value_or("")));
      return http::Response{.status = 202};
    });
    boot().value();
    const ObjectRef service = platform_->apply(serving::service("sink", "fn:sink")).value();
    simulation.run(platform_->ready(service)).value();
    platform_->apply(eventing::broker("default")).value();
    const ObjectRef trigger =
        platform_
            ->apply(
                eventing::trigger("to-sink", "default", "http://sink.default.svc.cluster.local"))
            .value();
    simulation.run(platform_->ready(trigger)).value();
    simulation.run(platform_->store().durable()).value();
  }

  Result<void> boot() {
    PlatformOptions options;
    options.listen.reset();
    options.data_directory = "/data";
    platform_ = std::make_unique<Platform>(simulation.env(), functions_, std::move(options));
    return platform_->start();
  }

  void publish_all() {
    for (int i = 0; i < events; ++i) {
      CloudEvent event("ping", "/test");
      event.set_id(std::to_string(i));
      const Result<Offset> sent = simulation.run(platform_->publish("default", event));
      if (sent) accepted.insert(event.id());
      simulation.run_for(20ms);
    }
  }

  void power_failure(CrashMode mode) {
    simulation.power_off();
    platform_.reset();
    simulation.faults().clear();
    simulation.crash(mode);
  }

  std::set<std::string> missing() const {
    std::set<std::string> lost;
    for (const std::string& id : accepted) {
      if (!received.contains(id)) lost.insert(id);
    }
    return lost;
  }

  Simulation simulation;
  std::set<std::string> accepted;
  std::set<std::string> received;

 private:
  FunctionTable functions_;
  std::unique_ptr<Platform> platform_;
};

std::uint64_t count_operations() {
  Machine machine(1);
  const std::uint64_t before = machine.simulation.faults().file_operations();
  machine.publish_all();
  EXPECT_EQ(machine.accepted.size(), static_cast<std::size_t>(events));
  return machine.simulation.faults().file_operations() - before;
}

TEST(Durability, accepted_events_arrive_when_any_single_file_operation_fails) {
  const std::uint64_t operations = count_operations();
  ASSERT_GT(operations, 2u * events);
  for (std::uint64_t n = 1; n <= operations; ++n) {
    SCOPED_TRACE("operation " + std::to_string(n));
    Machine machine(n);
    machine.simulation.faults().fail_nth_file_operation(n);
    machine.publish_all();
    machine.simulation.run_for(1min);
    EXPECT_GE(machine.accepted.size(), static_cast<std::size_t>(events - 1));
    EXPECT_EQ(machine.missing(), std::set<std::string>());
    if (HasFailure()) return;
  }
}

TEST(Durability, accepted_events_arrive_when_the_machine_dies_at_any_file_operation) {
  const std::uint64_t operations = count_operations();
  for (std::uint64_t n = 1; n <= operations; ++n) {
    SCOPED_TRACE("operation " + std::to_string(n));
    Machine machine(n);
    machine.simulation.faults().fail_nth_file_operation(n, Faults::forever);
    machine.publish_all();
    machine.power_failure(CrashMode::seeded);
    const Result<void> booted = machine.boot();
    ASSERT_TRUE(booted) << booted.error().to_string();
    machine.simulation.run_for(1min);
    EXPECT_EQ(machine.missing(), std::set<std::string>());
    if (HasFailure()) return;
  }
}

/// Store an image of one layer; true when the store said that it has it.
bool store_image(Env& env) {
  const Result<std::shared_ptr<oci::ImageStore>> images =
      oci::open_image_layout(env.files, "/data/images");
  if (!images) return false;
  Result<oci::Descriptor> layer = (*images)->put_blob("layer", oci::media_type::layer);
  if (!layer) layer = (*images)->put_blob("layer", oci::media_type::layer);  // a second attempt
  if (!layer) return false;
  const Result<oci::Descriptor> config = (*images)->put_blob("{}", oci::media_type::config);
  if (!config) return false;
  oci::Manifest manifest;
  manifest.config = *config;
  manifest.layers = {*layer};
  const oci::Reference name = oci::Reference::parse("local/app").value();
  return (*images)->put_manifest(name, manifest).has_value();
}

TEST(Durability, a_stored_image_is_there_with_its_blobs_when_the_machine_dies_at_any_operation) {
  int stored = 0;
  for (const std::uint64_t count : {std::uint64_t{1}, Faults::forever}) {
    for (std::uint64_t n = 1; n <= 60; ++n) {
      SCOPED_TRACE("operation " + std::to_string(n));
      Simulation simulation(n);
      ASSERT_TRUE(simulation.env().files.make_directories("/data"));
      ASSERT_TRUE(simulation.env().files.sync_directory("/"));
      simulation.faults().fail_nth_file_operation(n, count);
      const bool told = store_image(simulation.env());
      simulation.faults().clear();
      simulation.crash(CrashMode::lose_all);
      const auto images = oci::open_image_layout(simulation.env().files, "/data/images");
      ASSERT_TRUE(images) << images.error().to_string();
      if (!told) continue;
      ++stored;
      const oci::Reference name = oci::Reference::parse("local/app").value();
      const Result<oci::Manifest> manifest = (*images)->manifest(name);
      ASSERT_TRUE(manifest) << manifest.error().to_string();
      EXPECT_EQ((*images)->get_blob(manifest->layers.at(0)).value(), "layer");
      EXPECT_EQ((*images)->get_blob(manifest->config).value(), "{}");
    }
  }
  EXPECT_GT(stored, 20);
}

}  // namespace
}  // namespace knative
