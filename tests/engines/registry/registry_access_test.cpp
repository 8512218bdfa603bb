// Who we are at a registry, and to whom we say it: challenges, tokens, redirects, helpers.
#include "engines/registry/fake_registry.hpp"

namespace knative::oci::testing {
namespace {

/// A registry that wants tokens of a token service.
class Access : public RegistryWorldTest {
 protected:
  Access() {
    registry.put_image("v1", {"layer"});
    registry.hook = [this](const http::Request& request) { return guard(request); };
    service.hook = [this](const http::Request& request) -> std::optional<http::Response> {
      if (refuse_tokens) return http::json_text("{\"details\":\"no such user\"}", 401);
      (void)request;
      granted = "token-" + std::to_string(++tokens);
      return http::json_text("{\"token\":\"" + granted +
                             "\",\"expires_in\":" + std::to_string(lifetime) + "}");
    };
  }
  std::optional<http::Response> guard(const http::Request& request) {
    if (!granted.empty() && request.headers.get("Authorization") == "Bearer " + granted) {
      return std::nullopt;
    }
    http::Response response = FakeRegistry::refusal(401, "UNAUTHORIZED", "authentication required");
    response.headers.set("WWW-Authenticate", "Bearer realm=\"" + service.url("/token") +
                                                 "\",service=\"here\",scope=\"" + scope + "\"");
    return response;
  }
  std::string name(const std::string& rest) const { return registry.address() + "/" + rest; }
  static RegistryKeyring keyring(const std::string& place, RegistryCredential credential) {
    RegistryKeyring keys;
    EXPECT_TRUE(keys.add(place, std::move(credential)));
    return keys;
  }

  FakeRegistry registry{env};
  FakeRegistry service{env};
  std::string granted;
  std::string scope = "repository:shop:pull";
  int tokens = 0;
  int lifetime = 300;
  bool refuse_tokens = false;
};

TEST_F(Access, one_token_serves_a_whole_pull_and_the_next_one) {
  ASSERT_TRUE(pull(name("shop:v1")));
  store = memory_image_store();
  ASSERT_TRUE(pull(name("shop:v1")));
  EXPECT_EQ(tokens, 1);
  EXPECT_EQ(service.asked[0].line, "GET /token?service=here&scope=repository%3Ashop%3Apull");
  EXPECT_FALSE(service.asked[0].headers.has("Authorization"));
}

TEST_F(Access, a_token_is_renewed_before_it_ends) {
  ASSERT_TRUE(pull(name("shop:v1")));
  sim.run_for(271s);
  const std::size_t asked = registry.asked.size();
  ASSERT_TRUE(resolve(name("shop:v1")));
  EXPECT_EQ(tokens, 2);
  EXPECT_EQ(registry.asked.size(), asked + 1);  // no refusal in between
}

TEST_F(Access, a_token_that_is_revoked_is_replaced) {
  ASSERT_TRUE(pull(name("shop:v1")));
  granted = "nobody has this";
  ASSERT_TRUE(resolve(name("shop:v1")));
  EXPECT_EQ(tokens, 2);
}

TEST_F(Access, other_rights_than_ours_are_not_asked_for) {
  scope = "repository:secrets/of/others:pull,push,delete registry:catalog:*";
  ASSERT_TRUE(pull(name("shop:v1")));
  for (const Asked& asked : service.asked) {
    EXPECT_EQ(asked.line, "GET /token?service=here&scope=repository%3Ashop%3Apull");
  }
}

TEST_F(Access, one_callers_token_is_not_anothers) {
  ASSERT_TRUE(resolve(name("shop:v1"), keyring(registry.address(), {"ada", "one", "", ""})));
  ASSERT_TRUE(resolve(name("shop:v1"), keyring(registry.address(), {"bob", "two", "", ""})));
  EXPECT_EQ(tokens, 2);
  EXPECT_EQ(service.asked[1].headers.get("Authorization"), http::basic_authorization("bob", "two"));
}

TEST_F(Access, an_identity_token_is_exchanged_by_form) {
  ASSERT_TRUE(resolve(name("shop:v1"), keyring(registry.address(), {"", "", "refresh me", ""})));
  ASSERT_EQ(service.asked.size(), 1u);
  EXPECT_EQ(service.asked[0].line, "POST /token");
  EXPECT_EQ(service.asked[0].body,
            "service=here&grant_type=refresh_token&client_id=knative&"
            "scope=repository%3Ashop%3Apull&refresh_token=refresh%20me");
}

TEST_F(Access, what_the_token_service_refuses_is_said_without_the_secret) {
  refuse_tokens = true;
  const Result<Descriptor> found =
      resolve(name("shop:v1"), keyring(registry.address(), {"ada", "hunter2-secret", "", ""}));
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Errc::failed_precondition);
  EXPECT_NE(found.error().detail.find("no such user"), std::string::npos) << found.error().detail;
  EXPECT_EQ(found.error().detail.find("hunter2"), std::string::npos) << found.error().detail;
}

TEST_F(Access, a_registry_that_says_back_what_it_was_told_gives_no_secret_away) {
  const std::string password = "hunter2-secret";
  registry.hook = [&](const http::Request& request) -> std::optional<http::Response> {
    const std::string told(request.headers.get("Authorization").value_or(""));
    if (told.empty()) {
      http::Response response = FakeRegistry::refusal(401, "UNAUTHORIZED", "who are you");
      response.headers.set("WWW-Authenticate", "Basic realm=\"here\"");
      return response;
    }
    return FakeRegistry::refusal(403, "DENIED", told + " and " + password);
  };
  PullOptions how;
  how.credentials = keyring(registry.address(), {"ada", password, "", ""});
  const Result<PulledImage> pulled = pull(name("shop:v1"), how);
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, Errc::failed_precondition);
  EXPECT_NE(pulled.error().detail.find("DENIED"), std::string::npos) << pulled.error().detail;
  EXPECT_EQ(pulled.error().detail.find("hunter2"), std::string::npos) << pulled.error().detail;
  const std::string basic = http::basic_authorization("ada", password).substr(6);
  EXPECT_EQ(pulled.error().detail.find(basic), std::string::npos) << pulled.error().detail;
}

TEST_F(Access, where_a_redirect_leads_sees_no_credentials) {
  FakeRegistry storage(env);
  storage.hook = [](const http::Request&) -> std::optional<http::Response> {
    return http::text("layer");
  };
  const std::string blob = "/v2/shop/blobs/" + Digest::of("layer").to_string();
  registry.hook = [&](const http::Request& request) -> std::optional<http::Response> {
    std::optional<http::Response> refused = guard(request);
    if (refused || request.target != blob) return refused;
    http::Response response = http::text("", 307);
    response.headers.set("Location", storage.url("/bucket/layer?signature=1"));
    return response;
  };
  PullOptions how;
  how.credentials = keyring(registry.address(), {"ada", "secret", "", ""});
  const Result<PulledImage> pulled = pull(name("shop:v1"), how);
  ASSERT_TRUE(pulled) << pulled.error().to_string();
  ASSERT_EQ(storage.asked.size(), 1u);
  EXPECT_FALSE(storage.asked[0].headers.has("Authorization"));
  // Nor does it when it says that it wants some.
  storage.hook = [&](const http::Request&) -> std::optional<http::Response> {
    http::Response response = http::text("", 401);
    response.headers.set("WWW-Authenticate", "Basic realm=\"phishing\"");
    return response;
  };
  store = memory_image_store();
  const Result<PulledImage> phished = pull(name("shop:v1"), how);
  ASSERT_FALSE(phished);
  EXPECT_NE(phished.error().detail.find("from where the registry leads"), std::string::npos)
      << phished.error().detail;
  for (const Asked& asked : storage.asked) EXPECT_FALSE(asked.headers.has("Authorization"));
}

TEST_F(Access, credentials_of_another_place_stay_at_home) {
  RegistryKeyring keys = keyring("other.example", {"ada", "secret", "", ""});
  ASSERT_TRUE(keys.add(registry.address() + "/team", {"bob", "secret", "", ""}));
  ASSERT_TRUE(resolve(name("shop:v1"), keys));
  for (const FakeRegistry* place : {&registry, &service}) {
    for (const Asked& asked : place->asked) {
      EXPECT_FALSE(asked.headers.get("Authorization").value_or("").starts_with("Basic"));
    }
  }
}

TEST_F(Access, secrets_do_not_go_in_clear_text_to_a_token_service_elsewhere) {
  registry.hook = [&](const http::Request&) -> std::optional<http::Response> {
    http::Response response = http::text("", 401);
    response.headers.set("WWW-Authenticate", "Bearer realm=\"http://far.example/token\"");
    return response;
  };
  const Result<Descriptor> found =
      resolve(name("shop:v1"), keyring(registry.address(), {"ada", "secret", "", ""}));
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Errc::failed_precondition);
  EXPECT_NE(found.error().detail.find("does not speak https"), std::string::npos)
      << found.error().detail;
}

TEST_F(Access, what_one_repository_asks_for_is_not_asked_for_another) {
  registry.hook = [this](const http::Request& request) -> std::optional<http::Response> {
    if (!request.target.starts_with("/v2/theirs/")) return std::nullopt;
    http::Response response = http::text("", 401);
    response.headers.set("WWW-Authenticate", "Bearer realm=\"" + service.url("/none") + "\"");
    return response;
  };
  refuse_tokens = true;
  EXPECT_FALSE(resolve(name("theirs:v1")));
  EXPECT_TRUE(resolve(name("shop:v1")));
  registry.hook = [this](const http::Request& request) { return guard(request); };
  refuse_tokens = false;
  EXPECT_TRUE(resolve(name("shop:v1")));
}

TEST_F(Access, endless_challenges_end) {
  registry.hook = [&](const http::Request&) -> std::optional<http::Response> {
    http::Response response = http::text("", 401);
    response.headers.set("WWW-Authenticate", "Bearer realm=\"" + service.url("/token?n=") +
                                                 std::to_string(tokens) + "\"");
    return response;
  };
  const Result<Descriptor> found = resolve(name("shop:v1"));
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Errc::failed_precondition);
  EXPECT_LT(registry.asked.size(), 5u);
}

TEST_F(Access, tokens_that_are_no_header_text_are_refused) {
  for (const std::string_view token : {"", "a b", "a\\r\\nX-Evil: 1", "\\u00e4"}) {
    service.hook = [&](const http::Request&) -> std::optional<http::Response> {
      return http::json_text("{\"token\":\"" + std::string(token) + "\"}");
    };
    const Result<Descriptor> found = resolve(name("shop:v1"));
    ASSERT_FALSE(found) << token;
    EXPECT_EQ(found.error().code, Errc::invalid_argument) << found.error().to_string();
  }
}

TEST_F(Access, a_helper_is_asked_only_when_credentials_are_wanted) {
  int asked = 0;
  sim.add_program("sh", [&](SimProcessContext& context) -> Task<int> {
    ++asked;
    EXPECT_EQ(context.argv().at(4), registry.address());
    EXPECT_EQ(context.argv().at(5), "vault");
    context.write_stdout("{\"ServerURL\":\"x\",\"Username\":\"ada\",\"Secret\":\"of the vault\"}");
    co_return 0;
  });
  options.credentials = RegistryKeyring::parse_docker_config("{\"credsStore\":\"vault\"}").value();
  options.processes = &env.processes;
  ASSERT_TRUE(resolve(name("shop:v1")));
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(service.asked.back().headers.get("Authorization"),
            http::basic_authorization("ada", "of the vault"));
  registry.hook = nullptr;
  ASSERT_TRUE(resolve(name("shop:v1")));
}

TEST_F(Access, helpers_of_a_secret_are_not_run) {
  int asked = 0;
  sim.add_program("sh", [&](SimProcessContext&) -> Task<int> {
    ++asked;
    co_return 0;
  });
  options.processes = &env.processes;
  ASSERT_TRUE(resolve(name("shop:v1"),
                      RegistryKeyring::parse_docker_config("{\"credsStore\":\"evil\"}").value()));
  EXPECT_EQ(asked, 0);
}

}  // namespace
}  // namespace knative::oci::testing
