// Isolated children of the real world, where namespaces are allowed.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>

#include "support/real_world.hpp"

namespace knative {
namespace {

using testing_world::quiet;
using testing_world::TemporaryDirectory;

TEST(Isolation, Trial) {
  Loop loop{quiet()};
  TemporaryDirectory folder;
  const IsolationSupport support = loop.env().processes.isolation(folder.path());
  EXPECT_EQ(support.reason, "");
  EXPECT_TRUE(support.possible);
  EXPECT_TRUE(support.overlay);
  EXPECT_TRUE(support.memory_limit);
  EXPECT_TRUE(support.cpu_limit);
  EXPECT_TRUE(support.process_limit);
}

}  // namespace
}  // namespace knative
