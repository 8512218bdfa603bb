/// \file
/// The HTTP door of a broker. Private to the event broker.
#pragma once

#include <memory>

#include "knative/event_broker.hpp"

namespace knative::broker {

/// The HTTP status that refuses an event for `error`.
int refusal_status(const Error& error) noexcept;

/// What a broker is to its door. Requests in progress hold it.
class Acceptor : public std::enable_shared_from_this<Acceptor> {
 public:
  virtual ~Acceptor() = default;
  virtual Task<Result<Offset>> accept(const CloudEvent& event) = 0;
  /// Count an answer to what never became an event.
  virtual void refused(int status) = 0;
  virtual const BrokerOptions& rules() const noexcept = 0;
  /// Set when nothing will be accepted any more.
  Wakeup retired;
};

/// Answers every path with the rules of `EventBroker::ingress`.
class Ingress final : public http::Handler {
 public:
  explicit Ingress(Acceptor& acceptor) : acceptor_(acceptor) {}
  Task<http::Response> handle(http::Request& request) override;

 private:
  Acceptor& acceptor_;
};

}  // namespace knative::broker
