#include "model/serving_lifecycle.hpp"

#include <gtest/gtest.h>

#include "knative/value.hpp"
#include "model/condition_rows.hpp"

namespace kn = knative;
using kn::serving::Configuration;
using kn::serving::Revision;
using kn::serving::Route;
using kn::serving::Service;
using kn::testing::at;
using kn::testing::status_and_reason;

namespace {

Service defaulted(Service service) {
  kn::serving::apply_defaults(service);
  return service;
}

Service hello() { return defaulted(kn::serving::service("hello", "fn:hello")); }

std::string errors_of(const Service& service) { return kn::serving::validate(service).to_string(); }

kn::AnyObject from_json(std::string_view json, kn::Strictness strictness) {
  return kn::AnyObject::from_value(kn::Value::parse_json(json).value(), strictness).value();
}

}  // namespace

TEST(ServingDefaults, FillTrafficNamesTimeoutsAndProbe) {
  const Service service = hello();
  ASSERT_EQ(service.spec.traffic.size(), 1u);
  EXPECT_EQ(service.spec.traffic[0].latest_revision, true);
  EXPECT_EQ(service.spec.traffic[0].percent, 100);
  const kn::serving::RevisionSpec& spec = service.spec.template_.spec;
  EXPECT_EQ(spec.timeout_seconds, 300);
  EXPECT_FALSE(spec.response_start_timeout_seconds);  // 300 is not less than 300
  EXPECT_EQ(spec.container_concurrency, 0);
  EXPECT_EQ(spec.enable_service_links, false);
  EXPECT_EQ(spec.containers[0].name, "user-container");
  ASSERT_TRUE(spec.containers[0].readiness_probe);
  EXPECT_TRUE(spec.containers[0].readiness_probe->tcp_socket);
  EXPECT_EQ(spec.containers[0].readiness_probe->success_threshold, 1);
  EXPECT_EQ(spec.containers[0].readiness_probe->failure_threshold, 0);
}

TEST(ServingDefaults, ResponseStartFollowsWhenTheTimeoutIsLonger) {
  Service service = kn::serving::service("hello", "fn:hello");
  service.spec.template_.spec.timeout_seconds = 400;
  kn::serving::apply_defaults(service);
  EXPECT_EQ(service.spec.template_.spec.response_start_timeout_seconds, 300);
}

TEST(ServingDefaults, AreIdempotent) {
  Service service = kn::serving::service("hello", "fn:hello");
  service.spec.template_.spec.containers.push_back({.image = "side:1"});
  service.spec.template_.spec.containers[1].ports.push_back({.container_port = 8080});
  service.spec.template_.spec.containers[0].liveness_probe.emplace().http_get.emplace();
  service.spec.traffic = {{.revision_name = "hello-00001", .percent = 90}, {.percent = 10}, {}};
  Service once = defaulted(service);
  EXPECT_EQ(once.spec.template_.spec.containers[0].name, "user-container-0");
  EXPECT_EQ(once.spec.template_.spec.containers[1].name, "user-container-1");
  EXPECT_FALSE(once.spec.template_.spec.containers[0].readiness_probe);
  EXPECT_TRUE(once.spec.template_.spec.containers[1].readiness_probe);
  EXPECT_EQ(once.spec.traffic[0].latest_revision, false);
  EXPECT_EQ(once.spec.traffic[2].percent, 0);
  EXPECT_EQ(defaulted(once), once);
}

TEST(ServingDefaults, MountsAreReadOnlyUnlessMadeForWriting) {
  Service service = kn::serving::service("hello", "fn:hello");
  auto& spec = service.spec.template_.spec;
  spec.volumes = {{.name = "scratch"}, {.name = "keys"}};
  spec.volumes[0].empty_dir.emplace();
  spec.volumes[1].secret.emplace().secret_name = "keys";
  spec.containers[0].volume_mounts = {{.name = "scratch", .mount_path = "/scratch"},
                                      {.name = "keys", .mount_path = "/keys"}};
  kn::serving::apply_defaults(service);
  EXPECT_FALSE(spec.containers[0].volume_mounts[0].read_only);
  EXPECT_TRUE(spec.containers[0].volume_mounts[1].read_only);
  EXPECT_EQ(errors_of(service), "");
}

TEST(ServingValidation, AcceptsTheUsual) {
  Service service = hello();
  service.spec.traffic = {{.revision_name = "hello-00001", .latest_revision = false, .percent = 90},
                          {.latest_revision = true, .percent = 10, .tag = "canary"}};
  service.metadata.labels["networking.knative.dev/visibility"] = "cluster-local";
  service.spec.template_.metadata.annotations["autoscaling.knative.dev/min-scale"] = "1";
  EXPECT_EQ(errors_of(service), "");
}

TEST(ServingValidation, TrafficMustSumToOneHundred) {
  Service service = hello();
  service.spec.traffic = {{.latest_revision = true, .percent = 40}};
  EXPECT_EQ(errors_of(service), "Traffic targets sum to 40, want 100: spec.traffic");
}

TEST(ServingValidation, NamesEveryWrongTargetAtOnce) {
  Service service = hello();
  service.spec.traffic = {
      {.revision_name = "hello-00001", .latest_revision = true, .percent = 150, .tag = "a"},
      {.latest_revision = false, .percent = -50, .tag = "a"},
      {.configuration_name = "other", .latest_revision = true, .percent = 0, .tag = "Bad"}};
  const std::string errors = errors_of(service);
  EXPECT_EQ(errors,
            "Multiple definitions for \"a\": spec.traffic[0].tag, spec.traffic[1].tag\n"
            "expected 0 <= -50 <= 100: spec.traffic[1].percent\n"
            "expected 0 <= 150 <= 100: spec.traffic[0].percent\n" +
                errors.substr(errors.find("invalid value: not a DNS 1035 label"),
                              errors.find("may not set revisionName \"\"") -
                                  errors.find("invalid value: not a DNS 1035 label")) +
                "may not set revisionName \"\" when latestRevision is false: "
                "spec.traffic[1].latestRevision\n"
                "may not set revisionName \"hello-00001\" when latestRevision is true: "
                "spec.traffic[0].latestRevision\n"
                "must not set the field(s): spec.traffic[2].configurationName");
  EXPECT_NE(errors.find(": spec.traffic[2].tag"), std::string::npos);
}

TEST(ServingValidation, RouteTargetsNameOneThing) {
  Route route = kn::serving::route("hello", "hello");
  kn::serving::apply_defaults(route);
  EXPECT_EQ(kn::serving::validate(route).to_string(), "");
  route.spec.traffic[0].configuration_name.clear();
  EXPECT_EQ(kn::serving::validate(route).to_string(),
            "expected exactly one, got neither: spec.traffic[0].configurationName, "
            "spec.traffic[0].revisionName");
  route.spec.traffic = {};
  EXPECT_EQ(kn::serving::validate(route).to_string(),
            "Traffic targets sum to 0, want 100: spec.traffic");
}

TEST(ServingValidation, RevisionNumbersHaveBounds) {
  Service service = hello();
  service.spec.template_.spec.timeout_seconds = 601;
  service.spec.template_.spec.container_concurrency = 1001;
  service.spec.template_.spec.idle_timeout_seconds = -1;
  EXPECT_EQ(errors_of(service),
            "expected 0 <= -1 <= 600: spec.template.spec.idleTimeoutSeconds\n"
            "expected 0 <= 1001 <= 1000: spec.template.spec.containerConcurrency\n"
            "expected 0 <= 601 <= 600: spec.template.spec.timeoutSeconds");
}

TEST(ServingValidation, ContainersAreNeeded) {
  Service service = hello();
  service.spec.template_.spec.containers.clear();
  EXPECT_EQ(errors_of(service), "missing field(s): spec.template.spec.containers");
}

TEST(ServingValidation, ReservedNamesOfVariables) {
  Service service = hello();
  service.spec.template_.spec.containers[0].env = {{.name = "K_SERVICE", .value = "x"},
                                                   {.name = "", .value = "y"}};
  EXPECT_EQ(errors_of(service),
            "\"K_SERVICE\" is a reserved environment variable: "
            "spec.template.spec.containers[0].env[0].name\n"
            "missing field(s): spec.template.spec.containers[0].env[1].name");
}

TEST(ServingValidation, TemplateNameBeginsWithTheParent) {
  Service service = hello();
  service.spec.template_.metadata.name = "other-v1";
  EXPECT_EQ(errors_of(service),
            "invalid value: \"other-v1\" must have prefix \"hello-\": "
            "spec.template.metadata.name");
  service.spec.template_.metadata.name = "hello-v1";
  EXPECT_EQ(errors_of(service), "");
  service.metadata.name.clear();
  service.metadata.generate_name = "hello-";
  EXPECT_EQ(errors_of(service), "must not set the field(s): spec.template.metadata.name");
}

TEST(ServingValidation, AutoscalingAnnotationsBelongToTheTemplate) {
  Service service = hello();
  service.metadata.annotations["autoscaling.knative.dev/min-scale"] = "1";
  EXPECT_EQ(errors_of(service),
            "invalid key name \"autoscaling.knative.dev/min-scale\": metadata.annotations\n"
            "autoscaling annotations must be put under \"spec.template.metadata.annotations\" to "
            "work");
}

TEST(ServingValidation, RolloutDurationIsWholeSeconds) {
  Service service = hello();
  const std::string key = "serving.knative.dev/rollout-duration";
  service.metadata.annotations[key] = "10m";
  EXPECT_EQ(errors_of(service), "");
  service.metadata.annotations[key] = "1500ms";
  EXPECT_EQ(errors_of(service),
            "rolloutDuration=1500ms is not at second precision: metadata.annotations." + key);
  service.metadata.annotations[key] = "-1s";
  EXPECT_EQ(errors_of(service),
            "rolloutDuration=-1s must be positive: metadata.annotations." + key);
  service.metadata.annotations[key] = "soon";
  EXPECT_EQ(errors_of(service), "invalid value: soon: metadata.annotations." + key);
}

TEST(ServingValidation, LabelsOfTheGroupAreTheControllers) {
  Configuration configuration;
  configuration.metadata.name = "hello";
  configuration.spec.template_ = hello().spec.template_;
  configuration.metadata.labels["serving.knative.dev/service"] = "hello";
  EXPECT_EQ(kn::serving::validate(configuration).to_string(),
            "missing field(s): metadata.labels.serving.knative.dev/service");
  configuration.metadata.owner_references.push_back({.kind = "Service", .name = "hello"});
  EXPECT_EQ(kn::serving::validate(configuration).to_string(), "");
  Service service = hello();
  service.metadata.labels["serving.knative.dev/whatever"] = "x";
  EXPECT_EQ(errors_of(service), "") << "accepted as a cluster does";
  EXPECT_EQ(kn::AnyObject(service).check_marks().to_string(),
            "has no effect: metadata.labels[serving.knative.dev/whatever]\nthere is no such label");
  service.metadata.labels = {{"serving.knative.dev/visibility", "cluster-local"}};
  EXPECT_EQ(kn::AnyObject(service).check_marks().to_string(),
            "has no effect: metadata.labels[serving.knative.dev/visibility]\n"
            "it was renamed: use networking.knative.dev/visibility");
}

namespace {
std::string autoscaling(std::string_view name, std::string value) {
  kn::StringMap annotations;
  annotations["autoscaling.knative.dev/" + std::string(name)] = std::move(value);
  return kn::serving::validate_autoscaling(annotations).to_string();
}
}  // namespace

TEST(ServingAutoscaling, RangesOfAnnotations) {
  const std::string at_key = ": autoscaling.knative.dev/";
  EXPECT_EQ(autoscaling("min-scale", "1"), "");
  EXPECT_EQ(autoscaling("minScale", "x"), "invalid value: x" + at_key + "minScale");
  EXPECT_EQ(autoscaling("max-scale", "-1"),
            "expected 0 <= -1 <= 2147483647" + at_key + "max-scale");
  EXPECT_EQ(autoscaling("window", "5s"), "expected 6s <= 5s <= 1h0m0s" + at_key + "window");
  EXPECT_EQ(autoscaling("window", "7500ms"),
            "must be specified with at most second precision" + at_key + "window");
  EXPECT_EQ(autoscaling("window", "60s"), "");
  EXPECT_EQ(autoscaling("target", "0.001"),
            "target 0.001 should be at least 0.01" + at_key + "target");
  EXPECT_EQ(autoscaling("target-utilization-percentage", "0"),
            "expected 1 <= 0 <= 100" + at_key + "target-utilization-percentage");
  EXPECT_EQ(autoscaling("panic-threshold-percentage", "100"),
            "expected 110 <= 100 <= 1000" + at_key + "panic-threshold-percentage");
  EXPECT_EQ(autoscaling("target-burst-capacity", "-1"), "");
  EXPECT_NE(autoscaling("target-burst-capacity", "-2"), "");
  EXPECT_EQ(autoscaling("metric", "cpu"), "invalid value: cpu" + at_key + "metric");
  EXPECT_EQ(autoscaling("class", "other.knative.dev"),
            "invalid value: other.knative.dev" + at_key + "class");
  EXPECT_EQ(
      autoscaling("class", "my.example.org"),
      "has no effect" + at_key + "class\nRevisions are scaled as by kpa.autoscaling.knative.dev");
  EXPECT_EQ(autoscaling("metric-aggregation-algorithm", "mean"),
            "invalid value: mean" + at_key + "metric-aggregation-algorithm");
  EXPECT_EQ(autoscaling("initial-scale", "0"),
            "invalid value: 0" + at_key + "initial-scale\ninitial-scale=0 not allowed by cluster");
  EXPECT_EQ(autoscaling("activation-scale", "1"),
            "expected 2 <= 1 <= 2147483647" + at_key + "activation-scale");
  EXPECT_EQ(autoscaling("scale-down-delay", "2h"),
            "expected 0s <= 2h <= 1h0m0s" + at_key + "scale-down-delay");
}

TEST(ServingAutoscaling, MaxIsNotLessThanMin) {
  kn::StringMap annotations{{"autoscaling.knative.dev/min-scale", "3"},
                            {"autoscaling.knative.dev/max-scale", "2"}};
  EXPECT_EQ(kn::serving::validate_autoscaling(annotations).to_string(),
            "max-scale=2 is less than min-scale=3: autoscaling.knative.dev/max-scale, "
            "autoscaling.knative.dev/min-scale");
  annotations["autoscaling.knative.dev/max-scale"] = "0";
  EXPECT_EQ(kn::serving::validate_autoscaling(annotations).to_string(), "");
}

TEST(ServingAutoscaling, MoreThanIsEverStartedIsSaidAndNotRefused) {
  kn::serving::Config config;
  config.instances_max = 20;
  for (const std::string name : {"min-scale", "maxScale", "initial-scale", "activation-scale"}) {
    kn::StringMap annotations{{"autoscaling.knative.dev/" + name, "20"}};
    EXPECT_EQ(kn::serving::validate_autoscaling(annotations, config).to_string(), "") << name;
    annotations.begin()->second = "21";
    const kn::FieldErrors errors = kn::serving::validate_autoscaling(annotations, config);
    EXPECT_TRUE(errors.filter(kn::FieldError::Level::error).empty()) << name;
    EXPECT_NE(errors.to_string().find("is cut to 20: autoscaling.knative.dev/" + name),
              std::string::npos)
        << errors.to_string();
  }
}

TEST(ServingUpdates, RevisionSpecIsImmutable) {
  Revision old;
  old.spec = hello().spec.template_.spec;
  Revision changed = old;
  EXPECT_TRUE(kn::serving::validate_update(changed, old).empty());
  changed.spec.containers[0].image = "fn:other";
  EXPECT_EQ(kn::serving::validate_update(changed, old).to_string(),
            "Immutable fields changed (-old +new): spec\n"
            "{spec.containers[0].image}:\n\t-: \"fn:hello\"\n\t+: \"fn:other\"\n");
}

TEST(ServingUpdates, SameNameMeansSameTemplate) {
  Service old = hello();
  old.spec.template_.metadata.name = "hello-v1";
  Service changed = old;
  changed.spec.template_.spec.containers[0].image = "fn:other";
  const std::string errors = kn::serving::validate_update(changed, old).to_string();
  EXPECT_EQ(errors.substr(0, errors.find('\n')),
            "Saw the following changes without a name change (-old +new): "
            "spec.template.metadata.name");
  changed.spec.template_.metadata.name = "hello-v2";
  EXPECT_TRUE(kn::serving::validate_update(changed, old).empty());
}

TEST(ServingUpdates, CreatorStays) {
  Service old = hello();
  old.metadata.annotations["serving.knative.dev/creator"] = "ada";
  Service changed = old;
  changed.metadata.annotations["serving.knative.dev/creator"] = "eve";
  EXPECT_EQ(kn::serving::validate_update(changed, old).to_string(),
            "annotation value is immutable: metadata.annotations.serving.knative.dev/creator");
}

TEST(ServingLifecycle, RevisionReadyFollowsItsDependents) {
  kn::serving::RevisionStatus status;
  initialize_conditions(status, at(0));
  EXPECT_EQ(status_and_reason(status.conditions, "Ready"), "Unknown/");
  mark_resources_unknown(status, "Deploying", "", at(1));
  EXPECT_EQ(status_and_reason(status.conditions, "Ready"), "Unknown/Deploying");
  mark_resources_available(status, at(2));
  EXPECT_FALSE(kn::serving::is_ready(status.conditions));
  mark_container_healthy(status, at(3));
  EXPECT_TRUE(kn::serving::is_ready(status.conditions));
  mark_inactive(status, "NoTraffic", "", at(4));
  EXPECT_TRUE(kn::serving::is_ready(status.conditions)) << "Active only informs";
  EXPECT_EQ(kn::find_condition(status.conditions, "Active")->severity, "Info");
  mark_container_exiting(status, 3, "", at(5));
  EXPECT_EQ(status_and_reason(status.conditions, "Ready"), "False/ExitCode3");
  EXPECT_EQ(status_and_reason(status.conditions, "ContainerHealthy"), "False/ExitCode3");
}

TEST(ServingLifecycle, ConfigurationIsReadyWhenTheLatestCreatedIs) {
  kn::serving::ConfigurationStatus status;
  initialize_conditions(status, at(0));
  set_latest_created(status, "hello-00001", at(1));
  EXPECT_EQ(status_and_reason(status.conditions, "Ready"), "Unknown/");
  set_latest_ready(status, "hello-00001", at(2));
  EXPECT_EQ(status_and_reason(status.conditions, "Ready"), "True/");
  set_latest_created(status, "hello-00002", at(3));
  EXPECT_EQ(status_and_reason(status.conditions, "Ready"), "Unknown/");
  mark_latest_created_failed(status, "hello-00002", "no such image", at(4));
  EXPECT_EQ(status_and_reason(status.conditions, "Ready"), "False/RevisionFailed");
  EXPECT_EQ(status.latest_ready_revision_name, "hello-00001");
}

TEST(ServingLifecycle, ServiceCopiesItsChildren) {
  kn::serving::ServiceStatus status;
  initialize_conditions(status, at(0));
  kn::serving::ConfigurationStatus configuration;
  initialize_conditions(configuration, at(0));
  set_latest_created(configuration, "hello-00001", at(0));
  set_latest_ready(configuration, "hello-00001", at(0));
  propagate(status, configuration, at(1));
  EXPECT_EQ(status.latest_ready_revision_name, "hello-00001");
  EXPECT_FALSE(kn::serving::is_ready(status.conditions));
  kn::serving::RouteStatus route;
  initialize_conditions(route, at(0));
  mark_missing_traffic_target(route, "Revision", "hello-00009", at(1));
  propagate(status, route, at(2));
  EXPECT_EQ(status_and_reason(status.conditions, "Ready"), "False/RevisionMissing");
  mark_traffic_assigned(route, at(3));
  mark_ingress_ready(route, at(3));
  mark_tls_not_enabled(route, "", at(3));
  route.url = "http://hello.default.example.com";
  propagate(status, route, at(3));
  EXPECT_TRUE(kn::serving::is_ready(status.conditions));
  EXPECT_EQ(status.url, route.url);
  mark_route_not_yet_ready(status, at(4));
  EXPECT_EQ(status_and_reason(status.conditions, "Ready"), "Unknown/TrafficNotMigrated");
}

TEST(ServingLifecycle, ReadyNeedsTheObservedGeneration) {
  Service service = hello();
  service.metadata.generation = 2;
  kn::serving::ConfigurationStatus child;
  service.status.conditions = {{.type = "Ready", .status = "True"}};
  service.status.observed_generation = 1;
  EXPECT_FALSE(kn::serving::is_ready(service));
  service.status.observed_generation = 2;
  EXPECT_TRUE(kn::serving::is_ready(service));
}

TEST(ServingNames, OfRevisions) {
  Configuration configuration;
  configuration.metadata.name = "hello";
  configuration.metadata.generation = 7;
  EXPECT_EQ(kn::serving::revision_name(configuration), "hello-00007");
  configuration.spec.template_.metadata.name = "hello-blue";
  EXPECT_EQ(kn::serving::revision_name(configuration), "hello-blue");
}

TEST(ServingNames, OfChildrenStayWithinALabel) {
  EXPECT_EQ(kn::child_name("default", "-kne-trigger"), "default-kne-trigger");
  EXPECT_EQ(kn::child_name(std::string(60, 'a'), "-kne-trigger"),
            "aaaaaaaaaaaaaaaaaaacc7ed669cf88f201c3297c6a91e1d18d-kne-trigger");
  EXPECT_EQ(kn::child_name("my-broker-with-a-rather-long-name-trigger-also-with-a-long-name-",
                           "0a1b2c3d-1111-2222-3333-444455556666"),
            "my-broker-with-a-rather-long-na632c71d4314945538e3d16bd8b18f5f2");
}

TEST(ServingCodec, KeepsEveryKnownField) {
  const std::string_view json = R"({"apiVersion":"serving.knative.dev/v1","kind":"Service",
    "metadata":{"name":"hello","namespace":"shop","labels":{"a":"b"}},
    "spec":{"template":{"metadata":{"name":"hello-v1","annotations":{"x":"y"}},
      "spec":{"containerConcurrency":10,"timeoutSeconds":60,"responseStartTimeoutSeconds":5,
        "idleTimeoutSeconds":6,"serviceAccountName":"sa","enableServiceLinks":false,
        "imagePullSecrets":[{"name":"pull"}],
        "containers":[{"image":"fn:hello","ports":[{"containerPort":8080,"name":"h2c"}],
          "resources":{"limits":{"cpu":"100m"}}}],
        "volumes":[{"name":"v","emptyDir":{}}]}},
      "traffic":[{"latestRevision":true,"percent":100,"tag":"live"}]},
    "status":{"observedGeneration":3,"url":"http://h","address":{"url":"http://h.local"},
      "latestCreatedRevisionName":"hello-v1","latestReadyRevisionName":"hello-v1",
      "conditions":[{"type":"Ready","status":"True"}],
      "traffic":[{"revisionName":"hello-v1","percent":100,"url":"http://live"}]}})";
  const kn::AnyObject object = from_json(json, kn::Strictness::strict);
  const auto* service = object.get_if<Service>();
  ASSERT_NE(service, nullptr);
  EXPECT_EQ(service->spec.template_.spec.container_concurrency, 10);
  EXPECT_EQ(service->spec.traffic[0].tag, "live");
  EXPECT_EQ(service->status.address->url, "http://h.local");
  EXPECT_EQ(object.to_value().to_json(), kn::Value::parse_json(json).value().to_json());
}

TEST(ServingCodec, UnknownFieldsAreNamed) {
  const kn::Value value = kn::Value::parse_json(R"({"apiVersion":"serving.knative.dev/v1",
    "kind":"Service","metadata":{"name":"a"},"spec":{"trafic":[],"template":{"spec":{
    "containers":[{"imag":"x"}]}}}})")
                              .value();
  const auto strict = kn::AnyObject::from_value(value, kn::Strictness::strict);
  ASSERT_FALSE(strict);
  EXPECT_NE(strict.error().detail.find("spec.trafic"), std::string::npos);
  EXPECT_NE(strict.error().detail.find("spec.template.spec.containers[0].imag"), std::string::npos);
  EXPECT_TRUE(kn::AnyObject::from_value(value, kn::Strictness::lenient));
}

TEST(ServingCodec, RefusedPodFieldsAreReportedAndNotDropped) {
  const kn::AnyObject object = from_json(R"({"apiVersion":"serving.knative.dev/v1",
    "kind":"Service","metadata":{"name":"a","namespace":"default"},"spec":{"template":{"spec":{
    "hostNetwork":true,"nodeSelector":{"a":"b"},"dnsPolicy":"","restartPolicy":"Never",
    "containers":[{"image":"x"}]}},"traffic":[{"latestRevision":true,"percent":100}]}})",
                                         kn::Strictness::strict);
  EXPECT_EQ(object.validate().to_string(),
            "must not set the field(s): spec.template.spec.hostNetwork, "
            "spec.template.spec.nodeSelector, spec.template.spec.restartPolicy");
}

TEST(ServingCodec, ObjectsPassThroughTheTableOfKinds) {
  kn::AnyObject object = kn::serving::service("hello", "fn:hello");
  object.apply_defaults();
  EXPECT_EQ(object.validate().to_string(), "");
  EXPECT_EQ(object.info().plural, "services");
  kn::AnyObject bad = kn::serving::service("Hello_World", "fn:hello");
  bad.apply_defaults();
  EXPECT_NE(bad.validate().to_string().find("metadata.name"), std::string::npos);
}
