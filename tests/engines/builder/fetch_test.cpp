// Sources: git by path, file:// and http://, archives and folders, and what they must not do.
#include <sstream>

#include "git_server.hpp"
#include "knative/http_client.hpp"
#include "knative/http_server.hpp"
#include "knative/tls.hpp"

namespace knative {
namespace {

class GitSources : public BuilderFixture {
 protected:
  void SetUp() override {
    write("repo/file", "one");
    commit("repo");
    first_ = head("repo");
    shell("cd repo && git tag v1 && git tag -a v1-signed -m x && git branch side");
    write("repo/file", "two");
    commit("repo");
    second_ = head("repo");
    shell("cd repo && git update-ref refs/pull/7/head " + first_);
  }

  // Everything a revision may be, whatever the URL.
  void expect_revisions(const std::string& url) {
    const std::vector<std::pair<std::string, std::string>> cases{{"main", second_},
                                                                 {"", second_},
                                                                 {"HEAD", second_},
                                                                 {"side", first_},
                                                                 {"v1", first_},
                                                                 {"v1-signed", first_},
                                                                 {"refs/tags/v1", first_},
                                                                 {"refs/heads/main", second_},
                                                                 {"pull/7/head", first_},
                                                                 {"refs/pull/7/head", first_},
                                                                 {second_, second_},
                                                                 {first_, first_},
                                                                 {first_.substr(0, 8), first_}};
    int number = 0;
    for (const auto& [revision, id] : cases) {
      const std::string into = "out" + std::to_string(number++);
      Result<Fetched> fetched = fetch(url, revision, into);
      ASSERT_TRUE(fetched) << revision << ": " << fetched.error().to_string();
      EXPECT_EQ(fetched->resolved.revision, id) << revision;
      EXPECT_EQ(fetched->resolved.url, url);
      EXPECT_EQ(fetched->time_seconds, 1'700'000'000);
      EXPECT_EQ(read(into + "/file"), id == first_ ? "one" : "two") << revision;
      EXPECT_EQ(shell_line("git -C " + into + " rev-parse HEAD"), id);
      EXPECT_EQ(shell_line("git -C " + into + " status --porcelain"), "") << revision;
      fs::remove_all(path(into));
    }
  }

  void expect_missing(const std::string& url) {
    for (const char* revision :
         {"nope", "refs/heads/nope", "deadbeef", "1234567890123456789012345678901234567890"}) {
      fs::remove_all(path("out"));
      Result<Fetched> fetched = fetch(url, revision);
      ASSERT_FALSE(fetched) << revision;
      EXPECT_EQ(fetched.error().code, Errc::not_found) << fetched.error().to_string();
      EXPECT_NE(fetched.error().detail.find(url), std::string::npos) << fetched.error().detail;
      EXPECT_NE(fetched.error().detail.find(revision), std::string::npos) << fetched.error().detail;
    }
  }

  void expect_empty(const std::string& url) {
    for (const char* revision : {"", "HEAD", "main", "1234567890123456789012345678901234567890"}) {
      fs::remove_all(path("none"));
      const Result<Fetched> fetched = fetch(url, revision, "none");
      ASSERT_FALSE(fetched) << url << " " << revision;
      EXPECT_EQ(fetched.error().code, Errc::not_found) << fetched.error().to_string();
      EXPECT_NE(fetched.error().detail.find("has no branches or tags"), std::string::npos)
          << fetched.error().detail;
      EXPECT_TRUE(fs::is_empty(path("none"))) << "nothing is written";
    }
  }

  // In a mirror: nothing but its child leads to the first commit.
  const std::string hide_first =
      "git update-ref -d refs/tags/v1 && git update-ref -d refs/heads/side && "
      "git update-ref -d refs/tags/v1-signed && git update-ref -d refs/pull/7/head";
  std::string first_;
  std::string second_;
};

TEST_F(GitSources, ByPath) { expect_revisions(path("repo")); }
TEST_F(GitSources, ByFileUrl) { expect_revisions("file://" + path("repo")); }
TEST_F(GitSources, MissingRevisionByPath) { expect_missing(path("repo")); }

TEST_F(GitSources, AMissingRevisionNamesWhatThereIs) {
  const Error error = fetch(path("repo"), "mian").error();
  EXPECT_NE(error.detail.find("branch main"), std::string::npos) << error.detail;
  EXPECT_NE(error.detail.find("tag v1"), std::string::npos) << error.detail;
}

TEST_F(GitSources, MissingRepositoryByPath) {
  const Error error = fetch(path("nowhere"), "main").error();
  EXPECT_EQ(error.code, Errc::not_found) << error.to_string();
  EXPECT_NE(error.detail.find(path("nowhere")), std::string::npos);
  fs::create_directories(path("plain"));
  EXPECT_FALSE(fetch("file://" + path("plain"), "main", "out2"));
}

TEST_F(GitSources, AnEmptyRepositoryIsSaidSo) {
  shell("git init -q -b main empty && git init -q --bare -b main empty.git");
  expect_empty(path("empty"));
  expect_empty(path("empty.git"));
  expect_empty("file://" + path("empty"));
}

TEST_F(GitSources, AConnectionThatIsRefusedIsUnavailable) {
  const Endpoint any{.host = "127.0.0.1", .port = 0, .path = {}};
  const std::string closed = env().network.listen(any).value()->endpoint().to_string();
  for (const std::string scheme : {"http://", "https://", "git://"}) {
    const Error error = fetch(scheme + closed + "/repo.git", "main").error();
    EXPECT_EQ(error.code, Errc::unavailable) << error.to_string();
    EXPECT_NE(error.detail.find(scheme + closed + "/repo.git"), std::string::npos) << error.detail;
  }
}

TEST_F(GitSources, ABareRepositoryWorks) {
  shell("git clone -q --bare repo bare.git");
  EXPECT_EQ(fetch(path("bare.git"), "main").value().resolved.revision, second_);
}

TEST_F(GitSources, UnknownKindsOfUrlAreRefusedAtOnce) {
  EXPECT_EQ(fetch("ftp://host.invalid/x", "main").error().code, Errc::invalid_argument);
  EXPECT_EQ(fetch("", "main").error().code, Errc::invalid_argument);
}

TEST_F(GitSources, HooksAndFiltersNeverRun) {
  write("hooky/file", "text\r\n");
  write("hooky/.gitattributes", "* text=auto eol=crlf filter=evil\n");
  commit("hooky");
  // Configuration and hooks of the source repository are its owner's, not the build's.
  shell("cd hooky && git config filter.evil.smudge 'touch " + path("pwned") +
        "; cat' && for h in post-checkout post-merge reference-transaction; do printf "
        "'#!/bin/sh\\ntouch " +
        path("pwned") + "\\n' > .git/hooks/$h; chmod +x .git/hooks/$h; done");
  ASSERT_TRUE(fetch(path("hooky"), "main"));
  EXPECT_FALSE(fs::exists(path("pwned")));
  EXPECT_EQ(read("out/file"), shell_line("git -C hooky cat-file -p HEAD:file") + "\n")
      << "bytes as committed";
}

TEST_F(GitSources, SubmodulesAreNotFetched) {
  shell("cd repo && git -c protocol.file.allow=always submodule add -q " + path("repo") +
        " sub && git commit -q -m sub");
  ASSERT_TRUE(fetch(path("repo"), "main"));
  EXPECT_TRUE(fs::is_empty(path("out/sub")));
}

TEST_F(GitSources, LinksAndModesComeAlong) {
  write("repo/run", "#!/bin/sh\n", true);
  fs::create_symlink("file", path("repo/link"));
  commit("repo");
  ASSERT_TRUE(fetch(path("repo"), "main"));
  EXPECT_EQ(fs::read_symlink(path("out/link")), "file");
  EXPECT_NE(fs::status(path("out/run")).permissions() & fs::perms::owner_exec, fs::perms::none);
}

// A commit on branch "bad" whose tree has these raw entries; git's own commands refuse to make
// such trees. Each is mode, name, and the id of "evil" (a file), "inner" (a directory with that
// file) or "outside" (a link to the folder beside).
class HostileTrees : public GitSources {
 protected:
  void plant(const std::vector<std::array<std::string, 3>>& entries) {
    std::map<std::string, std::string> ids;
    fs::create_directories(path("outside"));
    ids["evil"] = shell_line("cd repo && echo evil | git hash-object -w --stdin");
    ids["inner"] =
        shell_line("cd repo && printf '100644 blob " + ids["evil"] + "\\tevil\\n' | git mktree");
    ids["outside"] =
        shell_line("cd repo && printf '" + path("outside") + "' | git hash-object -w --stdin");
    std::string raw;
    for (const auto& [mode, name, what] : entries) {
      raw += mode + " " + name + std::string(1, '\0');
      for (std::size_t i = 0; i < 40; i += 2) {
        raw.push_back(static_cast<char>(std::stoi(ids[what].substr(i, 2), nullptr, 16)));
      }
    }
    write("raw", raw);
    const std::string tree = shell_line("cd repo && git hash-object -t tree -w --literally ../raw");
    shell("cd repo && c=$(git commit-tree -m x " + tree + ") && git update-ref refs/heads/bad $c");
  }
};

TEST_F(HostileTrees, NamesDoNotLeaveTheWorkspace) {
  for (const std::string name : {"..", ".git", ".GIT", ".", "a/../../x", "git~1"}) {
    plant({{"40000", name, "inner"}});
    fs::remove_all(path("deep"));
    Result<Fetched> fetched = fetch(path("repo"), "bad", "deep/er/out");
    ASSERT_FALSE(fetched) << name;
    EXPECT_EQ(fetched.error().code, Errc::invalid_argument) << fetched.error().to_string();
    EXPECT_FALSE(fs::exists(path("deep/er/evil"))) << name;
    EXPECT_FALSE(fs::exists(path("deep/er/out/.git/evil"))) << name;
  }
}

TEST_F(HostileTrees, DotGitAsALinkIsRefused) {
  plant({{"120000", ".git", "outside"}});
  EXPECT_EQ(fetch(path("repo"), "bad").error().code, Errc::invalid_argument);
  EXPECT_TRUE(fs::is_empty(path("out"))) << "nothing is written";
}

TEST_F(HostileTrees, AFileBehindALinkDoesNotLeaveTheWorkspace) {
  plant({{"120000", "x", "outside"}, {"40000", "x", "inner"}});
  (void)fetch(path("repo"), "bad");
  EXPECT_TRUE(fs::is_empty(path("outside")));
  plant({{"40000", "x", "inner"}, {"120000", "x", "outside"}});
  (void)fetch(path("repo"), "bad", "other");
  EXPECT_TRUE(fs::is_empty(path("outside")));
}

TEST_F(GitSources, TooLargeIsRefused) {
  fetcher_options_.files_max = 3;
  for (int i = 0; i < 5; ++i) write("repo/f" + std::to_string(i), "x");
  commit("repo");
  EXPECT_EQ(fetch(path("repo"), "main").error().code, Errc::resource_exhausted);
}

TEST_F(GitSources, ADroppedFetchStops) {
  builder();
  build::SourceSpec source;
  source.git = build::GitSource{path("repo"), "main"};
  fs::create_directories(path("out"));
  auto begin_and_drop = [](Timers& timers, Fetcher& fetcher, const build::SourceSpec& what,
                           const std::string& into) -> Task<bool> {
    const SourceCredentials none;
    Task<Result<Fetched>> fetching = fetcher.fetch(what, into, none);
    auto limited = with_deadline(timers, std::move(fetching), timers.now());
    co_return (co_await std::move(limited)).has_value();
  };
  (void)loop_.run(begin_and_drop(env().timers, *fetcher_, source, path("out")));
}

// ---------------------------------------------------------------------------- http

class GitOverHttp : public GitSources {
 protected:
  void SetUp() override {
    GitSources::SetUp();
    shell(
        "git clone -q --mirror repo serve-repo.git && mkdir serve && mv serve-repo.git "
        "serve/repo.git");
    server_.emplace(loop_, path("serve"));
    port_ = server_->port();
  }
  std::string url(const std::string& rest) const { return server_->url(rest); }

  std::string port_;
  std::optional<GitHttpServer> server_;
};

TEST_F(GitOverHttp, EveryKindOfRevision) { expect_revisions(url("/repo.git")); }
TEST_F(GitOverHttp, EveryKindOfRevisionOfAServerThatKnowsNoVersions) {
  expect_revisions(url("/old/repo.git"));
  expect_missing(url("/old/repo.git"));
}
TEST_F(GitOverHttp, MissingRevision) { expect_missing(url("/repo.git")); }

TEST_F(GitOverHttp, AnEmptyRepositoryIsSaidSo) {
  shell("git init -q --bare -b main serve/empty.git");
  expect_empty(url("/empty.git"));
}

TEST_F(GitOverHttp, MoreFilesThanAreAllowedAreRefusedBeforeOneIsWritten) {
  shell("cd serve/repo.git && " + plant_many_files);
  fetcher_options_.files_max = 100'000;
  const Error error = fetch(url("/repo.git"), "many").error();
  EXPECT_EQ(error.code, Errc::resource_exhausted) << error.to_string();
  EXPECT_NE(error.detail.find("more than 100000 files"), std::string::npos) << error.detail;
  for (const auto& entry : fs::directory_iterator(path("out"))) {
    EXPECT_EQ(entry.path().filename(), ".git");
  }
}

TEST_F(GitOverHttp, OnlyTheWantedCommitIsTransferred) {
  ASSERT_TRUE(fetch(url("/repo.git"), "main"));
  EXPECT_EQ(shell_line("git -C out rev-list --count HEAD"), "1");
  EXPECT_EQ(read("out/.git/shallow"), second_ + "\n");
}

TEST_F(GitOverHttp, ACommitThatNoRefShowsComesWithoutHistory) {
  shell("cd serve/repo.git && " + hide_first + " && git update-ref refs/heads/main " + second_);
  EXPECT_EQ(fetch(url("/repo.git"), first_).value().resolved.revision, first_);
  EXPECT_EQ(shell_line("git -C out rev-list --count HEAD"), "1");
  // A server without versions gives it when it is allowed to, else with all that refs lead to.
  EXPECT_EQ(fetch(url("/old/repo.git"), first_, "whole").value().resolved.revision, first_);
  shell("cd serve/repo.git && git config uploadpack.allowReachableSHA1InWant true");
  EXPECT_EQ(fetch(url("/old/repo.git"), first_, "old").value().resolved.revision, first_);
  EXPECT_EQ(read("old/.git/shallow"), read("out/.git/shallow"));
  EXPECT_FALSE(fs::exists(path("whole/.git/shallow")));
}

TEST_F(GitOverHttp, ServersAreAskedForTheRefsThatARevisionMayMeanAndNoOthers) {
  shell("cd serve/repo.git && for n in $(seq 2000); do echo \"create refs/changes/$n/head " +
        first_ + "\"; done | git update-ref --stdin");
  fs::remove(path("serve.log"));
  ASSERT_TRUE(fetch(url("/repo.git"), "main"));
  ASSERT_TRUE(fetch(url("/repo.git"), first_, "by-id"));
  std::istringstream log(read("serve.log"));
  std::string method;
  std::string where;
  std::size_t bytes = 0;
  std::size_t all = 0;
  int requests = 0;
  while (log >> method >> where >> bytes) {
    all += bytes;
    ++requests;
  }
  EXPECT_EQ(requests, 5) << "refs are not asked for by who knows an id";
  EXPECT_LT(all, 4000u);
}

TEST_F(GitOverHttp, TheServersWordsAreInTheError) {
  const Error error = fetch(url("/nowhere.git"), "main").error();
  EXPECT_EQ(error.code, Errc::not_found);
  EXPECT_NE(error.detail.find("404"), std::string::npos) << error.detail;
  EXPECT_NE(error.detail.find("no repository here"), std::string::npos) << error.detail;
}

TEST_F(GitOverHttp, WhatIsNoGitServerIsSaidSo) {
  EXPECT_EQ(fetch(url("/dumb/repo.git"), "main").error().code, Errc::invalid_argument);
  const Error error = fetch("http://127.0.0.1:1/repo.git", "main").error();
  EXPECT_EQ(error.code, Errc::unavailable) << error.to_string();
}

TEST_F(GitOverHttp, RedirectsAreFollowed) {
  EXPECT_EQ(fetch(url("/moved/repo.git"), "main").value().resolved.revision, second_);
}

TEST_F(GitOverHttp, CredentialsOfTheUrlAreUsedAndNeverShown) {
  const std::string open = "http://ada:secret@127.0.0.1:" + port_ + "/private/repo.git";
  const Fetched fetched = fetch(open, "main").value();
  EXPECT_EQ(fetched.resolved.url, url("/private/repo.git"));
  EXPECT_EQ(read("out/.git/config").find("secret"), std::string::npos);
  const Error none = fetch(url("/private/repo.git"), "main", "b").error();
  EXPECT_EQ(none.code, Errc::failed_precondition);
  EXPECT_NE(none.detail.find("requires credentials"), std::string::npos) << none.detail;
  const Error wrong =
      fetch("http://ada:wr0ng@127.0.0.1:" + port_ + "/private/repo.git", "main", "c").error();
  EXPECT_EQ(wrong.detail.find("wr0ng"), std::string::npos) << wrong.detail;
}

// A server of this process beside the one of git.
struct Beside {
  Beside(Env& env, std::unique_ptr<http::Handler> with,
         std::unique_ptr<Listener> listener = nullptr)
      : handler(std::move(with)),
        server(env.executor, env.timers, env.logger,
               listener ? std::move(listener) : env.network.listen(Endpoint{}).value(), *handler) {}
  std::string at() const { return server.endpoint().to_string(); }
  std::unique_ptr<http::Handler> handler;
  http::Server server;
};

TEST_F(GitOverHttp, CredentialsDoNotFollowARedirectToAnotherOrigin) {
  std::vector<std::string> shown;
  Beside door(env(), http::make_handler([this, &shown](http::Request& request) {
                shown.emplace_back(request.headers.get("Authorization").value_or(""));
                http::Response response = http::text("there", 307);
                response.headers.set("Location", url(request.target));
                return response;
              }));
  EXPECT_EQ(fetch("http://ada:secret@" + door.at() + "/repo.git", "main").value().resolved.revision,
            second_);
  EXPECT_EQ(shown, (std::vector<std::string>{http::basic_authorization("ada", "secret")}));
  const Error error =
      fetch("http://ada:secret@" + door.at() + "/private/repo.git", "main", "b").error();
  EXPECT_EQ(error.code, Errc::failed_precondition) << error.to_string();
  EXPECT_NE(error.detail.find("requires credentials"), std::string::npos) << error.detail;
}

TEST_F(GitOverHttp, GoesThroughTheProxyThatTheHostSays) {
  const Endpoint behind{
      .host = "127.0.0.1", .port = static_cast<std::uint16_t>(std::stoi(port_)), .path = {}};
  http::Client onward(env().executor, env().timers, env().network, behind);
  std::vector<std::string> hosts;
  Beside proxy(env(), http::make_handler([&](http::Request& request) -> Task<http::Response> {
                 hosts.emplace_back(request.authority());
                 http::remove_hop_by_hop(request.headers);
                 co_return co_await onward.handle(request);
               }));
  outbound_options_.proxies = http::Proxies::from({{"http_proxy", proxy.at()}}).value();
  EXPECT_EQ(fetch("http://git.example/repo.git", "main").value().resolved.revision, second_);
  EXPECT_EQ(hosts, std::vector<std::string>(3, "git.example"));
}

TEST_F(GitOverHttp, ABrokenTransferIsNoCheckout) {
  Result<Fetched> fetched = fetch(url("/cut/repo.git"), "main");
  ASSERT_FALSE(fetched);
  EXPECT_FALSE(fs::exists(path("out/file")));
}

TEST_F(GitOverHttp, AServerThatNeverAnswersTimesOut) {
  fetcher_options_.idle_timeout = std::chrono::milliseconds(200);
  const Error error = fetch(url("/hang/repo.git"), "main").error();
  EXPECT_EQ(error.code, Errc::deadline_exceeded) << error.to_string();
}

TEST_F(GitOverHttp, NoTemporaryFilesStay) {
  ASSERT_TRUE(fetch(url("/repo.git"), "main"));
  (void)fetch(url("/cut/repo.git"), "main", "other");
  for (const auto& entry : fs::directory_iterator(root_)) {
    EXPECT_EQ(entry.path().filename().string().find(".pack-"), std::string::npos) << entry.path();
  }
}

// ---------------------------------------------------------------------------- archives

class Archives : public BuilderFixture {};

TEST_F(Archives, TarGzipAndFolders) {
  write("src/a/b", "deep");
  write("src/run", "#!/bin/sh\n", true);
  shell("tar -czf src.tgz -C src . && tar -cf src.tar -C src .");
  for (const std::string& location :
       {path("src.tgz"), path("src.tar"), "file://" + path("src.tgz")}) {
    Result<Fetched> fetched = fetch_archive(location);
    ASSERT_TRUE(fetched) << fetched.error().to_string();
    EXPECT_EQ(read("out/a/b"), "deep");
    EXPECT_EQ(fetched->resolved.revision.substr(0, 7), "sha256:");
  }
  ASSERT_TRUE(fetch_archive(path("src")));
  EXPECT_EQ(read("out/a/b"), "deep");
  EXPECT_NE(fs::status(path("out/run")).permissions() & fs::perms::owner_exec, fs::perms::none);
}

TEST_F(Archives, ZipFilesWithModesAndLinks) {
  shell(R"(python3 - <<'END'
import zipfile
with zipfile.ZipFile("a.zip", "w") as archive:
    def add(name, data, mode, method=zipfile.ZIP_DEFLATED):
        entry = zipfile.ZipInfo(name)
        entry.create_system = 3
        entry.external_attr = mode << 16
        entry.compress_type = method
        archive.writestr(entry, data)
    add("d/", b"", 0o040755)
    add("d/big", b"0123456789" * 100000, 0o100644)
    add("d/stored", b"as it is", 0o100600, zipfile.ZIP_STORED)
    add("run", b"#!/bin/sh\n", 0o100755)
    add("n" * 200 + "/long", b"x", 0o100644)
    add("link", b"d/stored", 0o120777)
    add("empty", b"", 0o100644)
    archive.writestr("plain", b"y")
END)");
  for (const char* type : {"Archive", "ZipArchive"}) {
    const Result<Fetched> fetched = fetch_archive(path("a.zip"), type);
    ASSERT_TRUE(fetched) << fetched.error().to_string();
    EXPECT_EQ("sha256:" + shell_line("sha256sum a.zip | cut -d' ' -f1"),
              fetched->resolved.revision);
    EXPECT_EQ(read("out/d/big").size(), 1'000'000u);
    EXPECT_EQ(read("out/link"), "as it is");
    EXPECT_EQ(read("out/" + std::string(200, 'n') + "/long"), "x");
    EXPECT_EQ(read("out/empty") + read("out/plain"), "y");
    EXPECT_NE(fs::status(path("out/run")).permissions() & fs::perms::owner_exec, fs::perms::none);
  }
  EXPECT_EQ(fetch_archive(path("a.zip"), "TarGzArchive").error().code, Errc::invalid_argument);
  write("no.zip", "this is no archive");
  EXPECT_EQ(fetch_archive(path("no.zip"), "ZipArchive").error().code, Errc::invalid_argument);
  fetcher_options_.bytes_max = 1'000'000;
  builder_.reset();
  const Error error = fetch_archive(path("a.zip")).error();
  EXPECT_EQ(error.code, Errc::resource_exhausted) << error.to_string();
  EXPECT_TRUE(fs::is_empty(path("out"))) << "counted before anything is written";
}

TEST_F(Archives, ZipFilesThatLeadOutOrLieAreRefused) {
  shell(R"(python3 - <<'END'
import zipfile
def make(name, entries):
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data, mode in entries:
            entry = zipfile.ZipInfo(path)
            entry.create_system = 3
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
make("up.zip", [("../evil", b"x", 0o100644)])
make("link.zip", [("l", b"/etc", 0o120777), ("l/evil", b"x", 0o100644)])
make("pipe.zip", [("p", b"", 0o010644)])
make("good.zip", [("a", b"b" * 5000, 0o100644)])
good = open("good.zip", "rb").read()
at = good.index(b"PK\x01\x02")
for name, offset, value in [("size.zip", 24, 4000), ("short.zip", 24, 6000), ("sum.zip", 16, 7),
                            ("offset.zip", 42, 9), ("method.zip", 10, 12), ("secret.zip", 8, 1)]:
    width = 2 if name in ("method.zip", "secret.zip") else 4
    where = at + offset
    bad = good[:where] + value.to_bytes(width, "little") + good[where + width:]
    open(name, "wb").write(bad)
open("cut.zip", "wb").write(good[:-30])
END)");
  for (const char* name : {"up", "link", "pipe", "size", "short", "sum", "offset", "cut"}) {
    const Result<Fetched> fetched = fetch_archive(path(std::string(name) + ".zip"));
    ASSERT_FALSE(fetched) << name;
    EXPECT_EQ(fetched.error().code, Errc::invalid_argument) << fetched.error().to_string();
    EXPECT_FALSE(fs::exists(path("evil"))) << name;
  }
  for (const char* name : {"method", "secret"}) {
    EXPECT_EQ(fetch_archive(path(std::string(name) + ".zip")).error().code, Errc::unimplemented);
  }
  EXPECT_TRUE(fetch_archive(path("good.zip")));
}

TEST_F(Archives, ClearErrors) {
  write("no.tgz", "this is no archive");
  EXPECT_EQ(fetch_archive(path("no.tgz")).error().code, Errc::invalid_argument);
  EXPECT_EQ(fetch_archive(path("none.tgz")).error().code, Errc::not_found);
  EXPECT_EQ(fetch_archive("gs://bucket").error().code, Errc::invalid_argument);
  EXPECT_EQ(fetch_archive("ftp://h/x").error().code, Errc::invalid_argument);
  fs::create_symlink("/etc/passwd", path("evil"));
  shell("tar -cf evil.tar evil");
  EXPECT_EQ(fetch_archive(path("evil.tar")).error().code, Errc::invalid_argument);
}

TEST_F(Archives, WhatIsNeitherAFileNorAFolderIsRefusedAndNotReadForEver) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  fs::create_symlink("/dev/zero", path("link"));
  fs::create_symlink("round", path("round"));
  for (const std::string& location : {std::string("/dev/zero"), path("pipe"), path("link"),
                                      path("round"), "file://" + path("pipe")}) {
    const Error error = fetch_archive(location).error();
    EXPECT_EQ(error.code, Errc::invalid_argument) << error.to_string();
  }
  write("src/a", "there");
  shell("tar -czf src.tgz -C src . && ln -s src.tgz current.tgz && ln -s src current");
  for (const char* good : {"current.tgz", "current"}) {
    ASSERT_TRUE(fetch_archive(path(good))) << good;
    EXPECT_EQ(read("out/a"), "there");
  }
}

TEST_F(Archives, ABombIsRefusedBeforeItIsInflated) {
  fetcher_options_.bytes_max = 10 << 20;
  shell("truncate -s 64M zeros && tar -czf bomb.tgz zeros && truncate -s 0 zeros");
  const Error error = fetch_archive(path("bomb.tgz")).error();
  EXPECT_EQ(error.code, Errc::resource_exhausted) << error.to_string();
  EXPECT_NE(error.detail.find("\"zeros\""), std::string::npos) << error.detail;
  EXPECT_FALSE(fs::exists(path("out/zeros")));
}

TEST_F(Archives, ABombBehindTheEndMarkerIsRefusedToo) {
  write("a", "a");
  shell("tar -cf end.tar a && truncate -s 80M end.tar && gzip end.tar");
  const Error error = fetch_archive(path("end.tar.gz")).error();
  EXPECT_EQ(error.code, Errc::resource_exhausted) << error.to_string();
  EXPECT_NE(error.detail.find("after its end"), std::string::npos) << error.detail;
}

TEST_F(Archives, OneThatIsThousandsOfFoldersDeepIsRefusedAtOnce) {
  shell(R"(python3 - <<'END'
import tarfile
with tarfile.open("deep.tar", "w", format=tarfile.PAX_FORMAT) as tar:
    for depth in range(1, 2000):
        entry = tarfile.TarInfo("/".join("a" * depth))
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
END)");
  const Error error = fetch_archive(path("deep.tar")).error();
  EXPECT_EQ(error.code, Errc::resource_exhausted) << error.to_string();
  EXPECT_NE(error.detail.find("more than 256 folders deep"), std::string::npos) << error.detail;
}

TEST_F(Archives, SecretsOfALocationAreInNoStatusAndNoMessage) {
  write("src/a", "there");
  shell("tar -czf src.tgz -C src .");
  Beside server(env(), http::make_handler([this](http::Request& request) {
                  return request.query("token") == "hunter2" && request.path() == "/a.tgz"
                             ? http::text(read("src.tgz"))
                             : http::error_response(404);
                }),
                env().network.listen(Endpoint{}).value());
  const std::string base = "http://" + server.at();
  const Result<Fetched> fetched = fetch_archive(base + "/a.tgz?token=hunter2");
  ASSERT_TRUE(fetched) << fetched.error().to_string();
  EXPECT_EQ(fetched->resolved.url, base + "/a.tgz?redacted");
  const Error error = fetch_archive(base + "/none.tgz?token=hunter2").error();
  EXPECT_EQ(error.code, Errc::not_found);
  EXPECT_EQ(error.detail.find("hunter2"), std::string::npos) << error.detail;
  EXPECT_NE(error.detail.find(base + "/none.tgz?redacted"), std::string::npos) << error.detail;
}

TEST_F(Archives, OverHttpsWithRedirectsAndCredentials) {
  write("src/a/b", "deep");
  shell("tar -czf src.tgz -C src .");
  const WallTime now = env().timers.wall();
  const tls::Authority authority = tls::Authority::create({}, now).value();
  tls::LeafOptions leaf;
  leaf.names = {"127.0.0.1"};
  tls::ServerOptions secure;
  secure.identities.push_back(authority.issue(leaf, now).value());
  std::vector<std::string> asked;
  Beside server(env(), http::make_handler([this, &asked](http::Request& request) {
                  asked.push_back(request.target + " " +
                                  std::string(request.headers.get("Authorization").value_or("-")));
                  if (request.target == "/old.tgz") {
                    http::Response response = http::text("there", 302);
                    response.headers.set("Location", "/new.tgz");
                    return response;
                  }
                  return request.target == "/new.tgz" ? http::text(read("src.tgz"))
                                                      : http::error_response(404);
                }),
                tls::wrap(env().executor, env().timers, env().logger,
                          env().network.listen(Endpoint{}).value(), secure)
                    .value());
  outbound_options_.tls.trust.certificates = authority.certificate();
  const Result<Fetched> fetched = fetch_archive("https://ada:secret@" + server.at() + "/old.tgz");
  ASSERT_TRUE(fetched) << fetched.error().to_string();
  EXPECT_EQ(read("out/a/b"), "deep");
  EXPECT_EQ(fetched->resolved.url, "https://" + server.at() + "/old.tgz");
  const std::string basic = http::basic_authorization("ada", "secret");
  EXPECT_EQ(asked, (std::vector<std::string>{"/old.tgz " + basic, "/new.tgz " + basic}));
  EXPECT_EQ(fetch_archive("https://" + server.at() + "/none").error().code, Errc::not_found);
}

TEST_F(Archives, AServerThatNeverAnswersTimesOut) {
  const std::unique_ptr<Listener> deaf = env().network.listen(Endpoint{}).value();
  fetcher_options_.idle_timeout = std::chrono::milliseconds(100);
  for (const std::string scheme : {"http://", "https://"}) {
    const Error error = fetch_archive(scheme + deaf->endpoint().to_string() + "/a.tgz").error();
    EXPECT_EQ(error.code, Errc::deadline_exceeded) << error.to_string();
  }
}

// The same server behind TLS.
class GitOverHttps : public GitOverHttp {
 protected:
  void SetUp() override {
    GitOverHttp::SetUp();
    const WallTime now = env().timers.wall();
    const tls::Authority authority = tls::Authority::create({}, now).value();
    tls::LeafOptions leaf;
    leaf.names = {"127.0.0.1"};
    tls::ServerOptions options;
    options.identities.push_back(authority.issue(leaf, now).value());
    const Endpoint any{.host = "127.0.0.1", .port = 0, .path = {}};
    auto listener = tls::wrap(env().executor, env().timers, env().logger,
                              env().network.listen(any).value(), options);
    const Endpoint behind{
        .host = "127.0.0.1", .port = static_cast<std::uint16_t>(std::stoi(port_)), .path = {}};
    client_ = std::make_unique<http::Client>(env().executor, env().timers, env().network, behind);
    front_ = std::make_unique<http::Server>(env().executor, env().timers, env().logger,
                                            std::move(*listener), *client_);
    trusted_ = authority.certificate();
    secure_ = "https://127.0.0.1:" + std::to_string(front_->endpoint().port);
  }
  void TearDown() override {
    front_.reset();
    client_.reset();
    GitOverHttp::TearDown();
  }

  std::string trusted_;
  std::string secure_;
  std::unique_ptr<http::Client> client_;
  std::unique_ptr<http::Server> front_;
};

TEST_F(GitOverHttps, AServerOfATrustedAuthorityIsReadFrom) {
  outbound_options_.tls.trust.certificates = trusted_;
  EXPECT_EQ(fetch(secure_ + "/repo.git", "main").value().resolved.revision, second_);
  EXPECT_EQ(shell_line("git -C out rev-list --count HEAD"), "1");
}

TEST_F(GitOverHttps, AServerThatNobodyVouchesForIsRefused) {
  const Error error = fetch(secure_ + "/repo.git", "main").error();
  EXPECT_EQ(error.code, Errc::failed_precondition) << error.to_string();
}

// ---------------------------------------------------------------------------- git://

class GitDaemon : public GitSources {
 protected:
  void SetUp() override {
    GitSources::SetUp();
    shell(
        "mkdir serve && git clone -q --mirror repo serve/repo.git && git init -q --bare "
        "serve/empty.git");
    const Endpoint any{.host = "127.0.0.1", .port = 0, .path = {}};
    endpoint_ = env().network.listen(any).value()->endpoint();
    ProcessOptions options;
    options.argv = {"git",
                    "daemon",
                    "--listen=127.0.0.1",
                    "--port=" + std::to_string(endpoint_.port),
                    "--export-all",
                    "--base-path=" + path("serve")};
    options.environment = {{"PATH", "/usr/local/bin:/usr/bin:/bin"}, {"HOME", root_}};
    server_ = env().processes.spawn(options).value();
    auto reached = [](Env& world, Endpoint place) -> Task<bool> {
      const Instant limit = world.timers.now() + std::chrono::seconds(20);
      while (world.timers.now() < limit) {
        auto stream = co_await world.network.connect(place);
        if (stream) co_return true;
        co_await world.timers.sleep_for(std::chrono::milliseconds(5));
      }
      co_return false;
    };
    ASSERT_TRUE(loop_.run(reached(env(), endpoint_)));
  }
  std::string url(const std::string& rest) const {
    return "git://127.0.0.1:" + std::to_string(endpoint_.port) + rest;
  }

  Endpoint endpoint_;
  std::unique_ptr<Process> server_;
};

TEST_F(GitDaemon, EveryKindOfRevision) { expect_revisions(url("/repo.git")); }
TEST_F(GitDaemon, MissingRevision) { expect_missing(url("/repo.git")); }

TEST_F(GitDaemon, OnlyTheWantedCommitIsTransferred) {
  ASSERT_TRUE(fetch(url("/repo.git"), "main"));
  EXPECT_EQ(shell_line("git -C out rev-list --count HEAD"), "1");
}

TEST_F(GitDaemon, ACommitThatNoRefShowsComesWithoutHistory) {
  shell("cd serve/repo.git && " + hide_first);
  EXPECT_EQ(fetch(url("/repo.git"), first_).value().resolved.revision, first_);
  EXPECT_EQ(shell_line("git -C out rev-list --count HEAD"), "1");
}

TEST_F(GitDaemon, AnAbsentAndAnEmptyRepositoryAreSaidSo) {
  EXPECT_FALSE(fetch(url("/nowhere.git"), "main"));
  expect_empty(url("/empty.git"));
}

// ---------------------------------------------------------------------------- silence

TEST_F(GitSources, AServerThatAcceptsAndNeverAnswersHoldsUpNobody) {
  fetcher_options_.idle_timeout = std::chrono::milliseconds(300);
  fetcher_options_.connect_timeout = std::chrono::milliseconds(300);
  const Endpoint any{.host = "127.0.0.1", .port = 0, .path = {}};
  const std::unique_ptr<Listener> silent = env().network.listen(any).value();
  const std::string place = "127.0.0.1:" + std::to_string(silent->endpoint().port) + "/repo.git";
  builder();
  auto all = [](Fetcher& fetcher, const std::vector<build::SourceSpec>& what,
                const std::vector<std::string>& into) -> Task<std::vector<Result<Fetched>>> {
    const SourceCredentials none;
    std::vector<Task<Result<Fetched>>> tasks;
    for (std::size_t i = 0; i < what.size(); ++i) {
      tasks.push_back(fetcher.fetch(what[i], into[i], none));
    }
    co_return co_await when_all(std::move(tasks));
  };
  std::vector<std::string> folders;
  std::vector<build::SourceSpec> sources;
  for (const char* scheme : {"git://", "https://", "http://", "git://", "https://", "http://"}) {
    build::SourceSpec source;
    source.name = std::to_string(sources.size());
    source.git = build::GitSource{scheme + place, "main"};
    folders.push_back(path("many/" + source.name));
    sources.push_back(source);
  }
  build::SourceSpec local;
  local.name = "local";
  local.git = build::GitSource{path("repo"), "main"};
  folders.push_back(path("many/local"));
  sources.push_back(local);
  for (const std::string& folder : folders) fs::create_directories(folder);
  const Instant before = env().timers.now();
  const std::vector<Result<Fetched>> fetched = loop_.run(all(*fetcher_, sources, folders));
  for (std::size_t i = 0; i < 6; ++i) {
    ASSERT_FALSE(fetched[i]);
    EXPECT_EQ(fetched[i].error().code, Errc::deadline_exceeded) << fetched[i].error().to_string();
  }
  EXPECT_TRUE(fetched[6]);
  EXPECT_LT(env().timers.now() - before, std::chrono::seconds(20));
}

}  // namespace
}  // namespace knative
