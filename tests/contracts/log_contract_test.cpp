// What every Log promises, checked on every implementation in both worlds.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "knative/log.hpp"
#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

/// A world with a log in it.
class Setting {
 public:
  virtual ~Setting() = default;
  virtual Env& env() = 0;
  virtual void run(Task<void> task) = 0;
  virtual Task<Result<std::unique_ptr<Log>>> open(RetentionOptions retention) = 0;
  /// Whether a closed log can be opened again with its content.
  virtual bool durable() const = 0;
};

class RealLog {
 public:
  RealLog() : loop_(options()) {}
  Env& env() { return loop_.env(); }
  void run(Task<void> task) { loop_.run(std::move(task)); }

 private:
  static LoopOptions options() {
    LoopOptions options;
    options.log_sink = [](const LogRecord&) {};
    return options;
  }
  Loop loop_;
};

class VirtualLog {
 public:
  Env& env() { return simulation_.env(); }
  void run(Task<void> task) { simulation_.run(std::move(task)); }

 private:
  Simulation simulation_{7};
};

template <class World>
class MemorySetting final : public Setting {
 public:
  Env& env() override { return world_.env(); }
  void run(Task<void> task) override { world_.run(std::move(task)); }
  Task<Result<std::unique_ptr<Log>>> open(RetentionOptions retention) override {
    MemoryLogOptions options;
    options.retention = retention;
    options.record_bytes_max = 4096;
    std::unique_ptr<Log> log = memory_log(world_.env().timers, options);
    co_return log;
  }
  bool durable() const override { return false; }

 private:
  World world_;
};

template <class World>
class SegmentSetting final : public Setting {
 public:
  SegmentSetting() {
    directory_ = world_.env().files.make_temporary_directory("log-contract").value();
  }
  ~SegmentSetting() override { (void)world_.env().files.remove_all(directory_); }
  Env& env() override { return world_.env(); }
  void run(Task<void> task) override { world_.run(std::move(task)); }
  Task<Result<std::unique_ptr<Log>>> open(RetentionOptions retention) override {
    SegmentLogOptions options;
    options.retention = retention;
    options.segment_bytes = 8192;
    options.record_bytes_max = 4096;
    options.cache_bytes_max = 2000;  // so that most reads go to the files
    return open_segment_log(world_.env(), directory_ + "/log", options);
  }
  bool durable() const override { return true; }

 private:
  World world_;
  std::string directory_;
};

using MakeSetting = std::function<std::unique_ptr<Setting>()>;

class LogContract : public testing::TestWithParam<std::pair<std::string, MakeSetting>> {
 protected:
  void SetUp() override { setting_ = GetParam().second(); }
  /// Run `body` with a fresh log.
  void with_log(Task<void> (*body)(Setting&, Log&), RetentionOptions retention = {}) {
    auto main = [](Setting& setting, Task<void> (*f)(Setting&, Log&),
                   RetentionOptions kept) -> Task<void> {
      auto log = co_await setting.open(kept);
      log.value();
      co_await f(setting, **log);
    };
    setting_->run(main(*setting_, body, retention));
  }
  std::unique_ptr<Setting> setting_;
};

Task<void> append_many(Log& log, int count, std::size_t size = 20) {
  for (int i = 0; i < count; ++i) {
    std::string record = "record " + std::to_string(i) + " ";
    record.resize(std::max(size, record.size()), '.');
    (co_await log.append(record)).value();
  }
}

TEST_P(LogContract, numbers_records_from_zero_without_gaps_and_gives_them_back_in_order) {
  with_log([](Setting&, Log& log) -> Task<void> {
    EXPECT_EQ(log.first(), 0u);
    EXPECT_EQ(log.end(), 0u);
    for (Offset i = 0; i < 10; ++i) {
      const std::string text = "r" + std::to_string(i);
      const Result<Offset> at = co_await log.append(text);
      EXPECT_EQ(at.value(), i);
    }
    EXPECT_EQ(log.end(), 10u);
    ReadLimits limits;
    const auto records = (co_await log.read(3, limits)).value();
    EXPECT_EQ(records.size(), 7u);
    for (std::size_t i = 0; i < records.size(); ++i) {
      EXPECT_EQ(records[i].offset, 3 + i);
      EXPECT_EQ(records[i].bytes, "r" + std::to_string(3 + i));
      EXPECT_GT(records[i].time.time_since_epoch().count(), 0);
    }
  });
}

TEST_P(LogContract, keeps_any_bytes_even_none) {
  with_log([](Setting&, Log& log) -> Task<void> {
    std::string all;
    for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
    all += "KNF1KNATLOG";
    (co_await log.append("")).value();
    (co_await log.append(all)).value();
    const auto records = (co_await log.read(0, ReadLimits())).value();
    EXPECT_EQ(records.size(), 2u);
    EXPECT_EQ(records[0].bytes, "");
    EXPECT_EQ(records[1].bytes, all);
  });
}

TEST_P(LogContract, reads_in_pieces_and_gives_at_least_one_record) {
  with_log([](Setting&, Log& log) -> Task<void> {
    co_await append_many(log, 300, 100);
    ReadLimits limits;
    limits.records_max = 7;
    Offset from = 0;
    while (from < log.end()) {
      const auto records = (co_await log.read(from, limits)).value();
      EXPECT_LE(records.size(), 7u);
      if (records.empty()) break;
      for (const Record& record : records) {
        EXPECT_EQ(record.offset, from);
        EXPECT_TRUE(record.bytes.starts_with("record " + std::to_string(from) + " "));
        ++from;
      }
    }
    EXPECT_EQ(from, 300u);
    limits.bytes_max = 1;
    EXPECT_EQ((co_await log.read(120, limits)).value().size(), 1u);
    limits.records_max = 0;
    EXPECT_EQ((co_await log.read(299, limits)).value().size(), 1u);
    EXPECT_TRUE((co_await log.read(300, limits)).value().empty());
    EXPECT_TRUE((co_await log.read(9999, limits)).value().empty());
  });
}

TEST_P(LogContract, accepts_appends_at_once_and_each_gets_its_own_offset) {
  with_log([](Setting&, Log& log) -> Task<void> {
    std::vector<std::string> texts;
    for (int i = 0; i < 100; ++i) texts.push_back("text " + std::to_string(i));
    std::vector<Task<Result<Offset>>> tasks;
    for (const std::string& text : texts) tasks.push_back(log.append(text));
    std::vector<Result<Offset>> offsets = co_await when_all(std::move(tasks));
    ReadLimits limits;
    limits.records_max = 1000;
    const auto records = (co_await log.read(0, limits)).value();
    EXPECT_EQ(records.size(), texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(records.at(static_cast<std::size_t>(offsets[i].value())).bytes, texts[i]);
    }
  });
}

TEST_P(LogContract, needs_a_records_bytes_only_until_the_append_waits) {
  RetentionOptions retention;
  retention.bytes_max = 100'000;  // at which an append waits for old records to go
  with_log(
      [](Setting& setting, Log& log) -> Task<void> {
        std::string shared;
        std::map<Offset, std::string> written;
        auto append = [](Log& to, std::string& buffer, std::map<Offset, std::string>& kept,
                         int number) -> Task<void> {
          const std::string text = std::to_string(number) + std::string(1000, ' ');
          buffer = text;
          const Result<Offset> at = co_await to.append(buffer);
          if (at) kept.emplace(*at, text);
        };
        for (int round = 0; round < 12; ++round) {
          TaskSet tasks(setting.env().executor);
          for (int i = 0; i < 40; ++i) tasks.add(append(log, shared, written, 100 * round + i));
          co_await tasks.drained();
        }
        EXPECT_GT(written.size(), 200u);
        EXPECT_GT(log.first(), 0u);
        for (Offset at = log.first(); at < log.end();) {
          const std::vector<Record> records = (co_await log.read(at, ReadLimits())).value();
          for (const Record& record : records) {
            EXPECT_EQ(record.bytes, written[record.offset]) << record.offset;
            at = record.offset + 1;
          }
        }
      },
      retention);
}

TEST_P(LogContract, wakes_a_reader_that_waits_for_the_next_record) {
  with_log([](Setting& setting, Log& log) -> Task<void> {
    TaskSet tasks(setting.env().executor);
    bool woken = false;
    auto wait = [](Log& of, bool& flag) -> Task<void> {
      co_await of.wait_for(1);
      flag = true;
    };
    tasks.add(wait(log, woken));
    (co_await log.append("first")).value();
    co_await setting.env().timers.sleep_for(1ms);
    EXPECT_FALSE(woken);
    (co_await log.append("second")).value();
    co_await tasks.drained();
    EXPECT_TRUE(woken);
  });
}

TEST_P(LogContract, remembers_cursors_until_they_are_removed) {
  with_log([](Setting&, Log& log) -> Task<void> {
    co_await append_many(log, 5);
    EXPECT_EQ(log.cursor("a"), std::nullopt);
    (co_await log.commit("a", 3)).value();
    (co_await log.commit("b", 5)).value();
    EXPECT_EQ(log.cursor("a"), 3u);
    EXPECT_EQ(log.cursors().size(), 2u);
    EXPECT_EQ((co_await log.commit("a", 6)).error().code, Errc::invalid_argument);
    EXPECT_EQ(log.cursor("a"), 3u);
    (co_await log.commit("a", 1)).value();
    EXPECT_EQ(log.cursor("a"), 1u);
    (co_await log.remove_cursor("a")).value();
    (co_await log.remove_cursor("never there")).value();
    EXPECT_EQ(log.cursor("a"), std::nullopt);
  });
}

TEST_P(LogContract, refuses_a_record_that_is_too_large_and_everything_once_closed) {
  with_log([](Setting&, Log& log) -> Task<void> {
    const std::string large(4097, 'x');
    EXPECT_EQ((co_await log.append(large)).error().code, Errc::resource_exhausted);
    (co_await log.append("fits")).value();
    (co_await log.close()).value();
    EXPECT_EQ((co_await log.append("late")).error().code, Errc::failed_precondition);
    EXPECT_EQ((co_await log.commit("late", 0)).error().code, Errc::failed_precondition);
    co_await log.wait_for(1000);  // returns, although the record will never come
    EXPECT_EQ(log.stats().appended, 1u);
    EXPECT_EQ(log.stats().rejected, 2u);
  });
}

TEST_P(LogContract, gives_back_only_what_every_cursor_has_passed) {
  with_log([](Setting&, Log& log) -> Task<void> {
    (co_await log.commit("slow", 0)).value();
    (co_await log.commit("fast", 0)).value();
    co_await append_many(log, 200, 500);
    (co_await log.commit("fast", 200)).value();
    (co_await log.trim()).value();
    EXPECT_EQ(log.first(), 0u);
    (co_await log.commit("slow", 100)).value();
    const Offset first = (co_await log.trim()).value();
    EXPECT_EQ(first, log.first());
    EXPECT_GT(first, 50u);
    EXPECT_LE(first, 100u);
    EXPECT_EQ(log.stats().records_expired, 0u);
    const auto records = (co_await log.read(0, ReadLimits())).value();
    EXPECT_EQ(records.at(0).offset, first);
  });
}

TEST_P(LogContract, keeps_nothing_that_every_cursor_has_passed) {
  with_log([](Setting&, Log& log) -> Task<void> {
    (co_await log.commit("a", 0)).value();
    (co_await log.commit("b", 0)).value();
    const std::string record(1000, 'x');
    for (int i = 0; i < 200; ++i) {
      const Offset at = (co_await log.append(record)).value();
      (co_await log.commit("a", at + 1)).value();
      if (i % 10 == 9) (co_await log.commit("b", at + 1)).value();
    }
    EXPECT_LT(log.stats().bytes, 3 * 8192u);
    EXPECT_GT(log.first(), 170u);
    EXPECT_EQ(log.stats().records_expired, 0u);
  });
}

TEST_P(LogContract, refuses_appends_at_the_bound_while_a_cursor_needs_the_records) {
  RetentionOptions retention;
  retention.bytes_max = 100'000;
  with_log(
      [](Setting&, Log& log) -> Task<void> {
        (co_await log.commit("slow", 0)).value();
        const std::string text(1000, 'x');
        Errc code{};
        for (int i = 0; i < 200 && code == Errc{}; ++i) {
          const Result<Offset> at = co_await log.append(text);
          if (!at) code = at.error().code;
        }
        EXPECT_EQ(code, Errc::resource_exhausted);
        const Offset end = log.end();
        EXPECT_GT(end, 50u);
        EXPECT_EQ(log.first(), 0u);
        (co_await log.commit("slow", end)).value();
        EXPECT_EQ((co_await log.append(text)).value(), end);
        EXPECT_GT(log.first(), 0u);
        EXPECT_EQ(log.stats().records_expired, 0u);
      },
      retention);
}

TEST_P(LogContract, drops_the_oldest_at_the_bound_when_told_so_and_counts_them) {
  RetentionOptions retention;
  retention.bytes_max = 100'000;
  retention.when_full = LogFullPolicy::drop_oldest;
  with_log(
      [](Setting&, Log& log) -> Task<void> {
        (co_await log.commit("slow", 0)).value();
        co_await append_many(log, 400, 1000);
        EXPECT_EQ(log.end(), 400u);
        EXPECT_GT(log.first(), 200u);
        EXPECT_EQ(log.stats().records_expired, log.first());
        EXPECT_LE(log.stats().bytes, 100'000u);
      },
      retention);
}

TEST_P(LogContract, keeps_records_without_any_reader_up_to_the_bound) {
  RetentionOptions retention;
  retention.bytes_max = 100'000;
  with_log(
      [](Setting&, Log& log) -> Task<void> {
        co_await append_many(log, 30, 1000);
        (co_await log.trim()).value();
        EXPECT_EQ(log.first(), 0u);
        co_await append_many(log, 300, 1000);
        EXPECT_EQ(log.end(), 330u);
        EXPECT_GT(log.first(), 100u);
        EXPECT_EQ(log.stats().records_expired, 0u);
      },
      retention);
}

TEST_P(LogContract, survives_closing_and_opening_when_it_is_durable) {
  if (!setting_->durable()) GTEST_SKIP() << "lives as long as its object";
  auto main = [](Setting& setting) -> Task<void> {
    Offset first = 0;
    {
      auto log = co_await setting.open(RetentionOptions());
      co_await append_many(**log, 100, 300);
      (co_await (*log)->commit("reader", 42)).value();
      (co_await (*log)->commit("gone", 50)).value();
      (co_await (*log)->remove_cursor("gone")).value();
      (co_await (*log)->trim()).value();
      first = (*log)->first();
      auto second = co_await setting.open(RetentionOptions());
      EXPECT_EQ(second.error().code, Errc::failed_precondition);  // one writer only
      (co_await (*log)->close()).value();
    }
    auto log = co_await setting.open(RetentionOptions());
    EXPECT_EQ((*log)->end(), 100u);
    EXPECT_EQ((*log)->first(), first);
    EXPECT_EQ((*log)->cursor("reader"), 42u);
    EXPECT_EQ((*log)->cursors().size(), 1u);
    EXPECT_EQ((co_await (*log)->append("next")).value(), 100u);
    ReadLimits limits;
    limits.records_max = 1000;
    Offset from = first;
    while (from < 101) {
      const auto records = (co_await (*log)->read(from, limits)).value();
      EXPECT_FALSE(records.empty());
      if (records.empty()) break;
      EXPECT_EQ(records.front().offset, from);
      from += records.size();
    }
  };
  setting_->run(main(*setting_));
}

TEST_P(LogContract, changes_cursors_and_notes_together_or_not_at_all) {
  with_log([](Setting&, Log& log) -> Task<void> {
    co_await append_many(log, 5);
    LogChange first;
    first.cursors.emplace_back("reader", 3);
    first.notes.emplace_back("a", "one");
    first.notes.emplace_back(std::string("b\0c", 3), std::string("\0two", 4));
    (co_await log.commit(first)).value();
    EXPECT_EQ(log.cursor("reader"), 3u);
    EXPECT_EQ(log.notes().at("a"), "one");
    LogChange wrong;
    wrong.notes.emplace_back("a", "changed");
    wrong.cursors.emplace_back("reader", 6);
    const Result<void> refused = co_await log.commit(wrong);
    EXPECT_EQ(refused.error().code, Errc::invalid_argument);
    EXPECT_EQ(log.notes().at("a"), "one");
    LogChange second;
    second.cursors.emplace_back("reader", std::nullopt);
    second.notes.emplace_back("a", std::nullopt);
    second.notes.emplace_back("absent", std::nullopt);
    (co_await log.commit(second)).value();
    EXPECT_EQ(log.cursor("reader"), std::nullopt);
    EXPECT_EQ(log.notes(), (LogNotes{{std::string("b\0c", 3), std::string("\0two", 4)}}));
    const LogChange nothing;
    EXPECT_TRUE(co_await log.commit(nothing));
    (co_await log.close()).value();
    const Result<void> closed = co_await log.commit(first);
    EXPECT_EQ(closed.error().code, Errc::failed_precondition);
  });
}

TEST_P(LogContract, keeps_notes_over_restarts_whatever_retention_takes) {
  RetentionOptions retention;
  retention.age_max = 1s;
  retention.bytes_max = 64 * 1024;
  retention.when_full = LogFullPolicy::drop_oldest;
  auto main = [](Setting& setting, RetentionOptions kept) -> Task<void> {
    LogNotes wanted;
    auto log = co_await setting.open(kept);
    log.value();
    for (int round = 0; round < 40; ++round) {
      co_await append_many(**log, 10, 300);
      const std::string name = "note " + std::to_string(round % 15);
      std::optional<std::string> text = std::string(static_cast<std::size_t>(round) * 10, 'n');
      if (round % 4 == 3) text.reset();
      text ? void(wanted[name] = *text) : void(wanted.erase(name));
      LogChange change;
      change.notes.emplace_back(name, text);
      (co_await (*log)->commit(change)).value();
      if (!setting.durable() || round % 7 != 6) continue;
      (co_await (*log)->close()).value();
      log->reset();
      log = co_await setting.open(kept);
      log.value();
      EXPECT_EQ((*log)->notes(), wanted) << round;
    }
    EXPECT_GT((*log)->first(), 0u);
    EXPECT_EQ((*log)->notes(), wanted);
  };
  setting_->run(main(*setting_, retention));
}

INSTANTIATE_TEST_SUITE_P(
    All, LogContract,
    testing::Values(
        std::pair<std::string, MakeSetting>(
            "memory_loop", [] { return std::make_unique<MemorySetting<RealLog>>(); }),
        std::pair<std::string, MakeSetting>(
            "memory_simulation", [] { return std::make_unique<MemorySetting<VirtualLog>>(); }),
        std::pair<std::string, MakeSetting>(
            "segment_loop", [] { return std::make_unique<SegmentSetting<RealLog>>(); }),
        std::pair<std::string, MakeSetting>(
            "segment_simulation", [] { return std::make_unique<SegmentSetting<VirtualLog>>(); })),
    [](const auto& info) { return info.param.first; });

}  // namespace
}  // namespace knative
