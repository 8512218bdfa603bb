// Documents that a cluster accepts, each named after the symptom of having been refused.
#include <gtest/gtest.h>

#include "knative/eventing.hpp"
#include "knative/manifest.hpp"

namespace knative {
namespace {

std::string problems_of(std::string_view yaml) {
  const auto objects = manifest::parse(yaml);
  return objects ? std::string() : objects.error().detail;
}

TEST(Accepted, AProjectedVolumeFromTheDownwardApiInItsOwnSpelling) {
  EXPECT_EQ(problems_of(R"(
apiVersion: build.knative.dev/v1alpha1
kind: Build
metadata: {name: b}
spec:
  steps: [{image: x}]
  volumes:
  - name: v
    projected: {sources: [{downwardAPI: {items: [{path: labels}]}}]})"),
            "");
}

TEST(Accepted, FieldsOfTheCoreKindsThatNothingActsOn) {
  EXPECT_EQ(problems_of(R"(
apiVersion: v1
kind: Service
metadata: {name: s}
spec:
  clusterIPs: [None]
  externalTrafficPolicy: Local
  internalTrafficPolicy: Cluster
  ipFamilyPolicy: SingleStack
  ipFamilies: [IPv4]
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}, spec: {finalizers: [kubernetes]}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: a}
secrets: [{name: token, namespace: shop}]
---
apiVersion: build.knative.dev/v1alpha1
kind: Build
metadata: {name: b}
spec:
  steps: [{image: x, securityContext: {seLinuxOptions: {level: s0}}}]
  volumes: [{name: v, gitRepo: {repository: "https://example.com/a.git"}}])"),
            "");
}

TEST(Accepted, ATriggerThatNamesItsBrokerByReference) {
  const std::string yaml = R"(
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: t, namespace: NAMESPACE}
spec:
  brokerRef: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: orders, namespace: shop}
  subscriber: {uri: "http://a"})";
  const auto in = [&](const std::string& namespace_) {
    std::string text = yaml;
    text.replace(text.find("NAMESPACE"), 9, namespace_);
    AnyObject object = manifest::parse(text).value().front();
    object.apply_defaults();
    return object;
  };
  const AnyObject own = in("shop");
  EXPECT_EQ(own.validate().to_string(), "");
  EXPECT_EQ(own.get<eventing::Trigger>().spec.broker, "orders");
  EXPECT_NE(in("other").validate().to_string().find("mismatched namespaces"), std::string::npos);
}

TEST(Accepted, WarningsReachWhoeverReadsAManifest) {
  std::vector<std::string> warnings;
  manifest::ParseOptions options;
  options.file_name = "broker.yaml";
  options.validate = true;
  options.warnings = &warnings;
  const auto objects = manifest::parse(R"(apiVersion: eventing.knative.dev/v1
kind: Broker
metadata:
  name: b
  annotations: {eventing.knative.dev/broker.class: Kafka}
spec:
  config: {apiVersion: v1, kind: ConfigMap, name: kafka})",
                                       options);
  ASSERT_TRUE(objects) << objects.error().detail;
  ASSERT_EQ(warnings.size(), 2U);
  EXPECT_EQ(warnings[0],
            "broker.yaml:5:17: has no effect: metadata.annotations[eventing.knative.dev/"
            "broker.class]; only Brokers of class MTChannelBasedBroker are served here; this one "
            "is left alone");
  EXPECT_EQ(warnings[1],
            "broker.yaml:7:3: has no effect: spec.config; the log of the Broker is configured by "
            "its platform");
}

TEST(Accepted, AStepsTerminationMessageActsAndIsNotWarnedAbout) {
  std::vector<std::string> warnings;
  manifest::ParseOptions options;
  options.validate = true;
  options.warnings = &warnings;
  const auto objects = manifest::parse(R"(
apiVersion: build.knative.dev/v1alpha1
kind: Build
metadata: {name: b}
spec:
  steps:
  - {image: x, terminationMessagePath: /said, terminationMessagePolicy: FallbackToLogsOnError}
  volumes: [{name: v, persistentVolumeClaim: {claimName: c}}])",
                                       options);
  ASSERT_TRUE(objects) << objects.error().detail;
  EXPECT_EQ(warnings, std::vector<std::string>());
}

TEST(Accepted, UnknownKindsAreLeftOutOnlyWhenAsked) {
  const std::string yaml = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}";
  EXPECT_NE(problems_of(yaml).find("no kind \"Deployment\""), std::string::npos);
  std::vector<std::string> warnings;
  manifest::ParseOptions options;
  options.skip_unknown_kinds = true;
  options.warnings = &warnings;
  EXPECT_TRUE(manifest::parse(yaml, options).value().empty());
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_EQ(warnings[0], "1:1: left out: no kind \"Deployment\" in version \"apps/v1\"");
}

}  // namespace
}  // namespace knative
