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

// Server text that ends up in an error: one line, printable.
std::string printable(std::string_view text) {
  std::string result;
  for (const char c : text.substr(0, 400)) {
    result.push_back(static_cast<unsigned char>(c) < 32 || c == 127 ? ' ' : c);
  }
  while (!result.empty() && result.back() == ' ') result.pop_back();
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
    detail.append(name.substr(branch ? 11 : 10));
  }
  if (shown == 0) detail += " no branches or tags";
  if (shown > refs_shown_max) {
    detail += " and " + std::to_string(shown - refs_shown_max) + " more";
  }
  return fail(Errc::not_found, detail);
}

}  // namespace

bool Advertisement::can(std::string_view capability) const {
  std::string_view rest = capabilities;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(' '), rest.size());
    if (rest.substr(0, end) == capability) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

bool is_hex(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_full_id(std::string_view text) { return text.size() == id_digits && is_hex(text); }

Result<Choice> choose(const std::vector<RemoteRef>& refs, std::string_view revision) {
  if (refs.empty()) {
    return fail(Errc::not_found, "the repository is empty: it has no branches or tags");
  }
  if (revision.empty()) revision = "HEAD";
  const std::string name(revision);
  const std::array<std::string, 5> candidates{name, "refs/" + name, "refs/tags/" + name,
                                              "refs/heads/" + name, "refs/remotes/" + name};
  for (const std::string& candidate : candidates) {
    if (const RemoteRef* ref = find_ref(refs, candidate)) return Choice{ref->name, ref->id};
  }
  std::string id = name;
  std::transform(id.begin(), id.end(), id.begin(),
                 [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
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

bool holds_flush(std::string_view text) {
  while (text.size() >= 4) {
    const std::optional<std::size_t> length = packet_length(text);
    if (!length || *length == 0) return true;  // what is no packet is the parser's to refuse
    if (*length < 4 || *length > text.size()) return *length < 4;
    text.remove_prefix(*length);
  }
  return false;
}

Result<Advertisement> parse_advertisement(std::string_view body) {
  Advertisement result;
  bool first = true;
  bool any = false;
  while (!body.empty()) {
    any = true;
    if (body.size() < 4) return malformed("a packet is cut short");
    const std::optional<std::size_t> length = packet_length(body);
    if (!length || (*length > 0 && *length < 4)) return malformed("a packet has no length");
    if (*length == 0) {
      body.remove_prefix(4);
      continue;
    }
    if (*length > body.size()) return malformed("a packet is cut short");
    const std::string_view payload = without_newline(body.substr(4, *length - 4));
    body.remove_prefix(*length);
    if (payload.substr(0, 1) == "#") continue;
    if (payload.substr(0, 4) == "ERR ") {
      return fail(Errc::not_found, "the server said: " + printable(payload.substr(4)));
    }
    if (payload.size() < id_digits + 2 || payload[id_digits] != ' ' ||
        !is_full_id(payload.substr(0, id_digits))) {
      return malformed("a line is no ref");
    }
    std::string_view name = payload.substr(id_digits + 1);
    if (first) {
      const std::size_t zero = name.find('\0');
      if (zero != std::string_view::npos) {
        result.capabilities = name.substr(zero + 1);
        name = name.substr(0, zero);
      }
      first = false;
    }
    if (name.empty()) return malformed("a ref has no name");
    if (name == "capabilities^{}") continue;  // an empty repository
    result.refs.push_back({std::string(name), std::string(payload.substr(0, id_digits))});
  }
  if (!any) return malformed("it is empty");
  return result;
}

std::string fetch_request(const std::vector<std::string>& wants, int depth,
                          const Advertisement& remote) {
  std::string capabilities;
  for (const std::string_view wanted : {"side-band-64k", "ofs-delta", "shallow"}) {
    if (wanted == "shallow" && depth == 0) continue;
    if (remote.can(wanted)) capabilities.append(" ").append(wanted);
  }
  capabilities.append(" ").append(agent);
  std::string body;
  for (const std::string& id : wants) {
    body += packet("want " + id + (body.empty() ? capabilities : std::string()) + "\n");
  }
  if (depth > 0) body += packet("deepen " + std::to_string(depth));
  body += flush_packet;
  return body + packet("done\n");
}

Result<void> FetchResponse::feed(std::string_view bytes) {
  if (stage_ == Stage::pack && !side_band_) {
    pack_bytes_ += bytes.size();
    return pack_(bytes);
  }
  buffer_.append(bytes);
  std::size_t at = 0;
  while (buffer_.size() - at >= 4 && !ended_) {
    const std::string_view rest = std::string_view(buffer_).substr(at);
    if (stage_ == Stage::pack && !side_band_) break;
    const std::optional<std::size_t> length = packet_length(rest);
    if (!length || (*length > 0 && *length < 4) || *length > packet_bytes_max) {
      return malformed("a packet has no length");
    }
    if (rest.size() < std::max<std::size_t>(*length, 4)) break;
    const std::string_view payload = *length == 0 ? "" : rest.substr(4, *length - 4);
    at += std::max<std::size_t>(*length, 4);
    if (*length == 0) {
      if (stage_ == Stage::shallow_lines)
        stage_ = Stage::acknowledgement;
      else if (stage_ == Stage::pack)
        ended_ = true;
      continue;
    }
    Result<void> taken = stage_ == Stage::pack ? side_band(payload) : line(payload);
    if (!taken) return taken;
  }
  buffer_.erase(0, at);
  if (stage_ != Stage::pack || side_band_ || buffer_.empty()) return {};
  pack_bytes_ += buffer_.size();  // however little of it came with the acknowledgement
  Result<void> taken = pack_(buffer_);
  buffer_.clear();
  return taken;
}

Result<void> FetchResponse::line(std::string_view payload) {
  const std::string_view text = without_newline(payload);
  if (text.substr(0, 4) == "ERR ") {
    return fail(Errc::not_found, "the server said: " + printable(text.substr(4)));
  }
  if (stage_ == Stage::shallow_lines) {
    if (text.substr(0, 8) == "shallow " && is_full_id(text.substr(8))) {
      shallow_.emplace_back(text.substr(8));
      return {};
    }
    if (text.substr(0, 10) == "unshallow ") return {};
    return malformed("unexpected line before the pack");
  }
  if (text == "NAK" || text.substr(0, 4) == "ACK ") {
    stage_ = Stage::pack;
    return {};
  }
  return malformed("unexpected line before the pack");
}

Result<void> FetchResponse::side_band(std::string_view payload) {
  const std::string_view text = payload.substr(std::min<std::size_t>(1, payload.size()));
  switch (payload.empty() ? 0 : payload[0]) {
    case 1: pack_bytes_ += text.size(); return pack_(text);
    case 2: remark_ = printable(text); return {};
    case 3: return fail(Errc::unavailable, "the server said: " + printable(text));
    default: return malformed("unknown side band");
  }
}

Result<void> FetchResponse::finish() const {
  if (pack_bytes_ == 0) return malformed("it has no pack");
  if (side_band_ && !ended_) {
    return fail(Errc::unavailable, "the server closed the connection before the pack's end");
  }
  return {};
}

}  // namespace knative::builder::git
