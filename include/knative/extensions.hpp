/// \file
/// The extensions that come with the library. Each reads its part of `PlatformOptions`.
///
/// \code
/// std::vector<std::unique_ptr<knative::Extension>> lean;
/// lean.push_back(knative::eventing_extension());
/// knative::Platform platform(loop.env(), std::move(lean));
/// \endcode
#pragma once

#include <memory>
#include <vector>

#include "knative/extension.hpp"
#include "knative/fwd.hpp"

namespace knative {

/// The image store: in the data directory, or in memory. Provides
/// `std::shared_ptr<oci::ImageStore>`.
KNATIVE_EXPORT std::unique_ptr<Extension> images_extension();
/// The image store as a registry at the door, under "/v2/" of its bare address; nothing unless
/// `PlatformOptions::registry` asks for it. Needs an image store.
KNATIVE_EXPORT std::unique_ptr<Extension> registry_extension();
/// What containers run on. Provides `ContainerRuntimes` with "function" (those of `functions`),
/// "process" (programs in images, where there is an image store) and "host" (programs of this
/// machine); an extension that is installed later adds its own.
KNATIVE_EXPORT std::unique_ptr<Extension> containers_extension(const FunctionTable& functions);
/// Build. Provides `Builder`; needs an image store and runtimes of containers.
KNATIVE_EXPORT std::unique_ptr<Extension> build_extension();
/// Serving. Needs runtimes of containers. Provides `ScaleAccess`.
KNATIVE_EXPORT std::unique_ptr<Extension> serving_extension();
/// Eventing. Provides `EventAccess`.
KNATIVE_EXPORT std::unique_ptr<Extension> eventing_extension();
/// All of them.
KNATIVE_EXPORT std::vector<std::unique_ptr<Extension>> default_extensions(FunctionTable& functions);

}  // namespace knative
