// JSON text in and out of Value. The only file that knows Boost.JSON: its push parser checks the
// grammar, our handler builds Values, counts depth and refuses duplicate keys.
#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cmath>

#include "knative/value.hpp"

namespace knative {
namespace {

namespace json = boost::json;

// Our own reasons to stop, carried beside Boost's error code.
enum class Stop : unsigned char { none, duplicate_key, bad_number };

struct Handler {
  static constexpr std::size_t max_array_size = std::size_t(-1);
  static constexpr std::size_t max_object_size = std::size_t(-1);
  static constexpr std::size_t max_string_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = std::size_t(-1);

  struct Frame {
    Value container;
    std::string key;
  };
  std::vector<Frame> frames;
  Value result;
  std::string text;    // pieces of a string or key
  std::string number;  // pieces of a number
  std::string detail;
  Stop stop = Stop::none;

  bool add(Value value) {
    if (frames.empty()) {
      result = std::move(value);
      return true;
    }
    Frame& top = frames.back();
    if (Value::Map* map = top.container.if_map()) {
      map->insert_or_assign(std::move(top.key), std::move(value));
      top.key.clear();
    } else {
      top.container.if_list()->push_back(std::move(value));
    }
    return true;
  }
  bool close() {
    Value done = std::move(frames.back().container);
    frames.pop_back();
    return add(std::move(done));
  }
  bool refuse(Stop why, std::string what, json::error_code& ec) {
    stop = why;
    detail = std::move(what);
    ec = json::error::syntax;
    return false;
  }

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code&) {
    frames.push_back({Value(Value::Map{}), {}});
    return true;
  }
  bool on_object_end(std::size_t, json::error_code&) { return close(); }
  bool on_array_begin(json::error_code&) {
    frames.push_back({Value(Value::List{}), {}});
    return true;
  }
  bool on_array_end(std::size_t, json::error_code&) { return close(); }
  bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
    text.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, json::error_code& ec) {
    text.append(part.data(), part.size());
    Frame& top = frames.back();
    if (top.container.if_map()->contains(text)) {
      return refuse(Stop::duplicate_key, "duplicate key \"" + text + "\"", ec);
    }
    top.key = std::move(text);
    text.clear();
    return true;
  }
  bool on_string_part(json::string_view part, std::size_t, json::error_code&) {
    text.append(part.data(), part.size());
    return true;
  }
  bool on_string(json::string_view part, std::size_t, json::error_code&) {
    text.append(part.data(), part.size());
    Value value(std::move(text));
    text.clear();
    return add(std::move(value));
  }
  bool on_number_part(json::string_view part, json::error_code&) {
    number.append(part.data(), part.size());
    return true;
  }
  bool on_int64(std::int64_t value, json::string_view, json::error_code&) {
    number.clear();
    return add(Value(value));
  }
  bool on_uint64(std::uint64_t value, json::string_view, json::error_code&) {
    number.clear();
    return add(Value(value));
  }
  // Boost's own conversion is not correctly rounded in this version, so convert again.
  bool on_double(double, json::string_view part, json::error_code& ec) {
    number.append(part.data(), part.size());
    double exact = 0;
    const auto [end, code] = std::from_chars(number.data(), number.data() + number.size(), exact);
    if (code == std::errc::result_out_of_range) {
      // An underflow is a harmless zero; an overflow would change the meaning.
      const bool tiny =
          number.find("e-") != std::string::npos || number.find("E-") != std::string::npos;
      if (!tiny) return refuse(Stop::bad_number, "number " + number + " is out of range", ec);
      exact = 0;
    }
    number.clear();
    return add(Value(exact));
  }
  bool on_bool(bool value, json::error_code&) { return add(Value(value)); }
  bool on_null(json::error_code&) { return add(Value()); }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }
};

std::string offset_text(std::size_t offset) { return "byte " + std::to_string(offset) + ": "; }

// Length of the valid UTF-8 sequence at `text[at]`, or 0.
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(at);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || at + length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return 0;
  }
  const unsigned char second = byte(at + 1);
  // Overlong forms, surrogates, and code points above U+10FFFF.
  if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
      (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) {
    return 0;
  }
  return length;
}

void append_real(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char buffer[32];
  const auto [end, code] = std::to_chars(buffer, buffer + sizeof buffer, value);
  const std::string_view digits(buffer, static_cast<std::size_t>(end - buffer));
  out += digits;
  if (digits.find_first_of(".e") == std::string_view::npos) out += ".0";
}

class Writer {
 public:
  Writer(std::string& out, bool pretty) : out_(out), pretty_(pretty) {}

  void write(const Value& value) {
    switch (value.type()) {
      case Value::Type::null: out_ += "null"; break;
      case Value::Type::boolean: out_ += *value.if_bool() ? "true" : "false"; break;
      case Value::Type::integer: out_ += std::to_string(*value.if_int()); break;
      case Value::Type::real: append_real(out_, *value.if_double()); break;
      case Value::Type::string: append_json_string(out_, *value.if_string()); break;
      case Value::Type::list: write_list(*value.if_list()); break;
      case Value::Type::map: write_map(*value.if_map()); break;
    }
  }

 private:
  void line() {
    if (!pretty_) return;
    out_ += '\n';
    out_.append(2 * depth_, ' ');
  }
  void write_list(const Value::List& list) {
    out_ += '[';
    ++depth_;
    bool first = true;
    for (const Value& element : list) {
      if (!first) out_ += ',';
      first = false;
      line();
      write(element);
    }
    --depth_;
    if (!first) line();
    out_ += ']';
  }
  void write_map(const Value::Map& map) {
    out_ += '{';
    ++depth_;
    bool first = true;
    for (const auto& [key, element] : map) {
      if (!first) out_ += ',';
      first = false;
      line();
      append_json_string(out_, key);
      out_ += pretty_ ? ": " : ":";
      write(element);
    }
    --depth_;
    if (!first) line();
    out_ += '}';
  }

  std::string& out_;
  bool pretty_;
  std::size_t depth_ = 0;
};

[[noreturn]] void throw_type(std::string_view wanted, const Value& found) {
  throw Exception(fail(Errc::invalid_argument, "expected a " + std::string(wanted) + ", found " +
                                                   std::string(found.type_name())));
}

bool is_pair(const Value& value) {
  const Value::List* list = value.if_list();
  return list && list->size() == 2 && list->front().is_string();
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  static constexpr char hex[] = "0123456789abcdef";
  out += '"';
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x80) {
      const std::size_t length = utf8_length(text, i);
      out += length == 0 ? std::string_view("\xEF\xBF\xBD") : text.substr(i, length);
      i += length == 0 ? 1 : length;
      continue;
    }
    ++i;
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      default:
        if (c < 0x20) {
          out += "\\u00";
          out += hex[c >> 4];
          out += hex[c & 15];
        } else {
          out += static_cast<char>(c);
        }
    }
  }
  out += '"';
}

Value::Value(std::initializer_list<Value> elements) {
  if (elements.size() == 0) return;
  bool pairs = true;
  for (const Value& element : elements) pairs = pairs && is_pair(element);
  if (!pairs) {
    data_ = List(elements);
    return;
  }
  Map map;
  for (const Value& element : elements) {
    map.insert_or_assign(*element.as_list()[0].if_string(), element.as_list()[1]);
  }
  data_ = std::move(map);
}

std::string_view Value::type_name() const noexcept {
  static constexpr std::string_view names[] = {"null",   "boolean", "integer", "number",
                                               "string", "list",    "map"};
  return names[data_.index()];
}

bool Value::as_bool() const {
  if (const bool* value = if_bool()) return *value;
  throw_type("boolean", *this);
}
std::int64_t Value::as_int() const {
  if (const std::int64_t* value = if_int()) return *value;
  throw_type("integer", *this);
}
double Value::as_double() const {
  if (const double* value = if_double()) return *value;
  if (const std::int64_t* value = if_int()) return static_cast<double>(*value);
  throw_type("number", *this);
}
const std::string& Value::as_string() const {
  if (const std::string* value = if_string()) return *value;
  throw_type("string", *this);
}
const Value::List& Value::as_list() const {
  if (const List* value = if_list()) return *value;
  throw_type("list", *this);
}
const Value::Map& Value::as_map() const {
  if (const Map* value = if_map()) return *value;
  throw_type("map", *this);
}
Value::List& Value::as_list() {
  if (List* value = if_list()) return *value;
  throw_type("list", *this);
}
Value::Map& Value::as_map() {
  if (Map* value = if_map()) return *value;
  throw_type("map", *this);
}

const Value* Value::find(std::string_view key) const noexcept {
  const Map* map = if_map();
  if (!map) return nullptr;
  const auto found = map->find(key);
  return found == map->end() ? nullptr : &found->second;
}
Value* Value::find(std::string_view key) noexcept {
  return const_cast<Value*>(std::as_const(*this).find(key));
}

const Value* Value::at_path(std::string_view path) const {
  const Value* here = this;
  while (here && !path.empty()) {
    if (path.front() == '[') {
      const bool quoted = path.size() > 1 && path[1] == '"';
      const std::size_t end = path.find(quoted ? "\"]" : "]", quoted ? 2 : 1);
      if (end == std::string_view::npos) return nullptr;
      const std::string_view inside = path.substr(quoted ? 2 : 1, end - (quoted ? 2 : 1));
      path.remove_prefix(end + (quoted ? 2 : 1));
      if (quoted) {
        here = here->find(inside);
      } else {
        std::size_t index = 0;
        const char* last = inside.data() + inside.size();
        const auto [stop, code] = std::from_chars(inside.data(), last, index);
        const List* list = here->if_list();
        if (code != std::errc{} || stop != last || !list || index >= list->size()) return nullptr;
        here = &(*list)[index];
      }
    } else {
      const std::size_t end = std::min(path.find_first_of(".["), path.size());
      if (end == 0) return nullptr;
      here = here->find(path.substr(0, end));
      path.remove_prefix(end);
    }
    if (path.empty()) break;
    if (path.front() == '.') {
      path.remove_prefix(1);
      if (path.empty()) return nullptr;
    } else if (path.front() != '[') {
      return nullptr;
    }
  }
  return here;
}

Value& Value::operator[](std::string_view key) {
  if (is_null()) data_ = Map{};
  Map& map = as_map();
  const auto found = map.find(key);
  if (found != map.end()) return found->second;
  return map.emplace(std::string(key), Value()).first->second;
}

void Value::push_back(Value element) {
  if (is_null()) data_ = List{};
  as_list().push_back(std::move(element));
}

std::size_t Value::size() const noexcept {
  if (const List* list = if_list()) return list->size();
  if (const Map* map = if_map()) return map->size();
  return 0;
}

Result<Value> Value::parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes_max) {
    return fail(Errc::resource_exhausted, "JSON text of " + std::to_string(text.size()) +
                                              " bytes exceeds the limit of " +
                                              std::to_string(limits.bytes_max));
  }
  json::parse_options options;
  options.max_depth = limits.depth_max;
  json::basic_parser<Handler> parser(options);
  json::error_code ec;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), ec);
  Handler& handler = parser.handler();
  if (ec) {
    if (ec == json::error::too_deep) {
      return fail(Errc::resource_exhausted,
                  offset_text(used) + "nested deeper than " + std::to_string(limits.depth_max));
    }
    if (handler.stop != Stop::none) {
      return fail(Errc::invalid_argument, offset_text(used) + handler.detail);
    }
    return fail(Errc::invalid_argument, offset_text(used) + ec.message());
  }
  if (!parser.done()) return fail(Errc::invalid_argument, offset_text(used) + "incomplete JSON");
  if (used < text.size()) {
    return fail(Errc::invalid_argument, offset_text(used) + "extra data after the JSON value");
  }
  return std::move(handler.result);
}

void Value::append_json(std::string& out) const { Writer(out, false).write(*this); }

std::string Value::to_json() const {
  std::string out;
  append_json(out);
  return out;
}

std::string Value::to_json_pretty() const {
  std::string out;
  Writer(out, true).write(*this);
  return out;
}

}  // namespace knative
