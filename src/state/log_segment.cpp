// The segment log: group commit on the loop's side, files on the disk threads' side.
//
// Appends collect in a batch. One writer task takes a batch as soon as it is free, so a lone
// append is synced at once and many share a sync while the one before is under way.
#include <algorithm>
#include <deque>
#include <iterator>

#include "base/file_tree.hpp"
#include "base/handover.hpp"
#include "knative/log.hpp"
#include "state/lasting_trouble.hpp"
#include "state/log_cursors.hpp"
#include "state/log_segments.hpp"

namespace knative {
namespace {

namespace format = log_format;
namespace files = log_segments;

/// What waits for one sync.
struct Batch {
  explicit Batch(std::string buffer) : frame(std::move(buffer)) {}
  format::FrameBuilder frame;
  LogChange change;
  std::size_t payload = 0;  ///< Bytes of records and notes, as counted against the bound.
  Offset first = 0;
  std::optional<Error> error;
  Wakeup done;
};

/// What a writing job brings back.
struct Written {
  std::optional<Error> error;
  bool sealed = false;      ///< The segment must not be written any more.
  std::uint32_t chain = 0;  ///< After the batch.
  std::optional<files::Segment> created;
  std::uint32_t created_chain = 0;  ///< After the new segment's first frame.
  /// The commit is durable, but could not be noted in the manifest.
  std::optional<Error> not_noted;
};

/// What a writing job needs; it owns everything it touches.
struct WriteJob {
  std::shared_ptr<files::Place> place;
  std::shared_ptr<Batch> batch;
  std::shared_ptr<File> file;
  std::uint64_t byte = 0;
  std::uint32_t chain = 0;
  Offset first = 0;
  std::int64_t now = 0;
  std::uint64_t number = 0;  ///< Of the segment.
  std::string path;
  /// Begin segment `number` first.
  bool new_segment = false;
  format::Beside beside;
  log_manifest::Content content;

  Written operator()() {
    Written written;
    if (new_segment && !begin_segment(written)) return written;
    written.chain = batch->frame.seal(place->seed, chain, first, now);
    if (Result<void> done = file->write_at(byte, batch->frame.bytes()); !done) {
      written.error = done.error();
      written.sealed = done.error().code != Errc::resource_exhausted;
      return written;
    }
    if (place->fsync_mode == FsyncMode::none) return written;
    if (Result<void> done = file->sync(); !done) {
      written.error = done.error();
      written.sealed = true;  // nobody knows what a failed sync left behind
      return written;
    }
    // Last, so that whatever goes before the acknowledgement is seen.
    if (!linked(file->is_at(path), path, written)) return written;
    content.newest = number;
    content.mark.segment = number;
    content.mark.bytes = byte + batch->frame.size();
    content.mark.end = first + batch->frame.events();
    if (Result<void> noted = place->manifest.mark(content.mark); !noted) {
      Result<void> replaced = place->manifest.replace(content);
      if (!replaced) written.not_noted = replaced.error();
    }
    return written;
  }

 private:
  bool begin_segment(Written& written) {
    if (!linked(place->manifest.linked(), place->manifest.path(), written)) return false;
    format::SegmentHeader header;
    header.first = first;
    header.created = now;
    header.previous_bytes = byte;
    Result<files::Segment> made = files::create(*place, number, header, beside, chain, content);
    if (!made) {
      written.error = made.error();
      written.sealed = true;
      return false;
    }
    file = made->file;
    path = made->path;
    byte = made->bytes;
    written.created = std::move(*made);
    written.created_chain = chain;
    return true;
  }

  /// What is written to a file that nobody will find again is not kept. Should the path lead to it
  /// again, the log goes on.
  static bool linked(const Result<bool>& there, const std::string& where, Written& written) {
    if (there && *there) return true;
    written.error = there ? fail(Errc::unavailable, where +
                                                        ": removed, renamed or replaced while "
                                                        "the log has it open")
                          : there.error();
    return false;
  }
};

/// Somebody who waits for room.
struct TrimRequest {
  std::uint64_t wanted = 0;
  std::optional<Error> error;
  Wakeup done;
};

/// What a removing job needs.
struct TrimJob {
  std::shared_ptr<files::Place> place;
  log_manifest::Content content;
  std::vector<std::string> paths;

  struct Done {
    std::optional<Error> error;
    bool named = true;  ///< The manifest still names the segments.
    std::vector<std::string> left;
  };

  Done operator()() {
    Done done;
    // The manifest first: what it no longer names may go, whatever happens on the way.
    if (Result<void> replaced = place->manifest.replace(content); !replaced) {
      done.error = replaced.error();
      return done;
    }
    done.named = false;
    for (std::string& path : paths) {
      Result<void> removed = place->files.remove(path);
      if (removed || removed.error().code == Errc::not_found) continue;
      done.error = removed.error();
      done.left.push_back(std::move(path));
    }
    Result<void> synced = place->files.sync_directory(place->directory);
    if (!synced) done.error = synced.error();
    return done;
  }
};

class SegmentLog final : public Log {
 public:
  SegmentLog(Env& env, std::shared_ptr<files::Place> place, files::Recovered state,
             SegmentLogOptions options)
      : timers_(env.timers),
        disk_(env.disk),
        place_(std::move(place)),
        options_(std::move(options)),
        cursors_(std::move(state.beside.cursors)),
        notes_(std::move(state.beside.notes)),
        chain_(state.chain),
        end_(state.end),
        writing_(env.logger, env.timers, LogLevel::error, "commit failed", "commits work again"),
        reading_(env.logger, env.timers, LogLevel::error, "reading failed", "reading works again"),
        noting_(env.logger, env.timers, LogLevel::warning, "cannot note how far the log has got",
                "how far the log has got is noted again"),
        removing_old_(env.logger, env.timers, LogLevel::warning, "cannot remove old segments",
                      "old segments can be removed again"),
        writer_(env.executor) {
    for (files::Segment& segment : state.segments) {
      stats_.bytes += segment.bytes;
      Held held;
      held.marks.push_back(
          files::Position{segment.first, format::header_bytes, segment.header_chain});
      held.segment = std::move(segment);
      segments_.push_back(std::move(held));
    }
    // Who wrote the newest segment reads no frame with notes: it must not find one there.
    sealed_ = segments_.back().segment.version < format::segment_version;
    // A small retention bound needs small segments, else nothing could ever be given back.
    options_.segment_bytes =
        std::min(options_.segment_bytes, std::max<std::uint64_t>(4096, bytes_max() / 4));
    writer_.add(write_batches());
  }

  Task<Result<Offset>> append(std::string_view bytes) override {
    std::string kept;
    if (!has_room(bytes.size())) {
      kept = bytes;  // the caller's may be gone after the wait
      bytes = kept;
      if (Result<void> room = co_await make_room(bytes.size()); !room) {
        ++stats_.rejected;
        co_return room.error();
      }
    }
    const std::shared_ptr<Batch> batch = open_batch();
    const std::uint32_t index = batch->frame.events();
    batch->frame.add(format::RecordType::event, bytes);
    batch->payload += bytes.size();
    pending_bytes_ += bytes.size();
    wake_.notify_all();
    co_await batch->done.wait();
    if (batch->error) {
      ++stats_.rejected;
      co_return *batch->error;
    }
    co_return batch->first + index;
  }

  Task<Result<std::vector<Record>>> read(Offset from, ReadLimits limits) override {
    limits.records_max = std::max<std::size_t>(limits.records_max, 1);
    from = std::max(from, first());
    if (from >= end_) co_return std::vector<Record>();
    if (!cache_.empty() && from >= cache_.front().batch->first) co_return cached(from, limits);
    const std::size_t index = segment_of(from);
    const Held& held = segments_[index];
    const Offset end = index + 1 < segments_.size() ? segments_[index + 1].segment.first : end_;
    const auto after = std::upper_bound(
        held.marks.begin(), held.marks.end(), from,
        [](Offset offset, const files::Position& mark) { return offset < mark.offset; });
    const files::Position begin = *(after - 1);
    const std::uint64_t number = held.segment.number;
    auto job = [place = place_, segment = held.segment, begin, from, end, limits] {
      return files::read(*place, segment, begin, from, end, limits);
    };
    Result<files::ReadResult> result = co_await disk_.run(job);
    if (!result) {
      // Retention may have taken the segment meanwhile.
      if (from < first()) co_return co_await read(first(), limits);
      unread_ = from;
      reading_.came(result.error(), place_->directory);
      tell();
      co_return result.error();
    }
    remember(number, *result);
    const std::vector<Record>& got = result->records;
    if (reading_.error() && from <= unread_ && (got.empty() || got.back().offset >= unread_)) {
      reading_.went(place_->directory);
      tell();
    }
    co_return std::move(result->records);
  }

  Task<void> wait_for(Offset offset) override {
    while (end_ <= offset && !closing_) co_await appended_.wait();
  }

  Task<Result<void>> commit(std::string cursor, Offset next) override {
    return commit(state::cursor_change(std::move(cursor), next));
  }
  Task<Result<void>> remove_cursor(std::string cursor) override {
    return commit(state::cursor_change(std::move(cursor), std::nullopt));
  }
  Task<Result<void>> commit(LogChange change) override {
    if (Result<void> possible = check_change(change); !possible) co_return possible;
    const std::shared_ptr<Batch> batch = open_batch();
    const std::size_t bytes = state::note_bytes(change);
    batch->payload += bytes;
    pending_bytes_ += bytes;
    for (auto& [name, next] : change.cursors) {
      if (next) {
        batch->frame.add(format::RecordType::cursor, format::cursor_head(*next), name);
      } else {
        batch->frame.add(format::RecordType::cursor_removed, name);
      }
      batch->change.cursors.emplace_back(std::move(name), next);
    }
    for (auto& [name, text] : change.notes) {
      if (text) {
        batch->frame.add_note(name, *text);
      } else {
        batch->frame.add(format::RecordType::note_removed, name);
      }
      batch->change.notes.emplace_back(std::move(name), std::move(text));
    }
    co_return co_await outcome_of(batch);
  }

  std::optional<Offset> cursor(std::string_view name) const override { return cursors_.find(name); }
  std::map<std::string, Offset, std::less<>> cursors() const override { return cursors_.all(); }
  const LogNotes& notes() const noexcept override { return notes_.all(); }
  Offset first() const noexcept override { return segments_.front().segment.first; }
  Offset end() const noexcept override { return end_; }

  Task<Result<Offset>> trim() override { return trim_for(0); }

  Task<Result<void>> close() override {
    closing_ = true;
    wake_.notify_all();
    appended_.notify_all();
    co_await closed_.wait();
    co_return Result<void>();
  }

  Task<Result<void>> check() override {
    if (closing_) co_return fail(Errc::failed_precondition, "the log is closed");
    if (reading_.error()) {
      const ReadLimits one{1, 1};
      const Result<std::vector<Record>> again = co_await read(unread_, one);
      if (!again) co_return again.error();
      if (reading_.error()) {  // nothing is there any more, or it is in memory
        reading_.went(place_->directory);
        tell();
      }
    }
    if (!writing_.error()) co_return Result<void>();
    // Written to see whether writing works, also when there is nothing in it.
    const std::shared_ptr<Batch> batch = open_batch();
    co_return co_await outcome_of(batch);
  }

  LogStats stats() const override {
    LogStats stats = stats_;
    stats.segments = segments_.size();
    return stats;
  }

 private:
  /// A segment and the places in it from which reading can begin.
  struct Held {
    files::Segment segment;
    std::vector<files::Position> marks;
  };
  static constexpr std::uint64_t mark_distance = 64 * 1024;
  /// What one append costs beside its bytes, at most, without a new segment.
  static constexpr std::uint64_t overhead =
      format::frame_header_bytes + format::record_header_bytes;

  std::uint64_t bytes_max() const noexcept { return options_.retention.bytes_max; }

  void tell() {
    std::optional<Error> trouble = writing_.error() ? writing_.error() : reading_.error();
    if (trouble == told_) return;
    told_ = std::move(trouble);
    if (options_.on_trouble) options_.on_trouble(told_);
  }

  // ---- appending

  bool has_room(std::size_t size) const noexcept {
    return !closing_ && size <= options_.record_bytes_max &&
           pending_bytes_ + size <= options_.pending_bytes_max &&
           stats_.bytes + pending_bytes_ + size + overhead <= bytes_max();
  }

  /// Why there is none, unless old segments can go.
  Task<Result<void>> make_room(std::size_t size) {
    if (closing_) co_return fail(Errc::failed_precondition, "the log is closed");
    if (size > options_.record_bytes_max) {
      co_return fail(Errc::resource_exhausted, "a record of " + std::to_string(size) +
                                                   " bytes, at most " +
                                                   std::to_string(options_.record_bytes_max));
    }
    if (pending_bytes_ + size > options_.pending_bytes_max) {
      co_return fail(Errc::resource_exhausted, "too much waits to be written");
    }
    const std::uint64_t wanted = size + overhead;
    if (stats_.bytes + pending_bytes_ + wanted > bytes_max()) {
      if (Result<Offset> trimmed = co_await trim_for(wanted); !trimmed) co_return trimmed.error();
      if (stats_.bytes + pending_bytes_ + wanted > bytes_max()) {
        co_return fail(Errc::resource_exhausted,
                       "the log holds its " + std::to_string(bytes_max()) + " bytes");
      }
    }
    co_return Result<void>();
  }

  std::shared_ptr<Batch> open_batch() {
    if (batches_.empty() || batches_.back()->frame.size() >= options_.batch_bytes_max) {
      batches_.push_back(std::make_shared<Batch>(std::exchange(spare_, {})));
    }
    return batches_.back();
  }

  Result<void> check_change(const LogChange& change) const {
    if (closing_) return fail(Errc::failed_precondition, "the log is closed");
    const std::size_t bytes = state::note_bytes(change);
    if (bytes > 0 && pending_bytes_ + bytes > options_.pending_bytes_max) {
      return fail(Errc::resource_exhausted, "too much waits to be written");
    }
    return state::check_change(change, end_, notes_, pending_bytes_);
  }

  Task<Result<void>> outcome_of(std::shared_ptr<Batch> batch) {
    wake_.notify_all();
    co_await batch->done.wait();
    if (batch->error) co_return *batch->error;
    co_return Result<void>();
  }

  // ---- writing

  Task<void> write_batches() {
    for (;;) {
      while (batches_.empty() && trims_.empty() && !closing_) co_await wake_.wait();
      if (!trims_.empty()) {
        const std::shared_ptr<TrimRequest> request = std::move(trims_.front());
        trims_.pop_front();
        Result<void> removed = co_await remove_old(request->wanted);
        if (!removed) request->error = removed.error();
        request->done.set();
        continue;
      }
      if (batches_.empty()) break;
      const std::shared_ptr<Batch> batch = std::move(batches_.front());
      batches_.pop_front();
      WriteJob job = next_job(batch);
      Written written = co_await disk_.run(job);
      finish(batch, std::move(written));
      if (Result<void> removed = co_await remove_old(0); !removed) {
        removing_old_.came(removed.error(), place_->directory);
      } else {
        removing_old_.went(place_->directory);
      }
    }
    if (options_.fsync_mode == FsyncMode::data) {
      auto job = [place = place_] { return place->manifest.sync(); };
      Result<void> synced = co_await disk_.run(job);
      if (!synced) noting_.came(synced.error(), place_->directory);
    }
    closed_.set();
  }

  WriteJob next_job(const std::shared_ptr<Batch>& batch) {
    const files::Segment& newest = segments_.back().segment;
    WriteJob job;
    job.place = place_;
    job.batch = batch;
    job.file = newest.file;
    job.byte = newest.bytes;
    job.chain = chain_;
    job.first = end_;
    job.now = timers_.wall().time_since_epoch().count();
    job.number = newest.number;
    job.path = newest.path;
    job.content = content();
    // A segment repeats the notes; it must hold more than that.
    if (sealed_ || newest.bytes >= options_.segment_bytes + 2 * notes_.bytes()) {
      job.new_segment = true;
      ++job.number;
      job.beside.cursors = cursors_.all();
      job.beside.notes = notes_.all();
      sealed_ = true;  // until the new one exists: it may be on disk although creating it failed
    }
    return job;
  }

  log_manifest::Content content() const {
    const files::Segment& newest = segments_.back().segment;
    log_manifest::Content content;
    content.log_id = place_->log_id;
    content.oldest = segments_.front().segment.number;
    content.first = first();
    content.newest = newest.number;
    content.mark = log_manifest::Mark{newest.number, newest.bytes, end_};
    return content;
  }

  void finish(const std::shared_ptr<Batch>& batch, Written written) {
    pending_bytes_ -= batch->payload;
    ++stats_.syncs;
    if (written.created) {
      stats_.bytes += written.created->bytes;
      chain_ = written.created_chain;
      sealed_ = false;
      Held held;
      held.marks.push_back(files::Position{written.created->first, format::header_bytes,
                                           written.created->header_chain});
      held.segment = std::move(*written.created);
      segments_.back().segment.file.reset();
      segments_.push_back(std::move(held));
    }
    if (written.error) {
      ++stats_.sync_failures;
      sealed_ = sealed_ || written.sealed;
      const bool full = written.error->code == Errc::resource_exhausted;
      batch->error = fail(full ? Errc::resource_exhausted : Errc::unavailable,
                          "the log cannot write: " + written.error->to_string());
      writing_.came(*written.error, place_->directory);
    } else {
      committed(batch, written.chain);
      writing_.went(place_->directory);
      if (written.not_noted) {
        noting_.came(*written.not_noted, place_->directory);
      } else {
        noting_.went(place_->directory);
      }
    }
    batch->done.set();
    appended_.notify_all();
    tell();
  }

  void committed(const std::shared_ptr<Batch>& batch, std::uint32_t chain) {
    Held& newest = segments_.back();
    if (newest.segment.bytes - newest.marks.back().byte >= mark_distance) {
      newest.marks.push_back(files::Position{end_, newest.segment.bytes, chain_});
    }
    newest.segment.bytes += batch->frame.size();
    stats_.bytes += batch->frame.size();
    stats_.appended += batch->frame.events();
    chain_ = chain;
    batch->first = end_;
    keep(batch, timers_.wall());
    end_ += batch->frame.events();
    state::apply(std::exchange(batch->change, {}), cursors_, notes_);
  }

  // ---- reading

  /// A committed batch whose records can be read without the file.
  struct Cached {
    std::shared_ptr<Batch> batch;
    WallTime time;
  };

  void keep(std::shared_ptr<Batch> batch, WallTime time) {
    if (options_.cache_bytes_max == 0 || batch->frame.events() == 0) return;
    cache_bytes_ += bytes_of(*batch);
    cache_.push_back(Cached{std::move(batch), time});
    while (cache_bytes_ > options_.cache_bytes_max && !cache_.empty()) {
      Batch& oldest = *cache_.front().batch;
      cache_bytes_ -= bytes_of(oldest);
      // A buffer much larger than its batch would only take room in the cache.
      const bool well_filled = oldest.frame.size() >= oldest.frame.bytes().capacity() / 2;
      if (well_filled && cache_.front().batch.use_count() == 1) spare_ = oldest.frame.release();
      cache_.pop_front();
    }
  }
  static std::size_t bytes_of(const Batch& batch) noexcept {
    return sizeof batch + batch.frame.bytes().capacity();
  }

  std::vector<Record> cached(Offset from, ReadLimits limits) const {
    std::vector<Record> records;
    std::size_t bytes = 0;
    bool full = false;
    auto at = std::upper_bound(
        cache_.begin(), cache_.end(), from,
        [](Offset offset, const Cached& kept) { return offset < kept.batch->first; });
    for (--at; at != cache_.end() && !full; ++at) {
      Offset offset = at->batch->first;
      const WallTime time = at->time;
      at->batch->frame.each_event([&](std::string_view event) {
        const Offset here = offset++;
        if (here < from || full) return;
        bytes += event.size();
        full =
            !records.empty() && (records.size() >= limits.records_max || bytes > limits.bytes_max);
        if (!full) records.push_back(Record{here, time, std::string(event)});
      });
    }
    return records;
  }

  /// The segment that holds `from`: the newest of those that begin at or before it.
  std::size_t segment_of(Offset from) const {
    const auto after = std::upper_bound(
        segments_.begin(), segments_.end(), from,
        [](Offset offset, const Held& held) { return offset < held.segment.first; });
    return static_cast<std::size_t>(after - segments_.begin()) - 1;
  }

  void remember(std::uint64_t number, const files::ReadResult& result) {
    for (Held& held : segments_) {
      if (held.segment.number != number) continue;
      if (!held.segment.file) held.segment.file = result.file;
      if (result.next.byte >= held.marks.back().byte + mark_distance) {
        held.marks.push_back(result.next);
      }
    }
  }

  // ---- retention

  /// Apply the retention rules so that `wanted` more bytes fit. The writer does it between two
  /// commits: one hand alone changes what the log consists of, and a caller that is dropped leaves
  /// nothing half done.
  Task<Result<Offset>> trim_for(std::uint64_t wanted) {
    if (closing_ || (!removing_ && !removable(0, wanted))) co_return first();
    const auto request = std::make_shared<TrimRequest>();
    request->wanted = wanted;
    trims_.push_back(request);
    wake_.notify_all();
    co_await request->done.wait();
    if (request->error) co_return *request->error;
    co_return first();
  }

  Task<Result<void>> remove_old(std::uint64_t wanted) {
    std::size_t count = 0;
    std::uint64_t bytes = 0;
    Offset expired_from = first();
    Offset expired_to = first();
    TrimJob job;
    while (const std::optional<bool> passed = removable(count, wanted, bytes)) {
      const files::Segment& oldest = segments_[count].segment;
      const Offset end = segments_[count + 1].segment.first;
      if (*passed) expired_from = end;
      expired_to = end;
      bytes += oldest.bytes;
      job.paths.push_back(oldest.path);
      ++count;
    }
    if (count == 0) co_return Result<void>();
    const auto begin = segments_.begin();
    const auto end = begin + static_cast<std::ptrdiff_t>(count);
    std::vector<Held> taken(std::make_move_iterator(begin), std::make_move_iterator(end));
    segments_.erase(begin, end);
    job.place = place_;
    job.content = content();
    job.paths.insert(job.paths.end(), unremoved_.begin(), unremoved_.end());
    removing_ = true;
    TrimJob::Done done = co_await disk_.run(job);
    removing_ = false;
    if (done.named) {
      segments_.insert(segments_.begin(), std::make_move_iterator(taken.begin()),
                       std::make_move_iterator(taken.end()));
      co_return *done.error;
    }
    unremoved_ = std::move(done.left);
    count_expired(expired_from, expired_to);
    stats_.bytes -= std::min(stats_.bytes, bytes);
    if (done.error) co_return *done.error;
    co_return Result<void>();
  }

  /// Whether segment `index` may go after those before it, which hold `gone` bytes; then true when
  /// every cursor has passed it.
  std::optional<bool> removable(std::size_t index, std::uint64_t wanted,
                                std::uint64_t gone = 0) const {
    if (segments_.size() < index + 2) return std::nullopt;
    const files::Segment& next = segments_[index + 1].segment;
    const std::optional<Offset> least = cursors_.slowest();
    if (least && *least >= next.first) return true;
    const std::int64_t age = timers_.wall().time_since_epoch().count() - next.created;
    if (age > options_.retention.age_max.count()) return false;
    const bool over = stats_.bytes - gone + pending_bytes_ + wanted > bytes_max();
    const bool may_drop = !least || options_.retention.when_full == LogFullPolicy::drop_oldest;
    if (over && may_drop) return false;
    return std::nullopt;
  }

  void count_expired(Offset begin, Offset end) {
    const std::optional<Offset> least = cursors_.slowest();
    if (least && *least < end) stats_.records_expired += end - std::max(begin, *least);
  }

  Timers& timers_;
  Offload& disk_;
  std::shared_ptr<files::Place> place_;
  SegmentLogOptions options_;
  std::deque<Held> segments_;
  state::CursorTable cursors_;
  state::NoteTable notes_;
  std::uint32_t chain_;
  Offset end_;
  bool sealed_ = false;
  bool closing_ = false;
  bool removing_ = false;  ///< Segments are on their way out; their bytes still count.
  std::deque<std::shared_ptr<Batch>> batches_;
  std::deque<std::shared_ptr<TrimRequest>> trims_;
  std::vector<std::string> unremoved_;  ///< Segments that are no part of the log any more.
  std::size_t pending_bytes_ = 0;
  std::deque<Cached> cache_;
  std::size_t cache_bytes_ = 0;
  std::string spare_;  ///< Memory for the next batch.
  LogStats stats_;
  state::LastingTrouble writing_;
  state::LastingTrouble reading_;
  state::LastingTrouble noting_;
  state::LastingTrouble removing_old_;
  Offset unread_ = 0;          ///< Where reading failed.
  std::optional<Error> told_;  ///< Of what `on_trouble` was told.
  Wakeup wake_;
  Wakeup appended_;
  Wakeup closed_;
  TaskSet writer_;
};

/// What opening brings back from the disk threads.
struct Opened {
  std::shared_ptr<files::Place> place;
  files::Recovered state;
};

/// A log on its way to somebody who may be dropped meanwhile. A directory that was made for nobody
/// goes again: whoever comes next may already have looked for what is to be removed.
struct Opening {
  std::shared_ptr<files::Place> place;
  bool made = false;  ///< The directory was not there before.
  bool got = false;
  base::Handover handover;

  /// Without the lock it is another's by now.
  void remove_unwanted() const {
    if (made && place->lock) static_cast<void>(place->files.remove_all(place->directory));
  }
};

/// On the side of who waits.
struct Opener {
  std::shared_ptr<Opening> opening;

  ~Opener() {
    if (opening->handover.leave() && !opening->got) opening->remove_unwanted();
  }
};

Result<Opened> open_blocking(Opening& opening, std::uint64_t log_id, std::int64_t now,
                             bool create) {
  const std::shared_ptr<files::Place>& place = opening.place;
  const Result<FileInfo> there = place->files.info(place->directory);
  opening.made = !there && there.error().code == Errc::not_found;
  if (opening.made && !create) {
    return fail(Errc::data_loss, place->manifest.path() + ": the log is missing; record 0 is " +
                                     "the first that is missing");
  }
  Result<void> made = base::make_durable_directory(place->files, place->directory);
  if (!made) return made.error();
  Result<std::unique_ptr<File>> lock = place->files.lock(place->directory + "/lock");
  if (!lock) return lock.error();
  place->lock = std::move(*lock);
  // Somebody may have begun the log, and gone again, between the look and the lock.
  if (place->files.info(place->manifest.path())) opening.made = false;
  Result<files::Recovered> state = files::recover(*place, log_id, now, create);
  if (!state) return state.error();
  return Opened{place, std::move(*state)};
}

}  // namespace

Task<Result<std::unique_ptr<Log>>> open_segment_log(Env& env, Files& files, std::string directory,
                                                    SegmentLogOptions options) {
  auto place = std::make_shared<files::Place>(files, std::move(directory));
  place->fsync_mode = options.fsync_mode;
  const std::uint64_t log_id = env.ids() | 1;  // never 0
  const std::int64_t now = env.timers.wall().time_since_epoch().count();
  const bool create = options.create;
  const Opener opener{std::make_shared<Opening>()};
  opener.opening->place = place;
  auto job = [opening = opener.opening, log_id, now, create]() -> Result<Opened> {
    if (!opening->handover.awaited()) return fail(Errc::cancelled, "nobody waits for it");
    Result<Opened> opened = open_blocking(*opening, log_id, now, create);
    if (opening->handover.leave()) opening->remove_unwanted();
    return opened;
  };
  Result<Opened> opened = co_await env.disk.run(job);
  opener.opening->got = true;
  if (!opened) co_return opened.error().within("log " + place->directory);
  if (opened->state.truncated > 0) {
    env.logger.log(
        LogLevel::warning, "log", "cut off an incomplete commit",
        {{"directory", place->directory}, {"bytes", std::to_string(opened->state.truncated)}});
  }
  std::unique_ptr<Log> log = std::make_unique<SegmentLog>(env, std::move(opened->place),
                                                          std::move(opened->state), options);
  co_return log;
}

Task<Result<std::unique_ptr<Log>>> open_segment_log(Env& env, std::string directory,
                                                    SegmentLogOptions options) {
  return open_segment_log(env, env.files, std::move(directory), std::move(options));
}

}  // namespace knative
