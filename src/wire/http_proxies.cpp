// Which proxy a URL goes through, from the variables that curl and Go read.
#include <array>
#include <charconv>
#include <cstdint>
#include <string>

#include "knative/http_outbound.hpp"
#include "wire/http_text.hpp"

namespace knative::http {

namespace {

std::optional<std::uint32_t> parse_ipv4(std::string_view text) noexcept {
  std::uint32_t address = 0;
  for (int part = 0; part < 4; ++part) {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || number > 255) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    address = address << 8 | number;
    if (part == 3) break;
    if (text.empty() || text.front() != '.') return std::nullopt;
    text.remove_prefix(1);
  }
  return text.empty() ? std::optional(address) : std::nullopt;
}

struct Network4 {
  std::uint32_t address = 0;
  std::uint32_t mask = 0;
};

std::optional<Network4> parse_network(std::string_view text) noexcept {
  const std::size_t slash = text.find('/');
  const std::optional<std::uint32_t> address = parse_ipv4(text.substr(0, slash));
  const std::string_view digits = text.substr(slash + 1);
  unsigned bits = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
  const bool whole = end == digits.data() + digits.size();
  if (!address || error != std::errc() || !whole || bits > 32) return std::nullopt;
  const std::uint32_t mask = bits == 0 ? 0 : ~std::uint32_t{0} << (32 - bits);
  return Network4{*address & mask, mask};
}

/// An entry of no_proxy without its port; false when the port is another one.
bool strip_port(std::string_view& entry, std::uint16_t port) noexcept {
  const std::size_t colon = entry.rfind(':');
  const bool v6 = colon != std::string_view::npos && entry.find(':') != colon;
  if (colon == std::string_view::npos || (v6 && entry[colon - 1] != ']')) return true;
  const bool same = entry.substr(colon + 1) == std::to_string(port);
  entry = entry.substr(0, colon);
  return same;
}

bool covers(std::string_view entry, const Url& url) {
  if (entry == "*") return true;
  if (entry.find('/') != std::string_view::npos) {
    const std::optional<Network4> network = parse_network(entry);
    const std::optional<std::uint32_t> address = parse_ipv4(url.host);
    return network && address && (*address & network->mask) == network->address;
  }
  if (!strip_port(entry, url.port)) return false;
  if (entry.size() > 1 && entry.front() == '[') entry = entry.substr(1, entry.size() - 2);
  if (wire::equal_ignoring_case(entry, url.host)) return true;
  if (parse_ipv4(url.host)) return false;  // no domain above an address
  if (!entry.empty() && entry.front() == '*') entry.remove_prefix(1);
  if (!entry.empty() && entry.front() == '.') entry.remove_prefix(1);
  if (entry.empty() || url.host.size() <= entry.size()) return false;
  const std::size_t begin = url.host.size() - entry.size();
  return url.host[begin - 1] == '.' &&
         wire::equal_ignoring_case(std::string_view(url.host).substr(begin), entry);
}

Result<std::optional<Proxies::Proxy>> parse_proxy(std::string_view variable,
                                                  std::string_view text) {
  if (text.empty()) return std::optional<Proxies::Proxy>();
  Proxies::Proxy proxy;
  std::string plain(text);
  if (plain.find("://") == std::string::npos) plain.insert(0, "http://");
  const std::size_t begin = plain.find("://") + 3;
  const std::size_t at = plain.substr(0, plain.find('/', begin)).rfind('@');
  if (at != std::string::npos) {
    const std::string user = plain.substr(begin, at - begin);
    const std::size_t colon = user.find(':');
    const std::string password = colon == std::string::npos ? "" : user.substr(colon + 1);
    proxy.authorization =
        basic_authorization(percent_decode(user.substr(0, colon)), percent_decode(password));
    plain.erase(begin, at + 1 - begin);
  }
  const Result<Url> url = Url::parse(plain);
  if (!url || url->scheme != "http") {
    return fail(Errc::invalid_argument, std::string(variable) + ": is no http URL of a proxy");
  }
  proxy.endpoint = url->endpoint();
  return std::optional(proxy);
}

}  // namespace

Result<Proxies> Proxies::from(const std::map<std::string, std::string>& environment) {
  auto value = [&environment](std::initializer_list<const char*> names) {
    std::pair<std::string, std::string> found;
    for (const char* name : names) {
      const auto at = environment.find(name);
      if (at == environment.end()) continue;
      found = {name, at->second};
      break;
    }
    return found;
  };
  Proxies proxies;
  const auto [http_name, http_text] = value({"http_proxy", "all_proxy", "ALL_PROXY"});
  Result<std::optional<Proxy>> for_http = parse_proxy(http_name, http_text);
  if (!for_http) return for_http.error();
  proxies.http = *std::move(for_http);
  const auto [https_name, https_text] =
      value({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"});
  Result<std::optional<Proxy>> for_https = parse_proxy(https_name, https_text);
  if (!for_https) return for_https.error();
  proxies.https = *std::move(for_https);
  const auto [no_name, no_text] = value({"no_proxy", "NO_PROXY"});
  std::string bad;
  wire::for_each_element(no_text, [&proxies, &bad](std::string_view entry) {
    if (entry.find('/') != std::string_view::npos && !parse_network(entry)) bad = entry;
    proxies.direct.emplace_back(entry);
  });
  if (!bad.empty()) {
    return fail(Errc::invalid_argument, no_name + ": \"" + bad + "\" is no IPv4 network");
  }
  return proxies;
}

const Proxies::Proxy* Proxies::proxy_for(const Url& url) const noexcept {
  const std::optional<Proxy>& proxy = url.scheme == "https" ? https : http;
  if (!proxy || url.endpoint().is_loopback()) return nullptr;
  for (const std::string& entry : direct) {
    if (covers(entry, url)) return nullptr;
  }
  return &*proxy;
}

}  // namespace knative::http
