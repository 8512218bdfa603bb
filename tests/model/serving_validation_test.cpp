#include <gtest/gtest.h>

#include <limits>

#include "knative/serving.hpp"
#include "knative/value.hpp"

namespace knative::serving {
namespace {

Service hello() {
  Service object = service("hello", "fn:hello");
  apply_defaults(object);
  return object;
}

template <class T>
std::string errors_of(const T& object, const Config& config = {}) {
  return validate(object, config).to_string();
}

FieldErrors with_annotation(std::string key, std::string value) {
  Service object = hello();
  object.spec.template_.metadata.annotations[std::move(key)] = std::move(value);
  return validate(object);
}

const std::string not_a_label =
    "[not a DNS 1035 label: use lower case letters, digits and '-', beginning with a letter and "
    "ending with a letter or digit]";
const std::string not_qualified =
    "name part must be letters, digits, '-', '_' and '.', beginning and ending with a letter or "
    "digit";

// ---------------------------------------------------------------------------- annotations

TEST(ServingQueueAnnotations, ResourcesAreQuantities) {
  for (const std::string resource : {"cpu", "memory", "ephemeral-storage"}) {
    for (const std::string bound : {"-resource-request", "-resource-limit"}) {
      const std::string key = "queue.sidecar.serving.knative.dev/" + resource + bound;
      EXPECT_EQ(with_annotation(key, "100m").to_string(), "");
      EXPECT_EQ(with_annotation(key, "lots").to_string(),
                "invalid value: lots: spec.template.metadata.annotations[" + key + "]");
    }
  }
}

TEST(ServingQueueAnnotations, ThePercentageIsBounded) {
  const std::pair<std::string, std::string> rows[] = {{"0.1", ""},
                                                      {"100", ""},
                                                      {"0.05", "expected 0.1 <= 0.05 <= 100"},
                                                      {"100.5", "expected 0.1 <= 100.5 <= 100"},
                                                      {"nan", "expected 0.1 <= nan <= 100"},
                                                      {"", "invalid value: "},
                                                      {"50%", "invalid value: 50%"}};
  for (const std::string name : {"resource-percentage", "resourcePercentage"}) {
    const std::string key = "queue.sidecar.serving.knative.dev/" + name;
    for (const auto& [value, message] : rows) {
      EXPECT_EQ(
          with_annotation(key, value).filter(FieldError::Level::error).to_string(),
          message.empty() ? "" : message + ": spec.template.metadata.annotations[" + key + "]");
    }
  }
}

TEST(ServingQueueAnnotations, ThePercentageIsDeprecated) {
  const std::string key = "queue.sidecar.serving.knative.dev/resource-percentage";
  const FieldErrors errors = with_annotation(key, "10");
  EXPECT_FALSE(errors.has_errors());
  EXPECT_EQ(errors.to_string(),
            "the resource percentage is deprecated: spec.template.metadata.annotations[" + key +
                "]\nname the amounts, as in cpu-resource-request and cpu-resource-limit");
}

TEST(ServingAnnotations, UnknownFeaturesAreWarnings) {
  Service object = hello();
  object.spec.template_.metadata.annotations["features.knative.dev/queueproxy-podinfo"] = "x";
  const FieldErrors errors = AnyObject(object).validate();
  EXPECT_FALSE(errors.has_errors());
  EXPECT_EQ(errors.filter(FieldError::Level::warning).to_string(),
            "has no effect: spec.template.metadata.annotations["
            "features.knative.dev/queueproxy-podinfo]\nthere is no such annotation");
}

TEST(ServingAnnotations, TheProgressDeadlineIsWholeSeconds) {
  const std::string key = "serving.knative.dev/progress-deadline";
  const std::string here = ": spec.template.metadata.annotations." + key;
  const std::pair<std::string, std::string> rows[] = {
      {"2m", ""},
      {"later", "invalid value: later" + here},
      {"30", "invalid value: 30" + here},
      {"1s500ms", "progress-deadline=1s500ms is not at second precision" + here},
      {"-1s", "progress-deadline=-1s must be positive" + here}};
  for (const auto& [value, errors] : rows) {
    EXPECT_EQ(with_annotation(key, value).to_string(), errors);
  }
}

TEST(ServingAnnotations, WhatIdleInstancesAreIsOneOfTwo) {
  const std::string key = "serving.knative.dev/idle";
  EXPECT_EQ(with_annotation(key, "frozen").to_string(), "");
  EXPECT_EQ(with_annotation(key, "stopped").to_string(), "");
  EXPECT_EQ(with_annotation(key, "Frozen").to_string(),
            "invalid value: Frozen: spec.template.metadata.annotations." + key +
                "\nexpected frozen or stopped");
}

TEST(ServingAnnotations, OfARevisionFollowTheSameRules) {
  Revision revision{.metadata = {.name = "r"}, .spec = hello().spec.template_.spec};
  revision.metadata.annotations = {{"autoscaling.knative.dev/min-scale", "x"},
                                   {"queue.sidecar.serving.knative.dev/cpu-resource-limit", "x"},
                                   {"serving.knative.dev/progress-deadline", "x"}};
  EXPECT_EQ(errors_of(revision),
            "invalid value: x: metadata.annotations.autoscaling.knative.dev/min-scale, "
            "metadata.annotations.serving.knative.dev/progress-deadline, "
            "metadata.annotations[queue.sidecar.serving.knative.dev/cpu-resource-limit]");
}

// ---------------------------------------------------------------------------- names and labels

TEST(ServingTemplate, NamesAreLabels) {
  const std::string here = ": spec.template.metadata.";
  Service object = hello();
  object.spec.template_.metadata.generate_name = "hello-";
  EXPECT_EQ(errors_of(object), "");
  object.spec.template_.metadata.generate_name = "Hello-";
  EXPECT_EQ(errors_of(object),
            "invalid value: not a DNS 1035 label prefix: " + not_a_label + here + "generateName");
  object.spec.template_.metadata = {.name = "hello-V1"};
  EXPECT_EQ(errors_of(object),
            "invalid value: not a DNS 1035 label: " + not_a_label + here + "name");
}

TEST(ServingTemplate, LabelsOfTheGroupAreAcceptedWithAWarning) {
  Service object = hello();
  object.spec.template_.metadata.labels = {{"app", "x"},
                                           {"serving.knative.dev/visibility", "cluster-local"}};
  EXPECT_EQ(errors_of(object), "");
  EXPECT_EQ(AnyObject(object).check_marks().to_string(),
            "has no effect: spec.template.metadata.labels[serving.knative.dev/visibility]\n"
            "visibility is said by the label networking.knative.dev/visibility of the Service or "
            "Route");
  object.spec.template_.metadata.labels = {{"a b", "x"}};
  EXPECT_EQ(errors_of(object),
            "invalid key name \"a b\": spec.template.metadata.labels\n" + not_qualified);
}

TEST(ServingLabels, VisibilityIsClusterLocalOrNotSet) {
  Service object = hello();
  object.metadata.labels["networking.knative.dev/visibility"] = "public";
  EXPECT_EQ(errors_of(object),
            "invalid value: public: metadata.labels.networking.knative.dev/visibility");
}

TEST(ServingLabels, NameAnOwner) {
  const std::string missing = "missing field(s): metadata.labels.serving.knative.dev/";
  Revision revision{.metadata = {.name = "r"}, .spec = hello().spec.template_.spec};
  revision.metadata.labels = {{"serving.knative.dev/configuration", "hello"},
                              {"serving.knative.dev/configurationGeneration", "1"},
                              {"serving.knative.dev/routingState", "active"},
                              {"serving.knative.dev/service", "hello"}};
  EXPECT_EQ(errors_of(revision), missing + "configuration");
  revision.metadata.owner_references = {{.kind = "Configuration", .name = "other"},
                                        {.kind = "Service", .name = "hello"}};
  EXPECT_EQ(errors_of(revision), missing + "configuration") << "another name, another kind";
  revision.metadata.owner_references[0].name = "hello";
  EXPECT_EQ(errors_of(revision), "") << "a Configuration stands between Revision and Service";

  Route object = route("hello", "hello");
  apply_defaults(object);
  object.metadata.labels = {{"serving.knative.dev/service", "hello"},
                            {"serving.knative.dev/routingState", "active"}};
  EXPECT_EQ(errors_of(object), missing + "service");
}

// ---------------------------------------------------------------------------- revisions

TEST(ServingRevision, TimeoutsLieWithinTheWhole) {
  Service object = hello();
  RevisionSpec& spec = object.spec.template_.spec;
  spec.timeout_seconds = 60;
  spec.response_start_timeout_seconds = 60;
  spec.idle_timeout_seconds = 61;
  EXPECT_EQ(errors_of(object), "expected 0 <= 61 <= 60: spec.template.spec.idleTimeoutSeconds");
  spec.response_start_timeout_seconds = 61;
  spec.idle_timeout_seconds = 0;
  EXPECT_EQ(errors_of(object),
            "expected 0 <= 61 <= 60: spec.template.spec.responseStartTimeoutSeconds");
}

TEST(ServingRevision, AnOperatorSetsTheBounds) {
  const Config config{.timeout_seconds_max = 30,
                      .container_concurrency_max = 5,
                      .allow_container_concurrency_zero = false};
  Service object = hello();
  object.spec.template_.spec.timeout_seconds = 31;
  EXPECT_EQ(errors_of(object, config),
            "expected 0 <= 31 <= 30: spec.template.spec.timeoutSeconds\n"
            "expected 1 <= 0 <= 5: spec.template.spec.containerConcurrency");
  object.spec.template_.spec.timeout_seconds = 30;
  object.spec.template_.spec.container_concurrency = 6;
  EXPECT_EQ(errors_of(object, config),
            "expected 1 <= 6 <= 5: spec.template.spec.containerConcurrency");
}

TEST(ServingRevision, FieldsThatAreKeptFromUsersAreNamed) {
  for (const std::string field : {"activeDeadlineSeconds",
                                  "affinity",
                                  "dnsConfig",
                                  "dnsPolicy",
                                  "ephemeralContainers",
                                  "hostAliases",
                                  "hostIPC",
                                  "hostNetwork",
                                  "hostPID",
                                  "hostname",
                                  "nodeName",
                                  "nodeSelector",
                                  "priority",
                                  "priorityClassName",
                                  "readinessGates",
                                  "restartPolicy",
                                  "schedulerName",
                                  "securityContext",
                                  "shareProcessNamespace",
                                  "subdomain",
                                  "terminationGracePeriodSeconds",
                                  "tolerations",
                                  "topologySpreadConstraints"}) {
    const std::string json = R"({"apiVersion":"serving.knative.dev/v1","kind":"Revision",)"
                             R"("metadata":{"name":"r"},"spec":{"containers":[{"image":"x"}],")" +
                             field + R"(":[{"image":"x"}]}})";
    const AnyObject object =
        AnyObject::from_value(Value::parse_json(json).value(), Strictness::strict).value();
    EXPECT_EQ(errors_of(object.get<Revision>()), "must not set the field(s): spec." + field);
  }
}

// ---------------------------------------------------------------------------- traffic

std::string errors_of(TrafficTarget target) {
  Route object{.metadata = {.name = "r"}, .spec = {.traffic = {std::move(target)}}};
  object.spec.traffic[0].percent = 100;
  return errors_of(object);
}

TEST(ServingTraffic, ATargetNamesOneThingByAName) {
  const std::string here = "spec.traffic[0].";
  EXPECT_EQ(
      errors_of(TrafficTarget{.revision_name = "r", .configuration_name = "c"}),
      "expected exactly one, got both: " + here + "configurationName, " + here + "revisionName");
  EXPECT_EQ(errors_of(TrafficTarget{.revision_name = "a b"}),
            "invalid key name \"a b\": " + here + "revisionName\n" + not_qualified);
  EXPECT_EQ(errors_of(TrafficTarget{.configuration_name = "c-"}),
            "invalid key name \"c-\": " + here + "configurationName\n" + not_qualified);
}

TEST(ServingTraffic, TheUrlIsForTheStatus) {
  EXPECT_EQ(errors_of(TrafficTarget{.configuration_name = "c", .url = "http://c"}),
            "must not set the field(s): spec.traffic[0].url");
}

TEST(ServingTraffic, TagsAreLabels) {
  EXPECT_EQ(errors_of(TrafficTarget{.configuration_name = "c", .tag = std::string(61, 't')}), "")
      << "with the Route's name in front of it a host label of 63 characters";
  EXPECT_EQ(errors_of(TrafficTarget{.configuration_name = "c", .tag = "v1.2"}),
            "invalid value: not a DNS 1035 label: " + not_a_label + ": spec.traffic[0].tag");
  EXPECT_EQ(errors_of(TrafficTarget{.configuration_name = "c", .tag = std::string(64, 't')}),
            "invalid value: not a DNS 1035 label: [must be no more than 63 characters]: "
            "spec.traffic[0].tag\ninvalid value: the host label " +
                std::string(64, 't') + "-r has more than 63 characters: spec.traffic[0].tag");
}

TEST(ServingTraffic, AbsurdPercentsDoNotOverflowTheSum) {
  constexpr std::int64_t max = std::numeric_limits<std::int64_t>::max();
  Service object = hello();
  object.spec.traffic = {{.percent = max}, {.percent = max}, {.percent = 102}};
  EXPECT_TRUE(validate(object).to_string().starts_with("Traffic targets sum to 2000102, want 100"));
}

// ---------------------------------------------------------------------------- updates

// What an update says that changes the annotation `key` from "ada" to `to`, and the spec or not.
template <class T>
std::string errors_of_user(std::string_view key, const std::string& to, T object,
                           const T& respecced) {
  T old = object;
  old.metadata.annotations[std::string(key)] = "ada";
  if (!to.empty()) object.metadata.annotations[std::string(key)] = to;
  object.spec = respecced.spec;
  return validate_update(object, old).to_string();
}

template <class T>
void expect_users_are_guarded(const T& object, const T& respecced) {
  const std::string here = ": metadata.annotations.serving.knative.dev/";
  EXPECT_EQ(errors_of_user(keys::last_modifier, "ada", object, object), "");
  EXPECT_EQ(errors_of_user(keys::last_modifier, "eve", object, object),
            "invalid value: eve" + here + "lastModifier");
  EXPECT_EQ(errors_of_user(keys::last_modifier, "", object, object),
            "invalid value: " + here + "lastModifier");
  EXPECT_EQ(errors_of_user(keys::last_modifier, "eve", object, respecced), "");
  EXPECT_EQ(errors_of_user(keys::creator, "eve", object, respecced),
            "annotation value is immutable" + here + "creator");
  EXPECT_EQ(errors_of_user(keys::creator, "", object, object),
            "annotation value is immutable" + here + "creator");
}

TEST(ServingUsers, TheCreatorStaysAndTheModifierChangesWithTheSpec) {
  Service changed = hello();
  changed.spec.template_.spec.timeout_seconds = 5;
  expect_users_are_guarded(hello(), changed);
  expect_users_are_guarded(Configuration{.spec = {hello().spec.template_}},
                           Configuration{.spec = {changed.spec.template_}});
  expect_users_are_guarded(route("hello", "hello"), route("hello", "other"));
}

TEST(ServingUpdate, ATemplateOfAConfigurationKeepsItsContentWithItsName) {
  const std::string words =
      "Saw the following changes without a name change (-old +new): spec.template.metadata.name\n";
  Configuration old{.spec = {hello().spec.template_}};
  Configuration changed = old;
  changed.spec.template_.spec.timeout_seconds = 5;
  EXPECT_EQ(validate_update(changed, old).to_string(), "") << "no name of its own";
  old.spec.template_.metadata.name = changed.spec.template_.metadata.name = "hello-v1";
  EXPECT_EQ(validate_update(old, old).to_string(), "");
  EXPECT_EQ(validate_update(changed, old).to_string(),
            words + "{spec.timeoutSeconds}:\n\t-: 300\n\t+: 5\n");
}

// ---------------------------------------------------------------------------- PodAutoscaler

TEST(ServingPodAutoscaler, EveryFieldHasARule) {
  const PodAutoscaler good{
      .metadata = {.name = "r"},
      .spec = {.scale_target_ref = {.name = "r-deployment"}, .container_concurrency = 1000}};
  EXPECT_EQ(errors_of(good), "");
  for (const std::string reachability : {"Reachable", "Unreachable"}) {
    for (const std::string protocol : {"http1", "h2c"}) {
      PodAutoscaler object = good;
      object.spec.reachability = reachability;
      object.spec.protocol_type = protocol;
      EXPECT_EQ(errors_of(object), "");
    }
  }
  const PodAutoscaler bad{
      .metadata = {.annotations = {{"autoscaling.knative.dev/metric", "cpu"}}},
      .spec = {.reachability = "Perhaps", .container_concurrency = 1001, .protocol_type = "grpc"}};
  EXPECT_EQ(errors_of(bad),
            "expected 0 <= 1001 <= 1000: spec.containerConcurrency\n"
            "invalid value: Perhaps: spec.reachability\n"
            "invalid value: cpu: metadata.annotations.autoscaling.knative.dev/metric\n"
            "invalid value: grpc: spec.protocolType\n"
            "missing field(s): spec.scaleTargetRef.name");
}

}  // namespace
}  // namespace knative::serving
