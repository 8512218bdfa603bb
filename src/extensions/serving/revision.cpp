#include <algorithm>

#include "extensions/serving/reconcilers.hpp"
#include "extensions/serving/route_labels.hpp"
#include "knative/build.hpp"
#include "knative/oci_image.hpp"
#include "platform/environment.hpp"

namespace knative::control {

using serving::Revision;

namespace {

constexpr Duration image_pause_min = std::chrono::milliseconds(100);
constexpr Duration image_pause_max = std::chrono::seconds(60);

std::vector<std::string> images_of(const Revision& revision) {
  const serving::RevisionStatus& status = revision.status;
  std::vector<std::string> images;
  for (const auto* list : {&status.container_statuses, &status.init_container_statuses}) {
    for (const serving::ContainerStatus& one : *list) images.push_back(one.image_digest);
  }
  return images;
}

// A Build that makes one of the images and has not ended; the end of it is waited for.
std::optional<std::string> build_under_way(const Client& client, const Revision& revision,
                                           Interests& interests) {
  std::set<oci::Reference> wanted;
  for (const auto* list : {&revision.spec.containers, &revision.spec.init_containers}) {
    for (const core::Container& container : *list) {
      const Result<oci::Reference> image = oci::Reference::parse(container.image);
      if (image) wanted.insert(image->with_default_tag());
    }
  }
  if (wanted.empty()) return std::nullopt;
  const Result<std::vector<build::Build>> builds = client.list<build::Build>();
  if (!builds) return std::nullopt;  // this platform does not build
  for (const build::Build& build : *builds) {
    const Condition* ended = find_condition(build.status.conditions, "Succeeded");
    if (ended != nullptr && !ended->is_unknown()) continue;
    const Result<oci::Reference> made = oci::Reference::parse(build.spec.image);
    if (!made || !wanted.contains(made->with_default_tag())) continue;
    interests.insert(Client::ref_to<build::Build>(build.metadata.namespace_, build.metadata.name));
    return key_of(build.metadata);
  }
  return std::nullopt;
}

bool has_digest(const Revision& revision) {
  const std::vector<std::string> images = images_of(revision);
  return std::any_of(images.begin(), images.end(),
                     [](const std::string& image) { return !image.empty(); });
}

void describe(const RevisionState& state, Revision& revision, Timestamp now) {
  serving::RevisionStatus& status = revision.status;
  if (!state.failure_reason.empty()) {
    if (state.failure_reason == "ContainerMissing") {
      mark_container_missing(status, state.failure_message, now);
    } else if (state.failure_reason == "ProgressDeadlineExceeded") {
      mark_resources_unavailable(status, state.failure_reason, state.failure_message, now);
    } else {
      mark_container_unhealthy(status, state.failure_reason, state.failure_message, now);
    }
  } else if (state.initialized) {
    mark_resources_available(status, now);
    mark_container_healthy(status, now);
  } else {
    mark_resources_unknown(status, "Deploying", state.failure_message, now);
    mark_container_unknown(status, "Deploying", state.failure_message, now);
  }
  if (state.active) {
    mark_active(status, now);
  } else if (state.activating) {
    mark_activating(status, "Queued",
                    "Requests to the target are being buffered as resources are "
                    "provisioned.",
                    now);
  } else if (state.timed_out) {
    mark_inactive(status, "TimedOut", "The target could not be activated.", now);
  } else {
    mark_inactive(status, "NoTraffic", "The target is not receiving traffic.", now);
  }
  status.actual_replicas = state.ready;
  if (state.desired >= 0) status.desired_replicas = state.desired;
}

// The Revision as an instance can run it: nothing in it refers to other objects, and nothing would
// be left out silently.
Result<Revision> runnable(Client& client, Revision revision, Interests& interests) {
  const PodFacts pod{revision.metadata, revision.spec.service_account_name};
  for (auto* const list : {&revision.spec.init_containers, &revision.spec.containers}) {
    for (core::Container& container : *list) {
      Result<std::vector<core::EnvVar>> environment =
          literal_environment(client, pod, container, interests);
      if (!environment) return environment.error();
      container.env = std::move(*environment);
      container.env_from.clear();
    }
  }
  return revision;
}

}  // namespace

std::string failure_reason_of(const Error& error) {
  for (const std::string_view reason :
       {"ErrImagePull", "ErrImageNeverPull", "PostStartHookError"}) {
    if (error.detail.starts_with(std::string(reason) + ": ")) return std::string(reason);
  }
  switch (error.code) {
    case Errc::not_found: return "ContainerMissing";
    case Errc::deadline_exceeded: return "ProgressDeadlineExceeded";
    case Errc::invalid_argument: return "InvalidContainer";
    case Errc::failed_precondition: return "CreateContainerConfigError";
    case Errc::unimplemented: return "Unsupported";
    default: return "ContainerFailed";
  }
}

Result<void> RevisionReconciler::keep_images() {
  if (holds_ == nullptr) return {};
  const Result<std::vector<Revision>> revisions = client().list<Revision>();
  if (!revisions) return revisions.error();
  for (const Revision& revision : *revisions) {
    holds_->keep_at_once(revision.metadata.uid, images_of(revision));
  }
  return {};
}

Task<Result<void>> RevisionReconciler::forget(const std::string& key, const std::string& uid) {
  plane_.remove(key);
  if (holds_ != nullptr) holds_->release(uid);
  co_return Result<void>();
}

// A Route that went while no platform ran took nothing back.
Task<Result<void>> RevisionReconciler::drop_gone_routes(Revision& revision) {
  bool changed = false;
  for (const std::string& route : routes_of(revision)) {
    const Result<serving::Route> found =
        client().get<serving::Route>(revision.metadata.namespace_, route);
    if (found || found.error().code != Errc::not_found) continue;
    changed = label_route(revision, route, false, now()) || changed;
  }
  if (!changed) co_return Result<void>();
  const AnyObject object(revision);
  const Result<AnyObject> stored = co_await client().update(object);
  if (!stored) co_return stored.error();
  revision.metadata = stored->metadata();
  co_return Result<void>();
}

// What an answer may have come from already is not chosen again: a digest is on the disk before
// anything runs by it.
Task<Result<void>> RevisionReconciler::keep_pinned(Revision& revision) {
  const AnyObject object(revision);
  const Result<AnyObject> stored = co_await client().update_status(object);
  if (!stored) co_return stored.error();
  revision.metadata = stored->metadata();
  std::string version = revision.metadata.resource_version;
  Task<Result<void>> keeping = client().durable(std::move(version));
  co_return co_await std::move(keeping);
}

// Its images by digest, once and for all.
Task<Result<void>> RevisionReconciler::pin(Revision& revision, bool ask_registries) {
  serving::RevisionStatus& status = revision.status;
  if (!status.container_statuses.empty()) co_return Result<void>();
  std::vector<serving::ContainerStatus> found;
  std::vector<serving::ContainerStatus> found_init;
  Task<Result<void>> pinning =
      pin_all(revision, revision.spec.init_containers, ask_registries, found_init);
  Result<void> pinned = co_await std::move(pinning);
  if (!pinned) co_return pinned;
  pinning = pin_all(revision, revision.spec.containers, ask_registries, found);
  pinned = co_await std::move(pinning);
  if (!pinned) co_return pinned;
  status.container_statuses = std::move(found);
  status.init_container_statuses = std::move(found_init);
  if (holds_ != nullptr) holds_->keep(revision.metadata.uid, images_of(revision));
  co_return pinned;
}

Task<Result<void>> RevisionReconciler::pin_all(const Revision& revision,
                                               const std::vector<core::Container>& containers,
                                               bool ask_registries,
                                               std::vector<serving::ContainerStatus>& into) {
  for (const core::Container& container : containers) {
    Task<Result<std::string>> pinning = plane_.pin(revision, container, ask_registries);
    const Result<std::string> image = co_await std::move(pinning);
    if (!image && image.error().code == Errc::deadline_exceeded) co_return image.error();
    if (!image) {
      // In Knative's words.
      co_return fail(image.error().code,
                     "Unable to fetch image \"" + container.image +
                         "\": failed to resolve image to digest: " + image.error().detail);
    }
    serving::ContainerStatus& status = into.emplace_back();
    status.name = container.name;
    // What has no digest, as a function, has no other content either.
    if (image->find('@') != std::string::npos) status.image_digest = *image;
  }
  co_return Result<void>();
}

Task<Result<Requeue>> RevisionReconciler::step(Revision& revision, Interests& interests) {
  const std::string key = key_of(revision.metadata);
  const bool pinned_before = !revision.status.container_statuses.empty();
  std::optional<std::string> build;
  if (!pinned_before) build = build_under_way(client(), revision, interests);
  Task<Result<void>> pinning = pin(revision, !build);
  const Result<void> pinned = co_await std::move(pinning);
  if (pinned && !pinned_before && has_digest(revision)) {
    Task<Result<void>> keeping = keep_pinned(revision);
    const Result<void> kept = co_await std::move(keeping);
    if (!kept) co_return kept.error();
  }
  Result<void> ensured;
  if (!plane_.has(key)) {
    const Result<void> dropped = co_await drop_gone_routes(revision);
    if (!dropped) co_return dropped.error();
    Result<Revision> wanted = runnable(client(), revision, interests);
    if (!wanted) {
      ensured = wanted.error();
    } else {
      ensured = pinned ? plane_.ensure(*wanted) : pinned;
    }
    // What it runs with is taken once: from then on changes of those objects do not matter.
    if (ensured) interests.clear();
  }
  if (!ensured) {
    RevisionState state;
    if (build && ensured.error().code == Errc::not_found) {
      state.failure_message = "Build " + *build + " makes the image";
    } else if (!pinned && ensured.error().code != Errc::deadline_exceeded) {
      state.failure_reason = "ContainerMissing";
      state.failure_message = ensured.error().detail;
    } else {
      state.failure_reason = failure_reason_of(ensured.error());
      state.failure_message = ensured.error().detail;
    }
    state.timed_out = ensured.error().code == Errc::deadline_exceeded;
    describe(state, revision, now());
  } else {
    describe(plane_.state(key), revision, now());
  }
  if (pinned) co_return Requeue::never();
  // The image may still be under way: look for it soon at first, then ever more rarely.
  const std::optional<Timestamp>& born = revision.metadata.creation_timestamp;
  const Duration age = born ? now().at - born->at : Duration::zero();
  co_return Requeue::in(std::clamp<Duration>(age / 4, image_pause_min, image_pause_max));
}

}  // namespace knative::control
