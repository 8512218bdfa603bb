#include "engines/event_broker/consumer_state.hpp"

#include <gtest/gtest.h>

#include <set>

namespace knative::broker {
namespace {

using namespace std::chrono_literals;

constexpr Instant start = Instant(Duration(1s));

DeliveryAttempt answer(int status) {
  DeliveryAttempt attempt;
  attempt.status = status;
  attempt.body = "because";
  return attempt;
}

DeliveryOptions plain() {
  DeliveryOptions options;
  options.policy = BackoffPolicy::linear;
  options.delay = 1s;
  options.jitter = 0;
  options.retry = 2;
  return options;
}

void enter_all(ConsumerState& state, Offset until) {
  while (state.next() < until) ASSERT_TRUE(state.enter(state.next()));
}

// ---------------------------------------------------------------------------- notes

TEST(Progress, comes_back_from_its_text) {
  Progress progress;
  progress.phase = Phase::letter;
  progress.reply = true;
  progress.attempts = 4;
  progress.letters = 2;
  progress.status = -1;
  progress.due = WallTime(Duration(123456789));
  progress.delay = 5s;
  progress.cause = "why";
  progress.data = std::string("\0x", 2);
  progress.destination = "http://somewhere/";
  progress.event = std::string("bytes\0", 6);
  EXPECT_EQ(decode_progress(encode(progress)), progress);
  EXPECT_EQ(decode_progress(encode(Progress())), Progress());
}

TEST(Progress, is_refused_when_its_text_is_cut_or_of_another_version) {
  Progress progress;
  progress.cause = "why";
  const std::string text = encode(progress);
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_EQ(decode_progress(text.substr(0, size)), std::nullopt) << size;
  }
  std::string other = text;
  other[0] = 2;
  EXPECT_EQ(decode_progress(other), std::nullopt);
  for (const char phase : {char{0}, char{6}, char{-1}}) {
    other = text;
    other[1] = phase;
    EXPECT_EQ(decode_progress(other), std::nullopt);
  }
}

TEST(NoteNames, sort_as_offsets_do_and_tell_them) {
  const std::string prefix = notes_prefix("trigger/t");
  const std::vector<Offset> offsets = {0, 1, 255, 256, 65536, Offset{1} << 40, ~Offset{0}};
  std::string last = prefix;
  for (const Offset offset : offsets) {
    const std::string name = note_name(prefix, offset);
    EXPECT_GT(name, last);
    EXPECT_EQ(note_offset(prefix, name), offset);
    last = name;
  }
  EXPECT_EQ(note_offset(prefix, prefix), std::nullopt);
  EXPECT_EQ(note_offset(notes_prefix("trigger/tt"), note_name(prefix, 1)), std::nullopt);
  EXPECT_EQ(decode_position(encode_position(77)), Offset{77});
  EXPECT_EQ(decode_position("\1"), std::nullopt);
}

// ---------------------------------------------------------------------------- decisions

TEST(AfterFailure, waits_then_gives_up_after_exactly_retry_plus_one_attempts) {
  Random random(1);
  const WallTime now = WallTime(Duration(1h));
  for (const bool sink : {false, true}) {
    Progress progress;
    for (int attempt = 1; attempt <= 2; ++attempt) {
      progress = after_failure(progress, answer(503), plain(), sink, now, random);
      EXPECT_EQ(progress.phase, Phase::deliver);
      EXPECT_EQ(progress.attempts, attempt);
      EXPECT_EQ(progress.delay, Duration(attempt * 1s));
      EXPECT_EQ(progress.due, now + progress.delay);
    }
    progress = after_failure(progress, answer(503), plain(), sink, now, random);
    EXPECT_EQ(progress.attempts, 3);
    EXPECT_EQ(progress.phase, sink ? Phase::letter : Phase::park);
    EXPECT_EQ(progress.status, 503);
    EXPECT_EQ(progress.data, "because");
  }
}

TEST(AfterFailure, gives_up_at_once_what_the_subscriber_refused) {
  Random random(1);
  const Progress progress = after_failure({}, answer(400), plain(), false, {}, random);
  EXPECT_EQ(progress.phase, Phase::park);
  EXPECT_EQ(progress.attempts, 1);
}

TEST(AfterFailure, counts_dead_letters_for_themselves_and_keeps_the_subscribers_answer) {
  Random random(1);
  Progress progress;
  progress.phase = Phase::letter;
  progress.attempts = 3;
  progress.status = 503;
  progress.data = "first";
  for (int letter = 1; letter <= 3; ++letter) {
    progress = after_failure(progress, answer(500), plain(), true, {}, random);
    EXPECT_EQ(progress.letters, letter);
    EXPECT_EQ(progress.phase, letter < 3 ? Phase::letter : Phase::park);
  }
  EXPECT_EQ(progress.attempts, 3);
  EXPECT_EQ(progress.status, 503);
  EXPECT_EQ(progress.data, "first");
}

TEST(AfterFailure, keeps_no_more_of_an_answer_than_a_letter_tells) {
  Random random(1);
  DeliveryAttempt failed = answer(500);
  failed.body = std::string(100'000, 'x');
  const Progress progress = after_failure({}, failed, plain(), false, {}, random);
  EXPECT_LE(encode(progress).size(), 1500u);
}

// ---------------------------------------------------------------------------- positions

TEST(ConsumerState, moves_its_position_to_the_lowest_event_in_progress) {
  ConsumerState state(10, {});
  enter_all(state, 15);
  state.finish(12);
  state.finish(11);
  EXPECT_EQ(state.position(), 10u);
  state.finish(10);
  EXPECT_EQ(state.position(), 13u);
  state.finish(14);
  state.finish(13);
  EXPECT_EQ(state.position(), 15u);
  EXPECT_EQ(state.cursor(), 15u);
}

TEST(ConsumerState, the_position_passes_what_waits_and_the_cursor_does_not) {
  ConsumerState state(0, {});
  enter_all(state, 3);
  state.wait(1, start);
  state.finish(0);
  EXPECT_EQ(state.position(), 2u);
  EXPECT_EQ(state.cursor(), 1u);
  state.finish(2);
  EXPECT_EQ(state.position(), 3u);
  EXPECT_EQ(state.cursor(), 1u);
  EXPECT_EQ(state.resume(start), 1u);
  EXPECT_TRUE(state.finish(1));
  EXPECT_EQ(state.cursor(), 3u);
}

TEST(ConsumerState, counts_records_that_are_gone_as_done) {
  ConsumerState state(0, {});
  state.enter(50);
  EXPECT_EQ(state.position(), 50u);
  EXPECT_FALSE(state.finish(50));
  state.skip_to(80);
  EXPECT_EQ(state.cursor(), 80u);
}

// ---------------------------------------------------------------------------- bounds

TEST(ConsumerState, what_waits_takes_no_place_of_the_window) {
  ConsumerState state(0, {.window = 2, .span_max = 1000, .undecided_max = 1000});
  for (Offset offset = 0; offset < 100; ++offset) {
    ASSERT_GT(state.room(), 0u);
    state.enter(offset);
    state.wait(offset, start + 1h);
  }
  EXPECT_EQ(state.waiting(), 100u);
  EXPECT_EQ(state.in_progress(), 0u);
  EXPECT_EQ(state.room(), 2u);
}

TEST(ConsumerState, reads_on_only_while_few_enough_are_undecided) {
  ConsumerState state(0, {.window = 10, .span_max = 1000, .undecided_max = 12});
  for (Offset offset = 0; offset < 12; ++offset) {
    ASSERT_GT(state.room(), 0u);
    state.enter(offset);
    state.wait(offset, start);
  }
  EXPECT_TRUE(state.full());
  EXPECT_EQ(state.room(), 0u);
  const Offset first = state.resume(start).value();
  state.finish(first);
  EXPECT_EQ(state.room(), 1u);
}

TEST(ConsumerState, bounds_how_far_it_runs_ahead_of_what_is_not_durable) {
  ConsumerState state(0, {.window = 3, .span_max = 5, .undecided_max = 100});
  EXPECT_EQ(state.room(), 3u);
  enter_all(state, 3);
  EXPECT_EQ(state.room(), 0u);
  state.finish(1);
  state.finish(2);
  EXPECT_EQ(state.room(), 2u);
  enter_all(state, 5);
  state.finish(3);
  state.finish(4);
  EXPECT_EQ(state.room(), 0u);  // five ahead of the first
  EXPECT_TRUE(state.lagging());
  EXPECT_EQ(state.laggards(), (std::vector<Offset>{0}));
  state.note(0);
  EXPECT_FALSE(state.lagging());
  EXPECT_EQ(state.room(), 2u);
  EXPECT_EQ(state.cursor(), 0u);
  EXPECT_TRUE(state.finish(0));
  EXPECT_EQ(state.cursor(), 5u);
}

TEST(ConsumerState, retries_have_half_of_the_window_and_are_not_starved_of_it) {
  ConsumerState state(0, {.window = 4, .span_max = 1000, .undecided_max = 1000});
  for (Offset offset = 0; offset < 8; ++offset) {
    state.enter(offset);
    state.wait(offset, start + std::chrono::milliseconds(offset));
  }
  EXPECT_EQ(state.resume(start - 1ms), std::nullopt);
  EXPECT_EQ(state.due(), start);
  EXPECT_EQ(state.resume(start + 1s), 0u);
  EXPECT_EQ(state.resume(start + 1s), 1u);
  EXPECT_EQ(state.resume(start + 1s), std::nullopt);
  EXPECT_TRUE(state.crowded());
  EXPECT_EQ(state.room(), 2u);
  state.finish(0);
  EXPECT_EQ(state.room(), 2u);  // the place is a retry's
  EXPECT_EQ(state.resume(start + 1s), 2u);
}

TEST(ConsumerState, a_window_of_one_begins_nothing_while_something_waits) {
  ConsumerState state(0, {.window = 1, .span_max = 1000, .undecided_max = 1000});
  state.enter(0);
  EXPECT_EQ(state.room(), 0u);
  state.wait(0, start);
  EXPECT_EQ(state.room(), 0u);
  EXPECT_EQ(state.resume(start), 0u);
  state.shelve(0);
  EXPECT_EQ(state.room(), 0u);
  state.unshelve(1);
  EXPECT_EQ(state.resume(start), 0u);
  state.finish(0);
  EXPECT_EQ(state.room(), 1u);
}

TEST(ConsumerState, gives_a_window_of_its_own_to_what_enters_after_a_renewal) {
  ConsumerState state(0, {.window = 2, .span_max = 10, .undecided_max = 100});
  enter_all(state, 2);
  EXPECT_EQ(state.room(), 0u);
  state.renew({.window = 3, .span_max = 5, .undecided_max = 100});
  EXPECT_EQ(state.room(), 3u);
  state.enter(2);
  state.finish(1);
  EXPECT_EQ(state.room(), 2u);
  state.wait(0, start);
  EXPECT_EQ(state.room(), 2u);
  EXPECT_EQ(state.resume(start), 0u);
  EXPECT_EQ(state.room(), 1u);
}

// ---------------------------------------------------------------------------- restarts

TEST(ConsumerState, does_not_begin_again_what_notes_know) {
  ConsumerState state(5, {});
  state.restore(2, start, true);
  state.restore(7, start + 1s, true);
  state.restore(3, start + 2s, false);  // its bytes are in the note
  state.restore_decided(6);
  EXPECT_EQ(state.cursor(), 2u);
  EXPECT_EQ(state.known_ahead(), 2u);
  EXPECT_TRUE(state.enter(5));
  EXPECT_FALSE(state.enter(6));
  EXPECT_FALSE(state.enter(7));
  EXPECT_TRUE(state.enter(8));
  EXPECT_EQ(state.known_ahead(), 0u);
  EXPECT_EQ(state.resume(start), 2u);
  state.finish(2);
  EXPECT_EQ(state.cursor(), 5u);
}

/// Any order of events ends with all of them decided, within the bounds.
TEST(ConsumerState, never_loses_an_event_under_random_use) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    Random random(seed);
    const ConsumerBounds bounds{1 + random.below(8), 8 + random.below(20), 8 + random.below(30)};
    ConsumerState state(0, bounds);
    std::set<Offset> active;
    std::set<Offset> decided;
    Instant now = start;
    Offset checked = 0;
    std::size_t windows = bounds.window;  // of before a renewal, too
    while (decided.size() < 200) {
      now += Duration(1ms);
      const std::uint64_t choice = random.below(8);
      if (choice == 0 && random.below(10) == 0) {
        windows += bounds.window;
        state.renew(bounds);
      }
      if (state.lagging()) state.note(state.laggards().front());
      if (choice < 3 && state.room() > 0 && state.next() < 200) {
        active.insert(state.next());
        ASSERT_TRUE(state.enter(state.next()));
      }
      if (const std::optional<Offset> resumed = state.resume(now)) {
        ASSERT_FALSE(decided.contains(*resumed));
        ASSERT_TRUE(active.insert(*resumed).second);
      }
      if (random.below(3) == 0) state.unshelve(1);
      if (choice > 2 && !active.empty()) {
        auto which = active.begin();
        std::advance(which, static_cast<std::ptrdiff_t>(random.below(active.size())));
        const Offset offset = *which;
        active.erase(which);
        const std::uint64_t outcome = random.below(6);
        if (outcome == 0) state.wait(offset, now + Duration(random.below(20) * 1ms));
        if (outcome == 1) state.shelve(offset);
        if (outcome > 1) state.finish(offset);
        if (outcome > 1) {
          ASSERT_TRUE(decided.insert(offset).second);
        }
      }
      ASSERT_EQ(state.in_progress(), active.size());
      ASSERT_LE(active.size(), windows);
      ASSERT_LE(state.undecided(), bounds.undecided_max);
      ASSERT_LE(state.cursor(), state.position());
      for (; checked < state.cursor(); ++checked) ASSERT_TRUE(decided.contains(checked));
    }
    EXPECT_EQ(state.cursor(), 200u);
    EXPECT_EQ(state.undecided(), 0u);
  }
}

}  // namespace
}  // namespace knative::broker
