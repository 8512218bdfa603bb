/// \file
/// The door of Serving: which revision answers for a Host.
///
/// `RouteTable` says who answers for a host, by percent; `Router` is the door in front of the
/// throttlers (throttler.hpp). A `RouteTable` is immutable and may be shared between loops, all
/// else belongs to its loop.
///
/// \code
/// knative::Router router(activator, random);
/// router.set_table(knative::RouteTable::make({{.name = "hello", .hosts = {"hello.local"},
///     .targets = {{"default/hello-00001", 100}}}}).value());
/// \endcode
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/http.hpp"
#include "knative/task.hpp"
#include "knative/throttler.hpp"

namespace knative {

// ---------------------------------------------------------------------------- routes

/// A revision and its share of a route's traffic.
struct RouteTarget {
  std::string revision;  ///< Key, e.g. "default/hello-00001".
  int percent = 0;
  std::string uid = {};  ///< Which one of that name; empty: whoever has it.
  friend bool operator==(const RouteTarget&, const RouteTarget&) = default;
};

/// A name for one revision, reached by hosts of its own.
struct RouteTag {
  std::string tag;
  std::string revision;
  std::vector<std::string> hosts;
  std::string uid = {};  ///< As of a target.
  friend bool operator==(const RouteTag&, const RouteTag&) = default;
};

/// One route: its hosts share the targets.
struct RouteRule {
  std::string name;  ///< For messages, e.g. "default/hello".
  std::vector<std::string> hosts;
  std::vector<RouteTarget> targets;  ///< Equal revisions are merged, 0 % dropped.
  std::vector<RouteTag> tags;
  friend bool operator==(const RouteRule&, const RouteRule&) = default;
};

/// Which rule answers for which host. Immutable and therefore thread-safe; a changed table shares
/// with the one before what did not change, so a change costs the same however many rules there
/// are.
class KNATIVE_EXPORT RouteTable {
 public:
  /// Fails with `invalid_argument` when a rule's percents do not sum to 100 or one is negative,
  /// and with `already_exists` when two rules or tags claim one host.
  static Result<std::shared_ptr<const RouteTable>> make(std::vector<RouteRule> rules);
  /// This table with `rule` in the place of the one of its name, if any. Fails as `make`.
  Result<std::shared_ptr<const RouteTable>> with(RouteRule rule) const;
  /// This table without the rule of that name.
  std::shared_ptr<const RouteTable> without(std::string_view name) const;
  ~RouteTable();

  static constexpr std::uint32_t no_tag = std::numeric_limits<std::uint32_t>::max();
  struct Match {
    const RouteRule* rule = nullptr;  ///< As long as the table.
    std::uint64_t id = 0;             ///< Of the rule's name in this table and those made from it.
    std::uint32_t tag = no_tag;       ///< Index into the rule's tags.
  };
  /// Find by host name without port; case does not matter.
  std::optional<Match> find(std::string_view host) const;
  /// The rule of that name, or null.
  std::shared_ptr<const RouteRule> rule(std::string_view name) const;
  /// Rules.
  std::size_t size() const noexcept;

 private:
  struct Impl;
  explicit RouteTable(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

/// Deals out targets so that every full deck holds each target exactly by its percent. The order
/// inside a deck is random: a pattern in the traffic must not meet a pattern in the split.
class KNATIVE_EXPORT TrafficSplit {
 public:
  /// `percents` sum to 100.
  TrafficSplit(const std::vector<int>& percents, const Random& random);
  /// Index of the next target. Does not allocate.
  std::size_t next() noexcept;
  /// Requests per deck: 100 divided by the percents' common divisor.
  std::size_t deck_size() const noexcept { return deck_.size(); }

 private:
  std::vector<std::uint8_t> deck_;
  std::size_t dealt_ = 0;
  Random random_;
};

// ---------------------------------------------------------------------------- router

struct RouterOptions {
  /// Let "Knative-Serving-Tag: name" choose a tag on the default host (feature
  /// tag-header-based-routing).
  bool tag_header_routing = false;
  /// Add X-Forwarded-* and Forwarded (RFC 7239) to requests that came over the network.
  bool forwarded = true;
};

/// The door: chooses a revision by Host and hands the request to its throttler. 404 for a host
/// without a route. Headers internal to Knative are removed from what clients send.
class KNATIVE_EXPORT Router final : public http::Handler {
 public:
  Router(Activator& activator, const Random& random, RouterOptions options = {});
  ~Router() override;

  /// Use `table` for requests from now on. The split of a rule that did not change goes on.
  void set_table(std::shared_ptr<const RouteTable> table);
  const std::shared_ptr<const RouteTable>& table() const noexcept;

  Task<http::Response> handle(http::Request& request) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The Forwarded value for X-Forwarded-For, -Host and -Proto values (empty: absent): one `for=`
/// element per address, IPv6 in brackets and quotes, host and proto with the first element.
KNATIVE_EXPORT std::string forwarded_value(std::string_view addresses, std::string_view host,
                                           std::string_view proto);

}  // namespace knative
