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
#include <vector>

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
  /// "." or "..", not after the previous one, or when a component begins with ".wh.": in a layer
  /// such a name means that something is removed, and no file could come out of it.
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
  /// Uncompressed, all layers together, with holes of sparse files and copies of hard links.
  std::uint64_t bytes_max = std::uint64_t{8} << 30;
  std::uint64_t entries_max = 2'000'000;  ///< With folders that are only named by what is in them.
  std::size_t name_bytes_max = 4096;
  std::size_t depth_max = 2048;  ///< Folders inside folders.
  /// Refuse symbolic links that point outside the root. Images have such links (they mean the
  /// image's root), source archives have no reason to.
  bool refuse_escaping_links = false;
  /// Read what only layers of an image have: whiteouts (".wh.name"), pipes and devices, nothing at
  /// all for no files, and the mode of the root.
  bool whiteouts = true;
  /// Make device nodes where this process may. They lead to this machine's hardware.
  bool make_devices = false;
  /// Keep what a container's root has beside names and bytes: owners (where this process may give
  /// files away), whole modes with set-id bits, times, extended attributes of "user." and
  /// "security.capability", and hard links as such. Without it files are the process's, readable
  /// by it, new, and each hard link is a copy: nothing unpacked from a stranger has rights.
  bool preserve = false;
  /// Drop this many leading components of each name, as `tar --strip-components`.
  std::size_t strip_components = 0;
};

/// What `unpack_layer` has read.
struct UnpackedLayer {
  Digest diff_id;  ///< Of the tar stream as read.
  std::uint64_t tar_bytes = 0;
  std::uint64_t entries = 0;
  std::uint64_t extra_bytes = 0;    ///< Of files beyond the stream: holes, copies of hard links.
  std::uint64_t extra_folders = 0;  ///< Made for what is in them, without an entry.
  /// Devices and pipes that were not made, in the archive's order; at most the first thousand.
  std::vector<SpecialFile> skipped;
};

/// Unpack a tar stream over `root`, which must exist. It may be plain or in any number of gzip
/// members or zstd frames, told by its first bytes; POSIX, pax, GNU and older headers are read,
/// sparse files of GNU's own kind and of pax.
///
/// Nothing is written outside `root`: absolute names and targets of hard links mean the root,
/// those that lead out of it by ".." are refused with `invalid_argument`, and symbolic links on
/// the way are followed inside `root` only. Whiteouts hide what is below the layer, wherever in it
/// they stand. Devices are skipped and reported unless `make_devices`. Owners, times, set-id bits
/// and extended attributes are not applied and a hard link becomes a copy, unless `preserve`. What
/// is no archive gives `invalid_argument`, a truncated one `data_loss`. Memory: some MiB, the
/// window of the zstd stream (at most 128 MiB), and about 40 bytes for each entry of an image's
/// layer.
KNATIVE_EXPORT Result<UnpackedLayer> unpack_layer(Files& files, ByteSource& archive,
                                                  const std::string& root,
                                                  const UnpackOptions& options = {});

}  // namespace knative::oci
