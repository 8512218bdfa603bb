// The platform with everything: the one place that knows every extension of the library.
#include "knative/extensions.hpp"
#include "knative/platform.hpp"

namespace knative {

std::vector<std::unique_ptr<Extension>> default_extensions(FunctionTable& functions) {
  std::vector<std::unique_ptr<Extension>> all;
  all.push_back(images_extension());
  all.push_back(registry_extension());
  all.push_back(containers_extension(functions));
  all.push_back(build_extension());
  all.push_back(serving_extension());
  all.push_back(eventing_extension());
  return all;
}

Platform::Platform(Env& env, FunctionTable& functions, PlatformOptions options)
    : Platform(env, default_extensions(functions), std::move(options)) {}

}  // namespace knative
