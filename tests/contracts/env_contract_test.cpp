// One contract for both worlds: what `Loop` promises, `Simulation` promises too.
#include <gtest/gtest.h>

#include "knative/simulation.hpp"
#include "support/real_world.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
using StreamPtr = std::unique_ptr<Stream>;

/// The real world, with a scratch directory that it removes.
class RealWorld {
 public:
  Env& env() { return loop_.env(); }
  const std::string& scratch() const { return scratch_.path(); }
  template <class T>
  T run(Task<T> task) {
    return loop_.run(std::move(task));
  }

 private:
  testing_world::TemporaryDirectory scratch_;
  Loop loop_{testing_world::quiet()};
};

class VirtualWorld {
 public:
  VirtualWorld() : sim_(1) {
    scratch_ = sim_.env().files.make_temporary_directory("/tmp/contract-").value();
  }
  Env& env() { return sim_.env(); }
  const std::string& scratch() const { return scratch_; }
  template <class T>
  T run(Task<T> task) {
    return sim_.run(std::move(task));
  }

 private:
  Simulation sim_;
  std::string scratch_;
};

template <class World>
class EnvContract : public ::testing::Test {
 protected:
  Env& env() { return world.env(); }
  Files& files() { return world.env().files; }
  std::string path(const std::string& name) { return world.scratch() + "/" + name; }
  World world;
};

struct WorldNames {
  template <class World>
  static std::string GetName(int) {
    return std::is_same_v<World, RealWorld> ? "Loop" : "Simulation";
  }
};
using Worlds = ::testing::Types<RealWorld, VirtualWorld>;
TYPED_TEST_SUITE(EnvContract, Worlds, WorldNames);

// ---------------------------------------------------------------------------- timers

Task<void> note_at(Timers& timers, Instant due, int id, std::vector<int>& order) {
  co_await timers.sleep_until(due);
  order.push_back(id);
}

TYPED_TEST(EnvContract, TimersFireByTimeAndThenInArmingOrder) {
  auto work = [](Env& env) -> Task<std::vector<int>> {
    std::vector<int> order;
    TaskSet tasks(env.executor);
    const Instant now = env.timers.now();
    tasks.add(note_at(env.timers, now + 30ms, 1, order));
    tasks.add(note_at(env.timers, now + 10ms, 2, order));
    tasks.add(note_at(env.timers, now + 30ms, 3, order));
    tasks.add(note_at(env.timers, now - 1s, 4, order));
    co_await tasks.drained();
    co_return order;
  };
  EXPECT_EQ(this->world.run(work(this->env())), (std::vector<int>{4, 2, 1, 3}));
}

TYPED_TEST(EnvContract, SleepingTakesAtLeastThatLong) {
  auto work = [](Env& env) -> Task<Duration> {
    const Instant begin = env.timers.now();
    co_await env.timers.sleep_for(20ms);
    co_return env.timers.now() - begin;
  };
  EXPECT_GE(this->world.run(work(this->env())), 20ms);
}

TYPED_TEST(EnvContract, ADroppedSleepNeverWakes) {
  auto work = [](Env& env) -> Task<bool> {
    std::vector<int> order;
    {
      TaskSet tasks(env.executor);
      tasks.add(note_at(env.timers, env.timers.now() + 5ms, 1, order));
      co_await env.timers.sleep_for(1ms);
    }
    co_await env.timers.sleep_for(20ms);
    co_return order.empty();
  };
  EXPECT_TRUE(this->world.run(work(this->env())));
}

TYPED_TEST(EnvContract, ArmingAnArmedNodeMovesIt) {
  struct Counter final : TimerNode {
    int fired = 0;
    void fire() noexcept override { ++fired; }
  };
  auto work = [](Env& env) -> Task<bool> {
    Counter node;
    const Instant begin = env.timers.now();
    env.timers.arm(node, begin + 5ms);
    env.timers.arm(node, begin + 40ms);
    const bool moved = node.armed() && node.due() == begin + 40ms;
    co_await env.timers.sleep_until(begin + 15ms);
    const bool early = node.fired != 0;
    co_await env.timers.sleep_until(begin + 60ms);
    co_return moved && !early && node.fired == 1 && !node.armed();
  };
  EXPECT_TRUE(this->world.run(work(this->env())));
}

TYPED_TEST(EnvContract, ADeadlineDropsWhatIsTooSlow) {
  auto work = [](Env& env) -> Task<bool> {
    auto sleep = [](Timers& timers, Duration wait) -> Task<int> {
      co_await timers.sleep_for(wait);
      co_return 1;
    };
    Task<int> slow = sleep(env.timers, 1h);
    Task<int> quick = sleep(env.timers, 1ms);
    auto first = co_await with_deadline(env.timers, std::move(slow), env.timers.now() + 5ms);
    auto second = co_await with_deadline(env.timers, std::move(quick), env.timers.now() + 10s);
    co_return !first.has_value() && second.has_value();
  };
  EXPECT_TRUE(this->world.run(work(this->env())));
}

// ---------------------------------------------------------------------------- network

struct Ends {
  std::unique_ptr<Listener> listener;
  StreamPtr client;
  StreamPtr server;
};

Task<StreamPtr> dial(Network& network, Endpoint endpoint) {
  auto dialled = co_await network.connect(endpoint);
  co_return std::move(dialled).value();
}

Task<Ends> connected(Env& env, Endpoint at) {
  Ends ends;
  ends.listener = env.network.listen(at).value();
  ends.client = co_await dial(env.network, ends.listener->endpoint());
  ends.server = (co_await ends.listener->accept()).value();
  co_return ends;
}

Task<std::string> read_all(Stream& stream) {
  std::string all;
  std::vector<char> buffer(64 * 1024);
  const std::span<char> into(buffer);
  for (;;) {
    const std::size_t got = (co_await stream.read_some(into)).value();
    if (got == 0) break;
    all.append(buffer.data(), got);
  }
  co_return all;
}

Task<Result<std::size_t>> read_once(Stream& stream) {
  char buffer[256];
  const std::span<char> into(buffer);
  const Result<std::size_t> got = co_await stream.read_some(into);
  co_return got;
}

TYPED_TEST(EnvContract, AStreamCarriesBytesBothWaysAndEndsEachWayByItself) {
  auto work = [](Env& env) -> Task<void> {
    Endpoint any;
    Ends ends = co_await connected(env, any);
    const std::string_view pieces[] = {"GET ", "/", ""};
    const std::span<const std::string_view> all(pieces);
    const Result<std::size_t> sent = co_await ends.client->write(all);
    EXPECT_EQ(sent.value(), 5U);
    ends.client->shutdown_write();
    const std::string request = co_await read_all(*ends.server);
    EXPECT_EQ(request, "GET /");
    const Result<std::size_t> answered = co_await ends.server->write_all("200 OK");
    EXPECT_EQ(answered.value(), 6U);
    ends.server.reset();
    const std::string response = co_await read_all(*ends.client);
    EXPECT_EQ(response, "200 OK");
  };
  this->world.run(work(this->env()));
}

TYPED_TEST(EnvContract, ListenersHaveARealPortAndPeersAnAddress) {
  auto work = [](Env& env) -> Task<void> {
    Endpoint any;
    Ends ends = co_await connected(env, any);
    EXPECT_NE(ends.listener->endpoint().port, 0);
    EXPECT_EQ(ends.client->peer(), "127.0.0.1:" + std::to_string(ends.listener->endpoint().port));
    EXPECT_EQ(ends.server->peer().substr(0, 10), "127.0.0.1:");
  };
  this->world.run(work(this->env()));
}

TYPED_TEST(EnvContract, AnAddressInUseIsAlreadyExists) {
  Network& network = this->env().network;
  auto first = network.listen(Endpoint{}).value();
  EXPECT_EQ(network.listen(first->endpoint()).error().code, Errc::already_exists);
}

TYPED_TEST(EnvContract, ConnectingToNobodyIsUnavailable) {
  auto work = [](Env& env) -> Task<Errc> {
    auto listener = env.network.listen(Endpoint{}).value();
    const Endpoint gone = listener->endpoint();
    listener.reset();
    auto dialled = co_await env.network.connect(gone);
    co_return dialled.error().code;
  };
  EXPECT_EQ(this->world.run(work(this->env())), Errc::unavailable);
}

TYPED_TEST(EnvContract, UnixSocketsWorkTheSame) {
  Endpoint socket;
  socket.path = this->path("s");
  auto work = [](Env& env, Endpoint at) -> Task<void> {
    Ends ends = co_await connected(env, at);
    EXPECT_EQ(ends.listener->endpoint().path, at.path);
    const Result<std::size_t> sent = co_await ends.client->write_all("over the path");
    EXPECT_TRUE(sent.has_value());
    ends.client.reset();
    const std::string got = co_await read_all(*ends.server);
    EXPECT_EQ(got, "over the path");
  };
  this->world.run(work(this->env(), socket));
}

TYPED_TEST(EnvContract, AWriterWaitsForASlowReaderAndAllBytesArrive) {
  auto work = [](Env& env) -> Task<void> {
    Endpoint any;
    Ends ends = co_await connected(env, any);
    constexpr std::size_t size = 32 << 20;
    std::string payload(size, '\0');
    for (std::size_t i = 0; i < size; ++i) payload[i] = static_cast<char>(i * 31 >> 7);
    bool written = false;
    auto write = [](Stream& stream, const std::string& bytes, bool& done) -> Task<void> {
      const Result<std::size_t> sent = co_await stream.write_all(bytes);
      EXPECT_EQ(sent.value(), bytes.size());
      done = true;
      stream.shutdown_write();
    };
    TaskSet tasks(env.executor);
    tasks.add(write(*ends.client, payload, written));
    co_await env.timers.sleep_for(50ms);
    EXPECT_FALSE(written);
    const std::string got = co_await read_all(*ends.server);
    EXPECT_TRUE(got == payload);
    co_await tasks.drained();
    EXPECT_TRUE(written);
  };
  this->world.run(work(this->env()));
}

TYPED_TEST(EnvContract, ADroppedReadIsForgottenAndLosesNothing) {
  auto work = [](Env& env) -> Task<void> {
    Endpoint any;
    Ends ends = co_await connected(env, any);
    Task<Result<std::size_t>> read = read_once(*ends.server);
    auto early = co_await with_deadline(env.timers, std::move(read), env.timers.now() + 5ms);
    EXPECT_FALSE(early.has_value());
    const Result<std::size_t> sent = co_await ends.client->write_all("late");
    EXPECT_TRUE(sent.has_value());
    ends.client.reset();
    const std::string got = co_await read_all(*ends.server);
    EXPECT_EQ(got, "late");
  };
  this->world.run(work(this->env()));
}

TYPED_TEST(EnvContract, AbortEndsOperationsInProgress) {
  auto work = [](Env& env) -> Task<void> {
    Endpoint any;
    Ends ends = co_await connected(env, any);
    std::optional<Result<std::size_t>> mine;
    std::optional<Result<std::size_t>> theirs;
    auto read = [](Stream& stream, std::optional<Result<std::size_t>>& to) -> Task<void> {
      to = co_await read_once(stream);
    };
    TaskSet tasks(env.executor);
    tasks.add(read(*ends.client, mine));
    tasks.add(read(*ends.server, theirs));
    co_await env.timers.sleep_for(5ms);
    EXPECT_FALSE(mine.has_value());
    ends.client->abort();
    co_await tasks.drained();
    EXPECT_EQ(mine.value().error().code, Errc::cancelled);
    EXPECT_TRUE(!theirs.value() || **theirs == 0);
    const Result<std::size_t> after = co_await ends.client->write_all("x");
    EXPECT_FALSE(after.has_value());
  };
  this->world.run(work(this->env()));
}

TYPED_TEST(EnvContract, WritingToAPeerThatIsGoneFails) {
  auto work = [](Env& env) -> Task<Errc> {
    Endpoint any;
    Ends ends = co_await connected(env, any);
    ends.server.reset();
    const std::string bytes(1000, 'x');
    for (int i = 0; i < 1000; ++i) {
      const Result<std::size_t> sent = co_await ends.client->write_all(bytes);
      if (!sent) co_return sent.error().code;
      co_await env.timers.sleep_for(1ms);
    }
    co_return Errc::internal;
  };
  EXPECT_EQ(this->world.run(work(this->env())), Errc::unavailable);
}

TYPED_TEST(EnvContract, ManyConnectionsAtOnce) {
  auto work = [](Env& env) -> Task<int> {
    auto listener = env.network.listen(Endpoint{}).value();
    auto echo = [](StreamPtr stream) -> Task<void> {
      const std::string line = co_await read_all(*stream);
      const Result<std::size_t> sent = co_await stream->write_all(line);
      EXPECT_TRUE(sent.has_value());
    };
    auto serve = [](Listener& from, TaskSet& tasks, auto each) -> Task<void> {
      for (;;) {
        auto accepted = co_await from.accept();
        tasks.add(each(std::move(accepted).value()));
      }
    };
    auto call = [](Env& world, Endpoint to, int n) -> Task<int> {
      StreamPtr stream = co_await dial(world.network, to);
      const std::string line = "line " + std::to_string(n);
      const Result<std::size_t> sent = co_await stream->write_all(line);
      EXPECT_TRUE(sent.has_value());
      stream->shutdown_write();
      const std::string got = co_await read_all(*stream);
      co_return got == line ? 1 : 0;
    };
    TaskSet served(env.executor);
    TaskSet tasks(env.executor);
    tasks.add(serve(*listener, served, echo));
    std::vector<Task<int>> calls;
    for (int n = 0; n < 100; ++n) calls.push_back(call(env, listener->endpoint(), n));
    const std::vector<int> good = co_await when_all(std::move(calls));
    int sum = 0;
    for (const int one : good) sum += one;
    co_await served.drained();
    co_return sum;
  };
  EXPECT_EQ(this->world.run(work(this->env())), 100);
}

// ---------------------------------------------------------------------------- files

OpenOptions writing(bool create = true) {
  OpenOptions options;
  options.write = true;
  options.create = create;
  return options;
}

TYPED_TEST(EnvContract, FilesReadWriteTruncate) {
  auto file = this->files().open(this->path("f"), writing()).value();
  ASSERT_TRUE(file->write_at(0, "hello world").has_value());
  ASSERT_TRUE(file->write_at(6, "there").has_value());
  char buffer[32];
  EXPECT_EQ(file->read_at(0, std::span<char>(buffer)).value(), 11U);
  EXPECT_EQ(std::string_view(buffer, 11), "hello there");
  EXPECT_EQ(file->read_at(6, std::span<char>(buffer, 3)).value(), 3U);
  EXPECT_EQ(file->read_at(11, std::span<char>(buffer)).value(), 0U);
  EXPECT_EQ(file->read_at(1000, std::span<char>(buffer)).value(), 0U);
  ASSERT_TRUE(file->truncate(5).has_value());
  EXPECT_EQ(file->size().value(), 5U);
  ASSERT_TRUE(file->write_at(7, "!").has_value());
  EXPECT_EQ(this->files().read_file(this->path("f")).value(), std::string("hello\0\0!", 8));
  ASSERT_TRUE(file->truncate(10).has_value());
  EXPECT_EQ(file->size().value(), 10U);
  EXPECT_TRUE(file->sync().has_value());
}

TYPED_TEST(EnvContract, OpeningFollowsItsOptions) {
  Files& files = this->files();
  const std::string name = this->path("f");
  EXPECT_EQ(files.open(name, OpenOptions{}).error().code, Errc::not_found);
  EXPECT_EQ(files.open(name, writing(false)).error().code, Errc::not_found);
  EXPECT_EQ(files.open(this->path("no/f"), writing()).error().code, Errc::not_found);
  EXPECT_NE(files.open(name, OpenOptions{}).error().detail.find(name), std::string::npos);
  OpenOptions exclusive = writing();
  exclusive.exclusive = true;
  exclusive.mode = 0600;
  ASSERT_TRUE(files.open(name, exclusive).value()->write_at(0, "abc").has_value());
  EXPECT_EQ(files.info(name).value().mode, 0600U);
  EXPECT_EQ(files.open(name, exclusive).error().code, Errc::already_exists);
  EXPECT_FALSE(files.open(name, OpenOptions{}).value()->write_at(0, "x").has_value());
  OpenOptions truncating = writing();
  truncating.truncate = true;
  EXPECT_EQ(files.open(name, truncating).value()->size().value(), 0U);
}

TYPED_TEST(EnvContract, RemovedFilesStayReadableWhileOpen) {
  Files& files = this->files();
  ASSERT_TRUE(files.write_file(this->path("f"), "still here").has_value());
  auto file = files.open(this->path("f"), OpenOptions{}).value();
  ASSERT_TRUE(files.remove(this->path("f")).has_value());
  EXPECT_EQ(files.info(this->path("f")).error().code, Errc::not_found);
  EXPECT_EQ(file->size().value(), 10U);
}

TYPED_TEST(EnvContract, DirectoriesAreMadeListedAndRemoved) {
  Files& files = this->files();
  ASSERT_TRUE(files.make_directories(this->path("a/b/c")).has_value());
  ASSERT_TRUE(files.make_directories(this->path("a/b/c")).has_value());
  ASSERT_TRUE(files.write_file(this->path("a/z"), "26").has_value());
  ASSERT_TRUE(files.write_file(this->path("a/B"), "2").has_value());
  ASSERT_TRUE(files.make_symlink("z", this->path("a/link")).has_value());
  const std::vector<FileInfo> infos = files.list(this->path("a")).value();
  std::vector<std::string> names;
  for (const FileInfo& info : infos) names.push_back(info.name);
  EXPECT_EQ(names, (std::vector<std::string>{"B", "b", "link", "z"}));
  EXPECT_EQ(infos[0].type, FileType::regular);
  EXPECT_EQ(infos[0].size_bytes, 1U);
  EXPECT_EQ(infos[1].type, FileType::directory);
  EXPECT_EQ(infos[2].type, FileType::symlink);
  EXPECT_EQ(files.list(this->path("none")).error().code, Errc::not_found);
  EXPECT_FALSE(files.list(this->path("a/z")).has_value());
  EXPECT_FALSE(files.make_directories(this->path("a/z/d")).has_value());
  EXPECT_FALSE(files.remove(this->path("a")).has_value());
  EXPECT_TRUE(files.remove(this->path("a/b/c")).has_value());
  EXPECT_EQ(files.remove(this->path("a/b/c")).error().code, Errc::not_found);
  EXPECT_TRUE(files.remove_all(this->path("a")).has_value());
  EXPECT_TRUE(files.remove_all(this->path("a")).has_value());
  EXPECT_EQ(files.info(this->path("a")).error().code, Errc::not_found);
}

TYPED_TEST(EnvContract, SymbolicLinksAreFollowedOnlyWhereTheySay) {
  Files& files = this->files();
  ASSERT_TRUE(files.make_directories(this->path("real")).has_value());
  ASSERT_TRUE(files.write_file(this->path("real/f"), "content").has_value());
  ASSERT_TRUE(files.make_symlink("real", this->path("rel")).has_value());
  ASSERT_TRUE(files.make_symlink(this->path("real/f"), this->path("abs")).has_value());
  ASSERT_TRUE(files.make_symlink("../rel/f", this->path("real/up")).has_value());
  EXPECT_EQ(files.read_file(this->path("rel/f")).value(), "content");
  EXPECT_EQ(files.read_file(this->path("abs")).value(), "content");
  EXPECT_EQ(files.read_file(this->path("real/up")).value(), "content");
  EXPECT_EQ(files.read_symlink(this->path("rel")).value(), "real");
  EXPECT_FALSE(files.read_symlink(this->path("real")).has_value());
  EXPECT_EQ(files.info(this->path("rel")).value().type, FileType::symlink);
  EXPECT_EQ(files.make_symlink("x", this->path("rel")).error().code, Errc::already_exists);
  ASSERT_TRUE(files.make_symlink("loop", this->path("loop")).has_value());
  EXPECT_FALSE(files.read_file(this->path("loop")).has_value());
  // Removing a tree removes the link, not what it points to.
  ASSERT_TRUE(files.make_directories(this->path("tree")).has_value());
  ASSERT_TRUE(files.make_symlink("../real", this->path("tree/out")).has_value());
  ASSERT_TRUE(files.remove_all(this->path("tree")).has_value());
  EXPECT_EQ(files.read_file(this->path("real/f")).value(), "content");
}

TYPED_TEST(EnvContract, RenameReplacesAtomically) {
  Files& files = this->files();
  ASSERT_TRUE(files.write_file(this->path("a"), "new").has_value());
  ASSERT_TRUE(files.write_file(this->path("b"), "old").has_value());
  ASSERT_TRUE(files.rename(this->path("a"), this->path("b")).has_value());
  EXPECT_EQ(files.read_file(this->path("b")).value(), "new");
  EXPECT_EQ(files.rename(this->path("a"), this->path("b")).error().code, Errc::not_found);
  ASSERT_TRUE(files.make_directories(this->path("d/e")).has_value());
  EXPECT_FALSE(files.rename(this->path("b"), this->path("d")).has_value());
  EXPECT_FALSE(files.rename(this->path("d"), this->path("d/e/f")).has_value());
  ASSERT_TRUE(files.rename(this->path("d"), this->path("g")).has_value());
  EXPECT_TRUE(files.info(this->path("g/e")).has_value());
}

TYPED_TEST(EnvContract, ModesAreSet) {
  Files& files = this->files();
  ASSERT_TRUE(files.write_file(this->path("f"), "#!", 0600).has_value());
  EXPECT_EQ(files.info(this->path("f")).value().mode, 0600U);
  ASSERT_TRUE(files.set_mode(this->path("f"), 0751).has_value());
  EXPECT_EQ(files.info(this->path("f")).value().mode, 0751U);
  EXPECT_EQ(files.set_mode(this->path("none"), 0644).error().code, Errc::not_found);
}

TYPED_TEST(EnvContract, WholeFilesAreReplacedAndBounded) {
  Files& files = this->files();
  ASSERT_TRUE(files.write_file(this->path("f"), "one").has_value());
  ASSERT_TRUE(files.write_file(this->path("f"), "two!").has_value());
  EXPECT_EQ(files.read_file(this->path("f")).value(), "two!");
  EXPECT_EQ(files.read_file(this->path("f"), 4).value(), "two!");
  EXPECT_EQ(files.read_file(this->path("f"), 3).error().code, Errc::resource_exhausted);
  EXPECT_EQ(files.list(this->world.scratch()).value().size(), 1U);  // no temporary file is left
  EXPECT_TRUE(files.sync_directory(this->world.scratch()).has_value());
  EXPECT_FALSE(files.sync_directory(this->path("none")).has_value());
  EXPECT_FALSE(files.write_file(this->path("none/f"), "x").has_value());
}

TYPED_TEST(EnvContract, AFileKnowsWhetherItsPathStillLeadsToIt) {
  Files& files = this->files();
  ASSERT_TRUE(files.make_directories(this->path("d/e")).has_value());
  OpenOptions options;
  options.write = options.create = true;
  const auto file = files.open(this->path("d/e/f"), options).value();
  EXPECT_EQ(file->is_at(this->path("d/e/f")).value(), true);
  ASSERT_TRUE(files.write_file(this->path("d/e/g"), "other").has_value());
  EXPECT_EQ(file->is_at(this->path("d/e/g")).value(), false);
  ASSERT_TRUE(files.rename(this->path("d"), this->path("moved")).has_value());
  EXPECT_EQ(file->is_at(this->path("d/e/f")).value(), false);
  EXPECT_EQ(file->is_at(this->path("moved/e/f")).value(), true);
  ASSERT_TRUE(files.remove_all(this->path("moved")).has_value());
  EXPECT_EQ(file->is_at(this->path("moved/e/f")).value(), false);
}

TYPED_TEST(EnvContract, ALockHasOneHolder) {
  Files& files = this->files();
  auto held = files.lock(this->path("lock")).value();
  EXPECT_EQ(files.lock(this->path("lock")).error().code, Errc::failed_precondition);
  held.reset();
  EXPECT_TRUE(files.lock(this->path("lock")).has_value());
}

TYPED_TEST(EnvContract, TemporaryDirectoriesAreFreshAndPrivate) {
  Files& files = this->files();
  const std::string first = files.make_temporary_directory(this->path("t-")).value();
  const std::string second = files.make_temporary_directory(this->path("t-")).value();
  EXPECT_NE(first, second);
  EXPECT_EQ(first.rfind(this->path("t-"), 0), 0U);
  EXPECT_EQ(files.info(first).value().type, FileType::directory);
  EXPECT_EQ(files.info(first).value().mode, 0700U);
}

// ---------------------------------------------------------------------------- offload

TYPED_TEST(EnvContract, OffloadedWorkReturnsValuesAndExceptions) {
  auto work = [](Env& env) -> Task<void> {
    auto sum = [] { return 40 + 2; };
    auto nothing = [] {};
    auto bad = []() -> int { throw std::runtime_error("bad"); };
    const int value = co_await env.offload.run(sum);
    EXPECT_EQ(value, 42);
    co_await env.offload.run(nothing);
    bool thrown = false;
    try {
      co_await env.offload.run(bad);
    } catch (const std::runtime_error& e) {
      thrown = std::string(e.what()) == "bad";
    }
    EXPECT_TRUE(thrown);
  };
  this->world.run(work(this->env()));
}

TYPED_TEST(EnvContract, OffloadedWorkIsNotDoneAtOnceAndManyJobsFinish) {
  auto work = [](Env& env) -> Task<int> {
    auto one = [](Offload& offload, int n) -> Task<int> {
      auto job = [n] { return n; };
      co_return co_await offload.run(job);
    };
    std::vector<Task<int>> tasks;
    for (int n = 0; n < 200; ++n) tasks.push_back(one(env.offload, n));
    const std::vector<int> values = co_await when_all(std::move(tasks));
    int sum = 0;
    for (const int value : values) sum += value;
    co_return sum;
  };
  EXPECT_EQ(this->world.run(work(this->env())), 199 * 100);
}

TYPED_TEST(EnvContract, AbandonedWorkKeepsWhatItOwns) {
  auto work = [](Env& env) -> Task<void> {
    auto data = std::make_shared<std::vector<int>>(1000, 1);
    auto job = [data] {
      int sum = 0;
      for (const int one : *data) sum += one;
      return sum;
    };
    {
      Task<int> dropped = env.offload.run(job);
      TaskSet tasks(env.executor);
      auto start = [](Task<int> task) -> Task<void> { co_await std::move(task); };
      tasks.add(start(std::move(dropped)));
      co_await env.timers.sleep_for(1us);
    }
    co_await env.timers.sleep_for(5ms);
  };
  this->world.run(work(this->env()));
}

TYPED_TEST(EnvContract, FilesAndFunctionsHaveThreadsOfTheirOwn) {
  EXPECT_NE(&this->env().offload, &this->env().disk);
  auto work = [](Env& env) -> Task<int> {
    auto sum = [] { return 40 + 2; };
    co_return co_await env.disk.run(sum);
  };
  EXPECT_EQ(this->world.run(work(this->env())), 42);
}

TYPED_TEST(EnvContract, PostsRunInOrderAtALaterTurn) {
  auto work = [](Env& env) -> Task<std::string> {
    auto log = std::make_shared<std::string>();
    auto done = std::make_shared<Wakeup>();
    env.mailbox.post([log, &env, done] {
      *log += 'a';
      env.mailbox.post([log, done] {
        *log += 'c';
        done->set();
      });
    });
    env.mailbox.post([log] { *log += 'b'; });
    *log += '0';
    co_await done->wait();
    co_return *log;
  };
  EXPECT_EQ(this->world.run(work(this->env())), "0abc");
}

// ---------------------------------------------------------------------------- chance

TYPED_TEST(EnvContract, ChanceOfOneSeedIsTheSameInEveryWorldOfAKind) {
  TypeParam other;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(this->env().random(), other.env().random());
}

}  // namespace
}  // namespace knative
