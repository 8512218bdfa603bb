/// \file
/// Layers of an image: written, and unpacked.
///
/// Layers are packed deterministically: the same tree gives the same bytes, whatever its times and
/// the order of its folders, and unless `LayerOptions::preserve` whatever its owners and the umask.
/// Calls that touch files block; run them on `Offload` when they may be slow.
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
  /// Threads that compress and hash, the caller's included; no more than there are processors, and
  /// one for a small layer. They change no byte.
  unsigned threads_max = 4;
  /// Whether `finish` tells the digest of the blob. A sink that does (`BlobWriter`) saves the time.
  bool blob_digest = true;
  /// Keep what a tree has beside names and bytes: owners, whole modes with set-id and sticky bits,
  /// extended attributes of "user." and "security.capability", hard links, pipes and devices.
  /// Without it a tree is normalised: entries belong to root, modes are 0755 for directories and
  /// executables, else 0644, and each name of a file is a file. Times are `mtime_seconds` always.
  bool preserve = false;
  /// With `preserve`: what this user and this group own in the tree belongs to root in the layer.
  /// For an unprivileged process, whose files are its own whatever they are in the container.
  std::uint32_t root_owner = 0;
  std::uint32_t root_group = 0;
};

/// What an entry of a layer has beside name and bytes.
struct EntryMetadata {
  unsigned mode = 0644;  ///< With set-id and sticky bits.
  std::uint32_t owner = 0;
  std::uint32_t group = 0;
  FileAttributes attributes;
};

/// What `LayerWriter::finish` reports.
struct LayerInfo {
  Descriptor blob;  ///< Media type, digest and size of what was written to the sink.
  Digest diff_id;
  std::uint64_t tar_bytes = 0;
  std::uint64_t entries = 0;
  /// What of the trees is not in the layer, each by its name and why, in order; at most the first
  /// thousand: sockets, and attributes that no archive can hold; without `preserve` also pipes and
  /// devices.
  std::vector<std::string> left_out;
};

/// Writes a layer: POSIX tar (ustar, pax records only where needed), in independent gzip members
/// of 1 MiB input each, header without time and name.
///
/// Deterministic: owners have no names and times are `mtime_seconds`. Names must come in ascending
/// order (compared component by component), which also makes duplicates impossible. Memory is
/// bounded by some MiB for each thread and, with `preserve`, the names of files that have several.
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
  /// The same with metadata of the caller's choice, whatever the options.
  Result<void> add_directory(std::string_view name, const EntryMetadata& metadata);
  Result<void> add_file(std::string_view name, std::uint64_t size_bytes, ByteSource& content,
                        const EntryMetadata& metadata);
  Result<void> add_symlink(std::string_view name, std::string_view target,
                           const EntryMetadata& metadata);
  /// Another name for what was added as `existing`; `invalid_argument` when nothing can have been.
  Result<void> add_hard_link(std::string_view name, std::string_view existing);
  /// A pipe or a device; its name and mode are those of the other arguments.
  Result<void> add_special(std::string_view name, const SpecialFile& file,
                           const EntryMetadata& metadata);
  /// Add what lies at `path` as `name`: a file, a link, a pipe, a device, or a directory without
  /// what is in it. A socket is left out and reported.
  Result<void> add_path(Files& files, const std::string& path, std::string_view name);
  /// Add everything below `directory`, as `prefix` (with its parents) or at the root when empty,
  /// as `add_path` does. Names in `exclude` (relative to `directory`, e.g. ".git") are left out
  /// with all below them.
  Result<void> add_tree(Files& files, const std::string& directory, std::string_view prefix = "",
                        const std::set<std::string>& exclude = {});
  /// Write the end of the archive. Call once; nothing may be added afterwards.
  Result<LayerInfo> finish();

 private:
  struct Impl;
  Result<void> add_found(Files& files, const std::string& path, const FileInfo& info,
                         std::string_view name);

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

/// What is not as the image says. Each list has at most the first thousand.
struct UnpackLosses {
  /// Devices and pipes that were not made, in the archive's order.
  std::vector<SpecialFile> skipped;
  /// With `preserve`: owners and attributes that could not be given, by the file's name and why.
  std::vector<std::string> changed;

  bool empty() const noexcept { return skipped.empty() && changed.empty(); }
  /// One line for people, which names the first of each and counts the rest.
  KNATIVE_EXPORT std::string to_string() const;
};

/// What `unpack_layer` has read.
struct UnpackedLayer {
  Digest diff_id;  ///< Of the tar stream as read.
  std::uint64_t tar_bytes = 0;
  std::uint64_t entries = 0;
  std::uint64_t extra_bytes = 0;    ///< Of files beyond the stream: holes, copies of hard links.
  std::uint64_t extra_folders = 0;  ///< Made for what is in them, without an entry.
  UnpackLosses losses;
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
