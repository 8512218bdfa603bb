// Values as block-style YAML that every YAML reader takes for the same thing.
#include <algorithm>

#include "base/text.hpp"
#include "knative/manifest.hpp"
#include "model/yaml_scalar.hpp"

namespace knative::manifest {
namespace {

using base::is_digit;
using base::is_letter;

// Readers of other YAML versions see times, dates and base-60 numbers in such text.
bool looks_numeric(std::string_view text) {
  return (is_digit(text.front()) || text.front() == '.') &&
         text.find_first_not_of("0123456789:-+.eETZtz _xob") == std::string_view::npos;
}

// Can be written without quotes.
bool plain_is_safe(std::string_view text) {
  if (text.empty() || resolve_plain(text).kind != ScalarKind::text) return false;
  const char first = text.front();
  const bool flag = text.size() > 1 && first == '-' && is_letter(text[1]);
  const bool start = is_digit(first) || is_letter(first) || first == '/' || first == '_' ||
                     first == '$' || first == '(' || (first == '.' && text != "...");
  if ((!start && !flag) || looks_numeric(text)) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c < 0x20 || c > 0x7e) return false;
    if (c == ':' && (i + 1 == text.size() || text[i + 1] == ' ')) return false;
    if (c == '#' && text[i - 1] == ' ') return false;
  }
  return text.back() != ' ';
}

// The code point at `at` and its length; length 0 when it is not UTF-8. `text` is never empty
// there.
struct CodePoint {
  char32_t value = 0;
  std::size_t length = 0;
};
CodePoint decode(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(at);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || at + length > text.size()) return {};
  char32_t value = lead & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return {};
    value = value << 6 | (byte(at + i) & 0x3FU);
  }
  const char32_t smallest = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000;
  if (value < smallest || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return {};
  return {value, length};
}

// Characters that YAML allows as they are.
bool is_printable(char32_t c) {
  return (c >= 0x20 && c <= 0x7E) ||
         (c >= 0xA0 && c <= 0xFFFD && c != 0xFEFF && c != 0x2028 && c != 0x2029) || c >= 0x10000;
}

void append_escape(std::string& out, char32_t c) {
  static constexpr char hex[] = "0123456789abcdef";
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: break;
  }
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += hex[c >> shift & 15];
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode(text, at);
    if (c.length == 0) {
      out += "\xEF\xBF\xBD";
      ++at;
      continue;
    }
    if (is_printable(c.value) && c.value != '"' && c.value != '\\') {
      out += text.substr(at, c.length);
    } else {
      append_escape(out, c.value);
    }
    at += c.length;
  }
  out += '"';
}

// Several lines that a literal block shows as they are.
bool block_is_safe(std::string_view text) {
  const std::size_t last = text.find_last_not_of('\n');
  if (text.find('\n') == std::string_view::npos || last == std::string_view::npos) return false;
  if (text.size() - last > 2 || text.front() == ' ' || text.front() == '\n') return false;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint c = decode(text, at);
    const bool line_end = c.value == '\n';
    if (c.length == 0 || (!line_end && !is_printable(c.value))) return false;
    if (line_end && at > 0 && text[at - 1] == ' ') return false;
    at += c.length;
  }
  return text.back() != ' ';
}

void append_indent(std::string& out, std::size_t indent) { out.append(indent, ' '); }

void append_block(std::string& out, std::string_view text, std::size_t indent) {
  const bool ends = text.back() == '\n';
  out += ends ? "|" : "|-";
  if (ends) text.remove_suffix(1);
  while (true) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    out += '\n';
    if (end > 0) append_indent(out, indent);
    out += text.substr(0, end);
    if (end == text.size()) return;
    text.remove_prefix(end + 1);
  }
}

void append_text(std::string& out, std::string_view text) {
  if (plain_is_safe(text)) {
    out += text;
  } else {
    append_quoted(out, text);
  }
}

class Printer {
 public:
  explicit Printer(std::string& out) : out_(out) {}

  // The value after "key:" or "-"; starts with what separates it.
  void write_member(const Value& value, std::size_t indent, bool in_list) {
    const Value::Map* map = value.if_map();
    const Value::List* list = value.if_list();
    if (map && !map->empty()) {
      if (in_list) {
        out_ += ' ';
        write_map(*map, indent + 2, true);
      } else {
        out_ += '\n';
        write_map(*map, indent + 2, false);
      }
    } else if (list && !list->empty()) {
      // Lists stand under their key, as Kubernetes writes them.
      out_ += '\n';
      write_list(*list, in_list ? indent + 2 : indent);
    } else {
      out_ += ' ';
      write_scalar(value, indent + 2);
      out_ += '\n';
    }
  }

  void write_map(const Value::Map& map, std::size_t indent, bool first_is_placed) {
    for (const auto& [key, value] : map) {
      if (!first_is_placed) append_indent(out_, indent);
      first_is_placed = false;
      append_text(out_, key);
      out_ += ':';
      write_member(value, indent, false);
    }
  }

  void write_list(const Value::List& list, std::size_t indent) {
    for (const Value& value : list) {
      append_indent(out_, indent);
      out_ += '-';
      write_member(value, indent, true);
    }
  }

  void write_scalar(const Value& value, std::size_t indent) {
    const std::string* text = value.if_string();
    if (!text) {
      out_ += value.to_json();
    } else if (block_is_safe(*text)) {
      append_block(out_, *text, indent);
    } else {
      append_text(out_, *text);
    }
  }

 private:
  std::string& out_;
};

}  // namespace

std::string to_yaml(const Value& value) {
  std::string out;
  Printer printer(out);
  if (const Value::Map* map = value.if_map(); map && !map->empty()) {
    printer.write_map(*map, 0, false);
  } else if (const Value::List* list = value.if_list(); list && !list->empty()) {
    printer.write_list(*list, 0);
  } else {
    printer.write_scalar(value, 2);
    out += '\n';
  }
  return out;
}

std::string print(const AnyObject& object) { return to_yaml(object.to_value()); }

std::string print(std::span<const AnyObject> objects) {
  std::string out;
  for (const AnyObject& object : objects) {
    if (!out.empty()) out += "---\n";
    out += print(object);
  }
  return out;
}

}  // namespace knative::manifest
