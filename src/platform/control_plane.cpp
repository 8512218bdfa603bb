#include "platform/control_plane.hpp"

namespace knative {

ControlPlane::ControlPlane(Env& env, control::Context& context)
    : env_(env), context_(context), tasks_(env.executor) {}

ControlPlane::~ControlPlane() { stop(); }

void ControlPlane::add(std::string_view api_version, std::string_view kind, std::string name,
                       std::unique_ptr<Reconciler> reconciler) {
  by_kind_[{std::string(api_version), std::string(kind)}] = name;
  auto controller =
      std::make_unique<Controller>(env_.executor, env_.timers, env_.logger, name, *reconciler);
  controllers_[std::move(name)] = std::move(controller);
  reconcilers_.push_back(std::move(reconciler));
}

Controller* ControlPlane::controller_of(std::string_view api_version, std::string_view kind) const {
  const auto name = by_kind_.find(std::pair(std::string(api_version), std::string(kind)));
  return name == by_kind_.end() ? nullptr : controllers_.at(name->second).get();
}

Result<void> ControlPlane::start() {
  Result<std::unique_ptr<Watch>> watch = context_.store.watch("", "", WatchOptions{});
  if (!watch) return watch.error();
  watch_ = std::move(*watch);
  tasks_.add(pump(*this));
  return {};
}

Task<void> ControlPlane::pump(ControlPlane& self) {
  for (;;) {
    Result<WatchEvent> event = co_await self.watch_->next();
    if (!event) {
      // The history went past us: begin again with everything there is.
      self.env_.logger.log(LogLevel::warning, "control", "watch restarted",
                           {{"error", event.error().to_string()}});
      Result<std::unique_ptr<Watch>> again = self.context_.store.watch("", "", WatchOptions{});
      if (!again) co_return;
      self.watch_ = std::move(*again);
      continue;
    }
    self.seen_version_ = event->resource_version;
    if (event->object.has_value()) self.hand_on(event->object);
  }
}

void ControlPlane::hand_on(const AnyObject& object) {
  const ObjectRef ref = object.ref();
  if (Controller* own = controller_of(ref.api_version, ref.kind)) {
    own->enqueue(control::make_key(ref.namespace_, ref.name));
  }
  for (const OwnerReference& owner : object.metadata().owner_references) {
    if (Controller* above = controller_of(owner.api_version, owner.kind)) {
      above->enqueue(control::make_key(ref.namespace_, owner.name));
    }
  }
  enqueue_watchers(ref);
}

void ControlPlane::enqueue_watchers(const ObjectRef& ref) {
  for (const auto& [controller, key] : context_.tracker.watchers_of(ref)) {
    enqueue(controller, key);
  }
}

void ControlPlane::enqueue(const std::string& controller, const std::string& key) {
  const auto found = controllers_.find(controller);
  if (found != controllers_.end()) found->second->enqueue(key);
}

bool ControlPlane::settled() const {
  const std::string now = context_.store.resource_version();
  if (now != "0" && now != seen_version_) return false;
  for (const auto& [name, controller] : controllers_) {
    if (!controller->idle()) return false;
  }
  return true;
}

void ControlPlane::stop() {
  tasks_.clear();
  watch_.reset();
  controllers_.clear();
  reconcilers_.clear();
  by_kind_.clear();
}

}  // namespace knative
