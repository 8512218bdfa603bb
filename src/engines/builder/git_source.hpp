// Git repositories as sources, with their submodules.
#pragma once

#include <memory>
#include <string>

#include "engines/builder/fetch_git.hpp"
#include "knative/builder.hpp"

namespace knative::builder::git {

// Fetch `source.git` into `directory`; see `source_fetcher`. Everything must stay until the task
// is done.
Task<Result<Fetched>> fetch_source(const RemoteWorld& world, std::shared_ptr<Library> library,
                                   const FetcherOptions& options, const build::SourceSpec& source,
                                   const std::string& directory, const SourceCredentials& known);

}  // namespace knative::builder::git
