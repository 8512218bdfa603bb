#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "base/text.hpp"
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

struct HostHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept {
    return std::hash<std::string_view>()(text);
  }
};

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

struct RouteTable::Index {
  std::unordered_map<std::string, Match, HostHash, std::equal_to<>> hosts;
};

RouteTable::~RouteTable() = default;

Result<std::shared_ptr<const RouteTable>> RouteTable::make(std::vector<RouteRule> rules) {
  auto index = std::make_unique<Index>();
  Result<void> outcome;
  const auto claim = [&index, &rules, &outcome](const std::string& host, const Match& match) {
    if (index->hosts.emplace(lowered(host), match).second || !outcome) return;
    outcome = fail(Errc::invalid_argument,
                   "route " + rules[match.rule].name + ": host " + host + " is claimed twice");
  };
  for (std::uint32_t r = 0; r < rules.size(); ++r) {
    if (Result<void> normal = normalize(rules[r]); !normal) return normal.error();
    for (const std::string& host : rules[r].hosts) claim(host, Match{r, no_tag});
    for (std::uint32_t t = 0; t < rules[r].tags.size(); ++t) {
      for (const std::string& host : rules[r].tags[t].hosts) claim(host, Match{r, t});
    }
  }
  if (!outcome) return outcome.error();
  std::shared_ptr<RouteTable> table(new RouteTable());
  table->rules_ = std::move(rules);
  table->index_ = std::move(index);
  return std::shared_ptr<const RouteTable>(std::move(table));
}

std::optional<RouteTable::Match> RouteTable::find(std::string_view host) const {
  const auto found = has_upper(host) ? index_->hosts.find(lowered(host)) : index_->hosts.find(host);
  if (found == index_->hosts.end()) return std::nullopt;
  return found->second;
}

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
