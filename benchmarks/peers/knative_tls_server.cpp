// An HTTP server over TLS on one thread.
//
//   peer_knative_tls_server PORT BODY_BYTES FOLDER
//
// Makes an authority (FOLDER/ca.pem) and a certificate for localhost with a P-256 key (leaf.pem,
// leaf.key), which other servers of the comparison use, too.
#include <cstdio>
#include <cstdlib>
#include <knative/http_server.hpp>
#include <knative/tls.hpp>
#include <string>

namespace kn = knative;
namespace tls = knative::tls;

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const std::string folder = argv[3];
  const std::string body(std::strtoul(argv[2], nullptr, 10), 'x');
  kn::LoopOptions quiet;
  quiet.log_level = kn::LogLevel::error;
  kn::Loop loop(quiet);
  kn::Env& env = loop.env();

  const kn::WallTime now = env.timers.wall();
  tls::AuthorityOptions authority_options;
  authority_options.key_type = tls::KeyType::p256;
  const tls::Authority authority = tls::Authority::create(authority_options, now).value();
  tls::LeafOptions leaf;
  leaf.names = {"localhost", "127.0.0.1"};
  leaf.key_type = tls::KeyType::p256;
  tls::ServerOptions options;
  options.identities.push_back(authority.issue(leaf, now).value());
  env.files.write_file(folder + "/ca.pem", authority.certificate()).value();
  env.files.write_file(folder + "/leaf.pem", options.identities[0].certificates).value();
  env.files.write_file(folder + "/leaf.key", options.identities[0].private_key, 0600).value();

  kn::Endpoint where;
  where.port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  auto listener =
      tls::wrap(env.executor, env.timers, env.logger, env.network.listen(where).value(), options);
  const auto handler =
      kn::http::make_handler([&body](kn::http::Request&) { return kn::http::text(body); });
  kn::http::Server server(env.executor, env.timers, env.logger, std::move(*listener), *handler);
  std::printf("%d\n", server.endpoint().port);
  std::fflush(stdout);
  loop.run();
}
