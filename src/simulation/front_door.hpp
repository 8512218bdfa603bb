/// \file
/// Sends requests where a host's visitors would: to whatever listens there first.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "knative/http_client.hpp"
#include "simulation/world.hpp"

namespace knative::simulation {

/// Asks for one service at the front door of a host, over the simulated loopback. Looks for the
/// door at every request: what stands behind it may have been made again on another port.
class FrontDoor final : public http::Handler {
 public:
  /// `service` as in `Simulation::load`. `env` is the host's.
  FrontDoor(Env& env, NetworkWorld& network, std::string host, std::string_view service);
  Task<http::Response> handle(http::Request& request) override;

 private:
  http::Client& client_of(const Endpoint& endpoint);

  Env& env_;
  NetworkWorld& network_;
  std::string host_;
  std::string name_;
  std::map<std::string, std::unique_ptr<http::Client>> clients_;
};

}  // namespace knative::simulation
