/// \file
/// The HTTP door of a broker. Private to the event broker.
#pragma once

#include <optional>

#include "knative/event_broker.hpp"

namespace knative::broker {

/// The HTTP status that refuses an event for `error`.
int refusal_status(const Error& error) noexcept;

/// Answers every path with the rules of `EventBroker::ingress`.
class Ingress final : public http::Handler {
 public:
  /// `answers`: counts what does not get as far as `publish`, which counts the rest.
  Ingress(EventBroker& broker, const BrokerOptions& options, std::optional<AnswerMetrics>& answers)
      : broker_(broker), options_(options), answers_(answers) {}
  Task<http::Response> handle(http::Request& request) override;

 private:
  http::Response refuse(http::Response response);
  EventBroker& broker_;
  const BrokerOptions& options_;
  std::optional<AnswerMetrics>& answers_;
};

}  // namespace knative::broker
