// Revisions whose images lie in a registry on another machine.
#include <gmock/gmock.h>

#include "knative/http_server.hpp"
#include "knative/registry_client.hpp"
#include "knative/registry_server.hpp"
#include "platform/platform_fixture.hpp"
#include "platform/scenario_world.hpp"

namespace knative {
namespace {

using namespace testing_platform;
using serving::Revision;
using serving::Service;
using testing::HasSubstr;

constexpr const char* image = "registry.example:5000/local/app";

class RegistryImages : public PlatformFixture {
 protected:
  RegistryImages() {
    for (const std::string name : {"app", "other"}) {
      simulation_.add_program(
          name, [name](SimProcessContext& context) { return serve_name(context, name); });
    }
    open_registry({});
    begin({});
  }
  ~RegistryImages() override { platform_.reset(); }

  void open_registry(registry::ServerOptions options) {
    listening_.reset();
    server_.reset();
    Env& env = host_.env();
    server_.emplace(env, there_, std::move(options));
    const Endpoint endpoint{.host = host_.address(), .port = 5000, .path = {}};
    listening_.emplace(env.executor, env.timers, env.logger, env.network.listen(endpoint).value(),
                       *server_);
  }
  void begin(PlatformOptions options) {
    oci::RegistryClientOptions registries;
    registries.hosts["registry.example:5000"].plain_http = true;
    options.registries = std::make_shared<const oci::RegistryClientOptions>(registries);
    PlatformFixture::begin(std::move(options));
    platform_->start().value();
  }

  static Task<int> serve_name(SimProcessContext& context, std::string name) {
    auto handler = http::make_handler([name](http::Request&) { return answer(name); });
    const std::unique_ptr<http::Server> server = scenario::serve_port(context, *handler);
    if (!server) co_return 1;
    Wakeup never;
    co_await never.wait();
    co_return 0;
  }
  static Task<http::Response> answer(std::string name) { co_return http::text(name); }

  /// The image of this program under the tag that is pulled.
  oci::Digest push(const std::string& program) {
    scenario::store_image(*there_, program);
    const oci::Reference made = oci::Reference::parse("local/" + program).value();
    const oci::Descriptor manifest = there_->resolve(made).value();
    there_->set_reference(oci::Reference::parse("local/app:latest").value(), manifest).value();
    return manifest.digest;
  }
  Service service(const std::string& note = "") {
    Service service = serving::service("app", image);
    if (!note.empty()) service.spec.template_.metadata.annotations["note"] = note;
    return service;
  }
  static build::Build made(const std::string& name) {
    build::Build build;
    build.metadata.name = "made";
    build.spec.image = name;
    build.spec.image_config.emplace();
    build.spec.image_config->entrypoint = {"/run"};
    return build;
  }
  std::string said() { return message<build::Build>("made", "Succeeded"); }
  std::string digest_of(const std::string& revision) {
    const Revision object = get<Revision>(revision);
    if (object.status.container_statuses.size() != 1) return "no status";
    return object.status.container_statuses[0].image_digest;
  }
  void secret(const std::string& name, const std::string& user_and_password_in_base64) {
    core::Secret secret;
    secret.metadata.name = name;
    secret.type = "kubernetes.io/dockerconfigjson";
    secret.string_data[".dockerconfigjson"] =
        R"({"auths":{"registry.example:5000":{"auth":")" + user_and_password_in_base64 + "\"}}}";
    apply(secret);
  }

  std::shared_ptr<oci::ImageStore> there_ = oci::memory_image_store();
  SimHost& host_ = simulation_.host("registry.example");
  std::optional<registry::Server> server_;
  std::optional<http::Server> listening_;
};

TEST_F(RegistryImages, an_image_is_pulled_and_the_revision_keeps_its_digest) {
  const oci::Digest digest = push("app");
  apply(service());
  EXPECT_EQ(state<Service>("app"), "True") << message<Service>("app");
  EXPECT_EQ(call("app"), "app");
  EXPECT_EQ(digest_of("app-00001"), "registry.example:5000/local/app@" + digest.to_string());
}

TEST_F(RegistryImages, a_tag_that_moved_is_looked_up_again_for_the_next_revision_only) {
  push("app");
  apply(service());
  const oci::Digest moved = push("other");
  EXPECT_EQ(call("app"), "app");
  apply(service("again"));
  EXPECT_EQ(call("app"), "other");
  EXPECT_THAT(digest_of("app-00002"), HasSubstr(moved.to_string()));
  simulation_.run_for(10min);  // to zero: the next request starts a new instance
  EXPECT_EQ(call("app"), "other");
}

TEST_F(RegistryImages, an_image_that_is_missing_is_said_in_knatives_words_and_comes_later) {
  apply(service());
  EXPECT_EQ(state<Revision>("app-00001", "ContainerHealthy"), "False ContainerMissing");
  EXPECT_THAT(message<Revision>("app-00001", "ContainerHealthy"),
              HasSubstr("Unable to fetch image \"registry.example:5000/local/app\": failed to "
                        "resolve image to digest: "));
  push("app");
  simulation_.run_for(30s);
  EXPECT_EQ(state<Service>("app"), "True") << message<Service>("app");
  EXPECT_EQ(call("app"), "app");
}

TEST_F(RegistryImages, a_short_name_that_is_nowhere_is_said_and_the_store_is_asked_first) {
  scenario::store_image(platform_->images(), "unrelated");
  apply(serving::service("app", "local/app"));
  EXPECT_EQ(state<Revision>("app-00001", "ContainerHealthy"), "False ContainerMissing");
  EXPECT_THAT(message<Revision>("app-00001", "ContainerHealthy"), HasSubstr("not in the store"));
  EXPECT_THAT(message<Revision>("app-00001", "ContainerHealthy"),
              testing::Not(HasSubstr("unrelated")));
  scenario::store_image(platform_->images(), "app");
  simulation_.run_for(1min);
  EXPECT_EQ(call("app"), "app");
}

TEST_F(RegistryImages, a_registry_that_is_away_does_not_stop_what_was_pulled) {
  push("app");
  apply(service());
  simulation_.faults().partition("platform", "registry.example");
  apply(service("again"));
  simulation_.run_for(2min);
  EXPECT_EQ(state<Revision>("app-00002"), "True") << message<Revision>("app-00002");
  EXPECT_EQ(call("app"), "app");
}

TEST_F(RegistryImages, a_second_service_runs_what_was_pulled_when_the_registry_is_away) {
  push("app");
  apply(service());
  simulation_.faults().partition("platform", "registry.example");
  Service other = serving::service("other", image);
  apply(other);
  simulation_.run_for(2min);
  EXPECT_EQ(state<Service>("other"), "True") << message<Service>("other");
  Service never = serving::service("never", image);
  never.spec.template_.spec.containers[0].image_pull_policy = "Never";
  apply(never);
  EXPECT_EQ(state<Service>("never"), "True") << message<Service>("never");
}

TEST_F(RegistryImages, who_always_asks_needs_a_secret_although_the_image_is_here) {
  registry::ServerOptions closed;
  closed.anonymous = registry::Access::none;
  closed.users = {{.name = "ada", .password = "hunter2", .access = registry::Access::read}};
  open_registry(closed);
  const oci::Digest digest = push("app");
  secret("right", "YWRhOmh1bnRlcjI=");
  Service right = service();
  right.spec.template_.spec.image_pull_secrets = {{.name = "right"}};
  apply(right);
  EXPECT_EQ(state<Service>("app"), "True") << message<Service>("app");
  Service other = serving::service("other", std::string(image) + "@" + digest.to_string());
  other.spec.template_.spec.containers[0].image_pull_policy = "Always";
  apply(other);
  EXPECT_EQ(state<Revision>("other-00001", "ContainerHealthy").substr(0, 5), "False");
  EXPECT_THAT(message<Revision>("other-00001", "ContainerHealthy"), HasSubstr("401"));
}

TEST_F(RegistryImages, a_pull_that_fails_is_an_err_image_pull_and_then_a_back_off) {
  const oci::Digest digest = push("app");
  const oci::Manifest manifest =
      there_->manifest(oci::Reference::parse("local/app").value()).value();
  Service wanted = service();
  wanted.spec.template_.spec.containers[0].image =
      std::string(image) + "@sha256:" + std::string(64, '0');
  apply(wanted);
  EXPECT_THAT(state<Revision>("app-00001", "ContainerHealthy"),
              testing::AnyOf("False ErrImagePull", "False ImagePullBackOff"));
  EXPECT_THAT(message<Revision>("app-00001", "ContainerHealthy"), HasSubstr("registry.example"));
  simulation_.run_for(1min);
  EXPECT_EQ(state<Revision>("app-00001", "ContainerHealthy"), "False ImagePullBackOff");
  EXPECT_EQ(state<Service>("app").substr(0, 5), "False");
}

TEST_F(RegistryImages, never_means_never) {
  push("app");
  Service wanted = service();
  wanted.spec.template_.spec.containers[0].image_pull_policy = "Never";
  apply(wanted);
  EXPECT_EQ(state<Revision>("app-00001", "ContainerHealthy"), "False ContainerMissing");
}

TEST_F(RegistryImages, secrets_for_images_open_a_registry_and_are_told_to_nobody) {
  registry::ServerOptions closed;
  closed.anonymous = registry::Access::none;
  closed.users = {{.name = "ada", .password = "hunter2", .access = registry::Access::read}};
  open_registry(closed);
  push("app");
  apply(service());
  EXPECT_EQ(state<Revision>("app-00001", "ContainerHealthy"), "False ContainerMissing");
  secret("wrong", "YWRhOmd1ZXNz");
  Service wrong = service("wrong");
  wrong.spec.template_.spec.image_pull_secrets = {{.name = "wrong"}};
  apply(wrong);
  EXPECT_EQ(state<Revision>("app-00002", "ContainerHealthy"), "False ContainerMissing");
  EXPECT_THAT(message<Revision>("app-00002", "ContainerHealthy"), testing::Not(HasSubstr("guess")));
  secret("right", "YWRhOmh1bnRlcjI=");
  Service right = service("right");
  right.spec.template_.spec.image_pull_secrets = {{.name = "absent"}, {.name = "right"}};
  apply(right);
  EXPECT_EQ(state<Revision>("app-00003"), "True") << message<Revision>("app-00003");
  EXPECT_EQ(call("app"), "app");
}

// Build and Revision of what this machine's own registry has are the store's.
TEST_F(RegistryImages, a_name_of_the_own_registry_is_the_stores_own_and_nothing_is_sent) {
  platform_.reset();
  PlatformOptions options;
  options.listen = Endpoint{.host = "127.0.0.1", .port = 8080, .path = {}};
  options.registry.emplace();
  platform_ = std::make_unique<Platform>(simulation_.env(), functions_, std::move(options));
  platform_->start().value();
  apply(made("localhost:8080/team/made:1"));
  EXPECT_EQ(state<build::Build>("made", "Succeeded"), "True") << said();
  EXPECT_TRUE(platform_->images().resolve(oci::Reference::parse("team/made:1").value()));
  scenario::store_image(platform_->images(), "app");
  apply(serving::service("app", "localhost:8080/local/app"));
  EXPECT_EQ(state<Service>("app"), "True") << message<Service>("app");
  EXPECT_EQ(call("app"), "app");
  EXPECT_EQ(digest_of("app-00001").substr(0, 17), "local/app@sha256:");
}

TEST_F(RegistryImages, what_a_revision_was_pulled_for_is_kept_until_the_revision_goes) {
  const oci::Digest app = push("app");
  apply(service());
  simulation_.run_for(10min);  // to zero: no container holds it
  oci::ImageStore& here = platform_->images();
  const oci::CollectOptions everything{.untagged = true, .pulled = true};
  EXPECT_EQ(here.collect(everything)->names, 0u);
  EXPECT_EQ(here.collect(everything)->blobs, 0u);
  remove<Service>("app");
  EXPECT_EQ(here.collect(everything)->names, 1u);
  EXPECT_FALSE(here.blob_size(app).value());  // after this it would be spared
  apply(service());
  EXPECT_EQ(call("app"), "app");  // pulled again
}

TEST_F(RegistryImages, an_image_that_lost_its_name_is_kept_for_its_revision_also_after_a_restart) {
  PlatformOptions options;
  options.data_directory = "/data";
  begin(options);
  scenario::store_image(platform_->images(), "app");
  apply(serving::service("app", "local/app"));
  ASSERT_EQ(state<Service>("app"), "True") << message<Service>("app");
  platform_->images().remove_reference(oci::Reference::parse("local/app").value()).value();
  simulation_.run(platform_->stop());
  begin(options);
  EXPECT_EQ(platform_->images().collect({.untagged = true, .pulled = true})->blobs, 0u);
  simulation_.run_for(1min);
  EXPECT_EQ(call("app"), "app");
}

TEST_F(RegistryImages, a_build_pushes_its_image_as_its_service_account_may) {
  registry::ServerOptions closed;
  closed.anonymous = registry::Access::none;
  closed.users = {{.name = "ada", .password = "hunter2", .access = registry::Access::write}};
  open_registry(closed);
  const std::string name = "registry.example:5000/team/made:1";
  apply(made(name));
  EXPECT_EQ(state<build::Build>("made", "Succeeded"), "False ImageFailed");
  EXPECT_THAT(said(), HasSubstr("401"));
  secret("right", "YWRhOmh1bnRlcjI=");
  core::ServiceAccount account;
  account.metadata.name = "pusher";
  account.secrets = {{.name = "right"}};
  apply(account);
  remove<build::Build>("made");
  build::Build build = made(name);
  build.spec.service_account_name = "pusher";
  apply(build);
  EXPECT_EQ(state<build::Build>("made", "Succeeded"), "True") << said();
  EXPECT_THAT(said(), testing::Not(HasSubstr("hunter2")));
  const oci::Reference there = oci::Reference::parse("team/made:1").value();
  ASSERT_TRUE(there_->resolve(there));
  EXPECT_EQ(get<build::Build>("made").status.image,
            "registry.example:5000/team/made@" + there_->resolve(there)->digest.to_string());
}

TEST_F(RegistryImages, a_build_stays_here_when_it_may_not_push_or_its_registry_is_none) {
  apply(made("kind.local/made:1"));
  EXPECT_EQ(state<build::Build>("made", "Succeeded"), "True") << said();
  PlatformOptions options;
  options.push_images = false;
  begin(options);
  apply(made("registry.example:5000/team/made:1"));
  EXPECT_EQ(state<build::Build>("made", "Succeeded"), "True") << said();
  EXPECT_EQ(there_->references()->size(), 0u);
}

TEST_F(RegistryImages, a_build_pulls_the_image_that_it_is_put_on) {
  registry::ServerOptions closed;
  closed.anonymous = registry::Access::none;
  closed.users = {{.name = "ada", .password = "hunter2", .access = registry::Access::read}};
  open_registry(closed);
  push("app");
  build::Build build = made("local/made");
  build.spec.image_config->base = image;
  apply(build);
  EXPECT_EQ(state<build::Build>("made", "Succeeded"), "False ImageFailed");
  EXPECT_THAT(said(), HasSubstr("base: ErrImagePull"));
  remove<build::Build>("made");
  secret("right", "YWRhOmh1bnRlcjI=");
  core::ServiceAccount account;
  account.metadata.name = "builder";
  account.secrets = {{.name = "right"}};
  apply(account);
  build.spec.service_account_name = "builder";
  apply(build);
  EXPECT_EQ(state<build::Build>("made", "Succeeded"), "True") << said();
  const auto config = platform_->images().config(oci::Reference::parse("local/made").value());
  const auto base = there_->config(oci::Reference::parse("local/app:latest").value());
  ASSERT_TRUE(config && base);
  ASSERT_EQ(config->diff_ids.size(), base->diff_ids.size() + 1);
  EXPECT_EQ(config->diff_ids.front(), base->diff_ids.front());
}

TEST_F(RegistryImages, a_service_accounts_secrets_for_images_count_too) {
  registry::ServerOptions closed;
  closed.anonymous = registry::Access::none;
  closed.users = {{.name = "ada", .password = "hunter2", .access = registry::Access::read}};
  open_registry(closed);
  push("app");
  secret("right", "YWRhOmh1bnRlcjI=");
  core::ServiceAccount account;
  account.metadata.name = "default";
  account.image_pull_secrets = {{.name = "right"}};
  apply(account);
  apply(service());
  EXPECT_EQ(state<Revision>("app-00001"), "True") << message<Revision>("app-00001");
}

}  // namespace
}  // namespace knative
