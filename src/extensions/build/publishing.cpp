#include "extensions/build/publishing.hpp"

#include <utility>

#include "knative/registry_server.hpp"

namespace knative {

Task<Result<void>> Publishing::publish(const oci::Reference& name, const oci::Descriptor& manifest,
                                       const std::string& docker_config) {
  const std::uint16_t port = own_port_();
  const oci::Reference plain = port == 0 ? name : registry::plain_name(name, port);
  if (plain != name) {
    auto bind = [store = store_, plain, manifest] { return store->set_reference(plain, manifest); };
    Task<Result<void>> binding = disk_.run(bind);
    co_return co_await std::move(binding);
  }
  if (registry_ == nullptr || oci::keeps_tag(name, oci::local_registries())) {
    co_return Result<void>();
  }
  oci::PushOptions options;
  if (!docker_config.empty()) {
    Result<oci::RegistryKeyring> keyring = oci::RegistryKeyring::parse_docker_config(docker_config);
    if (!keyring) co_return keyring.error();
    options.credentials = std::move(*keyring);
  }
  Task<Result<oci::PushedImage>> pushing = registry_->push(store_, name, name, std::move(options));
  const Result<oci::PushedImage> pushed = co_await std::move(pushing);
  if (!pushed) co_return pushed.error();
  logger_.log(LogLevel::info, "build", "pushed",
              {{"image", name.to_string()},
               {"digest", pushed->root.digest.to_string()},
               {"bytes", std::to_string(pushed->bytes_sent)}});
  co_return Result<void>();
}

}  // namespace knative
