/// \file
/// One queue per revision in front of its instances: waiting while it starts, concurrency limits,
/// timeouts, and the accounting that the autoscaler lives on.
///
/// Knative's activator and queue-proxy are one hop here. A `Throttler` hands requests to its
/// endpoints; these are any `http::Handler`, and who starts them is somebody else's business, told
/// through `Demand`. The `Activator` finds throttlers by revision. Everything belongs to its loop.
///
/// \code
/// knative::Activator activator(timers, random, demand);
/// std::shared_ptr<knative::Throttler> hello = activator.add({.revision = "default/hello-00001"});
/// hello->add_endpoint(instance);
/// \endcode
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/http.hpp"
#include "knative/metrics.hpp"
#include "knative/task.hpp"

namespace knative {

// ---------------------------------------------------------------------------- breaker

/// Limits what is in flight and what waits for it (Knative's queue.Breaker).
///
/// At most `queue_depth_max + concurrency_max` requests are inside; of them as many are in
/// flight as the capacity says. Who waits is served in order; dropping the wait leaves at once.
class KNATIVE_EXPORT Breaker {
 public:
  struct Options {
    int queue_depth_max = 1;   ///< > 0
    int concurrency_max = 1;   ///< >= 0
    int initial_capacity = 0;  ///< 0..concurrency_max
  };

  /// The right to be in flight; gives itself back.
  class KNATIVE_EXPORT Slot {
   public:
    Slot() = default;
    Slot(Slot&& other) noexcept : breaker_(std::exchange(other.breaker_, nullptr)) {}
    Slot& operator=(Slot&& other) noexcept {
      if (this != &other) {
        reset();
        breaker_ = std::exchange(other.breaker_, nullptr);
      }
      return *this;
    }
    ~Slot() { reset(); }
    void reset() noexcept {
      if (breaker_ != nullptr) std::exchange(breaker_, nullptr)->release();
    }
    explicit operator bool() const noexcept { return breaker_ != nullptr; }

   private:
    friend class Breaker;
    explicit Slot(Breaker* breaker) noexcept : breaker_(breaker) {}
    Breaker* breaker_ = nullptr;
  };

  /// Waiting for a slot; lives in the awaiting frame.
  class KNATIVE_EXPORT Acquire final : private TimerNode {
   public:
    Acquire(Breaker& breaker, Timers* timers, Instant deadline) noexcept
        : breaker_(&breaker), timers_(timers), deadline_(deadline) {}
    ~Acquire() override;
    bool await_ready() noexcept;
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) {
      waiter_.park(*handle.promise().fiber);
      enqueue();
    }
    Result<Slot> await_resume();

   private:
    friend class Breaker;
    enum class State : unsigned char { fresh, waiting, granted, full, expired, failed };
    void enqueue();
    void unlink() noexcept;
    void fire() noexcept override;
    Breaker* breaker_;
    Timers* timers_;
    Instant deadline_;
    Acquire* previous_ = nullptr;
    Acquire* next_ = nullptr;
    State state_ = State::fresh;
    Waiter waiter_;
  };

  explicit Breaker(const Options& options);
  ~Breaker();
  Breaker(const Breaker&) = delete;
  Breaker& operator=(const Breaker&) = delete;

  /// A slot if one is free now.
  Slot try_acquire() noexcept;
  /// Wait for a slot. Fails with `resource_exhausted` ("pending request queue full") or
  /// `unavailable` (the waiting was ended by `fail_waiting`).
  [[nodiscard]] Acquire acquire() noexcept { return Acquire(*this, nullptr, Instant{}); }
  /// The same, but fails with `deadline_exceeded` at `deadline`.
  [[nodiscard]] Acquire acquire(Timers& timers, Instant deadline) noexcept {
    return Acquire(*this, &timers, deadline);
  }
  /// Change the capacity (cut to 0..concurrency_max). Shrinking lets what is in flight finish.
  void set_capacity(int capacity) noexcept;
  /// End all waiting now.
  void fail_waiting() noexcept;

  int capacity() const noexcept { return capacity_; }
  int in_flight() const noexcept { return in_flight_; }
  int waiting() const noexcept { return waiting_; }
  /// In flight and waiting.
  std::int64_t pending() const noexcept { return std::int64_t{in_flight_} + waiting_; }

 private:
  void release() noexcept;
  void grant() noexcept;
  Options options_;
  int capacity_;
  int in_flight_ = 0;
  int waiting_ = 0;
  Acquire* first_ = nullptr;
  Acquire* last_ = nullptr;
};

// ---------------------------------------------------------------------------- statistics

/// Counts requests and integrates their number over time, exactly. Pure.
class KNATIVE_EXPORT RequestStats {
 public:
  /// What happened since the last report.
  struct Report {
    double average_concurrency = 0;          ///< All requests.
    double average_proxied_concurrency = 0;  ///< Those that came through another activator.
    std::int64_t request_count = 0;          ///< Arrivals.
    std::int64_t proxied_request_count = 0;
    Duration elapsed{0};
  };
  explicit RequestStats(Instant now) noexcept : since_(now), changed_(now) {}
  void arrived(Instant now, bool proxied = false) noexcept;
  void finished(Instant now, bool proxied = false) noexcept;
  /// Averages since the last report; begins a new period. Without elapsed time the averages are
  /// the present numbers.
  Report report(Instant now) noexcept;
  /// Requests inside now.
  int concurrency() const noexcept { return concurrency_; }

 private:
  void advance(Instant now) noexcept;
  Instant since_;
  Instant changed_;
  int concurrency_ = 0;
  int proxied_ = 0;
  double area_ = 0;
  double proxied_area_ = 0;
  std::int64_t count_ = 0;
  std::int64_t proxied_count_ = 0;
};

// ---------------------------------------------------------------------------- throttler

/// Told when requests wait for a revision that has no endpoint.
class KNATIVE_EXPORT Demand {
 public:
  virtual ~Demand() = default;
  /// Called when the first request begins to wait; must return soon.
  virtual void wanted(std::string_view revision) = 0;
};

struct RevisionOptions {
  std::string revision;                          ///< Key.
  std::string uid;                               ///< Tells generations of one name apart.
  int container_concurrency = 0;                 ///< Requests at once per endpoint; 0: no limit.
  Duration timeout = std::chrono::seconds(300);  ///< Whole request with waiting (504); 0: none.
  /// From handing a request to an endpoint to the first of its answer (504); 0: none.
  Duration response_start_timeout{0};
  /// Longest silence of an endpoint: 504 before the first of its answer, a cut after it; 0: none.
  Duration idle_timeout{0};
  int queue_depth_max = 10'000;         ///< Requests that may wait (503).
  Duration wait_max{0};                 ///< Longest wait for an endpoint (503); 0: `timeout`.
  std::chrono::seconds retry_after{1};  ///< Sent with 503.
  /// Calls from service to service that may lead here (508).
  int hops_max = 64;
  /// Endpoints are other processes: they get the count of hops in the field `hops_header`.
  bool remote = false;
  /// On the revision's series; empty: revision_name, the key. Alike for all of one registry.
  MetricLabels labels;
  friend bool operator==(const RevisionOptions&, const RevisionOptions&) = default;
};

/// How many calls from service to service led to a request. Whoever passes a request on with its
/// fields, as a proxy does, is counted.
inline constexpr std::string_view hops_header = "Knative-Serving-Hops";

/// One revision's queue in front of its endpoints. Concurrency per endpoint is enforced exactly.
///
/// Picks an endpoint as Knative's activator does: without a limit the less busy of two random
/// ones, with a limit up to 3 the first free one, above that the next free one in turn. With a
/// limit a request takes its place when its body, or the first `body_ahead_bytes` of it, is here:
/// who sends slowly holds no place. A request that did not reach its endpoint (`unreached` in the
/// answer) tries another, as long as nothing of its body was read.
///
/// Requests inside keep what they use: the throttler may be destroyed before they end.
class KNATIVE_EXPORT Throttler final : public http::Handler {
 public:
  static constexpr std::size_t body_ahead_bytes = 64 * 1024;

  /// `metrics`, when given, must outlive the throttler.
  Throttler(Timers& timers, const Random& random, Demand& demand, RevisionOptions options,
            Metrics* metrics = nullptr);
  /// Retires.
  ~Throttler() override;

  /// Answer through an endpoint: 503 with Retry-After when the queue is full or waited too long,
  /// 504 after a timeout, 408 when the body did not come in time, 500 when the endpoint threw, 502
  /// when it was aborted or not reached, 508 beyond `hops_max`.
  Task<http::Response> handle(http::Request& request) override;

  /// Send requests to `endpoint` and keep it until it was removed or aborted and nothing is in
  /// progress there.
  void add_endpoint(std::shared_ptr<http::Handler> endpoint);
  /// Send no more requests there, from this call on. The task is done when those in progress
  /// (with their streamed bodies) have ended.
  Task<void> remove_endpoint(const http::Handler& endpoint);
  /// Send no more requests there and drop what is in progress.
  void abort_endpoint(const http::Handler& endpoint) noexcept;
  /// Answer everyone who waits with 503 and `reason`, which strangers read.
  void fail_waiting(std::string_view reason);
  /// Answer everyone who waits, and whoever comes from now on, with 503: the revision is gone.
  /// Requests in progress may end.
  void retire() noexcept;
  /// Change limits; requests inside keep their timeout.
  void update(const RevisionOptions& options);
  const RevisionOptions& options() const noexcept;

  /// Endpoints that take requests.
  int endpoints() const noexcept;
  int waiting() const noexcept;
  /// Requests inside: waiting, in progress, or still sending their body.
  int in_flight() const noexcept;
  /// In progress or waiting requests integrated over time. One reader: it begins new periods.
  RequestStats& stats() noexcept;

  struct Counters {
    std::uint64_t requests = 0;   ///< Arrived.
    std::uint64_t completed = 0;  ///< Answered by an endpoint.
    std::uint64_t rejected = 0;   ///< 503
    std::uint64_t timed_out = 0;  ///< 504
    std::uint64_t failed = 0;     ///< 500, 502 or 508 made here.
    std::uint64_t retried = 0;    ///< Sent to another endpoint, because one was not reached.
  };
  const Counters& counters() const noexcept;

  struct State;

 private:
  State* state_;  ///< Shared with the requests inside.
};

/// The throttlers of a loop by revision.
class KNATIVE_EXPORT Activator {
 public:
  /// `metrics`, when given, gets counts and latencies of requests and queue depths per revision.
  Activator(Timers& timers, const Random& random, Demand& demand, Metrics* metrics = nullptr);
  ~Activator();
  Activator(const Activator&) = delete;
  Activator& operator=(const Activator&) = delete;

  /// Add a revision, or update the limits of a known one. One of the same key and another uid
  /// takes the place of the known one, which is removed.
  std::shared_ptr<Throttler> add(const RevisionOptions& options);
  /// Null for an unknown key. Good until `version()` changes.
  Throttler* find(std::string_view revision) const noexcept;
  /// Forget this throttler, not a namesake: who waits gets 503; requests in progress may end.
  void remove(Throttler& throttler);
  std::size_t size() const noexcept;
  /// Changes with every `add` of a new revision and every `remove`; above 0.
  std::uint64_t version() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative
