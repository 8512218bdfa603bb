#include <algorithm>
#include <deque>

#include "knative/log.hpp"
#include "state/log_cursors.hpp"

namespace knative {
namespace {

class MemoryLog final : public Log {
 public:
  MemoryLog(Timers& timers, MemoryLogOptions options)
      : timers_(timers), options_(std::move(options)) {
    stats_.segments = 1;
  }

  Task<Result<Offset>> append(std::string_view bytes) override {
    Result<void> room = make_room(bytes.size());
    if (!room) {
      ++stats_.rejected;
      co_return room.error();
    }
    const Offset offset = end();
    records_.push_back(Record{offset, timers_.wall(), std::string(bytes)});
    stats_.bytes += bytes.size();
    ++stats_.appended;
    ++stats_.syncs;
    appended_.notify_all();
    co_return offset;
  }

  Task<Result<std::vector<Record>>> read(Offset from, ReadLimits limits) override {
    std::vector<Record> records;
    std::size_t bytes = 0;
    for (Offset at = std::max(from, first_); at < end(); ++at) {
      const Record& record = records_[static_cast<std::size_t>(at - first_)];
      bytes += record.bytes.size();
      const bool full = records.size() >= limits.records_max || bytes > limits.bytes_max;
      if (full && !records.empty()) break;
      records.push_back(record);
    }
    co_return records;
  }

  Task<void> wait_for(Offset offset) override {
    while (end() <= offset && !closed_) co_await appended_.wait();
  }

  Task<Result<void>> commit(std::string cursor, Offset next) override {
    return commit(state::cursor_change(std::move(cursor), next));
  }
  Task<Result<void>> remove_cursor(std::string cursor) override {
    return commit(state::cursor_change(std::move(cursor), std::nullopt));
  }
  Task<Result<void>> commit(LogChange change) override {
    if (closed_) co_return fail(Errc::failed_precondition, "the log is closed");
    Result<void> possible = state::check_change(change, end(), notes_, 0);
    if (!possible) co_return possible;
    const bool moves = !change.cursors.empty();
    state::apply(std::move(change), cursors_, notes_);
    if (moves) drop_passed();
    co_return Result<void>();
  }
  const LogNotes& notes() const noexcept override { return notes_.all(); }

  std::optional<Offset> cursor(std::string_view name) const override { return cursors_.find(name); }
  std::map<std::string, Offset, std::less<>> cursors() const override { return cursors_.all(); }
  Offset first() const noexcept override { return first_; }
  Offset end() const noexcept override { return first_ + records_.size(); }

  Task<Result<Offset>> trim() override {
    trim_for(0);
    co_return first_;
  }

  Task<Result<void>> close() override {
    closed_ = true;
    appended_.notify_all();
    co_return Result<void>();
  }

  Task<Result<void>> check() override { co_return Result<void>(); }
  LogStats stats() const override { return stats_; }

 private:
  Result<void> make_room(std::size_t size) {
    if (closed_) return fail(Errc::failed_precondition, "the log is closed");
    if (size > options_.record_bytes_max) {
      return fail(Errc::resource_exhausted, "a record of " + std::to_string(size) +
                                                " bytes, at most " +
                                                std::to_string(options_.record_bytes_max));
    }
    const std::uint64_t most = options_.retention.bytes_max;
    if (stats_.bytes + size <= most) return {};
    trim_for(size);
    if (stats_.bytes + size <= most) return {};
    return fail(Errc::resource_exhausted, "the log holds its " + std::to_string(most) + " bytes");
  }

  /// What every cursor has passed goes at once: memory is all that it takes.
  void drop_passed() {
    const std::optional<Offset> least = cursors_.slowest();
    while (least && first_ < *least) drop_oldest();
  }

  void drop_oldest() {
    stats_.bytes -= records_.front().bytes.size();
    records_.pop_front();
    ++first_;
  }

  void trim_for(std::size_t size) {
    const std::optional<Offset> least = cursors_.slowest();
    const bool may_drop = !least || options_.retention.when_full == LogFullPolicy::drop_oldest;
    while (!records_.empty()) {
      const Record& oldest = records_.front();
      const bool passed = least && *least > oldest.offset;
      const bool old = timers_.wall() - oldest.time > options_.retention.age_max;
      const bool over = stats_.bytes + size > options_.retention.bytes_max;
      if (!passed && !old && !(over && may_drop)) break;
      if (least && !passed) ++stats_.records_expired;
      drop_oldest();
    }
  }

  Timers& timers_;
  MemoryLogOptions options_;
  std::deque<Record> records_;
  Offset first_ = 0;
  state::CursorTable cursors_;
  state::NoteTable notes_;
  LogStats stats_;
  bool closed_ = false;
  Wakeup appended_;
};

}  // namespace

std::unique_ptr<Log> memory_log(Timers& timers, MemoryLogOptions options) {
  return std::make_unique<MemoryLog>(timers, std::move(options));
}

}  // namespace knative
