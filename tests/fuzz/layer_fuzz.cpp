// Any bytes as layers of an image, as its documents and as an archive of images: no crash, nothing
// outside the root, bounds that hold, documents that say the same when they are written and read
// again, and no names of what was refused.
//
// libFuzzer target; seed_layer_corpus.py beside it gives the seeds.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "knative/oci.hpp"
#include "knative/oci_archive.hpp"
#include "knative/simulation.hpp"

namespace {

using namespace knative;

void require(bool holds) {
  if (!holds) std::abort();
}

// One layer over the other, as the bytes are cut.
void layers(std::string_view bytes, std::size_t at, bool image) {
  Simulation simulation{1};
  Files& files = simulation.env().files;
  require(files.make_directories("/jail/root").has_value());
  require(files.write_file("/outside", "precious").has_value());
  oci::UnpackOptions options;
  options.bytes_max = 1 << 20;
  options.entries_max = 200;
  options.depth_max = 32;
  options.whiteouts = image;
  options.refuse_escaping_links = !image;
  for (const std::string_view part : {bytes.substr(0, at), bytes.substr(at)}) {
    const std::vector<char> exact(part.begin(), part.end());
    const std::unique_ptr<oci::ByteSource> source =
        oci::memory_source(std::string_view(exact.data(), exact.size()));
    const Result<oci::UnpackedLayer> layer =
        oci::unpack_layer(files, *source, "/jail/root", options);
    if (!layer) continue;
    require(layer->tar_bytes + layer->extra_bytes <= options.bytes_max);
    require(layer->entries + layer->extra_folders <= options.entries_max);
  }
  require(files.read_file("/outside").value() == "precious");
  require(files.list("/jail")->size() == 1);
  require(files.list("/")->size() == 3);  // jail, outside, tmp
  require(files.list("/tmp")->empty());
}

template <class Document>
void document(std::string_view bytes) {
  const Result<Document> first = Document::parse(bytes);
  if (!first) return;
  const Result<Document> again = Document::parse(first->to_json());
  require(again.has_value());
  require(*again == *first);
  require(again->to_json() == first->to_json());
}

void archive(std::string_view bytes) {
  const std::shared_ptr<oci::ImageStore> store = oci::memory_image_store();
  const std::unique_ptr<oci::ByteSource> source = oci::memory_source(bytes);
  const oci::ImportOptions options{.bytes_max = 1 << 20, .entries_max = 200};
  const Result<std::vector<oci::ImportedImage>> images =
      oci::import_archive(*store, *source, options);
  if (!images) return require(store->references()->empty());
  require(!images->empty());
  for (const oci::ImportedImage& image : *images) {
    require(store->find(image.name).value().has_value());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 3, size - 3);
  const std::size_t at = (data[1] * 256U + data[2]) % (bytes.size() + 1);
  switch (data[0] % 5) {
    case 0: layers(bytes, at, true); break;
    case 1: layers(bytes, bytes.size(), true); break;
    case 2: layers(bytes, bytes.size(), false); break;
    case 4: archive(bytes); break;
    default:
      document<oci::Manifest>(bytes);
      document<oci::Index>(bytes);
      document<oci::ImageConfig>(bytes);
      break;
  }
  return 0;
}
