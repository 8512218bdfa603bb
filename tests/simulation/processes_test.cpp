// Simulated programs.
#include <gtest/gtest.h>

#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

Task<int> greet(SimProcessContext& context) {
  context.write_stdout("hello ");
  co_await context.env().timers.sleep_for(1s);
  context.write_stderr("oops");
  context.write_stdout(context.environment().at("NAME"));
  co_return static_cast<int>(context.argv().size());
}
Task<int> serve_until_terminated(SimProcessContext& context) {
  context.handle_signal(15);
  const int number = co_await context.next_signal();
  co_await context.env().timers.sleep_for(2s);
  co_return number;
}
Task<int> sleep_forever(SimProcessContext& context) {
  co_await context.env().timers.sleep_for(1000h);
  co_return 0;
}
Task<int> explode(SimProcessContext&) {
  throw std::runtime_error("bang");
  co_return 0;
}

ProcessOptions command(std::vector<std::string> argv) {
  ProcessOptions options;
  options.argv = std::move(argv);
  options.environment["NAME"] = "ada";
  return options;
}

class SimulationProcesses : public ::testing::Test {
 protected:
  SimulationProcesses() {
    sim.add_program("greet", greet);
    sim.add_program("serve", serve_until_terminated);
    sim.add_program("sleep", sleep_forever);
    sim.add_program("explode", explode);
  }
  std::unique_ptr<Process> spawn(const ProcessOptions& options) {
    return sim.env().processes.spawn(options).value();
  }
  Simulation sim{9};
};

TEST_F(SimulationProcesses, RunWithArgumentsEnvironmentOutputAndExitCode) {
  ProcessOptions options = command({"/usr/bin/greet", "a", "b"});
  std::string out;
  std::string err;
  options.on_stdout = [&out](std::string_view text) { out += text; };
  options.on_stderr = [&err](std::string_view text) { err += text; };
  auto process = spawn(options);
  EXPECT_EQ(sim.host("local").processes(), 1U);
  const ExitStatus status = sim.run(process->wait());
  EXPECT_EQ(status, (ExitStatus{3, 0}));
  EXPECT_EQ(out, "hello ada");
  EXPECT_EQ(err, "oops");
  EXPECT_EQ(sim.now().time_since_epoch(), 1s);
  EXPECT_EQ(sim.host("local").processes(), 0U);
}

TEST_F(SimulationProcesses, EndBySignalUnlessTheyHandleIt) {
  auto sleeper = spawn(command({"sleep"}));
  sleeper->signal(15);
  EXPECT_EQ(sim.run(sleeper->wait()), (ExitStatus{0, 15}));

  auto server = spawn(command({"serve"}));
  sim.run_for(1s);
  server->signal(15);
  EXPECT_EQ(sim.run(server->wait()), (ExitStatus{15, 0}));

  auto stubborn = spawn(command({"serve"}));
  sim.run_for(1s);
  stubborn->signal(9);
  EXPECT_EQ(sim.run(stubborn->wait()), (ExitStatus{0, 9}));
}

TEST_F(SimulationProcesses, AnEscapedExceptionAborts) {
  auto process = spawn(command({"explode"}));
  EXPECT_EQ(sim.run(process->wait()), (ExitStatus{0, 6}));
}

TEST_F(SimulationProcesses, DestroyingTheProcessKillsItAlsoFromItsOwnOutputCallback) {
  std::unique_ptr<Process> process;
  ProcessOptions options = command({"greet"});
  int calls = 0;
  options.on_stdout = [&process, &calls](std::string_view) {
    ++calls;
    process.reset();
  };
  process = spawn(options);
  sim.run_for(5s);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(process, nullptr);
  EXPECT_EQ(sim.host("local").processes(), 0U);
}

TEST_F(SimulationProcesses, UnknownProgramsAndDirectoriesAreNotFound) {
  EXPECT_EQ(sim.env().processes.spawn(command({"nothing"})).error().code, Errc::not_found);
  ProcessOptions options = command({"greet"});
  options.working_directory = "/nowhere";
  EXPECT_EQ(sim.env().processes.spawn(options).error().code, Errc::not_found);
  EXPECT_EQ(sim.env().processes.spawn(ProcessOptions{}).error().code, Errc::invalid_argument);
}

TEST_F(SimulationProcesses, AFileCanNameTheProgram) {
  Files& files = sim.env().files;
  ASSERT_TRUE(files.make_directories("/images/one/app").has_value());
  ASSERT_TRUE(files.write_file("/images/one/app/server", "#!explode\n").has_value());
  ProcessOptions options = command({"/app/server"});
  options.root_directory = "/images/one";
  auto process = spawn(options);
  EXPECT_EQ(sim.run(process->wait()).signal, 6);
}

TEST_F(SimulationProcesses, FaultsSpawnHangKill) {
  sim.faults().fail_nth(SimOperation::spawn, 1);
  EXPECT_EQ(sim.env().processes.spawn(command({"greet"})).error().code, Errc::resource_exhausted);

  FaultPlan plan;
  plan.process_hang = 1;
  sim.faults().set_plan(plan);
  auto hanging = spawn(command({"greet"}));
  sim.run_for(10h);
  EXPECT_EQ(sim.host("local").processes(), 1U);
  hanging->signal(9);
  EXPECT_EQ(sim.run(hanging->wait()).signal, 9);

  plan.process_hang = 0;
  plan.process_killed = 1;
  plan.process_killed_after_max = 5s;
  sim.faults().set_plan(plan);
  auto victim = spawn(command({"sleep"}));
  const Instant begin = sim.now();
  EXPECT_EQ(sim.run(victim->wait()).signal, 9);
  EXPECT_LE(sim.now() - begin, 5s);
}

TEST_F(SimulationProcesses, UseTheNetworkOfTheirHost) {
  SimHost& far = sim.host("far");
  auto serve = [](SimProcessContext& context) -> Task<int> {
    Endpoint any;
    any.host = "0.0.0.0";
    any.port = static_cast<std::uint16_t>(std::stoi(context.environment().at("PORT")));
    auto listener = context.env().network.listen(any).value();
    auto stream = (co_await listener->accept()).value();
    (co_await stream->write_all("from afar")).value();
    co_return 0;
  };
  far.add_program("serve", serve);
  ProcessOptions options = command({"serve"});
  options.environment["PORT"] = "8080";
  auto process = far.env().processes.spawn(options).value();
  auto dial = [](Env& env) -> Task<std::string> {
    Endpoint target;
    target.host = "far";
    target.port = 8080;
    co_await env.timers.sleep_for(1s);
    auto stream = (co_await env.network.connect(target)).value();
    char buffer[32];
    const std::span<char> into(buffer);
    const std::size_t got = (co_await stream->read_some(into)).value();
    co_return std::string(buffer, got);
  };
  EXPECT_EQ(sim.run(dial(sim.env())), "from afar");
  EXPECT_EQ(sim.run(process->wait()), (ExitStatus{0, 0}));
}

}  // namespace
}  // namespace knative
