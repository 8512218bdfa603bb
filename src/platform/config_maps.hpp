// ConfigMaps that somebody wants to hear of: their data, whenever it changes.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "knative/extension.hpp"

namespace knative {

class ConfigMaps {
 public:
  void add(std::string namespace_, std::string name, Installer::ConfigChanged changed);
  bool empty() const noexcept { return wanted_.empty(); }
  /// Tells those that were added; the ConfigMaps must outlive it.
  std::unique_ptr<Reconciler> reconciler(ReconcileContext& context);

 private:
  class Teller;
  std::map<std::string, std::vector<Installer::ConfigChanged>> wanted_;  ///< By key.
};

}  // namespace knative
