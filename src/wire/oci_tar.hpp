// The POSIX tar header block and compressed blocks, shared by the layer's writer and reader.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "knative/oci.hpp"

namespace knative::oci::tar {

inline constexpr std::size_t block_bytes = 512;

// POSIX.1-1988 section 10.1.1 ("ustar").
struct Header {
  std::array<char, 100> name;
  std::array<char, 8> mode;
  std::array<char, 8> uid;
  std::array<char, 8> gid;
  std::array<char, 12> size;
  std::array<char, 12> mtime;
  std::array<char, 8> checksum;
  char type;
  std::array<char, 100> link;
  std::array<char, 6> magic;
  std::array<char, 2> version;
  std::array<char, 32> user;
  std::array<char, 32> group;
  std::array<char, 8> device_major;
  std::array<char, 8> device_minor;
  std::array<char, 155> prefix;
  std::array<char, 12> padding;
};
static_assert(sizeof(Header) == block_bytes);

inline std::uint64_t padding_after(std::uint64_t size) {
  return (block_bytes - size % block_bytes) % block_bytes;
}

// Sum of all bytes with the checksum field taken as blanks.
inline std::uint32_t checksum(const Header& header) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(&header);
  std::uint32_t sum = 8 * 32;
  for (std::size_t i = 0; i < block_bytes; ++i) {
    if (i < offsetof(Header, checksum) || i >= offsetof(Header, type)) sum += bytes[i];
  }
  return sum;
}

// Compresses one block into a gzip member of its own. Same input and level, same bytes.
class BlockCompressor {
 public:
  explicit BlockCompressor(int level);
  ~BlockCompressor();
  BlockCompressor(const BlockCompressor&) = delete;
  BlockCompressor& operator=(const BlockCompressor&) = delete;
  // Valid until the next call.
  std::string_view compress(std::string_view block);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative::oci::tar
