// Turns the bytes of a tar into those of a blob, block by block: hashed for the DiffID, compressed
// as a gzip member each, hashed for the blob's digest and handed on. Blocks are worked on by
// several threads and come out in order; how many threads there are changes no byte.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/crew.hpp"
#include "wire/oci_tar.hpp"

namespace knative::oci {

// The size is part of the format: it decides the bytes.
inline constexpr std::size_t gzip_block_bytes = 1 << 20;

class BlockPacker {
 public:
  struct Sums {
    Digest tar;
    Digest blob;  // empty when nobody wants it
    std::uint64_t tar_bytes = 0;
    std::uint64_t blob_bytes = 0;
  };

  // `sink` must outlive it, and is written to by the caller's thread only.
  BlockPacker(ByteSink& sink, const LayerOptions& options);

  // Where the next bytes belong, at most `most` of them; then say how many came.
  std::span<char> room(std::uint64_t most);
  Result<void> filled(std::size_t count);
  Result<void> put(std::string_view bytes);
  // Everything is with the sink then.
  Result<Sums> finish();

 private:
  struct Block {
    explicit Block(int level) : compressor(level) {}
    std::string_view plain() const { return {bytes.get(), size}; }

    std::unique_ptr<char[]> bytes = std::make_unique_for_overwrite<char[]>(gzip_block_bytes);
    std::size_t size = 0;
    tar::BlockCompressor compressor;
    std::string_view packed;
    base::Crew::Ticket hashed;
    base::Crew::Ticket compressed;
  };

  Block& current();
  Result<void> send();
  Result<void> retire();

  ByteSink& sink_;
  const LayerOptions options_;
  Hasher tar_hasher_;
  Hasher blob_hasher_;
  Sums sums_;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<Block*> free_;
  std::deque<Block*> sent_;
  Block* current_ = nullptr;
  std::size_t sent_max_ = 1;
  std::optional<base::Crew> crew_;  // goes first: it works on the blocks
};

}  // namespace knative::oci
