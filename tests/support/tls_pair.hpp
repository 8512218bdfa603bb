// An authority, a listener and a network for tests of TLS, in either world.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "knative/tls.hpp"

namespace knative::testing_tls {

using StreamPtr = std::unique_ptr<Stream>;

inline tls::Identity issue(const tls::Authority& authority, std::vector<std::string> names,
                           WallTime now, tls::KeyType type = tls::KeyType::ed25519) {
  tls::LeafOptions leaf;
  leaf.names = std::move(names);
  leaf.key_type = type;
  return authority.issue(leaf, now).value();
}

/// Both ends' options, with an authority whom the client trusts.
struct Party {
  explicit Party(WallTime now) : authority(tls::Authority::create({}, now).value()) {
    server.identities.push_back(issue(authority, {"localhost", "127.0.0.1", "local"}, now));
    client.trust = {false, authority.certificate()};
  }
  tls::Authority authority;
  tls::ServerOptions server;
  tls::ClientOptions client;
};

/// A connected pair; what failed is in its `Result`.
struct Pair {
  Result<StreamPtr> client = fail(Errc::internal, "not tried");
  StreamPtr server;
};

inline std::unique_ptr<tls::SecureListener> listen(Env& env, const Party& party,
                                                   const Endpoint& where = {}) {
  std::unique_ptr<Listener> plain = env.network.listen(where).value();
  return tls::wrap(env.executor, env.timers, env.logger, std::move(plain), party.server).value();
}

inline std::unique_ptr<tls::SecureNetwork> dialler(Env& env, const Party& party) {
  return tls::wrap(env.executor, env.timers, env.network, party.client).value();
}

inline Task<std::size_t> keep(StreamPtr& into, Task<Result<StreamPtr>> made) {
  Result<StreamPtr> stream = co_await made;
  if (stream) into = std::move(*stream);
  co_return std::size_t{0};
}

inline Task<std::size_t> keep_result(Result<StreamPtr>& into, Task<Result<StreamPtr>> made) {
  into = co_await made;
  co_return std::size_t{0};
}

/// Dial `endpoint` and accept what comes within a second after that.
inline Task<Pair> connect_to(Env& env, tls::SecureListener& listener, Network& network,
                             Endpoint endpoint) {
  Pair pair;
  TaskSet accepting(env.executor);
  auto accept = [](StreamPtr& into, tls::SecureListener& from) -> Task<void> {
    auto kept = keep(into, from.accept());
    (void)co_await kept;
  };
  accepting.add(accept(pair.server, listener));
  Result<StreamPtr> made = co_await network.connect(std::move(endpoint));
  if (made) {
    const Instant deadline = env.timers.now() + std::chrono::seconds(1);
    auto drained = with_deadline(env.timers, accepting.drained(), deadline);
    (void)co_await drained;
  }
  accepting.clear();
  pair.client = std::move(made);
  co_return pair;
}

inline Task<Pair> connect_pair(Env& env, const Party& party) {
  auto listener = listen(env, party);
  auto network = dialler(env, party);
  auto connected = connect_to(env, *listener, *network, listener->endpoint());
  Pair pair = co_await connected;
  co_return pair;
}

/// All that comes until the end; the error's text when it is no end.
inline Task<std::string> read_to_end(Stream& stream, std::size_t piece = 4096) {
  std::string all;
  std::string buffer(piece, '\0');
  for (;;) {
    Result<std::size_t> got = co_await stream.read_some(buffer);
    if (!got) co_return got.error().to_string();
    if (*got == 0) co_return all;
    all.append(buffer, 0, *got);
  }
}

inline Task<std::string> write_and_end(Stream& stream, const std::string& bytes) {
  Result<std::size_t> put = co_await stream.write_all(bytes);
  stream.shutdown_write();
  co_return put ? std::string() : put.error().to_string();
}

}  // namespace knative::testing_tls
