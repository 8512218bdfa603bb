#include "platform/reconcilers/serving.hpp"

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

std::vector<std::string> hosts(const Context& context, const Route& route,
                               const std::string& name) {
  const std::string scoped = name + "." + route.metadata.namespace_;
  std::vector<std::string> names = {scoped + ".svc.cluster.local", scoped + ".svc", scoped};
  const auto visibility = route.metadata.labels.find(serving::keys::visibility);
  if (visibility == route.metadata.labels.end() || visibility->second != "cluster-local") {
    names.push_back(scoped + "." + context.domain);
  }
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
        route.status.mark_missing_traffic_target("Configuration", wanted.configuration_name, now);
        return false;
      }
      target.revision_name = configuration->status.latest_ready_revision_name;
      target.latest_revision = true;
      if (target.revision_name.empty()) {
        const Condition* ready = find_condition(configuration->status.conditions, "Ready");
        if (ready != nullptr && ready->is_false()) {
          route.status.mark_configuration_failed(wanted.configuration_name, now);
        } else {
          route.status.mark_configuration_not_ready(wanted.configuration_name, now);
        }
        return false;
      }
    } else {
      target.latest_revision = false;
    }
    Result<Revision> revision = context_.store.get<Revision>(namespace_, target.revision_name);
    if (!revision) {
      route.status.mark_missing_traffic_target("Revision", target.revision_name, now);
      return false;
    }
    if (!serving::is_ready(*revision)) {
      const Condition* ready = find_condition(revision->status.conditions, "Ready");
      if (ready != nullptr && ready->is_false()) {
        route.status.mark_revision_failed(target.revision_name, now);
      } else {
        route.status.mark_revision_not_ready(target.revision_name, now);
      }
      return false;
    }
    target.configuration_name.clear();
    if (!target.tag.empty()) {
      target.url = context_.external_url(target.tag + "-" + route.metadata.name, namespace_);
    }
    resolved.push_back(std::move(target));
  }
  return true;
}

// Revisions in use say so in their labels, as readers of Knative expect.
Result<void> RouteReconciler::label_revisions(const Route& route) {
  for (const TrafficTarget& target : route.status.traffic) {
    Result<Revision> revision =
        context_.store.get<Revision>(route.metadata.namespace_, target.revision_name);
    if (!revision) continue;
    Revision updated = *revision;
    updated.metadata.labels[std::string(serving::keys::routing_state)] = "active";
    updated.metadata.annotations[std::string(serving::keys::routes)] = route.metadata.name;
    if (updated == *revision) continue;
    if (Result<AnyObject> stored = context_.store.update(updated); !stored) {
      return stored.error();
    }
  }
  return {};
}

Result<Requeue> RouteReconciler::step(const std::string& key) {
  const auto [namespace_, name] = split_key(key);
  Result<Route> found = context_.store.get<Route>(namespace_, name);
  if (!found || found->metadata.deletion_timestamp) {
    if (!found && found.error().code != Errc::not_found) return found.error();
    plane_.remove_route(key);
    context_.tracker.forget({"route", key});
    return Requeue::never();
  }
  Route route = *found;
  const Timestamp now = context_.now();
  context_.tracker.track({"route", key}, interests(route));
  route.status.initialize_conditions(now);
  route.status.observed_generation = route.metadata.generation;
  route.status.url = context_.external_url(name, namespace_);
  route.status.address = serving::Addressable{Context::internal_url(name, namespace_)};
  route.status.mark_tls_not_enabled("there is no TLS in this platform", now);

  std::vector<TrafficTarget> resolved;
  const bool all_there = resolve(route, resolved);
  // After a restart the traffic of before must come back although a target is not ready yet.
  if (!all_there) resolved = route.status.traffic;
  if (!resolved.empty()) {
    if (Result<void> set = plane_.set_route(rule_of(context_, route, resolved)); !set) {
      route.status.mark_ingress_failed("HostConflict", set.error().detail, now);
    } else if (all_there) {
      route.status.traffic = std::move(resolved);
      route.status.mark_traffic_assigned(now);
      route.status.mark_ingress_ready(now);
    }
    if (Result<void> labelled = label_revisions(route); !labelled) return labelled.error();
  }
  if (Result<void> written = write_status(context_, *found, route); !written) {
    return written.error();
  }
  return Requeue::never();
}

}  // namespace knative::control
