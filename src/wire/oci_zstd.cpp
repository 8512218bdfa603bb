// Streams of zstd frames, through libzstd: the only file that knows it.
#include <zstd.h>
#include <zstd_errors.h>

#include <memory>

#include "wire/oci_decode.hpp"

namespace knative::oci::tar {

namespace {

// 128 MiB, the most that the zstd program itself takes without being asked to.
constexpr int window_log_max = 27;

class ZstdDecoder final : public Decoder {
 public:
  ZstdDecoder() : stream_(ZSTD_createDStream()) {
    KN_ASSERT(stream_ != nullptr);
    const std::size_t set =
        ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, window_log_max);
    KN_ASSERT(ZSTD_isError(set) == 0);
  }

  Result<std::size_t> decode(std::string_view& in, bool, std::span<char> room) override {
    // Between frames there is nothing inside that could still come out.
    if (in.empty() && !inside_) return std::size_t{0};
    ZSTD_outBuffer out{room.data(), room.size(), 0};
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    const std::size_t left = ZSTD_decompressStream(stream_.get(), &out, &from);
    if (ZSTD_isError(left) != 0) return damaged(left);
    in.remove_prefix(from.pos);
    inside_ = left != 0;
    return out.pos;
  }

  Result<void> end() const override {
    return inside_ ? Result<void>(fail(Errc::data_loss, "zstd stream is truncated"))
                   : Result<void>();
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
  std::unique_ptr<ZSTD_DStream, Free> stream_;
  bool inside_ = false;  // a frame has begun and not ended
};

}  // namespace

bool begins_as_zstd(std::string_view head) {
  if (head.size() < 4) return false;
  if (head.starts_with("\x28\xb5\x2f\xfd")) return true;
  // Frames to be skipped: 0x184D2A5? in little-endian order.
  return (static_cast<unsigned char>(head[0]) & 0xf0) == 0x50 &&
         head.substr(1, 3) == "\x2a\x4d\x18";
}

std::unique_ptr<Decoder> zstd_decoder() { return std::make_unique<ZstdDecoder>(); }

}  // namespace knative::oci::tar
