/// \file
/// Images in one file, and from one store to another: what `docker save` writes and `docker load`
/// reads ("docker-archive"), and an image layout in a tar ("oci-archive").
///
/// Calls block; run them on `Offload` when they may be slow.
///
/// \code
/// auto images = knative::oci::import_images(*store, files, "shop.tar").value();
/// knative::oci::export_images(*store, {{images[0].name}}, files, "again.tar").value();
/// \endcode
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "knative/oci.hpp"

namespace knative::oci {

/// An image that is in the store now.
struct ImportedImage {
  Reference name;
  Descriptor manifest;
};

/// How an archive is read.
struct ImportOptions {
  /// What its image is called, instead of what the archive calls it. Only for an archive of one
  /// image.
  std::optional<Reference> name;
  /// Bounds of the archive, uncompressed; beyond them `resource_exhausted`.
  std::uint64_t bytes_max = std::uint64_t{64} << 30;
  std::uint64_t entries_max = 100'000;
};

/// Put the images of an archive into a store: an image layout in a tar, told by its index.json, or
/// what `docker save` writes or wrote, told by its manifest.json; plain, gzip or zstd.
///
/// Names are bound last, when everything has been checked: on an error no name has changed. What is
/// wrong is `invalid_argument` or, when content is not what its digest, its size or the config
/// promises, `data_loss`; the error names the entry. Layers stay the bytes they are. An index may
/// miss manifests of other platforms, but not all. Memory is bounded by some MiB.
KNATIVE_EXPORT Result<std::vector<ImportedImage>> import_archive(ImageStore& store,
                                                                 ByteSource& archive,
                                                                 const ImportOptions& options = {});

/// The same from `path`, which is an archive or the folder of an image layout.
KNATIVE_EXPORT Result<std::vector<ImportedImage>> import_images(ImageStore& store, Files& files,
                                                                const std::string& path,
                                                                const ImportOptions& options = {});

/// `docker`: an image layout with the manifest.json that every `docker load` reads, as Docker
/// itself writes since version 25; of an index it shows the image for this machine's platform.
/// `oci`: the layout alone.
enum class ArchiveFormat : unsigned char { docker, oci };

/// Write images and all that belongs to them into an archive, deterministically. `not_found` when
/// the store has not all of it, but for manifests of an index.
KNATIVE_EXPORT Result<void> export_archive(ImageStore& store, std::span<const Reference> names,
                                           ByteSink& archive,
                                           ArchiveFormat format = ArchiveFormat::docker);

/// The same into a file, which appears when it is whole and durable.
KNATIVE_EXPORT Result<void> export_images(ImageStore& store, std::span<const Reference> names,
                                          Files& files, const std::string& path,
                                          ArchiveFormat format = ArchiveFormat::docker);

/// Copy an image with all that belongs to it and bind it to `to_name`. `not_found` as for archives.
KNATIVE_EXPORT Result<Descriptor> copy_image(ImageStore& from, const Reference& name,
                                             ImageStore& to, const Reference& to_name);

}  // namespace knative::oci
