// The in-memory network: connections are two pipes of segments that arrive after a latency.
//
// Like TCP: bytes come in order, a full buffer stops the writer, closing with unread bytes resets,
// a segment to a closed receiver resets, a partition holds segments back until it heals or the
// sender gives up. A reset lets the receiver read what has arrived, then fails.
#include <algorithm>
#include <deque>

#include "simulation/world.hpp"

namespace knative::simulation {
namespace {

class SimStream;
class SimListener;
class VirtualNetwork;
struct Link;

constexpr std::size_t segment_bytes_max = 64 * 1024;
constexpr std::size_t slow_buffer_bytes_max = 16 * 1024;

struct Segment {
  enum class What : unsigned char { data, finish, reset };
  Instant due{};
  What what = What::data;
  std::string bytes;
};

/// One direction of a connection, from side `from` to the other side.
class Pipe final : public TimerNode {
 public:
  Pipe(Link& link, int from) noexcept : link_(link), from_(from) {}

  std::size_t room() const noexcept { return held_ < held_max ? held_max - held_ : 0; }
  std::string_view inbox() const noexcept { return std::string_view(inbox_).substr(taken_); }
  bool finished() const noexcept { return finished_; }
  void send(std::string bytes);
  void send_finish() { push(Segment::What::finish, {}); }
  void send_reset();
  /// The receiver took `count` bytes from the inbox.
  void consume(std::size_t count);
  void drop_flying() noexcept;
  /// A partition ended: everything that waits sets out again.
  void resend();
  std::size_t in_flight() const noexcept { return flying_.size(); }

  std::string label;
  std::size_t held_max = 0;
  std::uint64_t bytes_per_second = 0;
  std::uint64_t written = 0;
  std::optional<std::uint64_t> cut_at;

 private:
  void push(Segment::What what, std::string bytes);
  void fire() noexcept override;
  void deliver(Segment segment);
  void stall();

  Link& link_;
  int from_;
  std::deque<Segment> flying_;
  std::string inbox_;
  std::size_t taken_ = 0;
  std::size_t held_ = 0;  // written and not yet read
  Instant line_free_{};
  Instant last_due_{};
  std::optional<Instant> stalled_since_;
  bool finished_ = false;
};

/// A connection; kept by its two ends.
struct Link {
  Link(VirtualNetwork& net, std::string a, std::string b);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  /// Side `side` learns that the connection is broken.
  void break_end(int side);
  /// Side `side` breaks the connection: it knows at once, the other side after a latency.
  void break_from(int side);

  VirtualNetwork& network;
  std::uint64_t id;
  std::string hosts[2];
  std::string peers[2];  // what each side sees as its peer
  SimStream* ends[2] = {nullptr, nullptr};
  bool broken[2] = {false, false};
  Pipe forth;
  Pipe back;
  Pipe& from(int side) noexcept { return side == 0 ? forth : back; }
};

class SimStream final : public Stream {
 public:
  SimStream(std::shared_ptr<Link> link, int side) : link_(std::move(link)), side_(side) {
    link_->ends[side_] = this;
  }
  ~SimStream() override {
    KN_ASSERT(read_ == nullptr && write_ == nullptr);
    link_->ends[side_] = nullptr;
    if (aborted_ || link_->broken[side_]) return;
    if (!in().inbox().empty()) {
      out().send_reset();
    } else if (!shut_) {
      out().send_finish();
    }
  }

  void shutdown_write() noexcept override {
    if (shut_ || aborted_ || link_->broken[side_]) return;
    shut_ = true;
    out().send_finish();
  }
  void abort() noexcept override;
  std::string peer() const override { return link_->peers[side_]; }

  /// Bytes arrived, or the connection ended.
  void readable() {
    if (read_ != nullptr && try_read(*read_)) read_ = nullptr;
  }
  /// Room in the buffer, or the connection ended.
  void writable() {
    if (write_ != nullptr && try_write(*write_)) write_ = nullptr;
  }

 protected:
  bool start(StreamOp& op) override;
  void cancel(StreamOp& op) noexcept override {
    if (read_ == &op) read_ = nullptr;
    if (write_ == &op) write_ = nullptr;
  }

 private:
  Pipe& in() noexcept { return link_->from(1 - side_); }
  Pipe& out() noexcept { return link_->from(side_); }
  Error broken_error() const {
    return fail(Errc::unavailable, "connection to " + link_->peers[side_] + " was lost");
  }
  void break_after_sent();
  bool try_read(StreamOp& op);
  bool try_write(StreamOp& op);
  std::string gather(const StreamOp& op, std::size_t count);

  std::shared_ptr<Link> link_;
  int side_;
  StreamOp* read_ = nullptr;
  StreamOp* write_ = nullptr;
  std::size_t written_ = 0;  // of the write in progress
  bool shut_ = false;
  bool aborted_ = false;
};

struct ListenKey {
  std::string host;
  std::uint16_t port = 0;
  std::string path;
  friend auto operator<=>(const ListenKey&, const ListenKey&) = default;
};

class SimListener final : public Listener {
 public:
  SimListener(VirtualNetwork& network, ListenKey key, Endpoint endpoint, ListenOptions options,
              bool loopback_only, std::uint64_t age)
      : loopback_only(loopback_only),
        reuse_port(options.reuse_port),
        age(age),
        network_(network),
        key_(std::move(key)),
        endpoint_(std::move(endpoint)),
        backlog_max_(static_cast<std::size_t>(std::max(1, options.backlog_max))) {}
  ~SimListener() override;

  Task<Result<std::unique_ptr<Stream>>> accept() override;
  Endpoint endpoint() const override { return endpoint_; }
  bool full() const noexcept { return backlog_.size() >= backlog_max_; }
  void offer(std::unique_ptr<Stream> stream) {
    backlog_.push_back(std::move(stream));
    arrived_.notify_all();
  }

  const bool loopback_only;
  const bool reuse_port;
  const std::uint64_t age;  // numbered as they are made

 private:
  VirtualNetwork& network_;
  ListenKey key_;
  Endpoint endpoint_;
  std::size_t backlog_max_;
  std::deque<std::unique_ptr<Stream>> backlog_;
  Wakeup arrived_;
};

bool is_loopback_name(const std::string& host) {
  return host.empty() || host == "localhost" || host == "::1" || host == "0.0.0.0" ||
         host == "::" || host.rfind("127.", 0) == 0;
}
bool is_any_address(const std::string& host) {
  return host.empty() || host == "0.0.0.0" || host == "::";
}

/// The network as one host sees it.
class View final : public Network {
 public:
  View(VirtualNetwork& network, std::string host, std::string address)
      : network_(network), host_(std::move(host)), address_(std::move(address)) {}
  using Network::listen;
  Result<std::unique_ptr<Listener>> listen(const Endpoint& endpoint,
                                           const ListenOptions& options) override;
  Task<Result<std::unique_ptr<Stream>>> connect(Endpoint endpoint) override;
  const std::string& host() const noexcept { return host_; }
  const std::string& address() const noexcept { return address_; }
  std::uint16_t next_client_port() noexcept {
    client_port_ = client_port_ >= 60'999 ? std::uint16_t{32'768}
                                          : static_cast<std::uint16_t>(client_port_ + 1);
    return client_port_;
  }

 private:
  VirtualNetwork& network_;
  std::string host_;
  std::string address_;
  std::uint16_t client_port_ = 32'767;
  std::uint16_t listen_port_ = 39'999;
};

class VirtualNetwork final : public NetworkWorld {
 public:
  VirtualNetwork(World& w, Random chance) : world(w), random(chance) { world.faults.on_heal(this); }
  ~VirtualNetwork() override { world.faults.on_heal(nullptr); }

  Network& add_host(const std::string& name, const std::string& address) override {
    return *views_.emplace(name, std::make_unique<View>(*this, name, address)).first->second;
  }
  void resend() override {
    for (const auto& entry : links_) {
      entry.second->forth.resend();
      entry.second->back.resend();
    }
  }

  void count(Census& census) const override {
    census.connecting += connecting;
    for (const auto& [id, link] : links_) {
      census.connections += link->ends[0] != nullptr || link->ends[1] != nullptr ? 1 : 0;
      census.in_flight += link->forth.in_flight() + link->back.in_flight();
    }
    for (const auto& [key, same] : listeners) census.listeners += same.size();
  }
  Value listeners_of(std::string_view host) const override {
    Value names = Value::List{};
    for (const auto& [key, same] : listeners) {
      if (key.host != host) continue;
      for (const SimListener* listener : same) names.push_back(listener->endpoint().to_string());
    }
    return names;
  }
  Value connections_of(std::string_view host) const override {
    std::map<std::string, std::int64_t> counts;
    for (const auto& [id, link] : links_) {
      const bool held = link->ends[0] != nullptr || link->ends[1] != nullptr;
      if (link->hosts[0] == host && held) ++counts[link->peers[0]];
    }
    Value by_peer = Value::Map{};
    for (const auto& [peer, number] : counts) by_peer[peer] = number;
    return by_peer;
  }

  std::optional<Endpoint> front_door(std::string_view host) const override {
    const SimListener* oldest = nullptr;
    for (const auto& [key, same] : listeners) {
      if (key.host != host || !key.path.empty() || same.empty()) continue;
      if (oldest == nullptr || same.front()->age < oldest->age) oldest = same.front();
    }
    if (oldest == nullptr) return std::nullopt;
    return oldest->endpoint();
  }

  View* resolve(View& from, const Endpoint& endpoint) {
    if (!endpoint.path.empty() || is_loopback_name(endpoint.host)) return &from;
    const auto found = views_.find(endpoint.host);
    if (found != views_.end()) return found->second.get();
    for (const auto& entry : views_) {
      if (entry.second->address() == endpoint.host) return entry.second.get();
    }
    return nullptr;
  }
  SimListener* find(const View& from, const View& to, const Endpoint& endpoint) {
    const auto found = listeners.find(key_of(to.host(), endpoint));
    if (found == listeners.end() || found->second.empty()) return nullptr;
    SimListener* listener = found->second[listen_turn_++ % found->second.size()];
    return listener->loopback_only && &from != &to ? nullptr : listener;
  }
  static ListenKey key_of(const std::string& host, const Endpoint& endpoint) {
    if (!endpoint.path.empty()) return ListenKey{host, 0, endpoint.path};
    return ListenKey{host, endpoint.port, {}};
  }
  Duration latency(const std::string& a, const std::string& b) {
    const SimulationOptions& o = world.options;
    const Duration low = a == b ? o.loopback_latency_min : o.network_latency_min;
    const Duration high = a == b ? o.loopback_latency_max : o.network_latency_max;
    Duration sampled =
        low + Duration(random.below(
                  static_cast<std::uint64_t>(std::max(high - low, Duration(0)).count()) + 1));
    const FaultPlan& plan = world.faults.plan();
    if (world.faults.chance(plan.latency_spike, "latency_spike", b)) {
      sampled +=
          Duration(world.faults.up_to(static_cast<std::uint64_t>(plan.latency_spike_max.count())));
    }
    return sampled;
  }
  std::shared_ptr<Link> join(View& client, View& server, const Endpoint& endpoint);

  World& world;
  Random random;
  std::map<ListenKey, std::vector<SimListener*>> listeners;
  std::uint64_t listeners_made = 0;
  std::size_t connecting = 0;

 private:
  friend struct Link;
  std::map<std::string, std::unique_ptr<View>> views_;
  std::map<std::uint64_t, Link*> links_;
  std::uint64_t next_link_ = 1;
  std::size_t listen_turn_ = 0;
};

// ---------------------------------------------------------------------------- link

Link::Link(VirtualNetwork& net, std::string a, std::string b)
    : network(net), id(net.next_link_++), forth(*this, 0), back(*this, 1) {
  hosts[0] = std::move(a);
  hosts[1] = std::move(b);
  network.links_.emplace(id, this);
}

Link::~Link() { network.links_.erase(id); }

void Link::break_end(int side) {
  if (broken[side]) return;
  broken[side] = true;
  from(side).drop_flying();
  network.world.record(TraceKind::close, from(side).label, 2);
  if (ends[side] != nullptr) {
    ends[side]->readable();
    ends[side]->writable();
  }
}

void Link::break_from(int side) {
  break_end(side);
  from(side).send_reset();
}

std::shared_ptr<Link> VirtualNetwork::join(View& client, View& server, const Endpoint& endpoint) {
  auto link = std::make_shared<Link>(*this, client.host(), server.host());
  if (endpoint.path.empty()) {
    const bool loopback = &client == &server;
    const std::string near = loopback ? "127.0.0.1" : client.address();
    const std::string far = loopback ? "127.0.0.1" : server.address();
    link->peers[0] = far + ":" + std::to_string(endpoint.port);
    link->peers[1] = near + ":" + std::to_string(client.next_client_port());
  } else {
    link->peers[0] = "unix:" + endpoint.path;
    link->peers[1] = "unix:";
  }
  for (int side = 0; side < 2; ++side) {
    Pipe& pipe = link->from(side);
    pipe.label = link->peers[1 - side] + ">" + link->peers[side];
    pipe.held_max = std::max<std::size_t>(1, world.options.stream_buffer_bytes_max);
    pipe.bytes_per_second = world.options.bytes_per_second;
    const FaultPlan& plan = world.faults.plan();
    if (world.faults.chance(plan.slow_reader, "slow_reader", pipe.label)) {
      pipe.bytes_per_second = std::max<std::uint64_t>(1, plan.slow_bytes_per_second);
      pipe.held_max = std::min(pipe.held_max, slow_buffer_bytes_max);
    }
    pipe.cut_at = world.faults.cut();
    if (!pipe.cut_at && world.faults.chance(plan.connection_cut, "connection_cut", pipe.label)) {
      pipe.cut_at = world.faults.up_to(plan.cut_after_bytes_max);
    }
  }
  return link;
}

// ---------------------------------------------------------------------------- pipe

void Pipe::send(std::string bytes) {
  held_ += bytes.size();
  written += bytes.size();
  push(Segment::What::data, std::move(bytes));
}

void Pipe::send_reset() { push(Segment::What::reset, {}); }

void Pipe::push(Segment::What what, std::string bytes) {
  VirtualNetwork& network = link_.network;
  const Instant now = network.world.clock.now();
  line_free_ = std::max(line_free_, now);
  if (bytes_per_second != 0) {
    const double seconds =
        static_cast<double>(bytes.size()) / static_cast<double>(bytes_per_second);
    line_free_ += Duration(static_cast<std::int64_t>(seconds * 1e9));
  }
  const Duration latency = network.latency(link_.hosts[from_], link_.hosts[1 - from_]);
  last_due_ = std::max(last_due_, line_free_ + latency);
  flying_.push_back(Segment{last_due_, what, std::move(bytes)});
  if (!armed()) network.world.clock.arm(*this, flying_.front().due);
}

void Pipe::drop_flying() noexcept {
  for (const Segment& segment : flying_) held_ -= segment.bytes.size();
  flying_.clear();
  stalled_since_.reset();
  disarm();
}

void Pipe::consume(std::size_t count) {
  taken_ += count;
  held_ -= count;
  if (taken_ == inbox_.size()) {
    inbox_.clear();
    taken_ = 0;
  }
  if (SimStream* writer = link_.ends[from_]) writer->writable();
}

void Pipe::stall() {
  World& world = link_.network.world;
  const Instant now = world.clock.now();
  if (!stalled_since_) {
    stalled_since_ = now;
  } else if (now - *stalled_since_ >= world.options.stream_give_up) {
    drop_flying();
    link_.break_end(from_);
    return;
  }
  world.clock.arm(*this, *stalled_since_ + world.options.stream_give_up);
}

void Pipe::resend() {
  World& world = link_.network.world;
  if (!stalled_since_ || flying_.empty()) return;
  if (world.faults.partitioned(link_.hosts[0], link_.hosts[1])) return;
  stalled_since_.reset();
  const Instant due =
      world.clock.now() + link_.network.latency(link_.hosts[from_], link_.hosts[1 - from_]);
  for (Segment& segment : flying_) segment.due = std::max(segment.due, due);
  last_due_ = std::max(last_due_, due);
  world.clock.arm(*this, flying_.front().due);
}

void Pipe::fire() noexcept {
  World& world = link_.network.world;
  while (!flying_.empty() && flying_.front().due <= world.clock.now()) {
    if (world.faults.partitioned(link_.hosts[0], link_.hosts[1])) return stall();
    Segment segment = std::move(flying_.front());
    flying_.pop_front();
    deliver(std::move(segment));
  }
  if (!flying_.empty() && !armed()) world.clock.arm(*this, flying_.front().due);
}

void Pipe::deliver(Segment segment) {
  World& world = link_.network.world;
  const int to = 1 - from_;
  SimStream* receiver = link_.ends[to];
  switch (segment.what) {
    case Segment::What::data:
      world.record(TraceKind::bytes, label, segment.bytes.size());
      if (receiver == nullptr || link_.broken[to]) {
        // Nobody reads this any more: drop it and tell the sender.
        held_ -= segment.bytes.size();
        if (!link_.broken[from_]) link_.from(to).send_reset();
        return;
      }
      if (inbox_.empty()) {
        inbox_ = std::move(segment.bytes);
      } else {
        inbox_ += segment.bytes;
      }
      break;
    case Segment::What::finish:
      world.record(TraceKind::close, label, 1);
      finished_ = true;
      break;
    case Segment::What::reset: link_.break_end(to); return;
  }
  if (receiver != nullptr) receiver->readable();
}

// ---------------------------------------------------------------------------- stream

bool SimStream::start(StreamOp& op) {
  if (aborted_) {
    op.complete(fail(Errc::cancelled, "the connection was aborted"));
    return true;
  }
  World& world = link_->network.world;
  const SimOperation kind = op.is_read() ? SimOperation::stream_read : SimOperation::stream_write;
  const bool lost = world.faults.strikes(kind, out().label);
  if (op.is_read()) {
    KN_ASSERT(read_ == nullptr);
    if (lost) link_->break_from(side_);
    if (try_read(op)) return true;
    read_ = &op;
  } else {
    KN_ASSERT(write_ == nullptr);
    written_ = 0;
    if (lost) {
      // A prefix may get through before the connection breaks.
      std::size_t total = 0;
      for (const std::string_view piece : op.write_buffers()) total += piece.size();
      const auto prefix =
          static_cast<std::size_t>(world.faults.up_to(std::min(total, out().room())));
      if (prefix != 0 && !link_->broken[side_] && !shut_) out().send(gather(op, prefix));
      break_after_sent();
    }
    if (try_write(op)) return true;
    write_ = &op;
  }
  return false;
}

/// Break the connection, but let what was sent arrive before the reset.
void SimStream::break_after_sent() {
  if (link_->broken[side_]) return;
  out().send_reset();
  link_->broken[side_] = true;
  readable();
}

bool SimStream::try_read(StreamOp& op) {
  const std::string_view bytes = in().inbox();
  if (!bytes.empty() || op.read_buffer().empty()) {
    const std::size_t count = std::min(bytes.size(), op.read_buffer().size());
    std::copy_n(bytes.data(), count, op.read_buffer().data());
    in().consume(count);
    op.complete(count);
    return true;
  }
  if (link_->broken[side_]) {
    op.complete(broken_error());
    return true;
  }
  if (in().finished()) {
    op.complete(std::size_t{0});
    return true;
  }
  return false;
}

std::string SimStream::gather(const StreamOp& op, std::size_t count) {
  std::string bytes;
  bytes.reserve(count);
  std::size_t skip = written_;
  for (const std::string_view piece : op.write_buffers()) {
    if (bytes.size() == count) break;
    if (skip >= piece.size()) {
      skip -= piece.size();
      continue;
    }
    bytes.append(piece.substr(skip, count - bytes.size()));
    skip = 0;
  }
  return bytes;
}

bool SimStream::try_write(StreamOp& op) {
  std::size_t total = 0;
  for (const std::string_view piece : op.write_buffers()) total += piece.size();
  Pipe& pipe = out();
  for (;;) {
    if (link_->broken[side_]) {
      op.complete(broken_error());
      return true;
    }
    if (shut_) {
      op.complete(fail(Errc::unavailable, "writing after shutdown_write"));
      return true;
    }
    if (written_ == total) {
      op.complete(total);
      return true;
    }
    std::size_t count = std::min({pipe.room(), total - written_, segment_bytes_max});
    if (count == 0) return false;
    if (pipe.bytes_per_second != 0) {
      const std::uint64_t tenth = std::max<std::uint64_t>(512, pipe.bytes_per_second / 10);
      count = static_cast<std::size_t>(std::min<std::uint64_t>(count, tenth));
    }
    const bool cut = pipe.cut_at && pipe.written + count >= *pipe.cut_at;
    if (cut) count = static_cast<std::size_t>(*pipe.cut_at - std::min(*pipe.cut_at, pipe.written));
    if (count != 0) pipe.send(gather(op, count));
    written_ += count;
    if (cut) {
      link_->network.world.record(TraceKind::fault, pipe.label, pipe.written);
      break_after_sent();
    }
  }
}

void SimStream::abort() noexcept {
  if (aborted_) return;
  aborted_ = true;
  if (StreamOp* op = std::exchange(read_, nullptr)) {
    op->complete(fail(Errc::cancelled, "the connection was aborted"));
  }
  if (StreamOp* op = std::exchange(write_, nullptr)) {
    op->complete(fail(Errc::cancelled, "the connection was aborted"));
  }
  if (!link_->broken[side_]) link_->break_from(side_);
}

// ---------------------------------------------------------------------------- listener, view

SimListener::~SimListener() {
  for (const std::unique_ptr<Stream>& stream : backlog_) stream->abort();
  backlog_.clear();
  std::vector<SimListener*>& same = network_.listeners[key_];
  std::erase(same, this);
  if (same.empty()) network_.listeners.erase(key_);
}

Task<Result<std::unique_ptr<Stream>>> SimListener::accept() {
  while (backlog_.empty()) co_await arrived_.wait();
  std::unique_ptr<Stream> stream = std::move(backlog_.front());
  backlog_.pop_front();
  if (network_.world.faults.strikes(SimOperation::accept, endpoint_.to_string())) {
    stream->abort();
    co_return fail(Errc::resource_exhausted,
                   "accept on " + endpoint_.to_string() + ": too many open files (injected)");
  }
  co_return std::move(stream);
}

Result<std::unique_ptr<Listener>> View::listen(const Endpoint& endpoint,
                                               const ListenOptions& options) {
  Endpoint bound = endpoint;
  if (bound.path.empty() && !is_loopback_name(bound.host) && bound.host != host_ &&
      bound.host != address_) {
    return fail(Errc::invalid_argument,
                "listen on " + endpoint.to_string() + ": not an address of host " + host_);
  }
  if (bound.path.empty() && bound.port == 0) {
    do {
      listen_port_ = listen_port_ == 65'535 ? std::uint16_t{1024}
                                            : static_cast<std::uint16_t>(listen_port_ + 1);
      bound.port = listen_port_;
    } while (network_.listeners.count(VirtualNetwork::key_of(host_, bound)) != 0);
  }
  const ListenKey key = VirtualNetwork::key_of(host_, bound);
  const auto found = network_.listeners.find(key);
  if (found != network_.listeners.end()) {
    for (const SimListener* other : found->second) {
      if (!other->reuse_port || !options.reuse_port) {
        return fail(Errc::already_exists, "listen on " + bound.to_string() + ": address in use");
      }
    }
  }
  const bool loopback_only =
      !bound.path.empty() || (is_loopback_name(bound.host) && !is_any_address(bound.host));
  auto listener = std::make_unique<SimListener>(network_, key, bound, options, loopback_only,
                                                network_.listeners_made++);
  network_.listeners[key].push_back(listener.get());
  return std::unique_ptr<Listener>(std::move(listener));
}

/// Counts one call of `connect` while it lasts.
struct Connecting {
  explicit Connecting(std::size_t& number) noexcept : count(number) { ++count; }
  ~Connecting() { --count; }
  Connecting(const Connecting&) = delete;
  Connecting& operator=(const Connecting&) = delete;
  std::size_t& count;
};

Task<Result<std::unique_ptr<Stream>>> View::connect(Endpoint endpoint) {
  World& world = network_.world;
  const Connecting in_progress(network_.connecting);
  const std::string name = endpoint.to_string();
  View* target = network_.resolve(*this, endpoint);
  const std::string& far = target != nullptr ? target->host() : host_;
  const bool refused = world.faults.strikes(SimOperation::connect, name);
  const Instant deadline = world.clock.now() + world.options.connect_give_up;
  while (world.faults.partitioned(host_, far)) {
    // Like a lost SYN: try again every second.
    const Instant now = world.clock.now();
    if (now >= deadline) {
      world.record(TraceKind::connect, name, 0);
      co_return fail(Errc::unavailable, "connect to " + name + ": timed out");
    }
    co_await world.clock.sleep_until(std::min(now + std::chrono::seconds(1), deadline));
  }
  co_await world.clock.sleep_for(network_.latency(host_, far));
  SimListener* listener =
      target == nullptr || refused ? nullptr : network_.find(*this, *target, endpoint);
  if (listener == nullptr || listener->full()) {
    co_await world.clock.sleep_for(network_.latency(far, host_));
    world.record(TraceKind::connect, name, 0);
    const char* why = target == nullptr ? ": unknown host" : ": connection refused";
    co_return fail(Errc::unavailable, "connect to " + name + why);
  }
  std::shared_ptr<Link> link = network_.join(*this, *target, endpoint);
  auto client = std::make_unique<SimStream>(link, 0);
  listener->offer(std::make_unique<SimStream>(link, 1));
  world.record(TraceKind::connect, link->forth.label, 1);
  co_await world.clock.sleep_for(network_.latency(far, host_));
  co_return std::unique_ptr<Stream>(std::move(client));
}

}  // namespace

std::unique_ptr<NetworkWorld> make_network(World& world, Random random) {
  return std::make_unique<VirtualNetwork>(world, random);
}

}  // namespace knative::simulation
