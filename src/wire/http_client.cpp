// The HTTP/1.1 client: a pool of kept connections to one endpoint. An idle connection always has
// a read in progress, so that its end is known before the next request is put on it.
#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/wait_for.hpp"
#include "knative/http.hpp"
#include "knative/http_client.hpp"
#include "wire/http_access.hpp"
#include "wire/http_channel.hpp"
#include "wire/http_parser.hpp"
#include "wire/http_render.hpp"
#include "wire/http_text.hpp"

namespace knative::http {

namespace {

constexpr std::size_t first_buffer_bytes = 8 * 1024;
constexpr std::size_t body_buffer_bytes = 64 * 1024;
constexpr std::size_t memory_body_bytes_max = 64 * 1024;
constexpr std::size_t fields_max = 256;
constexpr int interim_responses_max = 16;
constexpr std::chrono::seconds retry_after(1);
constexpr std::size_t tunnel_buffer_bytes = 16 * 1024;

class ClientConnection;

/// Shared by the client and the uses of its connections, which may end after it.
struct Pool : std::enable_shared_from_this<Pool> {
  Pool(Executor& executor_, Timers& timers_, Network& network_, Endpoint endpoint_,
       ClientOptions options_)
      : executor(executor_),
        timers(timers_),
        network(network_),
        endpoint(std::move(endpoint_)),
        options(options_),
        host(endpoint.path.empty() ? endpoint.to_string() : "localhost") {
    if (endpoint.path.empty() && endpoint.port == 80) host.resize(host.rfind(':'));
  }
  ~Pool() { close(); }
  /// The client is gone: uses in progress fail, nothing new begins.
  void close() noexcept;
  ClientConnection* take_idle() noexcept;
  void release(ClientConnection& connection, bool reusable) noexcept;
  void remove(ClientConnection& connection) noexcept;

  Executor& executor;
  Timers& timers;
  Network& network;
  const Endpoint endpoint;
  const ClientOptions options;
  std::string host;
  ClientConnection* first = nullptr;    ///< All of them.
  std::vector<ClientConnection*> idle;  ///< The most recently used is last.
  std::size_t count = 0;                ///< Connections, also those being made.
  bool closed = false;
  Wakeup freed;
};

class ClientConnection {
 public:
  ClientConnection(Pool& owner, std::unique_ptr<Stream> stream)
      : pool(&owner),
        channel(owner.timers, std::move(stream), first_buffer_bytes),
        parser(wire::ParseLimits{owner.options.header_bytes_max, owner.options.header_bytes_max,
                                 fields_max},
               fields),
        reaction(*this) {
    next = owner.first;
    if (next != nullptr) next->previous = this;
    owner.first = this;
  }
  ~ClientConnection();

  /// Runs when something happens to an idle connection: the end, or bytes nobody asked for, or
  /// its time has come.
  class Reaction final : public Fiber {
   public:
    explicit Reaction(ClientConnection& connection)
        : Fiber(connection.pool->executor), connection_(connection) {}
    ~Reaction() override = default;

   private:
    void on_done() noexcept override {
      if (!connection_.is_idle) return;  // taken meanwhile
      if (!connection_.channel.reading() || connection_.channel.read_deadline().expired()) {
        connection_.pool->remove(connection_);
      }
    }
    ClientConnection& connection_;
  };

  Pool* pool;
  ClientConnection* previous = nullptr;
  ClientConnection* next = nullptr;
  wire::Channel channel;
  std::vector<wire::FieldSpan> fields;
  wire::ResponseParser parser;
  wire::BodyReader reader;
  std::string out;
  bool reusable = false;
  bool is_idle = false;
  bool used_before = false;
  Reaction reaction;
};

/// Gives a connection back, or ends it when its use was not brought to its end.
class Lease {
 public:
  explicit Lease(ClientConnection* connection) noexcept : connection_(connection) {}
  Lease(Lease&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
  Lease& operator=(Lease&& other) noexcept {
    std::swap(connection_, other.connection_);
    return *this;
  }
  ~Lease() { end(false); }
  ClientConnection& operator*() const noexcept { return *connection_; }
  void end(bool reusable) noexcept {
    if (connection_ == nullptr) return;
    ClientConnection& connection = *std::exchange(connection_, nullptr);
    connection.pool->release(connection, reusable);
  }
  ClientConnection* take() noexcept { return std::exchange(connection_, nullptr); }

 private:
  ClientConnection* connection_;
};

/// A response's body that did not come with its head.
class ClientBody final : public BodySource {
 public:
  ClientBody(ClientConnection& connection, std::optional<std::uint64_t> length, std::string first)
      : pool_(connection.pool->shared_from_this()),
        connection_(&connection),
        length_(length),
        first_(std::move(first)) {}
  ~ClientBody() override {
    if (connection_ == nullptr) return;
    connection_->reader.release(connection_->channel);
    finish();
  }
  Task<Result<std::string_view>> next() override;
  std::string_view take_ready() override;
  std::optional<std::uint64_t> length() const override { return length_; }
  const Headers* trailers() const override { return trailers_.get(); }

 private:
  void finish() noexcept {
    ClientConnection& connection = *std::exchange(connection_, nullptr);
    trailers_ = connection.reader.take_trailers();
    pool_->release(connection, connection.reader.complete() && connection.reusable);
  }

  std::shared_ptr<Pool> pool_;
  ClientConnection* connection_;
  std::optional<std::uint64_t> length_;
  std::string first_;
  bool first_given_ = false;
  std::unique_ptr<Headers> trailers_;
};

/// Bytes from one stream to the other until its end; on failure both end.
Task<void> pump(Stream& from, Stream& to) {
  std::vector<char> buffer(tunnel_buffer_bytes);
  const std::span<char> room(buffer);
  for (;;) {
    Result<std::size_t> got = co_await from.read_some(room);
    if (got && *got == 0) {
      to.shutdown_write();
      co_return;
    }
    Result<std::size_t> put = std::size_t{0};
    if (got) {
      const std::string_view piece(buffer.data(), *got);
      put = co_await to.write_all(piece);
    }
    if (!got || !put) {
      from.abort();
      to.abort();
      co_return;
    }
  }
}

/// A connection that is no longer HTTP's. It still counts among the client's.
class ClientTunnel final : public Tunnel {
 public:
  explicit ClientTunnel(ClientConnection& connection)
      : executor_(connection.pool->executor), stream_(take(connection)) {}
  Task<void> run(std::unique_ptr<Stream> peer) override {
    const std::unique_ptr<Stream> ours = take_stream();
    if (!ours) co_return;
    TaskSet both(executor_);
    both.add(pump(*peer, *ours));
    both.add(pump(*ours, *peer));
    co_await both.drained();
  }
  std::unique_ptr<Stream> take_stream() override { return std::move(stream_); }

 private:
  /// Keeps the place in the pool.
  class Counted final : public Stream {
   public:
    Counted(std::shared_ptr<Pool> pool, std::unique_ptr<Stream> stream)
        : pool_(std::move(pool)), stream_(std::move(stream)) {
      ++pool_->count;
    }
    ~Counted() override {
      --pool_->count;
      pool_->freed.notify_one();
    }
    void shutdown_write() noexcept override { stream_->shutdown_write(); }
    void abort() noexcept override { stream_->abort(); }
    std::string peer() const override { return stream_->peer(); }
    const tls::Facts* tls_facts() const noexcept override { return stream_->tls_facts(); }

   private:
    bool start(StreamOp& op) override { return start_on(*stream_, op); }
    void cancel(StreamOp& op) noexcept override { cancel_on(*stream_, op); }
    std::shared_ptr<Pool> pool_;
    std::unique_ptr<Stream> stream_;
  };
  static std::unique_ptr<Stream> take(ClientConnection& connection) {
    const std::shared_ptr<Pool> pool = connection.pool->shared_from_this();
    auto stream = std::make_unique<Counted>(pool, connection.channel.release());
    pool->remove(connection);
    return stream;
  }

  Executor& executor_;
  std::unique_ptr<Stream> stream_;
};

ClientConnection::~ClientConnection() {
  (previous != nullptr ? previous->next : pool->first) = next;
  if (next != nullptr) next->previous = previous;
}

void Pool::close() noexcept {
  closed = true;
  while (!idle.empty()) remove(*idle.back());
  for (ClientConnection* used = first; used != nullptr; used = used->next) {
    used->channel.stream().abort();
  }
  freed.notify_all();
}

void Pool::remove(ClientConnection& connection) noexcept {
  if (connection.is_idle) idle.erase(std::find(idle.begin(), idle.end(), &connection));
  delete &connection;
  --count;
  freed.notify_one();
}

ClientConnection* Pool::take_idle() noexcept {
  while (!idle.empty()) {
    ClientConnection& connection = *idle.back();
    if (!connection.channel.reading()) {
      remove(connection);  // it ended in this very turn
      continue;
    }
    idle.pop_back();
    connection.is_idle = false;
    connection.channel.unwatch();
    connection.channel.read_deadline().unpark();
    return &connection;
  }
  return nullptr;
}

void Pool::release(ClientConnection& connection, bool reusable) noexcept {
  if (reusable && !closed && idle.size() < options.idle_connections_max &&
      connection.channel.input().empty()) {
    connection.channel.read_ahead();
    if (connection.channel.reading()) {
      connection.used_before = true;
      connection.is_idle = true;
      connection.channel.watch(connection.reaction);
      connection.channel.read_deadline().set_after(options.idle_timeout);
      connection.channel.read_deadline().park(connection.reaction);
      idle.push_back(&connection);
      freed.notify_one();
      return;
    }
  }
  remove(connection);
}

// ---------------------------------------------------------------------------- bodies

std::string_view ClientBody::take_ready() {
  if (connection_ == nullptr) return {};
  if (!first_given_) {
    first_given_ = true;
    if (!first_.empty()) return first_;
  }
  const std::string_view piece = connection_->reader.take(connection_->channel);
  if (piece.empty() && connection_->reader.complete()) {
    // Give the connection back at once: the next request need not wait for the owner.
    finish();
  }
  return piece;
}

Task<Result<std::string_view>> ClientBody::next() {
  for (;;) {
    const std::string_view piece = take_ready();
    if (!piece.empty()) co_return piece;
    if (connection_ == nullptr) co_return std::string_view();
    ClientConnection& connection = *connection_;
    if (connection.reader.failed()) {
      co_return fail(Errc::unavailable,
                     connection.channel.stream().peer() +
                         ": response body: " + std::string(connection.reader.error().reason) +
                         " at byte " + std::to_string(connection.reader.error().offset));
    }
    connection.channel.read_deadline().set_after(connection.pool->options.body_timeout);
    Result<std::size_t> got = co_await connection.channel.more();
    connection.channel.read_deadline().clear();
    if (!got) {
      connection.reader.fail(400, "connection failed");
      co_return std::move(got).error();
    }
    if (*got == 0) connection.reader.end_of_stream();
  }
}

// ---------------------------------------------------------------------------- exchange

/// A fresh connection, or a kept one that becomes free. `fresh_only` passes kept ones by.
Task<Result<ClientConnection*>> acquire(Pool& pool, bool fresh_only) {
  const Instant deadline = pool.timers.now() + pool.options.connect_timeout;
  for (;;) {
    if (pool.closed) co_return fail(Errc::cancelled, "the client is gone");
    if (!fresh_only) {
      if (ClientConnection* kept = pool.take_idle()) co_return kept;
    }
    if (pool.count < pool.options.connections_max) break;
    if (fresh_only && !pool.idle.empty()) {
      pool.remove(*pool.idle.front());
      continue;
    }
    Task<void> free = base::wait_for(pool.freed);
    auto woken = co_await with_deadline(pool.timers, std::move(free), deadline);
    if (!woken) {
      co_return fail(Errc::resource_exhausted, pool.endpoint.to_string() + ": all of " +
                                                   std::to_string(pool.options.connections_max) +
                                                   " connections are in use");
    }
  }
  /// Counts the connection that is being made, whatever becomes of it.
  struct Slot {
    explicit Slot(Pool& owner) : pool(&owner) { ++pool->count; }
    ~Slot() {
      if (pool == nullptr) return;
      --pool->count;
      pool->freed.notify_one();
    }
    Pool* pool;
  };
  Slot slot(pool);
  Task<Result<std::unique_ptr<Stream>>> connecting = pool.network.connect(pool.endpoint);
  auto connected = co_await with_deadline(pool.timers, std::move(connecting), deadline);
  if (!connected) {
    co_return fail(Errc::deadline_exceeded, pool.endpoint.to_string() + ": no connection in time");
  }
  if (!*connected) co_return std::move(*connected).error();
  if (pool.closed) co_return fail(Errc::cancelled, "the client is gone");
  slot.pool = nullptr;
  co_return new ClientConnection(pool, std::move(**connected));
}

/// What came of sending.
enum class Sent : unsigned char {
  all,
  early_answer,  ///< The peer answers already; the rest was not sent.
  broken,        ///< The connection does not take it; an answer may still be there.
};

/// Something arrived before the body was sent: is it the end, or an answer that makes the rest
/// pointless? An early success means that the peer answers while it reads.
bool refuses(wire::Channel& channel) {
  const Result<std::size_t> got = channel.take_read();
  if (!got || *got == 0) return true;
  const std::string_view input = channel.input();
  return input.size() < 10 || input[9] >= '4';
}

/// How a request's body is sent.
struct Framed {
  explicit Framed(const Request& request) {
    const bool streamed = request.body.streamed();
    // Trailers of a body in memory need chunks.
    const bool trailers = !streamed && request.body.trailers() != nullptr;
    if (!trailers) length = length_of(request);
    chunked = trailers || (streamed && !length);
  }
  std::optional<std::uint64_t> length;
  bool chunked;

 private:
  /// Of a body, and of an empty one where the method expects one.
  static std::optional<std::uint64_t> length_of(const Request& request) {
    if (request.body.streamed() || !request.body.bytes().empty()) return request.body.length();
    const std::string_view method = request.method;
    if (method == "POST" || method == "PUT" || method == "PATCH") return 0;
    return std::nullopt;
  }
};

/// Send a streamed body after the head in `connection.out`.
Task<Result<Sent>> send_stream(ClientConnection& connection, Body& body, const Framed& framed) {
  const bool chunked = framed.chunked;
  std::uint64_t left = framed.length.value_or(~std::uint64_t{0});
  BodySource& source = *body.source();
  wire::Channel& channel = connection.channel;
  const Duration timeout = connection.pool->options.body_timeout;
  char room[18];
  bool head_sent = false;
  bool watching = true;
  for (;;) {
    std::string_view piece = source.take_ready();
    if (piece.empty()) {
      if (!head_sent) {
        auto write = channel.write(timeout, connection.out);
        Result<std::size_t> done = co_await write;
        if (!done) co_return Sent::broken;
        head_sent = true;
      }
      Result<std::string_view> got = co_await source.next();
      if (!got) co_return std::move(got).error().within("request body");
      if (got->empty()) break;
      piece = *got;
    }
    if (piece.size() > left) co_return fail(Errc::invalid_argument, "body longer than its length");
    left -= piece.size();
    if (watching && !channel.reading()) {
      if (refuses(channel)) co_return Sent::early_answer;
      watching = false;
    }
    const std::string_view head = head_sent ? "" : std::string_view(connection.out);
    const std::string_view size = chunked ? wire::chunk_head(piece.size(), room) : "";
    auto write = channel.write(timeout, head, size, piece, chunked ? "\r\n" : "");
    Result<std::size_t> done = co_await write;
    if (!done) co_return Sent::broken;
    head_sent = true;
  }
  if (!chunked && left != 0) {
    co_return fail(Errc::invalid_argument, "body shorter than its length");
  }
  if (chunked) {
    connection.out.clear();
    wire::append_last_chunk(body.trailers(), connection.out);
    auto write = channel.write(timeout, connection.out);
    Result<std::size_t> done = co_await write;
    if (!done) co_return Sent::broken;
  }
  co_return Sent::all;
}

Error answer_failed(ClientConnection& connection, const Result<std::size_t>& got) {
  const std::string peer = connection.pool->endpoint.to_string();
  if (!got) {
    if (got.error().code == Errc::deadline_exceeded) {
      return fail(Errc::deadline_exceeded, peer + ": no response in time");
    }
    return got.error().within(peer);
  }
  return fail(Errc::unavailable, peer + ": connection closed before a response");
}

/// What a response answers.
struct Asked {
  explicit Asked(const Request& request) noexcept
      : interim(request.interim),
        head(request.method == "HEAD"),
        connect(request.method == "CONNECT"),
        upgrade(!request.upgrade().empty()) {}
  InterimSink* interim;
  bool head;
  bool connect;
  bool upgrade;

  bool final(int status) const noexcept { return status >= 200 || (status == 101 && upgrade); }
  bool tunnels(int status) const noexcept {
    return status == 101 || (connect && status >= 200 && status < 300);
  }
};

/// Make `response` the one whose head was parsed; the connection goes back, or on into the body or
/// a tunnel.
Result<void> take_response(Lease& lease, const Asked& asked, bool body_sent, Response& response) {
  ClientConnection& connection = *lease;
  wire::ResponseParser& parser = connection.parser;
  wire::Channel& channel = connection.channel;
  response.status = parser.status();
  HeadersAccess::assign(response.headers, parser, connection.fields, channel.input());
  channel.consume(parser.head_bytes());
  channel.read_deadline().clear();
  if (asked.tunnels(parser.status())) {
    if (!body_sent) {
      return fail(Errc::unavailable, connection.pool->endpoint.to_string() +
                                         ": the protocol was switched inside the request");
    }
    response.tunnel = std::make_unique<ClientTunnel>(*lease.take());
    return {};
  }
  wire::BodyReader& reader = connection.reader;
  reader.start(parser.framing(), parser.content_length(), ~std::uint64_t{0});
  // What came with the head is given in memory when it is the whole body.
  std::string first;
  std::optional<std::uint64_t> length;
  if (parser.framing() == wire::Framing::chunked) {
    for (std::string_view piece = reader.take(channel); !piece.empty();
         piece = reader.take(channel)) {
      first.append(piece);
    }
    if (reader.failed()) {
      return fail(Errc::unavailable, connection.pool->endpoint.to_string() +
                                         ": response body: " + std::string(reader.error().reason));
    }
  } else if (parser.framing() == wire::Framing::length) {
    length = parser.content_length();
    if (*length <= memory_body_bytes_max && channel.input().size() >= *length) {
      first.assign(reader.take(channel));
      reader.release(channel);
    } else if (*length > first_buffer_bytes) {
      channel.want_capacity(body_buffer_bytes);
    }
  }
  connection.reusable = parser.keep_alive() && body_sent;
  if (reader.complete()) {
    response.body = Body(std::move(first));
    if (std::unique_ptr<Headers> trailers = reader.take_trailers()) {
      response.body.set_trailers(std::move(*trailers));
    }
    lease.end(connection.reusable);
    return {};
  }
  response.body = Body(std::make_unique<ClientBody>(*lease.take(), length, std::move(first)));
  return {};
}

/// Read heads until the final one is parsed. Interim ones are passed on.
Task<Result<void>> read_head(ClientConnection& connection, const Asked& asked) {
  wire::Channel& channel = connection.channel;
  for (int interim = 0; interim <= interim_responses_max; ++interim) {
    connection.parser.reset(asked.head, asked.connect);
    wire::Parse state = connection.parser.parse(channel.input());
    while (state == wire::Parse::more) {
      Result<std::size_t> got = co_await channel.more();
      if (!got || *got == 0) co_return answer_failed(connection, got);
      state = connection.parser.parse(channel.input());
    }
    if (state == wire::Parse::failed) {
      Error bad = fail(Errc::unavailable,
                       connection.pool->endpoint.to_string() +
                           ": response: " + std::string(connection.parser.error().reason) +
                           " at byte " + std::to_string(connection.parser.error().offset));
      const auto& told = connection.pool->options.on_bad_answer;
      if (told) told(bad);
      co_return bad;
    }
    const int status = connection.parser.status();
    if (asked.final(status)) co_return Result<void>();
    if (status == 101) break;
    if (asked.interim != nullptr && status != 100) {
      Headers headers;
      HeadersAccess::assign(headers, connection.parser, connection.fields, channel.input());
      remove_hop_by_hop(headers);
      Result<void> told = co_await asked.interim->send(status, headers);
      // Whether anybody wants to hear it does not concern this exchange.
      (void)told;
    }
    channel.consume(connection.parser.head_bytes());
  }
  co_return fail(Errc::unavailable,
                 connection.pool->endpoint.to_string() + ": unexpected interim response");
}

}  // namespace

struct Client::Impl {
  ~Impl() { pool->close(); }
  std::shared_ptr<Pool> pool;
};

Client::Client(Executor& executor, Timers& timers, Network& network, Endpoint endpoint,
               ClientOptions options)
    : impl_(new Impl{
          std::make_shared<Pool>(executor, timers, network, std::move(endpoint), options)}) {}

Client::~Client() = default;

std::size_t Client::connections() const noexcept { return impl_->pool->count; }

std::size_t Client::idle_connections() const noexcept { return impl_->pool->idle.size(); }

namespace {

/// What a client's client is told: no addresses, they concern nobody outside.
Response answer_for(const Error& error) {
  switch (error.code) {
    case Errc::invalid_argument: return error_response(400, "the request cannot be passed on");
    case Errc::deadline_exceeded: return error_response(504, "no answer in time");
    case Errc::resource_exhausted: return unavailable("too many requests", retry_after);
    default: return error_response(gateway_status_of(error.code), "no answer");
  }
}

/// What a failure is for `send`, and for `handle`. `reached`: some of the request may have arrived.
template <class Answer>
Answer failed(const Pool& pool, Error error, bool reached) {
  if constexpr (std::is_same_v<Answer, Response>) {
    if (pool.options.on_failure) pool.options.on_failure(error);
    Response response = answer_for(error);
    response.unreached = !reached && error.code != Errc::invalid_argument;
    return response;
  } else {
    return Answer(std::move(error));
  }
}

/// May it be sent again when it may have arrived already?
bool repeatable(const Request& request) noexcept {
  return !request.body.streamed() && (request.repeatable || wire::idempotent(request.method));
}

/// One frame for `send` and `handle`: what differs is what a failure is. The client may be gone
/// meanwhile, its pool stays.
template <class Answer>
Task<Answer> exchange(std::shared_ptr<Pool> shared, Request& request) {
  Pool& pool = *shared;
  BodySource* const source = request.body.source();
  const Framed framed(request);
  bool reached = false;
  for (bool fresh_only = false;; fresh_only = true) {
    ClientConnection* connection = fresh_only ? nullptr : pool.take_idle();
    if (connection == nullptr) {
      Result<ClientConnection*> acquired = co_await acquire(pool, fresh_only);
      if (!acquired) co_return failed<Answer>(pool, std::move(acquired).error(), reached);
      connection = *acquired;
    }
    Lease lease(connection);
    connection->out.clear();
    Result<void> rendered =
        wire::render_request(request, framed.length, framed.chunked, pool.host, connection->out);
    if (!rendered) {
      lease.end(true);
      co_return failed<Answer>(pool, std::move(rendered).error(), reached);
    }
    wire::Channel& channel = connection->channel;
    channel.read_ahead();
    reached = true;
    Sent sent = Sent::all;
    if (source == nullptr) {
      std::string_view rest = wire::append_memory(request.body, framed.chunked, connection->out);
      for (std::string_view head = connection->out;; head = {}) {
        auto write =
            channel.write(pool.options.body_timeout, head, rest.substr(0, wire::slice_bytes));
        Result<std::size_t> done = co_await write;
        if (!done) sent = Sent::broken;
        rest.remove_prefix(std::min(rest.size(), wire::slice_bytes));
        if (!done || rest.empty()) break;
      }
    } else {
      Result<Sent> streamed = co_await send_stream(*connection, request.body, framed);
      if (!streamed) co_return failed<Answer>(pool, std::move(streamed).error(), reached);
      sent = *streamed;
    }
    channel.read_deadline().set_after(pool.options.response_timeout);
    Result<void> answered;
    const Asked asked(request);
    connection->parser.reset(asked.head, asked.connect);
    // The usual answer arrives in one piece: parsed here, without another frame.
    if (channel.input().empty()) {
      Result<std::size_t> got = co_await channel.more();
      if (!got || *got == 0) answered = answer_failed(*connection, got);
    }
    const bool anything = !channel.input().empty();
    if (answered) {
      const wire::Parse state = connection->parser.parse(channel.input());
      if (state != wire::Parse::done || !asked.final(connection->parser.status())) {
        answered = co_await read_head(*connection, asked);
      }
    }
    if (answered) {
      Response response;
      answered = take_response(lease, asked, sent == Sent::all, response);
      if (!answered) co_return failed<Answer>(pool, std::move(answered).error(), reached);
      if (pool.options.gateway) remove_hop_by_hop(response.headers);
      co_return response;
    }
    const bool stale =
        !anything && connection->used_before && answered.error().code != Errc::deadline_exceeded;
    if (!stale || fresh_only || !repeatable(request)) {
      co_return failed<Answer>(pool, std::move(answered).error(), reached);
    }
  }
}

}  // namespace

Task<Result<Response>> Client::send(Request& request) {
  return exchange<Result<Response>>(impl_->pool, request);
}

Task<Response> Client::handle(Request& request) {
  if (impl_->pool->options.gateway) remove_hop_by_hop(request.headers);
  return exchange<Response>(impl_->pool, request);
}

}  // namespace knative::http
