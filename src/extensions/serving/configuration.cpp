#include <charconv>

#include "extensions/serving/reconcilers.hpp"

namespace knative::control {

using serving::Configuration;
using serving::Revision;

namespace {

std::int64_t generation_of(const Revision& revision) {
  const auto label = revision.metadata.labels.find(serving::keys::configuration_generation);
  std::int64_t generation = 0;
  if (label != revision.metadata.labels.end()) {
    std::from_chars(label->second.data(), label->second.data() + label->second.size(), generation);
  }
  return generation;
}

Revision revision_of(const Configuration& configuration, const std::string& name) {
  Revision child;
  child.metadata = configuration.spec.template_.metadata;
  child.metadata.name = name;
  child.metadata.namespace_ = configuration.metadata.namespace_;
  auto& labels = child.metadata.labels;
  labels[std::string(serving::keys::configuration)] = configuration.metadata.name;
  labels[std::string(serving::keys::configuration_uid)] = configuration.metadata.uid;
  labels[std::string(serving::keys::configuration_generation)] =
      std::to_string(configuration.metadata.generation);
  labels[std::string(serving::keys::routing_state)] = "pending";
  for (const std::string_view key : {serving::keys::service, serving::keys::service_uid}) {
    const auto label = configuration.metadata.labels.find(key);
    if (label != configuration.metadata.labels.end()) labels[std::string(key)] = label->second;
  }
  child.metadata.owner_references = {owner_reference(configuration)};
  child.spec = configuration.spec.template_.spec;
  return child;
}

}  // namespace

// Make the Revision of the present generation, once: Revisions are never changed. `refused` says
// why there can be none.
Task<Result<void>> ConfigurationReconciler::stamp(Configuration& configuration,
                                                  const std::string& name, std::string& refused) {
  Result<Revision> existing = client().get<Revision>(configuration.metadata.namespace_, name);
  if (!existing && existing.error().code == Errc::not_found) {
    const AnyObject wanted(revision_of(configuration, name));
    const Result<AnyObject> created = co_await client().create(wanted);
    if (!created) {
      refused = created.error().detail;
      co_return Result<void>();
    }
  } else if (!existing) {
    co_return existing.error();
  } else if (!owned_by(existing->metadata, configuration.metadata.uid) ||
             existing->spec != revision_of(configuration, name).spec) {
    refused = "revisions.serving.knative.dev \"" + name + "\" already exists";
    co_return Result<void>();
  }
  set_latest_created(configuration.status, name, now());
  co_return Result<void>();
}

// Take over what became of the Revisions: the newest ready one, and a failure of the latest. It
// never goes back to an older one, unless the template names it or the present one is gone.
Result<void> ConfigurationReconciler::read_back(Configuration& configuration) {
  ListOptions options;
  options.namespace_ = configuration.metadata.namespace_;
  options.labels =
      LabelSelector::equals(std::string(serving::keys::configuration), configuration.metadata.name);
  Result<std::vector<Revision>> revisions = client().list<Revision>(options);
  if (!revisions) return revisions.error();
  const Revision* newest_ready = nullptr;
  const Revision* latest = nullptr;
  const Revision* present = nullptr;
  for (const Revision& revision : *revisions) {
    if (revision.metadata.deletion_timestamp) continue;
    if (revision.metadata.name == configuration.status.latest_created_revision_name) {
      latest = &revision;
    }
    if (revision.metadata.name == configuration.status.latest_ready_revision_name) {
      present = &revision;
    }
    if (serving::is_ready(revision) &&
        (newest_ready == nullptr || generation_of(revision) > generation_of(*newest_ready))) {
      newest_ready = &revision;
    }
  }
  if (present != nullptr && newest_ready != nullptr &&
      generation_of(*present) > generation_of(*newest_ready)) {
    newest_ready = present;
  }
  const bool named = !configuration.spec.template_.metadata.name.empty();
  if (named && latest != nullptr && serving::is_ready(*latest)) newest_ready = latest;
  if (newest_ready != nullptr) {
    set_latest_ready(configuration.status, newest_ready->metadata.name, now());
  } else if (!configuration.status.latest_ready_revision_name.empty() && latest == nullptr) {
    mark_latest_ready_deleted(configuration.status, now());
  }
  if (latest != nullptr && latest != newest_ready) {
    const Condition* ready = find_condition(latest->status.conditions, "Ready");
    if (ready != nullptr && ready->is_false()) {
      mark_latest_created_failed(configuration.status, latest->metadata.name, ready->message,
                                 now());
    }
  }
  return {};
}

Task<Result<Requeue>> ConfigurationReconciler::step(Configuration& configuration,
                                                    Interests& interests) {
  const std::string revision = serving::revision_name(configuration);
  std::string refused;
  const Result<void> stamped = co_await stamp(configuration, revision, refused);
  if (!stamped) co_return stamped.error();
  if (Result<void> read = read_back(configuration); !read) co_return read.error();
  // After what was read back: an older Revision that is ready does not make up for it. The name may
  // be free one day.
  if (!refused.empty()) {
    mark_revision_creation_failed(configuration.status, std::move(refused), now());
    interests.insert(Client::ref_to<Revision>(configuration.metadata.namespace_, revision));
  }
  co_return Requeue::never();
}

}  // namespace knative::control
