// A random world for the churn test: a platform in virtual time, objects that come and go under
// traffic, machines outside, and the checks of what must hold whatever happens.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "churn/ledger.hpp"
#include "knative/build.hpp"
#include "knative/core.hpp"
#include "knative/platform.hpp"
#include "knative/simulation.hpp"

namespace knative::churn {

using namespace std::chrono_literals;

/// What to play.
struct Plan {
  std::uint64_t seed = 0;
  int steps_max = 60;
  bool verbose = false;
  bool once = false;               ///< Not a second time to compare the histories.
  std::set<std::string> excluded;  ///< Invariants that are known to be broken.
};

/// How it went.
struct Outcome {
  std::uint64_t hash = 0;
  std::string violation;  ///< "CODE: reason"; empty when all held.
  std::string history;
  std::uint64_t requests = 0;
  std::uint64_t events = 0;
  std::uint64_t deliveries = 0;
};

/// Thrown by a check that fails.
struct Violation {
  std::string text;
};

/// The steps so far as text that stays readable while the process dies.
class History {
 public:
  void add(const std::string& line) {
    text_ += line;
    text_ += '\n';
  }
  const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

/// Of the machine outside: each is an origin of its own.
constexpr std::uint16_t outside_ports[] = {80, 8081, 8082, 8083};

class Outside;

/// One world from its seed to its end.
class World {
 public:
  World(const Plan& plan, History& history);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// Play it to the end; throws `Violation`.
  void play();
  Outcome outcome();

  // ------------------------------------------------------------ for functions and clients

  Env& env() noexcept { return sim_.env(); }
  Ledger& ledger() noexcept { return ledger_; }
  Platform& platform() noexcept { return *platform_; }
  /// Remember an attempt at a subscriber and say how to answer: the status.
  Task<int> receive(std::string subject, std::string id, int mark, int via, bool dead);
  /// A request to a Route ended with this answer.
  void answered(const std::string& route, const std::string& how, Instant begun, int status,
                const std::string& text);
  void violate(const std::string& code, const std::string& reason);
  Endpoint door() const { return door_; }

 private:
  friend class Outside;

  // world.cpp
  Task<http::Response> serve(int mark, std::string content, std::string revision,
                             http::Request& request);
  Task<int> run_program(SimProcessContext& context, std::string content);
  void begin();
  void end_platform();
  PlatformOptions platform_options();
  void add_functions();
  void add_programs();
  void put_image();
  void say(const std::string& what);
  void judge() const;
  void turn();
  void turns(std::uint64_t count);
  void pass(Duration duration);
  void observe();
  void observe_revisions(const std::map<std::string, std::string>& uids);

  // steps.cpp
  void step();
  void one_action();
  ObjectRef ref_of(const std::string& object) const;
  void apply(const std::string& object, const AnyObject& wanted);
  void remove(const std::string& object);
  void apply_service(const std::string& name);
  void apply_configuration();
  void apply_route();
  void apply_broker(const std::string& object);
  void apply_binding(const std::string& object, const std::string& failing = {});
  void apply_noise();
  void apply_build();
  void action_on_service();
  void action_on_target();
  void action_on_binding();
  void stop_and_restart();
  void orphan_retries();
  void lose_power();
  void turns_without_platform();
  void read_ledger_again();
  eventing::DeliverySpec delivery_of(const BindingVersion& version) const;
  eventing::Destination subscriber_of(BindingVersion& version);
  eventing::Destination service_subscriber(BindingVersion& version,
                                           const std::string& service) const;

  // clients.cpp
  void send_request();
  void send_event();
  Task<void> call_inside(std::string route);
  Task<void> publish_inside(std::size_t index);
  Task<void> call_raw(std::string route, std::uint64_t chance);
  Task<void> publish_raw(std::size_t index, std::uint64_t chance);
  std::size_t new_event();
  void acknowledged(std::size_t number, const std::string& how);

  // checks.cpp
  void check_delivery(const Delivery& delivery);
  void check_rest();
  void check_services();
  void check_targets();
  void check_bindings();
  void check_losses();
  void check_unsettled();
  void remove_everything();
  void check_empty(const std::string& directory);
  void check_nothing_left();
  std::vector<std::string> series() const;

  bool chance(double likely) { return random_.uniform() < likely; }
  std::size_t pick(std::size_t bound) { return static_cast<std::size_t>(random_.below(bound)); }
  std::string seconds() const;

  Plan plan_;
  History& history_;
  Simulation sim_;
  Random random_;
  Ledger ledger_;
  FunctionTable functions_;
  bool durable_ = false;  ///< It has a data directory.
  std::size_t history_max_ = 8192;
  std::size_t origins_max_ = 256;
  int marks_ = 0;
  int contents_ = 0;
  std::map<std::pair<int, std::size_t>, int> attempts_;  ///< By mark and event.
  std::uint64_t requests_ = 0;
  std::string seen_version_;
  std::set<std::string> uids_;
  std::string violation_;
  Endpoint door_;
  std::unique_ptr<Outside> outside_;
  std::unique_ptr<Platform> platform_;
  Store* store_ = nullptr;           ///< Of the platform, also while it stops.
  std::unique_ptr<TaskSet> inside_;  ///< Tasks that use the platform.
  std::unique_ptr<TaskSet> clients_;
  Census before_;
  Census at_rest_;
  std::vector<std::string> series_at_rest_;
};

}  // namespace knative::churn
