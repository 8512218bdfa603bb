// Images in memory, for tests and for platforms without a data directory.
#include <mutex>

#include "wire/oci_store.hpp"

namespace knative::oci {

namespace {

using Bytes = std::shared_ptr<const std::string>;

class MemoryBlobSource : public ByteSource {
 public:
  explicit MemoryBlobSource(Bytes bytes)
      : bytes_(std::move(bytes)), inner_(memory_source(*bytes_)) {}
  Result<std::size_t> read(std::span<char> into) override { return inner_->read(into); }

 private:
  Bytes bytes_;
  std::unique_ptr<ByteSource> inner_;
};

class MemoryBlobContent : public BlobContent {
 public:
  explicit MemoryBlobContent(Bytes bytes) : bytes_(std::move(bytes)) {}
  std::uint64_t size() const noexcept override { return bytes_->size(); }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<char> into) override {
    if (offset >= bytes_->size()) return std::size_t{0};
    return bytes_->copy(into.data(), into.size(), static_cast<std::size_t>(offset));
  }

 private:
  Bytes bytes_;
};

class MemoryImageStore : public CatalogStore {
 public:
  using CatalogStore::CatalogStore;

  Result<std::unique_ptr<BlobWriter>> new_blob(DigestAlgorithm algorithm) override;
  using ImageStore::new_blob;

  Result<std::unique_ptr<ByteSource>> open_blob(const Descriptor& blob) override {
    if (blob.digest.algorithm() == DigestAlgorithm::other) return other_algorithm(blob.digest);
    const Bytes bytes = bytes_of(blob.digest);
    if (bytes == nullptr) return no_such_blob(blob.digest);
    return std::unique_ptr<ByteSource>(
        std::make_unique<VerifyingSource>(std::make_unique<MemoryBlobSource>(bytes), blob));
  }

  Result<std::unique_ptr<BlobContent>> read_blob(const Digest& digest) override {
    const Bytes bytes = bytes_of(digest);
    if (bytes == nullptr) return no_such_blob(digest);
    return std::unique_ptr<BlobContent>(std::make_unique<MemoryBlobContent>(bytes));
  }

  Result<Descriptor> place(const Digest& digest, std::string bytes) {
    Descriptor blob;
    blob.digest = digest;
    blob.size_bytes = bytes.size();
    const auto put = [&]() -> Result<bool> {
      const std::lock_guard guard(blobs_mutex_);
      return blobs_.emplace(digest, std::make_shared<const std::string>(std::move(bytes))).second;
    };
    if (Result<void> settled = settle(digest, blob.size_bytes, put); !settled) {
      return settled.error();
    }
    return blob;
  }

 protected:
  Result<std::unique_ptr<File>> hold() override { return std::unique_ptr<File>(); }
  Result<bool> refresh(Catalog&) override { return false; }
  Result<void> record(const Catalog&, std::span<const CatalogChange>) override { return {}; }
  Result<void> check_alone() override { return {}; }

  Result<std::optional<std::uint64_t>> stored_size(const Digest& digest) override {
    const Bytes bytes = bytes_of(digest);
    if (bytes == nullptr) return std::optional<std::uint64_t>();
    return std::optional<std::uint64_t>(bytes->size());
  }

  Result<std::vector<BlobEntry>> list_blobs() override {
    const std::lock_guard guard(blobs_mutex_);
    std::vector<BlobEntry> all;
    for (const auto& [digest, bytes] : blobs_) all.push_back({digest, bytes->size()});
    return all;
  }

  Result<void> erase_blob(const Digest& digest) override {
    const std::lock_guard guard(blobs_mutex_);
    blobs_.erase(digest);
    return {};
  }

 private:
  Bytes bytes_of(const Digest& digest) {
    const std::lock_guard guard(blobs_mutex_);
    const auto at = blobs_.find(digest);
    return at == blobs_.end() ? nullptr : at->second;
  }

  std::mutex blobs_mutex_;
  std::map<Digest, Bytes> blobs_;
};

class MemoryBlobWriter : public BlobWriter {
 public:
  MemoryBlobWriter(std::shared_ptr<MemoryImageStore> store, DigestAlgorithm algorithm)
      : store_(std::move(store)), algorithm_(algorithm), hasher_(algorithm) {}
  ~MemoryBlobWriter() override { store_->release(reserved_); }
  MemoryBlobWriter(const MemoryBlobWriter&) = delete;
  MemoryBlobWriter& operator=(const MemoryBlobWriter&) = delete;

  Result<void> write(std::string_view bytes) override {
    if (Result<void> room = store_->reserve(bytes.size()); !room) return room;
    reserved_ += bytes.size();
    bytes_.append(bytes);
    hasher_.update(bytes);
    return {};
  }

  Result<Descriptor> commit() override {
    return store_->place(hasher_.finish(), std::move(bytes_));
  }

  Result<Descriptor> commit(const Digest& expected) override {
    if (expected.algorithm() == DigestAlgorithm::other) return other_algorithm(expected);
    const Digest actual = expected.algorithm() == algorithm_
                              ? hasher_.finish()
                              : Digest::of(bytes_, expected.algorithm());
    if (actual != expected) return other_digest(expected, actual);
    return store_->place(expected, std::move(bytes_));
  }

 private:
  std::shared_ptr<MemoryImageStore> store_;
  DigestAlgorithm algorithm_;
  std::string bytes_;
  Hasher hasher_;
  std::uint64_t reserved_ = 0;
};

Result<std::unique_ptr<BlobWriter>> MemoryImageStore::new_blob(DigestAlgorithm algorithm) {
  return std::unique_ptr<BlobWriter>(std::make_unique<MemoryBlobWriter>(
      std::static_pointer_cast<MemoryImageStore>(shared_from_this()), algorithm));
}

}  // namespace

std::shared_ptr<ImageStore> memory_image_store(const ImageStoreLimits& limits) {
  return std::make_shared<MemoryImageStore>(limits);
}

}  // namespace knative::oci
