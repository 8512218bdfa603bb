// The HTTP/1.1 server. One fiber per connection: read a head, let the handler answer, write.
// While a handler works the connection reads ahead; so a client that leaves is noticed without
// a second coroutine and without a system call.
#include <algorithm>
#include <exception>
#include <string>
#include <utility>

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
/// Connections over the bound that still get a 503 instead of being dropped.
constexpr std::size_t refused_connections_max = 64;
constexpr Duration linger_time = std::chrono::seconds(1);
constexpr std::size_t linger_bytes_max = 256 * 1024;
constexpr Duration accept_retry_delay = std::chrono::milliseconds(100);
class Connection;

/// What connections share.
struct Core {
  Core(Executor& executor_, Timers& timers_, Logger& logger_, std::unique_ptr<Listener> listener_,
       Handler& handler_, ServerOptions options_)
      : executor(executor_),
        timers(timers_),
        logger(logger_),
        listener(std::move(listener_)),
        handler(handler_),
        options(std::move(options_)),
        endpoint(listener->endpoint()),
        date(timers),
        accepting(executor) {}
  ~Core();
  Task<void> accept_all();
  void remove(Connection& connection) noexcept;
  void close_idle() noexcept;

  Executor& executor;
  Timers& timers;
  Logger& logger;
  std::unique_ptr<Listener> listener;
  Handler& handler;
  ServerOptions options;
  Endpoint endpoint;
  wire::DateField date;
  Connection* first = nullptr;
  std::size_t count = 0;
  std::uint64_t requests = 0;
  bool draining = false;
  Wakeup changed;
  TaskSet accepting;
};

/// The request's body as its handler sees it. Cut off from the connection when the handler is
/// done, so that a body that was carried away only fails.
class ServerBody final : public BodySource {
 public:
  ServerBody(Connection& connection, std::optional<std::uint64_t> length, std::string first)
      : connection_(&connection), length_(length), first_(std::move(first)) {}
  ~ServerBody() override;
  Task<Result<std::string_view>> next() override;
  std::string_view take_ready() override;
  std::optional<std::uint64_t> length() const override { return length_; }
  void cut() noexcept { connection_ = nullptr; }

 private:
  Connection* connection_;
  std::optional<std::uint64_t> length_;
  std::string first_;  ///< What was decoded before it was known to be incomplete.
  bool first_given_ = false;
};

class Connection final : public Fiber {
 public:
  Connection(Core& server, std::unique_ptr<Stream> stream, bool refused)
      : Fiber(server.executor),
        server_(server),
        channel_(server.timers, std::move(stream), first_buffer_bytes),
        peer_(channel_.stream().peer()),
        parser_(wire::ParseLimits{server.options.request_line_bytes_max,
                                  server.options.header_bytes_max, server.options.header_count_max},
                fields_),
        reaction_(*this) {
    next = server.first;
    if (next != nullptr) next->previous = this;
    server.first = this;
    ++server.count;
    task_ = refused ? refuse(503, "too many connections") : serve();
    task_.frame().promise().fiber = this;
    start(task_.frame());
  }
  ~Connection() override {
    task_.reset();
    end_request();
    (previous != nullptr ? previous->next : server_.first) = next;
    if (next != nullptr) next->previous = previous;
    --server_.count;
  }
  bool idle() const noexcept { return idle_ && channel_.input().empty(); }

  Connection* previous = nullptr;
  Connection* next = nullptr;

 private:
  friend class ServerBody;
  /// Runs when the read ahead finished while the handler works. A fiber without a frame: being
  /// made ready just calls `on_done`.
  class Reaction final : public Fiber {
   public:
    explicit Reaction(Connection& connection)
        : Fiber(connection.executor()), connection_(connection) {}
    ~Reaction() override = default;

   private:
    void on_done() noexcept override { connection_.peer_acted(); }
    Connection& connection_;
  };

  void on_done() noexcept override { server_.remove(*this); }
  void peer_acted() noexcept;

  Task<void> serve();
  Task<void> refuse(int status, std::string reason);
  Task<void> linger();
  Task<bool> stream_body(BodySource& source, wire::ResponsePlan plan);
  Task<bool> drop_unread_body();

  bool begin_request();
  bool begin_body();
  void end_request() noexcept;
  void watch_peer();
  void unwatch_peer() noexcept {
    if (watching_) channel_.unwatch();
    watching_ = false;
  }
  void report_thrown(std::exception_ptr thrown);
  wire::ResponsePlan prepare(Response& response, std::exception_ptr thrown);
  wire::ResponsePlan plan(const Response& response, bool keep_alive) const;

  Core& server_;
  wire::Channel channel_;
  std::string peer_;
  std::vector<wire::FieldSpan> fields_;
  wire::RequestParser parser_;
  wire::BodyReader reader_;
  Request request_;
  std::string out_;
  ServerBody* body_ = nullptr;
  bool idle_ = true;
  bool continue_wanted_ = false;
  bool to_head_ = false;
  bool watching_ = false;
  bool working_ = false;
  bool peer_left_ = false;
  Reaction reaction_;
  Task<void> task_;
};

// ---------------------------------------------------------------------------- request bodies

ServerBody::~ServerBody() {
  if (connection_ != nullptr) {
    connection_->reader_.release(connection_->channel_);
    connection_->body_ = nullptr;
  }
}

std::string_view ServerBody::take_ready() {
  if (connection_ == nullptr) return {};
  if (!first_given_) {
    first_given_ = true;
    if (!first_.empty()) return first_;
  }
  return connection_->reader_.take(connection_->channel_);
}

Task<Result<std::string_view>> ServerBody::next() {
  for (;;) {
    const std::string_view piece = take_ready();
    if (connection_ == nullptr) co_return fail(Errc::cancelled, "the request is over");
    if (!piece.empty()) co_return piece;
    Connection& connection = *connection_;
    wire::BodyReader& reader = connection.reader_;
    if (reader.complete()) co_return std::string_view();
    if (reader.failed()) {
      const bool large = reader.error().status == 413;
      co_return fail(large ? Errc::resource_exhausted : Errc::unavailable,
                     "request body: " + std::string(reader.error().reason) + " at byte " +
                         std::to_string(reader.error().offset));
    }
    const Duration timeout = connection.server_.options.body_timeout;
    if (std::exchange(connection.continue_wanted_, false)) {
      auto write = connection.channel_.write(connection.server_.options.write_timeout,
                                             "HTTP/1.1 100 Continue\r\n\r\n");
      Result<std::size_t> sent = co_await write;
      if (!sent) co_return std::move(sent).error();
      if (connection_ == nullptr) co_return fail(Errc::cancelled, "the request is over");
    }
    connection.channel_.read_deadline().set_after(timeout);
    Result<std::size_t> got = co_await connection.channel_.more();
    if (connection_ == nullptr) co_return fail(Errc::cancelled, "the request is over");
    connection.channel_.read_deadline().clear();
    if (!got) {
      connection.peer_left_ = got.error().code != Errc::deadline_exceeded;
      reader.fail(408, "body did not arrive in time");
      co_return std::move(got).error();
    }
    if (*got == 0) {
      connection.peer_left_ = true;
      reader.end_of_stream();
    }
  }
}

// ---------------------------------------------------------------------------- requests

Task<void> Connection::serve() {
  const ServerOptions& options = server_.options;
  for (;;) {
    parser_.reset();
    idle_ = true;
    channel_.read_deadline().set_after(options.idle_timeout);
    wire::Parse state = parser_.parse(channel_.input());
    while (state == wire::Parse::more) {
      if (idle_ && server_.draining && channel_.input().empty()) co_return;
      if (idle_ && !channel_.input().empty()) {
        idle_ = false;
        channel_.read_deadline().set_after(options.header_timeout);
      }
      Result<std::size_t> got = co_await channel_.more();
      if (!got && got.error().code == Errc::deadline_exceeded && !idle_) {
        co_await refuse(408, "header did not arrive in time");
        co_return;
      }
      if (!got || *got == 0) co_return;
      state = parser_.parse(channel_.input());
    }
    idle_ = false;
    channel_.read_deadline().clear();
    if (state == wire::Parse::failed || !begin_request()) {
      const wire::ParseError& error =
          state == wire::Parse::failed ? parser_.error() : reader_.error();
      co_await refuse(error.status,
                      std::string(error.reason) + " at byte " + std::to_string(error.offset));
      co_return;
    }
    watch_peer();
    working_ = true;
    Response response;
    std::exception_ptr thrown;
    try {
      response = co_await server_.handler.handle(request_);
    } catch (...) {
      thrown = std::current_exception();
    }
    if (peer_left_) co_return;
    const wire::ResponsePlan how = prepare(response, thrown);
    const bool send_body = how.mode == wire::BodyMode::length ||
                           how.mode == wire::BodyMode::chunked ||
                           how.mode == wire::BodyMode::until_close;
    bool sent = false;
    if (send_body && response.body.streamed()) {
      sent = co_await stream_body(*response.body.source(), how);
    } else {
      working_ = false;
      std::string_view rest = send_body ? std::string_view(response.body.bytes()) : "";
      if (rest.size() <= wire::joined_bytes_max) out_.append(std::exchange(rest, {}));
      for (std::string_view head = out_;; head = {}) {
        auto write = channel_.write(options.write_timeout, head, rest.substr(0, wire::slice_bytes));
        Result<std::size_t> done = co_await write;
        sent = done.has_value();
        rest.remove_prefix(std::min(rest.size(), wire::slice_bytes));
        if (!sent || rest.empty()) break;
      }
    }
    working_ = false;
    unwatch_peer();
    response.body = Body();
    end_request();
    if (!sent) co_return;
    if (!how.keep_alive) break;
    if (!reader_.complete() && !co_await drop_unread_body()) break;
  }
  co_await linger();
}

bool Connection::begin_request() {
  const std::string_view input = channel_.input();
  request_.method.assign(parser_.method().of(input));
  const std::string_view target = parser_.target().of(input);
  request_.target.assign(target);
  if (target.empty() || target.front() == '?') request_.target.insert(0, "/");
  request_.headers.clear();
  HeadersAccess::reserve(request_.headers, parser_.head_bytes(), fields_.size());
  for (const wire::FieldSpan& field : fields_) {
    HeadersAccess::append(request_.headers, field.name(input), field.value(input));
  }
  request_.peer.assign(peer_);
  to_head_ = request_.method == "HEAD";
  channel_.consume(parser_.head_bytes());
  const ServerOptions& options = server_.options;
  reader_.start(parser_.framing(), parser_.content_length(), options.body_bytes_max);
  continue_wanted_ = false;
  return reader_.complete() || begin_body();
}

bool Connection::begin_body() {
  const ServerOptions& options = server_.options;
  if (parser_.framing() == wire::Framing::length) {
    if (parser_.content_length() > options.body_bytes_max) {
      reader_.fail(413, "body too large");
      return false;
    }
    if (parser_.content_length() > first_buffer_bytes) channel_.want_capacity(body_buffer_bytes);
  }
  // What came with the header is given in memory when it is the whole body.
  std::string first;
  std::optional<std::uint64_t> length;
  if (parser_.framing() == wire::Framing::chunked) {
    for (std::string_view piece = reader_.take(channel_); !piece.empty();
         piece = reader_.take(channel_)) {
      first.append(piece);
    }
    if (reader_.failed()) return false;
  } else {
    length = parser_.content_length();
    if (*length <= options.memory_body_bytes_max && channel_.input().size() >= *length) {
      first.assign(reader_.take(channel_));
      reader_.release(channel_);
    }
  }
  if (reader_.complete()) {
    request_.body = Body(std::move(first));
    return true;
  }
  continue_wanted_ = parser_.expects_continue() && first.empty() && channel_.input().empty();
  auto body = std::make_unique<ServerBody>(*this, length, std::move(first));
  body_ = body.get();
  request_.body = Body(std::move(body));
  return true;
}

void Connection::end_request() noexcept {
  if (body_ != nullptr) {
    reader_.release(channel_);
    body_->cut();
    body_ = nullptr;
  }
  request_.body = Body();
}

void Connection::watch_peer() {
  if (!reader_.complete() || !channel_.input().empty()) return;
  channel_.read_ahead();
  if (!channel_.reading()) return;  // the next request is here, or the end: seen afterwards
  channel_.watch(reaction_);
  watching_ = true;
}

void Connection::peer_acted() noexcept {
  // Woken for a read that the main fiber has taken meanwhile: nothing to see.
  if (!watching_ || channel_.reading()) return;
  watching_ = false;
  if (!working_) return;
  const Result<std::size_t> got = channel_.take_read();
  // Dropping the fiber drops the handler's task: nobody is left to read its answer.
  if (!got || *got == 0) server_.remove(*this);
}

void Connection::report_thrown(std::exception_ptr thrown) {
  std::string what = "invalid status";
  if (thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& exception) {
      what = exception.what();
    } catch (...) {
      what = "unknown exception";
    }
  }
  server_.logger.log(LogLevel::error, "http", "handler failed",
                     {{"target", request_.target}, {"what", what}});
}

// ---------------------------------------------------------------------------- responses

/// Decide what is sent, and render its head into `out_`.
wire::ResponsePlan Connection::prepare(Response& response, std::exception_ptr thrown) {
  const ServerOptions& options = server_.options;
  if (thrown || response.status < 200 || response.status > 599) {
    report_thrown(thrown);
    response = error_response(500);
  }
  // The request's body turned out to be bad: whatever the handler made of that.
  if (reader_.failed()) response = error_response(reader_.error().status, reader_.error().reason);
  ++server_.requests;
  const bool keep_alive = parser_.keep_alive() && !server_.draining && !continue_wanted_ &&
                          !reader_.failed() &&
                          (reader_.complete() || reader_.left() <= options.unread_body_bytes_max);
  const wire::ResponsePlan how = plan(response, keep_alive);
  out_.clear();
  wire::render_response(response, how, server_.date.text(), options.server_name, out_);
  return how;
}

wire::ResponsePlan Connection::plan(const Response& response, bool keep_alive) const {
  wire::ResponsePlan plan;
  plan.keep_alive = keep_alive;
  plan.old_version = parser_.version_minor() == 0;
  if (response.status == 204 || response.status == 304) return plan;
  std::optional<std::uint64_t> length = response.body.length();
  if (to_head_) {
    // A proxied answer to HEAD has the length only in its field.
    if (!response.body.streamed() && response.body.bytes().empty()) {
      if (const auto field = response.headers.get("Content-Length")) {
        length = wire::parse_length(*field);
      }
    }
    if (length) {
      plan.mode = wire::BodyMode::head_length;
      plan.length = *length;
    }
    return plan;
  }
  if (length) {
    plan.mode = wire::BodyMode::length;
    plan.length = *length;
  } else if (plan.old_version) {
    plan.mode = wire::BodyMode::until_close;
    plan.keep_alive = false;
  } else {
    plan.mode = wire::BodyMode::chunked;
  }
  return plan;
}

/// Writes the head in `out_` and then the source's pieces. False when the connection must end
/// at once: the peer notices by the missing end.
Task<bool> Connection::stream_body(BodySource& source, wire::ResponsePlan plan) {
  const Duration timeout = server_.options.write_timeout;
  const bool chunked = plan.mode == wire::BodyMode::chunked;
  std::uint64_t left = plan.mode == wire::BodyMode::length ? plan.length : ~std::uint64_t{0};
  bool head_sent = false;
  char room[18];
  for (;;) {
    std::string_view piece = source.take_ready();
    if (piece.empty()) {
      if (!head_sent) {
        // The source makes us wait; the client gets the head at least.
        auto write = channel_.write(timeout, out_);
        Result<std::size_t> done = co_await write;
        if (!done) co_return false;
        head_sent = true;
      }
      Result<std::string_view> got = co_await source.next();
      if (!got) co_return false;
      if (got->empty()) break;
      piece = *got;
    }
    if (piece.size() > left) co_return false;
    left -= piece.size();
    const std::string_view head = head_sent ? std::string_view() : std::string_view(out_);
    const std::string_view size = chunked ? wire::chunk_head(piece.size(), room) : "";
    auto write = channel_.write(timeout, head, size, piece, chunked ? "\r\n" : "");
    Result<std::size_t> done = co_await write;
    if (!done) co_return false;
    head_sent = true;
  }
  if (plan.mode == wire::BodyMode::length && left != 0) co_return false;
  if (chunked) {
    auto write = channel_.write(timeout, "0\r\n\r\n");
    Result<std::size_t> done = co_await write;
    if (!done) co_return false;
  }
  co_return true;
}

Task<bool> Connection::drop_unread_body() {
  std::uint64_t dropped = 0;
  channel_.read_deadline().set_after(server_.options.body_timeout);
  for (;;) {
    const std::size_t piece = reader_.take(channel_).size();
    dropped += piece;
    if (dropped > server_.options.unread_body_bytes_max || reader_.failed()) co_return false;
    if (reader_.complete()) {
      reader_.release(channel_);
      co_return true;
    }
    if (piece != 0) continue;
    Result<std::size_t> got = co_await channel_.more();
    if (!got || *got == 0) co_return false;
  }
}

/// Answers a request that is not given to the handler, and ends the connection.
Task<void> Connection::refuse(int status, std::string reason) {
  server_.logger.log(LogLevel::debug, "http", "request refused",
                     {{"peer", peer_}, {"status", std::to_string(status)}, {"reason", reason}});
  Response response = error_response(status, reason);
  wire::ResponsePlan how;
  how.mode = wire::BodyMode::length;
  how.length = response.body.bytes().size();
  how.keep_alive = false;
  out_.clear();
  wire::render_response(response, how, server_.date.text(), server_.options.server_name, out_);
  auto write = channel_.write(server_.options.write_timeout, out_, response.body.bytes());
  Result<std::size_t> done = co_await write;
  if (done) co_await linger();
}

/// Closing while unread bytes are there would reset the connection and could take the answer
/// with it; so say that we are done and read for a moment (RFC 9112 section 9.6).
Task<void> Connection::linger() {
  channel_.stream().shutdown_write();
  channel_.read_deadline().set_after(linger_time);
  std::size_t dropped = 0;
  while (dropped < linger_bytes_max) {
    channel_.consume(channel_.input().size());
    Result<std::size_t> got = co_await channel_.more();
    if (!got || *got == 0) co_return;
    dropped += *got;
  }
}

// ---------------------------------------------------------------------------- the server

Core::~Core() {
  accepting.clear();
  while (first != nullptr) delete first;  // NOLINT(clang-analyzer-cplusplus.NewDelete): unlinks
}

void Core::remove(Connection& connection) noexcept {
  delete &connection;
  changed.notify_all();
}

void Core::close_idle() noexcept {
  for (Connection* connection = first; connection != nullptr;) {
    Connection* following = connection->next;
    if (connection->idle()) remove(*connection);
    connection = following;
  }
}

Task<void> Core::accept_all() {
  for (;;) {
    Result<std::unique_ptr<Stream>> stream = co_await listener->accept();
    if (!stream) {
      // Mostly too many open files: waiting is all that can be done.
      logger.log(LogLevel::warning, "http", "accept failed",
                 {{"error", stream.error().to_string()}});
      co_await timers.sleep_for(accept_retry_delay);
      continue;
    }
    if (count >= options.connections_max + refused_connections_max) continue;
    new Connection(*this, std::move(*stream), count >= options.connections_max);
  }
}

}  // namespace

struct Server::Impl {
  Core core;
};

Server::Server(Executor& executor, Timers& timers, Logger& logger,
               std::unique_ptr<Listener> listener, Handler& handler, ServerOptions options)
    : impl_(new Impl{
          Core(executor, timers, logger, std::move(listener), handler, std::move(options))}) {
  impl_->core.accepting.add(impl_->core.accept_all());
}

Server::~Server() = default;

Endpoint Server::endpoint() const { return impl_->core.endpoint; }

std::uint64_t Server::requests() const noexcept { return impl_->core.requests; }

std::size_t Server::connections() const noexcept { return impl_->core.count; }

Task<void> Server::drain() {
  Core& core = impl_->core;
  core.draining = true;
  core.accepting.clear();
  core.listener.reset();
  core.close_idle();
  while (core.count != 0) co_await core.changed.wait();
}

}  // namespace knative::http
