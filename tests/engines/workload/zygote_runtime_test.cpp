// The zygote runtime with real interpreters: a fork behaves as a fresh one, and nothing is left.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "engines/workload/probes.hpp"
#include "knative/container_runtimes.hpp"
#include "knative/workload.hpp"
#include "knative/zygote_runtime.hpp"
#include "support/real_world.hpp"
#include "support/seen_processes.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing_world::eventually;
using testing_world::is_gone;
using testing_world::processes_with;
using testing_world::state_of;

/// This machine, or a copy of a root for everybody.
struct PythonImages final : ImageProvider {
  Task<Result<ImageRoot>> provide(const ContainerSpec&) override {
    ImageRoot result = root;
    if (!copied_to.empty()) {
      result.directory = copied_to + std::to_string(++count);
      std::filesystem::create_directories(copied_to);
      std::filesystem::copy(root.directory, result.directory,
                            std::filesystem::copy_options::recursive);
    }
    co_return result;
  }
  ImageRoot root;
  std::string copied_to;
  int count = 0;
};

/// What a program said and how it ended.
struct Ran {
  ExitStatus status;
  std::vector<std::string> out;
  std::vector<std::string> err;
  friend bool operator==(const Ran&, const Ran&) = default;
  std::string text() const {
    std::string all = status.to_string();
    for (const std::string& line : out) all += "\nout " + line;
    for (const std::string& line : err) all += "\nerr " + line;
    return all;
  }
};

class ZygoteTest : public testing::Test {
 protected:
  ZygoteTest() {
    spec_.name = "default/app-00001";
    spec_.image = "local/app";
    spec_.identity.revision = "app-00001";
    spec_.identity.uid = "u1";
    spec_.working_directory = folder_.path();
    spec_.environment["PYTHONPATH"] = folder_ / "packages";
    spec_.environment["PYTHONDONTWRITEBYTECODE"] = "1";
    std::filesystem::create_directories(folder_ / "packages");
    make();
  }
  void make() { runtime_ = std::make_unique<ZygoteRuntime>(loop_.env(), images_, options_); }

  LoopOptions listening() {
    LoopOptions options = testing_world::quiet();
    options.log_sink = [this](const LogRecord& record) {
      std::string line(record.message);
      for (const LogField& field : record.fields) line += " " + std::string(field.value);
      logged_.push_back(std::move(line));
    };
    return options;
  }
  std::string logged() const {
    std::string all;
    for (const std::string& line : logged_) all += line + "\n";
    return all;
  }
  void write(std::string_view name, std::string_view text) {
    std::ofstream(folder_ / name) << text;
  }
  void say(std::vector<std::string> command) { spec_.command = std::move(command); }
  void program(std::string_view text) {
    write("app.py", text);
    say({"python3", folder_ / "app.py"});
  }
  Result<std::unique_ptr<Container>> start(ContainerRuntime& runtime) {
    ran_ = {};
    const ContainerOutput output = [this](std::string_view stream, std::string_view line) {
      (stream == "stdout" ? ran_.out : ran_.err).emplace_back(line);
    };
    return loop_.run(runtime.start(spec_, output));
  }
  std::unique_ptr<Container> start() { return start(*runtime_).value(); }
  Ran run(ContainerRuntime& runtime) {
    Result<std::unique_ptr<Container>> container = start(runtime);
    if (!container) return {ExitStatus{255}, {}, {container.error().to_string()}};
    ran_.status = loop_.run((*container)->wait());
    return ran_;
  }
  Ran run() { return run(*runtime_); }
  bool until(const std::function<bool()>& condition) {
    return loop_.run(eventually(loop_.env().timers, condition));
  }
  bool until_said(std::size_t lines) {
    return until([&] { return ran_.out.size() >= lines; });
  }

  testing_world::TemporaryDirectory folder_;
  std::vector<std::string> logged_;
  Loop loop_{listening()};
  PythonImages images_;
  ZygoteOptions options_;
  ContainerSpec spec_;
  Ran ran_;
  std::unique_ptr<ContainerRuntime> runtime_;
};

// ---------------------------------------------------------------------------- imports

TEST_F(ZygoteTest, ASecondStartImportsNothingAnew) {
  write("packages/installed.py", "import os\ntoken = os.urandom(8).hex()\npid = os.getpid()\n");
  program("import installed, os\nprint(installed.token, installed.pid == os.getppid())");
  const Ran first = run();
  ASSERT_EQ(first.out.size(), 1u) << first.text();
  EXPECT_THAT(first.out[0], HasSubstr(" True"));
  EXPECT_EQ(run().out, first.out);
  EXPECT_EQ(run().out, first.out);
}

TEST_F(ZygoteTest, ModulesBesideTheProgramAreItsOwnUnlessTheyAreNamed) {
  write("helper.py", "import os\npid = os.getpid()\n");
  write("packages/helper.py", "pid = 0\n");
  program("import helper, os\nprint(helper.pid == os.getpid(), helper.pid == os.getppid())");
  EXPECT_EQ(run().out, std::vector<std::string>{"True False"});
  spec_.environment["KNATIVE_ZYGOTE_PRELOAD"] = "helper, not_there";
  EXPECT_EQ(run().out, std::vector<std::string>{"False True"});
  EXPECT_THAT(logged(), HasSubstr("cannot import not_there"));
}

TEST_F(ZygoteTest, OfAnInstalledModuleThatIsRunThePackagesAreThereBefore) {
  std::filesystem::create_directories(folder_ / "packages/tool");
  write("packages/tool/__init__.py", "import os\npid = os.getpid()\n");
  write("packages/tool/part.py", "import os\npid = os.getpid()\n");
  write("packages/tool/__main__.py",
        "import os, tool\nfrom tool import part\n"
        "print(__name__, tool.pid == os.getppid(), part.pid == os.getppid())\n");
  say({"python3", "-m", "tool"});
  EXPECT_EQ(run().out, std::vector<std::string>{"__main__ True True"});
}

// Every container has a root of its own, and it goes with the container.
TEST_F(ZygoteTest, ContainersWithRootsOfTheirOwnShareAZygoteWithAnother) {
  spec_.working_directory = "/app";
  spec_.environment["KNATIVE_ZYGOTE_PRELOAD"] = "shared";
  say({"python3", "/app/main.py"});
  images_.copied_to = folder_ / "roots/";
  const std::string app = folder_ / "image/app";
  std::filesystem::create_directories(app);
  std::ofstream(app + "/shared.py") << "import os\npid = os.getpid()\n";
  std::ofstream(app + "/main.py") << "import os, shared\nprint(os.getcwd(), shared.pid)\n"
                                     "print(os.path.exists(shared.__file__), __file__)\n";
  images_.root.directory = folder_ / "image";
  const Ran first = run();
  ASSERT_EQ(first.out.size(), 2u) << first.text();
  std::filesystem::remove_all(folder_ / "roots/1");
  const Ran second = run();
  ASSERT_EQ(second.out.size(), 2u) << second.text();
  const auto pid_of = [](const Ran& ran) { return ran.out[0].substr(ran.out[0].find(' ')); };
  EXPECT_EQ(pid_of(first), pid_of(second));
  EXPECT_EQ(first.out[1], "True " + folder_.path() + "/roots/1/app/main.py");
  EXPECT_EQ(second.out[1], "True " + folder_.path() + "/roots/3/app/main.py");
}

TEST_F(ZygoteTest, WhatStartsThreadsIsImportedByTheProgramsThemselves) {
  write("packages/threaded.py",
        "import os, threading, time\npid = os.getpid()\n"
        "threading.Thread(target=lambda: time.sleep(1000), daemon=True).start()\n");
  write("packages/plain.py", "import os\npid = os.getpid()\n");
  program(
      "import threaded, plain, os\n"
      "print(threaded.pid == os.getpid(), plain.pid == os.getppid())");
  const Ran ran = run();
  EXPECT_EQ(ran.out, std::vector<std::string>{"True True"}) << ran.text();
  EXPECT_THAT(logged(), HasSubstr("threaded: starts threads"));
}

TEST_F(ZygoteTest, AnImportThatDoesNotEndFailsTheStartByName) {
  options_.preload_timeout = 700ms;
  make();
  write("packages/hanging.py", "import time\ntime.sleep(1000)\n");
  program("import hanging");
  const auto started = start(*runtime_);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Errc::deadline_exceeded);
  EXPECT_THAT(started.error().detail, HasSubstr("importing hanging did not end"));
}

TEST_F(ZygoteTest, ImportsThatFailAreLeftToTheProgram) {
  program(
      "try:\n  import no_such_thing\nexcept ImportError as e:\n  print(e)\n"
      "import sys\nimport broken\n");
  write("packages/broken.py", "raise SystemExit('broken ends')\n");
  const Ran ran = run();
  EXPECT_EQ(ran.out, std::vector<std::string>{"No module named 'no_such_thing'"}) << ran.text();
  EXPECT_EQ(ran.err, std::vector<std::string>{"broken ends"});
}

// ---------------------------------------------------------------------------- as a fresh one

constexpr const char* look_around = R"(
import gc, os, signal, sys, threading
import random
names = sorted(n for n in globals() if n not in ('gc', 'os', 'signal', 'sys', 'threading', 'random'))
print(names, __name__, __package__, __spec__ and __spec__.name, type(__loader__).__name__)
print(globals().get('__file__'), sys.argv, getattr(sys, 'orig_argv', None), sys.path)
print(os.getcwd(), sorted(v for v in os.environ.items() if v[0] != 'KNATIVE_CHILD_OF'))
print([n for n in range(1, 32) if signal.getsignal(n)], signal.set_wakeup_fd(-1))
print(sys.flags, sys.executable, gc.isenabled(), threading.active_count())
print(threading.current_thread() is threading.main_thread(), os.getpid() == os.getpgrp())
print(sys.modules['__main__'].__dict__ is globals(), sys.stdout.line_buffering, sys.stdin.read())
print(sorted(os.listdir('/proc/self/fd')), sys.excepthook is sys.__excepthook__)
sys.stderr.write('the end')
)";

TEST_F(ZygoteTest, AForkLooksAroundAsAFreshInterpreterDoes) {
  ProcessRuntime process(loop_.env(), images_);
  write("app.py", look_around);
  std::filesystem::create_directories(folder_ / "package/inner");
  write("package/__init__.py", "");
  write("package/inner/__init__.py", "");
  write("package/inner/__main__.py", look_around);
  write("package/leaf.py", look_around);
  std::filesystem::create_directories(folder_ / "app");
  write("app/__main__.py", look_around);
  std::filesystem::create_symlink(folder_ / "app.py", folder_ / "packages/link.py");
  const std::vector<std::vector<std::string>> commands = {
      {"python3", "app.py", "one", "two words"},
      {"python3", folder_ / "packages/link.py", "-u", "--", ""},
      {"python3", "app", "x"},
      {"python3", "-u", "-E", "-O", folder_ / "app.py"},
      {"python3", "-I", "app.py"},
      {"python3", "-W", "ignore", "-X", "utf8", "-Bs", "app.py"},
      {"python3", "-m", "package.leaf", "a"},
      {"python3", "-um", "package.inner", "-m"},
      {"python3", "-c", look_around, "-c", "b"},
      {"python3", "no_such.py"},
      {"python3", "-m", "no_such"},
      {"python3", "-m", "package"}};
  for (const std::vector<std::string>& command : commands) {
    say(command);
    const Ran fresh = run(process);
    const Ran forked = run();
    EXPECT_EQ(forked.text(), fresh.text()) << testing::PrintToString(command);
  }
}

TEST_F(ZygoteTest, AForkEndsAsAFreshInterpreterDoes) {
  ProcessRuntime process(loop_.env(), images_);
  for (const char* text : {
           "import sys; sys.exit(3)",
           "import sys; sys.exit('why')",
           "import sys; sys.exit()",
           "def f():\n  raise ValueError('é')\nf()",
           "class E(Exception): pass\ntry:\n  1/0\nexcept ZeroDivisionError:\n  raise E()",
           "if True\n  pass",
           "import os; os._exit(4)",
           "import os; os.kill(os.getpid(), 9)",
           "import os; os.abort()",
           "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
           "raise KeyboardInterrupt",
           "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
           "import atexit; atexit.register(print, 'last'); print('no end', end='')",
           "import threading, time\ndef f():\n  time.sleep(0.05)\n  print('thread')\n"
           "threading.Thread(target=f).start()\nprint('main')",
           "import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__)\n1/0",
           "import sys\nfor i in range(3):\n  print(i)\n  print(-i, file=sys.stderr)",
           "import multiprocessing as m\nif __name__ == '__main__':\n"
           "  with m.get_context('spawn').Pool(1) as p:\n    print(p.map(abs, [-1, -2]))",
       }) {
    program(text);
    const Ran fresh = run(process);
    const Ran forked = run();
    EXPECT_EQ(forked.text(), fresh.text()) << text;
  }
}

TEST_F(ZygoteTest, ForksDoNotShareTheirChance) {
  program(
      "import random, uuid, ssl, tempfile\n"
      "print(random.random(), uuid.uuid4(), ssl.RAND_bytes(8).hex(),"
      " next(tempfile._get_candidate_names()))");
  const Ran first = run();
  const Ran second = run();
  ASSERT_EQ(first.out.size(), 1u) << first.text();
  for (std::string a = first.out[0] + " ", b = second.out[0] + " "; !a.empty();) {
    EXPECT_NE(a.substr(0, a.find(' ')), b.substr(0, b.find(' ')));
    a.erase(0, a.find(' ') + 1);
    b.erase(0, b.find(' ') + 1);
  }
}

TEST_F(ZygoteTest, MuchOutputComesWholeAndInOrder) {
  program("import sys\nfor i in range(100000):\n  print(i)\nprint('done', file=sys.stderr)");
  const Ran ran = run();
  ASSERT_EQ(ran.out.size(), 100'000u);
  for (std::size_t i = 0; i < ran.out.size(); ++i) ASSERT_EQ(ran.out[i], std::to_string(i));
  EXPECT_EQ(ran.err, std::vector<std::string>{"done"});
}

TEST_F(ZygoteTest, ManyAtOnceLoseNoOutput) {
  program("import os\nprint(os.getppid())\nprint('end', end='')");
  auto one = [](ContainerRuntime& runtime, const ContainerSpec& spec) -> Task<std::string> {
    std::string said;
    const ContainerOutput output = [&said](std::string_view, std::string_view line) {
      said.append(line).append(" ");
    };
    Task<Result<std::unique_ptr<Container>>> starting = runtime.start(spec, output);
    Result<std::unique_ptr<Container>> container = co_await std::move(starting);
    if (!container) co_return container.error().to_string();
    Task<ExitStatus> waiting = (*container)->wait();
    const ExitStatus status = co_await std::move(waiting);
    co_return said + status.to_string();
  };
  std::vector<Task<std::string>> tasks;
  for (int i = 0; i < 20; ++i) tasks.push_back(one(*runtime_, spec_));
  const std::vector<std::string> said = loop_.run(when_all(std::move(tasks)));
  EXPECT_THAT(said[0], testing::EndsWith(" end exit code 0"));
  EXPECT_THAT(said, testing::Each(said[0]));
}

// ---------------------------------------------------------------------------- serving

constexpr const char* forked_server = R"(
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        pid = os.getpid() if self.path == '/pid' else os.getppid()
        body = ('%s %s %d' % (self.path, os.environ['K_REVISION'], pid)).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler)
print('listening', flush=True)
server.serve_forever()
)";

class ZygoteServerTest : public ZygoteTest {
 protected:
  ZygoteServerTest() {
    program(forked_server);
    spec_.ports.push_back({.container_port = 8080});
  }
  std::unique_ptr<Container> serve() {
    std::unique_ptr<Container> container = start();
    InstanceSpec instance;
    instance.container = spec_;
    instance.start_timeout = 60s;
    Prober prober(loop_.env(), *container, instance);
    loop_.run(prober.until_ready()).value();
    return container;
  }
  std::string ask(Container& container, const std::string& path = "/x") {
    http::Request request = http::get(path);
    http::Response response = loop_.run(container.endpoint()->handle(request));
    loop_.run(response.body.read_all()).value();
    return std::string(response.body.bytes());
  }
};

TEST_F(ZygoteServerTest, TwoInstancesAnswerOnPortsOfTheirOwn) {
  const std::unique_ptr<Container> first = serve();
  const std::unique_ptr<Container> second = serve();
  EXPECT_NE(first->address(0)->port, second->address(0)->port);
  EXPECT_THAT(ask(*first), testing::StartsWith("/x app-00001 "));
  EXPECT_EQ(ask(*first), ask(*second));
  loop_.run(first->stop(10s));
  EXPECT_EQ(loop_.run(first->wait()).signal, SIGTERM);
  EXPECT_THAT(ask(*second), HasSubstr("app-00001"));
}

TEST_F(ZygoteServerTest, WhatIsFrozenAnswersOnceItIsThawed) {
  EXPECT_FALSE(serve()->freeze()) << "it was not asked for";
  spec_.freezable = true;
  const std::unique_ptr<Container> container = serve();
  const std::string answer = ask(*container, "/pid");
  const int pid = std::stoi(answer.substr(answer.rfind(' ')));
  ASSERT_TRUE(container->freeze());
  ASSERT_TRUE(until([&] { return state_of(pid) == 'T'; }));
  http::Request request = http::get("/");
  Timers& timers = loop_.env().timers;
  Task<http::Response> asking = container->endpoint()->handle(request);
  EXPECT_FALSE(loop_.run(with_deadline(timers, std::move(asking), timers.now() + 50ms)));
  ASSERT_TRUE(container->thaw());
  EXPECT_THAT(ask(*container), HasSubstr("app-00001"));
  ASSERT_TRUE(container->freeze());
  loop_.run(container->stop(10s));
  EXPECT_EQ(loop_.run(container->wait()).signal, SIGTERM);
}

TEST_F(ZygoteServerTest, ACommandRunsInItsEnvironment) {
  const std::unique_ptr<Container> container = serve();
  std::vector<std::string> said;
  const ContainerOutput output = [&said](std::string_view, std::string_view line) {
    said.emplace_back(line);
  };
  const auto status = loop_.run(container->exec({"sh", "-c", "echo $K_REVISION $PORT"}, output));
  EXPECT_TRUE(status->success());
  const std::string port = std::to_string(container->address(0)->port);
  EXPECT_EQ(said, std::vector<std::string>{"app-00001 " + port});
}

// ---------------------------------------------------------------------------- ends

TEST_F(ZygoteTest, WhoIgnoresSigtermIsKilledAfterTheGrace) {
  program(
      "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
      "print('deaf', flush=True)\nwhile True: time.sleep(1)");
  const std::unique_ptr<Container> container = start();
  ASSERT_TRUE(until_said(1));
  loop_.run(container->stop(50ms));
  EXPECT_EQ(loop_.run(container->wait()).signal, SIGKILL);
}

constexpr const char* family = R"(
import os, subprocess, sys, time
def stay(word, **options):
    return subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)', word], **options)
word = sys.argv[1]
one = stay(word)
two = stay(word, start_new_session=True, env={})
if os.fork() == 0:
    os.setsid()
    three = stay(word, start_new_session=True, env={})
    print(three.pid, flush=True)
    os._exit(0)
print(one.pid, two.pid, os.getpid(), flush=True)
)";

TEST_F(ZygoteTest, WithAProgramEndsWhatItStartedAndNothingElse) {
  const std::string mark = "family-" + std::to_string(::getpid());
  program(std::string(family) + "os.wait(); sys.exit(5)");
  spec_.args = {mark};
  const Ran ran = run();
  EXPECT_EQ(ran.status.code, 5) << ran.text();
  EXPECT_TRUE(until([&] { return processes_with(mark).empty(); }));
  program(std::string(family) + "time.sleep(1000)");
  spec_.args = {mark + "-stays"};
  const std::unique_ptr<Container> stays = start();
  ASSERT_TRUE(until_said(2));
  program(std::string(family) + "os.wait(); sys.exit(5)");
  spec_.args = {mark + "-goes"};
  EXPECT_EQ(run().status.code, 5);
  EXPECT_TRUE(until([&] { return processes_with(mark + "-goes").empty(); }));
  EXPECT_EQ(processes_with(mark + "-stays").size(), 3u);  // a fork's own words are its zygote's
  loop_.run(stays->stop(0s));
  EXPECT_TRUE(until([&] { return processes_with(mark).empty(); }));
}

TEST_F(ZygoteTest, AContainerThatIsDroppedEnds) {
  program("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(1000)");
  std::unique_ptr<Container> container = start();
  ASSERT_TRUE(until_said(1));
  const int pid = std::stoi(ran_.out[0]);
  EXPECT_FALSE(is_gone(pid));
  container.reset();
  EXPECT_TRUE(until([&] { return is_gone(pid); }));
}

TEST_F(ZygoteTest, WhenAZygoteIsKilledItsProgramsEndSayingSoAndTheNextStartMakesAnother) {
  program("import os, time\nprint(os.getpid(), os.getppid(), flush=True)\ntime.sleep(1000)");
  const std::unique_ptr<Container> container = start();
  ASSERT_TRUE(until_said(1));
  const int pid = std::stoi(ran_.out[0]);
  const int zygote = std::stoi(ran_.out[0].substr(ran_.out[0].find(' ')));
  ::kill(zygote, SIGKILL);
  EXPECT_EQ(loop_.run(container->wait()).signal, SIGKILL);
  EXPECT_THAT(container->last_lines().back(), HasSubstr("has ended (killed by signal 9)"));
  EXPECT_TRUE(until([&] { return is_gone(pid); }));
  const std::unique_ptr<Container> next = start();
  ASSERT_TRUE(until_said(1));
  EXPECT_NE(std::stoi(ran_.out[0].substr(ran_.out[0].find(' '))), zygote);
}

TEST_F(ZygoteTest, AZygoteThatDoesNotAnswerIsEndedWithItsPrograms) {
  options_.answer_timeout = 300ms;
  make();
  program(
      "import os, signal, time\nos.kill(os.getppid(), signal.SIGSTOP)\n"
      "print('stopped', flush=True)\ntime.sleep(1000)");
  const std::unique_ptr<Container> container = start();
  ASSERT_TRUE(until_said(1));
  loop_.run(container->stop(0s));
  EXPECT_EQ(loop_.run(container->wait()).signal, SIGKILL);
  EXPECT_THAT(container->last_lines().back(), HasSubstr("does not answer"));
}

TEST_F(ZygoteTest, AKilledPlatformLeavesNothingBehind) {
  const std::string mark = "left-" + std::to_string(::getpid());
  program(std::string(family) + "print(os.getppid(), flush=True)\ntime.sleep(1000)");
  spec_.args = {mark};
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t host = ::fork();
  if (host == 0) {
    Loop loop(testing_world::quiet());
    ZygoteRuntime mine(loop.env(), images_);
    std::string said;
    const ContainerOutput output = [&said](std::string_view, std::string_view line) {
      said.append(line).append(" ");
    };
    auto container = loop.run(mine.start(spec_, output));
    if (!container) ::_exit(1);
    const auto all = [&said] { return std::count(said.begin(), said.end(), ' ') >= 5; };
    loop.run(eventually(loop.env().timers, all));
    (void)!::write(ends[1], said.data(), said.size());
    ::close(ends[1]);
    loop.run_for(1h);
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said(256, '\0');
  const ssize_t got = ::read(ends[0], said.data(), said.size());
  ::close(ends[0]);
  ASSERT_GT(got, 0);
  said.resize(static_cast<std::size_t>(got));
  ::kill(host, SIGKILL);
  ::waitpid(host, nullptr, 0);
  std::istringstream pids(said);
  int count = 0;
  for (int pid = 0; pids >> pid; ++count) {
    EXPECT_TRUE(until([&] { return is_gone(pid); })) << pid << " of " << said;
  }
  EXPECT_EQ(count, 5) << said;
  EXPECT_TRUE(until([&] { return processes_with(mark).empty(); }));
}

// ---------------------------------------------------------------------------- how many

TEST_F(ZygoteTest, BeyondTheBoundTheLeastRecentlyUsedEndsOfThoseWithoutPrograms) {
  options_.zygotes_max = 2;
  make();
  program("import os\nprint(os.getppid())");
  const auto zygote_of = [this](const char* uid) {
    spec_.identity.uid = uid;
    const Ran ran = run();
    return ran.out.empty() ? ran.text() : ran.out[0];
  };
  const std::string a = zygote_of("a");
  const std::string b = zygote_of("b");
  EXPECT_NE(a, b);
  EXPECT_EQ(zygote_of("a"), a);
  const std::string c = zygote_of("c");
  EXPECT_TRUE(until([&] { return is_gone(std::stoi(b)); }));
  EXPECT_EQ(zygote_of("a"), a);
  EXPECT_EQ(zygote_of("c"), c);
}

TEST_F(ZygoteTest, OneWithProgramsStaysWhateverTheBounds) {
  options_.zygotes_max = 1;
  options_.idle = 20ms;
  make();
  program("import os, time\nprint(os.getppid(), flush=True)\ntime.sleep(1000)");
  std::unique_ptr<Container> container = start();
  ASSERT_TRUE(until_said(1));
  const int zygote = std::stoi(ran_.out[0]);
  spec_.identity.uid = "other";
  const std::unique_ptr<Container> other = start();
  ASSERT_TRUE(until_said(1));
  EXPECT_FALSE(is_gone(zygote));
  container.reset();
  EXPECT_TRUE(until([&] { return is_gone(zygote); }));
}

TEST_F(ZygoteTest, EverythingEndsWithTheRuntime) {
  program("import os\nprint(os.getppid())");
  const Ran ran = run();
  ASSERT_EQ(ran.out.size(), 1u) << ran.text();
  EXPECT_FALSE(is_gone(std::stoi(ran.out[0])));
  runtime_.reset();
  EXPECT_TRUE(until([&] { return is_gone(std::stoi(ran.out[0])); }));
}

TEST_F(ZygoteTest, ProgramsOfOtherVariablesDoNotShareAZygote) {
  program("import os\nprint(os.getppid(), os.environ.get('A'))");
  const std::string one = run().out.at(0);
  spec_.environment["A"] = "b";
  const std::string other = run().out.at(0);
  EXPECT_NE(one.substr(0, one.find(' ')), other.substr(0, other.find(' ')));
  EXPECT_THAT(other, testing::EndsWith(" b"));
}

// ---------------------------------------------------------------------------- refusals

TEST_F(ZygoteTest, OnlyProgramsOfPythonAreRun) {
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"node", "server.js"},
                                             {"sh", "-c", "python3 app.py"},
                                             {"python2", "app.py"},
                                             {"python3"},
                                             {"python3", "-"},
                                             {"python3", "-i", "app.py"},
                                             {"python3", "-m"}}) {
    say(command);
    const auto started = start(*runtime_);
    ASSERT_FALSE(started) << testing::PrintToString(command);
    EXPECT_EQ(started.error().code, Errc::invalid_argument) << started.error().to_string();
    EXPECT_THAT(started.error().detail, HasSubstr("python3 [flags] FILE"));
    EXPECT_THAT(started.error().detail, HasSubstr("\"" + command[0]));
  }
}

TEST_F(ZygoteTest, AnInterpreterThatIsNotThereIsNamed) {
  program("print(1)");
  spec_.environment["PATH"] = folder_.path();
  const auto started = start(*runtime_);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Errc::not_found);
  EXPECT_THAT(started.error().detail, HasSubstr("python3"));
}

TEST_F(ZygoteTest, AnInterpreterThatDoesNotStartSaysWhy) {
  write("python3", "#!/bin/sh\necho no interpreter >&2\nexit 7\n");
  std::filesystem::permissions(folder_ / "python3", std::filesystem::perms::owner_all);
  program("print(1)");
  spec_.environment["PATH"] = folder_.path();
  const auto started = start(*runtime_);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().detail, HasSubstr("exit code 7"));
  EXPECT_THAT(started.error().detail, HasSubstr("no interpreter"));
}

TEST_F(ZygoteTest, StrangersThatConnectAreNobody) {
  program("import os\nprint(os.getppid())");
  const Ran before = run();
  std::ifstream file("/proc/net/unix");
  std::vector<std::unique_ptr<Stream>> strangers;
  for (std::string line; std::getline(file, line);) {
    const std::size_t at = line.find("@knative-zygote-");
    if (at == line.npos) continue;
    const Endpoint name{.host = {}, .port = 0, .path = line.substr(at)};
    for (const std::string& said : {std::string(), std::string(200, '0'), std::string(84, '\n')}) {
      auto stream = loop_.run(loop_.env().network.connect(name));
      if (!stream) continue;
      (void)loop_.run((*stream)->write_all(said));
      strangers.push_back(std::move(*stream));
    }
  }
  EXPECT_GE(strangers.size(), 3u);
  EXPECT_EQ(run().out, before.out);
}

TEST_F(ZygoteTest, WhatAProcessCannotDoNeitherCanAFork) {
  ProcessRuntime process(loop_.env(), images_);
  spec_.security.run_as_user = 1000;
  spec_.security.read_only_root_filesystem = true;
  spec_.mounts.push_back({.source = "/volume", .target = "/data"});
  EXPECT_EQ(runtime_->unsupported(spec_).to_string(), process.unsupported(spec_).to_string());
  EXPECT_TRUE(runtime_->can_exec(spec_));
  EXPECT_TRUE(runtime_->can_freeze(spec_));
}

}  // namespace
}  // namespace knative
