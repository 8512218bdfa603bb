// Feeds arbitrary bytes to what the outgoing client reads of strangers and of its host: whole
// conversations of a server and of a proxy, redirects, challenges, and variables with proxies.
// The first byte chooses.
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

#include "knative/http_outbound.hpp"
#include "knative/simulation.hpp"
#include "wire/http_authority.hpp"

namespace {

using namespace knative;

void require(bool holds) {
  if (!holds) std::abort();
}

/// Answers every connection with the bytes, cut in two, and ends it.
Task<void> answer(Env& env, Listener& listener, std::string_view bytes, std::string& heard) {
  for (;;) {
    Result<std::unique_ptr<Stream>> stream = co_await listener.accept();
    if (!stream) co_return;
    char room[4096];
    const Result<std::size_t> got = co_await (*stream)->read_some(room);
    if (got) heard.append(room, *got);
    const std::string_view first = bytes.substr(0, bytes.size() / 2);
    const std::string_view rest = bytes.substr(bytes.size() / 2);
    const Result<std::size_t> sent = co_await (*stream)->write_all(first);
    co_await env.timers.sleep_for(std::chrono::milliseconds(1));
    if (sent) (void)co_await (*stream)->write_all(rest);
  }
}

/// Whatever comes, the request ends, and nothing of it is left.
Task<void> converse(Env& env, std::string_view bytes, bool proxied) {
  const Endpoint any;
  const auto listener = env.network.listen(any).value();
  std::string heard;
  TaskSet answering(env.executor);
  answering.add(answer(env, *listener, bytes, heard));
  http::OutboundOptions options;
  options.tls.trust = {false, tls::Authority::create({}, env.timers.wall()).value().certificate()};
  options.redirects_max = 3;
  if (proxied) options.proxies.https = http::Proxies::Proxy{listener->endpoint(), "Basic eA=="};
  http::Outbound client(env.executor, env.timers, env.network, options);
  http::Url url = http::Url::parse("https://far.example/secret").value();
  if (!proxied) {
    url.scheme = "http";
    url.host = "127.0.0.1";
    url.port = listener->endpoint().port;
  }
  {
    http::Request request = http::get("/");
    request.headers.set("Authorization", "hidden");
    Result<http::Response> response = co_await client.send(url, request);
    if (response) (void)co_await response->body.read_all(1 << 16);
    require(!proxied || !response);
  }
  if (proxied) require(heard.find("secret") == heard.npos && heard.find("hidden") == heard.npos);
  require(client.connections() <= 1);
  answering.clear();
}

void variables(std::string_view text) {
  std::map<std::string, std::string> environment;
  const std::size_t first = text.find('\n');
  environment["https_proxy"] = text.substr(0, first);
  if (first != text.npos) {
    const std::size_t second = text.find('\n', first + 1);
    environment["http_proxy"] = text.substr(first + 1, second - first - 1);
    if (second != text.npos) environment["no_proxy"] = text.substr(second + 1);
  }
  const Result<http::Proxies> proxies = http::Proxies::from(environment);
  if (!proxies) return;
  for (const char* url : {"https://a.example.com:8443/", "http://10.1.2.3/", "http://[fe80::1]/",
                          "http://localhost/"}) {
    (void)proxies->proxy_for(http::Url::parse(url).value());
  }
}

void challenges(std::string_view text) {
  http::Headers headers;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    (void)headers.add("WWW-Authenticate", text.substr(0, end));
    text = end == text.npos ? "" : text.substr(end + 1);
  }
  for (const http::Challenge& challenge : http::parse_challenges(headers)) {
    require(!challenge.scheme.empty());
    require(challenge.token.empty() || challenge.parameters.empty());
  }
}

/// Where a redirect leads is a URL that reads as it is written.
void reference(std::string_view text) {
  const http::Url base = http::Url::parse("https://a.example:8443/b/c?d").value();
  const Result<http::Url> next = http::wire::resolve(base, text);
  if (!next) return;
  const Result<http::Url> again = http::Url::parse(next->to_string());
  require(again && *again == *next);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
    case 1: {
      Simulation sim(1);
      sim.run(converse(sim.env(), bytes, data[0] % 5 == 1));
      require(sim.run_until_quiet(std::chrono::minutes(10)));
      break;
    }
    case 2: variables(bytes); break;
    case 3: challenges(bytes); break;
    default: reference(bytes); break;
  }
  return 0;
}
