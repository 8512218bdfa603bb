// Repositories of this machine as sources: read where they lie, whoever owns them and whatever is
// configured; counted before anything is written.
#include <sys/stat.h>
#include <unistd.h>

#include "builder_fixture.hpp"

namespace knative {
namespace {

class LocalGit : public BuilderFixture {
 protected:
  void SetUp() override {
    write("repo/file", "one");
    write("repo/folder/inner", "inner");
    commit("repo");
    first_ = head("repo");
    write("repo/file", "two");
    commit("repo");
    second_ = head("repo");
  }
  void expect_built(const std::string& url, const std::string& revision, const std::string& id) {
    fs::remove_all(path("out"));
    const Result<Fetched> fetched = fetch(url, revision);
    ASSERT_TRUE(fetched) << fetched.error().to_string();
    EXPECT_EQ(fetched->resolved.revision, id);
    EXPECT_EQ(read("out/file"), id == first_ ? "one" : "two");
    EXPECT_EQ(read("out/folder/inner"), "inner");
  }
  Error expect_refused(const std::string& url, const std::string& revision, Errc code) {
    fs::remove_all(path("out"));
    const Result<Fetched> fetched = fetch(url, revision);
    EXPECT_FALSE(fetched) << url << " " << revision;
    if (fetched) return {};
    EXPECT_EQ(fetched.error().code, code) << fetched.error().to_string();
    EXPECT_TRUE(fs::is_empty(path("out"))) << "nothing is written";
    return fetched.error();
  }

  void set_bounds(std::uint64_t files, std::uint64_t bytes) {
    builder();
    fetcher_options_.files_max = files;
    fetcher_options_.bytes_max = bytes;
    fetcher_ = source_fetcher(*outbound_, env().timers, env().network, env().processes, env().files,
                              env().offload, fetcher_options_);
  }

  std::string first_;
  std::string second_;
};

TEST_F(LocalGit, HistoryIsNotCopied) {
  for (int i = 0; i < 20; ++i) {
    write("repo/file", std::to_string(i));
    commit("repo");
  }
  ASSERT_TRUE(fetch(path("repo"), "main"));
  EXPECT_EQ(shell_line("git -C out rev-list --count HEAD"), "1");
  EXPECT_EQ(read("out/.git/shallow"), head("repo") + "\n");
  EXPECT_EQ(shell_line("git -C out count-objects -v | grep in-pack"), "in-pack: 5");
  EXPECT_FALSE(fs::exists(path("out/.git/objects/info/alternates"))) << "it stands alone";
}

TEST_F(LocalGit, ACommitWithoutParentsIsNotCutOff) {
  ASSERT_TRUE(fetch(path("repo"), first_));
  EXPECT_FALSE(fs::exists(path("out/.git/shallow")));
  EXPECT_EQ(shell_line("git -C out rev-list --count HEAD"), "1");
}

TEST_F(LocalGit, TheCheckoutIsAWholeRepository) {
  write("repo/run", "#!/bin/sh\n", true);
  write("repo/empty", "");
  write("repo/folder.x", "sorted between folder and its files by some");
  write("repo/folder/" + std::string(200, 'n') + "/deep", "d");
  fs::create_symlink("folder/inner", path("repo/link"));
  shell(
      "cd repo && head -c 3000000 /dev/urandom > noise && cp noise noise-again && head -c "
      "40000000 /dev/zero > large");
  commit("repo");
  ASSERT_TRUE(fetch(path("repo"), "main"));
  fs::rename(path("repo"), path("elsewhere"));
  shell("git -C out fsck --strict --full");
  EXPECT_EQ(shell_line("git -C out count-objects -v | grep in-pack"), "in-pack: 13");
  EXPECT_EQ(shell_line("git -C out diff-files --quiet && git -C out diff-index --quiet HEAD && "
                       "echo clean"),
            "clean")
      << "without looking into a file";
  EXPECT_EQ(shell_line("git -C out status --porcelain"), "");
  shell("diff -r --exclude=.git elsewhere out && test -x out/run && test ! -x out/file");
  EXPECT_EQ(shell_line("git -C out config remote.origin.url"), path("repo"));
  write("out/file", "six");
  EXPECT_EQ(shell_line("git -C out status --porcelain"), " M file");
}

TEST_F(LocalGit, ConfigurationOfNobodyMatters) {
  // Neither can be read, and both would be.
  fs::create_symlink(".gitconfig", path(".gitconfig"));
  ::setenv("HOME", root_.c_str(), 1);
  ::setenv("XDG_CONFIG_HOME", (root_ + "/.gitconfig").c_str(), 1);
  write("more",
        "[core]\n\tworktree = /nowhere\n\tbare = true\n[url \"/nowhere\"]\n\tinsteadOf = "
        "/\n[include]\n\tpath = /dev/full\n[safe\n");
  shell("cat more >> repo/.git/config");
  expect_built(path("repo"), "main", second_);
  ::unsetenv("XDG_CONFIG_HOME");
}

TEST_F(LocalGit, WhoOwnsARepositoryDoesNotMatter) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  shell("chown -R 12345:12345 repo");
  expect_built(path("repo"), "main", second_);
  expect_built("file://" + path("repo"), "", second_);
}

TEST_F(LocalGit, AShallowCloneIsASource) {
  shell("git clone -q --depth 1 file://" + path("repo") + " shallow");
  expect_built(path("shallow"), "main", second_);
  expect_refused(path("shallow"), first_, Errc::not_found);
}

TEST_F(LocalGit, APartialCloneIsASourceOfWhatItHas) {
  shell(
      "git -C repo config uploadpack.allowFilter true && git clone -q --filter=blob:none file://" +
      path("repo") + " partial");
  expect_built(path("partial"), "main", second_);
  const Error error = expect_refused(path("partial"), first_, Errc::not_found);
  EXPECT_NE(error.detail.find("\"file\""), std::string::npos) << error.detail;
  EXPECT_NE(error.detail.find("partial clone"), std::string::npos) << error.detail;
}

TEST_F(LocalGit, EveryLayoutOfARepositoryIsRead) {
  shell(
      "git clone -q --bare repo bare.git && git clone -q --shared repo borrowing && "
      "git -C repo worktree add -q -b side ../further " +
      first_ +
      " && git clone -q repo packed && git -C packed pack-refs --all && "
      "git -C packed gc -q && git clone -q --separate-git-dir=apart.git repo pointing");
  for (const char* name : {"bare.git", "bare", "borrowing", "packed", "pointing", "apart.git"}) {
    expect_built(path(name), "main", second_);
    expect_built(path(name), "", second_);
  }
  expect_built(path("further"), "", first_);
  expect_built(path("further"), "main", second_);
  expect_built(path("packed"), "origin/main", second_);
  fs::create_directory_symlink("repo", path("link"));
  expect_built(path("link"), "main", second_);
}

TEST_F(LocalGit, ARefMayNameAnother) {
  shell(
      "cd repo && git symbolic-ref refs/heads/alias refs/heads/main && "
      "git symbolic-ref refs/heads/round refs/heads/round2 && "
      "git symbolic-ref refs/heads/round2 refs/heads/round && "
      "git symbolic-ref refs/heads/nowhere refs/heads/absent");
  expect_built(path("repo"), "alias", second_);
  expect_refused(path("repo"), "round", Errc::not_found);
  expect_refused(path("repo"), "nowhere", Errc::not_found);
  shell("cd repo && rm .git/HEAD && ln -s refs/heads/main .git/HEAD");
  expect_built(path("repo"), "", second_);
}

TEST_F(LocalGit, ANewerRefIsNotHiddenByAPackedOne) {
  shell("cd repo && git update-ref refs/heads/moved " + first_ +
        " && git pack-refs --all && git update-ref refs/heads/moved " + second_);
  expect_built(path("repo"), "moved", second_);
}

TEST_F(LocalGit, APipeInPlaceOfAFileIsNotWaitedFor) {
  for (const char* name : {"HEAD", "packed-refs", "config", "refs/heads/pipe"}) {
    shell("cd repo/.git && rm -f " + std::string(name) + " && mkfifo " + name);
  }
  expect_built(path("repo"), "main", second_);
  expect_refused(path("repo"), "pipe", Errc::not_found);
}

TEST_F(LocalGit, WhatIsKeptInAnUnknownWayIsRefusedByName) {
  shell("git init -q --object-format=sha256 new && cd new && git commit -q --allow-empty -m x");
  const Error error = expect_refused(path("new"), "main", Errc::unimplemented);
  EXPECT_NE(error.detail.find("sha1"), std::string::npos) << error.detail;
  shell("cd repo && git config extensions.refStorage reftable");
  expect_refused(path("repo"), "main", Errc::unimplemented);
}

TEST_F(LocalGit, AFileUrlIsDecodedAndAPathIsNot) {
  fs::rename(path("repo"), path("a b%20c"));
  expect_built("file://" + root_ + "/a%20b%2520c", "main", second_);
  expect_built("file://localhost" + root_ + "/a%20b%2520c", "main", second_);
  expect_built(path("a b%20c"), "main", second_);
  expect_refused(root_ + "/a%20b%2520c", "main", Errc::not_found);
  expect_refused("file://elsewhere" + root_ + "/a%20b%2520c", "main", Errc::invalid_argument);
  expect_refused("file://" + root_ + "/a%00", "main", Errc::invalid_argument);
}

TEST_F(LocalGit, ADamagedObjectIsSaidSo) {
  const std::string id = shell_line("git -C repo rev-parse HEAD:file");
  const std::string object = "repo/.git/objects/" + id.substr(0, 2) + "/" + id.substr(2);
  shell("chmod u+w " + object + " && printf 'x' | dd of=" + object +
        " bs=1 seek=4 conv=notrunc 2>/dev/null");
  EXPECT_FALSE(fetch(path("repo"), "main"));
  fs::remove(path(object));
  expect_refused(path("repo"), "main", Errc::not_found);
}

TEST_F(LocalGit, ASecondRepositoryInOneFolderIsRefused) {
  ASSERT_TRUE(fetch(path("repo"), "main"));
  EXPECT_EQ(fetch(path("repo"), "main").error().code, Errc::already_exists);
}

// ---------------------------------------------------------------------------- bounds

TEST_F(LocalGit, TenThousandMillionFilesAreRefusedWhileTheyAreCounted) {
  shell("cd repo && " + plant_many_files);
  fetcher_options_.files_max = 100'000;
  const Error error = expect_refused(path("repo"), "many", Errc::resource_exhausted);
  EXPECT_NE(error.detail.find("100000"), std::string::npos) << error.detail;
}

TEST_F(LocalGit, MoreBytesThanAreAllowedAreRefusedBeforeOneIsWritten) {
  shell("cd repo && head -c 8000000 /dev/zero > a && for n in b c d e; do cp a $n; done");
  commit("repo");
  fetcher_options_.bytes_max = 20'000'000;
  const Error error = expect_refused(path("repo"), "main", Errc::resource_exhausted);
  EXPECT_NE(error.detail.find("20000000"), std::string::npos) << error.detail;
}

TEST_F(LocalGit, WhatIsExactlyAtItsBoundIsTaken) {
  set_bounds(3, 8);  // file, folder, folder/inner; "two", "inner"
  expect_built(path("repo"), "main", second_);
  set_bounds(2, 8);
  expect_refused(path("repo"), "main", Errc::resource_exhausted);
  set_bounds(3, 7);
  expect_refused(path("repo"), "main", Errc::resource_exhausted);
}

TEST_F(LocalGit, FoldersThatAreTooDeepAreRefused) {
  const auto plant = [&](int depth) {
    shell(
        "cd repo && what='100644 blob'; id=$(echo x | git hash-object -w --stdin); for n in "
        "$(seq " +
        std::to_string(depth) +
        "); do id=$(printf \"$what $id\\td\\n\" | git mktree); what='040000 tree'; done; git "
        "update-ref refs/heads/deep $(git commit-tree -m deep $id)");
  };
  plant(300);
  const Error error = expect_refused(path("repo"), "deep", Errc::resource_exhausted);
  EXPECT_NE(error.detail.find("folders deep"), std::string::npos) << error.detail;
  plant(200);
  EXPECT_TRUE(fetch(path("repo"), "deep"));
}

TEST_F(LocalGit, AFolderThatIsTooLargeIsRefused) {
  write("src/a", std::string(1000, 'a'));
  write("src/b/c", "c");
  build::SourceSpec source;
  source.gcs = build::GcsSource{"Archive", "file://" + path("src")};
  const auto copied = [&](std::uint64_t files, std::uint64_t bytes) {
    set_bounds(files, bytes);
    fs::remove_all(path("out"));
    fs::create_directories(path("out"));
    return loop_.run(fetcher_->fetch(source, path("out"), credentials_));
  };
  EXPECT_TRUE(copied(3, 1001));
  EXPECT_EQ(copied(2, 1001).error().code, Errc::resource_exhausted);
  EXPECT_EQ(copied(3, 1000).error().code, Errc::resource_exhausted);
}

}  // namespace
}  // namespace knative
