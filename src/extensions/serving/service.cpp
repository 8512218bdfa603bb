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

// False when the Route has to stay as it is: it must not lead to a Revision whose name was not this
// Service's to give, or not yet.
Task<Result<bool>> ServiceReconciler::make_configuration(Service& service, Interests& interests) {
  const std::string& namespace_ = service.metadata.namespace_;
  const std::string& revision = service.spec.template_.metadata.name;
  const Configuration wanted = configuration_of(service);
  Result<Configuration> configuration =
      co_await ensure_child(client(), wanted, service.metadata.uid);
  if (!configuration) {
    if (configuration.error().code != Errc::failed_precondition) co_return configuration.error();
    mark_configuration_not_owned(service.status, service.metadata.name, now());
    interests.insert(ref_to<Configuration>(service));
    co_return true;
  }
  if (configuration->status.observed_generation != configuration->metadata.generation) {
    mark_configuration_not_reconciled(service.status, now());
    co_return revision.empty();
  }
  propagate(service.status, configuration->status, now());
  if (revision.empty() || configuration->status.latest_created_revision_name == revision) {
    co_return true;
  }
  if (!client().get<serving::Revision>(namespace_, revision)) co_return true;
  mark_revision_name_taken(service.status, revision, now());
  co_return false;
}

Task<Result<void>> ServiceReconciler::make_route(Service& service, Interests& interests) {
  const Route wanted = route_of(service);
  Result<Route> route = co_await ensure_child(client(), wanted, service.metadata.uid);
  if (!route) {
    if (route.error().code != Errc::failed_precondition) co_return route.error();
    mark_route_not_owned(service.status, service.metadata.name, now());
    interests.insert(ref_to<Route>(service));
    co_return Result<void>();
  }
  if (route->status.observed_generation != route->metadata.generation) {
    mark_route_not_reconciled(service.status, now());
    co_return Result<void>();
  }
  propagate(service.status, route->status, now());
  if (serving::is_ready(*route) && !traffic_migrated(service, *route)) {
    mark_route_not_yet_ready(service.status, now());
  }
  co_return Result<void>();
}

// `interests` are what is in the way; children come back by themselves.
Task<Result<Requeue>> ServiceReconciler::step(Service& service, Interests& interests) {
  const Result<bool> go_on = co_await make_configuration(service, interests);
  if (!go_on) co_return go_on.error();
  if (*go_on) {
    const Result<void> made = co_await make_route(service, interests);
    if (!made) co_return made.error();
  }
  co_return Requeue::never();
}

}  // namespace knative::control
