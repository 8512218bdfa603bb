#include <algorithm>
#include <numeric>

#include "base/text.hpp"
#include "engines/router/shared_map.hpp"
#include "knative/router.hpp"

namespace knative {
namespace {

bool has_upper(std::string_view text) noexcept {
  return std::any_of(text.begin(), text.end(), base::is_upper);
}

std::string lowered(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), base::to_lower);
  return result;
}

Result<void> normalize(RouteRule& rule) {
  std::vector<RouteTarget> merged;
  int sum = 0;
  for (RouteTarget& target : rule.targets) {
    if (target.percent < 0 || target.percent > 100) {
      return fail(Errc::invalid_argument, "route " + rule.name + ": percent " +
                                              std::to_string(target.percent) + " of " +
                                              target.revision + " is outside 0..100");
    }
    sum += target.percent;
    if (target.percent == 0) continue;
    const auto same = std::find_if(
        merged.begin(), merged.end(),
        [&target](const RouteTarget& other) { return other.revision == target.revision; });
    if (same != merged.end()) {
      same->percent += target.percent;
    } else {
      merged.push_back(std::move(target));
    }
  }
  if (sum != 100) {
    return fail(Errc::invalid_argument,
                "route " + rule.name + ": percents sum to " + std::to_string(sum) + ", not 100");
  }
  rule.targets = std::move(merged);
  return {};
}

}  // namespace

namespace {

/// A rule, and what tells the routers of all loops which one it is.
struct KnownRule {
  std::shared_ptr<const RouteRule> rule;
  std::uint64_t id = 0;
};
struct HostEntry {
  const RouteRule* rule = nullptr;  ///< Owned by the rules of the same table.
  std::uint64_t id = 0;
  std::uint32_t tag = RouteTable::no_tag;
};

}  // namespace

struct RouteTable::Impl {
  SharedMap<KnownRule> rules;  ///< By name.
  SharedMap<HostEntry> hosts;
  std::uint64_t next_id = 0;

  /// Changes of the result are not seen by those that share this one.
  std::unique_ptr<Impl> next() const {
    auto copy = std::make_unique<Impl>(*this);
    copy->rules.begin_version();
    copy->hosts.begin_version();
    return copy;
  }
  void release(std::string_view name) {
    const KnownRule* known = rules.find(name);
    if (known == nullptr) return;
    const std::shared_ptr<const RouteRule> rule = known->rule;
    for_each_host(*rule,
                  [this](const std::string& host, std::uint32_t) { hosts.erase(lowered(host)); });
    rules.erase(name);
  }
  Result<void> put(RouteRule wanted) {
    if (Result<void> normal = normalize(wanted); !normal) return normal;
    const KnownRule* before = rules.find(wanted.name);
    const std::uint64_t id = before != nullptr ? before->id : next_id++;
    release(wanted.name);
    const auto rule = std::make_shared<const RouteRule>(std::move(wanted));
    Result<void> outcome;
    for_each_host(*rule, [&](const std::string& host, std::uint32_t tag) {
      std::string key = lowered(host);
      if (const HostEntry* owner = hosts.find(key)) {
        if (outcome) outcome = conflict(*rule, host, *owner->rule);
        return;
      }
      hosts.set(std::move(key), HostEntry{rule.get(), id, tag});
    });
    rules.set(rule->name, KnownRule{rule, id});
    return outcome;
  }

 private:
  template <class F>
  static void for_each_host(const RouteRule& rule, F f) {
    for (const std::string& host : rule.hosts) f(host, no_tag);
    for (std::uint32_t t = 0; t < rule.tags.size(); ++t) {
      for (const std::string& host : rule.tags[t].hosts) f(host, t);
    }
  }
  static Error conflict(const RouteRule& rule, const std::string& host, const RouteRule& owner) {
    if (&owner == &rule) {
      return fail(Errc::already_exists,
                  "route " + rule.name + ": host " + host + " is given twice");
    }
    return fail(Errc::already_exists,
                "route " + rule.name + ": host " + host + " belongs to route " + owner.name);
  }
};

RouteTable::RouteTable(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
RouteTable::~RouteTable() = default;

Result<std::shared_ptr<const RouteTable>> RouteTable::make(std::vector<RouteRule> rules) {
  auto impl = std::make_unique<Impl>();
  for (RouteRule& rule : rules) {
    if (Result<void> done = impl->put(std::move(rule)); !done) return done.error();
  }
  return std::shared_ptr<const RouteTable>(new RouteTable(std::move(impl)));
}

Result<std::shared_ptr<const RouteTable>> RouteTable::with(RouteRule rule) const {
  std::unique_ptr<Impl> impl = impl_->next();
  if (Result<void> done = impl->put(std::move(rule)); !done) return done.error();
  return std::shared_ptr<const RouteTable>(new RouteTable(std::move(impl)));
}

std::shared_ptr<const RouteTable> RouteTable::without(std::string_view name) const {
  std::unique_ptr<Impl> impl = impl_->next();
  impl->release(name);
  return std::shared_ptr<const RouteTable>(new RouteTable(std::move(impl)));
}

std::optional<RouteTable::Match> RouteTable::find(std::string_view host) const {
  // As most hosts are written; others are looked up again.
  const HostEntry* found = impl_->hosts.find(host);
  if (found == nullptr && has_upper(host)) found = impl_->hosts.find(lowered(host));
  if (found == nullptr) return std::nullopt;
  return Match{found->rule, found->id, found->tag};
}

std::shared_ptr<const RouteRule> RouteTable::rule(std::string_view name) const {
  const KnownRule* known = impl_->rules.find(name);
  return known == nullptr ? nullptr : known->rule;
}

std::size_t RouteTable::size() const noexcept { return impl_->rules.size(); }

TrafficSplit::TrafficSplit(const std::vector<int>& percents, const Random& random)
    : random_(random) {
  int divisor = 0;
  for (const int percent : percents) divisor = std::gcd(divisor, percent);
  KN_ASSERT(divisor > 0);
  for (std::size_t target = 0; target < percents.size(); ++target) {
    deck_.insert(deck_.end(), static_cast<std::size_t>(percents[target] / divisor),
                 static_cast<std::uint8_t>(target));
  }
  dealt_ = deck_.size();
}

std::size_t TrafficSplit::next() noexcept {
  if (dealt_ == deck_.size()) {
    for (std::size_t left = deck_.size(); left > 1; --left) {
      std::swap(deck_[left - 1], deck_[random_.below(left)]);
    }
    dealt_ = 0;
  }
  return deck_[dealt_++];
}

}  // namespace knative
