// The only file that knows OpenSSL on this floor. Its EVP interface is used because it picks the
// processor's SHA instructions; one stream is then hashed at well over 1 GB/s.
#include <openssl/evp.h>

#include <array>

#include "base/text.hpp"
#include "knative/oci.hpp"

namespace knative::oci {

namespace {

constexpr std::string_view sha256_name = "sha256";
constexpr std::string_view sha512_name = "sha512";
// A digest is part of a file's name, and those end at 255.
constexpr std::size_t encoded_bytes_max = 200;
constexpr std::size_t algorithm_bytes_max = 50;

std::string hex_text(std::string_view name, const unsigned char* bytes, std::size_t count) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text(name);
  text.reserve(name.size() + 1 + count * 2);
  text.push_back(':');
  for (std::size_t i = 0; i < count; ++i) {
    text.push_back(digits[bytes[i] >> 4]);
    text.push_back(digits[bytes[i] & 15]);
  }
  return text;
}

bool is_lower_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

// algorithm := component (separator component)*, component := [a-z0-9]+, separator := [+._-]
bool is_algorithm(std::string_view text) {
  bool word = false;
  for (const char c : text) {
    if (base::is_lower(c) || base::is_digit(c)) {
      word = true;
    } else if (word && std::string_view("+._-").find(c) != std::string_view::npos) {
      word = false;
    } else {
      return false;
    }
  }
  return word && text.size() <= algorithm_bytes_max;
}

bool is_encoded(std::string_view text) {
  for (const char c : text) {
    const bool good = base::is_lower(c) || base::is_upper(c) || base::is_digit(c) || c == '=' ||
                      c == '_' || c == '-';
    if (!good) return false;
  }
  return !text.empty() && text.size() <= encoded_bytes_max;
}

Error malformed(std::string_view text, const std::string& why) {
  return fail(Errc::invalid_argument,
              "digest \"" + std::string(text.substr(0, 200)) + "\": expected " + why);
}

// How many hex digits a digest of a known algorithm has; 0 for others.
std::size_t hex_digits(std::string_view algorithm) {
  return algorithm == sha256_name ? 64 : algorithm == sha512_name ? 128 : 0;
}

}  // namespace

Result<Digest> Digest::parse_any(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || !is_algorithm(text.substr(0, colon))) {
    return malformed(text, "algorithm:hex");
  }
  const std::string_view encoded = text.substr(colon + 1);
  const std::size_t digits = hex_digits(text.substr(0, colon));
  if (digits == 0 && !is_encoded(encoded)) return malformed(text, "algorithm:hex");
  bool good = digits == 0 || encoded.size() == digits;
  for (const char c : encoded) good = good && (digits == 0 || is_lower_hex(c));
  if (!good) return malformed(text, std::to_string(digits) + " lower-case hex digits");
  Digest digest;
  digest.text_ = text;
  return digest;
}

Result<Digest> Digest::parse(std::string_view text) {
  Result<Digest> digest = parse_any(text);
  if (digest && digest->algorithm() == DigestAlgorithm::other) {
    return fail(Errc::unimplemented, "digest algorithm \"" + std::string(digest->algorithm_name()) +
                                         "\": only sha256 and sha512 are supported");
  }
  return digest;
}

Digest Digest::of(std::string_view bytes, DigestAlgorithm algorithm) {
  Hasher hasher(algorithm);
  hasher.update(bytes);
  return hasher.finish();
}

std::string_view Digest::algorithm_name() const noexcept {
  return std::string_view(text_).substr(0, text_.find(':'));
}

DigestAlgorithm Digest::algorithm() const noexcept {
  const std::string_view name = algorithm_name();
  return name == sha256_name   ? DigestAlgorithm::sha256
         : name == sha512_name ? DigestAlgorithm::sha512
                               : DigestAlgorithm::other;
}

std::string_view Digest::hex() const noexcept {
  return text_.empty() ? std::string_view() : std::string_view(text_).substr(text_.find(':') + 1);
}

struct Hasher::Impl {
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context{EVP_MD_CTX_new()};
  bool longer = false;  // sha512

  void start() {
    const EVP_MD* const kind = longer ? EVP_sha512() : EVP_sha256();
    KN_ASSERT(EVP_DigestInit_ex(context.get(), kind, nullptr) == 1);
  }
};

Hasher::Hasher(DigestAlgorithm algorithm) : impl_(std::make_unique<Impl>()) {
  KN_ASSERT(impl_->context != nullptr && algorithm != DigestAlgorithm::other);
  impl_->longer = algorithm == DigestAlgorithm::sha512;
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
  digest.text_ = hex_text(impl_->longer ? sha512_name : sha256_name, bytes.data(), count);
  return digest;
}

}  // namespace knative::oci
