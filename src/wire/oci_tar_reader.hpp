// Turns the bytes of a tar archive that nobody vouches for into entries: POSIX.1-1988 and older
// headers, pax (POSIX.1-2001), GNU's long names and large numbers, sparse files of GNU's own kind
// and of its three pax kinds. Counts what it reads, and what its reader makes of that.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "wire/oci_tar.hpp"

namespace knative::oci::tar {

struct Entry {
  std::string name;
  std::string link;
  std::uint64_t size = 0;  // of the file, holes included
  unsigned mode = 0;
  char type = '0';  // as in the header; regular files of every kind are '0'
  unsigned device_major = 0;
  unsigned device_minor = 0;
  std::uint32_t owner = 0;
  std::uint32_t group = 0;
  std::int64_t modified_ns = 0;
  FileAttributes attributes;  // those that `preserve` keeps
};

// "archive entry "name"", for errors.
std::string shown(std::string_view name);

class Reader {
 public:
  // Both must outlive it. The digest of the stream is its source's business.
  Reader(ByteSource& source, const UnpackOptions& options) : source_(source), options_(options) {}

  // The next entry, its content not yet read; nothing at the end. Skips what was left unread.
  Result<std::optional<Entry>> next();
  // Content of the current entry and where it belongs in the file; 0 at its end. Between the
  // pieces, and after the last up to the entry's size, are holes.
  Result<std::size_t> content(std::span<char> into, std::uint64_t& offset);
  // Read what follows the end marker, so that the source has given the whole stream.
  Result<UnpackedLayer> finish();

  // Count what an entry becomes beyond its bytes in the stream, and folders that it names without
  // bringing them. `resource_exhausted` when that is too much.
  Result<void> charge_bytes(std::uint64_t bytes);
  Result<void> charge_folder();

 private:
  // Bytes of a sparse file that are in the archive.
  struct Piece {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };
  // What extension headers say about the entry that follows them.
  struct Extended {
    std::optional<std::string> name;
    std::optional<std::string> link;
    std::optional<std::uint64_t> size;
    std::optional<std::uint64_t> owner;
    std::optional<std::uint64_t> group;
    std::optional<std::int64_t> modified_ns;
    FileAttributes attributes;
    // GNU.sparse.*
    std::string sparse_version;  // "major.minor", as far as given
    std::optional<std::string> sparse_name;
    std::optional<std::uint64_t> sparse_size;
    std::vector<std::uint64_t> sparse_map;  // offset, size, offset, size, ...
    bool has_map = false;
  };

  Result<std::size_t> some(std::span<char> into);
  Result<void> exactly(std::span<char> into);
  Result<void> skip();
  Result<bool> read_header(Header& header);
  Result<Entry> entry_of(const Header& header, std::uint64_t size, Extended& extended);
  Result<void> read_extension(char type, std::uint64_t size, Extended& extended);
  Result<void> parse_pax(std::string_view body, Extended& extended) const;
  Result<void> accept_pax(std::string_view key, std::string_view value, Extended& extended) const;
  static Result<void> accept_metadata(std::string_view key, std::string_view value,
                                      Extended& extended);
  static Result<void> accept_sparse(std::string_view key, std::string_view value,
                                    Extended& extended);
  Result<void> read_owner(Entry& entry, const Header& header, Extended& extended) const;
  Result<void> begin_content(Entry& entry, const Header& header, Extended& extended);
  Result<void> read_gnu_map(const Header& header, std::vector<std::uint64_t>& map);
  Result<void> read_map_in_content(std::vector<std::uint64_t>& map);
  Result<std::uint64_t> read_map_number(std::array<char, block_bytes>& block, std::size_t& at);
  Result<void> set_pieces(const Entry& entry, const std::vector<std::uint64_t>& map);
  Error too_large() const;
  Error too_many() const;

  ByteSource& source_;
  const UnpackOptions& options_;
  std::uint64_t bytes_ = 0;  // of the stream
  std::uint64_t extra_bytes_ = 0;
  std::uint64_t entries_ = 0;
  std::uint64_t extra_folders_ = 0;
  std::uint64_t left_ = 0;  // of the current entry in the stream
  std::uint64_t padding_ = 0;
  std::uint64_t offset_ = 0;  // in a file without holes
  std::vector<Piece> pieces_;
  std::size_t piece_ = 0;
  bool sparse_ = false;
};

}  // namespace knative::oci::tar
