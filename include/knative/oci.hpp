/// \file
/// Image stores, and with them everything about images (oci_image.hpp, oci_layer.hpp).
///
/// A store in a folder is an image layout of the OCI image specification 1.1. This is not a
/// registry client. Calls that touch files block; run them on `Offload` when they may be slow.
/// `ImageStore` implementations are thread-safe.
///
/// \code
/// auto store = knative::oci::open_image_layout(files, "images").value();
/// auto reference = knative::oci::Reference::parse("local/shop:v1").value();
/// knative::oci::ImageConfig config = store->unpack(files, reference, "root").value();
/// \endcode
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/oci_image.hpp"
#include "knative/oci_layer.hpp"
#include "knative/task.hpp"

namespace knative::oci {

// ---------------------------------------------------------------------------- stores

/// A blob being written; nothing is visible before `commit`, dropping it discards.
class KNATIVE_EXPORT BlobWriter : public ByteSink {
 public:
  /// Make the blob part of the store. Returns digest and size; the media type is empty.
  virtual Result<Descriptor> commit() = 0;
};

/// Images by name and content by digest. Blobs are immutable and checked against their digest
/// whenever they are read (`data_loss` when they do not match). Thread-safe; calls block.
class KNATIVE_EXPORT ImageStore {
 public:
  virtual ~ImageStore() = default;

  virtual Result<std::unique_ptr<BlobWriter>> new_blob() = 0;
  /// The size of a blob in bytes; nothing when the store does not have it.
  virtual Result<std::optional<std::uint64_t>> blob_size(const Digest& digest) = 0;
  /// Read a blob; the last read fails with `data_loss` if size or digest do not match.
  /// `not_found` when absent.
  virtual Result<std::unique_ptr<ByteSource>> open_blob(const Descriptor& blob) = 0;
  /// Bind a name (tag defaults to "latest", a digest is ignored) to a manifest in the store.
  virtual Result<void> set_reference(const Reference& name, const Descriptor& manifest) = 0;
  /// Unbind a name; `not_found` when absent. Blobs stay.
  virtual Result<void> remove_reference(const Reference& name) = 0;
  /// All names with their manifests (or indexes), sorted.
  virtual Result<std::vector<std::pair<Reference, Descriptor>>> references() = 0;

  /// Store bytes and describe them.
  Result<Descriptor> put_blob(std::string_view bytes, std::string_view media_type);
  /// Read a blob into memory, verified; `resource_exhausted` beyond `bytes_max`.
  Result<std::string> get_blob(const Descriptor& blob, std::uint64_t bytes_max = 16u << 20);
  /// Store a manifest and bind `name` to it.
  Result<Descriptor> put_manifest(const Reference& name, const Manifest& manifest);
  /// The descriptor of the manifest that `name` means. A digest in `name` wins over its tag; an
  /// index is followed to the host's platform. `not_found` names what the store does have.
  Result<Descriptor> resolve(const Reference& name);
  /// Manifest and config of an image.
  Result<Manifest> manifest(const Reference& name);
  Result<ImageConfig> config(const Reference& name);
  /// Unpack all layers into `directory` (created; must be empty if it exists), checking every
  /// digest. On failure what was written is removed and the error names image and layer.
  Result<ImageConfig> unpack(Files& files, const Reference& name, const std::string& directory,
                             const UnpackOptions& options = {});
};

KNATIVE_EXPORT std::shared_ptr<ImageStore> memory_image_store();

/// How an image layout folder is opened.
struct ImageLayoutOptions {
  bool create = true;
  /// Make blobs and index durable before they become visible.
  bool sync = true;
};

/// A store in an OCI image layout folder, with names in `org.opencontainers.image.ref.name`.
/// Other tools may read it at any time; `unavailable` when another process is changing the index.
/// Fails with `invalid_argument` if the folder exists, is not empty and is no layout.
KNATIVE_EXPORT Result<std::shared_ptr<ImageStore>> open_image_layout(
    Files& files, const std::string& directory, const ImageLayoutOptions& options = {});

/// An image that lies unpacked in a folder.
struct UnpackedImage {
  std::string directory;  ///< Root of its files; shared, so treat it as read-only.
  Digest manifest;
  ImageConfig config;
};

/// Unpacks images once per manifest digest below one folder, on `Offload`.
///
/// A finished root is named by its digest ("sha256-<hex>") and appears by rename, so an
/// interrupted unpacking is never taken for an image. Belongs to its loop.
class KNATIVE_EXPORT UnpackCache {
 public:
  /// `files` and `offload` must outlive the cache and, on the loop, its tasks.
  UnpackCache(std::shared_ptr<ImageStore> store, Files& files, Offload& offload,
              std::string directory);
  ~UnpackCache();
  UnpackCache(const UnpackCache&) = delete;
  UnpackCache& operator=(const UnpackCache&) = delete;

  /// The root of an image. Calls for the same image share one unpacking.
  /// Errors as `ImageStore::unpack`.
  Task<Result<UnpackedImage>> get(const Reference& name);
  Task<Result<UnpackedImage>> get(Reference&&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative::oci
