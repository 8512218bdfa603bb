#include "engines/registry/registry_text.hpp"

#include <algorithm>
#include <array>
#include <chrono>

#include "base/text.hpp"
#include "knative/value.hpp"
#include "wire/http_authority.hpp"
#include "wire/http_text.hpp"

namespace knative::oci {

namespace {

constexpr std::size_t errors_shown_max = 3;
constexpr std::size_t token_bytes_max = 64 << 10;
constexpr std::int64_t token_seconds_default = 60;
constexpr std::int64_t token_seconds_max = 24 * 3600;
constexpr std::string_view unreserved_marks = "-._~";
constexpr std::array<std::string_view, 12> month_names = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::string string_at(const Value& map, std::string_view key) {
  const Value* value = map.find(key);
  const std::string* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string() : *text;
}

// "Wed, 21 Oct 2015 07:28:00 GMT" (RFC 9110 section 5.6.7); old forms are not sent any more.
std::optional<WallTime> read_http_date(std::string_view text) {
  if (text.size() != 29 || !text.ends_with(" GMT")) return std::nullopt;
  const auto number = [text](std::size_t at, std::size_t length) {
    const std::optional<std::uint64_t> read = http::wire::parse_length(text.substr(at, length));
    return read ? static_cast<int>(*read) : -1;
  };
  const auto named = std::find(month_names.begin(), month_names.end(), text.substr(8, 3));
  const int day = number(5, 2);
  // What is further away than the clock can count is as good as the end of that.
  constexpr int year_max = 2200;
  const int year = std::min(number(12, 4), year_max);
  const int hour = number(17, 2);
  const int minute = number(20, 2);
  const int second = number(23, 2);
  if (named == month_names.end() || day < 1 || year < 1970 || hour < 0 || minute < 0 ||
      second < 0) {
    return std::nullopt;
  }
  const auto month = static_cast<unsigned>(named - month_names.begin()) + 1;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return WallTime(std::chrono::sys_days(date)) + std::chrono::hours(hour) +
         std::chrono::minutes(minute) + std::chrono::seconds(second);
}

// "first-last"; both at most 18 digits.
std::optional<std::pair<std::uint64_t, std::uint64_t>> read_span(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = http::wire::parse_length(text.substr(0, dash));
  const auto last = http::wire::parse_length(text.substr(dash + 1));
  if (!first || !last || *last < *first) return std::nullopt;
  return std::pair(*first, *last);
}

// One element of a Link field: "<URL>; a=b; rel="next"". Nothing when it is not the next page.
std::optional<std::string_view> next_target(std::string_view element) {
  element = http::wire::trim(element);
  const std::size_t end = element.find('>');
  if (!element.starts_with('<') || end == std::string_view::npos) return std::nullopt;
  std::string_view parameters = element.substr(end + 1);
  while (!parameters.empty()) {
    const std::size_t semicolon = parameters.find(';');
    const std::string_view one = http::wire::trim(parameters.substr(0, semicolon));
    parameters = semicolon == std::string_view::npos ? "" : parameters.substr(semicolon + 1);
    if (http::wire::equal_ignoring_case(one, "rel=next") ||
        http::wire::equal_ignoring_case(one, "rel=\"next\"")) {
      return element.substr(1, end - 1);
    }
  }
  return std::nullopt;
}

}  // namespace

std::string clean_text(std::string_view text, std::size_t bytes_max) {
  std::string clean = base::valid_utf8(text.substr(0, 4 * bytes_max));
  for (char& c : clean) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  if (clean.size() > bytes_max) {
    clean.resize(base::utf8_prefix(clean, bytes_max));
    clean += "...";
  }
  return clean;
}

RegistryErrors read_registry_errors(std::string_view body) {
  RegistryErrors result;
  const JsonLimits limits{32, std::size_t{1} << 20};
  const Result<Value> value = Value::parse_json(body, limits);
  if (!value) return result;
  const Value* errors = value->find("errors");
  const Value::List* list = errors == nullptr ? nullptr : errors->if_list();
  if (list == nullptr) {  // token services say {"details": ...} or {"error": ...}
    for (const char* key : {"details", "error_description", "error", "message"}) {
      if (result.text.empty()) result.text = clean_text(string_at(*value, key));
    }
    return result;
  }
  std::string text;
  for (std::size_t i = 0; i < std::min(list->size(), errors_shown_max); ++i) {
    const std::string code = string_at((*list)[i], "code");
    const std::string message = string_at((*list)[i], "message");
    if (result.first_code.empty()) result.first_code = clean_text(code, 64);
    if (!text.empty()) text += "; ";
    text += code;
    if (!message.empty()) text += (code.empty() ? "" : ": ") + message;
  }
  result.text = clean_text(text);
  return result;
}

std::optional<std::uint64_t> read_upload_range(std::string_view text) {
  text = http::wire::trim(text);
  for (const std::string_view unit : {"bytes=", "bytes "}) {
    if (text.starts_with(unit)) text.remove_prefix(unit.size());
  }
  const auto span = read_span(text);
  if (!span || span->first != 0) return std::nullopt;
  return span->second == 0 ? 0 : span->second + 1;
}

std::optional<ContentRange> read_content_range(std::string_view text) {
  text = http::wire::trim(text);
  if (!text.starts_with("bytes ")) return std::nullopt;
  text.remove_prefix(6);
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto span = read_span(text.substr(0, slash));
  if (!span) return std::nullopt;
  ContentRange range{span->first, span->second, std::nullopt};
  if (text.substr(slash + 1) == "*") return range;
  range.total = http::wire::parse_length(text.substr(slash + 1));
  if (!range.total || *range.total <= range.last) return std::nullopt;
  return range;
}

std::optional<http::Url> read_next_page(const http::Headers& headers, const http::Url& page) {
  for (const http::Headers::Field field : headers) {
    if (!http::same_name(field.name, "Link")) continue;
    // Elements are told apart by commas outside of the brackets.
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const std::size_t bracket = rest.find('>');
      const std::size_t comma = rest.find(',', bracket == std::string_view::npos ? 0 : bracket);
      const std::optional<std::string_view> target = next_target(rest.substr(0, comma));
      rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
      if (!target) continue;
      Result<http::Url> next = http::wire::resolve(page, *target);
      if (!next || next->scheme != page.scheme || next->host != page.host ||
          next->port != page.port) {
        return std::nullopt;
      }
      return *std::move(next);
    }
  }
  return std::nullopt;
}

std::optional<Duration> read_retry_after(const http::Headers& headers, WallTime now) {
  const std::string_view text = headers.get("Retry-After").value_or("");
  if (const auto seconds = http::wire::parse_length(text)) {
    return std::chrono::seconds(std::min<std::uint64_t>(*seconds, 365 * 24 * 3600));
  }
  const std::optional<WallTime> when = read_http_date(text);
  if (!when) return std::nullopt;
  return std::max<Duration>(*when - now, Duration::zero());
}

Result<GrantedToken> read_granted_token(std::string_view body) {
  const JsonLimits limits{16, std::size_t{1} << 20};
  const Result<Value> value = Value::parse_json(body, limits);
  if (!value) return fail(Errc::invalid_argument, "the token service's answer is no JSON");
  GrantedToken granted;
  granted.token = string_at(*value, "token");
  if (granted.token.empty()) granted.token = string_at(*value, "access_token");
  const auto visible = [](char c) { return c > 0x20 && c < 0x7f; };
  if (granted.token.empty() || granted.token.size() > token_bytes_max ||
      !std::all_of(granted.token.begin(), granted.token.end(), visible)) {
    return fail(Errc::invalid_argument, "the token service's answer has no usable token");
  }
  std::int64_t seconds = token_seconds_default;
  const Value* expires = value->find("expires_in");
  if (expires != nullptr && expires->if_int() != nullptr && *expires->if_int() > 0) {
    seconds = std::min(*expires->if_int(), token_seconds_max);
  }
  granted.lifetime = std::chrono::seconds(seconds);
  return granted;
}

Result<HelperAnswer> read_helper_answer(std::string_view text) {
  const JsonLimits limits{8, std::size_t{1} << 20};
  const Result<Value> value = Value::parse_json(text, limits);
  if (!value || !value->is_map()) return fail(Errc::invalid_argument, "answers no JSON object");
  HelperAnswer answer{string_at(*value, "Username"), string_at(*value, "Secret")};
  if (answer.secret.empty()) return fail(Errc::invalid_argument, "answers no secret");
  return answer;
}

std::string form_text(const std::vector<std::pair<std::string, std::string>>& fields) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string text;
  const auto append = [&text, digits](std::string_view part) {
    for (const char c : part) {
      if (base::is_letter(c) || base::is_digit(c) ||
          unreserved_marks.find(c) != std::string_view::npos) {
        text.push_back(c);
      } else {
        const auto byte = static_cast<unsigned char>(c);
        text.append({'%', digits[byte >> 4], digits[byte & 15]});
      }
    }
  };
  for (const auto& [name, value] : fields) {
    if (!text.empty()) text.push_back('&');
    append(name);
    text.push_back('=');
    append(value);
  }
  return text;
}

}  // namespace knative::oci
