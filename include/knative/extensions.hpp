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
/// Build. Provides `Builder`; needs an image store. Steps are local processes and functions.
KNATIVE_EXPORT std::unique_ptr<Extension> build_extension();
/// Serving. Runs functions of `functions`, which must outlive the platform, and, where there is an
/// image store, programs in images. Provides `ScaleAccess`.
KNATIVE_EXPORT std::unique_ptr<Extension> serving_extension(FunctionTable& functions);
/// Eventing. Provides `EventAccess`.
KNATIVE_EXPORT std::unique_ptr<Extension> eventing_extension();
/// All of them.
KNATIVE_EXPORT std::vector<std::unique_ptr<Extension>> default_extensions(FunctionTable& functions);

}  // namespace knative
