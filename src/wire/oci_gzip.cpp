// Gzip both ways: blocks out and small members in through libdeflate (whole buffers, fast), other
// streams in through zlib (any member size, bounded memory).
#include <libdeflate.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "wire/oci_block_packer.hpp"
#include "wire/oci_decode.hpp"

namespace knative::oci::tar {

namespace {

// Eight pieces of each block say whether compressing it is worth the time: what is compressed
// already (archives, pictures, keys) costs ten times what hashing it does, and saves nothing. Part
// of the format, as they decide the bytes.
constexpr std::size_t sample_bytes = 4 << 10;
constexpr std::size_t samples = 8;
constexpr int sampler_level = 1;
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
        own_sampler(level == sampler_level ? nullptr : make_compressor(sampler_level)),
        storer(make_compressor(0)) {}

  bool saves(std::string_view sample) {
    const Compressor& sampler = own_sampler ? own_sampler : compressor;
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
  Compressor own_sampler;
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

// Header and trailer of a member, and what storing costs.
constexpr std::size_t member_overhead_max = 64 << 10;

struct FreeDecompressor {
  void operator()(libdeflate_decompressor* d) const { libdeflate_free_decompressor(d); }
};

// Members that are small, as ours are, in one go; others as they come.
class GzipDecoder final : public Decoder {
 public:
  GzipDecoder() : whole_members_(libdeflate_alloc_decompressor()) {
    KN_ASSERT(whole_members_ != nullptr && inflateInit2(&stream_, 16 + MAX_WBITS) == Z_OK);
  }
  ~GzipDecoder() override { inflateEnd(&stream_); }
  GzipDecoder(const GzipDecoder&) = delete;
  GzipDecoder& operator=(const GzipDecoder&) = delete;

  Result<std::size_t> decode(std::string_view& in, bool whole, std::span<char> out) override {
    if (between_members_) skip_padding(in);
    if (in.empty()) return std::size_t{0};
    if (padding_) return fail(Errc::data_loss, "gzip stream: garbage after the end");
    const bool may_be_whole = whole || in.size() > out.size() + member_overhead_max;
    if (between_members_ && members_are_small_ && may_be_whole) {
      std::size_t taken = 0;
      std::size_t given = 0;
      const libdeflate_result result = libdeflate_gzip_decompress_ex(
          whole_members_.get(), in.data(), in.size(), out.data(), out.size(), &taken, &given);
      if (result == LIBDEFLATE_SUCCESS) {
        in.remove_prefix(taken);
        begun_ = true;
        return given;
      }
      // Too large for that, or damaged: zlib says which.
      members_are_small_ = out.size() < gzip_block_bytes;
    }
    return inflate_some(in, out);
  }

  Result<void> end() const override {
    if (begun_ && between_members_) return {};
    return fail(Errc::data_loss, "gzip stream is truncated");
  }

 private:
  // Tolerated at the end.
  void skip_padding(std::string_view& in) {
    const std::size_t zeros = std::min(in.find_first_not_of('\0'), in.size());
    padding_ = padding_ || zeros > 0;
    in.remove_prefix(zeros);
  }

  Result<std::size_t> inflate_some(std::string_view& in, std::span<char> out) {
    constexpr std::size_t most = 1 << 30;
    // zlib's type is not const, but it reads only.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(std::min(in.size(), most));
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(std::min(out.size(), most));
    const uInt input = stream_.avail_in;
    const uInt room = stream_.avail_out;
    between_members_ = false;
    begun_ = true;
    const int code = inflate(&stream_, Z_NO_FLUSH);
    in.remove_prefix(input - stream_.avail_in);
    if (code == Z_STREAM_END) {
      KN_ASSERT(inflateReset(&stream_) == Z_OK);
      between_members_ = true;
    } else if (code != Z_OK && code != Z_BUF_ERROR) {
      return fail(Errc::data_loss, std::string("gzip stream is damaged: ") +
                                       (stream_.msg != nullptr ? stream_.msg : "bad data"));
    }
    return static_cast<std::size_t>(room - stream_.avail_out);
  }

  std::unique_ptr<libdeflate_decompressor, FreeDecompressor> whole_members_;
  z_stream stream_{};
  bool members_are_small_ = true;
  bool begun_ = false;
  bool between_members_ = true;
  bool padding_ = false;
};

}  // namespace

bool begins_as_gzip(std::string_view head) { return head.starts_with("\x1f\x8b"); }

std::unique_ptr<Decoder> gzip_decoder() { return std::make_unique<GzipDecoder>(); }

}  // namespace knative::oci::tar
