// Feeds arbitrary bytes to what TLS reads of strangers: PEM texts, and both ends of a handshake in
// a virtual network. The first byte chooses.
#include <cstdint>
#include <cstdlib>

#include "knative/simulation.hpp"
#include "knative/tls.hpp"
#include "support/tls_pair.hpp"

namespace {

using namespace knative;
using namespace knative::testing_tls;

const WallTime start{std::chrono::seconds(1'767'225'600)};

bool can_be_shown(std::string_view text) {
  for (const char c : text) {
    if (c < ' ' || c > '~') return false;
  }
  return true;
}

void read_pem(const std::string& text) {
  if (const auto infos = tls::inspect(text)) {
    for (const tls::CertificateInfo& info : *infos) {
      if (!can_be_shown(info.subject) || !can_be_shown(info.issuer)) std::abort();
      for (const std::string& name : info.names) {
        if (!can_be_shown(name)) std::abort();
      }
    }
  }
  const auto authority = tls::Authority::from({text, text});
  if (authority && authority->certificate() != text) std::abort();
}

/// A stranger sends the bytes to a listener; nobody may be accepted.
Task<void> strange_client(Env& env, const Party& party, std::string_view bytes) {
  auto listener = listen(env, party);
  StreamPtr stranger = (co_await env.network.connect(listener->endpoint())).value();
  (void)co_await stranger->write_all(bytes);
  stranger->shutdown_write();
  (void)co_await read_to_end(*stranger);
  if (listener->counts().completed != 0) std::abort();
}

Task<void> speak(Listener& listener, std::string_view bytes) {
  StreamPtr stream = (co_await listener.accept()).value();
  (void)co_await stream->write_all(bytes);
  stream->shutdown_write();
  (void)co_await read_to_end(*stream);
}

/// A server answers a dialler with the bytes; it may not be believed.
Task<void> strange_server(Env& env, const Party& party, std::string_view bytes) {
  const Endpoint any;
  auto plain = env.network.listen(any).value();
  auto network = dialler(env, party);
  TaskSet speaking(env.executor);
  speaking.add(speak(*plain, bytes));
  const Result<StreamPtr> stream = co_await network->connect(plain->endpoint());
  if (stream) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == '-') {
    read_pem("-" + bytes);
    return 0;
  }
  static const Party party(start);
  Simulation sim(1);
  sim.run((data[0] & 1) != 0 ? strange_client(sim.env(), party, bytes)
                             : strange_server(sim.env(), party, bytes));
  if (!sim.run_until_quiet(std::chrono::minutes(1))) std::abort();
  return 0;
}
