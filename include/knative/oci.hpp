/// \file
/// Images: names and digests, manifests and configs, layers written and unpacked, and stores.
///
/// What is written here follows the OCI image specification 1.1 (media types, descriptor, layout);
/// what is read may also be Docker's schema 2. Layers are packed deterministically: the same tree
/// gives the same bytes, whatever its times, owners, umask and directory order. This is not a
/// registry client.
///
/// Calls that touch files block; run them on `Offload` when they may be slow. Values belong to
/// whoever holds them. `ImageStore` implementations are thread-safe.
///
/// \code
/// auto store = knative::oci::open_image_layout(files, "images").value();
/// auto reference = knative::oci::Reference::parse("local/shop:v1").value();
/// knative::oci::ImageConfig config = store->unpack(files, reference, "root").value();
/// \endcode
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/task.hpp"

namespace knative::oci {

// ---------------------------------------------------------------------------- digests

/// A content digest, "sha256:" and 64 lower-case hex digits; empty when default-constructed.
class KNATIVE_EXPORT Digest {
 public:
  Digest() = default;
  /// Fails with `invalid_argument` when malformed, `unimplemented` for other algorithms.
  static Result<Digest> parse(std::string_view text);
  /// The SHA-256 of `bytes`.
  static Digest of(std::string_view bytes);

  bool empty() const noexcept { return text_.empty(); }
  /// "sha256:<hex>", or "" when empty.
  const std::string& to_string() const noexcept { return text_; }
  /// The 64 hex digits, or "" when empty.
  std::string_view hex() const noexcept;
  friend auto operator<=>(const Digest&, const Digest&) = default;

 private:
  friend class Hasher;
  std::string text_;
};

/// SHA-256 over pieces.
class KNATIVE_EXPORT Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  void update(std::string_view bytes);
  /// The digest of everything so far; the hasher is fresh again afterwards.
  Digest finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// ---------------------------------------------------------------------------- names

/// An image name: `[registry/]path[:tag][@digest]`, the grammar of container tools.
///
/// Kept in the short form people type: the default registry and its "library/" prefix are
/// dropped, so that equal images have equal references.
struct KNATIVE_EXPORT Reference {
  std::string repository;  ///< "busybox", "local/shop", "ghcr.example:5000/team/shop".
  std::string tag;         ///< May be empty.
  Digest digest;           ///< May be empty.

  /// Fails with `invalid_argument` naming the part that is wrong.
  static Result<Reference> parse(std::string_view text);
  /// The reference with tag "latest" when it has neither tag nor digest.
  Reference with_default_tag() const;
  /// The registry's host and port; empty for the default registry.
  std::string_view registry() const noexcept;
  /// "repository[:tag][@digest]"
  std::string to_string() const;
  friend auto operator<=>(const Reference&, const Reference&) = default;
};

// ---------------------------------------------------------------------------- documents

namespace media_type {
inline constexpr std::string_view index = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view manifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view config = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view layer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view layer_gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
}  // namespace media_type

/// What an image runs on, in Go's names: "amd64", "linux".
struct ImagePlatform {
  std::string architecture;
  std::string os;
  std::string variant;
  friend bool operator==(const ImagePlatform&, const ImagePlatform&) = default;
};
/// The platform that this library was compiled for, e.g. linux/amd64.
KNATIVE_EXPORT ImagePlatform host_platform();

using Annotations = std::map<std::string, std::string>;

/// Says what some bytes are and how to check them (image-spec, descriptor).
struct Descriptor {
  std::string media_type;
  Digest digest;
  std::uint64_t size_bytes = 0;
  Annotations annotations;
  std::optional<ImagePlatform> platform;
  friend bool operator==(const Descriptor&, const Descriptor&) = default;
};

/// Image manifest. Parsing accepts Docker's schema 2 media types as well.
struct KNATIVE_EXPORT Manifest {
  Descriptor config;
  std::vector<Descriptor> layers;  ///< Base first.
  Annotations annotations;

  /// Fails with `invalid_argument` naming the field.
  static Result<Manifest> parse(std::string_view json);
  /// Canonical JSON: fixed field order, no white space.
  std::string to_json() const;
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

/// Image index, also the content of a layout's index.json.
struct KNATIVE_EXPORT Index {
  std::vector<Descriptor> manifests;
  Annotations annotations;

  static Result<Index> parse(std::string_view json);
  std::string to_json() const;
  friend bool operator==(const Index&, const Index&) = default;
};

/// What a container gets when it runs the image, and the list of its layers.
struct KNATIVE_EXPORT ImageConfig {
  struct History {
    std::string created;
    std::string created_by;
    std::string comment;
    bool empty_layer = false;
    friend bool operator==(const History&, const History&) = default;
  };

  std::string created;  ///< RFC 3339, may be empty.
  std::string author;
  ImagePlatform platform;
  std::string user;
  std::vector<std::string> environment;  ///< "NAME=value"
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;  ///< Default arguments ("Cmd").
  std::string working_directory;
  std::set<std::string> exposed_ports;  ///< "8080/tcp"
  std::set<std::string> volumes;
  std::map<std::string, std::string> labels;
  std::string stop_signal;
  std::vector<Digest> diff_ids;  ///< Digests of the uncompressed layers.
  std::vector<History> history;

  static Result<ImageConfig> parse(std::string_view json);
  std::string to_json() const;
  friend bool operator==(const ImageConfig&, const ImageConfig&) = default;
};

/// "1970-01-01T00:00:00Z" for 0: seconds since the epoch as RFC 3339.
KNATIVE_EXPORT std::string format_epoch(std::int64_t seconds);

// ---------------------------------------------------------------------------- byte streams

/// Takes bytes in order.
class KNATIVE_EXPORT ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual Result<void> write(std::string_view bytes) = 0;
};

/// Gives bytes in order; 0 at the end.
class KNATIVE_EXPORT ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual Result<std::size_t> read(std::span<char> into) = 0;
};

/// A source over a file, from its beginning.
KNATIVE_EXPORT Result<std::unique_ptr<ByteSource>> open_source(Files& files,
                                                               const std::string& path);
/// A source over bytes that must outlive it.
KNATIVE_EXPORT std::unique_ptr<ByteSource> memory_source(std::string_view bytes);

// ---------------------------------------------------------------------------- layers

/// How a layer is written.
struct LayerOptions {
  /// Time of every entry, seconds since the epoch (SOURCE_DATE_EPOCH).
  std::int64_t mtime_seconds = 0;
  bool gzip = true;
  /// 1 (fast) to 12 (small). Part of what the blob's digest depends on, not the DiffID.
  int level = 1;
};

/// What `LayerWriter::finish` reports.
struct LayerInfo {
  Descriptor blob;  ///< Media type, digest and size of what was written to the sink.
  Digest diff_id;
  std::uint64_t tar_bytes = 0;
  std::uint64_t entries = 0;
};

/// Writes a layer: POSIX tar (ustar, pax records only where needed), in independent gzip members
/// of 1 MiB input each, header without time and name.
///
/// Deterministic: owners are 0 without names, times are `mtime_seconds`, modes are 0755 for
/// directories and executables, else 0644. Names must come in ascending order (compared component
/// by component), which also makes duplicates impossible. Memory is bounded by a few MiB.
class KNATIVE_EXPORT LayerWriter {
 public:
  /// `sink` must outlive the writer.
  explicit LayerWriter(ByteSink& sink, LayerOptions options = {});
  ~LayerWriter();
  LayerWriter(const LayerWriter&) = delete;
  LayerWriter& operator=(const LayerWriter&) = delete;

  /// Names are relative with '/', e.g. "app/bin"; `invalid_argument` when empty, absolute, with
  /// "." or "..", or not after the previous one.
  Result<void> add_directory(std::string_view name);
  Result<void> add_file(std::string_view name, std::string_view bytes, bool executable = false);
  /// Exactly `size_bytes` are read from `content`; `failed_precondition` when it has another size.
  Result<void> add_file(std::string_view name, std::uint64_t size_bytes, ByteSource& content,
                        bool executable);
  Result<void> add_symlink(std::string_view name, std::string_view target);
  /// Add everything below `directory`, as `prefix` (with its parents) or at the root when empty.
  /// Sockets, pipes and devices are skipped. Names in `exclude` (relative to `directory`, e.g.
  /// ".git") are left out with all below them.
  Result<void> add_tree(Files& files, const std::string& directory, std::string_view prefix = "",
                        const std::set<std::string>& exclude = {});
  /// Write the end of the archive. Call once; nothing may be added afterwards.
  Result<LayerInfo> finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Bounds of unpacking; beyond them it fails with `resource_exhausted`.
struct UnpackOptions {
  std::uint64_t bytes_max = std::uint64_t{8} << 30;  ///< Uncompressed, all layers together.
  std::uint64_t entries_max = 2'000'000;
  std::size_t name_bytes_max = 4096;
  /// Refuse symbolic links that point outside the root. Images have such links (they mean the
  /// image's root), source archives have no reason to.
  bool refuse_escaping_links = false;
  /// Obey whiteouts (".wh.name"), as layers of an image do.
  bool whiteouts = true;
  /// Drop this many leading components of each name, as `tar --strip-components`.
  std::size_t strip_components = 0;
};

/// What `unpack_layer` has read.
struct UnpackedLayer {
  Digest diff_id;  ///< Of the tar stream as read.
  std::uint64_t tar_bytes = 0;
  std::uint64_t entries = 0;
};

/// Unpack a tar stream (plain or gzip, told by its first bytes) over `root`, which must exist.
///
/// Nothing is written outside `root`: names that are absolute or contain ".." and hard links to
/// such names are refused with `invalid_argument`; symbolic links on the way are followed inside
/// `root` only. Device nodes and pipes are refused. Owners, times, set-id bits and extended
/// attributes are not applied; a hard link becomes a copy. What is no archive gives
/// `invalid_argument`, a truncated one `data_loss`.
KNATIVE_EXPORT Result<UnpackedLayer> unpack_layer(Files& files, ByteSource& archive,
                                                  const std::string& root,
                                                  const UnpackOptions& options = {});

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
