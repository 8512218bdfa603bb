// Brokers and Channels at work: one event log and one `EventBroker` each, and the sinks of Triggers
// and Subscriptions, which look at each attempt where their URL leads.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "extensions/eventing/reconcilers.hpp"
#include "knative/env.hpp"
#include "knative/event.hpp"
#include "knative/event_broker.hpp"
#include "knative/http.hpp"
#include "knative/http_outbound.hpp"
#include "knative/log.hpp"

namespace knative {

class EventPlane final : public control::EventingPlane {
 public:
  struct Options {
    http::OutboundOptions outbound = {};  ///< How subscribers elsewhere are reached.
    std::string data_directory;           ///< Empty: logs in memory.
    std::size_t pending_bytes_max = std::size_t{16} << 20;
    Metrics* metrics = nullptr;  ///< Must outlive the plane.
    /// Called with the Broker or Channel that is served from now on.
    std::function<void(const ObjectRef&)> on_served;
    /// Whether a Broker or Channel was applied, be it served yet or not.
    std::function<bool(const ObjectRef&)> applied;
  };

  /// `router` answers for hosts of Routes; `routed` says whether a host has one.
  EventPlane(Env& env, http::Handler& router, std::function<bool(std::string_view host)> routed,
             Options options);
  ~EventPlane() override;

  Task<Result<void>> ensure(std::string id) override;
  Task<Result<void>> remove(std::string id) override;
  bool serves(std::string_view id) const override { return find(id) != nullptr; }
  Result<void> bind(const std::string& id, const std::string& name,
                    const Binding& binding) override;
  Task<Result<void>> unbind(std::string id, std::string name) override;

  /// Null when it is not (yet) served.
  EventBroker* find(std::string_view id) const;
  /// What is used across an await.
  std::shared_ptr<EventBroker> share(std::string_view id) const;
  /// Whether the object of this id was applied but is not served.
  bool waits(const std::string& id) const;

  /// A sink of this process under a URL that Triggers can name.
  std::string add_local_sink(const std::string& name, std::shared_ptr<Sink> sink);
  void remove_local_sink(const std::string& name);

  /// Deliver to any URL: a local sink, a Broker, a Channel, a Route of this platform, or the
  /// network.
  Task<DeliveryAttempt> deliver(const http::Url& url, const CloudEvent& event);

  /// Who takes events sent to this host and path; null: the host is none of Brokers and Channels.
  http::Handler* ingress_of(std::string_view host, std::string_view path);
  /// The same for a Broker by "/NAMESPACE/NAME" on the bare address; null: no such Broker.
  http::Handler* ingress_of_path(std::string_view path);

  Task<void> stop(Duration grace);

 private:
  struct Served;
  class UrlSink;
  class PipeSink;
  /// Tells senders to come again: the object is there, its log is not (yet).
  class NotServed final : public http::Handler {
    Task<http::Response> handle(http::Request& request) override;
  };
  /// One URL outside, as a handler.
  class Remote final : public http::Handler {
   public:
    Remote(std::shared_ptr<http::Outbound> outbound, const http::Url& url)
        : outbound_(std::move(outbound)), url_(url) {}
    Task<http::Response> handle(http::Request& request) override;

   private:
    std::shared_ptr<http::Outbound> outbound_;
    http::Url url_;
  };
  std::string directory_of(std::string_view id) const;

  Env& env_;
  http::Handler& router_;
  std::function<bool(std::string_view)> routed_;
  Options options_;
  BrokerIngress broker_ingress_;
  NotServed not_served_;
  std::map<std::string, std::unique_ptr<Served>, std::less<>> served_;
  std::map<std::string, std::shared_ptr<Sink>, std::less<>> local_sinks_;
  std::shared_ptr<http::Outbound> outbound_;
};

}  // namespace knative
