// What a store knows beside its blobs: which manifests belong to which repository, under which
// tags. Values; whoever holds them locks.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "knative/oci.hpp"

namespace knative::oci {

/// One change of a catalog, absolute: applying it twice is applying it once.
struct CatalogChange {
  enum class Kind : unsigned char { tag, untag, keep, drop };
  Kind kind = Kind::tag;
  std::string repository;
  std::string tag;      ///< Of tag and untag.
  Descriptor manifest;  ///< Of tag and keep; of drop its digest.

  /// One line of a journal, without its end.
  std::string to_json() const;
  static Result<CatalogChange> parse(std::string_view line);
};

/// Also the content of a layout's index.json, whose other entries it keeps.
class Catalog {
 public:
  struct Repository {
    std::map<std::string, Descriptor, std::less<>> tags;
    std::map<Digest, Descriptor> kept;
    bool empty() const noexcept { return tags.empty() && kept.empty(); }
  };
  using Repositories = std::map<std::string, Repository, std::less<>>;

  /// Entries that cannot be understood are kept as they are.
  static Result<Catalog> parse(std::string_view index_json);
  std::string to_json() const;
  void apply(const CatalogChange& change);
  const Repositories& repositories() const noexcept { return repositories_; }
  const Repository* find(std::string_view repository) const;
  /// Of entries that are no names of images: they may be roots for other tools.
  const std::vector<Descriptor>& strangers() const noexcept { return rest_.manifests; }
  bool has_unreadable() const noexcept { return !unreadable_.empty(); }

 private:
  Repositories repositories_;
  Index rest_;  ///< Everything else of the document.
  std::vector<std::string> unreadable_;
};

/// What a manifest or an index says about others.
struct DocumentFacts {
  std::vector<Digest> parts;         ///< Config, layers, manifests.
  std::vector<Descriptor> children;  ///< Of an index.
  std::optional<Digest> subject;
  std::string artifact_type;  ///< As a list of referrers shows it.
  Annotations annotations;
};
/// Nothing is said by what is neither.
DocumentFacts facts_of(std::string_view document);

/// Answers questions about one repository quickly. Built from its catalog, then kept up to date.
class RepositoryIndex {
 public:
  /// The bytes of a document; nothing when the store does not have it.
  using Load = std::function<Result<std::optional<DocumentFacts>>(const Digest&)>;
  struct Document {
    Descriptor descriptor;
    unsigned uses = 0;
    bool loaded = false;
    bool expanded = false;  ///< Its children were added.
    DocumentFacts facts;
  };

  Result<void> add(const Descriptor& manifest, const Load& load);
  void remove(const Digest& manifest);
  /// The document has gone while others still name it.
  void unload(const Digest& manifest);

  const Document* document(const Digest& digest) const;
  bool refers_to(const Digest& part) const { return parts_.contains(part); }
  const std::set<Digest>* referrers(const Digest& subject) const;

 private:
  Result<void> add_at(const Descriptor& manifest, const Load& load, int depth);
  void unload(const Digest& digest, Document& document);

  std::map<Digest, Document> documents_;
  std::map<Digest, unsigned> parts_;
  std::map<Digest, std::set<Digest>> referrers_;
};

}  // namespace knative::oci
