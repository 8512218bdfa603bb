#include <algorithm>
#include <map>
#include <utility>

#include "extensions/serving/reconcilers.hpp"

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

// Everything whose change must bring this Route back.
std::set<ObjectRef> interests(const Route& route) {
  std::set<ObjectRef> refs;
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
void add_rivals(const Route& route, std::set<ObjectRef>& refs) {
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

std::string url_of(const Context& context, const Route& route, const std::string& name) {
  const std::string& namespace_ = route.metadata.namespace_;
  return is_private(route) ? Context::internal_url(name, namespace_)
                           : context.external_url(name, namespace_);
}

// "a,b"
std::set<std::string> names_in(std::string_view text) {
  std::set<std::string> names;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    if (comma != 0) names.emplace(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return names;
}

std::string_view service_of(const ObjectMeta& metadata) {
  const auto label = metadata.labels.find(serving::keys::service);
  return label == metadata.labels.end() ? std::string_view() : label->second;
}

std::vector<std::string> hosts(const Context& context, const Route& route,
                               const std::string& name) {
  const std::string scoped = name + "." + route.metadata.namespace_;
  std::vector<std::string> names = {scoped + ".svc.cluster.local", scoped + ".svc", scoped};
  if (!is_private(route)) names.push_back(scoped + "." + context.domain);
  return names;
}

RouteRule rule_of(const Context& context, const Route& route,
                  const std::vector<TrafficTarget>& resolved) {
  RouteRule rule;
  rule.name = key_of(route.metadata);
  rule.hosts = hosts(context, route, route.metadata.name);
  for (const TrafficTarget& target : resolved) {
    const std::string key = make_key(route.metadata.namespace_, target.revision_name);
    rule.targets.push_back({key, static_cast<int>(target.percent.value_or(0))});
    if (!target.tag.empty()) {
      rule.tags.push_back(
          {target.tag, key, hosts(context, route, target.tag + "-" + route.metadata.name)});
    }
  }
  return rule;
}

}  // namespace

Task<Result<Requeue>> RouteReconciler::reconcile(std::string key) { co_return step(key); }

// Turn every target into a ready Revision. False when one is missing or not ready; then the
// conditions say which, and the traffic of before stays.
bool RouteReconciler::resolve(Route& route, std::vector<TrafficTarget>& resolved) {
  const Timestamp now = context_.now();
  const std::string& namespace_ = route.metadata.namespace_;
  for (const TrafficTarget& wanted : route.spec.traffic) {
    TrafficTarget target = wanted;
    if (target.revision_name.empty()) {
      Result<Configuration> configuration =
          context_.store.get<Configuration>(namespace_, wanted.configuration_name);
      if (!configuration) {
        mark_missing_traffic_target(route.status, "Configuration", wanted.configuration_name, now);
        return false;
      }
      target.revision_name = configuration->status.latest_ready_revision_name;
      target.latest_revision = true;
      if (target.revision_name.empty()) {
        const Condition* ready = find_condition(configuration->status.conditions, "Ready");
        if (ready != nullptr && ready->is_false()) {
          mark_configuration_failed(route.status, wanted.configuration_name, now);
        } else {
          mark_configuration_not_ready(route.status, wanted.configuration_name, now);
        }
        return false;
      }
    } else {
      target.latest_revision = false;
    }
    Result<Revision> revision = context_.store.get<Revision>(namespace_, target.revision_name);
    if (!revision) {
      mark_missing_traffic_target(route.status, "Revision", target.revision_name, now);
      return false;
    }
    // The Route of a Service leads to nothing but the Service's own.
    const std::string_view service = service_of(route.metadata);
    if (!service.empty() && service_of(revision->metadata) != service) {
      mark_revision_not_owned(route.status, target.revision_name, now);
      return false;
    }
    if (!serving::is_ready(*revision)) {
      const Condition* ready = find_condition(revision->status.conditions, "Ready");
      if (ready != nullptr && ready->is_false()) {
        mark_revision_failed(route.status, target.revision_name, now);
      } else {
        mark_revision_not_ready(route.status, target.revision_name, now);
      }
      return false;
    }
    target.configuration_name.clear();
    if (!target.tag.empty()) {
      target.url = url_of(context_, route, target.tag + "-" + route.metadata.name);
    }
    resolved.push_back(std::move(target));
  }
  return true;
}

// A Revision says which Routes use it, and so whether it is in use, as readers of Knative expect.
Result<void> RouteReconciler::label(Revision revision, const std::string& route, bool used) {
  const std::string state_key(serving::keys::routing_state);
  const std::string routes_key(serving::keys::routes);
  StringMap& annotations = revision.metadata.annotations;
  std::set<std::string> routes = names_in(annotations[routes_key]);
  const bool changed = used ? routes.insert(route).second : routes.erase(route) != 0;
  if (!changed) return {};
  std::string text;
  for (const std::string& name : routes) text.append(text.empty() ? "" : ",").append(name);
  const std::string state = routes.empty() ? "reserve" : "active";
  if (std::exchange(revision.metadata.labels[state_key], state) != state) {
    annotations[std::string(serving::keys::routing_state_modified)] = context_.now().to_string();
  }
  annotations[routes_key] = std::move(text);
  if (routes.empty()) annotations.erase(routes_key);
  Result<AnyObject> stored = context_.store.update(revision);
  if (!stored && stored.error().code != Errc::not_found) return stored.error();
  return {};
}

// What the Route used before and uses now.
Result<void> RouteReconciler::label_revisions(const Route& before, const Route& after) {
  std::map<std::string, bool> used;
  for (const TrafficTarget& target : before.status.traffic) used[target.revision_name] = false;
  for (const TrafficTarget& target : after.status.traffic) used[target.revision_name] = true;
  for (const auto& [name, in_use] : used) {
    Result<Revision> revision = context_.store.get<Revision>(after.metadata.namespace_, name);
    if (!revision) continue;
    Result<void> labelled = label(std::move(*revision), after.metadata.name, in_use);
    if (!labelled) return labelled;
  }
  return {};
}

// The Route is gone, and with it its word on what it used.
Result<void> RouteReconciler::release_revisions(const std::string& namespace_,
                                                const std::string& route) {
  ListOptions options;
  options.namespace_ = namespace_;
  Result<std::vector<Revision>> revisions = context_.store.list<Revision>(options);
  if (!revisions) return revisions.error();
  for (Revision& revision : *revisions) {
    Result<void> labelled = label(std::move(revision), route, false);
    if (!labelled) return labelled;
  }
  return {};
}

Result<Requeue> RouteReconciler::step(const std::string& key) {
  const auto [namespace_, name] = split_key(key);
  const Result<std::optional<Route>> found = get_living<Route>(context_, {"route", key});
  if (!found) return found.error();
  if (!*found) {
    plane_.remove_route(key);
    if (Result<void> done = release_revisions(namespace_, name); !done) return done.error();
    return Requeue::never();
  }
  Route route = **found;
  const Timestamp now = context_.now();
  std::set<ObjectRef> waits_for = interests(route);
  initialize_conditions(route.status, now);
  route.status.observed_generation = route.metadata.generation;
  route.status.url = url_of(context_, route, name);
  route.status.address = serving::Addressable{Context::internal_url(name, namespace_)};
  mark_tls_not_enabled(route.status, "there is no TLS in this platform", now);

  std::vector<TrafficTarget> resolved;
  const bool all_there = resolve(route, resolved);
  // After a restart the traffic of before must come back although a target is not ready yet.
  if (!all_there) resolved = route.status.traffic;
  if (!resolved.empty()) {
    if (Result<void> set = plane_.set_route(rule_of(context_, route, resolved)); !set) {
      mark_ingress_failed(route.status, "HostConflict", set.error().detail, now);
      add_rivals(route, waits_for);
    } else if (all_there) {
      route.status.traffic = std::move(resolved);
      mark_traffic_assigned(route.status, now);
      mark_ingress_ready(route.status, now);
    }
    if (Result<void> done = label_revisions(**found, route); !done) return done.error();
  }
  return conclude(context_, {"route", key}, std::move(waits_for), **found, std::move(route));
}

}  // namespace knative::control
