#include "platform/admission.hpp"

#include "knative/autoscaler.hpp"
#include "knative/serving.hpp"

namespace knative {

namespace {

template <class T>
FieldErrors admit_serving(AnyObject& object, const serving::Config& config) {
  T& typed = *object.get_if_mutable<T>();
  serving::apply_defaults(typed, config);
  FieldErrors errors = validate_metadata(typed.metadata, object.info()).via_field("metadata");
  errors.add(serving::validate(typed, config));
  return errors;
}

}  // namespace

std::function<FieldErrors(AnyObject& object)> admission_rules(const AutoscalerConfig& autoscaler) {
  serving::Config config;
  config.allow_zero_initial_scale = autoscaler.allow_zero_initial_scale;
  return [config](AnyObject& object) {
    if (object.get_if<serving::Service>() != nullptr) {
      return admit_serving<serving::Service>(object, config);
    }
    if (object.get_if<serving::Configuration>() != nullptr) {
      return admit_serving<serving::Configuration>(object, config);
    }
    if (object.get_if<serving::Revision>() != nullptr) {
      return admit_serving<serving::Revision>(object, config);
    }
    object.apply_defaults();
    return object.validate();
  };
}

Admission admission(const AutoscalerConfig& autoscaler) {
  return [check = admission_rules(autoscaler)](AnyObject& object,
                                               const AnyObject* old) -> Result<void> {
    FieldErrors errors = check(object);
    if (old != nullptr) errors.add(object.validate_update(*old));
    if (Result<void> valid = errors.to_result(); !valid) {
      return fail(valid.error().code, "validation failed: " + valid.error().detail);
    }
    return {};
  };
}

}  // namespace knative
