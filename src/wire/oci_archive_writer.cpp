// Archives of images: an image layout in a tar, whose names come in the order of its bytes.
#include <map>
#include <set>

#include "knative/oci_archive.hpp"
#include "knative/value.hpp"
#include "wire/oci_archive.hpp"
#include "wire/oci_contents.hpp"
#include "wire/oci_store.hpp"

namespace knative::oci {

namespace {

constexpr std::size_t copied_piece_bytes = 1 << 20;
constexpr std::size_t exported_names_max = 10'000;

// Everything of some images, each part once.
struct ExportContents {
  std::map<std::string, Descriptor> blobs;  // by name in the archive
  Index index;
  Value::List legacy;  // manifest.json
};

// What stands under a name, index or not.
Result<Descriptor> find_named(ImageStore& store, const Reference& name) {
  const Reference wanted = name.with_default_tag();
  Result<std::optional<Descriptor>> found = store.find(wanted);
  if (!found) return found.error();
  if (*found) return **found;
  // By digest it may be anywhere; otherwise the error says what there is.
  return store.resolve(name);
}

Result<void> add_legacy(ImageStore& store, const Reference& name, ExportContents& contents) {
  Result<Manifest> manifest = store.manifest(name);
  if (!manifest) return manifest.error();
  Value::List layers;
  for (const Descriptor& layer : manifest->layers) {
    if (is_foreign(layer)) {
      return fail(Errc::unimplemented, "image \"" + name.to_string() + "\": layer " +
                                           layer.digest.to_string() +
                                           " comes from elsewhere, which no manifest.json can say");
    }
    layers.emplace_back(archive::blob_name(layer.digest));
  }
  Value::List tags;
  if (name.digest.empty()) tags.emplace_back(name.with_default_tag().to_string());
  Value::Map entry;
  entry["Config"] = archive::blob_name(manifest->config.digest);
  entry["RepoTags"] = std::move(tags);
  entry["Layers"] = std::move(layers);
  contents.legacy.emplace_back(std::move(entry));
  return {};
}

Result<void> add_exported(ImageStore& store, const Reference& name, ArchiveFormat format,
                          ExportContents& contents) {
  Result<Descriptor> found = find_named(store, name);
  if (!found) return found.error();
  const FindDocument find = documents_of(store);
  const VisitPart visit = [&](const Descriptor& part) -> Result<void> {
    const Result<std::optional<std::uint64_t>> size = store.blob_size(part.digest);
    if (!size) return size.error();
    if (!*size) return no_such_blob(part.digest);
    contents.blobs[archive::blob_name(part.digest)] = part;
    return {};
  };
  if (Result<void> visited = visit_image(*found, find, visit); !visited) return visited;
  Descriptor entry = *found;
  entry.annotations.erase(std::string(pulled_annotation));
  if (name.digest.empty()) {
    const Reference full = name.with_default_tag();
    entry.annotations[std::string(archive::ref_name)] = full.to_string();
    entry.annotations[std::string(archive::image_name)] = archive::full_name(full);
  }
  contents.index.manifests.push_back(std::move(entry));
  return format == ArchiveFormat::docker ? add_legacy(store, name, contents) : Result<void>();
}

Result<void> write_blobs(ImageStore& store, const ExportContents& contents, LayerWriter& writer) {
  std::set<std::string> folders;
  for (const auto& [name, blob] : contents.blobs) {
    for (std::size_t slash = name.find('/'); slash != name.npos;
         slash = name.find('/', slash + 1)) {
      const std::string folder = name.substr(0, slash);
      if (!folders.insert(folder).second) continue;
      if (Result<void> added = writer.add_directory(folder); !added) return added;
    }
    Result<std::unique_ptr<ByteSource>> source = store.open_blob(blob);
    if (!source) return source.error();
    if (Result<void> added = writer.add_file(name, blob.size_bytes, **source, false); !added) {
      return added;
    }
  }
  return {};
}

class ArchiveFile final : public ByteSink {
 public:
  explicit ArchiveFile(File& file) : file_(file) {}
  Result<void> write(std::string_view bytes) override {
    Result<void> written = file_.write_at(offset_, bytes);
    offset_ += bytes.size();
    return written;
  }

 private:
  File& file_;
  std::uint64_t offset_ = 0;
};

// What goes, unless it is told to stay.
struct UnfinishedArchive {
  Files& files;
  std::string path;
  bool kept = false;
  ~UnfinishedArchive() {
    if (!kept) (void)files.remove(path);
  }
};

}  // namespace

Result<void> export_archive(ImageStore& store, std::span<const Reference> names, ByteSink& sink,
                            ArchiveFormat format) {
  if (names.empty() || names.size() > exported_names_max) {
    return fail(Errc::invalid_argument, "an archive has at least one image and at most " +
                                            std::to_string(exported_names_max));
  }
  ExportContents contents;
  for (const Reference& name : names) {
    if (Result<void> added = add_exported(store, name, format, contents); !added) return added;
  }
  LayerWriter writer(sink, {.gzip = false, .blob_digest = false});
  if (Result<void> written = write_blobs(store, contents, writer); !written) return written;
  Result<void> added = writer.add_file(archive::index_file, contents.index.to_json());
  if (added && format == ArchiveFormat::docker) {
    added = writer.add_file(archive::legacy_file, Value(std::move(contents.legacy)).to_json());
  }
  if (added) added = writer.add_file(archive::layout_file, archive::layout_text);
  if (!added) return added;
  const Result<LayerInfo> finished = writer.finish();
  return finished ? Result<void>() : finished.error();
}

Result<void> export_images(ImageStore& store, std::span<const Reference> names, Files& files,
                           const std::string& path, ArchiveFormat format) {
  UnfinishedArchive temporary{files, path + ".part"};
  const OpenOptions how{.write = true, .create = true, .truncate = true};
  Result<std::unique_ptr<File>> file = files.open(temporary.path, how);
  if (!file) return file.error();
  ArchiveFile sink(**file);
  if (Result<void> r = export_archive(store, names, sink, format); !r) return r;
  if (Result<void> r = (*file)->sync(); !r) return r;
  if (Result<void> r = files.rename(temporary.path, path); !r) return r;
  temporary.kept = true;
  const std::size_t slash = path.rfind('/');
  return files.sync_directory(slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash));
}

Result<Descriptor> copy_image(ImageStore& from, const Reference& name, ImageStore& to,
                              const Reference& to_name) {
  Result<Descriptor> found = find_named(from, name);
  if (!found) return found;
  const VisitPart visit = [&](const Descriptor& part) -> Result<void> {
    const Result<std::optional<std::uint64_t>> there = to.blob_size(part.digest);
    if (!there) return there.error();
    if (*there) return {};
    Result<std::unique_ptr<ByteSource>> source = from.open_blob(part);
    if (!source) return source.error();
    Result<std::unique_ptr<BlobWriter>> blob = to.new_blob(part.digest.algorithm());
    if (!blob) return blob.error();
    std::vector<char> piece(copied_piece_bytes);
    while (true) {
      Result<std::size_t> count = (*source)->read(piece);
      if (!count) return count.error();
      if (*count == 0) break;
      Result<void> written = (*blob)->write(std::string_view(piece.data(), *count));
      if (!written) return written;
    }
    const Result<Descriptor> stored = (*blob)->commit(part.digest);
    return stored ? Result<void>() : stored.error();
  };
  const FindDocument find = documents_of(from);
  if (Result<void> visited = visit_image(*found, find, visit); !visited) return visited.error();
  if (Result<void> bound = to.set_reference(to_name, *found); !bound) return bound.error();
  return found;
}

}  // namespace knative::oci
