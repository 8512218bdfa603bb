#include "model/expansion.hpp"

#include <gtest/gtest.h>

namespace knative::core {
namespace {

const std::map<std::string, std::string> variables{{"A", "1"}, {"B", "$(A)"}};

TEST(References, ExpandLikeKubernetes) {
  EXPECT_EQ(expand_references("$(A) $$(A) $(C) $A $(A", variables), "1 $(A) $(C) $A $(A");
}

TEST(References, AreNotLookedForInWhatTheyExpandTo) {
  EXPECT_EQ(expand_references("$(B)", variables), "$(A)");
}

TEST(References, EscapedTextComesOutAsItIs) {
  for (const char* text :
       {"", "$(A)", "$$(A)", "$$$(A)$(", "a$", "$$", "pa$$word(1)", "$(", "$()"}) {
    EXPECT_EQ(expand_references(escape_references(text), variables), text);
  }
}

}  // namespace
}  // namespace knative::core
