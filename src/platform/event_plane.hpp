// Brokers and Channels at work: one event log and one `EventBroker` each, the sinks of Triggers
// and Subscriptions, and the resolution of where events go.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "knative/env.hpp"
#include "knative/event.hpp"
#include "knative/event_broker.hpp"
#include "knative/eventing.hpp"
#include "knative/http.hpp"
#include "knative/log.hpp"
#include "platform/reconcilers/context.hpp"

namespace knative {

/// "broker/default/orders" or "channel/default/orders": names an event log and who serves it.
std::string broker_id(std::string_view namespace_, std::string_view name);
std::string channel_id(std::string_view namespace_, std::string_view name);

class EventPlane {
 public:
  struct Options {
    std::string data_directory;  ///< Empty: logs in memory.
    std::size_t pending_bytes_max = std::size_t{16} << 20;
    Metrics* metrics = nullptr;  ///< Must outlive the plane.
    /// Called with the Broker or Channel that is served from now on.
    std::function<void(const ObjectRef&)> on_served;
  };

  /// `router` answers for hosts of Routes; `routed` says whether a host has one.
  EventPlane(Env& env, control::Context& context, http::Handler& router,
             std::function<bool(std::string_view host)> routed, Options options);
  ~EventPlane();

  /// Open the log and serve it. Idempotent.
  Task<Result<void>> ensure(std::string id);
  /// Stop serving and delete what was accepted.
  Task<Result<void>> remove(std::string id);
  /// Null when it is not (yet) served.
  EventBroker* find(std::string_view id) const;
  std::string directory_of(std::string_view id) const;

  /// The URL of a destination: its object's address, its URI, or both joined (RFC 3986).
  /// `not_found` when the object is absent, `failed_precondition` when it has no address.
  Result<std::string> resolve(const eventing::Destination& destination,
                              std::string_view namespace_) const;

  /// Deliver what `id` accepts and `filter` passes to `subscriber_url` (may be empty for a
  /// Subscription that only has a reply), replies to `reply_url` or, when empty, back to `id`.
  struct Binding {
    std::string subscriber_url;
    std::string reply_url;
    bool reply_to_self = true;
    std::string dead_letter_url;
    std::string filter_text;  ///< Identifies the filter.
    Filter filter;
    DeliveryOptions delivery;
    std::string metric_name;  ///< Of the Trigger or Subscription.
  };
  /// Idempotent: an equal binding goes on undisturbed.
  Result<void> bind(const std::string& id, const std::string& name, const Binding& binding);
  /// Stop delivering and forget the cursor.
  Task<Result<void>> unbind(std::string id, std::string name);

  /// A sink of this process under a URL that Triggers can name.
  std::string add_local_sink(const std::string& name, std::shared_ptr<Sink> sink);
  void remove_local_sink(const std::string& name);

  /// Deliver to any URL: a local sink, a Broker, a Channel, a Route of this platform, or the
  /// network.
  Task<DeliveryAttempt> deliver(const http::Url& url, const CloudEvent& event);

  /// Who answers an HTTP request for a Broker (by path) or a Channel (by host); null: nobody.
  http::Handler* ingress_for(std::string_view host, std::string_view path);

  Task<void> stop(Duration grace);

 private:
  struct Served;
  class UrlSink;
  class PipeSink;
  std::string id_of_url(const http::Url& url) const;

  Env& env_;
  control::Context& context_;
  http::Handler& router_;
  std::function<bool(std::string_view)> routed_;
  Options options_;
  BrokerIngress broker_ingress_;
  std::map<std::string, std::unique_ptr<Served>, std::less<>> served_;
  std::map<std::string, std::shared_ptr<Sink>, std::less<>> local_sinks_;
  std::map<std::string, std::unique_ptr<http::Client>, std::less<>> clients_;
};

}  // namespace knative
