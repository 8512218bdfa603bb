// Git's wire format as far as fetching one commit needs it (protocol versions 0 to 2, see
// gitprotocol-pack, gitprotocol-v2 and gitprotocol-http), and the choice of what a revision means.
// Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
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

// What a server says first. One of version 2 shows no refs before it is asked for them.
struct Advertisement {
  int version = 0;  // 0 and 1 differ in nothing but a line that says so
  std::vector<RemoteRef> refs;
  std::map<std::string, std::string, std::less<>> capabilities;  // what follows "=", else empty
  bool can(std::string_view capability) const;
  // Whether one of the blank-separated words behind a capability is this one.
  bool can(std::string_view capability, std::string_view feature) const;
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

// The refs that a revision may mean, the likeliest first.
std::vector<std::string> names_of(std::string_view revision);

// The commit id that a revision is, in small letters; none when it is not a full one.
std::optional<std::string> full_id(std::string_view revision);

// One packet line: length in four hex digits, then the payload. "0000" is a flush.
std::string packet(std::string_view payload);
inline constexpr std::string_view flush_packet = "0000";

// Collects packets up to the first flush.
class UntilFlush {
 public:
  explicit UntilFlush(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  // Whether the flush has come; what is no packet ends it, too, for the parser to refuse.
  Result<bool> add(std::string_view bytes);
  const std::string& text() const { return text_; }

 private:
  std::size_t bytes_max_;
  std::string text_;
  std::size_t seen_ = 0;  // of whole packets
};

// Parse what a server says first: the body of GET info/refs?service=git-upload-pack, or what comes
// over a connection up to the first flush. A repository without refs has none.
Result<Advertisement> parse_advertisement(std::string_view body);

// Version 2: ask for the refs whose names begin with one of these.
std::string refs_request(const std::vector<std::string>& prefixes, const Advertisement& remote);
// The answer to it, its flush included.
Result<std::vector<RemoteRef>> parse_refs(std::string_view body);

// The body of POST git-upload-pack, and what is sent over a connection. `depth` 0 asks for the
// whole history.
std::string fetch_request(const std::vector<std::string>& wants, int depth,
                          const Advertisement& remote);

// Which parts the answer to a fetch has.
struct AnswerForm {
  bool sections = false;  // of version 2; then the others do not matter
  bool side_band = true;
  bool shallow_lines = false;
  static AnswerForm of(const Advertisement& remote, int depth);
};

// Takes the answer to `fetch_request` piece by piece and hands on the bytes of the pack.
class FetchResponse {
 public:
  using Sink = std::function<Result<void>(std::string_view)>;
  FetchResponse(AnswerForm form, Sink pack);

  Result<void> feed(std::string_view bytes);
  // Whether the answer is complete; one without side band ends with its connection.
  bool ended() const { return ended_; }
  // Call at the end of the body; fails when the answer was cut short or had no pack.
  Result<void> finish() const;
  // Ids that the server cut history at.
  const std::vector<std::string>& shallow() const { return shallow_; }

 private:
  enum class Stage { section, shallow_lines, other_lines, acknowledgement, pack };
  Result<void> line(std::string_view payload);
  Result<void> shallow_line(std::string_view text);
  Result<void> special(std::size_t length);
  Result<void> side_band(std::string_view payload);

  AnswerForm form_;
  Sink pack_;
  Stage stage_;
  std::string buffer_;
  std::vector<std::string> shallow_;
  std::uint64_t pack_bytes_ = 0;
  bool ended_ = false;
};

}  // namespace knative::builder::git
