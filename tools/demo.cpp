// `knative demo`: the main job on real input, step by step with its time: a git commit becomes an
// image, the image a Revision behind a URL that wakes from zero and falls back to it, an event
// passes a Broker and a Trigger's filter, and its reply comes back.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <knative/knative.hpp>
#include <mutex>
#include <thread>

#include "command.hpp"
#include "demo.hpp"
#include "knative/http_client.hpp"

namespace kn = knative;
using namespace std::chrono_literals;

namespace command {

double milliseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

void line(const char* what, const std::string& value, double milliseconds) {
  std::printf("  %-22s %-58s %9.2f ms\n", what, value.c_str(), milliseconds);
  std::fflush(stdout);
}

void heading(const char* text) {
  std::printf("\n%s\n", text);
  std::fflush(stdout);
}

int failed(const char* step, const kn::Error& error) {
  std::fflush(stdout);
  std::fprintf(stderr, "knative demo: %s: %s\n", step, error.detail.c_str());
  return 1;
}

kn::Result<kn::http::Response> fetch(kn::PlatformThread& platform, const std::string& host,
                                     std::string_view path) {
  const kn::Endpoint endpoint = platform.endpoint();
  kn::Loop loop;
  kn::Env& env = loop.env();
  kn::http::Client client(env.executor, env.timers, env.network, endpoint);
  kn::http::Request request = kn::http::get(std::string(path));
  request.headers.set("host", host);
  auto send = [](kn::http::Client& through,
                 kn::http::Request& what) -> kn::Task<kn::Result<kn::http::Response>> {
    kn::Result<kn::http::Response> response = co_await through.send(what);
    if (response) {
      const kn::Result<void> read = co_await response->body.read_all();
      if (!read) co_return read.error();
    }
    co_return response;
  };
  return loop.run(send(client, request));
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text.size() <= 56 ? text : text.substr(0, 53) + "...";
}

namespace {

// Removes a directory of the demo when it ends.
struct Scratch {
  std::filesystem::path path;
  ~Scratch() {
    std::error_code ignored;
    if (!path.empty()) std::filesystem::remove_all(path, ignored);
  }
};

// An interrupted demo leaves nothing behind either. Children die with this process.
void end_when_interrupted(std::filesystem::path scratch) {
  block_signals();
  std::thread([scratch = std::move(scratch)] {
    const int number = wait_for_signal();
    std::error_code error = std::make_error_code(std::errc::interrupted);
    for (int i = 0; i < 10 && error; ++i) std::filesystem::remove_all(scratch, error);
    std::_Exit(128 + number);
  }).detach();
}

bool run(const std::string& command_line) {
  const int status = std::system(command_line.c_str());
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Where the sample application lies: beside the installed command, or in the checkout whose
// build/PRESET folder holds the command.
std::string find_sample() {
  std::error_code error;
  const std::filesystem::path here =
      std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  const std::filesystem::path installed = here / "../share/knative/sample-app";
  const std::filesystem::path checkout = here / "../../examples/sample-app";
  return (std::filesystem::exists(installed, error) ? installed : checkout).string();
}

// A repository with one commit of the sample application.
kn::Result<std::string> sample_repository(const std::string& sample,
                                          const std::filesystem::path& scratch) {
  const std::filesystem::path repository = scratch / "app";
  std::error_code error;
  std::filesystem::copy(sample, repository, error);
  if (error) {
    return kn::fail(kn::Errc::not_found,
                    sample + ": " + error.message() + "; give --repo URL, or --sample DIR");
  }
  const std::string git =
      "git -C '" + repository.string() + "' -c user.name=demo -c user.email=demo@localhost ";
  if (!run(git + "init -q -b main") || !run(git + "add -A") ||
      !run(git + "commit -q -m 'The sample application'")) {
    return kn::fail(kn::Errc::internal, "git could not make a repository");
  }
  return repository.string();
}

// Waits for something that another thread tells.
class Mailbox {
 public:
  void put(kn::CloudEvent event) {
    const std::lock_guard<std::mutex> guard(mutex_);
    event_ = std::move(event);
    changed_.notify_all();
  }
  std::optional<kn::CloudEvent> wait(std::chrono::seconds limit) {
    std::unique_lock<std::mutex> guard(mutex_);
    changed_.wait_for(guard, limit, [this] { return event_.has_value(); });
    return event_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<kn::CloudEvent> event_;
};

// Poll how many instances run, printing each change, until `wanted` or the limit.
bool watch_replicas(kn::PlatformThread& platform, Clock::time_point begin, int wanted,
                    std::chrono::seconds limit, int& last) {
  const Clock::time_point end = Clock::now() + limit;
  while (Clock::now() < end) {
    const int now = platform.scale("app");
    if (now != last) {
      line("replicas", std::to_string(now), milliseconds_since(begin));
      last = now;
    }
    if (now == wanted) return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

int build_step(kn::PlatformThread& platform, const std::string& repository,
               const std::string& revision, std::string& image) {
  heading("1. Build: a commit becomes an image");
  kn::build::Build build;
  build.metadata.name = "app";
  build.spec.source.git = kn::build::GitSource{.url = repository, .revision = revision};
  build.spec.image = "demo/app";
  const Clock::time_point begin = Clock::now();
  kn::Result<kn::BuildResult> built = platform.build(build);
  if (!built) return failed("build", built.error());
  const double took = milliseconds_since(begin);
  image = built->image;
  line("repository", repository, 0);
  for (const kn::build::ResolvedSource& source : built->status.sources) {
    line("commit", source.revision, took);
  }
  line("image", built->image.substr(0, built->image.find('@')), took);
  line("digest", built->digest.to_string(), took);
  return 0;
}

int serving_step(kn::PlatformThread& platform, const std::string& image, bool quick) {
  heading("2. Serving: the image becomes a Revision behind a URL");
  kn::serving::Service service = kn::serving::service("app", image);
  // Knative's defaults keep an instance for 60 + 30 seconds; a demo need not.
  service.spec.template_.metadata.annotations["autoscaling.knative.dev/window"] = "6s";
  service.spec.template_.metadata.annotations["autoscaling.knative.dev/initial-scale"] = "0";
  Clock::time_point begin = Clock::now();
  kn::Result<kn::ObjectRef> ref = platform.apply(service);
  if (!ref) return failed("service", ref.error());
  if (kn::Result<void> ready = platform.ready(*ref, 30s); !ready) {
    return failed("service", ready.error());
  }
  const std::string url = platform.url(*ref);
  line("url", url, milliseconds_since(begin));
  int replicas = platform.scale("app");
  line("replicas", std::to_string(replicas), 0);

  const std::string host = "app.default.localhost";
  begin = Clock::now();
  kn::Result<kn::http::Response> cold = fetch(platform, host, "/");
  if (!cold) return failed("first request", cold.error());
  line("response", trimmed(cold->body.bytes()), milliseconds_since(begin));
  line("cold start", "from zero, HTTP " + std::to_string(cold->status), milliseconds_since(begin));
  if (!cold->ok()) {
    return failed("first request", kn::fail(kn::Errc::internal, cold->body.bytes()));
  }
  watch_replicas(platform, begin, 1, 5s, replicas);
  double best = 1e9;
  for (int i = 0; i < 20; ++i) {
    const Clock::time_point one = Clock::now();
    kn::Result<kn::http::Response> warm = fetch(platform, host, "/");
    if (!warm || !warm->ok()) return failed("warm request", kn::fail(kn::Errc::internal, "failed"));
    best = std::min(best, milliseconds_since(one));
  }
  line("warm", "best of 20 requests, a new connection each", best);
  if (quick) return 0;
  std::printf("  (waiting until nobody needs the instance any more)\n");
  if (!watch_replicas(platform, begin, 0, 60s, replicas)) {
    return failed("scale to zero", kn::fail(kn::Errc::deadline_exceeded, "still running"));
  }
  return 0;
}

int eventing_step(kn::PlatformThread& platform) {
  heading("3. Eventing: an event passes a filter, its reply comes back as a new event");
  Mailbox delivered;
  Mailbox replied;
  std::atomic<int> wrong{0};
  kn::Result<kn::ObjectRef> broker = platform.apply(kn::eventing::broker("default"));
  if (!broker) return failed("broker", broker.error());
  if (kn::Result<void> ready = platform.ready(*broker, 10s); !ready) {
    return failed("broker", ready.error());
  }
  line("broker", platform.url(*broker), 0);
  kn::Result<kn::Filter> orders = kn::Filter::exact("type", "order.created");
  kn::Result<kn::Filter> accepted = kn::Filter::exact("type", "order.accepted");
  if (!orders || !accepted) return failed("filter", kn::fail(kn::Errc::internal, "filter"));
  kn::Result<kn::EventSubscription> first = platform.subscribe(
      "default", *orders, [&](const kn::CloudEvent& event) -> kn::Task<kn::Reply> {
        if (event.type() != "order.created") ++wrong;
        delivered.put(event);
        co_return kn::CloudEvent("order.accepted", "/demo", event.data());
      });
  if (!first) return failed("subscribe", first.error());
  kn::Result<kn::EventSubscription> second = platform.subscribe(
      "default", *accepted, [&](const kn::CloudEvent& event) -> kn::Task<kn::Reply> {
        if (event.type() != "order.accepted") ++wrong;
        replied.put(event);
        co_return kn::Reply();
      });
  if (!second) return failed("subscribe", second.error());

  kn::CloudEvent other("order.cancelled", "/web", kn::Value({{"id", 6}}));
  other.set_id("order-6");
  if (kn::Result<kn::Offset> sent = platform.publish("default", other); !sent) {
    return failed("publish", sent.error());
  }
  kn::CloudEvent order("order.created", "/web", kn::Value({{"id", 7}, {"total", 120}}));
  order.set_id("order-7");
  const Clock::time_point begin = Clock::now();
  if (kn::Result<kn::Offset> sent = platform.publish("default", order); !sent) {
    return failed("publish", sent.error());
  }
  line("accepted", "order.created " + order.id(), milliseconds_since(begin));
  const std::optional<kn::CloudEvent> got = delivered.wait(10s);
  if (!got) return failed("delivery", kn::fail(kn::Errc::deadline_exceeded, "no event came"));
  line("delivered", got->type() + " " + got->id(), milliseconds_since(begin));
  const std::optional<kn::CloudEvent> reply = replied.wait(10s);
  if (!reply) return failed("reply", kn::fail(kn::Errc::deadline_exceeded, "no reply came"));
  line("reply delivered", reply->type() + " " + reply->id(), milliseconds_since(begin));
  if (wrong != 0) return failed("filter", kn::fail(kn::Errc::internal, "it let others pass"));
  line("filtered out", "order.cancelled " + other.id(), 0);
  return 0;
}

}  // namespace

int demo(const Arguments& arguments) {
  const Clock::time_point begin = Clock::now();
  Scratch scratch;
  std::error_code error;
  std::string name = (std::filesystem::temp_directory_path(error) / "knative-demo-XXXXXX").string();
  if (error || ::mkdtemp(name.data()) == nullptr) {
    return failed("start", kn::fail(kn::Errc::failed_precondition, "cannot make " + name));
  }
  scratch.path = name;
  end_when_interrupted(scratch.path);
  std::string repository = arguments.get("--repo");
  if (repository.empty()) {
    kn::Result<std::string> sample =
        sample_repository(arguments.get("--sample", find_sample()), scratch.path);
    if (!sample) return failed("sample", sample.error());
    repository = *sample;
  }
  kn::PlatformOptions options;
  options.data_directory = (scratch.path / "data").string();
  options.autoscaler.scale_to_zero_grace_period = 6s;
  options.autoscaler.allow_zero_initial_scale = true;
  options.on_output = show_output;
  kn::LoopOptions loop;
  loop.log_level = kn::LogLevel::error;
  kn::FunctionTable functions;
  std::printf("knative %s: Build, Serving and Eventing in one process\n", KNATIVE_VERSION_STRING);
  const Clock::time_point starting = Clock::now();
  kn::PlatformThread platform(functions, options, loop);
  if (kn::Result<void> started = platform.start(); !started) {
    return failed("start", started.error());
  }
  line("platform started", platform.endpoint().to_string(), milliseconds_since(starting));
  std::string image;
  if (int code = build_step(platform, repository, arguments.get("--revision"), image)) return code;
  if (int code = serving_step(platform, image, arguments.has("--quick"))) return code;
  if (int code = eventing_step(platform)) return code;
  if (int code = containers_part(platform, options.data_directory)) return code;
  platform.stop();
  std::printf("\nAll of it took %.1f s, without Docker, cluster, daemon or network.\n",
              milliseconds_since(begin) / 1000);
  return 0;
}

}  // namespace command
