// Eventing as a part of a platform: the plane of Brokers and Channels, its hosts at the door,
// publishing and subscribing in process, and its reconcilers.
#include <memory>
#include <utility>

#include "extensions/eventing/event_plane.hpp"
#include "extensions/eventing/parking_door.hpp"
#include "extensions/eventing/reconcilers.hpp"
#include "knative/access.hpp"
#include "knative/extensions.hpp"
#include "knative/platform_options.hpp"

namespace knative {

namespace {

constexpr std::string_view local_subscription_label = "eventing.knative.dev/local-subscription";

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
    if (into.durable()) {
      Result<std::string> directory = into.directory("events");
      if (!directory) return directory.error();
      options.directory = std::move(*directory);
    }
    options.pending_bytes_max = into.options().event_pending_bytes_max;
    options.metrics = &into.metrics();
    options.on_served = [&controllers = into.controllers()](const ObjectRef& ref) {
      controllers.enqueue_watchers(ref);
    };
    options.on_trouble = [&controllers = into.controllers()](const ObjectRef& ref) {
      controllers.enqueue(ref.kind == eventing::Channel::kind ? "channel" : "broker",
                          make_key(ref.namespace_, ref.name));
    };
    plane_ = std::make_unique<EventPlane>(into.env(), into.client(), into.door(), into.outbound(),
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
          "channel", std::make_unique<ChannelReconciler>(scope, *plane_, into.door()));
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
    plane_->sweep();
    return {};
  }

  Task<void> stop(Duration grace) override { return plane_->stop(grace); }

 private:
  // Brokers are named in the path of one host, and of the bare address.
  Result<void> open_doors(Installer& into) {
    Result<void> done = into.door().set_hosts(
        "the ingress of Brokers",
        into.addresses().hosts(control::broker_ingress_name, control::eventing_namespace),
        plane_->broker_door());
    if (done) done = into.door().set_path("/", plane_->bare_door());
    EventAccess& events = *this;
    if (done) {
      done = into.door().set_path(std::string(parking_path), std::make_shared<ParkingDoor>(events));
    }
    return done;
  }

  // Their functions died with the process that made them.
  void drop_orphan_subscriptions() {
    if (into_->store() == nullptr) return;
    ListOptions list;
    list.labels = LabelSelector::equals(std::string(local_subscription_label), "true");
    Result<std::vector<eventing::Trigger>> found = into_->client().list<eventing::Trigger>(list);
    if (!found) return;
    for (const eventing::Trigger& trigger : *found)
      remove_trigger(ref_of(trigger), trigger.metadata.uid);
  }

  void remove_trigger(const ObjectRef& ref, const std::string& uid) {
    RemoveOptions options;
    options.uid = uid;
    const Result<AnyObject> removed = into_->store()->remove(ref, options);
    if (removed || removed.error().code == Errc::not_found) return;
    if (removed.error().code == Errc::conflict) return;  // another has the name by now
    into_->env().logger.log(LogLevel::warning, "events", "a subscription's Trigger stays",
                            {{"error", removed.error().to_string()}});
  }

  Task<Result<Offset>> publish(std::string key, const CloudEvent& event) override {
    return plane_->publish(std::move(key), event);
  }

  Result<std::vector<ParkedEvent>> parked(std::string key, ParkedSelection selection,
                                          std::size_t count_max) override {
    return plane_->parked(std::move(key), std::move(selection), count_max);
  }
  Task<Result<std::size_t>> move_parked(std::string key, ParkedSelection selection,
                                        ParkedMove move) override {
    return plane_->move_parked(std::move(key), std::move(selection), move);
  }

  Result<EventSubscription> subscribe(std::string key, Filter filter,
                                      EventHandler function) override {
    if (into_->store() == nullptr) {
      return fail(Errc::unimplemented, "a function of this process subscribes to local Brokers");
    }
    const auto [namespace_, broker] = split_key(key);
    const Result<eventing::Broker> there =
        into_->client().get<eventing::Broker>(namespace_, broker);
    if (!there) return there.error();
    eventing::Trigger trigger;
    trigger.metadata.namespace_ = namespace_;
    trigger.spec.broker = broker;
    const std::string name = "subscription-" + std::to_string(++subscriptions_);
    trigger.metadata.name = name;
    trigger.metadata.labels[std::string(local_subscription_label)] = "true";
    trigger.spec.subscriber.uri = plane_->destinations().add_local(
        name, std::make_shared<LocalSink>(std::move(filter), std::move(function)));
    Result<AnyObject> created = into_->store()->create(std::move(trigger));
    if (!created) {
      plane_->destinations().remove_local(name);
      return created.error();
    }
    const ObjectRef ref = created->ref();
    return EventSubscription(name, [this, ref, name, uid = created->metadata().uid] {
      plane_->destinations().remove_local(name);
      remove_trigger(ref, uid);
    });
  }

  Installer* into_ = nullptr;
  std::unique_ptr<EventPlane> plane_;
  std::uint64_t subscriptions_ = 0;
};

}  // namespace

std::unique_ptr<Extension> eventing_extension() { return std::make_unique<EventingExtension>(); }

}  // namespace knative
