/// \file
/// Structured log lines of the program itself (the event log is log.hpp).
///
/// \code
/// logger.log(knative::LogLevel::warning, "router", "no instance answers", {{"revision", name}});
/// \endcode
#pragma once

#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "knative/error.hpp"
#include "knative/timers.hpp"

namespace knative {

/// How serious a log line is.
enum class LogLevel : unsigned char { debug = 0, info = 1, warning = 2, error = 3 };

/// Return the level's name as spelled above.
KNATIVE_EXPORT std::string_view to_string(LogLevel level) noexcept;

/// True for keys whose values are never shown: any that contains, in any case, "authorization",
/// "cookie", "token", "password", "secret", "credential", "api_key" or "private_key".
KNATIVE_EXPORT bool is_secret_key(std::string_view key);

/// One key and value of a log line. Do not put secrets here; the formatters write "[redacted]"
/// for the value of an `is_secret_key`.
struct LogField {
  std::string_view key;
  std::string value;
};

/// Structured log lines. Thread-safe.
class KNATIVE_EXPORT Logger {
 public:
  virtual void write(LogLevel level, std::string_view component, std::string_view message,
                     std::span<const LogField> fields) = 0;
  virtual bool enabled(LogLevel level) const noexcept = 0;

  void log(LogLevel level, std::string_view component, std::string_view message,
           std::initializer_list<LogField> fields = {}) {
    if (enabled(level)) {
      write(level, component, message, std::span<const LogField>(fields.begin(), fields.size()));
    }
  }

 protected:
  ~Logger() = default;
};

/// What a log callback receives; valid during the call.
struct LogRecord {
  LogLevel level;
  WallTime time;
  std::string_view component;
  std::string_view message;
  std::span<const LogField> fields;
};
using LogSink = std::function<void(const LogRecord&)>;

/// One line of text for people: "12:00:00.123 info  router  message key=value".
KNATIVE_EXPORT std::string format_log_text(const LogRecord& record);
/// One JSON object per line.
KNATIVE_EXPORT std::string format_log_json(const LogRecord& record);
/// Writes to standard error: text when it is a terminal, JSON otherwise.
KNATIVE_EXPORT LogSink stderr_log_sink();

}  // namespace knative
