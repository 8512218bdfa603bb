// Git over ssh, with OpenSSH's own server at the other side.
#include "engines/builder/git_ssh.hpp"

#include "builder_fixture.hpp"

namespace knative {
namespace {

using builder::git::is_ssh;
using builder::git::parse_ssh;

TEST(SshAddresses, BothForms) {
  for (const char* url : {"ssh://h/x", "git+ssh://h/x", "ssh+git://h/x", "h:x", "git@h:/x"}) {
    EXPECT_TRUE(is_ssh(url)) << url;
    EXPECT_EQ(parse_ssh(url).value().host, "h") << url;
  }
  for (const char* url : {"/a:b", "./a:b", "https://h/x", "git://h/x", "dir/x:y", "", "plain"}) {
    EXPECT_FALSE(is_ssh(url)) << url;
  }
  const auto whole = parse_ssh("ssh://ada@[::1]:2222/team/a%20b.git").value();
  EXPECT_EQ(whole.user, "ada");
  EXPECT_EQ(whole.host, "::1");
  EXPECT_EQ(whole.port, 2222);
  EXPECT_EQ(whole.path, "/team/a b.git");
  const auto brief = parse_ssh("git@host.example:team/shop.git").value();
  EXPECT_EQ(brief.user, "git");
  EXPECT_EQ(brief.path, "team/shop.git");
  EXPECT_EQ(brief.port, std::nullopt);
  EXPECT_EQ(parse_ssh("ssh://h/~ada/x").value().path, "~ada/x");
}

TEST(SshAddresses, WhatCouldBeAnOptionAndPasswordsAreRefused) {
  for (const char* url :
       {"ssh://-oProxyCommand=touch/x", "-oProxyCommand=touch:x", "ssh://-l@h/x", "h:-x",
        "h:", "ssh://h", "ssh:///x", "ssh://h:0/x", "ssh://h:99999/x", "ssh://h:x/y",
        "ssh://[::1/x", "ssh://ada:secret@h/x", "a b@h:x", "ssh://a%0Ab@h/x", "ssh://h/%00"}) {
    const auto address = parse_ssh(url);
    ASSERT_FALSE(address) << url;
    EXPECT_EQ(address.error().detail.find("secret"), std::string::npos);
  }
  EXPECT_EQ(builder::git::shell_word("a'b; c!"), "'a'\\''b; c'\\!''");
}

class GitOverSsh : public BuilderFixture {
 protected:
  void SetUp() override {
    if (!fs::exists("/usr/sbin/sshd")) GTEST_SKIP() << "openssh-server is not installed";
    // As its init script does; without privileges the server does not need it.
    std::error_code ignored;
    fs::create_directories("/run/sshd", ignored);
    write("repo/file", "one");
    commit("repo");
    first_ = head("repo");
    write("repo/file", "two");
    commit("repo");
    shell("git clone -q --mirror repo 'it'\"'\"'s here.git'");
    for (const char* key : {"host", "other", "mine", "stranger"}) {
      shell(std::string("ssh-keygen -q -t ed25519 -N '' -f ") + key);
    }
    serve();
  }

  void serve() {
    port_ = env().network.listen(Endpoint{}).value()->endpoint().port;
    write("sshd.conf", "Port " + std::to_string(port_) + "\nListenAddress 127.0.0.1\nHostKey " +
                           path("host") + "\nAuthorizedKeysFile " + path("mine.pub") +
                           "\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n"
                           "AcceptEnv GIT_PROTOCOL\nLogLevel VERBOSE\n");
    ProcessOptions options;
    options.argv = {"/usr/sbin/sshd", "-D", "-e", "-f", path("sshd.conf")};
    options.environment = {{"PATH", "/usr/local/bin:/usr/bin:/bin"}};
    options.on_stderr = [this](std::string_view text) { server_log_ += text; };
    server_ = env().processes.spawn(options).value();
    const Instant limit = env().timers.now() + std::chrono::seconds(20);
    while (server_log_.find("listening on") == std::string::npos && env().timers.now() < limit) {
      loop_.run_for(std::chrono::milliseconds(5));
    }
    if (server_log_.find("listening on") == std::string::npos) {
      GTEST_SKIP() << "the ssh server does not start here: " << server_log_;
    }
    SourceCredentials::Ssh mine;
    mine.host = "127.0.0.1";
    mine.port = port_;
    mine.private_key = read("mine");
    mine.known_hosts = known(read("host.pub"));
    mine.secret = "mine";
    credentials_.ssh = {mine};
  }
  std::string known(const std::string& key) const {
    return "[127.0.0.1]:" + std::to_string(port_) + " " + key;
  }
  std::string url(const std::string& name) const {
    return "ssh://127.0.0.1:" + std::to_string(port_) + path(name);
  }
  void expect_nothing_left() {
    for (const auto& entry : fs::directory_iterator(root_)) {
      EXPECT_EQ(entry.path().filename().string().find(".ssh-"), std::string::npos) << entry.path();
    }
  }

  const std::string repository_ = "it's here.git";
  std::string first_;
  std::uint16_t port_ = 0;
  std::string server_log_;
  std::unique_ptr<Process> server_;
};

TEST_F(GitOverSsh, ABranchAndACommitThatNoRefShowsComeWithoutHistory) {
  const Result<Fetched> branch = fetch(url(repository_), "main");
  ASSERT_TRUE(branch) << branch.error().to_string() << "\n" << server_log_;
  EXPECT_EQ(read("out/file"), "two");
  EXPECT_EQ(branch->resolved.url, url(repository_));
  EXPECT_EQ(shell_line("git -C out rev-list --count HEAD"), "1");
  const Result<Fetched> id = fetch(url(repository_), first_, "by-id");
  ASSERT_TRUE(id) << id.error().to_string();
  EXPECT_EQ(read("by-id/file"), "one");
  EXPECT_EQ(shell_line("git -C by-id rev-list --count HEAD"), "1");
  expect_nothing_left();
}

TEST_F(GitOverSsh, TheShortFormUsesThePortOfItsSecret) {
  ASSERT_TRUE(fetch("127.0.0.1:" + path(repository_), "main")) << server_log_;
  EXPECT_EQ(read("out/file"), "two");
}

TEST_F(GitOverSsh, AHostWhoseKeyIsNotTheKnownOneIsRefused) {
  for (const std::string& hosts :
       {known(read("other.pub")), std::string("elsewhere ") + read("host.pub")}) {
    credentials_.ssh[0].known_hosts = hosts;
    const Error error = fetch(url(repository_), "main").error();
    EXPECT_EQ(error.code, Errc::failed_precondition) << error.to_string();
    EXPECT_NE(error.detail.find("host key"), std::string::npos) << error.detail;
    EXPECT_EQ(error.detail.find(root_ + "/out.ssh"), std::string::npos) << error.detail;
  }
  EXPECT_EQ(server_log_.find("Accepted publickey"), std::string::npos);
  credentials_.ssh[0].known_hosts.clear();
  EXPECT_TRUE(fetch(url(repository_), "main")) << "as upstream, when no host is known";
  expect_nothing_left();
}

TEST_F(GitOverSsh, ErrorsSayWhatIsWrongAndHoldNoKey) {
  const std::string key = credentials_.ssh[0].private_key;
  const std::string secret = key.substr(key.find('\n') + 1, 60);
  const auto failing = [&](const std::string& from, const std::string& revision) {
    const Result<Fetched> fetched = fetch(from, revision, "bad");
    const Error error = fetched ? fail(Errc::internal, "it was fetched") : fetched.error();
    EXPECT_EQ(error.detail.find(secret), std::string::npos);
    EXPECT_EQ(server_log_.find(secret), std::string::npos);
    return error;
  };
  EXPECT_EQ(failing(url("none.git"), "main").code, Errc::not_found);
  EXPECT_EQ(failing(url(repository_), "nope").code, Errc::not_found);
  EXPECT_EQ(failing(url(repository_), std::string(40, '1')).code, Errc::not_found);
  EXPECT_EQ(failing("ssh://localhost:1/x.git", "main").code, Errc::failed_precondition)
      << "there is no key for that host";
  credentials_.ssh[0].private_key = read("stranger");
  EXPECT_EQ(failing(url(repository_), "main").code, Errc::failed_precondition);
  credentials_.ssh[0].private_key = "no key";
  EXPECT_EQ(failing(url(repository_), "main").code, Errc::failed_precondition);
  credentials_.ssh[0].port = 1;
  EXPECT_EQ(failing("ssh://127.0.0.1:1/x.git", "main").code, Errc::unavailable);
  expect_nothing_left();
}

TEST_F(GitOverSsh, WithoutTheProgramThatIsSaid) {
  fetcher_options_.ssh_program = path("no-ssh");
  const Error error = fetch(url(repository_), "main").error();
  EXPECT_EQ(error.code, Errc::unimplemented) << error.to_string();
  EXPECT_NE(error.detail.find("no program"), std::string::npos) << error.detail;
}

TEST_F(GitOverSsh, TheKeyIsPrivateAndGoneOnceTheServerHasLetUsIn) {
  // In the place of the client: one that shows what it was given, and is silent from then on.
  write("spy",
        "#!/bin/sh\nstat -c %a key > " + path("modes") + "\nstat -c %a . >> " + path("modes") +
            "\nprintf '000eversion 2\\n000cls-refs\\n000afetch\\n0000'\n"
            "while [ -e key ]; do :; done; echo gone >> " +
            path("modes") + "\nsleep 600\n",
        true);
  fetcher_options_.ssh_program = path("spy");
  fetcher_options_.idle_timeout = std::chrono::seconds(2);
  const Error error = fetch(url(repository_), "main").error();
  EXPECT_EQ(error.code, Errc::deadline_exceeded) << error.to_string();
  EXPECT_EQ(read("modes"), "600\n700\ngone\n");
  expect_nothing_left();
}

}  // namespace
}  // namespace knative
