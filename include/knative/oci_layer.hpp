/// \file
/// Layers of an image: written, and unpacked.
///
/// Layers are packed deterministically: the same tree gives the same bytes, whatever its times,
/// owners, umask and directory order. Calls that touch files block; run them on `Offload` when
/// they may be slow.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "knative/error.hpp"
#include "knative/files.hpp"
#include "knative/oci_image.hpp"

namespace knative::oci {

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
  std::size_t depth_max = 256;  ///< Folders inside folders.
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

}  // namespace knative::oci
