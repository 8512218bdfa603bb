// Fetches a git source, for comparisons with git itself:
//   peer_knative_fetch URL REVISION FOLDER [AUTHORITY.pem | KEY KNOWN_HOSTS]
// Prints the seconds and the commit.
#include <chrono>
#include <cstdio>
#include <string>

#include "knative/builder.hpp"
#include "knative/http_outbound.hpp"

namespace {

std::string host_of(const std::string& url) {
  const std::size_t begin = url.find("://") + 3;
  return url.substr(begin, url.find_first_of(":/", begin) - begin);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace knative;
  if (argc < 4 || argc > 6) {
    std::fprintf(stderr, "usage: %s URL REVISION FOLDER [AUTHORITY.pem | KEY KNOWN_HOSTS]\n",
                 argv[0]);
    return 2;
  }
  Loop loop;
  Env& env = loop.env();
  http::OutboundOptions trust;
  SourceCredentials credentials;
  build::SourceSpec source;
  source.git = build::GitSource{argv[1], argv[2]};
  if (argc == 5) trust.tls.trust.certificates = env.files.read_file(argv[4]).value();
  if (argc == 6) {
    SourceCredentials::Ssh key;
    key.host = host_of(argv[1]);
    const std::size_t port = source.git->url.rfind(':');
    key.port = static_cast<std::uint16_t>(std::stoi(source.git->url.substr(port + 1)));
    key.private_key = env.files.read_file(argv[4]).value();
    key.known_hosts = env.files.read_file(argv[5]).value();
    key.secret = "key";
    credentials.ssh = {key};
  }
  http::Outbound outbound(env.executor, env.timers, env.network, trust);
  const auto fetcher =
      source_fetcher(outbound, env.timers, env.network, env.processes, env.files, env.offload);
  const std::string folder = argv[3];
  const auto begin = std::chrono::steady_clock::now();
  const Result<Fetched> fetched = loop.run(fetcher->fetch(source, folder, credentials));
  if (!fetched) {
    std::fprintf(stderr, "%s\n", fetched.error().to_string().c_str());
    return 1;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%.3f %s\n", took.count(), fetched->resolved.revision.c_str());
  return 0;
}
