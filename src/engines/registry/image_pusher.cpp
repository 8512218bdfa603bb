#include "engines/registry/image_pusher.hpp"

#include <algorithm>

#include "engines/registry/registry_document.hpp"
#include "engines/registry/side_by_side.hpp"

namespace knative::oci {

namespace {

constexpr std::size_t pushed_depth_max = 4;

std::string pushed_name(const std::string& reference) { return "manifest \"" + reference + "\""; }

// How a manifest appears among those that refer to its subject.
Descriptor referrer_entry(const RegistryDocument& document) {
  Descriptor entry;
  entry.media_type = document.descriptor.media_type;
  entry.digest = document.descriptor.digest;
  entry.size_bytes = document.descriptor.size_bytes;
  if (const Result<Index> index = Index::parse(document.bytes);
      index && is_index_type(entry.media_type)) {
    entry.artifact_type = index->artifact_type;
    entry.annotations = index->annotations;
  } else if (const Result<Manifest> manifest = Manifest::parse(document.bytes)) {
    const bool own = !manifest->artifact_type.empty();
    entry.artifact_type = own ? manifest->artifact_type : manifest->config.media_type;
    entry.annotations = manifest->annotations;
  }
  return entry;
}

// What a document is about; empty: itself.
Digest subject_of(const RegistryDocument& document) {
  if (is_index_type(document.descriptor.media_type)) {
    const Result<Index> index = Index::parse(document.bytes);
    return index && index->subject ? index->subject->digest : Digest();
  }
  const Result<Manifest> manifest = Manifest::parse(document.bytes);
  return manifest && manifest->subject ? manifest->subject->digest : Digest();
}

}  // namespace

std::string referrers_tag(const Digest& subject) { return "sha256-" + std::string(subject.hex()); }

Task<Result<void>> put_document(RepositoryAccess& place, const RegistryDocument& document,
                                std::string reference) {
  RegistryCall call;
  call.method = "PUT";
  call.path = "/manifests/" + reference;
  call.headers.set("Content-Type", document.descriptor.media_type);
  const std::string& bytes = document.bytes;
  call.body = [&bytes] { return http::Body(bytes); };
  Result<http::Response> response = co_await place.send(call);
  if (!response) co_return place.failed(pushed_name(reference), response.error());
  if (!response->ok()) {
    Error error = co_await place.refused(pushed_name(reference), *response);
    co_return error;
  }
  const Digest subject = subject_of(document);
  const bool listed = response->headers.has("OCI-Subject");
  response = fail(Errc::internal, "");
  if (subject.empty() || listed) co_return Result<void>();
  Task<Result<void>> adding = add_to_referrers_tag(place, subject, referrer_entry(document));
  co_return co_await std::move(adding);
}

Task<Result<void>> add_to_referrers_tag(RepositoryAccess& place, Digest subject, Descriptor entry) {
  const std::string tag = referrers_tag(subject);
  Descriptor unknown;
  Task<Result<RegistryDocument>> fetching = fetch_document(place, unknown, tag);
  Result<RegistryDocument> there = co_await std::move(fetching);
  Index index;
  if (there) {
    Result<Index> read = Index::parse(there->bytes);
    if (!read) co_return place.failed(pushed_name(tag), read.error());
    index = *std::move(read);
  } else if (there.error().code != Errc::not_found) {
    co_return std::move(there).error();
  }
  const bool known =
      std::any_of(index.manifests.begin(), index.manifests.end(),
                  [&entry](const Descriptor& one) { return one.digest == entry.digest; });
  if (known) co_return Result<void>();
  index.manifests.push_back(std::move(entry));
  RegistryDocument list;
  list.bytes = index.to_json();
  list.descriptor.media_type = media_type::index;
  Task<Result<void>> putting = put_document(place, list, tag);
  co_return co_await std::move(putting);
}

ImagePusher::ImagePusher(std::shared_ptr<RegistryWorld> world, std::shared_ptr<RegistryState> state,
                         std::shared_ptr<ImageStore> store, Reference to, PushOptions options)
    : world_(std::move(world)),
      state_(std::move(state)),
      store_(std::move(store)),
      to_(std::move(to)),
      options_(std::move(options)) {}

// ---------------------------------------------------------------------------- what is here

// Children come before who lists them.
Result<void> ImagePusher::read_document(Contents& into, const Descriptor& descriptor,
                                        std::size_t depth) const {
  const bool known = std::any_of(into.documents.begin(), into.documents.end(),
                                 [&descriptor](const RegistryDocument& one) {
                                   return one.descriptor.digest == descriptor.digest;
                                 });
  if (known) return {};
  if (depth > pushed_depth_max || into.documents.size() >= world_->options.manifests_max) {
    return fail(Errc::resource_exhausted, "the image has too many manifests");
  }
  Result<std::string> bytes = store_->get_blob(descriptor, world_->options.manifest_bytes_max);
  if (!bytes) return std::move(bytes).error();
  RegistryDocument document;
  document.descriptor = descriptor;
  document.bytes = *std::move(bytes);
  Result<std::string> type = document_type(document.bytes, descriptor.media_type);
  if (!type) return type.error().within("manifest " + descriptor.digest.to_string());
  document.descriptor.media_type = *std::move(type);
  if (is_index_type(document.descriptor.media_type)) {
    Result<Index> index = Index::parse(document.bytes);
    if (!index) return index.error().within("index " + descriptor.digest.to_string());
    for (const Descriptor& child : index->manifests) {
      Result<std::optional<std::uint64_t>> there = store_->blob_size(child.digest);
      if (!there) return there.error();
      if (!*there) {
        into.missing.push_back(child.digest);
        continue;
      }
      if (Result<void> read = read_document(into, child, depth + 1); !read) return read;
    }
  }
  into.documents.push_back(std::move(document));
  return {};
}

Result<ImagePusher::Contents> ImagePusher::read_store(const Reference& local) const {
  Result<Descriptor> root = store_->resolve(local);
  if (!root) return root.error();
  if (!options_.one_platform) {  // `resolve` follows an index
    Result<std::vector<std::pair<Reference, Descriptor>>> all = store_->references();
    if (!all) return all.error();
    const Reference wanted = local.with_default_tag();
    for (const auto& [name, descriptor] : *all) {
      const bool same = wanted.digest.empty()
                            ? name.repository == wanted.repository && name.tag == wanted.tag
                            : descriptor.digest == wanted.digest;
      if (same) root = descriptor;
    }
    if (!wanted.digest.empty() && root->digest != wanted.digest) {
      Result<std::optional<std::uint64_t>> size = store_->blob_size(wanted.digest);
      if (!size) return size.error();
      root = Descriptor{};
      root->digest = wanted.digest;
      root->size_bytes = size->value_or(0);
    }
  }
  Contents contents;
  if (Result<void> read = read_document(contents, *root, 0); !read) return std::move(read).error();
  return contents;
}

std::vector<std::string> ImagePusher::mounts(const Digest& blob) const {
  std::vector<std::string> from;
  const RegistryPlace here = place_of(to_);
  const auto seen = world_->seen.find(blob);
  if (seen != world_->seen.end() && seen->second.host == here.host) {
    from.push_back(seen->second.repository);
  }
  from.insert(from.end(), options_.mount_from.begin(), options_.mount_from.end());
  std::erase(from, here.repository);
  return from;
}

// ---------------------------------------------------------------------------- the push

Task<Result<PushedImage>> ImagePusher::run(Reference local) {
  auto reading = [this, local] { return read_store(local); };
  Result<Contents> contents = co_await world_->disk.run(reading);
  if (!contents) co_return contents.error().within("image \"" + local.to_string() + "\"");
  result_.root = contents->documents.back().descriptor;
  if (!to_.digest.empty() && to_.digest != result_.root.digest) {
    co_return fail(Errc::invalid_argument,
                   "image \"" + local.to_string() + "\" is not " + to_.digest.to_string());
  }
  std::vector<std::string> others = options_.mount_from;
  for (const RegistryDocument& document : contents->documents) {
    const Result<Manifest> manifest = Manifest::parse(document.bytes);
    if (!manifest) continue;
    for (const Descriptor& layer : manifest->layers) {
      for (std::string& from : mounts(layer.digest)) others.push_back(std::move(from));
    }
  }
  place_ = std::make_unique<RepositoryAccess>(world_, state_, to_, "pull,push",
                                              options_.credentials, std::move(others));
  const std::string tag = to_.digest.empty() ? to_.with_default_tag().tag : to_.tag;
  const std::string last = tag.empty() ? to_.digest.to_string() : tag;
  Task<Result<bool>> asking = has_document(last, result_.root.digest);
  Result<bool> there = co_await std::move(asking);
  if (!there) co_return std::move(there).error();
  if (*there) co_return result_;
  std::vector<RegistryDocument> lacking;
  for (RegistryDocument& document : contents->documents) {
    const std::string digest = document.descriptor.digest.to_string();
    Task<Result<bool>> looking = has_document(digest, document.descriptor.digest);
    Result<bool> known = co_await std::move(looking);
    if (!known) co_return std::move(known).error();
    const bool root = document.descriptor.digest == result_.root.digest;
    if (*known && root) {  // only the tag is new
      lacking.clear();
      contents->missing.clear();
      document.stored = true;
    }
    if (!*known || root) lacking.push_back(std::move(document));
  }
  for (const Digest& missing : contents->missing) {
    Task<Result<bool>> looking = has_document(missing.to_string(), missing);
    Result<bool> known = co_await std::move(looking);
    if (!known) co_return std::move(known).error();
    if (!*known) {
      co_return place_->failed(Errc::failed_precondition, "manifest " + missing.to_string(),
                               "is listed by the index, and neither the store nor the registry "
                               "has it; pull all platforms, or push one");
    }
  }
  Task<Result<void>> blobs = send_blobs(lacking);
  Result<void> done = co_await std::move(blobs);
  if (!done) co_return std::move(done).error();
  Task<Result<void>> documents = send_documents(lacking);
  done = co_await std::move(documents);
  if (!done) co_return std::move(done).error();
  co_return result_;
}

Task<Result<bool>> ImagePusher::has_document(const std::string& reference, const Digest& digest) {
  RegistryCall call;
  call.method = "HEAD";
  call.path = "/manifests/" + reference;
  call.headers.set("Accept", accepted_manifests);
  Result<http::Response> response = co_await place_->send(call);
  if (!response) co_return place_->failed(pushed_name(reference), response.error());
  if (response->status == 404) co_return false;
  if (!response->ok()) {
    Error error = co_await place_->refused(pushed_name(reference), *response);
    co_return error;
  }
  const Result<Digest> told =
      Digest::parse(response->headers.get("Docker-Content-Digest").value_or(""));
  co_return told&&* told == digest;
}

Task<Result<void>> ImagePusher::send_blobs(const std::vector<RegistryDocument>& documents) {
  Batch layers{*this, {}};
  Batch configs{*this, {}};
  std::set<Digest> known;
  for (const RegistryDocument& document : documents) {
    if (document.stored || is_index_type(document.descriptor.media_type)) continue;
    Result<Manifest> manifest = Manifest::parse(document.bytes);
    if (!manifest) {
      co_return manifest.error().within("manifest " + document.descriptor.digest.to_string());
    }
    for (Descriptor& layer : manifest->layers) {
      if (is_foreign_layer(layer) || !known.insert(layer.digest).second) continue;
      layers.blobs.push_back(std::move(layer));
    }
    if (known.insert(manifest->config.digest).second) {
      configs.blobs.push_back(std::move(manifest->config));
    }
  }
  for (Batch* batch : {&layers, &configs}) {
    Task<Result<void>> sending =
        side_by_side(batch->blobs.size(), world_->options.parallel_blobs_max, *batch);
    Result<void> sent = co_await std::move(sending);
    if (!sent) co_return sent;
  }
  co_return Result<void>();
}

Task<Result<void>> ImagePusher::blob(const Descriptor& blob) {
  Task<Result<BlobArrival>> uploading = upload_blob(*place_, store_, blob, mounts(blob.digest));
  Result<BlobArrival> arrival = co_await std::move(uploading);
  if (!arrival) co_return std::move(arrival).error();
  switch (*arrival) {
    case BlobArrival::there: ++result_.blobs_there; break;
    case BlobArrival::mounted: ++result_.blobs_mounted; break;
    case BlobArrival::sent:
      ++result_.blobs_sent;
      result_.bytes_sent += blob.size_bytes;
      break;
  }
  world_->remember(blob.digest, place_->place());
  co_return Result<void>();
}

Task<Result<void>> ImagePusher::send_documents(const std::vector<RegistryDocument>& documents) {
  for (const RegistryDocument& document : documents) {
    const bool root = document.descriptor.digest == result_.root.digest;
    std::string reference = document.descriptor.digest.to_string();
    if (root && to_.digest.empty()) reference = to_.with_default_tag().tag;
    if (root && !to_.digest.empty() && !to_.tag.empty()) reference = to_.tag;
    Task<Result<void>> putting = put_document(*place_, document, reference);
    Result<void> put = co_await std::move(putting);
    if (!put) co_return put;
  }
  co_return Result<void>();
}

}  // namespace knative::oci
