// The SQLite store on a disk that fails or loses its power at any operation: what `durable` has
// answered for is there afterwards, with its uid.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "knative/core.hpp"
#include "knative/simulation.hpp"
#include "knative/store.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

const std::string path = "/data/objects.sqlite";

Result<std::unique_ptr<Store>> open_store(Env& env, bool sync = true) {
  SqliteStoreOptions options;
  options.sync = sync;
  options.files = &env.files;
  return sqlite_store(path, env.executor, env.timers, env.random, env.offload, options);
}

core::ConfigMap config(int number, std::string value) {
  core::ConfigMap object;
  object.metadata.name = "object-" + std::to_string(number);
  object.data["value"] = std::move(value);
  return object;
}

ObjectRef ref(std::string name) { return {"v1", "ConfigMap", "default", std::move(name)}; }

/// What a client was told: uid and value of each object, empty when it was removed.
using State = std::map<std::string, std::string>;
struct Told {
  State durable;    ///< At the last answer of `durable`.
  State attempted;  ///< With what came after it.
  int failures = 0;
};

std::string text_of(const AnyObject& object) {
  return object.metadata().uid + " " + object.get_if<core::ConfigMap>()->data.at("value");
}

void prepare(Simulation& world) {
  ASSERT_TRUE(world.env().files.make_directories("/data"));
  ASSERT_TRUE(world.env().files.sync_directory("/"));
}

/// Creates, changes and removes, and waits for the disk now and then; goes on after failures.
Task<void> workload(Env& env, Told& told) {
  Result<std::unique_ptr<Store>> opened = open_store(env);
  if (!opened) co_return;
  Store& store = **opened;
  for (int i = 0; i < 16; ++i) {
    const AnyObject created = store.create(config(i, std::string(500, 'a'))).value();
    told.attempted[created.metadata().name] = text_of(created);
    if (i % 3 == 1) {
      const AnyObject changed = store.update(config(i - 1, "changed")).value();
      told.attempted[changed.metadata().name] = text_of(changed);
    }
    if (i % 5 == 4) {
      const std::string name = "object-" + std::to_string(i - 2);
      (void)store.remove(ref(name)).value();
      told.attempted[name].clear();
    }
    if (i % 2 == 0) continue;
    const Result<void> durable = co_await store.durable();
    if (durable) {
      told.durable = told.attempted;
    } else {
      ++told.failures;
    }
  }
}

/// Versions are ordered: the disk holds everything up to some change, and that not before the
/// last answer.
void verify(Simulation& world, const Told& told, const std::string& what) {
  SCOPED_TRACE(what);
  Result<std::unique_ptr<Store>> opened = open_store(world.env());
  ASSERT_TRUE(opened) << opened.error().to_string();
  Store& store = **opened;
  for (const auto& [name, text] : told.durable) {
    const Result<AnyObject> found = store.get(ref(name));
    const std::string now = found ? text_of(*found) : "";
    EXPECT_TRUE(now == text || now == told.attempted.at(name)) << name << ": " << now;
  }
  const AnyObject created = store.create(config(1000, "after")).value();
  const Result<void> durable = world.run(store.durable());
  EXPECT_TRUE(durable) << durable.error().to_string();
  opened->reset();
  world.crash(CrashMode::lose_all);
  Result<std::unique_ptr<Store>> again = open_store(world.env());
  ASSERT_TRUE(again) << again.error().to_string();
  EXPECT_EQ((*again)->get(ref("object-1000")).value().metadata().uid, created.metadata().uid);
}

std::uint64_t count_store_operations() {
  Simulation world(1);
  prepare(world);
  const std::uint64_t before = world.faults().file_operations();
  Told told;
  world.run(workload(world.env(), told));
  EXPECT_EQ(told.failures, 0);
  EXPECT_EQ(told.durable, told.attempted);
  return world.faults().file_operations() - before;
}

TEST(SqliteStoreCrash, keeps_every_durable_object_when_the_machine_dies_at_any_operation) {
  const std::uint64_t operations = count_store_operations();
  ASSERT_GT(operations, 40u);
  for (const CrashMode mode : {CrashMode::lose_all, CrashMode::torn, CrashMode::reordered,
                               CrashMode::keep_all, CrashMode::seeded}) {
    for (std::uint64_t n = 1; n <= operations; ++n) {
      Simulation world(n * 10 + static_cast<std::uint64_t>(mode));
      prepare(world);
      Told told;
      world.faults().fail_nth_file_operation(n, Faults::forever);
      world.run(workload(world.env(), told));
      world.faults().clear();
      world.crash(mode);
      verify(world, told,
             "operation " + std::to_string(n) + ", mode " + std::to_string(static_cast<int>(mode)));
      if (HasFailure()) return;
    }
  }
}

TEST(SqliteStoreCrash, goes_on_after_any_single_failed_operation) {
  const std::uint64_t operations = count_store_operations();
  for (std::uint64_t n = 1; n <= operations; ++n) {
    Simulation world(n);
    prepare(world);
    Told told;
    world.faults().fail_nth_file_operation(n);
    world.run(workload(world.env(), told));
    EXPECT_LE(told.failures, 1);
    world.crash(CrashMode::lose_all);
    verify(world, told, "operation " + std::to_string(n));
    if (HasFailure()) return;
  }
}

TEST(SqliteStoreCrash, a_power_failure_takes_what_was_not_durable_yet) {
  Simulation world(3);
  prepare(world);
  std::unique_ptr<Store> store = open_store(world.env()).value();
  (void)store->create(config(1, "kept")).value();
  ASSERT_TRUE(world.run(store->durable()));
  (void)store->create(config(2, "lost")).value();
  world.power_off();
  store.reset();
  world.crash(CrashMode::keep_all);
  store = open_store(world.env()).value();
  EXPECT_TRUE(store->get(ref("object-1")));
  EXPECT_FALSE(store->get(ref("object-2")));
}

TEST(SqliteStoreCrash, without_sync_it_does_lose_durable_objects) {
  Simulation world(5);
  prepare(world);
  std::unique_ptr<Store> store = open_store(world.env(), false).value();
  (void)store->create(config(1, "lost")).value();
  ASSERT_TRUE(world.run(store->durable()));
  world.power_off();
  store.reset();
  world.crash(CrashMode::lose_all);
  const Result<std::unique_ptr<Store>> again = open_store(world.env());
  EXPECT_TRUE(!again || !(*again)->get(ref("object-1")));
}

TEST(SqliteStoreCrash, a_second_store_on_one_file_is_refused_on_a_simulated_disk_too) {
  Simulation world(4);
  prepare(world);
  std::unique_ptr<Store> store = open_store(world.env()).value();
  const Result<std::unique_ptr<Store>> second = open_store(world.env());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::failed_precondition);
  EXPECT_NE(second.error().detail.find(path), std::string::npos) << second.error().detail;
}

}  // namespace
}  // namespace knative
