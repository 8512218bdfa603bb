// What every image store has in common: documents, resolving a name, unpacking an image.
#include <algorithm>
#include <iterator>

#include "wire/oci_contents.hpp"
#include "wire/oci_store.hpp"

namespace knative::oci {

namespace {

constexpr std::size_t layers_max = 512;
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

constexpr std::size_t kept_losses_max = 1000;

template <class T>
void append(std::vector<T> more, std::vector<T>& all) {
  more.resize(std::min(more.size(), kept_losses_max - all.size()));
  std::move(more.begin(), more.end(), std::back_inserter(all));
}

// Names its blob when something is wrong with it; also drains it, so that it is always checked.
Result<UnpackedLayer> unpack_blob(ImageStore& store, Files& files, const Descriptor& blob,
                                  const std::string& directory, const UnpackOptions& options) {
  Result<std::unique_ptr<ByteSource>> source = store.open_blob(blob);
  if (!source) return source.error();
  return unpack_layer(files, **source, directory, options);
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
  if (document->layers.size() > layers_max) {
    return fail(Errc::resource_exhausted,
                quoted(name) + " has more than " + std::to_string(layers_max) + " layers");
  }
  if (image->diff_ids.size() != document->layers.size()) {
    return fail(Errc::invalid_argument,
                quoted(name) + ": its config lists " + std::to_string(image->diff_ids.size()) +
                    " layers, its manifest " + std::to_string(document->layers.size()));
  }
  if (Result<void> made = files.make_directories(directory); !made) return made.error();
  Result<std::vector<FileInfo>> there = files.list(directory);
  if (!there) return there.error();
  if (!there->empty()) {
    return fail(Errc::failed_precondition, directory + " is not empty");
  }
  UnpackOptions left = options;
  for (std::size_t i = 0; i < document->layers.size(); ++i) {
    const Descriptor& blob = document->layers[i];
    Result<UnpackedLayer> layer = unpack_blob(*this, files, blob, directory, left);
    std::optional<Error> error;
    if (!layer) {
      error = layer.error();
    } else if (layer->diff_id != image->diff_ids[i]) {
      error = fail(Errc::data_loss, "its content is not what the config promises");
    }
    if (error) {
      (void)files.remove_all(directory);
      return error->within(quoted(name) + ": layer " + std::to_string(i + 1) + " (" +
                           blob.digest.to_string() + ")");
    }
    if (losses != nullptr) {
      append(std::move(layer->losses.skipped), losses->skipped);
      append(std::move(layer->losses.changed), losses->changed);
    }
    left.bytes_max -= layer->tar_bytes + layer->extra_bytes;
    left.entries_max -= layer->entries + layer->extra_folders;
  }
  return image;
}

}  // namespace knative::oci
