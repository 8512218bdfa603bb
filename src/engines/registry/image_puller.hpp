// One pull: documents, what they mean, and the blobs they name.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engines/registry/registry_access.hpp"

namespace knative::oci {

// A manifest or index with the very bytes that its digest is of.
struct RegistryDocument {
  Descriptor descriptor;
  std::string bytes;
  bool stored = false;  // The store had it.
};

// Where an image is read, in order: mirrors, then its registry.
using ReadPlaces = std::vector<std::unique_ptr<RepositoryAccess>>;

Result<ReadPlaces> read_places(const std::shared_ptr<RegistryWorld>& world, const Reference& name,
                               const RegistryKeyring& credentials);

// What a name means, by HEAD, or else by GET. `places` in order.
Task<Result<Descriptor>> resolve_at(const ReadPlaces& places, const Reference& name);

// The document under a tag or digest; checked against its digest and `expected`, as far as known.
Task<Result<RegistryDocument>> fetch_document(RepositoryAccess& place, Descriptor expected,
                                              std::string reference);

class ImagePuller {
 public:
  ImagePuller(std::shared_ptr<RegistryWorld> world, std::shared_ptr<ImageStore> store,
              ReadPlaces places, PullOptions options);
  Task<Result<PulledImage>> run(Reference name);

 private:
  Task<Result<RegistryDocument>> document(Descriptor expected, std::string reference);
  Task<Result<std::optional<RegistryDocument>>> stored_document(Descriptor expected);
  Task<Result<void>> collect(RegistryDocument root);
  Result<void> add_blobs(const RegistryDocument& document);
  Result<void> add_blob(const Descriptor& blob, bool layer);
  Task<Result<void>> blob(std::size_t number);
  Task<Result<bool>> keep(const Descriptor& blob);
  Task<Result<void>> download(const Descriptor& blob);
  Task<Result<void>> download_from(RepositoryAccess& place, const Descriptor& blob,
                                   std::optional<http::Url> url);
  Task<Result<void>> store_documents();
  Task<Result<void>> bind(Reference name);

  std::shared_ptr<RegistryWorld> world_;
  std::shared_ptr<ImageStore> store_;
  ReadPlaces places_;
  PullOptions options_;
  std::shared_ptr<ImageArrival> arrival_;    // Null: nobody is to be told.
  std::vector<RegistryDocument> documents_;  // Parents first.
  std::vector<Descriptor> blobs_;
  std::map<Digest, std::uint64_t> sizes_;
  std::uint64_t bytes_ = 0;
  PulledImage result_;
};

}  // namespace knative::oci
