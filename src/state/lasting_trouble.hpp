/// \file
/// A trouble that lasts, for the logger: said when it begins, then once a minute with how often it
/// came meanwhile, and when it is over. One that comes and goes more often is not said each time.
/// Private to the state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "knative/env.hpp"
#include "knative/error.hpp"

namespace knative::state {

class LastingTrouble {
 public:
  static constexpr Duration pause = std::chrono::minutes(1);

  /// `what` it is, and what is said when it is `over`. Both must be literals.
  LastingTrouble(Logger& logger, Timers& timers, LogLevel level, std::string_view what,
                 std::string_view over)
      : logger_(logger), timers_(timers), level_(level), what_(what), over_(over) {}

  void came(const Error& error, const std::string& where) {
    error_ = error;
    ++times_;
    const Instant now = timers_.now();
    if (told_ && now - *told_ < pause) {
      ++unsaid_;
      return;
    }
    told_ = now;
    said_ = true;
    logger_.log(level_, "log", what_,
                {{"directory", where},
                 {"error", error.to_string()},
                 {"unsaid", std::to_string(std::exchange(unsaid_, 0))}});
  }
  /// It works again, or always did.
  void went(const std::string& where) {
    if (!error_) return;
    error_.reset();
    if (!std::exchange(said_, false)) return;  // nor was that it began
    unsaid_ = 0;
    logger_.log(LogLevel::info, "log", over_,
                {{"directory", where}, {"failures", std::to_string(std::exchange(times_, 0))}});
  }
  /// Empty when there is none.
  const std::optional<Error>& error() const noexcept { return error_; }

 private:
  Logger& logger_;
  Timers& timers_;
  LogLevel level_;
  std::string_view what_;
  std::string_view over_;
  std::optional<Error> error_;
  std::uint64_t times_ = 0;
  std::uint64_t unsaid_ = 0;
  std::optional<Instant> told_;
  bool said_ = false;  ///< Of the trouble that lasts now.
};

}  // namespace knative::state
