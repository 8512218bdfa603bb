#include "wire/oci_contents.hpp"

#include "wire/oci_store.hpp"

namespace knative::oci {

namespace {

constexpr int walk_depth_max = 8;
constexpr std::size_t document_parts_max = 1000;  // of one document

Error unusable(const Descriptor& document, std::string_view why) {
  return fail(Errc::invalid_argument,
              "document " + document.digest.to_string() + " " + std::string(why));
}

class ImageWalk {
 public:
  ImageWalk(const FindDocument& find, const VisitPart& visit) : find_(find), visit_(visit) {}

  // Whether the document is there.
  Result<bool> walk(const Descriptor& at, int depth) {
    if (depth > walk_depth_max) return unusable(at, "is too deep inside indexes");
    Result<std::optional<std::string>> text = find_(at);
    if (!text) return text.error();
    if (!*text) return false;
    Result<void> walked = is_index(at) ? walk_index(at, **text, depth) : walk_manifest(at, **text);
    if (!walked) return walked.error();
    if (Result<void> visited = visit_(at); !visited) return visited.error();
    return true;
  }

 private:
  Result<void> walk_index(const Descriptor& at, const std::string& text, int depth) {
    Result<Index> index = Index::parse(text);
    if (!index) return index.error().within("index " + at.digest.to_string());
    if (index->manifests.size() > document_parts_max) return unusable(at, "has too many manifests");
    bool any = index->manifests.empty();
    for (const Descriptor& manifest : index->manifests) {
      Result<bool> there = walk(manifest, depth + 1);
      if (!there) return there.error();
      any = any || *there;
    }
    if (any) return {};
    return fail(Errc::not_found, "index " + at.digest.to_string() + " comes without its manifests");
  }

  Result<void> walk_manifest(const Descriptor& at, const std::string& text) {
    Result<Manifest> manifest = Manifest::parse(text);
    if (!manifest) return manifest.error().within("manifest " + at.digest.to_string());
    if (manifest->layers.size() > document_parts_max) return unusable(at, "has too many layers");
    for (const Descriptor& layer : manifest->layers) {
      if (is_foreign(layer)) continue;
      if (Result<void> visited = visit_(layer); !visited) return visited;
    }
    return visit_(manifest->config);
  }

  const FindDocument& find_;
  const VisitPart& visit_;
};

}  // namespace

bool is_index(const Descriptor& descriptor) {
  return descriptor.media_type == media_type::index ||
         descriptor.media_type == "application/vnd.docker.distribution.manifest.list.v2+json";
}

bool is_foreign(const Descriptor& layer) {
  return !layer.urls.empty() || layer.media_type.find("nondistributable") != std::string::npos ||
         layer.media_type.find(".foreign.") != std::string::npos;
}

Result<void> visit_image(const Descriptor& root, const FindDocument& find, const VisitPart& visit) {
  Result<bool> there = ImageWalk(find, visit).walk(root, 0);
  if (!there) return there.error();
  return *there ? Result<void>() : no_such_blob(root.digest);
}

}  // namespace knative::oci
