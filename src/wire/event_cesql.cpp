// Parser and evaluator of CloudEvents SQL 1.0. Operators bind in the order of the specification's
// grammar: NOT, unary minus, LIKE, EXISTS, IN, * / %, + -, comparison, AND OR XOR. The last three
// share one level and group from the right, as that grammar says.
#include "wire/event_cesql.hpp"

#include <limits>
#include <optional>
#include <vector>

#include "base/text.hpp"
#include "wire/event_cesql_functions.hpp"
#include "wire/event_text.hpp"

namespace knative::cesql {
namespace text = event_text;
namespace {

enum class Op : unsigned char {
  literal,
  attribute,
  exists,
  call,
  not_,
  negate,
  like,
  in,
  multiply,
  divide,
  modulo,
  add,
  subtract,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  and_,
  or_,
  xor_,
};

constexpr std::size_t depth_max = 100;
constexpr std::size_t nodes_max = 1000;  // a chain of operators makes a deep tree, too
constexpr std::size_t text_max = 16 * 1024;

}  // namespace

struct Expression::Node {
  Op op = Op::literal;
  bool negated = false;  ///< NOT LIKE, NOT IN
  Scalar literal;
  std::string name;  ///< attribute, function or LIKE pattern
  text::Slot slot = text::Slot::extension;
  const Function* function = nullptr;
  std::vector<std::unique_ptr<Node>> children;
};

namespace {

using Node = Expression::Node;
using NodePtr = std::unique_ptr<Node>;

// --------------------------------------------------------------------------- words

enum class Token : unsigned char { end, integer, string, word, symbol, bad };

struct Lexeme {
  Token kind = Token::end;
  std::string_view text;
  std::size_t at = 0;
};

using base::is_digit;
bool is_word(char c) noexcept { return is_digit(c) || base::is_letter(c) || c == '_'; }

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) { advance(); }

  const Lexeme& peek() const noexcept { return next_; }
  Lexeme take() {
    const Lexeme taken = next_;
    advance();
    return taken;
  }
  bool is(std::string_view symbol) const noexcept {
    return next_.kind == Token::symbol && next_.text == symbol;
  }
  bool is_keyword(std::string_view keyword) const noexcept {
    return next_.kind == Token::word && text::same_letters(next_.text, keyword);
  }
  bool accept(std::string_view symbol) {
    if (!is(symbol)) return false;
    advance();
    return true;
  }
  bool accept_keyword(std::string_view keyword) {
    if (!is_keyword(keyword)) return false;
    advance();
    return true;
  }

 private:
  void found(Token kind, std::size_t length) {
    next_ = Lexeme{kind, text_.substr(at_, length), at_};
    at_ += length;
  }
  void advance() {
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) {
      ++at_;
    }
    if (at_ == text_.size()) return found(Token::end, 0);
    const char c = text_[at_];
    const std::size_t sign = c == '+' || c == '-' ? 1 : 0;
    std::size_t end = at_ + sign;
    while (end < text_.size() && is_digit(text_[end])) ++end;
    const bool number = end > at_ + sign;
    if (sign == 1 && number) return found(Token::integer, end - at_);
    while (end < text_.size() && is_word(text_[end]) && sign == 0) ++end;
    if (sign == 0 && end > at_) {
      bool digits = true;
      for (std::size_t i = at_; i < end; ++i) digits = digits && is_digit(text_[i]);
      return found(digits ? Token::integer : Token::word, end - at_);
    }
    if (c == '\'' || c == '"') return quoted(c);
    for (const std::string_view symbol : {"!=", "<>", ">=", "<="}) {
      if (text_.substr(at_, 2) == symbol) return found(Token::symbol, 2);
    }
    const bool known = std::string_view("()*/%+-=<>,").find(c) != std::string_view::npos;
    found(known ? Token::symbol : Token::bad, 1);
  }
  void quoted(char quote) {
    for (std::size_t end = at_ + 1; end < text_.size(); ++end) {
      if (text_[end] == '\\' && end + 1 < text_.size()) {
        ++end;
      } else if (text_[end] == quote) {
        if (end + 1 < text_.size() && text_[end + 1] == quote) {
          ++end;  // a doubled quote stands for itself
        } else {
          return found(Token::string, end + 1 - at_);
        }
      }
    }
    found(Token::bad, text_.size() - at_);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  Lexeme next_;
};

/// What stands between the quotes; escapes of the quote are undone, others stay for LIKE.
std::string unquote(std::string_view text) {
  const char quote = text.front();
  text = text.substr(1, text.size() - 2);
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (at + 1 < text.size() && text[at + 1] == quote && (text[at] == '\\' || text[at] == quote)) {
      ++at;
    } else if (text[at] == '\\' && at + 1 < text.size()) {
      out += text[at++];
    }
    out += text[at];
  }
  return out;
}

// --------------------------------------------------------------------------- parser

constexpr int level_logic = 1;
constexpr int level_compare = 2;
constexpr int level_add = 3;
constexpr int level_multiply = 4;
constexpr int level_in = 5;
constexpr int level_like = 6;
constexpr int level_negate = 7;
constexpr int level_not = 8;

struct Binary {
  Op op;
  int level;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(text) {}

  NodePtr parse() {
    NodePtr root = expression(level_logic);
    if (root && lexer_.peek().kind != Token::end) return error("nothing more is expected here");
    return root;
  }
  const std::string& message() const { return message_; }

 private:
  NodePtr error(std::string_view why) {
    if (message_.empty()) {
      const Lexeme& at = lexer_.peek();
      message_ = "position " + std::to_string(at.at) + ": " + std::string(why);
      if (at.kind != Token::end)
        message_ += ", found \"" + std::string(at.text.substr(0, 20)) + "\"";
    }
    return nullptr;
  }

  NodePtr make(Op op, NodePtr left = nullptr, NodePtr right = nullptr) {
    NodePtr node = std::make_unique<Node>();
    ++nodes_;
    node->op = op;
    if (left) node->children.push_back(std::move(left));
    if (right) node->children.push_back(std::move(right));
    return node;
  }

  std::optional<Binary> binary() const {
    const Lexeme& word = lexer_.peek();
    if (word.kind == Token::symbol) {
      if (word.text == "*") return Binary{Op::multiply, level_multiply};
      if (word.text == "/") return Binary{Op::divide, level_multiply};
      if (word.text == "%") return Binary{Op::modulo, level_multiply};
      if (word.text == "+") return Binary{Op::add, level_add};
      if (word.text == "-") return Binary{Op::subtract, level_add};
      if (word.text == "=") return Binary{Op::equal, level_compare};
      if (word.text == "!=" || word.text == "<>") return Binary{Op::not_equal, level_compare};
      if (word.text == "<") return Binary{Op::less, level_compare};
      if (word.text == "<=") return Binary{Op::less_equal, level_compare};
      if (word.text == ">") return Binary{Op::greater, level_compare};
      if (word.text == ">=") return Binary{Op::greater_equal, level_compare};
    }
    if (lexer_.is_keyword("and")) return Binary{Op::and_, level_logic};
    if (lexer_.is_keyword("or")) return Binary{Op::or_, level_logic};
    if (lexer_.is_keyword("xor")) return Binary{Op::xor_, level_logic};
    return std::nullopt;
  }

  /// An expression whose operators all bind at least as strongly as `level`.
  NodePtr expression(int level) {
    if (++depth_ > depth_max) return error("nested too deeply");
    NodePtr left = operand();  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): owned
    while (left) {
      const bool suffix =
          lexer_.is_keyword("not") || lexer_.is_keyword("like") || lexer_.is_keyword("in");
      if (suffix) {
        const int begin_level = suffix_level();
        if (begin_level < level) break;
        left = suffix_operator(std::move(left));
        continue;
      }
      const std::optional<Binary> found = binary();
      if (!found || found->level < level) break;
      lexer_.take();
      NodePtr right = expression(found->level == level_logic ? level_logic : found->level + 1);
      if (!right) return nullptr;
      left = make(found->op, std::move(left), std::move(right));
    }
    --depth_;
    if (nodes_ > nodes_max) return error("too many parts");
    return left;
  }

  /// The level of the LIKE or IN that comes next, after an optional NOT.
  int suffix_level() const {
    Lexer ahead = lexer_;
    ahead.accept_keyword("not");
    if (ahead.is_keyword("like")) return level_like;
    if (ahead.is_keyword("in")) return level_in;
    return 0;  // a NOT that belongs to nothing: left for the caller to complain about
  }

  NodePtr suffix_operator(NodePtr left) {
    const bool negated = lexer_.accept_keyword("not");
    if (lexer_.accept_keyword("like")) {
      if (lexer_.peek().kind != Token::string) return error("LIKE wants a quoted pattern");
      NodePtr node = make(Op::like, std::move(left));
      node->name = unquote(lexer_.take().text);
      node->negated = negated;
      return node;
    }
    lexer_.take();  // IN
    if (!lexer_.is("(")) return error("IN wants a list in parentheses");
    NodePtr node = make(Op::in, std::move(left));
    node->negated = negated;
    if (!list(*node, false)) return nullptr;
    return node;
  }

  bool list(Node& node, bool may_be_empty) {
    lexer_.take();  // (
    if (may_be_empty && lexer_.accept(")")) return true;
    for (;;) {
      NodePtr element = expression(level_logic);
      if (!element) return false;
      node.children.push_back(std::move(element));
      if (lexer_.accept(")")) return true;
      if (!lexer_.accept(",")) {
        error("expected \",\" or \")\"");
        return false;
      }
    }
  }

  NodePtr operand() {
    if (lexer_.accept_keyword("not")) {
      NodePtr inner = expression(level_not);
      return inner ? make(Op::not_, std::move(inner)) : nullptr;
    }
    if (lexer_.accept("-")) {
      NodePtr inner = expression(level_negate);
      return inner ? make(Op::negate, std::move(inner)) : nullptr;
    }
    if (lexer_.accept("(")) {
      NodePtr inner = expression(level_logic);
      if (inner && !lexer_.accept(")")) return error("expected \")\"");
      return inner;
    }
    if (lexer_.peek().kind == Token::string) {
      NodePtr node = make(Op::literal);
      node->literal = unquote(lexer_.take().text);
      return node;
    }
    if (lexer_.peek().kind == Token::integer) return integer();
    if (lexer_.peek().kind == Token::word) return word();
    return error("expected a value");
  }

  NodePtr integer() {
    ErrorKind failed = ErrorKind::none;
    NodePtr node = make(Op::literal);
    node->literal = to_integer(Scalar(std::string(lexer_.peek().text)), failed);
    if (failed != ErrorKind::none) return error("the integer is too large");
    lexer_.take();
    return node;
  }

  NodePtr word() {
    if (lexer_.is_keyword("true") || lexer_.is_keyword("false")) {
      NodePtr node = make(Op::literal);
      node->literal = text::same_letters(lexer_.take().text, "true");
      return node;
    }
    const bool exists = lexer_.accept_keyword("exists");
    for (const std::string_view reserved : {"and", "or", "xor", "like", "in", "exists", "not"}) {
      if (lexer_.is_keyword(reserved)) return error("expected a value");
    }
    if (lexer_.peek().kind != Token::word && lexer_.peek().kind != Token::integer) {
      return error("expected the name of an attribute");
    }
    const Lexeme name = lexer_.peek();
    lexer_.take();
    NodePtr node = make(exists ? Op::exists : Op::attribute);
    node->name = text::lower(name.text);
    if (!exists && lexer_.is("(")) {
      node->op = Op::call;
      if (!list(*node, true)) return nullptr;
      node->function = find_function(node->name, node->children.size());
      return node;
    }
    if (!text::is_attribute_name(node->name)) return error("expected the name of an attribute");
    node->slot = text::slot_of(node->name);
    return node;
  }

  Lexer lexer_;
  std::string message_;
  std::size_t depth_ = 0;
  std::size_t nodes_ = 0;
};

// --------------------------------------------------------------------------- evaluation

/// The value of an operand, and whether it is an attribute that the event does not have.
struct Operand {
  Scalar value;
  bool missing = false;
};

class Evaluator {
 public:
  explicit Evaluator(const CloudEvent& event) : event_(event) {}

  ErrorKind error() const noexcept { return error_; }

  Scalar value(const Node& node) {
    Operand found = operand(node);
    if (found.missing) raise(ErrorKind::missing_attribute);
    return std::move(found.value);
  }

 private:
  void raise(ErrorKind kind) noexcept {
    if (kind == ErrorKind::none) return;
    ++raised_;
    if (error_ == ErrorKind::none) error_ = kind;
  }

  Operand operand(const Node& node) {
    switch (node.op) {
      case Op::literal: return Operand{node.literal};
      case Op::attribute: return attribute(node);
      case Op::exists: return Operand{!attribute(node).missing};
      case Op::call: return Operand{call(node)};
      case Op::not_: return Operand{unary(node, false)};
      case Op::negate: return Operand{unary(node, std::int32_t{0})};
      case Op::like: return Operand{like(node)};
      case Op::in: return Operand{in(node)};
      case Op::and_:
      case Op::or_:
      case Op::xor_: return Operand{logic(node)};
      case Op::multiply:
      case Op::divide:
      case Op::modulo:
      case Op::add:
      case Op::subtract: return Operand{arithmetic(node)};
      default: return Operand{compare(node)};
    }
  }

  Operand attribute(const Node& node) {
    if (node.slot == text::Slot::extension) {
      const ExtensionValue* value = event_.extension(node.name);
      if (value == nullptr) return Operand{false, true};
      if (const bool* boolean = std::get_if<bool>(value)) return Operand{*boolean};
      if (const std::int32_t* number = std::get_if<std::int32_t>(value)) return Operand{*number};
      return Operand{std::get<std::string>(*value)};
    }
    const std::string_view value = text::context_text(event_, node.slot);
    if (value.empty()) return Operand{false, true};
    return Operand{std::string(value)};
  }

  /// The operand; empty, with the error raised, when it is a missing attribute or failed itself: an
  /// operator yields the zero of its type then.
  std::optional<Scalar> present(const Node& node) {
    const unsigned before = raised_;
    Operand found = operand(node);
    if (found.missing) raise(ErrorKind::missing_attribute);
    if (raised_ != before) return std::nullopt;
    return std::move(found.value);
  }
  bool boolean(const Scalar& value) {
    ErrorKind failed = ErrorKind::none;
    const bool result = to_boolean(value, failed);
    raise(failed);
    return result;
  }
  std::int32_t integer(const Scalar& value) {
    ErrorKind failed = ErrorKind::none;
    const std::int32_t result = to_integer(value, failed);
    raise(failed);
    return result;
  }

  Scalar unary(const Node& node, Scalar zero) {
    const std::optional<Scalar> inner = present(*node.children[0]);
    if (!inner) return zero;
    if (node.op == Op::not_) return !boolean(*inner);
    const std::int32_t number = integer(*inner);
    if (number == std::numeric_limits<std::int32_t>::min()) {
      raise(ErrorKind::math);
      return std::numeric_limits<std::int32_t>::max();
    }
    return -number;
  }

  bool like(const Node& node) {
    const std::optional<Scalar> left = present(*node.children[0]);
    if (!left) return false;
    return matches_pattern(to_text(*left), node.name) != node.negated;
  }

  bool in(const Node& node) {
    const std::optional<Scalar> left = present(*node.children[0]);
    if (!left) return false;
    bool found = false;
    for (std::size_t i = 1; i < node.children.size(); ++i) {
      const std::optional<Scalar> element = present(*node.children[i]);
      if (!element) return false;
      if (cast_like(*element, *left) == *left) {
        found = true;
        break;
      }
    }
    return found != node.negated;
  }

  /// `value` cast to the type of `model`.
  Scalar cast_like(const Scalar& value, const Scalar& model) {
    if (std::holds_alternative<bool>(model)) return boolean(value);
    if (std::holds_alternative<std::int32_t>(model)) return integer(value);
    return to_text(value);
  }

  bool logic(const Node& node) {
    const std::optional<Scalar> first = present(*node.children[0]);
    if (!first) return false;
    const bool left = boolean(*first);
    if (node.op == Op::and_ && !left) return false;
    if (node.op == Op::or_ && left) return true;
    const std::optional<Scalar> second = present(*node.children[1]);
    if (!second) return false;
    const bool right = boolean(*second);
    return node.op == Op::xor_ ? left != right : right;
  }

  Scalar arithmetic(const Node& node) {
    const std::optional<Scalar> first = present(*node.children[0]);
    const std::optional<Scalar> second = present(*node.children[1]);
    if (!first || !second) return std::int32_t{0};
    const std::int64_t left = integer(*first);
    const std::int64_t right = integer(*second);
    if ((node.op == Op::divide || node.op == Op::modulo) && right == 0) {
      raise(ErrorKind::math);
      return std::int32_t{0};
    }
    std::int64_t result = 0;
    switch (node.op) {
      case Op::multiply: result = left * right; break;
      case Op::divide: result = left / right; break;
      case Op::modulo: result = left % right; break;
      case Op::add: result = left + right; break;
      default: result = left - right; break;
    }
    const auto narrow = static_cast<std::int32_t>(result);
    if (narrow != result) raise(ErrorKind::math);
    return narrow;
  }

  bool compare(const Node& node) {
    const std::optional<Scalar> first = present(*node.children[0]);
    const std::optional<Scalar> second = present(*node.children[1]);
    if (!first || !second) return false;
    if (node.op == Op::equal) return cast_like(*first, *second) == *second;
    if (node.op == Op::not_equal) return cast_like(*first, *second) != *second;
    const std::int32_t left = integer(*first);
    const std::int32_t right = integer(*second);
    switch (node.op) {
      case Op::less: return left < right;
      case Op::less_equal: return left <= right;
      case Op::greater: return left > right;
      default: return left >= right;
    }
  }

  Scalar call(const Node& node) {
    if (node.function == nullptr) {
      raise(ErrorKind::missing_function);
      return false;
    }
    std::vector<Scalar> arguments;
    for (std::size_t i = 0; i < node.children.size(); ++i) {
      std::optional<Scalar> argument = present(*node.children[i]);
      if (!argument) return node.function->zero();
      switch (node.function->argument(i)) {
        case Type::boolean: arguments.emplace_back(boolean(*argument)); break;
        case Type::integer: arguments.emplace_back(integer(*argument)); break;
        case Type::string: arguments.emplace_back(to_text(*argument)); break;
        case Type::any: arguments.push_back(std::move(*argument)); break;
      }
    }
    ErrorKind failed = ErrorKind::none;
    Scalar result = node.function->run(arguments, failed);
    raise(failed);
    return result;
  }

  const CloudEvent& event_;
  ErrorKind error_ = ErrorKind::none;
  unsigned raised_ = 0;
};

}  // namespace

Expression::Expression(std::unique_ptr<Node> root) : root_(std::move(root)) {}
Expression::Expression(Expression&&) noexcept = default;
Expression& Expression::operator=(Expression&&) noexcept = default;
Expression::~Expression() = default;

Result<Expression> Expression::parse(std::string_view text) {
  if (text.size() > text_max) {
    return fail(Errc::invalid_argument, "cesql: longer than " + std::to_string(text_max));
  }
  Parser parser(text);
  NodePtr root = parser.parse();
  if (!root) return fail(Errc::invalid_argument, "cesql: " + parser.message());
  return Expression(std::move(root));
}

Outcome Expression::evaluate(const CloudEvent& event) const {
  Evaluator evaluator(event);
  Outcome outcome;
  outcome.value = evaluator.value(*root_);
  outcome.error = evaluator.error();
  return outcome;
}

}  // namespace knative::cesql
