// Gzip both ways: blocks out through libdeflate (whole buffers, fast), streams in through zlib
// (any member size, bounded memory). Also tells how a stream is compressed.
#include <libdeflate.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "wire/oci_tar.hpp"

namespace knative::oci::tar {

namespace {

// Eight pieces of each block say whether compressing it is worth the time: what is compressed
// already (archives, pictures, keys) costs ten times what hashing it does, and saves nothing. Part
// of the format, as they decide the bytes.
constexpr std::size_t sample_bytes = 4 << 10;
constexpr std::size_t samples = 8;
constexpr std::size_t sampled_block_bytes_min = 4 * samples * sample_bytes;
constexpr std::size_t sample_saves_percent_min = 2;

struct FreeCompressor {
  void operator()(libdeflate_compressor* c) const { libdeflate_free_compressor(c); }
};
using Compressor = std::unique_ptr<libdeflate_compressor, FreeCompressor>;

Compressor make_compressor(int level) {
  Compressor compressor(libdeflate_alloc_compressor(level));
  KN_ASSERT(compressor != nullptr);
  return compressor;
}

}  // namespace

struct BlockCompressor::Impl {
  explicit Impl(int level)
      : compressor(make_compressor(level)),
        sampler(make_compressor(1)),
        storer(make_compressor(0)) {}

  bool saves(std::string_view sample) {
    const std::size_t used = libdeflate_deflate_compress(
        sampler.get(), sample.data(), sample.size(), output.data(), output.size());
    return used > 0 && used < sample.size() - sample.size() * sample_saves_percent_min / 100;
  }
  bool worth_it(std::string_view block) {
    if (block.size() < sampled_block_bytes_min) return true;
    const std::size_t step = block.size() / samples;
    for (std::size_t i = 0; i < samples; ++i) {
      if (saves(block.substr(i * step + step / 2, sample_bytes))) return true;
    }
    return false;
  }

  Compressor compressor;
  Compressor sampler;
  Compressor storer;
  std::vector<char> output;
};

BlockCompressor::BlockCompressor(int level)
    : impl_(std::make_unique<Impl>(std::clamp(level, 1, 12))) {}
BlockCompressor::~BlockCompressor() = default;

std::string_view BlockCompressor::compress(std::string_view block) {
  const std::size_t bound =
      std::max(libdeflate_gzip_compress_bound(impl_->compressor.get(), block.size()),
               libdeflate_gzip_compress_bound(impl_->storer.get(), block.size()));
  if (impl_->output.size() < bound) impl_->output.resize(bound);
  const Compressor& chosen = impl_->worth_it(block) ? impl_->compressor : impl_->storer;
  const std::size_t used = libdeflate_gzip_compress(chosen.get(), block.data(), block.size(),
                                                    impl_->output.data(), impl_->output.size());
  KN_ASSERT(used > 0);  // the bound is large enough by contract
  // Header bytes 4..7 are the time: libdeflate writes 0, and the digest depends on it.
  KN_ASSERT(std::all_of(impl_->output.begin() + 4, impl_->output.begin() + 8,
                        [](char c) { return c == 0; }));
  return std::string_view(impl_->output.data(), used);
}

namespace {

constexpr std::size_t input_bytes = 64 << 10;

class Inflater : public ByteSource {
 public:
  Inflater(std::string head, ByteSource& rest) : inner_(std::move(head), rest) {
    KN_ASSERT(inflateInit2(&stream_, 16 + MAX_WBITS) == Z_OK);
  }
  ~Inflater() override { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  Result<std::size_t> read(std::span<char> into) override {
    if (into.empty()) return std::size_t{0};
    stream_.next_out = reinterpret_cast<Bytef*>(into.data());
    stream_.avail_out = static_cast<uInt>(std::min<std::size_t>(into.size(), 1u << 30));
    const uInt room = stream_.avail_out;
    while (stream_.avail_out == room && !done_) {
      if (stream_.avail_in == 0) {
        if (Result<void> filled = fill(); !filled) return filled.error();
        if (stream_.avail_in == 0) {
          if (!between_members_) return fail(Errc::data_loss, "gzip stream is truncated");
          done_ = true;
          break;
        }
      }
      if (Result<void> stepped = step(); !stepped) return stepped.error();
    }
    return static_cast<std::size_t>(room - stream_.avail_out);
  }

 private:
  Result<void> fill() {
    Result<std::size_t> count = inner_.read(std::span<char>(input_));
    if (!count) return count.error();
    stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
    stream_.avail_in = static_cast<uInt>(*count);
    return {};
  }

  Result<void> step() {
    if (between_members_ && *stream_.next_in == 0) {  // tolerated: zero padding at the end
      ++stream_.next_in;
      --stream_.avail_in;
      padding_ = true;
      return {};
    }
    if (padding_) return fail(Errc::data_loss, "gzip stream: garbage after the end");
    between_members_ = false;
    const int code = inflate(&stream_, Z_NO_FLUSH);
    if (code == Z_STREAM_END) {
      KN_ASSERT(inflateReset(&stream_) == Z_OK);
      between_members_ = true;
      return {};
    }
    if (code != Z_OK && code != Z_BUF_ERROR) {
      return fail(Errc::data_loss, std::string("gzip stream is damaged: ") +
                                       (stream_.msg != nullptr ? stream_.msg : "bad data"));
    }
    return {};
  }

  Prefixed inner_;
  z_stream stream_{};
  std::array<char, input_bytes> input_;
  bool between_members_ = false;
  bool padding_ = false;
  bool done_ = false;
};

}  // namespace

Result<std::size_t> Prefixed::read(std::span<char> into) {
  if (offset_ == head_.size()) return rest_.read(into);
  const std::size_t count = std::min(into.size(), head_.size() - offset_);
  std::memcpy(into.data(), head_.data() + offset_, count);
  offset_ += count;
  return count;
}

Result<std::unique_ptr<ByteSource>> decompress(ByteSource& inner) {
  std::string head(6, '\0');
  std::size_t have = 0;
  while (have < head.size()) {
    Result<std::size_t> count = inner.read(std::span<char>(head).subspan(have));
    if (!count) return count.error();
    if (*count == 0) break;
    have += *count;
  }
  head.resize(have);
  if (begins_as_zstd(head)) return decompress_zstd(std::move(head), inner);
  if (head == std::string_view("\xfd"
                               "7zXZ\0",
                               6) ||
      head.starts_with("BZh")) {
    return fail(Errc::unimplemented, "archives compressed with xz or bzip2 are not supported");
  }
  if (head.substr(0, 2) == "\x1f\x8b") {
    return std::unique_ptr<ByteSource>(std::make_unique<Inflater>(std::move(head), inner));
  }
  return std::unique_ptr<ByteSource>(std::make_unique<Prefixed>(std::move(head), inner));
}

}  // namespace knative::oci::tar
