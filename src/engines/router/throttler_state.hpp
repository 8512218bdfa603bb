/// \file
/// What a throttler keeps, and what ties a request to an endpoint. Private to the router.
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "knative/metrics.hpp"
#include "knative/router.hpp"

namespace knative {

class Lease;
class Operation;
class LeasedBody;

/// An endpoint with what is in progress there.
struct ThrottledEndpoint {
  explicit ThrottledEndpoint(http::Handler& h) : handler(&h) {}
  http::Handler* handler;
  int in_flight = 0;
  bool draining = false;
  Wakeup idle;                      ///< Set when draining and nothing is in flight.
  Operation* operations = nullptr;  ///< Calls and body reads in progress.
  LeasedBody* bodies = nullptr;     ///< Streamed bodies not yet read to their end.
};

/// Series of one revision.
class RevisionMetrics {
 public:
  RevisionMetrics(Metrics& metrics, const Throttler::State& state);
  void answered(int status, Duration after) {
    answers_.answered(status, std::chrono::duration<double, std::milli>(after).count());
  }

 private:
  MetricSet series_;
  AnswerMetrics answers_;
};

struct Throttler::State {
  State(Timers& t, const Random& r, Demand& d, RevisionOptions o, Metrics* m);
  ~State();

  Timers& timers;
  Random random;
  Demand& demand;
  RevisionOptions options;
  Breaker breaker;
  RequestStats stats;
  Counters counters;
  std::vector<std::shared_ptr<ThrottledEndpoint>> endpoints;
  std::vector<std::shared_ptr<ThrottledEndpoint>> draining;
  int draining_in_flight = 0;
  std::size_t turn = 0;  ///< Where round robin goes on.
  std::string failure;   ///< Why waiting was ended.
  std::optional<RevisionMetrics> metrics;

  /// A free endpoint by the policy, or null.
  ThrottledEndpoint* pick() noexcept;
  ThrottledEndpoint* pick_less_busy() noexcept;
  ThrottledEndpoint* pick_free(std::size_t start) noexcept;
  void update_capacity() noexcept;
  /// Forget draining endpoints where nothing is left.
  void sweep() noexcept;
  Task<http::Response> serve(http::Request& request);
  /// Count an answer.
  void answered(int status, Instant arrival) noexcept {
    if (metrics) metrics->answered(status, timers.now() - arrival);
  }
  /// Wait in the queue; yields the answer when it was in vain, else `lease` has its endpoint.
  Task<std::optional<http::Response>> wait(Lease& lease, Instant arrival);
};

/// One request inside a throttler; counted from arrival until destroyed.
class Lease {
 public:
  Lease(Throttler::State& state, bool proxied) noexcept;
  Lease(Lease&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)),
        endpoint_(std::exchange(other.endpoint_, nullptr)),
        slot_(std::move(other.slot_)),
        proxied_(other.proxied_) {}
  Lease& operator=(Lease&&) = delete;
  ~Lease();

  void take(ThrottledEndpoint& endpoint, Breaker::Slot slot) noexcept;
  ThrottledEndpoint& endpoint() const noexcept { return *endpoint_; }
  Throttler::State& state() const noexcept { return *state_; }

 private:
  Throttler::State* state_;
  ThrottledEndpoint* endpoint_ = nullptr;
  Breaker::Slot slot_;
  bool proxied_;
};

/// A task of an endpoint in progress that a deadline or an abort can end.
class Operation : public TimerNode {
 public:
  enum class End : unsigned char { none, expired, aborted };
  explicit Operation(ThrottledEndpoint& endpoint) noexcept : endpoint_(endpoint) {
    next_ = endpoint.operations;
    if (next_ != nullptr) next_->previous_ = this;
    endpoint.operations = this;
  }
  ~Operation() override { unlink(); }

  End end() const noexcept { return end_; }
  /// Drop the endpoint's task now and resume whoever awaits it. What asks for its own end from
  /// inside is left to finish.
  void abort() noexcept {
    unlink();
    if (drop()) end_ = End::aborted;
  }

 protected:
  virtual bool drop() noexcept = 0;

 private:
  void fire() noexcept override {
    if (drop()) end_ = End::expired;
  }
  void unlink() noexcept {
    if (!linked_) return;
    linked_ = false;
    (previous_ != nullptr ? previous_->next_ : endpoint_.operations) = next_;
    if (next_ != nullptr) next_->previous_ = previous_;
  }
  ThrottledEndpoint& endpoint_;
  Operation* previous_ = nullptr;
  Operation* next_ = nullptr;
  bool linked_ = true;
  End end_ = End::none;
};

/// Awaits a `Task<T>` of an endpoint inside the awaiting fiber, as `co_await task` would, but can
/// be ended from outside: the task's frames are destroyed (which cancels what they wait for) and
/// the fiber goes on in the awaiting frame. So a call costs no fiber and no turn of the loop.
/// After the await, `end()` tells whether there is something to `take()`.
template <class T>
class GuardedTask final : public Operation {
 public:
  GuardedTask(ThrottledEndpoint& endpoint, Task<T> task) noexcept
      : Operation(endpoint), inner_(std::move(task).operator co_await()) {}
  T take() { return inner_.await_resume(); }

  bool await_ready() const noexcept { return false; }
  template <class P>
  void await_suspend(std::coroutine_handle<P> outer) noexcept {
    outer_ = &outer.promise();
    inner_.await_suspend(outer);
  }
  void await_resume() noexcept {
    outer_ = nullptr;
    disarm();
  }

 private:
  bool drop() noexcept override {
    if (outer_ == nullptr || outer_->fiber->running()) return false;
    TaskAccess::unwind_to(*outer_->fiber, *outer_);
    return true;
  }
  detail::Awaiter<T> inner_;
  detail::PromiseBase* outer_ = nullptr;
};

/// A response's body that keeps its request's place at the endpoint until it is gone.
class LeasedBody final : public http::BodySource {
 public:
  LeasedBody(Lease lease, http::Body inner, std::optional<Instant> deadline) noexcept;
  ~LeasedBody() override;
  Task<Result<std::string_view>> next() override;
  std::string_view take_ready() override;
  std::optional<std::uint64_t> length() const override { return length_; }
  /// Forget the endpoint's body; further reads fail.
  void abort() noexcept;

 private:
  void unlink() noexcept;
  Lease lease_;
  http::Body inner_;
  std::optional<Instant> deadline_;
  std::optional<std::uint64_t> length_;
  LeasedBody* previous_ = nullptr;
  LeasedBody* next_ = nullptr;
  bool linked_ = true;
};

}  // namespace knative
