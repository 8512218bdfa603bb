#include "extensions/eventing/event_plane.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace knative {

namespace {

constexpr std::string_view local_sink_domain = ".sinks.knative.internal";

Result<Reply> outcome(DeliveryAttempt attempt) {
  if (attempt.ok()) return std::move(attempt.reply);
  return fail(Errc::unavailable, std::move(attempt.detail));
}

/// Series of a Broker carry Knative's names, those of a Channel the ones of its dispatcher.
void name_series(BrokerOptions& options, const std::string& id) {
  const std::size_t slash = id.find('/');
  const bool channel = id.starts_with("channel/");
  const auto names = control::split_key(id.substr(slash + 1));
  options.metric_labels = {{"namespace_name", names.first},
                           {channel ? "channel_name" : "broker_name", names.second}};
  if (!channel) return;
  options.metric_names.ingress = "knative_channel_ingress";
  options.metric_names.filter = "inmemorychannel_dispatcher";
  options.metric_names.own = "knative_channel";
  options.metric_names.trigger_label = "subscription_name";
}

bool is_broker_ingress(std::string_view host) {
  return host.substr(0, host.find('.')) == control::broker_ingress_name;
}

// The Broker or Channel that a URL of this platform names; empty for anything else.
std::string id_of(std::string_view host, std::string_view target) {
  if (is_broker_ingress(host)) {
    return "broker" + std::string(target.substr(0, target.find('?')));
  }
  const std::size_t mark = host.find(control::channel_suffix);
  if (mark == std::string_view::npos) return {};
  std::string_view rest = host.substr(mark + control::channel_suffix.size());
  if (!rest.starts_with('.')) return {};
  rest.remove_prefix(1);
  return control::channel_id(
      control::make_key(rest.substr(0, rest.find('.')), host.substr(0, mark)));
}

}  // namespace

constexpr std::string_view not_served_text =
    "it does not take events now; the object's status says why";

// Of the Broker or Channel with this id.
ObjectRef ref_of_id(const std::string& id) {
  const bool is_broker = id.starts_with("broker/");
  const auto [namespace_, name] = control::split_key(id.substr(id.find('/') + 1));
  return ObjectRef{
      std::string(is_broker ? eventing::Broker::api_version : eventing::Channel::api_version),
      std::string(is_broker ? eventing::Broker::kind : eventing::Channel::kind), namespace_, name};
}

// Looks at every attempt where the URL leads: services come and go, the Trigger stays.
class EventPlane::UrlSink final : public Sink {
 public:
  UrlSink(EventPlane& plane, http::Url url) : plane_(plane), url_(std::move(url)) {}
  Task<Result<Reply>> deliver(const CloudEvent& event) override {
    co_return outcome(co_await plane_.deliver(url_, event));
  }
  Task<DeliveryAttempt> attempt(const CloudEvent& event) override {
    return plane_.deliver(url_, event);
  }
  bool hands_on() const noexcept override { return true; }

 private:
  EventPlane& plane_;
  http::Url url_;
};

// Subscriber, then reply: what a Channel's Subscription does. The event counts as delivered when
// the reply was taken, too.
class EventPlane::PipeSink final : public Sink {
 public:
  PipeSink(std::shared_ptr<Sink> first, std::shared_ptr<Sink> second)
      : first_(std::move(first)), second_(std::move(second)) {}
  Task<Result<Reply>> deliver(const CloudEvent& event) override {
    co_return outcome(co_await attempt(event));
  }
  Task<DeliveryAttempt> attempt(const CloudEvent& event) override {
    if (!first_) co_return co_await forward(event);
    DeliveryAttempt answered = co_await first_->attempt(event);
    if (!answered.ok() || !answered.reply) co_return answered;
    CloudEvent reply = std::move(*answered.reply);
    reply.remove_extension(hops_attribute);
    if (const ExtensionValue* hops = event.extension(hops_attribute)) {
      reply.set_extension(std::string(hops_attribute), *hops);
    }
    co_return co_await forward(reply);
  }
  bool hands_on() const noexcept override { return true; }

 private:
  Task<DeliveryAttempt> forward(const CloudEvent& event) {
    if (!second_) co_return DeliveryAttempt{};
    DeliveryAttempt taken = co_await second_->attempt(event);
    taken.reply.reset();
    co_return taken;
  }
  std::shared_ptr<Sink> first_;
  std::shared_ptr<Sink> second_;
};

// One Broker or Channel. Whoever uses it across an await has its own share of the broker, which has
// one of the log.
struct EventPlane::Served {
  std::shared_ptr<Log> log;
  std::map<std::string, Binding, std::less<>> bound;
  std::shared_ptr<EventBroker> broker;
};

EventPlane::EventPlane(Env& env, http::Handler& router,
                       std::function<bool(std::string_view)> routed, Options options)
    : env_(env),
      router_(router),
      routed_(std::move(routed)),
      options_(std::move(options)),
      outbound_(std::make_shared<http::Outbound>(env.executor, env.timers, env.network,
                                                 options_.outbound)) {}

EventPlane::~EventPlane() {
  // Deliveries in progress may hold a share of the very broker that runs them.
  for (const auto& [id, served] : served_) served->broker->retire();
}

std::string EventPlane::directory_of(std::string_view id) const {
  return options_.data_directory + "/events/" + std::string(id);
}

Task<Result<void>> EventPlane::ensure(std::string id) {
  if (served_.contains(id)) co_return Result<void>();
  auto served = std::make_unique<Served>();
  if (options_.data_directory.empty()) {
    served->log = memory_log(env_.timers);
  } else {
    SegmentLogOptions options;
    options.pending_bytes_max = options_.pending_bytes_max;
    std::string directory = directory_of(id);
    if (Result<void> made = env_.files.make_directories(directory); !made) co_return made;
    Result<std::unique_ptr<Log>> opened =
        co_await open_segment_log(env_, std::move(directory), options);
    if (!opened) co_return opened.error();
    served->log = std::move(*opened);
  }
  if (served_.contains(id)) co_return Result<void>();  // another task was quicker
  BrokerOptions options;
  options.name = id;
  options.metrics = options_.metrics;
  name_series(options, id);
  served->broker =
      std::make_shared<EventBroker>(env_.executor, env_.timers, served->log, env_.logger,
                                    env_.random.split(id), std::move(options));
  const ObjectRef ref = ref_of_id(id);
  if (id.starts_with("broker/")) broker_ingress_.add(ref.namespace_, ref.name, served->broker);
  served_.emplace(std::move(id), std::move(served));
  // After a restart neither object changes: who waits for the log has to be told.
  if (options_.on_served) options_.on_served(ref);
  co_return Result<void>();
}

Task<Result<void>> EventPlane::remove(std::string id) {
  const auto found = served_.find(id);
  if (found != served_.end()) {
    std::unique_ptr<Served> served = std::move(found->second);
    served_.erase(found);
    if (id.starts_with("broker/")) {
      const auto [namespace_, name] = control::split_key(id.substr(sizeof "broker"));
      broker_ingress_.remove(namespace_, name);
    }
    served->broker->retire();
    const Result<void> closed = co_await served->log->close();
    if (!closed) {
      env_.logger.log(LogLevel::warning, "events", "log did not close",
                      {{"log", id}, {"error", closed.error().to_string()}});
    }
  }
  if (options_.data_directory.empty()) co_return Result<void>();
  co_return env_.files.remove_all(directory_of(id));
}

EventBroker* EventPlane::find(std::string_view id) const { return share(id).get(); }

std::shared_ptr<EventBroker> EventPlane::share(std::string_view id) const {
  const auto found = served_.find(id);
  return found == served_.end() ? nullptr : found->second->broker;
}

Result<void> EventPlane::bind(const std::string& id, const std::string& name,
                              const Binding& binding) {
  const auto found = served_.find(id);
  if (found == served_.end()) return fail(Errc::not_found, id + " is not served");
  Served& served = *found->second;
  const auto same_as = [&](const Binding& other) {
    return other.subscriber_url == binding.subscriber_url && other.reply_url == binding.reply_url &&
           other.reply_to_self == binding.reply_to_self &&
           other.dead_letter_url == binding.dead_letter_url &&
           other.filter_text == binding.filter_text && other.delivery == binding.delivery;
  };
  const auto before = served.bound.find(name);
  if (before != served.bound.end() && same_as(before->second)) return {};

  const auto make_sink = [&](const std::string& text) -> Result<std::shared_ptr<Sink>> {
    if (text.empty()) return std::shared_ptr<Sink>();
    Result<http::Url> url = http::Url::parse(text);
    if (!url) return url.error();
    return std::shared_ptr<Sink>(std::make_shared<UrlSink>(*this, std::move(*url)));
  };
  Result<std::shared_ptr<Sink>> subscriber = make_sink(binding.subscriber_url);
  if (!subscriber) return subscriber.error();
  Result<std::shared_ptr<Sink>> reply = make_sink(binding.reply_url);
  if (!reply) return reply.error();
  Result<std::shared_ptr<Sink>> dead_letter = make_sink(binding.dead_letter_url);
  if (!dead_letter) return dead_letter.error();

  std::shared_ptr<Sink> sink = std::move(*subscriber);
  if (!binding.reply_to_self) {
    sink = std::make_shared<PipeSink>(std::move(sink), std::move(*reply));
  }
  TriggerOptions options;
  options.filter = binding.filter;
  options.delivery = binding.delivery;
  options.dead_letter = std::move(*dead_letter);
  options.subscriber_uri = binding.subscriber_url;
  options.metric_name = binding.metric_name;
  Result<void> set = served.broker->set_trigger(name, std::move(options), std::move(sink));
  if (!set) return set;
  served.bound[name] = binding;
  return {};
}

Task<Result<void>> EventPlane::unbind(std::string id, std::string name) {
  const auto found = served_.find(id);
  if (found == served_.end()) co_return Result<void>();
  Result<void> removed = co_await found->second->broker->remove_trigger(name);
  const auto again = served_.find(id);
  if (again != served_.end()) again->second->bound.erase(name);
  co_return removed;
}

std::string EventPlane::add_local_sink(const std::string& name, std::shared_ptr<Sink> sink) {
  local_sinks_[name] = std::move(sink);
  return "http://" + name + std::string(local_sink_domain) + "/";
}

void EventPlane::remove_local_sink(const std::string& name) { local_sinks_.erase(name); }

Task<DeliveryAttempt> EventPlane::deliver(const http::Url& url, const CloudEvent& event) {
  if (url.host.ends_with(local_sink_domain)) {
    const std::string name = url.host.substr(0, url.host.size() - local_sink_domain.size());
    const auto sink = local_sinks_.find(name);
    if (sink == local_sinks_.end()) {
      co_return DeliveryAttempt::from(fail(Errc::unavailable, "nobody listens as " + name));
    }
    const std::shared_ptr<Sink> keep = sink->second;
    if (event.extension(hops_attribute) == nullptr) co_return co_await keep->attempt(event);
    CloudEvent shown = event;
    shown.remove_extension(hops_attribute);
    co_return co_await keep->attempt(shown);
  }
  const std::string id = id_of(url.host, url.target);
  if (const std::shared_ptr<EventBroker> broker = share(id)) {
    BrokerSink sink(broker);
    co_return co_await sink.attempt(event);
  }
  if (waits(id))
    co_return DeliveryAttempt::from(fail(Errc::unavailable, std::string(not_served_text)));
  HttpSinkOptions options;
  options.target = url.target;
  options.host = url.host;
  if (routed_(url.host)) {
    HttpSink sink(router_, std::move(options));
    co_return co_await sink.attempt(event);
  }
  options.hands_on = true;  // it may be a broker of somebody else
  Remote remote(outbound_, url);
  HttpSink sink(remote, std::move(options));
  co_return co_await sink.attempt(event);
}

Task<http::Response> EventPlane::Remote::handle(http::Request& request) {
  http::SendOptions how;
  how.redirects = false;  // an event goes where its trigger says
  Result<http::Response> response = co_await outbound_->send(url_, request, how);
  if (response) co_return std::move(*response);
  const Error& error = response.error();
  co_return http::error_response(http::gateway_status_of(error.code), error.detail);
}

Task<http::Response> EventPlane::NotServed::handle(http::Request&) {
  co_return http::unavailable(not_served_text, BrokerOptions().retry_after);
}

bool EventPlane::waits(const std::string& id) const {
  // Ids come from requests, too: "broker/NAMESPACE/NAME" or nothing.
  return std::count(id.begin(), id.end(), '/') == 2 && !served_.contains(id) && options_.applied &&
         options_.applied(ref_of_id(id));
}

http::Handler* EventPlane::ingress_of(std::string_view host, std::string_view path) {
  const std::string id = id_of(host, path);
  if (waits(id)) return &not_served_;
  if (is_broker_ingress(host)) return &broker_ingress_;
  EventBroker* channel = find(id);
  return channel == nullptr ? nullptr : &channel->ingress();
}

http::Handler* EventPlane::ingress_of_path(std::string_view path) {
  const std::string id = "broker" + std::string(path);
  if (waits(id)) return &not_served_;
  return find(id) == nullptr ? nullptr : &broker_ingress_;
}

Task<void> EventPlane::stop(Duration grace) {
  for (const auto& [id, served] : served_) {
    co_await served->broker->stop(grace);
    const Result<void> closed = co_await served->log->close();
    if (!closed) {
      env_.logger.log(LogLevel::warning, "events", "log did not close",
                      {{"log", id}, {"error", closed.error().to_string()}});
    }
  }
}

}  // namespace knative
