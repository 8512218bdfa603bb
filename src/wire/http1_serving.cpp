// HTTP/1 on the server's side. One fiber per connection: read a head, let the handler answer,
// write. While a handler works the connection reads ahead; so a client that leaves is noticed
// without a second coroutine and without a system call.
#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "wire/http_access.hpp"
#include "wire/http_channel.hpp"
#include "wire/http_parser.hpp"
#include "wire/http_render.hpp"
#include "wire/http_serving.hpp"
#include "wire/http_text.hpp"

namespace knative::http::wire {

namespace {
constexpr std::size_t first_buffer_bytes = 8 * 1024;
constexpr std::size_t body_buffer_bytes = 64 * 1024;
constexpr Duration linger_time = std::chrono::seconds(1);
constexpr std::size_t linger_bytes_max = 256 * 1024;
constexpr std::chrono::seconds retry_after(1);
class Connection;

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
  const Headers* trailers() const override { return trailers_.get(); }
  void cut() noexcept { connection_ = nullptr; }

 private:
  Connection* connection_;
  std::optional<std::uint64_t> length_;
  std::string first_;  ///< What was decoded before it was known to be incomplete.
  bool first_given_ = false;
  std::unique_ptr<Headers> trailers_;
};

/// Awaits an answer and leaves it where it is, in the frame that made it; so it is not moved from
/// frame to frame once more.
class Answering {
 public:
  explicit Answering(Task<Response> task) : inner_(std::move(task).operator co_await()) {}
  bool await_ready() const noexcept { return false; }
  template <class P>
  void await_suspend(std::coroutine_handle<P> handle) noexcept {
    inner_.await_suspend(handle);
  }
  void await_resume() const noexcept {}
  Response& value() { return inner_.value(); }

 private:
  detail::Awaiter<Response> inner_;
};

class Connection final : public Fiber, public ServerConnection, private InterimSink {
 public:
  Connection(ServerCore& core, std::unique_ptr<Stream> stream, bool refused)
      : Fiber(core.executor),
        ServerConnection(core),
        channel_(core.timers, std::move(stream), first_buffer_bytes),
        peer_(channel_.stream().peer()),
        tls_(channel_.stream().tls_facts()),
        parser_(limits_of(core.options), fields_),
        refused_(refused),
        reaction_(*this) {
    if (refused_) ++core.refusing;
    task_ = refused_ ? refuse(503, "too many connections") : serve();
    task_.frame().promise().fiber = this;
    start(task_.frame());
  }
  ~Connection() override {
    task_.reset();
    end_request();
    if (refused_) --core().refusing;
  }
  bool quiet() const noexcept override { return channel_.input().empty() && channel_.reading(); }
  void farewell() noexcept override;

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

  static ParseLimits limits_of(const ServerOptions& options) noexcept {
    return ParseLimits{options.request_line_bytes_max, options.header_bytes_max,
                       options.header_count_max, options.connect};
  }

  void on_done() noexcept override { core().remove(*this); }
  void peer_acted() noexcept;

  Task<void> serve();
  Task<void> refuse(int status, std::string reason);
  Task<void> refuse_bad_request() {
    const bool head = !parser_.error().reason.empty();
    const ParseError& error = head ? parser_.error() : reader_.error();
    return refuse(error.status,
                  std::string(error.reason) + " at byte " + std::to_string(error.offset));
  }
  Task<void> linger();
  Task<bool> stream_body(Body& body, ResponsePlan plan);
  Task<bool> drop_unread_body();
  Task<void> run_tunnel(std::unique_ptr<Tunnel> tunnel);
  /// Interim responses of the handler.
  Task<Result<void>> send(int status, const Headers& headers) override;

  bool begin_request();
  std::uint64_t body_bytes_max() const;
  bool begin_body();
  void body_arrived(std::size_t bytes, Instant asked) noexcept;
  void end_request() noexcept;
  void answered(Response& response) noexcept;
  void watch_peer();
  void unwatch_peer() noexcept {
    if (watching_) channel_.unwatch();
    watching_ = false;
  }
  ResponsePlan prepare(Response& response, const std::exception_ptr& thrown);
  bool may_drop_body(const Response& response) const;
  ResponsePlan plan(const Response& response, bool keep_alive) const;
  void render_refusal(int status, std::string_view reason);

  Channel channel_;
  std::string peer_;
  const tls::Facts* tls_;
  std::vector<FieldSpan> fields_;
  RequestParser parser_;
  BodyReader reader_;
  Request request_;
  std::string out_;
  ServerBody* body_ = nullptr;
  Duration body_patience_{};  ///< So long the handler still waits for a piece of the body.
  bool waiting_ = true;       ///< For a request's first byte.
  bool used_ = false;         ///< A request was answered.
  bool continue_wanted_ = false;
  bool to_head_ = false;
  bool watching_ = false;
  bool working_ = false;
  bool answering_ = false;
  bool peer_left_ = false;
  const bool refused_;
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
  BodyReader& reader = connection_->reader_;
  const std::string_view piece = reader.take(connection_->channel_);
  if (piece.empty() && reader.complete() && !trailers_) trailers_ = reader.take_trailers();
  return piece;
}

Task<Result<std::string_view>> ServerBody::next() {
  for (;;) {
    const std::string_view piece = take_ready();
    if (connection_ == nullptr) co_return fail(Errc::cancelled, "the request is over");
    if (!piece.empty()) co_return piece;
    Connection& connection = *connection_;
    BodyReader& reader = connection.reader_;
    if (reader.complete()) co_return std::string_view();
    if (reader.failed()) {
      const bool large = reader.error().status == 413;
      co_return fail(large ? Errc::resource_exhausted : Errc::unavailable,
                     "request body: " + std::string(reader.error().reason) + " at byte " +
                         std::to_string(reader.error().offset));
    }
    if (std::exchange(connection.continue_wanted_, false)) {
      auto write = connection.channel_.write(connection.core().options.write_timeout,
                                             "HTTP/1.1 100 Continue\r\n\r\n");
      Result<std::size_t> sent = co_await write;
      if (!sent) co_return std::move(sent).error();
      if (connection_ == nullptr) co_return fail(Errc::cancelled, "the request is over");
    }
    const Instant asked = connection.core().timers.now();
    connection.channel_.read_deadline().set_after(connection.body_patience_);
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
    connection.body_arrived(*got, asked);
  }
}

/// Bytes that the handler has waited for since `asked`: waiting wears the patience down, what
/// arrives restores it.
void Connection::body_arrived(std::size_t bytes, Instant asked) noexcept {
  const ServerOptions& options = core().options;
  const std::uint64_t rate = options.body_bytes_per_second_min;
  if (rate == 0) return;
  const Duration left = std::max(Duration(0), body_patience_ - (core().timers.now() - asked));
  const std::chrono::duration<double> earned(static_cast<double>(bytes) /
                                             static_cast<double>(rate));
  body_patience_ = options.body_timeout;
  if (earned < body_patience_ - left) {
    body_patience_ = left + std::chrono::duration_cast<Duration>(earned);
  }
}

// ---------------------------------------------------------------------------- requests

Task<void> Connection::serve() {
  const ServerOptions& options = core().options;
  for (;;) {
    parser_.reset();
    waiting_ = true;
    channel_.read_deadline().set_after(options.idle_timeout);
    Parse state = parser_.parse(channel_.input());
    while (state == Parse::more) {
      const bool nothing = channel_.input().empty();
      if (waiting_ && nothing && core().draining) co_return;
      if (waiting_ && !nothing) {
        waiting_ = false;
        channel_.read_deadline().set_after(options.header_timeout);
      }
      set_idle(nothing);
      Result<std::size_t> got = co_await channel_.more();
      set_idle(false);
      if (!got && got.error().code == Errc::deadline_exceeded && !waiting_) {
        co_await refuse(408, "header did not arrive in time");
        co_return;
      }
      if (!got || *got == 0) co_return;
      state = parser_.parse(channel_.input());
    }
    waiting_ = false;
    channel_.read_deadline().clear();
    if (state == Parse::failed || !begin_request()) {
      co_await refuse_bad_request();
      co_return;
    }
    watch_peer();
    working_ = true;
    std::optional<Answering> answering;
    std::optional<Response> failure;
    std::exception_ptr thrown;
    Response* answer = nullptr;
    try {
      Answering& call = answering.emplace(core().handler.handle(request_));
      co_await call;
      answer = &call.value();
    } catch (...) {
      thrown = std::current_exception();
    }
    if (peer_left_) co_return;
    Response& response = answer != nullptr ? *answer : failure.emplace();
    const ResponsePlan how = prepare(response, thrown);
    if (response.tunnel) {
      co_await run_tunnel(std::move(response.tunnel));
      co_return;
    }
    bool sent = false;
    if (how.sends_body() && response.body.streamed()) {
      sent = co_await stream_body(response.body, how);
    } else {
      working_ = false;
      std::string_view rest = append_memory(response.body, how, out_);
      for (std::string_view head = out_;; head = {}) {
        auto write = channel_.write(options.write_timeout, head, rest.substr(0, slice_bytes));
        sent = (co_await write).has_value();
        rest.remove_prefix(std::min(rest.size(), slice_bytes));
        if (!sent || rest.empty()) break;
      }
    }
    answered(response);
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
  HeadersAccess::assign(request_.headers, parser_, fields_, input);
  if (parser_.lists_fields()) {
    // It ends here: later it would take away what we add ourselves.
    remove_listed_fields(request_.headers);
    if (parser_.upgrade()) request_.headers.add("Connection", "upgrade");
  }
  request_.peer.assign(peer_);
  request_.scheme.assign(tls_ != nullptr ? "https" : "http");
  request_.version = parser_.version_minor() == 0 ? Version::http_1_0 : Version::http_1_1;
  request_.tls = tls_;
  request_.repeatable = false;
  request_.interim = parser_.version_minor() == 0 ? nullptr : static_cast<InterimSink*>(this);
  answering_ = false;
  to_head_ = request_.method == "HEAD";
  channel_.consume(parser_.head_bytes());
  reader_.start(parser_.framing(), parser_.content_length(), body_bytes_max());
  continue_wanted_ = false;
  return reader_.complete() || begin_body();
}

std::uint64_t Connection::body_bytes_max() const {
  const ServerOptions& options = core().options;
  const bool longer =
      parser_.framing() == Framing::chunked || parser_.content_length() > options.body_bytes_max;
  if (!longer || !options.body_bytes_max_of) return options.body_bytes_max;
  return std::max(options.body_bytes_max, options.body_bytes_max_of(request_));
}

bool Connection::begin_body() {
  const ServerOptions& options = core().options;
  body_patience_ = options.body_timeout;
  if (parser_.framing() == Framing::length) {
    if (parser_.content_length() > body_bytes_max()) {
      reader_.fail(413, "body too large");
      return false;
    }
    if (parser_.content_length() > first_buffer_bytes) channel_.want_capacity(body_buffer_bytes);
  }
  // What came with the header is given in memory when it is the whole body.
  std::string first;
  std::optional<std::uint64_t> length;
  if (parser_.framing() == Framing::chunked) {
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
    if (std::unique_ptr<Headers> trailers = reader_.take_trailers()) {
      request_.body.set_trailers(std::move(*trailers));
    }
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

void Connection::answered(Response& response) noexcept {
  working_ = false;
  unwatch_peer();
  used_ = true;
  response.body = Body();
  end_request();
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
  if (!got || *got == 0) core().remove(*this);
}

// ---------------------------------------------------------------------------- responses

/// Whether what the handler left of the request's body may be read, so that the connection stays.
/// A refusal does not wait for what the peer has not sent yet: it need not send it.
bool Connection::may_drop_body(const Response& response) const {
  if (reader_.rest_is_here(channel_)) return true;
  return response.ok() && reader_.left() <= core().options.unread_body_bytes_max;
}

/// Decide what is sent, and render its head into `out_`.
ResponsePlan Connection::prepare(Response& response, const std::exception_ptr& thrown) {
  const ServerOptions& options = core().options;
  answering_ = true;
  core().settle(request_, response, thrown);
  // The request's body turned out to be bad: whatever the handler made of that.
  if (reader_.failed()) response = error_response(reader_.error().status, reader_.error().reason);
  const bool keep_alive = parser_.keep_alive() && !core().draining && !continue_wanted_ &&
                          !reader_.failed() && (reader_.complete() || may_drop_body(response));
  const ResponsePlan how = plan(response, keep_alive);
  out_.clear();
  render_response(response, how, core().date.text(), options.server_name, out_);
  return how;
}

ResponsePlan Connection::plan(const Response& response, bool keep_alive) const {
  ResponsePlan plan;
  plan.keep_alive = keep_alive;
  plan.old_version = parser_.version_minor() == 0;
  plan.tunnel = response.tunnel != nullptr;
  if (plan.tunnel || response.status == 204 || response.status == 304) return plan;
  std::optional<std::uint64_t> length = response.body.length();
  if (to_head_) {
    // A proxied answer to HEAD has the length only in its field.
    if (!response.body.streamed() && response.body.bytes().empty()) {
      if (const auto field = response.headers.get("Content-Length")) {
        length = parse_length(*field);
      }
    }
    if (length) {
      plan.mode = BodyMode::head_length;
      plan.length = *length;
    }
    return plan;
  }
  // Trailers need chunks, which clients before HTTP/1.1 do not know.
  const bool trailers = !response.body.streamed() && response.body.trailers() != nullptr;
  if (length && (!trailers || plan.old_version)) {
    plan.mode = BodyMode::length;
    plan.length = *length;
  } else if (plan.old_version) {
    plan.mode = BodyMode::until_close;
    plan.keep_alive = false;
  } else {
    plan.mode = BodyMode::chunked;
  }
  return plan;
}

/// Writes the head in `out_` and then the source's pieces. False when the connection must end
/// at once: the peer notices by the missing end.
Task<bool> Connection::stream_body(Body& body, ResponsePlan plan) {
  BodySource& source = *body.source();
  const Duration timeout = core().options.write_timeout;
  const bool chunked = plan.mode == BodyMode::chunked;
  std::uint64_t left = plan.mode == BodyMode::length ? plan.length : ~std::uint64_t{0};
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
    const std::string_view size = chunked ? chunk_head(piece.size(), room) : "";
    auto write = channel_.write(timeout, head, size, piece, chunked ? "\r\n" : "");
    Result<std::size_t> done = co_await write;
    if (!done) co_return false;
    head_sent = true;
  }
  if (plan.mode == BodyMode::length && left != 0) co_return false;
  if (chunked) {
    out_.clear();
    append_last_chunk(body.trailers(), out_);
    auto write = channel_.write(timeout, out_);
    Result<std::size_t> done = co_await write;
    if (!done) co_return false;
  }
  co_return true;
}

Task<Result<void>> Connection::send(int status, const Headers& headers) {
  if (status <= 101 || status > 199 || answering_ || channel_.writing()) {
    co_return fail(Errc::failed_precondition,
                   "status " + std::to_string(status) + " cannot be sent now");
  }
  std::string text;
  render_interim(status, headers, text);
  auto write = channel_.write(core().options.write_timeout, text);
  Result<std::size_t> done = co_await write;
  if (!done) co_return std::move(done).error();
  co_return Result<void>();
}

/// Sends the head in `out_` and hands the connection over, once the request was read to its end:
/// what follows it belongs to the other protocol (RFC 9110 section 7.8).
Task<void> Connection::run_tunnel(std::unique_ptr<Tunnel> tunnel) {
  working_ = false;
  unwatch_peer();
  end_request();
  if (!reader_.complete() && !co_await drop_unread_body()) co_return;
  channel_.read_deadline().clear();
  auto write = channel_.write(core().options.write_timeout, out_);
  Result<std::size_t> done = co_await write;
  if (!done) co_return;
  Task<void> running = tunnel->run(channel_.release());
  try {
    co_await std::move(running);
  } catch (const std::exception& exception) {
    core().logger.log(LogLevel::error, "http", "tunnel failed", {{"what", exception.what()}});
  }
}

Task<bool> Connection::drop_unread_body() {
  std::uint64_t dropped = 0;
  channel_.read_deadline().set_after(core().options.body_timeout);
  for (;;) {
    const std::size_t piece = reader_.take(channel_).size();
    dropped += piece;
    if (dropped > core().options.unread_body_bytes_max || reader_.failed()) co_return false;
    if (reader_.complete()) {
      reader_.release(channel_);
      co_return true;
    }
    if (piece != 0) continue;
    Result<std::size_t> got = co_await channel_.more();
    if (!got || *got == 0) co_return false;
  }
}

void Connection::render_refusal(int status, std::string_view reason) {
  Response response =
      status == 503 ? unavailable(reason, retry_after) : error_response(status, reason);
  ResponsePlan how;
  how.mode = BodyMode::length;
  how.length = response.body.bytes().size();
  how.keep_alive = false;
  out_.clear();
  render_response(response, how, core().date.text(), core().options.server_name, out_);
  out_.append(response.body.bytes());
}

/// Answers a request that is not given to the handler, and ends the connection.
Task<void> Connection::refuse(int status, std::string reason) {
  core().logger.log(LogLevel::debug, "http", "request refused",
                    {{"peer", peer_}, {"status", std::to_string(status)}, {"reason", reason}});
  render_refusal(status, reason);
  auto write = channel_.write(core().options.write_timeout, out_);
  Result<std::size_t> done = co_await write;
  if (done) co_await linger();
}

/// Only who has asked for nothing yet is told: on a kept connection an end is usual, and an answer
/// without a request is not.
void Connection::farewell() noexcept {
  if (used_) return;
  render_refusal(503, "too many connections");
  const std::string_view text = out_;
  StreamOp write(channel_.stream(), std::span<const std::string_view>(&text, 1));
  write.begin();
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

}  // namespace

void serve_http1(ServerCore& core, std::unique_ptr<Stream> stream, bool refuse) {
  new Connection(core, std::move(stream), refuse);
}

}  // namespace knative::http::wire
