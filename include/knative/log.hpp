/// \file
/// The event log: records appended durably, read in order, with named cursors and notes beside
/// them.
///
/// A `Log` knows nothing about events; a record is bytes. Offsets count records from 0 without
/// gaps. Two implementations keep one contract: `memory_log` (tests, volatile brokers) and
/// `open_segment_log` (append-only segment files with checksums and group commit,
/// docs/log-format.md). It is not a queue: reading removes nothing, `trim` does.
///
/// \code
/// auto opened = co_await knative::open_segment_log(env, "/var/lib/app/orders");
/// std::unique_ptr<knative::Log> log = std::move(opened).value();
/// knative::Offset at = (co_await log->append("hello")).value();  // durable now
/// \endcode
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/task.hpp"

namespace knative {

/// The number of a record in its log, from 0 without gaps.
using Offset = std::uint64_t;

/// A durable record as it is read.
struct Record {
  Offset offset = 0;
  WallTime time{};  ///< When the log accepted it.
  std::string bytes;
  friend bool operator==(const Record&, const Record&) = default;
};

/// How much to read at once; at least one record is given when there is one.
struct ReadLimits {
  std::size_t records_max = 256;
  std::size_t bytes_max = std::size_t{1} << 20;
};

/// What to do when records that a cursor still needs fill the log.
enum class LogFullPolicy : unsigned char {
  block = 0,        ///< `append` fails with `resource_exhausted` until a cursor moves.
  drop_oldest = 1,  ///< The oldest records go; counted in `LogStats::records_expired`.
};

/// How long records stay. Those that every cursor has passed may go at any `trim`; those without
/// any cursor stay for the whole period, so that consumers may come later. A memory log lets them
/// go at once when the last cursor has passed.
struct RetentionOptions {
  Duration age_max = std::chrono::hours(7 * 24);
  std::uint64_t bytes_max = std::uint64_t{10} << 30;
  LogFullPolicy when_full = LogFullPolicy::block;
};

/// What changes together: all of it is durable, or nothing.
struct LogChange {
  std::vector<std::pair<std::string, std::optional<Offset>>> cursors;  ///< Empty: forget it.
  /// Notes by name: what readers remember beside their cursors. Empty: forget it.
  std::vector<std::pair<std::string, std::optional<std::string>>> notes;
  bool empty() const noexcept { return cursors.empty() && notes.empty(); }
};

/// All notes by name.
using LogNotes = std::map<std::string, std::string, std::less<>>;
/// A log holds no more bytes of notes, names included. (resource_exhausted)
inline constexpr std::size_t log_notes_bytes_max = std::size_t{512} << 20;

/// Counts since the log was opened, and its present size.
struct LogStats {
  std::uint64_t appended = 0;         ///< Records acknowledged as durable.
  std::uint64_t rejected = 0;         ///< Appends that failed.
  std::uint64_t syncs = 0;            ///< Group commits.
  std::uint64_t sync_failures = 0;    ///< Failed writes and syncs.
  std::uint64_t records_expired = 0;  ///< Dropped by retention before some cursor passed them.
  std::uint64_t bytes = 0;            ///< Bytes held now.
  std::size_t segments = 0;
};

/// An append-only sequence of records with named cursors. Belongs to its loop.
class KNATIVE_EXPORT Log {
 public:
  virtual ~Log() = default;

  /// Append one record; when the task is done with an offset the record is durable. `bytes` must
  /// stay until the task first waits. Fails with `resource_exhausted` (pending bound, retention
  /// bound, disk full, record too large), `unavailable` (write or sync failed; the record may or
  /// may not appear after a restart), `failed_precondition` (closed). Concurrent appends share one
  /// sync.
  virtual Task<Result<Offset>> append(std::string_view bytes) = 0;
  /// Durable records from `from` on, in order; empty at the end. A `from` before `first()` starts
  /// there. Fails with `data_loss`, naming file and byte, when a record is damaged.
  virtual Task<Result<std::vector<Record>>> read(Offset from, ReadLimits limits) = 0;
  /// Wait until a record with this offset is durable or the log is closed.
  virtual Task<void> wait_for(Offset offset) = 0;

  /// Remember durably that the named reader is done with everything before `next`. Errors as
  /// `append`; `invalid_argument` beyond the end.
  virtual Task<Result<void>> commit(std::string cursor, Offset next) = 0;
  /// Forget a cursor durably; succeeds when absent.
  virtual Task<Result<void>> remove_cursor(std::string cursor) = 0;
  /// Change several cursors and notes at once. Errors as both of the above, `resource_exhausted`
  /// also for notes beyond `log_notes_bytes_max` or, with what waits, the pending bound. Notes stay
  /// until they are forgotten, whatever retention takes; they are kept in memory, too, and
  /// written anew into every segment, so who writes them bounds them.
  virtual Task<Result<void>> commit(LogChange change) = 0;
  /// What is durable, by name; until the next await.
  virtual const LogNotes& notes() const noexcept = 0;
  /// The last committed position of a cursor.
  virtual std::optional<Offset> cursor(std::string_view name) const = 0;
  virtual std::map<std::string, Offset, std::less<>> cursors() const = 0;

  /// Oldest offset that is still there.
  virtual Offset first() const noexcept = 0;
  /// One past the last durable record.
  virtual Offset end() const noexcept = 0;
  /// Apply the retention rules now. Yields the new `first()`.
  virtual Task<Result<Offset>> trim() = 0;
  /// Commit what is pending, then refuse everything. Waiting readers return.
  virtual Task<Result<void>> close() = 0;
  virtual LogStats stats() const = 0;
  /// Try again what failed last. Succeeds when the log works; fails as what was tried.
  virtual Task<Result<void>> check() = 0;
};

/// Bounds of `memory_log`.
struct MemoryLogOptions {
  std::size_t record_bytes_max = std::size_t{16} << 20;
  RetentionOptions retention{.bytes_max = std::uint64_t{256} << 20};
};

/// A log that lives as long as its object. `timers` must outlive it.
KNATIVE_EXPORT std::unique_ptr<Log> memory_log(Timers& timers, MemoryLogOptions options = {});

/// Whether a commit reaches the disk.
enum class FsyncMode : unsigned char {
  data = 0,  ///< fdatasync before every acknowledgement.
  none = 1,  ///< Never sync: loses acknowledged records at a power cut. For proofs only.
};

/// Bounds of a segment log.
struct SegmentLogOptions {
  std::uint64_t segment_bytes = std::uint64_t{64} << 20;  ///< A new file after this much.
  std::size_t record_bytes_max = std::size_t{16} << 20;   ///< (resource_exhausted)
  std::size_t pending_bytes_max = std::size_t{32} << 20;  ///< Not yet durable. (the same)
  std::size_t batch_bytes_max = std::size_t{1} << 20;     ///< Per sync.
  std::size_t cache_bytes_max = std::size_t{4} << 20;     ///< Newest records kept in memory.
  FsyncMode fsync_mode = FsyncMode::data;
  bool create = true;  ///< False: where no log is, one was lost (data_loss).
  RetentionOptions retention;
  /// Called on the loop when writing or reading begins to fail, with the error, and with nothing
  /// when both work again. Must not destroy the log.
  std::function<void(const std::optional<Error>&)> on_trouble;
};

/// Open or create the log in `directory` and recover it. A commit that was interrupted is cut off.
/// When something that was committed is damaged or gone (bytes, a segment, the manifest) it is
/// `data_loss`, naming file, byte and the first record that is missing, and the log stays as it is.
/// While it is open an append fails with `unavailable` once the log's file was removed or renamed.
/// `failed_precondition` when another process has the log open. Blocking work runs on `Env::disk`.
/// The world must outlive the log.
KNATIVE_EXPORT Task<Result<std::unique_ptr<Log>>> open_segment_log(Env& env, std::string directory,
                                                                   SegmentLogOptions options = {});
/// The same on another file system, for instance one that injects faults.
KNATIVE_EXPORT Task<Result<std::unique_ptr<Log>>> open_segment_log(Env& env, Files& files,
                                                                   std::string directory,
                                                                   SegmentLogOptions options = {});

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `bytes`, continuing from `seed`.
KNATIVE_EXPORT std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed = 0) noexcept;

}  // namespace knative
