// What tests of reconcilers share: a platform in virtual time, and what its objects say.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "knative/platform.hpp"
#include "knative/simulation.hpp"

namespace knative::testing_platform {

using namespace std::chrono_literals;

/// Ids of events, as somebody got them.
using Ids = std::vector<std::string>;

inline Ids sorted(Ids ids) {
  std::sort(ids.begin(), ids.end());
  return ids;
}

/// The store of a platform as an older version with other rules could have left it.
inline Result<std::unique_ptr<Store>> store_without_rules(Env& env, StoreOptions options) {
  options.admission = [](AnyObject&, const AnyObject*) -> Result<void> { return {}; };
  return memory_store(env.timers, env.random, std::move(options));
}

/// A reference to an object of kind `T`.
template <class T>
eventing::Destination to(const std::string& name, const std::string& namespace_ = "",
                         const std::string& uri = "") {
  eventing::Destination destination;
  destination.ref = eventing::KReference{.api_version = std::string(T::api_version),
                                         .kind = std::string(T::kind),
                                         .namespace_ = namespace_,
                                         .name = name};
  destination.uri = uri;
  return destination;
}

class PlatformFixture : public ::testing::Test {
 protected:
  explicit PlatformFixture(std::uint64_t seed = 7) : simulation_(seed) { begin({}); }

  /// A platform without listener in the place of the one before.
  void begin(PlatformOptions options) {
    options.listen.reset();
    platform_.reset();
    platform_ = std::make_unique<Platform>(simulation_.env(), functions_, std::move(options));
  }
  /// Apply and let the controllers come to rest.
  void apply(const AnyObject& object) {
    const Result<ObjectRef> ref = platform_->apply(object);
    ASSERT_TRUE(ref) << ref.error().to_string();
    simulation_.run_for(5s);
  }
  template <class T>
  void remove(const std::string& name) {
    const Result<void> removed = platform_->remove(platform_->ref<T>(name));
    ASSERT_TRUE(removed) << removed.error().to_string();
    simulation_.run_for(5s);
  }
  template <class T>
  T get(const std::string& name) {
    return platform_->get<T>(name).value();
  }
  template <class T>
  Condition condition(const std::string& name, std::string_view type) {
    const T object = get<T>(name);
    const Condition* found = find_condition(object.status.conditions, type);
    return found == nullptr ? Condition{} : *found;
  }
  /// "False NotOwned", "True".
  template <class T>
  std::string state(const std::string& name, std::string_view type = "Ready") {
    const Condition found = condition<T>(name, type);
    return found.reason.empty() ? found.status : found.status + " " + found.reason;
  }
  template <class T>
  std::string message(const std::string& name, std::string_view type = "Ready") {
    return condition<T>(name, type).message;
  }
  std::string call(const std::string& service) {
    http::Request request = http::get("/");
    const http::Response response = simulation_.run(platform_->invoke(service, request)).value();
    return response.ok() ? std::string(response.body.bytes()) : std::to_string(response.status);
  }
  void publish(const std::string& to) {
    const CloudEvent ping("ping", "/test");
    const Result<Offset> sent = simulation_.run(platform_->publish(to, ping));
    ASSERT_TRUE(sent) << sent.error().to_string();
    simulation_.run_for(5s);
  }
  /// How often the store was written in the next minute.
  long long writes_of_a_minute() {
    const long long before = std::stoll(platform_->store().resource_version());
    simulation_.run_for(1min);
    return std::stoll(platform_->store().resource_version()) - before;
  }

  Simulation simulation_;
  FunctionTable functions_;
  std::unique_ptr<Platform> platform_;
};

}  // namespace knative::testing_platform
