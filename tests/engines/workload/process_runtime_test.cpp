// The process runtime in both worlds: with simulated programs in virtual time, and with real ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "engines/workload/probes.hpp"
#include "knative/container_runtimes.hpp"
#include "knative/http_server.hpp"
#include "knative/simulation.hpp"
#include "knative/workload.hpp"
#include "support/real_world.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

/// Gives every image the same root.
struct FixedImages final : ImageProvider {
  Task<Result<ImageRoot>> provide(const ContainerSpec& spec) override {
    if (spec.image == "missing") co_return fail(Errc::not_found, "image missing");
    co_return root;
  }
  Task<Result<std::string>> pin(const ContainerSpec& spec) override {
    co_return spec.image + "@pinned";
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
    spec.identity.revision = "r-1";
    spec.command = {"server"};
    spec.ports.push_back({.container_port = 8080});
    make({});
  }
  void make(ProcessRuntimeOptions options) { runtime.emplace(sim.env(), images, options); }
  std::unique_ptr<Container> start() {
    const ContainerOutput output = [this](std::string_view stream, std::string_view line) {
      lines.push_back(std::string(stream) + ": " + std::string(line));
    };
    return sim.run(runtime->start(spec, output)).value();
  }
  Result<void> ready(Container& container) {
    instance.container = spec;
    Prober prober(sim.env(), container, instance);
    return sim.run(prober.until_ready());
  }

  Simulation sim{4};
  FixedImages images;
  ContainerSpec spec;
  InstanceSpec instance;
  std::vector<std::string> lines;
  std::optional<ProcessRuntime> runtime;
};

TEST_F(SimulatedProcessTest, StartsAnswersAndStops) {
  std::unique_ptr<Container> container = start();
  const Instant before = sim.now();
  ready(*container).value();
  EXPECT_GE(sim.now() - before, Duration(80ms));
  EXPECT_LE(sim.now() - before, Duration(105ms));  // polled at most 20 ms apart
  http::Request request = http::get("/path?x=1");
  http::Response response = sim.run(container->endpoint()->handle(request));
  sim.run(response.body.read_all()).value();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body.bytes(), "/path?x=1 from r-1");
  sim.run(container->stop(5s));
  EXPECT_TRUE(sim.run(container->wait()).success());
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
    ContainerSpec theirs = spec;
    theirs.identity.revision = "theirs";
    theirs.command = {"slow"};
    std::unique_ptr<Container> mine = start();
    std::unique_ptr<Container> their = sim.run(other.start(theirs, nullptr)).value();
    ready(*mine).value();
    ready(*their).value();
    for (const auto& [running, name] : {std::pair(mine.get(), "r-1"), {their.get(), "theirs"}}) {
      http::Request request = http::get("/");
      http::Response response = sim.run(running->endpoint()->handle(request));
      sim.run(response.body.read_all()).value();
      EXPECT_EQ(response.body.bytes(), std::string("/ from ") + name);
    }
  }
}

TEST_F(SimulatedProcessTest, HttpReadiness) {
  instance.readiness.kind = InstanceProbe::Kind::http;
  instance.readiness.path = "/healthz";
  instance.readiness.success_threshold = 2;
  std::unique_ptr<Container> container = start();
  ready(*container).value();
}

TEST_F(SimulatedProcessTest, AnEarlyEndIsToldWithItsLastLines) {
  spec.command = {"complainer"};
  std::unique_ptr<Container> container = start();
  const Result<void> is_ready = ready(*container);
  ASSERT_FALSE(is_ready);
  EXPECT_EQ(is_ready.error().code, Errc::unavailable);
  EXPECT_EQ(is_ready.error().detail,
            "default/r-1 ended before it was ready (exit code 3); its last output:\n"
            "  first\n  no config file");
}

TEST_F(SimulatedProcessTest, NeverListeningFailsAtTheDeadline) {
  spec.command = {"hanger"};
  instance.start_timeout = 10s;
  std::unique_ptr<Container> container = start();
  const Instant before = sim.now();
  const Result<void> is_ready = ready(*container);
  ASSERT_FALSE(is_ready);
  EXPECT_EQ(is_ready.error().code, Errc::deadline_exceeded);
  EXPECT_NE(is_ready.error().detail.find("it does not listen on port"), std::string::npos);
  EXPECT_LE(sim.now() - before, Duration(10100ms));
}

TEST_F(SimulatedProcessTest, WhoIgnoresSigtermIsKilledAfterTheGrace) {
  spec.command = {"hanger"};
  std::unique_ptr<Container> container = start();
  const Instant before = sim.now();
  sim.run(container->stop(7s));
  EXPECT_GE(sim.now() - before, Duration(7s));
  EXPECT_LE(sim.now() - before, Duration(8s));
  EXPECT_EQ(sim.run(container->wait()).signal, 9);
}

TEST_F(SimulatedProcessTest, MissingImagesAndProgramsAreNamed) {
  spec.image = "missing";
  EXPECT_EQ(sim.run(runtime->start(spec, nullptr)).error().code, Errc::not_found);
  spec.image = "any";
  spec.command = {"no-such-program"};
  const auto result = sim.run(runtime->start(spec, nullptr));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::not_found);
  EXPECT_NE(result.error().detail.find("default/r-1"), std::string::npos);
}

TEST_F(SimulatedProcessTest, PortsAreDistinctAndBounded) {
  make({.port_min = 25'000, .port_max = 25'002});
  std::vector<std::unique_ptr<Container>> containers;
  for (int i = 0; i < 3; ++i) {
    containers.push_back(start());
    ready(*containers.back()).value();
  }
  const auto fourth = sim.run(runtime->start(spec, nullptr));
  ASSERT_FALSE(fourth);
  EXPECT_EQ(fourth.error().code, Errc::resource_exhausted);
  containers.pop_back();
  EXPECT_TRUE(sim.run(runtime->start(spec, nullptr)));
}

TEST_F(SimulatedProcessTest, ASpecWithoutPortsRunsToItsEnd) {
  spec.command = {"complainer"};
  spec.ports.clear();
  std::unique_ptr<Container> container = start();
  EXPECT_EQ(container->endpoint(), nullptr);
  EXPECT_EQ(container->address(0), std::nullopt);
  EXPECT_EQ(sim.run(container->wait()).code, 3);
  EXPECT_EQ(container->last_lines(), (std::vector<std::string>{"first", "no config file"}));
}

TEST_F(SimulatedProcessTest, PortsOfTheContainerAreFoundAtTheirAddresses) {
  std::unique_ptr<Container> container = start();
  const std::uint16_t served = container->address(0)->port;
  EXPECT_GE(served, 20'000);
  EXPECT_EQ(container->address(8080)->port, served);
  EXPECT_EQ(container->address(9090)->port, 9090);
}

TEST_F(SimulatedProcessTest, AReadinessProbeOfAnotherPortAsksThatPort) {
  instance.readiness.kind = InstanceProbe::Kind::http;
  instance.readiness.port = 9090;
  instance.start_timeout = 5s;
  std::unique_ptr<Container> container = start();
  EXPECT_EQ(ready(*container).error().code, Errc::deadline_exceeded);
  const Endpoint admin{.host = "127.0.0.1", .port = 9090, .path = {}};
  const std::unique_ptr<Listener> listener = sim.env().network.listen(admin).value();
  instance.readiness.kind = InstanceProbe::Kind::tcp;
  EXPECT_TRUE(ready(*container));
}

TEST_F(SimulatedProcessTest, ACommandIsRunInItsEnvironment) {
  sim.add_program("check", [](SimProcessContext& c) -> Task<int> {
    c.write_stdout("port " + c.environment().at("PORT"));
    co_return c.argv().at(1) == "good" ? 0 : 1;
  });
  std::unique_ptr<Container> container = start();
  std::vector<std::string> said;
  const ContainerOutput output = [&said](std::string_view, std::string_view line) {
    said.emplace_back(line);
  };
  EXPECT_TRUE(sim.run(container->exec({"check", "good"}, output))->success());
  EXPECT_FALSE(sim.run(container->exec({"check", "bad"}, nullptr))->success());
  EXPECT_EQ(said, std::vector<std::string>{"port " + std::to_string(container->address(0)->port)});
  instance.readiness = {.kind = InstanceProbe::Kind::exec, .command = {"check", "good"}};
  EXPECT_TRUE(ready(*container));
}

TEST_F(SimulatedProcessTest, ImagesArePinnedByTheirProvider) {
  EXPECT_EQ(sim.run(runtime->pin(spec)).value(), "any@pinned");
}

TEST_F(SimulatedProcessTest, WhatAProcessCannotDoIsRefusedOrWarnedAboutByName) {
  EXPECT_TRUE(runtime->unsupported(spec).empty());
  spec.security.run_as_user = 1000;
  spec.security.read_only_root_filesystem = true;
  spec.resources.limits.emplace("memory", Quantity());
  spec.ports[0].name = "h2c";
  const FieldErrors errors = runtime->unsupported(spec);
  const std::string refused = errors.filter(FieldError::Level::error).to_string();
  EXPECT_NE(refused.find("securityContext.runAsUser"), std::string::npos) << refused;
  EXPECT_NE(refused.find("ports[0].name"), std::string::npos) << refused;
  const std::string warned = errors.filter(FieldError::Level::warning).to_string();
  EXPECT_NE(warned.find("resources.limits"), std::string::npos) << warned;
  EXPECT_NE(warned.find("securityContext.readOnlyRootFilesystem"), std::string::npos) << warned;
}

// Every image has this root.
class ProcessCommandTest : public testing::Test {
 protected:
  ProcessCommandTest() {
    Files& files = sim.env().files;
    files.make_directories("/images/a/app/bin").value();
    files.write_file("/images/a/app/server.py", "#").value();
    files.write_file("/images/a/app/bin/tool", "#!show").value();
    files.make_directories("/source").value();
    sim.add_program("show", show);
    images.root.directory = "/images/a";
    images.root.defaults.working_directory = "/app";
  }
  static Task<int> show(SimProcessContext& context) {
    std::string line = context.working_directory() + ":";
    for (const std::string& word : context.argv()) line += " " + word;
    context.write_stdout(line + "\n");
    co_return 0;
  }
  std::string run(ProcessRuntimeOptions options = {}) {
    ProcessRuntime runtime(sim.env(), images, options);
    std::string said;
    const ContainerOutput output = [&said](std::string_view, std::string_view line) {
      said = line;
    };
    std::unique_ptr<Container> container = sim.run(runtime.start(spec, output)).value();
    sim.run(container->wait());
    return said;
  }
  Simulation sim{1};
  FixedImages images;
  ContainerSpec spec;
};

TEST_F(ProcessCommandTest, PathsThatExistInTheImageMeanTheImage) {
  spec.command = {"show", "/app/server.py", "/etc/hosts", "app/x", "/"};
  EXPECT_EQ(run(), "/images/a/app: show /images/a/app/server.py /etc/hosts app/x /");
  spec.command = {"tool"};
  images.root.defaults.environment["PATH"] = "/usr/bin:/app/bin";
  EXPECT_EQ(run(), "/images/a/app: /images/a/app/bin/tool");
}

// Else packages that a build has installed into its image are not found.
TEST_F(ProcessCommandTest, PathsInVariablesOfTheImageMeanTheImage) {
  sim.add_program("tell", [](SimProcessContext& context) -> Task<int> {
    std::string line;
    for (const char* name : {"PYTHONPATH", "OTHER", "PATH", "LEVEL"}) {
      line += context.environment().at(name) + " ";
    }
    context.write_stdout(line + "\n");
    co_return 0;
  });
  images.root.defaults.environment = {{"PYTHONPATH", "/app/bin:/usr/none"},
                                      {"OTHER", "/app"},
                                      {"PATH", "/app:/bin"},
                                      {"LEVEL", "1"}};
  spec.environment = {{"OTHER", "/app/bin"}};  // not the image's word
  spec.command = {"tell"};
  EXPECT_EQ(run(), "/images/a/app/bin:/usr/none /app/bin /app:/bin 1 ");
}

TEST_F(ProcessCommandTest, ExpandedPathsMeanTheImageToo) {
  spec.environment = {{"PLACE", "/app"}};
  spec.command = {"show", "$(PLACE)/server.py"};
  EXPECT_EQ(run(), "/images/a/app: show /images/a/app/server.py");
}

TEST_F(ProcessCommandTest, PathsBelowAMountMeanItsSource) {
  spec.mounts = {{"/source", "/data"}};
  spec.environment = {{"PLACE", "/data/x"}};
  spec.working_directory = "/data";
  spec.command = {"show", "$(PLACE)", "/data/y"};
  EXPECT_EQ(run(), "/source: show /source/x /source/y");
}

TEST_F(ProcessCommandTest, ChangeRootLeavesPathsAlone) {
  spec.command = {"/app/bin/tool", "/app/server.py"};
  spec.working_directory = "/app/bin";
  EXPECT_EQ(run({.change_root = true}), "/app/bin: /app/bin/tool /app/server.py");
}

TEST(ProcessRuntimePorts, APortTakenMeanwhileIsReplaced) {
  int replaced = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Simulation sim(seed);
    sim.add_program("server", [](SimProcessContext& c) { return serve(c, 0ms); });
    FixedImages images;
    ProcessRuntime runtime(sim.env(), images, {.port_min = 25'000, .port_max = 25'001});
    ContainerSpec spec;
    spec.identity.revision = "r-1";
    spec.command = {"server"};
    spec.ports.push_back({.container_port = 8080});
    std::unique_ptr<Container> container;
    std::unique_ptr<Listener> stranger;
    const Endpoint taken{.host = "127.0.0.1", .port = 25'000, .path = {}};
    // The stranger comes between the choice of the port and the program's own listen.
    auto race_for_it = [](ProcessRuntime& r, const ContainerSpec& s, Network& network,
                          const Endpoint& port, std::unique_ptr<Container>& out,
                          std::unique_ptr<Listener>& other) -> Task<void> {
      out = (co_await r.start(s, nullptr)).value();
      other = network.listen(port).value();
    };
    sim.run(race_for_it(runtime, spec, sim.env().network, taken, container, stranger));
    const InstanceSpec instance{.container = spec};
    Prober prober(sim.env(), *container, instance);
    sim.run(prober.until_ready()).value();
    http::Request request = http::get("/");
    EXPECT_EQ(sim.run(container->endpoint()->handle(request)).status, 200);
    replaced += sim.faults().operations(SimOperation::spawn) > 1;
  }
  EXPECT_GT(replaced, 3);
}

struct Endpoints final : EndpointListener {
  using Handler = std::shared_ptr<http::Handler>;
  void endpoint_ready(const Handler& endpoint) override { ready.push_back(endpoint); }
  Task<void> endpoint_draining(const Handler& endpoint) override {
    std::erase(ready, endpoint);
    return none();
  }
  Task<void> none() { co_return; }
  void endpoint_gone(const Handler& endpoint) override { std::erase(ready, endpoint); }
  void instance_failed(const InstanceFailure& failure) override {
    errors.push_back(failure.error.detail);
  }
  void pool_changed() override {}
  std::vector<Handler> ready;
  std::vector<std::string> errors;
};

TEST_F(SimulatedProcessTest, APoolReplacesAKilledProcess) {
  Endpoints endpoints;
  instance.container = spec;
  RevisionPool pool(sim.env(), *runtime, endpoints, instance);
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
    images.root.defaults.working_directory = "/app";
    images.root.defaults.entrypoint = {"python3", "/app/server.py"};
    spec.name = "default/r-1";
    spec.image = "local/app";
    spec.identity.revision = "r-1";
    spec.ports.push_back({.container_port = 8080});
    instance.start_timeout = 60s;
    runtime.emplace(loop.env(), images);
  }
  std::unique_ptr<Container> start() {
    const ContainerOutput output = [this](std::string_view, std::string_view line) {
      lines.emplace_back(line);
    };
    return loop.run(runtime->start(spec, output)).value();
  }
  Result<void> ready(Container& container) {
    instance.container = spec;
    Prober prober(loop.env(), container, instance);
    return loop.run(prober.until_ready());
  }
  static Task<http::Response> fetch(http::Handler& handler, http::Request& request) {
    http::Response response = co_await handler.handle(request);
    (co_await response.body.read_all()).value();
    co_return response;
  }

  testing_world::TemporaryDirectory directory;
  Loop loop;
  FixedImages images;
  ContainerSpec spec;
  InstanceSpec instance;
  std::vector<std::string> lines;
  std::optional<ProcessRuntime> runtime;
};

TEST_F(RealProcessTest, RunsAPythonServerFromAnUnpackedImage) {
  std::unique_ptr<Container> container = start();
  ready(*container).value();
  for (int i = 0; i < 3; ++i) {
    http::Request request = http::get("/hello");
    const http::Response response = loop.run(fetch(*container->endpoint(), request));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body.bytes(), "/hello r-1 " + directory / "app");
  }
  loop.run(container->stop(10s));
  EXPECT_EQ(loop.run(container->wait()), ExitStatus{});
  EXPECT_EQ(lines, std::vector<std::string>{"listening"});
}

TEST_F(RealProcessTest, TellsWhyAProgramFailed) {
  spec.command = {"sh", "-c", "echo starting; echo 'no database' >&2; exit 7"};
  std::unique_ptr<Container> container = start();
  const Result<void> is_ready = ready(*container);
  ASSERT_FALSE(is_ready);
  EXPECT_NE(is_ready.error().detail.find("exit code 7"), std::string::npos);
  EXPECT_NE(is_ready.error().detail.find("no database"), std::string::npos);
}

TEST_F(RealProcessTest, KillsWhatIgnoresSigtermWithItsChildren) {
  spec.command = {"sh", "-c", "trap '' TERM; echo deaf; while true; do sleep 1; done"};
  std::unique_ptr<Container> container = start();
  auto until_deaf = [](Timers& timers, const std::vector<std::string>& seen) -> Task<void> {
    const Instant deadline = timers.now() + 60s;
    while (seen.empty() && timers.now() < deadline) co_await timers.sleep_for(1ms);
  };
  loop.run(until_deaf(loop.env().timers, lines));
  loop.run(container->stop(50ms));
  EXPECT_EQ(loop.run(container->wait()).signal, 9);
}

TEST_F(RealProcessTest, APoolScalesRealProcessesUpAndDown) {
  Endpoints endpoints;
  instance.container = spec;
  RevisionPool pool(loop.env(), *runtime, endpoints, instance);
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
