// Git's wire format: what servers say first, what they are asked for, and what comes.
#include "engines/builder/git_protocol.hpp"

#include <gtest/gtest.h>

namespace knative::builder::git {
namespace {

TEST(GitProtocol, ParsesAnAdvertisement) {
  const std::string id(40, 'a');
  const std::string body = packet("# service=git-upload-pack\n") + std::string(flush_packet) +
                           packet(id + " HEAD" + std::string(1, '\0') + "side-band-64k shallow\n") +
                           packet(id + " refs/heads/main\n") + std::string(flush_packet);
  const Advertisement parsed = parse_advertisement(body).value();
  ASSERT_EQ(parsed.refs.size(), 2u);
  EXPECT_EQ(parsed.refs[1], (RemoteRef{"refs/heads/main", id}));
  EXPECT_TRUE(parsed.can("shallow"));
  EXPECT_FALSE(parsed.can("side-band"));
  for (std::size_t cut = 1; cut < body.size(); ++cut) {
    (void)parse_advertisement(body.substr(0, cut));  // whatever it says, it must not crash
  }
  EXPECT_FALSE(parse_advertisement("zzzz"));
  EXPECT_FALSE(parse_advertisement("0001"));
  EXPECT_FALSE(parse_advertisement(packet(id + " " + std::string(1, '\0') + "shallow\n")));
  EXPECT_EQ(parse_advertisement(packet("ERR access denied")).error().code, Errc::not_found);
}

TEST(GitProtocol, TakesTheAnswerInPiecesOfAnySize) {
  const std::string id(40, 'b');
  const std::string body = packet("shallow " + id + "\n") + std::string(flush_packet) +
                           packet("NAK\n") +
                           packet(
                               "\x02"
                               "Counting\n") +
                           packet("\x01PACK") + packet("\x01rest") + std::string(flush_packet);
  for (std::size_t size = 1; size <= body.size(); ++size) {
    std::string pack;
    FetchResponse response({.shallow_lines = true},
                           [&pack](std::string_view bytes) -> Result<void> {
                             pack.append(bytes);
                             return {};
                           });
    for (std::size_t at = 0; at < body.size(); at += size) {
      ASSERT_TRUE(response.feed(std::string_view(body).substr(at, size)));
    }
    ASSERT_TRUE(response.finish());
    EXPECT_EQ(pack, "PACKrest");
    EXPECT_EQ(response.shallow(), std::vector<std::string>{id});
  }
}

TEST(GitProtocol, WithoutSideBandNoByteBesideTheAcknowledgementIsLost) {
  const std::string body = packet("NAK\n") + "PACKrest";
  for (std::size_t size = 1; size <= body.size(); ++size) {
    std::string pack;
    FetchResponse response({.side_band = false}, [&pack](std::string_view bytes) -> Result<void> {
      pack.append(bytes);
      return {};
    });
    for (std::size_t at = 0; at < body.size(); at += size) {
      ASSERT_TRUE(response.feed(std::string_view(body).substr(at, size)));
    }
    ASSERT_TRUE(response.finish());
    EXPECT_EQ(pack, "PACKrest") << size;
  }
}

TEST(GitProtocol, ServerErrorsComeThrough) {
  FetchResponse response({}, [](std::string_view) -> Result<void> { return {}; });
  const Result<void> fed = response.feed(packet("NAK\n") + packet("\x03"
                                                                  "out of memory\n"));
  ASSERT_FALSE(fed);
  EXPECT_NE(fed.error().detail.find("out of memory"), std::string::npos);
  FetchResponse silent({}, [](std::string_view) -> Result<void> { return {}; });
  ASSERT_TRUE(silent.feed(packet("NAK\n")));
  EXPECT_FALSE(silent.finish()) << "no pack came";
}

TEST(GitProtocol, Version2SaysWhatItCan) {
  const std::string body = packet("# service=git-upload-pack\n") + std::string(flush_packet) +
                           packet("version 2\n") + packet("agent=git/2.39\n") +
                           packet("ls-refs=unborn\n") + packet("fetch=shallow wait-for-done\n") +
                           packet("object-format=sha1\n") + std::string(flush_packet);
  const Advertisement parsed = parse_advertisement(body).value();
  EXPECT_EQ(parsed.version, 2);
  EXPECT_TRUE(parsed.refs.empty());
  EXPECT_TRUE(parsed.can("fetch", "shallow"));
  EXPECT_FALSE(parsed.can("fetch", "filter"));
  EXPECT_FALSE(parsed.can("server-option"));
  const std::string id(40, 'c');
  EXPECT_EQ(refs_request({"HEAD", "refs/heads/x"}, parsed),
            packet("command=ls-refs\n") + packet("agent=knative/0.1\n") +
                packet("object-format=sha1\n") + "0001" + packet("ref-prefix HEAD\n") +
                packet("ref-prefix refs/heads/x\n") + "0000");
  EXPECT_EQ(fetch_request({id}, 1, parsed),
            packet("command=fetch\n") + packet("agent=knative/0.1\n") +
                packet("object-format=sha1\n") + "0001" + packet("ofs-delta\n") +
                packet("no-progress\n") + packet("deepen 1\n") + packet("want " + id + "\n") +
                packet("done\n") + "0000");
}

TEST(GitProtocol, ARepositoryOfAnotherHashIsRefused) {
  const std::string said = packet("version 2\n") + packet("ls-refs\n") + packet("fetch=shallow\n");
  EXPECT_TRUE(parse_advertisement(said + "0000"));
  const Result<Advertisement> other =
      parse_advertisement(said + packet("object-format=sha256\n") + "0000");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Errc::unimplemented);
  EXPECT_FALSE(parse_advertisement(packet("version 2\n") + packet("fetch\n") + "0000"));
}

TEST(GitProtocol, RefsEndAtTheirFlush) {
  const std::string id(40, 'd');
  const std::string body = packet(id + " HEAD symref-target:refs/heads/main\n") +
                           packet(id + " refs/tags/v1\n") + std::string(flush_packet);
  EXPECT_EQ(parse_refs(body).value(), (std::vector<RemoteRef>{{"HEAD", id}, {"refs/tags/v1", id}}));
  for (std::size_t cut = 0; cut < body.size(); ++cut) EXPECT_FALSE(parse_refs(body.substr(0, cut)));
  EXPECT_EQ(parse_refs(packet("ERR go away\n")).error().detail, "the server said: go away");
  UntilFlush pieces(body.size());
  for (std::size_t at = 0; at < body.size(); ++at) {
    EXPECT_EQ(pieces.add(body.substr(at, 1)).value(), at + 1 == body.size());
  }
  UntilFlush little(body.size() - 1);
  EXPECT_EQ(little.add(body).error().code, Errc::resource_exhausted);
}

TEST(GitProtocol, TheSectionsOfVersion2InPiecesOfAnySize) {
  const std::string id(40, 'e');
  const std::string body = packet("shallow-info\n") + packet("shallow " + id + "\n") + "0001" +
                           packet("wanted-refs\n") + packet(id + " refs/heads/main\n") + "0001" +
                           packet("packfile\n") + packet("\x01PACK") +
                           packet(
                               "\x02"
                               "Counting\n") +
                           packet("\x01rest") + std::string(flush_packet);
  for (std::size_t size = 1; size <= body.size(); ++size) {
    std::string pack;
    FetchResponse response({.sections = true}, [&pack](std::string_view bytes) -> Result<void> {
      pack.append(bytes);
      return {};
    });
    for (std::size_t at = 0; at < body.size(); at += size) {
      EXPECT_FALSE(response.ended());
      ASSERT_TRUE(response.feed(std::string_view(body).substr(at, size)));
    }
    EXPECT_TRUE(response.ended());
    ASSERT_TRUE(response.finish());
    EXPECT_EQ(pack, "PACKrest");
    EXPECT_EQ(response.shallow(), std::vector<std::string>{id});
  }
  FetchResponse refused({.sections = true}, [](std::string_view) -> Result<void> { return {}; });
  const Result<void> fed = refused.feed(packet("ERR upload-pack: not our ref " + id));
  EXPECT_EQ(fed.error().code, Errc::not_found);
}

}  // namespace
}  // namespace knative::builder::git
