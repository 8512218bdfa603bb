#include "wire/oci_unpacking.hpp"

#include <algorithm>
#include <iterator>

namespace knative::oci {

namespace {

constexpr std::size_t layers_max = 512;
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

Unpacking::Unpacking(ImageStore& store, Files& files, std::string title, Manifest manifest,
                     ImageConfig config, std::string directory, const UnpackOptions& options)
    : store_(&store),
      files_(&files),
      title_(std::move(title)),
      manifest_(std::move(manifest)),
      config_(std::move(config)),
      directory_(std::move(directory)),
      left_(options) {}

Result<Unpacking> Unpacking::begin(ImageStore& store, Files& files, const Reference& name,
                                   Manifest manifest, ImageConfig config, std::string directory,
                                   const UnpackOptions& options) {
  std::string title = "image \"" + name.to_string() + "\"";
  if (manifest.layers.size() > layers_max) {
    return fail(Errc::resource_exhausted,
                title + " has more than " + std::to_string(layers_max) + " layers");
  }
  if (config.diff_ids.size() != manifest.layers.size()) {
    return fail(Errc::invalid_argument,
                title + ": its config lists " + std::to_string(config.diff_ids.size()) +
                    " layers, its manifest " + std::to_string(manifest.layers.size()));
  }
  if (Result<void> made = files.make_directories(directory); !made) return made.error();
  Result<std::vector<FileInfo>> there = files.list(directory);
  if (!there) return there.error();
  if (!there->empty()) return fail(Errc::failed_precondition, directory + " is not empty");
  return Unpacking(store, files, std::move(title), std::move(manifest), std::move(config),
                   std::move(directory), options);
}

Result<void> Unpacking::next() {
  const Descriptor& blob = manifest_.layers[next_];
  Result<UnpackedLayer> layer = unpack_blob(*store_, *files_, blob, directory_, left_);
  std::optional<Error> error;
  if (!layer) {
    error = layer.error();
  } else if (layer->diff_id != config_.diff_ids[next_]) {
    error = fail(Errc::data_loss, "its content is not what the config promises");
  }
  if (error) {
    (void)files_->remove_all(directory_);
    return error->within(title_ + ": layer " + std::to_string(next_ + 1) + " (" +
                         blob.digest.to_string() + ")");
  }
  append(std::move(layer->losses.skipped), losses_.skipped);
  append(std::move(layer->losses.changed), losses_.changed);
  left_.bytes_max -= layer->tar_bytes + layer->extra_bytes;
  left_.entries_max -= layer->entries + layer->extra_folders;
  ++next_;
  return {};
}

}  // namespace knative::oci
