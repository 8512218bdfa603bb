// Sources of object storage, of web servers, and files of this machine: archives and manifests.
#pragma once

#include <string>

#include "engines/builder/fetch_git.hpp"
#include "knative/builder.hpp"

namespace knative::builder {

// Fetch `source.gcs` into `directory`; see `source_fetcher`. Everything must stay until the task
// is done.
Task<Result<Fetched>> fetch_storage(const git::RemoteWorld& world, const FetcherOptions& options,
                                    const build::SourceSpec& source, const std::string& directory,
                                    const SourceCredentials& known);

}  // namespace knative::builder
