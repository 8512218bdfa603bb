// Names, repositories and referrers of a store, over its catalog.
#include "wire/oci_store.hpp"

namespace knative::oci {

namespace {

constexpr int image_depth_max = 32;

}  // namespace

// ---------------------------------------------------------------------------- the catalog

Result<void> CatalogStore::look() {
  Result<bool> changed = refresh(catalog_);
  if (!changed) return changed.error();
  if (*changed) indexes_.clear();
  return {};
}

Result<void> CatalogStore::write_down(const Edit& changes) {
  if (changes.empty()) return {};
  if (Result<void> written = record(catalog_, changes); !written) return written;
  for (const CatalogChange& change : changes) {
    if (Result<void> indexed = reindex(change); !indexed) indexes_.erase(change.repository);
    catalog_.apply(change);
  }
  recorded(catalog_);
  return {};
}

RepositoryIndex::Load CatalogStore::loader() {
  return [this](const Digest& digest) { return load(digest); };
}

Result<std::optional<DocumentFacts>> CatalogStore::load(const Digest& digest) {
  const Result<std::optional<std::uint64_t>> size = stored_size(digest);
  if (!size) return size.error();
  if (!*size) return std::optional<DocumentFacts>();
  if (**size > document_bytes_max) return std::optional<DocumentFacts>(DocumentFacts());
  const Descriptor blob{.media_type = {}, .digest = digest, .size_bytes = **size};
  const Result<std::string> text = get_blob(blob, document_bytes_max);
  if (!text) return text.error();
  return std::optional<DocumentFacts>(facts_of(*text));
}

Result<RepositoryIndex*> CatalogStore::index_of(const std::string& repository) {
  if (const auto at = indexes_.find(repository); at != indexes_.end()) return &at->second;
  RepositoryIndex index;
  if (const Catalog::Repository* contents = catalog_.find(repository)) {
    for (const auto& [tag, manifest] : contents->tags) {
      if (Result<void> added = index.add(manifest, loader()); !added) return added.error();
    }
    for (const auto& [digest, manifest] : contents->kept) {
      if (Result<void> added = index.add(manifest, loader()); !added) return added.error();
    }
  }
  return &indexes_.emplace(repository, std::move(index)).first->second;
}

// Before the change is applied.
Result<void> CatalogStore::reindex(const CatalogChange& change) {
  const auto at = indexes_.find(change.repository);
  if (at == indexes_.end()) return {};
  RepositoryIndex& index = at->second;
  const Catalog::Repository* const contents = catalog_.find(change.repository);
  const Descriptor* old = nullptr;
  const bool of_tag =
      change.kind == CatalogChange::Kind::tag || change.kind == CatalogChange::Kind::untag;
  if (contents != nullptr && of_tag) {
    const auto tag = contents->tags.find(change.tag);
    if (tag != contents->tags.end()) old = &tag->second;
  } else if (contents != nullptr) {
    const auto kept = contents->kept.find(change.manifest.digest);
    if (kept != contents->kept.end()) old = &kept->second;
  }
  const bool adds =
      change.kind == CatalogChange::Kind::tag || change.kind == CatalogChange::Kind::keep;
  if (adds) {
    if (Result<void> added = index.add(change.manifest, loader()); !added) return added;
  }
  if (old != nullptr) index.remove(old->digest);
  return {};
}

// What an image is made of is kept by the image from now on.
void CatalogStore::settle_image(const Digest& digest, int depth) {
  young_.erase(digest);
  const Result<std::optional<DocumentFacts>> facts = load(digest);
  if (!facts || !*facts) return;
  for (const Digest& part : (*facts)->parts) young_.erase(part);
  if (depth == image_depth_max) return;
  for (const Descriptor& child : (*facts)->children) settle_image(child.digest, depth + 1);
}

// ---------------------------------------------------------------------------- names

Result<std::optional<std::uint64_t>> CatalogStore::blob_size(const Digest& digest) {
  const std::lock_guard guard(mutex_);
  Result<std::optional<std::uint64_t>> size = stored_size(digest);
  if (size && *size) young_[digest] = generation_;
  return size;
}

Result<std::unique_ptr<File>> CatalogStore::hold_with(const Digest& digest) {
  const Result<std::optional<std::uint64_t>> size = stored_size(digest);
  if (!size) return size.error();
  if (!*size) return no_such_blob(digest);
  Result<std::unique_ptr<File>> held = hold();
  if (!held) return held;
  if (Result<void> looked = look(); !looked) return looked.error();
  return held;
}

Result<void> CatalogStore::set_reference(const Reference& name, const Descriptor& manifest) {
  const std::lock_guard guard(mutex_);
  const Result<std::unique_ptr<File>> held = hold_with(manifest.digest);
  if (!held) return held.error();
  const Reference key = reference_key(name);
  const CatalogChange change{CatalogChange::Kind::tag, key.repository, key.tag, manifest};
  if (Result<void> written = write_down({change}); !written) return written;
  settle_image(manifest.digest, 0);
  const std::lock_guard counting(room_mutex_);
  worth_collecting_ = true;  // what had the name before may be nobody's now
  return {};
}

Result<void> CatalogStore::remove_reference(const Reference& name) {
  const std::lock_guard guard(mutex_);
  const Result<std::unique_ptr<File>> held = hold();
  if (!held) return held.error();
  if (Result<void> looked = look(); !looked) return looked;
  const Reference key = reference_key(name);
  const Catalog::Repository* const repository = catalog_.find(key.repository);
  if (repository == nullptr || !repository->tags.contains(key.tag)) return no_such_reference(name);
  CatalogChange change{CatalogChange::Kind::untag, key.repository, key.tag, {}};
  change.manifest = repository->tags.find(key.tag)->second;
  if (Result<void> written = write_down({change}); !written) return written;
  const std::lock_guard counting(room_mutex_);
  worth_collecting_ = true;
  return {};
}

Result<std::vector<std::pair<Reference, Descriptor>>> CatalogStore::references() {
  const std::lock_guard guard(mutex_);
  if (Result<void> looked = look(); !looked) return looked.error();
  std::vector<std::pair<Reference, Descriptor>> all;
  for (const auto& [name, repository] : catalog_.repositories()) {
    for (const auto& [tag, manifest] : repository.tags) {
      all.emplace_back(Reference{name, tag, Digest()}, manifest);
    }
  }
  return all;
}

Result<std::optional<Descriptor>> CatalogStore::find(const Reference& name) {
  const std::lock_guard guard(mutex_);
  if (Result<void> looked = look(); !looked) return looked.error();
  if (!name.digest.empty()) return find_digest(name);
  const Reference key = reference_key(name);
  const Catalog::Repository* const repository = catalog_.find(key.repository);
  if (repository == nullptr) return std::optional<Descriptor>();
  const auto tag = repository->tags.find(key.tag);
  if (tag == repository->tags.end()) return std::optional<Descriptor>();
  return std::optional<Descriptor>(tag->second);
}

Result<std::optional<Descriptor>> CatalogStore::find_digest(const Reference& name) {
  if (catalog_.find(name.repository) == nullptr) return std::optional<Descriptor>();
  Result<RepositoryIndex*> index = index_of(name.repository);
  if (!index) return index.error();
  const RepositoryIndex::Document* const document = (*index)->document(name.digest);
  if (document == nullptr) return std::optional<Descriptor>();
  const Result<std::optional<std::uint64_t>> size = stored_size(name.digest);
  if (!size) return size.error();
  if (!*size) return std::optional<Descriptor>();  // of an index that has not all of its manifests
  return std::optional<Descriptor>(document->descriptor);
}

Result<void> CatalogStore::keep_manifest(std::string_view repository, const Descriptor& manifest) {
  const std::lock_guard guard(mutex_);
  const Result<std::unique_ptr<File>> held = hold_with(manifest.digest);
  if (!held) return held.error();
  const Catalog::Repository* const contents = catalog_.find(repository);
  young_[manifest.digest] = generation_;
  if (contents != nullptr && contents->kept.contains(manifest.digest)) return {};
  return write_down({{CatalogChange::Kind::keep, std::string(repository), "", manifest}});
}

Result<void> CatalogStore::remove_manifest(std::string_view repository, const Digest& digest) {
  const std::lock_guard guard(mutex_);
  const Result<std::unique_ptr<File>> held = hold();
  if (!held) return held.error();
  if (Result<void> looked = look(); !looked) return looked;
  const std::string name(repository);
  Edit changes;
  Descriptor manifest;
  manifest.digest = digest;
  if (const Catalog::Repository* const contents = catalog_.find(repository)) {
    for (const auto& [tag, tagged] : contents->tags) {
      if (tagged.digest == digest) {
        changes.push_back({CatalogChange::Kind::untag, name, tag, manifest});
      }
    }
    if (contents->kept.contains(digest)) {
      changes.push_back({CatalogChange::Kind::drop, name, "", manifest});
    }
  }
  const Result<std::optional<Descriptor>> there = find_digest({name, "", digest});
  if (!there) return there.error();
  if (!*there)
    return fail(Errc::not_found, "manifest " + digest.to_string() + " is not in " + name);
  if (Result<void> written = write_down(changes); !written) return written;
  young_.erase(digest);
  {
    const std::lock_guard counting(room_mutex_);
    worth_collecting_ = true;
  }
  // An index of this repository may miss a manifest; other repositories keep theirs.
  for (const auto& [other, contents] : catalog_.repositories()) {
    if (other == name) continue;
    Result<RepositoryIndex*> index = index_of(other);
    if (!index) return index.error();
    if ((*index)->document(digest) != nullptr) return {};
  }
  {
    const std::lock_guard pinning(pins_->mutex);
    if (pins_->held.contains(digest)) return {};
  }
  Result<RepositoryIndex*> own = index_of(name);
  if (!own) return own.error();
  (*own)->unload(digest);
  return erase(digest);
}

Result<std::vector<std::string>> CatalogStore::tags(std::string_view repository,
                                                    std::string_view after, std::size_t max) {
  const std::lock_guard guard(mutex_);
  if (Result<void> looked = look(); !looked) return looked.error();
  std::vector<std::string> names;
  const Catalog::Repository* const contents = catalog_.find(repository);
  if (contents == nullptr) return names;
  auto at = after.empty() ? contents->tags.begin() : contents->tags.upper_bound(after);
  for (; at != contents->tags.end() && names.size() < max; ++at) names.push_back(at->first);
  return names;
}

Result<std::vector<std::string>> CatalogStore::repositories(std::string_view after,
                                                            std::size_t max) {
  const std::lock_guard guard(mutex_);
  if (Result<void> looked = look(); !looked) return looked.error();
  const Catalog::Repositories& all = catalog_.repositories();
  std::vector<std::string> names;
  auto at = after.empty() ? all.begin() : all.upper_bound(after);
  for (; at != all.end() && names.size() < max; ++at) names.push_back(at->first);
  return names;
}

Result<std::vector<Descriptor>> CatalogStore::referrers(std::string_view repository,
                                                        const Digest& subject) {
  const std::lock_guard guard(mutex_);
  if (Result<void> looked = look(); !looked) return looked.error();
  std::vector<Descriptor> all;
  if (catalog_.find(repository) == nullptr) return all;
  Result<RepositoryIndex*> index = index_of(std::string(repository));
  if (!index) return index.error();
  const std::set<Digest>* const found = (*index)->referrers(subject);
  if (found == nullptr) return all;
  for (const Digest& digest : *found) {
    const RepositoryIndex::Document& document = *(*index)->document(digest);
    Descriptor referrer;
    referrer.media_type = document.descriptor.media_type;
    referrer.digest = digest;
    referrer.size_bytes = document.descriptor.size_bytes;
    referrer.artifact_type = document.facts.artifact_type;
    referrer.annotations = document.facts.annotations;
    all.push_back(std::move(referrer));
  }
  return all;
}

Result<bool> CatalogStore::refers_to(std::string_view repository, const Digest& blob) {
  const std::lock_guard guard(mutex_);
  if (Result<void> looked = look(); !looked) return looked.error();
  if (catalog_.find(repository) == nullptr) return false;
  Result<RepositoryIndex*> index = index_of(std::string(repository));
  if (!index) return index.error();
  return (*index)->refers_to(blob);
}

}  // namespace knative::oci
