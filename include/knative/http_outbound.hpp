/// \file
/// One HTTP client for everything that goes out: events, registries, sources, other servers.
///
/// It takes whole URLs, keeps connections by origin, speaks TLS for https, follows redirects, goes
/// through proxies and answers challenges. Not here: caches, cookies, decoding of contents. Objects
/// belong to the loop they were made on; names are resolved by the network, off the loop.
///
/// \code
/// kn::http::OutboundOptions options;
/// options.proxies = kn::http::Proxies::from(environment).value();
/// kn::http::Outbound outbound(env.executor, env.timers, env.network, options);
/// const kn::http::Url url = kn::http::Url::parse("https://registry.example.com/v2/").value();
/// kn::http::Request request = kn::http::get("/");
/// kn::Result<kn::http::Response> response = co_await outbound.send(url, request);
/// \endcode
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/http.hpp"
#include "knative/http_client.hpp"
#include "knative/tls.hpp"

namespace knative::http {

// ---------------------------------------------------------------------------- proxies

/// Which requests go through which proxy. A value.
struct KNATIVE_EXPORT Proxies {
  /// A proxy in clear text, with the Proxy-Authorization that it wants; empty: none.
  struct Proxy {
    Endpoint endpoint;
    std::string authorization;
    friend bool operator==(const Proxy&, const Proxy&) = default;
  };
  std::optional<Proxy> http;   ///< For http URLs: requests are sent to it whole.
  std::optional<Proxy> https;  ///< For https URLs: it connects, and sees no request.
  /// Hosts that are reached without: "*", "host", ".domain" or "domain" (with what is below it),
  /// an address, "10.0.0.0/8"; each perhaps with ":port". Loopback hosts always are.
  std::vector<std::string> direct;

  /// Read http_proxy, https_proxy, HTTPS_PROXY, all_proxy, ALL_PROXY, no_proxy and NO_PROXY of an
  /// environment; small letters win. HTTP_PROXY is not read: a request could set it in a CGI
  /// program. Fails with `invalid_argument`, naming the variable, never its value's password.
  static Result<Proxies> from(const std::map<std::string, std::string>& environment);
  /// The proxy for a URL; null: none.
  const Proxy* proxy_for(const Url& url) const noexcept;
};

// ---------------------------------------------------------------------------- credentials

/// "Basic ..." (RFC 7617)
KNATIVE_EXPORT std::string basic_authorization(std::string_view user, std::string_view password);
/// "Bearer ..." (RFC 6750)
KNATIVE_EXPORT std::string bearer_authorization(std::string_view token);

/// One challenge of a WWW-Authenticate field (RFC 9110 section 11.6.1).
struct Challenge {
  std::string scheme;                             ///< Small letters: "basic", "bearer".
  std::map<std::string, std::string> parameters;  ///< Names in small letters.
  std::string token;                              ///< The token68 instead of parameters.
  friend bool operator==(const Challenge&, const Challenge&) = default;
};

/// All challenges of all fields of that name. What cannot be read is left out.
KNATIVE_EXPORT std::vector<Challenge> parse_challenges(const Headers& headers,
                                                       std::string_view name = "WWW-Authenticate");

/// Knows credentials.
class KNATIVE_EXPORT Authorizer {
 public:
  virtual ~Authorizer() = default;
  /// The Authorization field for a request to `url`; empty: none. Asked without challenges before
  /// a request is sent that has no such field, and with them after a 401. Both stay until the task
  /// is done. A failure becomes that of the request.
  virtual Task<Result<std::string>> authorize(const Url& url,
                                              const std::vector<Challenge>& challenges) = 0;
};

// ---------------------------------------------------------------------------- the client

/// Bounds and ways of an `Outbound`.
struct OutboundOptions {
  ClientOptions client;               ///< Of every origin: connections, times, header bytes.
  tls::ClientOptions tls;             ///< For https; its `alpn` is ours.
  Proxies proxies;                    ///< None by default: the host passes its environment on.
  std::size_t origins_max = 256;      ///< Kept when nobody uses them.
  std::size_t requests_max = 10'000;  ///< Under way in all. (resource_exhausted)
  std::size_t requests_per_origin_max = 1'024;  ///< Of one origin. (resource_exhausted)
  int redirects_max = 10;
  /// A request that was not answered is sent so often, if its method is idempotent (RFC 9110
  /// section 9.2.2) and its body in memory.
  int attempts_max = 2;
};

/// How to send one request.
struct SendOptions {
  /// Follow 301, 302, 303, 307 and 308; otherwise they are responses like others.
  bool redirects = true;
  Authorizer* authorizer = nullptr;  ///< Must stay until the response is there.
  Url* arrived = nullptr;            ///< Becomes the URL that was asked last; as `authorizer`.
};

/// A client of all origins.
class KNATIVE_EXPORT Outbound {
 public:
  /// The capabilities must outlive it. Trust is looked up when https is asked for first.
  Outbound(Executor& executor, Timers& timers, Network& network, OutboundOptions options = {});
  ~Outbound();
  Outbound(const Outbound&) = delete;
  Outbound& operator=(const Outbound&) = delete;

  /// Send `request` to `url`, which sets its target and Host, and yield the final response; its
  /// body is streamed, and must be gone before this object is. `request` must stay until then.
  ///
  /// A redirect is followed by GET after 303, and after 301 and 302 of POST, otherwise by the same
  /// request; when its body was streamed and is needed again, the redirect is the response.
  /// Authorization and Cookie fields go to the first origin only.
  ///
  /// Fails with
  ///  - `invalid_argument`: the request cannot be sent, a redirect's Location is no URL, or the
  ///    options of TLS are wrong,
  ///  - `failed_precondition`: redirects go round, are too many, or lead from https to http; the
  ///    server's certificate is not to be trusted; a proxy refuses,
  ///  - `unavailable`: no connection, or it broke before a whole response header,
  ///  - `deadline_exceeded`: no connection or no response in time,
  ///  - `resource_exhausted`: a bound of the options is reached.
  Task<Result<Response>> send(const Url& url, Request& request, SendOptions options = {});
  Task<Result<Response>> send(Url&& url, Request& request, SendOptions options = {}) = delete;

  /// Connections from here on trust and show these; `alpn` is ours. Fails as `tls::wrap` when there
  /// were such connections before, and then changes nothing.
  Result<void> reload(tls::ClientOptions options);
  /// Origins now, used or kept.
  std::size_t origins() const noexcept;
  /// Connections of all origins now, in use or idle.
  std::size_t connections() const noexcept;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace knative::http
