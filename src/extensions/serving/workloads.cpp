#include "extensions/serving/workloads.hpp"

namespace knative {

Task<Result<ImageRoot>> StoreImages::provide(std::string image) {
  Result<oci::Reference> parsed = oci::Reference::parse(image);
  if (!parsed) co_return parsed.error();
  const oci::Reference reference = parsed->with_default_tag();
  Result<oci::UnpackedImage> unpacked = co_await cache_.get(reference);
  if (!unpacked) co_return unpacked.error();
  ImageRoot root;
  root.directory = unpacked->directory;
  root.entrypoint = unpacked->config.entrypoint;
  root.cmd = unpacked->config.command;
  root.working_directory = unpacked->config.working_directory;
  for (const std::string& variable : unpacked->config.environment) {
    const std::size_t equals = variable.find('=');
    if (equals != std::string::npos) {
      root.environment[variable.substr(0, equals)] = variable.substr(equals + 1);
    }
  }
  co_return root;
}

}  // namespace knative
