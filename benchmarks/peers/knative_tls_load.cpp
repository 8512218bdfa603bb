// A load generator over TLS on one thread: N connections, one request in flight on each.
//
//   peer_knative_tls_load PORT CONNECTIONS SECONDS PID CA_FILE REQUESTS
//
// Each connection is closed after REQUESTS and made anew (0: never), so 1 measures handshakes. No
// session is resumed. Prints one line of JSON as peer_load does.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <knative/tls.hpp>
#include <string>
#include <vector>

#include "run_time.hpp"

namespace kn = knative;
namespace tls = knative::tls;

namespace {

constexpr std::string_view request =
    "GET /hello?name=ada HTTP/1.1\r\nHost: localhost\r\n"
    "User-Agent: load/1\r\nAccept: */*\r\nAccept-Encoding: identity\r\n\r\n";

struct State {
  kn::Env& env;
  kn::Network& network;
  kn::Endpoint to;
  std::uint64_t requests_each = 0;
  std::uint64_t requests = 0;
  std::vector<std::uint32_t> latencies_us;
};

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

/// The length of the response whose head is complete in `text`, otherwise 0.
std::size_t response_bytes(std::string_view text) {
  const std::size_t end = text.find("\r\n\r\n");
  if (end == text.npos) return 0;
  if (!text.starts_with("HTTP/1.1 200")) give_up("unexpected response: " + std::string(text));
  const std::size_t length = text.find("ontent-Length: ");
  if (length == text.npos) give_up("no Content-Length: " + std::string(text));
  return end + 4 + std::strtoul(text.data() + length + 15, nullptr, 10);
}

kn::Task<void> ask(kn::Stream& stream, std::string& buffer) {
  const kn::Result<std::size_t> sent = co_await stream.write_all(request);
  if (!sent) give_up(sent.error().to_string());
  std::size_t got = 0;
  for (std::size_t expected = 0; expected == 0 || got < expected;) {
    if (got == buffer.size()) buffer.resize(buffer.size() * 2);
    const std::span<char> room(buffer.data() + got, buffer.size() - got);
    const kn::Result<std::size_t> more = co_await stream.read_some(room);
    if (!more) give_up(more.error().to_string());
    if (*more == 0) give_up("closed by the server");
    got += *more;
    if (expected == 0) expected = response_bytes(std::string_view(buffer.data(), got));
  }
}

kn::Task<void> connection(State& state) {
  std::string buffer(16 * 1024, '\0');
  for (;;) {
    kn::Instant begin = state.env.timers.now();
    kn::Result<std::unique_ptr<kn::Stream>> made = co_await state.network.connect(state.to);
    if (!made) give_up(made.error().to_string());
    const std::unique_ptr<kn::Stream> stream = std::move(*made);
    for (std::uint64_t n = 0; state.requests_each == 0 || n < state.requests_each; ++n) {
      kn::Task<void> asked = ask(*stream, buffer);
      co_await asked;
      const kn::Instant end = state.env.timers.now();
      ++state.requests;
      state.latencies_us.push_back(
          static_cast<std::uint32_t>((end - begin) / std::chrono::microseconds(1)));
      begin = end;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) return 2;
  kn::LoopOptions quiet;
  quiet.log_level = kn::LogLevel::error;
  kn::Loop loop(quiet);
  kn::Env& env = loop.env();
  tls::ClientOptions options;
  options.trust = {false, env.files.read_file(argv[5]).value()};
  const auto network = tls::wrap(env.executor, env.timers, env.network, options).value();
  State state{env, *network, {}, 0, 0, {}};
  state.to.port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  state.requests_each = std::strtoull(argv[6], nullptr, 10);
  const int pid = std::atoi(argv[4]);

  kn::TaskSet connections(env.executor);
  for (int i = 0; i < std::atoi(argv[2]); ++i) connections.add(connection(state));
  loop.run_for(std::chrono::milliseconds(200));
  state.requests = 0;
  state.latencies_us.clear();
  const std::uint64_t ran = run_time(pid);
  const kn::Instant begin = env.timers.now();
  loop.run_for(kn::Duration(static_cast<std::int64_t>(std::atof(argv[3]) * 1e9)));
  const double used_us = static_cast<double>(run_time(pid) - ran) / 1000;
  const double elapsed = std::chrono::duration<double>(env.timers.now() - begin).count();
  connections.clear();

  std::vector<std::uint32_t>& latencies = state.latencies_us;
  std::sort(latencies.begin(), latencies.end());
  const auto quantile = [&latencies](double q) {
    return latencies.empty()
               ? 0U
               : latencies[static_cast<std::size_t>(q * static_cast<double>(latencies.size() - 1))];
  };
  const double count = static_cast<double>(state.requests);
  std::printf(
      "{\"requests\": %llu, \"requests_per_second\": %.0f, \"cpu_us_per_request\": %.3f, "
      "\"p50_us\": %u, \"p99_us\": %u}\n",
      static_cast<unsigned long long>(state.requests), count / elapsed,
      state.requests != 0 ? used_us / count : 0, quantile(0.5), quantile(0.99));
}
