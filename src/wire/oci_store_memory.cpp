// Images in memory, for tests and for platforms without a data directory.
#include <mutex>

#include "wire/oci_store.hpp"

namespace knative::oci {

namespace {

struct Contents {
  std::mutex mutex;
  std::map<Digest, std::shared_ptr<const std::string>> blobs;
  std::map<Reference, Descriptor> names;
};

class MemoryBlobSource : public ByteSource {
 public:
  explicit MemoryBlobSource(std::shared_ptr<const std::string> bytes)
      : bytes_(std::move(bytes)), inner_(memory_source(*bytes_)) {}
  Result<std::size_t> read(std::span<char> into) override { return inner_->read(into); }

 private:
  std::shared_ptr<const std::string> bytes_;
  std::unique_ptr<ByteSource> inner_;
};

class MemoryBlobWriter : public BlobWriter {
 public:
  explicit MemoryBlobWriter(std::shared_ptr<Contents> contents) : contents_(std::move(contents)) {}

  Result<void> write(std::string_view bytes) override {
    bytes_.append(bytes);
    hasher_.update(bytes);
    return {};
  }

  Result<Descriptor> commit() override {
    Descriptor blob;
    blob.digest = hasher_.finish();
    blob.size_bytes = bytes_.size();
    const std::lock_guard guard(contents_->mutex);
    contents_->blobs[blob.digest] = std::make_shared<const std::string>(std::move(bytes_));
    return blob;
  }

 private:
  std::shared_ptr<Contents> contents_;
  std::string bytes_;
  Hasher hasher_;
};

class MemoryImageStore : public ImageStore {
 public:
  Result<std::unique_ptr<BlobWriter>> new_blob() override {
    return std::unique_ptr<BlobWriter>(std::make_unique<MemoryBlobWriter>(contents_));
  }

  Result<std::optional<std::uint64_t>> blob_size(const Digest& digest) override {
    const std::lock_guard guard(contents_->mutex);
    const auto at = contents_->blobs.find(digest);
    if (at == contents_->blobs.end()) return std::optional<std::uint64_t>();
    return std::optional<std::uint64_t>(at->second->size());
  }

  Result<std::unique_ptr<ByteSource>> open_blob(const Descriptor& blob) override {
    const std::lock_guard guard(contents_->mutex);
    const auto at = contents_->blobs.find(blob.digest);
    if (at == contents_->blobs.end()) return no_such_blob(blob.digest);
    return std::unique_ptr<ByteSource>(
        std::make_unique<VerifyingSource>(std::make_unique<MemoryBlobSource>(at->second), blob));
  }

  Result<void> set_reference(const Reference& name, const Descriptor& manifest) override {
    const std::lock_guard guard(contents_->mutex);
    if (!contents_->blobs.contains(manifest.digest)) return no_such_blob(manifest.digest);
    contents_->names[reference_key(name)] = manifest;
    return {};
  }

  Result<void> remove_reference(const Reference& name) override {
    const std::lock_guard guard(contents_->mutex);
    if (contents_->names.erase(reference_key(name)) == 0) return no_such_reference(name);
    return {};
  }

  Result<std::vector<std::pair<Reference, Descriptor>>> references() override {
    const std::lock_guard guard(contents_->mutex);
    return std::vector<std::pair<Reference, Descriptor>>(contents_->names.begin(),
                                                         contents_->names.end());
  }

 private:
  std::shared_ptr<Contents> contents_ = std::make_shared<Contents>();
};

}  // namespace

std::shared_ptr<ImageStore> memory_image_store() { return std::make_shared<MemoryImageStore>(); }

}  // namespace knative::oci
