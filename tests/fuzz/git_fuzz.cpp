// Feeds arbitrary bytes to what is read of git servers and repositories: objects, the refs of an
// advertisement, and the answer to a fetch. The first byte chooses.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engines/builder/git_objects.hpp"
#include "engines/builder/git_protocol.hpp"

namespace {

using namespace knative::builder;

void require(bool holds) {
  if (!holds) std::abort();
}

/// What comes out of a tree may be written to a folder, and is the whole tree.
void tree(std::string_view bytes) {
  const auto entries = git::parse_tree(bytes);
  if (!entries) return;
  std::vector<std::string_view> names;
  std::size_t size = 0;
  for (const git::TreeEntry& entry : *entries) {
    require(!git::is_forbidden_name(entry.name));
    require(entry.name.data() > bytes.data() && entry.name.find('\0') == entry.name.npos);
    require(git::Id::parse(entry.id.hex()) == entry.id);
    names.push_back(entry.name);
    size += entry.name.size() + entry.id.bytes.size();
  }
  require(size <= bytes.size() && entries->empty() == bytes.empty());
  std::sort(names.begin(), names.end());
  require(std::adjacent_find(names.begin(), names.end()) == names.end());
}

void advertisement(std::string_view bytes) {
  const auto remote = git::parse_advertisement(bytes);
  if (!remote) return;
  require(remote->version != 2 || remote->refs.empty());
  for (const git::RemoteRef& ref : remote->refs) {
    require(git::is_full_id(ref.id));
    const auto chosen = git::choose(remote->refs, ref.name);
    require(chosen.has_value() && git::is_full_id(chosen->id));
  }
  (void)git::choose(remote->refs, "");
  (void)git::choose(remote->refs, bytes.substr(0, 20));
  git::UntilFlush request(1 << 20);
  const auto complete = request.add(git::fetch_request({std::string(40, 'a')}, 1, *remote));
  require(complete.has_value() && *complete);
}

/// Refs are read alike in whatever pieces they come.
void refs(std::string_view bytes) {
  const auto whole = git::parse_refs(bytes);
  git::UntilFlush pieces(bytes.size());
  bool complete = false;
  for (std::size_t at = 0; at < bytes.size() && !complete; ++at) {
    complete = pieces.add(bytes.substr(at, 1)).value();
  }
  if (!whole) return;
  require(complete);
  const auto again = git::parse_refs(pieces.text());
  require(again.has_value() && *again == *whole);
  for (const git::RemoteRef& ref : *whole) require(git::is_full_id(ref.id) && !ref.name.empty());
}

struct Heard {
  std::string pack;
  std::vector<std::string> shallow;
  std::string outcome;
  bool operator==(const Heard&) const = default;
};

Heard hear(std::string_view bytes, std::size_t piece, git::AnswerForm form) {
  Heard heard;
  git::FetchResponse response(form, [&heard](std::string_view more) {
    heard.pack.append(more);
    return knative::Result<void>();
  });
  knative::Result<void> fed;
  while (fed && !bytes.empty()) {
    fed = response.feed(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  if (fed) fed = response.finish();
  heard.shallow = response.shallow();
  heard.outcome = fed ? "" : fed.error().detail;
  return heard;
}

/// An answer means the same in whatever pieces it comes.
void answer(std::string_view bytes, git::AnswerForm form) {
  const Heard whole = hear(bytes, bytes.size(), form);
  require(hear(bytes, 1, form) == whole);
  require(hear(bytes, 7, form) == whole);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0]) {
    case 't': tree(bytes); break;
    case 'c': (void)git::parse_commit(bytes); break;
    case 'g': (void)git::parse_tag(bytes); break;
    case 'a': advertisement(bytes); break;
    case 'b': answer(bytes, {}); break;
    case 's': answer(bytes, {.shallow_lines = true}); break;
    case 'v': answer(bytes, {.sections = true}); break;
    case 'r': refs(bytes); break;
    default: answer(bytes, {.side_band = false, .shallow_lines = (data[0] & 1) != 0}); break;
  }
  return 0;
}
