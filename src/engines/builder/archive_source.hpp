// Archives and folders of this machine as sources. Blocking, for a worker thread.
#pragma once

#include <atomic>
#include <string>
#include <utility>

#include "knative/builder.hpp"

namespace knative::builder {

// What a path means in the end. Only regular files and folders have one.
Result<std::pair<std::string, FileType>> file_or_folder(Files& files, std::string path);

// Fill `directory` from a zip or tar file, told by its first bytes unless `type` says it, or from a
// folder. The digest of the file; empty for a folder.
Result<std::string> take_archive(Files& files, const std::string& path, const std::string& type,
                                 const std::string& directory, const FetcherOptions& limits,
                                 const std::atomic<bool>& cancelled);

}  // namespace knative::builder
