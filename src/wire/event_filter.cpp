#include <memory>
#include <utility>

#include "knative/event.hpp"
#include "wire/event_cesql.hpp"
#include "wire/event_text.hpp"

namespace knative {
namespace text = event_text;

struct Filter::Node {
  /// Those up to `legacy_exact` look at the text of one attribute.
  enum class Kind : unsigned char {
    exact,
    prefix,
    suffix,
    present,
    legacy_exact,
    all,
    any,
    not_,
    sql
  };
  Kind kind = Kind::all;
  text::Slot slot = text::Slot::extension;
  std::string name;
  std::string value;
  std::vector<std::shared_ptr<const Node>> children;
  std::optional<cesql::Expression> expression;
};

namespace {

using Kind = Filter::Node::Kind;

inline bool matches_text(const Filter::Node& node, std::string_view found) noexcept {
  if (found.empty()) return false;
  switch (node.kind) {
    case Kind::exact:
    case Kind::legacy_exact: return found == node.value;
    case Kind::prefix: return found.starts_with(node.value);
    case Kind::suffix: return found.ends_with(node.value);
    default: return true;  // present
  }
}

bool matches_extension(const Filter::Node& node, const CloudEvent& event) {
  const ExtensionValue* value = event.extension(node.name);
  if (value == nullptr) return false;
  if (const std::string* string = std::get_if<std::string>(value)) {
    return matches_text(node, *string);
  }
  if (node.kind == Kind::legacy_exact) return false;
  return matches_text(node, to_string(*value));
}

bool matches_others(const Filter::Node& node, const CloudEvent& event);

inline bool matches_node(const Filter::Node& node, const CloudEvent& event) {
  if (node.kind > Kind::legacy_exact) return matches_others(node, event);
  if (node.slot == text::Slot::extension) return matches_extension(node, event);
  return matches_text(node, text::context_text(event, node.slot));
}

/// A filter that matches everything has no node.
inline bool matches_child(const std::shared_ptr<const Filter::Node>& node,
                          const CloudEvent& event) {
  return node == nullptr || matches_node(*node, event);
}

bool matches_others(const Filter::Node& node, const CloudEvent& event) {
  switch (node.kind) {
    case Kind::all:
      for (const auto& child : node.children) {
        if (!matches_child(child, event)) return false;
      }
      return true;
    case Kind::any:
      for (const auto& child : node.children) {
        if (matches_child(child, event)) return true;
      }
      return false;
    case Kind::not_: return !matches_child(node.children.front(), event);
    default: {
      const cesql::Outcome outcome = node.expression->evaluate(event);
      cesql::ErrorKind error = outcome.error;
      return cesql::to_boolean(outcome.value, error) && error == cesql::ErrorKind::none;
    }
  }
}

Result<std::shared_ptr<const Filter::Node>> text_node(Kind kind, std::string_view attribute,
                                                      std::string_view value) {
  if (!text::is_attribute_name(attribute)) {
    return fail(Errc::invalid_argument, "filter: \"" + std::string(attribute.substr(0, 40)) +
                                            "\" is no name of an attribute");
  }
  if (value.empty() && kind != Kind::present) {
    return fail(Errc::invalid_argument,
                "filter: the value for " + std::string(attribute) + " is empty");
  }
  auto node = std::make_shared<Filter::Node>();
  node->kind = kind;
  node->slot = text::filter_slot_of(attribute);
  node->name = attribute;
  node->value = value;
  return std::shared_ptr<const Filter::Node>(std::move(node));
}

}  // namespace

Result<Filter> Filter::exact(std::string_view attribute, std::string_view value) {
  auto node = text_node(Kind::exact, attribute, value);
  if (!node) return node.error();
  return Filter(std::move(*node));
}

Result<Filter> Filter::prefix(std::string_view attribute, std::string_view value) {
  auto node = text_node(Kind::prefix, attribute, value);
  if (!node) return node.error();
  return Filter(std::move(*node));
}

Result<Filter> Filter::suffix(std::string_view attribute, std::string_view value) {
  auto node = text_node(Kind::suffix, attribute, value);
  if (!node) return node.error();
  return Filter(std::move(*node));
}

Result<Filter> Filter::all(std::vector<Filter> filters) {
  if (filters.empty()) return fail(Errc::invalid_argument, "filter: \"all\" of nothing");
  if (filters.size() == 1) return std::move(filters.front());
  auto node = std::make_shared<Node>();
  node->kind = Kind::all;
  for (Filter& filter : filters) node->children.push_back(std::move(filter.node_));
  return Filter(std::move(node));
}

Result<Filter> Filter::any(std::vector<Filter> filters) {
  if (filters.empty()) return fail(Errc::invalid_argument, "filter: \"any\" of nothing");
  if (filters.size() == 1) return std::move(filters.front());
  auto node = std::make_shared<Node>();
  node->kind = Kind::any;
  for (Filter& filter : filters) node->children.push_back(std::move(filter.node_));
  return Filter(std::move(node));
}

Filter Filter::not_(Filter filter) {
  auto node = std::make_shared<Node>();
  node->kind = Kind::not_;
  node->children.push_back(std::move(filter.node_));
  return Filter(std::move(node));
}

Result<Filter> Filter::attributes(const std::map<std::string, std::string>& wanted) {
  std::vector<Filter> filters;
  for (const auto& [name, value] : wanted) {
    auto node = text_node(value.empty() ? Kind::present : Kind::legacy_exact, name, value);
    if (!node) return node.error();
    filters.push_back(Filter(std::move(*node)));
  }
  if (filters.empty()) return Filter();
  return all(std::move(filters));
}

Result<Filter> Filter::cesql(std::string_view expression) {
  Result<cesql::Expression> parsed = cesql::Expression::parse(expression);
  if (!parsed) return parsed.error().within("filter");
  auto node = std::make_shared<Node>();
  node->kind = Kind::sql;
  node->expression.emplace(std::move(*parsed));
  return Filter(std::move(node));
}

bool Filter::matches(const CloudEvent& event) const { return matches_child(node_, event); }

}  // namespace knative
