// A reverse proxy of the library's parts: server, hop-by-hop rules, client.
//
//   peer_knative_proxy PORT UPSTREAM    UPSTREAM: host:port or unix:/path
#include <cstdio>
#include <cstdlib>

#include "knative/http.hpp"

namespace {

class Proxy final : public knative::http::Handler {
 public:
  explicit Proxy(knative::http::Handler& upstream) : upstream_(upstream) {}
  knative::Task<knative::http::Response> handle(knative::http::Request& request) override {
    knative::http::remove_hop_by_hop(request.headers);
    request.headers.add("X-Forwarded-For", request.peer);
    knative::http::Response response = co_await upstream_.handle(request);
    knative::http::remove_hop_by_hop(response.headers);
    co_return response;
  }

 private:
  knative::http::Handler& upstream_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  knative::Endpoint endpoint;
  endpoint.port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  const auto upstream = knative::Endpoint::parse(argv[2]);
  if (!upstream) {
    std::fprintf(stderr, "%s\n", upstream.error().to_string().c_str());
    return 2;
  }
  knative::Loop loop;
  knative::Env& env = loop.env();
  knative::http::Client client(env.executor, env.timers, env.network, *upstream);
  Proxy proxy(client);
  knative::http::Server server(env.executor, env.timers, env.logger,
                               env.network.listen(endpoint).value(), proxy);
  std::printf("%d\n", server.endpoint().port);
  std::fflush(stdout);
  loop.run();
}
