// What every store promises, run against each implementation.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "knative/core.hpp"
#include "knative/serving.hpp"
#include "knative/store.hpp"
#include "support/real_world.hpp"

namespace kn = knative;
using kn::AnyObject;
using kn::Errc;
using kn::ObjectMeta;
using kn::Result;
using kn::WatchEventType;
using kn::core::ConfigMap;
using kn::serving::Service;

namespace {

// Stands still, so that two stores stamp the same times.
class FixedTimers final : public kn::Timers {
 public:
  kn::Instant now() const noexcept override { return kn::Instant(); }
  kn::WallTime wall() const noexcept override {
    return kn::WallTime(std::chrono::seconds(1'600'000'000));
  }
  void arm(kn::TimerNode&, kn::Instant) override { ADD_FAILURE() << "nothing sleeps here"; }
};

// A place for a store that can be closed and opened again.
struct MemoryMaker {
  std::unique_ptr<kn::Store> open(kn::Loop&, kn::Timers& timers, kn::Random& random,
                                  const kn::StoreOptions& options) {
    return kn::memory_store(timers, random, options);
  }
};

struct SqliteMaker {
  kn::testing_world::TemporaryDirectory directory;
  std::unique_ptr<kn::Store> open(kn::Loop& loop, kn::Timers& timers, kn::Random& random,
                                  const kn::StoreOptions& options) {
    kn::SqliteStoreOptions sqlite;
    sqlite.store = options;
    sqlite.sync = false;  // speed; nobody pulls the plug here
    return kn::sqlite_store(directory / "store.db", loop.env().executor, timers, random,
                            loop.env().offload, sqlite)
        .value();
  }
};

ConfigMap config(std::string name, std::string value = "1") {
  ConfigMap object;
  object.metadata.name = std::move(name);
  object.data["value"] = std::move(value);
  return object;
}

Service service(std::string name, std::string image = "fn:hello") {
  return kn::serving::service(std::move(name), std::move(image));
}

kn::ObjectRef ref(std::string name, std::string namespace_ = "default") {
  return {"v1", "ConfigMap", std::move(namespace_), std::move(name)};
}

kn::ObjectRef service_ref(std::string name) {
  return {"serving.knative.dev/v1", "Service", "default", std::move(name)};
}

kn::OwnerReference owned_by(const AnyObject& owner, bool blocks = false) {
  const ObjectMeta& metadata = owner.metadata();
  return {std::string(owner.api_version()),
          std::string(owner.kind()),
          metadata.name,
          metadata.uid,
          false,
          blocks};
}

const ObjectMeta& meta(const AnyObject& object) { return object.metadata(); }

std::string text(const kn::WatchEvent& event) {
  std::string out(kn::to_string(event.type));
  if (event.object.has_value()) out += " " + meta(event.object).name;
  return out + " " + event.resource_version;
}

// Everything the watch has now.
std::vector<std::string> drain(kn::Watch& watch) {
  std::vector<std::string> out;
  for (;;) {
    auto event = watch.poll();
    if (!event) {
      out.push_back(event.error().to_string());
      return out;
    }
    if (!*event) return out;
    out.push_back(text(**event));
  }
}

using Strings = std::vector<std::string>;

std::string detail(const Result<AnyObject>& result) {
  return result ? "ok" : result.error().to_string();
}

}  // namespace

template <class Maker>
class StoreContract : public testing::Test {
 protected:
  StoreContract() { open({}); }
  void open(const kn::StoreOptions& options) {
    store.reset();
    store = maker.open(loop, timers, random, options);
  }

  Maker maker;
  kn::Loop loop;
  FixedTimers timers;
  kn::Random random{7};
  std::unique_ptr<kn::Store> store;
};

using Makers = testing::Types<MemoryMaker, SqliteMaker>;
TYPED_TEST_SUITE(StoreContract, Makers);

TYPED_TEST(StoreContract, CreateStampsMetadata) {
  const AnyObject created = this->store->create(service("hello")).value();
  const ObjectMeta& metadata = meta(created);
  EXPECT_EQ(metadata.namespace_, "default");
  EXPECT_EQ(metadata.uid.size(), 36u);
  EXPECT_EQ(metadata.uid[14], '4');
  EXPECT_EQ(metadata.resource_version, "1");
  EXPECT_EQ(metadata.generation, 1);
  EXPECT_EQ(metadata.creation_timestamp->to_string(), "2020-09-13T12:26:40Z");
  EXPECT_EQ(created.get<Service>().spec.traffic.size(), 1u) << "defaults are applied";
  EXPECT_EQ(this->store->get(service_ref("hello")).value(), created);
}

TYPED_TEST(StoreContract, ErrorsCarryKubernetesTexts) {
  EXPECT_EQ(detail(this->store->get(service_ref("hello"))),
            "not_found: services.serving.knative.dev \"hello\" not found");
  (void)this->store->create(service("hello")).value();
  EXPECT_EQ(detail(this->store->create(service("hello"))),
            "already_exists: services.serving.knative.dev \"hello\" already exists");
  EXPECT_EQ(detail(this->store->get({"v9", "Nothing", "default", "x"})),
            "unimplemented: no matches for kind \"Nothing\" in version \"v9\"");
  Service wrong = service("wrong");
  wrong.spec.traffic = {{.latest_revision = true, .percent = 40}};
  EXPECT_EQ(detail(this->store->create(wrong)),
            "invalid_argument: validation failed: Traffic targets sum to 40, want 100: "
            "spec.traffic");
  EXPECT_EQ(this->store->create(AnyObject()).error().code, Errc::invalid_argument);
}

TYPED_TEST(StoreContract, GenerateNameMakesAFreshName) {
  ConfigMap object = config("");
  object.metadata.generate_name = "part-";
  std::set<std::string> names;
  for (int i = 0; i < 50; ++i) names.insert(meta(this->store->create(object).value()).name);
  EXPECT_EQ(names.size(), 50u);
  for (const std::string& name : names) {
    EXPECT_EQ(name.size(), 10u);
    EXPECT_TRUE(name.starts_with("part-"));
  }
}

TYPED_TEST(StoreContract, UpdateNeedsTheLatestVersion) {
  AnyObject first = this->store->create(config("a")).value();
  AnyObject second = first;
  second.get_if_mutable<ConfigMap>()->data["value"] = "2";
  const AnyObject updated = this->store->update(second).value();
  EXPECT_EQ(meta(updated).resource_version, "2");
  first.get_if_mutable<ConfigMap>()->data["value"] = "3";
  EXPECT_EQ(detail(this->store->update(first)),
            "conflict: Operation cannot be fulfilled on configmaps \"a\": the object has been "
            "modified; please apply your changes to the latest version and try again");
  first.metadata().resource_version.clear();
  EXPECT_TRUE(this->store->update(first)) << "without a version it is unconditional";
  first.metadata().uid = "00000000-0000-4000-8000-000000000000";
  EXPECT_EQ(this->store->update(first).error().code, Errc::conflict);
  EXPECT_EQ(this->store->update(config("none")).error().code, Errc::not_found);
}

TYPED_TEST(StoreContract, GenerationCountsSpecChanges) {
  AnyObject object = this->store->create(service("hello")).value();
  object.metadata().labels["a"] = "b";
  object = this->store->update(object).value();
  EXPECT_EQ(meta(object).generation, 1);
  object.get_if_mutable<Service>()->spec.template_.spec.container_concurrency = 5;
  object = this->store->update(object).value();
  EXPECT_EQ(meta(object).generation, 2);
  object.get_if_mutable<Service>()->status.url = "http://x";
  object = this->store->update_status(object).value();
  EXPECT_EQ(meta(object).generation, 2);
  EXPECT_EQ(meta(object).resource_version, "4");
}

TYPED_TEST(StoreContract, UpdatesKeepTheStatusAndTheOtherWayRound) {
  AnyObject object = this->store->create(service("hello")).value();
  AnyObject changed = object;
  changed.get_if_mutable<Service>()->status.url = "http://x";
  changed.get_if_mutable<Service>()->spec.template_.spec.container_concurrency = 9;
  const AnyObject with_status = this->store->update_status(changed).value();
  EXPECT_EQ(with_status.get<Service>().status.url, "http://x");
  EXPECT_EQ(with_status.get<Service>().spec.template_.spec.container_concurrency, 0);
  changed = with_status;
  changed.get_if_mutable<Service>()->status.url = "http://y";
  changed.get_if_mutable<Service>()->spec.template_.spec.container_concurrency = 9;
  const AnyObject with_spec = this->store->update(changed).value();
  EXPECT_EQ(with_spec.get<Service>().status.url, "http://x");
  EXPECT_EQ(with_spec.get<Service>().spec.template_.spec.container_concurrency, 9);
  EXPECT_EQ(this->store->update_status(config("a")).error().code, Errc::not_found);
}

TYPED_TEST(StoreContract, NothingChangesNoVersion) {
  const AnyObject created = this->store->apply(service("hello")).value();
  EXPECT_EQ(this->store->apply(service("hello")).value(), created);
  EXPECT_EQ(this->store->update(created).value(), created);
  EXPECT_EQ(this->store->update_status(created).value(), created);
  EXPECT_EQ(this->store->resource_version(), "1");
}

TYPED_TEST(StoreContract, ApplyReplacesWhatAUserDeclares) {
  Service wanted = service("hello");
  wanted.metadata.labels["tier"] = "web";
  wanted.metadata.finalizers = {"example.org/hold"};
  AnyObject object = this->store->apply(wanted).value();
  object.get_if_mutable<Service>()->status.url = "http://x";
  object = this->store->update_status(object).value();
  Service again = service("hello", "fn:other");
  again.metadata.annotations["note"] = "b";
  object = this->store->apply(again).value();
  EXPECT_TRUE(meta(object).labels.empty());
  EXPECT_EQ(meta(object).annotations.at("note"), "b");
  EXPECT_EQ(meta(object).generation, 2);
  EXPECT_EQ(meta(object).finalizers.size(), 1u);
  EXPECT_EQ(object.get<Service>().status.url, "http://x");
  again.metadata.resource_version = "1";
  EXPECT_EQ(this->store->apply(again).error().code, Errc::conflict);
}

TYPED_TEST(StoreContract, AVersionOfAnObjectThatIsNotThereIsAConflictThatNamesIt) {
  Service given = service("nobody", "fn:hello");
  given.metadata.resource_version = "7";
  EXPECT_EQ(this->store->apply(given).error().to_string(),
            "conflict: Operation cannot be fulfilled on services.serving.knative.dev \"nobody\": "
            "Precondition failed: metadata.resourceVersion is \"7\", but there is no such object; "
            "leave it out to create one");
}

TYPED_TEST(StoreContract, UpdateRulesOfKindsHold) {
  kn::serving::Revision revision;
  revision.metadata.name = "hello-00001";
  revision.spec = service("x").spec.template_.spec;
  AnyObject stored = this->store->create(revision).value();
  stored.get_if_mutable<kn::serving::Revision>()->spec.containers[0].image = "fn:other";
  const auto refused = this->store->update(stored);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail.find("Immutable fields changed"), std::string::npos);
}

TYPED_TEST(StoreContract, PatchesMergeOrEdit) {
  (void)this->store->create(service("hello")).value();
  const kn::Value merge =
      kn::Value::parse_json(
          R"({"metadata":{"labels":{"a":"b"}},"spec":{"template":{"spec":{"timeoutSeconds":7}}}})")
          .value();
  AnyObject patched = this->store->patch(service_ref("hello"), merge).value();
  EXPECT_EQ(patched.get<Service>().spec.template_.spec.timeout_seconds, 7);
  EXPECT_EQ(meta(patched).labels.at("a"), "b");
  EXPECT_EQ(meta(patched).generation, 2);
  kn::PatchOptions json;
  json.type = kn::PatchOptions::Type::json;
  const kn::Value edit = kn::Value::parse_json(R"([
    {"op":"test","path":"/metadata/labels/a","value":"b"},
    {"op":"replace","path":"/spec/template/spec/containers/0/image","value":"fn:next"}])")
                             .value();
  patched = this->store->patch(service_ref("hello"), edit, json).value();
  EXPECT_EQ(patched.get<Service>().spec.template_.spec.containers[0].image, "fn:next");
  kn::PatchOptions status;
  status.status = true;
  const kn::Value url = kn::Value::parse_json(R"({"status":{"url":"http://x"}})").value();
  EXPECT_EQ(
      this->store->patch(service_ref("hello"), url, status)->template get<Service>().status.url,
      "http://x");
  const kn::Value rename = kn::Value::parse_json(R"({"metadata":{"name":"other"}})").value();
  EXPECT_EQ(this->store->patch(service_ref("hello"), rename).error().code, Errc::invalid_argument);
  const kn::Value stale =
      kn::Value::parse_json(R"({"metadata":{"resourceVersion":"1","labels":null}})").value();
  EXPECT_EQ(this->store->patch(service_ref("hello"), stale).error().code, Errc::conflict);
}

TYPED_TEST(StoreContract, RemoveWithPreconditions) {
  const AnyObject created = this->store->create(config("a")).value();
  kn::RemoveOptions options;
  options.uid = "other";
  EXPECT_EQ(this->store->remove(ref("a"), options).error().code, Errc::conflict);
  options.uid = meta(created).uid;
  options.resource_version = "9";
  EXPECT_EQ(this->store->remove(ref("a"), options).error().code, Errc::conflict);
  options.resource_version = "1";
  const AnyObject removed = this->store->remove(ref("a"), options).value();
  EXPECT_EQ(meta(removed).resource_version, "2");
  EXPECT_EQ(this->store->get(ref("a")).error().code, Errc::not_found);
  EXPECT_EQ(this->store->remove(ref("a")).error().code, Errc::not_found);
}

TYPED_TEST(StoreContract, FinalizersHoldAnObject) {
  ConfigMap object = config("a");
  object.metadata.finalizers = {"example.org/one", "example.org/two"};
  (void)this->store->create(object).value();
  AnyObject dying = this->store->remove(ref("a")).value();
  EXPECT_TRUE(meta(dying).deletion_timestamp);
  EXPECT_EQ(this->store->remove(ref("a")).value(), dying) << "a second removal changes nothing";
  const auto create_again = this->store->create(config("a"));
  EXPECT_EQ(detail(create_again),
            "already_exists: object is being deleted: configmaps \"a\" already exists");
  dying.metadata().finalizers = {"example.org/three"};
  EXPECT_EQ(this->store->update(dying).error().code, Errc::invalid_argument);
  dying.metadata().finalizers = {"example.org/two"};
  dying = this->store->update(dying).value();
  EXPECT_TRUE(this->store->get(ref("a")));
  dying.metadata().finalizers.clear();
  EXPECT_TRUE(this->store->update(dying));
  EXPECT_EQ(this->store->get(ref("a")).error().code, Errc::not_found);
}

TYPED_TEST(StoreContract, OwnedObjectsFollowInTheBackground) {
  const AnyObject owner = this->store->create(config("owner")).value();
  const AnyObject other = this->store->create(config("other")).value();
  ConfigMap child = config("child");
  child.metadata.owner_references = {owned_by(owner)};
  const AnyObject stored_child = this->store->create(child).value();
  ConfigMap grandchild = config("grandchild");
  grandchild.metadata.owner_references = {owned_by(stored_child)};
  (void)this->store->create(grandchild).value();
  ConfigMap shared = config("shared");
  shared.metadata.owner_references = {owned_by(owner), owned_by(other)};
  (void)this->store->create(shared).value();

  (void)this->store->remove(ref("owner")).value();
  EXPECT_FALSE(this->store->get(ref("child")));
  EXPECT_FALSE(this->store->get(ref("grandchild")));
  const AnyObject kept = this->store->get(ref("shared")).value();
  ASSERT_EQ(meta(kept).owner_references.size(), 1u);
  EXPECT_EQ(meta(kept).owner_references[0].name, "other");
}

TYPED_TEST(StoreContract, ForegroundWaitsForWhatBlocks) {
  const AnyObject owner = this->store->create(config("owner")).value();
  ConfigMap held = config("held");
  held.metadata.owner_references = {owned_by(owner, true)};
  held.metadata.finalizers = {"example.org/hold"};
  (void)this->store->create(held).value();
  ConfigMap loose = config("loose");
  loose.metadata.owner_references = {owned_by(owner)};
  (void)this->store->create(loose).value();

  kn::RemoveOptions options;
  options.propagation = kn::Propagation::foreground;
  const AnyObject dying = this->store->remove(ref("owner"), options).value();
  EXPECT_EQ(meta(dying).finalizers, Strings{"foregroundDeletion"});
  EXPECT_FALSE(this->store->get(ref("loose")));
  AnyObject blocked = this->store->get(ref("held")).value();
  EXPECT_TRUE(meta(blocked).deletion_timestamp);
  blocked.metadata().finalizers.clear();
  EXPECT_TRUE(this->store->update(blocked));
  EXPECT_FALSE(this->store->get(ref("held")));
  EXPECT_FALSE(this->store->get(ref("owner")));
}

TYPED_TEST(StoreContract, OrphansStay) {
  const AnyObject owner = this->store->create(config("owner")).value();
  ConfigMap child = config("child");
  child.metadata.owner_references = {owned_by(owner)};
  (void)this->store->create(child).value();
  kn::RemoveOptions options;
  options.propagation = kn::Propagation::orphan;
  (void)this->store->remove(ref("owner"), options).value();
  EXPECT_TRUE(meta(this->store->get(ref("child")).value()).owner_references.empty());
}

TYPED_TEST(StoreContract, AnObjectThatComesTooLateForItsOwnerGoes) {
  const AnyObject owner = this->store->create(config("owner")).value();
  (void)this->store->remove(ref("owner")).value();
  ConfigMap child = config("child");
  child.metadata.owner_references = {owned_by(owner)};
  EXPECT_TRUE(this->store->create(child));
  EXPECT_FALSE(this->store->get(ref("child")));
}

TYPED_TEST(StoreContract, OwnersAreCompletedByName) {
  const AnyObject owner = this->store->create(config("owner")).value();
  ConfigMap child = config("child");
  child.metadata.owner_references = {{.api_version = "v1", .kind = "ConfigMap", .name = "owner"}};
  EXPECT_EQ(meta(this->store->create(child).value()).owner_references[0].uid, meta(owner).uid);
  child.metadata.name = "lost";
  child.metadata.owner_references[0].name = "nobody";
  EXPECT_EQ(this->store->create(child).error().code, Errc::invalid_argument);
}

TYPED_TEST(StoreContract, LongChainsOfOwnersNeedNoStack) {
  AnyObject last = this->store->create(config("c0")).value();
  constexpr int length = 2000;
  for (int i = 1; i < length; ++i) {
    ConfigMap next = config("c" + std::to_string(i));
    next.metadata.owner_references = {owned_by(last)};
    last = this->store->create(next).value();
  }
  (void)this->store->remove(ref("c0")).value();
  EXPECT_EQ(this->store->resource_version(), std::to_string(2 * length));
  EXPECT_TRUE(this->store->template list<ConfigMap>().value().empty());
}

TYPED_TEST(StoreContract, ANamespaceTakesItsObjectsWithIt) {
  kn::core::Namespace shop;
  shop.metadata.name = "shop";
  (void)this->store->create(shop).value();
  ConfigMap inside = config("a");
  inside.metadata.namespace_ = "shop";
  (void)this->store->create(inside).value();
  (void)this->store->create(config("a")).value();
  (void)this->store->remove({"v1", "Namespace", "", "shop"}).value();
  EXPECT_FALSE(this->store->get(ref("a", "shop")));
  EXPECT_TRUE(this->store->get(ref("a")));
}

TYPED_TEST(StoreContract, ListsSelectAndPage) {
  for (int i = 0; i < 10; ++i) {
    ConfigMap object = config("m" + std::to_string(i));
    object.metadata.namespace_ = i % 2 == 0 ? "even" : "odd";
    object.metadata.labels["number"] = std::to_string(i);
    if (i >= 5) object.metadata.labels["big"] = "yes";
    (void)this->store->create(object).value();
  }
  const auto names = [&](const kn::ListOptions& options) {
    Strings out;
    const kn::ObjectList found = this->store->list("v1", "ConfigMap", options).value();
    for (const AnyObject& item : found.items) out.push_back(meta(item).name);
    return out;
  };
  kn::ListOptions options;
  EXPECT_EQ(names(options), (Strings{"m0", "m2", "m4", "m6", "m8", "m1", "m3", "m5", "m7", "m9"}));
  options.namespace_ = "odd";
  EXPECT_EQ(names(options), (Strings{"m1", "m3", "m5", "m7", "m9"}));
  options.labels = kn::LabelSelector::parse("big,number notin (5,9)").value();
  EXPECT_EQ(names(options), (Strings{"m7"}));
  options.labels = {};
  options.fields = kn::FieldSelector::parse("metadata.name!=m3").value();
  EXPECT_EQ(names(options), (Strings{"m1", "m5", "m7", "m9"}));
  options = {};
  options.limit = 3;
  Strings pages;
  do {
    const kn::ObjectList page = this->store->list("v1", "ConfigMap", options).value();
    EXPECT_LE(page.items.size(), 3u);
    EXPECT_EQ(page.resource_version, "10");
    for (const AnyObject& item : page.items) pages.push_back(meta(item).name);
    options.continue_token = page.continue_token;
  } while (!options.continue_token.empty());
  EXPECT_EQ(pages.size(), 10u);
  EXPECT_EQ(pages, names({}));
  options.continue_token = "nonsense";
  EXPECT_EQ(this->store->list("v1", "ConfigMap", options).error().code, Errc::invalid_argument);
  EXPECT_EQ(this->store->template list<ConfigMap>()->size(), 10u);
}

TYPED_TEST(StoreContract, ListsByLabelOwnerAndNameGiveWhatASearchWouldFind) {
  const AnyObject owner = this->store->create(config("owner")).value();
  for (int i = 0; i < 40; ++i) {
    ConfigMap object = config("m" + std::to_string(i));
    object.metadata.namespace_ = i % 2 == 0 ? "default" : "other";
    object.metadata.labels["n"] = std::to_string(i % 4);
    if (i % 8 == 0) object.metadata.labels["rare"] = "";
    if (i % 10 == 0) object.metadata.owner_references = {owned_by(owner)};
    (void)this->store->create(object).value();
  }
  // Labels and owners that change or go are found under what they are now.
  ConfigMap moved = config("m8");
  moved.metadata.labels["n"] = "9";
  (void)this->store->apply(moved).value();
  (void)this->store->remove(ref("m16")).value();
  const auto names = [&](const kn::ListOptions& options) {
    Strings out;
    const kn::ObjectList found = this->store->list("v1", "ConfigMap", options).value();
    for (const AnyObject& item : found.items) out.push_back(meta(item).name);
    return out;
  };
  const auto labelled = [](std::string_view selector) {
    kn::ListOptions options;
    options.labels = kn::LabelSelector::parse(selector).value();
    return options;
  };
  EXPECT_EQ(names(labelled("n=9")), (Strings{"m8"}));
  EXPECT_EQ(names(labelled("rare")), (Strings{"m0", "m24", "m32"}));
  EXPECT_EQ(names(labelled("rare,n=0")), (Strings{"m0", "m24", "m32"}));
  EXPECT_EQ(names(labelled("n in (9,7,rare)")), (Strings{"m8"}));
  EXPECT_EQ(names(labelled("n=none")), Strings{});
  EXPECT_EQ(names(labelled("unknown")), Strings{});
  EXPECT_EQ(names(labelled("n notin (0,1,2,9)")).size(), 11u) << "what has no label matches too";
  kn::ListOptions options = labelled("n in (1,3,9)");
  options.namespace_ = "other";
  EXPECT_EQ(names(options).size(), 20u);
  options.limit = 7;
  Strings pages;
  do {
    const kn::ObjectList page = this->store->list("v1", "ConfigMap", options).value();
    for (const AnyObject& item : page.items) pages.push_back(meta(item).name);
    options.continue_token = page.continue_token;
  } while (!options.continue_token.empty());
  options.limit = 0;
  EXPECT_EQ(pages, names(options));
  kn::ListOptions owned;
  owned.owner_uid = meta(owner).uid;
  EXPECT_EQ(names(owned), (Strings{"m0", "m10", "m20", "m30"}));
  owned.labels = kn::LabelSelector::parse("n=2").value();
  EXPECT_EQ(names(owned), (Strings{"m10", "m30"}));
  kn::ListOptions named;
  named.namespace_ = "other";
  named.fields = kn::FieldSelector::parse("metadata.name=m7").value();
  EXPECT_EQ(names(named), (Strings{"m7"}));
  named.namespace_ = "default";
  EXPECT_EQ(names(named), Strings{});
  named.namespace_.clear();
  EXPECT_EQ(names(named), (Strings{"m7"}));
}

TYPED_TEST(StoreContract, WhatIsReturnedSharesTheStoredObject) {
  const AnyObject created = this->store->create(config("a")).value();
  const AnyObject got = this->store->get(ref("a")).value();
  const kn::ObjectList listed = this->store->list("v1", "ConfigMap", {}).value();
  EXPECT_EQ(&created.get<ConfigMap>(), &got.get<ConfigMap>());
  EXPECT_EQ(&created.get<ConfigMap>(), &listed.items[0].get<ConfigMap>());
}

TYPED_TEST(StoreContract, TwoStoresOnOneGeneratorNeverMakeTheSameUid) {
  std::set<std::string> uids;
  for (int round = 0; round < 3; ++round) {
    TypeParam other;
    auto second = other.open(this->loop, this->timers, this->random, {});
    for (int i = 0; i < 10; ++i) {
      uids.insert(meta(second->create(config("a" + std::to_string(i))).value()).uid);
    }
  }
  EXPECT_EQ(uids.size(), 30u);
}

TYPED_TEST(StoreContract, ChangesOfOtherNamespacesExpireNoWatch) {
  this->open({.history_max = 4});
  auto here = this->store->watch("v1", "ConfigMap", {.namespace_ = "here"}).value();
  auto one = this->store
                 ->watch("v1", "ConfigMap",
                         {.namespace_ = "default",
                          .fields = kn::FieldSelector::parse("metadata.name=quiet").value()})
                 .value();
  (void)this->store->create(config("quiet")).value();
  EXPECT_EQ(drain(*one), (Strings{"ADDED quiet 1"}));
  for (int i = 0; i < 20; ++i) (void)this->store->apply(config("a", std::to_string(i))).value();
  EXPECT_EQ(drain(*here), Strings{});
  EXPECT_EQ(drain(*one), Strings{});
  ConfigMap object = config("b");
  object.metadata.namespace_ = "here";
  (void)this->store->create(object).value();
  EXPECT_EQ(drain(*here), (Strings{"ADDED b 22"}));
  (void)this->store->apply(config("quiet", "2")).value();
  EXPECT_EQ(drain(*one), (Strings{"MODIFIED quiet 23"}));
}

TYPED_TEST(StoreContract, AWatchThatFellBehindLosesNoDeletion) {
  this->open({.history_max = 4});
  for (const char* name : {"gone", "again", "same", "changed"}) {
    (void)this->store->create(config(name)).value();
  }
  auto watch = this->store->watch("v1", "ConfigMap", {.resync = true}).value();
  auto all = this->store->watch("", "", {.resync = true}).value();
  const std::string old_uid = meta(this->store->get(ref("again")).value()).uid;
  EXPECT_EQ(drain(*watch),
            (Strings{"ADDED again 2", "ADDED changed 4", "ADDED gone 1", "ADDED same 3"}));
  EXPECT_EQ(drain(*all).size(), 4u);
  (void)this->store->remove(ref("gone")).value();
  (void)this->store->remove(ref("again")).value();
  (void)this->store->create(config("again")).value();
  (void)this->store->apply(config("changed", "2")).value();
  (void)this->store->create(config("fresh")).value();
  for (int i = 0; i < 10; ++i) (void)this->store->apply(config("many", std::to_string(i))).value();
  Strings seen;
  while (auto event = watch->poll().value()) {
    std::string line(kn::to_string(event->type));
    line += " " + meta(event->object).name;
    if (meta(event->object).uid == old_uid) line += " (old)";
    seen.push_back(line);
  }
  std::sort(seen.begin(), seen.begin() + 2);
  EXPECT_EQ(seen, (Strings{"DELETED again (old)", "DELETED gone", "ADDED again", "MODIFIED changed",
                           "ADDED fresh", "ADDED many"}));
  EXPECT_EQ(drain(*all).size(), 6u);
  (void)this->store->remove(ref("fresh")).value();
  EXPECT_EQ(drain(*watch), (Strings{"DELETED fresh 20"}));
}

TYPED_TEST(StoreContract, WatchDeliversEveryChangeInOrder) {
  (void)this->store->create(config("a")).value();
  auto watch = this->store->watch("v1", "ConfigMap", {}).value();
  auto late = this->store->watch("v1", "ConfigMap", {.resource_version = "1"}).value();
  auto everything = this->store->watch("", "", {.resource_version = "1"}).value();
  (void)this->store->create(config("b")).value();
  (void)this->store->create(service("hello")).value();
  (void)this->store->apply(config("a", "2")).value();
  (void)this->store->remove(ref("b")).value();
  EXPECT_EQ(drain(*watch), (Strings{"ADDED a 1", "ADDED b 2", "MODIFIED a 4", "DELETED b 5"}));
  EXPECT_EQ(drain(*late), (Strings{"ADDED b 2", "MODIFIED a 4", "DELETED b 5"}));
  EXPECT_EQ(drain(*everything),
            (Strings{"ADDED b 2", "ADDED hello 3", "MODIFIED a 4", "DELETED b 5"}));
  EXPECT_EQ(this->store->watch("v1", "ConfigMap", {.resource_version = "99"}).error().code,
            Errc::invalid_argument);
  EXPECT_EQ(this->store->watch("v1", "ConfigMap", {.resource_version = "x"}).error().code,
            Errc::invalid_argument);
}

TYPED_TEST(StoreContract, WatchWaits) {
  auto watch = this->store->watch("v1", "ConfigMap", {}).value();
  auto reader = [](kn::Watch& source) -> kn::Task<std::string> {
    auto event = co_await source.next();
    co_return text(event.value());
  };
  auto writer = [](kn::Store& store) -> kn::Task<std::string> {
    (void)store.create(service("hello")).value();
    co_return meta(store.create(config("a")).value()).name;
  };
  std::vector<kn::Task<std::string>> both;
  both.push_back(reader(*watch));
  both.push_back(writer(*this->store));
  const auto done = this->loop.run(kn::when_all(std::move(both)));
  EXPECT_EQ(done[0], "ADDED a 2");
}

TYPED_TEST(StoreContract, WatchOutlivesTheStore) {
  auto watch = this->store->watch("v1", "ConfigMap", {}).value();
  this->store.reset();
  EXPECT_EQ(watch->poll().error().code, Errc::cancelled);
}

TYPED_TEST(StoreContract, WatchWithSelectorSeesObjectsComeAndGo) {
  auto watch =
      this->store->watch("v1", "ConfigMap", {.labels = kn::LabelSelector::parse("on=yes").value()})
          .value();
  ConfigMap object = config("a");
  (void)this->store->apply(object).value();
  object.metadata.labels["on"] = "yes";
  (void)this->store->apply(object).value();
  object.data["value"] = "2";
  (void)this->store->apply(object).value();
  object.metadata.labels["on"] = "no";
  (void)this->store->apply(object).value();
  object.data["value"] = "3";
  (void)this->store->apply(object).value();
  (void)this->store->remove(ref("a")).value();
  EXPECT_EQ(drain(*watch), (Strings{"ADDED a 2", "MODIFIED a 3", "DELETED a 4"}));
}

TYPED_TEST(StoreContract, HistoryIsBounded) {
  this->open({.history_max = 4});
  auto slow = this->store->watch("v1", "ConfigMap", {.resource_version = "0"}).value();
  auto quiet = this->store->watch("serving.knative.dev/v1", "Service", {}).value();
  for (int i = 0; i < 10; ++i) (void)this->store->apply(config("a", std::to_string(i))).value();
  EXPECT_EQ(drain(*slow), (Strings{"failed_precondition: too old resource version: 0 (10)"}));
  EXPECT_EQ(this->store->watch("v1", "ConfigMap", {.resource_version = "5"}).error().detail,
            "too old resource version: 5 (10)");
  auto recent = this->store->watch("v1", "ConfigMap", {.resource_version = "6"}).value();
  EXPECT_EQ(drain(*recent).size(), 4u);
  (void)this->store->create(service("hello")).value();
  EXPECT_EQ(drain(*quiet), (Strings{"ADDED hello 11"})) << "others' changes expire nobody";
}

TYPED_TEST(StoreContract, BookmarksTellHowFarAWatchIs) {
  (void)this->store->create(config("a")).value();
  auto watch = this->store->watch("v1", "ConfigMap", {.bookmarks = true}).value();
  EXPECT_EQ(drain(*watch), (Strings{"ADDED a 1", "BOOKMARK 1"}));
  for (int i = 0; i < 600; ++i) {
    Service changed = service("hello");
    changed.metadata.annotations["i"] = std::to_string(i);
    (void)this->store->apply(changed).value();
  }
  EXPECT_EQ(drain(*watch), (Strings{"BOOKMARK 601"}));
}

TYPED_TEST(StoreContract, AdmissionMayRefuseAndChange) {
  kn::StoreOptions options;
  options.admission = [](AnyObject& object, const AnyObject* old) -> Result<void> {
    if (meta(object).name == "bad") return kn::fail(Errc::invalid_argument, "bad name");
    object.metadata().annotations["seen"] = old == nullptr ? "new" : "again";
    return {};
  };
  this->open(options);
  EXPECT_EQ(detail(this->store->create(config("bad"))), "invalid_argument: bad name");
  EXPECT_EQ(meta(this->store->create(config("a")).value()).annotations.at("seen"), "new");
  EXPECT_EQ(meta(this->store->apply(config("a", "2")).value()).annotations.at("seen"), "again");
}

TYPED_TEST(StoreContract, DurableAnswersForThePast) {
  const AnyObject created = this->store->create(config("a")).value();
  EXPECT_TRUE(this->loop.run(this->store->durable(meta(created).resource_version)));
  EXPECT_TRUE(this->loop.run(this->store->durable()));
  EXPECT_EQ(this->loop.run(this->store->durable("99")).error().code, Errc::invalid_argument);
}

// ---------------------------------------------------------------------------- equal stores

namespace {

// One random operation; the answer as text.
std::string random_operation(kn::Store& store, kn::Random& random) {
  const std::string name = "n" + std::to_string(random.below(6));
  const std::uint64_t choice = random.below(12);
  ConfigMap object = config(name, std::to_string(random.below(4)));
  if (random.below(3) == 0) object.metadata.labels["l"] = std::to_string(random.below(3));
  if (random.below(4) == 0) object.metadata.finalizers = {"example.org/f"};
  const std::string owner = "n" + std::to_string(random.below(6));
  const bool blocks = random.below(2) == 0;
  const std::uint64_t propagation = random.below(3);
  if (random.below(3) == 0 && owner != name) {
    if (const auto found = store.get(ref(owner))) {
      object.metadata.owner_references = {owned_by(*found, blocks)};
    }
  }
  const auto show = [](const Result<AnyObject>& result) {
    return result ? result->to_value().to_json() : result.error().to_string();
  };
  if (choice < 4) return show(store.apply(object));
  if (choice < 5) return show(store.create(object));
  if (choice < 7) return show(store.update(object));
  if (choice < 9) {
    kn::RemoveOptions options;
    options.propagation = static_cast<kn::Propagation>(propagation);
    return show(store.remove(ref(name), options));
  }
  if (choice < 10) {
    const kn::Value patch = kn::Value::parse_json(R"({"metadata":{"finalizers":null}})").value();
    return show(store.patch(ref(name), patch));
  }
  Service changed = service(name, "fn:v" + std::to_string(random.below(3)));
  const auto applied = store.apply(changed);
  if (!applied) return show(applied);
  AnyObject status = *applied;
  status.get_if_mutable<Service>()->status.url = "http://" + std::to_string(random.below(3));
  return show(store.update_status(status));
}

std::string dump(kn::Store& store) {
  std::string out = store.resource_version() + "\n";
  for (const kn::KindInfo* info : kn::default_kinds().all()) {
    const kn::KindInfo& kind = *info;
    const auto list = store.list(kind.api_version, kind.kind, {}).value();
    for (const AnyObject& item : list.items) out += item.to_value().to_json() + "\n";
  }
  return out;
}

// What a list by label gives, and what looking at every object finds.
std::string listed(kn::Store& store, std::string_view selector) {
  kn::ListOptions options;
  options.labels = kn::LabelSelector::parse(selector).value();
  std::string out;
  const kn::ObjectList found = store.list("v1", "ConfigMap", options).value();
  for (const AnyObject& item : found.items) {
    out += meta(item).name + " " + meta(item).resource_version + "\n";
  }
  return out;
}
std::string searched(kn::Store& store, std::string_view selector) {
  const auto labels = kn::LabelSelector::parse(selector).value();
  std::string out;
  const kn::ObjectList found = store.list("v1", "ConfigMap", {}).value();
  for (const AnyObject& item : found.items) {
    if (labels.matches(meta(item).labels)) {
      out += meta(item).name + " " + meta(item).resource_version + "\n";
    }
  }
  return out;
}

Strings changes_since(kn::Store& store, const std::string& version, std::string_view labels) {
  kn::WatchOptions options;
  options.resource_version = version;
  options.labels = kn::LabelSelector::parse(labels).value();
  auto watch = store.watch("", "", options);
  if (!watch) return {watch.error().to_string()};
  Strings out;
  for (;;) {
    auto event = (*watch)->poll();
    if (!event || !*event) return out;
    out.push_back(text(**event) + " " + (*event)->object.to_value().to_json());
  }
}

}  // namespace

TEST(StoreProperty, RandomOperationsGiveEqualStoresAndSurviveReopening) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    kn::Loop loop;
    FixedTimers timers;
    kn::StoreOptions options;
    options.history_max = 50;
    MemoryMaker memory_maker;
    SqliteMaker sqlite_maker;
    kn::Random memory_random(seed);
    kn::Random sqlite_random(seed);
    auto memory = memory_maker.open(loop, timers, memory_random, options);
    auto sqlite = sqlite_maker.open(loop, timers, sqlite_random, options);
    kn::Random memory_choice(seed + 100);
    kn::Random sqlite_choice(seed + 100);
    for (int i = 0; i < 300; ++i) {
      ASSERT_EQ(random_operation(*memory, memory_choice), random_operation(*sqlite, sqlite_choice));
      for (const char* selector : {"l", "l=1", "l in (0,2)", "l,l!=2"}) {
        ASSERT_EQ(listed(*memory, selector), searched(*memory, selector)) << selector;
      }
      if (i % 37 == 0) {
        ASSERT_TRUE(loop.run(sqlite->durable()));
      }
    }
    ASSERT_EQ(dump(*memory), dump(*sqlite));
    sqlite.reset();
    sqlite = sqlite_maker.open(loop, timers, sqlite_random, options);
    EXPECT_EQ(dump(*memory), dump(*sqlite));
    const auto version = std::stoull(memory->resource_version());
    ASSERT_GT(version, 60u);
    for (const std::uint64_t back : {0u, 1u, 17u, 50u, 51u}) {
      const std::string since = std::to_string(version - back);
      EXPECT_EQ(changes_since(*memory, since, ""), changes_since(*sqlite, since, ""));
      EXPECT_EQ(changes_since(*memory, since, "l"), changes_since(*sqlite, since, "l"));
      EXPECT_EQ(changes_since(*memory, since, "l=1"), changes_since(*sqlite, since, "l=1"));
    }
    EXPECT_EQ(changes_since(*sqlite, std::to_string(version - 50), "").size(), 50u);
    EXPECT_TRUE(changes_since(*sqlite, std::to_string(version - 51), "")[0].starts_with(
        "failed_precondition: too old"));
  }
}
