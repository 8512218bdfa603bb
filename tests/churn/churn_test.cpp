// Random worlds from seeds: objects of all kinds come and go under traffic, and what must hold is
// checked at each step. Each seed is played twice; both histories must have the same hash.
//
//   churn_test                          the seeds that fit into KNATIVE_CHURN_SECONDS (20)
//   churn_test --seed 17 [--verbose]    one world, in this process
//   churn_test --from 1 --count 1000    in processes of their own; all failures are told
//   churn_test --steps 12               shorter worlds: shrink a failing seed by hand with it
//   churn_test --exclude lost,leak      do not judge by these
//   churn_test --from 1 --count 9 --once    no twin: twice as many worlds in the same time
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "churn/world.hpp"

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __sanitizer_set_death_callback(void (*callback)());
#endif

namespace knative::churn {
namespace {

// What the signal handler can reach. The one world that is being played.
const History* playing = nullptr;

void tell_history() {
  if (playing == nullptr) return;
  const std::string& text = playing->text();
  constexpr std::size_t shown_max = 6000;
  const std::size_t from = text.size() > shown_max ? text.size() - shown_max : 0;
  const std::size_t head = from == 0 ? 0 : text.find('\n') + 1;  // it names the seed
  static_cast<void>(!::write(STDERR_FILENO, text.data(), head));
  static_cast<void>(!::write(STDERR_FILENO, text.data() + from, text.size() - from));
}

void on_abort(int) {
  tell_history();
  std::signal(SIGABRT, SIG_DFL);
  std::abort();
}

Outcome play(const Plan& plan) {
  History history;
  playing = &history;
  Outcome outcome;
  try {
    World world(plan, history);
    try {
      world.play();
      outcome = world.outcome();
    } catch (const Violation& violation) {
      outcome = world.outcome();
      outcome.violation = violation.text;
    } catch (const Exception& thrown) {
      outcome = world.outcome();
      outcome.violation = std::string("harness: ") + thrown.what();
    }
  } catch (const std::exception& thrown) {
    outcome.violation = std::string("harness: ") + thrown.what();
  }
  playing = nullptr;
  return outcome;
}

// The world and its twin. Empty when all is right.
std::string judge(const Plan& plan, Outcome& outcome) {
  outcome = play(plan);
  if (!outcome.violation.empty() || plan.once) return outcome.violation;
  const Outcome twin = play(plan);
  if (twin.hash == outcome.hash && twin.violation.empty()) return {};
  return "replay: the same seed gave another history " + twin.violation;
}

std::string last_lines(const std::string& text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  const std::size_t line = text.find('\n', text.size() - bytes);
  return "...\n" + text.substr(line + 1);
}

std::string told(const Plan& plan, const std::string& violation, const Outcome& outcome) {
  return "seed " + std::to_string(plan.seed) + ": " + violation + "\n" +
         last_lines(outcome.history, 5000);
}

struct Arguments {
  Plan plan;
  bool one = false;
  std::uint64_t from = 1;
  std::uint64_t count = 0;
};

std::set<std::string> words(const std::string& text) {
  std::set<std::string> found;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    if (comma > from) found.insert(text.substr(from, comma - from));
    from = comma + 1;
  }
  return found;
}

Arguments read_arguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "0";
    if (word == "--verbose" || word == "--once") {
      (word == "--once" ? arguments.plan.once : arguments.plan.verbose) = true;
      continue;
    }
    if (word == "--seed") {
      arguments.plan.seed = std::stoull(value);
      arguments.one = true;
    } else if (word == "--from") {
      arguments.from = std::stoull(value);
    } else if (word == "--count") {
      arguments.count = std::stoull(value);
    } else if (word == "--steps") {
      arguments.plan.steps_max = std::stoi(value);
    } else if (word == "--exclude") {
      arguments.plan.excluded = words(value);
    } else {
      std::fprintf(stderr, "unknown argument %s\n", word.c_str());
      std::exit(2);
    }
    ++i;
  }
  return arguments;
}

int play_one(const Plan& plan) {
  Outcome outcome;
  const std::string violation = judge(plan, outcome);
  if (!violation.empty()) {
    std::fprintf(stderr, "%s\n", told(plan, violation, outcome).c_str());
    return 1;
  }
  if (plan.verbose) {
    std::printf("seed %llu: %llu requests, %llu events, %llu deliveries, hash %llx\n",
                static_cast<unsigned long long>(plan.seed),
                static_cast<unsigned long long>(outcome.requests),
                static_cast<unsigned long long>(outcome.events),
                static_cast<unsigned long long>(outcome.deliveries),
                static_cast<unsigned long long>(outcome.hash));
  }
  return 0;
}

// Worlds one after the other, until one fails or dies; `at` is the one being played.
[[noreturn]] void play_batch(Plan plan, std::uint64_t end, volatile std::uint64_t& at) {
  for (; plan.seed < end; ++plan.seed) {
    at = plan.seed;
    ::alarm(120);
    if (play_one(plan) != 0) std::_Exit(1);
  }
  std::_Exit(0);
}

// In processes of their own: a world that dies ends no others. Several worlds in each, which find
// the memory of those before.
int play_many(const Arguments& arguments) {
  constexpr std::uint64_t batch = 100;
  constexpr std::uint64_t told_every = 1000;
  void* const shared = ::mmap(nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return 2;
  volatile std::uint64_t& at = *static_cast<std::uint64_t*>(shared);
  std::uint64_t failed = 0;
  for (std::uint64_t played = 0; played < arguments.count;) {
    Plan plan = arguments.plan;
    plan.seed = arguments.from + played;
    const std::uint64_t next = std::min(arguments.count, played / batch * batch + batch);
    std::fflush(nullptr);
    at = plan.seed;
    const pid_t child = ::fork();
    if (child == 0) play_batch(plan, arguments.from + next, at);
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child) return 2;
    played = status == 0 ? next : at - arguments.from + 1;
    if (status != 0) {
      ++failed;
      std::fprintf(stderr, "---- seed %llu failed%s\n", static_cast<unsigned long long>(at),
                   WIFSIGNALED(status) ? " and died" : "");
    }
    if (played % told_every == 0) {
      std::fprintf(stderr, "%llu worlds, %llu failed\n", static_cast<unsigned long long>(played),
                   static_cast<unsigned long long>(failed));
    }
  }
  std::printf("%llu worlds, %llu failed\n", static_cast<unsigned long long>(arguments.count),
              static_cast<unsigned long long>(failed));
  return failed == 0 ? 0 : 1;
}

TEST(Churn, EverythingHoldsInEveryWorldThatFitsIntoTheTime) {
  const char* wanted = std::getenv("KNATIVE_CHURN_SECONDS");
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::seconds(wanted == nullptr ? 20 : std::stoi(wanted));
  std::uint64_t played = 0;
  std::uint64_t events = 0;
  for (std::uint64_t seed = 1; std::chrono::steady_clock::now() < end; ++seed) {
    Plan plan;
    plan.seed = seed;
    Outcome outcome;
    const std::string violation = judge(plan, outcome);
    ASSERT_TRUE(violation.empty()) << told(plan, violation, outcome);
    ++played;
    events += outcome.events;
  }
  std::printf("%llu worlds, each twice; %llu events\n", static_cast<unsigned long long>(played),
              static_cast<unsigned long long>(events));
  EXPECT_GT(played, 0U);
}

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  std::signal(SIGABRT, on_abort);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_set_death_callback(tell_history);
#endif
#if defined(__GLIBC__)
  // World after world takes the same memory: it need not go back in between.
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 32 << 20);
#endif
  const Arguments arguments = read_arguments(argc, argv);
  if (arguments.one) return play_one(arguments.plan);
  if (arguments.count != 0) return play_many(arguments);
  return RUN_ALL_TESTS();
}

}  // namespace knative::churn

int main(int argc, char** argv) { return knative::churn::main(argc, argv); }
