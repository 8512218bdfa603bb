#include <algorithm>
#include <limits>

#include "engines/router/throttler_state.hpp"

namespace knative {
namespace {

constexpr int unlimited = std::numeric_limits<int>::max();
/// Up to this concurrency endpoints are filled in order, above it in turn.
constexpr int first_available_max = 3;

Breaker::Options breaker_options(const RevisionOptions& options) {
  return Breaker::Options{.queue_depth_max = std::max(1, options.queue_depth_max),
                          .concurrency_max = unlimited};
}

}  // namespace

// ---------------------------------------------------------------------------- lease

Lease::Lease(Throttler::State& state, bool proxied) noexcept : state_(&state), proxied_(proxied) {
  ++state.counters.requests;
  state.stats.arrived(state.timers.now(), proxied);
}

void Lease::take(ThrottledEndpoint& endpoint, Breaker::Slot slot) noexcept {
  endpoint_ = &endpoint;
  slot_ = std::move(slot);
  ++endpoint.in_flight;
}

Lease::~Lease() {
  if (state_ == nullptr) return;
  if (endpoint_ != nullptr) {
    --endpoint_->in_flight;
    if (endpoint_->draining) {
      --state_->draining_in_flight;
      state_->update_capacity();
      if (endpoint_->in_flight == 0) endpoint_->idle.set();
    }
  }
  slot_.reset();
  state_->stats.finished(state_->timers.now(), proxied_);
}

// ---------------------------------------------------------------------------- body

LeasedBody::LeasedBody(Lease lease, http::Body inner, std::optional<Instant> deadline) noexcept
    : lease_(std::move(lease)),
      inner_(std::move(inner)),
      deadline_(deadline),
      length_(inner_.length()) {
  ThrottledEndpoint& endpoint = lease_.endpoint();
  next_ = endpoint.bodies;
  if (next_ != nullptr) next_->previous_ = this;
  endpoint.bodies = this;
}

LeasedBody::~LeasedBody() {
  unlink();
  inner_ = http::Body();
}

void LeasedBody::unlink() noexcept {
  if (!linked_) return;
  linked_ = false;
  (previous_ != nullptr ? previous_->next_ : lease_.endpoint().bodies) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
}

void LeasedBody::abort() noexcept {
  unlink();
  inner_ = http::Body();
}

std::string_view LeasedBody::take_ready() {
  return inner_.streamed() ? inner_.source()->take_ready() : std::string_view();
}

Task<Result<std::string_view>> LeasedBody::next() {
  if (!inner_.streamed()) {
    co_return fail(Errc::unavailable, "the instance stopped while answering");
  }
  GuardedTask<Result<std::string_view>> read(lease_.endpoint(), inner_.source()->next());
  if (deadline_) lease_.state().timers.arm(read, *deadline_);
  co_await read;
  if (read.end() == Operation::End::aborted) {
    co_return fail(Errc::unavailable, "the instance stopped while answering");
  }
  if (read.end() == Operation::End::expired) {
    ++lease_.state().counters.timed_out;
    co_return fail(Errc::deadline_exceeded, "request timeout");
  }
  co_return read.take();
}

// ---------------------------------------------------------------------------- metrics

namespace {

MetricLabels labels_of(const RevisionOptions& options) {
  if (!options.labels.empty()) return options.labels;
  return {{"revision_name", options.revision}};
}

}  // namespace

RevisionMetrics::RevisionMetrics(Metrics& metrics, const Throttler::State& state)
    : series_(metrics, labels_of(state.options)),
      answers_(series_, {"revision_request_count", "Requests answered for a revision.",
                         "revision_request_latencies",
                         "Milliseconds from arrival to the answer's head, waiting included."}) {
  series_.gauge_from("revision_queue_depth", "Requests that wait for or are in an instance.",
                     [&state] { return static_cast<double>(state.breaker.pending()); });
  series_.gauge_from("activator_request_concurrency",
                     "Requests inside: waiting, in an instance, or still sending their body.",
                     [&state] { return static_cast<double>(state.stats.concurrency()); });
  series_.gauge_from("knative_revision_waiting_requests", "Requests that wait for an instance.",
                     [&state] { return static_cast<double>(state.breaker.waiting()); });
}

// ---------------------------------------------------------------------------- state

Throttler::State::State(Timers& t, const Random& r, Demand& d, RevisionOptions o, Metrics* m)
    : timers(t),
      random(r.split(o.revision)),
      demand(d),
      options(std::move(o)),
      breaker(breaker_options(options)),
      stats(t.now()) {
  if (m != nullptr) metrics.emplace(*m, *this);
}

Throttler::State::~State() = default;

ThrottledEndpoint* Throttler::State::pick() noexcept {
  if (endpoints.empty()) return nullptr;
  if (options.container_concurrency <= 0) return pick_less_busy();
  return pick_free(options.container_concurrency <= first_available_max ? 0 : turn);
}

ThrottledEndpoint* Throttler::State::pick_less_busy() noexcept {
  const std::size_t n = endpoints.size();
  if (n == 1) return endpoints.front().get();
  const std::size_t first = random.below(n);
  std::size_t second = random.below(n - 1);
  if (second >= first) ++second;
  ThrottledEndpoint* a = endpoints[first].get();
  ThrottledEndpoint* b = endpoints[second].get();
  return b->in_flight < a->in_flight ? b : a;
}

ThrottledEndpoint* Throttler::State::pick_free(std::size_t start) noexcept {
  const std::size_t n = endpoints.size();
  for (std::size_t step = 0; step < n; ++step) {
    const std::size_t at = (start + step) % n;
    if (endpoints[at]->in_flight < options.container_concurrency) {
      turn = (at + 1) % n;
      return endpoints[at].get();
    }
  }
  return nullptr;
}

void Throttler::State::update_capacity() noexcept {
  if (options.container_concurrency <= 0) {
    breaker.set_capacity(endpoints.empty() ? 0 : unlimited);
    return;
  }
  // What still runs on draining endpoints holds slots too, but takes none from the others.
  const std::int64_t capacity =
      std::int64_t{options.container_concurrency} * static_cast<std::int64_t>(endpoints.size()) +
      draining_in_flight;
  breaker.set_capacity(static_cast<int>(std::min<std::int64_t>(capacity, unlimited)));
}

void Throttler::State::sweep() noexcept {
  std::erase_if(draining, [](const auto& endpoint) { return endpoint->in_flight == 0; });
}

Task<std::optional<http::Response>> Throttler::State::wait(Lease& lease, Instant arrival) {
  const bool short_wait = options.wait_max.count() > 0 &&
                          (options.timeout.count() <= 0 || options.wait_max < options.timeout);
  const Duration longest = short_wait ? options.wait_max : options.timeout;
  while (true) {
    if (breaker.waiting() >= options.queue_depth_max) {
      ++counters.rejected;
      co_return http::unavailable("pending request queue full", options.retry_after);
    }
    if (endpoints.empty() && breaker.waiting() == 0) demand.wanted(options.revision);
    Breaker::Acquire acquire =
        longest.count() > 0 ? breaker.acquire(timers, arrival + longest) : breaker.acquire();
    Result<Breaker::Slot> slot = co_await acquire;
    if (!slot && slot.error().code == Errc::deadline_exceeded && !short_wait) {
      ++counters.timed_out;
      co_return http::error_response(504, "activator request timeout");
    }
    if (!slot) {
      ++counters.rejected;
      const bool ended = slot.error().code == Errc::unavailable && !failure.empty();
      co_return http::unavailable(ended ? failure : slot.error().detail, options.retry_after);
    }
    // The endpoint may have gone between the grant and now; then wait again.
    if (ThrottledEndpoint* endpoint = pick()) {
      lease.take(*endpoint, std::move(*slot));
      co_return std::nullopt;
    }
  }
}

Task<http::Response> Throttler::State::serve(http::Request& request) {
  Lease lease(*this, false);
  const Instant arrival = timers.now();
  Breaker::Slot slot = breaker.try_acquire();
  ThrottledEndpoint* free = slot ? pick() : nullptr;
  if (free != nullptr) {
    lease.take(*free, std::move(slot));
  } else {
    slot.reset();
    std::optional<http::Response> in_vain = co_await wait(lease, arrival);
    if (in_vain) {
      answered(in_vain->status, arrival);
      co_return std::move(*in_vain);
    }
  }
  const std::optional<Instant> deadline =
      options.timeout.count() > 0 ? std::optional(arrival + options.timeout) : std::nullopt;
  http::Response response;
  {
    ThrottledEndpoint& endpoint = lease.endpoint();
    GuardedTask<http::Response> call(endpoint, endpoint.handler->handle(request));
    if (deadline) timers.arm(call, *deadline);
    co_await call;
    if (call.end() == Operation::End::aborted) {
      ++counters.failed;
      answered(502, arrival);
      co_return http::error_response(502, "the instance stopped while answering");
    }
    if (call.end() == Operation::End::expired) {
      ++counters.timed_out;
      answered(504, arrival);
      co_return http::error_response(504, "request timeout");
    }
    try {
      response = call.take();
      ++counters.completed;
    } catch (...) {
      ++counters.failed;
      response = http::error_response(500, "the function failed");
    }
  }
  answered(response.status, arrival);
  if (response.body.streamed()) {
    response.body = http::Body(
        std::make_unique<LeasedBody>(std::move(lease), std::move(response.body), deadline));
  }
  co_return response;
}

// ---------------------------------------------------------------------------- throttler

Throttler::Throttler(Timers& timers, const Random& random, Demand& demand, RevisionOptions options,
                     Metrics* metrics)
    : state_(std::make_unique<State>(timers, random, demand, std::move(options), metrics)) {}

Throttler::~Throttler() = default;

Task<http::Response> Throttler::handle(http::Request& request) { return state_->serve(request); }

void Throttler::add_endpoint(http::Handler& endpoint) {
  state_->sweep();
  state_->endpoints.push_back(std::make_shared<ThrottledEndpoint>(endpoint));
  state_->update_capacity();
}

namespace {

using Endpoints = std::vector<std::shared_ptr<ThrottledEndpoint>>;

Endpoints::iterator find_endpoint(Endpoints& endpoints, const http::Handler& handler) {
  return std::find_if(endpoints.begin(), endpoints.end(),
                      [&handler](const auto& other) { return other->handler == &handler; });
}

Task<void> wait_idle(std::shared_ptr<ThrottledEndpoint> endpoint) {
  if (endpoint) co_await endpoint->idle.wait();
}

}  // namespace

Task<void> Throttler::remove_endpoint(http::Handler& endpoint) {
  state_->sweep();
  const auto found = find_endpoint(state_->endpoints, endpoint);
  if (found == state_->endpoints.end()) return wait_idle(nullptr);
  std::shared_ptr<ThrottledEndpoint> leaving = std::move(*found);
  state_->endpoints.erase(found);
  leaving->draining = true;
  if (leaving->in_flight == 0) {
    leaving->idle.set();
  } else {
    state_->draining.push_back(leaving);
    state_->draining_in_flight += leaving->in_flight;
  }
  state_->update_capacity();
  return wait_idle(std::move(leaving));
}

void Throttler::abort_endpoint(http::Handler& endpoint) noexcept {
  // Whoever is cut off gives its place back later, so the record stays with the draining ones.
  Task<void> drained = remove_endpoint(endpoint);
  drained.reset();
  const auto found = find_endpoint(state_->draining, endpoint);
  if (found == state_->draining.end()) return;
  const std::shared_ptr<ThrottledEndpoint> leaving = *found;
  leaving->handler = nullptr;
  while (leaving->operations != nullptr) leaving->operations->abort();
  while (leaving->bodies != nullptr) leaving->bodies->abort();
}

void Throttler::fail_waiting(std::string_view detail) {
  state_->failure = detail;
  state_->breaker.fail_waiting();
}

void Throttler::update(const RevisionOptions& options) {
  state_->options = options;
  state_->update_capacity();
}

const RevisionOptions& Throttler::options() const noexcept { return state_->options; }
int Throttler::endpoints() const noexcept { return static_cast<int>(state_->endpoints.size()); }
int Throttler::waiting() const noexcept { return state_->breaker.waiting(); }
int Throttler::in_flight() const noexcept { return state_->stats.concurrency(); }
RequestStats& Throttler::stats() noexcept { return state_->stats; }
const Throttler::Counters& Throttler::counters() const noexcept { return state_->counters; }

}  // namespace knative
