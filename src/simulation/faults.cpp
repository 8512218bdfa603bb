// Which operations fail: by rate, by count, by command.
#include <cstdio>

#include "simulation/world.hpp"

namespace knative {

std::string_view to_string(SimOperation operation) noexcept {
  switch (operation) {
    case SimOperation::connect: return "connect";
    case SimOperation::accept: return "accept";
    case SimOperation::stream_read: return "stream_read";
    case SimOperation::stream_write: return "stream_write";
    case SimOperation::file_open: return "file_open";
    case SimOperation::file_read: return "file_read";
    case SimOperation::file_write: return "file_write";
    case SimOperation::file_sync: return "file_sync";
    case SimOperation::file_truncate: return "file_truncate";
    case SimOperation::file_change: return "file_change";
    case SimOperation::file_rename: return "file_rename";
    case SimOperation::file_query: return "file_query";
    case SimOperation::directory_sync: return "directory_sync";
    case SimOperation::spawn: return "spawn";
  }
  return "unknown";
}

namespace {

struct RateField {
  const char* name;
  double FaultPlan::*rate;
  double highest;  // of a random plan
};

constexpr RateField rate_fields[] = {
    {"connect_refused", &FaultPlan::connect_refused, 0.05},
    {"accept_failure", &FaultPlan::accept_failure, 0.02},
    {"connection_lost", &FaultPlan::connection_lost, 0.005},
    {"connection_cut", &FaultPlan::connection_cut, 0.05},
    {"slow_reader", &FaultPlan::slow_reader, 0.02},
    {"latency_spike", &FaultPlan::latency_spike, 0.05},
    {"no_space", &FaultPlan::no_space, 0.005},
    {"sync_failure", &FaultPlan::sync_failure, 0.005},
    {"file_failure", &FaultPlan::file_failure, 0.002},
    {"spawn_failure", &FaultPlan::spawn_failure, 0.1},
    {"process_hang", &FaultPlan::process_hang, 0.02},
    {"process_killed", &FaultPlan::process_killed, 0.1},
    {"offload_stall", &FaultPlan::offload_stall, 0.05},
    // Not in random plans: stored bytes that rot are lost data by definition.
    {"bit_rot", &FaultPlan::bit_rot, 0},
};

}  // namespace

FaultPlan FaultPlan::random(std::uint64_t seed) {
  Random random = Random(seed).split("fault plan");
  FaultPlan plan;
  for (const RateField& field : rate_fields) {
    // Two draws for each field, whether used or not: fields do not move each other.
    const bool present = random.below(2) == 0;
    const double rate = random.uniform() * field.highest;
    if (present) plan.*field.rate = rate;
  }
  return plan;
}

std::string FaultPlan::to_string() const {
  std::string text;
  for (const RateField& field : rate_fields) {
    if (this->*field.rate == 0) continue;
    char entry[64];
    std::snprintf(entry, sizeof entry, "%s%s=%.4g", text.empty() ? "" : " ", field.name,
                  this->*field.rate);
    text += entry;
  }
  return text.empty() ? "no faults" : text;
}

}  // namespace knative

namespace knative::simulation {

namespace {

bool is_file_operation(SimOperation operation) noexcept {
  return operation >= SimOperation::file_open && operation <= SimOperation::directory_sync;
}

std::pair<std::string, std::string> ordered(std::string_view a, std::string_view b) {
  return a < b ? std::pair(std::string(a), std::string(b))
               : std::pair(std::string(b), std::string(a));
}

}  // namespace

double FaultDecider::rate(SimOperation operation) const noexcept {
  switch (operation) {
    case SimOperation::connect: return plan_.connect_refused;
    case SimOperation::accept: return plan_.accept_failure;
    case SimOperation::stream_read:
    case SimOperation::stream_write: return plan_.connection_lost;
    case SimOperation::file_write: return plan_.no_space;
    case SimOperation::file_sync:
    case SimOperation::directory_sync: return plan_.sync_failure;
    case SimOperation::spawn: return plan_.spawn_failure;
    case SimOperation::file_open:
    case SimOperation::file_read:
    case SimOperation::file_truncate:
    case SimOperation::file_change:
    case SimOperation::file_rename:
    case SimOperation::file_query: return plan_.file_failure;
  }
  return 0;
}

void FaultDecider::fail_nth(SimOperation operation, std::uint64_t n, std::uint64_t count) {
  KN_ASSERT(n > 0);
  const auto slot = static_cast<std::size_t>(operation);
  windows_[slot] = Window{counts_[slot] + n, count};
}

void FaultDecider::fail_nth_file_operation(std::uint64_t n, std::uint64_t count) {
  KN_ASSERT(n > 0);
  file_window_ = Window{file_count_ + n, count};
}

void FaultDecider::partition(std::string_view a, std::string_view b) {
  if (a == b) return;
  partitions_.insert(ordered(a, b));
  injected("partition", std::string(a) + " " + std::string(b));
}

void FaultDecider::heal(std::string_view a, std::string_view b) {
  if (partitions_.erase(ordered(a, b)) != 0 && network_ != nullptr) network_->resend();
}

void FaultDecider::clear() {
  plan_ = FaultPlan{};
  windows_ = {};
  file_window_ = {};
  cut_.reset();
  const bool healed = !partitions_.empty();
  partitions_.clear();
  if (healed && network_ != nullptr) network_->resend();
}

bool FaultDecider::partitioned(const std::string& a, const std::string& b) const {
  return !partitions_.empty() && a != b && partitions_.count(ordered(a, b)) != 0;
}

void FaultDecider::injected(std::string_view what, std::string_view subject) {
  ++injected_;
  std::string text(what);
  text += ' ';
  text += subject;
  trace_.record(clock_.now(), TraceKind::fault, text, injected_);
}

bool FaultDecider::strikes(SimOperation operation, std::string_view subject) {
  const auto slot = static_cast<std::size_t>(operation);
  const std::uint64_t n = ++counts_[slot];
  bool struck = windows_[slot].holds(n);
  if (is_file_operation(operation)) {
    ++file_count_;
    struck = struck || file_window_.holds(file_count_);
  }
  const double likely = rate(operation);
  if (!struck && likely > 0) struck = random_.uniform() < likely;
  if (struck) injected(to_string(operation), subject);
  return struck;
}

bool FaultDecider::chance(double rate, std::string_view what, std::string_view subject) {
  if (rate <= 0 || random_.uniform() >= rate) return false;
  injected(what, subject);
  return true;
}

}  // namespace knative::simulation
