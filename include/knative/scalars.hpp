/// \file
/// Small values that Kubernetes-style objects are made of, each with one text form: points in
/// time, durations, quantities, "number or name", and bytes. Pure values, no clock is read here.
///
/// \code
/// auto memory = knative::Quantity::parse("1.5Gi").value();
/// memory.to_string();                                     // "1536Mi"
/// memory > knative::Quantity::parse("1G").value();        // true
/// \endcode
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "knative/error.hpp"

namespace knative {

using Duration = std::chrono::nanoseconds;
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

/// Labels, annotations, selectors and other text by text.
using StringMap = std::map<std::string, std::string, std::less<>>;

/// A point in calendar time, written as RFC 3339.
struct Timestamp {
  WallTime at{};

  Timestamp() = default;
  Timestamp(WallTime time) : at(time) {}  // NOLINT: implicit, `status.start_time = timers.wall()`
  /// Parse "2019-06-01T12:00:00Z", with an optional fraction and a zone Z or +hh:mm, for the years
  /// 1678 to 2261. Fails with `invalid_argument`.
  KNATIVE_EXPORT static Result<Timestamp> parse(std::string_view text);
  /// In UTC with "Z"; a fraction only when there is one, without trailing zeros.
  KNATIVE_EXPORT std::string to_string() const;
  friend auto operator<=>(const Timestamp&, const Timestamp&) = default;
};

/// Parse Go's duration syntax: "300ms", "1h30m", "-1.5s", "0"; units ns, us, µs, ms, s, m, h.
/// Fails with `invalid_argument` on anything else and beyond about 292 years.
KNATIVE_EXPORT Result<Duration> parse_duration(std::string_view text);
/// Go's canonical form: "10m0s", "1.5s", "300ms", "0s".
KNATIVE_EXPORT std::string format_duration(Duration duration);

/// Parse ISO 8601 as Knative's delivery options use it: "PT10S", "PT0.2S", "PT0,2S", "P1DT2H3M"; a
/// month has its average length in the calendar (2629746 s), a year twelve of them. "P0" is none.
/// Fails with `invalid_argument`.
KNATIVE_EXPORT Result<Duration> parse_iso8601_duration(std::string_view text);

/// A fixed-point number with a unit suffix, e.g. "100m", "1.5Gi", "2k", "1e3".
///
/// Range and rounding follow Kubernetes: at most 2^63-1 in magnitude (larger is capped), at least
/// one billionth (smaller is rounded away from zero). Comparison is by number: 1000m == 1.
class Quantity {
 public:
  /// How `to_string` picks the suffix; taken from the parsed text.
  enum class Format : unsigned char { decimal_si, binary_si, decimal_exponent };

  Quantity() = default;
  explicit Quantity(std::int64_t whole, Format format = Format::decimal_si)
      : whole_(whole), format_(format) {}
  /// `milli` thousandths: `Quantity::from_milli(250)` is "250m".
  KNATIVE_EXPORT static Quantity from_milli(std::int64_t milli);
  /// Fails with `invalid_argument` when the text is no quantity.
  KNATIVE_EXPORT static Result<Quantity> parse(std::string_view text);
  /// The canonical form: no fraction, the largest suffix that keeps the number whole.
  KNATIVE_EXPORT std::string to_string() const;

  /// Rounded up, away from zero.
  KNATIVE_EXPORT std::int64_t value() const noexcept;
  /// In thousandths, rounded up; capped at the int64 range.
  KNATIVE_EXPORT std::int64_t milli_value() const noexcept;
  double to_double() const noexcept {
    return static_cast<double>(whole_) + static_cast<double>(nano_) / 1e9;
  }
  bool is_zero() const noexcept { return whole_ == 0 && nano_ == 0; }
  bool is_negative() const noexcept { return whole_ < 0 || nano_ < 0; }
  Format format() const noexcept { return format_; }

  friend std::strong_ordering operator<=>(const Quantity& a, const Quantity& b) noexcept {
    if (a.whole_ != b.whole_) return a.whole_ <=> b.whole_;
    return a.nano_ <=> b.nano_;
  }
  friend bool operator==(const Quantity& a, const Quantity& b) noexcept {
    return a.whole_ == b.whole_ && a.nano_ == b.nano_;
  }

 private:
  std::int64_t whole_ = 0;
  std::int32_t nano_ = 0;  // Same sign as whole_, below one billion in magnitude.
  Format format_ = Format::decimal_si;
};

/// A port number or the name of a port.
class IntOrString {
 public:
  IntOrString() = default;
  IntOrString(std::int32_t number) : number_(number) {}                        // NOLINT: implicit
  IntOrString(std::string name) : is_string_(true), name_(std::move(name)) {}  // NOLINT: implicit
  IntOrString(const char* name) : is_string_(true), name_(name) {}             // NOLINT: implicit
  bool is_string() const noexcept { return is_string_; }
  std::int32_t number() const noexcept { return number_; }
  const std::string& name() const noexcept { return name_; }
  /// True for the default: the number 0.
  bool is_zero() const noexcept { return !is_string_ && number_ == 0; }
  std::string to_string() const { return is_string_ ? name_ : std::to_string(number_); }
  friend bool operator==(const IntOrString&, const IntOrString&) = default;

 private:
  bool is_string_ = false;
  std::int32_t number_ = 0;
  std::string name_;
};

/// Octets that are base64 in JSON and YAML.
struct Bytes {
  std::string bytes = {};

  Bytes() = default;
  Bytes(std::string octets) : bytes(std::move(octets)) {}  // NOLINT: implicit
  Bytes(const char* octets) : bytes(octets) {}             // NOLINT: implicit
  friend bool operator==(const Bytes&, const Bytes&) = default;
};

/// Standard alphabet with padding (RFC 4648 section 4).
KNATIVE_EXPORT std::string base64_encode(std::string_view octets);
/// Line breaks are skipped. Fails with `invalid_argument` on other foreign characters and on
/// missing or wrong padding.
KNATIVE_EXPORT Result<std::string> base64_decode(std::string_view text);

}  // namespace knative
