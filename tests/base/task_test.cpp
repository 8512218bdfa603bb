#include "knative/task.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

namespace knative {
namespace {

/// A loop of nothing but a ready queue.
class Queue final : public Executor {
 public:
  /// Run until nothing is ready. Returns how many fibers ran.
  std::size_t drain() {
    std::size_t ran = 0;
    while (has_ready()) ran += run_ready();
    return ran;
  }
  int told = 0;

 private:
  void on_ready() override { ++told; }
};

/// Starts a task; gives its value when done.
template <class T>
class Started {
 public:
  Started(Queue& queue, Task<T> task) : queue_(queue), branch_(queue, std::move(task), finished_) {
    branch_.run();
  }
  bool done() const { return branch_.done(); }
  T value() {
    queue_.drain();
    return branch_.take();
  }

 private:
  Queue& queue_;
  Wakeup finished_;
  detail::Branch<T> branch_;
};

/// Counts its living instances: every frame, argument and local must go exactly once.
class Alive {
 public:
  explicit Alive(int& count) : count_(&count) { ++*count_; }
  Alive(const Alive& other) : count_(other.count_) { ++*count_; }
  Alive(Alive&& other) noexcept : count_(other.count_) { ++*count_; }
  Alive& operator=(const Alive&) = default;
  ~Alive() { --*count_; }

 private:
  int* count_;
};

Task<int> immediate(int value) { co_return value; }

Task<std::string> immediate_text(std::string value) { co_return value; }

Task<void> nothing() { co_return; }

Task<int> after(Wakeup& event, int value) {
  co_await event.wait();
  co_return value;
}

Task<int> after_then_throw(Wakeup& event, std::string what) {
  co_await event.wait();
  throw std::runtime_error(what);
}

Task<void> park(Wakeup& event) { co_await event.wait(); }

Task<void> park_alive(Wakeup& event, Alive alive) {
  Alive local = alive;
  co_await event.wait();
}

// ---------------------------------------------------------------------------- awaiting

TEST(Task, DoesNothingUntilStarted) {
  int alive = 0;
  Wakeup event;
  {
    Task<void> task = park_alive(event, Alive(alive));
    EXPECT_TRUE(task.valid());
    EXPECT_EQ(alive, 1);
    EXPECT_FALSE(event.has_waiters());
  }
  EXPECT_EQ(alive, 0);
}

TEST(Task, MovesAndResets) {
  Task<int> empty;
  EXPECT_FALSE(empty.valid());
  Task<int> task = immediate(1);
  Task<int> other = std::move(task);
  EXPECT_TRUE(other.valid());
  EXPECT_FALSE(task.valid());  // NOLINT: what a moved-from task says
  other = immediate(2);
  other.reset();
  EXPECT_FALSE(other.valid());
}

Task<int> sum_by_awaiting(int count) {
  int sum = 0;
  for (int i = 0; i < count; ++i) sum += co_await immediate(1);
  co_return sum;
}

TEST(Task, TwoMillionSynchronousAwaitsNeedNoStack) {
  Queue queue;
  Started<int> run(queue, sum_by_awaiting(2'000'000));
  EXPECT_EQ(run.value(), 2'000'000);
}

Task<int> depth(int level) {
  if (level == 0) co_return 0;
  co_return 1 + co_await depth(level - 1);
}

TEST(Task, AHundredThousandNestedAwaitsNeedNoStack) {
  Queue queue;
  Started<int> run(queue, depth(100'000));
  EXPECT_EQ(run.value(), 100'000);
}

Task<void> deep_park(int level, Wakeup& event, Alive alive) {
  if (level == 0) {
    co_await event.wait();
    co_return;
  }
  co_await deep_park(level - 1, event, alive);
}

TEST(Task, DroppingAHundredThousandNestedAwaitsNeedsNoStack) {
  Queue queue;
  Wakeup event;
  int alive = 0;
  {
    TaskSet set(queue);
    set.add(deep_park(100'000, event, Alive(alive)));
    queue.drain();
    EXPECT_GT(alive, 100'000);
    EXPECT_TRUE(event.has_waiters());
  }
  EXPECT_EQ(alive, 0);
  EXPECT_FALSE(event.has_waiters());
}

TEST(Task, ResumesAHundredThousandNestedAwaits) {
  Queue queue;
  Wakeup event;
  int alive = 0;
  Started<void> run(queue, deep_park(100'000, event, Alive(alive)));
  queue.drain();
  event.set();
  run.value();
  EXPECT_EQ(alive, 1);  // the argument of the outermost, which `run` holds
}

Task<std::unique_ptr<int>> make_unique_int(int value) { co_return std::make_unique<int>(value); }

Task<int> use_move_only() {
  std::unique_ptr<int> value = co_await make_unique_int(7);
  auto task = make_unique_int(*value + 1);
  std::unique_ptr<int> next = co_await task;
  EXPECT_FALSE(task.valid());  // awaiting by name takes the frame over
  co_return *next;
}

TEST(Task, YieldsMoveOnlyResults) {
  Queue queue;
  Started<int> run(queue, use_move_only());
  EXPECT_EQ(run.value(), 8);
}

struct TwoTasks {
  std::string first;
  int second;
};

Task<TwoTasks> make_pair_in_braces() { co_return {"one", 2}; }

TEST(Task, ReturnsBraceLists) {
  Queue queue;
  Started<TwoTasks> run(queue, make_pair_in_braces());
  const TwoTasks pair = run.value();
  EXPECT_EQ(pair.first + std::to_string(pair.second), "one2");
}

Task<std::string> greet(const std::string& name, std::string greeting) {
  co_return greeting + " " + co_await immediate_text(name);
}

Task<std::string> argument_forms() {
  std::string named = "ada";
  std::string text = co_await greet(named, "hello");
  text += "|" + co_await greet("a string literal long enough to live on the heap", named);
  text += "|" + co_await greet(std::string(40, 'x'), std::move(named));
  std::optional<std::string> maybe = co_await greet("opt", std::string("in"));
  co_return text + "|" + *maybe;
}

TEST(Task, TakesArgumentsOfEverySafeForm) {
  Queue queue;
  Started<std::string> run(queue, argument_forms());
  EXPECT_EQ(run.value(), "hello ada|ada a string literal long enough to live on the heap|ada " +
                             std::string(40, 'x') + "|in opt");
}

TEST(TaskDeathTest, ATaskIsAwaitedOnce) {
  auto twice = []() -> Task<int> {
    Task<int> task = immediate(1);
    int sum = co_await task;
    sum += co_await task;
    co_return sum;
  };
  EXPECT_DEATH(
      {
        Queue queue;
        Started<int> run(queue, twice());
        run.value();
      },
      "invariant");
}

// ---------------------------------------------------------------------------- exceptions

Task<int> throw_at(int level, Alive alive) {
  if (level == 0) throw std::runtime_error("from the bottom");
  Alive local = alive;
  const int below = co_await throw_at(level - 1, alive);
  ADD_FAILURE() << "resumed after an exception";
  co_return below;
}

TEST(Task, ExceptionsPassThroughFiveFrames) {
  Queue queue;
  int alive = 0;
  {
    Started<int> run(queue, throw_at(5, Alive(alive)));
    try {
      run.value();
      FAIL() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "from the bottom");
    }
  }
  EXPECT_EQ(alive, 0);
}

Task<std::string> catch_in_the_middle(Alive alive) {
  std::string text;
  for (int round = 0; round < 3; ++round) {
    try {
      co_await throw_at(3, alive);
    } catch (const std::exception& error) {
      text += error.what();
    }
    text += std::to_string(co_await immediate(round));
  }
  co_return text;
}

TEST(Task, AnExceptionCanBeCaughtAndTheTaskGoesOn) {
  Queue queue;
  int alive = 0;
  {
    Started<std::string> run(queue, catch_in_the_middle(Alive(alive)));
    EXPECT_EQ(run.value(), "from the bottom0from the bottom1from the bottom2");
  }
  EXPECT_EQ(alive, 0);
}

TEST(Task, ExceptionsPassThroughManyFrames) {
  Queue queue;
  int alive = 0;
  {
    Started<int> run(queue, throw_at(2'000, Alive(alive)));
    EXPECT_THROW(run.value(), std::runtime_error);
  }
  EXPECT_EQ(alive, 0);
}

// ---------------------------------------------------------------------------- dropping

/// Waits at each of many points, in every kind of place a co_await can stand in.
Task<int> many_points(std::array<Wakeup, 9>& points, Alive alive) {
  Alive first = alive;
  co_await points[0].wait();
  int sum = co_await after(points[1], 1);
  for (int i = 0; i < 2; ++i) {
    Alive in_loop = alive;
    if (co_await after(points[2], 1) == 1) sum += co_await after(points[3], 2) + i;
  }
  try {
    Alive in_try = alive;
    co_await after_then_throw(points[4], "expected");
  } catch (const std::runtime_error&) {
    sum += 10;
  }
  {
    Alive in_block = alive;
    const auto both = co_await race(after(points[5], 3), after(points[6], 4));
    sum += both.first.value_or(0) + both.second.value_or(0);
  }
  std::vector<Task<int>> tasks;
  tasks.push_back(after(points[7], 5));
  tasks.push_back(immediate(6));
  for (const int value : co_await when_all(std::move(tasks))) sum += value;
  Task<int> named = after(points[8], 7);
  sum += co_await named;
  co_return sum;
}

TEST(Task, CanBeDroppedAtEverySuspensionPoint) {
  for (std::size_t reached = 0; reached <= 9; ++reached) {
    Queue queue;
    std::array<Wakeup, 9> points;
    int alive = 0;
    {
      TaskSet set(queue);
      bool finished = false;
      auto outer = [](std::array<Wakeup, 9>& events, Alive count, bool& flag) -> Task<void> {
        co_await many_points(events, count);
        flag = true;
      };
      set.add(outer(points, Alive(alive), finished));
      queue.drain();
      for (std::size_t i = 0; i < reached; ++i) {
        points[i].set();
        queue.drain();
      }
      EXPECT_EQ(finished, reached == 9);
      if (!finished) {
        EXPECT_GT(alive, 0);
      }
    }
    EXPECT_EQ(alive, 0) << "dropped after " << reached;
    for (Wakeup& point : points) EXPECT_FALSE(point.has_waiters());
    for (Wakeup& point : points) point.set();  // a wake after the drop reaches nobody
    EXPECT_EQ(queue.drain(), 0u);
  }
}

TEST(Task, CanBeDroppedWhileQueued) {
  Queue queue;
  Wakeup event;
  int alive = 0;
  {
    TaskSet set(queue);
    set.add(park_alive(event, Alive(alive)));
    set.add(park_alive(event, Alive(alive)));
    EXPECT_TRUE(queue.has_ready());
  }
  EXPECT_FALSE(queue.has_ready());
  EXPECT_EQ(alive, 0);
  {
    TaskSet set(queue);
    set.add(park_alive(event, Alive(alive)));
    queue.drain();
    event.notify_all();
    EXPECT_TRUE(queue.has_ready());  // woken, not yet resumed
  }
  EXPECT_EQ(queue.drain(), 0u);
  EXPECT_EQ(alive, 0);
}

/// Sets an event when destroyed: cancellation may have side effects on other fibers.
class SetWhenGone {
 public:
  explicit SetWhenGone(Wakeup& event) : event_(event) {}
  SetWhenGone(const SetWhenGone&) = delete;
  SetWhenGone& operator=(const SetWhenGone&) = delete;
  ~SetWhenGone() { event_.set(); }

 private:
  Wakeup& event_;
};

TEST(Task, CleanUpOfADroppedTaskMayWakeOthersAndItself) {
  Queue queue;
  Wakeup held;
  Wakeup gone;
  bool woken = false;
  auto holder = [](Wakeup& wait_for, Wakeup& tell) -> Task<void> {
    const SetWhenGone guard(tell);
    co_await wait_for.wait();
  };
  auto itself = [](Wakeup& event) -> Task<void> {
    const SetWhenGone guard(event);  // wakes its own fiber while that is being dropped
    co_await park(event);
  };
  auto watcher = [](Wakeup& event, bool& flag) -> Task<void> {
    co_await event.wait();
    flag = true;
  };
  TaskSet watchers(queue);
  watchers.add(watcher(gone, woken));
  {
    TaskSet set(queue);
    set.add(holder(held, gone));
    Wakeup own;
    set.add(itself(own));
    queue.drain();
    set.clear();
  }
  queue.drain();
  EXPECT_TRUE(woken);
}

TEST(Task, DropsInnermostFirst) {
  Queue queue;
  Wakeup never;
  std::string order;
  struct Mark {
    std::string& order;
    char letter;
    Mark(std::string& text, char c) : order(text), letter(c) {}
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;
    ~Mark() { order += letter; }
  };
  auto inner = [](Wakeup& event, std::string& text) -> Task<void> {
    const Mark mark(text, 'i');
    co_await event.wait();
  };
  auto outer = [](auto& run_inner, Wakeup& event, std::string& text) -> Task<void> {
    const Mark mark(text, 'o');
    co_await run_inner(event, text);
  };
  {
    TaskSet set(queue);
    set.add(outer(inner, never, order));
    queue.drain();
  }
  EXPECT_EQ(order, "io");
}

// ---------------------------------------------------------------------------- events

TEST(Wakeup, WaitingOnASetEventReturnsAtOnce) {
  Queue queue;
  Wakeup event;
  event.set();
  Started<int> run(queue, after(event, 3));
  EXPECT_EQ(queue.run_ready(), 1u);
  EXPECT_TRUE(run.done());
  EXPECT_EQ(run.value(), 3);
}

TEST(Wakeup, WakesInOrderOfWaiting) {
  Queue queue;
  Wakeup event;
  std::string order;
  auto wait = [](Wakeup& waited, std::string& text, char letter) -> Task<void> {
    co_await waited.wait();
    text += letter;
  };
  TaskSet set(queue);
  for (const char letter : {'a', 'b', 'c', 'd'}) set.add(wait(event, order, letter));
  queue.drain();
  EXPECT_TRUE(event.notify_one());
  EXPECT_TRUE(event.notify_one());
  queue.drain();
  EXPECT_EQ(order, "ab");
  event.notify_all();
  EXPECT_FALSE(event.notify_one());
  queue.drain();
  EXPECT_EQ(order, "abcd");
}

TEST(Wakeup, ANoticeToADroppedTaskGoesToTheNext) {
  Queue queue;
  Wakeup event;
  int got = 0;
  auto wait = [](Wakeup& waited, int& count) -> Task<void> {
    co_await waited.wait();
    ++count;
  };
  auto first = std::make_unique<TaskSet>(queue);
  TaskSet second(queue);
  first->add(wait(event, got));
  queue.drain();
  second.add(wait(event, got));
  queue.drain();
  event.notify_one();
  first.reset();  // after it was told, before it ran
  queue.drain();
  EXPECT_EQ(got, 1);
  EXPECT_TRUE(second.empty());
}

TEST(Wakeup, DestroyedEventLeavesItsWaitersSuspended) {
  Queue queue;
  int alive = 0;
  {
    TaskSet set(queue);
    {
      Wakeup event;
      set.add(park_alive(event, Alive(alive)));
      set.add(park_alive(event, Alive(alive)));
      queue.drain();
      event.notify_one();
    }
    queue.drain();  // the notified one runs, the other stays
    EXPECT_EQ(set.size(), 1u);
  }
  EXPECT_EQ(alive, 0);
}

// ---------------------------------------------------------------------------- race

/// All orders in which two racers can finish, and dropping instead.
enum class Order { left, right, both, neither };

class Race : public testing::TestWithParam<std::tuple<Order, bool, bool>> {};

TEST_P(Race, EveryOrderOfCompletionWithValuesAndExceptions) {
  const auto [order, left_throws, right_throws] = GetParam();
  Queue queue;
  Wakeup left;
  Wakeup right;
  {
    auto task = race(left_throws ? after_then_throw(left, "left") : after(left, 1),
                     right_throws ? after_then_throw(right, "right") : after(right, 2));
    Started<RaceResult<int, int>> run(queue, std::move(task));
    queue.drain();
    if (order == Order::left || order == Order::both) left.set();
    if (order == Order::right || order == Order::both) right.set();
    queue.drain();
    ASSERT_EQ(run.done(), order != Order::neither);
    if (order == Order::neither) return;  // dropped
    EXPECT_FALSE(left.has_waiters());     // the loser is gone as soon as race returns
    EXPECT_FALSE(right.has_waiters());
    const bool left_value = order != Order::right && !left_throws;
    const bool right_value = order != Order::left && !right_throws;
    if (left_value || right_value) {
      const RaceResult<int, int> result = run.value();
      EXPECT_EQ(result.first.has_value(), left_value);
      EXPECT_EQ(result.second.has_value(), right_value);
    } else {
      EXPECT_THROW(run.value(), std::runtime_error);
    }
  }
  EXPECT_FALSE(left.has_waiters());
  EXPECT_FALSE(right.has_waiters());
}

INSTANTIATE_TEST_SUITE_P(Orders, Race,
                         testing::Combine(testing::Values(Order::left, Order::right, Order::both,
                                                          Order::neither),
                                          testing::Bool(), testing::Bool()));

TEST(RaceTask, TakesVoidAndMoveOnly) {
  Queue queue;
  Started<RaceResult<Done, std::unique_ptr<int>>> run(queue, race(nothing(), make_unique_int(3)));
  auto result = run.value();
  EXPECT_TRUE(result.first.has_value());
  EXPECT_EQ(**result.second, 3);
}

Task<Result<int>> fails_as_a_result() { co_return fail(Errc::not_found, "nothing"); }

TEST(RaceTask, TakesResults) {
  Queue queue;
  Started<RaceResult<Result<int>, Done>> run(queue, race(fails_as_a_result(), nothing()));
  EXPECT_EQ(run.value().first->error().code, Errc::not_found);
}

TEST(RaceTask, DropsTheLoserBeforeItReturns) {
  Queue queue;
  Wakeup never;
  int alive = 0;
  int alive_afterwards = -1;
  auto both = [](Wakeup& event, Alive count, int& now, int& afterwards) -> Task<void> {
    co_await race(park_alive(event, count), nothing());
    afterwards = now;
  };
  {
    Started<void> run(queue, both(never, Alive(alive), alive, alive_afterwards));
    run.value();
  }
  EXPECT_EQ(alive_afterwards, 1);  // only the argument of `both`
  EXPECT_EQ(alive, 0);
}

Task<int> nested_race(int level, Wakeup& event, Alive alive) {
  if (level == 0) {
    co_await event.wait();
    co_return 0;
  }
  auto left = nested_race(level - 1, event, alive);
  auto right = nested_race(level - 1, event, alive);
  auto raced = co_await race(std::move(left), std::move(right));
  co_return 1 + raced.first.value_or(0);
}

TEST(RaceTask, NestsAndIsDroppedAsATree) {
  Queue queue;
  Wakeup event;
  int alive = 0;
  {
    Started<int> run(queue, nested_race(6, event, Alive(alive)));
    queue.drain();
    EXPECT_EQ(alive, 127);
  }
  EXPECT_EQ(alive, 0);
  {
    Started<int> run(queue, nested_race(6, event, Alive(alive)));
    queue.drain();
    event.set();
    EXPECT_EQ(run.value(), 6);
  }
  EXPECT_EQ(alive, 0);
}

TEST(RaceTask, ARacerMayDropATaskSetThatItsRivalUses) {
  Queue queue;
  Wakeup never;
  int alive = 0;
  auto set = std::make_unique<TaskSet>(queue);
  auto use = [](TaskSet& tasks, Wakeup& event, Alive count) -> Task<void> {
    tasks.add(park_alive(event, count));
    co_await event.wait();
  };
  auto drop = [](std::unique_ptr<TaskSet>& tasks) -> Task<void> {
    tasks.reset();
    co_return;
  };
  Started<RaceResult<Done, Done>> run(queue, race(use(*set, never, Alive(alive)), drop(set)));
  EXPECT_TRUE(run.value().second.has_value());
  EXPECT_EQ(alive, 0);
}

// ---------------------------------------------------------------------------- when_all

TEST(WhenAll, YieldsValuesByPositionInEveryOrderOfCompletion) {
  std::array<std::size_t, 4> order{0, 1, 2, 3};
  do {
    Queue queue;
    std::array<Wakeup, 4> events;
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 4; ++i) tasks.push_back(after(events[static_cast<std::size_t>(i)], i));
    Started<std::vector<int>> run(queue, when_all(std::move(tasks)));
    for (const std::size_t next : order) {
      EXPECT_FALSE(run.done());
      events[next].set();
      queue.drain();
    }
    EXPECT_EQ(run.value(), (std::vector<int>{0, 1, 2, 3}));
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(WhenAll, RethrowsTheFirstByPositionAfterAllHaveFinished) {
  Queue queue;
  std::array<Wakeup, 3> events;
  std::vector<Task<int>> tasks;
  tasks.push_back(after(events[0], 1));
  tasks.push_back(after_then_throw(events[1], "second"));
  tasks.push_back(after_then_throw(events[2], "third"));
  Started<std::vector<int>> run(queue, when_all(std::move(tasks)));
  events[2].set();
  events[1].set();
  queue.drain();
  EXPECT_FALSE(run.done());
  events[0].set();
  try {
    run.value();
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "second");
  }
}

TEST(WhenAll, OfNothingIsNothingAndOfVoidIsDone) {
  Queue queue;
  Started<std::vector<int>> none(queue, when_all(std::vector<Task<int>>()));
  EXPECT_TRUE(none.value().empty());
  std::vector<Task<void>> tasks;
  tasks.push_back(nothing());
  Started<std::vector<Done>> one(queue, when_all(std::move(tasks)));
  EXPECT_EQ(one.value().size(), 1u);
}

TEST(WhenAll, DropsAllWhenDropped) {
  Queue queue;
  Wakeup event;
  int alive = 0;
  {
    std::vector<Task<void>> tasks;
    for (int i = 0; i < 100; ++i) tasks.push_back(park_alive(event, Alive(alive)));
    Started<std::vector<Done>> run(queue, when_all(std::move(tasks)));
    queue.drain();
    EXPECT_EQ(alive, 200);
  }
  EXPECT_EQ(alive, 0);
}

// ---------------------------------------------------------------------------- task sets

TEST(TaskSetTask, DrainsWhenTheLastHasFinished) {
  Queue queue;
  Wakeup first;
  Wakeup second;
  TaskSet set(queue);
  set.add(park(first));
  set.add(park(second));
  Started<void> drained(queue, set.drained());
  queue.drain();
  first.set();
  queue.drain();
  EXPECT_FALSE(drained.done());
  EXPECT_EQ(set.size(), 1u);
  second.set();
  queue.drain();
  EXPECT_TRUE(drained.done());
  EXPECT_TRUE(set.empty());
}

Task<void> note_hops(int& hops) { hops = co_await CurrentHops(); }

Task<void> note_hops_of_a_child(TaskSet& tasks, int& hops) {
  const SetHops three(3);
  co_await three;
  tasks.add(note_hops(hops));
}

TEST(FiberTask, AFiberGoesOnFromTheHopsOfTheOneThatMadeIt) {
  Queue queue;
  TaskSet set(queue);
  int inherited = -1;
  int fresh = -1;
  set.add(note_hops_of_a_child(set, inherited));
  queue.drain();
  set.add(note_hops(fresh));
  queue.drain();
  EXPECT_EQ(inherited, 3);
  EXPECT_EQ(fresh, 0);
}

TEST(TaskSetTask, ClearWakesWhoWaitsForItToDrain) {
  Queue queue;
  Wakeup never;
  TaskSet set(queue);
  set.add(park(never));
  Started<void> drained(queue, set.drained());
  queue.drain();
  set.clear();
  queue.drain();
  EXPECT_TRUE(drained.done());
}

TEST(TaskSetTask, DestroyedWhileSomebodyWaitsForItToDrain) {
  Queue queue;
  Wakeup never;
  auto set = std::make_unique<TaskSet>(queue);
  set->add(park(never));
  Started<void> drained(queue, set->drained());
  queue.drain();
  set.reset();
  queue.drain();
  EXPECT_FALSE(drained.done());  // it must not look at a set that is gone
}

TEST(TaskSetTask, ATaskMayAddOthers) {
  Queue queue;
  TaskSet set(queue);
  int started = 0;
  struct Spawn {
    static Task<void> tree(TaskSet& tasks, int level, int& count) {
      ++count;
      if (level > 0) {
        tasks.add(tree(tasks, level - 1, count));
        tasks.add(tree(tasks, level - 1, count));
      }
      co_return;
    }
  };
  set.add(Spawn::tree(set, 9, started));
  queue.drain();
  EXPECT_EQ(started, 1023);
  EXPECT_TRUE(set.empty());
}

struct Connection {
  explicit Connection(Executor& executor) : tasks(executor) {}
  TaskSet tasks;
};

TEST(TaskSetTask, AFinishedTasksArgumentsMayOwnTheSet) {
  Queue queue;
  Wakeup event;
  Wakeup never;
  int alive = 0;
  auto serve = [](std::shared_ptr<Connection>, Wakeup& wait_for) -> Task<void> {
    co_await wait_for.wait();
  };
  auto connection = std::make_shared<Connection>(queue);
  std::weak_ptr<Connection> watched = connection;
  connection->tasks.add(park_alive(never, Alive(alive)));
  connection->tasks.add(serve(connection, event));
  connection.reset();
  queue.drain();
  EXPECT_FALSE(watched.expired());
  event.set();
  queue.drain();
  EXPECT_TRUE(watched.expired());  // and with it the other task
  EXPECT_EQ(alive, 0);
}

TEST(TaskSetTask, GivesExceptionsToItsHandler) {
  Queue queue;
  Wakeup event;
  TaskSet set(queue);
  std::string seen;
  set.on_error(
      [](void* context, std::exception_ptr thrown) {
        try {
          std::rethrow_exception(thrown);
        } catch (const std::exception& error) {
          *static_cast<std::string*>(context) += error.what();
        }
      },
      &seen);
  auto fail_after = [](Wakeup& wait_for) -> Task<void> {
    co_await wait_for.wait();
    throw std::runtime_error("lost");
  };
  set.add(fail_after(event));
  event.set();
  queue.drain();
  EXPECT_EQ(seen, "lost");
  EXPECT_TRUE(set.empty());
}

TEST(TaskSetDeathTest, ATaskMustNotDropItself) {
  auto suicide = [](TaskSet& tasks) -> Task<void> {
    tasks.clear();
    co_return;
  };
  EXPECT_DEATH(
      {
        Queue queue;
        TaskSet set(queue);
        set.add(suicide(set));
        queue.drain();
      },
      "invariant");
}

TEST(TaskSetDeathTest, FibersMustNotOutliveTheirExecutor) {
  EXPECT_DEATH(
      {
        Wakeup never;
        auto queue = std::make_unique<Queue>();
        TaskSet set(*queue);
        set.add(park(never));
        queue->drain();
        queue.reset();
      },
      "destroyed while 1 task still runs on it");
}

// ---------------------------------------------------------------------------- the ready queue

Task<void> yield_often(Wakeup& turn, int times, int& count) {
  for (int i = 0; i < times; ++i) {
    co_await turn.wait();
    ++count;
  }
}

TEST(ExecutorQueue, RunsOnlyWhatWasReadyWhenTheTurnBegan) {
  Queue queue;
  Wakeup ping;
  Wakeup pong;
  int turns = 0;
  auto player = [](Wakeup& mine, Wakeup& yours, int& count) -> Task<void> {
    for (;;) {
      co_await mine.wait();
      ++count;
      yours.notify_one();
    }
  };
  TaskSet set(queue);
  set.add(player(ping, pong, turns));
  set.add(player(pong, ping, turns));
  queue.drain();
  ping.notify_one();
  for (int turn = 1; turn <= 10; ++turn) {
    EXPECT_EQ(queue.run_ready(), 1u);  // the woken one waits for the next turn
    EXPECT_EQ(turns, turn);
  }
}

TEST(ExecutorQueue, AThousandFibersAdvanceEvenly) {
  Queue queue;
  Wakeup turn;
  std::vector<int> counts(1000);
  TaskSet set(queue);
  for (int& count : counts) set.add(yield_often(turn, 50, count));
  queue.drain();
  for (int round = 1; round <= 50; ++round) {
    turn.notify_all();
    EXPECT_EQ(queue.run_ready(), 1000u);
    EXPECT_EQ(*std::min_element(counts.begin(), counts.end()), round);
    EXPECT_EQ(*std::max_element(counts.begin(), counts.end()), round);
  }
  EXPECT_TRUE(set.empty());
}

TEST(ExecutorQueue, AFiberDroppedDuringATurnDoesNotLengthenIt) {
  Queue queue;
  Wakeup go;
  int ran = 0;
  TaskSet victims(queue);
  TaskSet set(queue);
  auto drop = [](Wakeup& event, TaskSet& others) -> Task<void> {
    co_await event.wait();
    others.clear();
  };
  auto again = [](Wakeup& event, int& count) -> Task<void> {
    for (;;) {
      co_await event.wait();
      ++count;
      co_await nothing();
    }
  };
  set.add(drop(go, victims));
  for (int i = 0; i < 10; ++i) victims.add(again(go, ran));
  queue.drain();
  go.notify_all();
  EXPECT_EQ(queue.run_ready(), 1u);
  EXPECT_EQ(ran, 0);
  EXPECT_FALSE(queue.has_ready());
}

TEST(ExecutorQueue, TellsItsLoopOncePerFilling) {
  Queue queue;
  Wakeup event;
  TaskSet set(queue);
  for (int i = 0; i < 5; ++i) set.add(park(event));
  EXPECT_EQ(queue.told, 1);
  queue.drain();
  EXPECT_EQ(queue.told, 1);
  event.set();
  EXPECT_EQ(queue.told, 2);
  queue.drain();
}

/// A pseudo-random storm of everything, as a search for what the tests above did not think of.
class Storm {
 public:
  explicit Storm(std::uint32_t seed) : state_(seed) {}

  void run() {
    Queue queue;
    int alive = 0;
    {
      std::array<Wakeup, 8> events;
      std::vector<std::unique_ptr<TaskSet>> sets;
      for (int i = 0; i < 4; ++i) sets.push_back(make_set(queue));
      for (int step = 0; step < 3000; ++step) {
        switch (next(8)) {
          case 0:
          case 1: sets[next(4)]->add(work(*this, events, 4, Alive(alive))); break;
          case 2: events[next(8)].notify_one(); break;
          case 3: events[next(8)].notify_all(); break;
          case 4: events[next(8)].set(); break;
          case 5: events[next(8)].reset(); break;
          case 6: queue.run_ready(); break;
          default:
            if (next(8) == 0) sets[next(4)] = make_set(queue);
            break;
        }
      }
    }
    EXPECT_EQ(alive, 0);
    EXPECT_FALSE(queue.has_ready());
  }

 private:
  static std::unique_ptr<TaskSet> make_set(Queue& queue) {
    auto set = std::make_unique<TaskSet>(queue);
    set->on_error([](void*, std::exception_ptr) {}, nullptr);
    return set;
  }

  std::uint32_t next(std::uint32_t bound) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return state_ % bound;
  }

  static Task<void> work(Storm& storm, std::array<Wakeup, 8>& events, int level, Alive alive) {
    Alive local = alive;
    for (std::uint32_t round = storm.next(3); round > 0; --round) {
      switch (level == 0 ? 0 : storm.next(5)) {
        case 0: co_await events[storm.next(8)].wait(); break;
        case 1: co_await work(storm, events, level - 1, alive); break;
        case 2: {
          Task<void> left = work(storm, events, level - 1, alive);
          Task<void> right = work(storm, events, level - 1, alive);
          co_await race(std::move(left), std::move(right));
          break;
        }
        case 3: {
          std::vector<Task<void>> tasks;
          for (int i = 0; i < 3; ++i) tasks.push_back(work(storm, events, level - 1, alive));
          co_await when_all(std::move(tasks));
          break;
        }
        default:
          if (storm.next(4) == 0) throw std::runtime_error("storm");
          break;
      }
    }
  }

  std::uint32_t state_;
};

TEST(Task, SurvivesStormsOfStartingWakingAndDropping) {
  for (std::uint32_t seed = 1; seed <= 30; ++seed) Storm(seed * 2654435761u).run();
}

}  // namespace
}  // namespace knative
