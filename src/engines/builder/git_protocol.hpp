// Git's wire format as far as fetching one commit needs it (protocol version 0, see
// gitprotocol-pack and gitprotocol-http), and the choice of what a revision means. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"

namespace knative::builder::git {

struct RemoteRef {
  std::string name;  // "HEAD", "refs/heads/main", "refs/tags/v1", "refs/tags/v1^{}"
  std::string id;    // 40 hex digits
  friend bool operator==(const RemoteRef&, const RemoteRef&) = default;
};

struct Advertisement {
  std::vector<RemoteRef> refs;
  std::string capabilities;  // blank-separated
  bool can(std::string_view capability) const;
};

// What a revision means among the refs of a remote.
struct Choice {
  std::string ref;  // a ref to fetch; empty when only a commit id is known
  std::string id;   // full id of `ref`, or the (possibly short) commit id
};

bool is_hex(std::string_view text);
bool is_full_id(std::string_view text);

// Refs are looked up as git does (the name itself, then below refs/, tags, heads, remotes); an
// empty revision is the remote's HEAD; what is no ref but at least four hex digits is a commit.
Result<Choice> choose(const std::vector<RemoteRef>& refs, std::string_view revision);

// One packet line: length in four hex digits, then the payload. "0000" is a flush.
std::string packet(std::string_view payload);
inline constexpr std::string_view flush_packet = "0000";

// Whether `text`, from its beginning, holds a whole flush after any number of whole packets.
bool holds_flush(std::string_view text);

// Parse what a server says first: the body of GET info/refs?service=git-upload-pack, or what comes
// over git://. A repository without refs has none.
Result<Advertisement> parse_advertisement(std::string_view body);

// The body of POST git-upload-pack, and what is sent over git://. `depth` 0 asks for the whole
// history.
std::string fetch_request(const std::vector<std::string>& wants, int depth,
                          const Advertisement& remote);

// Takes the answer to `fetch_request` piece by piece and hands on the bytes of the pack.
class FetchResponse {
 public:
  using Sink = std::function<Result<void>(std::string_view)>;
  FetchResponse(bool side_band, Sink pack) : side_band_(side_band), pack_(std::move(pack)) {}

  Result<void> feed(std::string_view bytes);
  // Call at the end of the body; fails when the answer was cut short or had no pack.
  Result<void> finish() const;
  // Ids that the server cut history at.
  const std::vector<std::string>& shallow() const { return shallow_; }
  // What the server said in its progress channel, its last line.
  const std::string& remark() const { return remark_; }

 private:
  enum class Stage { shallow_lines, acknowledgement, pack };
  Result<void> line(std::string_view payload);
  Result<void> side_band(std::string_view payload);

  bool side_band_;
  Sink pack_;
  Stage stage_ = Stage::acknowledgement;
  std::string buffer_;
  std::vector<std::string> shallow_;
  std::string remark_;
  std::uint64_t pack_bytes_ = 0;
  bool ended_ = false;

 public:
  void expect_shallow_lines() { stage_ = Stage::shallow_lines; }
};

}  // namespace knative::builder::git
