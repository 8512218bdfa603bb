// What a scenario is made of: functions, programs in images, other hosts, faults.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "knative/http_server.hpp"
#include "knative/platform.hpp"
#include "knative/scalars.hpp"
#include "knative/simulation.hpp"

namespace knative::scenario {

[[noreturn]] inline void refuse(const std::string& what) {
  throw Exception(fail(Errc::invalid_argument, what));
}

// A typing error in a scenario must not make it weaker: unknown keys are refused.
inline void check_keys(const Value& map, const std::set<std::string, std::less<>>& known,
                       const std::string& where) {
  if (!map.is_map()) refuse(where + " is no map");
  for (const auto& [key, value] : map.as_map()) {
    if (!known.contains(key)) refuse(where + ": unknown key " + key);
  }
}

inline const Value& need(const Value& map, std::string_view key, const std::string& where) {
  const Value* found = map.find(key);
  if (!found) refuse(where + ": missing key " + std::string(key));
  return *found;
}

inline std::string text_of(const Value* value, std::string fallback = "") {
  if (!value) return fallback;
  return value->is_string() ? value->as_string() : value->to_json();
}

inline Duration duration_of(const Value* value, Duration fallback = Duration(0)) {
  if (!value) return fallback;
  std::string text = text_of(value);
  if (text.ends_with("min")) text.resize(text.size() - 2);  // "5min" beside Go's "5m"
  const Result<Duration> parsed = parse_duration(text);
  if (!parsed) refuse(parsed.error().detail);
  return *parsed;
}

// What a function of a scenario answers and what it has seen.
class ScenarioFunction final : public Function {
 public:
  ScenarioFunction(const Value& spec, const std::string& name, Timers& timers) : timers_(timers) {
    check_keys(spec, {"kind", "body", "takes", "sequence", "type", "source", "host"},
               "function " + name);
    kind_ = text_of(&need(spec, "kind", "function " + name));
    if (kind_ != "text" && kind_ != "status" && kind_ != "reply" && kind_ != "sink") {
      refuse("function " + name + ": unknown kind " + kind_);
    }
    body_ = text_of(spec.find("body"));
    takes_ = duration_of(spec.find("takes"));
    type_ = text_of(spec.find("type"));
    source_ = text_of(spec.find("source"), "/" + name);
    host_ = text_of(spec.find("host"));
    if (kind_ != "status") return;
    for (const Value& status : need(spec, "sequence", "function " + name).as_list()) {
      sequence_.push_back(static_cast<int>(status.as_int()));
    }
    if (sequence_.empty()) refuse("function " + name + ": empty sequence");
  }

  Task<http::Response> call(http::Request& request, const FunctionContext&) const override {
    const std::uint64_t number = calls_++;
    if (takes_ > Duration(0)) co_await timers_.sleep_for(takes_);
    http::Response response = answer(request, number);
    if (response.ok()) {
      if (const auto id = request.headers.get("ce-id")) ++delivered_[std::string(*id)];
    }
    co_return response;
  }

  // The machine that serves it; empty: a function of the platform.
  const std::string& host() const noexcept { return host_; }
  std::uint64_t calls() const noexcept { return calls_; }
  // Events by id that were answered 2xx, and how often.
  const std::map<std::string, std::uint64_t>& delivered() const noexcept { return delivered_; }

 private:
  http::Response answer(const http::Request& request, std::uint64_t number) const {
    if (kind_ == "text") return http::text(body_);
    if (kind_ == "sink") return http::Response{.status = 202};
    if (kind_ == "status") return http::text(body_, sequence_[number % sequence_.size()]);
    CloudEvent reply(type_, source_);
    reply.set_id("re-" + std::string(request.headers.get("ce-id").value_or("")));
    return to_http_response(reply);
  }

  Timers& timers_;
  std::string kind_;
  std::string body_;
  Duration takes_{0};
  std::string type_;
  std::string source_;
  std::string host_;
  std::vector<int> sequence_;
  mutable std::uint64_t calls_ = 0;
  mutable std::map<std::string, std::uint64_t> delivered_;
};

inline FaultPlan fault_plan(const Value& spec, std::uint64_t seed) {
  if (spec.is_string() && spec.as_string() == "random") return FaultPlan::random(seed);
  if (spec.is_null() || (spec.is_string() && spec.as_string() == "none")) return {};
  FaultPlan plan;
  const std::map<std::string, double*> rates = {{"connect_refused", &plan.connect_refused},
                                                {"accept_failure", &plan.accept_failure},
                                                {"connection_lost", &plan.connection_lost},
                                                {"connection_cut", &plan.connection_cut},
                                                {"slow_reader", &plan.slow_reader},
                                                {"latency_spike", &plan.latency_spike},
                                                {"no_space", &plan.no_space},
                                                {"sync_failure", &plan.sync_failure},
                                                {"file_failure", &plan.file_failure},
                                                {"bit_rot", &plan.bit_rot},
                                                {"spawn_failure", &plan.spawn_failure},
                                                {"process_hang", &plan.process_hang},
                                                {"process_killed", &plan.process_killed},
                                                {"offload_stall", &plan.offload_stall}};
  for (const auto& [key, value] : spec.as_map()) {
    if (const auto rate = rates.find(key); rate != rates.end()) {
      *rate->second = value.as_double();
    } else if (key == "latency_spike_max") {
      plan.latency_spike_max = duration_of(&value);
    } else if (key == "offload_stall_max") {
      plan.offload_stall_max = duration_of(&value);
    } else {
      refuse("faults: unknown key " + key);
    }
  }
  return plan;
}

// A server at the port that a process was given; null when somebody has it.
inline std::unique_ptr<http::Server> serve_port(SimProcessContext& context,
                                                http::Handler& handler) {
  Env& env = context.env();
  const int port = std::stoi(context.environment().at("PORT"));
  const Endpoint endpoint{
      .host = "127.0.0.1", .port = static_cast<std::uint16_t>(port), .path = {}};
  Result<std::unique_ptr<Listener>> listener = env.network.listen(endpoint);
  if (!listener) return nullptr;
  return std::make_unique<http::Server>(env.executor, env.timers, env.logger, std::move(*listener),
                                        handler);
}

// A program in an image. Every process of it serves PORT and counts for itself; the counts of all
// are here.
struct ScenarioProgram {
  std::string body;
  Duration starts{0};
  Duration takes{0};
  std::uint64_t crashes_after = 0;  // requests; 0: never
  std::uint64_t begun = 0;
  std::uint64_t crashed = 0;
  std::uint64_t answered = 0;

  explicit ScenarioProgram(const Value& spec, const std::string& name) {
    const std::string where = "image " + name;
    check_keys(spec, {"body", "starts", "takes", "crashes_after"}, where);
    body = text_of(spec.find("body"));
    starts = duration_of(spec.find("starts"));
    takes = duration_of(spec.find("takes"));
    if (const Value* after = spec.find("crashes_after")) {
      crashes_after = static_cast<std::uint64_t>(after->as_int());
    }
  }
};

// One process of a program.
class ScenarioProcess final : public http::Handler {
 public:
  ScenarioProcess(ScenarioProgram& program, SimProcessContext& context)
      : program_(program), context_(context) {}

  Task<int> serve() {
    ++program_.begun;
    co_await context_.env().timers.sleep_for(program_.starts);
    const std::unique_ptr<http::Server> server = serve_port(context_, *this);
    if (!server) co_return 1;
    co_await crash_.wait();
    ++program_.crashed;
    co_return 3;
  }

  Task<http::Response> handle(http::Request&) override {
    if (++requests_ == program_.crashes_after) {
      crash_.set();  // in the middle of a request
      Wakeup never;
      co_await never.wait();
    }
    if (program_.takes > Duration(0)) co_await context_.env().timers.sleep_for(program_.takes);
    ++program_.answered;
    co_return http::text(program_.body);
  }

 private:
  ScenarioProgram& program_;
  SimProcessContext& context_;
  std::uint64_t requests_ = 0;
  Wakeup crash_;
};

// Store an image "local/NAME" whose only file is the program.
inline void store_image(oci::ImageStore& images, const std::string& name) {
  std::unique_ptr<oci::BlobWriter> blob = images.new_blob().value();
  oci::LayerWriter writer(*blob);
  writer.add_file(name, "#!" + name + "\n", true).value();
  const oci::LayerInfo layer = writer.finish().value();
  (void)blob->commit().value();
  oci::ImageConfig config;
  config.platform = oci::host_platform();
  config.entrypoint = {"/" + name};
  config.diff_ids = {layer.diff_id};
  oci::Manifest manifest;
  manifest.config = images.put_blob(config.to_json(), oci::media_type::config).value();
  manifest.layers = {layer.blob};
  const oci::Reference reference = oci::Reference::parse("local/" + name).value();
  (void)images.put_manifest(reference, manifest).value();
}

// Another machine that serves functions at http://HOST/NAME.
class ScenarioHost final : public http::Handler {
 public:
  explicit ScenarioHost(SimHost& host) : host_(host) {}

  void add(const std::string& name, std::shared_ptr<const ScenarioFunction> function) {
    functions_["/" + name] = std::move(function);
  }
  void start() {
    Env& env = host_.env();
    const Endpoint endpoint{.host = host_.address(), .port = 80, .path = {}};
    server_ = std::make_unique<http::Server>(env.executor, env.timers, env.logger,
                                             env.network.listen(endpoint).value(), *this);
  }
  Task<http::Response> handle(http::Request& request) override {
    const auto found = functions_.find(std::string(request.path()));
    if (found == functions_.end()) co_return http::error_response(404, "no such function");
    const ContainerIdentity nobody;
    const FunctionContext context{.offload = host_.env().offload, .identity = nobody, .failed = {}};
    co_return co_await found->second->call(request, context);
  }

 private:
  SimHost& host_;
  std::map<std::string, std::shared_ptr<const ScenarioFunction>> functions_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace knative::scenario
