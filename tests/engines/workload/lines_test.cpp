#include "engines/workload/lines.hpp"

#include <gtest/gtest.h>

namespace knative {
namespace {

using Words = std::vector<std::string>;

class LineSplitterTest : public testing::Test {
 protected:
  Words split(std::size_t most, const Words& pieces) {
    Words lines;
    LineSplitter splitter(most, [&lines](std::string_view line) { lines.emplace_back(line); });
    for (const std::string& piece : pieces) splitter.append(piece);
    splitter.finish();
    splitter.finish();
    return lines;
  }
};

TEST_F(LineSplitterTest, CutsLinesAndBreaksLongOnes) {
  EXPECT_EQ(split(5, {"ab\ncd", "e\n\nlonger than five\nx"}),
            (Words{"ab", "cde", "", "longe", "r tha", "n fiv", "e", "x"}));
}

TEST_F(LineSplitterTest, ALineInManyPiecesIsOneLine) {
  EXPECT_EQ(split(100, {"a", "b", "c", "\n", "d"}), (Words{"abc", "d"}));
}

TEST_F(LineSplitterTest, CharactersAreNotCut) {
  EXPECT_EQ(split(5, {"xxxx\xc3", "\xa9y\n"}), (Words{"xxxx", "\xc3\xa9y"}));
  EXPECT_EQ(split(4, {"\xf0\x9f\x98", "\x80\xf0\x9f\x98\x80"}),
            (Words{"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"}));
}

TEST_F(LineSplitterTest, BytesThatAreNoTextAreShownAsSuch) {
  EXPECT_EQ(split(100, {"caf\xe9 au lait\n"}), Words{"caf\xef\xbf\xbd au lait"});
  EXPECT_EQ(split(2, {std::string(5, '\x80')}),
            (Words{"\xef\xbf\xbd\xef\xbf\xbd", "\xef\xbf\xbd\xef\xbf\xbd", "\xef\xbf\xbd"}));
}

}  // namespace
}  // namespace knative
