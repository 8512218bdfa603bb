// The HTTP path without a kernel: parsers, and whole requests through server and client over
// streams that only copy bytes.
#include <benchmark/benchmark.h>

#include <cstring>
#include <deque>

#include "knative/http.hpp"
#include "knative/http_client.hpp"
#include "knative/http_server.hpp"
#include "wire/http_parser.hpp"

namespace knative::http {
namespace {

constexpr std::string_view request_text =
    "GET /hello?name=ada HTTP/1.1\r\nHost: hello.default.example.com\r\n"
    "User-Agent: load/1\r\nAccept: */*\r\nAccept-Encoding: identity\r\n\r\n";

/// What a browser sends: 13 fields, about 700 bytes.
const std::string browser_request =
    "GET /search/results?q=knative+serving&page=2 HTTP/1.1\r\n"
    "Host: hello.default.example.com\r\n"
    "Connection: keep-alive\r\n"
    "Cache-Control: max-age=0\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/120.0.0.0 Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;"
    "q=0.8\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Referer: https://hello.default.example.com/search\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";

void parse_request(benchmark::State& state, std::string_view text) {
  std::vector<wire::FieldSpan> fields;
  wire::RequestParser parser(wire::ParseLimits{}, fields);
  for (auto _ : state) {
    parser.reset();
    const wire::Parse result = parser.parse(text);
    benchmark::DoNotOptimize(result);
    if (result != wire::Parse::done) state.SkipWithError("not parsed");
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}
BENCHMARK_CAPTURE(parse_request, small, request_text);
BENCHMARK_CAPTURE(parse_request, browser, browser_request);

void parse_response(benchmark::State& state) {
  constexpr std::string_view text =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
      "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 200\r\n\r\n";
  std::vector<wire::FieldSpan> fields;
  wire::ResponseParser parser(wire::ParseLimits{}, fields);
  for (auto _ : state) {
    parser.reset(false);
    benchmark::DoNotOptimize(parser.parse(text));
  }
}
BENCHMARK(parse_response);

void decode_chunks(benchmark::State& state) {
  char room[18];
  std::string text;
  for (int i = 0; i < 16; ++i) {
    text.append(wire::chunk_head(1024, room)).append(1024, 'x').append("\r\n");
  }
  text.append("0\r\n\r\n");
  for (auto _ : state) {
    wire::ChunkDecoder decoder;
    std::string_view rest = text;
    std::size_t size = 0;
    for (;;) {
      const wire::ChunkDecoder::Step step = decoder.next(rest);
      size += step.data.size();
      rest.remove_prefix(step.consumed);
      if (step.state != wire::Parse::more) break;
    }
    if (size != 16 * 1024) state.SkipWithError("wrong size");
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}
BENCHMARK(decode_chunks);

// ---------------------------------------------------------------------------- a world of copies

class CopyExecutor final : public Executor {
  void on_ready() override {}
};

class StillTimers final : public Timers {
 public:
  Instant now() const noexcept override { return Instant(); }
  WallTime wall() const noexcept override { return WallTime(); }
  void arm(TimerNode& node, Instant due) override { queue_.add(node, due); }

 private:
  TimerQueue queue_;
};

class NoLogger final : public Logger {
 public:
  void write(LogLevel, std::string_view, std::string_view, std::span<const LogField>) override {}
  bool enabled(LogLevel) const noexcept override { return false; }
};

/// A stream whose reads are fed from outside; writes are counted, or copied to its other end.
class CopyStream final : public Stream {
 public:
  void feed(std::string_view bytes) {
    if (reading == nullptr) return;
    StreamOp& op = *std::exchange(reading, nullptr);
    std::memcpy(op.read_buffer().data(), bytes.data(), bytes.size());
    op.complete(bytes.size());
  }
  void shutdown_write() noexcept override {}
  void abort() noexcept override {}
  std::string peer() const override { return "127.0.0.1:4711"; }

  StreamOp* reading = nullptr;
  std::string_view answer;  ///< When set: what the other end sends back for every write.
  std::size_t written = 0;

 private:
  bool start(StreamOp& op) override {
    if (op.is_read()) {
      reading = &op;
      return false;
    }
    std::size_t size = 0;
    for (const std::string_view buffer : op.write_buffers()) size += buffer.size();
    written += size;
    op.complete(size);
    if (!answer.empty()) feed(answer);
    return true;
  }
  void cancel(StreamOp& op) noexcept override {
    if (reading == &op) reading = nullptr;
  }
};

class OneListener final : public Listener {
 public:
  explicit OneListener(std::unique_ptr<Stream> stream) : stream_(std::move(stream)) {}
  Task<Result<std::unique_ptr<Stream>>> accept() override {
    if (stream_) co_return std::move(stream_);
    co_await never_.wait();
    co_return fail(Errc::cancelled, "");
  }
  Endpoint endpoint() const override { return Endpoint{}; }

 private:
  std::unique_ptr<Stream> stream_;
  Wakeup never_;
};

class OneNetwork final : public Network {
 public:
  explicit OneNetwork(std::string_view answer) : answer_(answer) {}
  Result<std::unique_ptr<Listener>> listen(const Endpoint&, const ListenOptions&) override {
    return fail(Errc::unimplemented, "");
  }
  Task<Result<std::unique_ptr<Stream>>> connect(Endpoint) override {
    auto stream = std::make_unique<CopyStream>();
    stream->answer = answer_;
    co_return std::unique_ptr<Stream>(std::move(stream));
  }

 private:
  std::string_view answer_;
};

void drive(benchmark::State& state, Handler& handler, CopyExecutor& executor, StillTimers& timers) {
  NoLogger logger;
  auto stream = std::make_unique<CopyStream>();
  CopyStream& connection = *stream;
  Server server(executor, timers, logger, std::make_unique<OneListener>(std::move(stream)),
                handler);
  while (executor.run_ready() != 0) {
  }
  for (auto _ : state) {
    connection.feed(request_text);
    while (executor.has_ready()) executor.run_ready();
  }
  if (server.requests() != static_cast<std::uint64_t>(state.iterations())) {
    state.SkipWithError("requests were lost");
  }
}

void server_request(benchmark::State& state) {
  CopyExecutor executor;
  StillTimers timers;
  const std::string body(200, 'x');
  auto handler = make_handler([&body](Request&) { return text(body); });
  drive(state, *handler, executor, timers);
}
BENCHMARK(server_request);

void proxied_request(benchmark::State& state) {
  CopyExecutor executor;
  StillTimers timers;
  const std::string answer =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
      "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 200\r\n\r\n" +
      std::string(200, 'x');
  OneNetwork network(answer);
  Client client(executor, timers, network, Endpoint{});
  drive(state, client, executor, timers);
}
BENCHMARK(proxied_request);

}  // namespace
}  // namespace knative::http
