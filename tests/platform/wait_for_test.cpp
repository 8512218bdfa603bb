// Waiting for an object while the history of the store goes past.
#include <gtest/gtest.h>

#include "knative/core.hpp"
#include "platform_fixture.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

core::ConfigMap config_map(std::string name, std::string value) {
  core::ConfigMap object;
  object.metadata.name = std::move(name);
  object.data["value"] = std::move(value);
  return object;
}

Task<void> wait_for_two(Platform& platform, ObjectRef ref, std::string& told) {
  std::function<bool(const AnyObject&)> is_two = [](const AnyObject& object) {
    return object.get<core::ConfigMap>().data.at("value") == "2";
  };
  const Result<AnyObject> found = co_await platform.wait_for(ref, is_two, 1h);
  told = found ? "there" : found.error().to_string();
}

class WaitFor : public testing_platform::PlatformFixture {
 protected:
  /// What somebody who waits for the value "2" of "a" is told after `change` and many others.
  std::string told(const std::function<void()>& change) {
    apply(config_map("a", "1"));
    std::string text;
    TaskSet tasks(simulation_.env().executor);
    tasks.add(wait_for_two(*platform_, platform_->ref<core::ConfigMap>("a"), text));
    simulation_.run_for(1s);
    change();
    for (int i = 0; i < 9'000; ++i) {
      platform_->apply(config_map("other-" + std::to_string(i), "1")).value();
    }
    simulation_.run_for(1min);
    return text;
  }
};

TEST_F(WaitFor, AChangeThatLeftTheHistoryIsSeen) {
  EXPECT_EQ(told([this] { platform_->apply(config_map("a", "2")).value(); }), "there");
}

TEST_F(WaitFor, AnObjectThatWentIsNotTakenForItsNamesake) {
  const std::string text = told([this] {
    platform_->remove(platform_->ref<core::ConfigMap>("a")).value();
    platform_->apply(config_map("a", "2")).value();
  });
  EXPECT_EQ(text, "not_found: ConfigMap default/a was deleted");
}

}  // namespace
}  // namespace knative
