#include "simulation/front_door.hpp"

#include <algorithm>

namespace knative::simulation {
namespace {

// Names inside a cluster hold whatever the domain of a platform is.
std::string whole_name(std::string_view service) {
  const auto dots = std::count(service.begin(), service.end(), '.');
  std::string name(service);
  if (dots == 0) name += ".default";
  if (dots <= 1) name += ".svc.cluster.local";
  return name;
}

}  // namespace

FrontDoor::FrontDoor(Env& env, NetworkWorld& network, std::string host, std::string_view service)
    : env_(env), network_(network), host_(std::move(host)), name_(whole_name(service)) {}

http::Client& FrontDoor::client_of(const Endpoint& endpoint) {
  std::unique_ptr<http::Client>& client = clients_[endpoint.to_string()];
  if (!client) {
    client = std::make_unique<http::Client>(env_.executor, env_.timers, env_.network, endpoint);
  }
  return *client;
}

Task<http::Response> FrontDoor::handle(http::Request& request) {
  const std::optional<Endpoint> endpoint = network_.front_door(host_);
  if (!endpoint) co_return http::error_response(503, "nobody listens on host " + host_);
  request.headers.set("host", name_);
  co_return co_await client_of(*endpoint).handle(request);
}

}  // namespace knative::simulation
