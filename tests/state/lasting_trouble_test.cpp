// What is said of a trouble that lasts, or comes and goes.
#include "state/lasting_trouble.hpp"

#include <gtest/gtest.h>

#include "knative/simulation.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;

class LastingTroubleTest : public testing::Test {
 protected:
  std::size_t said(std::string_view what) {
    const std::string trace = simulation_.trace().to_string();
    std::size_t count = 0;
    for (std::size_t at = 0; (at = trace.find(what, at)) != trace.npos; ++at) ++count;
    return count;
  }

  Simulation simulation_{1};
  state::LastingTrouble trouble_{simulation_.env().logger, simulation_.env().timers,
                                 LogLevel::error, "it is broken", "it works again"};
  const Error full_ = fail(Errc::resource_exhausted, "full");
};

TEST_F(LastingTroubleTest, IsSaidOnceAMinuteAndWhenItIsOver) {
  for (int i = 0; i < 90; ++i) {
    trouble_.came(full_, "/data");
    simulation_.run_for(1s);
  }
  EXPECT_EQ(said("it is broken"), 2u);
  trouble_.went("/data");
  trouble_.went("/data");
  EXPECT_EQ(said("it works again"), 1u);
  EXPECT_FALSE(trouble_.error());
}

TEST_F(LastingTroubleTest, OneThatComesAndGoesIsOverOnceForEachTimeItWasSaidToBegin) {
  for (int i = 0; i < 90; ++i) {
    trouble_.came(full_, "/data");
    trouble_.went("/data");
    simulation_.run_for(1s);
  }
  EXPECT_EQ(said("it is broken"), 2u);
  EXPECT_EQ(said("it works again"), 2u);
}

}  // namespace
}  // namespace knative
