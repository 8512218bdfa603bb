#include "wire/dns.hpp"

#include <optional>

#include "base/text.hpp"

namespace knative::dns {
namespace {

constexpr std::size_t header_bytes = 12;
constexpr std::size_t label_bytes_max = 63;
constexpr std::size_t name_bytes_max = 255;

// The second word of a header, RFC 1035 section 4.1.1.
constexpr unsigned is_answer = 0x8000;
constexpr unsigned operation = 0x7800;
constexpr unsigned authoritative = 0x0400;
constexpr unsigned recursion_desired = 0x0100;
constexpr unsigned recursion_available = 0x0080;
enum Code : unsigned { ok = 0, malformed = 1, no_such_name = 3, not_implemented = 4, refused = 5 };

constexpr unsigned type_address = 1;
constexpr unsigned class_internet = 1;

unsigned word_at(std::string_view bytes, std::size_t at) {
  return static_cast<unsigned>(static_cast<unsigned char>(bytes[at])) << 8 |
         static_cast<unsigned char>(bytes[at + 1]);
}

void add_word(std::string& bytes, unsigned word) {
  bytes.push_back(static_cast<char>(word >> 8 & 0xff));
  bytes.push_back(static_cast<char>(word & 0xff));
}

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

struct Question {
  std::string name;       ///< Lower case, without the last dot; empty: the root.
  bool plausible = true;  ///< Made of what hosts are made of.
  unsigned type = 0;
  unsigned class_ = 0;
  std::size_t end = 0;  ///< Behind it in the message.
};

std::optional<Question> read_question(std::string_view query) {
  Question question;
  std::size_t at = header_bytes;
  for (;;) {
    if (at >= query.size()) return std::nullopt;
    const std::size_t length = static_cast<unsigned char>(query[at++]);
    if (length == 0) break;
    // A pointer leads backwards, where there is nothing but the header.
    if (length > label_bytes_max || length > query.size() - at) return std::nullopt;
    if (!question.name.empty()) question.name.push_back('.');
    for (const char c : query.substr(at, length)) {
      const char lower = base::to_lower(c);
      question.plausible = question.plausible && is_name_char(lower);
      question.name.push_back(lower);
    }
    at += length;
    if (at - header_bytes >= name_bytes_max) return std::nullopt;
  }
  if (query.size() - at < 4) return std::nullopt;
  question.type = word_at(query, at);
  question.class_ = word_at(query, at + 2);
  question.end = at + 4;
  return question;
}

/// A message with at most the question in it.
std::string reply(std::string_view query, Code code, std::string_view question, bool found) {
  std::string bytes(query.substr(0, 2));
  const unsigned asked = word_at(query, 2) & (operation | recursion_desired);
  add_word(bytes, is_answer | authoritative | recursion_available | asked | code);
  add_word(bytes, question.empty() ? 0 : 1);
  add_word(bytes, found ? 1 : 0);
  bytes.append(4, '\0');
  bytes.append(question);
  return bytes;
}

}  // namespace

std::string answer(std::string_view query, const Zone& zone) {
  if (query.size() < header_bytes || (word_at(query, 2) & is_answer) != 0) return {};
  if ((word_at(query, 2) & operation) != 0) return reply(query, not_implemented, {}, false);
  if (word_at(query, 4) != 1) return reply(query, malformed, {}, false);
  const std::optional<Question> question = read_question(query);
  if (!question) return reply(query, malformed, {}, false);
  const std::string_view echoed = query.substr(header_bytes, question->end - header_bytes);
  if (question->class_ != class_internet) return reply(query, refused, echoed, false);
  if (question->name.empty()) return reply(query, ok, echoed, false);
  if (!question->plausible || !zone.knows(question->name)) {
    return reply(query, no_such_name, echoed, false);
  }
  if (question->type != type_address) return reply(query, ok, echoed, false);
  std::string bytes = reply(query, ok, echoed, true);
  add_word(bytes, 0xc000 | header_bytes);  // the name, as in the question
  add_word(bytes, type_address);
  add_word(bytes, class_internet);
  add_word(bytes, zone.seconds_to_live >> 16);
  add_word(bytes, zone.seconds_to_live & 0xffff);
  add_word(bytes, static_cast<unsigned>(zone.address.size()));
  for (const std::uint8_t part : zone.address) bytes.push_back(static_cast<char>(part));
  return bytes;
}

}  // namespace knative::dns
