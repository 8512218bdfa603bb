// Whatever happens to the disk, an acknowledged append is there after recovery, and damage is
// reported instead of being served.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "knative/log.hpp"
#include "knative/simulation.hpp"
#include "state/small_log.hpp"
#include "support/forwarding_files.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

using testing_state::directory;
using testing_state::small_segments;

/// What a client was told.
struct Acknowledged {
  std::map<Offset, std::string> records;
  std::optional<Offset> cursor;     ///< The last commit that succeeded.
  std::optional<Offset> attempted;  ///< The last commit that was begun.
  int failures = 0;
  bool opened = false;
};

Task<void> append_one(Log& log, std::string text, Acknowledged& told) {
  const Result<Offset> at = co_await log.append(text);
  if (at) {
    EXPECT_TRUE(told.records.emplace(*at, text).second) << "an offset was given twice";
  } else {
    ++told.failures;
    EXPECT_TRUE(at.error().code == Errc::unavailable || at.error().code == Errc::resource_exhausted)
        << at.error().to_string();
  }
}

/// Groups of appends, some commits, some trims; goes on after failures.
Task<void> workload(Env& env, Acknowledged& told) {
  Result<std::unique_ptr<Log>> opened = co_await open_segment_log(env, directory, small_segments());
  if (!opened) co_return;
  told.opened = true;
  Log& log = **opened;
  int number = 0;
  for (int round = 0; round < 12; ++round) {
    std::vector<Task<void>> group;
    for (int i = 0; i <= round % 4; ++i) {
      std::string text = "record " + std::to_string(number++) + " ";
      text.append(static_cast<std::size_t>(number * 37 % 200), 'x');
      group.push_back(append_one(log, std::move(text), told));
    }
    co_await when_all(std::move(group));
    if (round % 3 == 1) {
      told.attempted = log.end();
      const Offset end = log.end();
      LogChange change;
      change.cursors.emplace_back("reader", end);
      change.notes.emplace_back("reader", std::to_string(end));
      const Result<void> committed = co_await log.commit(change);
      if (committed) told.cursor = end;
    }
    if (round % 4 == 3) (void)co_await log.trim();
  }
}

Task<void> verify(Env& env, const Acknowledged& told, const std::string& what) {
  SCOPED_TRACE(what);
  Result<std::unique_ptr<Log>> opened = co_await open_segment_log(env, directory, small_segments());
  EXPECT_TRUE(opened) << (opened ? "" : opened.error().to_string());
  if (!opened) co_return;
  Log& log = **opened;
  std::map<Offset, std::string> found;
  Offset from = log.first();
  while (from < log.end()) {
    const auto records = co_await log.read(from, ReadLimits());
    EXPECT_TRUE(records) << (records ? "" : records.error().to_string());
    if (!records || records->empty()) break;
    for (const Record& record : *records) {
      EXPECT_EQ(record.offset, from++);
      found[record.offset] = record.bytes;
    }
  }
  for (const auto& [offset, text] : told.records) {
    if (offset < log.first()) {
      EXPECT_LT(offset, told.attempted.value_or(0)) << "gone although nobody had read it";
      continue;
    }
    EXPECT_TRUE(found.contains(offset)) << "lost record " << offset;
    EXPECT_EQ(found[offset], text);
  }
  if (told.cursor) {
    const std::optional<Offset> cursor = log.cursor("reader");
    EXPECT_TRUE(cursor.has_value()) << "lost the cursor";
    EXPECT_TRUE(cursor == told.cursor || cursor == told.attempted) << cursor.value_or(999999);
    EXPECT_TRUE(log.notes().contains("reader")) << "lost the note";
    if (cursor && log.notes().contains("reader")) {
      EXPECT_EQ(log.notes().at("reader"), std::to_string(*cursor)) << "half a change";
    }
  }
  const Offset end = log.end();
  const Result<Offset> next = co_await log.append("after recovery");
  EXPECT_TRUE(next && *next == end) << (next ? "" : next.error().to_string());
}

std::uint64_t count_operations() {
  Simulation world(1);
  Acknowledged told;
  world.run(workload(world.env(), told));
  EXPECT_EQ(told.failures, 0);
  EXPECT_EQ(told.records.size(), 30u);
  return world.faults().file_operations();
}

TEST(SegmentLogCrash, keeps_every_acknowledged_record_when_the_machine_dies_at_any_operation) {
  const std::uint64_t operations = count_operations();
  ASSERT_GT(operations, 40u);
  for (const CrashMode mode : {CrashMode::lose_all, CrashMode::torn, CrashMode::reordered,
                               CrashMode::keep_all, CrashMode::seeded}) {
    for (std::uint64_t n = 1; n <= operations; ++n) {
      Simulation world(n * 10 + static_cast<std::uint64_t>(mode));
      Acknowledged told;
      world.faults().fail_nth_file_operation(n, Faults::forever);
      world.run(workload(world.env(), told));
      world.run_until_quiet(1h);
      world.crash(mode);
      world.faults().clear();
      world.run(verify(
          world.env(), told,
          "operation " + std::to_string(n) + ", mode " + std::to_string(static_cast<int>(mode))));
      if (HasFailure()) return;
    }
  }
}

TEST(SegmentLogCrash, goes_on_after_any_single_failed_operation_and_loses_nothing) {
  const std::uint64_t operations = count_operations();
  for (std::uint64_t n = 1; n <= operations; ++n) {
    Simulation world(n);
    Acknowledged told;
    world.faults().fail_nth_file_operation(n);
    world.run(workload(world.env(), told));
    if (told.opened) {
      EXPECT_GE(told.records.size(), 24u) << "operation " << n;
    }
    world.run_until_quiet(1h);
    world.crash(CrashMode::lose_all);
    world.faults().clear();
    world.run(verify(world.env(), told, "operation " + std::to_string(n)));
    if (HasFailure()) return;
  }
}

TEST(SegmentLogCrash, never_trusts_a_segment_after_a_failed_sync) {
  for (std::uint64_t n = 1; n <= 12; ++n) {
    Simulation world(n);
    Acknowledged told;
    auto main = [](Simulation& sim, Acknowledged& said, std::uint64_t nth) -> Task<void> {
      auto log = co_await open_segment_log(sim.env(), directory, small_segments());
      log.value();
      sim.faults().fail_nth(SimOperation::file_sync, nth);
      for (int i = 0; i < 15; ++i) {
        co_await append_one(**log, "text " + std::to_string(i), said);
      }
      EXPECT_EQ(said.failures, 1);
      EXPECT_GE((*log)->stats().segments, 2u);
    };
    world.run(main(world, told, n));
    world.run_until_quiet(1h);
    world.crash(CrashMode::lose_all);
    world.run(verify(world.env(), told, "sync " + std::to_string(n)));
    if (HasFailure()) return;
  }
}

TEST(SegmentLogCrash, refuses_while_the_disk_is_full_and_recovers_when_there_is_space) {
  Simulation world(3);
  Acknowledged told;
  auto main = [](Simulation& sim, Acknowledged& said) -> Task<void> {
    auto log = co_await open_segment_log(sim.env(), directory, small_segments());
    log.value();
    co_await append_one(**log, "before", said);
    sim.disk().set_capacity(sim.disk().used_bytes() + 100);
    const std::string large(500, 'x');
    for (int i = 0; i < 3; ++i) {
      const Result<Offset> refused = co_await (*log)->append(large);
      EXPECT_EQ(refused.error().code, Errc::resource_exhausted);
    }
    sim.disk().set_capacity(Faults::forever);
    co_await append_one(**log, "after", said);
    co_await append_one(**log, large, said);
    EXPECT_EQ((*log)->end(), 3u);
  };
  world.run(main(world, told));
  EXPECT_EQ(told.records.size(), 3u);
  world.crash(CrashMode::lose_all);
  world.run(verify(world.env(), told, "disk full"));
}

TEST(SegmentLogCrash, without_sync_it_does_lose_acknowledged_records) {
  Simulation world(4);
  Acknowledged told;
  auto main = [](Simulation& sim, Acknowledged& said) -> Task<void> {
    SegmentLogOptions options = small_segments();
    options.fsync_mode = FsyncMode::none;
    auto log = co_await open_segment_log(sim.env(), directory, options);
    log.value();
    for (int i = 0; i < 5; ++i) co_await append_one(**log, "text", said);
  };
  world.run(main(world, told));
  EXPECT_EQ(told.records.size(), 5u);
  world.crash(CrashMode::lose_all);
  auto look = [](Simulation& sim) -> Task<Offset> {
    auto log = co_await open_segment_log(sim.env(), directory, small_segments());
    log.value();
    co_return (*log)->end();
  };
  EXPECT_LT(world.run(look(world)), 5u);
}

TEST(SegmentLogCrash, a_log_that_lost_its_middle_says_data_loss_and_does_not_wait_for_ever) {
  Simulation world(4);
  auto main = [](Simulation& sim) -> Task<void> {
    SegmentLogOptions options = small_segments();
    options.fsync_mode = FsyncMode::none;
    auto log = co_await open_segment_log(sim.env(), directory, options);
    log.value();
    const std::string text(200, 'x');
    for (int i = 0; i < 30; ++i) (co_await (*log)->append(text)).value();
    EXPECT_GE((*log)->stats().segments, 3u);
  };
  world.run(main(world));
  world.crash(CrashMode::lose_all);
  auto look = [](Simulation& sim) -> Task<Error> {
    auto log = co_await open_segment_log(sim.env(), directory, small_segments());
    EXPECT_FALSE(log) << "opened with records that are gone";
    co_return log ? Error() : log.error();
  };
  const Error error = world.run(look(world));
  EXPECT_EQ(error.code, Errc::data_loss);
  const std::string place = directory + "/000000000001.segment at byte ";
  EXPECT_NE(error.detail.find(place), std::string::npos) << error.detail;
  EXPECT_NE(error.detail.find("bytes of it were committed"), std::string::npos) << error.detail;
}

/// Opens the log and reads everything; the records, or the first error.
Task<Result<std::vector<std::string>>> read_all(Env& env) {
  auto log = co_await open_segment_log(env, directory, small_segments());
  if (!log) co_return log.error();
  std::vector<std::string> texts;
  for (Offset from = (*log)->first(); from < (*log)->end();) {
    const auto records = co_await (*log)->read(from, ReadLimits());
    if (!records) co_return records.error();
    for (const Record& record : *records) texts.push_back(record.bytes);
    from += records->size();
  }
  co_return texts;
}

Task<void> fill(Env& env, int count) {
  auto log = co_await open_segment_log(env, directory, small_segments());
  log.value();
  for (int i = 0; i < count; ++i) {
    const std::string text = "number " + std::to_string(i) + std::string(100, '.');
    (co_await (*log)->append(text)).value();
  }
  (co_await (*log)->close()).value();
}

TEST(SegmentLogCrash, reports_every_flipped_bit_of_a_commit_as_data_loss) {
  std::map<std::string, std::string> files;
  {
    Simulation world(5);
    world.run(fill(world.env(), 30));
    files = world.disk().snapshot();
  }
  std::vector<std::string> segments;
  for (const auto& [path, bytes] : files) {
    if (path.ends_with(".segment")) segments.push_back(path);
  }
  ASSERT_GE(segments.size(), 2u);
  int flips = 0;
  for (const std::string& path : segments) {
    const bool newest = path == segments.back();
    const std::uint64_t bits = files[path].size() * 8;
    for (std::uint64_t bit = static_cast<std::uint64_t>(flips) % 7; bit < bits; bit += 61) {
      Simulation world(5);
      world.run(fill(world.env(), 30));
      ASSERT_TRUE(world.disk().flip_bit(path, bit));
      const auto before = world.disk().snapshot();
      const Result<std::vector<std::string>> read = world.run(read_all(world.env()));
      ++flips;
      if (read) {  // only bytes that mean nothing may be ignored
        EXPECT_EQ(read->size(), 30u) << path << " bit " << bit;
        EXPECT_TRUE(!newest && bit / 8 >= 12 && bit / 8 < 60) << path << " bit " << bit;
      } else {
        EXPECT_EQ(read.error().code, Errc::data_loss) << read.error().to_string();
        EXPECT_NE(read.error().detail.find(path), std::string::npos);
        EXPECT_EQ(world.disk().snapshot(), before) << "damage must stay as it was found";
      }
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(flips, 300);
}

Task<void> open_and_wait(Env& env, bool& opened) {
  const Result<std::unique_ptr<Log>> log = co_await open_segment_log(env, directory);
  opened = log.has_value();
  if (log) co_await env.timers.sleep_for(1h);
}

TEST(SegmentLogOpening, leaves_nothing_when_it_is_dropped_whenever_that_is) {
  std::uint64_t turns = 0;
  for (bool opened = false; !opened && turns < 1000; ++turns) {
    Simulation world(1);
    TaskSet opening(world.env().executor);
    opening.add(open_and_wait(world.env(), opened));
    for (std::uint64_t turn = 0; turn < turns; ++turn) world.step();
    opening.clear();
    world.run_for(1min);
    EXPECT_EQ(world.env().files.info(directory).has_value(), opened) << "after turn " << turns;
  }
  EXPECT_GT(turns, 2U);
}

TEST(SegmentLogOpening, leaves_what_was_there_when_it_is_dropped) {
  Simulation world(1);
  bool opened = false;
  {
    TaskSet first(world.env().executor);
    first.add(open_and_wait(world.env(), opened));
    world.run_for(1min);
  }
  EXPECT_TRUE(opened);
  TaskSet second(world.env().executor);
  second.add(open_and_wait(world.env(), opened));
  world.step();
  second.clear();
  world.run_for(1min);
  EXPECT_TRUE(world.env().files.info(directory + "/manifest"));
}

/// Somebody else makes the directory, with a log in it that he has closed again.
class MadeByAnother final : public testing_support::ForwardingFiles {
 public:
  using ForwardingFiles::ForwardingFiles;
  Result<void> make_directories(const std::string& path) override {
    return files_.rename(away, path);
  }
  static inline const std::string away = directory + ".away";
};

TEST(SegmentLogOpening, leaves_what_another_made_meanwhile_when_it_is_dropped) {
  auto open = [](Env& env, Files& files, bool& opened) -> Task<void> {
    const Result<std::unique_ptr<Log>> log = co_await open_segment_log(env, files, directory);
    opened = log.has_value();
  };
  std::uint64_t turns = 0;
  for (bool opened = false; !opened && turns < 1000; ++turns) {
    Simulation world(1);
    Files& files = world.env().files;
    MadeByAnother others(files);
    bool began = false;
    TaskSet tasks(world.env().executor);
    tasks.add(open(world.env(), files, began));
    world.run_for(1min);
    ASSERT_TRUE(began);
    files.rename(directory, others.away).value();
    tasks.add(open(world.env(), others, opened));
    for (std::uint64_t turn = 0; turn < turns; ++turn) world.step();
    tasks.clear();
    world.run_for(1min);
    EXPECT_TRUE(files.info(directory + "/manifest") || files.info(others.away + "/manifest"))
        << "after turn " << turns;
  }
  EXPECT_GT(turns, 2U);
}

// On threads the two may leave in any order, at any moment.
TEST(SegmentLogOpening, leaves_nothing_on_threads_either) {
  auto open = [](Env& world, std::string where) -> Task<void> {
    (void)co_await open_segment_log(world, std::move(where));
  };
  auto nap = [](Env& world, Duration time) -> Task<void> { co_await world.timers.sleep_for(time); };
  std::string parent;
  std::vector<std::string> dropped;
  {
    Loop loop;
    Env& env = loop.env();
    parent = env.files.make_temporary_directory("knative-log-opening-").value();
    for (int i = 0; i < 24; ++i) {
      const std::string where = parent + "/" + std::to_string(i);
      TaskSet opening(env.executor);
      opening.add(open(env, where));
      loop.run(nap(env, std::chrono::microseconds(100 * i)));
      if (!opening.empty()) dropped.push_back(where);
    }
  }  // which waits for its threads
  EXPECT_FALSE(dropped.empty());
  for (const std::string& where : dropped) EXPECT_FALSE(std::filesystem::exists(where)) << where;
  std::filesystem::remove_all(parent);
}

TEST(SegmentLogCrash, cuts_off_an_incomplete_last_commit_at_any_byte) {
  // The fifth commit of the same log, of which only a part reaches the disk.
  const std::string newest = directory + "/000000000001.segment";
  std::string five;
  {
    Simulation world(6);
    world.run(fill(world.env(), 5));
    five = world.disk().snapshot().at(newest);
  }
  for (std::uint64_t cut = 1; cut < 157; ++cut) {
    Simulation world(6);
    world.run(fill(world.env(), 4));
    const std::uint64_t size = world.disk().snapshot().at(newest).size();
    ASSERT_EQ(five.size() - size, 157u);
    OpenOptions options;
    options.write = true;
    auto file = world.env().files.open(newest, options);
    ASSERT_TRUE((*file)->write_at(size, five.substr(size, 157 - cut)));
    file->reset();
    const Result<std::vector<std::string>> read = world.run(read_all(world.env()));
    ASSERT_TRUE(read) << cut << " " << read.error().to_string();
    EXPECT_EQ(read->size(), 4u) << cut;
  }
}

TEST(SegmentLogCrash, says_data_loss_when_a_segment_in_the_middle_is_missing) {
  Simulation world(8);
  world.run(fill(world.env(), 60));
  std::vector<std::string> segments;
  for (const auto& [path, bytes] : world.disk().snapshot()) {
    if (path.ends_with(".segment")) segments.push_back(path);
  }
  ASSERT_GE(segments.size(), 3u);
  ASSERT_TRUE(world.env().files.remove(segments[1]));
  const Result<std::vector<std::string>> read = world.run(read_all(world.env()));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::data_loss);
}

TEST(Crc32c, agrees_with_the_published_vectors) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c("6789", crc32c("12345")), 0xe3069283u);
}

}  // namespace
}  // namespace knative
