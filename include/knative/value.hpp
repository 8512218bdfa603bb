/// \file
/// `Value`: data whose shape is known only at run time, and JSON text in and out.
///
/// It carries event data, free-form object fields and everything that is on its way between text
/// and typed structs. It is not a document editor: comments, key order and number spelling are not
/// kept. Integers and floating point numbers stay what they were. A `Value` is an ordinary value:
/// copyable, comparable, owned by whoever holds it.
///
/// \code
/// knative::Value order = {{"id", 7}, {"lines", {"tea", "cup"}}};
/// std::string text = order.to_json();                    // {"id":7,"lines":["tea","cup"]}
/// const knative::Value* second = order.at_path("lines[1]");
/// \endcode
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "knative/error.hpp"

namespace knative {

/// Bounds of `Value::parse_json`.
struct JsonLimits {
  std::size_t depth_max = 64;                     ///< Nested lists and maps.
  std::size_t bytes_max = std::size_t{64} << 20;  ///< Length of the text.
};

/// Null, bool, int64, double, string, list or map.
class KNATIVE_EXPORT Value {
 public:
  using List = std::vector<Value>;
  using Map = std::map<std::string, Value, std::less<>>;
  /// In the order of the alternatives.
  enum class Type : unsigned char { null, boolean, integer, real, string, list, map };

  Value() noexcept = default;
  Value(std::nullptr_t) noexcept {}  // NOLINT: implicit
  template <class T>
  requires std::is_same_v<T, bool> Value(T value)
  noexcept : data_(value) {}  // NOLINT: implicit
  /// Integers; unsigned ones above the int64 range become a double.
  template <class T>
  requires(std::is_integral_v<T> && !std::is_same_v<T, bool>) Value(T value)
  noexcept {  // NOLINT: implicit
    if constexpr (std::is_unsigned_v<T> && sizeof(T) >= sizeof(std::int64_t)) {
      if (value > static_cast<T>(INT64_MAX)) {
        data_ = static_cast<double>(value);
        return;
      }
    }
    data_ = static_cast<std::int64_t>(value);
  }
  template <class T>
  requires std::is_floating_point_v<T> Value(T value)
  noexcept : data_(static_cast<double>(value)) {}                 // NOLINT: implicit
  Value(std::string value) noexcept : data_(std::move(value)) {}  // NOLINT: implicit
  Value(std::string_view value) : data_(std::string(value)) {}    // NOLINT: implicit
  Value(const char* value) : data_(std::string(value)) {}         // NOLINT: implicit
  Value(List value) noexcept : data_(std::move(value)) {}         // NOLINT: implicit
  Value(Map value) noexcept : data_(std::move(value)) {}          // NOLINT: implicit
  /// A map when every element is a list of two whose first is a string, otherwise a list; `{}` is
  /// null. To copy a `Value` write `Value b = a;` or `Value b(a);`: braces would wrap it in a list.
  Value(std::initializer_list<Value> elements);

  Type type() const noexcept { return static_cast<Type>(data_.index()); }
  /// "null", "boolean", "integer", "number", "string", "list" or "map".
  std::string_view type_name() const noexcept;
  bool is_null() const noexcept { return type() == Type::null; }
  bool is_string() const noexcept { return type() == Type::string; }
  bool is_list() const noexcept { return type() == Type::list; }
  bool is_map() const noexcept { return type() == Type::map; }
  /// Integer or double.
  bool is_number() const noexcept { return type() == Type::integer || type() == Type::real; }

  /// The alternative, or null when another one is held.
  const bool* if_bool() const noexcept { return std::get_if<bool>(&data_); }
  const std::int64_t* if_int() const noexcept { return std::get_if<std::int64_t>(&data_); }
  const double* if_double() const noexcept { return std::get_if<double>(&data_); }
  const std::string* if_string() const noexcept { return std::get_if<std::string>(&data_); }
  const List* if_list() const noexcept { return std::get_if<List>(&data_); }
  const Map* if_map() const noexcept { return std::get_if<Map>(&data_); }
  List* if_list() noexcept { return std::get_if<List>(&data_); }
  Map* if_map() noexcept { return std::get_if<Map>(&data_); }

  /// The alternative; throw `Exception` (`invalid_argument`) when another one is held.
  bool as_bool() const;
  std::int64_t as_int() const;
  /// Also converts an integer.
  double as_double() const;
  const std::string& as_string() const;
  const List& as_list() const;
  const Map& as_map() const;
  List& as_list();
  Map& as_map();

  /// The member of a map, or null when this is no map or has no such key.
  const Value* find(std::string_view key) const noexcept;
  Value* find(std::string_view key) noexcept;
  /// Follow "a.b[0].c"; keys that hold dots or brackets are written ["a.b"]. Null when any part is
  /// missing or the path is malformed.
  const Value* at_path(std::string_view path) const;
  /// The member of a map, created when absent; null becomes a map first. Throws `Exception`
  /// (`invalid_argument`) on any other type.
  Value& operator[](std::string_view key);
  /// Append to a list; null becomes a list first. Throws `Exception` on any other type.
  void push_back(Value element);
  /// Elements of a list or map; 0 for everything else.
  std::size_t size() const noexcept;
  bool empty() const noexcept { return size() == 0; }

  /// Parse one JSON text (RFC 8259, strict: no comments, no trailing commas, valid UTF-8).
  /// Fails with `invalid_argument`, naming the byte offset, on bad syntax and on duplicate keys,
  /// and with `resource_exhausted` when a limit is exceeded. Whole numbers without fraction or
  /// exponent become integers when they fit in int64, otherwise doubles.
  static Result<Value> parse_json(std::string_view text, const JsonLimits& limits);
  static Result<Value> parse_json(std::string_view text) { return parse_json(text, JsonLimits{}); }
  /// Compact text with keys in byte order; the same value always gives the same bytes. Doubles are
  /// written shortest and keep a fraction or exponent; infinities and NaN become null; bytes that
  /// are not UTF-8 become U+FFFD.
  std::string to_json() const;
  /// The same, two spaces of indent, ending without a newline.
  std::string to_json_pretty() const;
  /// Append the compact text to `out`.
  void append_json(std::string& out) const;

  friend bool operator==(const Value&, const Value&) = default;

 private:
  std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, List, Map> data_ = nullptr;
};

/// Append `text` as a JSON string literal, quotes included. Same escaping as `Value::to_json`.
KNATIVE_EXPORT void append_json_string(std::string& out, std::string_view text);

}  // namespace knative
