/// \file
/// The header fields of HTTP messages, as a value. Knows no message and no connection.
///
/// \code
/// knative::http::Headers headers{{"Content-Type", "text/plain"}};
/// headers.add("Set-Cookie", "a=b");
/// if (headers.has("content-type")) headers.remove("set-cookie");
/// \endcode
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/version.hpp"

namespace knative::http {

/// Header fields in arrival order; names compare without case (RFC 9110 section 5.1).
///
/// All fields live in one text, in the form in which they are sent, so that a message is built
/// and forwarded by copying few bytes. Views into it are valid until the next change.
class KNATIVE_EXPORT Headers {
 public:
  struct Field {
    std::string_view name;
    std::string_view value;
    friend bool operator==(const Field&, const Field&) = default;
  };
  class Iterator {
   public:
    using value_type = Field;
    using difference_type = std::ptrdiff_t;
    using reference = Field;
    using pointer = void;
    using iterator_category = std::input_iterator_tag;
    Iterator() = default;
    Iterator(const Headers* headers, std::size_t index) noexcept
        : headers_(headers), index_(index) {}
    Field operator*() const noexcept { return headers_->at(index_); }
    Iterator& operator++() noexcept {
      ++index_;
      return *this;
    }
    Iterator operator++(int) noexcept { return Iterator(headers_, index_++); }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    const Headers* headers_ = nullptr;
    std::size_t index_ = 0;
  };

  Headers() = default;
  Headers(std::initializer_list<Field> fields) {
    for (const Field& field : fields) add(field.name, field.value);
  }
  Headers(const Headers&) = default;
  Headers& operator=(const Headers&) = default;
  /// `other` is empty afterwards.
  Headers(Headers&& other) noexcept
      : text_(std::move(other.text_)),
        lines_(std::move(other.lines_)),
        names_(std::exchange(other.names_, 0)) {}
  Headers& operator=(Headers&& other) noexcept {
    if (this == &other) return *this;
    text_ = std::move(other.text_);
    lines_ = std::move(other.lines_);
    names_ = std::exchange(other.names_, 0);
    return *this;
  }

  /// The value of the first field of that name.
  std::optional<std::string_view> get(std::string_view name) const noexcept;
  bool has(std::string_view name) const noexcept { return get(name).has_value(); }
  /// Replace all fields of that name by one. See `add` for what is refused.
  bool set(std::string_view name, std::string_view value);
  /// Append a field, keeping others of that name. Surrounding blanks of the value are cut;
  /// CR, LF and NUL in it become blanks (RFC 9110 section 5.5). A name that is no token is
  /// refused: nothing is added and false is returned.
  bool add(std::string_view name, std::string_view value);
  /// Remove all fields of that name. Returns how many there were.
  std::size_t remove(std::string_view name);
  void clear() noexcept {
    text_.clear();
    lines_.clear();
    names_ = 0;
  }

  std::size_t size() const noexcept { return lines_.size(); }
  bool empty() const noexcept { return lines_.empty(); }
  /// The field at a position below `size()`.
  Field at(std::size_t index) const noexcept {
    const Line& line = lines_[index];
    return Field{
        std::string_view(text_).substr(line.begin, line.name_length),
        std::string_view(text_).substr(line.begin + line.name_length + 2, line.value_length)};
  }
  Iterator begin() const noexcept { return Iterator(this, 0); }
  Iterator end() const noexcept { return Iterator(this, lines_.size()); }
  /// Same fields with the same spelling in the same order.
  friend bool operator==(const Headers& a, const Headers& b) { return a.text_ == b.text_; }

 private:
  friend struct HeadersAccess;
  struct Line {
    std::uint32_t begin;  ///< Offset of the name in `text_`; "name: value CR LF" follows.
    std::uint32_t name_length;
    std::uint32_t value_length;
  };
  void append(std::string_view name, std::string_view value);
  std::string text_;
  std::vector<Line> lines_;
  std::uint32_t names_ = 0;  ///< Bits of the names there that the library looks at.
};

/// Compare header names without case (ASCII).
KNATIVE_EXPORT bool same_name(std::string_view a, std::string_view b) noexcept;

/// Remove the fields that concern one connection only: Connection and every field it names,
/// Keep-Alive, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer,
/// Transfer-Encoding, Upgrade (RFC 9110 section 7.6.1). A proxy calls it on both messages.
KNATIVE_EXPORT void remove_hop_by_hop(Headers& headers);

}  // namespace knative::http
