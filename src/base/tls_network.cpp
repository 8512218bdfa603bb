// The decorators: a network that dials TLS, and a listener whose handshakes run side by side.
#include <deque>
#include <list>
#include <utility>

#include "base/tls_stream.hpp"

namespace knative::tls {
namespace {

/// A peer that keeps us waiting no longer than this is not sent away for others.
constexpr Duration patience = std::chrono::seconds(1);

using StreamPtr = std::unique_ptr<Stream>;

// ---------------------------------------------------------------------------- client

/// What connections of one set of options are made with.
struct Dialling {
  std::shared_ptr<const Context> context;
  std::string server_name;
  Duration handshake_timeout{};
};

Result<std::shared_ptr<const Dialling>> make_dialling(const ClientOptions& options) {
  if (options.handshake_timeout <= Duration(0)) {
    return fail(Errc::invalid_argument, "handshake_timeout: it is not positive");
  }
  Result<std::shared_ptr<const Context>> context = make_context(options);
  if (!context) return context.error();
  Dialling dialling{std::move(*context), options.server_name, options.handshake_timeout};
  return std::shared_ptr<const Dialling>(std::make_shared<Dialling>(std::move(dialling)));
}

class ClientNetwork final : public SecureNetwork {
 public:
  ClientNetwork(Executor& executor, Timers& timers, Network& network,
                std::shared_ptr<const Dialling> dialling)
      : executor_(executor), timers_(timers), network_(network), dialling_(std::move(dialling)) {}

  using Network::listen;
  Result<std::unique_ptr<Listener>> listen(const Endpoint& endpoint,
                                           const ListenOptions&) override {
    return fail(Errc::failed_precondition,
                "listen on " + endpoint.to_string() +
                    ": this network only dials; wrap the listener of the one below");
  }
  Task<Result<StreamPtr>> connect(Endpoint endpoint) override {
    return dial(executor_, timers_, network_, dialling_, std::move(endpoint));
  }
  Task<Result<StreamPtr>> secure(StreamPtr stream, std::string server_name) override {
    return begin(executor_, timers_, dialling_, std::move(stream), std::move(server_name));
  }
  Result<void> reload(const ClientOptions& options) override {
    Result<std::shared_ptr<const Dialling>> made = make_dialling(options);
    if (!made) return made.error();
    dialling_ = std::move(*made);
    return {};
  }

 private:
  // Without `this`: connecting may outlive the network or a reload.
  static Task<Result<StreamPtr>> dial(Executor& executor, Timers& timers, Network& network,
                                      std::shared_ptr<const Dialling> dialling, Endpoint endpoint) {
    std::string name = dialling->server_name;
    if (name.empty()) {
      if (!endpoint.path.empty()) {
        co_return fail(Errc::invalid_argument,
                       endpoint.to_string() + ": server_name is needed for TLS on it");
      }
      name = endpoint.host;
    }
    Result<StreamPtr> stream = co_await network.connect(std::move(endpoint));
    if (!stream) co_return stream.error();
    Task<Result<StreamPtr>> begun =
        begin(executor, timers, std::move(dialling), std::move(*stream), std::move(name));
    co_return co_await begun;
  }

  static Task<Result<StreamPtr>> begin(Executor& executor, Timers& timers,
                                       std::shared_ptr<const Dialling> dialling, StreamPtr stream,
                                       std::string server_name) {
    Result<std::unique_ptr<SecureStream>> made =
        begin_client(executor, timers, dialling->context, std::move(stream), server_name);
    if (!made) co_return made.error();
    std::unique_ptr<SecureStream> secure = std::move(*made);
    auto bounded =
        with_deadline(timers, secure->handshake(), timers.now() + dialling->handshake_timeout);
    std::optional<Result<void>> done = co_await bounded;
    if (!done) {
      co_return fail(Errc::deadline_exceeded,
                     server_name + " (" + secure->peer() + "): TLS handshake timed out");
    }
    if (!*done) co_return done->error();
    co_return StreamPtr(std::move(secure));
  }

  Executor& executor_;
  Timers& timers_;
  Network& network_;
  std::shared_ptr<const Dialling> dialling_;
};

// ---------------------------------------------------------------------------- listener

/// What accepted connections of one set of options are made with.
struct Serving {
  std::shared_ptr<const Context> context;
  Duration handshake_timeout{};
  std::size_t handshakes_max = 0;
};

Result<Serving> make_serving(const ServerOptions& options) {
  if (options.handshake_timeout <= Duration(0)) {
    return fail(Errc::invalid_argument, "handshake_timeout: it is not positive");
  }
  if (options.handshakes_max == 0) {
    return fail(Errc::invalid_argument, "handshakes_max: it is zero");
  }
  Result<std::shared_ptr<const Context>> context = make_context(options);
  if (!context) return context.error();
  return Serving{std::move(*context), options.handshake_timeout, options.handshakes_max};
}

class ServerListener final : public SecureListener {
 public:
  ServerListener(Executor& executor, Timers& timers, Logger& logger,
                 std::unique_ptr<Listener> listener, Serving serving)
      : executor_(executor),
        timers_(timers),
        logger_(logger),
        listener_(std::move(listener)),
        serving_(std::move(serving)),
        tasks_(executor) {
    tasks_.add(accept_all());
  }

  Task<Result<StreamPtr>> accept() override {
    while (done_.empty()) co_await arrived_.wait();
    Result<StreamPtr> next = std::move(done_.front());
    done_.pop_front();
    changed_.notify_all();
    co_return next;
  }
  Endpoint endpoint() const override { return listener_->endpoint(); }
  DescriptorRoom descriptors() const noexcept override { return listener_->descriptors(); }
  HandshakeCounts counts() const noexcept override {
    HandshakeCounts counts = counts_;
    counts.under_way = attempts_.size();
    return counts;
  }
  Result<void> reload(const ServerOptions& options) override {
    Result<Serving> made = make_serving(options);
    if (!made) return made.error();
    serving_ = std::move(*made);
    changed_.notify_all();
    return {};
  }

 private:
  /// A handshake under way; the oldest first.
  struct Attempt {
    Instant began;
    Stream* stream;
    bool evicted = false;
  };
  class Place {
   public:
    Place(ServerListener& listener, Stream& stream) : listener_(listener) {
      at_ = listener.attempts_.insert(listener.attempts_.end(),
                                      Attempt{listener.timers_.now(), &stream});
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() {
      listener_.attempts_.erase(at_);
      listener_.changed_.notify_all();
    }
    const Attempt& attempt() const noexcept { return *at_; }

   private:
    ServerListener& listener_;
    std::list<Attempt>::iterator at_;
  };

  Task<void> accept_all();
  void begin(StreamPtr stream);
  Task<void> serve(std::unique_ptr<SecureStream> stream, std::unique_ptr<Place> place,
                   Instant deadline);
  Task<void> wait_for_room();
  Task<Result<void>> changed();
  void finish(const Attempt& attempt, SecureStream& stream,
              const std::optional<Result<void>>& done);

  Executor& executor_;
  Timers& timers_;
  Logger& logger_;
  std::unique_ptr<Listener> listener_;
  Serving serving_;
  std::list<Attempt> attempts_;
  std::deque<Result<StreamPtr>> done_;  // waits for accept()
  HandshakeCounts counts_;
  Wakeup arrived_;
  Wakeup changed_;
  TaskSet tasks_;  // last: its tasks use the rest
};

Task<void> ServerListener::accept_all() {
  for (;;) {
    Task<void> room = wait_for_room();
    co_await room;
    Result<StreamPtr> stream = co_await listener_->accept();
    if (stream) {
      begin(std::move(*stream));
      continue;
    }
    // Told once; whoever accepts decides how to go on, and until then nothing is tried again.
    done_.push_back(stream.error());
    arrived_.notify_one();
    while (!done_.empty()) co_await changed_.wait();
  }
}

Task<Result<void>> ServerListener::changed() {
  co_await changed_.wait();
  co_return Result<void>();
}

Task<void> ServerListener::wait_for_room() {
  while (attempts_.size() + done_.size() >= serving_.handshakes_max) {
    if (attempts_.empty() || attempts_.front().evicted) {
      co_await changed_.wait();
      continue;
    }
    Attempt& oldest = attempts_.front();
    const Instant due = oldest.began + patience;
    if (timers_.now() < due) {
      auto waited = with_deadline(timers_, changed(), due);
      (void)co_await waited;
      continue;
    }
    oldest.evicted = true;
    oldest.stream->abort();  // its task ends by that
  }
}

void ServerListener::begin(StreamPtr stream) {
  Stream& below = *stream;
  Result<std::unique_ptr<SecureStream>> made =
      begin_server(executor_, timers_, serving_.context, std::move(stream));
  if (!made) {
    ++counts_.failed;
    logger_.log(LogLevel::warning, "tls", "connection dropped",
                {{"error", made.error().to_string()}});
    return;
  }
  const Instant deadline = timers_.now() + serving_.handshake_timeout;
  tasks_.add(serve(std::move(*made), std::make_unique<Place>(*this, below), deadline));
}

Task<void> ServerListener::serve(std::unique_ptr<SecureStream> stream, std::unique_ptr<Place> place,
                                 Instant deadline) {
  auto bounded = with_deadline(timers_, stream->handshake(), deadline);
  std::optional<Result<void>> done = co_await bounded;
  finish(place->attempt(), *stream, done);
  place.reset();
  if (!done || !*done) co_return;
  done_.push_back(StreamPtr(std::move(stream)));
  arrived_.notify_one();
}

void ServerListener::finish(const Attempt& attempt, SecureStream& stream,
                            const std::optional<Result<void>>& done) {
  if (done && *done) {
    ++counts_.completed;
    return;
  }
  std::string why;
  if (attempt.evicted) {
    ++counts_.evicted;
    why = "gave way to others after " + std::to_string(patience / std::chrono::seconds(1)) + " s";
  } else if (!done) {
    ++counts_.timed_out;
    why = "timed out";
  } else {
    ++counts_.failed;
    why = done->error().to_string();
  }
  logger_.log(LogLevel::debug, "tls", "handshake failed",
              {{"peer", stream.peer()}, {"error", why}});
}

}  // namespace

Result<std::unique_ptr<SecureNetwork>> wrap(Executor& executor, Timers& timers, Network& network,
                                            const ClientOptions& options) {
  Result<std::shared_ptr<const Dialling>> dialling = make_dialling(options);
  if (!dialling) return dialling.error();
  return std::unique_ptr<SecureNetwork>(
      std::make_unique<ClientNetwork>(executor, timers, network, std::move(*dialling)));
}

Result<std::unique_ptr<SecureListener>> wrap(Executor& executor, Timers& timers, Logger& logger,
                                             std::unique_ptr<Listener> listener,
                                             const ServerOptions& options) {
  Result<Serving> serving = make_serving(options);
  if (!serving) return serving.error();
  return std::unique_ptr<SecureListener>(std::make_unique<ServerListener>(
      executor, timers, logger, std::move(listener), std::move(*serving)));
}

std::string_view to_string(Version version) noexcept {
  return version == Version::tls_1_2 ? "TLSv1.2" : "TLSv1.3";
}

}  // namespace knative::tls
