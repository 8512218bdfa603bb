// What is missing when a log is opened, or taken away while it is open, is never passed over.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "knative/log.hpp"
#include "knative/simulation.hpp"
#include "state/small_log.hpp"
#include "support/real_world.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

using testing_state::directory;
using testing_state::small_segments;
const std::string manifest = directory + "/manifest";

std::string segment(int number) {
  return directory + "/00000000000" + std::to_string(number) + ".segment";
}

/// Append `count` records one by one; without `close` the log is dropped as by a kill.
Task<void> fill(Env& env, int count, bool close) {
  auto log = co_await open_segment_log(env, directory, small_segments());
  log.value();
  for (int i = 0; i < count; ++i) {
    const std::string text = "number " + std::to_string(i) + std::string(100, '.');
    (co_await (*log)->append(text)).value();
  }
  if (close) (co_await (*log)->close()).value();
}

/// "N records", or the error.
Task<std::string> look(Env& env, SegmentLogOptions options) {
  auto log = co_await open_segment_log(env, directory, options);
  if (!log) co_return log.error().to_string();
  Offset from = (*log)->first();
  while (from < (*log)->end()) {
    const auto records = co_await (*log)->read(from, ReadLimits());
    if (!records) co_return records.error().to_string();
    from += records->size();
  }
  co_return std::to_string(from) + " records";
}

void cut_to(Env& env, const std::string& path, std::uint64_t size) {
  OpenOptions options;
  options.write = true;
  auto file = env.files.open(path, options).value();
  file->truncate(size).value();
  file->sync().value();
}

/// What a log of `count` records says after `harm`, which leaves no other trace on the disk.
std::string after(int count, bool close, const std::function<void(Simulation&)>& harm) {
  Simulation world(5);
  world.run(fill(world.env(), count, close));
  harm(world);
  const auto found = world.disk().snapshot();
  const std::string said = world.run(look(world.env(), small_segments()));
  if (said.starts_with("data_loss")) {
    EXPECT_EQ(world.disk().snapshot(), found) << "a loss must stay as it was found";
  }
  return said;
}

std::uint64_t size_of(Simulation& world, const std::string& path) {
  return world.disk().snapshot().at(path).size();
}

const std::string loss = "data_loss: log " + directory + ": ";

TEST(SegmentLogManifest, ALogCutToHalfSaysWhichRecordIsTheFirstThatIsMissing) {
  for (const bool close : {true, false}) {
    const std::string said = after(12, close, [](Simulation& world) {
      cut_to(world.env(), segment(1), size_of(world, segment(1)) / 2);
    });
    EXPECT_TRUE(said.starts_with(loss + segment(1) + " at byte ")) << said;
    EXPECT_TRUE(said.ends_with("were committed; record 5 is the first that is missing")) << said;
  }
}

TEST(SegmentLogManifest, ACutOfOneAcknowledgedByteIsSeen) {
  const std::string said = after(3, false, [](Simulation& world) {
    cut_to(world.env(), segment(1), size_of(world, segment(1)) - 1);
  });
  EXPECT_TRUE(said.ends_with("record 2 is the first that is missing")) << said;
}

TEST(SegmentLogManifest, TheOnlySegmentDeletedIsALoss) {
  const std::string said =
      after(12, false, [](Simulation& world) { world.env().files.remove(segment(1)).value(); });
  EXPECT_EQ(said, loss + segment(1) +
                      " at byte 0: the file is missing; record 0 is the first that is missing");
}

TEST(SegmentLogManifest, TheLastSegmentDeletedIsALoss) {
  const std::string said =
      after(30, true, [](Simulation& world) { world.env().files.remove(segment(3)).value(); });
  EXPECT_TRUE(said.starts_with(loss + segment(3) + " at byte 0: the file is missing; record "))
      << said;
  EXPECT_FALSE(said.ends_with("record 0 is the first that is missing")) << said;
}

TEST(SegmentLogManifest, ASegmentInTheMiddleDeletedIsALoss) {
  const std::string said =
      after(40, true, [](Simulation& world) { world.env().files.remove(segment(2)).value(); });
  EXPECT_TRUE(said.starts_with(loss + segment(2) + " at byte 0: the file is missing; record "))
      << said;
}

TEST(SegmentLogManifest, TheFirstSegmentDeletedIsALoss) {
  const std::string said =
      after(40, true, [](Simulation& world) { world.env().files.remove(segment(1)).value(); });
  EXPECT_EQ(said, loss + segment(1) +
                      " at byte 0: the file is missing; record 0 is the first that is missing");
}

TEST(SegmentLogManifest, CutToHalfAndTheLastDeletedIsALoss) {
  const std::string said = after(30, true, [](Simulation& world) {
    cut_to(world.env(), segment(1), size_of(world, segment(1)) / 2);
    world.env().files.remove(segment(3)).value();
  });
  EXPECT_TRUE(said.starts_with(loss + segment(1) + " at byte ")) << said;
}

TEST(SegmentLogManifest, AMissingManifestIsALoss) {
  const std::string said =
      after(5, true, [](Simulation& world) { world.env().files.remove(manifest).value(); });
  EXPECT_EQ(said, loss + manifest + ": the file is missing; how far the log had got is not known");
}

TEST(SegmentLogManifest, ADamagedManifestIsALoss) {
  const std::string said = after(
      5, true, [](Simulation& world) { EXPECT_TRUE(world.disk().flip_bit(manifest, 30 * 8)); });
  EXPECT_TRUE(said.starts_with(loss + manifest + " at byte 0: damaged")) << said;
}

TEST(SegmentLogManifest, TheManifestOfAnotherLogIsALoss) {
  Simulation world(5);
  world.run(fill(world.env(), 5, true));
  const std::string other = world.env().files.read_file(manifest).value();
  world.env().files.remove_all(directory).value();
  world.run(fill(world.env(), 5, true));
  world.env().files.write_file(manifest, other).value();
  const std::string said = world.run(look(world.env(), small_segments()));
  EXPECT_EQ(said, loss + segment(1) + " at byte 0: the segment belongs to another log");
}

TEST(SegmentLogManifest, AnAbsentLogIsALossOnlyWhereOneMustBe) {
  Simulation world(5);
  SegmentLogOptions options = small_segments();
  options.create = false;
  EXPECT_TRUE(world.run(look(world.env(), options)).starts_with(loss + manifest));
  EXPECT_EQ(world.run(look(world.env(), small_segments())), "0 records");
  EXPECT_EQ(world.run(look(world.env(), options)), "0 records");
}

TEST(SegmentLogManifest, WhatRetentionGaveUpIsNoLoss) {
  Simulation world(5);
  auto main = [](Env& env) -> Task<void> {
    auto log = co_await open_segment_log(env, directory, small_segments());
    log.value();
    for (int i = 0; i < 60; ++i) {
      const std::string text(100, '.');
      (co_await (*log)->append(text)).value();
    }
    const Offset done = (*log)->end() - 5;
    (co_await (*log)->commit("reader", done)).value();
    EXPECT_GT((co_await (*log)->trim()).value(), 20u);
  };
  world.run(main(world.env()));
  EXPECT_FALSE(world.disk().snapshot().contains(segment(1)));
  EXPECT_EQ(world.run(look(world.env(), small_segments())), "60 records");
}

TEST(SegmentLogManifest, ATrimThatWasInterruptedIsFinishedAtTheNextStart) {
  Simulation world(5);
  world.run(fill(world.env(), 60, true));
  const std::string first = world.env().files.read_file(segment(1)).value();
  auto trim = [](Env& env) -> Task<void> {
    auto log = co_await open_segment_log(env, directory, small_segments());
    (co_await (*log.value()).commit("reader", 60)).value();
    (co_await (*log)->close()).value();
  };
  world.run(trim(world.env()));
  ASSERT_FALSE(world.disk().snapshot().contains(segment(1)));
  world.env().files.write_file(segment(1), first).value();
  EXPECT_EQ(world.run(look(world.env(), small_segments())), "60 records");
  EXPECT_FALSE(world.disk().snapshot().contains(segment(1)));
}

TEST(SegmentLogManifest, ACallerThatIsDroppedWhileOldSegmentsGoLeavesTheLogUsable) {
  Simulation world(5);
  auto main = [](Env& env) -> Task<void> {
    SegmentLogOptions options = small_segments();
    options.retention.bytes_max = 16 * 1024;
    options.retention.when_full = LogFullPolicy::drop_oldest;
    auto log = co_await open_segment_log(env, directory, options);
    log.value();
    const std::string text(500, '.');
    for (int i = 0; i < 200; ++i) {
      TaskSet tasks(env.executor);
      auto append = [](Log& to, std::string what) -> Task<void> { (void)co_await to.append(what); };
      tasks.add(append(**log, text));
      co_await env.timers.sleep_for(20us);
      tasks.clear();
    }
    co_await env.timers.sleep_for(1s);
    EXPECT_GT((*log)->first(), 0u);
    (co_await (*log)->append(text)).value();
    (co_await (*log)->close()).value();
  };
  world.run(main(world.env()));
  EXPECT_FALSE(world.run(look(world.env(), small_segments())).starts_with("data_loss"));
}

/// Written by version 1: the record "hello", and a cursor behind it.
std::string version_one() {
  constexpr std::string_view hex =
      "4b4e41544c4f47010100000000000000897766554433221100000000000000000000faed5172861800000000"
      "00000000000000000000000000000000ece4000b4b4e46313100000000000000ece4000b0000000000000000"
      "0000faed51728618010000005eae1fc3e3b6f0f304000000004b4e46314d00000001000000e3b6f0f3000000"
      "000000000000ca94295272861802000000053249a1a021fef6010500000068656c6c6f10fbdbcf020e000000"
      "0100000000000000726561646572";
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
  }
  return bytes;
}

TEST(SegmentLogManifest, ALogOfVersionOneIsReadAndGetsAManifest) {
  Simulation world(5);
  world.env().files.make_directories(directory).value();
  world.env().files.write_file(segment(1), version_one()).value();
  EXPECT_EQ(world.run(look(world.env(), small_segments())), "1 records");
  EXPECT_TRUE(world.disk().snapshot().contains(manifest));
  cut_to(world.env(), segment(1), 150);
  EXPECT_TRUE(world.run(look(world.env(), small_segments())).starts_with(loss));
}

Task<void> note_and_append(Env& env) {
  auto log = co_await open_segment_log(env, directory, small_segments());
  log.value();
  LogChange change;
  change.notes.emplace_back("reader", "text");
  (co_await (*log)->commit(change)).value();
  (co_await (*log)->append("world")).value();
}

/// Programs that know only older versions would take a frame with a note for damage.
TEST(SegmentLogManifest, ANoteIsNeverWrittenIntoASegmentOfAnOlderVersion) {
  Simulation world(5);
  world.env().files.make_directories(directory).value();
  world.env().files.write_file(segment(1), version_one()).value();
  world.run(note_and_append(world.env()));
  // It is left as it was, until retention takes it: its reader has passed everything.
  const Result<std::string> old = world.env().files.read_file(segment(1));
  EXPECT_TRUE(!old || *old == version_one());
  EXPECT_TRUE(world.disk().snapshot().contains(segment(2)));
  auto main = [](Env& env) -> Task<void> {
    auto log = co_await open_segment_log(env, directory, small_segments());
    log.value();
    EXPECT_EQ((*log)->notes().at("reader"), "text");
    EXPECT_EQ((*log)->cursor("reader"), 1u);
    EXPECT_EQ((*log)->end(), 2u);
  };
  world.run(main(world.env()));
}

// ---------------------------------------------------------------------------- while it is open

/// Acknowledged of 50 appends after `harm`, then after `mend`.
Task<std::pair<int, int>> acknowledged(Env& env, std::string path, std::function<void()> harm,
                                       std::function<void()> mend) {
  auto log = co_await open_segment_log(env, path);
  log.value();
  (co_await (*log)->append("before")).value();
  harm();
  std::pair<int, int> counts;
  for (int i = 0; i < 50; ++i) {
    const Result<Offset> at = co_await (*log)->append("text");
    counts.first += at ? 1 : 0;
    if (!at) {
      EXPECT_EQ(at.error().code, Errc::unavailable) << at.error().to_string();
    }
  }
  mend();
  for (int i = 0; i < 10; ++i) {
    const Result<Offset> at = co_await (*log)->append("text");
    counts.second += at ? 1 : 0;
  }
  co_return counts;
}

TEST(SegmentLogManifest, NothingIsAcknowledgedOnceTheDirectoryIsGone) {
  testing_world::TemporaryDirectory data;
  Loop loop(testing_world::quiet());
  const std::string path = data / "orders";
  Files& files = loop.env().files;
  const auto removed = loop.run(acknowledged(
      loop.env(), path, [&] { files.remove_all(path).value(); },
      [&] { files.make_directories(path).value(); }));
  EXPECT_EQ(removed, std::pair(0, 0));
}

TEST(SegmentLogManifest, ALogThatWasMovedAwayGoesOnWhenItIsBack) {
  testing_world::TemporaryDirectory data;
  Loop loop(testing_world::quiet());
  const std::string path = data / "orders";
  Files& files = loop.env().files;
  const auto moved = loop.run(acknowledged(
      loop.env(), path, [&] { files.rename(path, data / "away").value(); },
      [&] { files.rename(data / "away", path).value(); }));
  EXPECT_EQ(moved, std::pair(0, 10));
}

Task<void> commit_one(Log& log, std::string cursor) {
  EXPECT_TRUE(co_await log.commit(std::move(cursor), 1));
}

Task<void> check_well(Log& log) { EXPECT_TRUE(co_await log.check()); }

/// A commit fails and the log is looked at again; what becomes of a cursor that is committed
/// before, or while that is under way.
Task<std::optional<Offset>> cursor_after_check(Simulation& world, std::string name, bool before) {
  const std::unique_ptr<Log> log =
      (co_await open_segment_log(world.env(), directory, small_segments())).value();
  (co_await log->append("one")).value();
  if (before) (co_await log->commit(name, 1)).value();
  FaultPlan full;
  full.no_space = 1;
  world.faults().set_plan(full);
  EXPECT_FALSE(co_await log->append("two"));
  EXPECT_FALSE(co_await log->check());
  world.faults().clear();
  TaskSet meanwhile(world.env().executor);
  if (!before) meanwhile.add(commit_one(*log, name));
  meanwhile.add(check_well(*log));
  co_await meanwhile.drained();
  co_return log->cursor(name);
}

TEST(SegmentLogManifest, ACheckOfALogThatFailedTakesNobodysCursor) {
  for (const char* name : {"probe", "other"}) {
    for (const bool before : {true, false}) {
      Simulation world(5);
      EXPECT_EQ(world.run(cursor_after_check(world, name, before)), Offset{1}) << name << before;
    }
  }
}

}  // namespace
}  // namespace knative
