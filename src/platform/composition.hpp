// What a platform is: a store with its client, controllers, a door, and the extensions that stand
// on them. It knows none of them by name.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <typeindex>
#include <vector>

#include "knative/http_outbound.hpp"
#include "knative/http_server.hpp"
#include "knative/platform.hpp"
#include "platform/config_maps.hpp"
#include "platform/control_plane.hpp"
#include "platform/listener_tls.hpp"

namespace knative {

class ContainerRuntimes;

struct Platform::Impl final : Installer {
  Impl(Env& world, std::vector<std::unique_ptr<Extension>> parts, PlatformOptions wanted);
  ~Impl() override;

  // composition.cpp: how it is put together and taken apart.
  Result<void> add(std::unique_ptr<Extension> extension);
  Result<void> start();
  Result<void> add_kinds();
  /// Those that were installed by the time it is asked.
  std::function<const ContainerRuntimes*()> runtimes();
  Result<void> open_directory();
  Result<void> check_names() const;
  Result<void> check_outbound() const;
  Result<void> open_tls();
  Result<void> open_store();
  Result<void> open_listener();
  Result<void> install_all();
  Task<void> stop(Duration grace);

  // Installer
  Env& env() noexcept override { return world; }
  const PlatformOptions& options() const noexcept override { return settings; }
  Client& client() noexcept override { return *objects; }
  Store* store() noexcept override { return local_store.get(); }
  Door& door() noexcept override { return entrance; }
  http::Outbound& outbound() noexcept override { return outgoing; }
  Addresses& addresses() noexcept override { return urls; }
  const KindRegistry& kinds() const noexcept override { return registry; }
  Metrics& metrics() noexcept override { return series; }
  ReconcileContext& context() noexcept override { return *reconciling; }
  Controllers& controllers() noexcept override { return *control_plane; }
  Result<std::string> directory(std::string_view name) override;
  bool durable() const noexcept override { return !settings.data_directory.empty(); }
  Result<void> add_controller(std::string_view api_version, std::string_view kind, std::string name,
                              std::unique_ptr<Reconciler> reconciler,
                              ControllerOptions limits) override;
  void on_config_map(std::string namespace_, std::string name, ConfigChanged changed) override;
  Result<void> provide(std::type_index type, const char* name, void* service) override;
  void* find(std::type_index type) const override;
  using Installer::find;

  // platform.cpp: what its callers need.
  std::string qualify(std::string_view service) const;
  std::string key_of(std::string_view name) const;
  std::string url_of(const ObjectRef& ref) const;
  Task<Result<std::size_t>> move_parked(std::string broker, ParkedSelection selection,
                                        ParkedMove move);
  Result<std::vector<AnyObject>> parse(const std::vector<manifest::Source>& sources,
                                       const ApplyOptions& options,
                                       std::vector<std::string>& warnings);

  Env& world;
  PlatformOptions settings;
  Metrics series;
  Addresses urls;
  Door entrance;
  http::Outbound outgoing;
  KindRegistry registry;
  bool started = false;
  bool stopped = false;
  std::optional<Error> start_error;
  std::string work_directory;  ///< For what must be a file.
  bool remove_work_directory = false;
  std::unique_ptr<File> lock;
  std::unique_ptr<Store> local_store;
  std::unique_ptr<Client> objects;
  std::unique_ptr<ReconcileContext> reconciling;
  std::vector<std::unique_ptr<Extension>> extensions;
  std::size_t kinds_added = 0;  ///< So many of them have added their kinds.
  std::map<std::type_index, void*> services;
  ConfigMaps config_maps;
  std::unique_ptr<ControlPlane> control_plane;
  std::unique_ptr<http::Server> server;
  std::unique_ptr<ListenerTls> listener_tls;  ///< Goes before the listener that it looks after.
};

}  // namespace knative
