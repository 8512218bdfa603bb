#include "extensions/serving/reconcilers.hpp"

namespace knative::control {

using serving::Configuration;
using serving::Route;
using serving::Service;

namespace {

void copy_for_child(const Service& service, ObjectMeta& child) {
  child.name = service.metadata.name;
  child.namespace_ = service.metadata.namespace_;
  child.labels = service.metadata.labels;
  child.labels[std::string(serving::keys::service)] = service.metadata.name;
  child.labels[std::string(serving::keys::service_uid)] = service.metadata.uid;
  child.annotations = service.metadata.annotations;
  child.annotations.erase("kubectl.kubernetes.io/last-applied-configuration");
  child.owner_references = {owner_reference(service)};
}

Configuration configuration_of(const Service& service) {
  Configuration child;
  copy_for_child(service, child.metadata);
  child.spec.template_ = service.spec.template_;
  return child;
}

Route route_of(const Service& service) {
  Route child;
  copy_for_child(service, child.metadata);
  child.spec.traffic = service.spec.traffic;
  if (child.spec.traffic.empty()) {
    serving::TrafficTarget latest;
    latest.latest_revision = true;
    latest.percent = 100;
    child.spec.traffic.push_back(latest);
  }
  for (serving::TrafficTarget& target : child.spec.traffic) {
    if (target.revision_name.empty()) target.configuration_name = service.metadata.name;
  }
  return child;
}

// Where a child of this Service is, or what is in its place.
template <class T>
ObjectRef ref_to(const Service& service) {
  return ObjectRef{std::string(T::api_version), std::string(T::kind), service.metadata.namespace_,
                   service.metadata.name};
}

// The Route may be ready with yesterday's Revision: then the Service is not there yet.
bool traffic_migrated(const Service& service, const Route& route) {
  const std::string& latest = service.status.latest_ready_revision_name;
  for (std::size_t i = 0; i < route.spec.traffic.size(); ++i) {
    if (!route.spec.traffic[i].revision_name.empty()) continue;
    if (i >= route.status.traffic.size() || route.status.traffic[i].revision_name != latest) {
      return false;
    }
  }
  return true;
}

}  // namespace

Task<Result<Requeue>> ServiceReconciler::reconcile(std::string key) { co_return step(key); }

// False when the Route has to stay as it is: it must not lead to a Revision whose name was not this
// Service's to give, or not yet.
Result<bool> ServiceReconciler::make_configuration(Service& service,
                                                   std::set<ObjectRef>& interests) {
  const Timestamp now = context_.now();
  const std::string& namespace_ = service.metadata.namespace_;
  const std::string& revision = service.spec.template_.metadata.name;
  Result<Configuration> configuration =
      ensure_child(context_, configuration_of(service), service.metadata.uid);
  if (!configuration) {
    if (configuration.error().code != Errc::failed_precondition) return configuration.error();
    mark_configuration_not_owned(service.status, service.metadata.name, now);
    interests.insert(ref_to<Configuration>(service));
    return true;
  }
  if (configuration->status.observed_generation != configuration->metadata.generation) {
    mark_configuration_not_reconciled(service.status, now);
    return revision.empty();
  }
  propagate(service.status, configuration->status, now);
  if (revision.empty() || configuration->status.latest_created_revision_name == revision) {
    return true;
  }
  if (!context_.store.get<serving::Revision>(namespace_, revision)) return true;
  mark_revision_name_taken(service.status, revision, now);
  return false;
}

Result<void> ServiceReconciler::make_route(Service& service, std::set<ObjectRef>& interests) {
  const Timestamp now = context_.now();
  Result<Route> route = ensure_child(context_, route_of(service), service.metadata.uid);
  if (!route) {
    if (route.error().code != Errc::failed_precondition) return route.error();
    mark_route_not_owned(service.status, service.metadata.name, now);
    interests.insert(ref_to<Route>(service));
    return {};
  }
  if (route->status.observed_generation != route->metadata.generation) {
    mark_route_not_reconciled(service.status, now);
    return {};
  }
  propagate(service.status, route->status, now);
  if (serving::is_ready(*route) && !traffic_migrated(service, *route)) {
    mark_route_not_yet_ready(service.status, now);
  }
  return {};
}

Result<Requeue> ServiceReconciler::step(const std::string& key) {
  const Result<std::optional<Service>> found = get_living<Service>(context_, {"service", key});
  if (!found) return found.error();
  if (!*found) return Requeue::never();
  Service service = **found;
  initialize_conditions(service.status, context_.now());
  service.status.observed_generation = service.metadata.generation;
  std::set<ObjectRef> interests;  // what is in the way; children come back by themselves
  Result<bool> go_on = make_configuration(service, interests);
  if (!go_on) return go_on.error();
  if (*go_on) {
    if (Result<void> made = make_route(service, interests); !made) return made.error();
  }
  return conclude(context_, {"service", key}, std::move(interests), **found, std::move(service));
}

}  // namespace knative::control
