// A broker in a process of its own, to be killed: `broker_killee DIRECTORY data|none SINK_URL`.
// Prints "port N" when it serves, "refused ERROR" when the log cannot be opened; GET /idle tells
// whether every accepted event was delivered or parked, GET /parked what is parked and how often it
// failed. Events of type "poison" go to SINK_URL + "picky", with four retries.
#include <cstdio>
#include <string>

#include "knative/event_broker.hpp"
#include "knative/http_client.hpp"
#include "knative/http_server.hpp"
#include "unsynced_files.hpp"

namespace kn = knative;

namespace {

class Door final : public kn::http::Handler {
 public:
  explicit Door(kn::EventBroker& broker) : broker_(broker) {}
  kn::Task<kn::http::Response> handle(kn::http::Request& request) override {
    if (request.path() == "/idle") return idle();
    if (request.path() == "/parked") return parked();
    return broker_.ingress().handle(request);
  }

 private:
  kn::Task<kn::http::Response> parked() {
    std::string text;
    for (const kn::ParkedEvent& one : broker_.parked({}, 1'000'000)) {
      text += one.event.id() + " " + std::to_string(one.attempts) + "\n";
    }
    co_return kn::http::text(text);
  }
  kn::Task<kn::http::Response> idle() { co_return kn::http::text(broker_.idle() ? "yes" : "no"); }
  kn::EventBroker& broker_;
};

kn::Task<int> serve(kn::Loop& loop, std::string directory, bool durable, std::string sink_url) {
  kn::Env& env = loop.env();
  kn::testing_support::UnsyncedFiles files(env.files);
  kn::SegmentLogOptions log_options;
  log_options.segment_bytes = 64 * 1024;
  log_options.fsync_mode = durable ? kn::FsyncMode::data : kn::FsyncMode::none;
  auto opened = co_await kn::open_segment_log(env, files, directory, log_options);
  if (!opened) {
    std::printf("refused %s\n", opened.error().to_string().c_str());
    co_return 1;
  }
  std::shared_ptr<kn::Log> log = std::move(*opened);
  const kn::http::Url url = kn::http::Url::parse(sink_url).value();
  kn::http::Client client(env.executor, env.timers, env.network, url.endpoint());
  auto sink = std::make_shared<kn::HttpSink>(client);
  kn::EventBroker broker(env.executor, env.timers, log, env.logger, env.random.split("broker"));
  kn::TriggerOptions options;
  options.delivery.retry = 1000;
  options.delivery.delay_max = std::chrono::milliseconds(100);
  options.filter = kn::Filter::exact("type", "test").value();
  broker.set_trigger("collector", options, sink).value();
  options.filter = kn::Filter::exact("type", "poison").value();
  options.delivery.retry = 4;
  options.delivery.policy = kn::BackoffPolicy::linear;
  options.delivery.delay = std::chrono::milliseconds(5);
  options.parked_max = 1'000'000;
  kn::HttpSinkOptions picky;
  picky.target = "/picky";
  broker.set_trigger("picky", options, std::make_shared<kn::HttpSink>(client, picky)).value();
  Door door(broker);
  auto listener = env.network.listen(kn::Endpoint());
  kn::http::Server server(env.executor, env.timers, env.logger, std::move(listener).value(), door);
  std::printf("port %d\n", static_cast<int>(server.endpoint().port));
  std::fflush(stdout);
  kn::Wakeup forever;
  co_await forever.wait();
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  kn::LoopOptions options;
  options.log_sink = [](const kn::LogRecord&) {};  // parked events are what it is about
  kn::Loop loop(options);
  return loop.run(serve(loop, argv[1], std::string(argv[2]) == "data", argv[3]));
}
