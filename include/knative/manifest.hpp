/// \file
/// Objects as text: YAML (or JSON) manifests in and out.
///
/// Scalars follow Kubernetes (YAML 1.1 as sigs.k8s.io/yaml reads it): yes/no/on/off and y/n are
/// booleans, 0777 and 0o777 octal, ~ null, quoted is text. A file may hold several documents and
/// `kind: List`; empty documents are skipped. Comments are not kept. Pure functions; they read no
/// files.
///
/// \code
/// auto objects = knative::manifest::parse(text, {.file_name = "shop.yaml"});
/// if (!objects) std::puts(objects.error().detail.c_str());
/// // shop.yaml:7:9: unknown field: spec.template.spec.containres; did you mean "containers"?
/// \endcode
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knative/meta.hpp"
#include "knative/object.hpp"

namespace knative::manifest {

/// Bounds of one text, against mistakes and attacks.
struct Limits {
  std::size_t bytes_max = std::size_t{16} << 20;  ///< Length of the text.
  std::size_t depth_max = 64;                     ///< Nested lists and maps.
  std::size_t documents_max = 10000;
  std::size_t nodes_max = 1000000;  ///< Scalars, lists and maps after expanding aliases.
};

/// A text and the name that messages give it.
struct Source {
  std::string name;
  std::string text;
};

/// How to read a text.
struct ParseOptions {
  Strictness strictness = Strictness::strict;
  std::string file_name = {};  ///< Messages begin with it; empty: with line and column alone.
  bool apply_defaults = false;
  bool validate = false;  ///< Also apply each kind's rules (after defaulting a copy).
  /// In the place of those rules: gives a copy its defaults and says what is wrong with it, as a
  /// platform with its own configuration sees it. Empty: the kinds' own.
  std::function<FieldErrors(AnyObject& copy)> rules = {};
  Limits limits = {};
  /// Objects of kinds that nobody registered are left out with a warning; else they are errors.
  bool skip_unknown_kinds = false;
  /// Takes what is accepted without effect, one line each as in errors. Null: nobody wants it.
  std::vector<std::string>* warnings = nullptr;
  /// The kinds there are; null: those of this library. Must outlive the call.
  const KindRegistry* kinds = nullptr;
};

/// Parse all objects of a text, in order.
///
/// Fails with `invalid_argument`; the detail has one line per problem, in the order of the text:
/// "file:line:column: message: field; explanation". Syntax errors end the parsing, all other
/// problems of all documents are collected. A bound that is exceeded gives `resource_exhausted`.
KNATIVE_EXPORT Result<std::vector<AnyObject>> parse(std::string_view text,
                                                    const ParseOptions& options);
inline Result<std::vector<AnyObject>> parse(std::string_view text) {
  return parse(text, ParseOptions{});
}

/// Parse all documents without asking what they are; null for empty ones. Errors as above.
KNATIVE_EXPORT Result<std::vector<Value>> parse_values(std::string_view text,
                                                       const ParseOptions& options);
inline Result<std::vector<Value>> parse_values(std::string_view text) {
  return parse_values(text, ParseOptions{});
}

/// One YAML document that ends with a newline, without "---". Text is quoted where another reader
/// could take it for something else. Doubles that are whole numbers come back as integers.
KNATIVE_EXPORT std::string to_yaml(const Value& value);
/// One object as YAML; `parse` gives it back.
KNATIVE_EXPORT std::string print(const AnyObject& object);
/// Several objects, separated by "---".
KNATIVE_EXPORT std::string print(std::span<const AnyObject> objects);

}  // namespace knative::manifest
