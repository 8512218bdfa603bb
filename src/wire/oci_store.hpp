// Shared by the implementations of ImageStore.
#pragma once

#include "knative/oci.hpp"

namespace knative::oci {

// Passes bytes on and checks size and digest at the end.
class VerifyingSource : public ByteSource {
 public:
  VerifyingSource(std::unique_ptr<ByteSource> inner, const Descriptor& expected);
  Result<std::size_t> read(std::span<char> into) override;

 private:
  std::unique_ptr<ByteSource> inner_;
  Descriptor expected_;
  Hasher hasher_;
  std::uint64_t size_ = 0;
  bool checked_ = false;
};

// Names are bound by repository and tag; a digest in the name says nothing about the binding.
inline Reference reference_key(const Reference& name) {
  return {name.repository, name.tag.empty() ? "latest" : name.tag, Digest()};
}

inline Error no_such_blob(const Digest& digest) {
  return fail(Errc::not_found, "blob " + digest.to_string() + " is not in the store");
}

inline Error no_such_reference(const Reference& name) {
  return fail(Errc::not_found, "image \"" + name.to_string() + "\" is not in the store");
}

}  // namespace knative::oci
