// What a commit, tag and tree say, and what they must not.
#include "engines/builder/git_objects.hpp"

#include <gtest/gtest.h>

namespace knative::builder::git {
namespace {

const std::string raw_id(20, '\x12');

std::string entry(const std::string& mode, const std::string& name) {
  return mode + " " + name + std::string(1, '\0') + raw_id;
}
bool is_tree(const std::string& bytes) { return parse_tree(bytes).has_value(); }

TEST(GitObjects, IdsAreFortyDigits) {
  const std::string hex = "0123456789abcdef0123456789abcdef01234567";
  EXPECT_EQ(Id::parse(hex)->hex(), hex);
  EXPECT_EQ(Id::from_raw(Id::parse(hex)->raw()).hex(), hex);
  for (const std::string& wrong : {hex + "0", hex.substr(1), "g" + hex.substr(1), std::string()}) {
    EXPECT_FALSE(Id::parse(wrong)) << wrong;
  }
}

TEST(GitObjects, ATreeIsReadInOrder) {
  const std::string bytes = entry("100755", "a") + entry("100644", "b.x") + entry("40000", "b") +
                            entry("120000", "c") + entry("160000", "d") + entry("100664", "e");
  const std::vector<TreeEntry> entries = parse_tree(bytes).value();
  ASSERT_EQ(entries.size(), 6u);
  EXPECT_EQ(entries[0].kind, EntryKind::program);
  EXPECT_EQ(entries[1].kind, EntryKind::file);
  EXPECT_EQ(entries[2].kind, EntryKind::folder);
  EXPECT_EQ(entries[2].name, "b");
  EXPECT_EQ(entries[2].id.raw(), raw_id);
  EXPECT_EQ(entries[3].kind, EntryKind::link);
  EXPECT_EQ(entries[4].kind, EntryKind::submodule);
  EXPECT_EQ(entries[5].kind, EntryKind::file);
  EXPECT_TRUE(parse_tree("").value().empty());
}

TEST(GitObjects, ADamagedTreeIsRefused) {
  const std::string good = entry("100644", "a");
  for (std::size_t length = 1; length < good.size(); ++length) {
    EXPECT_FALSE(is_tree(good.substr(0, length))) << length;
  }
  EXPECT_FALSE(is_tree(entry("100644", "b") + entry("100644", "a")));
  EXPECT_FALSE(is_tree(entry("100644", "a") + entry("100644", "a")));
  EXPECT_FALSE(is_tree(entry("100644", "a") + entry("100644", "a.x") + entry("40000", "a")))
      << "one name, not side by side";
  EXPECT_FALSE(is_tree(entry("40000", "a") + entry("100644", "a.x"))) << "a folder ends in a slash";
  for (const char* mode : {"", "8", "1006444444444444444444", "10000", "60000", "-100644"}) {
    EXPECT_FALSE(is_tree(entry(mode, "a"))) << mode;
  }
}

TEST(GitObjects, NamesThatMayNotBecomeFiles) {
  for (const std::string name : {"",
                                 ".",
                                 "..",
                                 "a/b",
                                 "/",
                                 ".git",
                                 ".GIT",
                                 ".gIt",
                                 "git~1",
                                 "GIT~1",
                                 ".git.",
                                 ".git ",
                                 ".git . .",
                                 ".git:stream",
                                 "git~1:x",
                                 ".git::$INDEX_ALLOCATION",
                                 ".git\\x",
                                 ".g\xe2\x80\x8cit",
                                 "\xef\xbb\xbf.git",
                                 ".git\xe2\x81\xaf",
                                 "\xe2\x80\xae.GIT"}) {
    EXPECT_TRUE(is_forbidden_name(name)) << name;
    EXPECT_FALSE(is_tree(entry("100644", name))) << name;
  }
  for (const std::string name : {".gitignore", ".gitmodules", "git", "git~2", ".github", "...",
                                 "a.git", "\xc3\xa9", "a b", ".git\xe2\x80\x90", "-"}) {
    EXPECT_FALSE(is_forbidden_name(name)) << name;
    EXPECT_TRUE(is_tree(entry("100644", name))) << name;
  }
}

TEST(GitObjects, CommitsAndTags) {
  const std::string hex(40, 'a');
  const std::string text = "tree " + hex + "\nparent " + hex +
                           "\nauthor A <a@b> 5 +0000\ncommitter A <a@b> 1700000000 -0130\n\nm\n";
  const Commit commit = parse_commit(text).value();
  EXPECT_EQ(commit.tree.hex(), hex);
  EXPECT_TRUE(commit.has_parents);
  EXPECT_EQ(commit.time_seconds, 1'700'000'000);
  const Commit first =
      parse_commit("tree " + hex + "\nauthor A\ncommitter A <a> -5 +0000\n").value();
  EXPECT_FALSE(first.has_parents);
  EXPECT_EQ(first.time_seconds, -5);
  for (const std::string& wrong :
       {std::string(), "tree " + hex, "tree " + hex + "\n\ncommitter A <a> 5 +0000\n",
        "tree " + hex + "\ncommitter A <a> x +0000\n", "tree " + hex + "\ncommitter \n",
        "tree " + hex.substr(1) + "\ncommitter A <a> 5 +0000\n"}) {
    EXPECT_FALSE(parse_commit(wrong)) << wrong;
  }
  EXPECT_EQ(parse_tag("object " + hex + "\ntype commit\n").value().hex(), hex);
  EXPECT_FALSE(parse_tag("tag x\n"));
}

}  // namespace
}  // namespace knative::builder::git
