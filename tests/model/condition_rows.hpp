// What the tests of lifecycles share: moments, conditions as text, and tables of marks.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/meta.hpp"

namespace knative::testing {

inline Timestamp at(int seconds) {
  return Timestamp(WallTime(std::chrono::seconds(1'600'000'000 + seconds)));
}

// "False/Reason/message", without what is empty at the end.
inline std::string condition(const Conditions& conditions, std::string_view type) {
  const Condition* found = find_condition(conditions, type);
  if (!found) return "absent";
  std::string out = found->status + '/' + found->reason + '/' + found->message;
  while (out.ends_with('/')) out.pop_back();
  return out;
}

// "False/Reason", or "absent".
inline std::string status_and_reason(const Conditions& conditions, std::string_view type) {
  const Condition* found = find_condition(conditions, type);
  return found ? found->status + "/" + found->reason : "absent";
}

// A call of a `mark_*` method, and the condition that it sets.
template <class Status>
struct Mark {
  std::function<void(Status&)> call;
  std::string type;
  std::string condition;
};

// On a fresh status each mark sets its condition, and Ready follows when it is False or Unknown.
template <class Status>
void expect_marks(const std::vector<Mark<Status>>& marks) {
  for (const Mark<Status>& mark : marks) {
    SCOPED_TRACE(mark.type + " " + mark.condition);
    Status status;
    initialize_conditions(status, at(0));
    ASSERT_NE(condition(status.conditions, mark.type), mark.condition) << "the mark changes it";
    mark.call(status);
    EXPECT_EQ(condition(status.conditions, mark.type), mark.condition);
    EXPECT_EQ(find_condition(status.conditions, mark.type)->last_transition_time, at(1));
    EXPECT_EQ(condition(status.conditions, "Ready"),
              mark.condition.starts_with("True") ? "Unknown" : mark.condition);
  }
}

// Ready is True when all of `good` were called, whatever the order, and Unknown while one is
// missing; there are no other dependents.
template <class Status>
void expect_ready_needs_all(const std::vector<std::function<void(Status&)>>& good) {
  for (std::size_t last = 0; last < good.size(); ++last) {
    SCOPED_TRACE(last);
    Status status;
    initialize_conditions(status, at(0));
    EXPECT_EQ(status.conditions.size(), good.size() + 1) << "the dependents and Ready";
    for (std::size_t i = 0; i < good.size(); ++i) {
      if (i != last) good[i](status);
    }
    EXPECT_EQ(condition(status.conditions, "Ready"), "Unknown");
    good[last](status);
    EXPECT_EQ(condition(status.conditions, "Ready"), "True");
  }
}

}  // namespace knative::testing
