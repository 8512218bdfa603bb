#include "wire/oci_contents.hpp"

#include "wire/oci_decode.hpp"
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

constexpr std::size_t checked_piece_bytes = 1 << 20;

bool is_image_config(const Descriptor& config) {
  return config.media_type == media_type::config ||
         config.media_type == "application/vnd.docker.container.image.v1+json";
}

bool has_known_form(const Descriptor& layer) {
  const std::string& type = layer.media_type;
  return !is_foreign(layer) && type.find(".tar") != std::string::npos &&
         type.find("encrypted") == std::string::npos;
}

Result<void> check_layers_of(ImageStore& store, const Manifest& manifest, const FindDocument& find,
                             std::uint64_t& bytes_left) {
  if (!is_image_config(manifest.config)) return {};
  Result<std::optional<std::string>> text = find(manifest.config);
  if (!text) return text.error();
  if (!*text) return no_such_blob(manifest.config.digest);
  const Result<ImageConfig> config = ImageConfig::parse(**text);
  if (!config) return config.error().within("config " + manifest.config.digest.to_string());
  if (config->diff_ids.size() != manifest.layers.size()) {
    return fail(Errc::data_loss, "config " + manifest.config.digest.to_string() + " promises " +
                                     std::to_string(config->diff_ids.size()) +
                                     " layers, its manifest has " +
                                     std::to_string(manifest.layers.size()));
  }
  for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
    const Descriptor& layer = manifest.layers[i];
    if (!has_known_form(layer)) continue;
    if (Result<void> good = check_layer(store, layer, config->diff_ids[i], bytes_left); !good) {
      return good.error().within("layer " + layer.digest.to_string());
    }
  }
  return {};
}

}  // namespace

FindDocument documents_of(ImageStore& store) {
  return [&store](const Descriptor& at) -> Result<std::optional<std::string>> {
    const Result<std::optional<std::uint64_t>> size = store.blob_size(at.digest);
    if (!size) return size.error();
    if (!*size) return std::optional<std::string>();
    Result<std::string> text = store.get_blob(at, document_bytes_max);
    if (!text) return text.error();
    return std::optional<std::string>(std::move(*text));
  };
}

Result<void> check_layer(ImageStore& store, const Descriptor& layer, const Digest& diff_id,
                         std::uint64_t& bytes_left) {
  Result<std::unique_ptr<ByteSource>> packed = store.open_blob(layer);
  if (!packed) return packed.error();
  Result<std::unique_ptr<tar::DecodedSource>> plain = tar::DecodedSource::over(**packed, {});
  if (!plain) return plain.error();
  std::vector<char> piece(checked_piece_bytes);
  while (true) {
    Result<std::size_t> count = (*plain)->read(piece);
    if (!count) return count.error();
    if (*count == 0) break;
    if (*count > bytes_left) {
      return fail(Errc::resource_exhausted, "the layers unpack to more than they may");
    }
    bytes_left -= *count;
  }
  const Digest got = (*plain)->digest();
  return got == diff_id ? Result<void>() : other_digest(diff_id, got);
}

Result<void> check_layers(ImageStore& store, const Descriptor& root, const FindDocument& find,
                          std::uint64_t& bytes_left) {
  std::vector<Manifest> manifests;
  const FindDocument keep = [&](const Descriptor& at) -> Result<std::optional<std::string>> {
    Result<std::optional<std::string>> text = find(at);
    if (!text || !*text || is_index(at)) return text;
    Result<Manifest> manifest = Manifest::parse(**text);
    if (!manifest) return manifest.error();
    manifests.push_back(std::move(*manifest));
    return text;
  };
  const VisitPart pass = [](const Descriptor&) { return Result<void>(); };
  if (Result<void> walked = visit_image(root, keep, pass); !walked) return walked;
  for (const Manifest& manifest : manifests) {
    Result<void> good = check_layers_of(store, manifest, find, bytes_left);
    if (!good) return good;
  }
  return {};
}

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
