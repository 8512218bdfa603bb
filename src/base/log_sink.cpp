// How log lines look, and where they go by default.
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "knative/env.hpp"

namespace knative {
namespace {

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warning: return "warning";
    case LogLevel::error: return "error";
  }
  return "unknown";
}

struct CalendarTime {
  tm fields;
  int millisecond;
};

CalendarTime calendar_time(WallTime time) {
  const auto since = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  const auto rest = std::chrono::floor<std::chrono::milliseconds>(since - seconds);
  const std::time_t whole = seconds.count();
  CalendarTime result{};
  ::gmtime_r(&whole, &result.fields);
  result.millisecond = static_cast<int>(rest.count());
  return result;
}

bool is_redacted_key(std::string_view key) {
  std::string lower(key);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (const std::string_view word :
       {"authorization", "cookie", "token", "password", "passwd", "secret", "credential",
        "private_key", "api_key", "apikey", "private-key", "api-key"}) {
    if (lower.find(word) != lower.npos) return true;
  }
  return false;
}

void append_hex_escape(std::string& out, const char* prefix, unsigned char c, int digits) {
  char buffer[8];
  std::snprintf(buffer, sizeof buffer, "%0*x", digits, c);
  out.append(prefix).append(buffer);
}

/// Text with control characters escaped, so that no value can forge a line or a colour.
void append_plain(std::string& out, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      append_hex_escape(out, "\\x", byte, 2);
    } else {
      out += c;
    }
  }
}

void append_text_value(std::string& out, std::string_view text) {
  const bool bare = !text.empty() && text.find_first_of(" \"=\n\t") == text.npos;
  if (bare) return append_plain(out, text);
  out += '"';
  std::string quoted;
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  append_plain(out, quoted);
  out += '"';
}

/// Length of the well-formed UTF-8 sequence at the front of `text`, or 0.
std::size_t utf8_length(std::string_view text) {
  const auto at = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xc2 && first < 0xe0   ? 2
                             : first >= 0xe0 && first < 0xf0 ? 3
                             : first >= 0xf0 && first < 0xf5 ? 4
                                                             : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = at(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool surrogate = first == 0xed && second >= 0xa0;
  const bool too_big = first == 0xf4 && second >= 0x90;
  return overlong || surrogate || too_big ? 0 : length;
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const char c = text.front();
    const auto byte = static_cast<unsigned char>(c);
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      out += "\\ufffd";  // not text: shown, never passed on
    } else if (c == '"' || c == '\\') {
      (out += '\\') += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      append_hex_escape(out, "\\u", byte, 4);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
}

}  // namespace

std::string_view to_string(LogLevel level) noexcept { return level_name(level); }

bool is_secret_key(std::string_view key) { return is_redacted_key(key); }

std::string format_log_text(const LogRecord& record) {
  const CalendarTime time = calendar_time(record.time);
  char head[64];
  std::snprintf(head, sizeof head, "%02d:%02d:%02d.%03d %-7s ", time.fields.tm_hour,
                time.fields.tm_min, time.fields.tm_sec, time.millisecond,
                std::string(level_name(record.level)).c_str());
  std::string line = head;
  append_plain(line, record.component);
  line += "  ";
  append_plain(line, record.message);
  for (const LogField& field : record.fields) {
    line += ' ';
    append_plain(line, field.key);
    line += '=';
    if (is_redacted_key(field.key)) {
      line += "[redacted]";
    } else {
      append_text_value(line, field.value);
    }
  }
  return line;
}

std::string format_log_json(const LogRecord& record) {
  const CalendarTime time = calendar_time(record.time);
  char stamp[96];
  std::snprintf(stamp, sizeof stamp, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                time.fields.tm_year + 1900, time.fields.tm_mon + 1, time.fields.tm_mday,
                time.fields.tm_hour, time.fields.tm_min, time.fields.tm_sec, time.millisecond);
  std::string line = "{\"time\":\"";
  line.append(stamp).append("\",\"level\":\"").append(level_name(record.level));
  line += "\",\"component\":";
  append_json_string(line, record.component);
  line += ",\"message\":";
  append_json_string(line, record.message);
  for (const LogField& field : record.fields) {
    line += ',';
    // the four names above stay unique, so that every reader sees the same line
    const bool taken = field.key == "time" || field.key == "level" || field.key == "component" ||
                       field.key == "message";
    append_json_string(line, taken ? "field_" + std::string(field.key) : std::string(field.key));
    line += ':';
    append_json_string(line, is_redacted_key(field.key) ? "[redacted]" : field.value);
  }
  line += '}';
  return line;
}

LogSink stderr_log_sink() {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  return [terminal](const LogRecord& record) {
    std::string line = terminal ? format_log_text(record) : format_log_json(record);
    line += '\n';
    // One write per line: lines of several threads do not mix.
    std::string_view rest = line;
    while (!rest.empty()) {
      const ssize_t put = ::write(STDERR_FILENO, rest.data(), rest.size());
      if (put <= 0) break;  // there is nowhere to tell
      rest.remove_prefix(static_cast<std::size_t>(put));
    }
  };
}

}  // namespace knative
