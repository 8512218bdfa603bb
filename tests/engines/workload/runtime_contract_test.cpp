// The runtime contract over every runtime: what a container may rely on holds, or the runtime says
// by the field's name that it does not. One of both, and never both.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engines/workload/guest_fixture.hpp"
#include "engines/workload/probes.hpp"
#include "knative/oci_layer.hpp"
#include "knative/oci_runtime.hpp"
#include "knative/sandbox_runtime.hpp"
#include "knative/workload.hpp"
#include "support/real_world.hpp"
#include "wire/oci_raw_tar.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using namespace guests;
using testing_world::eventually;
using testing_world::quiet;

struct ContractRuntime {
  std::unique_ptr<ContainerRuntime> runtime;
  std::string missing;  ///< Why there is none here.
};

ContractRuntime runtime_named(std::string_view name, Env& env, ImageProvider& images,
                              const std::string& directory, std::uint64_t processes_max) {
  if (name == "process") return {std::make_unique<ProcessRuntime>(env, images), {}};
  SandboxRuntimeOptions options;
  options.support = env.processes.isolation(directory);
  options.processes_max = processes_max;
  if (!options.support.possible) return {nullptr, options.support.reason};
  if (!options.support.any_user) return {nullptr, "only for a privileged platform"};
  options.host_network = name.ends_with("-host-network");
  if (name.starts_with("sandbox")) {
    return {std::make_unique<SandboxRuntime>(env, images, options), {}};
  }
  OciRuntimeOptions oci;
  const Result<std::string> program = OciRuntime::find(env.files, name.substr(0, 4));
  if (!program) return {nullptr, program.error().detail};
  oci.program = *program;
  oci.directory = directory;
  oci.isolating = std::move(options);
  return {std::make_unique<OciRuntime>(env, images, std::move(oci)), {}};
}

class RuntimeContract : public testing::TestWithParam<const char*> {
 protected:
  static constexpr std::uint64_t processes_max = 60;

  void SetUp() override {
    std::filesystem::create_directories(folder_ / "work");
    ContractRuntime made =
        runtime_named(GetParam(), env_, images_, folder_ / "work", processes_max);
    if (!made.runtime) GTEST_SKIP() << GetParam() << " IS NOT TESTED HERE: " << made.missing;
    runtime_ = std::move(made.runtime);
    spec_.name = "default/guest-00001";
    spec_.image = "guest";
    spec_.identity = {.namespace_ = "default",
                      .service = "guest",
                      .configuration = "guest",
                      .revision = "guest-00001"};
  }
  /// Whatever was done: nothing of it is left.
  void TearDown() override {
    if (!runtime_) return;
    EXPECT_TRUE(std::filesystem::is_empty(folder_ / "work"));
    EXPECT_TRUE(loop_.run(eventually(env_.timers, [] { return groups_of(::getpid()).empty(); })));
    EXPECT_TRUE(loop_.run(
        eventually(env_.timers, [this] { return processes_with(folder_.path()).empty(); })));
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; std::getline(mounts, line);) {
      EXPECT_EQ(line.find(folder_.path()), std::string::npos) << line;
    }
  }

  bool isolates() const { return std::string_view(GetParam()) != "process"; }
  bool own_network() const {
    return isolates() && !std::string_view(GetParam()).ends_with("-host-network");
  }

  Result<std::unique_ptr<Container>> start(std::vector<std::string> args) {
    spec_.args = std::move(args);
    lines_.clear();
    errors_.clear();
    const ContainerOutput output = [this](std::string_view stream, std::string_view line) {
      (stream == "stderr" ? errors_ : lines_).emplace_back(line);
    };
    return loop_.run(runtime_->start(spec_, output));
  }
  Outcome run(std::vector<std::string> args) {
    Result<std::unique_ptr<Container>> container = start(std::move(args));
    if (!container) return {ExitStatus{255, 0}, {container.error().to_string()}};
    const ExitStatus status = loop_.run((*container)->wait());
    return {status, lines_};
  }
  bool wait_for_line(std::string_view line) {
    return loop_.run(eventually(env_.timers, [&] {
      return std::find(lines_.begin(), lines_.end(), line) != lines_.end();
    }));
  }

  /// Whether the runtime says nothing about what the spec asks for in `field`; else no word of
  /// another one must be needed.
  bool promised(const std::string& field) {
    for (const FieldError& error : runtime_->unsupported(spec_)) {
      for (const std::string& path : error.paths) {
        if (path.starts_with(field)) return false;
      }
    }
    return true;
  }
  /// Exactly one: it holds, or it is said that it does not.
  void holds_or_is_named(const std::string& field, const std::function<bool()>& holds) {
    const bool said = promised(field);
    EXPECT_EQ(holds(), said) << GetParam() << ": " << field;
  }

  TemporaryDirectory folder_;
  GuestImages images_{folder_};
  Loop loop_{quiet()};
  Env& env_ = loop_.env();
  ContainerSpec spec_;
  std::vector<std::string> lines_;
  std::vector<std::string> errors_;
  std::unique_ptr<ContainerRuntime> runtime_;
};

// ---------------------------------------------------------------------------- whose images

// What tells the layers of others from ours: names, owners, modes, what is not there.
TEST_P(RuntimeContract, ImagesByTheRulesOfOtherMakersRun) {
  using oci::testing_tar::Raw;
  const std::string guest = env_.files.read_file(images_.root() + "/guest", 16u << 20).value();
  struct Maker {
    const char* name;
    std::vector<std::vector<Raw>> layers;
    std::vector<std::string> entrypoint;
  };
  const std::vector<Maker> makers = {
      // ko: absolute names, read-only programs, data beside it, over a base of few files.
      {"ko",
       {{{.name = "./", .type = '5', .mode = 0755},
         {.name = "./etc/passwd",
          .content = "nonroot:x:65532:65532::/home/nonroot:/sbin/nologin\n"}},
        {{.name = "/var/run/ko", .type = '5', .mode = 0555},
         {.name = "/var/run/ko/data", .content = "data", .mode = 0444}},
        {{.name = "/ko-app", .type = '5', .mode = 0555},
         {.name = "/ko-app/app", .content = guest, .mode = 0555}}},
       {"/ko-app/app"}},
      // kaniko: the root itself is an entry, files of lower layers are removed by whiteouts.
      {"kaniko",
       {{{.name = "old/config", .content = "of the base"}, {.name = "kept", .content = "kept"}},
        {{.name = "/", .type = '5', .mode = 0755},
         {.name = "old/.wh.config"},
         {.name = "app/", .type = '5', .mode = 0755},
         {.name = "app/app", .content = guest, .mode = 0755},
         {.name = "app/same", .type = '1', .link = "app/app", .mode = 0755}}},
       {"/app/same"}},
      // Bazel: "./" before every name, no folders, a program behind links.
      {"Bazel",
       {{{.name = "./app/bin.runfiles/main/app", .content = guest, .mode = 0555},
         {.name = "./app/bin", .type = '2', .link = "/app/bin.runfiles/main/app", .mode = 0777}}},
       {"/app/bin"}},
  };
  for (const Maker& maker : makers) {
    const std::string root = folder_ / maker.name;
    std::filesystem::create_directories(root);
    for (const std::vector<Raw>& layer : maker.layers) {
      const std::string archive = oci::testing_tar::raw_tar(layer);
      const auto source = oci::memory_source(archive);
      const auto unpacked = oci::unpack_layer(env_.files, *source, root, {.preserve = true});
      ASSERT_TRUE(unpacked) << maker.name << ": " << unpacked.error().to_string();
    }
    images_.set_root(root);
    images_.defaults.entrypoint = maker.entrypoint;
    // Absolute links lead a process to this machine's files, as docs/runtimes.md says.
    if (!isolates() && maker.name == std::string_view("Bazel")) {
      images_.defaults.entrypoint = {"/app/bin.runfiles/main/app"};
    }
    const Outcome seen = run({"see", maker.name});
    EXPECT_TRUE(seen.status.success()) << maker.name << ": " << seen.text();
    EXPECT_TRUE(seen.says(std::string("arg 2 ") + maker.name)) << seen.text();
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "kaniko/old/config"));
}

// ---------------------------------------------------------------------------- what it is told

TEST_P(RuntimeContract, WordsAndVariablesAreTheSpecsOverTheImages) {
  images_.defaults.cmd = {"of", "the", "image"};
  images_.defaults.environment = {{"FROM", "image"}, {"ONLY", "image"}};
  spec_.command = {"/guest"};
  spec_.environment = {{"FROM", "spec"}, {"NAME", "world"}};
  const Outcome seen = run({"see", "hello $(NAME)"});
  EXPECT_TRUE(seen.status.success()) << seen.text();
  for (const char* line :
       {"arg 1 see", "arg 2 hello world", "env FROM=spec", "env ONLY=image", "env K_SERVICE=guest",
        "env K_CONFIGURATION=guest", "env K_REVISION=guest-00001", "stdin 0"}) {
    EXPECT_TRUE(seen.says(line)) << line << " in:\n" << seen.text();
  }
  EXPECT_EQ(seen.text().find("arg 3"), std::string::npos);
  EXPECT_EQ(seen.text().find("\nfd 3"), std::string::npos) << "a descriptor of the platform";
}

TEST_P(RuntimeContract, TheWorkingDirectoryIsTheSpecs) {
  images_.defaults.working_directory = "/etc";
  spec_.working_directory = "/data";
  const Outcome seen = run({"see"});
  bool there = false;
  for (const std::string& line : seen.lines) {
    there = there || (line.starts_with("cwd ") && line.ends_with("/data"));
  }
  EXPECT_TRUE(there) << seen.text();
}

TEST_P(RuntimeContract, AWorkingDirectoryThatIsAbsentIsMadeWhereTheRootIsItsOwn) {
  images_.defaults.user = isolates() ? "1000" : "";
  images_.defaults.working_directory = "/srv/deep/place";
  EXPECT_EQ(run({"see"}).says("cwd /srv/deep/place"), isolates());
  EXPECT_FALSE(std::filesystem::exists(images_.root() + "/srv"));
}

TEST_P(RuntimeContract, AServerFindsItsPortAndIsReachedByProbesAndRequests) {
  spec_.ports = {{.container_port = 8801}};
  auto container = start({"serve"});
  ASSERT_TRUE(container) << container.error().to_string();
  InstanceSpec instance;
  instance.container = spec_;
  Prober prober(env_, **container, instance);
  loop_.run(prober.until_ready()).value();
  http::Request request = http::get("/");
  http::Response response = loop_.run((*container)->endpoint()->handle(request));
  loop_.run(response.body.read_all()).value();
  EXPECT_EQ(response.body.bytes(), "hello");
  EXPECT_EQ((*container)->address(0)->port == 8801, own_network());
  EXPECT_EQ((*container)->network() != nullptr, own_network());
  if (own_network()) {
    EXPECT_FALSE(loop_.run(env_.network.connect(*(*container)->address(0)))) << "from outside";
  }
  loop_.run((*container)->stop(10s));  // it ends by itself when it is asked to
  EXPECT_TRUE(loop_.run((*container)->wait()).success());
}

TEST_P(RuntimeContract, ExecProbesRunInIt) {
  auto container = start({"stubborn"});
  ASSERT_TRUE(container) << container.error().to_string();
  ASSERT_TRUE(wait_for_line("stubborn"));
  InstanceSpec instance;
  instance.container = spec_;
  instance.readiness = {.kind = InstanceProbe::Kind::exec, .command = {"/guest", "true"}};
  Prober prober(env_, **container, instance);
  EXPECT_TRUE(loop_.run(prober.until_ready()));
}

TEST_P(RuntimeContract, ContainersOfOneInstanceReachEachOtherOverLoopback) {
  spec_.ports = {{.container_port = 8801}};
  auto first = start({"serve"});
  ASSERT_TRUE(first) << first.error().to_string();
  ASSERT_TRUE(wait_for_line("listening"));
  const std::string port = std::to_string((*first)->address(0)->port);
  ContainerSpec sibling = spec_;
  sibling.ports.clear();
  sibling.args = {"reach", "127.0.0.1", port};
  const ContainerOutput output = [this](std::string_view, std::string_view line) {
    lines_.emplace_back(line);
  };
  auto second = loop_.run(runtime_->start_beside(**first, sibling, output));
  ASSERT_TRUE(second) << second.error().to_string();
  EXPECT_TRUE(loop_.run((*second)->wait()).success());
  EXPECT_EQ(lines_.back(), "127.0.0.1 " + port + ": done");
}

TEST_P(RuntimeContract, WhatIsFrozenAnswersOnceItIsThawed) {
  if (!runtime_->can_freeze(spec_)) GTEST_SKIP() << "nothing is frozen here, and that is said";
  spec_.ports = {{.container_port = 8801}};
  spec_.freezable = true;
  auto container = start({"serve"});
  ASSERT_TRUE(container) << container.error().to_string();
  ASSERT_TRUE(wait_for_line("listening"));
  ASSERT_TRUE((*container)->freeze());
  http::Request request = http::get("/");
  Task<http::Response> asking = (*container)->endpoint()->handle(request);
  auto early = loop_.run(with_deadline(env_.timers, std::move(asking), env_.timers.now() + 50ms));
  EXPECT_FALSE(early);
  ASSERT_TRUE((*container)->thaw());
  http::Request again = http::get("/");
  EXPECT_EQ(loop_.run((*container)->endpoint()->handle(again)).status, 200);
}

// ---------------------------------------------------------------------------- who it is

TEST_P(RuntimeContract, UserAndGroupAreTheSpecs) {
  spec_.security.run_as_user = 2020;
  holds_or_is_named("securityContext.runAsUser",
                    [this] { return run({"see"}).text().starts_with("uid 2020 "); });
  spec_.security = {};
  spec_.security.run_as_group = 3030;
  holds_or_is_named("securityContext.runAsGroup",
                    [this] { return run({"see"}).text().find(" gid 3030 ") != std::string::npos; });
  spec_.security = {};
  spec_.user = "app";
  holds_or_is_named("user", [this] {
    const Outcome seen = run({"see"});
    return seen.text().starts_with("uid 1000 gid 2000 ") && seen.says("group 10") &&
           seen.says("group 44") && seen.says("env HOME=/home/app");
  });
}

TEST_P(RuntimeContract, WhoMustNotBeRootIsRefusedAsRoot) {
  spec_.security.run_as_non_root = true;
  holds_or_is_named("securityContext.runAsNonRoot", [this] {
    const auto container = start({"see"});
    return !container && container.error().detail.find("runAsNonRoot") != std::string::npos;
  });
}

TEST_P(RuntimeContract, RightsAreTheSpecs) {
  core::SecurityContext& security = spec_.security;
  security.capabilities = core::Capabilities{.add = {}, .drop = {"ALL"}};
  holds_or_is_named("securityContext.capabilities", [this] {
    const Outcome seen = run({"see"});
    return seen.says("CapEff:\t0000000000000000") && seen.says("CapBnd:\t0000000000000000");
  });
  security.capabilities = core::Capabilities{.add = {"NET_BIND_SERVICE"}, .drop = {"ALL"}};
  holds_or_is_named("securityContext.capabilities",
                    [this] { return run({"see"}).says("CapEff:\t0000000000000400"); });
  security = {};
  security.allow_privilege_escalation = false;
  holds_or_is_named("securityContext.allowPrivilegeEscalation",
                    [this] { return run({"see"}).says("NoNewPrivs:\t1"); });
  security = {};
  for (const auto& [type, mode] :
       {std::pair("RuntimeDefault", "2"), std::pair("Unconfined", "0")}) {
    security.seccomp_profile = core::SeccompProfile{.type = type};
    const std::string line = std::string("Seccomp:\t") + mode;
    if (mode == std::string_view("0") && !isolates()) continue;  // as it is anyway
    holds_or_is_named("securityContext.seccompProfile", [&] { return run({"see"}).says(line); });
  }
  security = {};
  security.privileged = true;
  EXPECT_FALSE(promised("securityContext.privileged"));
}

TEST_P(RuntimeContract, WithoutASecurityContextItHasTheUsualRights) {
  const Outcome seen = run({"see"});
  EXPECT_EQ(seen.says("CapEff:\t00000000a80425fb"), isolates()) << seen.text();
  EXPECT_EQ(seen.says("Seccomp:\t2"), isolates());
  EXPECT_EQ(seen.says("hostname guest-00001"), isolates());
  EXPECT_EQ(seen.text().find("KNATIVE") == std::string::npos, isolates());
}

// Nobody tries it outside of a container.
TEST_P(RuntimeContract, NothingOutsideIsReachedChangedOrTraced) {
  if (!isolates()) GTEST_SKIP() << "a process is not kept from anything, and warns of it";
  const Outcome tried = run({"escape"});
  EXPECT_GE(tried.lines.size(), 23u) << tried.text();
  for (const std::string& line : tried.lines) {
    EXPECT_FALSE(line.ends_with(": done")) << GetParam() << ": " << line;
  }
}

// ---------------------------------------------------------------------------- what it sees

TEST_P(RuntimeContract, ItsProcessesAreTheOnlyOnesItSees) {
  EXPECT_EQ(run({"see"}).text().find(" pid 1\n") != std::string::npos, isolates());
  const std::string other = "/proc/" + std::to_string(::getpid());
  EXPECT_EQ(run({"files", other}).says(other + " absent"), isolates());
  if (!isolates()) return;
  for (const std::string& line : run({"cat", "/proc/self/cgroup"}).lines) {
    EXPECT_TRUE(line.ends_with(":/")) << line;
  }
}

TEST_P(RuntimeContract, TheFilesOfTheContractAreThere) {
  if (!isolates()) GTEST_SKIP() << "a process sees this machine's";
  const Outcome seen =
      run({"files", "/dev/fd", "/dev/full", "/dev/null", "/dev/ptmx", "/dev/random", "/dev/stdin",
           "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/urandom", "/dev/zero", "/proc", "/sys",
           "/tmp", "/dev/shm", "/etc/resolv.conf", "/dev/console", "/etc/hosts"});
  for (const char* line : {"/dev/fd l0777 0:0", "/dev/full c0666 0:0", "/dev/null c0666 0:0",
                           "/dev/ptmx l0777 0:0", "/dev/random c0666 0:0", "/dev/stdin l0777 0:0",
                           "/dev/stdout l0777 0:0", "/dev/stderr l0777 0:0", "/dev/tty c0666 0:0",
                           "/dev/urandom c0666 0:0", "/dev/zero c0666 0:0", "/tmp d1777 0:0",
                           "/dev/shm d1777 0:0", "/dev/console absent", "/etc/hosts -0644 0:0"}) {
    EXPECT_TRUE(seen.says(line)) << line << " in:\n" << seen.text();
  }
  EXPECT_NE(run({"cat", "/etc/hosts"}).text().find("localhost guest-00001"), std::string::npos);
  EXPECT_FALSE(run({"cat", "/etc/resolv.conf"}).lines.empty());
}

TEST_P(RuntimeContract, WhatTheKernelShowsIsOnlyRead) {
  if (!isolates()) GTEST_SKIP() << "a process may what its user may";
  for (const char* path : {"/proc/sys/kernel/domainname", "/sys/kernel/uevent_helper",
                           "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    EXPECT_FALSE(run({"write", path, "1"}).says(std::string(path) + ": done")) << path;
  }
}

// ---------------------------------------------------------------------------- files

TEST_P(RuntimeContract, WhatItWritesIsGoneWithIt) {
  const std::string file = isolates() ? "/new" : "new";
  images_.defaults.working_directory = "/data";
  EXPECT_TRUE(run({"write", file, "made"}).says(file + ": done"));
  EXPECT_FALSE(std::filesystem::exists(images_.root() + "/new"));
  EXPECT_FALSE(std::filesystem::exists(images_.root() + "/data/new"));
  EXPECT_TRUE(run({"files", file}).says(file + " absent"));
}

TEST_P(RuntimeContract, AReadOnlyRootIsOnlyRead) {
  spec_.security.read_only_root_filesystem = true;
  const std::string file = isolates() ? "/new" : "new";
  images_.defaults.working_directory = "/data";
  holds_or_is_named("securityContext.readOnlyRootFilesystem", [&] {
    return run({"write", file, "x"}).says(file + ": Read-only file system");
  });
  if (!isolates()) return;
  EXPECT_TRUE(run({"write", "/dev/shm/new", "x"}).says("/dev/shm/new: done"));
}

TEST_P(RuntimeContract, VolumesAreMounted) {
  const std::string volume = folder_ / "volume";
  std::filesystem::create_directories(volume);
  std::ofstream(volume + "/secret") << "sesame\n";
  spec_.mounts = {{volume, "/var/secret", true},
                  {volume, "/data", false},
                  {volume + "/secret", "/etc/one/file", true}};
  holds_or_is_named("volumeMounts", [&] {
    return run({"cat", "/var/secret/secret"}).says("sesame") &&
           run({"cat", "/etc/one/file"}).says("sesame") &&
           run({"write", "/var/secret/x", "x"}).says("/var/secret/x: Read-only file system") &&
           run({"write", "/etc/one/file", "x"}).says("/etc/one/file: Read-only file system") &&
           run({"write", "/data/x", "x"}).says("/data/x: done") &&
           std::filesystem::exists(volume + "/x");
  });
}

TEST_P(RuntimeContract, ASubPathIsWhatWasLookedAt) {
  if (!isolates()) GTEST_SKIP() << "a process has no volumes, which its runtime refuses";
  const std::string volume = folder_ / "volume";
  const std::string outside = folder_ / "outside";
  for (const std::string& made : {volume + "/part", outside}) {
    std::filesystem::create_directories(made);
  }
  std::ofstream(volume + "/part/file") << "inside\n";
  std::ofstream(outside + "/file") << "outside\n";
  std::map<std::string, ContainerMount> volumes = {{"v", {volume, "", false}}};
  core::VolumeMount mount;
  mount.name = "v";
  mount.mount_path = "/part";
  mount.sub_path = "part";
  spec_.mounts = mount_volumes(volumes, {mount}).value();
  EXPECT_TRUE(run({"cat", "/part/file"}).says("inside"));
  std::filesystem::remove_all(volume + "/part");
  std::filesystem::create_directory_symlink(outside, volume + "/part");
  const auto container = start({"cat", "/part/file"});
  ASSERT_FALSE(container);
  EXPECT_EQ(container.error().detail.find(outside), std::string::npos);
}

// ---------------------------------------------------------------------------- how much it gets

TEST_P(RuntimeContract, MoreMemoryThanItsLimitEndsIt) {
  spec_.resources.limits["memory"] = Quantity(48 << 20);
  if (!promised("resources.limits")) return;  // and nobody tries
  const Outcome bomb = run({"memory-bomb"});
  EXPECT_EQ(bomb.status.signal, SIGKILL);
  EXPECT_TRUE(bomb.status.out_of_memory);
}

TEST_P(RuntimeContract, AForkBombStaysSmallAndIsGoneAfterwards) {
  if (!isolates()) GTEST_SKIP() << "a process is not counted, and nobody tries";
  if (!env_.processes.isolation(folder_.path()).process_limit) GTEST_SKIP() << "not counted here";
  const Outcome bomb = run({"fork-bomb"});
  EXPECT_TRUE(bomb.status.success()) << bomb.status.to_string();
  int made = 0;
  ASSERT_EQ(std::sscanf(bomb.text().c_str(), "made %d: Resource", &made), 1) << bomb.text();
  EXPECT_LT(made, static_cast<int>(processes_max));
  EXPECT_GT(made, static_cast<int>(processes_max) / 2);
}

TEST_P(RuntimeContract, ItsLimitsCanBeRead) {
  spec_.resources.limits = {{"memory", Quantity(128 << 20)}, {"cpu", Quantity(1)}};
  spec_.resources.requests = {{"cpu", Quantity::from_milli(125)}};
  const bool two = !std::filesystem::exists("/sys/fs/cgroup/memory");
  holds_or_is_named("resources", [&] {
    const std::string folder = "/sys/fs/cgroup/";
    const std::string quota = folder + (two ? "cpu.max" : "cpu/cpu.cfs_quota_us");
    const std::string most = folder + (two ? "memory.max" : "memory/memory.limit_in_bytes");
    return run({"cat", most}).says("134217728") && run({"cat", quota}).text().starts_with("100000");
  });
}

TEST_P(RuntimeContract, WhatItUsesIsTold) {
  auto container = start({"stubborn"});
  ASSERT_TRUE(container) << container.error().to_string();
  ASSERT_TRUE(wait_for_line("stubborn"));
  const Result<ContainerStats> stats = (*container)->stats();
  if (!stats) {
    EXPECT_FALSE(isolates());
    EXPECT_EQ(stats.error().code, Errc::unimplemented);
    return;
  }
  EXPECT_GT(stats->memory_bytes, 0u);
  EXPECT_GT(stats->cpu_time, Duration::zero());
  EXPECT_GE(stats->processes, 2u);
}

// ---------------------------------------------------------------------------- its end

TEST_P(RuntimeContract, CodeAndSignalAreTold) {
  EXPECT_TRUE(run({"true"}).status.success());
  EXPECT_EQ(run({"exit", "3"}).status, (ExitStatus{3, 0}));
  EXPECT_EQ(run({"crash"}).status.out_of_memory, false);
  if (isolates()) return;  // signals of one's own do not end the first process of a namespace
  EXPECT_EQ(run({"crash"}).status.signal, SIGABRT);
}

TEST_P(RuntimeContract, AProgramThatIsNotThereIsNamed) {
  spec_.command = {"/no/program"};
  const auto container = start({});
  ASSERT_FALSE(container);
  EXPECT_EQ(container.error().code, Errc::not_found) << container.error().detail;
  EXPECT_NE(container.error().detail.find("/no/program"), std::string::npos)
      << container.error().detail;
}

TEST_P(RuntimeContract, WhatItSaysIsGivenOnByLines) {
  const Outcome said = run({"say", "one", "two"});
  EXPECT_EQ(said.lines, (std::vector<std::string>{"out one", "out two"}));
  EXPECT_EQ(errors_, (std::vector<std::string>{"err one", "err two"}));
  auto container = start({"say", "last"});
  ASSERT_TRUE(container);
  loop_.run((*container)->wait());
  EXPECT_EQ((*container)->last_lines().size(), 2u);
}

TEST_P(RuntimeContract, WhoIgnoresSigtermIsKilledWithAllItStarted) {
  const std::string mark = "mark-" + std::to_string(::getpid());
  auto container = start({"stubborn", mark});
  ASSERT_TRUE(container) << container.error().to_string();
  ASSERT_TRUE(wait_for_line("stubborn"));
  EXPECT_GE(processes_with(mark).size(), 2u);
  loop_.run((*container)->stop(50ms));
  EXPECT_EQ(loop_.run((*container)->wait()).signal, SIGKILL);
  EXPECT_TRUE(loop_.run(eventually(env_.timers, [&] { return processes_with(mark).empty(); })));
}

TEST_P(RuntimeContract, TheEndOfTheFirstEndsTheRest) {
  const std::string mark = "mark-" + std::to_string(::getpid());
  auto container = start({"leave", mark});
  ASSERT_TRUE(container) << container.error().to_string();
  EXPECT_TRUE(loop_.run((*container)->wait()).success());
  EXPECT_TRUE(loop_.run(eventually(env_.timers, [&] { return processes_with(mark).empty(); })));
}

TEST_P(RuntimeContract, ACommandRunsBesideTheProgram) {
  if (isolates()) spec_.user = "app";
  spec_.environment = {{"FROM", "spec"}};
  spec_.working_directory = "/data";
  auto container = start({"stubborn"});
  ASSERT_TRUE(container) << container.error().to_string();
  ASSERT_TRUE(wait_for_line("stubborn"));
  ASSERT_TRUE(runtime_->can_exec(spec_));
  std::vector<std::string> said;
  const ContainerOutput output = [&said](std::string_view, std::string_view line) {
    said.emplace_back(line);
  };
  const auto status = loop_.run((*container)->exec({"/guest", "see"}, output));
  ASSERT_TRUE(status) << status.error().to_string();
  EXPECT_TRUE(status->success());
  const Outcome seen{*status, said};
  EXPECT_TRUE(seen.says("env FROM=spec")) << seen.text();
  if (isolates()) {
    for (const char* line : {"cwd /data", "hostname guest-00001", "CapEff:\t0000000000000000",
                             "Seccomp:\t2", "group 44"}) {
      EXPECT_TRUE(seen.says(line)) << line << " in:\n" << seen.text();
    }
    EXPECT_FALSE(seen.says("fd 3"));
  }
  EXPECT_EQ(loop_.run((*container)->exec({"/guest", "exit", "5"}, nullptr)).value(),
            (ExitStatus{5, 0}));
  EXPECT_EQ(loop_.run((*container)->exec({"/nothing"}, nullptr)).error().code, Errc::not_found);
  (*container)->signal(SIGKILL);
  loop_.run((*container)->wait());
  EXPECT_EQ(loop_.run((*container)->exec({"/guest", "true"}, nullptr)).error().code,
            Errc::failed_precondition);
}

TEST_P(RuntimeContract, ACommandThatNobodyWaitsForIsKilled) {
  const std::string mark = "mark-" + std::to_string(::getpid());
  auto container = start({"stubborn"});
  ASSERT_TRUE(container) << container.error().to_string();
  ASSERT_TRUE(wait_for_line("stubborn"));
  {
    TaskSet tasks(env_.executor);
    auto beside = [](Container& one, std::string word) -> Task<void> {
      std::vector<std::string> words = {"/guest", "stubborn", std::move(word)};
      Task<Result<ExitStatus>> running = one.exec(std::move(words), nullptr);
      static_cast<void>(co_await std::move(running));
    };
    tasks.add(beside(**container, mark));
    EXPECT_TRUE(loop_.run(eventually(env_.timers, [&] { return !processes_with(mark).empty(); })));
  }
  EXPECT_TRUE(loop_.run(eventually(env_.timers, [&] {
    // What has left the group of a command that joined a container ends with the container.
    return processes_with(mark).size() <= (isolates() ? 1u : 0u);
  })));
  container->reset();
  EXPECT_TRUE(loop_.run(eventually(env_.timers, [&] { return processes_with(mark).empty(); })));
}

TEST_P(RuntimeContract, AKilledPlatformLeavesNothingBehind) {
  const std::string mark = "mark-" + std::to_string(::getpid());
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t host = ::fork();
  if (host == 0) {
    Loop loop(quiet());
    ContractRuntime mine =
        runtime_named(GetParam(), loop.env(), images_, folder_ / "work", processes_max);
    spec_.args = {"stubborn", mark};
    bool ready = false;
    const ContainerOutput output = [&ready](std::string_view, std::string_view) { ready = true; };
    auto container = loop.run(mine.runtime->start(spec_, output));
    if (!container) ::_exit(1);
    loop.run(eventually(loop.env().timers, [&ready] { return ready; }));
    (void)!::write(ends[1], "r", 1);
    loop.run_for(1h);
    ::_exit(0);
  }
  ::close(ends[1]);
  char byte = 0;
  const ssize_t got = ::read(ends[0], &byte, 1);
  ::close(ends[0]);
  EXPECT_GE(processes_with(mark).size(), 2u);
  ::kill(host, SIGKILL);
  ::waitpid(host, nullptr, 0);
  ASSERT_EQ(got, 1);
  EXPECT_TRUE(loop_.run(eventually(env_.timers, [&] { return processes_with(mark).empty(); })));
  EXPECT_TRUE(loop_.run(eventually(env_.timers, [&] { return groups_of(host).empty(); })));
  EXPECT_TRUE(
      loop_.run(eventually(env_.timers, [&] { return processes_with(folder_.path()).empty(); })));
  // The next platform removes it as it does with the roots of containers.
  std::filesystem::remove_all(folder_ / "work");
  std::filesystem::create_directories(folder_ / "work");
}

std::string contract_name(const testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Every, RuntimeContract,
                         testing::Values("process", "sandbox", "sandbox-host-network", "crun",
                                         "crun-host-network", "runc", "runc-host-network"),
                         contract_name);

}  // namespace
}  // namespace knative
