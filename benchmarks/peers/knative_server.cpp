// The library's HTTP server with a plain function behind it.
//
//   peer_knative_server PORT BODY_BYTES
#include <cstdio>
#include <cstdlib>
#include <string>

#include "knative/http.hpp"

int main(int argc, char** argv) {
  knative::Endpoint endpoint;
  endpoint.port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0);
  const std::size_t size = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 200;
  const std::string body(size, 'x');
  knative::Loop loop;
  knative::Env& env = loop.env();
  auto handler = knative::http::make_handler(
      [&body](knative::http::Request&) { return knative::http::text(body); });
  knative::http::Server server(env.executor, env.timers, env.logger,
                               env.network.listen(endpoint).value(), *handler);
  std::printf("%d\n", server.endpoint().port);
  std::fflush(stdout);
  loop.run();
}
