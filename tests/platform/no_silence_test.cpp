// Anything accepted acts, or is refused or warned about by name: the list of what once did nothing
// and said nothing, as people write it.
#include "platform/platform_fixture.hpp"

namespace knative {
namespace {

using namespace testing_platform;

/// What becomes of a manifest.
enum class Fate { acts, warned, refused, not_ready };

struct Written {
  const char* what;  ///< Named by what is said of it.
  Fate fate;
  std::string text;
};

std::string service(const std::string& container, const std::string& spec = "",
                    const std::string& annotations = "", const std::string& own = "") {
  return "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata:\n  name: x\n"
         "  annotations: {" +
         own + "}\nspec:\n  template:\n    metadata:\n      annotations: {" + annotations +
         "}\n    spec:\n" + spec + "      containers:\n      - image: fn:hello\n" + container;
}

std::string eventing(const std::string& kind, const std::string& rest) {
  const std::string group = kind == "Broker" || kind == "Trigger" ? "eventing" : "messaging";
  return "apiVersion: " + group + ".knative.dev/v1\nkind: " + kind + "\nmetadata:\n  name: x\n" +
         rest;
}

std::string config(const std::string& namespace_, const std::string& name,
                   const std::string& data) {
  return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name +
         ", namespace: " + namespace_ + "}\ndata: {" + data + "}\n";
}

const Written list[] = {
    {"responseStartTimeoutSeconds", Fate::acts,
     service("", "      responseStartTimeoutSeconds: 7\n")},
    {"idleTimeoutSeconds", Fate::acts, service("", "      idleTimeoutSeconds: 7\n")},
    {"readinessProbe", Fate::acts,
     service("        readinessProbe: {httpGet: {path: /}, initialDelaySeconds: 1,"
             " failureThreshold: 2, periodSeconds: 1}\n")},
    {"httpHeaders", Fate::acts,
     service("        readinessProbe: {httpGet: {path: /, httpHeaders: [{name: a, value: b}]}}\n")},
    {"livenessProbe", Fate::acts, service("        livenessProbe: {httpGet: {path: /}}\n")},
    {"startupProbe", Fate::acts, service("        startupProbe: {httpGet: {path: /}}\n")},
    {"resources", Fate::warned, service("        resources: {limits: {memory: 64Mi}}\n")},
    {"securityContext", Fate::warned, service("        securityContext: {runAsUser: 7}\n")},
    {"containerPort", Fate::warned, service("        ports: [{containerPort: 9000}]\n")},
    {"ports[0].name", Fate::warned, service("        ports: [{containerPort: 9000, name: h2c}]\n")},
    {"autoscaling.knative.dev/class", Fate::warned,
     service("", "", "autoscaling.knative.dev/class: hpa.autoscaling.knative.dev")},
    {"serving.knative.dev/rollout-duration", Fate::warned,
     service("", "", "", "serving.knative.dev/rollout-duration: 60s")},
    {"delivery.format", Fate::acts, eventing("Broker", "spec: {delivery: {format: json}}\n")},
    {"broker.class", Fate::warned,
     "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: x, annotations: "
     "{eventing.knative.dev/broker.class: Kafka}}\n"},
    {"KafkaChannel", Fate::not_ready,
     eventing("Subscription",
              "spec: {channel: {apiVersion: messaging.knative.dev/v1beta1, kind: KafkaChannel, "
              "name: c}, subscriber: {uri: \"http://localhost/\"}}\n")},
    {"spec.config", Fate::warned,
     eventing("Broker", "spec: {config: {apiVersion: v1, kind: ConfigMap, name: c}}\n")},
    {"stable-window", Fate::acts,
     config("knative-serving", "config-autoscaler", "stable-window: 30s")},
    {"stable-windo", Fate::warned,
     config("knative-serving", "config-autoscaler", "stable-windo: 30s")},
    {"stable-window", Fate::refused,
     config("knative-serving", "config-autoscaler", "stable-window: soon")},
    {"data.min-scale", Fate::warned,
     config("knative-serving", "config-autoscaler", "min-scale: '999999999'")},
    {"data.max-scale", Fate::warned,
     config("knative-serving", "config-autoscaler", "max-scale: '1001'")},
    {"data.initial-scale", Fate::warned,
     config("knative-serving", "config-autoscaler", "initial-scale: '1001'")},
    {"max-scale", Fate::acts, config("knative-serving", "config-autoscaler", "max-scale: '1000'")},
    {"tick-interval", Fate::warned,
     config("knative-serving", "config-autoscaler", "tick-interval: 1s")},
    {"default-br-config", Fate::warned,
     config("knative-eventing", "config-br-defaults", "default-br-config: x")},
    {"autoscaling.knative.dev/nobody", Fate::warned,
     service("", "", "autoscaling.knative.dev/nobody: x")},
    {"autoscaling.knative.dev/min-scale", Fate::warned,
     service("", "", "autoscaling.knative.dev/min-scale: '999999999'")},
    {"autoscaling.knative.dev/max-scale", Fate::warned,
     service("", "", "autoscaling.knative.dev/max-scale: '999999999'")},
    {"autoscaling.knative.dev/max-scale", Fate::acts,
     service("", "", "autoscaling.knative.dev/max-scale: '1000'")},
    {"readinessProbe.httpGet.port", Fate::warned,
     service("        readinessProbe: {httpGet: {path: /, port: 9999}}\n")},
    {"livenessProbe.tcpSocket.port", Fate::warned,
     service("        livenessProbe: {tcpSocket: {port: 9999}}\n")},
    {"startupProbe.httpGet.port", Fate::warned,
     service("        startupProbe: {httpGet: {path: /, port: 9999}}\n")},
    {"readinessProbe.httpGet.port", Fate::acts,
     service("        readinessProbe: {httpGet: {path: /, port: 8080}}\n")},
    {"subscriber.uri", Fate::refused,
     eventing("Trigger", "spec: {broker: b, subscriber: {uri: \"http://ada:hunter2@host/\"}}\n")},
    {"deadLetterSink.uri", Fate::refused,
     eventing("Broker",
              "spec: {delivery: {deadLetterSink: {uri: \"http://ada:hunter2@host/\"}}}\n")},
    {"spec.deliver", Fate::refused, eventing("Broker", "spec: {deliver: {}}\n")},
};

std::string_view to_string(Fate fate) {
  constexpr std::string_view names[] = {"acts", "warned", "refused", "not ready"};
  return names[static_cast<std::size_t>(fate)];
}

class NoSilence : public PlatformFixture {
 protected:
  NoSilence() {
    functions_.http("hello", [](http::Request&) { return http::text("hello"); });
  }
  /// What is said of `written`, to the caller and in the status.
  Fate fate_of(const Written& written, std::string& said) {
    std::vector<std::string> warnings;
    PlatformOptions options;
    options.on_warning = [&](std::string_view, std::string_view text) {
      warnings.emplace_back(text);
    };
    begin(std::move(options));
    const Result<std::vector<ObjectRef>> applied = platform_->apply_text(written.text);
    said.clear();
    if (!applied) {
      said = applied.error().detail;
      return Fate::refused;
    }
    simulation_.run_for(30s);
    const AnyObject object = platform_->get(applied->front()).value();
    const Value value = object.to_value();
    for (const std::string& warning : warnings) said += warning + "\n";
    const Value* status = value.find("status");
    const std::string shown = status == nullptr ? "" : status->to_json();
    if (!warnings.empty()) {
      if (applied->front().kind != "ConfigMap") {  // which has no status
        EXPECT_NE(shown.find(written.what), std::string::npos) << shown;
      }
      return Fate::warned;
    }
    if (status != nullptr && !readiness(object).ready) {
      said = shown;
      return Fate::not_ready;
    }
    return Fate::acts;
  }
};

TEST_F(NoSilence, what_is_accepted_acts_or_is_refused_or_warned_about_by_name) {
  for (const Written& written : list) {
    SCOPED_TRACE(written.text);
    std::string said;
    const Fate fate = fate_of(written, said);
    EXPECT_EQ(to_string(fate), to_string(written.fate)) << written.what << ": " << said;
    if (fate != Fate::acts) {
      EXPECT_NE(said.find(written.what), std::string::npos) << said;
    }
    EXPECT_EQ(said.find("hunter2"), std::string::npos) << "a secret: " << said;
  }
}

}  // namespace
}  // namespace knative
