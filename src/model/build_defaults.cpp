#include "knative/build.hpp"

namespace knative::build {

ConditionSet build_conditions() { return ConditionSet::batch({}); }

std::string cancelled_message(std::string_view build_name) {
  return "Build \"" + std::string(build_name) + "\" was cancelled";
}

void apply_defaults(Build& build) {
  BuildSpec& spec = build.spec;
  if (spec.service_account_name.empty()) spec.service_account_name = "default";
  if (!spec.timeout) spec.timeout = std::chrono::minutes(10);
  if (spec.template_ && spec.template_->kind.empty()) spec.template_->kind = "BuildTemplate";
  if (spec.image_config && spec.image_config->working_dir.empty()) {
    spec.image_config->working_dir = "/workspace";
  }
}

}  // namespace knative::build
