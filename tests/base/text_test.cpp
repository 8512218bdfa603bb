#include "base/text.hpp"

#include <gtest/gtest.h>

namespace knative::base {
namespace {

TEST(ValidUtf8, WhatIsTextStaysAsItIs) {
  const std::string text = "plain, caf\xc3\xa9, \xe2\x82\xac, \xf0\x9f\x98\x80\n\t";
  EXPECT_EQ(valid_utf8(text), text);
  EXPECT_EQ(valid_utf8(""), "");
}

TEST(ValidUtf8, EveryByteThatBelongsToNoCharacterBecomesAReplacement) {
  EXPECT_EQ(valid_utf8("caf\xe9!"), "caf\xef\xbf\xbd!");
  EXPECT_EQ(valid_utf8("\xc3"), "\xef\xbf\xbd");
  EXPECT_EQ(valid_utf8("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");  // overlong
  EXPECT_EQ(valid_utf8("\xed\xa0\x80").size(), 9u);               // a surrogate
  EXPECT_EQ(valid_utf8("\xf4\x90\x80\x80").size(), 12u);          // too big
}

TEST(ShownName, DoesNothingToATerminal) {
  EXPECT_EQ(shown_name("caf\xc3\xa9 \\ \"x\""), "caf\xc3\xa9 \\ \"x\"");
  EXPECT_EQ(shown_name("a\x1b[31m\nb\x7f\xe9"), "a\\x1b[31m\\x0ab\\x7f\xef\xbf\xbd");
  EXPECT_EQ(shown_name(std::string(299, 'x') + "\xc3\xa9").size(), 299u);
}

TEST(Utf8Prefix, EndsBetweenTwoCharacters) {
  EXPECT_EQ(utf8_prefix("abc", 10), 3u);
  EXPECT_EQ(utf8_prefix("abc", 2), 2u);
  EXPECT_EQ(utf8_prefix("a\xc3\xa9z", 2), 1u);
  EXPECT_EQ(utf8_prefix("a\xc3\xa9z", 3), 3u);
  EXPECT_EQ(utf8_prefix("\xf0\x9f\x98\x80", 3), 3u);  // nothing shorter is there
  EXPECT_EQ(utf8_prefix("x\xf0\x9f\x98\x80", 4), 1u);
  EXPECT_EQ(utf8_prefix("\x80\x80\x80\x80\x80\x80", 5), 5u);  // no text anyway
}

}  // namespace
}  // namespace knative::base
