// Streams of zstd frames, through libzstd: the only file that knows it.
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <vector>

#include "wire/oci_tar.hpp"

namespace knative::oci::tar {

namespace {

// 128 MiB, the most that the zstd program itself takes without being asked to.
constexpr int window_log_max = 27;

class ZstdSource final : public ByteSource {
 public:
  ZstdSource(std::string head, ByteSource& rest)
      : inner_(std::move(head), rest), stream_(ZSTD_createDStream()), input_(ZSTD_DStreamInSize()) {
    KN_ASSERT(stream_ != nullptr);
    const std::size_t set =
        ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, window_log_max);
    KN_ASSERT(ZSTD_isError(set) == 0);
  }

  Result<std::size_t> read(std::span<char> into) override {
    ZSTD_outBuffer out{into.data(), into.size(), 0};
    while (out.pos == 0 && out.size > 0) {
      // What a frame still holds comes out without more input.
      if (in_.pos == in_.size && !full_) {
        Result<std::size_t> count = inner_.read(std::span<char>(input_));
        if (!count) return count.error();
        if (*count == 0) {
          if (inside_) return fail(Errc::data_loss, "zstd stream is truncated");
          return std::size_t{0};
        }
        in_ = {input_.data(), *count, 0};
      }
      const std::size_t left = ZSTD_decompressStream(stream_.get(), &out, &in_);
      if (ZSTD_isError(left) != 0) return damaged(left);
      inside_ = left != 0;
      full_ = inside_ && out.pos == out.size;
    }
    return out.pos;
  }

 private:
  static Error damaged(std::size_t code) {
    const std::string why = ZSTD_getErrorName(code);
    if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge) {
      return fail(Errc::resource_exhausted, "zstd stream needs more than " +
                                                std::to_string(1u << window_log_max) +
                                                " bytes of memory");
    }
    return fail(Errc::data_loss, "zstd stream is damaged: " + why);
  }

  struct Free {
    void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
  };
  Prefixed inner_;
  std::unique_ptr<ZSTD_DStream, Free> stream_;
  std::vector<char> input_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool inside_ = false;  // a frame has begun and not ended
  bool full_ = false;    // the last output was filled: there may be more of it
};

}  // namespace

bool begins_as_zstd(std::string_view head) {
  if (head.size() < 4) return false;
  if (head.starts_with("\x28\xb5\x2f\xfd")) return true;
  // Frames to be skipped: 0x184D2A5? in little-endian order.
  return (static_cast<unsigned char>(head[0]) & 0xf0) == 0x50 &&
         head.substr(1, 3) == "\x2a\x4d\x18";
}

std::unique_ptr<ByteSource> decompress_zstd(std::string head, ByteSource& rest) {
  return std::make_unique<ZstdSource>(std::move(head), rest);
}

}  // namespace knative::oci::tar
