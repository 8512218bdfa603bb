// Label and field selectors: the text forms of Kubernetes' API and their matching.
#include <algorithm>
#include <cctype>

#include "knative/core.hpp"
#include "knative/store.hpp"

namespace knative {
namespace {

bool is_name_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
}

bool is_qualified_part(std::string_view part) {
  if (part.empty() || part.size() > 63) return false;
  const auto alnum = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  return std::all_of(part.begin(), part.end(), is_name_char) && alnum(part.front()) &&
         alnum(part.back());
}

bool is_label_key(std::string_view key) {
  const std::size_t slash = key.find('/');
  if (slash == std::string_view::npos) return is_qualified_part(key);
  const std::string_view prefix = key.substr(0, slash);
  if (prefix.empty() || prefix.size() > 253) return false;
  return std::all_of(prefix.begin(), prefix.end(), is_name_char) &&
         is_qualified_part(key.substr(slash + 1));
}

bool is_label_value(std::string_view value) { return value.empty() || is_qualified_part(value); }

// Words, commas, brackets and operators of a selector.
class Tokens {
 public:
  explicit Tokens(std::string_view text) : text_(text) { advance(); }
  std::string_view peek() const { return token_; }
  bool done() const { return token_.empty(); }
  std::string_view take() {
    const std::string_view token = token_;
    advance();
    return token;
  }
  bool accept(std::string_view token) {
    if (token_ != token) return false;
    advance();
    return true;
  }

 private:
  void advance() {
    while (position_ < text_.size() &&
           std::isspace(static_cast<unsigned char>(text_[position_])) != 0) {
      ++position_;
    }
    const std::size_t begin = position_;
    if (begin == text_.size()) {
      token_ = {};
      return;
    }
    const auto is_word = [](char c) { return is_name_char(c) || c == '/'; };
    if (is_word(text_[begin])) {
      while (position_ < text_.size() && is_word(text_[position_])) ++position_;
    } else {
      const std::string_view two = text_.substr(begin, 2);
      position_ += two == "==" || two == "!=" ? 2 : 1;
    }
    token_ = text_.substr(begin, position_ - begin);
  }

  std::string_view text_;
  std::string_view token_;
  std::size_t position_ = 0;
};

Error bad_selector(std::string_view text, std::string_view why) {
  return fail(Errc::invalid_argument, "unable to parse requirement: " + std::string(why) +
                                          " in selector \"" + std::string(text) + "\"");
}

bool is_punctuation(std::string_view token) {
  return token.empty() || !(is_name_char(token.front()) || token.front() == '/');
}

Result<std::vector<std::string>> parse_set(Tokens& tokens, std::string_view text) {
  if (!tokens.accept("(")) return bad_selector(text, "expected '(' after in or notin");
  std::vector<std::string> values;
  for (;;) {
    std::string value;
    if (!is_punctuation(tokens.peek())) value = std::string(tokens.take());
    if (!is_label_value(value)) return bad_selector(text, "'" + value + "' is not a label value");
    values.push_back(std::move(value));
    if (tokens.accept(")")) break;
    if (!tokens.accept(",")) return bad_selector(text, "expected ',' or ')'");
  }
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

Result<LabelSelector::Requirement> parse_requirement(Tokens& tokens, std::string_view text) {
  using Operator = LabelSelector::Operator;
  LabelSelector::Requirement requirement;
  const bool negated = tokens.accept("!");
  if (is_punctuation(tokens.peek())) {
    return bad_selector(text, "expected a label key, found '" + std::string(tokens.peek()) + "'");
  }
  requirement.key = std::string(tokens.take());
  if (!is_label_key(requirement.key)) {
    return bad_selector(text, "'" + requirement.key + "' is not a label key");
  }
  if (negated) {
    requirement.op = Operator::does_not_exist;
    return requirement;
  }
  if (tokens.done() || tokens.peek() == ",") return requirement;
  const std::string_view op = tokens.take();
  if (op == "=" || op == "==" || op == "!=") {
    requirement.op = op == "!=" ? Operator::not_equals : Operator::equals;
    std::string value;
    if (!is_punctuation(tokens.peek())) value = std::string(tokens.take());
    if (!is_label_value(value)) return bad_selector(text, "'" + value + "' is not a label value");
    requirement.values.push_back(std::move(value));
    return requirement;
  }
  if (op != "in" && op != "notin") {
    return bad_selector(text, "'" + std::string(op) + "' is no operator");
  }
  requirement.op = op == "in" ? Operator::in : Operator::not_in;
  Result<std::vector<std::string>> values = parse_set(tokens, text);
  if (!values) return values.error();
  requirement.values = std::move(*values);
  return requirement;
}

std::string join(const std::vector<std::string>& values) {
  std::string out;
  for (const std::string& value : values) {
    if (!out.empty() || &value != &values.front()) out += ',';
    out += value;
  }
  return out;
}

std::string field_value(const AnyObject& object, std::string_view field) {
  if (field == "metadata.name") return object.metadata().name;
  if (field == "metadata.namespace") return object.metadata().namespace_;
  const auto* secret = object.get_if<core::Secret>();
  return secret != nullptr ? secret->type : std::string();
}

}  // namespace

Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  LabelSelector selector;
  Tokens tokens(text);
  if (tokens.done()) return selector;
  for (;;) {
    Result<Requirement> requirement = parse_requirement(tokens, text);
    if (!requirement) return requirement.error();
    selector.requirements_.push_back(std::move(*requirement));
    if (tokens.done()) break;
    if (!tokens.accept(",")) {
      return bad_selector(text, "expected ',', found '" + std::string(tokens.peek()) + "'");
    }
  }
  return selector;
}

LabelSelector LabelSelector::equals(std::string key, std::string value) {
  LabelSelector selector;
  Requirement requirement;
  requirement.key = std::move(key);
  requirement.op = Operator::equals;
  requirement.values.push_back(std::move(value));
  selector.requirements_.push_back(std::move(requirement));
  return selector;
}

bool LabelSelector::matches(const std::map<std::string, std::string, std::less<>>& labels) const {
  for (const Requirement& requirement : requirements_) {
    const auto label = labels.find(requirement.key);
    const bool present = label != labels.end();
    const bool listed = present && std::binary_search(requirement.values.begin(),
                                                      requirement.values.end(), label->second);
    bool holds = false;
    switch (requirement.op) {
      case Operator::equals:
      case Operator::in: holds = listed; break;
      case Operator::not_equals:
      case Operator::not_in: holds = !listed; break;
      case Operator::exists: holds = present; break;
      case Operator::does_not_exist: holds = !present; break;
    }
    if (!holds) return false;
  }
  return true;
}

std::string LabelSelector::to_string() const {
  std::string out;
  for (const Requirement& requirement : requirements_) {
    if (!out.empty()) out += ',';
    switch (requirement.op) {
      case Operator::equals: out += requirement.key + "=" + requirement.values.front(); break;
      case Operator::not_equals: out += requirement.key + "!=" + requirement.values.front(); break;
      case Operator::in: out += requirement.key + " in (" + join(requirement.values) + ")"; break;
      case Operator::not_in:
        out += requirement.key + " notin (" + join(requirement.values) + ")";
        break;
      case Operator::exists: out += requirement.key; break;
      case Operator::does_not_exist: out += "!" + requirement.key; break;
    }
  }
  return out;
}

Result<FieldSelector> FieldSelector::parse(std::string_view text) {
  FieldSelector selector;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view term = text.substr(begin, end - begin);
    begin = end + 1;
    if (term.empty()) continue;
    const std::size_t equals = term.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return fail(Errc::invalid_argument, "invalid field selector \"" + std::string(text) +
                                              "\": can't understand '" + std::string(term) + "'");
    }
    Requirement requirement;
    requirement.negated = term[equals - 1] == '!';
    requirement.field = std::string(term.substr(0, equals - (requirement.negated ? 1 : 0)));
    std::string_view value = term.substr(equals + 1);
    if (!requirement.negated && value.starts_with('=')) value.remove_prefix(1);
    requirement.value = std::string(value);
    if (requirement.field != "metadata.name" && requirement.field != "metadata.namespace" &&
        requirement.field != "type") {
      return fail(Errc::invalid_argument, "field label not supported: " + requirement.field);
    }
    selector.requirements_.push_back(std::move(requirement));
  }
  return selector;
}

const std::string* FieldSelector::name() const noexcept {
  for (const Requirement& requirement : requirements_) {
    if (requirement.field == "metadata.name" && !requirement.negated) return &requirement.value;
  }
  return nullptr;
}

bool FieldSelector::matches(const AnyObject& object) const {
  for (const Requirement& requirement : requirements_) {
    const bool equal = field_value(object, requirement.field) == requirement.value;
    if (equal == requirement.negated) return false;
  }
  return true;
}

}  // namespace knative
