// Where events go while Triggers, Subscriptions and their destinations change, and where they end.
#include <algorithm>
#include <map>
#include <set>

#include "platform/platform_fixture.hpp"

namespace knative {
namespace {

using namespace testing_platform;
using eventing::Broker;
using eventing::Channel;
using eventing::Destination;
using eventing::Trigger;
using Subscribed = eventing::Subscription;

// What was sent to a host that is not ours.
class Outside {
 public:
  Outside(Simulation& simulation, const std::string& host, std::uint16_t port)
      : handler_(http::make_handler([this](http::Request& request) {
          hosts.emplace_back(request.headers.get("host").value_or(""));
          hops = std::string(request.headers.get("ce-knativebrokerttl").value_or(""));
          return http::Response{.status = 202};
        })),
        server_(simulation.env().executor, simulation.env().timers, simulation.env().logger,
                listen(simulation, Endpoint{host, port, {}}), *handler_) {}
  std::vector<std::string> hosts;
  std::string hops;

 private:
  static std::unique_ptr<Listener> listen(Simulation& simulation, const Endpoint& endpoint) {
    return simulation.host(endpoint.host).env().network.listen(endpoint).value();
  }
  std::unique_ptr<http::Handler> handler_;
  http::Server server_;
};

class EventingDelivery : public PlatformFixture {
 protected:
  EventingDelivery() {
    for (const std::string name : {"one", "two", "letters"}) {
      functions_.http(name, [this, name](http::Request& request) {
        seen_[name].emplace_back(request.headers.get("ce-id").value_or(""));
        fields_[name] = request.headers;
        const int status = status_.contains(name) ? status_[name] : 202;
        return http::Response{.status = status};
      });
    }
  }
  void begin_on_disk() {
    PlatformOptions options;
    options.data_directory = "/data";
    begin(std::move(options));
  }
  void begin_world() {
    for (const char* name : {"one", "two", "letters"}) {
      apply(serving::service(name, std::string("fn:") + name));
    }
    apply(eventing::broker("default"));
  }
  void send(const std::string& id, const std::string& type = "ping",
            const std::string& broker = "default") {
    CloudEvent event(type, "/test");
    event.set_id(id);
    simulation_.run(platform_->publish(broker, event)).value();
  }
  static Trigger trigger_to(const Destination& subscriber) {
    Trigger made = eventing::trigger("t", "default", "");
    made.spec.subscriber = subscriber;
    made.spec.delivery = eventing::DeliverySpec{};
    made.spec.delivery->retry = 3;
    made.spec.delivery->backoff_delay = "PT1S";
    made.spec.delivery->dead_letter_sink = to<serving::Service>("letters");
    return made;
  }
  static Trigger trigger_to(const std::string& service) {
    return trigger_to(to<serving::Service>(service));
  }
  static Destination at(const std::string& uri) {
    Destination destination;
    destination.uri = uri;
    return destination;
  }
  static Channel channel(const std::string& name = "orders") {
    Channel made;
    made.metadata.name = name;
    return made;
  }
  static Subscribed subscription_to(const std::string& service) {
    Subscribed made;
    made.metadata.name = "s";
    made.spec.channel = {
        .api_version = "messaging.knative.dev/v1", .kind = "Channel", .name = "orders"};
    made.spec.subscriber = to<serving::Service>(service);
    return made;
  }
  std::string metric(std::string_view name) {
    const std::string text = platform_->metrics_text();
    std::string found;
    for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
      if (at == 0 || text[at - 1] == '\n') found += text.substr(at, text.find('\n', at) - at + 1);
    }
    return found;
  }

  std::map<std::string, Ids> seen_;
  std::map<std::string, int> status_;
  std::map<std::string, http::Headers> fields_;
};

// ---------------------------------------------------------------------------- generations

TEST_F(EventingDelivery, a_trigger_changed_to_what_does_not_exist_delivers_nothing_until_it_does) {
  begin_world();
  apply(trigger_to("one"));
  apply(trigger_to("later"));
  for (int i = 0; i < 3; ++i) send(std::to_string(i));
  simulation_.run_for(10min);
  EXPECT_TRUE(seen_["one"].empty());
  EXPECT_TRUE(seen_["letters"].empty());
  apply(serving::service("later", "fn:two"));
  simulation_.run_for(1min);
  EXPECT_TRUE(seen_["one"].empty());
  EXPECT_EQ(sorted(seen_["two"]), (Ids{"0", "1", "2"}));
}

TEST_F(EventingDelivery, what_waits_for_a_service_is_not_sent_before_its_route_leads_there) {
  begin_world();
  Trigger once = trigger_to("one");
  once.spec.delivery->retry = 0;
  apply(once);
  once.spec.subscriber = to<serving::Service>("later");
  platform_->apply(once).value();
  for (int i = 0; i < 3; ++i) send(std::to_string(i));
  simulation_.run_for(1s);
  apply(serving::service("later", "fn:two"));
  simulation_.run_for(1min);
  EXPECT_TRUE(seen_["one"].empty());
  EXPECT_TRUE(seen_["letters"].empty());
  EXPECT_EQ(sorted(seen_["two"]), (Ids{"0", "1", "2"}));
}

TEST_F(EventingDelivery, an_update_that_breaks_only_the_dead_letter_sink_delivers_nothing_either) {
  begin_world();
  apply(trigger_to("one"));
  Trigger broken = trigger_to("two");
  broken.spec.delivery->dead_letter_sink = to<serving::Service>("later");
  apply(broken);
  send("1");
  simulation_.run_for(10min);
  EXPECT_TRUE(seen_["one"].empty());
  EXPECT_TRUE(seen_["two"].empty());
  apply(serving::service("later", "fn:letters"));
  simulation_.run_for(1min);
  EXPECT_EQ(seen_["two"], (Ids{"1"}));
}

TEST_F(EventingDelivery, a_filter_counts_from_the_turn_in_which_it_is_applied) {
  begin_world();
  apply(trigger_to("one"));
  Trigger other = trigger_to("two");
  other.spec.filter = eventing::TriggerFilter{{{"type", "wanted"}}};
  platform_->apply(other).value();
  send("1", "unwanted");
  send("2", "wanted");
  simulation_.run_for(1min);
  EXPECT_TRUE(seen_["one"].empty());
  EXPECT_EQ(seen_["two"], (Ids{"2"}));
}

TEST_F(EventingDelivery, a_subscription_changed_to_what_does_not_exist_waits_as_a_trigger_does) {
  begin_world();
  apply(channel());
  apply(subscription_to("one"));
  apply(subscription_to("later"));
  send("1", "ping", "orders");
  simulation_.run_for(10min);
  EXPECT_TRUE(seen_["one"].empty());
  apply(serving::service("later", "fn:two"));
  simulation_.run_for(1min);
  EXPECT_TRUE(seen_["one"].empty());
  EXPECT_EQ(seen_["two"], (Ids{"1"}));
}

TEST_F(EventingDelivery, events_in_retry_go_on_by_the_terms_of_an_update) {
  begin_world();
  status_["one"] = 500;
  status_["two"] = 500;
  apply(trigger_to("one"));
  for (int i = 0; i < 10; ++i) send(std::to_string(i), "a");
  simulation_.run_for(500ms);
  ASSERT_EQ(seen_["one"].size(), 10u);
  apply(trigger_to("two"));
  simulation_.run_for(10min);
  EXPECT_EQ(seen_["one"].size(), 10u);
  EXPECT_EQ(seen_["two"].size(), 30u) << "with the attempts that they have left";
  EXPECT_EQ(std::set<std::string>(seen_["letters"].begin(), seen_["letters"].end()).size(), 10u);
  EXPECT_NE(metric("knative_broker_deliveries_total")
                .find("result=\"dead_lettered\",trigger_name=\"t\"} 10"),
            std::string::npos)
      << metric("knative_broker_deliveries_total");
}

TEST_F(EventingDelivery, events_in_retry_that_a_changed_filter_does_not_want_are_counted) {
  begin_world();
  status_["one"] = 500;
  apply(trigger_to("one"));
  for (int i = 0; i < 10; ++i) send(std::to_string(i), "a");
  Trigger other = trigger_to("two");
  other.spec.filter = eventing::TriggerFilter{{{"type", "z"}}};
  simulation_.run_for(500ms);
  apply(other);
  simulation_.run_for(10min);
  EXPECT_TRUE(seen_["two"].empty());
  EXPECT_TRUE(seen_["letters"].empty());
  EXPECT_NE(
      metric("knative_broker_deliveries_total").find("result=\"filtered\",trigger_name=\"t\"} 10"),
      std::string::npos)
      << metric("knative_broker_deliveries_total");
}

TEST_F(EventingDelivery, an_event_whose_subscriber_was_removed_ends_as_a_dead_letter) {
  begin_on_disk();
  begin_world();
  status_["one"] = 500;
  Trigger patient = trigger_to("one");
  patient.spec.delivery->backoff_delay = "PT10S";
  apply(patient);
  send("1");
  simulation_.run_for(1s);
  platform_->remove(platform_->ref<serving::Service>("one")).value();
  simulation_.run_for(1s);
  simulation_.run(platform_->stop());
  begin_on_disk();
  ASSERT_TRUE(platform_->start());
  simulation_.run_for(1h);
  EXPECT_EQ(state<Trigger>("t", "SubscriberResolved"), "False Unable to get the Subscriber's URI");
  EXPECT_EQ(seen_["letters"], (Ids{"1"}));
}

TEST_F(EventingDelivery, delivery_without_retry_allows_one_attempt_as_knatives_does) {
  begin_world();
  status_["one"] = 500;
  Trigger once = trigger_to("one");
  once.spec.delivery = eventing::DeliverySpec{};
  once.spec.delivery->backoff_policy = "linear";
  apply(once);
  send("1");
  simulation_.run_for(1h);
  EXPECT_EQ(seen_["one"].size(), 1u);
  Trigger by_default = trigger_to("one");
  by_default.spec.delivery.reset();
  apply(by_default);
  send("2");
  simulation_.run_for(24h);
  EXPECT_EQ(seen_["one"].size(), 12u);
}

TEST_F(EventingDelivery, a_letter_about_an_empty_answer_holds_no_error_data) {
  begin_world();
  status_["one"] = 500;
  apply(trigger_to("one"));
  send("1");
  simulation_.run_for(1h);
  ASSERT_EQ(seen_["letters"], (Ids{"1"}));
  EXPECT_EQ(fields_["letters"].get("ce-knativeerrorcode"), "500");
  EXPECT_FALSE(fields_["letters"].has("ce-knativeerrordata"));
}

TEST_F(EventingDelivery, a_letter_about_a_subscriber_that_is_not_reached_tells_no_word_of_ours) {
  begin_world();
  Outside plain(simulation_, "plain.example.com", 443);
  for (const std::string& url :
       {std::string("http://nobody.example.com/in"), std::string("https://plain.example.com/in")}) {
    seen_["letters"].clear();
    apply(trigger_to(at(url)));
    send("1");
    simulation_.run_for(1h);
    ASSERT_EQ(seen_["letters"], (Ids{"1"})) << url;
    EXPECT_EQ(fields_["letters"].get("ce-knativeerrordest"), url);
    EXPECT_EQ(fields_["letters"].get("ce-knativeerrorcode"), "502");
    EXPECT_FALSE(fields_["letters"].has("ce-knativeerrordata"))
        << *fields_["letters"].get("ce-knativeerrordata");
  }
}

TEST_F(EventingDelivery, a_backoff_of_ten_minutes_is_ten_minutes) {
  begin_world();
  status_["one"] = 500;
  Trigger slow = trigger_to("one");
  slow.spec.delivery->retry = 2;
  slow.spec.delivery->backoff_policy = "linear";
  slow.spec.delivery->backoff_delay = "PT10M";
  apply(slow);
  send("1");
  simulation_.run_for(7min);  // with jitter at least 8 minutes
  EXPECT_EQ(seen_["one"].size(), 1u);
  simulation_.run_for(6min);  // and at most 12
  EXPECT_EQ(seen_["one"].size(), 2u);
  simulation_.run_for(25min);
  EXPECT_EQ(seen_["one"].size(), 3u);

  slow.spec.delivery->backoff_delay = "P1M";
  slow.spec.delivery->retry = 100;
  slow.spec.delivery->backoff_policy = "exponential";
  apply(slow);
  seen_["one"].clear();
  send("2");
  simulation_.run_for(20 * 24h);
  EXPECT_EQ(seen_["one"].size(), 1u);
}

TEST_F(EventingDelivery, a_delivery_of_format_json_is_sent_in_structured_mode) {
  begin_world();
  std::vector<std::pair<std::string, std::string>> got;  // content type and body
  functions_.http("whole", [&got](http::Request& request) {
    got.emplace_back(request.headers.get("content-type").value_or(""), request.body.bytes());
    EXPECT_FALSE(request.headers.has("ce-id"));
    return http::Response{.status = 500};
  });
  apply(serving::service("whole", "fn:whole"));
  Trigger whole = trigger_to("whole");
  whole.spec.delivery->format = "json";
  whole.spec.delivery->retry = 0;
  apply(whole);
  EXPECT_EQ(message<Trigger>("t", "Warnings"), "");
  send("1");
  simulation_.run_for(1min);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_TRUE(got[0].first.starts_with("application/cloudevents+json")) << got[0].first;
  const Result<CloudEvent> event = event_from_json(got[0].second);
  ASSERT_TRUE(event) << got[0].second;
  EXPECT_EQ(event->id(), "1");
  EXPECT_EQ(event->extension("knativebrokerttl"), nullptr) << "a function is not told the hops";
  // The dead letter travels alike.
  EXPECT_TRUE(fields_["letters"].get("content-type")->starts_with("application/cloudevents+json"));
  whole.spec.delivery->format = "binary";
  whole.spec.subscriber = to<serving::Service>("one");
  apply(whole);
  send("2");
  simulation_.run_for(1min);
  EXPECT_EQ(seen_["one"], (Ids{"2"}));
}

// ---------------------------------------------------------------------------- loops

TEST_F(EventingDelivery, brokers_that_deliver_to_each_other_end_at_the_hop_limit) {
  begin_world();
  apply(eventing::broker("other"));
  Trigger there = trigger_to(to<Broker>("other"));
  Trigger back = trigger_to(to<Broker>("default"));
  back.metadata.name = "back";
  back.spec.broker = "other";
  apply(there);
  apply(back);
  send("1");
  simulation_.run_for(1h);
  EXPECT_EQ(seen_["letters"], (Ids{"1"}));
  EXPECT_EQ(fields_["letters"].get("ce-knativeerrorcode"), "400");
  EXPECT_FALSE(fields_["letters"].has("ce-knativebrokerttl"));
  const std::string counted = metric("knative_broker_hops_exhausted_total");
  EXPECT_NE(counted.find("} 1"), std::string::npos) << counted;
}

Task<Reply> publish_again(Platform& platform, const char* to, int& passed) {
  ++passed;
  CloudEvent event("ping", to);
  const Result<Offset> published = co_await platform.publish(to, event);
  if (!published) throw std::runtime_error(published.error().detail);
  co_return Reply();
}

TEST_F(EventingDelivery, brokers_whose_subscribers_publish_to_each_other_end_in_a_dead_letter) {
  begin_world();
  apply(eventing::broker("other"));
  for (const char* name : {"default", "other"}) {
    Broker broker = eventing::broker(name);
    broker.spec.delivery = trigger_to("one").spec.delivery;
    apply(broker);
  }
  int passed = 0;
  Platform& platform = *platform_;
  const auto one = platform.subscribe("default", Filter(), [&](const CloudEvent&) {
    return publish_again(platform, "other", passed);
  });
  const auto other = platform.subscribe("other", Filter(), [&](const CloudEvent&) {
    return publish_again(platform, "default", passed);
  });
  send("1");
  simulation_.run_for(1h);
  EXPECT_EQ(seen_["letters"].size(), 1u);
  EXPECT_LE(passed, 64);
}

TEST_F(EventingDelivery, a_channel_whose_replies_come_back_to_it_ends_at_the_hop_limit) {
  begin_world();
  int calls = 0;
  functions_.http("echo", [&calls](http::Request&) {
    ++calls;
    CloudEvent again("ping", "/echo");
    again.set_id(std::to_string(calls));
    return to_http_response(again);
  });
  apply(serving::service("echo", "fn:echo"));
  apply(channel());
  Subscribed round = subscription_to("echo");
  round.spec.reply = to<Channel>("orders");
  round.spec.delivery = trigger_to("one").spec.delivery;
  apply(round);
  send("0", "ping", "orders");
  simulation_.run_for(1h);
  EXPECT_GE(calls, 255);
  EXPECT_LE(calls, 300);
  EXPECT_EQ(seen_["letters"].size(), 1u);
}

TEST_F(EventingDelivery, replies_that_go_round_end_as_a_dead_letter_at_the_hop_limit) {
  begin_world();
  int calls = 0;
  functions_.http("echo", [&calls](http::Request&) {
    ++calls;
    CloudEvent again("ping", "/echo");
    again.set_id("reply-" + std::to_string(calls));
    return to_http_response(again);
  });
  apply(serving::service("echo", "fn:echo"));
  apply(trigger_to("echo"));
  send("0");
  simulation_.run_for(1h);
  EXPECT_EQ(calls, 255);
  EXPECT_EQ(seen_["letters"], (Ids{"reply-255"}));
}

// ---------------------------------------------------------------------------- hosts

TEST_F(EventingDelivery, the_broker_ingress_of_another_cluster_is_not_ours) {
  begin_world();
  const std::string host = "broker-ingress.knative-eventing.cluster-two.example.com";
  Outside outside(simulation_, host, 80);
  apply(trigger_to(at("http://" + host + "/default/default")));
  send("1");
  simulation_.run_for(1min);
  EXPECT_EQ(outside.hosts, (Ids{host}));
  EXPECT_EQ(outside.hops, "255");
  EXPECT_EQ(seen_["letters"], Ids());
}

TEST_F(EventingDelivery, a_host_of_ours_at_the_port_of_somebody_else_is_not_ours) {
  begin_world();
  const std::string host = "broker-ingress.knative-eventing.localhost";
  Outside outside(simulation_, host, 9999);
  apply(trigger_to(at("http://" + host + ":9999/default/default")));
  send("1");
  simulation_.run_for(1min);
  EXPECT_EQ(outside.hosts, (Ids{host + ":9999"}));
}

TEST_F(EventingDelivery, the_usual_address_of_a_broker_in_a_cluster_is_ours) {
  begin_world();
  apply(eventing::broker("other"));
  apply(trigger_to(at("http://broker-ingress.knative-eventing.svc.cluster.local/default/other")));
  Trigger end = trigger_to("one");
  end.metadata.name = "end";
  end.spec.broker = "other";
  apply(end);
  send("1");
  simulation_.run_for(1min);
  EXPECT_EQ(seen_["one"], (Ids{"1"}));
}

TEST_F(EventingDelivery, a_service_may_be_named_broker_ingress) {
  apply(serving::service("broker-ingress", "fn:one"));
  ASSERT_EQ(state<serving::Service>("broker-ingress"), "True");
  http::Request request = http::get("/");
  const http::Response answer =
      simulation_.run(platform_->invoke("broker-ingress", request)).value();
  EXPECT_EQ(answer.status, 202);
  EXPECT_EQ(seen_["one"].size(), 1u);
}

TEST_F(EventingDelivery, three_hundred_destinations_at_once_lose_nothing) {
  begin_world();
  std::vector<std::unique_ptr<Outside>> outside;
  for (int i = 0; i < 300; ++i) {
    const std::string host = "sink-" + std::to_string(i) + ".example.com";
    outside.push_back(std::make_unique<Outside>(simulation_, host, std::uint16_t{80}));
    Trigger one = trigger_to(at("http://" + host + "/"));
    one.metadata.name = "t" + std::to_string(i);
    one.spec.delivery->retry = 0;
    platform_->apply(one).value();
  }
  simulation_.run_for(5s);
  send("1");
  simulation_.run_for(1min);
  for (const auto& sink : outside) EXPECT_EQ(sink->hosts.size(), 1u);
  EXPECT_TRUE(seen_["letters"].empty());
}

TEST_F(EventingDelivery, a_subscriber_over_https_is_never_sent_to_in_clear_text) {
  begin_world();
  Outside outside(simulation_, "secret.example.com", 443);
  apply(trigger_to(at("https://secret.example.com/secret")));
  send("1");
  simulation_.run_for(10min);
  EXPECT_TRUE(outside.hosts.empty());
  EXPECT_EQ(seen_["letters"], (Ids{"1"}));
}

TEST_F(EventingDelivery, a_post_that_is_half_sent_when_its_broker_is_removed_is_refused) {
  PlatformOptions options;
  platform_.reset();
  options.listen = Endpoint{"127.0.0.1", 8080, {}};
  platform_ = std::make_unique<Platform>(simulation_.env(), functions_, options);
  apply(eventing::broker("default"));
  auto talk = [](Env& env, Platform& platform, std::string& answer) -> Task<void> {
    const Endpoint door{"127.0.0.1", 8080, {}};
    Result<std::unique_ptr<Stream>> stream = co_await env.network.connect(door);
    const std::string first =
        "POST /default/default HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        "ce-id: 1\r\nce-type: ping\r\nce-source: /test\r\nce-specversion: 1.0\r\n"
        "Content-Length: 10\r\n\r\n{\"a";
    (co_await (*stream)->write_all(first)).value();
    co_await env.timers.sleep_for(1s);
    platform.remove(platform.ref<Broker>("default")).value();
    co_await env.timers.sleep_for(1s);
    const std::string rest = "\":\"xyz\"";
    const Result<std::size_t> written = co_await (*stream)->write_all(rest);
    static_cast<void>(written);
    char buffer[1000];
    const Result<std::size_t> got = co_await (*stream)->read_some(buffer);
    answer.assign(buffer, got ? *got : 0);
  };
  std::string answer;
  simulation_.run(talk(simulation_.env(), *platform_, answer));
  const std::string status = answer.substr(0, std::string("HTTP/1.1 503").size());
  EXPECT_TRUE(status == "HTTP/1.1 503" || status == "HTTP/1.1 404") << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos) << answer;
}

// ---------------------------------------------------------------------------- kinds and classes

TEST_F(EventingDelivery, a_broker_of_another_class_is_left_alone_and_says_so) {
  Broker foreign = eventing::broker("default");
  foreign.metadata.annotations["eventing.knative.dev/broker.class"] = "Kafka";
  apply(foreign);
  EXPECT_EQ(state<Broker>("default"), "False BrokerClassNotServed");
  EXPECT_NE(message<Broker>("default").find("Kafka"), std::string::npos);
  CloudEvent event("ping", "/test");
  EXPECT_EQ(simulation_.run(platform_->publish("default", event)).error().code, Errc::not_found);
}

TEST_F(EventingDelivery, a_subscription_to_a_channel_of_another_kind_is_not_ready) {
  begin_world();
  apply(channel());
  Subscribed foreign = subscription_to("one");
  foreign.spec.channel.api_version = "messaging.knative.dev/v1beta1";
  foreign.spec.channel.kind = "KafkaChannel";
  apply(foreign);
  EXPECT_EQ(state<Subscribed>("s", "ChannelReady").substr(0, 5), "False");
  EXPECT_NE(message<Subscribed>("s", "ChannelReady").find("KafkaChannel"), std::string::npos)
      << message<Subscribed>("s", "ChannelReady");
  send("1", "ping", "orders");
  simulation_.run_for(1min);
  EXPECT_TRUE(seen_["one"].empty());
}

TEST_F(EventingDelivery, a_channel_of_a_long_name_has_a_host_that_dns_takes) {
  begin_world();
  const std::string name = std::string(59, 'c') + "-one";
  const std::string twin = std::string(59, 'c') + "-two";
  apply(channel(name));
  apply(channel(twin));
  std::set<std::string> labels;
  for (const std::string& one : {name, twin}) {
    ASSERT_EQ(state<Channel>(one), "True") << message<Channel>(one);
    const http::Url url = http::Url::parse(get<Channel>(one).status.address->url).value();
    const std::string label = url.host.substr(0, url.host.find('.'));
    EXPECT_LE(label.size(), 63u) << label;
    labels.insert(label);
    CloudEvent event("ping", "/test");
    event.set_id("1");
    http::Request request = to_http(event, ContentMode::binary, "/");
    request.headers.set("host", url.host);
    EXPECT_EQ(simulation_.run(platform_->ingress().handle(request)).status, 202);
  }
  EXPECT_EQ(labels.size(), 2u);
  const Result<ObjectRef> dotted = platform_->apply(channel("two.labels"));
  ASSERT_FALSE(dotted);
  EXPECT_NE(dotted.error().detail.find("metadata.name"), std::string::npos)
      << dotted.error().detail;
}

TEST_F(EventingDelivery, nobody_subscribes_to_a_broker_that_is_not_there) {
  const auto ignore = [](const CloudEvent&) -> Task<Reply> { co_return Reply(); };
  const Result<EventSubscription> none = platform_->subscribe("nobody", Filter(), ignore);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Errc::not_found);
}

TEST_F(EventingDelivery, a_channel_made_of_another_kind_is_not_ready) {
  Channel foreign = channel();
  foreign.spec.channel_template = eventing::ChannelTemplateSpec{
      .api_version = "messaging.knative.dev/v1beta1", .kind = "KafkaChannel"};
  apply(foreign);
  EXPECT_EQ(state<Channel>("orders"), "False ChannelTemplateNotServed");
}

}  // namespace
}  // namespace knative
