#include "wire/oci_catalog.hpp"

#include <algorithm>
#include <array>

#include "knative/value.hpp"
#include "wire/oci_store.hpp"

namespace knative::oci {

namespace {

constexpr std::string_view ref_name = "org.opencontainers.image.ref.name";
// Of manifests that belong to a repository without a tag.
constexpr std::string_view repository_name = "dev.knative.image.repository";
constexpr std::string_view change_name = "dev.knative.change";
constexpr std::string_view tag_name = "dev.knative.image.tag";
constexpr std::array<std::string_view, 4> change_kinds{"tag", "untag", "keep", "drop"};
constexpr int depth_max = 32;  // of indexes in indexes; deeper ones are not looked into

// Takes an annotation away and gives its text.
std::optional<std::string> take(Annotations& annotations, std::string_view key) {
  const auto at = annotations.find(std::string(key));
  if (at == annotations.end()) return std::nullopt;
  std::string text = std::move(at->second);
  annotations.erase(at);
  return text;
}

// The document without entries that cannot be read; those as they are.
Result<Index> parse_tolerantly(std::string_view text, std::vector<std::string>& unreadable) {
  Result<Index> whole = Index::parse(text);
  if (whole) return whole;
  Result<Value> value = Value::parse_json(text);
  if (!value) return value.error();
  Value::Map* const map = value->if_map();
  const auto list = map == nullptr ? Value::Map::iterator() : map->find("manifests");
  if (map == nullptr || list == map->end() || list->second.if_list() == nullptr) return whole;
  Value::List readable;
  for (Value& entry : *list->second.if_list()) {
    const Value one = Value::Map{{"schemaVersion", 2}, {"manifests", Value::List{entry}}};
    if (Index::parse(one.to_json())) {
      readable.push_back(std::move(entry));
    } else {
      unreadable.push_back(entry.to_json());
    }
  }
  list->second = std::move(readable);
  return Index::parse(value->to_json());
}

}  // namespace

std::string CatalogChange::to_json() const {
  Index line;
  line.manifests.push_back(manifest);
  line.annotations[std::string(change_name)] = change_kinds[static_cast<std::size_t>(kind)];
  line.annotations[std::string(repository_name)] = repository;
  if (!tag.empty()) line.annotations[std::string(tag_name)] = tag;
  return line.to_json();
}

Result<CatalogChange> CatalogChange::parse(std::string_view text) {
  Result<Index> line = Index::parse(text);
  if (!line) return line.error();
  CatalogChange change;
  const std::string kind = take(line->annotations, change_name).value_or("");
  const auto known = std::find(change_kinds.begin(), change_kinds.end(), kind);
  change.repository = take(line->annotations, repository_name).value_or("");
  change.tag = take(line->annotations, tag_name).value_or("");
  if (known == change_kinds.end() || change.repository.empty() || line->manifests.size() != 1) {
    return fail(Errc::data_loss, "no change of an index");
  }
  change.kind = static_cast<Kind>(known - change_kinds.begin());
  change.manifest = std::move(line->manifests.front());
  return change;
}

Result<Catalog> Catalog::parse(std::string_view index_json) {
  Catalog catalog;
  Result<Index> index = parse_tolerantly(index_json, catalog.unreadable_);
  if (!index) return index.error();
  catalog.rest_ = std::move(*index);
  std::vector<Descriptor> strangers;
  for (Descriptor& entry : catalog.rest_.manifests) {
    const auto named = entry.annotations.find(std::string(ref_name));
    if (named != entry.annotations.end()) {
      // Other tools may use names that are no image references.
      if (const Result<Reference> name = Reference::parse(named->second)) {
        const Reference key = reference_key(*name);
        entry.annotations.erase(named);
        catalog.repositories_[key.repository].tags[key.tag] = std::move(entry);
        continue;
      }
    } else if (std::optional<std::string> name = take(entry.annotations, repository_name)) {
      const Digest digest = entry.digest;
      catalog.repositories_[*name].kept[digest] = std::move(entry);
      continue;
    }
    strangers.push_back(std::move(entry));
  }
  catalog.rest_.manifests = std::move(strangers);
  return catalog;
}

std::string Catalog::to_json() const {
  Index index = rest_;
  for (const auto& [name, repository] : repositories_) {
    for (const auto& [tag, manifest] : repository.tags) {
      Descriptor entry = manifest;
      entry.annotations[std::string(ref_name)] = name + ":" + tag;
      index.manifests.push_back(std::move(entry));
    }
    for (const auto& [digest, manifest] : repository.kept) {
      Descriptor entry = manifest;
      entry.annotations[std::string(repository_name)] = name;
      index.manifests.push_back(std::move(entry));
    }
  }
  std::string text = index.to_json();
  if (unreadable_.empty()) return text;
  Result<Value> value = Value::parse_json(text);
  Value::Map* const map = value ? value->if_map() : nullptr;
  if (map == nullptr) return text;
  for (const std::string& entry : unreadable_) {
    if (Result<Value> raw = Value::parse_json(entry)) {
      (*map)["manifests"].if_list()->push_back(std::move(*raw));
    }
  }
  return value->to_json();
}

void Catalog::apply(const CatalogChange& change) {
  Repository& repository = repositories_[change.repository];
  switch (change.kind) {
    case CatalogChange::Kind::tag: repository.tags[change.tag] = change.manifest; break;
    case CatalogChange::Kind::untag: repository.tags.erase(change.tag); break;
    case CatalogChange::Kind::keep:
      repository.kept[change.manifest.digest] = change.manifest;
      break;
    case CatalogChange::Kind::drop: repository.kept.erase(change.manifest.digest); break;
  }
  if (repository.empty()) repositories_.erase(change.repository);
}

const Catalog::Repository* Catalog::find(std::string_view repository) const {
  const auto at = repositories_.find(repository);
  return at == repositories_.end() ? nullptr : &at->second;
}

DocumentFacts facts_of(std::string_view document) {
  DocumentFacts facts;
  if (Result<Manifest> manifest = Manifest::parse(document)) {
    facts.parts.push_back(manifest->config.digest);
    for (const Descriptor& layer : manifest->layers) facts.parts.push_back(layer.digest);
    if (manifest->subject) facts.subject = manifest->subject->digest;
    facts.artifact_type =
        manifest->artifact_type.empty() ? manifest->config.media_type : manifest->artifact_type;
    facts.annotations = std::move(manifest->annotations);
  } else if (Result<Index> index = Index::parse(document)) {
    for (const Descriptor& child : index->manifests) facts.parts.push_back(child.digest);
    if (index->subject) facts.subject = index->subject->digest;
    facts.artifact_type = std::move(index->artifact_type);
    facts.annotations = std::move(index->annotations);
    facts.children = std::move(index->manifests);
  }
  return facts;
}

Result<void> RepositoryIndex::add(const Descriptor& manifest, const Load& load) {
  return add_at(manifest, load, 0);
}

Result<void> RepositoryIndex::add_at(const Descriptor& manifest, const Load& load, int depth) {
  Document& document = documents_[manifest.digest];
  if (document.uses++ == 0) document.descriptor = manifest;
  if (document.loaded) return {};
  Result<std::optional<DocumentFacts>> facts = load(manifest.digest);
  if (!facts) return facts.error();
  if (!*facts) return {};
  document.facts = std::move(**facts);
  document.loaded = true;
  document.expanded = depth < depth_max;
  for (const Digest& part : document.facts.parts) ++parts_[part];
  if (document.facts.subject) referrers_[*document.facts.subject].insert(manifest.digest);
  if (!document.expanded) return {};
  // By index: adding may not move this document, but nothing promises that of the list.
  for (std::size_t i = 0; i < document.facts.children.size(); ++i) {
    const Descriptor child = document.facts.children[i];
    if (Result<void> added = add_at(child, load, depth + 1); !added) return added;
  }
  return {};
}

void RepositoryIndex::unload(const Digest& digest, Document& document) {
  if (!document.loaded) return;
  document.loaded = false;
  const DocumentFacts facts = std::move(document.facts);
  document.facts = DocumentFacts();
  for (const Digest& part : facts.parts) {
    if (const auto at = parts_.find(part); at != parts_.end() && --at->second == 0) {
      parts_.erase(at);
    }
  }
  if (facts.subject) {
    const auto at = referrers_.find(*facts.subject);
    if (at != referrers_.end()) {
      at->second.erase(digest);
      if (at->second.empty()) referrers_.erase(at);
    }
  }
  if (!document.expanded) return;
  for (const Descriptor& child : facts.children) remove(child.digest);
}

void RepositoryIndex::unload(const Digest& manifest) {
  if (const auto at = documents_.find(manifest); at != documents_.end()) {
    unload(manifest, at->second);
  }
}

void RepositoryIndex::remove(const Digest& manifest) {
  const auto at = documents_.find(manifest);
  if (at == documents_.end() || --at->second.uses > 0) return;
  Document document = std::move(at->second);
  documents_.erase(at);
  unload(manifest, document);
}

const RepositoryIndex::Document* RepositoryIndex::document(const Digest& digest) const {
  const auto at = documents_.find(digest);
  return at == documents_.end() ? nullptr : &at->second;
}

const std::set<Digest>* RepositoryIndex::referrers(const Digest& subject) const {
  const auto at = referrers_.find(subject);
  return at == referrers_.end() ? nullptr : &at->second;
}

}  // namespace knative::oci
