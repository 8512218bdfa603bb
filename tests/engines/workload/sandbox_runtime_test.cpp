// Sandboxes: what the program sees, what it may, how much it gets, and that nothing is left.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "engines/workload/guest_fixture.hpp"
#include "engines/workload/probes.hpp"
#include "knative/sandbox_runtime.hpp"
#include "knative/workload.hpp"
#include "support/real_world.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using testing_world::eventually;
using testing_world::quiet;
using testing_world::TemporaryDirectory;

using namespace guests;

class SandboxTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.support = env_.processes.isolation(folder_.path());
    if (!options_.support.possible) {
      GTEST_SKIP() << "SANDBOXES ARE NOT TESTED HERE: " << options_.support.reason;
    }
    if (!options_.support.any_user) {
      GTEST_SKIP() << "SANDBOXES ARE NOT TESTED HERE: only for a privileged platform";
    }
    spec_.name = "default/guest-00001";
    spec_.image = "guest";
    make();
  }
  void TearDown() override {
    runtime_.reset();
    if (options_.support.possible) {
      EXPECT_TRUE(loop_.run(eventually(env_.timers, [] { return groups_of(::getpid()).empty(); })));
    }
  }
  void make() { runtime_.emplace(env_, images_, options_); }

  Result<std::unique_ptr<Container>> start(std::vector<std::string> args) {
    spec_.args = std::move(args);
    lines_.clear();
    const ContainerOutput output = [this](std::string_view, std::string_view line) {
      lines_.emplace_back(line);
    };
    return loop_.run(runtime_->start(spec_, output));
  }
  Outcome run(std::vector<std::string> args) {
    Result<std::unique_ptr<Container>> container = start(std::move(args));
    if (!container) {
      ADD_FAILURE() << container.error().to_string();
      return {};
    }
    const ExitStatus status = loop_.run((*container)->wait());
    return {status, lines_};
  }
  bool wait_for_line(std::string_view line) {
    return loop_.run(eventually(env_.timers, [&] {
      return std::find(lines_.begin(), lines_.end(), line) != lines_.end();
    }));
  }

  TemporaryDirectory folder_;
  GuestImages images_{folder_};
  Loop loop_{quiet()};
  Env& env_ = loop_.env();
  SandboxRuntimeOptions options_;
  ContainerSpec spec_;
  std::vector<std::string> lines_;
  std::optional<SandboxRuntime> runtime_;
};

// ---------------------------------------------------------------------------- what it sees

TEST_F(SandboxTest, AProgramIsTheFirstOfItsOwnWorld) {
  spec_.environment["GREETING"] = "hello";
  spec_.args = {};
  const Outcome seen = run({"see", "$(GREETING)"});
  EXPECT_TRUE(seen.status.success()) << seen.status.to_string();
  EXPECT_TRUE(seen.says("uid 0 gid 0 pid 1")) << seen.text();
  EXPECT_TRUE(seen.says("cwd /"));
  EXPECT_TRUE(seen.says("hostname guest-00001"));
  EXPECT_TRUE(seen.says("env HOSTNAME=guest-00001"));
  EXPECT_TRUE(seen.says("env HOME=/root"));
  EXPECT_TRUE(seen.says("env GREETING=hello"));
  EXPECT_TRUE(seen.says("arg 2 hello"));
  EXPECT_TRUE(seen.says("stdin 0"));
  EXPECT_TRUE(seen.says("fd 2"));
  EXPECT_FALSE(seen.says("fd 3")) << seen.text();
  EXPECT_TRUE(seen.says("CapEff:\t00000000a80425fb"));
  EXPECT_TRUE(seen.says("CapBnd:\t00000000a80425fb"));
  EXPECT_TRUE(seen.says("CapAmb:\t0000000000000000"));
  EXPECT_TRUE(seen.says("Seccomp:\t2"));
  EXPECT_TRUE(seen.says("NoNewPrivs:\t0"));
  EXPECT_EQ(seen.text().find("KNATIVE"), std::string::npos) << "a mark of the platform";
}

TEST_F(SandboxTest, TheFilesOfTheRuntimeContractAreThere) {
  const Outcome seen =
      run({"files", "/dev/fd", "/dev/full", "/dev/null", "/dev/ptmx", "/dev/random", "/dev/stdin",
           "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/urandom", "/dev/zero", "/proc", "/sys",
           "/tmp", "/dev/shm", "/etc/resolv.conf", "/dev/console", "/etc/hosts"});
  for (const char* line :
       {"/dev/fd l0777 0:0", "/dev/full c0666 0:0", "/dev/null c0666 0:0", "/dev/ptmx l0777 0:0",
        "/dev/random c0666 0:0", "/dev/stdin l0777 0:0", "/dev/stdout l0777 0:0",
        "/dev/stderr l0777 0:0", "/dev/tty c0666 0:0", "/dev/urandom c0666 0:0",
        "/dev/zero c0666 0:0", "/tmp d1777 0:0", "/dev/shm d1777 0:0", "/etc/resolv.conf -0644 0:0",
        "/dev/console absent", "/etc/hosts -0644 0:0"}) {
    EXPECT_TRUE(seen.says(line)) << line << " in:\n" << seen.text();
  }
}

TEST_F(SandboxTest, TheUserIsTheImagesOrTheSpecs) {
  struct Row {
    const char* image_user;
    std::optional<std::int64_t> run_as_user;
    std::optional<std::int64_t> run_as_group;
    const char* identity;
    std::vector<std::string> groups;
    const char* home;
  };
  const Row rows[] = {
      {"", {}, {}, "uid 0 gid 0 pid 1", {"group 10"}, "env HOME=/root"},
      {"1000", {}, {}, "uid 1000 gid 2000 pid 1", {"group 10", "group 44"}, "env HOME=/home/app"},
      {"app", {}, {}, "uid 1000 gid 2000 pid 1", {"group 10", "group 44"}, "env HOME=/home/app"},
      {"app:media", {}, {}, "uid 1000 gid 44 pid 1", {}, "env HOME=/home/app"},
      {"app:7", {}, {}, "uid 1000 gid 7 pid 1", {}, "env HOME=/home/app"},
      {"4711", {}, {}, "uid 4711 gid 0 pid 1", {}, "env HOME=/"},
      {"app", 65532, {}, "uid 65532 gid 0 pid 1", {}, "env HOME=/"},
      {"", 2020, 3030, "uid 2020 gid 3030 pid 1", {}, "env HOME=/"}};
  for (const Row& row : rows) {
    images_.defaults.user = row.image_user;
    spec_.security.run_as_user = row.run_as_user;
    spec_.security.run_as_group = row.run_as_group;
    const Outcome seen = run({"see"});
    EXPECT_TRUE(seen.says(row.identity)) << row.image_user << ":\n" << seen.text();
    EXPECT_TRUE(seen.says(row.home)) << row.image_user;
    std::vector<std::string> groups;
    for (const std::string& line : seen.lines) {
      if (line.starts_with("group ")) groups.push_back(line);
    }
    if (options_.support.any_user) {
      EXPECT_EQ(groups, row.groups) << row.image_user;
    }
    const bool root = std::string_view(row.identity).starts_with("uid 0 ");
    EXPECT_EQ(seen.says("CapEff:\t0000000000000000"), !root) << row.image_user;
  }
}

TEST_F(SandboxTest, AUserWhoIsNotThereIsNamed) {
  images_.defaults.user = "nobody-here";
  const auto container = start({"see"});
  ASSERT_FALSE(container);
  EXPECT_EQ(container.error().code, Errc::not_found);
  EXPECT_NE(container.error().detail.find("nobody-here"), std::string::npos);
}

TEST_F(SandboxTest, WhoMustNotBeRootIsNot) {
  spec_.security.run_as_non_root = true;
  const auto container = start({"see"});
  ASSERT_FALSE(container);
  EXPECT_NE(container.error().detail.find("runAsNonRoot"), std::string::npos);
  images_.defaults.user = "1000";
  EXPECT_TRUE(run({"see"}).says("uid 1000 gid 2000 pid 1"));
}

TEST_F(SandboxTest, ProgramsAndLinksAreFoundInsideTheRoot) {
  images_.defaults.entrypoint = {"/bin/tool"};
  EXPECT_TRUE(run({"see"}).says("uid 0 gid 0 pid 1"));
  images_.defaults.entrypoint = {"tool"};
  EXPECT_TRUE(run({"see"}).says("uid 0 gid 0 pid 1"));
  images_.defaults.entrypoint = {""};
  images_.defaults.cmd = {"/guest", "exit", "7"};
  EXPECT_EQ(run({}).status, (ExitStatus{7, 0}));
}

TEST_F(SandboxTest, AWorkingDirectoryThatIsAbsentIsMade) {
  images_.defaults.user = "1000";
  images_.defaults.working_directory = "/srv/deep/place";
  const Outcome seen = run({"see"});
  EXPECT_TRUE(seen.says("cwd /srv/deep/place")) << seen.text();
  EXPECT_FALSE(std::filesystem::exists(images_.root() + "/srv"));
}

// ---------------------------------------------------------------------------- files

TEST_F(SandboxTest, WhatItWritesIsItsOwn) {
  EXPECT_TRUE(run({"write", "/data/file", "changed"}).says("/data/file: done"));
  EXPECT_TRUE(run({"write", "/new", "made"}).says("/new: done"));
  std::ifstream file(images_.root() + "/data/file");
  std::string text;
  std::getline(file, text);
  EXPECT_EQ(text, "of the image");
  EXPECT_FALSE(std::filesystem::exists(images_.root() + "/new"));
  EXPECT_TRUE(run({"cat", "/data/file"}).says("of the image"));
}

TEST_F(SandboxTest, OneThatIsStartedAnewFindsWhatItHasWritten) {
  EXPECT_TRUE(run({"write", "/new", "made"}).says("/new: done"));
  images_.same_upper = true;
  EXPECT_TRUE(run({"cat", "/new"}).says("made"));
}

// As in Kubernetes: who wants to write to /tmp mounts a volume there.
TEST_F(SandboxTest, AReadOnlyRootIsOnlyRead) {
  spec_.security.read_only_root_filesystem = true;
  EXPECT_TRUE(run({"write", "/new", "made"}).says("/new: Read-only file system"));
  EXPECT_TRUE(run({"write", "/tmp/new", "made"}).says("/tmp/new: Read-only file system"));
  const std::string volume = folder_ / "volume";
  std::filesystem::create_directories(volume);
  spec_.mounts = {{volume, "/tmp", false}};
  EXPECT_TRUE(run({"write", "/tmp/new", "made"}).says("/tmp/new: done"));
  EXPECT_TRUE(run({"write", "/dev/shm/new", "made"}).says("/dev/shm/new: done"));
}

TEST_F(SandboxTest, WhereThePlatformKeepsItsFilesAndGroupsIsNotSeen) {
  const Outcome seen = run({"cat", "/proc/self/mounts", "/proc/self/mountinfo"});
  EXPECT_FALSE(seen.lines.empty());
  EXPECT_EQ(seen.text().find(folder_.path()), std::string::npos) << seen.text();
  EXPECT_EQ(seen.text().find("knative"), std::string::npos) << seen.text();
  for (const std::string& line : run({"cat", "/proc/self/cgroup"}).lines) {
    EXPECT_EQ(line.find("knative"), std::string::npos) << line;
    EXPECT_TRUE(line.ends_with(":/")) << line;
  }
}

TEST_F(SandboxTest, ALinkOfTheImageLeadsNoMountOutside) {
  const std::string outside = folder_ / "outside";
  std::filesystem::create_directories(outside);
  std::filesystem::create_directory_symlink(outside, images_.root() + "/way-out");
  const std::string volume = folder_ / "volume";
  std::filesystem::create_directories(volume);
  spec_.mounts = {{volume, "/way-out/here", false}};
  spec_.working_directory = "/way-out/there";
  static_cast<void>(start({"see"}));
  EXPECT_TRUE(std::filesystem::is_empty(outside));
}

// The host lay over the new root until everything was made, and ".." of the root led to it.
TEST_F(SandboxTest, NoRelativeLinkAndNoDotsLeadOutOfTheRoot) {
  const std::string outside = folder_ / "outside";
  std::filesystem::create_directories(outside + "/etc");
  std::ofstream(outside + "/etc/hosts") << "of the host\n";
  const std::string up = "../../../../../../../../..";
  std::filesystem::create_directory_symlink(up + outside, images_.root() + "/rel");
  spec_.working_directory = "/rel/made";
  static_cast<void>(start({"see"}));
  spec_.working_directory = "/" + up + outside + "/made";
  static_cast<void>(start({"see"}));
  spec_.working_directory.clear();
  const std::string volume = folder_ / "volume";
  std::filesystem::create_directories(volume);
  std::ofstream(volume + "/file") << "x";
  for (const char* source : {"", "/file"}) {
    spec_.mounts = {{volume + source, "/rel/deep/er", false}};
    static_cast<void>(start({"see"}));
  }
  spec_.mounts.clear();
  std::filesystem::remove_all(images_.root() + "/etc");
  std::filesystem::create_directory_symlink(up + outside + "/etc", images_.root() + "/etc");
  static_cast<void>(start({"see"}));
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(outside)) {
    found.push_back(entry.path().filename());
  }
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, (std::vector<std::string>{"etc", "hosts"}));
  std::ifstream hosts(outside + "/etc/hosts");
  std::string line;
  std::getline(hosts, line);
  EXPECT_EQ(line, "of the host");
}

// A container beside it, or one that was before, changes what its own volume holds.
TEST_F(SandboxTest, APlaceInAVolumeThatBecameALinkIsNotFollowed) {
  const std::string volume = folder_ / "volume";
  const std::string outside = folder_ / "outside";
  std::filesystem::create_directories(volume + "/a/x");
  std::filesystem::create_directories(outside + "/x");
  spec_.mounts = {{volume + "/a/x", "/data", false, volume}};
  EXPECT_TRUE(start({"see"}));
  std::filesystem::remove(volume + "/a/x");
  for (const std::string& target : {outside, std::string("/etc"), std::string("../../outside")}) {
    std::filesystem::create_directory_symlink(target, volume + "/a/x");
    const auto started = start({"see"});
    ASSERT_FALSE(started) << target;
    EXPECT_NE(started.error().detail.find("/data"), std::string::npos) << started.error().detail;
    EXPECT_EQ(started.error().detail.find(volume), std::string::npos) << started.error().detail;
    std::filesystem::remove(volume + "/a/x");
  }
  std::filesystem::remove(volume + "/a");
  std::filesystem::create_directory_symlink(outside, volume + "/a");
  EXPECT_FALSE(start({"see"}));
  spec_.mounts = {{outside + "/x", "/data", false, volume}};
  EXPECT_EQ(start({"see"}).error().code, Errc::invalid_argument);
}

TEST_F(SandboxTest, AProgramThatIsNotThereIsNamedAsItIsWritten) {
  spec_.environment["TOKEN"] = "hunter2";
  spec_.command = {"/no/$(TOKEN)"};
  const auto started = start({});
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().detail.find("hunter2"), std::string::npos) << started.error().detail;
  EXPECT_NE(started.error().detail.find("/no/$(TOKEN)"), std::string::npos)
      << started.error().detail;
}

TEST_F(SandboxTest, NothingIsMountedOverTheKernelsFolders) {
  std::filesystem::create_directory_symlink("/proc", images_.root() + "/way-in");
  const std::string volume = folder_ / "volume";
  std::filesystem::create_directories(volume);
  for (const char* target :
       {"/proc", "/sys", "/proc/sys", "/way-in", "//./proc", "/sys/fs/cgroup"}) {
    spec_.mounts = {{volume, target, false}};
    const auto started = start({"see"});
    ASSERT_FALSE(started) << target;
    EXPECT_NE(started.error().detail.find(target), std::string::npos) << started.error().detail;
  }
}

TEST_F(SandboxTest, AMissingSourceAndAMissingProgramAreNamed) {
  spec_.mounts = {{folder_ / "nothing", "/data", false}};
  const auto mount = start({"see"});
  ASSERT_FALSE(mount);
  EXPECT_EQ(mount.error().code, Errc::not_found);
  EXPECT_NE(mount.error().detail.find("/nothing"), std::string::npos);
  spec_.mounts.clear();
  images_.defaults.entrypoint = {"/no/program"};
  const auto program = start({});
  ASSERT_FALSE(program);
  EXPECT_EQ(program.error().code, Errc::not_found);
  EXPECT_NE(program.error().detail.find("/no/program"), std::string::npos);
}

TEST_F(SandboxTest, WithoutOverlaysEverybodyHasACopy) {
  options_.support.overlay = false;
  make();
  EXPECT_TRUE(run({"write", "/data/file", "changed"}).says("/data/file: done"));
  EXPECT_TRUE(run({"cat", "/data/file"}).says("of the image"));
}

// ---------------------------------------------------------------------------- what it may

TEST_F(SandboxTest, NothingOutsideIsReached) {
  std::string name(256, '\0');
  ASSERT_EQ(::gethostname(name.data(), name.size()), 0);
  for (const char* profile : {"RuntimeDefault", "Unconfined"}) {
    spec_.security.seccomp_profile = core::SeccompProfile{.type = profile};
    const Outcome tried = run({"escape"});
    EXPECT_TRUE(tried.status.success()) << tried.status.to_string();
    EXPECT_GE(tried.lines.size(), 23u) << tried.text();
    for (const std::string& line : tried.lines) {
      // What is one's own anyway: a new world inside this one, where the filter is off.
      const bool own = std::string_view(profile) == "Unconfined" &&
                       (line.starts_with("unshare user") || line.starts_with("unshare mount") ||
                        line.starts_with("io_uring"));
      EXPECT_TRUE(own || !line.ends_with(": done")) << profile << ": " << line;
    }
  }
  std::string after(256, '\0');
  ASSERT_EQ(::gethostname(after.data(), after.size()), 0);
  EXPECT_EQ(after, name);
}

TEST_F(SandboxTest, RightsAreWhatTheSecurityContextSays) {
  core::SecurityContext& security = spec_.security;
  security.capabilities = core::Capabilities{.add = {}, .drop = {"ALL"}};
  security.allow_privilege_escalation = false;
  security.seccomp_profile = core::SeccompProfile{.type = "Unconfined"};
  Outcome seen = run({"see"});
  EXPECT_TRUE(seen.says("CapEff:\t0000000000000000")) << seen.text();
  EXPECT_TRUE(seen.says("CapBnd:\t0000000000000000"));
  EXPECT_TRUE(seen.says("NoNewPrivs:\t1"));
  EXPECT_TRUE(seen.says("Seccomp:\t0"));
  security.capabilities = core::Capabilities{.add = {"NET_BIND_SERVICE"}, .drop = {"ALL"}};
  seen = run({"see"});
  EXPECT_TRUE(seen.says("CapEff:\t0000000000000400")) << seen.text();
}

TEST_F(SandboxTest, WhatASandboxCannotDoIsRefusedOrWarnedAboutByName) {
  const auto said = [this] {
    std::string text;
    for (const FieldError& error : runtime_->unsupported(spec_)) {
      text += error.level == FieldError::Level::warning ? "warning " : "error ";
      text += error.paths.front() + "\n";
    }
    return text;
  };
  EXPECT_EQ(said(), "");
  core::SecurityContext& security = spec_.security;
  security.run_as_user = 1000;
  security.run_as_non_root = true;
  security.read_only_root_filesystem = true;
  security.allow_privilege_escalation = false;
  security.capabilities = core::Capabilities{.add = {"CAP_CHOWN"}, .drop = {"ALL"}};
  EXPECT_EQ(said(), "");
  security.privileged = true;
  security.capabilities->add = {"MAGIC"};
  security.seccomp_profile = core::SeccompProfile{.type = "Localhost"};
  spec_.resources.limits["example.com/gpu"] = Quantity(1);
  EXPECT_EQ(said(),
            "warning resources.limits.example.com/gpu\n"
            "error securityContext.privileged\n"
            "error securityContext.seccompProfile.type\n"
            "error securityContext.capabilities.add[0]\n");
  security = {};
  spec_.resources.limits = {{"memory", Quantity(1 << 20)}, {"cpu", Quantity(1)}};
  options_.support.memory_limit = options_.support.cpu_limit = false;
  make();
  EXPECT_EQ(said(), "warning resources.limits.cpu\nwarning resources.limits.memory\n");
  options_.support = {};
  options_.support.reason = "no namespaces";
  make();
  spec_.resources = {};
  EXPECT_EQ(said(), "error runtimeClassName\n");
  options_.support.possible = true;  // for what is looked at in the end
}

// ---------------------------------------------------------------------------- how much it gets

TEST_F(SandboxTest, AMemoryBombEndsItself) {
  if (!options_.support.memory_limit) GTEST_SKIP() << "memory is not limited here";
  spec_.resources.limits["memory"] = Quantity(32 << 20);
  const Outcome bomb = run({"memory-bomb"});
  EXPECT_EQ(bomb.status.signal, SIGKILL);
  EXPECT_TRUE(bomb.status.out_of_memory);
  EXPECT_EQ(bomb.status.to_string(), "killed by signal 9: OOMKilled, out of memory");
  EXPECT_FALSE(run({"crash"}).status.out_of_memory);
}

TEST_F(SandboxTest, AForkBombStaysSmallAndIsGoneAfterwards) {
  if (!options_.support.process_limit) GTEST_SKIP() << "processes are not counted here";
  options_.processes_max = 50;
  make();
  const Outcome bomb = run({"fork-bomb"});
  EXPECT_TRUE(bomb.status.success()) << bomb.status.to_string();
  EXPECT_TRUE(bomb.says("made 49: Resource temporarily unavailable")) << bomb.text();
}

TEST_F(SandboxTest, AFolderInMemoryIsBounded) {
  const Outcome filler = run({"fill", "/dev/shm/file"});
  EXPECT_TRUE(filler.says("filled 67108864: No space left on device")) << filler.text();
  spec_.mounts = {{.source = "", .target = "/scratch", .bytes_max = 1 << 20}};
  const Outcome scratch = run({"fill", "/scratch/file"});
  EXPECT_TRUE(scratch.says("filled 1048576: No space left on device")) << scratch.text();
}

TEST_F(SandboxTest, WhoWritesMoreToDiskThanItMayIsEvicted) {
  if (!options_.support.overlay) GTEST_SKIP() << "what it writes is not told from its image here";
  options_.disk_bytes_max = 1 << 20;
  make();
  const auto by_default = start({"hoard", "/file"}).value();
  spec_.resources.limits["ephemeral-storage"] = Quantity(1 << 30);
  const auto limited = start({"hoard", "/file"}).value();
  const std::string volume = folder_ / "volume";
  std::filesystem::create_directories(volume + "/sub");
  spec_.mounts = {{.source = volume + "/sub",
                   .target = "/data",
                   .within = volume,
                   .volume = "data",
                   .bytes_max = 2 << 20}};
  const auto into_volume = start({"hoard", "/data/file"}).value();
  EXPECT_EQ(loop_.run(by_default->wait()).to_string(),
            "killed by signal 9: Evicted, it wrote too much");
  EXPECT_EQ(by_default->last_lines().back(),
            "Evicted: Container default/guest-00001 exceeded its local ephemeral storage limit "
            "\"1Mi\"");
  EXPECT_TRUE(loop_.run(into_volume->wait()).evicted);
  EXPECT_EQ(into_volume->last_lines().back(),
            "Evicted: Usage of EmptyDir volume \"data\" exceeds the limit \"2Mi\"");
  EXPECT_TRUE(limited->stats()) << "it still runs";
}

TEST_F(SandboxTest, ItsLimitsCanBeRead) {
  if (!options_.support.memory_limit || !options_.support.cpu_limit) GTEST_SKIP();
  spec_.resources.limits = {{"memory", Quantity((128 << 20) + 5)}, {"cpu", Quantity(1)}};
  spec_.resources.requests = {{"cpu", Quantity::from_milli(125)}};
  if (!std::filesystem::exists("/sys/fs/cgroup/memory")) {
    EXPECT_TRUE(run({"cat", "/sys/fs/cgroup/memory.max"}).says("134217728"));
    EXPECT_TRUE(run({"cat", "/sys/fs/cgroup/cpu.max"}).says("100000 100000"));
    return;
  }
  EXPECT_TRUE(run({"cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}).says("134217728"));
  EXPECT_TRUE(run({"cat", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"}).says("100000"));
  EXPECT_TRUE(run({"cat", "/sys/fs/cgroup/cpu/cpu.shares"}).says("128"));
  EXPECT_TRUE(run({"write", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "1"})
                  .says("/sys/fs/cgroup/memory/memory.limit_in_bytes: Read-only file system"));
}

// ---------------------------------------------------------------------------- from start to end

TEST_F(SandboxTest, ServersOfTheSamePortAnswerEachInItsOwnNetwork) {
  spec_.ports = {{.container_port = 8080}};
  auto first = start({"serve"}).value();
  auto second = start({"serve"}).value();
  for (Container* container : {first.get(), second.get()}) {
    InstanceSpec instance;
    instance.container = spec_;
    Prober prober(env_, *container, instance);
    loop_.run(prober.until_ready()).value();
    http::Request request = http::get("/");
    http::Response response = loop_.run(container->endpoint()->handle(request));
    loop_.run(response.body.read_all()).value();
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body.bytes(), "hello");
  }
  if (options_.support.own_network) {
    EXPECT_EQ(first->address(0)->port, 8080);
    EXPECT_FALSE(loop_.run(env_.network.connect(*first->address(0)))) << "reached from outside";
  }
  const Result<ContainerStats> stats = first->stats();
  if (options_.support.memory_limit) {
    ASSERT_TRUE(stats) << stats.error().to_string();
    EXPECT_GT(stats->memory_bytes, 0u);
    EXPECT_GT(stats->cpu_time, Duration::zero());
    EXPECT_EQ(stats->processes, 1u);
  }
  loop_.run(first->stop(10s));
  EXPECT_TRUE(loop_.run(first->wait()).success());
}

/// Answers for one name, and says what was asked.
struct OneName final : http::Handler {
  Task<http::Response> handle(http::Request& request) override {
    asked.push_back(request.host() + request.target);
    co_return http::text("from " + request.host() + "\n");
  }
  std::vector<std::string> asked;
};

class SandboxDoorTest : public SandboxTest {
 protected:
  void SetUp() override {
    SandboxTest::SetUp();
    if (IsSkipped()) return;
    options_.gateway.handler = &names_;
    options_.gateway.knows = [](std::string_view host) {
      return host == "other.default.svc.cluster.local";
    };
    spec_.identity.namespace_ = "default";
    make();
  }
  OneName names_;
};

TEST_F(SandboxDoorTest, NamesOfThePlatformAnswerInside) {
  const Outcome asked =
      run({"resolve", "other.default.svc.cluster.local", "OTHER.default.svc.Cluster.local",
           "else.default.svc.cluster.local", "example.org", "other"});
  EXPECT_TRUE(asked.says("other.default.svc.cluster.local: 169.254.20.1")) << asked.text();
  EXPECT_TRUE(asked.says("OTHER.default.svc.Cluster.local: 169.254.20.1")) << asked.text();
  EXPECT_TRUE(asked.says("else.default.svc.cluster.local: rcode 3")) << asked.text();
  EXPECT_TRUE(asked.says("example.org: rcode 3")) << asked.text();
  const Outcome called =
      run({"get", "other.default.svc.cluster.local", "other.default.svc.cluster.local", "/a?b"});
  EXPECT_TRUE(called.says("from other.default.svc.cluster.local")) << called.text();
  EXPECT_EQ(names_.asked, (std::vector<std::string>{"other.default.svc.cluster.local/a?b"}));
  const Outcome configured = run({"cat", "/etc/resolv.conf"});
  EXPECT_TRUE(configured.says("nameserver 169.254.20.1")) << configured.text();
  EXPECT_TRUE(configured.says("search default.svc.cluster.local svc.cluster.local cluster.local"));
}

TEST_F(SandboxDoorTest, ThisMachinesOwnServersAreNotReachedFromInside) {
  auto server = env_.network.listen(Endpoint{}).value();
  const std::string port = std::to_string(server->endpoint().port);
  const Outcome tried = run({"reach", "127.0.0.1", port, "169.254.20.1", port, "8.8.8.8", "53"});
  EXPECT_TRUE(tried.says("127.0.0.1 " + port + ": Connection refused")) << tried.text();
  EXPECT_TRUE(tried.says("169.254.20.1 " + port + ": Connection refused")) << tried.text();
  EXPECT_TRUE(tried.says("8.8.8.8 53: Network is unreachable")) << tried.text();
}

TEST_F(SandboxDoorTest, AProgramThatServesPort80HasItToItself) {
  spec_.ports = {{.container_port = 80}};
  std::vector<std::string> warned;
  for (const FieldError& error : runtime_->unsupported(spec_)) {
    EXPECT_EQ(error.level, FieldError::Level::warning);
    warned.push_back(error.paths.front());
  }
  EXPECT_EQ(warned, (std::vector<std::string>{"ports[0].containerPort"}));
  auto container = start({"serve"}).value();
  EXPECT_TRUE(wait_for_line("listening"));
  http::Request request = http::get("/");
  EXPECT_EQ(loop_.run(container->endpoint()->handle(request)).status, 200);
}

TEST_F(SandboxDoorTest, ItClosesWithItsContainer) {
  const auto descriptors = [] {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return std::distance(begin(all), end(all));
  };
  run({"true"});
  const auto before = descriptors();
  auto container = start({"stubborn"}).value();
  ASSERT_TRUE(wait_for_line("stubborn"));
  EXPECT_GT(descriptors(), before);
  container.reset();
  EXPECT_EQ(descriptors(), before);
}

/// Two containers of one instance, each on a port of its own.
class SandboxSiblingsTest : public SandboxDoorTest {
 protected:
  std::string ask(Container& container, const std::string& target) {
    InstanceSpec instance;
    instance.container = spec_;
    Prober prober(env_, container, instance);
    if (Result<void> ready = loop_.run(prober.until_ready()); !ready) return ready.error().detail;
    http::Request request = http::get(target);
    http::Response response = loop_.run(container.endpoint()->handle(request));
    loop_.run(response.body.read_all()).value();
    return std::string(response.body.bytes());
  }
  Result<std::unique_ptr<Container>> start_beside(Container& first, std::vector<std::string> args) {
    sibling_ = spec_;
    sibling_.name = "default/sibling-00001";
    sibling_.identity.container = "sibling";
    sibling_.args = std::move(args);
    const ContainerOutput output = [this](std::string_view, std::string_view line) {
      lines_.emplace_back(line);
    };
    return loop_.run(runtime_->start_beside(first, sibling_, output));
  }
  std::vector<std::string> run_beside(Container& first, std::vector<std::string> args) {
    lines_.clear();
    auto second = start_beside(first, std::move(args));
    if (!second) return {second.error().to_string()};
    EXPECT_TRUE(loop_.run((*second)->wait()).success());
    return lines_;
  }
  /// What a command in it says.
  std::vector<std::string> command_in(Container& container, std::vector<std::string> command) {
    std::vector<std::string> said;
    const ContainerOutput output = [&said](std::string_view, std::string_view line) {
      said.emplace_back(line);
    };
    const auto status = loop_.run(container.exec(std::move(command), output));
    if (!status) return {status.error().to_string()};
    return said;
  }
  ContainerSpec sibling_;
};

TEST_F(SandboxSiblingsTest, ContainersOfOneInstanceShareTheirLoopbackAndThePlatformsAddress) {
  spec_.ports = {{.container_port = 8080}};
  auto first = start({"relay"}).value();
  const std::string other = "other.default.svc.cluster.local";
  EXPECT_EQ(ask(*first, "/get/" + other + "/" + other + "/a").substr(0, 15), "HTTP/1.1 200 OK");
  spec_.ports = {{.container_port = 9090}};
  auto second = start_beside(*first, {"relay"}).value();
  EXPECT_EQ(second->address(0)->port, 9090);
  EXPECT_EQ(ask(*second, "/get/" + other + "/" + other + "/b").substr(0, 15), "HTTP/1.1 200 OK");
  EXPECT_EQ(names_.asked, (std::vector<std::string>{other + "/a", other + "/b"}));
  const auto reached = [](const std::string& place) {
    return std::vector<std::string>{place + ": done"};
  };
  EXPECT_EQ(command_in(*first, {"/guest", "reach", "127.0.0.1", "9090"}),
            reached("127.0.0.1 9090"));
  EXPECT_EQ(command_in(*second, {"/guest", "reach", "127.0.0.1", "8080"}),
            reached("127.0.0.1 8080"));
  // It ends, and one in its place joins again, on the same port.
  loop_.run(second->stop(10s));
  second.reset();
  auto third = start_beside(*first, {"serve"}).value();
  EXPECT_EQ(ask(*third, "/"), "hello");
  loop_.run(first->stop(10s));
  const auto late = start_beside(*first, {"serve"});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::failed_precondition) << late.error().to_string();
}

TEST_F(SandboxSiblingsTest, ASiblingHasEverythingElseToItself) {
  spec_.ports = {{.container_port = 8080}};
  auto first = start({"serve"}).value();
  spec_.ports.clear();
  const auto says = [this](std::string_view line) {
    return std::find(lines_.begin(), lines_.end(), line) != lines_.end();
  };
  run_beside(*first, {"see"});
  EXPECT_TRUE(says("uid 0 gid 0 pid 1"));
  EXPECT_TRUE(says("hostname sibling-00001"));
  EXPECT_TRUE(says("CapEff:\t00000000a80425fb"));
  EXPECT_TRUE(says("Seccomp:\t2"));
  EXPECT_TRUE(says("NStgid:\t1")) << "no other process is seen";
  run_beside(*first, {"write", "/new", "made"});
  EXPECT_TRUE(says("/new: done"));
  EXPECT_EQ(command_in(*first, {"/guest", "files", "/new"}),
            (std::vector<std::string>{"/new absent"}));
  run_beside(*first, {"cat", "/proc/self/cgroup"});
  for (const std::string& line : lines_) EXPECT_TRUE(line.ends_with(":/")) << line;
  run_beside(*first, {"files", "/sys/class/net/lo", "/sys/class/net/eth0"});
  EXPECT_TRUE(says("/sys/class/net/eth0 absent"));
  EXPECT_FALSE(says("/sys/class/net/lo absent")) << "what it sees of its network";
  spec_.security.run_as_user = 1000;
  run_beside(*first, {"see"});
  EXPECT_TRUE(says("uid 1000 gid 2000 pid 1"));
  EXPECT_TRUE(says("CapEff:\t0000000000000000"));
}

TEST_F(SandboxSiblingsTest, NothingIsStartedBesideWhatIsNoSandbox) {
  FunctionTable functions;
  functions.http("hello", [](http::Request&) { return http::text("hello"); });
  FunctionRuntime others(functions, env_.executor, env_.timers, env_.offload, env_.logger);
  ContainerSpec hello;
  hello.name = "default/hello";
  hello.image = "fn:hello";
  hello.ports = {{.container_port = 8080}};
  auto stranger = loop_.run(others.start(hello, nullptr)).value();
  const auto second = start_beside(*stranger, {"serve"});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::invalid_argument);
}

class SandboxFrozenTest : public SandboxTest {
 protected:
  void SetUp() override {
    SandboxTest::SetUp();
    if (IsSkipped()) return;
    if (!options_.support.freezing) GTEST_SKIP() << "FREEZING IS NOT TESTED HERE";
    spec_.freezable = true;
    spec_.ports = {{.container_port = 8080}};
  }
  /// What it answers; nothing when it does not within half a second.
  std::optional<std::string> answer(Container& container) {
    auto asking = [](Container& one) -> Task<std::string> {
      http::Request request = http::get("/");
      Task<http::Response> handling = one.endpoint()->handle(request);
      http::Response response = co_await std::move(handling);
      Task<Result<void>> reading = response.body.read_all();
      const Result<void> read = co_await std::move(reading);
      co_return read ? std::string(response.body.bytes()) : read.error().detail;
    };
    auto limited = with_deadline(env_.timers, asking(container), env_.timers.now() + 500ms);
    return loop_.run(std::move(limited));
  }
};

TEST_F(SandboxFrozenTest, ItStandsStillWithItsMemoryAndGoesOn) {
  EXPECT_TRUE(runtime_->can_freeze(spec_));
  auto container = start({"serve"}).value();
  ASSERT_TRUE(wait_for_line("listening"));
  EXPECT_EQ(answer(*container), "hello");
  ASSERT_TRUE(container->freeze());
  EXPECT_EQ(answer(*container), std::nullopt);
  const Duration used = container->stats()->cpu_time;
  EXPECT_EQ(answer(*container), std::nullopt);
  EXPECT_EQ(container->stats()->cpu_time, used);
  ASSERT_TRUE(container->thaw());
  EXPECT_EQ(answer(*container), "hello");
  ASSERT_TRUE(container->freeze());
  loop_.run(container->stop(10s));
  EXPECT_TRUE(loop_.run(container->wait()).success()) << "it heard SIGTERM";
}

TEST_F(SandboxFrozenTest, WhoIsFrozenIsKilledAllTheSame) {
  auto container = start({"stubborn"}).value();
  ASSERT_TRUE(wait_for_line("stubborn"));
  ASSERT_TRUE(container->freeze());
  container->signal(SIGKILL);
  EXPECT_EQ(loop_.run(container->wait()).signal, SIGKILL);
  EXPECT_FALSE(container->freeze());
  container = start({"stubborn"}).value();
  ASSERT_TRUE(wait_for_line("stubborn"));
  ASSERT_TRUE(container->freeze());
  container.reset();  // and does not wait for ever
  spec_.freezable = false;
  container = start({"stubborn"}).value();
  EXPECT_EQ(container->freeze().error().code, Errc::unimplemented);
}

TEST_F(SandboxTest, TheHostsNetworkIsAChoice) {
  options_.host_network = true;
  make();
  spec_.ports = {{.container_port = 8080}};
  auto container = start({"serve"}).value();
  EXPECT_TRUE(wait_for_line("listening"));
  EXPECT_NE(container->address(0)->port, 8080);
  EXPECT_TRUE(loop_.run(env_.network.connect(*container->address(0))));
  EXPECT_EQ(container->network(), nullptr);
}

TEST_F(SandboxTest, ExitCodesAndSignalsAreTold) {
  EXPECT_EQ(run({"exit", "3"}).status, (ExitStatus{3, 0}));
  EXPECT_EQ(run({"crash"}).status.success(), false);
}

TEST_F(SandboxTest, WhoIgnoresSigtermIsKilledWithAllItStarted) {
  auto container = start({"stubborn"}).value();
  ASSERT_TRUE(wait_for_line("stubborn"));
  if (options_.support.process_limit) {
    EXPECT_EQ(container->stats()->processes, 2u);
  }
  loop_.run(container->stop(50ms));
  EXPECT_EQ(loop_.run(container->wait()).signal, SIGKILL);
}

TEST_F(SandboxTest, ACommandRunsBesideTheProgram) {
  images_.defaults.user = "1000";
  auto container = start({"stubborn"}).value();
  ASSERT_TRUE(wait_for_line("stubborn"));
  std::vector<std::string> said;
  const ContainerOutput output = [&said](std::string_view, std::string_view line) {
    said.emplace_back(line);
  };
  const auto status = loop_.run(container->exec({"/guest", "see"}, output));
  ASSERT_TRUE(status) << status.error().to_string();
  EXPECT_TRUE(status->success());
  const auto says = [&said](std::string_view line) {
    return std::find(said.begin(), said.end(), line) != said.end();
  };
  EXPECT_TRUE(says("uid 1000 gid 2000 pid 3"));
  EXPECT_TRUE(says("hostname guest-00001"));
  EXPECT_TRUE(says("CapEff:\t0000000000000000"));
  EXPECT_TRUE(says("Seccomp:\t2"));
  EXPECT_FALSE(says("fd 3"));
  EXPECT_EQ(loop_.run(container->exec({"/guest", "exit", "5"}, nullptr)).value(),
            (ExitStatus{5, 0}));
  EXPECT_EQ(loop_.run(container->exec({"/nothing"}, nullptr)).error().code, Errc::not_found);
  container->signal(SIGKILL);
  loop_.run(container->wait());
  EXPECT_EQ(loop_.run(container->exec({"/guest", "true"}, nullptr)).error().code,
            Errc::failed_precondition);
}

Task<ExitStatus> run_beside(Container& container) {
  Task<Result<ExitStatus>> running = container.exec({"/guest", "stubborn"}, nullptr);
  Result<ExitStatus> status = co_await std::move(running);
  co_return status ? *status : ExitStatus{255, 0};
}

TEST_F(SandboxTest, TheEndOfTheProgramEndsWhatRunsBesideIt) {
  auto container = start({"stubborn"}).value();
  ASSERT_TRUE(wait_for_line("stubborn"));
  auto kill = [](Container& victim, Timers& clock) -> Task<void> {
    co_await clock.sleep_for(20ms);
    victim.signal(SIGKILL);
    co_await clock.sleep_for(10s);
  };
  auto outcome = race(run_beside(*container), kill(*container, env_.timers));
  const auto ended = loop_.run(std::move(outcome));
  ASSERT_TRUE(ended.first);
  EXPECT_EQ(ended.first->signal, SIGKILL);
}

TEST_F(SandboxTest, DestroyingItEndsWhatRunsBesideIt) {
  auto container = start({"stubborn"}).value();
  ASSERT_TRUE(wait_for_line("stubborn"));
  TaskSet tasks(env_.executor);
  auto beside = [](Container& one) -> Task<void> {
    Task<ExitStatus> running = run_beside(one);
    static_cast<void>(co_await std::move(running));
  };
  tasks.add(beside(*container));
  loop_.run_for(20ms);
  tasks.clear();
  container.reset();  // and does not wait for itself
}

class KilledPlatform : public SandboxTest, public testing::WithParamInterface<bool> {};

TEST_P(KilledPlatform, LeavesNothingBehind) {
  const bool frozen = GetParam();
  if (frozen && !options_.support.freezing) GTEST_SKIP() << "FREEZING IS NOT TESTED HERE";
  spec_.freezable = frozen;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t host = ::fork();
  if (host == 0) {
    Loop loop(quiet());
    SandboxRuntime runtime(loop.env(), images_, options_);
    spec_.args = {"stubborn"};
    bool ready = false;
    const ContainerOutput output = [&ready](std::string_view, std::string_view) { ready = true; };
    auto container = loop.run(runtime.start(spec_, output));
    if (!container) ::_exit(1);
    loop.run(eventually(loop.env().timers, [&ready] { return ready; }));
    if (frozen && !(*container)->freeze()) ::_exit(1);
    (void)!::write(ends[1], "r", 1);
    loop.run_for(1h);
    ::_exit(0);
  }
  ::close(ends[1]);
  char byte = 0;
  ASSERT_EQ(::read(ends[0], &byte, 1), 1);
  ::close(ends[0]);
  if (options_.support.memory_limit) {
    EXPECT_FALSE(groups_of(host).empty());
  }
  std::vector<int> pids;
  for (const std::string& group : groups_of(host)) {
    std::ifstream members(group + "/cgroup.procs");
    for (int pid = 0; members >> pid;) pids.push_back(pid);
  }
  if (options_.support.process_limit) {
    EXPECT_GE(pids.size(), 2u);
  }
  ::kill(host, SIGKILL);
  ::waitpid(host, nullptr, 0);
  EXPECT_TRUE(loop_.run(
      eventually(env_.timers, [&pids] { return std::all_of(pids.begin(), pids.end(), is_gone); })));
  EXPECT_TRUE(loop_.run(eventually(env_.timers, [host] { return groups_of(host).empty(); })));
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    EXPECT_EQ(line.find(folder_.path()), std::string::npos) << line;
  }
}

INSTANTIATE_TEST_SUITE_P(WithWhatRuns, KilledPlatform, testing::Bool(),
                         [](const auto& one) { return one.param ? "frozen" : "running"; });

}  // namespace
}  // namespace knative
