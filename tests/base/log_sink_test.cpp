// Log lines: how they look, what they hide.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>

#include "knative/value.hpp"
#include "support/real_world.hpp"

namespace knative {
namespace {

const WallTime noon = WallTime(std::chrono::seconds(1'767'268'800) + std::chrono::milliseconds(7));

std::string text(LogLevel level, std::string_view message, std::vector<LogField> fields) {
  return format_log_text(LogRecord{level, noon, "router", message, fields});
}

std::string json(std::string_view message, std::vector<LogField> fields) {
  return format_log_json(LogRecord{LogLevel::warning, noon, "router", message, fields});
}

TEST(LogText, IsOneLineForPeople) {
  EXPECT_EQ(text(LogLevel::info, "ready", {{"revision", "hello-00001"}, {"why", "two words"}}),
            "12:00:00.007 info    router  ready revision=hello-00001 why=\"two words\"");
}

TEST(LogText, EscapesWhatCouldForgeALineOrAColour) {
  EXPECT_EQ(text(LogLevel::error, "a\nb\x1b[31m", {{"k", "v\n\"q\""}}),
            "12:00:00.007 error   router  a\\nb\\x1b[31m k=\"v\\n\\\"q\\\"\"");
  EXPECT_EQ(text(LogLevel::debug, "m", {{"empty", ""}}),
            "12:00:00.007 debug   router  m empty=\"\"");
}

TEST(LogJson, IsOneObject) {
  EXPECT_EQ(json("ready", {{"revision", "hello"}}),
            "{\"time\":\"2026-01-01T12:00:00.007Z\",\"level\":\"warning\",\"component\":"
            "\"router\",\"message\":\"ready\",\"revision\":\"hello\"}");
}

TEST(LogJson, IsAlwaysValidWhateverTheBytes) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  all += "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\xa0\x80 \xc0\xaf \xf5\x80\x80\x80 \xe2\x82";
  const std::string line = json(all, {{"message", all}});
  EXPECT_EQ(line.find('\n'), line.npos);
  Result<Value> parsed = Value::parse_json(line);
  ASSERT_TRUE(parsed) << parsed.error().to_string();
  EXPECT_EQ(parsed->find("component")->as_string(), "router");
  EXPECT_NE(parsed->find("message"), nullptr);
  EXPECT_NE(parsed->find("field_message"), nullptr);
  EXPECT_NE(line.find("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \\ufffd"), line.npos);
}

TEST(LogSecrets, AreRedactedByTheirKey) {
  for (const char* key : {"Authorization", "git_token", "db-PASSWORD", "Set-Cookie",
                          "client_secret", "X-Api-Key", "aws_credentials"}) {
    EXPECT_TRUE(is_secret_key(key)) << key;
    const std::string line = text(LogLevel::info, "m", {{key, "hunter2"}});
    EXPECT_EQ(line.find("hunter2"), line.npos) << key;
    EXPECT_NE(line.find("[redacted]"), line.npos) << key;
    EXPECT_EQ(json("m", {{key, "hunter2"}}).find("hunter2"), std::string::npos) << key;
  }
  EXPECT_FALSE(is_secret_key("revision"));
}

TEST(Logger, DropsLinesBelowItsLevel) {
  std::vector<std::string> lines;
  LoopOptions options;
  options.log_level = LogLevel::warning;
  options.log_sink = [&lines](const LogRecord& record) {
    lines.push_back(format_log_text(record).substr(13));
  };
  Loop loop(options);
  Logger& logger = loop.env().logger;
  EXPECT_FALSE(logger.enabled(LogLevel::info));
  logger.log(LogLevel::info, "a", "not seen");
  logger.log(LogLevel::warning, "a", "seen", {{"n", "1"}});
  EXPECT_EQ(lines, std::vector<std::string>{"warning a  seen n=1"});
}

TEST(StderrSink, WritesJsonWhenItIsNoTerminal) {
  testing::internal::CaptureStderr();
  const LogSink sink = stderr_log_sink();
  const std::vector<LogField> fields{{"token", "abc"}};
  sink(LogRecord{LogLevel::info, noon, "c", "m", fields});
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_EQ(line,
            "{\"time\":\"2026-01-01T12:00:00.007Z\",\"level\":\"info\",\"component\":\"c\","
            "\"message\":\"m\",\"token\":\"[redacted]\"}\n");
}

TEST(StderrSink, WritesTextOnATerminal) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(::grantpt(terminal) | ::unlockpt(terminal), 0);
  char name[64];
  ASSERT_EQ(::ptsname_r(terminal, name, sizeof name), 0);
  const int other_end = ::open(name, O_RDWR | O_NOCTTY);
  if (other_end < 0) GTEST_SKIP() << "no pseudo terminals here";
  const int before = ::dup(STDERR_FILENO);
  ::dup2(other_end, STDERR_FILENO);
  const LogSink sink = stderr_log_sink();
  sink(LogRecord{LogLevel::info, noon, "c", "hello", {}});
  ::dup2(before, STDERR_FILENO);
  char buffer[256];
  const ssize_t got = ::read(terminal, buffer, sizeof buffer);
  for (const int fd : {terminal, other_end, before}) ::close(fd);
  ASSERT_GT(got, 0);
  EXPECT_EQ(std::string(buffer, static_cast<std::size_t>(got)),
            "12:00:00.007 info    c  hello\r\n");
}

}  // namespace
}  // namespace knative
