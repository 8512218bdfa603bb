// The trace: a hash over everything, and a ring of the last events in words.
#include <cstdio>

#include "knative/simulation.hpp"

namespace knative {

namespace {

std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) noexcept {
  hash ^= value;
  hash *= 0x9e3779b97f4a7c15;
  return hash ^ (hash >> 29);
}

}  // namespace

std::string_view to_string(TraceKind kind) noexcept {
  switch (kind) {
    case TraceKind::timer: return "timer";
    case TraceKind::connect: return "connect";
    case TraceKind::bytes: return "bytes";
    case TraceKind::close: return "close";
    case TraceKind::file: return "file";
    case TraceKind::process: return "process";
    case TraceKind::offload: return "offload";
    case TraceKind::fault: return "fault";
    case TraceKind::log: return "log";
    case TraceKind::note: return "note";
  }
  return "unknown";
}

Trace::Trace(std::size_t events_max) : events_max_(events_max) {}

void Trace::mix(std::uint64_t value) noexcept { hash_ = mixed(hash_, value); }

void Trace::record(Instant at, TraceKind kind, std::string_view subject, std::uint64_t value) {
  ++size_;
  mix(static_cast<std::uint64_t>(at.time_since_epoch().count()));
  mix((static_cast<std::uint64_t>(subject.size()) << 8) | static_cast<std::uint64_t>(kind));
  mix(value);
  // Eight characters at a time, put together by hand: the hash does not depend on byte order.
  std::uint64_t word = 0;
  unsigned filled = 0;
  for (const char c : subject) {
    word |= static_cast<std::uint64_t>(static_cast<unsigned char>(c)) << (8 * filled);
    if (++filled == 8) {
      mix(word);
      word = 0;
      filled = 0;
    }
  }
  if (filled != 0) mix(word);

  if (kind == TraceKind::timer || events_max_ == 0) return;
  if (ring_.size() < events_max_) {
    ring_.push_back(TraceEvent{at, kind, value, std::string(subject)});
  } else {
    TraceEvent& slot = ring_[static_cast<std::size_t>(kept_ % events_max_)];
    slot.at = at;
    slot.kind = kind;
    slot.value = value;
    slot.subject.assign(subject);
  }
  ++kept_;
}

std::vector<TraceEvent> Trace::last() const {
  if (kept_ <= ring_.size()) return ring_;
  std::vector<TraceEvent> events;
  events.reserve(ring_.size());
  for (std::size_t i = 0; i < ring_.size(); ++i) {
    events.push_back(ring_[static_cast<std::size_t>((kept_ + i) % ring_.size())]);
  }
  return events;
}

std::string Trace::to_string() const {
  std::string text;
  for (const TraceEvent& event : last()) {
    const std::int64_t at = event.at.time_since_epoch().count();
    char head[64];
    std::snprintf(head, sizeof head, "%lld.%09lld %-8s", static_cast<long long>(at / 1'000'000'000),
                  static_cast<long long>(at % 1'000'000'000),
                  std::string(knative::to_string(event.kind)).c_str());
    text += head;
    text += ' ';
    text += event.subject;
    text += ' ';
    text += std::to_string(event.value);
    text += '\n';
  }
  return text;
}

}  // namespace knative
