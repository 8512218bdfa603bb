/// \file
/// Which objects are meant: conditions on labels, and on a few fields, in Kubernetes' text forms.
///
/// Values: copyable, comparable, without references to a store.
///
/// \code
/// const auto shops = knative::LabelSelector::parse("app in (shop, cart)").value();
/// if (shops.matches(object.metadata().labels)) ...
/// \endcode
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"
#include "knative/object.hpp"

namespace knative {

/// Conditions on labels: "a=b,c in (d,e),f notin (g),h,!i", all of which must hold.
class KNATIVE_EXPORT LabelSelector {
 public:
  enum class Operator : unsigned char { equals, not_equals, in, not_in, exists, does_not_exist };
  struct Requirement {
    std::string key;
    Operator op = Operator::exists;
    std::vector<std::string> values;  ///< Sorted.
    friend bool operator==(const Requirement&, const Requirement&) = default;
  };

  /// Matches everything.
  LabelSelector() = default;
  /// Parse the text form; `invalid_argument` names what is wrong.
  static Result<LabelSelector> parse(std::string_view text);
  /// One "key=value" condition.
  static LabelSelector equals(std::string key, std::string value);

  /// As in Kubernetes, `!=` and `notin` also match when the label is absent.
  bool matches(const std::map<std::string, std::string, std::less<>>& labels) const;
  bool empty() const noexcept { return requirements_.empty(); }
  const std::vector<Requirement>& requirements() const noexcept { return requirements_; }
  std::string to_string() const;
  friend bool operator==(const LabelSelector&, const LabelSelector&) = default;

 private:
  std::vector<Requirement> requirements_;
};

/// Conditions on metadata.name, metadata.namespace and (Secrets) type: "metadata.name=a".
class KNATIVE_EXPORT FieldSelector {
 public:
  /// Matches everything.
  FieldSelector() = default;
  /// Parse the text form; `invalid_argument` on bad syntax or a field that cannot be selected.
  static Result<FieldSelector> parse(std::string_view text);

  bool matches(const AnyObject& object) const;
  bool empty() const noexcept { return requirements_.empty(); }
  /// The one name that an object may have, or null.
  const std::string* name() const noexcept;
  friend bool operator==(const FieldSelector&, const FieldSelector&) = default;

 private:
  struct Requirement {
    std::string field;
    std::string value;
    bool negated = false;
    friend bool operator==(const Requirement&, const Requirement&) = default;
  };
  std::vector<Requirement> requirements_;
};

}  // namespace knative
