#include "extensions/serving/data_plane.hpp"

#include <utility>

namespace knative {

namespace {

// Every Revision that a rule names, each once.
std::set<std::string> revisions_of(const RouteRule& rule) {
  std::set<std::string> revisions;
  for (const RouteTarget& target : rule.targets) revisions.insert(target.revision);
  for (const RouteTag& tag : rule.tags) revisions.insert(tag.revision);
  return revisions;
}

}  // namespace

DataPlane::DataPlane(Env& env, ContainerRuntime& runtime, Metrics& metrics,
                     const AutoscalerConfig& config,
                     std::function<void(const std::string&)> changed, Output output,
                     InstanceVolumes& volumes)
    : ingress_(env, metrics, [this](std::string_view revision) { scaling_.wanted(revision); }),
      scaling_(
          env, runtime, metrics, config,
          [this](const RevisionOptions& limits) { return ingress_.queue_for(limits); },
          std::move(changed), std::move(output), volumes),
      table_(RouteTable::make({}).value()) {}

Result<void> DataPlane::set_route(RouteRule rule) {
  const std::shared_ptr<const RouteRule> before = table_->rule(rule.name);
  const std::string name = rule.name;
  Result<std::shared_ptr<const RouteTable>> table = table_->with(std::move(rule));
  if (!table) return table.error();
  const std::shared_ptr<const RouteRule> after = (*table)->rule(name);
  if (before != nullptr && *before == *after) return {};
  use(std::move(*table), before.get(), after.get());
  return {};
}

void DataPlane::remove_route(const std::string& route_key) {
  const std::shared_ptr<const RouteRule> before = table_->rule(route_key);
  if (before != nullptr) use(table_->without(route_key), before.get(), nullptr);
}

// The new names first: a Revision that both name never falls to none.
void DataPlane::use(std::shared_ptr<const RouteTable> table, const RouteRule* before,
                    const RouteRule* after) {
  table_ = std::move(table);
  ingress_.set_table(table_);
  if (after != nullptr) {
    for (const std::string& revision : revisions_of(*after)) scaling_.named(revision);
  }
  if (before != nullptr) {
    for (const std::string& revision : revisions_of(*before)) scaling_.unnamed(revision);
  }
}

int DataPlane::ready(const std::string& route_key) const {
  const std::shared_ptr<const RouteRule> rule = table_->rule(route_key);
  if (rule == nullptr) return 0;
  int ready = 0;
  for (const std::string& revision : revisions_of(*rule)) ready += scaling_.ready(revision);
  return ready;
}

}  // namespace knative
