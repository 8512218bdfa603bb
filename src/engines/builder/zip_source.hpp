// A zip archive as the tar stream of the same files, so that the rules of what may be written where
// are those of the one unpacker. Blocking.
//
// Of the format (APPNOTE.TXT 6.3): stored and deflated entries, zip64, modes and symbolic links of
// Unix. Entries are those of the central directory. Refused: encryption, other methods, archives in
// several parts, and whatever contradicts itself.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "knative/files.hpp"
#include "knative/oci_layer.hpp"

namespace knative::builder {

struct ZipLimits {
  std::uint64_t bytes_max;  // of all files, as the directory says; more than it says is refused
  std::uint64_t entries_max;
};

// Whether the first bytes of a file are those of a zip archive.
bool is_zip(std::string_view head);

// Everything is counted here, before anything is inflated. Keeps `file`.
Result<std::unique_ptr<oci::ByteSource>> open_zip(std::shared_ptr<File> file,
                                                  const ZipLimits& limits);

}  // namespace knative::builder
