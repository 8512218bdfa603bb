// Shared by the implementations of ImageStore.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "wire/oci_catalog.hpp"

namespace knative::oci {

/// Of a manifest, index or config that is read into memory.
inline constexpr std::uint64_t document_bytes_max = 8u << 20;

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

inline Error other_algorithm(const Digest& digest) {
  return fail(Errc::unimplemented, "blob " + digest.to_string() + ": its digest cannot be checked");
}

inline Error other_digest(const Digest& expected, const Digest& actual) {
  return fail(Errc::data_loss,
              "the content has the digest " + actual.to_string() + ", not " + expected.to_string());
}

// Everything about names, what is needed and what is not; where blobs and the catalog lie is for
// derived classes. What they override is called with the mutex held, unless it says otherwise.
class CatalogStore : public ImageStore, public std::enable_shared_from_this<CatalogStore> {
 public:
  explicit CatalogStore(const ImageStoreLimits& limits) : limits_(limits) {}

  Result<std::optional<std::uint64_t>> blob_size(const Digest& digest) override;
  Result<void> remove_blob(const Digest& digest) override;
  Result<void> set_reference(const Reference& name, const Descriptor& manifest) override;
  Result<void> remove_reference(const Reference& name) override;
  Result<std::vector<std::pair<Reference, Descriptor>>> references() override;
  Result<std::optional<Descriptor>> find(const Reference& name) override;
  Result<void> keep_manifest(std::string_view repository, const Descriptor& manifest) override;
  Result<void> remove_manifest(std::string_view repository, const Digest& digest) override;
  Result<std::vector<std::string>> tags(std::string_view repository, std::string_view after,
                                        std::size_t max) override;
  Result<std::vector<std::string>> repositories(std::string_view after, std::size_t max) override;
  Result<std::vector<Descriptor>> referrers(std::string_view repository,
                                            const Digest& subject) override;
  Result<bool> refers_to(std::string_view repository, const Digest& blob) override;
  Result<Pin> pin(const Digest& digest) override;
  Result<Collected> collect(const CollectOptions& options) override;
  Result<std::uint64_t> used_bytes() override;

  // ---- for writers of blobs, without the mutex

  // Room for more bytes of a blob that is being written; makes room.
  Result<void> reserve(std::uint64_t bytes);
  // They are not written any more.
  void release(std::uint64_t bytes);
  // Let `place` make a blob visible, which says whether it is new; nothing is collected meanwhile.
  template <class Place>
  Result<void> settle(const Digest& digest, std::uint64_t bytes, Place place) {
    const std::lock_guard guard(mutex_);
    const Result<bool> fresh = place();
    if (!fresh) return fresh.error();
    young_[digest] = generation_;
    if (*fresh) {
      const std::lock_guard counting(room_mutex_);
      if (counted_) used_ += bytes;
    }
    return {};
  }

 protected:
  struct BlobEntry {
    Digest digest;
    std::uint64_t bytes = 0;
  };
  // Keep other processes from changing the catalog; null where there are none.
  virtual Result<std::unique_ptr<File>> hold() = 0;
  // Read what has changed outside; true if anything has.
  virtual Result<bool> refresh(Catalog& catalog) = 0;
  // Write the changes down; they are applied when that succeeds.
  virtual Result<void> record(const Catalog& catalog, std::span<const CatalogChange> changes) = 0;
  virtual void recorded(const Catalog& catalog) { static_cast<void>(catalog); }
  // Whether nobody else may be about to name a blob.
  virtual Result<void> check_alone() = 0;
  virtual Result<std::optional<std::uint64_t>> stored_size(const Digest& digest) = 0;
  virtual Result<std::vector<BlobEntry>> list_blobs() = 0;
  virtual Result<void> erase_blob(const Digest& digest) = 0;

  Catalog& catalog() noexcept { return catalog_; }

 private:
  using Edit = std::vector<CatalogChange>;
  struct Pins {
    std::mutex mutex;
    std::map<Digest, unsigned> held;
    bool released = false;  // since somebody looked
  };

  Result<void> look();
  // `hold`, and the catalog as it is then, for a change that names this blob.
  Result<std::unique_ptr<File>> hold_with(const Digest& digest);
  Result<void> write_down(const Edit& changes);
  Result<RepositoryIndex*> index_of(const std::string& repository);
  Result<std::optional<DocumentFacts>> load(const Digest& digest);
  RepositoryIndex::Load loader();
  Result<void> reindex(const CatalogChange& change);
  void settle_image(const Digest& digest, int depth);
  Result<bool> needed(const Digest& digest);
  Result<std::optional<Descriptor>> find_digest(const Reference& name);
  Result<void> erase(const Digest& digest);
  Result<void> count();
  Result<std::set<Digest>> mark(const CollectOptions& options);
  Result<void> mark_from(std::vector<Digest> roots, std::set<Digest>& marked);
  Result<void> mark_referrers(std::set<Digest>& marked);
  Result<Collected> sweep(const std::set<Digest>& marked);

  const ImageStoreLimits limits_;
  std::mutex mutex_;
  Catalog catalog_;
  std::map<std::string, RepositoryIndex, std::less<>> indexes_;
  // Blobs that may be on their way into an image, and when they came.
  std::map<Digest, std::uint64_t> young_;
  std::uint64_t generation_ = 1;
  const std::shared_ptr<Pins> pins_ = std::make_shared<Pins>();

  std::mutex room_mutex_;  // taken last
  bool counted_ = false;
  std::uint64_t used_ = 0;
  std::uint64_t reserved_ = 0;
  bool worth_collecting_ = true;
};

}  // namespace knative::oci
