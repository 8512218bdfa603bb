// The process runtime in both worlds: with simulated programs in virtual time, and with real ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "knative/simulation.hpp"
#include "knative/workload.hpp"
#include "knative/http_server.hpp"
#include "support/real_world.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

/// Gives every image the same root.
struct FixedImages final : ImageProvider {
  Task<Result<ImageRoot>> provide(std::string image) override {
    if (image == "missing") co_return fail(Errc::not_found, "image missing");
    co_return root;
  }
  ImageRoot root;
};

struct EchoHandler final : http::Handler {
  explicit EchoHandler(SimProcessContext& c) : context(c) {}
  Task<http::Response> handle(http::Request& request) override {
    co_return http::text(request.target + " from " + context.environment().at("K_REVISION"));
  }
  SimProcessContext& context;
};

/// A simulated server that begins to listen after a while and ends well on SIGTERM.
Task<int> serve(SimProcessContext& context, Duration delay) {
  context.handle_signal(15);
  co_await context.env().timers.sleep_for(delay);
  const int port = std::stoi(context.environment().at("PORT"));
  Endpoint endpoint{.host = "127.0.0.1", .port = static_cast<std::uint16_t>(port), .path = {}};
  auto listener = context.env().network.listen(endpoint);
  if (!listener) {
    context.write_stderr("cannot listen: " + listener.error().detail + "\n");
    co_return 1;
  }
  context.write_stdout("listening\n");
  EchoHandler handler(context);
  http::Server server(context.env().executor, context.env().timers, context.env().logger,
                      std::move(*listener), handler);
  co_await context.next_signal();
  context.write_stdout("bye\n");
  co_return 0;
}

Task<int> complain(SimProcessContext& context) {
  context.write_stderr("first\nno config file\n");
  co_await context.env().timers.sleep_for(20ms);
  co_return 3;
}

Task<int> hang(SimProcessContext& context) {
  context.handle_signal(15);
  while (true) co_await context.next_signal();
}

class SimulatedProcessTest : public testing::Test {
 protected:
  SimulatedProcessTest() {
    sim.add_program("server", [](SimProcessContext& c) { return serve(c, 80ms); });
    sim.add_program("complainer", complain);
    sim.add_program("hanger", hang);
    spec.name = "default/r-1";
    spec.image = "any";
    spec.revision = "r-1";
    spec.command = {"server"};
    make({});
  }
  void make(ProcessRuntimeOptions options) {
    options.on_log = [this](const WorkloadSpec&, std::string_view stream, std::string_view line) {
      lines.push_back(std::string(stream) + ": " + std::string(line));
    };
    runtime.emplace(sim.env(), images, options);
  }
  std::unique_ptr<Instance> start() { return sim.run(runtime->start(spec)).value(); }

  Simulation sim{4};
  FixedImages images;
  WorkloadSpec spec;
  std::vector<std::string> lines;
  std::optional<ProcessRuntime> runtime;
};

TEST_F(SimulatedProcessTest, StartsAnswersAndStops) {
  std::unique_ptr<Instance> instance = start();
  const Instant before = sim.now();
  sim.run(instance->ready()).value();
  EXPECT_GE(sim.now() - before, Duration(80ms));
  EXPECT_LE(sim.now() - before, Duration(105ms));  // polled at most 20 ms apart
  http::Request request = http::get("/path?x=1");
  http::Response response = sim.run(instance->handle(request));
  sim.run(response.body.read_all()).value();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body.bytes(), "/path?x=1 from r-1");
  sim.run(instance->stop(5s));
  EXPECT_TRUE(sim.run(instance->exited()).success());
  EXPECT_EQ(lines, (std::vector<std::string>{"stdout: listening", "stdout: bye"}));
}

TEST_F(SimulatedProcessTest, TwoRuntimesOfOneMachineNeverTakeTheSamePort) {
  // There are two ports. No program listens yet when the second one is chosen, and the first
  // listens long before the second.
  sim.add_program("slow", [](SimProcessContext& c) { return serve(c, 5s); });
  ProcessRuntimeOptions options;
  options.port_min = 20'000;
  options.port_max = 20'001;
  make(options);
  ProcessRuntime other(sim.env(), images, options);
  for (int i = 0; i < 5; ++i) {
    WorkloadSpec theirs = spec;
    theirs.revision = "theirs";
    theirs.command = {"slow"};
    std::unique_ptr<Instance> mine = start();
    std::unique_ptr<Instance> their = sim.run(other.start(theirs)).value();
    sim.run(mine->ready()).value();
    sim.run(their->ready()).value();
    for (const auto& [instance, name] : {std::pair(mine.get(), "r-1"), {their.get(), "theirs"}}) {
      http::Request request = http::get("/");
      http::Response response = sim.run(instance->handle(request));
      sim.run(response.body.read_all()).value();
      EXPECT_EQ(response.body.bytes(), std::string("/ from ") + name);
    }
  }
}

TEST_F(SimulatedProcessTest, HttpReadiness) {
  spec.readiness.kind = ReadinessProbe::Kind::http;
  spec.readiness.path = "/healthz";
  spec.readiness.success_threshold = 2;
  std::unique_ptr<Instance> instance = start();
  sim.run(instance->ready()).value();
}

TEST_F(SimulatedProcessTest, AnEarlyEndIsToldWithItsLastLines) {
  spec.command = {"complainer"};
  std::unique_ptr<Instance> instance = start();
  const Result<void> ready = sim.run(instance->ready());
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().code, Errc::unavailable);
  EXPECT_EQ(ready.error().detail,
            "default/r-1 ended before it was ready (exit code 3); its last output:\n"
            "  first\n  no config file");
}

TEST_F(SimulatedProcessTest, NeverListeningFailsAtTheDeadline) {
  spec.command = {"hanger"};
  spec.start_timeout = 10s;
  std::unique_ptr<Instance> instance = start();
  const Instant before = sim.now();
  const Result<void> ready = sim.run(instance->ready());
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().code, Errc::deadline_exceeded);
  EXPECT_NE(ready.error().detail.find("did not listen on port"), std::string::npos);
  EXPECT_LE(sim.now() - before, Duration(10100ms));
}

TEST_F(SimulatedProcessTest, WhoIgnoresSigtermIsKilledAfterTheGrace) {
  spec.command = {"hanger"};
  std::unique_ptr<Instance> instance = start();
  const Instant before = sim.now();
  sim.run(instance->stop(7s));
  EXPECT_GE(sim.now() - before, Duration(7s));
  EXPECT_LE(sim.now() - before, Duration(8s));
  EXPECT_EQ(sim.run(instance->exited()).signal, 9);
}

TEST_F(SimulatedProcessTest, MissingImagesAndProgramsAreNamed) {
  spec.image = "missing";
  EXPECT_EQ(sim.run(runtime->start(spec)).error().code, Errc::not_found);
  spec.image = "any";
  spec.command = {"no-such-program"};
  const auto result = sim.run(runtime->start(spec));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::not_found);
  EXPECT_NE(result.error().detail.find("default/r-1"), std::string::npos);
}

TEST_F(SimulatedProcessTest, PortsAreDistinctAndBounded) {
  make({.port_min = 25'000, .port_max = 25'002});
  std::vector<std::unique_ptr<Instance>> instances;
  for (int i = 0; i < 3; ++i) {
    instances.push_back(start());
    sim.run(instances.back()->ready()).value();
  }
  const auto fourth = sim.run(runtime->start(spec));
  ASSERT_FALSE(fourth);
  EXPECT_EQ(fourth.error().code, Errc::resource_exhausted);
  instances.pop_back();
  EXPECT_TRUE(sim.run(runtime->start(spec)));
}

TEST(ProcessRuntimePorts, APortTakenMeanwhileIsReplaced) {
  int replaced = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Simulation sim(seed);
    sim.add_program("server", [](SimProcessContext& c) { return serve(c, 0ms); });
    FixedImages images;
    ProcessRuntime runtime(sim.env(), images, {.port_min = 25'000, .port_max = 25'001});
    WorkloadSpec spec;
    spec.command = {"server"};
    std::unique_ptr<Instance> instance;
    std::unique_ptr<Listener> stranger;
    const Endpoint taken{.host = "127.0.0.1", .port = 25'000, .path = {}};
    // The stranger comes between the choice of the port and the program's own listen.
    auto race_for_it = [](ProcessRuntime& r, const WorkloadSpec& s, Network& network,
                          const Endpoint& port, std::unique_ptr<Instance>& out,
                          std::unique_ptr<Listener>& other) -> Task<void> {
      out = (co_await r.start(s)).value();
      other = network.listen(port).value();
    };
    sim.run(race_for_it(runtime, spec, sim.env().network, taken, instance, stranger));
    sim.run(instance->ready()).value();
    http::Request request = http::get("/");
    EXPECT_EQ(sim.run(instance->handle(request)).status, 200);
    replaced += sim.faults().operations(SimOperation::spawn) > 1;
  }
  EXPECT_GT(replaced, 3);
}

struct Endpoints final : EndpointListener {
  void endpoint_ready(http::Handler& endpoint) override { ready.push_back(&endpoint); }
  Task<void> endpoint_draining(http::Handler& endpoint) override {
    std::erase(ready, &endpoint);
    return none();
  }
  Task<void> none() { co_return; }
  void endpoint_gone(http::Handler& endpoint) override { std::erase(ready, &endpoint); }
  void instance_failed(const Error& error, int) override { errors.push_back(error.detail); }
  void pool_changed() override {}
  std::vector<http::Handler*> ready;
  std::vector<std::string> errors;
};

TEST_F(SimulatedProcessTest, APoolReplacesAKilledProcess) {
  Endpoints endpoints;
  RevisionPool pool(sim.env().executor, sim.env().timers, sim.env().logger, *runtime, endpoints,
                    spec);
  pool.scale_to(2);
  sim.run_for(1s);
  EXPECT_EQ(endpoints.ready.size(), 2U);
  FaultPlan plan;
  plan.process_killed = 1;
  plan.process_killed_after_max = 2s;
  sim.faults().set_plan(plan);
  pool.scale_to(3);
  sim.run_for(3s);
  sim.faults().clear();
  sim.run_for(60s);
  EXPECT_EQ(endpoints.ready.size(), 3U);
  EXPECT_GE(pool.restarts(), 1U);
  EXPECT_NE(endpoints.errors[0].find("signal 9"), std::string::npos);
  sim.run(pool.stop());
}

// ---------------------------------------------------------------------------- the real world

constexpr const char* python_server = R"(
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (self.path + ' ' + os.environ['K_REVISION'] + ' ' + os.getcwd()).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
signal.signal(signal.SIGTERM, lambda *args: sys.exit(0))
server = http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler)
print('listening', flush=True)
server.serve_forever()
)";

class RealProcessTest : public testing::Test {
 protected:
  RealProcessTest() : loop(testing_world::quiet()) {
    Files& files = loop.env().files;
    files.make_directories(directory / "app").value();
    files.write_file(directory / "app/server.py", python_server).value();
    images.root.directory = directory.path();
    images.root.working_directory = "/app";
    images.root.entrypoint = {"python3", "/app/server.py"};
    spec.name = "default/r-1";
    spec.image = "local/app";
    spec.revision = "r-1";
    spec.start_timeout = 60s;
    ProcessRuntimeOptions options;
    options.on_log = [this](const WorkloadSpec&, std::string_view, std::string_view line) {
      lines.emplace_back(line);
    };
    runtime.emplace(loop.env(), images, options);
  }
  static Task<http::Response> fetch(http::Handler& handler, http::Request& request) {
    http::Response response = co_await handler.handle(request);
    (co_await response.body.read_all()).value();
    co_return response;
  }

  testing_world::TemporaryDirectory directory;
  Loop loop;
  FixedImages images;
  WorkloadSpec spec;
  std::vector<std::string> lines;
  std::optional<ProcessRuntime> runtime;
};

TEST_F(RealProcessTest, RunsAPythonServerFromAnUnpackedImage) {
  std::unique_ptr<Instance> instance = loop.run(runtime->start(spec)).value();
  loop.run(instance->ready()).value();
  for (int i = 0; i < 3; ++i) {
    http::Request request = http::get("/hello");
    const http::Response response = loop.run(fetch(*instance, request));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body.bytes(), "/hello r-1 " + directory / "app");
  }
  loop.run(instance->stop(10s));
  EXPECT_EQ(loop.run(instance->exited()), ExitStatus{});
  EXPECT_EQ(lines, std::vector<std::string>{"listening"});
}

TEST_F(RealProcessTest, TellsWhyAProgramFailed) {
  spec.command = {"sh", "-c", "echo starting; echo 'no database' >&2; exit 7"};
  std::unique_ptr<Instance> instance = loop.run(runtime->start(spec)).value();
  const Result<void> ready = loop.run(instance->ready());
  ASSERT_FALSE(ready);
  EXPECT_NE(ready.error().detail.find("exit code 7"), std::string::npos);
  EXPECT_NE(ready.error().detail.find("no database"), std::string::npos);
}

TEST_F(RealProcessTest, KillsWhatIgnoresSigtermWithItsChildren) {
  spec.command = {"sh", "-c", "trap '' TERM; echo deaf; while true; do sleep 1; done"};
  std::unique_ptr<Instance> instance = loop.run(runtime->start(spec)).value();
  auto until_deaf = [](Timers& timers, const std::vector<std::string>& seen) -> Task<void> {
    const Instant deadline = timers.now() + 60s;
    while (seen.empty() && timers.now() < deadline) co_await timers.sleep_for(1ms);
  };
  loop.run(until_deaf(loop.env().timers, lines));
  loop.run(instance->stop(50ms));
  EXPECT_EQ(loop.run(instance->exited()).signal, 9);
}

TEST_F(RealProcessTest, APoolScalesRealProcessesUpAndDown) {
  Endpoints endpoints;
  RevisionPool pool(loop.env().executor, loop.env().timers, loop.env().logger, *runtime, endpoints,
                    spec);
  pool.scale_to(2);
  auto until = [](Timers& timers, Endpoints& listener, std::size_t n) -> Task<bool> {
    const Instant deadline = timers.now() + 60s;
    while (listener.ready.size() != n && timers.now() < deadline) co_await timers.sleep_for(5ms);
    co_return listener.ready.size() == n;
  };
  EXPECT_TRUE(loop.run(until(loop.env().timers, endpoints, 2)));
  loop.run(pool.stop());
  EXPECT_EQ(endpoints.ready.size(), 0U);
  EXPECT_EQ(pool.restarts(), 0U);
}

}  // namespace
}  // namespace knative
