// What a store still needs, and the removal of the rest.
#include <algorithm>

#include "wire/oci_store.hpp"

namespace knative::oci {

namespace {

bool was_pulled(const Descriptor& name) {
  return name.annotations.contains(std::string(pulled_annotation));
}

}  // namespace

// ---------------------------------------------------------------------------- single blobs

Result<bool> CatalogStore::needed(const Digest& digest) {
  {
    const std::lock_guard pinning(pins_->mutex);
    if (pins_->held.contains(digest)) return true;
  }
  for (const auto& [name, contents] : catalog_.repositories()) {
    Result<RepositoryIndex*> index = index_of(name);
    if (!index) return index.error();
    if ((*index)->refers_to(digest) || (*index)->document(digest) != nullptr) return true;
  }
  return std::any_of(catalog_.strangers().begin(), catalog_.strangers().end(),
                     [&](const Descriptor& entry) { return entry.digest == digest; });
}

Result<void> CatalogStore::remove_blob(const Digest& digest) {
  const std::lock_guard guard(mutex_);
  const Result<std::unique_ptr<File>> held = hold();
  if (!held) return held.error();
  if (Result<void> looked = look(); !looked) return looked;
  const Result<std::optional<std::uint64_t>> size = stored_size(digest);
  if (!size) return size.error();
  if (!*size) return no_such_blob(digest);
  const Result<bool> used = needed(digest);
  if (!used) return used.error();
  if (*used) {
    return fail(Errc::failed_precondition, "blob " + digest.to_string() + " is part of an image");
  }
  return erase(digest);
}

Result<void> CatalogStore::erase(const Digest& digest) {
  const Result<std::optional<std::uint64_t>> size = stored_size(digest);
  if (!size) return size.error();
  if (!*size) return {};
  if (Result<void> erased = erase_blob(digest); !erased) return erased;
  young_.erase(digest);
  const std::lock_guard counting(room_mutex_);
  used_ -= std::min(used_, **size);
  return {};
}

Result<Pin> CatalogStore::pin(const Digest& digest) {
  const std::lock_guard guard(mutex_);
  const Result<std::optional<std::uint64_t>> size = stored_size(digest);
  if (!size) return size.error();
  if (!*size) return no_such_blob(digest);
  struct Holder {
    Holder(std::shared_ptr<Pins> p, const Digest& d) : pins(std::move(p)), digest(d) {
      const std::lock_guard pinning(pins->mutex);
      ++pins->held[digest];
    }
    ~Holder() {
      const std::lock_guard pinning(pins->mutex);
      const auto at = pins->held.find(digest);
      if (--at->second == 0) pins->held.erase(at);
      pins->released = true;
    }
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;
    std::shared_ptr<Pins> pins;
    Digest digest;
  };
  return Pin(std::make_shared<const Holder>(pins_, digest));
}

// ---------------------------------------------------------------------------- collection

Result<void> CatalogStore::mark_from(std::vector<Digest> roots, std::set<Digest>& marked) {
  while (!roots.empty()) {
    const Digest digest = std::move(roots.back());
    roots.pop_back();
    if (!marked.insert(digest).second) continue;
    // Nobody says whether it is a document; layers are too large for one, or not JSON.
    const Result<std::optional<DocumentFacts>> facts = load(digest);
    if (!facts && facts.error().code == Errc::unimplemented) continue;
    if (!facts) return facts.error();  // what it needs is unknown: nothing may go
    if (!*facts) continue;
    for (const Digest& part : (*facts)->parts) {
      const bool child =
          std::any_of((*facts)->children.begin(), (*facts)->children.end(),
                      [&](const Descriptor& manifest) { return manifest.digest == part; });
      if (child) {
        roots.push_back(part);
      } else {
        marked.insert(part);
      }
    }
  }
  return {};
}

// Signatures and the like live as long as what they are about.
Result<void> CatalogStore::mark_referrers(std::set<Digest>& marked) {
  for (bool more = true; more;) {
    more = false;
    for (const auto& [name, repository] : catalog_.repositories()) {
      for (const auto& [digest, manifest] : repository.kept) {
        if (marked.contains(digest)) continue;
        const Result<std::optional<DocumentFacts>> facts = load(digest);
        if (!facts) return facts.error();
        if (!*facts || !(*facts)->subject || !marked.contains(*(*facts)->subject)) continue;
        if (Result<void> done = mark_from({digest}, marked); !done) return done;
        more = true;
      }
    }
  }
  return {};
}

Result<std::set<Digest>> CatalogStore::mark(const CollectOptions& options) {
  std::vector<Digest> roots;
  for (const Descriptor& entry : catalog_.strangers()) roots.push_back(entry.digest);
  for (const auto& [name, repository] : catalog_.repositories()) {
    for (const auto& [tag, manifest] : repository.tags) {
      if (!options.pulled || !was_pulled(manifest)) roots.push_back(manifest.digest);
    }
    if (options.untagged) continue;
    for (const auto& [digest, manifest] : repository.kept) roots.push_back(digest);
  }
  {
    const std::lock_guard pinning(pins_->mutex);
    for (const auto& [digest, count] : pins_->held) roots.push_back(digest);
  }
  for (const auto& [digest, since] : young_) {
    if (since == generation_) roots.push_back(digest);
  }
  std::set<Digest> marked;
  if (Result<void> done = mark_from(std::move(roots), marked); !done) return done.error();
  if (Result<void> done = mark_referrers(marked); !done) return done.error();
  return marked;
}

Result<Collected> CatalogStore::sweep(const std::set<Digest>& marked) {
  Collected collected;
  Edit changes;
  for (const auto& [name, repository] : catalog_.repositories()) {
    for (const auto& [tag, manifest] : repository.tags) {
      if (marked.contains(manifest.digest)) continue;
      changes.push_back({CatalogChange::Kind::untag, name, tag, manifest});
      ++collected.names;
    }
    for (const auto& [digest, manifest] : repository.kept) {
      if (marked.contains(digest)) continue;
      changes.push_back({CatalogChange::Kind::drop, name, "", manifest});
      ++collected.manifests;
    }
  }
  if (Result<void> written = write_down(changes); !written) return written.error();
  const Result<std::vector<BlobEntry>> blobs = list_blobs();
  if (!blobs) return blobs.error();
  for (const BlobEntry& blob : *blobs) {
    if (marked.contains(blob.digest)) continue;
    if (Result<void> erased = erase(blob.digest); !erased) return erased.error();
    ++collected.blobs;
    collected.bytes += blob.bytes;
  }
  return collected;
}

Result<Collected> CatalogStore::collect(const CollectOptions& options) {
  const std::lock_guard guard(mutex_);
  const Result<std::unique_ptr<File>> held = hold();
  if (!held) return held.error();
  if (Result<void> alone = check_alone(); !alone) return alone.error();
  if (Result<void> looked = look(); !looked) return looked.error();
  if (catalog_.has_unreadable()) {
    return fail(Errc::failed_precondition,
                "the index has entries that cannot be read: what they need is unknown");
  }
  const Result<std::set<Digest>> marked = mark(options);
  if (!marked) return marked.error();
  Result<Collected> collected = sweep(*marked);
  if (!collected) return collected;
  std::erase_if(young_, [this](const auto& entry) { return entry.second < generation_; });
  ++generation_;
  if (limits_.bytes_max > 0) {
    if (Result<void> counted = count(); !counted) return counted.error();
  }
  return collected;
}

// ---------------------------------------------------------------------------- room

Result<void> CatalogStore::count() {
  const Result<std::vector<BlobEntry>> blobs = list_blobs();
  if (!blobs) return blobs.error();
  std::uint64_t bytes = 0;
  for (const BlobEntry& blob : *blobs) bytes += blob.bytes;
  const std::lock_guard counting(room_mutex_);
  used_ = bytes;
  counted_ = true;
  return {};
}

Result<std::uint64_t> CatalogStore::used_bytes() {
  const std::lock_guard guard(mutex_);
  if (Result<void> counted = count(); !counted) return counted.error();
  const std::lock_guard counting(room_mutex_);
  counted_ = limits_.bytes_max > 0;
  return used_;
}

Result<void> CatalogStore::reserve(std::uint64_t bytes) {
  if (limits_.bytes_max == 0) return {};
  const auto take = [&] {
    if (!counted_ || used_ + reserved_ + bytes > limits_.bytes_max) return false;
    reserved_ += bytes;
    return true;
  };
  bool counted = false;
  {
    const std::lock_guard counting(room_mutex_);
    if (take()) return {};
    counted = counted_;
  }
  if (!counted) {
    const std::lock_guard guard(mutex_);
    if (Result<void> done = count(); !done) return done;
  }
  {
    const std::lock_guard pinning(pins_->mutex);
    const std::lock_guard counting(room_mutex_);
    if (take()) return {};
    worth_collecting_ = worth_collecting_ || std::exchange(pins_->released, false);
    if (!std::exchange(worth_collecting_, false)) {
      worth_collecting_ = true;  // whoever gives up now leaves something behind
      return fail(Errc::resource_exhausted,
                  "the image store is full: " + std::to_string(limits_.bytes_max) + " bytes");
    }
  }
  const Result<Collected> collected = collect({.untagged = true, .pulled = true});
  const std::lock_guard counting(room_mutex_);
  if (take()) return {};
  worth_collecting_ = true;
  return fail(Errc::resource_exhausted,
              "the image store is full: " + std::to_string(limits_.bytes_max) + " bytes" +
                  (collected ? "" : ", and " + collected.error().detail));
}

void CatalogStore::release(std::uint64_t bytes) {
  const std::lock_guard counting(room_mutex_);
  reserved_ -= std::min(reserved_, bytes);
}

}  // namespace knative::oci
