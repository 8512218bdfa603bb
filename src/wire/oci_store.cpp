// What every image store has in common: documents, resolving a name, unpacking an image.
#include <algorithm>

#include "wire/oci_contents.hpp"
#include "wire/oci_store.hpp"
#include "wire/oci_unpacking.hpp"

namespace knative::oci {

namespace {

constexpr std::size_t names_shown_max = 8;
constexpr int index_depth_max = 8;

std::string quoted(const Reference& name) { return "image \"" + name.to_string() + "\""; }

Error no_such_image(const Reference& name,
                    const std::vector<std::pair<Reference, Descriptor>>& all) {
  std::string detail = quoted(name) + " is not in the store; ";
  if (all.empty()) return fail(Errc::not_found, detail + "the store has no image");
  detail += "it has ";
  for (std::size_t i = 0; i < std::min(all.size(), names_shown_max); ++i) {
    if (i > 0) detail += ", ";
    detail += all[i].first.to_string();
  }
  if (all.size() > names_shown_max) detail += ", ...";
  return fail(Errc::not_found, detail);
}

}  // namespace

VerifyingSource::VerifyingSource(std::unique_ptr<ByteSource> inner, const Descriptor& expected)
    : inner_(std::move(inner)), expected_(expected), hasher_(expected.digest.algorithm()) {}

Result<std::size_t> VerifyingSource::read(std::span<char> into) {
  if (into.empty() || checked_) return std::size_t{0};
  Result<std::size_t> count = inner_->read(into);
  if (!count) return count;
  size_ += *count;
  hasher_.update(std::string_view(into.data(), *count));
  const auto damaged = [this](const std::string& why) {
    return fail(Errc::data_loss, "blob " + expected_.digest.to_string() + ": " + why);
  };
  if (size_ > expected_.size_bytes || (*count == 0 && size_ < expected_.size_bytes)) {
    return damaged("expected " + std::to_string(expected_.size_bytes) + " bytes, found " +
                   (*count == 0 ? std::to_string(size_) : "more"));
  }
  if (*count == 0) {
    checked_ = true;
    if (hasher_.finish() != expected_.digest) return damaged("its content has another digest");
  }
  return count;
}

Result<Descriptor> ImageStore::put_blob(std::string_view bytes, std::string_view media_type) {
  Result<std::unique_ptr<BlobWriter>> writer = new_blob();
  if (!writer) return writer.error();
  if (Result<void> written = (*writer)->write(bytes); !written) return written.error();
  Result<Descriptor> blob = (*writer)->commit();
  if (blob) blob->media_type = media_type;
  return blob;
}

Result<std::string> ImageStore::get_blob(const Descriptor& blob, std::uint64_t bytes_max) {
  if (blob.size_bytes > bytes_max) {
    return fail(Errc::resource_exhausted, "blob " + blob.digest.to_string() + " has " +
                                              std::to_string(blob.size_bytes) + " bytes, at most " +
                                              std::to_string(bytes_max) + " are read into memory");
  }
  Result<std::unique_ptr<ByteSource>> source = open_blob(blob);
  if (!source) return source.error();
  std::string bytes(static_cast<std::size_t>(blob.size_bytes) + 1, '\0');
  std::size_t have = 0;
  while (true) {
    Result<std::size_t> count = (*source)->read(std::span<char>(bytes).subspan(have));
    if (!count) return count.error();
    if (*count == 0) break;
    have += *count;
  }
  bytes.resize(have);
  return bytes;
}

Result<Descriptor> ImageStore::put_manifest(const Reference& name, const Manifest& manifest) {
  if (Result<void> good = manifest.check_media_types(); !good) {
    return good.error().within(quoted(name) + ": manifest");
  }
  Result<Descriptor> blob = put_blob(manifest.to_json(), manifest.own_media_type());
  if (!blob) return blob;
  if (Result<void> bound = set_reference(name, *blob); !bound) return bound.error();
  return blob;
}

namespace {

// By digest wherever it came from: a manifest whose tag has moved on, too.
Result<std::optional<Descriptor>> find_anywhere(ImageStore& store, const Reference& name) {
  if (name.digest.empty()) return store.find(name);
  const Result<std::optional<std::uint64_t>> size = store.blob_size(name.digest);
  if (!size) return size.error();
  if (!*size) return std::optional<Descriptor>();
  Descriptor found{std::string(media_type::manifest), name.digest, **size, {}, {}};
  const Result<std::string> text = store.get_blob(found, document_bytes_max);
  if (!text) return text.error().within(quoted(name));
  if (const Result<Index> index = Index::parse(*text)) {
    found.media_type = media_type::index;
  } else if (const Result<Manifest> manifest = Manifest::parse(*text)) {
    found.media_type = manifest->own_media_type();
  }
  return std::optional<Descriptor>(std::move(found));
}

}  // namespace

Result<Descriptor> ImageStore::resolve(const Reference& name) {
  Result<std::optional<Descriptor>> found = find_anywhere(*this, name.with_default_tag());
  if (!found) return found.error();
  if (!*found) {
    const Result<std::vector<std::pair<Reference, Descriptor>>> all = references();
    if (!all) return all.error();
    return no_such_image(name, *all);
  }
  const ImagePlatform host = host_platform();
  Descriptor at = std::move(**found);
  for (int depth = 0; is_index(at) && depth < index_depth_max; ++depth) {
    Result<std::string> text = get_blob(at, document_bytes_max);
    if (!text) return text.error().within(quoted(name));
    Result<Index> index = Index::parse(*text);
    if (!index) return index.error().within(quoted(name) + ": index");
    // Manifests first; an index inside says nothing of its platforms as a rule.
    const auto chosen = std::find_if(
        index->manifests.begin(), index->manifests.end(), [&](const Descriptor& manifest) {
          return !is_index(manifest) &&
                 (!manifest.platform || (manifest.platform->os == host.os &&
                                         manifest.platform->architecture == host.architecture));
        });
    const auto inner = std::find_if(index->manifests.begin(), index->manifests.end(), is_index);
    if (chosen != index->manifests.end()) return *chosen;
    if (inner == index->manifests.end()) break;
    at = std::move(*inner);
  }
  if (!is_index(at)) return at;
  return fail(Errc::not_found,
              quoted(name) + " has no manifest for " + host.os + "/" + host.architecture);
}

Result<Manifest> ImageStore::manifest(const Reference& name) {
  Result<Descriptor> descriptor = resolve(name);
  if (!descriptor) return descriptor.error();
  Result<std::string> text = get_blob(*descriptor, document_bytes_max);
  if (!text) return text.error().within(quoted(name) + ": manifest");
  Result<Manifest> manifest = Manifest::parse(*text);
  if (!manifest) {
    return manifest.error().within(quoted(name) + ": manifest " + descriptor->digest.to_string());
  }
  return manifest;
}

Result<ImageConfig> ImageStore::config(const Reference& name) {
  Result<Manifest> document = manifest(name);
  if (!document) return document.error();
  Result<std::string> text = get_blob(document->config, document_bytes_max);
  if (!text) return text.error().within(quoted(name) + ": config");
  Result<ImageConfig> config = ImageConfig::parse(*text);
  if (!config) {
    return config.error().within(quoted(name) + ": config " + document->config.digest.to_string());
  }
  return config;
}

Result<ImageConfig> ImageStore::unpack(Files& files, const Reference& name,
                                       const std::string& directory, const UnpackOptions& options,
                                       UnpackLosses* losses) {
  Result<Manifest> document = manifest(name);
  if (!document) return document.error();
  Result<ImageConfig> image = config(name);
  if (!image) return image.error();
  Result<Unpacking> unpacking = Unpacking::begin(*this, files, name, std::move(*document),
                                                 std::move(*image), directory, options);
  if (!unpacking) return unpacking.error();
  while (!unpacking->done()) {
    if (Result<void> layer = unpacking->next(); !layer) return layer.error();
  }
  if (losses != nullptr) *losses = unpacking->take_losses();
  return unpacking->take_config();
}

}  // namespace knative::oci
