#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>

#include "knative/router.hpp"
#include "wire/http_access.hpp"
#include "wire/http_authority.hpp"
#include "wire/http_text.hpp"

namespace knative {
namespace {

constexpr std::string_view tag_header = "Knative-Serving-Tag";
constexpr std::string_view default_route_header = "Knative-Serving-Default-Route";
/// Rules no longer in the table that a router may remember.
constexpr std::size_t sweep_min = 64;
/// Fields that only the platform's own parts may send.
constexpr std::string_view internal_headers[] = {
    "Knative-Serving-Revision", "Knative-Serving-Namespace", "Knative-Serving-Default-Route",
    "K-Original-Host",          "K-Proxy-Request",           "K-Passthrough-Lb"};

bool is_internal(std::string_view name) noexcept {
  if (name.size() < 2 || (name.front() != 'K' && name.front() != 'k')) return false;
  return std::any_of(std::begin(internal_headers), std::end(internal_headers),
                     [name](std::string_view other) { return http::same_name(name, other); });
}

void strip_internal(http::Headers& headers) {
  if ((http::HeadersAccess::names(headers) & http::wire::name_own) == 0) return;
  const std::size_t n = headers.size();
  bool any = false;
  for (std::size_t i = 0; i < n && !any; ++i) any = is_internal(headers.at(i).name);
  if (!any) return;
  for (const std::string_view name : internal_headers) headers.remove(name);
}

/// "10.0.0.1" of "10.0.0.1:4242", "::1" of "[::1]:4242"; empty for Unix sockets.
std::string_view address_of(std::string_view peer) noexcept {
  if (peer.starts_with("unix")) return {};
  if (peer.starts_with('[')) {
    const auto end = peer.find(']');
    return end == std::string_view::npos ? std::string_view() : peer.substr(1, end - 1);
  }
  return peer.substr(0, peer.rfind(':'));
}

/// Text of a bounded length.
class Draft {
 public:
  static constexpr std::size_t bytes_max = 512;
  Draft& put(std::string_view text) noexcept {
    std::memcpy(bytes_.data() + size_, text.data(), text.size());
    size_ += text.size();
    return *this;
  }
  std::string_view text() const noexcept { return std::string_view(bytes_.data(), size_); }

 private:
  std::array<char, bytes_max> bytes_;  // NOLINT: what is not put is not read
  std::size_t size_ = 0;
};

/// The fields for a request from a client itself, as most are: nothing to merge, and nothing that
/// needs quotes. False when it is not such a one.
bool add_first_forwarded(http::Request& request, std::string_view address) {
  using http::wire::is_token;
  http::Headers& headers = request.headers;
  const std::string_view host = headers.get("Host").value_or(std::string_view());
  const std::string_view proto = request.scheme;
  const std::size_t names_and_marks = 128;
  if ((http::HeadersAccess::names(headers) & http::wire::name_forwarded) != 0) return false;
  if (host.empty() || !is_token(address) || !is_token(proto)) return false;
  if (names_and_marks + 2 * (address.size() + host.size() + proto.size()) > Draft::bytes_max) {
    return false;
  }
  const auto length = [](std::string_view text) { return static_cast<std::uint32_t>(text.size()); };
  Draft draft;
  draft.put("X-Forwarded-For: ").put(address).put("\r\nX-Forwarded-Proto: ").put(proto);
  draft.put("\r\nX-Forwarded-Host: ").put(host).put("\r\nForwarded: for=").put(address);
  draft.put(";host=").put(host).put(";proto=").put(proto).put("\r\n");
  const std::array<http::HeadersAccess::Lengths, 4> lengths = {
      {{15, length(address)},
       {17, length(proto)},
       {16, length(host)},
       {9, length(address) + length(host) + length(proto) + 17}}};
  http::HeadersAccess::append_text(headers, draft.text(), lengths, http::wire::name_forwarded);
  return true;
}

void add_forwarded(http::Request& request) {
  const std::string_view address = address_of(request.peer);
  if (address.empty() || add_first_forwarded(request, address)) return;
  http::Headers& headers = request.headers;
  std::string addresses(headers.get("X-Forwarded-For").value_or(std::string_view()));
  addresses.append(addresses.empty() ? "" : ", ").append(address);
  headers.set("X-Forwarded-For", addresses);
  if (!headers.has("X-Forwarded-Proto")) headers.add("X-Forwarded-Proto", request.scheme);
  if (!headers.has("X-Forwarded-Host")) {
    const std::string host(headers.get("Host").value_or(std::string_view()));
    headers.add("X-Forwarded-Host", host);
  }
  if (headers.has("Forwarded")) return;
  const std::string value = forwarded_value(addresses, *headers.get("X-Forwarded-Host"),
                                            *headers.get("X-Forwarded-Proto"));
  headers.add("Forwarded", value);
}

Task<http::Response> answer(http::Response response) { co_return response; }

Task<http::Response> no_route(std::string_view host) {
  std::string text = "no route for host \"";
  text.append(host).append("\"");
  return answer(http::error_response(404, text));
}

}  // namespace

std::string forwarded_value(std::string_view addresses, std::string_view host,
                            std::string_view proto) {
  std::string value;
  value.reserve(addresses.size() + host.size() + proto.size() + 24);
  const auto attach = [&value, host, proto] {
    if (!host.empty()) value.append(value.empty() ? "host=" : ";host=").append(host);
    if (!proto.empty()) value.append(value.empty() ? "proto=" : ";proto=").append(proto);
  };
  bool first = true;
  while (!addresses.empty()) {
    const auto comma = addresses.find(',');
    std::string_view address = addresses.substr(0, comma);
    addresses.remove_prefix(comma == std::string_view::npos ? addresses.size() : comma + 1);
    while (!address.empty() && address.front() == ' ') address.remove_prefix(1);
    while (!address.empty() && address.back() == ' ') address.remove_suffix(1);
    if (address.empty()) continue;
    value.append(first ? "for=" : ", for=");
    const bool v6 = address.find(':') != std::string_view::npos;
    const bool bracketed = address.front() == '[';
    value.append(!v6 ? "" : bracketed ? "\"" : "\"[").append(address);
    value.append(!v6 ? "" : bracketed ? "\"" : "]\"");
    if (first) attach();
    first = false;
  }
  if (first) attach();
  return value;
}

// ---------------------------------------------------------------------------- router

struct Router::Impl {
  /// A rule as this loop uses it, with its throttlers looked up.
  struct Local {
    std::shared_ptr<const RouteRule> rule;
    std::uint64_t version = 0;  ///< Of the activator when they were.
    std::vector<Throttler*> targets;
    std::vector<Throttler*> tags;
    std::optional<TrafficSplit> split;  ///< None for a single target.
  };

  Impl(Activator& a, const Random& r, RouterOptions o)
      : activator(a), random(r.split("router")), options(o) {}

  Activator& activator;
  Random random;
  RouterOptions options;
  std::shared_ptr<const RouteTable> table;
  std::unordered_map<std::uint64_t, Local> locals;  ///< Of rules that were asked for, by id.
  std::uint64_t last_id = 0;
  Local* last = nullptr;  ///< The one asked for before.

  Local& local_of(const RouteTable::Match& match) {
    if (last == nullptr || last_id != match.id) {
      last = &locals[match.id];
      last_id = match.id;
    }
    Local& local = *last;
    if (local.rule.get() != match.rule) renew(local, table->rule(match.rule->name));
    if (local.version != activator.version()) look_up(local);
    return local;
  }
  // The split of a rule that keeps its targets goes on.
  void renew(Local& local, std::shared_ptr<const RouteRule> rule) {
    const bool same = local.rule != nullptr && local.rule->targets == rule->targets;
    if (!same) {
      local.split.reset();
      if (rule->targets.size() > 1) {
        std::vector<int> percents;
        for (const RouteTarget& target : rule->targets) percents.push_back(target.percent);
        local.split.emplace(percents, random.split(rule->name));
      }
    }
    local.rule = std::move(rule);
    local.version = 0;
  }
  void look_up(Local& local) const {
    local.targets.clear();
    local.tags.clear();
    for (const RouteTarget& target : local.rule->targets) {
      local.targets.push_back(find(target));
    }
    for (const RouteTag& tag : local.rule->tags) local.tags.push_back(find(tag));
    local.version = activator.version();
  }
  // A rule means the revision that it was made for, not what got the name since.
  template <class T>
  Throttler* find(const T& named) const {
    Throttler* found = activator.find(named.revision);
    const bool meant = found == nullptr || named.uid.empty() || found->options().uid == named.uid;
    return meant ? found : nullptr;
  }
  // Rules come and go: now and then forget those that went.
  void sweep() {
    if (locals.size() <= 2 * (table ? table->size() : 0) + sweep_min) return;
    last = nullptr;
    std::erase_if(locals, [this](const auto& entry) {
      const std::shared_ptr<const RouteRule>& rule = entry.second.rule;
      return !table || rule == nullptr || table->rule(rule->name) != rule;
    });
  }

  std::uint32_t tag_by_header(const RouteRule& rule, http::Request& request) const {
    const auto value = request.headers.get(tag_header);
    if (!value) return RouteTable::no_tag;
    for (std::uint32_t t = 0; t < rule.tags.size(); ++t) {
      if (rule.tags[t].tag == *value) return t;
    }
    return RouteTable::no_tag;
  }

  Task<http::Response> dispatch(http::Request& request, RouteTable::Match match) {
    Local& rule = local_of(match);
    const RouteRule& named = *match.rule;
    if (options.tag_header_routing) {
      if (match.tag != RouteTable::no_tag) {
        request.headers.set(tag_header, named.tags[match.tag].tag);
      } else {
        match.tag = tag_by_header(named, request);
        if (match.tag == RouteTable::no_tag) request.headers.set(default_route_header, "true");
      }
    }
    if (options.forwarded && !request.peer.empty()) add_forwarded(request);
    if (match.tag != RouteTable::no_tag) {
      Throttler* tagged = rule.tags[match.tag];
      if (tagged != nullptr) return tagged->handle(request);
      return unknown_revision(named.tags[match.tag].revision);
    }
    const std::size_t target = rule.split ? rule.split->next() : 0;
    if (rule.targets[target] != nullptr) return rule.targets[target]->handle(request);
    return unknown_revision(named.targets[target].revision);
  }

  static Task<http::Response> unknown_revision(const std::string& revision) {
    return answer(http::error_response(404, "revision " + revision + " does not exist"));
  }
};

Router::Router(Activator& activator, const Random& random, RouterOptions options)
    : impl_(std::make_unique<Impl>(activator, random, options)) {}

Router::~Router() = default;

void Router::set_table(std::shared_ptr<const RouteTable> table) {
  impl_->table = std::move(table);
  impl_->sweep();
}

const std::shared_ptr<const RouteTable>& Router::table() const noexcept { return impl_->table; }

Task<http::Response> Router::handle(http::Request& request) {
  const std::string_view host = http::wire::host_of(request.authority());
  const auto match = impl_->table ? impl_->table->find(host) : std::nullopt;
  if (!match) return no_route(host);
  strip_internal(request.headers);
  return impl_->dispatch(request, *match);
}

}  // namespace knative
