#include "controller.hpp"

namespace native {

using knative::AnyObject;
using knative::Client;
using knative::Installer;
using knative::ObjectRef;
using knative::Requeue;
using knative::Result;
using knative::Task;
using knative::Value;

namespace {

// Asks Python for the status of an object, beside the loop, and writes it when it is another.
class PythonReconciler final : public knative::Reconciler {
 public:
  PythonReconciler(Installer& into, const NamedKind& kind)
      : into_(into), api_version_(kind.api_version), kind_(kind.kind), function_(*kind.reconcile) {}

  Task<Result<Requeue>> reconcile(std::string key) override {
    const auto [namespace_, name] = knative::split_key(key);
    const ObjectRef ref{api_version_, kind_, namespace_, name};
    const Result<AnyObject> found = into_.client().get(ref);
    if (!found && found.error().code == knative::Errc::not_found) co_return Requeue::never();
    if (!found) co_return found.error();
    if (found->metadata().deletion_timestamp) co_return Requeue::never();
    Value object = found->to_value();
    std::function<std::optional<Value>()> ask = [function = function_, object] {
      return call_python([&]() -> std::optional<Value> {
        const HopsScope scope(1);
        const py::object status = function(to_python(object));
        if (status.is_none()) return std::nullopt;
        return from_python(status, "status");
      });
    };
    const std::optional<Value> status = co_await into_.env().offload.run(ask);
    if (!status) co_return Requeue::never();
    const Value* before = object.find("status");
    if (before != nullptr && *before == *status) co_return Requeue::never();
    object["status"] = *status;
    const Result<AnyObject> updated = into_.kinds().from_value(object, knative::Strictness::strict);
    if (!updated) co_return updated.error();
    const Result<AnyObject> stored = co_await into_.client().update_status(*updated);
    if (!stored && stored.error().code != knative::Errc::not_found) co_return stored.error();
    co_return Requeue::never();
  }

 private:
  Installer& into_;
  std::string api_version_;
  std::string kind_;
  Callable function_;
};

class KindsExtension final : public knative::Extension {
 public:
  explicit KindsExtension(std::vector<NamedKind> kinds) : kinds_(std::move(kinds)) {}
  std::string_view name() const override { return "python"; }

  Result<void> add_kinds(knative::KindRegistry& registry) override {
    for (const NamedKind& kind : kinds_) {
      knative::UntypedKind row;
      row.api_version = kind.api_version;
      row.kind = kind.kind;
      row.plural = kind.plural;
      row.namespaced = kind.namespaced;
      row.has_status = kind.reconcile.has_value();
      if (Result<void> added = registry.add(std::move(row)); !added) return added;
    }
    return {};
  }

  Result<void> install(Installer& into) override {
    for (const NamedKind& kind : kinds_) {
      if (!kind.reconcile) continue;
      Result<void> added =
          into.add_controller(kind.api_version, kind.kind, kind.plural + "." + kind.api_version,
                              std::make_unique<PythonReconciler>(into, kind));
      if (!added) return added;
    }
    return {};
  }

 private:
  std::vector<NamedKind> kinds_;
};

}  // namespace

std::vector<NamedKind> named_kinds(const py::list& list) {
  std::vector<NamedKind> kinds;
  for (const py::handle& entry : list) {
    const auto fields = entry.cast<py::tuple>();
    NamedKind kind{fields[0].cast<std::string>(), fields[1].cast<std::string>(),
                   fields[2].cast<std::string>(), fields[3].cast<bool>(), std::nullopt};
    if (!fields[4].is_none()) kind.reconcile = Callable(fields[4].cast<py::function>());
    kinds.push_back(std::move(kind));
  }
  return kinds;
}

std::unique_ptr<knative::Extension> kinds_extension(std::vector<NamedKind> kinds) {
  return std::make_unique<KindsExtension>(std::move(kinds));
}

}  // namespace native
