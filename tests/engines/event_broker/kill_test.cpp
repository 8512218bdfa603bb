// Kill -9 a broker again and again while it accepts events: every event that was answered with 202
// is delivered after a restart, or parked after exactly retry + 1 attempts that count. The same
// harness without sync must lose some, which proves that it would notice.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>

#include "knative/event_broker.hpp"
#include "knative/http_client.hpp"
#include "knative/http_server.hpp"
#include "support/paths.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

/// Takes what the broker delivers, slowly while it is told to.
class Collector final : public http::Handler {
 public:
  explicit Collector(Timers& timers) : timers_(timers) {}
  std::set<std::string> delivered;
  std::map<std::string, int> refused;  ///< How often each event of type poison was seen.
  std::uint64_t deliveries = 0;
  bool slow = true;

  Task<http::Response> handle(http::Request& request) override {
    if (request.path() == "/picky") co_return refuse(request);
    if (slow) co_await timers_.sleep_for(20ms);
    const Result<void> read = co_await request.body.read_all();
    const Result<CloudEvent> event = from_http(request);
    if (!read || !event) co_return http::error_response(400);
    delivered.insert(event->id());
    ++deliveries;
    co_return http::text("");
  }

 private:
  http::Response refuse(http::Request& request) {
    ++refused[std::string(request.headers.get("ce-id").value_or(""))];
    return http::error_response(503);
  }
  Timers& timers_;
};

class Harness {
 public:
  Harness(Env& env, bool durable) : env_(env), durable_(durable), collector(env.timers) {
    directory_ = env.files.make_temporary_directory("broker-kill").value();
    sink_ = std::make_unique<http::Server>(env.executor, env.timers, env.logger,
                                           env.network.listen(Endpoint()).value(), collector);
  }
  ~Harness() {
    process_.reset();
    (void)env_.files.remove_all(directory_);
  }

  /// Start the broker. False when it does not come up; then `refusal` may say why.
  Task<bool> start() {
    output_.clear();
    ProcessOptions options;
    options.argv = {testing_paths::binary() + "/tests/broker_killee", directory_,
                    durable_ ? "data" : "none",
                    "http://127.0.0.1:" + std::to_string(sink_->endpoint().port) + "/"};
    options.on_stdout = [this](std::string_view text) { output_ += text; };
    options.on_stderr = [](std::string_view text) {
      std::fprintf(stderr, "%.*s", static_cast<int>(text.size()), text.data());
    };
    process_ = env_.processes.spawn(options).value();
    const Instant deadline = env_.timers.now() + 20s;
    while (output_.find('\n') == std::string::npos) {
      if (env_.timers.now() > deadline) co_return false;
      co_await env_.timers.sleep_for(1ms);
    }
    if (output_.starts_with("refused ")) {
      refusal = output_.substr(8);
      co_return false;
    }
    Endpoint endpoint;
    endpoint.port = static_cast<std::uint16_t>(std::stoi(output_.substr(5)));
    client_ = std::make_unique<http::Client>(env_.executor, env_.timers, env_.network, endpoint);
    co_return true;
  }

  /// Publish from several tasks at once, and kill the broker at a random moment.
  Task<void> live_and_die(int life, Duration time) {
    TaskSet publishers(env_.executor);
    for (int p = 0; p < 8; ++p) {
      publishers.add(publish(std::to_string(life) + "-" + std::to_string(p) + "-"));
    }
    co_await env_.timers.sleep_for(time);
    process_->signal(9);
    const ExitStatus status = co_await process_->wait();
    EXPECT_EQ(status.signal, 9);
    // Answers that were sent before the kill still count.
    co_await env_.timers.sleep_for(2ms);
    publishers.clear();
    client_.reset();
  }

  /// Wait until the broker says that nothing is left to deliver. False after the deadline.
  Task<bool> drained(Duration limit = 60s) {
    collector.slow = false;
    const Instant deadline = env_.timers.now() + limit;
    while (env_.timers.now() < deadline) {
      http::Request request = http::get("/idle");
      http::Response response = co_await client_->handle(request);
      const Result<void> read = co_await response.body.read_all();
      if (read && response.body.bytes() == "yes") co_return true;
      co_await env_.timers.sleep_for(20ms);
    }
    co_return false;
  }

  std::size_t missing() const {
    std::size_t count = 0;
    for (const std::string& id : accepted) {
      if (!is_poison(id)) count += collector.delivered.contains(id) ? 0 : 1;
    }
    return count;
  }

  /// Every accepted event that nobody took is parked, once, after five attempts that count. Each
  /// kill repeats those that were being made, and only those. Yields how many it saw.
  Task<std::size_t> check_parked(int kills) {
    http::Request request = http::get("/parked");
    http::Response response = co_await client_->handle(request);
    const Result<void> read = co_await response.body.read_all();
    EXPECT_TRUE(read);
    std::map<std::string, int> parked;
    std::istringstream text{std::string(response.body.bytes())};
    std::string id;
    for (int attempts = 0; text >> id >> attempts;) {
      EXPECT_TRUE(parked.emplace(id, attempts).second) << id << " is parked twice";
      EXPECT_EQ(attempts, 5) << id;
      EXPECT_GE(collector.refused[id], 5) << id;
      EXPECT_LE(collector.refused[id], 5 + kills) << id;
      repeated += collector.refused[id] - 5;
    }
    for (const std::string& one : accepted) {
      EXPECT_TRUE(!is_poison(one) || parked.contains(one)) << one;
    }
    co_return parked.size();
  }
  int repeated = 0;  ///< Attempts that did not count, over all events.

  std::set<std::string> accepted;
  std::string refusal;

 private:
  static bool is_poison(const std::string& id) { return id.starts_with("poison-"); }

  Task<void> publish(std::string prefix) {
    for (int i = 0;; ++i) {
      const bool poison = i % 20 == 3;
      CloudEvent event(poison ? "poison" : "test", "/kill", {{"text", std::string(100, 'x')}});
      event.set_id((poison ? "poison-" : "") + prefix + std::to_string(i));
      http::Request request = to_http(event);
      const http::Response response = co_await client_->handle(request);
      if (response.status == 202) {
        accepted.insert(event.id());
      } else {
        co_await env_.timers.sleep_for(5ms);
      }
    }
  }

  Env& env_;
  bool durable_;
  std::string directory_;
  std::string output_;
  std::unique_ptr<http::Server> sink_;
  std::unique_ptr<Process> process_;
  std::unique_ptr<http::Client> client_;

 public:
  Collector collector;
};

Task<void> kill_many_times(Env& env, int kills, Random chance) {
  Harness harness(env, true);
  for (int life = 0; life < kills; ++life) {
    EXPECT_TRUE(co_await harness.start()) << "life " << life;
    if (testing::Test::HasFailure()) co_return;
    const Duration time(static_cast<std::int64_t>(chance.below(150'000'000)));
    co_await harness.live_and_die(life, time);
  }
  EXPECT_TRUE(co_await harness.start());
  EXPECT_TRUE(co_await harness.drained());
  EXPECT_EQ(harness.missing(), 0u);
  EXPECT_GT(harness.accepted.size(), static_cast<std::size_t>(kills));
  Task<std::size_t> checking = harness.check_parked(kills);
  const std::size_t parked = co_await std::move(checking);
  EXPECT_GT(parked, 0u);
  std::printf("parked %zu after 5 attempts each, and %d that did not count\n", parked,
              harness.repeated);
  std::printf("accepted %zu, delivered %zu in %llu deliveries\n", harness.accepted.size(),
              harness.collector.delivered.size(),
              static_cast<unsigned long long>(harness.collector.deliveries));
}

Task<std::size_t> lives_until_loss(Env& env, int kills, Random chance) {
  Harness harness(env, false);
  for (int life = 0; life < kills; ++life) {
    harness.collector.slow = true;
    EXPECT_TRUE(co_await harness.start());
    if (testing::Test::HasFailure()) co_return 0;
    const Duration time(static_cast<std::int64_t>(50'000'000 + chance.below(100'000'000)));
    co_await harness.live_and_die(life, time);
    if (!co_await harness.start()) {
      // A log that lost its middle says so, and where.
      EXPECT_NE(harness.refusal.find("data_loss"), std::string::npos) << harness.refusal;
      EXPECT_NE(harness.refusal.find(".segment at byte "), std::string::npos) << harness.refusal;
      std::printf("%s", harness.refusal.c_str());
      co_return harness.missing();
    }
    EXPECT_TRUE(co_await harness.drained());
    if (harness.missing() > 0) co_return harness.missing();
    co_await harness.live_and_die(life + 1000, 1ms);
  }
  co_return 0;
}

TEST(BrokerKill, delivers_every_accepted_event_after_a_hundred_kills) {
  LoopOptions options;
  options.log_sink = [](const LogRecord&) {};
  Loop loop(options);
  const std::uint64_t seed = loop.env().random();
  SCOPED_TRACE("seed " + std::to_string(seed));
  loop.run(kill_many_times(loop.env(), 100, Random(seed)));
}

TEST(BrokerKill, the_same_harness_sees_the_loss_when_commits_are_not_synced) {
  LoopOptions options;
  options.log_sink = [](const LogRecord&) {};
  Loop loop(options);
  const std::size_t lost = loop.run(lives_until_loss(loop.env(), 20, Random(7)));
  EXPECT_GT(lost, 0u);
  std::printf("lost %zu accepted events\n", lost);
}

}  // namespace
}  // namespace knative
