// The HTTP/1.1 client: a pool of kept connections to one endpoint. An idle connection always has
// a read in progress, so that its end is known before the next request is put on it.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "knative/http.hpp"
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

 private:
  void finish() noexcept {
    ClientConnection& connection = *std::exchange(connection_, nullptr);
    pool_->release(connection, connection.reader.complete() && connection.reusable);
  }

  std::shared_ptr<Pool> pool_;
  ClientConnection* connection_;
  std::optional<std::uint64_t> length_;
  std::string first_;
  bool first_given_ = false;
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

bool idempotent(std::string_view method) noexcept {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" ||
         method == "OPTIONS" || method == "TRACE";
}

/// A fresh connection, or a kept one that becomes free. `fresh_only` passes kept ones by.
Task<Result<ClientConnection*>> acquire(Pool& pool, bool fresh_only) {
  const Instant deadline = pool.timers.now() + pool.options.connect_timeout;
  auto wait = [](Wakeup& freed) -> Task<void> { co_await freed.wait(); };
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
    Task<void> free = wait(pool.freed);
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

/// Send a streamed body after the head in `connection.out`.
Task<Result<Sent>> send_stream(ClientConnection& connection, BodySource& source, bool chunked,
                               std::uint64_t left) {
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
    auto write = channel.write(timeout, "0\r\n\r\n");
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

/// The response whose head was parsed; the connection goes back, or on into the body.
Result<Response> take_response(Lease& lease, bool body_sent) {
  ClientConnection& connection = *lease;
  wire::ResponseParser& parser = connection.parser;
  wire::Channel& channel = connection.channel;
  const std::string_view input = channel.input();
  Response response;
  response.status = parser.status();
  HeadersAccess::reserve(response.headers, parser.head_bytes(), connection.fields.size());
  for (const wire::FieldSpan& field : connection.fields) {
    HeadersAccess::append(response.headers, field.name(input), field.value(input));
  }
  channel.consume(parser.head_bytes());
  channel.read_deadline().clear();
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
    lease.end(connection.reusable);
    return response;
  }
  response.body = Body(std::make_unique<ClientBody>(*lease.take(), length, std::move(first)));
  return response;
}

/// Read heads until the final one is parsed.
Task<Result<void>> read_head(ClientConnection& connection, bool to_head) {
  wire::Channel& channel = connection.channel;
  for (int interim = 0; interim <= interim_responses_max; ++interim) {
    connection.parser.reset(to_head);
    wire::Parse state = connection.parser.parse(channel.input());
    while (state == wire::Parse::more) {
      Result<std::size_t> got = co_await channel.more();
      if (!got || *got == 0) co_return answer_failed(connection, got);
      state = connection.parser.parse(channel.input());
    }
    if (state == wire::Parse::failed) {
      co_return fail(Errc::unavailable,
                     connection.pool->endpoint.to_string() +
                         ": response: " + std::string(connection.parser.error().reason) +
                         " at byte " + std::to_string(connection.parser.error().offset));
    }
    if (connection.parser.status() >= 200) co_return Result<void>();
    if (connection.parser.status() == 101) break;
    channel.consume(connection.parser.head_bytes());
  }
  co_return fail(Errc::unavailable,
                 connection.pool->endpoint.to_string() + ": unexpected interim response");
}

/// Content-Length: of a body, and of an empty one where the method expects one.
std::optional<std::uint64_t> length_to_send(const Request& request) {
  if (request.body.streamed() || !request.body.bytes().empty()) return request.body.length();
  const std::string_view method = request.method;
  if (method == "POST" || method == "PUT" || method == "PATCH") return 0;
  return std::nullopt;
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

Task<Result<Response>> Client::send(Request& request) {
  const std::shared_ptr<Pool> shared = impl_->pool;
  Pool& pool = *shared;
  BodySource* const source = request.body.source();
  const std::optional<std::uint64_t> length = length_to_send(request);
  const bool chunked = source != nullptr && !length;
  const bool repeatable = source == nullptr && idempotent(request.method);
  for (bool fresh_only = false;; fresh_only = true) {
    ClientConnection* connection = fresh_only ? nullptr : pool.take_idle();
    if (connection == nullptr) {
      Result<ClientConnection*> acquired = co_await acquire(pool, fresh_only);
      if (!acquired) co_return std::move(acquired).error();
      connection = *acquired;
    }
    Lease lease(connection);
    connection->out.clear();
    Result<void> rendered =
        wire::render_request(request, length, chunked, pool.host, connection->out);
    if (!rendered) {
      lease.end(true);
      co_return std::move(rendered).error();
    }
    wire::Channel& channel = connection->channel;
    channel.read_ahead();
    Sent sent = Sent::all;
    if (source == nullptr) {
      std::string_view rest = request.body.bytes();
      if (rest.size() <= wire::joined_bytes_max) connection->out.append(std::exchange(rest, {}));
      for (std::string_view head = connection->out;; head = {}) {
        auto write =
            channel.write(pool.options.body_timeout, head, rest.substr(0, wire::slice_bytes));
        Result<std::size_t> done = co_await write;
        if (!done) sent = Sent::broken;
        rest.remove_prefix(std::min(rest.size(), wire::slice_bytes));
        if (!done || rest.empty()) break;
      }
    } else {
      Result<Sent> streamed =
          co_await send_stream(*connection, *source, chunked, length.value_or(~std::uint64_t{0}));
      if (!streamed) co_return std::move(streamed).error();
      sent = *streamed;
    }
    channel.read_deadline().set_after(pool.options.response_timeout);
    Result<void> answered = Result<void>();
    const bool to_head = request.method == "HEAD";
    connection->parser.reset(to_head);
    // The usual answer arrives in one piece: parsed here, without another frame.
    if (channel.input().empty()) {
      Result<std::size_t> got = co_await channel.more();
      if (!got || *got == 0) answered = answer_failed(*connection, got);
    }
    const bool anything = !channel.input().empty();
    if (answered) {
      const wire::Parse state = connection->parser.parse(channel.input());
      if (state != wire::Parse::done || connection->parser.status() < 200) {
        answered = co_await read_head(*connection, to_head);
      }
    }
    if (answered) co_return take_response(lease, sent == Sent::all);
    const bool stale =
        !anything && connection->used_before && answered.error().code != Errc::deadline_exceeded;
    if (!stale || !repeatable || fresh_only) co_return std::move(answered).error();
  }
}

Task<Response> Client::handle(Request& request) {
  Result<Response> response = co_await send(request);
  if (response) co_return std::move(*response);
  switch (response.error().code) {
    case Errc::deadline_exceeded: co_return error_response(504, response.error().detail);
    case Errc::resource_exhausted: co_return error_response(503, response.error().detail);
    case Errc::invalid_argument: co_return error_response(400, response.error().detail);
    default: co_return error_response(502, response.error().detail);
  }
}

}  // namespace knative::http
