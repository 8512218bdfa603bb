// Plays a scenario file (docs/scenarios.md) against a whole platform in virtual time.
#pragma once

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

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
    check_keys(spec, {"kind", "body", "takes", "sequence", "type", "source"}, "function " + name);
    kind_ = text_of(&need(spec, "kind", "function " + name));
    if (kind_ != "text" && kind_ != "status" && kind_ != "reply" && kind_ != "sink") {
      refuse("function " + name + ": unknown kind " + kind_);
    }
    body_ = text_of(spec.find("body"));
    takes_ = duration_of(spec.find("takes"));
    type_ = text_of(spec.find("type"));
    source_ = text_of(spec.find("source"), "/" + name);
    if (kind_ != "status") return;
    for (const Value& status : need(spec, "sequence", "function " + name).as_list()) {
      sequence_.push_back(static_cast<int>(status.as_int()));
    }
    if (sequence_.empty()) refuse("function " + name + ": empty sequence");
  }

  Task<http::Response> call(http::Request& request, Offload&) const override {
    const std::uint64_t number = calls_++;
    if (takes_ > Duration(0)) co_await timers_.sleep_for(takes_);
    http::Response response = answer(request, number);
    if (response.ok()) {
      if (const auto id = request.headers.get("ce-id")) ++delivered_[std::string(*id)];
    }
    co_return response;
  }

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
  std::vector<int> sequence_;
  mutable std::uint64_t calls_ = 0;
  mutable std::map<std::string, std::uint64_t> delivered_;
};

// One playing of a scenario.
struct Outcome {
  std::uint64_t hash = 0;
  std::uint64_t faults = 0;
  Duration virtual_time{0};
  std::vector<std::string> failures;
  std::vector<std::string> notes;  // what the loads and brokers did, for people
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

// Plays one scenario once, from one seed.
class Player {
 public:
  Player(const Value& scenario, std::uint64_t seed) : scenario_(scenario), simulation_(seed) {}

  Outcome play() {
    check_keys(scenario_,
               {"name", "seeds", "functions", "network", "data", "apply", "faults", "steps", "end",
                "expect"},
               "scenario");
    begin();
    const Instant start = simulation_.now();
    if (const Value* faults = scenario_.find("faults")) {
      simulation_.faults().set_plan(fault_plan(*faults, simulation_.seed()));
    }
    for (const auto& [at, item] : timeline()) {
      const Duration wait = start + at - simulation_.now();
      if (wait > Duration(0)) simulation_.run_for(wait);
      step(*item);
    }
    const Duration rest =
        start + duration_of(&need(scenario_, "end", "scenario")) - simulation_.now();
    if (rest > Duration(0)) simulation_.run_for(rest);
    finish();
    return std::move(outcome_);
  }

 private:
  // A host that goes to the platform over the (faulty) network.
  struct Remote {
    Remote(Env& env, const Endpoint& endpoint)
        : client(env.executor, env.timers, env.network, endpoint) {}
    http::Client client;
  };

  void begin() {
    PlatformOptions options;
    options.listen.reset();
    if (flag("network")) {
      options.listen = Endpoint{simulation_.host("local").address(), 80, {}};
      options.listen_beyond_loopback = true;
    }
    if (flag("data")) {
      // Logs and images on the simulated disk; SQLite would write to the real one.
      options.data_directory = "/data";
      options.open_store = [](Env& env) -> Result<std::unique_ptr<Store>> {
        return memory_store(env.timers, env.random);
      };
    }
    if (const Value* functions = scenario_.find("functions")) {
      for (const auto& [name, spec] : functions->as_map()) {
        auto made = std::make_shared<ScenarioFunction>(spec, name, simulation_.env().timers);
        functions_[name] = made;
        table_.add(name, made);
      }
    }
    platform_ = std::make_unique<Platform>(simulation_.env(), table_, std::move(options));
    platform_->start().value();
    const std::string manifests = text_of(scenario_.find("apply"));
    const std::vector<ObjectRef> refs = platform_->apply_text(manifests, "apply").value();
    for (const ObjectRef& ref : refs) {
      simulation_.run(platform_->ready(ref)).value();
    }
    if (flag("network")) {
      remote_ = std::make_unique<Remote>(simulation_.host("client").env(), platform_->endpoint());
    }
  }

  bool flag(std::string_view key) const {
    const Value* value = scenario_.find(key);
    return value && value->as_bool();
  }

  http::Handler& front() { return remote_ ? remote_->client : platform_->ingress(); }

  // Steps and timed expectations, in order of time; at one time steps come first.
  std::vector<std::pair<Duration, const Value*>> timeline() const {
    std::vector<std::pair<Duration, const Value*>> items;
    for (const char* part : {"steps", "expect"}) {
      const Value* list = scenario_.find(part);
      if (!list) continue;
      for (const Value& item : list->as_list()) {
        if (part == std::string_view("expect") && !item.find("at")) continue;
        items.emplace_back(duration_of(&need(item, "at", part)), &item);
      }
    }
    std::stable_sort(items.begin(), items.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    return items;
  }

  void step(const Value& item) {
    check_keys(item,
               {"at", "load", "request", "publish", "faults", "apply", "remove", "scale", "expect"},
               "step");
    if (const Value* load = item.find("load")) return begin_load(*load);
    if (const Value* spec = item.find("request")) return request(*spec, item.find("expect"));
    if (const Value* event = item.find("publish")) return publish(*event);
    if (const Value* scale = item.find("scale")) return check_scale(*scale, item);
    if (const Value* faults = item.find("faults")) {
      return simulation_.faults().set_plan(fault_plan(*faults, simulation_.seed()));
    }
    if (const Value* text = item.find("apply")) {
      platform_->apply_text(text->as_string(), "apply").value();
      return;
    }
    if (const Value* service = item.find("remove")) {
      platform_->remove(platform_->ref<serving::Service>(service->as_string())).value();
      return;
    }
    refuse("step does nothing: " + item.to_json());
  }

  static Load shape(const Value& spec) {
    const Duration length = duration_of(&need(spec, "for", "load"));
    if (const Value* rate = spec.find("poisson")) return Load::poisson(rate->as_double(), length);
    if (const Value* rate = spec.find("constant")) {
      return Load::constant(rate->as_double(), length);
    }
    if (const Value* ramp = spec.find("ramp")) {
      const Value::List& ends = ramp->as_list();
      return Load::ramp(ends.at(0).as_double(), ends.at(1).as_double(), length);
    }
    const std::int64_t count = need(spec, "burst", "load").as_int();
    return Load::burst(static_cast<std::size_t>(count), duration_of(spec.find("every"), length),
                       length);
  }

  std::string host_of(const Value& name) const {
    const std::string& text = name.as_string();
    return text.find('.') == std::string::npos ? text + ".default.localhost" : text;
  }

  void begin_load(const Value& spec) {
    check_keys(
        spec,
        {"to", "publish", "type", "name", "for", "poisson", "constant", "ramp", "burst", "every"},
        "load");
    LoadOptions options;
    options.name = text_of(spec.find("name"), "load");
    if (loads_.contains(options.name)) refuse("two loads of the name " + options.name);
    if (const Value* broker = spec.find("publish")) {
      auto call = [this, broker = broker->as_string(), name = options.name,
                   type = text_of(spec.find("type"), "event")](std::uint64_t n) {
        return publish_numbered(broker, type, name + "-" + std::to_string(n));
      };
      LoadRun run = simulation_.load(std::move(call), shape(spec), options);
      loads_.emplace(options.name, std::move(run));
      return;
    }
    options.request = [host = host_of(need(spec, "to", "load"))](std::uint64_t) {
      http::Request request = http::get("/");
      request.headers.set("host", host);
      return request;
    };
    LoadRun run = simulation_.load(front(), shape(spec), options);
    loads_.emplace(options.name, std::move(run));
  }

  // Over the network through the ingress when there is one, else by a call.
  Task<int> publish_numbered(std::string broker, std::string type, std::string id) {
    CloudEvent event(type, "/scenario");
    event.set_id(id);
    int status = 202;
    if (remote_) {
      http::Request request = to_http(event);
      request.target = "/default/" + broker;
      request.headers.set("host", "broker-ingress.knative-eventing.svc.cluster.local");
      const http::Response response = co_await remote_->client.handle(request);
      status = response.status;
    } else {
      const Result<Offset> sent = co_await platform_->publish(broker, event);
      if (!sent) status = http_status(sent.error().code);
    }
    if (status >= 200 && status < 300) acknowledged_.insert(id);
    co_return status;
  }

  void publish(const Value& spec) {
    check_keys(spec, {"broker", "type", "id"}, "publish");
    const int status = simulation_.run(publish_numbered(text_of(spec.find("broker"), "default"),
                                                        text_of(&need(spec, "type", "publish")),
                                                        text_of(&need(spec, "id", "publish"))));
    outcome_.notes.push_back("publish " + text_of(spec.find("id")) + ": " + std::to_string(status));
  }

  void request(const Value& spec, const Value* expect) {
    check_keys(spec, {"host", "method", "target"}, "request");
    http::Request request = http::get(text_of(spec.find("target"), "/"));
    request.method = text_of(spec.find("method"), "GET");
    request.headers.set("host", host_of(need(spec, "host", "request")));
    std::string body;
    const int status = simulation_.run(exchange(front(), request, body));
    if (!expect) return;
    check_keys(*expect, {"status", "body"}, "expect");
    const std::string where = spec.to_json() + " answered " + std::to_string(status) + " " + body;
    if (const Value* wanted = expect->find("status"); wanted && wanted->as_int() != status) {
      failed(where);
    }
    if (const Value* wanted = expect->find("body"); wanted && text_of(wanted) != body) {
      failed(where);
    }
  }

  static Task<int> exchange(http::Handler& handler, http::Request& request, std::string& body) {
    http::Response response = co_await handler.handle(request);
    const Result<void> read = co_await response.body.read_all();
    body = read ? response.body.bytes() : read.error().to_string();
    co_return response.status;
  }

  void check_scale(const Value& scale, const Value& item) {
    for (const auto& [service, wanted] : scale.as_map()) {
      const int instances = platform_->scale(service);
      const std::string where = "at " + text_of(item.find("at")) + " " + service + " has " +
                                std::to_string(instances) + " instances";
      if (const std::int64_t* exact = wanted.if_int()) {
        if (*exact != instances) failed(where + ", not " + std::to_string(*exact));
        continue;
      }
      check_keys(wanted, {"min", "max"}, "scale");
      const Value* low = wanted.find("min");
      const Value* high = wanted.find("max");
      if (low && instances < low->as_int()) failed(where + ", too few");
      if (high && instances > high->as_int()) failed(where + ", too many");
      outcome_.notes.push_back(where);
    }
  }

  void finish() {
    if (const Value* list = scenario_.find("expect")) {
      for (const Value& item : list->as_list()) {
        if (!item.find("at")) expectation(item);
      }
    }
    for (const auto& [name, run] : loads_) {
      outcome_.notes.push_back(name + ": " + run.report().to_string());
    }
    outcome_.faults = simulation_.faults().injected();
    outcome_.hash = simulation_.trace().hash();
    outcome_.virtual_time = simulation_.now() - Instant{};
  }

  void expectation(const Value& item) {
    if (item.find("load")) return check_load(item);
    if (const Value* delivered = item.find("delivered")) return check_delivered(*delivered);
    if (const Value* share = item.find("share")) return check_share(*share);
    if (const Value* invariant = item.find("invariants")) {
      check_keys(item, {"invariants", "function"}, "expect");
      if (text_of(invariant) != "acknowledged_events_delivered") {
        refuse("unknown invariant " + text_of(invariant));
      }
      return check_acknowledged(item);
    }
    refuse("unknown expectation " + item.to_json());
  }

  void check_load(const Value& item) {
    check_keys(item, {"load", "ok_share_min", "ok_share_max", "p99_max", "max", "count_min"},
               "expect");
    const auto found = loads_.find(item.find("load")->as_string());
    if (found == loads_.end()) refuse("unknown load " + text_of(item.find("load")));
    const LoadReport& report = found->second.report();
    const std::string what = found->first + ": " + report.to_string();
    if (report.started == 0 || !found->second.done()) failed(what + ": not every one answered");
    std::uint64_t ok = 0;
    for (const auto& [status, count] : report.by_status) ok += status / 100 == 2 ? count : 0;
    const double share =
        static_cast<double>(ok) / static_cast<double>(std::max<std::uint64_t>(1, report.started));
    const Value* low = item.find("ok_share_min");
    const Value* high = item.find("ok_share_max");
    const Value* count = item.find("count_min");
    if (low && share < low->as_double()) failed(what + ": too few succeed");
    if (high && share > high->as_double()) failed(what + ": more succeed than the faults allow");
    if (count && report.started < static_cast<std::uint64_t>(count->as_int())) {
      failed(what + ": too few came");
    }
    const Value* p99 = item.find("p99_max");
    if (p99 && report.latency(0.99) > duration_of(p99)) failed(what + ": p99 too high");
    const Value* most = item.find("max");
    if (most && report.latency_max > duration_of(most)) failed(what + ": too slow");
  }

  const ScenarioFunction& function(const Value& name) const {
    const auto found = functions_.find(name.as_string());
    if (found == functions_.end()) refuse("unknown function " + name.as_string());
    return *found->second;
  }

  void check_delivered(const Value& spec) {
    check_keys(spec, {"function", "count_min", "count_max"}, "delivered");
    const Value& name = need(spec, "function", "delivered");
    const auto count = static_cast<std::int64_t>(function(name).delivered().size());
    const std::string what = name.as_string() + " took " + std::to_string(count) + " events";
    const Value* low = spec.find("count_min");
    const Value* high = spec.find("count_max");
    if (low && count < low->as_int()) failed(what + ", too few");
    if (high && count > high->as_int()) failed(what + ", too many");
    outcome_.notes.push_back(what + " in " + std::to_string(function(name).calls()) + " calls");
  }

  // How many of the calls to two functions went to the first, e.g. of a canary.
  void check_share(const Value& spec) {
    check_keys(spec, {"function", "beside", "min", "max"}, "share");
    const auto mine = static_cast<double>(function(need(spec, "function", "share")).calls());
    const auto other = static_cast<double>(function(need(spec, "beside", "share")).calls());
    const double share = mine / std::max(1.0, mine + other);
    const std::string what =
        text_of(spec.find("function")) + " has a share of " + std::to_string(share);
    if (share < need(spec, "min", "share").as_double()) failed(what);
    if (share > need(spec, "max", "share").as_double()) failed(what);
    outcome_.notes.push_back(what);
  }

  void check_acknowledged(const Value& item) {
    const ScenarioFunction& sink = function(need(item, "function", "invariants"));
    std::size_t missing = 0;
    std::string first;
    for (const std::string& id : acknowledged_) {
      if (sink.delivered().contains(id)) continue;
      if (missing++ == 0) first = id;
    }
    const std::string what = std::to_string(acknowledged_.size()) + " events acknowledged, " +
                             std::to_string(missing) + " of them not delivered";
    outcome_.notes.push_back(what);
    if (acknowledged_.empty()) failed("no event was acknowledged");
    if (missing != 0) failed(what + ", e.g. " + first);
  }

  void failed(std::string what) { outcome_.failures.push_back(std::move(what)); }

  const Value& scenario_;
  Simulation simulation_;
  std::map<std::string, std::shared_ptr<const ScenarioFunction>> functions_;
  FunctionTable table_;
  std::unique_ptr<Platform> platform_;
  std::unique_ptr<Remote> remote_;
  std::set<std::string> acknowledged_;
  std::map<std::string, LoadRun> loads_;
  Outcome outcome_;
};

inline Value read_scenario(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse("cannot read " + path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  manifest::ParseOptions options;
  options.file_name = path;
  std::vector<Value> documents = manifest::parse_values(text, options).value();
  if (documents.size() != 1) refuse(path + " must hold one document");
  return std::move(documents.front());
}

}  // namespace knative::scenario
