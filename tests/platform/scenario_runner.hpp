// Plays a scenario file (docs/scenarios.md) against a whole platform in virtual time.
#pragma once

#include <fstream>
#include <iterator>

#include "knative/http_client.hpp"
#include "platform/scenario_world.hpp"

namespace knative::scenario {

// One playing of a scenario.
struct Outcome {
  std::uint64_t hash = 0;
  std::uint64_t faults = 0;
  Duration virtual_time{0};
  std::vector<std::string> failures;
  std::vector<std::string> notes;  // what the loads and brokers did, for people
};

// Plays one scenario once, from one seed.
class Player {
 public:
  Player(const Value& scenario, std::uint64_t seed) : scenario_(scenario), simulation_(seed) {}

  Outcome play() {
    check_keys(scenario_,
               {"name", "seeds", "functions", "images", "network", "data", "apply", "faults",
                "steps", "end", "expect"},
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
    make_functions();
    if (const Value* images = scenario_.find("images")) {
      for (const auto& [name, spec] : images->as_map()) {
        auto made = std::make_shared<ScenarioProgram>(spec, name);
        programs_[name] = made;
        simulation_.add_program(name, [made](SimProcessContext& context) -> Task<int> {
          return run_program(made, context);
        });
      }
    }
    boot();
    for (const auto& [name, program] : programs_) store_image(platform_->images(), name);
    const std::string manifests = text_of(scenario_.find("apply"));
    applied_ = platform_->apply_text(manifests, "apply").value();
    for (const ObjectRef& ref : applied_) {
      simulation_.run(platform_->ready(ref)).value();
    }
    simulation_.run(platform_->store().durable()).value();
    if (flag("network")) {
      remote_ = std::make_unique<Remote>(simulation_.host("client").env(), platform_->endpoint());
    }
  }

  static Task<int> run_program(std::shared_ptr<ScenarioProgram> program,
                               SimProcessContext& context) {
    ScenarioProcess process(*program, context);
    co_return co_await process.serve();
  }

  void make_functions() {
    const Value* functions = scenario_.find("functions");
    if (!functions) return;
    for (const auto& [name, spec] : functions->as_map()) {
      auto made = std::make_shared<ScenarioFunction>(spec, name, simulation_.env().timers);
      functions_[name] = made;
      if (made->host().empty()) {
        table_.add(name, made);
        continue;
      }
      auto host = hosts_.find(made->host());
      if (host == hosts_.end()) {
        SimHost& machine = simulation_.host(made->host());
        host = hosts_.emplace(made->host(), std::make_unique<ScenarioHost>(machine)).first;
        host->second->start();
      }
      host->second->add(name, made);
    }
  }

  // Make the platform, as an operator's service manager would: again and again while the disk
  // refuses.
  void boot() {
    constexpr int tries_max = 30;
    for (int attempt = 1;; ++attempt) {
      platform_ = std::make_unique<Platform>(simulation_.env(), table_, platform_options());
      const Result<void> started = platform_->start();
      if (started) return;
      if (attempt == tries_max) started.value();
      platform_.reset();
      simulation_.run_for(std::chrono::seconds(1));
    }
  }

  PlatformOptions platform_options() {
    PlatformOptions options;
    options.listen.reset();
    if (flag("network")) {
      options.listen = Endpoint{simulation_.host("local").address(), 80, {}};
      options.listen_beyond_loopback = true;
    }
    if (flag("data")) {
      options.data_directory = "/data";
    }
    return options;
  }

  // The machine of the platform loses its power and comes back after a while.
  void power_failure(const Value& spec) {
    check_keys(spec, {"down", "crash"}, "power_failure");
    if (!flag("network") || !flag("data")) {
      refuse("power_failure needs network and data: what is in the process dies with it");
    }
    static const std::map<std::string, CrashMode> modes = {{"seeded", CrashMode::seeded},
                                                           {"lose_all", CrashMode::lose_all},
                                                           {"torn", CrashMode::torn},
                                                           {"reordered", CrashMode::reordered},
                                                           {"keep_all", CrashMode::keep_all}};
    const auto mode = modes.find(text_of(spec.find("crash"), "seeded"));
    if (mode == modes.end()) refuse("unknown crash " + text_of(spec.find("crash")));
    std::map<std::string, std::string> uids;
    for (const ObjectRef& ref : applied_) {
      uids[ref.to_string()] = platform_->get(ref).value().metadata().uid;
    }
    simulation_.power_off();
    platform_.reset();
    const Duration down = duration_of(spec.find("down"), std::chrono::seconds(1));
    simulation_.run_for(down);
    simulation_.crash(mode->second);
    boot();
    for (const ObjectRef& ref : applied_) {
      const Result<AnyObject> found = platform_->get(ref);
      if (!found || found->metadata().uid != uids[ref.to_string()]) {
        failed(ref.to_string() + " did not survive the power failure");
      }
    }
    outcome_.notes.push_back("power failed with " + std::to_string(acknowledged_.size()) +
                             " events acknowledged");
  }

  std::pair<std::string, std::string> two_hosts(const Value& names) const {
    if (names.as_list().size() != 2) refuse("partition and heal name two hosts");
    const std::string first = text_of(&names.as_list()[0]);
    const std::string second = text_of(&names.as_list()[1]);
    for (const std::string& name : {first, second}) {
      if (name != "local" && name != "client" && !hosts_.contains(name)) {
        refuse("unknown host " + name);
      }
    }
    return {first, second};
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
               {"at", "load", "request", "publish", "faults", "apply", "remove", "scale", "expect",
                "power_failure", "partition", "heal", "seen"},
               "step");
    if (const Value* failure = item.find("power_failure")) return power_failure(*failure);
    if (const Value* names = item.find("partition")) {
      const auto [first, second] = two_hosts(*names);
      return simulation_.faults().partition(first, second);
    }
    if (const Value* names = item.find("heal")) {
      const auto [first, second] = two_hosts(*names);
      return simulation_.faults().heal(first, second);
    }
    if (const Value* load = item.find("load")) return begin_load(*load);
    if (const Value* spec = item.find("request")) return request(*spec, item.find("expect"));
    if (const Value* event = item.find("publish")) return publish(*event);
    if (const Value* scale = item.find("scale")) return check_scale(*scale, item);
    if (const Value* seen = item.find("seen")) return check_seen(*seen);
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
    const bool channel = broker.starts_with("channel/");
    const std::string name = channel ? broker.substr(broker.find('/') + 1) : broker;
    CloudEvent event(type, "/scenario");
    event.set_id(id);
    int status = 202;
    if (remote_) {
      http::Request request = to_http(event);
      request.target = channel ? "/" : "/default/" + name;
      request.headers.set("host", channel ? name + "-kn-channel.default.svc.cluster.local"
                                          : "broker-ingress.knative-eventing.svc.cluster.local");
      const http::Response response = co_await remote_->client.handle(request);
      status = response.status;
    } else {
      const Result<Offset> sent = co_await platform_->publish(name, event);
      if (!sent) status = http::status_of(sent.error().code);
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
    if (const Value* crashes = item.find("crashes")) return check_crashes(*crashes);
    if (const Value* invariant = item.find("invariants")) {
      check_keys(item, {"invariants", "function", "or"}, "expect");
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

  // That a function has by now seen fewer events than another: what held it up was felt.
  void check_seen(const Value& spec) {
    check_keys(spec, {"function", "beside", "share_max"}, "seen");
    const std::size_t mine = function(need(spec, "function", "seen")).delivered().size();
    const std::size_t other = function(need(spec, "beside", "seen")).delivered().size();
    const double most = need(spec, "share_max", "seen").as_double();
    const std::string what = text_of(spec.find("function")) + " has seen " + std::to_string(mine) +
                             " events, " + text_of(spec.find("beside")) + " " +
                             std::to_string(other);
    if (static_cast<double>(mine) > most * static_cast<double>(other)) failed(what);
    outcome_.notes.push_back(what);
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

  // That processes of an image did end, and how often.
  void check_crashes(const Value& spec) {
    check_keys(spec, {"image", "min"}, "crashes");
    const auto found = programs_.find(text_of(&need(spec, "image", "crashes")));
    if (found == programs_.end()) refuse("unknown image " + text_of(spec.find("image")));
    const ScenarioProgram& program = *found->second;
    const std::string what = found->first + " began " + std::to_string(program.begun) +
                             " times, crashed " + std::to_string(program.crashed) +
                             " times, answered " + std::to_string(program.answered);
    const auto least = static_cast<std::uint64_t>(need(spec, "min", "crashes").as_int());
    if (program.crashed < least) failed(what + ": too few crashes");
    outcome_.notes.push_back(what);
  }

  void check_acknowledged(const Value& item) {
    const ScenarioFunction& sink = function(need(item, "function", "invariants"));
    const Value* other = item.find("or");
    const ScenarioFunction& second = other ? function(*other) : sink;
    std::size_t missing = 0;
    std::string first;
    for (const std::string& id : acknowledged_) {
      if (sink.delivered().contains(id) || second.delivered().contains(id)) continue;
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
  std::map<std::string, std::shared_ptr<ScenarioProgram>> programs_;
  std::map<std::string, std::unique_ptr<ScenarioHost>> hosts_;
  FunctionTable table_;
  std::vector<ObjectRef> applied_;
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
