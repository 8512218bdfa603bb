// Credentials and the challenges that ask for them (RFC 9110 section 11).
#include <string>

#include "base/text.hpp"
#include "knative/http_outbound.hpp"
#include "wire/http_text.hpp"

namespace knative::http {

namespace {

constexpr bool is_token68(char c) noexcept {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
         std::string_view("-._~+/=").find(c) != std::string_view::npos;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = wire::to_lower(c);
  return result;
}

/// Reads one field value. Schemes and parameters are both separated by commas: a word that is not
/// followed by '=' begins the next challenge.
class ChallengeReader {
 public:
  ChallengeReader(std::string_view text, std::vector<Challenge>& into) noexcept
      : rest_(text), into_(into) {}

  void read() {
    for (skip_separators(); !rest_.empty(); skip_separators()) {
      const std::string_view word = take_token();
      if (word.empty()) return;  // nothing that can be read follows
      const std::size_t before = rest_.size();
      skip_blanks();
      if (!rest_.empty() && rest_.front() == '=' && open_) {
        if (!parameter(word)) return;
        continue;
      }
      into_.push_back(Challenge{lower(word), {}, {}});
      open_ = true;
      if (rest_.size() != before) token68();
    }
  }

 private:
  void skip_blanks() noexcept {
    while (!rest_.empty() && wire::is_blank(rest_.front())) rest_.remove_prefix(1);
  }
  void skip_separators() noexcept {
    while (!rest_.empty() && (wire::is_blank(rest_.front()) || rest_.front() == ',')) {
      rest_.remove_prefix(1);
    }
  }
  std::string_view take_token() noexcept {
    const std::string_view token = rest_.substr(0, wire::first_not(rest_, wire::token_char));
    rest_.remove_prefix(token.size());
    return token;
  }
  bool parameter(std::string_view name) {
    rest_.remove_prefix(1);
    skip_blanks();
    std::string value;
    if (!rest_.empty() && rest_.front() == '"') {
      rest_.remove_prefix(1);
      for (;;) {
        if (rest_.empty()) return false;
        char c = rest_.front();
        rest_.remove_prefix(1);
        if (c == '"') break;
        if (c == '\\') {
          if (rest_.empty()) return false;
          c = rest_.front();
          rest_.remove_prefix(1);
        }
        value.push_back(c);
      }
    } else {
      value = take_token();
      if (value.empty()) return false;
    }
    into_.back().parameters.emplace(lower(name), std::move(value));
    return true;
  }
  /// After a scheme and a blank: a token68, unless it turns out to be a parameter or a scheme.
  void token68() {
    std::size_t end = 0;
    while (end < rest_.size() && is_token68(rest_[end])) ++end;
    std::string_view after = rest_.substr(end);
    while (!after.empty() && wire::is_blank(after.front())) after.remove_prefix(1);
    if (end == 0 || (!after.empty() && after.front() != ',')) return;
    const std::string_view token = rest_.substr(0, end);
    // '=' within is a parameter's; at the end it is padding.
    const std::size_t equals = token.find('=');
    if (equals != std::string_view::npos &&
        token.find_first_not_of('=', equals) != std::string_view::npos) {
      return;
    }
    into_.back().token = token;
    rest_ = after;
    open_ = false;
  }

  std::string_view rest_;
  std::vector<Challenge>& into_;
  bool open_ = false;  ///< The last challenge may have parameters.
};

}  // namespace

std::string basic_authorization(std::string_view user, std::string_view password) {
  std::string pair(user);
  pair.append(":").append(password);
  return "Basic " + base::to_base64(pair);
}

std::string bearer_authorization(std::string_view token) { return "Bearer " + std::string(token); }

std::vector<Challenge> parse_challenges(const Headers& headers, std::string_view name) {
  std::vector<Challenge> challenges;
  for (const Headers::Field field : headers) {
    if (same_name(field.name, name)) ChallengeReader(field.value, challenges).read();
  }
  return challenges;
}

}  // namespace knative::http
