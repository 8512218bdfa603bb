// Brokers and Channels at work: one event log and one `EventBroker` each, and the sinks of Triggers
// and Subscriptions. The identity of everything is the uid: an object that was made again under a
// name has another log. The plane looks at what is applied before it takes an event, so that none
// is taken for an object that is gone, and none is missed by a Trigger that was there before it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "extensions/eventing/applied.hpp"
#include "extensions/eventing/destinations.hpp"
#include "extensions/eventing/reconcilers.hpp"
#include "knative/env.hpp"
#include "knative/event.hpp"
#include "knative/event_broker.hpp"
#include "knative/http.hpp"
#include "knative/log.hpp"

namespace knative {

class EventPlane final : public control::EventingPlane {
 public:
  struct Options {
    /// Of the logs, one directory for each uid; empty: logs in memory.
    std::string directory;
    std::size_t pending_bytes_max = std::size_t{16} << 20;
    Metrics* metrics = nullptr;  ///< Must outlive the plane.
    /// Called with the Broker or Channel that is served from now on.
    std::function<void(const ObjectRef&)> on_served;
    /// Called with the Broker or Channel whose log begins to fail, or works again.
    std::function<void(const ObjectRef&)> on_trouble;
  };

  /// What is referred to must outlive the plane.
  EventPlane(Env& env, Client& client, const Door& door, http::Outbound& outbound, Options options);
  ~EventPlane() override;

  Task<Result<void>> ensure(std::string id, std::string uid, bool begun) override;
  bool durable() const noexcept override { return !options_.directory.empty(); }
  Task<Result<void>> remove(std::string uid) override;
  bool serves(std::string_view id) override;
  Result<void> bind(const std::string& uid, std::int64_t generation,
                    const Binding& binding) override;
  Result<void> hold(const std::string& uid) override;
  Task<Result<void>> unbind(std::string uid) override;
  Task<Result<void>> forget_gone() override;

  /// Delete the logs of objects that went while no platform ran. Before the first `ensure`.
  void sweep();
  /// See `EventAccess`.
  Task<Result<Offset>> publish(std::string key, const CloudEvent& event);
  Result<std::vector<ParkedEvent>> parked(std::string key, ParkedSelection selection,
                                          std::size_t count_max);
  Task<Result<std::size_t>> move_parked(std::string key, ParkedSelection selection,
                                        ParkedMove move);

  Destinations& destinations() noexcept { return destinations_; }
  /// Answers for the host of the Brokers, which are named in the path.
  std::shared_ptr<http::Handler> broker_door() const noexcept { return broker_door_; }
  /// The same beside other paths: 404 for what is no Broker.
  std::shared_ptr<http::Handler> bare_door() const noexcept { return bare_door_; }
  std::shared_ptr<http::Handler> channel_door(std::string_view key) override;

  Task<void> stop(Duration grace);

 private:
  struct Served;
  class BrokerDoor;
  class ChannelDoor;
  /// Look at what is applied: nobody delivers by terms that do not count any more.
  void catch_up();
  void hold_outdated(Served& served);
  /// Whether events are taken for this object.
  Result<void> admit(const std::string& id, const std::string& uid);
  Task<Result<std::shared_ptr<Log>>> open_log(std::string id, std::string uid, bool begun);
  void log_troubled(const std::string& id, const std::string& uid,
                    const std::optional<Error>& trouble);
  std::unique_ptr<Served> make(const std::string& id, const std::string& uid,
                               std::shared_ptr<Log> log);
  static Task<void> forget_triggers(EventPlane& self, std::shared_ptr<EventBroker> broker,
                                    std::set<std::string> names);
  static Task<void> sweep(EventPlane& self, std::vector<std::string> directories);
  Task<Result<void>> remove_directory(std::string uid);
  /// Who takes events under this name now; null: nobody (yet).
  Served* current(std::string_view id);
  Served* of_consumer(std::string_view uid);
  /// The Broker or Channel with this key, and the trigger of `selection` as the log calls it.
  Result<Served*> parking(const std::string& key, ParkedSelection& selection);
  std::string directory_of(std::string_view uid) const {
    return std::string(options_.directory).append("/").append(uid);
  }
  /// The answer to a request to an object that is applied and not served.
  static Task<http::Response> not_served();

  Env& env_;
  Options options_;
  AppliedObjects applied_;
  Destinations destinations_;
  BrokerIngress broker_ingress_;
  std::shared_ptr<http::Handler> broker_door_;
  std::shared_ptr<http::Handler> bare_door_;
  std::map<std::string, std::unique_ptr<Served>, std::less<>> served_;  ///< By uid.
  std::map<std::string, Error, std::less<>> failed_;        ///< By uid: why it is not served.
  std::map<std::string, Error, std::less<>> troubled_;      ///< By uid: why its log does not work.
  std::map<std::string, std::string, std::less<>> places_;  ///< Uid of a consumer to the source's.
  std::set<std::string> stored_;  ///< Uids whose logs lie there since before, not served yet.
  std::set<std::string> gone_;    ///< Uids that have gone and left something here.
  Wakeup changed_;                ///< An object is served, or failed to be.
  std::shared_ptr<EventPlane*> self_ = std::make_shared<EventPlane*>(this);  ///< Logs may outlive.
  TaskSet tasks_;
};

}  // namespace knative
