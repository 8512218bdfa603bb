// Compiled with CASE = 1, 2, ... by tests/base/await_trap/CMakeLists.txt, never run.
//
// g++ 12 miscompiles an aggregate in braces inside a co_await expression: its strings are freed
// twice. So awaited functions that take a model value have the pair `f(const T&)` and
// `f(T&&) = delete`, and an awaited Handler takes `Request&`: both spellings of the trap are
// errors. CASE 0 is the way it is meant, and must compile.
#include <string>
#include <vector>

#include "knative/env.hpp"
#include "knative/event.hpp"
#include "knative/event_broker.hpp"
#include "knative/http.hpp"
#include "knative/platform.hpp"
#include "knative/task.hpp"

namespace kn = knative;

struct Metadata {
  std::string name;
  std::string namespace_;
};
struct Service {
  Metadata metadata;
  std::vector<std::string> arguments;
};

struct Api {
  kn::Task<kn::Result<void>> apply(const Service& service) {
    (void)service;
    co_return kn::Result<void>();
  }
  kn::Task<kn::Result<void>> apply(Service&&) = delete;
};

kn::Task<void> meant(Api& api, kn::http::Handler& handler, kn::Sink& sink, kn::Offload& offload,
                     kn::Platform& platform) {
  Service service{.metadata = {.name = "a", .namespace_ = "b"}, .arguments = {"c"}};
  (co_await api.apply(service)).value();
  kn::http::Request request = kn::http::get("/");
  kn::http::Response response = co_await handler.handle(request);
  const kn::CloudEvent event("type", "/source", std::string("data"));
  (void)co_await sink.deliver(event);
  kn::Result<kn::http::Response> invoked = co_await platform.invoke("hello", request);
  auto work = [name = service.metadata.name] { return name.size(); };
  (void)co_await offload.run(work);
}

kn::Task<void> trap(Api& api, kn::http::Handler& handler, kn::EventBroker& broker,
                    kn::Offload& offload, kn::Platform& platform, const std::string& name) {
  (void)api, (void)handler, (void)broker, (void)offload, (void)platform, (void)name;
#if CASE == 1
  (co_await api.apply(Service{.metadata = {.name = "a"}})).value();
#elif CASE == 2
  (co_await api.apply({.metadata = {.name = "a"}, .arguments = {"b"}})).value();
#elif CASE == 3
  (co_await api.apply(Service{{"a", "b"}, {"c"}})).value();
#elif CASE == 4
  (co_await api.apply({{"a", "b"}, {"c"}})).value();
#elif CASE == 5
  co_await handler.handle(kn::http::Request{.method = "GET", .target = "/"});
#elif CASE == 6
  co_await handler.handle({.method = "GET", .target = "/"});
#elif CASE == 7
  (co_await broker.publish(kn::CloudEvent("type", "/source", std::string("data")))).value();
#elif CASE == 8
  (co_await broker.publish({"type", "/source", std::string("data")})).value();
#elif CASE == 9
  (void)co_await offload.run([name] { return name.size(); });
#elif CASE == 10
  (co_await platform.invoke("hello", {.method = "POST", .target = "/"})).value();
#elif CASE == 11
  (co_await platform.invoke("hello", kn::http::Request{.method = "POST"})).value();
#elif CASE == 12
  (co_await platform.publish("default", {"type", "/source", std::string("data")})).value();
#endif
  co_return;
}
