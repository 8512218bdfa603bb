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

class BuildReconciler final : public Reconciler {
 public:
  using Output = std::function<void(std::string_view source, std::string_view line)>;
  BuildReconciler(Context& context, Executor& executor, Builder& builder, Output output);
  /// Drops every build in progress; their steps are killed.
  ~BuildReconciler() override;
  Task<Result<Requeue>> reconcile(std::string key) override;

 private:
  struct Running;
  Task<void> run(std::shared_ptr<Running> running);
  Result<void> record(const build::Build& of, const build::BuildStatus& status);
  Context& context_;
  Executor& executor_;
  Builder& builder_;
  Output output_;
  std::map<std::string, std::shared_ptr<Running>> running_;  ///< By key.
};

}  // namespace knative::control
