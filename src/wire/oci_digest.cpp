// The only file that knows OpenSSL on this floor. Its EVP interface is used because it picks the
// processor's SHA instructions; one stream is then hashed at well over 1 GB/s.
#include <openssl/evp.h>

#include <array>

#include "knative/oci.hpp"

namespace knative::oci {

namespace {

constexpr std::string_view prefix = "sha256:";
constexpr std::size_t hex_digits = 64;

std::string hex_text(const unsigned char* bytes, std::size_t count) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text(prefix);
  for (std::size_t i = 0; i < count; ++i) {
    text.push_back(digits[bytes[i] >> 4]);
    text.push_back(digits[bytes[i] & 15]);
  }
  return text;
}

bool is_lower_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

}  // namespace

Result<Digest> Digest::parse(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) {
    return fail(Errc::invalid_argument,
                "digest \"" + std::string(text.substr(0, 100)) + "\": expected algorithm:hex");
  }
  if (text.substr(0, colon + 1) != prefix) {
    return fail(Errc::unimplemented, "digest algorithm \"" + std::string(text.substr(0, colon)) +
                                         "\": only sha256 is supported");
  }
  const std::string_view hex = text.substr(prefix.size());
  bool good = hex.size() == hex_digits;
  for (const char c : hex) good = good && is_lower_hex(c);
  if (!good) {
    return fail(Errc::invalid_argument, "digest \"" + std::string(text.substr(0, 100)) +
                                            "\": expected 64 lower-case hex digits");
  }
  Digest digest;
  digest.text_ = text;
  return digest;
}

Digest Digest::of(std::string_view bytes) {
  Hasher hasher;
  hasher.update(bytes);
  return hasher.finish();
}

std::string_view Digest::hex() const noexcept {
  return text_.empty() ? std::string_view() : std::string_view(text_).substr(prefix.size());
}

struct Hasher::Impl {
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context{EVP_MD_CTX_new()};

  void start() { KN_ASSERT(EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1); }
};

Hasher::Hasher() : impl_(std::make_unique<Impl>()) {
  KN_ASSERT(impl_->context != nullptr);
  impl_->start();
}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::update(std::string_view bytes) {
  KN_ASSERT(EVP_DigestUpdate(impl_->context.get(), bytes.data(), bytes.size()) == 1);
}

Digest Hasher::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes;
  unsigned int count = 0;
  KN_ASSERT(EVP_DigestFinal_ex(impl_->context.get(), bytes.data(), &count) == 1);
  impl_->start();
  Digest digest;
  digest.text_ = hex_text(bytes.data(), count);
  return digest;
}

}  // namespace knative::oci
