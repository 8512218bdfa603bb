// One push: what the store has, what the registry lacks, and in which order it goes there.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engines/registry/image_puller.hpp"
#include "engines/registry/registry_access.hpp"

namespace knative::oci {

// How a blob came to be at the registry.
enum class BlobArrival : unsigned char { there, mounted, sent };

// Bring one blob of a store into a repository.
Task<Result<BlobArrival>> upload_blob(RepositoryAccess& place, std::shared_ptr<ImageStore> store,
                                      Descriptor blob, std::vector<std::string> mount_from);

// Add `entry` to what is known to refer to `subject`, at a registry that keeps no such list.
Task<Result<void>> add_to_referrers_tag(RepositoryAccess& place, Digest subject, Descriptor entry);
// The tag of that list.
std::string referrers_tag(const Digest& subject);

// Put a document under a tag or digest.
Task<Result<void>> put_document(RepositoryAccess& place, const RegistryDocument& document,
                                std::string reference);

class ImagePusher {
 public:
  ImagePusher(std::shared_ptr<RegistryWorld> world, std::shared_ptr<RegistryState> state,
              std::shared_ptr<ImageStore> store, Reference to, PushOptions options);
  Task<Result<PushedImage>> run(Reference local);

 private:
  // What of an image is in the store: documents, children first, and blobs.
  struct Contents {
    std::vector<RegistryDocument> documents;
    std::vector<Digest> missing;  // Listed by an index, but not in the store.
  };
  // All blobs of one kind, to be sent side by side.
  struct Batch {
    ImagePusher& pusher;
    std::vector<Descriptor> blobs;
    Task<Result<void>> operator()(std::size_t number) { return pusher.blob(blobs[number]); }
  };
  Result<Contents> read_store(const Reference& local) const;
  Result<void> read_document(Contents& into, const Descriptor& descriptor, std::size_t depth) const;
  Task<Result<bool>> has_document(const std::string& reference, const Digest& digest);
  Task<Result<void>> send_blobs(const std::vector<RegistryDocument>& documents);
  Task<Result<void>> blob(const Descriptor& blob);
  Task<Result<void>> send_documents(const std::vector<RegistryDocument>& documents);
  std::vector<std::string> mounts(const Digest& blob) const;

  std::shared_ptr<RegistryWorld> world_;
  std::shared_ptr<RegistryState> state_;
  std::shared_ptr<ImageStore> store_;
  Reference to_;
  PushOptions options_;
  std::unique_ptr<RepositoryAccess> place_;
  PushedImage result_;
};

}  // namespace knative::oci
