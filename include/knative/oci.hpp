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
#include <set>
#include <span>
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

/// A blob being written; nothing is visible before `commit`, dropping it discards. One thread at a
/// time.
class KNATIVE_EXPORT BlobWriter : public ByteSink {
 public:
  /// Make the blob part of the store. Returns digest and size; the media type is empty.
  virtual Result<Descriptor> commit() = 0;
  /// The same if the content has this digest, of whatever algorithm; `data_loss` if not, and
  /// nothing becomes visible.
  virtual Result<Descriptor> commit(const Digest& expected) = 0;
};

/// Bytes of a blob at any place, as they lie there: not checked against the digest.
class KNATIVE_EXPORT BlobContent {
 public:
  virtual ~BlobContent() = default;
  virtual std::uint64_t size() const noexcept = 0;
  /// Fewer than `into.size()` only at the end.
  virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<char> into) = 0;
};

/// Keeps a blob (of a manifest or index also what it refers to) from `ImageStore::collect`, as
/// long as somebody holds it. May outlive the store.
using Pin = std::shared_ptr<const void>;

/// On the descriptor of a name: its image came from a registry, which has it still.
inline constexpr std::string_view pulled_annotation = "dev.knative.image.pulled";

/// What `ImageStore::collect` may take.
struct CollectOptions {
  /// Manifests that were pushed or left behind without a tag, too.
  bool untagged = false;
  /// Names with `pulled_annotation` that nobody has pinned, too.
  bool pulled = false;
};
struct Collected {
  std::uint64_t manifests = 0;  ///< Untagged ones.
  std::uint64_t names = 0;      ///< Pulled ones.
  std::uint64_t blobs = 0;
  std::uint64_t bytes = 0;
};

/// Images by name and content by digest. Blobs are immutable and checked against their digest
/// whenever they are read (`data_loss` when they do not match). Thread-safe; calls block.
///
/// Content is shared by all repositories. A repository has tags, and manifests that were pushed
/// into it (`keep_manifest`) or are tagged there; to it belongs what these refer to.
class KNATIVE_EXPORT ImageStore {
 public:
  virtual ~ImageStore() = default;

  virtual Result<std::unique_ptr<BlobWriter>> new_blob(DigestAlgorithm algorithm) = 0;
  Result<std::unique_ptr<BlobWriter>> new_blob() { return new_blob(DigestAlgorithm::sha256); }
  /// The size of a blob in bytes; nothing when the store does not have it. A blob that was asked
  /// for survives the next collection, like a new one.
  virtual Result<std::optional<std::uint64_t>> blob_size(const Digest& digest) = 0;
  /// Read a blob; the last read fails with `data_loss` if size or digest do not match.
  /// `not_found` when absent.
  virtual Result<std::unique_ptr<ByteSource>> open_blob(const Descriptor& blob) = 0;
  virtual Result<std::unique_ptr<BlobContent>> read_blob(const Digest& digest) = 0;
  /// Remove a blob now. `failed_precondition` while a manifest of any repository, a tag or a pin
  /// needs it, `not_found` when absent.
  virtual Result<void> remove_blob(const Digest& digest) = 0;

  /// Bind a name (tag defaults to "latest", a digest is ignored) to a manifest in the store.
  virtual Result<void> set_reference(const Reference& name, const Descriptor& manifest) = 0;
  /// Unbind a name; `not_found` when absent. Blobs stay.
  virtual Result<void> remove_reference(const Reference& name) = 0;
  /// All names with their manifests (or indexes), sorted.
  virtual Result<std::vector<std::pair<Reference, Descriptor>>> references() = 0;

  // ---- repositories, as a registry shows them

  /// What a tag or a digest means in its repository: manifests there, and those of their indexes.
  virtual Result<std::optional<Descriptor>> find(const Reference& name) = 0;
  /// Make a manifest in the store part of a repository, whether it has a tag or not.
  virtual Result<void> keep_manifest(std::string_view repository, const Descriptor& manifest) = 0;
  /// Take a manifest and its tags out of a repository, `not_found` when it is not there; and out
  /// of the store, unless somebody else needs it.
  virtual Result<void> remove_manifest(std::string_view repository, const Digest& digest) = 0;
  /// Up to `max` tags of a repository (of its names in the store) after `after`, in byte order.
  virtual Result<std::vector<std::string>> tags(std::string_view repository, std::string_view after,
                                                std::size_t max) = 0;
  virtual Result<std::vector<std::string>> repositories(std::string_view after,
                                                        std::size_t max) = 0;
  /// Manifests of a repository whose subject is `subject`, by digest, with their artifact types
  /// and annotations (distribution-spec, listing referrers).
  virtual Result<std::vector<Descriptor>> referrers(std::string_view repository,
                                                    const Digest& subject) = 0;
  /// Whether a manifest of the repository refers to this blob.
  virtual Result<bool> refers_to(std::string_view repository, const Digest& blob) = 0;

  // ---- room

  /// `not_found` when the store does not have it.
  virtual Result<Pin> pin(const Digest& digest) = 0;
  /// Remove what nothing needs: no tag, no manifest of a repository, no pin. Blobs that came or
  /// were asked for since the last collection, and were never part of an image, are spared: they
  /// may be on their way into one. `unavailable` while another process writes to the store.
  virtual Result<Collected> collect(const CollectOptions& options) = 0;
  Result<Collected> collect() { return collect(CollectOptions{}); }
  /// Bytes of all blobs.
  virtual Result<std::uint64_t> used_bytes() = 0;

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
  /// `losses` takes what is not as the image says.
  Result<ImageConfig> unpack(Files& files, const Reference& name, const std::string& directory,
                             const UnpackOptions& options = {}, UnpackLosses* losses = nullptr);
};

/// Bounds of a store.
struct ImageStoreLimits {
  /// Of all blobs, those being written included; 0: none. What goes beyond makes room by `collect`
  /// with untagged manifests and pulled names, and is `resource_exhausted` when that is not enough.
  std::uint64_t bytes_max = 0;
};

KNATIVE_EXPORT std::shared_ptr<ImageStore> memory_image_store(const ImageStoreLimits& limits = {});

/// How an image layout folder is opened.
struct ImageLayoutOptions {
  bool create = true;
  /// Make blobs and index durable before they become visible.
  bool sync = true;
  ImageStoreLimits limits;
};

/// A store in an OCI image layout folder, with names in `org.opencontainers.image.ref.name`.
/// Other tools may read it at any time; `unavailable` when another process is changing the index.
/// Fails with `invalid_argument` if the folder exists, is not empty and is no layout.
///
/// Changes of a large index go to a journal beside index.json first, which the library reads with
/// it; index.json itself may lag behind by as much as a quarter of it, and is brought up to date
/// when the store is closed.
KNATIVE_EXPORT Result<std::shared_ptr<ImageStore>> open_image_layout(
    Files& files, const std::string& directory, const ImageLayoutOptions& options = {});

/// An image that lies unpacked in a folder.
struct UnpackedImage {
  std::string directory;  ///< Root of its files; shared, so treat it as read-only.
  Digest manifest;
  ImageConfig config;
  UnpackLosses losses;  ///< Known to whoever unpacked it just now.
};

/// An image on its way into a store: what of it is there already. Whoever fetches it tells
/// (`PullOptions::arrival`), and who wants to begin with it waits. Belongs to its loop.
class KNATIVE_EXPORT ImageArrival {
 public:
  /// What the image is made of.
  void found(const Digest& digest, Manifest manifest);
  /// This blob of it is in the store, checked.
  void came(const Digest& blob);
  /// Nothing more comes, whether all of it has or not.
  void end();

  /// Wait for the manifest; null when it ended without. Any number of tasks may wait.
  Task<const Manifest*> manifest();
  /// Wait for a blob; false when it ended without.
  Task<bool> blob(Digest digest);
  /// Of the manifest, once that is known.
  const Digest& digest() const noexcept { return digest_; }

 private:
  Digest digest_;
  std::optional<Manifest> manifest_;
  std::set<Digest> blobs_;
  bool ended_ = false;
  Wakeup changed_;
};

/// Unpacks images once per manifest digest below one folder, on `Offload`; where this process may
/// give files away with owners, modes and times as the image says (`UnpackOptions::preserve`).
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
  /// Unpack an image while it arrives, each layer when it is there; done when it is unpacked, or
  /// when that is not possible. `get` waits for it, and begins anew where it did not come to an
  /// end. Only so many at a time (`following_max`); further ones are done at once.
  Task<void> follow(std::shared_ptr<ImageArrival> arrival);
  static constexpr std::size_t following_max = 2;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative::oci
