/// \file
/// From a Host to an instance: routing by host and percent, waiting while a revision starts,
/// concurrency limits, timeouts and the accounting that the autoscaler lives on.
///
/// Knative's ingress, activator and queue-proxy are one hop here. `RouteTable` says who answers
/// for a host, `Throttler` holds one queue per revision for the whole process and hands requests
/// to its endpoints, `Activator` owns the throttlers, `Router` is the door. Endpoints are any
/// `http::Handler`; who starts them is somebody else's business, told through `Demand`.
/// Everything belongs to its loop except `RouteTable`, which is immutable.
///
/// \code
/// knative::Activator activator(timers, random, demand);
/// knative::Throttler& hello = activator.add({.revision = "default/hello-00001"});
/// hello.add_endpoint(instance);
/// knative::Router router(activator, random);
/// router.set_table(knative::RouteTable::make({{.name = "hello", .hosts = {"hello.local"},
///     .targets = {{"default/hello-00001", 100}}}}).value());
/// \endcode
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/http.hpp"
#include "knative/metrics.hpp"
#include "knative/task.hpp"

namespace knative {

// ---------------------------------------------------------------------------- routes

/// A revision and its share of a route's traffic.
struct RouteTarget {
  std::string revision;  ///< Key, e.g. "default/hello-00001".
  int percent = 0;
  friend bool operator==(const RouteTarget&, const RouteTarget&) = default;
};

/// A name for one revision, reached by hosts of its own.
struct RouteTag {
  std::string tag;
  std::string revision;
  std::vector<std::string> hosts;
  friend bool operator==(const RouteTag&, const RouteTag&) = default;
};

/// One route: its hosts share the targets.
struct RouteRule {
  std::string name;  ///< For messages, e.g. "default/hello".
  std::vector<std::string> hosts;
  std::vector<RouteTarget> targets;  ///< Equal revisions are merged, 0 % dropped.
  std::vector<RouteTag> tags;
  friend bool operator==(const RouteRule&, const RouteRule&) = default;
};

/// Which rule answers for which host. Immutable and therefore thread-safe.
class KNATIVE_EXPORT RouteTable {
 public:
  /// Fails with `invalid_argument` when a rule's percents do not sum to 100, a percent is
  /// negative, or two rules or tags claim one host.
  static Result<std::shared_ptr<const RouteTable>> make(std::vector<RouteRule> rules);
  ~RouteTable();

  static constexpr std::uint32_t no_tag = std::numeric_limits<std::uint32_t>::max();
  struct Match {
    std::uint32_t rule = 0;      ///< Index into `rules()`.
    std::uint32_t tag = no_tag;  ///< Index into its tags.
  };
  /// Find by host name without port; case does not matter.
  std::optional<Match> find(std::string_view host) const;
  const std::vector<RouteRule>& rules() const noexcept { return rules_; }

 private:
  struct Index;
  RouteTable() = default;
  std::vector<RouteRule> rules_;
  std::unique_ptr<const Index> index_;
};

/// Deals out targets so that every full deck holds each target exactly by its percent. The order
/// inside a deck is random: a pattern in the traffic must not meet a pattern in the split.
class KNATIVE_EXPORT TrafficSplit {
 public:
  /// `percents` sum to 100.
  TrafficSplit(const std::vector<int>& percents, const Random& random);
  /// Index of the next target. Does not allocate.
  std::size_t next() noexcept;
  /// Requests per deck: 100 divided by the percents' common divisor.
  std::size_t deck_size() const noexcept { return deck_.size(); }

 private:
  std::vector<std::uint8_t> deck_;
  std::size_t dealt_ = 0;
  Random random_;
};

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
  int container_concurrency = 0;                 ///< Requests at once per endpoint; 0: no limit.
  Duration timeout = std::chrono::seconds(300);  ///< Whole request with waiting (504); 0: none.
  int queue_depth_max = 10'000;                  ///< Requests that may wait (503).
  Duration wait_max{0};                 ///< Longest wait for an endpoint (503); 0: `timeout`.
  std::chrono::seconds retry_after{1};  ///< Sent with 503.
  /// On the revision's series; empty: revision_name, the key. Alike for all of one registry.
  MetricLabels labels;
  friend bool operator==(const RevisionOptions&, const RevisionOptions&) = default;
};

/// One revision's queue in front of its endpoints. Concurrency per endpoint is enforced exactly.
///
/// Picks an endpoint as Knative's activator does: without a limit the less busy of two random
/// ones, with a limit up to 3 the first free one, above that the next free one in turn.
class KNATIVE_EXPORT Throttler final : public http::Handler {
 public:
  /// `metrics`, when given, must outlive the throttler.
  Throttler(Timers& timers, const Random& random, Demand& demand, RevisionOptions options,
            Metrics* metrics = nullptr);
  ~Throttler() override;

  /// Answer through an endpoint: 503 with Retry-After when the queue is full or waited too long,
  /// 504 after the timeout, 500 when the endpoint threw, 502 when it was aborted.
  Task<http::Response> handle(http::Request& request) override;

  /// Send requests to `endpoint`, which must stay until it was removed and drained or aborted.
  void add_endpoint(http::Handler& endpoint);
  /// Send no more requests there, from this call on. The task is done when those in progress
  /// (with their streamed bodies) have ended.
  Task<void> remove_endpoint(http::Handler& endpoint);
  /// Forget `endpoint` and drop what is in progress there; it is not used after the return.
  void abort_endpoint(http::Handler& endpoint) noexcept;
  /// Answer everyone who waits with 503 and `detail`: the revision cannot start.
  void fail_waiting(std::string_view detail);
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
    std::uint64_t failed = 0;     ///< 500 or 502 made here.
  };
  const Counters& counters() const noexcept;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

/// The throttlers of a process by revision.
class KNATIVE_EXPORT Activator {
 public:
  /// `metrics`, when given, gets counts and latencies of requests and queue depths per revision.
  Activator(Timers& timers, const Random& random, Demand& demand, Metrics* metrics = nullptr);
  /// All requests must have ended.
  ~Activator();
  Activator(const Activator&) = delete;
  Activator& operator=(const Activator&) = delete;

  /// Add a revision, or update the limits of a known one.
  Throttler& add(const RevisionOptions& options);
  /// Null for an unknown key. The pointer is valid until `remove`.
  Throttler* find(std::string_view revision) const noexcept;
  /// Forget a revision: who waits gets 503; requests in progress may end.
  void remove(std::string_view revision);
  /// Changes with every `add` of a new revision and every `remove`.
  std::uint64_t version() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// ---------------------------------------------------------------------------- router

struct RouterOptions {
  /// Let "Knative-Serving-Tag: name" choose a tag on the default host (feature
  /// tag-header-based-routing).
  bool tag_header_routing = false;
  /// Add X-Forwarded-* and Forwarded (RFC 7239) to requests that came over the network.
  bool forwarded = true;
};

/// The door: chooses a revision by Host and hands the request to its throttler. 404 for a host
/// without a route. Headers internal to Knative are removed from what clients send.
class KNATIVE_EXPORT Router final : public http::Handler {
 public:
  Router(Activator& activator, const Random& random, RouterOptions options = {});
  ~Router() override;

  /// Use `table` for requests from now on. The split of a rule that did not change goes on.
  void set_table(std::shared_ptr<const RouteTable> table);
  const std::shared_ptr<const RouteTable>& table() const noexcept;

  Task<http::Response> handle(http::Request& request) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The Forwarded value for X-Forwarded-For, -Host and -Proto values (empty: absent): one `for=`
/// element per address, IPv6 in brackets and quotes, host and proto with the first element.
KNATIVE_EXPORT std::string forwarded_value(std::string_view addresses, std::string_view host,
                                           std::string_view proto);

}  // namespace knative
