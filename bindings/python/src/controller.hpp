// Kinds and controllers that a Python program brings, as an extension of its platform.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "native.hpp"

namespace native {

/// A kind by name; `reconcile` (may be empty) is called with each object as a dict, whenever it may
/// have changed, and returns its status or None.
struct NamedKind {
  std::string api_version;
  std::string kind;
  std::string plural;
  bool namespaced = true;
  std::optional<Callable> reconcile;
};
std::vector<NamedKind> named_kinds(const py::list& list);
std::unique_ptr<knative::Extension> kinds_extension(std::vector<NamedKind> kinds);

}  // namespace native
