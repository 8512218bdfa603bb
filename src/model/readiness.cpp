#include "knative/readiness.hpp"

namespace knative {

Readiness readiness(const AnyObject& object) {
  Readiness result;
  const Conditions* conditions = object.conditions();
  if (conditions == nullptr) {
    // An object that is kept whole has no conditions before somebody writes its status.
    const KindInfo& kind = object.info();
    const bool unwritten =
        kind.ops == nullptr && kind.has_status && object.to_value().find("status") == nullptr;
    result.ready = !unwritten;
    if (unwritten) result.reason = "NotReconciled";
    if (unwritten) result.message = "not reconciled yet";
    return result;
  }
  const Condition* top = find_condition(*conditions, "Ready");
  if (top == nullptr) top = find_condition(*conditions, "Succeeded");
  if (top == nullptr || object.observed_generation() != object.metadata().generation) {
    result.reason = "NotReconciled";
    result.message = "not reconciled yet";
    return result;
  }
  result.ready = top->is_true();
  result.failed = top->is_false();
  result.reason = top->reason;
  result.message = top->message;
  if (!result.failed) return result;
  // The top condition repeats one cause; people want to read them all.
  for (const Condition& condition : *conditions) {
    if (!condition.is_false() || condition.message.empty() ||
        result.message.find(condition.message) != std::string::npos) {
      continue;
    }
    result.message.append("; ").append(condition.type).append(": ").append(condition.message);
  }
  return result;
}

}  // namespace knative
