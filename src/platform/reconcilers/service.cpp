#include "platform/reconcilers/serving.hpp"

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

Result<Requeue> ServiceReconciler::step(const std::string& key) {
  const auto [namespace_, name] = split_key(key);
  Result<Service> found = context_.store.get<Service>(namespace_, name);
  if (!found) {
    if (found.error().code == Errc::not_found) return Requeue::never();
    return found.error();
  }
  if (found->metadata.deletion_timestamp) return Requeue::never();
  Service service = *found;
  const Timestamp now = context_.now();
  service.status.initialize_conditions(now);
  service.status.observed_generation = service.metadata.generation;

  Result<Configuration> configuration =
      ensure_child(context_, configuration_of(service), service.metadata.uid);
  if (configuration) {
    if (configuration->status.observed_generation != configuration->metadata.generation) {
      service.status.mark_configuration_not_reconciled(now);
    } else {
      service.status.propagate(configuration->status, now);
    }
  } else if (configuration.error().code == Errc::failed_precondition) {
    service.status.mark_configuration_not_owned(name, now);
  } else {
    return configuration.error();
  }

  Result<Route> route = ensure_child(context_, route_of(service), service.metadata.uid);
  if (route) {
    if (route->status.observed_generation != route->metadata.generation) {
      service.status.mark_route_not_reconciled(now);
    } else {
      service.status.propagate(route->status, now);
      if (serving::is_ready(*route) && !traffic_migrated(service, *route)) {
        service.status.mark_route_not_yet_ready(now);
      }
    }
  } else if (route.error().code == Errc::failed_precondition) {
    service.status.mark_route_not_owned(name, now);
  } else {
    return route.error();
  }
  if (Result<void> written = write_status(context_, *found, service); !written) {
    return written.error();
  }
  return Requeue::never();
}

}  // namespace knative::control
