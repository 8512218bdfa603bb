// Packs a folder into an image layout, or unpacks a layer, for comparisons with other programs:
//   peer_knative_layer pack FOLDER LAYOUT
//   peer_knative_layer unpack LAYER FOLDER
#include <cstdio>
#include <string>

#include "knative/oci.hpp"

namespace {

using namespace knative;

Result<void> pack(Files& files, const std::string& folder, const std::string& layout) {
  oci::ImageLayoutOptions options;
  options.sync = false;  // nor do the others
  Result<std::shared_ptr<oci::ImageStore>> store = oci::open_image_layout(files, layout, options);
  if (!store) return store.error();
  Result<std::unique_ptr<oci::BlobWriter>> blob = (*store)->new_blob();
  if (!blob) return blob.error();
  oci::LayerWriter writer(**blob, {.blob_digest = false});
  if (Result<void> added = writer.add_tree(files, folder, "tree"); !added) return added;
  Result<oci::LayerInfo> layer = writer.finish();
  if (!layer) return layer.error();
  Result<oci::Descriptor> stored = (*blob)->commit();
  if (!stored) return stored.error();
  stored->media_type = layer->blob.media_type;
  oci::ImageConfig config;
  config.platform = oci::host_platform();
  config.diff_ids = {layer->diff_id};
  Result<oci::Descriptor> described = (*store)->put_blob(config.to_json(), oci::media_type::config);
  if (!described) return described.error();
  oci::Manifest manifest;
  manifest.config = *described;
  manifest.layers = {*stored};
  const Result<oci::Descriptor> bound =
      (*store)->put_manifest(oci::Reference::parse("bench:v1").value(), manifest);
  return bound ? Result<void>() : bound.error();
}

Result<void> unpack(Files& files, const std::string& layer, const std::string& folder) {
  Result<std::unique_ptr<oci::ByteSource>> source = oci::open_source(files, layer);
  if (!source) return source.error();
  if (Result<void> made = files.make_directories(folder); !made) return made;
  const Result<oci::UnpackedLayer> unpacked =
      oci::unpack_layer(files, **source, folder, {.preserve = true});
  return unpacked ? Result<void>() : unpacked.error();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc == 4 ? argv[1] : "";
  if (what != "pack" && what != "unpack") {
    std::fprintf(stderr, "usage: %s pack FOLDER LAYOUT | unpack LAYER FOLDER\n", argv[0]);
    return 2;
  }
  Loop loop;
  Files& files = loop.env().files;
  const Result<void> done =
      what == "pack" ? pack(files, argv[2], argv[3]) : unpack(files, argv[2], argv[3]);
  if (!done) std::fprintf(stderr, "%s\n", done.error().to_string().c_str());
  return done ? 0 : 1;
}
