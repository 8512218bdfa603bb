#include "engines/builder/git_protocol.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace knative::builder::git {

namespace {

constexpr std::size_t id_digits = 40;
constexpr std::size_t short_id_digits_min = 4;
constexpr std::size_t packet_bytes_max = 65520;
constexpr std::size_t refs_shown_max = 8;
constexpr std::size_t shallow_max = 1'000'000;
constexpr std::string_view delimiter_packet = "0001";
constexpr std::string_view agent = "agent=knative/0.1";

std::optional<std::size_t> packet_length(std::string_view digits) {
  std::size_t length = 0;
  for (const char c : digits.substr(0, 4)) {
    const bool digit = c >= '0' && c <= '9';
    const bool letter = (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (!digit && !letter) return std::nullopt;
    length = length * 16 + static_cast<std::size_t>(digit ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return length;
}

std::string_view without_newline(std::string_view text) {
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text;
}

std::string_view next_word(std::string_view& rest) {
  const std::size_t end = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return word;
}

void add_capability(Advertisement& remote, std::string_view text) {
  const std::size_t equals = std::min(text.find('='), text.size());
  remote.capabilities.insert_or_assign(std::string(text.substr(0, equals)),
                                       text.substr(std::min(equals + 1, text.size())));
}

// Server text that ends up in an error: one line, printable.
std::string printable(std::string_view text) {
  std::string result;
  for (const char c : text.substr(0, 400)) {
    result.push_back(static_cast<unsigned char>(c) < 32 || c == 127 ? ' ' : c);
  }
  while (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

std::string small_letters(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
  return result;
}

Error malformed(std::string_view why) {
  return fail(Errc::invalid_argument,
              "the server's answer is not git's protocol: " + std::string(why));
}

const RemoteRef* find_ref(const std::vector<RemoteRef>& refs, std::string_view name) {
  for (const RemoteRef& ref : refs) {
    if (ref.name == name) return &ref;
  }
  return nullptr;
}

Error unknown_revision(const std::vector<RemoteRef>& refs, std::string_view revision) {
  std::string detail = "revision \"" + printable(revision) + "\" does not exist; the remote has";
  std::size_t shown = 0;
  for (const RemoteRef& ref : refs) {
    const std::string_view name = ref.name;
    const bool branch = name.substr(0, 11) == "refs/heads/";
    const bool tag = name.substr(0, 10) == "refs/tags/" && name.find('^') == name.npos;
    if (!branch && !tag) continue;
    if (++shown > refs_shown_max) continue;
    detail.append(shown > 1 ? ", " : branch ? " branch " : " tag ");
    if (shown > 1) detail.append(branch ? "branch " : "tag ");
    detail.append(printable(name.substr(branch ? 11 : 10)));
  }
  if (shown == 0) detail += " no branches or tags";
  if (shown > refs_shown_max) {
    detail += " and " + std::to_string(shown - refs_shown_max) + " more";
  }
  return fail(Errc::not_found, detail);
}

}  // namespace

bool Advertisement::can(std::string_view capability) const {
  return capabilities.contains(capability);
}

bool Advertisement::can(std::string_view capability, std::string_view feature) const {
  const auto found = capabilities.find(capability);
  if (found == capabilities.end()) return false;
  std::string_view rest = found->second;
  while (!rest.empty()) {
    if (next_word(rest) == feature) return true;
  }
  return false;
}

bool is_hex(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_full_id(std::string_view text) { return text.size() == id_digits && is_hex(text); }

std::vector<std::string> names_of(std::string_view revision) {
  const std::string name(revision.empty() ? "HEAD" : revision);
  return {name, "refs/" + name, "refs/tags/" + name, "refs/heads/" + name, "refs/remotes/" + name};
}

std::optional<std::string> full_id(std::string_view revision) {
  std::string id = small_letters(revision);
  if (!is_full_id(id)) return std::nullopt;
  return id;
}

Result<Choice> choose(const std::vector<RemoteRef>& refs, std::string_view revision) {
  if (refs.empty()) {
    return fail(Errc::not_found, "the repository is empty: it has no branches or tags");
  }
  for (const std::string& candidate : names_of(revision)) {
    if (const RemoteRef* ref = find_ref(refs, candidate)) return Choice{ref->name, ref->id};
  }
  const std::string id = small_letters(revision);
  if (is_hex(id) && id.size() >= short_id_digits_min && id.size() <= id_digits) {
    for (const RemoteRef& ref : refs) {
      if (ref.id == id && ref.name.find('^') == std::string::npos) return Choice{ref.name, id};
    }
    return Choice{"", id};
  }
  return unknown_revision(refs, revision);
}

std::string packet(std::string_view payload) {
  std::array<char, 8> digits;
  std::snprintf(digits.data(), digits.size(), "%04x", static_cast<unsigned>(payload.size() + 4));
  return std::string(digits.data(), 4).append(payload);
}

Result<bool> UntilFlush::add(std::string_view bytes) {
  if (bytes.size() > bytes_max_ - text_.size()) {
    return fail(Errc::resource_exhausted, "the repository has too many refs");
  }
  text_.append(bytes);
  while (text_.size() - seen_ >= 4) {
    const std::optional<std::size_t> length = packet_length(std::string_view(text_).substr(seen_));
    if (!length || *length == 0) return true;
    const std::size_t whole = std::max<std::size_t>(*length, 4);
    if (whole > text_.size() - seen_) return false;
    seen_ += whole;
  }
  return false;
}

namespace {

// The payloads of a text of whole packets, without their line ends.
class Packets {
 public:
  explicit Packets(std::string_view text) : rest_(text) {}
  bool at_end() const { return rest_.empty(); }
  // The next one; none at a flush.
  Result<std::optional<std::string_view>> next() {
    if (rest_.size() < 4) return malformed("a packet is cut short");
    const std::optional<std::size_t> length = packet_length(rest_);
    if (!length || (*length > 0 && *length < 4)) return malformed("a packet has no length");
    if (*length == 0) {
      rest_.remove_prefix(4);
      return std::optional<std::string_view>();
    }
    if (*length > rest_.size()) return malformed("a packet is cut short");
    const std::string_view payload = without_newline(rest_.substr(4, *length - 4));
    rest_.remove_prefix(*length);
    if (payload.starts_with("ERR ")) {
      return fail(Errc::not_found, "the server said: " + printable(payload.substr(4)));
    }
    return std::optional<std::string_view>(payload);
  }

 private:
  std::string_view rest_;
};

// "ID NAME", perhaps with more behind a blank.
Result<RemoteRef> parse_ref(std::string_view line) {
  if (line.size() < id_digits + 2 || line[id_digits] != ' ' ||
      !is_full_id(line.substr(0, id_digits))) {
    return malformed("a line is no ref");
  }
  return RemoteRef{std::string(line.substr(id_digits + 1)), std::string(line.substr(0, id_digits))};
}

// The first of them brings the capabilities along.
Result<void> add_ref(Advertisement& remote, std::string_view line, bool first) {
  const std::size_t zero = first ? line.find('\0') : line.npos;
  Result<RemoteRef> ref = parse_ref(line.substr(0, zero));
  if (!ref) return ref.error();
  if (zero != line.npos) {
    std::string_view rest = line.substr(zero + 1);
    while (!rest.empty()) {
      const std::string_view word = next_word(rest);
      if (!word.empty()) add_capability(remote, word);
    }
  }
  if (ref->name != "capabilities^{}") remote.refs.push_back(std::move(*ref));
  return {};
}

// What every request of version 2 begins with.
std::string command(std::string_view name, const Advertisement& remote) {
  std::string text = packet("command=" + std::string(name) + "\n");
  if (remote.can("agent")) text += packet(std::string(agent) + "\n");
  if (remote.can("object-format")) text += packet("object-format=sha1\n");
  return text.append(delimiter_packet);
}

}  // namespace

Result<Advertisement> parse_advertisement(std::string_view body) {
  if (body.empty()) return malformed("it is empty");
  Advertisement result;
  Packets packets(body);
  bool first = true;
  while (!packets.at_end()) {
    const Result<std::optional<std::string_view>> payload = packets.next();
    if (!payload) return payload.error();
    if (!*payload || (*payload)->starts_with('#')) continue;
    const std::string_view line = **payload;
    if (first && result.version == 0 && (line == "version 1" || line == "version 2")) {
      result.version = line.back() - '0';
      continue;
    }
    if (result.version == 2) {
      add_capability(result, line);
      continue;
    }
    if (Result<void> added = add_ref(result, line, first); !added) return added.error();
    first = false;
  }
  const auto format = result.capabilities.find("object-format");
  if (format != result.capabilities.end() && format->second != "sha1") {
    return fail(Errc::unimplemented, "the repository's object format is not supported, only sha1");
  }
  if (result.version == 2 && !(result.can("ls-refs") && result.can("fetch"))) {
    return malformed("it neither shows refs nor lets fetch");
  }
  return result;
}

std::string refs_request(const std::vector<std::string>& prefixes, const Advertisement& remote) {
  std::string text = command("ls-refs", remote);
  for (const std::string& prefix : prefixes) text += packet("ref-prefix " + prefix + "\n");
  return text.append(flush_packet);
}

Result<std::vector<RemoteRef>> parse_refs(std::string_view body) {
  std::vector<RemoteRef> refs;
  Packets packets(body);
  while (true) {
    const Result<std::optional<std::string_view>> payload = packets.next();
    if (!payload) return payload.error();
    if (!*payload) return refs;
    Result<RemoteRef> ref = parse_ref(**payload);
    if (!ref) return ref.error();
    ref->name.resize(std::min(ref->name.find(' '), ref->name.size()));
    if (ref->name.empty()) return malformed("a ref has no name");
    refs.push_back(std::move(*ref));
  }
}

std::string fetch_request(const std::vector<std::string>& wants, int depth,
                          const Advertisement& remote) {
  if (remote.version == 2) {
    std::string text = command("fetch", remote);
    text.append(packet("ofs-delta\n")).append(packet("no-progress\n"));
    if (depth > 0) text += packet("deepen " + std::to_string(depth) + "\n");
    for (const std::string& id : wants) text += packet("want " + id + "\n");
    return text.append(packet("done\n")).append(flush_packet);
  }
  std::string capabilities;
  for (const std::string_view wanted : {"side-band-64k", "ofs-delta", "no-progress", "shallow"}) {
    if (wanted == "shallow" && depth == 0) continue;
    if (remote.can(wanted)) capabilities.append(" ").append(wanted);
  }
  if (remote.can("agent")) capabilities.append(" ").append(agent);
  std::string body;
  for (const std::string& id : wants) {
    body += packet("want " + id + (body.empty() ? capabilities : std::string()) + "\n");
  }
  if (depth > 0) body += packet("deepen " + std::to_string(depth));
  body += flush_packet;
  return body + packet("done\n");
}

AnswerForm AnswerForm::of(const Advertisement& remote, int depth) {
  if (remote.version == 2) return {.sections = true, .side_band = true, .shallow_lines = false};
  return {.sections = false, .side_band = remote.can("side-band-64k"), .shallow_lines = depth > 0};
}

FetchResponse::FetchResponse(AnswerForm form, Sink pack)
    : form_(form),
      pack_(std::move(pack)),
      stage_(form.sections        ? Stage::section
             : form.shallow_lines ? Stage::shallow_lines
                                  : Stage::acknowledgement) {
  if (form.sections) form_.side_band = true;
}

Result<void> FetchResponse::feed(std::string_view bytes) {
  if (stage_ == Stage::pack && !form_.side_band) {
    pack_bytes_ += bytes.size();
    return pack_(bytes);
  }
  buffer_.append(bytes);
  std::size_t at = 0;
  while (buffer_.size() - at >= 4 && !ended_) {
    const std::string_view rest = std::string_view(buffer_).substr(at);
    if (stage_ == Stage::pack && !form_.side_band) break;
    const std::optional<std::size_t> length = packet_length(rest);
    if (!length || *length > packet_bytes_max) return malformed("a packet has no length");
    const std::size_t whole = std::max<std::size_t>(*length, 4);
    if (rest.size() < whole) break;
    at += whole;
    const std::string_view payload = rest.substr(4, whole - 4);
    Result<void> taken = *length < 4             ? special(*length)
                         : stage_ == Stage::pack ? side_band(payload)
                                                 : line(payload);
    if (!taken) return taken;
  }
  buffer_.erase(0, ended_ ? buffer_.size() : at);
  if (stage_ != Stage::pack || form_.side_band || buffer_.empty()) return {};
  pack_bytes_ += buffer_.size();  // however little of it came with the acknowledgement
  Result<void> taken = pack_(buffer_);
  buffer_.clear();
  return taken;
}

// A flush, or the delimiter between the sections of version 2.
Result<void> FetchResponse::special(std::size_t length) {
  const bool flush = length == 0;
  if (flush && stage_ == Stage::pack) {
    ended_ = true;
    return {};
  }
  if (!form_.sections && flush) {
    if (stage_ == Stage::shallow_lines) stage_ = Stage::acknowledgement;
    return {};
  }
  const bool between = stage_ == Stage::shallow_lines || stage_ == Stage::other_lines;
  if (!form_.sections || length != 1 || !between) return malformed("a packet has no length");
  stage_ = Stage::section;
  return {};
}

Result<void> FetchResponse::shallow_line(std::string_view text) {
  if (text.starts_with("shallow ") && is_full_id(text.substr(8))) {
    if (shallow_.size() == shallow_max) return malformed("history is cut at too many places");
    shallow_.emplace_back(text.substr(8));
    return {};
  }
  if (text.starts_with("unshallow ")) return {};
  return malformed("unexpected line before the pack");
}

Result<void> FetchResponse::line(std::string_view payload) {
  const std::string_view text = without_newline(payload);
  if (text.starts_with("ERR ")) {
    return fail(Errc::not_found, "the server said: " + printable(text.substr(4)));
  }
  switch (stage_) {
    case Stage::section:
      stage_ = text == "packfile"       ? Stage::pack
               : text == "shallow-info" ? Stage::shallow_lines
                                        : Stage::other_lines;
      return {};
    case Stage::shallow_lines: return shallow_line(text);
    case Stage::other_lines: return {};
    case Stage::acknowledgement:
      if (text != "NAK" && !text.starts_with("ACK ")) break;
      stage_ = Stage::pack;
      return {};
    case Stage::pack: break;
  }
  return malformed("unexpected line before the pack");
}

Result<void> FetchResponse::side_band(std::string_view payload) {
  const std::string_view text = payload.substr(std::min<std::size_t>(1, payload.size()));
  switch (payload.empty() ? 0 : payload[0]) {
    case 1: pack_bytes_ += text.size(); return pack_(text);
    case 2: return {};  // progress, for people
    case 3: return fail(Errc::unavailable, "the server said: " + printable(text));
    default: return malformed("unknown side band");
  }
}

Result<void> FetchResponse::finish() const {
  if (pack_bytes_ == 0) return malformed("it has no pack");
  if (form_.side_band && !ended_) {
    return fail(Errc::unavailable, "the server closed the connection before the pack's end");
  }
  return {};
}

}  // namespace knative::builder::git
