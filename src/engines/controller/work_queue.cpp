#include <algorithm>

#include "knative/controller.hpp"

namespace knative {

void WorkQueue::add_at(const std::string& key, Instant due) {
  if (auto busy = in_progress_.find(key); busy != in_progress_.end()) {
    busy->second = busy->second ? std::min(*busy->second, due) : due;
    return;
  }
  Entry& entry = entries_[key];
  if (entry.due && *entry.due <= due) return;
  if (entry.due) due_.erase({*entry.due, key});
  entry.due = due;
  due_.emplace(due, key);
}

std::optional<std::string> WorkQueue::take(Instant now) {
  if (due_.empty() || due_.begin()->first > now) return std::nullopt;
  std::string key = due_.begin()->second;
  due_.erase(due_.begin());
  entries_[key].due.reset();
  in_progress_[key] = std::nullopt;
  return key;
}

void WorkQueue::settle(const std::string& key, Instant now) {
  const auto busy = in_progress_.find(key);
  KN_ASSERT(busy != in_progress_.end());
  const std::optional<Instant> again = busy->second;
  in_progress_.erase(busy);
  if (again) add_at(key, std::max(*again, now));
  const auto entry = entries_.find(key);
  if (!entry->second.due && entry->second.failures == 0) entries_.erase(entry);
}

void WorkQueue::done(const std::string& key, Instant now) {
  entries_[key].failures = 0;
  settle(key, now);
}

void WorkQueue::failed(const std::string& key, Instant now) {
  int& failures = entries_[key].failures;
  ++failures;
  Duration delay = backoff_.base;
  for (int i = 1; i < failures && delay < backoff_.limit; ++i) delay *= 2;
  settle(key, now);
  add_at(key, now + std::min(delay, backoff_.limit));
}

std::optional<Instant> WorkQueue::next_due() const {
  if (due_.empty()) return std::nullopt;
  return due_.begin()->first;
}

int WorkQueue::failures(const std::string& key) const {
  const auto entry = entries_.find(key);
  return entry == entries_.end() ? 0 : entry->second.failures;
}

}  // namespace knative
