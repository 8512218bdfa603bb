#include "model/serving_lifecycle.hpp"
#include "model/condition_rows.hpp"

namespace knative::serving {
namespace {

using testing::at;
using testing::condition;
using testing::expect_marks;
using testing::expect_ready_needs_all;

// ---------------------------------------------------------------------------- Revision

TEST(RevisionLifecycle, MarksSetTheirConditionAndReady) {
  using S = RevisionStatus;
  expect_marks<S>({
      {[](S& s) { mark_resources_available(s, at(1)); }, "ResourcesAvailable", "True"},
      {[](S& s) { mark_resources_unavailable(s, "NotOwned", "m", at(1)); }, "ResourcesAvailable",
       "False/NotOwned/m"},
      {[](S& s) { mark_resources_unknown(s, "Deploying", "m", at(1)); }, "ResourcesAvailable",
       "Unknown/Deploying/m"},
      {[](S& s) { mark_container_healthy(s, at(1)); }, "ContainerHealthy", "True"},
      {[](S& s) { mark_container_unhealthy(s, "Unhealthy", "m", at(1)); }, "ContainerHealthy",
       "False/Unhealthy/m"},
      {[](S& s) { mark_container_unknown(s, "ResolvingDigests", "m", at(1)); }, "ContainerHealthy",
       "Unknown/ResolvingDigests/m"},
      {[](S& s) { mark_container_missing(s, "no such image", at(1)); }, "ContainerHealthy",
       "False/ContainerMissing/no such image"},
      {[](S& s) { mark_container_exiting(s, 5, "panic", at(1)); }, "ContainerHealthy",
       "False/ExitCode5/panic"},
      {[](S& s) { mark_container_exiting(s, 137, "", at(1)); }, "ContainerHealthy",
       "False/ExitCode137/Container failed with exit code 137"},
  });
}

TEST(RevisionLifecycle, ReadyNeedsResourcesAndAHealthyContainer) {
  using S = RevisionStatus;
  expect_ready_needs_all<S>({[](S& s) { mark_resources_available(s, at(1)); },
                             [](S& s) { mark_container_healthy(s, at(1)); }});
}

TEST(RevisionLifecycle, ActiveOnlyInforms) {
  RevisionStatus status;
  initialize_conditions(status, at(0));
  mark_resources_available(status, at(1));
  mark_container_healthy(status, at(1));
  mark_active(status, at(2));
  EXPECT_EQ(condition(status.conditions, "Active"), "True");
  mark_activating(status, "Queued", "m", at(3));
  EXPECT_EQ(condition(status.conditions, "Active"), "Unknown/Queued/m");
  EXPECT_TRUE(is_ready(status.conditions));
  mark_inactive(status, "NoTraffic", "m", at(4));
  EXPECT_EQ(condition(status.conditions, "Active"), "False/NoTraffic/m");
  EXPECT_TRUE(is_ready(status.conditions));
  EXPECT_EQ(find_condition(status.conditions, "Active")->severity, "Info");
}

TEST(RevisionLifecycle, AFailureOutweighsWhatIsUnknownUntilItIsGone) {
  RevisionStatus status;
  initialize_conditions(status, at(0));
  mark_container_exiting(status, 5, "panic", at(1));
  mark_resources_unknown(status, "Deploying", "m", at(2));
  EXPECT_EQ(condition(status.conditions, "Ready"), "False/ExitCode5/panic");
  EXPECT_EQ(find_condition(status.conditions, "Ready")->last_transition_time, at(1));
  mark_container_healthy(status, at(3));
  EXPECT_EQ(condition(status.conditions, "Ready"), "Unknown/Deploying/m");
  mark_resources_available(status, at(4));
  EXPECT_EQ(condition(status.conditions, "Ready"), "True");
}

TEST(RevisionLifecycle, InitializingAgainKeepsWhatIsKnown) {
  RevisionStatus status;
  mark_container_missing(status, "m", at(1));
  initialize_conditions(status, at(2));
  EXPECT_EQ(condition(status.conditions, "ContainerHealthy"), "False/ContainerMissing/m");
  EXPECT_EQ(condition(status.conditions, "Ready"), "False/ContainerMissing/m");
  EXPECT_EQ(condition(status.conditions, "ResourcesAvailable"), "Unknown");
}

// ---------------------------------------------------------------------------- Configuration

TEST(ConfigurationLifecycle, MarksTellWhichRevisionAndWhy) {
  using S = ConfigurationStatus;
  expect_marks<S>({
      {[](S& s) { mark_latest_created_failed(s, "a-00002", "no image", at(1)); }, "Ready",
       "False/RevisionFailed/Revision \"a-00002\" failed with message: no image."},
      {[](S& s) { mark_revision_creation_failed(s, "name taken", at(1)); }, "Ready",
       "False/RevisionFailed/Revision creation failed with message: name taken."},
      {[](S& s) {
         s.latest_ready_revision_name = "a-00001";
         mark_latest_ready_deleted(s, at(1));
       },
       "Ready", "False/RevisionDeleted/Revision \"a-00001\" was deleted."},
  });
}

TEST(ConfigurationLifecycle, AnOlderRevisionThatBecomesReadyIsNotEnough) {
  ConfigurationStatus status;
  initialize_conditions(status, at(0));
  set_latest_created(status, "a-00002", at(1));
  set_latest_ready(status, "a-00001", at(2));
  EXPECT_EQ(status.latest_ready_revision_name, "a-00001");
  EXPECT_EQ(condition(status.conditions, "Ready"), "Unknown");
}

TEST(ConfigurationLifecycle, CreatingWhatIsReadyAlreadyChangesNothing) {
  ConfigurationStatus status;
  initialize_conditions(status, at(0));
  set_latest_created(status, "a-00001", at(1));
  set_latest_ready(status, "a-00001", at(2));
  const ConfigurationStatus before = status;
  set_latest_created(status, "a-00001", at(3));
  EXPECT_EQ(status, before);
}

// ---------------------------------------------------------------------------- Route

TEST(RouteLifecycle, MarksSetTheirConditionAndReady) {
  using S = RouteStatus;
  const std::string traffic = "AllTrafficAssigned";
  expect_marks<S>({
      {[](S& s) { mark_traffic_assigned(s, at(1)); }, traffic, "True"},
      {[](S& s) { mark_missing_traffic_target(s, "Revision", "a", at(1)); }, traffic,
       "False/RevisionMissing/Revision \"a\" referenced in traffic does not exist."},
      {[](S& s) { mark_missing_traffic_target(s, "Configuration", "a", at(1)); }, traffic,
       "False/ConfigurationMissing/Configuration \"a\" referenced in traffic does not exist."},
      {[](S& s) { mark_configuration_not_ready(s, "a", at(1)); }, traffic,
       "Unknown/RevisionMissing/Configuration \"a\" has no ready Revision yet."},
      {[](S& s) { mark_configuration_failed(s, "a", at(1)); }, traffic,
       "False/RevisionMissing/Configuration \"a\" has no ready Revision."},
      {[](S& s) { mark_revision_not_ready(s, "a", at(1)); }, traffic,
       "Unknown/RevisionMissing/Revision \"a\" is not ready yet."},
      {[](S& s) { mark_revision_failed(s, "a", at(1)); }, traffic,
       "False/RevisionMissing/Revision \"a\" did not become ready."},
      {[](S& s) { mark_revision_not_owned(s, "a", at(1)); }, traffic,
       "False/RevisionNotOwned/Revision \"a\" belongs to another Service."},
      {[](S& s) { mark_unknown_traffic_error(s, "m", at(1)); }, traffic, "Unknown/Unknown/m"},
      {[](S& s) { mark_ingress_ready(s, at(1)); }, "IngressReady", "True"},
      {[](S& s) { mark_ingress_not_configured(s, at(1)); }, "IngressReady",
       "Unknown/IngressNotConfigured/The routes are not programmed yet."},
      {[](S& s) { mark_ingress_rollout_in_progress(s, at(1)); }, "IngressReady",
       "Unknown/RolloutInProgress/Traffic is moving to the latest Revision step by step."},
      {[](S& s) { mark_ingress_failed(s, "NotOwned", "m", at(1)); }, "IngressReady",
       "False/NotOwned/m"},
      {[](S& s) { mark_tls_not_enabled(s, "m", at(1)); }, "CertificateProvisioned",
       "True/TLSNotEnabled/m"},
      {[](S& s) { mark_certificate_ready(s, at(1)); }, "CertificateProvisioned", "True"},
  });
}

TEST(RouteLifecycle, ReadyNeedsTrafficIngressAndCertificate) {
  using S = RouteStatus;
  expect_ready_needs_all<S>({[](S& s) { mark_traffic_assigned(s, at(1)); },
                             [](S& s) { mark_ingress_ready(s, at(1)); },
                             [](S& s) { mark_tls_not_enabled(s, "m", at(1)); }});
}

TEST(RouteLifecycle, OfTwoFailuresTheNewerShowsAndTheOlderRemains) {
  RouteStatus status;
  initialize_conditions(status, at(0));
  mark_revision_failed(status, "a", at(1));
  mark_ingress_failed(status, "NotOwned", "m", at(2));
  EXPECT_EQ(condition(status.conditions, "Ready"), "False/NotOwned/m");
  mark_ingress_ready(status, at(3));
  EXPECT_EQ(condition(status.conditions, "Ready"),
            "False/RevisionMissing/Revision \"a\" did not become ready.");
}

// ---------------------------------------------------------------------------- Service

TEST(ServiceLifecycle, MarksSetTheirConditionAndReady) {
  using S = ServiceStatus;
  expect_marks<S>({
      {[](S& s) { mark_configuration_not_owned(s, "a", at(1)); }, "ConfigurationsReady",
       "False/NotOwned/Configuration \"a\" exists and is not ours."},
      {[](S& s) { mark_route_not_owned(s, "a", at(1)); }, "RoutesReady",
       "False/NotOwned/Route \"a\" exists and is not ours."},
      {[](S& s) { mark_configuration_not_reconciled(s, at(1)); }, "ConfigurationsReady",
       "Unknown/OutOfDate/The Configuration has not been reconciled yet."},
      {[](S& s) { mark_route_not_reconciled(s, at(1)); }, "RoutesReady",
       "Unknown/OutOfDate/The Route has not been reconciled yet."},
      {[](S& s) { mark_route_not_yet_ready(s, at(1)); }, "RoutesReady",
       "Unknown/TrafficNotMigrated/Traffic has not moved to the latest Revision yet."},
      {[](S& s) { mark_revision_name_taken(s, "a-b", at(1)); }, "RoutesReady",
       "False/RevisionNameTaken/Revision name \"a-b\" is taken by another Revision."},
  });
}

// A child whose Ready is `status`; "" for one that has no conditions.
template <class Child>
Child child(std::string status) {
  Child made;
  if (!status.empty()) {
    made.conditions = {{.type = "Ready", .status = status, .reason = "R", .message = "m"}};
  }
  return made;
}

template <class Child>
void expect_copied(std::string_view type) {
  const std::pair<std::string, std::string> rows[] = {
      {"", "Unknown"}, {"True", "True"}, {"False", "False/R/m"}, {"Unknown", "Unknown/R/m"}};
  for (const auto& [given, copied] : rows) {
    ServiceStatus status;
    initialize_conditions(status, at(0));
    propagate(status, child<Child>(given), at(1));
    EXPECT_EQ(condition(status.conditions, type), copied);
    EXPECT_EQ(condition(status.conditions, "Ready"), given == "True" ? "Unknown" : copied);
  }
}

TEST(ServiceLifecycle, CopiesReadyOfItsChildren) {
  expect_copied<ConfigurationStatus>("ConfigurationsReady");
  expect_copied<RouteStatus>("RoutesReady");
}

TEST(ServiceLifecycle, ReadyNeedsBothChildren) {
  using S = ServiceStatus;
  expect_ready_needs_all<S>({[](S& s) { propagate(s, child<ConfigurationStatus>("True"), at(1)); },
                             [](S& s) { propagate(s, child<RouteStatus>("True"), at(1)); }});
}

TEST(ServiceLifecycle, ShowsWhatItsChildrenShow) {
  ServiceStatus status;
  ConfigurationStatus configuration;
  configuration.latest_created_revision_name = "a-00002";
  configuration.latest_ready_revision_name = "a-00001";
  propagate(status, configuration, at(1));
  EXPECT_EQ(status.latest_created_revision_name, "a-00002");
  EXPECT_EQ(status.latest_ready_revision_name, "a-00001");
  RouteStatus route;
  route.url = "http://a";
  route.address = Addressable{"http://a.local"};
  route.traffic = {{.revision_name = "a-00001", .percent = 100}};
  propagate(status, route, at(1));
  EXPECT_EQ(status.url, route.url);
  EXPECT_EQ(status.address, route.address);
  EXPECT_EQ(status.traffic, route.traffic);
}

// ---------------------------------------------------------------------------- PodAutoscaler

TEST(PodAutoscalerLifecycle, MarksSetTheirConditionAndReady) {
  using S = PodAutoscalerStatus;
  expect_marks<S>({
      {[](S& s) { mark_active(s, at(1)); }, "Active", "True"},
      {[](S& s) { mark_activating(s, "Queued", "m", at(1)); }, "Active", "Unknown/Queued/m"},
      {[](S& s) { mark_inactive(s, "NoTraffic", "m", at(1)); }, "Active", "False/NoTraffic/m"},
      {[](S& s) { mark_scale_target_initialized(s, at(1)); }, "ScaleTargetInitialized", "True"},
      {[](S& s) { mark_sks_ready(s, at(1)); }, "SKSReady", "True"},
      {[](S& s) { mark_sks_not_ready(s, "m", at(1)); }, "SKSReady", "Unknown/NotReady/m"},
  });
}

TEST(PodAutoscalerLifecycle, ReadyNeedsActivityATargetAndItsService) {
  using S = PodAutoscalerStatus;
  expect_ready_needs_all<S>({[](S& s) { mark_active(s, at(1)); },
                             [](S& s) { mark_scale_target_initialized(s, at(1)); },
                             [](S& s) { mark_sks_ready(s, at(1)); }});
}

// ---------------------------------------------------------------------------- is_ready

TEST(IsReady, OnlyATrueReadyCounts) {
  EXPECT_FALSE(is_ready(Conditions{}));
  EXPECT_FALSE(is_ready(Conditions{{.type = "Ready", .status = "Unknown"}}));
  EXPECT_FALSE(is_ready(Conditions{{.type = "Succeeded", .status = "True"}}));
  EXPECT_TRUE(is_ready(Conditions{{.type = "Ready", .status = "True"}}));
}

}  // namespace
}  // namespace knative::serving
