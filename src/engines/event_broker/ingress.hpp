/// \file
/// The HTTP door of a broker. Private to the event broker.
#pragma once

#include "knative/event_broker.hpp"

namespace knative::broker {

/// Answers every path with the rules of `EventBroker::ingress`.
class Ingress final : public http::Handler {
 public:
  Ingress(EventBroker& broker, const BrokerOptions& options) : broker_(broker), options_(options) {}
  Task<http::Response> handle(http::Request& request) override;

 private:
  EventBroker& broker_;
  const BrokerOptions& options_;
};

}  // namespace knative::broker
