// Child processes of the real world; what both worlds share is in the contract suite.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "support/real_world.hpp"
#include "support/seen_processes.hpp"

namespace knative {
namespace {

using testing_world::eventually;
using testing_world::is_gone;
using testing_world::quiet;
using testing_world::TemporaryDirectory;
using namespace std::chrono_literals;

ProcessOptions shell(std::string script) {
  ProcessOptions options;
  options.argv = {"sh", "-c", std::move(script)};
  options.environment = {{"PATH", "/usr/bin:/bin"}};
  return options;
}

struct Outcome {
  ExitStatus status;
  std::string out;
  std::string err;
};

Task<Outcome> run(Processes& processes, ProcessOptions options) {
  Outcome outcome;
  options.on_stdout = [&outcome](std::string_view piece) { outcome.out += piece; };
  options.on_stderr = [&outcome](std::string_view piece) { outcome.err += piece; };
  auto process = processes.spawn(options).value();
  outcome.status = co_await process->wait();
  co_return outcome;
}

class ProcessesTest : public testing::Test {
 protected:
  Outcome finish(ProcessOptions options) {
    return loop_.run(run(loop_.env().processes, std::move(options)));
  }
  Loop loop_{quiet()};
  Env& env_ = loop_.env();
};

TEST_F(ProcessesTest, TellsExitCodesAndOutput) {
  const Outcome outcome = finish(shell("echo out; echo err >&2; exit 7"));
  EXPECT_EQ(outcome.status, (ExitStatus{7, 0}));
  EXPECT_EQ(outcome.status.to_string(), "exit code 7");
  EXPECT_FALSE(outcome.status.success());
  EXPECT_EQ(outcome.out, "out\n");
  EXPECT_EQ(outcome.err, "err\n");
  EXPECT_TRUE(finish(shell("true")).status.success());
}

TEST_F(ProcessesTest, TellsSignals) {
  const Outcome outcome = finish(shell("kill -15 $$"));
  EXPECT_EQ(outcome.status, (ExitStatus{0, SIGTERM}));
  EXPECT_EQ(outcome.status.to_string(), "killed by signal 15");
}

TEST_F(ProcessesTest, CapturesMoreThanAPipeHolds) {
  const Outcome outcome = finish(shell("head -c 3000000 /dev/zero; echo end"));
  EXPECT_EQ(outcome.out.size(), 3'000'004u);
  EXPECT_TRUE(outcome.out.ends_with("end\n"));
}

TEST_F(ProcessesTest, InheritsNothing) {
  ::setenv("KNATIVE_TEST_SECRET", "x", 1);
  const int leak = ::open("/dev/null", O_RDONLY);  // without close-on-exec
  ProcessOptions options = shell("env; cat; ls /proc/self/fd");
  options.environment["GREETING"] = "hello world";
  const Outcome outcome = finish(options);
  ::close(leak);
  ::unsetenv("KNATIVE_TEST_SECRET");
  EXPECT_EQ(outcome.out.find("KNATIVE_TEST_SECRET"), std::string::npos);
  EXPECT_NE(outcome.out.find("GREETING=hello world\n"), std::string::npos);
  EXPECT_TRUE(outcome.out.ends_with("\n0\n1\n2\n3\n")) << outcome.out;  // 3: ls reads the folder
}

TEST_F(ProcessesTest, SignalsAreAsANewProcessExpectsThem) {
  struct sigaction before {};
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &before);
  const Outcome outcome = finish(shell("grep -E '^Sig(Blk|Ign)' /proc/self/status"));
  ::sigaction(SIGPIPE, &before, nullptr);
  EXPECT_EQ(outcome.out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_F(ProcessesTest, RunsInItsDirectory) {
  TemporaryDirectory directory;
  ProcessOptions options = shell("pwd");
  options.working_directory = directory.path();
  EXPECT_EQ(finish(options).out, directory.path() + "\n");
}

TEST_F(ProcessesTest, SearchesThePathOfItsEnvironment) {
  TemporaryDirectory directory;
  env_.files.write_file(directory / "greet", "#!/bin/sh\necho found $1\n", 0755).value();
  env_.files.write_file(directory / "plain", "not a program", 0644).value();
  ProcessOptions options;
  options.argv = {"greet", "me"};
  options.environment = {{"PATH", "/nonexistent:" + directory.path()}};
  EXPECT_EQ(finish(options).out, "found me\n");
  options.environment["PATH"] = "/nonexistent";
  EXPECT_EQ(env_.processes.spawn(options).error().code, Errc::not_found);
  options.environment["PATH"] = directory.path();
  options.argv = {"plain"};
  EXPECT_EQ(env_.processes.spawn(options).error().code, Errc::failed_precondition);
}

TEST_F(ProcessesTest, SaysWhatCannotBeStarted) {
  ProcessOptions options;
  EXPECT_EQ(env_.processes.spawn(options).error().code, Errc::invalid_argument);
  options.argv = {"/nonexistent/program"};
  const auto missing = env_.processes.spawn(options);
  EXPECT_EQ(missing.error().code, Errc::not_found);
  EXPECT_NE(missing.error().detail.find("/nonexistent/program"), std::string::npos);
  options = shell("true");
  options.working_directory = "/nonexistent/folder";
  const auto nowhere = env_.processes.spawn(options);
  EXPECT_EQ(nowhere.error().code, Errc::not_found);
  EXPECT_NE(nowhere.error().detail.find("/nonexistent/folder"), std::string::npos);
  options = shell("true");
  options.root_directory = "/nonexistent/root";
  EXPECT_FALSE(env_.processes.spawn(options));
}

TEST_F(ProcessesTest, SignalsReachTheWholeGroup) {
  auto body = [](Env& env) -> Task<void> {
    std::string out;
    ProcessOptions options =
        shell("trap 'echo got it; exit 4' TERM; echo ready; while :; do sleep 0.01; done");
    options.on_stdout = [&out](std::string_view piece) { out += piece; };
    auto process = env.processes.spawn(options).value();
    auto is_ready = [&out] { return out == "ready\n"; };
    const std::function<bool()> ready = is_ready;
    EXPECT_TRUE(co_await eventually(env.timers, ready));
    process->signal(SIGTERM);
    EXPECT_EQ(co_await process->wait(), (ExitStatus{4, 0}));
    EXPECT_EQ(out, "ready\ngot it\n");
    process->signal(SIGTERM);  // nobody is there any more
  };
  loop_.run(body(env_));
}

/// Starts a shell with a child and a grandchild of its own; yields the three pids.
Task<std::vector<int>> start_family(Env& env, std::unique_ptr<Process>& process,
                                    std::string after) {
  auto out = std::make_shared<std::string>();
  ProcessOptions options =
      shell("sleep 1000 & echo $!; sh -c 'sleep 1000 & echo $!; wait' & " + std::move(after));
  options.on_stdout = [out](std::string_view piece) { *out += piece; };
  process = env.processes.spawn(options).value();
  auto two_lines = [out] { return std::count(out->begin(), out->end(), '\n') == 2; };
  const std::function<bool()> ready = two_lines;
  EXPECT_TRUE(co_await eventually(env.timers, ready));
  std::vector<int> pids{process->pid()};
  pids.push_back(std::stoi(*out));
  pids.push_back(std::stoi(out->substr(out->find('\n') + 1)));
  co_return pids;
}

Task<void> expect_gone(Timers& timers, std::vector<int> pids) {
  auto all_gone = [&pids] { return std::all_of(pids.begin(), pids.end(), is_gone); };
  const std::function<bool()> gone = all_gone;
  EXPECT_TRUE(co_await eventually(timers, gone));
}

TEST_F(ProcessesTest, DestroyingAProcessKillsItsWholeGroup) {
  auto body = [](Env& env) -> Task<void> {
    std::unique_ptr<Process> process;
    const std::vector<int> pids = co_await start_family(env, process, "wait");
    for (const int pid : pids) EXPECT_FALSE(is_gone(pid));
    process.reset();
    EXPECT_TRUE(is_gone(pids[0]));
    co_await expect_gone(env.timers, pids);
  };
  loop_.run(body(env_));
}

TEST_F(ProcessesTest, WhenTheLeaderEndsItsGroupEndsToo) {
  auto body = [](Env& env) -> Task<void> {
    std::unique_ptr<Process> process;
    const std::vector<int> pids = co_await start_family(env, process, "sleep 0.05; exit 5");
    EXPECT_EQ(co_await process->wait(), (ExitStatus{5, 0}));  // though the pipe was still held
    co_await expect_gone(env.timers, pids);
  };
  loop_.run(body(env_));
}

TEST_F(ProcessesTest, WhoLeftTheGroupDoesNotHoldUpTheEnd) {
  auto body = [](Env& env) -> Task<void> {
    std::string out;
    ProcessOptions options = shell("setsid sleep 8 & echo $!; exit 0");
    options.on_stdout = [&out](std::string_view piece) { out += piece; };
    auto process = env.processes.spawn(options).value();
    const Instant before = env.timers.now();
    EXPECT_TRUE((co_await process->wait()).success());
    EXPECT_LT(env.timers.now() - before, 6s);
    ::kill(std::stoi(out), SIGKILL);
  };
  loop_.run(body(env_));
}

/// Whose number a script says has ended soon after the script.
Task<void> ends_with(const char* script, Env& env) {
  std::string out;
  ProcessOptions options = shell(script);
  options.on_stdout = [&out](std::string_view piece) { out += piece; };
  auto process = env.processes.spawn(options).value();
  EXPECT_TRUE((co_await process->wait()).success());
  const std::vector<int> pids{std::stoi(out)};
  co_await expect_gone(env.timers, pids);
}

TEST_F(ProcessesTest, WhoBeganASessionOfHisOwnEndsWithTheProcess) {
  auto body = [](Env& env) -> Task<void> {
    // Twice removed: the one in between has ended by then.
    co_await ends_with("setsid sh -c 'sleep 86399 & echo $!' >&1 & wait; sleep 0.05", env);
  };
  loop_.run(body(env_));
}

TEST_F(ProcessesTest, WhoBeganASessionOfHisOwnEndsWithAProcessThatIsKilled) {
  auto body = [](Env& env) -> Task<void> {
    std::string out;
    ProcessOptions options = shell("setsid sleep 86399 & echo $!; sleep 86399");
    options.on_stdout = [&out](std::string_view piece) { out += piece; };
    auto process = env.processes.spawn(options).value();
    while (out.find('\n') == out.npos) co_await env.timers.sleep_for(1ms);
    const std::vector<int> pids{std::stoi(out)};
    EXPECT_FALSE(is_gone(pids[0]));
    process.reset();
    co_await expect_gone(env.timers, pids);
  };
  loop_.run(body(env_));
}

TEST_F(ProcessesTest, WhoBeganASessionOfHisOwnWithAnEmptyEnvironmentEndsWithTheProcess) {
  auto body = [](Env& env) -> Task<void> {
    co_await ends_with(
        "env -i /usr/bin/setsid /bin/sh -c 'sleep 86399 & echo $!' >&1 & wait; sleep 0.05", env);
  };
  loop_.run(body(env_));
}

TEST_F(ProcessesTest, AChildsEndHarmsNoOther) {
  auto body = [](Env& env) -> Task<void> {
    auto other = env.processes.spawn(shell("exec sleep 86399")).value();
    for (int i = 0; i < 12; ++i) {  // the marks of 1 and of 10 to 12 begin alike
      auto process = env.processes.spawn(shell("exit 0")).value();
      EXPECT_TRUE((co_await process->wait()).success());
    }
    co_await env.timers.sleep_for(200ms);
    EXPECT_FALSE(is_gone(other->pid()));
  };
  loop_.run(body(env_));
}

TEST_F(ProcessesTest, DroppingTheWaitLeavesTheProcess) {
  auto body = [](Env& env) -> Task<void> {
    auto process = env.processes.spawn(shell("sleep 1000")).value();
    auto none = co_await with_deadline(env.timers, process->wait(), env.timers.now() + 2ms);
    EXPECT_FALSE(none.has_value());
    EXPECT_FALSE(is_gone(process->pid()));
    process->signal(SIGKILL);
    EXPECT_EQ(co_await process->wait(), (ExitStatus{0, SIGKILL}));
    EXPECT_EQ(co_await process->wait(), (ExitStatus{0, SIGKILL}));
  };
  loop_.run(body(env_));
}

TEST_F(ProcessesTest, ManyAtOnce) {
  auto body = [](Env& env) -> Task<int> {
    std::vector<Task<Outcome>> tasks;
    for (int i = 0; i < 40; ++i) {
      tasks.push_back(run(env.processes, shell("echo " + std::to_string(i))));
    }
    int right = 0;
    const std::vector<Outcome> outcomes = co_await when_all(std::move(tasks));
    for (int i = 0; i < 40; ++i) {
      right += outcomes[static_cast<std::size_t>(i)].out == std::to_string(i) + "\n";
    }
    co_return right;
  };
  EXPECT_EQ(loop_.run(body(env_)), 40);
}

TEST_F(ProcessesTest, ReapsOnlyItsOwn) {
  const pid_t stranger = ::fork();
  if (stranger == 0) ::_exit(9);
  finish(shell("true"));
  int status = 0;
  EXPECT_EQ(::waitpid(stranger, &status, 0), stranger);
  EXPECT_EQ(WEXITSTATUS(status), 9);
}

TEST(Processes, TheEndOfTheLoopLeavesNoneBehind) {
  std::unique_ptr<Process> process;
  std::vector<int> pids;
  {
    Loop loop(quiet());
    pids = loop.run(start_family(loop.env(), process, "wait"));
  }
  EXPECT_TRUE(is_gone(pids[0]));
  process.reset();  // harmless afterwards
  Loop other(quiet());
  other.run(expect_gone(other.env().timers, pids));
}

TEST(Processes, AKilledHostLeavesNoneBehind) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t host = ::fork();
  if (host == 0) {
    auto serve = [](Env& env, int report) -> Task<void> {
      std::unique_ptr<Process> process;
      const std::vector<int> pids = co_await start_family(env, process, "wait");
      (void)!::write(report, pids.data(), pids.size() * sizeof(int));
      co_await env.timers.sleep_for(1h);
    };
    Loop loop(quiet());
    loop.run(serve(loop.env(), ends[1]));
    ::_exit(0);
  }
  ::close(ends[1]);
  std::vector<int> pids(3);
  ASSERT_EQ(::read(ends[0], pids.data(), 3 * sizeof(int)), static_cast<ssize_t>(3 * sizeof(int)));
  ::close(ends[0]);
  for (const int pid : pids) EXPECT_FALSE(is_gone(pid));
  ::kill(host, SIGKILL);
  ::waitpid(host, nullptr, 0);
  Loop loop(quiet());
  loop.run(expect_gone(loop.env().timers, pids));
}

TEST_F(ProcessesTest, AGroupStandsStillUntilItIsThawedOrKilled) {
  ProcessOptions options = shell("while :; do echo x; sleep 0.001; done");
  std::size_t said = 0;
  options.on_stdout = [&said](std::string_view piece) { said += piece.size(); };
  EXPECT_EQ(env_.processes.spawn(options).value()->freeze().error().code, Errc::unimplemented);
  options.freezable = true;
  auto process = env_.processes.spawn(options).value();
  const auto goes_on = [&] {
    return loop_.run(eventually(env_.timers, [&said, before = said] { return said > before; }));
  };
  const auto is_stopped = [pid = process->pid()] {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(file, text);
    // One that was starting a child waits in the kernel for that, which stands still as well.
    return text.find(") T ") != text.npos || text.find(") D ") != text.npos;
  };
  EXPECT_TRUE(goes_on());
  ASSERT_TRUE(process->freeze());
  EXPECT_TRUE(loop_.run(eventually(env_.timers, is_stopped)));
  ASSERT_TRUE(process->thaw());
  EXPECT_TRUE(goes_on());
  ASSERT_TRUE(process->freeze());
  process->signal(SIGKILL);
  EXPECT_EQ(loop_.run(process->wait()).signal, SIGKILL);
  EXPECT_EQ(process->freeze().error().code, Errc::failed_precondition);
  process = env_.processes.spawn(options).value();
  ASSERT_TRUE(process->freeze());
  process.reset();  // and does not wait for ever
}

}  // namespace
}  // namespace knative
