/// \file
/// What a throttler keeps, and what ties a request to an endpoint. Private to the router.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "knative/metrics.hpp"
#include "knative/throttler.hpp"

namespace knative {

class Lease;
class Operation;
class LeasedBody;
template <class T>
class GuardedTask;

/// An endpoint with what is in progress there.
struct ThrottledEndpoint {
  explicit ThrottledEndpoint(std::shared_ptr<http::Handler> h) : handler(std::move(h)) {}
  std::shared_ptr<http::Handler> handler;
  int in_flight = 0;
  bool draining = false;
  Wakeup idle;                      ///< Set when draining and nothing is in flight.
  Operation* operations = nullptr;  ///< Calls and body reads in progress.
  LeasedBody* bodies = nullptr;     ///< Streamed bodies not yet read to their end.
};

/// A task of an endpoint in progress that a deadline or an abort can end.
class Operation : public TimerNode {
 public:
  enum class End : unsigned char { none, expired, aborted, looped };
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
  void set_end(End end) noexcept { end_ = end; }

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

/// Keeps a throttler's state for a request that is inside, or about to be.
class StateRef {
 public:
  explicit StateRef(Throttler::State& state) noexcept;
  StateRef(StateRef&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  StateRef& operator=(StateRef&&) = delete;
  ~StateRef();
  Throttler::State* get() const noexcept { return state_; }

 private:
  Throttler::State* state_;
};

struct Throttler::State {
  State(Timers& t, const Random& r, Demand& d, RevisionOptions o, Metrics* m);
  ~State();

  int users = 1;  ///< The throttler and the requests inside; all of one loop.
  Timers& timers;
  Random random;
  Demand* demand;  ///< Null when the throttler is gone.
  RevisionOptions options;
  Duration longest_silence{0};  ///< Before the first of an answer; 0: any.
  Breaker breaker;
  RequestStats stats;
  Counters counters;
  std::vector<std::shared_ptr<ThrottledEndpoint>> endpoints;
  std::vector<std::shared_ptr<ThrottledEndpoint>> draining;
  int draining_in_flight = 0;
  std::size_t turn = 0;  ///< Where round robin goes on.
  std::string failure;   ///< Why waiting was ended.
  std::optional<RevisionMetrics> metrics;

  /// A free endpoint by the policy, or null. Another one than `avoided` if there is any.
  ThrottledEndpoint* pick() noexcept;
  ThrottledEndpoint* pick_another(const ThrottledEndpoint& avoided) noexcept;
  ThrottledEndpoint* pick_less_busy() noexcept;
  ThrottledEndpoint* pick_free(std::size_t start) noexcept;
  void update_capacity() noexcept;
  void update_silence() noexcept;
  void forget_draining(const ThrottledEndpoint& endpoint) noexcept;
  static Task<http::Response> serve(StateRef self, http::Request& request);
  /// Read the body, or its beginning, before the request takes a place; yields the answer when
  /// that fails.
  Task<std::optional<http::Response>> take_in(http::Request& request, Instant arrival);
  /// What was counted as an answer is none.
  void never_reached() noexcept {
    --counters.completed;
    ++counters.failed;
  }
  /// Count an answer.
  void answered(int status, Instant arrival) noexcept {
    if (metrics) metrics->answered(status, timers.now() - arrival);
  }
  /// Wait in the queue; yields the answer when it was in vain, else `lease` has its endpoint.
  Task<std::optional<http::Response>> wait(Lease& lease, Instant arrival);
  /// Before another attempt of a request that did not reach its endpoint.
  Task<void> before_another(int attempt, const ThrottledEndpoint& unreached);
  /// What `call` came to: its own answer, or one that is made in `made`.
  http::Response& answer_of(GuardedTask<http::Response>& call,
                            std::optional<http::Response>& made) noexcept;
  /// When an endpoint that is given a request of `arrival` now must have begun to answer.
  std::optional<Instant> answer_deadline(Instant arrival) const noexcept {
    std::optional<Instant> deadline = deadline_of(arrival);
    if (longest_silence.count() > 0) {
      const Instant silent = timers.now() + longest_silence;
      if (!deadline || silent < *deadline) deadline = silent;
    }
    return deadline;
  }
  /// Take no more requests: the throttler leaves its activator.
  void retire() noexcept;
  /// When what began at `arrival` has to be over; empty: never.
  std::optional<Instant> deadline_of(Instant arrival) const noexcept {
    if (options.timeout.count() <= 0) return std::nullopt;
    return arrival + options.timeout;
  }
};

inline StateRef::StateRef(Throttler::State& state) noexcept : state_(&state) { ++state.users; }
inline StateRef::~StateRef() {
  if (state_ != nullptr && --state_->users == 0) delete state_;
}

/// One request inside a throttler; counted from arrival until destroyed.
class Lease {
 public:
  explicit Lease(StateRef state) noexcept;
  Lease(Lease&& other) noexcept
      : state_(std::move(other.state_)),
        endpoint_(std::exchange(other.endpoint_, nullptr)),
        slot_(std::move(other.slot_)) {}
  Lease& operator=(Lease&&) = delete;
  ~Lease();

  void take(ThrottledEndpoint& endpoint, Breaker::Slot slot) noexcept;
  /// Give the place back, but stay inside.
  void give_back() noexcept;
  ThrottledEndpoint& endpoint() const noexcept { return *endpoint_; }
  Throttler::State& state() const noexcept { return *state_.get(); }

 private:
  StateRef state_;
  ThrottledEndpoint* endpoint_ = nullptr;
  Breaker::Slot slot_;
};

/// Awaits a `Task<T>` of an endpoint inside the awaiting fiber, as `co_await task` would, but can
/// be ended from outside: the task's frames are destroyed (which cancels what they wait for) and
/// the fiber goes on in the awaiting frame. So a call costs no fiber and no turn of the loop.
/// After the await, `end()` tells whether there is something to `take()`.
///
/// The fiber is one hop further while the task runs; beyond `hops_max` it is not run at all.
template <class T>
class GuardedTask final : public Operation {
 public:
  /// `hops_said`: what the request itself says, when that is more than the fiber knows.
  GuardedTask(ThrottledEndpoint& endpoint, Task<T> task, int hops_max, int hops_said = 0) noexcept
      : Operation(endpoint),
        inner_(std::move(task).operator co_await()),
        hops_max_(hops_max),
        hops_said_(hops_said) {}
  T take() { return inner_.await_resume(); }
  /// Where it is, good as long as this object.
  T& value() { return inner_.value(); }

  bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> outer) noexcept {
    Fiber& fiber = *outer.promise().fiber;
    hops_ = fiber.hops();
    const int hops = std::max(hops_, hops_said_);
    if (hops >= hops_max_) {
      set_end(End::looped);
      return false;
    }
    fiber.set_hops(hops + 1);
    outer_ = &outer.promise();
    inner_.await_suspend(outer);
    return true;
  }
  void await_resume() noexcept {
    if (outer_ != nullptr) std::exchange(outer_, nullptr)->fiber->set_hops(hops_);
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
  int hops_max_;
  int hops_said_;
  int hops_ = 0;  ///< Of the fiber before.
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
