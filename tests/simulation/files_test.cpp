// The in-memory disk: what a crash leaves, and its faults. The plain behaviour of Files is in
// tests/contracts.
#include <gtest/gtest.h>

#include <bit>
#include <set>

#include "knative/simulation.hpp"

namespace knative {
namespace {

OpenOptions to_write() {
  OpenOptions options;
  options.write = true;
  options.create = true;
  return options;
}

TEST(SimulationDisk, ACrashLosesWhatWasNotSynced) {
  Simulation sim(1);
  Files& files = sim.env().files;
  ASSERT_TRUE(files.make_directories("/data").has_value());
  ASSERT_TRUE(files.sync_directory("/").has_value());
  {
    auto file = files.open("/data/a", to_write()).value();
    ASSERT_TRUE(file->write_at(0, "durable").has_value());
    ASSERT_TRUE(file->sync().has_value());
    ASSERT_TRUE(files.sync_directory("/data").has_value());
    ASSERT_TRUE(file->write_at(7, " lost").has_value());
    auto other = files.open("/data/b", to_write()).value();
    ASSERT_TRUE(other->write_at(0, "no entry").has_value());
    ASSERT_TRUE(other->sync().has_value());
  }
  EXPECT_EQ(files.read_file("/data/a").value(), "durable lost");
  sim.crash(CrashMode::lose_all);
  EXPECT_EQ(files.read_file("/data/a").value(), "durable");
  EXPECT_EQ(files.read_file("/data/b").error().code, Errc::not_found);
}

TEST(SimulationDisk, KeepingAllIsLikeKillingOnlyTheProcess) {
  Simulation sim(1);
  Files& files = sim.env().files;
  auto file = files.open("/a", to_write()).value();
  ASSERT_TRUE(file->write_at(0, "abc").has_value());
  const auto before = sim.disk().snapshot();
  sim.crash(CrashMode::keep_all);
  EXPECT_EQ(sim.disk().snapshot(), before);
}

TEST(SimulationDisk, ATornCrashKeepsAPrefixOfTheUnsyncedBytes) {
  std::set<std::size_t> sizes;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Simulation sim(seed);
    Files& files = sim.env().files;
    auto file = files.open("/log", to_write()).value();
    ASSERT_TRUE(files.sync_directory("/").has_value());
    ASSERT_TRUE(file->write_at(0, "0123").has_value());
    ASSERT_TRUE(file->sync().has_value());
    ASSERT_TRUE(file->write_at(4, "4567").has_value());
    ASSERT_TRUE(file->write_at(8, "89ab").has_value());
    sim.crash(CrashMode::torn);
    const std::string left = files.read_file("/log").value();
    EXPECT_EQ(left, std::string("0123456789ab").substr(0, left.size()));
    EXPECT_GE(left.size(), 4U);
    sizes.insert(left.size());
  }
  EXPECT_EQ(sizes.size(), 9U);  // every length from 4 to 12 occurs
}

TEST(SimulationDisk, AReorderedCrashMayKeepTheLaterWriteOnly) {
  bool hole = false;
  for (std::uint64_t seed = 0; seed < 100 && !hole; ++seed) {
    Simulation sim(seed);
    Files& files = sim.env().files;
    auto file = files.open("/log", to_write()).value();
    ASSERT_TRUE(files.sync_directory("/").has_value());
    ASSERT_TRUE(file->write_at(0, std::string(4096, 'a')).has_value());
    ASSERT_TRUE(file->write_at(4096, std::string(4096, 'b')).has_value());
    sim.crash(CrashMode::reordered);
    const std::string left = files.read_file("/log").value();
    hole = left.size() == 8192 && left[0] == '\0' && left[4096] == 'b';
  }
  EXPECT_TRUE(hole);
}

TEST(SimulationDisk, FilesOpenBeforeTheCrashFailAndLocksAreFree) {
  Simulation sim(1);
  Files& files = sim.env().files;
  auto held = files.lock("/lock").value();
  EXPECT_EQ(files.lock("/lock").error().code, Errc::failed_precondition);
  sim.crash(CrashMode::keep_all);
  EXPECT_EQ(held->size().error().code, Errc::failed_precondition);
  auto again = files.lock("/lock");
  ASSERT_TRUE(again.has_value());
  held.reset();  // must not free the new holder's lock
  EXPECT_FALSE(files.lock("/lock").has_value());
}

TEST(SimulationDisk, ARenameBetweenDirectoriesIsNeverTornApart) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Simulation sim(seed);
    Files& files = sim.env().files;
    ASSERT_TRUE(files.make_directories("/a").has_value());
    ASSERT_TRUE(files.make_directories("/b").has_value());
    ASSERT_TRUE(files.write_file("/a/x", "content").has_value());
    ASSERT_TRUE(files.sync_directory("/").has_value());
    ASSERT_TRUE(files.rename("/a/x", "/b/x").has_value());
    const bool synced = seed % 2 == 0;
    if (synced) {
      ASSERT_TRUE(files.sync_directory("/b").has_value());
    }
    sim.crash();
    const bool in_a = files.info("/a/x").has_value();
    const bool in_b = files.info("/b/x").has_value();
    EXPECT_NE(in_a, in_b);
    EXPECT_TRUE(in_b || !synced);
  }
}

TEST(SimulationDisk, RemovingADirectoryTreeSurvivesOnlyWithASync) {
  Simulation sim(1);
  Files& files = sim.env().files;
  ASSERT_TRUE(files.make_directories("/d/e").has_value());
  ASSERT_TRUE(files.write_file("/d/e/f", "x").has_value());
  ASSERT_TRUE(files.sync_directory("/d").has_value());
  ASSERT_TRUE(files.sync_directory("/").has_value());
  ASSERT_TRUE(files.remove_all("/d").has_value());
  EXPECT_FALSE(files.info("/d").has_value());
  sim.crash(CrashMode::lose_all);
  EXPECT_EQ(files.read_file("/d/e/f").value(), "x");
}

TEST(SimulationDisk, ASmallDiskFillsUp) {
  Simulation sim(1);
  Files& files = sim.env().files;
  sim.disk().set_capacity(10);
  auto file = files.open("/a", to_write()).value();
  ASSERT_TRUE(file->write_at(0, "12345678").has_value());
  EXPECT_EQ(file->write_at(8, "abcd").error().code, Errc::resource_exhausted);
  EXPECT_EQ(file->size().value(), 10U);
  EXPECT_TRUE(file->write_at(0, "overwriting is fine").error().code == Errc::resource_exhausted);
  EXPECT_TRUE(file->write_at(0, "87654321").has_value());
  sim.disk().set_capacity(Faults::forever);
  EXPECT_TRUE(file->write_at(8, "abcd").has_value());
  EXPECT_EQ(sim.disk().used_bytes(), 12U);
}

TEST(SimulationDisk, AFlippedBitIsSeenByReaders) {
  Simulation sim(1);
  Files& files = sim.env().files;
  ASSERT_TRUE(files.write_file("/a", "AAAA").has_value());
  ASSERT_TRUE(sim.disk().flip_bit("/a", 9).has_value());
  EXPECT_EQ(files.read_file("/a").value(), "ACAA");
  EXPECT_EQ(sim.disk().flip_bit("/a", 32).error().code, Errc::invalid_argument);
  EXPECT_EQ(sim.disk().flip_bit("/b", 0).error().code, Errc::not_found);
}

TEST(SimulationDiskFaults, BitRotChangesExactlyOneStoredBit) {
  Simulation sim(1);
  Files& files = sim.env().files;
  ASSERT_TRUE(files.write_file("/a", std::string(64, '\0')).has_value());
  FaultPlan plan;
  plan.bit_rot = 1;
  sim.faults().set_plan(plan);
  const std::string read = files.read_file("/a").value();
  int bits = 0;
  for (const char c : read) bits += std::popcount(static_cast<unsigned char>(c));
  EXPECT_EQ(bits, 1);
}

TEST(SimulationDiskFaults, AfterAFailedSyncLaterSyncsDoNotBringTheBytesBack) {
  bool lost = false;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Simulation sim(seed);
    Files& files = sim.env().files;
    auto file = files.open("/a", to_write()).value();
    ASSERT_TRUE(files.sync_directory("/").has_value());
    ASSERT_TRUE(file->write_at(0, "one").has_value());
    sim.faults().fail_nth(SimOperation::file_sync, 1);
    EXPECT_FALSE(file->sync().has_value());
    ASSERT_TRUE(file->write_at(3, "two").has_value());
    EXPECT_TRUE(file->sync().has_value());
    EXPECT_EQ(files.read_file("/a").value(), "onetwo");
    sim.crash(CrashMode::lose_all);
    const std::string left = files.read_file("/a").value();
    lost = lost || left == std::string("\0\0\0two", 6);
  }
  EXPECT_TRUE(lost);
}

TEST(SimulationDiskFaults, AShortWriteLeavesAPrefix) {
  std::set<std::uint64_t> sizes;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Simulation sim(seed);
    auto file = sim.env().files.open("/a", to_write()).value();
    sim.faults().fail_nth(SimOperation::file_write, 1);
    EXPECT_EQ(file->write_at(0, "0123456789").error().code, Errc::resource_exhausted);
    sizes.insert(file->size().value());
  }
  EXPECT_EQ(sizes.size(), 10U);  // 0 to 9, never all
}

/// At every n: the n-th file operation fails (or it and all later ones, which is a crash at that
/// point), then the power fails. Either the old or the new content is there, and the new one for
/// sure when the call said so.
void fail_every_operation(std::uint64_t count, CrashMode mode) {
  for (std::uint64_t n = 1;; ++n) {
    ASSERT_LT(n, 100U);
    Simulation sim(n);
    Files& files = sim.env().files;
    ASSERT_TRUE(files.make_directories("/data").has_value());
    ASSERT_TRUE(files.sync_directory("/").has_value());
    ASSERT_TRUE(files.write_file("/data/file", "old").has_value());
    sim.faults().fail_nth_file_operation(n, count);
    const std::uint64_t before = sim.faults().injected();
    const Result<void> wrote = files.write_file("/data/file", "the new content");
    const bool struck = sim.faults().injected() != before;
    sim.faults().clear();
    if (!wrote) {
      // Without a crash too, readers see one or the other.
      const std::string seen = files.read_file("/data/file").value();
      EXPECT_TRUE(seen == "old" || seen == "the new content") << "at " << n << ": " << seen;
    }
    sim.crash(mode);
    const std::string left = files.read_file("/data/file").value();
    if (wrote) {
      EXPECT_EQ(left, "the new content") << "at " << n;
    } else {
      EXPECT_TRUE(left == "old" || left == "the new content") << "at " << n << ": " << left;
    }
    if (!struck) {
      EXPECT_TRUE(wrote.has_value());
      EXPECT_GT(n, 4U);  // open, write, sync, rename, sync of the directory
      break;
    }
  }
}

TEST(SimulationDiskFaults, WriteFileLeavesOldOrNewWhicheverOperationFails) {
  for (const CrashMode mode : {CrashMode::lose_all, CrashMode::torn, CrashMode::reordered,
                               CrashMode::keep_all, CrashMode::seeded}) {
    fail_every_operation(1, mode);
    fail_every_operation(Faults::forever, mode);
  }
}

TEST(SimulationDiskFaults, TheHarnessSeesAWriterThatForgetsToSync) {
  // The proof that the loop above can fail: the same without the file's sync loses content.
  bool damaged = false;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Simulation sim(seed);
    Files& files = sim.env().files;
    ASSERT_TRUE(files.write_file("/file", "old").has_value());
    {
      auto file = files.open("/file.new", to_write()).value();
      ASSERT_TRUE(file->write_at(0, "new").has_value());
    }
    ASSERT_TRUE(files.rename("/file.new", "/file").has_value());
    ASSERT_TRUE(files.sync_directory("/").has_value());
    sim.crash();
    const std::string left = files.read_file("/file").value();
    damaged = damaged || (left != "old" && left != "new");
  }
  EXPECT_TRUE(damaged);
}

TEST(SimulationDiskFaults, HostsHaveTheirOwnDisks) {
  Simulation sim(1);
  ASSERT_TRUE(sim.env().files.write_file("/a", "here").has_value());
  Files& far = sim.host("far").env().files;
  EXPECT_EQ(far.read_file("/a").error().code, Errc::not_found);
  ASSERT_TRUE(far.write_file("/a", "there").has_value());
  sim.host("far").disk().crash(CrashMode::lose_all);
  EXPECT_EQ(sim.env().files.read_file("/a").value(), "here");
}

}  // namespace
}  // namespace knative
