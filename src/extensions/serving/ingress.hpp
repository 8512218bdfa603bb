// What requests pass through: router and queues of one loop. Every loop can have an ingress of its
// own; the one loop that scales tells them endpoints and rules, which are values that may be
// shared, and hears of demand and load. Limits over several of them would be leased place by
// place by the loop that scales; with one ingress it has them all.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "knative/router.hpp"

namespace knative {

/// The queue of one Revision as the loop that scales sees it. When it goes, so does the queue:
/// who waits there gets 503, requests in progress may end.
class RevisionQueue {
 public:
  virtual ~RevisionQueue() = default;
  virtual void add_endpoint(std::shared_ptr<http::Handler> endpoint) = 0;
  /// No more requests go there; done when those in progress have ended.
  virtual Task<void> remove_endpoint(const http::Handler& endpoint) = 0;
  virtual void abort_endpoint(const http::Handler& endpoint) noexcept = 0;
  /// Answer who waits with 503 and this reason.
  virtual void fail_waiting(std::string_view reason) = 0;
  /// Take no more requests: nobody finds the queue any more.
  virtual void close() = 0;
  /// What happened since the last report. One reader.
  virtual RequestStats::Report report(Instant now) = 0;
};

class Ingress final : private Demand {
 public:
  /// `wanted` is called with a Revision's key when a request waits that found no endpoint.
  Ingress(Env& env, Metrics& metrics, std::function<void(std::string_view revision)> wanted);

  http::Handler& router() noexcept { return router_; }
  /// A queue for a Revision; one of the same key and another uid is closed by it.
  std::unique_ptr<RevisionQueue> queue_for(const RevisionOptions& limits);
  /// Route by this table from now on.
  void set_table(std::shared_ptr<const RouteTable> table) { router_.set_table(std::move(table)); }

 private:
  void wanted(std::string_view revision) override { wanted_(revision); }

  std::function<void(std::string_view)> wanted_;
  Activator activator_;
  Router router_;
};

}  // namespace knative
