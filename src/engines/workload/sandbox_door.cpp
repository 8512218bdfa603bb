#include "engines/workload/sandbox_door.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "wire/dns.hpp"

namespace knative {
namespace {

constexpr std::uint16_t door_http_port = 80;
constexpr std::uint16_t door_name_port = 53;
constexpr std::array<std::uint8_t, 4> door_address_bytes = {169, 254, 20, 1};
constexpr std::size_t door_connections_max = 256;
constexpr int door_backlog_max = 64;
// Who asks faster than this waits, or asks in vain.
constexpr int questions_at_once_max = 16;
constexpr Duration pause_between = std::chrono::milliseconds(1);

http::ServerOptions door_bounds(http::ServerOptions options) {
  options.connections_max = std::min(options.connections_max, door_connections_max);
  options.connect = false;
  return options;
}

struct OpenDoor {
  OpenDoor(Env& env, const SandboxGateway& gateway, std::unique_ptr<Datagrams> questions,
           std::unique_ptr<Listener> listener)
      : timers(env.timers),
        names(std::move(questions)),
        server(env.executor, env.timers, env.logger, std::move(listener), *gateway.handler,
               door_bounds(gateway.server)),
        tasks(env.executor) {
    zone.address = door_address_bytes;
    zone.knows = gateway.knows;
    tasks.add(answer_names());
  }

  Task<void> answer_names() {
    std::array<char, dns::query_bytes_max> query;
    Endpoint from;
    for (int answered = 0;; ++answered) {
      if (answered == questions_at_once_max) {
        answered = 0;
        co_await timers.sleep_for(pause_between);
      }
      const Result<std::size_t> got = co_await names->receive(query, from);
      if (!got) co_return;
      const std::string answer = dns::answer(std::string_view(query.data(), *got), zone);
      if (!answer.empty()) names->send(answer, from);
    }
  }

  Timers& timers;
  dns::Zone zone;
  std::unique_ptr<Datagrams> names;
  http::Server server;
  TaskSet tasks;
};

}  // namespace

std::optional<std::size_t> SandboxDoor::clash(const std::vector<core::ContainerPort>& ports) {
  const auto found = std::find_if(ports.begin(), ports.end(), [](const core::ContainerPort& port) {
    return port.container_port == door_http_port;
  });
  if (found == ports.end()) return std::nullopt;
  return static_cast<std::size_t>(found - ports.begin());
}

std::string SandboxDoor::resolver(std::string_view namespace_) {
  std::string text = "nameserver ";
  text.append(address).append("\nsearch ");
  if (!namespace_.empty()) text.append(namespace_).append(".svc.cluster.local ");
  return text.append("svc.cluster.local cluster.local\noptions ndots:5\n");
}

Result<std::shared_ptr<void>> SandboxDoor::serve(Env& env, Network& inside,
                                                 const SandboxGateway& gateway) {
  Endpoint place{.host = address, .port = door_http_port, .path = {}};
  Result<std::unique_ptr<Listener>> listener =
      inside.listen(place, ListenOptions{.backlog_max = door_backlog_max, .reuse_port = false});
  if (!listener) return listener.error();
  place.port = door_name_port;
  Result<std::unique_ptr<Datagrams>> names = inside.listen_datagrams(place);
  if (!names) return names.error();
  return std::shared_ptr<void>(
      std::make_shared<OpenDoor>(env, gateway, std::move(*names), std::move(*listener)));
}

}  // namespace knative
