#include "knative/door.hpp"

#include <algorithm>
#include <utility>

#include "base/text.hpp"
#include "wire/http_authority.hpp"

namespace knative {

namespace {

// "127.0.0.1", "[::1]", "localhost": the address itself, not a name of something.
bool is_bare(std::string_view host) {
  if (host.empty() || host == "localhost" || host.front() == '[') return true;
  return host.find_first_not_of("0123456789.") == std::string_view::npos;
}

constexpr std::uint16_t http_port = 80;
constexpr std::uint16_t https_port = 443;

}  // namespace

std::string Addresses::external_url(std::string_view name, std::string_view namespace_) const {
  std::string url = secure_ ? "https://" : "http://";
  url.append(name).append(".").append(namespace_).append(".").append(domain_);
  if (port_ != 0 && port_ != (secure_ ? https_port : http_port))
    url.append(":").append(std::to_string(port_));
  return url;
}

std::string Addresses::internal_url(std::string_view name, std::string_view namespace_) {
  std::string url = "http://";
  url.append(name).append(".").append(namespace_).append(".svc.cluster.local");
  return url;
}

std::vector<std::string> Addresses::hosts(std::string_view name, std::string_view namespace_,
                                          bool is_private) const {
  const std::string scoped = std::string(name).append(".").append(namespace_);
  std::vector<std::string> all = {scoped + ".svc.cluster.local", scoped + ".svc", scoped};
  std::string outside = scoped + "." + domain_;  // the domain may be the cluster's own
  const bool known = std::find(all.begin(), all.end(), outside) != all.end();
  if (!is_private && !known) all.push_back(std::move(outside));
  return all;
}

Result<void> Door::set_hosts(std::string_view owner, std::vector<std::string> hosts,
                             std::shared_ptr<http::Handler> handler, Reach reach) {
  std::sort(hosts.begin(), hosts.end());
  if (const auto twice = std::adjacent_find(hosts.begin(), hosts.end()); twice != hosts.end()) {
    return fail(Errc::already_exists,
                "two names of " + std::string(owner) + " give the host " + *twice);
  }
  for (const std::string& host : hosts) {
    const auto taken = hosts_.find(host);
    if (taken != hosts_.end() && taken->second.owner != owner) {
      return fail(Errc::already_exists, "host " + host + " belongs to " + taken->second.owner);
    }
  }
  if (added_) {
    for (const std::string& host : hosts) {
      if (!hosts_.contains(host)) added_(host);
    }
  }
  remove_hosts(owner);
  for (const std::string& host : hosts) hosts_[host] = Entry{std::string(owner), handler, reach};
  if (!hosts.empty()) owners_[std::string(owner)] = std::move(hosts);
  return {};
}

void Door::remove_hosts(std::string_view owner) {
  const auto owned = owners_.find(owner);
  if (owned == owners_.end()) return;
  for (const std::string& host : owned->second) hosts_.erase(host);
  owners_.erase(owned);
}

Result<void> Door::set_path(std::string path, std::shared_ptr<http::Handler> handler,
                            std::uint64_t body_bytes_max) {
  KN_ASSERT(path.starts_with('/'));
  const auto [entry, added] =
      paths_.emplace(std::move(path), PathEntry{std::move(handler), body_bytes_max});
  if (!added) return fail(Errc::already_exists, "somebody answers for " + entry->first);
  return {};
}

void Door::remove_path(std::string_view path) {
  const auto found = paths_.find(path);
  if (found != paths_.end()) paths_.erase(found);
}

std::shared_ptr<http::Handler> Door::at_host(std::string_view host) const {
  const auto found = hosts_.find(host);
  return found == hosts_.end() ? nullptr : found->second.handler;
}

const Door::PathEntry* Door::entry_at_path(std::string_view path) const {
  for (std::string_view prefix = path; !prefix.empty();) {
    const auto found = paths_.find(prefix);
    if (found != paths_.end()) return &found->second;
    const std::size_t slash = prefix.rfind('/');
    if (slash == std::string_view::npos) break;
    prefix = prefix.substr(0, slash);
  }
  const auto root = paths_.find("/");
  return root == paths_.end() ? nullptr : &root->second;
}

std::shared_ptr<http::Handler> Door::at_path(std::string_view path) const {
  const PathEntry* const entry = entry_at_path(path);
  return entry == nullptr ? nullptr : entry->handler;
}

std::uint64_t Door::body_bytes_max(const http::Request& request) const {
  const std::string host = request.host();
  if (hosts_.contains(host) || !is_bare(host)) return 0;
  const PathEntry* const entry = entry_at_path(request.path());
  return entry == nullptr ? 0 : entry->body_bytes_max;
}

std::shared_ptr<http::Handler> Door::at_url(const http::Url& url) const {
  const bool secure = url.scheme == "https";
  const bool listener = secure == addresses_.secure();
  const bool ours = (listener && url.port == addresses_.port()) ||
                    (secure ? listener && url.port == https_port : url.port == http_port);
  if (!ours) return nullptr;
  std::string_view host = url.host;
  if (host.ends_with('.')) host.remove_suffix(1);  // the same name
  return at_host(host);
}

namespace {

Task<http::Response> handle_kept(std::shared_ptr<http::Handler> handler, http::Request& request) {
  const std::shared_ptr<http::Handler> keep = std::move(handler);  // not as long as the frame is
  co_return co_await keep->handle(request);
}

/// Whoever nobody owns keeps what it uses itself, and costs no frame.
Task<http::Response> pass_on(const std::shared_ptr<http::Handler>& handler,
                             http::Request& request) {
  if (handler.use_count() == 0) return handler->handle(request);
  return handle_kept(handler, request);
}

Task<http::Response> at_once(http::Response response) { co_return response; }

Task<http::Response> not_here(std::string_view text, std::string_view host = {}) {
  return at_once(http::error_response(404, std::string(text).append(host)));
}

}  // namespace

const Door::Entry* Door::entry_at_host(const http::Request& request, std::string_view& host,
                                       std::string& lowered) const {
  host = http::wire::host_of(request.authority());
  auto found = hosts_.find(host);
  if (found == hosts_.end() && std::any_of(host.begin(), host.end(), base::is_upper)) {
    lowered = request.host();
    host = lowered;
    found = hosts_.find(host);
  }
  return found == hosts_.end() ? nullptr : &found->second;
}

Task<http::Response> Door::answer(http::Request& request, bool arrived) {
  std::string_view host;
  std::string lowered;
  const Entry* const entry = entry_at_host(request, host, lowered);
  if (entry != nullptr &&
      (entry->reach == Reach::everyone || !arrived || http::wire::is_local_peer(request.peer))) {
    return pass_on(entry->handler, request);
  }
  if (!is_bare(host)) return not_here("no service answers for the host ", host);
  if (const std::shared_ptr<http::Handler> handler = at_path(request.path())) {
    return pass_on(handler, request);
  }
  return not_here(
      "no such path here; services answer by their host, e.g. NAME.NAMESPACE.localhost");
}

Task<http::Response> Door::Inside::handle(http::Request& request) {
  std::string_view host;
  std::string lowered;
  const Entry* const entry = door_.entry_at_host(request, host, lowered);
  if (entry != nullptr) return pass_on(entry->handler, request);
  return not_here("no service answers for the host ", host);
}

}  // namespace knative
