/// \file
/// What the Eventing kinds share: references, destinations, delivery options and filters; part of
/// eventing.hpp, and for kinds of a host's own.
///
/// Plain values with the names of eventing.knative.dev/v1 in snake_case. Nothing here runs
/// anything.
///
/// \code
/// knative::eventing::DeliverySpec delivery{.retry = 3, .backoff_delay = "PT0.2S"};
/// \endcode
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "knative/meta.hpp"

namespace knative::eventing {

/// A reference to an object; an empty namespace means the referrer's own.
struct KReference {
  std::string api_version = {};
  std::string kind = {};
  std::string namespace_ = {};
  std::string name = {};
  std::string address = {};  ///< Which of the target's addresses; empty: its first.
  friend bool operator==(const KReference&, const KReference&) = default;
};

/// Where events go: an object with an address, or a URI (absolute; relative only with `ref`).
struct Destination {
  std::optional<KReference> ref = {};
  std::string uri = {};
  std::string ca_certs = {};  ///< PEM.
  std::string audience = {};
  friend bool operator==(const Destination&, const Destination&) = default;
};

/// An address of an object, as others read it from its status.
struct Addressable {
  std::string name = {};
  std::string url = {};
  std::string ca_certs = {};
  std::string audience = {};
  friend bool operator==(const Addressable&, const Addressable&) = default;
};

/// How delivery is tried again and where failures go. Durations are ISO 8601 ("PT0.2S"), see
/// `parse_iso8601_duration`.
struct DeliverySpec {
  std::optional<Destination> dead_letter_sink = {};
  std::optional<std::int32_t> retry = {};  ///< Tries after the first; unset: the broker's default.
  std::string timeout = {};                ///< Of one attempt.
  std::string backoff_policy = {};         ///< "linear" or "exponential".
  std::string backoff_delay = {};
  std::string retry_after_max = {};  ///< Upper bound of a server's Retry-After.
  std::string format = {};           ///< "json": structured mode; "binary" or empty: binary.
  friend bool operator==(const DeliverySpec&, const DeliverySpec&) = default;
};

/// A value on the heap that is copied and compared like a member: lets a struct contain itself.
template <class T>
class Boxed {
 public:
  Boxed() = default;
  Boxed(T value) : value_(std::make_unique<T>(std::move(value))) {}  // NOLINT: implicit
  Boxed(const Boxed& other) : value_(other.value_ ? std::make_unique<T>(*other.value_) : nullptr) {}
  Boxed(Boxed&&) noexcept = default;
  Boxed& operator=(Boxed other) noexcept {
    value_ = std::move(other.value_);
    return *this;
  }
  ~Boxed() = default;
  using value_type = T;
  bool has_value() const noexcept { return value_ != nullptr; }
  explicit operator bool() const noexcept { return has_value(); }
  T& operator*() noexcept { return *value_; }
  const T& operator*() const noexcept { return *value_; }
  T* operator->() noexcept { return value_.get(); }
  const T* operator->() const noexcept { return value_.get(); }
  T& emplace() {
    value_ = std::make_unique<T>();
    return *value_;
  }
  void reset() noexcept { value_.reset(); }
  friend bool operator==(const Boxed& a, const Boxed& b) {
    return a.has_value() == b.has_value() && (!a || *a == *b);
  }

 private:
  std::unique_ptr<T> value_;
};

/// One filter expression; exactly one member is set.
struct SubscriptionsAPIFilter {
  StringMap exact = {};
  StringMap prefix = {};
  StringMap suffix = {};
  std::vector<SubscriptionsAPIFilter> all = {};
  std::vector<SubscriptionsAPIFilter> any = {};
  Boxed<SubscriptionsAPIFilter> not_ = {};
  std::string cesql = {};
  friend bool operator==(const SubscriptionsAPIFilter&, const SubscriptionsAPIFilter&) = default;
};

/// The older filter: every attribute equals the value; an empty value means any.
struct TriggerFilter {
  StringMap attributes = {};
  friend bool operator==(const TriggerFilter&, const TriggerFilter&) = default;
};

/// Their lists of fields, for structs that hold these.
KNATIVE_EXPORT const fields::Struct& describe(const KReference*);
KNATIVE_EXPORT const fields::Struct& describe(const Destination*);
KNATIVE_EXPORT const fields::Struct& describe(const Addressable*);
KNATIVE_EXPORT const fields::Struct& describe(const DeliverySpec*);
KNATIVE_EXPORT const fields::Struct& describe(const SubscriptionsAPIFilter*);

}  // namespace knative::eventing
