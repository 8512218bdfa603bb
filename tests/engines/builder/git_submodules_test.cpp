// Submodules: what .gitmodules says, and what is fetched for it.
#include "engines/builder/git_submodules.hpp"

#include "git_server.hpp"

namespace knative {
namespace {

using builder::git::parse_modules;
using builder::git::submodule_url;
using builder::git::SubmoduleEntry;

TEST(GitModules, AreReadAsGitDoes) {
  const auto read = parse_modules(
      "# all of them\n[submodule \"a b\"]\n\tpath = deps/a ; where\n\turl=\"../a;b\\\"c\"\n"
      "[other \"x\"]\n\turl = elsewhere\n[Submodule \"q\\\"uoted\"] path = \"q\" \n"
      "\turl = https://h/\\\nq.git  \n\tUPDATE = none\n\tshallow\n[submodule.old]\n path = old\n",
      10);
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(*read, (std::vector<SubmoduleEntry>{{"a b", "deps/a", "../a;b\"c", ""},
                                                {"q\"uoted", "q", "https://h/q.git", "none"},
                                                {"old", "old", "", ""}}));
  EXPECT_EQ(parse_modules("", 10).value().size(), 0u);
}

TEST(GitModules, WhatIsNoConfigurationIsRefused) {
  for (const std::string text :
       {"path = x", "[submodule \"a", "[submodule \"a\"\n]", "[submodule \"a\"]\npath = \"open\n",
        "[submodule \"a\"]\npath = a\\q\n", "[submodule \"a\"]\n= x\n", "[]\n", "[a] b c\n"}) {
    const auto read = parse_modules(text, 10);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code, Errc::invalid_argument);
  }
  EXPECT_EQ(parse_modules("[submodule \"a\"]\nurl=1\n[submodule \"b\"]\nurl=1\n", 1).error().code,
            Errc::resource_exhausted);
}

TEST(GitModules, WhatRunsOrLeavesIsRefused) {
  for (const std::string text :
       {"[submodule \"../../x\"]\npath = a\n", "[submodule \"\"]\npath = a\n",
        "[submodule \"a\"]\npath = -u./x\n", "[submodule \"a\"]\npath = ../a\n",
        "[submodule \"a\"]\npath = /a\n", "[submodule \"a\"]\npath = a\nupdate = !rm -rf /\n"}) {
    EXPECT_EQ(parse_modules(text, 10).error().code, Errc::invalid_argument) << text;
  }
}

TEST(SubmoduleUrl, GoesOnFromItsRepository) {
  const std::vector<std::array<std::string, 3>> cases{
      {"https://h/team/a.git", "../b.git", "https://h/team/b.git"},
      {"https://h/team/a.git/", "../../b/", "https://h/b"},
      {"https://h/team/a.git", "./b", "https://h/team/a.git/b"},
      {"ssh://git@h:2222/team/a", "../b", "ssh://git@h:2222/team/b"},
      {"git@h:team/a", "../b", "git@h:team/b"},
      {"git@h:a", "../b", "git@h:b"},
      {"/srv/a", "../b", "/srv/b"},
      {"/a", "../b", "/b"},
      {"file:///srv/a", "../b", "file:///srv/b"},
      {"https://h/a", "ssh://other/b", "ssh://other/b"},
      {"/srv/a", "/srv/b", "/srv/b"}};
  for (const auto& [parent, url, whole] : cases) {
    EXPECT_EQ(submodule_url(parent, url).value(), whole) << parent << " " << url;
  }
}

TEST(SubmoduleUrl, WhatIsNotPermittedIsRefused) {
  const std::vector<std::array<std::string, 2>> cases{{"https://h/a", "../../b"},
                                                      {"https://h/a", "../../../evil/b"},
                                                      {"https://h/a", "./x/../../../b"},
                                                      {"git@h:a", "../../b"},
                                                      {"https://h/a", "file:///etc"},
                                                      {"https://h/a", "/etc"},
                                                      {"git@h:a", "local/path"},
                                                      {"https://h/a", "ext::sh -c touch% /tmp/x"},
                                                      {"/srv/a", "ext::sh"},
                                                      {"/srv/a", "fd::17/foo"},
                                                      {"https://h/a", "--upload-pack=x"},
                                                      {"/srv/a", "-u"},
                                                      {"https://h/a", "http://h/a\nb"},
                                                      {"https://h/a", ""},
                                                      {"https://h/a", "ftp://h/a"},
                                                      {"https://h/a", "transport::https://h/a"}};
  for (const auto& [parent, url] : cases) {
    const auto whole = submodule_url(parent, url);
    EXPECT_FALSE(whole) << parent << " " << url << " " << *whole;
  }
}

class Submodules : public BuilderFixture {
 protected:
  void SetUp() override {
    write("lib/inner", "inner");
    commit("lib");
    write("middle/file", "middle");
    commit("middle");
    link("middle", "deps/lib", "../lib", head("lib"));
    write("repo/file", "top");
    commit("repo");
    link("repo", "mid", "../middle", head("middle"));
    // What came later is not what the commit says.
    write("lib/inner", "later");
    commit("lib");
  }

  // A submodule in `repository`, by the plumbing: nothing is checked out there.
  void link(const std::string& repository, const std::string& at, const std::string& url,
            const std::string& id) {
    shell("cd " + repository + " && git config -f .gitmodules submodule." + at + ".path " + at +
          " && git config -f .gitmodules submodule." + at + ".url '" + url +
          "' && git add .gitmodules && git update-index --add --cacheinfo 160000," + id + "," + at +
          " && git commit -qm link");
  }
  Result<Fetched> fetch_whole(const std::string& url, const std::string& into = "out") {
    builder();
    build::SourceSpec source;
    source.git = build::GitSource{url, "main", true};
    fs::create_directories(path(into));
    return loop_.run(fetcher_->fetch(source, path(into), credentials_));
  }
  void expect_whole(const Result<Fetched>& fetched, const std::string& into = "out") {
    ASSERT_TRUE(fetched) << fetched.error().to_string();
    EXPECT_EQ(read(into + "/file"), "top");
    EXPECT_EQ(read(into + "/mid/file"), "middle");
    EXPECT_EQ(read(into + "/mid/deps/lib/inner"), "inner");
    ASSERT_EQ(fetched->submodules.size(), 2u);
    EXPECT_EQ(fetched->submodules[0].path, "mid");
    EXPECT_EQ(fetched->submodules[1].path, "mid/deps/lib");
    EXPECT_EQ(shell_line("git -C " + into + "/mid/deps/lib rev-list --count HEAD"), "1");
    EXPECT_EQ(shell_line("git -C " + into + " status --porcelain --ignore-submodules=none | wc -l"),
              "0");
  }
  Error refused(const std::string& url) {
    const Result<Fetched> fetched = fetch_whole(url);
    EXPECT_FALSE(fetched) << "nothing was refused";
    return fetched ? Error{} : fetched.error();
  }
};

TEST_F(Submodules, OfARepositoryOfThisMachineComeFromBesideIt) {
  expect_whole(fetch_whole(path("repo")));
  expect_whole(fetch_whole("file://" + path("repo"), "other"), "other");
}

TEST_F(Submodules, AreFetchedOverHttpEachOneCommit) {
  shell(
      "mkdir serve && for name in repo middle lib; do git clone -q --mirror $name serve/$name; "
      "done");
  const GitHttpServer server(loop_, path("serve"));
  expect_whole(fetch_whole(server.url("/repo")));
  // What a URL says of its user is for that server.
  const std::string ada = "http://ada:secret@127.0.0.1:" + server.port() + "/private/repo";
  const Result<Fetched> fetched = fetch_whole(ada, "other");
  expect_whole(fetched, "other");
  EXPECT_EQ(fetched->submodules[0].resolved.url, server.url("/private/middle"));
}

TEST_F(Submodules, StayEmptyUnlessTheyAreAskedFor) {
  const Result<Fetched> fetched = fetch(path("repo"), "main");
  ASSERT_TRUE(fetched) << fetched.error().to_string();
  EXPECT_TRUE(fetched->submodules.empty());
  EXPECT_TRUE(fs::is_empty(path("out/mid")));
}

TEST_F(Submodules, CountIntoTheBoundsOfTheirSource) {
  fetcher_options_.files_max = 6;  // of 8: file, .gitmodules and mid; the same below; inner
  EXPECT_EQ(refused(path("repo")).code, Errc::resource_exhausted);
  fetcher_options_ = {};
  fetcher_options_.submodules_max = 1;
  builder_.reset();
  fs::remove_all(path("out"));
  EXPECT_EQ(refused(path("repo")).code, Errc::resource_exhausted);
  fetcher_options_ = {};
  fetcher_options_.submodule_depth_max = 1;
  builder_.reset();
  fs::remove_all(path("out"));
  const Error deep = refused(path("repo"));
  EXPECT_EQ(deep.code, Errc::resource_exhausted);
  EXPECT_NE(deep.detail.find("submodule mid"), std::string::npos) << deep.detail;
}

TEST_F(Submodules, WithoutAUrlOrACommitAreNamed) {
  shell("cd repo && git rm -q --cached .gitmodules && git commit -qm none");
  EXPECT_NE(refused(path("repo")).detail.find("no url found for submodule path \"mid\""),
            std::string::npos);
  fs::remove_all(path("out"));
  shell("cd repo && git add .gitmodules && git update-index --cacheinfo 160000," +
        std::string(40, 'a') + ",mid && git commit -qm lost");
  const Error lost = refused(path("repo"));
  EXPECT_EQ(lost.code, Errc::not_found);
  EXPECT_NE(lost.detail.find("submodule mid"), std::string::npos) << lost.detail;
  fs::remove_all(path("out"));
  shell(
      "cd repo && git config -f .gitmodules submodule.mid.update none && git add .gitmodules && "
      "git commit -qm none");
  EXPECT_TRUE(fetch_whole(path("repo"))) << "it is left out";
}

TEST_F(Submodules, OfAServerAreNeverOfThisMachine) {
  shell("mkdir serve && git clone -q --mirror repo serve/repo");
  const GitHttpServer server(loop_, path("serve"));
  for (const std::string& url : {path("middle"), "file://" + path("middle"),
                                 "ext::sh -c touch% " + path("run"), std::string("--help")}) {
    link("repo", "mid", url, head("middle"));
    shell("cd repo && git push -q ../serve/repo main:main");
    fs::remove_all(path("out"));
    const Error error = refused(server.url("/repo"));
    EXPECT_EQ(error.code, Errc::invalid_argument) << error.to_string();
    EXPECT_FALSE(fs::exists(path("out/mid/file"))) << url;
    EXPECT_FALSE(fs::exists(path("run")));
  }
}

TEST_F(Submodules, AConfigurationThatIsALinkIsNotFollowed) {
  write("modules", "[submodule \"mid\"]\npath = mid\nurl = ../middle\n");
  shell(
      "cd repo && rm .gitmodules && ln -s ../modules .gitmodules && git add .gitmodules && "
      "git commit -qm link");
  EXPECT_EQ(refused(path("repo")).code, Errc::invalid_argument);
}

TEST_F(Submodules, OneThatContainsItselfEnds) {
  // Each commit links to the one before it.
  write("round/file", "0");
  commit("round");
  for (int i = 0; i < 12; ++i) link("round", "again", "../round", head("round"));
  const Error error = refused(path("round"));
  EXPECT_EQ(error.code, Errc::resource_exhausted) << error.to_string();
}

TEST_F(Submodules, AreInTheImageWithoutTheirRepositories) {
  build::Build build = from_git(path("repo"));
  build.spec.source.git->submodules = true;
  build.spec.image = "local/sub";
  build.spec.image_config.emplace().entrypoint = {"/workspace/mid/file"};
  build.spec.steps = {sh("s", "test -e mid/deps/lib/.git")};
  const BuildOutcome outcome = execute(build);
  ASSERT_FALSE(outcome.error) << outcome.error->to_string();
  EXPECT_NE(log_["build-step-git-source-0"].find("fetched submodule mid/deps/lib at "),
            std::string::npos);
  unpack(outcome.status.image, "root");
  EXPECT_EQ(read("root/workspace/mid/deps/lib/inner"), "inner");
  for (const char* git : {".git", "mid/.git", "mid/deps/lib/.git"}) {
    EXPECT_FALSE(fs::exists(path("root/workspace/") + git)) << git;
  }
}

}  // namespace
}  // namespace knative
