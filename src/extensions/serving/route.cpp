#include <algorithm>
#include <map>
#include <utility>

#include "extensions/serving/reconcilers.hpp"
#include "extensions/serving/route_labels.hpp"

namespace knative::control {

using serving::Configuration;
using serving::Revision;
using serving::Route;
using serving::TrafficTarget;

namespace {

template <class T>
ObjectRef ref_to(const Route& route, const std::string& name) {
  return ObjectRef{std::string(T::api_version), std::string(T::kind), route.metadata.namespace_,
                   name};
}

// What the spec names, be it there or not.
Interests interests_of(const Route& route) {
  Interests refs;
  for (const TrafficTarget& target : route.spec.traffic) {
    if (!target.revision_name.empty()) {
      refs.insert(ref_to<Revision>(route, target.revision_name));
    } else {
      refs.insert(ref_to<Configuration>(route, target.configuration_name));
    }
  }
  return refs;
}

// Routes that may have one of our hosts: tag and name are joined by a sign that may be in both.
void add_rivals(const Route& route, Interests& refs) {
  std::vector<std::string> labels = {route.metadata.name};
  for (const TrafficTarget& target : route.spec.traffic) {
    if (!target.tag.empty()) labels.push_back(target.tag + "-" + route.metadata.name);
  }
  for (std::string_view rest : labels) {
    for (;;) {
      if (rest != route.metadata.name) refs.insert(ref_to<Route>(route, std::string(rest)));
      const std::size_t hyphen = rest.find('-');
      if (hyphen == std::string_view::npos) break;
      rest.remove_prefix(hyphen + 1);
    }
  }
}

bool is_private(const Route& route) {
  const auto visibility = route.metadata.labels.find(serving::keys::visibility);
  return visibility != route.metadata.labels.end() && visibility->second == "cluster-local";
}

std::string url_of(const Addresses& addresses, const Route& route, const std::string& name) {
  const std::string& namespace_ = route.metadata.namespace_;
  return is_private(route) ? Addresses::internal_url(name, namespace_)
                           : addresses.external_url(name, namespace_);
}

std::string_view service_of(const ObjectMeta& metadata) {
  const auto label = metadata.labels.find(serving::keys::service);
  return label == metadata.labels.end() ? std::string_view() : label->second;
}

RouteRule rule_of(const Client& client, const Addresses& addresses, const Route& route,
                  const std::vector<TrafficTarget>& resolved) {
  const auto hosts = [&](const std::string& name) {
    return addresses.hosts(name, route.metadata.namespace_, is_private(route));
  };
  RouteRule rule;
  rule.name = key_of(route.metadata);
  rule.hosts = hosts(route.metadata.name);
  for (const TrafficTarget& target : resolved) {
    const std::string key = make_key(route.metadata.namespace_, target.revision_name);
    const Result<AnyObject> revision = client.get(ref_to<Revision>(route, target.revision_name));
    const std::string uid = revision ? revision->metadata().uid : std::string();
    rule.targets.push_back({key, static_cast<int>(target.percent.value_or(0)), uid});
    if (!target.tag.empty()) {
      rule.tags.push_back({target.tag, key, hosts(target.tag + "-" + route.metadata.name), uid});
    }
  }
  return rule;
}

// Whose a host is, as the door says it.
std::string door_owner(const std::string& route_key) { return "Route " + route_key; }

}  // namespace

// Turn every target into a ready Revision. False when one is missing or not ready; then the
// conditions say which, and the traffic of before stays.
bool RouteReconciler::resolve(Route& route, std::vector<TrafficTarget>& resolved,
                              Interests& waits_for) {
  const std::string& namespace_ = route.metadata.namespace_;
  for (const TrafficTarget& wanted : route.spec.traffic) {
    TrafficTarget target = wanted;
    if (target.revision_name.empty()) {
      Result<Configuration> configuration =
          client().get<Configuration>(namespace_, wanted.configuration_name);
      if (!configuration) {
        mark_missing_traffic_target(route.status, "Configuration", wanted.configuration_name,
                                    now());
        return false;
      }
      target.revision_name = configuration->status.latest_ready_revision_name;
      target.latest_revision = true;
      if (target.revision_name.empty()) {
        const Condition* ready = find_condition(configuration->status.conditions, "Ready");
        if (ready != nullptr && ready->is_false()) {
          mark_configuration_failed(route.status, wanted.configuration_name, now());
        } else {
          mark_configuration_not_ready(route.status, wanted.configuration_name, now());
        }
        return false;
      }
    } else {
      target.latest_revision = false;
    }
    // Its Configuration says nothing new when a Revision that was deleted is made again.
    waits_for.insert(ref_to<Revision>(route, target.revision_name));
    Result<Revision> revision = client().get<Revision>(namespace_, target.revision_name);
    if (!revision) {
      mark_missing_traffic_target(route.status, "Revision", target.revision_name, now());
      return false;
    }
    // The Route of a Service leads to nothing but the Service's own.
    const std::string_view service = service_of(route.metadata);
    if (!service.empty() && service_of(revision->metadata) != service) {
      mark_revision_not_owned(route.status, target.revision_name, now());
      return false;
    }
    if (!serving::is_ready(*revision)) {
      const Condition* ready = find_condition(revision->status.conditions, "Ready");
      if (ready != nullptr && ready->is_false()) {
        mark_revision_failed(route.status, target.revision_name, now());
      } else {
        mark_revision_not_ready(route.status, target.revision_name, now());
      }
      return false;
    }
    target.configuration_name.clear();
    if (!target.tag.empty()) {
      target.url = url_of(scope().addresses, route, target.tag + "-" + route.metadata.name);
    }
    resolved.push_back(std::move(target));
  }
  return true;
}

Task<Result<void>> RouteReconciler::label(Revision revision, std::string route, bool used) {
  if (!label_route(revision, route, used, now())) co_return Result<void>();
  const AnyObject object(std::move(revision));
  const Result<AnyObject> stored = co_await client().update(object);
  if (!stored && stored.error().code != Errc::not_found) co_return stored.error();
  co_return Result<void>();
}

// What the Route used before and uses now.
Task<Result<void>> RouteReconciler::label_revisions(const Route& route,
                                                    std::vector<TrafficTarget> before) {
  std::map<std::string, bool> used;
  for (const TrafficTarget& target : before) used[target.revision_name] = false;
  for (const TrafficTarget& target : route.status.traffic) used[target.revision_name] = true;
  std::set<std::string>& labelled = labelled_[key_of(route.metadata)];
  for (const auto& [name, in_use] : used) {
    if (in_use) labelled.insert(name);
    Result<Revision> revision = client().get<Revision>(route.metadata.namespace_, name);
    if (!revision) continue;
    Task<Result<void>> labelling = label(std::move(*revision), route.metadata.name, in_use);
    const Result<void> done = co_await std::move(labelling);
    if (!done) co_return done;
    if (!in_use) labelled.erase(name);
  }
  co_return Result<void>();
}

// The Route is gone, and with it its word on what it used.
Task<Result<void>> RouteReconciler::release_revisions(const std::string& key) {
  const auto names = split_key(key);
  const std::set<std::string> labelled = labelled_[key];
  for (const std::string& name : labelled) {
    Result<Revision> revision = client().get<Revision>(names.first, name);
    if (!revision) continue;
    Task<Result<void>> labelling = label(std::move(*revision), names.second, false);
    const Result<void> done = co_await std::move(labelling);
    if (!done) co_return done;
  }
  labelled_.erase(key);
  co_return Result<void>();
}

// The door and the router change together. What the router refuses is led nowhere.
Result<void> RouteReconciler::lead_there(const Route& route, const RouteRule& rule) {
  std::vector<std::string> hosts = rule.hosts;
  for (const RouteTag& tag : rule.tags) {
    hosts.insert(hosts.end(), tag.hosts.begin(), tag.hosts.end());
  }
  // The plane outlives the door's use of it: nobody owns its router.
  const std::shared_ptr<http::Handler> router(std::shared_ptr<void>(), &plane_.router());
  const Reach reach = is_private(route) ? Reach::inside : Reach::everyone;
  Result<void> set = door_.set_hosts(door_owner(rule.name), std::move(hosts), router, reach);
  if (set) {
    set = plane_.set_route(rule);
    if (!set) door_.remove_hosts(door_owner(rule.name));
  }
  return set;
}

Task<Result<void>> RouteReconciler::forget(const std::string& key, const std::string&) {
  door_.remove_hosts(door_owner(key));
  plane_.remove_route(key);
  const Result<void> released = co_await release_revisions(key);
  co_return released;
}

Task<Result<Requeue>> RouteReconciler::step(Route& route, Interests& waits_for) {
  const std::string& name = route.metadata.name;
  waits_for = interests_of(route);
  route.status.url = url_of(scope().addresses, route, name);
  if (scope().addresses.secure()) {
    mark_certificate_ready(route.status, now());
  } else {
    mark_tls_not_enabled(route.status, "The listener speaks no TLS.", now());
  }

  const std::vector<TrafficTarget> before = route.status.traffic;
  std::vector<TrafficTarget> resolved;
  const bool all_there = resolve(route, resolved, waits_for);
  // After a restart the traffic of before must come back although a target is not ready yet.
  if (!all_there) resolved = before;
  if (resolved.empty()) co_return Requeue::never();
  for (const TrafficTarget& target : resolved) {
    waits_for.insert(ref_to<Revision>(route, target.revision_name));
  }
  const RouteRule rule = rule_of(client(), scope().addresses, route, resolved);
  if (Result<void> set = lead_there(route, rule); !set) {
    mark_ingress_failed(route.status, "HostConflict", set.error().detail, now());
    add_rivals(route, waits_for);
  } else {
    // Not before: who is addressed takes what is sent there.
    route.status.address =
        serving::Addressable{Addresses::internal_url(name, route.metadata.namespace_)};
    if (all_there) {
      route.status.traffic = std::move(resolved);
      mark_traffic_assigned(route.status, now());
      mark_ingress_ready(route.status, now());
    }
  }
  const Result<void> labelled = co_await label_revisions(route, before);
  if (!labelled) co_return labelled.error();
  co_return Requeue::never();
}

}  // namespace knative::control
