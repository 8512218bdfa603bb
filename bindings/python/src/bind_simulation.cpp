#include <optional>

#include "host.hpp"

namespace native {

using knative::LoadReport;
using knative::Platform;
using knative::Simulation;

namespace {

constexpr int turns_between_signal_polls = 256;
constexpr knative::Duration signal_slice = std::chrono::seconds(1);

double seconds_of(knative::Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// A simulated world; it is driven by one call at a time, and not from inside its own handlers.
struct World {
  explicit World(std::uint64_t seed) : simulation(seed) {}
  Simulation simulation;
  bool running = false;
  std::vector<std::shared_ptr<knative::LoadRun>> loads;
};

class Turn {
 public:
  explicit Turn(World& world) : world_(world) {
    if (std::exchange(world_.running, true)) {
      raise(knative::fail(knative::Errc::failed_precondition,
                          "a blocking call from a handler in virtual time"));
    }
  }
  ~Turn() { world_.running = false; }

 private:
  World& world_;
};

// A signal that came in: its handler's exception, to be thrown once the lock is held again.
std::exception_ptr pending_signal() {
  return call_python([]() -> std::exception_ptr {
    if (PyErr_CheckSignals() == 0) return nullptr;
    return std::make_exception_ptr(py::error_already_set());
  });
}

void run_for(World& world, double seconds) {
  const Turn turn(world);
  Simulation& simulation = world.simulation;
  std::exception_ptr signalled;
  blocking([&] {
    const knative::Instant end = simulation.now() + duration_of(seconds);
    while (!signalled && simulation.now() < end) {
      simulation.run_for(std::min(signal_slice, end - simulation.now()));
      signalled = pending_signal();
    }
  });
  if (signalled) std::rethrow_exception(signalled);
}

// A load in progress; its world drives and keeps it.
struct BoundLoad {
  std::shared_ptr<World> world;
  std::shared_ptr<knative::LoadRun> run;
};

BoundLoad load(const std::shared_ptr<World>& world, const std::string& service,
               const knative::Load& load, const std::string& name, std::size_t in_flight_max) {
  knative::LoadOptions options;
  options.name = name;
  options.in_flight_max = in_flight_max;
  auto run =
      std::make_shared<knative::LoadRun>(world->simulation.load(service, load, std::move(options)));
  world->loads.push_back(run);
  return BoundLoad{world, run};
}

// A platform in virtual time, driven by the caller's thread.
class SimulatedCore final : public Core {
 public:
  SimulatedCore(std::shared_ptr<World> world, const std::vector<NamedFunction>& functions)
      : world_(std::move(world)) {
    door_ = std::make_shared<Door>([](std::function<void()> work) { work(); });
    add_functions(functions_, functions, poster(), nullptr, nullptr);
    knative::PlatformOptions options;
    options.on_warning = collector(warnings_);
    platform_ =
        std::make_unique<Platform>(world_->simulation.env(), functions_, std::move(options));
  }
  ~SimulatedCore() override {
    stop(std::chrono::seconds(5));
    door_->close();
  }

  std::shared_ptr<Operation> begin(Make make) override {
    auto operation = std::make_shared<Operation>(poster(), nullptr);
    const Turn turn(*world_);
    std::exception_ptr signalled;
    blocking([&] {
      knative::TaskSet tasks(world_->simulation.env().executor);
      tasks.add(drive(Finally(operation), std::move(make), *platform_, 0));
      int turns = 0;
      world_->simulation.run_until([&] {
        if (++turns % turns_between_signal_polls == 0) signalled = pending_signal();
        return signalled != nullptr || tasks.empty();
      });
    });
    if (signalled) std::rethrow_exception(signalled);
    return operation;
  }

  std::shared_ptr<Operation> begin_stop(knative::Duration grace) override {
    auto operation = std::make_shared<Operation>(poster(), nullptr);
    blocking([&] { stop(grace); });
    operation->finish(&to_none);
    return operation;
  }

  bool stopped() const override { return stopped_; }

 private:
  void stop(knative::Duration grace) {
    if (stopped_) return;
    world_->simulation.run(platform_->stop(grace));
    stopped_ = true;
  }

  std::shared_ptr<World> world_;
  knative::FunctionTable functions_;
  std::unique_ptr<Platform> platform_;
  bool stopped_ = false;
};

py::dict report_fields(const LoadReport& report) {
  py::dict fields;
  fields["started"] = report.started;
  fields["finished"] = report.finished;
  fields["skipped"] = report.skipped;
  fields["in_flight_max"] = report.in_flight_max;
  fields["by_status"] = report.by_status;
  const bool any = report.finished > 0;
  fields["latency_mean"] = any ? seconds_of(report.latency_mean()) : 0.0;
  fields["latency_p50"] = any ? seconds_of(report.latency(0.5)) : 0.0;
  fields["latency_p99"] = any ? seconds_of(report.latency(0.99)) : 0.0;
  fields["latency_max"] = any ? seconds_of(report.latency_max) : 0.0;
  return fields;
}

}  // namespace

void bind_simulation(py::module_& module) {
  py::class_<World, std::shared_ptr<World>>(module, "Simulation")
      .def(py::init([](std::uint64_t seed) { return std::make_shared<World>(seed); }),
           py::arg("seed"))
      .def_property_readonly("seed", [](const World& self) { return self.simulation.seed(); })
      .def("run_for", &run_for, py::arg("seconds"))
      .def("now",
           [](const World& self) { return seconds_of(self.simulation.now().time_since_epoch()); })
      .def("trace_hash", [](World& self) { return self.simulation.trace().hash(); })
      .def(
          "platform",
          [](const std::shared_ptr<World>& self, const py::list& functions) {
            return std::make_unique<Host>(
                std::make_unique<SimulatedCore>(self, named_functions(functions)));
          },
          py::arg("functions"), "A platform in this world; its calls end before they return.")
      .def("load", &load, py::arg("service"), py::arg("load"), py::arg("name"),
           py::arg("in_flight_max"), "Begin to send requests to a Service.");
  py::class_<BoundLoad>(module, "LoadRun")
      .def("report", [](const BoundLoad& self) { return report_fields(self.run->report()); })
      .def("done", [](const BoundLoad& self) { return self.run->done(); });
}

}  // namespace native
