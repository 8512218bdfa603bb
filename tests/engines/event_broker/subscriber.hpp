// What tests of brokers share.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "knative/event_broker.hpp"

namespace knative::testing_broker {

/// A subscriber that does as it is told and remembers what it saw.
class Subscriber final : public Sink {
 public:
  explicit Subscriber(Timers& timers) : timers_(timers) {}

  std::vector<CloudEvent> seen;
  std::vector<Instant> times;
  std::vector<int> statuses;  ///< Of the next attempts; then 202.
  std::optional<CloudEvent> reply;
  std::string body;
  std::optional<Duration> retry_after;
  Duration takes{0};
  bool throws = false;
  int running = 0;
  int running_max = 0;

  Task<Result<Reply>> deliver(const CloudEvent&) override { co_return Reply(); }
  Task<DeliveryAttempt> attempt(const CloudEvent& event) override {
    struct Count {
      int& of;
      explicit Count(int& counter) : of(counter) { ++of; }
      ~Count() { --of; }
    };
    const Count count(running);
    running_max = std::max(running_max, running);
    seen.push_back(event);
    times.push_back(timers_.now());
    if (throws) throw std::runtime_error("a bug in the handler");
    if (takes > Duration(0)) co_await timers_.sleep_for(takes);
    DeliveryAttempt attempt;
    attempt.status = 202;
    if (!statuses.empty()) {
      attempt.status = statuses.front();
      statuses.erase(statuses.begin());
    }
    attempt.retry_after = retry_after;
    if (attempt.ok()) {
      attempt.reply = reply;
    } else {
      attempt.body = body;
    }
    co_return attempt;
  }

 private:
  Timers& timers_;
};

/// A sink that the test owns.
inline std::shared_ptr<Sink> lent(Sink& sink) { return {std::shared_ptr<void>(), &sink}; }

inline CloudEvent event(const std::string& id, const std::string& type = "test") {
  CloudEvent made(type, "/tests", {{"n", 1}});
  made.set_id(id);
  return made;
}

inline std::vector<std::string> ids(const std::vector<CloudEvent>& events) {
  std::vector<std::string> found;
  for (const CloudEvent& one : events) found.push_back(one.id());
  return found;
}

}  // namespace knative::testing_broker
