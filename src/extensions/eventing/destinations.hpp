// Where events can be delivered: a function of this process, whoever answers for a host of this
// platform, or somebody outside.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "knative/door.hpp"
#include "knative/env.hpp"
#include "knative/event.hpp"
#include "knative/http.hpp"
#include "knative/http_outbound.hpp"

namespace knative {

/// What answers for a Broker or Channel at the door: it takes events and hands them on.
class EventDoor : public http::Handler {};

/// Sinks for URLs. Where a URL leads is looked at in every attempt: services come and go, the
/// Trigger stays.
class Destinations {
 public:
  /// `door` knows the hosts of this platform; others are reached by `outbound`.
  Destinations(const Door& door, http::Outbound& outbound) : door_(door), outbound_(outbound) {}

  /// A sink that is sent to in this mode. Fails with `invalid_argument` for what is no URL of http
  /// or https. The sink must not outlive this.
  Result<std::shared_ptr<Sink>> sink(std::string_view url, ContentMode mode);

  /// A sink of this process under a URL that Triggers can name.
  std::string add_local(const std::string& name, std::shared_ptr<Sink> sink);
  void remove_local(const std::string& name) { local_.erase(name); }

 private:
  class UrlSink;
  class Outside;
  Task<DeliveryAttempt> deliver(const http::Url& url, ContentMode mode, const CloudEvent& event);
  Task<DeliveryAttempt> deliver_local(std::string_view host, const CloudEvent& event);

  const Door& door_;
  std::map<std::string, std::shared_ptr<Sink>, std::less<>> local_;
  http::Outbound& outbound_;
};

/// Subscriber, then reply: what a Channel's Subscription does. The event counts as delivered when
/// the reply was taken, too. Either may be null.
std::shared_ptr<Sink> pipe(std::shared_ptr<Sink> subscriber, std::shared_ptr<Sink> reply);

}  // namespace knative
