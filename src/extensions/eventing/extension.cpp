// Eventing as a part of a platform: the plane of Brokers and Channels, its hosts at the door,
// publishing and subscribing in process, and its reconcilers.
#include <map>
#include <memory>
#include <utility>

#include "extensions/eventing/event_plane.hpp"
#include "extensions/eventing/reconcilers.hpp"
#include "knative/access.hpp"
#include "knative/extensions.hpp"
#include "knative/platform_options.hpp"
#include "knative/readiness.hpp"

namespace knative {

namespace {

constexpr std::string_view local_subscription_label = "eventing.knative.dev/local-subscription";
constexpr Duration settle_poll = std::chrono::milliseconds(1);
constexpr Duration settle_max = std::chrono::seconds(10);

class LocalSink final : public Sink {
 public:
  LocalSink(Filter filter, EventHandler function)
      : filter_(std::move(filter)), function_(std::move(function)) {}
  Task<Result<Reply>> deliver(const CloudEvent& event) override {
    if (!filter_.matches(event)) co_return Reply();
    co_return co_await function_(event);
  }

 private:
  Filter filter_;
  EventHandler function_;
};

class EventingExtension final : public Extension, private EventAccess {
 public:
  std::string_view name() const override { return "eventing"; }

  Result<void> install(Installer& into) override {
    into_ = &into;
    EventPlane::Options options;
    options.data_directory = into.options().data_directory;
    options.pending_bytes_max = into.options().event_pending_bytes_max;
    options.metrics = &into.metrics();
    options.on_served = [&controllers = into.controllers()](const ObjectRef& ref) {
      controllers.enqueue_watchers(ref);
    };
    options.applied = [&client = into.client()](const ObjectRef& ref) {
      return client.get(ref).has_value();
    };
    plane_ = std::make_unique<EventPlane>(
        into.env(), into.door(),
        [&door = into.door()](std::string_view host) { return door.at_host(host) != nullptr; },
        std::move(options));
    const control::Scope scope{into.context(), into.addresses()};
    using namespace control;
    Result<void> done = into.provide<EventAccess>(*this);
    if (done) done = open_doors(into);
    if (done) {
      done = into.add_controller<eventing::Broker>(
          "broker", std::make_unique<BrokerReconciler>(scope, *plane_));
    }
    if (done) {
      done = into.add_controller<eventing::Channel>(
          "channel", std::make_unique<ChannelReconciler>(scope, *plane_, into.door(), channels_));
    }
    if (done) {
      done = into.add_controller<eventing::Trigger>(
          "trigger", std::make_unique<TriggerReconciler>(scope, *plane_));
    }
    if (done) {
      done = into.add_controller<eventing::Subscription>(
          "subscription", std::make_unique<SubscriptionReconciler>(scope, *plane_));
    }
    if (done) {
      done = into.add_controller<eventing::EventType>("eventtype",
                                                      std::make_unique<EventTypeReconciler>(scope));
    }
    return done;
  }

  Result<void> started() override {
    drop_orphan_subscriptions();
    return {};
  }

  Task<void> stop(Duration grace) override { return plane_->stop(grace); }

 private:
  // Brokers are named in the path of one host, and on the bare address; Channels have a host each.
  Result<void> open_doors(Installer& into) {
    channels_ = http::make_handler([this](http::Request& request) -> Task<http::Response> {
      http::Handler* ingress = plane_->ingress_of(request.host(), request.path());
      if (ingress == nullptr) return not_found();
      return ingress->handle(request);
    });
    const std::shared_ptr<http::Handler> bare =
        http::make_handler([this](http::Request& request) -> Task<http::Response> {
          http::Handler* ingress = plane_->ingress_of_path(request.path());
          if (ingress == nullptr) return not_found();
          return ingress->handle(request);
        });
    Result<void> done = into.door().set_hosts(
        "the ingress of Brokers",
        into.addresses().hosts(control::broker_ingress_name, "knative-eventing"), channels_);
    if (done) done = into.door().set_path("/", bare);
    return done;
  }

  static Task<http::Response> not_found() {
    co_return http::error_response(
        404, "no such path here; services answer by their host, e.g. NAME.NAMESPACE.localhost");
  }

  // Their functions died with the process that made them.
  void drop_orphan_subscriptions() {
    if (into_->store() == nullptr) return;
    ListOptions list;
    list.labels = LabelSelector::equals(std::string(local_subscription_label), "true");
    Result<std::vector<eventing::Trigger>> found = into_->client().list<eventing::Trigger>(list);
    if (!found) return;
    for (const eventing::Trigger& trigger : *found) remove_trigger(ref_of(trigger));
  }

  void remove_trigger(const ObjectRef& ref) {
    const Result<AnyObject> removed = into_->store()->remove(ref);
    if (removed || removed.error().code == Errc::not_found) return;
    into_->env().logger.log(LogLevel::warning, "events", "a subscription's Trigger stays",
                            {{"error", removed.error().to_string()}});
  }

  // True while a Trigger of this Broker was applied that nobody has looked at.
  bool triggers_wait(const std::string& namespace_, const std::string& broker) const {
    ListOptions options;
    options.namespace_ = namespace_;
    const Result<std::vector<eventing::Trigger>> found =
        into_->client().list<eventing::Trigger>(options);
    if (!found) return false;
    for (const eventing::Trigger& trigger : *found) {
      if (trigger.spec.broker == broker &&
          trigger.status.observed_generation != trigger.metadata.generation) {
        return true;
      }
    }
    return false;
  }

  // Applied and not served, and nobody has said that it cannot be.
  template <class T>
  bool undecided(const std::string& id) const {
    if (!plane_->waits(id)) return false;
    const auto names = split_key(id.substr(id.find('/') + 1));
    const Result<AnyObject> object =
        into_->client().get(Client::ref_to<T>(names.first, names.second));
    return object && !readiness(*object).failed;
  }

  // What was applied to this Broker before counts (bounded); what was applied elsewhere is no
  // reason to wait.
  Task<void> settle(std::string key) {
    const Client& client = into_->client();
    std::string version = client.resource_version();
    if (const auto checked = checked_.find(key);
        checked != checked_.end() && checked->second == version) {
      co_return;
    }
    const auto names = split_key(key);
    Timers& timers = into_->env().timers;
    const Instant deadline = timers.now() + settle_max;
    while (timers.now() < deadline) {
      const bool waits = undecided<eventing::Broker>(control::broker_id(key)) ||
                         undecided<eventing::Channel>(control::channel_id(key)) ||
                         triggers_wait(names.first, names.second);
      if (!waits) {
        checked_[key] = client.resource_version();
        co_return;
      }
      co_await timers.sleep_for(settle_poll);
    }
  }

  Task<Result<Offset>> publish(std::string key, const CloudEvent& event) override {
    co_await settle(key);
    std::shared_ptr<EventBroker> found = plane_->share(control::broker_id(key));
    if (found == nullptr) found = plane_->share(control::channel_id(key));
    if (found == nullptr) {
      if (plane_->waits(control::broker_id(key)) || plane_->waits(control::channel_id(key))) {
        co_return fail(Errc::unavailable, key + " takes no events now; its status says why");
      }
      co_return fail(Errc::not_found, "Broker " + key + " is not there");
    }
    co_return co_await found->publish(event);
  }

  Result<EventSubscription> subscribe(std::string key, Filter filter,
                                      EventHandler function) override {
    if (into_->store() == nullptr) {
      return fail(Errc::unimplemented, "a function of this process subscribes to local Brokers");
    }
    const auto [namespace_, broker] = split_key(key);
    eventing::Trigger trigger;
    trigger.metadata.namespace_ = namespace_;
    trigger.spec.broker = broker;
    const std::string name = "subscription-" + std::to_string(++subscriptions_);
    trigger.metadata.name = name;
    trigger.metadata.labels[std::string(local_subscription_label)] = "true";
    trigger.spec.subscriber.uri = plane_->add_local_sink(
        name, std::make_shared<LocalSink>(std::move(filter), std::move(function)));
    Result<AnyObject> created = into_->store()->create(std::move(trigger));
    if (!created) {
      plane_->remove_local_sink(name);
      return created.error();
    }
    const ObjectRef ref = created->ref();
    return EventSubscription(name, [this, ref, name] {
      plane_->remove_local_sink(name);
      remove_trigger(ref);
    });
  }

  Installer* into_ = nullptr;
  std::shared_ptr<http::Handler> channels_;
  std::unique_ptr<EventPlane> plane_;
  std::map<std::string, std::string> checked_;  ///< Broker's key -> version it was settled at.
  std::uint64_t subscriptions_ = 0;
};

}  // namespace

std::unique_ptr<Extension> eventing_extension() { return std::make_unique<EventingExtension>(); }

}  // namespace knative
