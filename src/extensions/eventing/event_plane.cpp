#include "extensions/eventing/event_plane.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "base/wait_for.hpp"
#include "extensions/eventing/ids.hpp"
#include "knative/reconciler.hpp"

namespace knative {

namespace {

/// How long a publisher waits for a Broker that was applied and is not served yet.
constexpr Duration serve_wait_max = std::chrono::seconds(10);
constexpr std::string_view not_served_text =
    "it does not take events now; the object's status says why";

bool is_channel(std::string_view id) { return id.starts_with("channel/"); }

std::string_view key_of_id(std::string_view id) { return id.substr(id.find('/') + 1); }

bool is_uid(std::string_view name) {
  constexpr std::size_t length = 36;
  return name.size() == length && std::count(name.begin(), name.end(), '-') == 4 &&
         name.find_first_not_of("0123456789abcdef-") == std::string_view::npos;
}

/// Series of a Broker carry Knative's names, those of a Channel the ones of its dispatcher.
void name_series(BrokerOptions& options, const std::string& id) {
  const bool channel = is_channel(id);
  const auto names = split_key(key_of_id(id));
  options.metric_labels = {{"namespace_name", names.first},
                           {channel ? "channel_name" : "broker_name", names.second}};
  if (!channel) return;
  options.metric_names.ingress = "knative_channel_ingress";
  options.metric_names.filter = "inmemorychannel_dispatcher";
  options.metric_names.own = "knative_channel";
  options.metric_names.trigger_label = "subscription_name";
}

ObjectRef ref_of_id(const std::string& id) {
  const auto [namespace_, name] = split_key(key_of_id(id));
  return is_channel(id) ? Client::ref_to<eventing::Channel>(namespace_, name)
                        : Client::ref_to<eventing::Broker>(namespace_, name);
}

}  // namespace

// One Broker or Channel. Whoever uses it across an await has its own share of the broker, which has
// one of the log.
struct EventPlane::Served {
  /// What a Trigger or Subscription delivers by; held when there is no binding.
  struct Bound {
    std::string cursor;
    std::int64_t generation = 0;
    std::optional<Binding> binding;
  };
  std::string id;
  std::string uid;
  std::shared_ptr<Log> log;
  std::map<std::string, Bound, std::less<>> bound;  ///< By uid of the consumer.
  std::shared_ptr<EventBroker> broker;
};

/// "/NAMESPACE/NAME" on the host of the Brokers, or on the bare address beside other paths.
class EventPlane::BrokerDoor final : public EventDoor {
 public:
  BrokerDoor(EventPlane& plane, bool bare) : plane_(plane), bare_(bare) {}
  Task<http::Response> handle(http::Request& request) override {
    plane_.catch_up();
    std::string_view path = request.path();
    if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
    if (path.starts_with('/')) path.remove_prefix(1);
    const std::string id = control::broker_id(path);
    const bool applied = plane_.applied_.source(id) != nullptr;
    if (bare_ && !applied) return no_such_path();
    if (applied && plane_.current(id) == nullptr) return not_served();
    return plane_.broker_ingress_.handle(request);
  }

 private:
  static Task<http::Response> no_such_path() {
    co_return http::error_response(
        404, "no such path here; services answer by their host, e.g. NAME.NAMESPACE.localhost");
  }
  EventPlane& plane_;
  bool bare_;
};

class EventPlane::ChannelDoor final : public EventDoor {
 public:
  ChannelDoor(EventPlane& plane, std::string id) : plane_(plane), id_(std::move(id)) {}
  Task<http::Response> handle(http::Request& request) override {
    plane_.catch_up();
    if (Served* served = plane_.current(id_)) return served->broker->ingress().handle(request);
    return plane_.applied_.source(id_) != nullptr ? not_served() : not_found();
  }

 private:
  static Task<http::Response> not_found() {
    co_return http::error_response(404, "no such channel");
  }
  EventPlane& plane_;
  std::string id_;
};

EventPlane::EventPlane(Env& env, Client& client, const Door& door, http::Outbound& outbound,
                       Options options)
    : env_(env),
      options_(std::move(options)),
      applied_(client),
      destinations_(door, outbound),
      broker_door_(std::make_shared<BrokerDoor>(*this, false)),
      bare_door_(std::make_shared<BrokerDoor>(*this, true)),
      tasks_(env.executor) {}

EventPlane::~EventPlane() {
  // Deliveries in progress may hold a share of the very broker that runs them.
  for (const auto& [uid, served] : served_) served->broker->retire();
}

Task<http::Response> EventPlane::not_served() {
  co_return http::unavailable(not_served_text, BrokerOptions().retry_after);
}

std::shared_ptr<http::Handler> EventPlane::channel_door(std::string_view key) {
  return std::make_shared<ChannelDoor>(*this, control::channel_id(key));
}

// ---------------------------------------------------------------------------- what is applied

void EventPlane::catch_up() {
  applied_.catch_up();
  for (const std::string& id : applied_.take_changed()) {
    if (Served* served = current(id)) hold_outdated(*served);
  }
  for (const std::string& uid : applied_.take_gone()) {
    if (stored_.contains(uid) || places_.contains(uid)) gone_.insert(uid);
  }
}

EventPlane::Served* EventPlane::current(std::string_view id) {
  const AppliedObjects::Source* source = applied_.source(id);
  if (source == nullptr) return nullptr;
  const auto found = served_.find(source->uid);
  return found == served_.end() ? nullptr : found->second.get();
}

bool EventPlane::serves(std::string_view id) {
  catch_up();
  return current(id) != nullptr;
}

EventPlane::Served* EventPlane::of_consumer(std::string_view uid) {
  const AppliedObjects::Consumer* consumer = applied_.consumer(uid);
  return consumer == nullptr ? nullptr : current(consumer->source);
}

// A consumer that is new begins here; one that has another generation, or has gone, delivers
// nothing until its reconciler has said how, or that it is over.
void EventPlane::hold_outdated(Served& served) {
  const AppliedObjects::Consumers& consumers = applied_.consumers(served.id);
  for (const auto& [uid, consumer] : consumers) {
    Served::Bound& bound = served.bound[uid];
    if (!bound.cursor.empty() && bound.generation == consumer.generation) continue;
    bound.cursor = control::cursor_of(consumer.name, uid);
    places_[uid] = served.uid;
    bound.generation = consumer.generation;
    bound.binding.reset();
    static_cast<void>(served.broker->hold_trigger(bound.cursor, consumer.name));
  }
  for (auto& [uid, bound] : served.bound) {
    if (consumers.contains(uid) || !bound.binding) continue;
    bound.binding.reset();
    static_cast<void>(served.broker->hold_trigger(bound.cursor));
  }
}

Result<void> EventPlane::admit(const std::string& id, const std::string& uid) {
  catch_up();
  const AppliedObjects::Source* source = applied_.source(id);
  if (source != nullptr && source->uid == uid) return {};
  return fail(Errc::not_found, std::string(key_of_id(id)) + " is not there");
}

// ---------------------------------------------------------------------------- serving

Task<Result<std::shared_ptr<Log>>> EventPlane::open_log(std::string id, std::string uid,
                                                        bool begun) {
  if (!durable()) co_return std::shared_ptr<Log>(memory_log(env_.timers));
  SegmentLogOptions options;
  options.pending_bytes_max = options_.pending_bytes_max;
  options.create = !begun;
  options.on_trouble = [self = std::weak_ptr<EventPlane*>(self_), id,
                        uid](const std::optional<Error>& trouble) {
    if (const auto plane = self.lock()) (*plane)->log_troubled(id, uid, trouble);
  };
  std::string directory = directory_of(uid);
  Result<std::unique_ptr<Log>> opened =
      co_await open_segment_log(env_, std::move(directory), options);
  if (!opened) co_return opened.error();
  co_return std::shared_ptr<Log>(std::move(*opened));
}

void EventPlane::log_troubled(const std::string& id, const std::string& uid,
                              const std::optional<Error>& trouble) {
  if (trouble) {
    troubled_.insert_or_assign(uid, *trouble);
  } else {
    troubled_.erase(uid);
  }
  if (served_.contains(uid) && options_.on_trouble) options_.on_trouble(ref_of_id(id));
}

std::unique_ptr<EventPlane::Served> EventPlane::make(const std::string& id, const std::string& uid,
                                                     std::shared_ptr<Log> log) {
  auto served = std::make_unique<Served>();
  served->id = id;
  served->uid = uid;
  served->log = std::move(log);
  BrokerOptions options;
  options.name = std::string(key_of_id(id));
  options.metrics = options_.metrics;
  options.admit = [this, id, uid] { return admit(id, uid); };
  name_series(options, id);
  served->broker = std::make_shared<EventBroker>(
      env_.executor, env_.timers, served->log, env_.logger, Random(env_.ids()), std::move(options));
  return served;
}

Task<Result<void>> EventPlane::ensure(std::string id, std::string uid, bool begun) {
  if (const auto found = served_.find(uid); found != served_.end()) {
    if (!troubled_.contains(uid)) co_return Result<void>();
    const std::shared_ptr<Log> log = found->second->log;
    co_return co_await log->check();
  }
  stored_.erase(uid);
  Result<std::shared_ptr<Log>> log = co_await open_log(id, uid, begun);
  if (served_.contains(uid)) co_return Result<void>();  // another task was quicker
  if (!log) {
    failed_.insert_or_assign(uid, log.error());
    changed_.notify_all();
    co_return log.error();
  }
  failed_.erase(uid);
  applied_.catch_up();
  std::unique_ptr<Served>& served = served_[uid];
  served = make(id, uid, std::move(*log));
  hold_outdated(*served);
  std::set<std::string> dead;
  for (std::string& name : served->broker->known_triggers()) dead.insert(std::move(name));
  for (const auto& [consumer, bound] : served->bound) dead.erase(bound.cursor);
  if (!dead.empty()) tasks_.add(forget_triggers(*this, served->broker, std::move(dead)));
  const ObjectRef ref = ref_of_id(id);
  if (!is_channel(id)) broker_ingress_.add(ref.namespace_, ref.name, served->broker);
  changed_.notify_all();
  // After a restart neither object changes: who waits for the log has to be told.
  if (options_.on_served) options_.on_served(ref);
  co_return Result<void>();
}

// Whose Trigger went with a crash in between: what it did not get is nobody's.
Task<void> EventPlane::forget_triggers(EventPlane& self, std::shared_ptr<EventBroker> broker,
                                       std::set<std::string> names) {
  for (const std::string& name : names) {
    const Result<void> removed = co_await broker->remove_trigger(name);
    if (removed) continue;
    self.env_.logger.log(LogLevel::warning, "events", "what a trigger that has gone left stays",
                         {{"trigger", name}, {"error", removed.error().to_string()}});
  }
}

Task<Result<void>> EventPlane::remove(std::string uid) {
  failed_.erase(uid);
  const auto found = served_.find(uid);
  if (found != served_.end()) {
    const std::unique_ptr<Served> served = std::move(found->second);
    served_.erase(found);
    for (const auto& [consumer, bound] : served->bound) places_.erase(consumer);
    // The name may be another's by now.
    if (!is_channel(served->id) && current(served->id) == nullptr) {
      const auto [namespace_, name] = split_key(key_of_id(served->id));
      broker_ingress_.remove(namespace_, name);
    }
    served->broker->retire();
    changed_.notify_all();
    const Result<void> closed = co_await served->log->close();
    if (!closed) {
      env_.logger.log(LogLevel::warning, "events", "log did not close",
                      {{"log", served->id}, {"error", closed.error().to_string()}});
    }
  }
  troubled_.erase(uid);  // it may have failed once more when it was closed
  co_return co_await remove_directory(std::move(uid));
}

Task<Result<void>> EventPlane::remove_directory(std::string uid) {
  if (options_.directory.empty()) co_return Result<void>();
  const std::string directory = directory_of(uid);
  auto work = [&files = env_.files, directory] { return files.remove_all(directory); };
  co_return co_await env_.disk.run(work);
}

void EventPlane::sweep() {
  if (options_.directory.empty()) return;
  const Result<std::vector<FileInfo>> there = env_.files.list(options_.directory);
  if (!there) return;
  applied_.catch_up();
  const std::set<std::string> living = applied_.source_uids();
  std::vector<std::string> dead;
  for (const FileInfo& entry : *there) {
    if (living.contains(entry.name)) {
      stored_.insert(entry.name);
    } else if (is_uid(entry.name)) {
      dead.push_back(entry.name);
    } else {
      env_.logger.log(LogLevel::warning, "events", "this is no event log of mine; I leave it",
                      {{"path", options_.directory + "/" + entry.name}});
    }
  }
  if (!dead.empty()) tasks_.add(sweep(*this, std::move(dead)));
}

Task<void> EventPlane::sweep(EventPlane& self, std::vector<std::string> directories) {
  for (const std::string& uid : directories) {
    const Result<void> removed = co_await self.remove_directory(uid);
    self.env_.logger.log(removed ? LogLevel::info : LogLevel::warning, "events",
                         removed ? "the log of an object that is gone was deleted"
                                 : "the log of an object that is gone stays",
                         {{"directory", self.directory_of(uid)},
                          {"error", removed ? std::string() : removed.error().to_string()}});
  }
}

Task<void> EventPlane::stop(Duration grace) {
  const Instant deadline = env_.timers.now() + grace;
  std::vector<std::pair<std::shared_ptr<EventBroker>, std::shared_ptr<Log>>> all;
  for (const auto& [uid, served] : served_) all.emplace_back(served->broker, served->log);
  for (const auto& [broker, log] : all) {
    const Duration left = std::max(Duration::zero(), Duration(deadline - env_.timers.now()));
    co_await broker->stop(left);
    const Result<void> closed = co_await log->close();
    if (!closed) {
      env_.logger.log(LogLevel::warning, "events", "log did not close",
                      {{"error", closed.error().to_string()}});
    }
  }
}

// ---------------------------------------------------------------------------- binding

Result<void> EventPlane::bind(const std::string& uid, std::int64_t generation,
                              const Binding& binding) {
  catch_up();
  Served* served = of_consumer(uid);
  if (served == nullptr) return fail(Errc::not_found, "it is not served yet");
  Served::Bound& bound = served->bound[uid];
  // Somebody changed it meanwhile; the reconciler comes again.
  if (bound.generation != generation) return {};
  if (bound.binding && *bound.binding == binding) return {};

  TriggerOptions options;
  options.filter = binding.filter;
  options.delivery = binding.delivery;
  options.subscriber_uri = http::shown_url(binding.subscriber_url);
  options.metric_name = binding.metric_name;
  const auto make = [this,
                     mode = binding.mode](const std::string& url) -> Result<std::shared_ptr<Sink>> {
    if (url.empty()) return std::shared_ptr<Sink>();
    return destinations_.sink(url, mode);
  };
  Result<std::shared_ptr<Sink>> subscriber = make(binding.subscriber_url);
  if (!subscriber) return subscriber.error();
  Result<std::shared_ptr<Sink>> reply = make(binding.reply_url);
  if (!reply) return reply.error();
  Result<std::shared_ptr<Sink>> dead_letter = make(binding.dead_letter_url);
  if (!dead_letter) return dead_letter.error();
  options.dead_letter = std::move(*dead_letter);
  std::shared_ptr<Sink> sink = std::move(*subscriber);
  if (!binding.reply_to_self) sink = pipe(std::move(sink), std::move(*reply));

  Result<void> set = served->broker->set_trigger(bound.cursor, std::move(options), std::move(sink));
  if (set) bound.binding = binding;
  return set;
}

Result<void> EventPlane::hold(const std::string& uid) {
  catch_up();
  Served* served = of_consumer(uid);
  if (served == nullptr) return {};
  Served::Bound& bound = served->bound[uid];
  if (!std::exchange(bound.binding, std::nullopt)) return {};
  return served->broker->hold_trigger(bound.cursor);
}

Task<Result<void>> EventPlane::unbind(std::string uid) {
  gone_.erase(uid);
  const auto place = places_.find(uid);
  if (place == places_.end()) co_return Result<void>();
  Served& served = *served_.at(place->second);
  const std::shared_ptr<EventBroker> broker = served.broker;
  const std::string cursor = served.bound.at(uid).cursor;
  Result<void> removed = co_await broker->remove_trigger(cursor);
  if (!removed) co_return removed;
  const auto still = places_.find(uid);
  if (still == places_.end()) co_return Result<void>();
  served_.at(still->second)->bound.erase(uid);
  places_.erase(still);
  co_return Result<void>();
}

// Their reconcilers know the objects that they made a step for, and only those.
Task<Result<void>> EventPlane::forget_gone() {
  catch_up();
  const std::set<std::string> gone = gone_;
  Result<void> outcome;
  for (const std::string& uid : gone) {
    Task<Result<void>> forgetting = stored_.contains(uid) ? remove(uid) : unbind(uid);
    const Result<void> forgotten = co_await std::move(forgetting);
    if (!forgotten) {
      gone_.insert(uid);  // it is tried again, and holds up no other
      outcome = forgotten;
      continue;
    }
    stored_.erase(uid);
    gone_.erase(uid);
  }
  co_return outcome;
}

// ---------------------------------------------------------------------------- publishing

Task<Result<Offset>> EventPlane::publish(std::string key, const CloudEvent& event) {
  const Instant deadline = env_.timers.now() + serve_wait_max;
  for (;;) {
    catch_up();
    std::string id = control::broker_id(key);
    const AppliedObjects::Source* source = applied_.source(id);
    if (source == nullptr) {
      id = control::channel_id(key);
      source = applied_.source(id);
    }
    if (source == nullptr) co_return fail(Errc::not_found, "Broker " + key + " is not there");
    if (Served* served = current(id)) {
      const std::shared_ptr<EventBroker> broker = served->broker;
      co_return co_await broker->publish(event);
    }
    // What was applied before counts: a Broker on its way is waited for.
    if (failed_.contains(source->uid) || env_.timers.now() >= deadline) {
      co_return fail(Errc::unavailable, key + " takes no events now; its status says why");
    }
    Task<void> waiting = base::wait_for(changed_);
    co_await with_deadline(env_.timers, std::move(waiting), deadline);
  }
}

// ---------------------------------------------------------------------------- the parking lot

Result<EventPlane::Served*> EventPlane::parking(const std::string& key,
                                                ParkedSelection& selection) {
  catch_up();
  std::string_view name = key;
  const auto of_kind = [&name](std::string_view kind) {
    if (!name.starts_with(kind)) return false;
    name.remove_prefix(kind.size());
    return true;
  };
  const bool channels = of_kind("Channel/");
  const bool brokers = !channels && of_kind("Broker/");
  const std::string plain(name);
  Served* const broker = channels ? nullptr : current(control::broker_id(plain));
  Served* const channel = brokers ? nullptr : current(control::channel_id(plain));
  if (broker != nullptr && channel != nullptr) {
    return fail(Errc::failed_precondition, "a Broker and a Channel are called " + plain +
                                               ": Broker/" + plain + " is the one and Channel/" +
                                               plain + " the other");
  }
  Served* const served = broker != nullptr ? broker : channel;
  if (served == nullptr) {
    const std::string_view kind = channels  ? "Channel "
                                  : brokers ? "Broker "
                                            : "Broker or Channel ";
    return fail(Errc::not_found, "no " + std::string(kind) + plain + " is served");
  }
  if (selection.trigger.empty()) return served;
  for (const auto& [uid, consumer] : applied_.consumers(served->id)) {
    if (consumer.name != selection.trigger) continue;
    selection.trigger = control::cursor_of(consumer.name, uid);
    return served;
  }
  return fail(Errc::not_found,
              "no Trigger or Subscription " + selection.trigger + " delivers from " + key);
}

Result<std::vector<ParkedEvent>> EventPlane::parked(std::string key, ParkedSelection selection,
                                                    std::size_t count_max) {
  const Result<Served*> served = parking(key, selection);
  if (!served) return served.error();
  std::map<std::string, std::string> names;  // by cursor
  for (const auto& [uid, consumer] : applied_.consumers((*served)->id)) {
    names.emplace(control::cursor_of(consumer.name, uid), consumer.name);
  }
  std::vector<ParkedEvent> all = (*served)->broker->parked(selection, count_max);
  for (ParkedEvent& one : all) {
    const auto name = names.find(one.trigger);
    if (name != names.end()) one.trigger = name->second;
  }
  return all;
}

Task<Result<std::size_t>> EventPlane::move_parked(std::string key, ParkedSelection selection,
                                                  ParkedMove move) {
  const Result<Served*> served = parking(key, selection);
  if (!served) co_return served.error();
  const std::shared_ptr<EventBroker> broker = (*served)->broker;
  Task<Result<std::size_t>> moving = move == ParkedMove::redrive
                                         ? broker->redrive(std::move(selection))
                                         : broker->discard(std::move(selection));
  co_return co_await std::move(moving);
}

}  // namespace knative
