#include "knative/store.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <map>

#include "knative/core.hpp"
#include "support/real_world.hpp"

namespace kn = knative;
using kn::Errc;
using kn::FieldSelector;
using kn::LabelSelector;
using kn::Value;

namespace {

bool selects(std::string_view selector, const kn::StringMap& labels) {
  return LabelSelector::parse(selector).value().matches(labels);
}

kn::core::ConfigMap config(std::string name, std::string value) {
  kn::core::ConfigMap object;
  object.metadata.name = std::move(name);
  object.data["value"] = std::move(value);
  return object;
}

kn::ObjectRef ref(std::string name) { return {"v1", "ConfigMap", "default", std::move(name)}; }

// A folder with a database in it.
class SqliteStoreTest : public testing::Test {
 protected:
  std::string path() const { return directory_ / "store.db"; }
  kn::Result<std::unique_ptr<kn::Store>> open(const kn::SqliteStoreOptions& options = {}) {
    const kn::Env& env = loop_.env();
    return kn::sqlite_store(path(), env.executor, env.timers, env.random, env.offload, options);
  }
  std::string read_database() { return loop_.env().files.read_file(path()).value(); }
  void write_database(const std::string& bytes) {
    ASSERT_TRUE(loop_.env().files.write_file(path(), bytes));
  }

  kn::testing_world::TemporaryDirectory directory_;
  kn::Loop loop_;
};

}  // namespace

// ---------------------------------------------------------------------------- selectors

TEST(LabelSelector, EqualityAndSets) {
  const kn::StringMap labels{{"a", "b"}, {"c", "d"}, {"example.org/x", ""}};
  EXPECT_TRUE(selects("", labels));
  EXPECT_TRUE(selects("a=b", labels));
  EXPECT_TRUE(selects("a==b,c in (d, e),!f", labels));
  EXPECT_TRUE(selects(" a in (b) , c notin (x) , f != g ", labels));
  EXPECT_TRUE(selects("a,example.org/x=", labels));
  EXPECT_TRUE(selects("f notin (g)", labels)) << "an absent label is not in the set";
  EXPECT_FALSE(selects("a=c", labels));
  EXPECT_FALSE(selects("a!=b", labels));
  EXPECT_FALSE(selects("f in (g)", labels));
  EXPECT_FALSE(selects("!a", labels));
  EXPECT_FALSE(selects("a in (x,y)", labels));
  EXPECT_TRUE(LabelSelector::equals("a", "b").matches(labels));
}

TEST(LabelSelector, RoundTrips) {
  for (const std::string_view selector :
       {"a=b", "a!=b", "a in (b,c)", "a notin (b,c)", "a", "!a", "a=b,c in (d),!e"}) {
    EXPECT_EQ(LabelSelector::parse(selector).value().to_string(), selector);
  }
}

TEST(LabelSelector, RefusesNonsense) {
  for (const std::string_view selector :
       {"=b", "a=b,", ",", "a in b", "a in (b", "a in ()x", "a b", "!", "a=b=c", "-a", "a=b c",
        "a in (b;c)", "example.org/=x", "a=\"b\"", "a>1"}) {
    const auto parsed = LabelSelector::parse(selector);
    ASSERT_FALSE(parsed) << selector;
    EXPECT_EQ(parsed.error().code, Errc::invalid_argument);
  }
}

TEST(FieldSelector, NamesNamespacesAndSecretTypes) {
  kn::core::Secret secret;
  secret.metadata.name = "s";
  secret.metadata.namespace_ = "shop";
  secret.type = "Opaque";
  const kn::AnyObject object = secret;
  const auto matches = [&](std::string_view text) {
    return FieldSelector::parse(text).value().matches(object);
  };
  EXPECT_TRUE(matches(""));
  EXPECT_TRUE(matches("metadata.name=s,metadata.namespace==shop,type=Opaque"));
  EXPECT_FALSE(matches("metadata.name!=s"));
  EXPECT_FALSE(matches("type=other"));
  EXPECT_EQ(FieldSelector::parse("spec.x=1").error().detail, "field label not supported: spec.x");
  EXPECT_FALSE(FieldSelector::parse("metadata.name"));
}

// ---------------------------------------------------------------------------- lists

TEST(StoreLists, PagesOfLargeAndSmallLabelsAreWhatASearchFinds) {
  kn::Loop loop;
  auto store = kn::memory_store(loop.env().timers, loop.env().ids);
  kn::Random random(3);
  for (int i = 0; i < 4000; ++i) {
    kn::core::ConfigMap object = config("m" + std::to_string(random.below(3000)), "");
    object.metadata.namespace_ = "n" + std::to_string(random.below(random.below(9) + 1));
    object.metadata.labels["half"] = std::to_string(random.below(2));
    object.metadata.labels["few"] = std::to_string(random.below(100));
    if (random.below(50) == 0) object.metadata.labels["rare"] = std::to_string(i);
    (void)store->apply(object).value();
    if (random.below(10) == 0) {
      (void)store->remove({"v1", "ConfigMap", object.metadata.namespace_, object.metadata.name});
    }
  }
  const auto all = [&](kn::ListOptions options) {
    std::vector<std::string> found;
    do {
      const kn::ObjectList page = store->list("v1", "ConfigMap", options).value();
      for (const auto& item : page.items) found.push_back(item.ref().to_string());
      options.continue_token = page.continue_token;
    } while (!options.continue_token.empty());
    return found;
  };
  for (const char* selector :
       {"half=0", "few=7", "few in (1,2,3)", "rare", "half=1,few=3", "rare,half=0", "half,rare"}) {
    for (const char* namespace_ : {"", "n0", "n3", "n8", "none"}) {
      SCOPED_TRACE(std::string(selector) + " in " + namespace_);
      std::vector<std::string> searched;
      for (const auto& item : store->list("v1", "ConfigMap", {}).value().items) {
        const kn::ObjectMeta& metadata = item.metadata();
        if (!selects(selector, metadata.labels)) continue;
        if (*namespace_ != 0 && metadata.namespace_ != namespace_) continue;
        searched.push_back(item.ref().to_string());
      }
      kn::ListOptions options;
      options.namespace_ = namespace_;
      options.labels = LabelSelector::parse(selector).value();
      for (const std::size_t limit : {0u, 1u, 7u, 500u}) {
        if (limit == 1 && searched.size() > 300) continue;  // takes long
        options.limit = limit;
        EXPECT_EQ(all(options), searched) << limit;
      }
    }
  }
}

TEST(StoreLists, AListByLabelWithTheHighestLimitEnds) {
  kn::Loop loop;
  auto store = kn::memory_store(loop.env().timers, loop.env().ids);
  for (int i = 0; i < 3; ++i) {
    kn::core::ConfigMap object = config("m" + std::to_string(i), "");
    object.metadata.labels["app"] = "x";
    (void)store->create(object).value();
  }
  kn::ListOptions options;
  options.labels = LabelSelector::parse("app=x").value();
  options.limit = std::numeric_limits<std::size_t>::max();
  const kn::ObjectList list = store->list("v1", "ConfigMap", options).value();
  EXPECT_EQ(list.items.size(), 3u);
  EXPECT_EQ(list.continue_token, "");
}

// ---------------------------------------------------------------------------- patches

TEST(MergePatch, ExamplesOfTheStandard) {
  const std::string_view cases[][3] = {
      {R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"b"})", R"({"b":"c"})", R"({"a":"b","b":"c"})"},
      {R"({"a":"b"})", R"({"a":null})", R"({})"},
      {R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
      {R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"c"})", R"({"a":["b"]})", R"({"a":["b"]})"},
      {R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
      {R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
      {R"(["a","b"])", R"(["c","d"])", R"(["c","d"])"},
      {R"({"a":"b"})", R"(["c"])", R"(["c"])"},
      {R"({"a":"foo"})", R"(null)", R"(null)"},
      {R"({"e":null})", R"({"a":1})", R"({"a":1,"e":null})"},
      {R"([1,2])", R"({"a":"b","c":null})", R"({"a":"b"})"},
      {R"({})", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"}};
  for (const auto& [target, patch, expected] : cases) {
    Value value = Value::parse_json(target).value();
    kn::merge_patch(value, Value::parse_json(patch).value());
    EXPECT_EQ(value.to_json(), expected) << target << " + " << patch;
  }
}

TEST(JsonPatch, EveryOperation) {
  const std::string_view cases[][3] = {
      {R"({"foo":"bar"})", R"([{"op":"add","path":"/baz","value":"qux"}])",
       R"({"baz":"qux","foo":"bar"})"},
      {R"({"foo":["bar","baz"]})", R"([{"op":"add","path":"/foo/1","value":"qux"}])",
       R"({"foo":["bar","qux","baz"]})"},
      {R"({"foo":["bar"]})", R"([{"op":"add","path":"/foo/-","value":["abc"]}])",
       R"({"foo":["bar",["abc"]]})"},
      {R"({"baz":"qux","foo":"bar"})", R"([{"op":"remove","path":"/baz"}])", R"({"foo":"bar"})"},
      {R"({"foo":["bar","qux","baz"]})", R"([{"op":"remove","path":"/foo/1"}])",
       R"({"foo":["bar","baz"]})"},
      {R"({"baz":"qux"})", R"([{"op":"replace","path":"/baz","value":"boo"}])", R"({"baz":"boo"})"},
      {R"({"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}})",
       R"([{"op":"move","from":"/foo/waldo","path":"/qux/thud"}])",
       R"({"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}})"},
      {R"({"foo":["all","grass","cows","eat"]})",
       R"([{"op":"move","from":"/foo/1","path":"/foo/3"}])",
       R"({"foo":["all","cows","eat","grass"]})"},
      {R"({"a":{"b":1}})", R"([{"op":"copy","from":"/a","path":"/c"}])",
       R"({"a":{"b":1},"c":{"b":1}})"},
      {R"({"a/b":{"m~n":1}})", R"([{"op":"test","path":"/a~1b/m~0n","value":1}])",
       R"({"a/b":{"m~n":1}})"},
      {R"({"a":1})", R"([{"op":"add","path":"","value":[]}])", R"([])"}};
  for (const auto& [target, patch, expected] : cases) {
    Value value = Value::parse_json(target).value();
    const auto patched = kn::json_patch(value, Value::parse_json(patch).value());
    EXPECT_TRUE(patched) << patch;
    EXPECT_EQ(value.to_json(), expected) << patch;
  }
}

TEST(JsonPatch, FailsWhole) {
  const std::pair<std::string_view, Errc> cases[] = {
      {R"([{"op":"remove","path":"/a"},{"op":"remove","path":"/none"}])",
       Errc::failed_precondition},
      {R"([{"op":"test","path":"/a","value":2}])", Errc::failed_precondition},
      {R"([{"op":"replace","path":"/none","value":2}])", Errc::failed_precondition},
      {R"([{"op":"add","path":"/l/9","value":2}])", Errc::failed_precondition},
      {R"([{"op":"add","path":"/l/01","value":2}])", Errc::failed_precondition},
      {R"([{"op":"add","path":"/none/x","value":2}])", Errc::failed_precondition},
      {R"([{"op":"move","from":"/m","path":"/m/x"}])", Errc::invalid_argument},
      {R"([{"op":"copy","path":"/m"}])", Errc::invalid_argument},
      {R"([{"op":"jump","path":"/a","value":1}])", Errc::invalid_argument},
      {R"([{"op":"add","path":"/a"}])", Errc::invalid_argument},
      {R"([{"op":"add","path":"a","value":1}])", Errc::invalid_argument},
      {R"([{"op":"add","path":"/~2","value":1}])", Errc::invalid_argument},
      {R"([1])", Errc::invalid_argument},
      {R"({"op":"add"})", Errc::invalid_argument}};
  const Value before = Value::parse_json(R"({"a":1,"l":[1],"m":{"x":1}})").value();
  for (const auto& [patch, code] : cases) {
    Value value(before);
    const auto patched = kn::json_patch(value, Value::parse_json(patch).value());
    ASSERT_FALSE(patched) << patch;
    EXPECT_EQ(patched.error().code, code) << patch << ": " << patched.error().detail;
    EXPECT_EQ(value, before);
  }
}

// ---------------------------------------------------------------------------- SQLite

TEST_F(SqliteStoreTest, WhatWasAppliedIsThereAfterARestart) {
  kn::AnyObject created;
  {
    auto store = open().value();
    created = store->create(config("a", "1")).value();
    (void)store->create(config("b", "2")).value();
    (void)store->remove(ref("b")).value();
  }  // nobody waited: closing writes the rest
  auto store = open().value();
  EXPECT_EQ(store->get(ref("a")).value(), created);
  EXPECT_FALSE(store->get(ref("b")));
  EXPECT_EQ(store->resource_version(), "3");
  EXPECT_EQ(store->create(config("c", "3"))->metadata().resource_version, "4");
}

TEST_F(SqliteStoreTest, ManyChangesShareACommit) {
  auto store = open().value();
  for (int i = 0; i < 2000; ++i) {
    (void)store->apply(config("a" + std::to_string(i % 50), std::to_string(i))).value();
  }
  ASSERT_TRUE(loop_.run(store->durable()));
  const std::string version = store->resource_version();
  EXPECT_EQ(version, "2000");
  store.reset();
  store = open().value();
  EXPECT_EQ(store->resource_version(), version);
  EXPECT_EQ(store->list<kn::core::ConfigMap>()->size(), 50u);
}

TEST_F(SqliteStoreTest, ClosesWhileAGroupIsOnItsWay) {
  for (int round = 0; round < 20; ++round) {
    auto store = open().value();
    const std::string before = store->resource_version();
    (void)store->apply(config("first", std::to_string(round))).value();
    if (round % 2 == 0) loop_.run_for(std::chrono::microseconds(round));
    (void)store->apply(config("third", std::to_string(round))).value();
    loop_.run_for(std::chrono::microseconds(round * 10));
    (void)store->apply(config("fourth", std::to_string(round))).value();
    store.reset();
    store = open().value();
    for (const std::string name : {"first", "third", "fourth"}) {
      EXPECT_EQ(store->get(ref(name))->get<kn::core::ConfigMap>().data.at("value"),
                std::to_string(round));
    }
    EXPECT_GT(std::stoi(store->resource_version()), std::stoi(before));
  }
}

TEST_F(SqliteStoreTest, OneStorePerFile) {
  auto store = open().value();
  const auto second = open();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::failed_precondition);
  EXPECT_NE(second.error().detail.find("another store has it open"), std::string::npos);
  store.reset();
  EXPECT_TRUE(open());
}

TEST_F(SqliteStoreTest, NothingIsDurableOnceTheDirectoryIsGoneUntilItIsBack) {
  kn::SqliteStoreOptions options;
  options.retry_delay = std::chrono::milliseconds(1);
  auto store = open(options).value();
  (void)store->create(config("a", "1")).value();
  loop_.run(store->durable()).value();
  kn::Files& files = loop_.env().files;
  const std::string away = directory_.path() + "-away";
  files.rename(directory_.path(), away).value();
  (void)store->create(config("b", "1")).value();
  const kn::Result<void> lost = loop_.run(store->durable());
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Errc::unavailable) << lost.error().to_string();
  EXPECT_NE(lost.error().detail.find("removed, renamed or replaced"), std::string::npos);
  files.rename(away, directory_.path()).value();
  auto retried = [](kn::Store& source) -> kn::Task<bool> {
    for (int i = 0; i < 1000; ++i) {
      const kn::Result<void> done = co_await source.durable();
      if (done) co_return true;
    }
    co_return false;
  };
  EXPECT_TRUE(loop_.run(retried(*store)));
  store.reset();
  EXPECT_TRUE(open().value()->get(ref("b")));
}

TEST_F(SqliteStoreTest, AFileThatCannotBeOpened) {
  const kn::Env& env = loop_.env();
  const auto store = kn::sqlite_store(directory_ / "none/store.db", env.executor, env.timers,
                                      env.random, env.offload);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, Errc::unavailable);
  EXPECT_NE(store.error().detail.find("/none/store.db"), std::string::npos);
}

TEST_F(SqliteStoreTest, ForeignFilesAreRefused) {
  write_database("This is a letter and not a database, however long one looks at it. " +
                 std::string(2000, '.'));
  const auto letter = open();
  ASSERT_FALSE(letter);
  EXPECT_EQ(letter.error().code, Errc::data_loss);
  ASSERT_TRUE(loop_.env().files.remove(path()));
  open().value().reset();
  std::string bytes = read_database();
  bytes[68] = 'X';  // the application id in SQLite's header
  write_database(bytes);
  const auto foreign = open();
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code, Errc::data_loss);
  EXPECT_NE(foreign.error().detail.find("not an object store"), std::string::npos);
}

TEST_F(SqliteStoreTest, FlippedBitsAreNoticed) {
  {
    auto store = open().value();
    (void)store->apply(config("a", "needle-in-the-haystack")).value();
    for (int i = 0; i < 200; ++i) {
      (void)store->apply(config("b" + std::to_string(i), std::string(300, 'x'))).value();
    }
  }
  const std::string intact = read_database();
  const std::size_t needle = intact.find("needle-in");
  ASSERT_NE(needle, std::string::npos);
  std::string bytes = intact;
  bytes[needle] = 'N';
  write_database(bytes);
  const auto damaged = open();
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, Errc::data_loss);
  EXPECT_NE(damaged.error().detail.find("wrong checksum"), std::string::npos);

  bytes = intact.substr(0, intact.size() / 2);
  write_database(bytes);
  const auto cut = open();
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, Errc::data_loss);
  write_database(intact);
  EXPECT_TRUE(open());
}

TEST_F(SqliteStoreTest, AFullDiskIsReportedAndRetried) {
  kn::SqliteStoreOptions options;
  options.retry_delay = std::chrono::milliseconds(5);
  auto store = open(options).value();
  (void)store->apply(config("a", "1")).value();
  ASSERT_TRUE(loop_.run(store->durable()));

  // No file of this process may grow: the next write of the database fails.
  struct sigaction ignore {};
  struct sigaction old_action {};
  ignore.sa_handler = SIG_IGN;
  ASSERT_EQ(sigaction(SIGXFSZ, &ignore, &old_action), 0);
  rlimit old_limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  rlimit none = old_limit;
  none.rlim_cur = 1;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
  (void)store->apply(config("b", std::string(100'000, 'x'))).value();
  const auto refused = loop_.run(store->durable());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old_limit), 0);
  ASSERT_EQ(sigaction(SIGXFSZ, &old_action, nullptr), 0);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().code == Errc::resource_exhausted ||
              refused.error().code == Errc::unavailable)
      << refused.error().to_string();
  EXPECT_TRUE(store->get(ref("b"))) << "the store goes on";

  kn::Result<void> written = loop_.run(store->durable());
  for (int i = 0; i < 100 && !written; ++i) written = loop_.run(store->durable());
  EXPECT_TRUE(written);
  store.reset();
  EXPECT_TRUE(open().value()->get(ref("b")));
}

// Also in a directory that everybody may read.
TEST_F(SqliteStoreTest, NobodyElseMayReadItsFiles) {
  auto store = open().value();
  (void)store->create(config("a", "secret")).value();
  EXPECT_TRUE(loop_.run(store->durable()));
  for (const char* suffix : {"", "-wal"}) {
    struct stat status {};
    ASSERT_EQ(::stat((path() + suffix).c_str(), &status), 0) << suffix;
    EXPECT_EQ(status.st_mode & 0777U, 0600U) << suffix;
  }
}

namespace {

// Runs in a child process until it is killed: applies objects, several at a time, and writes the
// version of each group to `report` once it is durable.
[[noreturn]] void apply_until_killed(const std::string& path, int report) {
  kn::Loop loop;
  const kn::Env& env = loop.env();
  auto store = kn::sqlite_store(path, env.executor, env.timers, env.random, env.offload).value();
  for (;;) {
    std::string version;
    for (int j = 0; j < 3; ++j) {
      const std::uint64_t number = std::stoull(store->resource_version()) + 1;
      const std::string text = std::to_string(number);
      version = store->apply(config("n" + std::to_string(number % 40), text))
                    .value()
                    .metadata()
                    .resource_version;
      if (version != text) _exit(3);
    }
    if (!loop.run(store->durable(version))) _exit(4);
    version += '\n';
    if (write(report, version.data(), version.size()) < 0) _exit(5);
  }
}

}  // namespace

TEST_F(SqliteStoreTest, WhatWasReportedDurableSurvivesAKill) {
  std::uint64_t total = 0;
  for (int round = 0; round < 12; ++round) {
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(pipes[0]);
      apply_until_killed(path(), pipes[1]);
    }
    close(pipes[1]);
    // Read so many reports, then kill it in the middle of whatever it does.
    std::string reports;
    const auto wanted = static_cast<std::ptrdiff_t>(5 + 7 * round);
    char buffer[256];
    while (std::count(reports.begin(), reports.end(), '\n') < wanted) {
      const ssize_t got = read(pipes[0], buffer, sizeof buffer);
      ASSERT_GT(got, 0);
      reports.append(buffer, static_cast<std::size_t>(got));
    }
    ASSERT_EQ(kill(child, SIGKILL), 0);
    for (ssize_t got; (got = read(pipes[0], buffer, sizeof buffer)) > 0;) {
      reports.append(buffer, static_cast<std::size_t>(got));
    }
    close(pipes[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);

    reports.erase(reports.rfind('\n'));
    const std::string last = reports.substr(reports.rfind('\n') + 1);
    auto store = open().value();
    ASSERT_GE(std::stoull(store->resource_version()), std::stoull(last));
    // Every change wrote its own version as the value: the newest of an object is never older
    // than what was reported, and history and objects agree.
    std::map<std::string, std::string> newest;
    const auto all = store->list<kn::core::ConfigMap>().value();
    for (const auto& object : all) {
      EXPECT_EQ(object.data.at("value"), object.metadata.resource_version);
      newest[object.metadata.name] = object.metadata.resource_version;
    }
    const std::uint64_t version = std::stoull(store->resource_version());
    for (std::uint64_t back = 0; back < std::min<std::uint64_t>(version, 40); ++back) {
      const std::string expected = std::to_string(version - back);
      EXPECT_EQ(std::count_if(newest.begin(), newest.end(),
                              [&](const auto& entry) { return entry.second == expected; }),
                1)
          << expected;
    }
    total = version;
  }
  EXPECT_GT(total, 1000u);
}
