#include "platform/config_maps.hpp"

#include "knative/core.hpp"

namespace knative {

class ConfigMaps::Teller final : public Reconciler {
 public:
  Teller(ConfigMaps& maps, ReconcileContext& context) : maps_(maps), context_(context) {}
  Task<Result<Requeue>> reconcile(std::string key) override {
    const auto wanted = maps_.wanted_.find(key);
    if (wanted == maps_.wanted_.end()) co_return Requeue::never();
    const auto names = split_key(key);
    const Result<core::ConfigMap> map =
        context_.client.get<core::ConfigMap>(names.first, names.second);
    if (!map && map.error().code != Errc::not_found) co_return map.error();
    std::map<std::string, std::string, std::less<>> data;
    if (map) data.insert(map->data.begin(), map->data.end());
    for (const Installer::ConfigChanged& changed : wanted->second) {
      if (const Result<void> taken = changed(data); !taken) {
        context_.logger.log(LogLevel::warning, "config", "a ConfigMap is not taken over",
                            {{"name", key}, {"error", taken.error().to_string()}});
      }
    }
    co_return Requeue::never();
  }

 private:
  ConfigMaps& maps_;
  ReconcileContext& context_;
};

void ConfigMaps::add(std::string namespace_, std::string name, Installer::ConfigChanged changed) {
  wanted_[make_key(namespace_, name)].push_back(std::move(changed));
}

std::unique_ptr<Reconciler> ConfigMaps::reconciler(ReconcileContext& context) {
  return std::make_unique<Teller>(*this, context);
}

}  // namespace knative
