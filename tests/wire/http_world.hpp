/// \file
/// A simulated world with a server in it, and peers that speak raw bytes.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "knative/http.hpp"
#include "knative/http_client.hpp"
#include "knative/http_server.hpp"
#include "knative/simulation.hpp"

namespace knative::http::testing {

using namespace std::chrono_literals;

/// What a raw peer got, and how the connection ended for it.
struct Received {
  std::string bytes;
  bool ended = false;  ///< The peer finished sending, or the connection broke.
  Duration after{};    ///< From the beginning to the end.
};

/// Send `pieces` one by one with `pause` in between, then read until the end or `patience`.
inline Task<Received> raw_exchange(Env& env, Endpoint endpoint, std::vector<std::string> pieces,
                                   Duration pause, Duration patience) {
  const Instant begin = env.timers.now();
  Received received;
  auto connected = co_await env.network.connect(endpoint);
  if (!connected) co_return received;
  std::unique_ptr<Stream> stream = std::move(*connected);
  bool first = true;
  for (const std::string& piece : pieces) {
    if (!first) co_await env.timers.sleep_for(pause);
    first = false;
    Result<std::size_t> written = co_await stream->write_all(piece);
    if (!written) break;
  }
  auto read = [](Stream& from, Received& into) -> Task<void> {
    std::vector<char> buffer(4096);
    for (;;) {
      const std::span<char> room(buffer);
      Result<std::size_t> got = co_await from.read_some(room);
      if (!got || *got == 0) break;
      into.bytes.append(buffer.data(), *got);
    }
    into.ended = true;
  };
  Task<void> reading = read(*stream, received);
  co_await with_deadline(env.timers, std::move(reading), env.timers.now() + patience);
  received.after = env.timers.now() - begin;
  co_return received;
}

class World {
 public:
  explicit World(std::uint64_t seed = 1) : World(seed, quiet()) {}
  World(std::uint64_t seed, SimulationOptions options)
      : sim(seed, std::move(options)), env(sim.env()) {}

  /// Start a server for a plain function.
  template <class F>
  Server& serve(F f, ServerOptions options = {}) {
    server.reset();
    handler = make_handler(std::move(f));
    return serve_handler(*handler, std::move(options));
  }
  Server& serve_handler(Handler& with, ServerOptions options = {}) {
    server =
        std::make_unique<Server>(env.executor, env.timers, env.logger,
                                 env.network.listen(Endpoint{}).value(), with, std::move(options));
    return *server;
  }
  /// Everything the server says until it closes, or until `patience` has passed.
  Received raw(std::vector<std::string> pieces, Duration pause = 1ms, Duration patience = 5s) {
    return sim.run(raw_exchange(env, server->endpoint(), std::move(pieces), pause, patience));
  }
  std::string answer(std::string request, Duration patience = 5s) {
    return raw({std::move(request)}, 1ms, patience).bytes;
  }
  std::unique_ptr<Client> client(ClientOptions options = {}) {
    return std::make_unique<Client>(env.executor, env.timers, env.network, server->endpoint(),
                                    options);
  }

  static SimulationOptions quiet() {
    SimulationOptions options;
    options.log_level = LogLevel::debug;
    options.log_sink = [](const LogRecord&) {};
    return options;
  }

  Simulation sim;
  Env& env;
  std::unique_ptr<Handler> handler;
  std::unique_ptr<Server> server;
};

/// A body whose pieces come from a list, `pause` apart; fails at the end when asked to.
class ListSource final : public BodySource {
 public:
  ListSource(Timers& timers, std::vector<std::string> pieces, Duration pause = Duration(0),
             std::optional<std::uint64_t> length = std::nullopt, bool fails = false)
      : timers_(timers),
        pieces_(std::move(pieces)),
        pause_(pause),
        length_(length),
        fails_(fails) {}
  Task<Result<std::string_view>> next() override {
    if (pause_ > Duration(0)) co_await timers_.sleep_for(pause_);
    if (at_ < pieces_.size()) co_return std::string_view(pieces_[at_++]);
    if (fails_) co_return fail(Errc::unavailable, "the source broke");
    co_return std::string_view();
  }
  std::optional<std::uint64_t> length() const override { return length_; }

 private:
  Timers& timers_;
  std::vector<std::string> pieces_;
  Duration pause_;
  std::optional<std::uint64_t> length_;
  bool fails_;
  std::size_t at_ = 0;
};

/// The part after the first empty line.
inline std::string body_of(const std::string& message) {
  const std::size_t end = message.find("\r\n\r\n");
  return end == std::string::npos ? "" : message.substr(end + 4);
}
inline std::size_t count_of(const std::string& text, std::string_view what) {
  std::size_t count = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++count;
  }
  return count;
}

}  // namespace knative::http::testing
