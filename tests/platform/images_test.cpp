// Revisions and their images: what a tag meant when the Revision was made, roots of one's own, and
// what a platform that was killed has left.
#include <gmock/gmock.h>

#include "knative/build.hpp"
#include "knative/http_server.hpp"
#include "platform/platform_fixture.hpp"
#include "platform/scenario_world.hpp"

namespace knative {
namespace {

using namespace testing_platform;
using serving::Revision;

class ImagesTest : public PlatformFixture {
 protected:
  ImagesTest() {
    for (const std::string name : {"first", "second"}) {
      simulation_.add_program(
          name, [this, name](SimProcessContext& context) { return serve(context, name); });
    }
    begin({});
    platform_->start().value();
  }
  ~ImagesTest() override { platform_.reset(); }

  // Answers with its name and what it finds in its own image; "/write" leaves something there.
  struct Program final : http::Handler {
    Task<http::Response> handle(http::Request& request) override {
      Files& files = context->env().files;
      const std::string note = root + "/note";
      if (request.target == "/write") files.write_file(note, "mine").value();
      co_return http::text(name + (files.info(note) ? " with a note" : ""));
    }
    SimProcessContext* context = nullptr;
    std::string name;
    std::string root;
  };
  Task<int> serve(SimProcessContext& context, std::string name) {
    Program program;
    program.context = &context;
    program.name = name;
    const std::string& path = context.argv().at(0);
    program.root = path.substr(0, path.rfind('/'));
    roots_.push_back(program.root);
    const std::unique_ptr<http::Server> server = scenario::serve_port(context, program);
    if (!server) co_return 1;
    Wakeup never;
    co_await never.wait();
    co_return 0;
  }

  // A build's step that takes ten minutes.
  Task<Result<int>> write_slowly(std::string program) {
    co_await simulation_.env().timers.sleep_for(10min);
    simulation_.env().files.write_file(program, "#!first\n", 0755).value();
    co_return 0;
  }

  // Bind "local/tagged:1" to the image of this program.
  std::string tag(const std::string& program) {
    scenario::store_image(platform_->images(), program);
    const oci::Reference made = oci::Reference::parse("local/" + program).value();
    const oci::Descriptor manifest = platform_->images().resolve(made).value();
    const oci::Reference tagged = oci::Reference::parse("local/tagged:1").value();
    platform_->images().set_reference(tagged, manifest).value();
    return "local/tagged@" + manifest.digest.to_string();
  }
  void deploy(const std::string& note = "") {
    serving::Service service = serving::service("app", "local/tagged:1");
    if (!note.empty()) service.spec.template_.metadata.annotations["note"] = note;
    const ObjectRef ref = platform_->apply(service).value();
    const Result<void> ready = simulation_.run(platform_->ready(ref, 60s));
    ASSERT_TRUE(ready) << ready.error().to_string();
  }
  std::string digest_of(const std::string& revision) {
    const Revision object = get<Revision>(revision);
    if (object.status.container_statuses.size() != 1) return "no status";
    return object.status.container_statuses[0].image_digest;
  }

  std::vector<std::string> roots_;
};

TEST_F(ImagesTest, a_revision_goes_on_with_the_image_its_tag_meant_when_it_was_made) {
  const std::string old = tag("first");
  deploy();
  EXPECT_EQ(call("app"), "first");
  EXPECT_EQ(digest_of("app-00001"), old);
  const std::string rebuilt = tag("second");
  simulation_.run_for(10min);  // to zero: the next request starts a new instance
  EXPECT_EQ(platform_->scale("app"), 0);
  EXPECT_EQ(call("app"), "first");
  EXPECT_EQ(digest_of("app-00001"), old);
  deploy("another template");
  EXPECT_EQ(call("app"), "second");
  EXPECT_EQ(digest_of("app-00002"), rebuilt);
}

// In whichever turn of its making: the first choice counts, and nothing runs before it is kept.
TEST_F(ImagesTest, a_tag_that_moves_while_a_revision_is_made_does_not_change_its_code_later) {
  for (int turns = 0; turns < 30; ++turns) {
    tag("first");
    serving::Service service = serving::service("app", "local/tagged:1");
    service.spec.template_.metadata.annotations["note"] = std::to_string(turns);
    const ObjectRef ref = platform_->apply(service).value();
    for (int i = 0; i < turns; ++i) simulation_.step();
    tag("second");
    const Result<void> ready = simulation_.run(platform_->ready(ref, 60s));
    ASSERT_TRUE(ready) << ready.error().to_string();
    const std::string answer = call("app");
    simulation_.run_for(10min);  // to zero: the next request starts a new instance
    EXPECT_EQ(call("app"), answer) << "moved after " << turns << " turns";
    remove<serving::Service>("app");
  }
}

TEST_F(ImagesTest, two_instances_share_no_file_that_they_write) {
  tag("first");
  deploy();
  http::Request write = http::get("/write");
  EXPECT_EQ(simulation_.run(platform_->invoke("app", write))->body.bytes(), "first with a note");
  simulation_.run_for(10min);
  EXPECT_EQ(call("app"), "first") << "the next instance begins with the image as it was built";
  ASSERT_EQ(roots_.size(), 2u);
  EXPECT_NE(roots_[0], roots_[1]);
  EXPECT_FALSE(simulation_.env().files.info(roots_[0])) << "a root goes with its container";
}

TEST_F(ImagesTest, a_revision_waits_for_an_image_that_is_still_under_way) {
  serving::Service service = serving::service("app", "local/tagged:1");
  const ObjectRef ref = platform_->apply(service).value();
  simulation_.run_for(5s);
  EXPECT_THAT(message<Revision>("app-00001", "ContainerHealthy"),
              testing::HasSubstr("local/tagged:1"));
  tag("first");
  const Result<void> ready = simulation_.run(platform_->ready(ref, 10s));
  EXPECT_TRUE(ready) << ready.error().to_string();
}

// However long it takes: the Service is not said to have failed, and is ready when there is an
// image.
TEST_F(ImagesTest, a_revision_waits_for_the_build_that_makes_its_image) {
  functions_.program("slow", [this](const ContainerSpec& step, const ContainerOutput&) {
    return write_slowly(step.environment.at("WORKSPACE") + "/first");
  });
  build::Build build;
  build.metadata.name = "b";
  build.spec.timeout = 1h;
  build.spec.image = "local/tagged";
  build.spec.image_config.emplace();
  build.spec.image_config->entrypoint = {"/workspace/first"};
  build::Step step;
  step.name = "slow";
  step.image = "fn:slow";
  build.spec.steps = {step};
  const ObjectRef made = platform_->apply(build).value();
  const ObjectRef ref = platform_->apply(serving::service("app", "local/tagged:latest")).value();
  simulation_.run_for(5min);
  EXPECT_EQ(state<Revision>("app-00001", "ContainerHealthy"), "Unknown Deploying");
  EXPECT_THAT(message<Revision>("app-00001", "ContainerHealthy"), testing::HasSubstr("default/b"));
  const Result<void> built = simulation_.run(platform_->ready(made, 10min));
  ASSERT_TRUE(built) << built.error().to_string();
  const Result<void> ready = simulation_.run(platform_->ready(ref, 1s));
  EXPECT_TRUE(ready) << ready.error().to_string();
  EXPECT_EQ(call("app"), "first");
}

TEST_F(ImagesTest, a_root_that_nobody_waits_for_any_more_goes_whenever_that_is) {
  platform_.reset();
  PlatformOptions options;
  options.data_directory = "/data";
  begin(std::move(options));
  platform_->start().value();
  tag("first");
  deploy();  // its image is unpacked: from now on there are only clones to make
  remove<serving::Service>("app");
  serving::Service service = serving::service("app", "local/tagged:1");
  service.spec.template_.metadata.annotations["autoscaling.knative.dev/initial-scale"] = "1";
  for (int turns = 0; turns < 60; ++turns) {
    const ObjectRef ref = platform_->apply(service).value();
    for (int turn = 0; turn < turns; ++turn) simulation_.step();
    platform_->remove(ref).value();
    simulation_.run_for(2min);
    const Result<std::vector<FileInfo>> left = simulation_.env().files.list("/data/containers");
    EXPECT_TRUE(!left || left->empty()) << "removed after turn " << turns;
  }
}

// Also where the data directory itself is open to others: programs of sandboxes may be root there.
TEST_F(ImagesTest, what_containers_write_is_closed_to_other_users_of_this_machine) {
  platform_.reset();
  Files& files = simulation_.env().files;
  files.make_directories("/open").value();
  PlatformOptions options;
  options.data_directory = "/open";
  begin(std::move(options));
  platform_->start().value();
  for (const char* name : {"containers", "unpacked", "instances", "claims", "images"}) {
    const Result<FileInfo> folder = files.info(std::string("/open/") + name);
    ASSERT_TRUE(folder) << name;
    EXPECT_EQ(folder->mode & 0777, 0700u) << name;
  }
}

TEST_F(ImagesTest, what_a_killed_platform_left_is_swept_by_the_next_start) {
  Files& files = simulation_.env().files;
  for (const char* left : {"/data/builds/build-abc/workspace", "/data/images/.blob-xyz",
                           "/data/containers/container-1/root", "/data/unpacked/sha256-1"}) {
    files.make_directories(left).value();
    files.write_file(std::string(left) + "/data", "half").value();
  }
  files.write_file("/data/images/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}").value();
  files.write_file("/data/images/index.json", "{\"schemaVersion\":2,\"manifests\":[]}").value();
  files.make_directories("/tmp/knative-scratch-dead").value();
  files.lock("/tmp/knative-scratch-dead/.owner").value();
  PlatformOptions options;
  options.data_directory = "/data";
  begin(std::move(options));
  platform_->start().value();
  for (const char* gone : {"/data/builds/build-abc", "/data/images/.blob-xyz",
                           "/data/containers/container-1", "/data/unpacked/sha256-1"}) {
    EXPECT_FALSE(files.info(gone)) << gone;
  }
  begin({});
  platform_->start().value();
  EXPECT_FALSE(files.info("/tmp/knative-scratch-dead"));
}

}  // namespace
}  // namespace knative
