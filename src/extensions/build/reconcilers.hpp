// Reconciler of Build: runs a Build once, in the background, and writes what became of it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "knative/build.hpp"
#include "knative/builder.hpp"
#include "platform/reconciling.hpp"

namespace knative::control {

class BuildReconciler final : public ObjectReconciler<build::Build> {
 public:
  BuildReconciler(Scope scope, Executor& executor, Builder& builder);
  /// Drops every build in progress; their steps are killed.
  ~BuildReconciler() override;

 private:
  struct Running;
  /// Only the running build writes the status.
  void initialize(build::Build&) override {}
  Task<Result<Requeue>> step(build::Build& build, Interests& interests) override;
  Task<Result<void>> forget(const std::string& key, const std::string& uid) override;
  Task<void> run(Running& self);
  Task<void> write_statuses(Running& self);
  Task<Result<void>> record(const build::Build& of, const build::BuildStatus& status);
  Executor& executor_;
  Builder& builder_;
  std::map<std::string, std::unique_ptr<Running>> running_;  ///< By key.
};

}  // namespace knative::control
