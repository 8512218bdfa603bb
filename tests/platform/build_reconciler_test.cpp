// Builds that come and go: what is dropped in between.
#include "knative/build.hpp"
#include "platform/platform_fixture.hpp"

namespace knative {
namespace {

using namespace testing_platform;

class BuildReconciling : public PlatformFixture {
 protected:
  static build::Build image_of_nothing() {
    build::Build build;
    build.metadata.name = "b";
    build.spec.image = "local/b:1";
    build.spec.image_config.emplace();
    build.spec.image_config->entrypoint = {"/run"};
    return build;
  }
};

// Between any two turns: before its tasks have begun, and while they wait.
TEST_F(BuildReconciling, a_build_may_be_removed_in_any_turn) {
  for (int turns = 0; turns < 40; ++turns) {
    ASSERT_TRUE(platform_->apply(image_of_nothing()));
    for (int i = 0; i < turns; ++i) simulation_.step();
    remove<build::Build>("b");
  }
  apply(image_of_nothing());
  EXPECT_EQ(state<build::Build>("b", "Succeeded"), "True");
}

TEST_F(BuildReconciling, a_platform_may_stop_in_any_turn_of_a_build) {
  for (int turns = 0; turns < 40; ++turns) {
    begin({});
    ASSERT_TRUE(platform_->apply(image_of_nothing()));
    for (int i = 0; i < turns; ++i) simulation_.step();
    simulation_.run(platform_->stop());
  }
}

}  // namespace
}  // namespace knative
