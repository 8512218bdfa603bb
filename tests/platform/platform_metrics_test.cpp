#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <vector>

#include "knative/platform.hpp"
#include "knative/simulation.hpp"
#include "support/paths.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

// What a platform in virtual time says about itself: docs/metrics.md lists the names.
class PlatformMetrics : public ::testing::Test {
 protected:
  PlatformMetrics() {
    functions_.http("hello", [](http::Request& request) {
      return request.query("fail", "").empty() ? http::text("hello")
                                               : http::error_response(503, "not now");
    });
    PlatformOptions options;
    options.listen.reset();
    platform_ = std::make_unique<Platform>(simulation_.env(), functions_, options);
  }
  void deploy(const AnyObject& object) {
    const ObjectRef ref = platform_->apply(object).value();
    simulation_.run(platform_->ready(ref)).value();
  }
  /// The Channel "orders" with the Subscription "to-hello".
  void deploy_channel() {
    deploy(eventing::channel("orders"));
    deploy(eventing::subscription("to-hello", "orders", "http://hello.default.svc.cluster.local"));
  }
  int call(const std::string& target) {
    http::Request request = http::get(target);
    return simulation_.run(platform_->invoke("hello", request)).value().status;
  }
  void publish(const std::string& to) {
    const CloudEvent ping("ping", "/test");
    simulation_.run(platform_->publish(to, ping)).value();
    simulation_.run_for(5s);
  }
  /// The value of the series whose labels are all in `labels` (sorted); -1 without it.
  double value(const std::string& name, const std::string& labels) {
    const std::string text = platform_->metrics_text();
    const std::string series = "\n" + name + "{" + labels + "} ";
    const std::size_t at = text.find(series);
    return at == std::string::npos ? -1 : std::stod(text.substr(at + series.size()));
  }

  Simulation simulation_{7};
  FunctionTable functions_;
  std::unique_ptr<Platform> platform_;
};

const std::string revision =
    "configuration_name=\"hello\",namespace_name=\"default\",revision_name=\"hello-00001\",";
const std::string of_hello = "service_name=\"hello\"";

std::string answered(const std::string& code) {
  return "configuration_name=\"hello\",namespace_name=\"default\",response_code=\"" + code +
         "\",response_code_class=\"" + code.substr(0, 1) +
         "xx\",revision_name=\"hello-00001\",service_name=\"hello\"";
}

TEST_F(PlatformMetrics, requests_are_counted_and_timed_by_code_under_the_names_of_knative) {
  deploy(serving::service("hello", "fn:hello"));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(call("/"), 200);
  EXPECT_EQ(call("/?fail=1"), 503);
  EXPECT_EQ(value("revision_request_count", answered("200")), 3);
  EXPECT_EQ(value("revision_request_count", answered("503")), 1);
  EXPECT_EQ(value("revision_request_latencies_count", answered("200")), 3);
  EXPECT_EQ(value("revision_queue_depth", revision + of_hello), 0);
  EXPECT_EQ(value("activator_request_concurrency", revision + of_hello), 0);
  EXPECT_EQ(value("knative_revision_waiting_requests", revision + of_hello), 0);
}

TEST_F(PlatformMetrics, the_autoscaler_shows_what_it_wants_and_sees) {
  deploy(serving::service("hello", "fn:hello"));
  EXPECT_EQ(value("autoscaler_actual_pods", revision + of_hello), 1);
  EXPECT_EQ(value("autoscaler_requested_pods", revision + of_hello), 1);
  EXPECT_EQ(value("autoscaler_target_concurrency_per_pod", revision + of_hello), 70);
  for (const char* name : {"autoscaler_desired_pods", "autoscaler_stable_request_concurrency",
                           "autoscaler_panic_request_concurrency", "autoscaler_panic_mode"}) {
    EXPECT_GE(value(name, revision + of_hello), 0) << name;
  }
  simulation_.run_for(5min);
  EXPECT_EQ(value("autoscaler_actual_pods", revision + of_hello), 0);
  EXPECT_EQ(value("autoscaler_requested_pods", revision + of_hello), 0);
}

TEST_F(PlatformMetrics, the_series_of_a_revision_go_with_it) {
  deploy(serving::service("hello", "fn:hello"));
  EXPECT_EQ(call("/"), 200);
  ASSERT_TRUE(platform_->remove(platform_->ref<serving::Service>("hello")));
  simulation_.run_for(1min);
  EXPECT_EQ(platform_->metrics_text().find("hello-00001"), std::string::npos)
      << platform_->metrics_text();
}

TEST_F(PlatformMetrics, events_are_counted_at_the_broker_and_by_trigger) {
  deploy(serving::service("hello", "fn:hello"));
  deploy(eventing::broker("default"));
  deploy(eventing::trigger("to-hello", "default", "http://hello.default.svc.cluster.local"));
  publish("default");
  EXPECT_EQ(value("mt_broker_ingress_event_count",
                  "broker_name=\"default\",namespace_name=\"default\",response_code=\"202\","
                  "response_code_class=\"2xx\""),
            1);
  const std::string trigger =
      "broker_name=\"default\",namespace_name=\"default\",response_code=\"200\","
      "response_code_class=\"2xx\",trigger_name=\"to-hello\"";
  EXPECT_EQ(value("mt_broker_filter_event_count", trigger), 1);
  EXPECT_EQ(value("mt_broker_filter_event_dispatch_latencies_count", trigger), 1);
  EXPECT_EQ(value("knative_broker_deliveries_total",
                  "broker_name=\"default\",namespace_name=\"default\",result=\"delivered\","
                  "trigger_name=\"to-hello\""),
            1);
  EXPECT_EQ(value("knative_broker_backlog_events",
                  "broker_name=\"default\",namespace_name=\"default\",trigger_name=\"to-hello\""),
            0);
}

/// The rows of tables in docs/metrics.md.
std::vector<std::string> documented() {
  std::ifstream file(testing_paths::source() + "/docs/metrics.md");
  std::vector<std::string> rows;
  for (std::string line; std::getline(file, line);) rows.push_back(line);
  return rows;
}

bool has(const std::vector<std::string>& rows, const std::string& name, const std::string& type) {
  return std::any_of(rows.begin(), rows.end(), [&](const std::string& row) {
    const bool same = row.find("| 〃 |") != row.npos;
    return row.find("`" + name + "`") != row.npos && (same || row.find(type) != row.npos);
  });
}

TEST_F(PlatformMetrics, every_name_label_and_result_is_in_the_document) {
  deploy(serving::service("hello", "fn:hello"));
  serving::Service rated = serving::service("rated", "fn:hello");
  rated.spec.template_.metadata.annotations["autoscaling.knative.dev/metric"] = "rps";
  deploy(rated);
  deploy(eventing::broker("default"));
  deploy(eventing::trigger("to-hello", "default", "http://hello.default.svc.cluster.local"));
  deploy_channel();
  publish("default");
  publish("orders");
  const std::vector<std::string> rows = documented();
  std::set<std::string> types;
  std::set<std::string> words;
  std::string text = platform_->metrics_text();
  for (std::size_t at = 0; at < text.size();) {
    const std::string line = text.substr(at, text.find('\n', at) - at);
    at += line.size() + 1;
    if (line.starts_with("# TYPE ")) {
      const std::string rest = line.substr(std::string("# TYPE ").size());
      const std::size_t space = rest.find(' ');
      EXPECT_TRUE(has(rows, rest.substr(0, space), rest.substr(space + 1))) << rest;
      types.insert(rest);
    }
    if (line.starts_with("#")) continue;
    for (std::size_t equals = line.find("=\""); equals != line.npos;
         equals = line.find("=\"", equals + 1)) {
      const std::size_t begin = line.find_last_of("{,", equals) + 1;
      const std::string label = line.substr(begin, equals - begin);
      if (label != "le") words.insert(label);
      const std::size_t value = equals + 2;
      if (label == "result") words.insert(line.substr(value, line.find('"', value) - value));
    }
  }
  EXPECT_GE(types.size(), 28u);
  for (const std::string& word : words) EXPECT_TRUE(has(rows, word, "")) << word;
  EXPECT_TRUE(words.contains("expired"));
}

TEST_F(PlatformMetrics, a_channel_counts_beside_a_broker_under_names_of_its_own) {
  deploy(serving::service("hello", "fn:hello"));
  deploy(eventing::broker("default"));
  deploy_channel();
  publish("orders");
  EXPECT_EQ(value("inmemorychannel_dispatcher_event_count",
                  "channel_name=\"orders\",namespace_name=\"default\",response_code=\"200\","
                  "response_code_class=\"2xx\",subscription_name=\"to-hello\""),
            1);
}

}  // namespace
}  // namespace knative
