// The world itself: machines, functions, programs, the platform's beginnings and ends.
#include "churn/world.hpp"

#include <cstdio>
#include <utility>

namespace knative::churn {

namespace {

constexpr int marks_max = 400;
constexpr int contents_max = 100;
constexpr Duration settle_time = 20min;

SimulationOptions options_of(const Plan& plan) {
  SimulationOptions options;
  options.ready_order = ReadyOrder::seeded;
  options.log_level = plan.verbose ? LogLevel::debug : LogLevel::warning;
  if (plan.verbose) {
    options.log_sink = [](const LogRecord& record) {
      std::fprintf(stderr, "    %s\n", format_log_text(record).c_str());
    };
  }
  return options;
}

// "/t12" and "/dls/12" hold a mark.
int number_after(std::string_view text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return -1;
  int number = 0;
  for (const char digit : text.substr(prefix.size())) {
    if (digit < '0' || digit > '9') return -1;
    number = number * 10 + (digit - '0');
  }
  return number;
}

std::string field_of(const http::Request& request, std::string_view name) {
  return std::string(request.headers.get(name).value_or(""));
}

// An image whose only content is its entrypoint: the name of a program of the simulation.
void store_image(oci::ImageStore& images, const std::string& name, const std::string& program) {
  std::unique_ptr<oci::BlobWriter> blob = images.new_blob().value();
  oci::LayerWriter writer(*blob);
  writer.add_file(program, "#!" + program + "\n", true).value();
  const oci::LayerInfo layer = writer.finish().value();
  (void)blob->commit().value();
  oci::ImageConfig config;
  config.platform = oci::host_platform();
  config.entrypoint = {"/" + program};
  config.diff_ids = {layer.diff_id};
  oci::Manifest manifest;
  manifest.config = images.put_blob(config.to_json(), oci::media_type::config).value();
  manifest.layers = {layer.blob};
  const oci::Reference reference = oci::Reference::parse(name).value();
  (void)images.put_manifest(reference, manifest).value();
}

}  // namespace

/// The machine outside: subscribers at /t<MARK>, dead letters at /dls/<MARK>, on several ports.
class Outside final : public http::Handler {
 public:
  explicit Outside(World& world) : world_(world), host_(world.sim_.host("outside")) {
    Env& env = host_.env();
    for (const std::uint16_t port : outside_ports) {
      const Endpoint endpoint{.host = host_.address(), .port = port, .path = {}};
      servers_.push_back(std::make_unique<http::Server>(
          env.executor, env.timers, env.logger, env.network.listen(endpoint).value(), *this));
    }
  }
  Task<http::Response> handle(http::Request& request) override {
    const Result<void> read = co_await request.body.read_all();
    if (!read) co_return http::error_response(400, "cut");
    const std::string path(request.path());
    const bool dead = path.starts_with("/dls/");
    const int mark = number_after(path, dead ? "/dls/" : "/t");
    std::string subject = field_of(request, "ce-subject");
    std::string id = field_of(request, "ce-id");
    const int status = co_await world_.receive(std::move(subject), std::move(id), mark, -1, dead);
    co_return http::text("", status);
  }

 private:
  World& world_;
  SimHost& host_;
  std::vector<std::unique_ptr<http::Server>> servers_;
};

World::World(const Plan& plan, History& history)
    : plan_(plan),
      history_(history),
      sim_(plan.seed, options_of(plan)),
      random_(Random(plan.seed).split("churn")),
      clients_(std::make_unique<TaskSet>(sim_.env().executor)) {
  durable_ = chance(0.6);
  if (chance(0.4)) history_max_ = 8 + pick(40);
  if (chance(0.5)) origins_max_ = 1 + pick(3);
  outside_ = std::make_unique<Outside>(*this);
  add_functions();
  add_programs();
}

World::~World() {
  clients_.reset();
  end_platform();
}

std::string World::seconds() const {
  char text[32];
  std::snprintf(text, sizeof text, "%.6f",
                std::chrono::duration<double>(sim_.now().time_since_epoch()).count());
  return text;
}

void World::say(const std::string& what) {
  history_.add(seconds() + " " + what);
  if (plan_.verbose) std::fprintf(stderr, "%s %s\n", seconds().c_str(), what.c_str());
}

// Noted here, thrown between two turns: who asks may be a function of the platform, which catches
// what functions throw.
void World::violate(const std::string& code, const std::string& reason) {
  if (plan_.excluded.contains(code) || !violation_.empty()) return;
  violation_ = code + ": " + reason;
  say("VIOLATION " + violation_);
}

void World::judge() const {
  if (!violation_.empty()) throw Violation{violation_};
}

// ---------------------------------------------------------------------------- who answers

Task<http::Response> World::serve(int mark, std::string content, std::string revision,
                                  http::Request& request) {
  const Result<void> read = co_await request.body.read_all();
  if (!read) co_return http::error_response(400, "cut");
  const int binding = number_after(request.path(), "/t");
  if (binding >= 0 && request.headers.has("ce-id")) {
    std::string subject = field_of(request, "ce-subject");
    std::string id = field_of(request, "ce-id");
    const int status = co_await receive(std::move(subject), std::move(id), binding, mark, false);
    co_return http::text("", status);
  }
  const std::string takes = request.query("takes");
  if (!takes.empty()) {
    const Duration wait = std::chrono::milliseconds(std::stoi(takes));
    co_await env().timers.sleep_for(wait);
  }
  co_return http::text("m" + std::to_string(mark) + " " + content + " " + revision);
}

void World::add_functions() {
  for (int mark = 0; mark < marks_max; ++mark) {
    functions_.http("f" + std::to_string(mark),
                    [this, mark](http::Request& request, const FunctionContext& context) {
                      const ContainerIdentity& identity = context.identity;
                      return serve(mark, "-", identity.revision + "/" + identity.uid, request);
                    });
  }
}

Task<int> World::run_program(SimProcessContext& context, std::string content) {
  class Door final : public http::Handler {
   public:
    Door(World& world, int mark, std::string content, std::string revision)
        : world_(world),
          mark_(mark),
          content_(std::move(content)),
          revision_(std::move(revision)) {}
    Task<http::Response> handle(http::Request& request) override {
      return world_.serve(mark_, content_, revision_, request);
    }

   private:
    World& world_;
    int mark_;
    std::string content_;
    std::string revision_;
  };
  const std::map<std::string, std::string>& variables = context.environment();
  Door door(*this, std::stoi(variables.at("MARK")), std::move(content),
            variables.at("K_REVISION") + "/");
  Endpoint endpoint;
  endpoint.port = static_cast<std::uint16_t>(std::stoi(variables.at("PORT")));
  Env& world = context.env();
  co_await world.timers.sleep_for(300ms);
  Result<std::unique_ptr<Listener>> listener = world.network.listen(endpoint);
  if (!listener) co_return 1;
  context.handle_signal(15);
  http::Server server(world.executor, world.timers, world.logger, std::move(*listener), door);
  co_await context.next_signal();
  co_return 0;
}

void World::add_programs() {
  for (int number = 0; number < contents_max; ++number) {
    const std::string name = "content-" + std::to_string(number);
    sim_.add_program(
        name, [this, name](SimProcessContext& context) { return run_program(context, name); });
  }
}

Task<int> World::receive(std::string subject, std::string id, int mark, int via, bool dead) {
  if (!subject.starts_with("n")) violate("stranger", "an event with subject " + subject);
  Delivery delivery;
  delivery.number = static_cast<std::size_t>(std::stoul(subject.substr(1)));
  delivery.mark = mark;
  delivery.via = via;
  delivery.dead = dead;
  delivery.at = sim_.now();
  const auto known = ledger_.number_of_id.emplace(id, delivery.number);
  if (known.first->second != delivery.number) {
    violate("id-repeats", "events n" + std::to_string(known.first->second) + " and " + subject +
                              " both have the id " + id);
  }
  const std::size_t index = ledger_.deliveries.size();
  ledger_.deliveries.push_back(delivery);
  check_delivery(delivery);
  const BindingVersion& version = ledger_.bindings[ledger_.binding_of_mark.at(mark)];
  const Manner manner = dead ? Manner::accepts : version.manner;
  const int attempt = ++attempts_[{mark, delivery.number}];
  if (manner == Manner::slow) co_await env().timers.sleep_for(400ms);
  if (manner == Manner::fails || (manner == Manner::fails_first && attempt <= 1)) co_return 503;
  if (manner == Manner::refuses) co_return 400;
  ledger_.deliveries[index].taken = true;
  co_return 202;
}

// ---------------------------------------------------------------------------- the platform

PlatformOptions World::platform_options() {
  PlatformOptions options;
  options.listen = Endpoint{.host = "127.0.0.1", .port = 8080, .path = {}};
  options.outbound.origins_max = origins_max_;
  if (durable_) options.data_directory = "/data";
  options.open_store = [this](Env& world, StoreOptions store) -> Result<std::unique_ptr<Store>> {
    store.history_max = history_max_;
    SqliteStoreOptions sqlite;
    sqlite.files = &world.files;
    if (durable_) sqlite.store = std::move(store);
    Result<std::unique_ptr<Store>> made =
        durable_ ? sqlite_store("/data/objects.sqlite", world.executor, world.timers, world.ids,
                                world.disk, std::move(sqlite))
                 : memory_store(world.timers, world.ids, std::move(store));
    if (made) store_ = made->get();
    return made;
  };
  return options;
}

void World::put_image() {
  if (contents_ + 1 >= contents_max) return;
  ++contents_;
  store_image(platform_->images(), "local/app:1", "content-" + std::to_string(contents_));
}

void World::begin() {
  inside_ = std::make_unique<TaskSet>(env().executor);
  platform_ = std::make_unique<Platform>(env(), functions_, platform_options());
  const Result<void> started = platform_->start();
  if (!started) violate("start", started.error().to_string());
  judge();
  door_ = platform_->endpoint();
  const oci::Reference app = oci::Reference::parse("local/app:1").value();
  if (!platform_->images().resolve(app)) {
    store_image(platform_->images(), "local/app:1", "content-" + std::to_string(contents_));
  }
  observe();
}

void World::end_platform() {
  inside_.reset();
  store_ = nullptr;
  platform_.reset();
}

// ---------------------------------------------------------------------------- time

void World::turn() {
  sim_.step();
  observe();
  judge();
}

void World::turns(std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) turn();
}

void World::pass(Duration duration) {
  auto alarm = [](Timers& timers, Duration wait, bool& rang) -> Task<void> {
    co_await timers.sleep_for(wait);
    rang = true;
  };
  bool rang = false;
  TaskSet clock(env().executor);
  clock.add(alarm(env().timers, duration, rang));
  while (!rang) turn();
}

namespace {

int mark_of(const serving::Revision& revision) {
  const core::Container* container = revision.spec.serving_container();
  if (container == nullptr) return -1;
  const int function = number_after(container->image, "fn:f");
  if (function >= 0) return function;
  for (const core::EnvVar& variable : container->env) {
    if (variable.name == "MARK") return std::stoi(variable.value);
  }
  return -1;
}

}  // namespace

// Which versions the Routes name now. Looked at after each turn that changed an object.
void World::observe() {
  if (store_ == nullptr) return;
  std::string version = store_->resource_version();
  if (version == seen_version_) return;
  seen_version_ = std::move(version);
  std::map<std::string, int> marks;
  std::map<std::string, std::string> uids;
  const ObjectList revisions =
      store_->list(serving::Revision::api_version, serving::Revision::kind, ListOptions{}).value();
  for (const AnyObject& object : revisions.items) {
    const serving::Revision& revision = *object.get_if<serving::Revision>();
    uids[revision.metadata.name] = revision.metadata.uid;
    const int mark = mark_of(revision);
    marks[revision.metadata.name] = mark;
    ledger_.mark_of_revision[revision.metadata.name + "/"].insert(mark);
    ledger_.mark_of_revision[revision.metadata.name + "/" + revision.metadata.uid].insert(mark);
  }
  observe_revisions(uids);
  std::map<std::string, std::set<int>> named;
  const ObjectList routes =
      store_->list(serving::Route::api_version, serving::Route::kind, ListOptions{}).value();
  for (const AnyObject& object : routes.items) {
    const serving::Route& route = *object.get_if<serving::Route>();
    std::set<int>& of_route = named[route.metadata.name];
    for (const serving::TrafficTarget& target : route.status.traffic) {
      const auto found = marks.find(target.revision_name);
      if (found != marks.end()) of_route.insert(found->second);
    }
  }
  for (const auto& [route, states] : ledger_.namings) named.try_emplace(route);
  for (auto& [route, of_route] : named) {
    std::vector<Naming>& states = ledger_.namings[route];
    if (!states.empty() && states.back().marks == of_route) continue;
    states.push_back(Naming{sim_.now(), std::move(of_route)});
  }
}

// Who has which name now.
void World::observe_revisions(const std::map<std::string, std::string>& uids) {
  for (auto& [name, lives] : ledger_.revisions) {
    const auto found = uids.find(name);
    Life& last = lives.back();
    if (last.alive() && (found == uids.end() || found->second != last.uid)) last.died = sim_.now();
  }
  for (const auto& [name, uid] : uids) {
    std::vector<Life>& lives = ledger_.revisions[name];
    if (lives.empty() || !lives.back().alive()) lives.push_back(Life{uid, sim_.now()});
  }
}

// ---------------------------------------------------------------------------- from end to end

void World::play() {
  say("seed " + std::to_string(plan_.seed) + (durable_ ? ", data directory" : ", in memory") +
      ", history " + std::to_string(history_max_));
  sim_.run_for(1s);
  before_ = sim_.census();
  begin();
  pass(settle_time);
  at_rest_ = sim_.census();
  series_at_rest_ = series();
  const int steps = 10 + static_cast<int>(pick(static_cast<std::size_t>(plan_.steps_max)));
  for (int i = 0; i < steps && marks_ + 20 < marks_max; ++i) step();
  check_rest();
  remove_everything();
  pass(settle_time);
  check_nothing_left();
  judge();
}

Outcome World::outcome() {
  Outcome outcome;
  outcome.hash = sim_.trace().hash();
  outcome.history = history_.text();
  outcome.requests = requests_;
  outcome.events = ledger_.sent.size();
  outcome.deliveries = ledger_.deliveries.size();
  return outcome;
}

}  // namespace knative::churn
