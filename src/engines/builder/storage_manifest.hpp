// Manifests of sources, as Google's tools write and fetch them: a JSON object of the files of a
// tree, each with where it is. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"

namespace knative::builder {

struct ManifestEntry {
  std::string name;      // relative, clean
  std::string location;  // "sourceUrl"
  std::string sha1;      // hex digits in small letters; empty: not said
  friend bool operator==(const ManifestEntry&, const ManifestEntry&) = default;
};

// The entries in order of their names, none of which is the folder of another. Fails with
// `invalid_argument`, naming the entry, and with `resource_exhausted` when files and folders are
// more than `files_max`.
Result<std::vector<ManifestEntry>> parse_manifest(std::string_view text, std::uint64_t files_max);

}  // namespace knative::builder
