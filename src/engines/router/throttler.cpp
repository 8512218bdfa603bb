#include <algorithm>
#include <charconv>
#include <limits>

#include "engines/router/throttler_state.hpp"
#include "wire/http_access.hpp"

namespace knative {
namespace {

constexpr int unlimited = std::numeric_limits<int>::max();
/// Up to this concurrency endpoints are filled in order, above it in turn.
constexpr int first_available_max = 3;
/// How often a request that does not reach its endpoint is sent to one.
constexpr int attempts_max = 5;
/// Before the second attempt at the only endpoint; four times as long before each further one.
constexpr Duration attempt_pause = std::chrono::milliseconds(5);
constexpr std::string_view revision_gone = "the revision was deleted";

Breaker::Options breaker_options(const RevisionOptions& options) {
  return Breaker::Options{.queue_depth_max = std::max(1, options.queue_depth_max),
                          .concurrency_max = unlimited};
}

}  // namespace

// ---------------------------------------------------------------------------- lease

Lease::Lease(StateRef state) noexcept : state_(std::move(state)) {
  Throttler::State& inside = *state_.get();
  ++inside.counters.requests;
  inside.stats.arrived(inside.timers.now());
}

void Lease::take(ThrottledEndpoint& endpoint, Breaker::Slot slot) noexcept {
  endpoint_ = &endpoint;
  slot_ = std::move(slot);
  ++endpoint.in_flight;
}

void Lease::give_back() noexcept {
  if (endpoint_ == nullptr) return;
  ThrottledEndpoint& endpoint = *std::exchange(endpoint_, nullptr);
  --endpoint.in_flight;
  if (endpoint.draining) {
    Throttler::State& state = *state_.get();
    --state.draining_in_flight;
    state.update_capacity();
    if (endpoint.in_flight == 0) {
      endpoint.idle.set();
      state.forget_draining(endpoint);
    }
  }
  slot_.reset();
}

Lease::~Lease() {
  if (state_.get() == nullptr) return;
  give_back();
  Throttler::State& state = *state_.get();
  state.stats.finished(state.timers.now());
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
  Throttler::State& state = lease_.state();
  GuardedTask<Result<std::string_view>> read(lease_.endpoint(), inner_.source()->next(),
                                             state.options.hops_max);
  const Duration idle = state.options.idle_timeout;
  std::optional<Instant> deadline = deadline_;
  if (idle.count() > 0) {
    const Instant silent = state.timers.now() + idle;
    deadline = deadline ? std::min(*deadline, silent) : silent;
  }
  if (deadline) state.timers.arm(read, *deadline);
  co_await read;
  if (read.end() == Operation::End::aborted) {
    co_return fail(Errc::unavailable, "the instance stopped while answering");
  }
  if (read.end() == Operation::End::expired) {
    ++state.counters.timed_out;
    co_return fail(Errc::deadline_exceeded, "request timeout");
  }
  if (read.end() == Operation::End::looped) {
    co_return fail(Errc::failed_precondition, "services call each other without end");
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
      demand(&d),
      options(std::move(o)),
      breaker(breaker_options(options)),
      stats(t.now()) {
  update_silence();
  if (m != nullptr) metrics.emplace(*m, *this);
}

Throttler::State::~State() = default;

ThrottledEndpoint* Throttler::State::pick() noexcept {
  if (endpoints.empty()) return nullptr;
  if (options.container_concurrency <= 0) return pick_less_busy();
  return pick_free(options.container_concurrency <= first_available_max ? 0 : turn);
}

ThrottledEndpoint* Throttler::State::pick_another(const ThrottledEndpoint& avoided) noexcept {
  ThrottledEndpoint* picked = pick();
  if (picked == nullptr || picked != &avoided) return picked;
  const int limit = options.container_concurrency > 0 ? options.container_concurrency : unlimited;
  for (const auto& other : endpoints) {
    if (other.get() != &avoided && other->in_flight < limit) return other.get();
  }
  return picked;
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

void Throttler::State::update_silence() noexcept {
  longest_silence = Duration{0};
  for (const Duration limit : {options.response_start_timeout, options.idle_timeout}) {
    if (limit.count() <= 0) continue;
    longest_silence = longest_silence.count() > 0 ? std::min(longest_silence, limit) : limit;
  }
}

void Throttler::State::forget_draining(const ThrottledEndpoint& endpoint) noexcept {
  std::erase_if(draining, [&endpoint](const auto& other) { return other.get() == &endpoint; });
}

void Throttler::State::retire() noexcept {
  if (demand == nullptr) return;
  demand = nullptr;
  failure = revision_gone;
  breaker.fail_waiting();
}

Task<std::optional<http::Response>> Throttler::State::wait(Lease& lease, Instant arrival) {
  const bool short_wait = options.wait_max.count() > 0 &&
                          (options.timeout.count() <= 0 || options.wait_max < options.timeout);
  const Duration longest = short_wait ? options.wait_max : options.timeout;
  while (true) {
    if (demand == nullptr) {
      ++counters.rejected;
      co_return http::unavailable(revision_gone, options.retry_after);
    }
    if (breaker.waiting() >= options.queue_depth_max) {
      ++counters.rejected;
      co_return http::unavailable("pending request queue full", options.retry_after);
    }
    if (endpoints.empty() && breaker.waiting() == 0) demand->wanted(options.revision);
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

namespace {

/// What was read ahead of a body, then the rest of it.
class HeldBody final : public http::BodySource {
 public:
  HeldBody(std::string head, http::Body rest, std::optional<std::uint64_t> length) noexcept
      : head_(std::move(head)), rest_(std::move(rest)), length_(length) {}
  Task<Result<std::string_view>> next() override {
    if (std::exchange(given_, true)) return rest_.source()->next();
    return whole_head();
  }
  std::string_view take_ready() override {
    if (std::exchange(given_, true)) return rest_.source()->take_ready();
    return head_;
  }
  std::optional<std::uint64_t> length() const override { return length_; }

 private:
  Task<Result<std::string_view>> whole_head() { co_return std::string_view(head_); }
  std::string head_;
  http::Body rest_;
  std::optional<std::uint64_t> length_;
  bool given_ = false;
};

/// A connection that was taken over keeps its request's place at the endpoint.
class LeasedTunnel final : public http::Tunnel {
 public:
  LeasedTunnel(Lease lease, std::unique_ptr<http::Tunnel> inner) noexcept
      : lease_(std::move(lease)), inner_(std::move(inner)) {}
  Task<void> run(std::unique_ptr<Stream> stream) override { return inner_->run(std::move(stream)); }
  std::unique_ptr<Stream> take_stream() override { return inner_->take_stream(); }

 private:
  Lease lease_;
  std::unique_ptr<http::Tunnel> inner_;
};

int status_of_body_failure(const Error& error) noexcept {
  switch (error.code) {
    case Errc::resource_exhausted: return 413;
    case Errc::deadline_exceeded: return 408;
    default: return 400;
  }
}

/// Hops that a request from outside says it has made.
int hops_said(const http::Request& request) noexcept {
  if ((http::HeadersAccess::names(request.headers) & http::wire::name_own) == 0) return 0;
  int hops = 0;
  if (const auto text = request.headers.get(hops_header)) {
    std::from_chars(text->data(), text->data() + text->size(), hops);
  }
  return std::max(0, hops);
}

}  // namespace

Task<std::optional<http::Response>> Throttler::State::take_in(http::Request& request,
                                                              Instant arrival) {
  std::string head;
  const std::optional<std::uint64_t> length = request.body.length();
  const std::optional<Instant> deadline = deadline_of(arrival);
  http::BodySource& source = *request.body.source();
  while (head.size() < body_ahead_bytes) {
    std::string_view piece = source.take_ready();
    if (piece.empty()) {
      Task<Result<std::string_view>> next = source.next();
      std::optional<Result<std::string_view>> read;
      if (deadline) {
        read = co_await with_deadline(timers, std::move(next), *deadline);
      } else {
        read.emplace(co_await next);
      }
      if (!read || !*read) {
        ++counters.failed;
        const int status = read ? status_of_body_failure(read->error()) : 408;
        answered(status, arrival);
        co_return http::error_response(status, "the body of the request did not arrive");
      }
      piece = **read;
    }
    if (piece.empty()) {
      request.body = http::Body(std::move(head));
      co_return std::nullopt;
    }
    head.append(piece);
  }
  request.body =
      http::Body(std::make_unique<HeldBody>(std::move(head), std::move(request.body), length));
  co_return std::nullopt;
}

http::Response& Throttler::State::answer_of(GuardedTask<http::Response>& call,
                                            std::optional<http::Response>& made) noexcept {
  switch (call.end()) {
    case Operation::End::none: break;
    case Operation::End::expired:
      ++counters.timed_out;
      return made.emplace(http::error_response(504, "request timeout"));
    case Operation::End::looped:
      ++counters.failed;
      return made.emplace(http::error_response(508, "services call each other without end"));
    case Operation::End::aborted:
      ++counters.failed;
      return made.emplace(http::error_response(502, "the instance stopped while answering"));
  }
  try {
    http::Response& response = call.value();
    ++counters.completed;
    return response;
  } catch (...) {
    ++counters.failed;
    return made.emplace(http::error_response(500, "the function failed"));
  }
}

Task<void> Throttler::State::before_another(int attempt, const ThrottledEndpoint& unreached) {
  --counters.completed;
  ++counters.retried;
  // When it is the only one: it may have ended without our knowing yet.
  if (endpoints.size() == 1 && endpoints.front().get() == &unreached) {
    co_await timers.sleep_for(attempt_pause * (1 << (2 * (attempt - 1))));
  }
}

Task<http::Response> Throttler::State::serve(StateRef self, http::Request& request) {
  State& state = *self.get();
  const Instant arrival = state.timers.now();
  std::optional<http::Response> in_vain;
  if (state.options.container_concurrency > 0 && request.body.streamed()) {
    in_vain = co_await state.take_in(request, arrival);
    if (in_vain) co_return std::move(*in_vain);
  }
  Lease lease(std::move(self));
  int hops = request.peer.empty() ? 0 : hops_said(request);
  if (state.options.remote) {
    hops = std::max(hops, co_await CurrentHops());
    const std::string count = std::to_string(hops + 1);
    if ((http::HeadersAccess::names(request.headers) & http::wire::name_own) == 0) {
      http::HeadersAccess::append(request.headers, hops_header, count);
    } else {
      request.headers.set(hops_header, count);
    }
  }
  const ThrottledEndpoint* unreached = nullptr;
  for (int attempt = 1;; ++attempt) {
    Breaker::Slot slot = state.breaker.try_acquire();
    ThrottledEndpoint* free = nullptr;
    if (slot) free = unreached == nullptr ? state.pick() : state.pick_another(*unreached);
    if (free != nullptr) {
      lease.take(*free, std::move(slot));
    } else {
      slot.reset();
      in_vain = co_await state.wait(lease, arrival);
      if (in_vain) {
        state.answered(in_vain->status, arrival);
        co_return std::move(*in_vain);
      }
    }
    {
      ThrottledEndpoint& endpoint = lease.endpoint();
      GuardedTask<http::Response> call(endpoint, endpoint.handler->handle(request),
                                       state.options.hops_max, hops);
      if (const auto deadline = state.answer_deadline(arrival)) state.timers.arm(call, *deadline);
      co_await call;
      http::Response& response = state.answer_of(call, in_vain);
      if (!response.unreached || attempt == attempts_max) {
        if (response.unreached) state.never_reached();
        state.answered(response.status, arrival);
        if (response.tunnel != nullptr) {
          response.tunnel =
              std::make_unique<LeasedTunnel>(std::move(lease), std::move(response.tunnel));
        } else if (response.body.streamed()) {
          response.body = http::Body(std::make_unique<LeasedBody>(
              std::move(lease), std::move(response.body), state.deadline_of(arrival)));
        }
        co_return std::move(response);
      }
    }
    unreached = &lease.endpoint();
    lease.give_back();
    Task<void> pause = state.before_another(attempt, *unreached);
    co_await std::move(pause);
  }
}

// ---------------------------------------------------------------------------- throttler

Throttler::Throttler(Timers& timers, const Random& random, Demand& demand, RevisionOptions options,
                     Metrics* metrics)
    : state_(new State(timers, random, demand, std::move(options), metrics)) {}

Throttler::~Throttler() {
  state_->retire();
  state_->metrics.reset();  // what it counts in may end with its owner
  if (--state_->users == 0) delete state_;
}

Task<http::Response> Throttler::handle(http::Request& request) {
  return State::serve(StateRef(*state_), request);
}

void Throttler::add_endpoint(std::shared_ptr<http::Handler> endpoint) {
  state_->endpoints.push_back(std::make_shared<ThrottledEndpoint>(std::move(endpoint)));
  state_->update_capacity();
}

namespace {

using Endpoints = std::vector<std::shared_ptr<ThrottledEndpoint>>;

Endpoints::iterator find_endpoint(Endpoints& endpoints, const http::Handler& handler) {
  return std::find_if(endpoints.begin(), endpoints.end(),
                      [&handler](const auto& other) { return other->handler.get() == &handler; });
}

Task<void> wait_idle(std::shared_ptr<ThrottledEndpoint> endpoint) {
  if (endpoint) co_await endpoint->idle.wait();
}

}  // namespace

Task<void> Throttler::remove_endpoint(const http::Handler& endpoint) {
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

void Throttler::abort_endpoint(const http::Handler& endpoint) noexcept {
  // Whoever is cut off gives its place back later, so the record stays with the draining ones. An
  // endpoint that drained and came back has several.
  Task<void> drained = remove_endpoint(endpoint);
  drained.reset();
  const Endpoints draining = state_->draining;
  for (const std::shared_ptr<ThrottledEndpoint>& leaving : draining) {
    if (leaving->handler.get() != &endpoint) continue;
    while (leaving->operations != nullptr) leaving->operations->abort();
    while (leaving->bodies != nullptr) leaving->bodies->abort();
  }
}

void Throttler::fail_waiting(std::string_view reason) {
  state_->failure = reason;
  state_->breaker.fail_waiting();
}

void Throttler::retire() noexcept { state_->retire(); }

void Throttler::update(const RevisionOptions& options) {
  state_->options = options;
  state_->update_silence();
  state_->update_capacity();
}

const RevisionOptions& Throttler::options() const noexcept { return state_->options; }
int Throttler::endpoints() const noexcept { return static_cast<int>(state_->endpoints.size()); }
int Throttler::waiting() const noexcept { return state_->breaker.waiting(); }
int Throttler::in_flight() const noexcept { return state_->stats.concurrency(); }
RequestStats& Throttler::stats() noexcept { return state_->stats; }
const Throttler::Counters& Throttler::counters() const noexcept { return state_->counters; }

}  // namespace knative
