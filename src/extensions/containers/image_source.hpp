// Where the images of containers come from: the store, and behind it registries.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "knative/client.hpp"
#include "knative/container.hpp"
#include "knative/oci.hpp"
#include "knative/registry_client.hpp"
#include "platform/image_fetching.hpp"
#include "platform/image_holds.hpp"

namespace knative {

struct ImageSourceOptions {
  /// Registries whose tags are left as they are.
  std::vector<std::string> keep_tags_of = oci::local_registries();
  Duration resolve_timeout = std::chrono::seconds(10);  ///< digest-resolution-timeout.
  /// The port at which the store itself is a registry of this machine; 0: none. See
  /// `registry::plain_name`.
  std::function<std::uint16_t()> own_port = [] { return std::uint16_t{0}; };
};

/// Images by name. What was built, imported or pushed here under a name is that image; any other
/// name is its registry's, and what was pulled under it stands in for it only where a container
/// says so (imagePullPolicy) or the registry is not reached. Calls for one image share a pull.
class ImageSource final : public ImageFetching {
 public:
  /// `registry` may be null: there are no others. What comes is told to `holds`, and follows into
  /// `cache` what is to be run. Everything must outlive it.
  ImageSource(std::shared_ptr<oci::ImageStore> store, oci::RegistryClient* registry,
              ImageHolds& holds, oci::UnpackCache& cache, const Client& objects, Env& env,
              ImageSourceOptions options = {});
  ~ImageSource() override;

  /// What the container's image means now, by digest; the image as it stands when its tag is kept.
  /// Fails as Knative says: "Unable to fetch image ...".
  Task<Result<std::string>> pin(const ContainerSpec& spec);
  Task<Result<std::string>> pin(ContainerSpec&&) = delete;
  using ImageFetching::fetch;
  Task<Result<FetchedImage>> fetch(const ContainerSpec& spec) override;
  /// The same for who runs it: the cache unpacks it while it arrives.
  Task<Result<FetchedImage>> fetch_to_run(const ContainerSpec& spec);
  Task<Result<FetchedImage>> fetch_to_run(ContainerSpec&&) = delete;
  /// Whether this image is not one that was built, imported or pushed here.
  bool foreign(const std::string& image) const;
  void configure(ImageSourceOptions options) { options_ = std::move(options); }

 private:
  /// What the store knows of a name.
  struct Known {
    oci::Descriptor manifest;
    bool pulled = false;
    oci::Pin pin;
  };
  struct Turn;
  /// A name that its registry did not give: it is not asked again before `until`.
  struct Refusal {
    Error error;
    Duration pause{0};
    Instant until{};
  };
  Task<Error> absent(oci::Reference name, std::optional<Error> registry);
  Task<oci::Descriptor> appears(oci::Reference name);
  Error refused(const std::string& who, Error error);
  Task<Result<std::optional<Known>>> look(oci::Reference name);
  Task<Result<FetchedImage>> fetch_for(const ContainerSpec& spec, bool to_run);
  Task<Result<FetchedImage>> pull(oci::Reference name, const ContainerSpec& spec, bool ask,
                                  bool to_run);
  Task<Result<oci::Pin>> bind(oci::Reference name, oci::Descriptor root);
  Result<oci::Reference> named(const std::string& image) const;
  Task<Result<void>> remember_tag(oci::Reference name, oci::Descriptor root);
  Result<oci::RegistryKeyring> keyring(const ContainerSpec& spec) const;

  std::shared_ptr<oci::ImageStore> store_;
  oci::RegistryClient* registry_;
  ImageHolds& holds_;
  oci::UnpackCache& cache_;
  const Client& objects_;
  Env& env_;
  ImageSourceOptions options_;
  std::set<oci::Digest> pulled_;  ///< What names in the store mean that a pull has bound.
  std::map<oci::Reference, std::shared_ptr<Wakeup>> pulling_;
  /// What a tag meant when it was asked for, by the digest that is to be pulled.
  std::map<oci::Reference, oci::Reference> tags_;
  std::map<std::string, Refusal> refusals_;  ///< By name, and who asked.
  TaskSet following_;                        ///< What the cache unpacks.
};

}  // namespace knative
