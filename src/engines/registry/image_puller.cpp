#include "engines/registry/image_puller.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "engines/registry/registry_document.hpp"
#include "engines/registry/side_by_side.hpp"

namespace knative::oci {

namespace {

constexpr std::size_t index_depth_max = 4;

bool usable_elsewhere(const Error& error) noexcept {
  return error.code != Errc::cancelled && error.code != Errc::unimplemented;
}

// Errors name what they are about, in the words of people.
std::string document_name(const std::string& reference) { return "manifest \"" + reference + "\""; }

Descriptor tag_of(const Reference& name) {
  Descriptor wanted;
  wanted.digest = name.digest;
  return wanted;
}

std::string reference_of(const Reference& name) {
  const Reference full = name.with_default_tag();
  return full.digest.empty() ? full.tag : full.digest.to_string();
}

}  // namespace

// ---------------------------------------------------------------------------- where to read

Result<ReadPlaces> read_places(const std::shared_ptr<RegistryWorld>& world, const Reference& name,
                               const RegistryKeyring& credentials) {
  ReadPlaces places;
  const RegistryPlace origin = place_of(name);
  std::vector<Reference> names;
  if (const RegistryHost* how = world->host_options(origin.host)) {
    for (const std::string& mirror : how->mirrors) {
      Result<Reference> there = Reference::parse(mirror + "/" + origin.repository);
      if (!there) return std::move(there).error().within("mirror \"" + mirror + "\"");
      there->tag = name.tag;
      there->digest = name.digest;
      names.push_back(*std::move(there));
    }
  }
  names.push_back(name);
  for (Reference& one : names) {
    Result<std::shared_ptr<RegistryState>> state = world->registry(place_of(one).host);
    if (!state) return std::move(state).error();
    places.push_back(std::make_unique<RepositoryAccess>(world, *std::move(state), std::move(one),
                                                        "pull", credentials));
  }
  return places;
}

Task<Result<Descriptor>> resolve_at(const ReadPlaces& places, const Reference& name) {
  const std::string reference = reference_of(name);
  std::optional<Error> error;
  for (const std::unique_ptr<RepositoryAccess>& place : places) {
    RegistryCall call;
    call.method = "HEAD";
    call.path = "/manifests/" + reference;
    call.headers.set("Accept", accepted_manifests);
    Result<http::Response> response = co_await place->send(call);
    if (!response) {
      error = place->failed(document_name(reference), response.error());
      continue;
    }
    if (response->status != 200) {
      error = co_await place->refused(document_name(reference), *response);
      continue;
    }
    const auto field = response->headers.get("Docker-Content-Digest").value_or("");
    const Result<Digest> digest = Digest::parse(field);
    const std::string type(response->headers.get("Content-Type").value_or(""));
    const std::string length(response->headers.get("Content-Length").value_or(""));
    const bool known = is_index_type(type) || is_manifest_type(type);
    const bool numeric = !length.empty() && length.size() <= 18 &&
                         length.find_first_not_of("0123456789") == std::string::npos;
    if (digest && known && numeric) {
      if (!name.digest.empty() && *digest != name.digest) {
        error = place->failed(Errc::data_loss, document_name(reference), "has another digest");
        continue;
      }
      Descriptor found;
      found.media_type = type;
      found.digest = *digest;
      found.size_bytes = std::stoull(length);
      co_return found;
    }
    // Not told in full: the document itself says it.
    Task<Result<RegistryDocument>> fetching = fetch_document(*place, tag_of(name), reference);
    Result<RegistryDocument> document = co_await std::move(fetching);
    if (document) co_return document->descriptor;
    error = std::move(document).error();
  }
  co_return *std::move(error);
}

Task<Result<RegistryDocument>> fetch_document(RepositoryAccess& place, Descriptor expected,
                                              std::string reference) {
  const std::string what = document_name(reference);
  RegistryCall call;
  call.path = "/manifests/" + reference;
  call.headers.set("Accept", accepted_manifests);
  Result<http::Response> response = co_await place.send(call);
  if (!response) co_return place.failed(what, response.error());
  if (response->status != 200) {
    Error error = co_await place.refused(what, *response);
    co_return error;
  }
  Result<void> read = co_await response->body.read_all(place.world().options.manifest_bytes_max);
  if (!read) co_return place.failed(what, read.error());
  RegistryDocument document;
  document.bytes = response->body.take_bytes();
  document.descriptor = expected;
  document.descriptor.digest = Digest::of(document.bytes);
  document.descriptor.size_bytes = document.bytes.size();
  const Result<Digest> told =
      Digest::parse(response->headers.get("Docker-Content-Digest").value_or(""));
  const bool other = (!expected.digest.empty() && document.descriptor.digest != expected.digest) ||
                     (told && *told != document.descriptor.digest);
  const bool resized =
      expected.size_bytes != 0 && expected.size_bytes != document.descriptor.size_bytes;
  if (other || resized) {
    co_return place.failed(Errc::data_loss, what,
                           other ? "its content has another digest" : "has another size");
  }
  const std::string claimed(response->headers.get("Content-Type").value_or(expected.media_type));
  Result<std::string> type = document_type(document.bytes, claimed);
  if (!type) co_return place.failed(what, type.error());
  document.descriptor.media_type = *std::move(type);
  co_return document;
}

// ---------------------------------------------------------------------------- documents

ImagePuller::ImagePuller(std::shared_ptr<RegistryWorld> world, std::shared_ptr<ImageStore> store,
                         ReadPlaces places, PullOptions options)
    : world_(std::move(world)),
      store_(std::move(store)),
      places_(std::move(places)),
      options_(std::move(options)),
      arrival_(options_.all_platforms ? nullptr : options_.arrival) {}

Task<Result<PulledImage>> ImagePuller::run(Reference name) {
  Task<Result<RegistryDocument>> fetching = document(tag_of(name), reference_of(name));
  Result<RegistryDocument> root = co_await std::move(fetching);
  if (!root) co_return std::move(root).error();
  result_.root = root->descriptor;
  Task<Result<void>> collecting = collect(*std::move(root));
  Result<void> done = co_await std::move(collecting);
  if (done) {
    struct BlobJobs {
      ImagePuller& puller;
      Task<Result<void>> operator()(std::size_t number) { return puller.blob(number); }
    };
    BlobJobs jobs{*this};
    Task<Result<void>> fetching_blobs =
        side_by_side(blobs_.size(), world_->options.parallel_blobs_max, jobs);
    done = co_await std::move(fetching_blobs);
  }
  if (done) {
    Task<Result<void>> storing = store_documents();
    done = co_await std::move(storing);
  }
  if (done) {
    Task<Result<void>> binding = bind(name);
    done = co_await std::move(binding);
  }
  if (!done) co_return std::move(done).error();
  co_return result_;
}

// A document that the store has need not be asked for.
Task<Result<std::optional<RegistryDocument>>> ImagePuller::stored_document(Descriptor expected) {
  auto work = [store = store_, expected, bytes_max = world_->options.manifest_bytes_max]()
      -> Result<std::optional<RegistryDocument>> {
    Result<std::optional<std::uint64_t>> size = store->blob_size(expected.digest);
    if (!size) return size.error();
    if (!*size || **size > bytes_max) return std::optional<RegistryDocument>();
    RegistryDocument document;
    document.descriptor = expected;
    document.descriptor.size_bytes = **size;
    document.stored = true;
    Result<std::string> bytes = store->get_blob(document.descriptor);
    // What is damaged is fetched anew.
    if (!bytes) return std::optional<RegistryDocument>();
    Result<std::string> type = document_type(*bytes, expected.media_type);
    if (!type) return std::optional<RegistryDocument>();
    document.bytes = *std::move(bytes);
    document.descriptor.media_type = *std::move(type);
    return std::optional<RegistryDocument>(std::move(document));
  };
  co_return co_await world_->disk.run(work);
}

Task<Result<RegistryDocument>> ImagePuller::document(Descriptor expected, std::string reference) {
  if (!expected.digest.empty()) {
    Task<Result<std::optional<RegistryDocument>>> looking = stored_document(expected);
    Result<std::optional<RegistryDocument>> there = co_await std::move(looking);
    if (!there) co_return std::move(there).error();
    if (*there) co_return **std::move(there);
  }
  std::optional<Error> error;
  for (const std::unique_ptr<RepositoryAccess>& place : places_) {
    Task<Result<RegistryDocument>> fetching = fetch_document(*place, expected, reference);
    Result<RegistryDocument> document = co_await std::move(fetching);
    if (document) co_return document;
    error = std::move(document).error();
    if (!usable_elsewhere(*error)) break;
  }
  co_return *std::move(error);
}

// What a root document leads to, breadth first.
Task<Result<void>> ImagePuller::collect(RegistryDocument root) {
  const RepositoryAccess& origin = *places_.back();
  struct Level {
    RegistryDocument document;
    std::size_t depth;
  };
  std::vector<Level> open;
  open.push_back({std::move(root), 0});
  while (!open.empty()) {
    Level level = std::move(open.back());
    open.pop_back();
    if (documents_.size() >= world_->options.manifests_max) {
      co_return origin.failed(Errc::resource_exhausted, "index", "leads to too many manifests");
    }
    const std::string what = document_name(level.document.descriptor.digest.to_string());
    if (!is_index_type(level.document.descriptor.media_type)) {
      if (!options_.all_platforms) result_.manifest = level.document.descriptor;
      Result<void> added = add_blobs(level.document);
      if (!added) co_return origin.failed(what, added.error());
      documents_.push_back(std::move(level.document));
      continue;
    }
    Result<Index> index = Index::parse(level.document.bytes);
    if (!index) co_return origin.failed(what, index.error());
    documents_.push_back(std::move(level.document));
    if (level.depth >= index_depth_max || index->manifests.size() > world_->options.manifests_max) {
      co_return origin.failed(Errc::resource_exhausted, what, "has too many entries or levels");
    }
    std::vector<Descriptor> wanted = index->manifests;
    if (!options_.all_platforms) {
      const Descriptor* chosen = choose_platform(*index, options_.platform);
      if (chosen == nullptr) {
        co_return origin.failed(Errc::not_found, what,
                                "has no manifest for " + platform_text(options_.platform));
      }
      wanted = {*chosen};
    }
    for (const Descriptor& child : wanted) {
      const bool known = std::any_of(
          documents_.begin(), documents_.end(),
          [&child](const RegistryDocument& one) { return one.descriptor.digest == child.digest; });
      if (known) continue;
      if (child.size_bytes > world_->options.manifest_bytes_max) {
        co_return origin.failed(Errc::resource_exhausted, what,
                                "lists a manifest that is too large");
      }
      Task<Result<RegistryDocument>> fetching = document(child, child.digest.to_string());
      Result<RegistryDocument> fetched = co_await std::move(fetching);
      if (!fetched) co_return std::move(fetched).error();
      open.push_back({*std::move(fetched), level.depth + 1});
    }
  }
  if (options_.all_platforms) result_.manifest = result_.root;
  co_return Result<void>();
}

Result<void> ImagePuller::add_blob(const Descriptor& blob, bool layer) {
  const RegistryClientOptions& bounds = world_->options;
  if (!layer && blob.size_bytes > bounds.manifest_bytes_max) {
    return fail(Errc::resource_exhausted, "its config is too large");
  }
  const auto [known, added] = sizes_.emplace(blob.digest, blob.size_bytes);
  if (!added) {
    if (known->second == blob.size_bytes) return {};
    return fail(Errc::invalid_argument, "blob " + blob.digest.to_string() + " has two sizes");
  }
  if (blob.size_bytes > bounds.image_bytes_max - bytes_) {
    return fail(Errc::resource_exhausted,
                "the image is larger than " + std::to_string(bounds.image_bytes_max) + " bytes");
  }
  bytes_ += blob.size_bytes;
  blobs_.push_back(blob);
  return {};
}

Result<void> ImagePuller::add_blobs(const RegistryDocument& document) {
  Result<Manifest> manifest = Manifest::parse(document.bytes);
  if (!manifest) return manifest.error();
  if (manifest->layers.size() > world_->options.layers_max) {
    return fail(Errc::resource_exhausted,
                "has more than " + std::to_string(world_->options.layers_max) + " layers");
  }
  if (Result<void> added = add_blob(manifest->config, false); !added) return added;
  for (const Descriptor& layer : manifest->layers) {
    if (Result<void> added = add_blob(layer, true); !added) return added;
  }
  if (arrival_) arrival_->found(document.descriptor.digest, std::move(*manifest));
  return {};
}

// ---------------------------------------------------------------------------- blobs

// True when the store has the blob, or got it out of its descriptor.
Task<Result<bool>> ImagePuller::keep(const Descriptor& blob) {
  auto work = [store = store_, blob]() -> Result<bool> {
    Result<std::optional<std::uint64_t>> size = store->blob_size(blob.digest);
    if (!size) return size.error();
    if (*size && **size == blob.size_bytes) return true;
    if (blob.data.empty()) return false;
    const Result<std::string> bytes = base::from_base64(blob.data);
    if (!bytes || bytes->size() != blob.size_bytes || Digest::of(*bytes) != blob.digest) {
      return fail(Errc::data_loss, "the data of its descriptor is something else");
    }
    Result<Descriptor> put = store->put_blob(*bytes, blob.media_type);
    if (!put) return put.error();
    return true;
  };
  co_return co_await world_->disk.run(work);
}

Task<Result<void>> ImagePuller::blob(std::size_t number) {
  const Descriptor& blob = blobs_[number];
  const std::string what = "blob " + blob.digest.to_string();
  Task<Result<bool>> keeping = keep(blob);
  Result<bool> kept = co_await std::move(keeping);
  if (!kept) co_return places_.back()->failed(what, kept.error());
  if (*kept) {
    ++result_.blobs_kept;
    if (arrival_) arrival_->came(blob.digest);
    co_return Result<void>();
  }
  Task<Result<void>> downloading = download(blob);
  Result<void> done = co_await std::move(downloading);
  if (!done) co_return done;
  if (arrival_) arrival_->came(blob.digest);
  ++result_.blobs_fetched;
  result_.bytes_fetched += blob.size_bytes;
  co_return Result<void>();
}

Task<Result<void>> ImagePuller::download(const Descriptor& blob) {
  const std::string what = "blob " + blob.digest.to_string();
  std::optional<Error> error;
  for (const std::unique_ptr<RepositoryAccess>& place : places_) {
    Task<Result<void>> trying = download_from(*place, blob, std::nullopt);
    Result<void> done = co_await std::move(trying);
    if (done) {
      world_->remember(blob.digest, place->place());
      co_return done;
    }
    error = std::move(done).error();
  }
  if (!is_foreign_layer(blob) || error->code != Errc::not_found) co_return *std::move(error);
  RepositoryAccess& origin = *places_.back();
  if (!options_.foreign_layers) {
    co_return origin.failed(Errc::failed_precondition, what,
                            "is a layer that may not be distributed; it is only fetched from "
                            "elsewhere when that is asked for");
  }
  for (const std::string& text : blob.urls) {
    Result<http::Url> url = http::Url::parse(text);
    if (!url || url->scheme != "https") continue;
    Task<Result<void>> trying = download_from(origin, blob, *std::move(url));
    Result<void> done = co_await std::move(trying);
    if (done) co_return done;
    error = std::move(done).error();
  }
  co_return *std::move(error);
}

// ---------------------------------------------------------------------------- the end

Task<Result<void>> ImagePuller::store_documents() {
  std::reverse(documents_.begin(), documents_.end());
  for (RegistryDocument& document : documents_) {
    if (document.stored) {
      ++result_.blobs_kept;
      continue;
    }
    ++result_.blobs_fetched;
    result_.bytes_fetched += document.bytes.size();
    auto work = [store = store_, bytes = std::move(document.bytes)]() -> Result<void> {
      Result<Descriptor> put = store->put_blob(bytes, "");
      if (!put) return put.error();
      return {};
    };
    Result<void> put = co_await world_->disk.run(work);
    if (!put) co_return put;
  }
  co_return Result<void>();
}

Task<Result<void>> ImagePuller::bind(Reference name) {
  if (options_.as) {
    name = *options_.as;
  } else if (!name.digest.empty()) {
    co_return Result<void>();
  }
  const ImagePlatform host = host_platform();
  const bool for_host =
      options_.platform.os == host.os && options_.platform.architecture == host.architecture;
  const bool whole = options_.all_platforms || for_host;
  auto work = [store = store_, name, target = whole ? result_.root : result_.manifest] {
    Descriptor bound = target;
    bound.data.clear();
    return store->set_reference(name, bound);
  };
  co_return co_await world_->disk.run(work);
}

}  // namespace knative::oci
