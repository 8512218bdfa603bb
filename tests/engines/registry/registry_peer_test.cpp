// Our client and the distribution project's registry, with images that other tools made.
#include "engines/registry/registry_peer.hpp"

namespace knative::oci::testing {
namespace {

using Peer = RegistryPeerTest;

class TokenPeer : public RegistryPeerTest {
 protected:
  void start_with_tokens(int lifetime_seconds) {
    token_service =
        spawn({"python3", testing_paths::source() + "/tests/engines/registry/token_server.py",
               folder.path(), "ada", "open-sesame", std::to_string(lifetime_seconds)},
              token_port);
    ASSERT_TRUE(wait_for([this] { return token_port.find('\n') != token_port.npos; }));
    token_port.resize(token_port.find('\n'));
    start("auth: {token: {realm: \"http://127.0.0.1:" + token_port +
          "/token\", service: test, issuer: test, rootcertbundle: " + folder / "token.crt" +
          "}}\n");
  }
  std::string token_port;
  std::unique_ptr<Process> token_service;
};

TEST_F(Peer, an_image_is_pulled_without_credentials) {
  start();
  make_image();
  shell("skopeo copy --dest-tls-verify=false oci:made:v1 docker://" + at("team/shop:v1"));
  const Result<PulledImage> pulled = pull(at("team/shop:v1"));
  ASSERT_TRUE(pulled) << pulled.error().to_string();
  expect_same(*pulled, at("team/shop:v1"));
  const Result<PulledImage> again = pull(at("team/shop:v1"));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->bytes_fetched, 0u + again->root.size_bytes);
}

TEST_F(Peer, dockers_schema_2_stays_what_it_is) {
  start();
  make_image();
  shell("skopeo copy --format v2s2 --dest-tls-verify=false oci:made:v1 docker://" + at("shop:v1"));
  const Result<PulledImage> pulled = pull(at("shop:v1"));
  ASSERT_TRUE(pulled) << pulled.error().to_string();
  EXPECT_EQ(pulled->root.media_type, "application/vnd.docker.distribution.manifest.v2+json");
  expect_same(*pulled, at("shop:v1"));
}

TEST_F(Peer, what_is_not_there_is_said_in_the_registrys_words) {
  start();
  const Result<PulledImage> pulled = pull(at("team/none:v9"));
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, Errc::not_found);
  EXPECT_NE(pulled.error().detail.find("team/none"), std::string::npos) << pulled.error().detail;
  EXPECT_NE(pulled.error().detail.find("MANIFEST_UNKNOWN"), std::string::npos)
      << pulled.error().detail;
}

TEST_F(Peer, basic_authentication) {
  shell("htpasswd -Bbn ada open-sesame >htpasswd");
  start("auth: {htpasswd: {realm: test, path: " + folder / "htpasswd" + "}}\n");
  make_image();
  shell("skopeo copy --dest-creds ada:open-sesame --dest-tls-verify=false oci:made:v1 docker://" +
        at("shop:v1"));
  const Result<PulledImage> stranger = pull(at("shop:v1"));
  ASSERT_FALSE(stranger);
  EXPECT_EQ(stranger.error().code, Errc::failed_precondition);
  EXPECT_NE(stranger.error().detail.find("there are no credentials"), std::string::npos)
      << stranger.error().detail;
  PullOptions wrong;
  wrong.credentials = keyring(address(), {"ada", "close-sesame", "", ""});
  const Result<PulledImage> refused = pull(at("shop:v1"), wrong);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::failed_precondition);
  EXPECT_EQ(refused.error().detail.find("close-sesame"), std::string::npos);
  PullOptions several;  // the first one that fits is wrong
  several.credentials = wrong.credentials;
  ASSERT_TRUE(several.credentials.add(address(), {"ada", "open-sesame", "", ""}));
  const Result<PulledImage> pulled = pull(at("shop:v1"), several);
  ASSERT_TRUE(pulled) << pulled.error().to_string();
  expect_same(*pulled, at("shop:v1"), "--creds ada:open-sesame --tls-verify=false");
}

TEST_F(Peer, tls_of_a_private_authority) {
  const WallTime now = env().timers.wall();
  const tls::Authority authority = tls::Authority::create({}, now).value();
  tls::LeafOptions leaf;
  leaf.names = {"127.0.0.1"};
  leaf.key_type = tls::KeyType::p256;
  const tls::Identity identity = authority.issue(leaf, now).value();
  std::ofstream(folder / "server.crt") << identity.certificates;
  std::ofstream(folder / "server.key") << identity.private_key;
  std::ofstream(folder / "ca.crt") << authority.certificate();
  start("", "  tls: {certificate: " + folder / "server.crt" + ", key: " + folder / "server.key" +
                "}\n");
  make_image();
  shell("skopeo copy --dest-tls-verify=false oci:made:v1 docker://" + at("shop:v1"));
  const Result<PulledImage> stranger = pull(at("shop:v1"));
  ASSERT_FALSE(stranger);
  EXPECT_EQ(stranger.error().code, Errc::failed_precondition) << stranger.error().to_string();
  http::OutboundOptions trusting;
  trusting.tls.trust = {false, authority.certificate()};
  http::Outbound other(env().executor, env().timers, env().network, trusting);
  options.hosts[address()].outbound = &other;
  RegistryClient believer(*outbound, env().timers, env().random, env().disk, options);
  const Reference name = name_of(at("shop:v1"));
  const Result<PulledImage> pulled = loop.run(believer.pull(name, store));
  ASSERT_TRUE(pulled) << pulled.error().to_string();
  expect_same(*pulled, at("shop:v1"));
}

TEST_F(TokenPeer, bearer_tokens_for_strangers_and_for_those_it_knows) {
  start_with_tokens(300);
  make_image();
  for (const char* name : {"open/shop:v1", "team/shop:v1"}) {
    shell("skopeo copy --dest-creds ada:open-sesame --dest-tls-verify=false oci:made:v1 docker://" +
          at(name));
  }
  const Result<PulledImage> open = pull(at("open/shop:v1"));
  ASSERT_TRUE(open) << open.error().to_string();
  expect_same(*open, at("open/shop:v1"));
  const Result<PulledImage> stranger = pull(at("team/shop:v1"));
  ASSERT_FALSE(stranger);
  EXPECT_EQ(stranger.error().code, Errc::failed_precondition) << stranger.error().detail;
  for (const RegistryCredential& credential : {RegistryCredential{"ada", "open-sesame", "", ""},
                                               RegistryCredential{"", "", "open-sesame", ""}}) {
    store = memory_image_store();
    PullOptions how;
    how.credentials = keyring(address(), credential);
    const Result<PulledImage> pulled = pull(at("team/shop:v1"), how);
    ASSERT_TRUE(pulled) << pulled.error().to_string();
  }
  PullOptions wrong;
  wrong.credentials = keyring(address(), {"ada", "close-sesame", "", ""});
  const Result<PulledImage> refused = pull(at("team/shop:v1"), wrong);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::failed_precondition);
  EXPECT_NE(refused.error().detail.find("token service 127.0.0.1"), std::string::npos)
      << refused.error().detail;
  EXPECT_EQ(refused.error().detail.find("close-sesame"), std::string::npos);
}

}  // namespace
}  // namespace knative::oci::testing
