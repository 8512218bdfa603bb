#include "knative/error.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace knative {
namespace {

Result<std::vector<std::string>> words() {
  return std::vector<std::string>{"long enough to live on the heap", "and so is the second one"};
}

TEST(Errc, every_condition_has_its_stable_number_and_name) {
  const std::vector<std::string> names = {
      "invalid_argument",    "not_found",     "already_exists",    "conflict",
      "failed_precondition", "unavailable",   "deadline_exceeded", "cancelled",
      "resource_exhausted",  "unimplemented", "data_loss",         "internal"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(to_string(static_cast<Errc>(i + 1)), names[i]);
  }
  EXPECT_EQ(to_string(static_cast<Errc>(13)), "unknown");
}

TEST(Error, prints_its_condition_and_where_it_happened) {
  const Error error = fail(Errc::not_found, "revision hello-00001");
  EXPECT_EQ(error.to_string(), "not_found: revision hello-00001");
  EXPECT_EQ(error.within("route").to_string(), "not_found: route: revision hello-00001");
  EXPECT_EQ(fail(Errc::cancelled, "").to_string(), "cancelled");
}

TEST(Result, holds_a_value_or_an_error) {
  const Result<int> good = 7;
  ASSERT_TRUE(good);
  EXPECT_EQ(*good, 7);
  EXPECT_EQ(good.value(), 7);
  EXPECT_EQ(good.value_or(1), 7);
  const Result<int> bad = fail(Errc::conflict, "stale");
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error(), (Error{Errc::conflict, "stale"}));
  EXPECT_EQ(bad.value_or(1), 1);
  const Result<std::string> converted = "text";
  EXPECT_EQ(converted->size(), 4u);
}

TEST(Result, value_throws_the_error_that_it_holds) {
  const auto expect_thrown = [](const auto& result) {
    try {
      (void)result.value();
      ADD_FAILURE() << "nothing was thrown";
    } catch (const Exception& thrown) {
      EXPECT_EQ(thrown.code(), Errc::data_loss);
      EXPECT_EQ(thrown.error().detail, "byte 7");
      EXPECT_STREQ(thrown.what(), "data_loss: byte 7");
    }
  };
  expect_thrown(Result<int>(fail(Errc::data_loss, "byte 7")));
  expect_thrown(Result<void>(fail(Errc::data_loss, "byte 7")));
  EXPECT_NO_THROW(Result<void>().value());
}

TEST(Result, a_temporary_gives_its_value_away) {
  std::size_t letters = 0;
  for (const std::string& word : words().value()) letters += word.size();
  for (const std::string& word : *words()) letters += word.size();
  EXPECT_EQ(letters, 2 * (words()->at(0).size() + words()->at(1).size()));
  Result<std::unique_ptr<int>> owner = std::make_unique<int>(3);
  const std::unique_ptr<int> taken = std::move(owner).value();
  EXPECT_EQ(*taken, 3);
  const Error& error = Result<int>(fail(Errc::internal, "lives on")).error();
  EXPECT_EQ(error.detail, "lives on");
}

TEST(ResultDeathTest, an_access_without_a_check_stops_the_program) {
  const Result<int> bad = fail(Errc::conflict, "stale");
  const Result<int> good = 7;
  EXPECT_DEATH((void)*bad, "invariant does not hold");
  EXPECT_DEATH((void)good.error(), "invariant does not hold");
}

}  // namespace
}  // namespace knative
