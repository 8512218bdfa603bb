// Certificates: read, described, issued.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "knative/tls.hpp"

namespace knative::tls {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

const WallTime now{std::chrono::seconds(1'767'225'600)};  // 2026-01-01

Authority authority() { return Authority::create({}, now).value(); }

TEST(TlsCertificates, AnAuthorityAndItsLeavesSayWhatTheyAre) {
  const Authority made = authority();
  const CertificateInfo own = inspect(made.certificate()).value().at(0);
  EXPECT_EQ(own.subject, "CN=knative local authority");
  EXPECT_EQ(own.issuer, own.subject);
  EXPECT_EQ(own.not_before, now - 1h);
  EXPECT_EQ(own.not_after, now + 24h * 3650);
  EXPECT_TRUE(own.names.empty());

  LeafOptions leaf;
  leaf.names = {"a.example", "*.b.example", "10.0.0.1", "::1", "2001:db8::7:0:1", "spiffe://x/y"};
  leaf.lifetime = 48h;
  const Identity identity = made.issue(leaf, now).value();
  const CertificateInfo info = inspect(identity.certificates).value().at(0);
  EXPECT_EQ(info.subject, "CN=a.example");
  EXPECT_EQ(info.issuer, own.subject);
  EXPECT_EQ(info.names, leaf.names);
  EXPECT_EQ(info.not_before, now - 1h);
  EXPECT_EQ(info.not_after, now + 48h);
  EXPECT_EQ(info.key, "Ed25519");
  EXPECT_NE(info.sha256, inspect(made.issue(leaf, now)->certificates)->at(0).sha256);
  EXPECT_EQ(identity.certificates.find("PRIVATE"), std::string::npos);
}

TEST(TlsCertificates, KeysOfBothKindsAreMade) {
  AuthorityOptions options;
  options.key_type = KeyType::p256;
  const Authority made = Authority::create(options, now).value();
  EXPECT_EQ(inspect(made.certificate())->at(0).key, "EC P-256");
  LeafOptions leaf;
  leaf.names = {"a"};
  leaf.key_type = KeyType::p256;
  EXPECT_EQ(inspect(made.issue(leaf, now)->certificates)->at(0).key, "EC P-256");
}

TEST(TlsCertificates, AnAuthorityThatWasKeptGoesOn) {
  const Authority again = Authority::from(authority().identity()).value();
  LeafOptions leaf;
  leaf.names = {"a"};
  const Identity identity = again.issue(leaf, now).value();
  EXPECT_THAT(Authority::from(identity).error().detail, HasSubstr("CN=a is no authority"));
  const Identity mixed{again.certificate(), identity.private_key};
  EXPECT_THAT(Authority::from(mixed).error().detail, HasSubstr("does not belong"));
}

TEST(TlsCertificates, ALeafEndsNoLaterThanItsAuthority) {
  AuthorityOptions options;
  options.lifetime = 24h;
  const Authority made = Authority::create(options, now).value();
  LeafOptions leaf;
  leaf.names = {"a"};
  EXPECT_EQ(inspect(made.issue(leaf, now)->certificates)->at(0).not_after, now + 24h);
  EXPECT_THAT(made.issue(leaf, now + 25h).error().detail, HasSubstr("has expired"));
}

TEST(TlsCertificates, OptionsThatCannotBeIssuedAreNamed) {
  const Authority made = authority();
  const auto problem = [&](std::vector<std::string> names, std::string common_name = {},
                           Duration lifetime = 1h) {
    LeafOptions leaf;
    leaf.names = std::move(names);
    leaf.common_name = std::move(common_name);
    leaf.lifetime = lifetime;
    Result<Identity> issued = made.issue(leaf, now);
    return issued ? std::string() : issued.error().to_string();
  };
  EXPECT_THAT(problem({}), HasSubstr("names: there is none"));
  for (const char* name : {"", "a b", "a..b", ".a", "*", "a.*.b", "-\n", "http://a b"}) {
    EXPECT_THAT(problem({"ok", name}), HasSubstr("names: ")) << name;
  }
  EXPECT_THAT(problem({"a"}, std::string(65, 'c')), HasSubstr("common_name: "));
  EXPECT_THAT(problem({"a"}, {}, 0h), HasSubstr("lifetime: "));
  EXPECT_THAT(problem({"a"}, {}, -1h), HasSubstr("lifetime: "));
  // A name too long for a common name is a name all the same.
  EXPECT_EQ(problem({std::string(60, 'a') + "." + std::string(60, 'b')}), "");
  AuthorityOptions unnamed;
  unnamed.common_name = "";
  EXPECT_THAT(Authority::create(unnamed, now).error().detail, HasSubstr("common_name: "));
}

TEST(TlsCertificates, SerialNumbersAndSizesAreOfOneLength) {
  const Authority made = authority();
  LeafOptions leaf;
  leaf.names = {"a.example"};
  const std::size_t size = made.issue(leaf, now)->certificates.size();
  for (int i = 0; i < 200; ++i) EXPECT_EQ(made.issue(leaf, now)->certificates.size(), size);
}

TEST(TlsCertificates, ABundleIsReadInOrderAndDamageIsCounted) {
  const std::string a = authority().certificate();
  AuthorityOptions other;
  other.common_name = "b";
  const std::string b = Authority::create(other, now)->certificate();
  const auto both = inspect("# a comment\n" + a + "\nbetween\n" + b).value();
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[1].subject, "CN=b");
  std::string damaged = a + b;
  damaged[a.size() + 100] = damaged[a.size() + 100] == 'A' ? 'B' : 'A';
  damaged.erase(a.size() + 120, 7);
  EXPECT_THAT(inspect(damaged).error().detail, HasSubstr("certificate 2 is damaged"));
  EXPECT_THAT(inspect("").error().detail, HasSubstr("no PEM text"));
  EXPECT_THAT(inspect(a.substr(0, a.size() / 2)).error().code, Errc::invalid_argument);
}

TEST(TlsCertificates, AnEncryptedKeyIsRefusedWithoutAskingAnybody) {
  constexpr const char* encrypted =
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
      "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAj7UQzp55sNIAICCAAw\n"
      "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEED9SDSRfFJZlmRDPrqwf3UsEQM5K\n"
      "TsYPvjYUn4mTrJL9FvuxFS5rYgCQMIo2cFrxZcFPyqybMAZprsIQjdjN9o+7DpzP\n"
      "1yk6DN6DgwGeNNWzNW4=\n"
      "-----END ENCRYPTED PRIVATE KEY-----\n";
  const Identity identity{authority().certificate(), encrypted};
  const std::string problem = Authority::from(identity).error().detail;
  EXPECT_THAT(problem, HasSubstr("private_key: it is encrypted"));
  EXPECT_THAT(problem, Not(HasSubstr("MIGb")));
}

TEST(TlsCertificates, NamesOfVersionsAreTheProtocolsOwn) {
  EXPECT_EQ(to_string(Version::tls_1_2), "TLSv1.2");
  EXPECT_EQ(to_string(Version::tls_1_3), "TLSv1.3");
}

}  // namespace
}  // namespace knative::tls
