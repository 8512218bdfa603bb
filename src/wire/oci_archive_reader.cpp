// Images out of an archive that nobody vouches for. What is small waits in memory for somebody to
// name it, the rest goes into the store at once: a collection takes what turns out to be nobody's.
#include <algorithm>
#include <array>
#include <map>

#include "knative/oci_archive.hpp"
#include "knative/value.hpp"
#include "wire/oci_archive.hpp"
#include "wire/oci_contents.hpp"
#include "wire/oci_decode.hpp"
#include "wire/oci_store.hpp"
#include "wire/oci_tar_reader.hpp"

namespace knative::oci {

namespace {

constexpr std::size_t imported_piece_bytes = 256 << 10;
constexpr std::size_t kept_bytes_max = 256 << 10;     // of one file in memory
constexpr std::size_t all_kept_bytes_max = 16 << 20;  // of all of them
constexpr int archive_links_followed_max = 8;
constexpr std::size_t legacy_images_max = 1000;
constexpr std::size_t legacy_layers_max = 512;

Error bad_entry(std::string_view name, std::string_view why) {
  return fail(Errc::invalid_argument, tar::shown(name) + ": " + std::string(why));
}

// "a/b" of "./a//b/"; nothing when it leads out. `from` is the folder that it begins in.
std::optional<std::string> clean_entry(std::string_view from, std::string_view name) {
  std::vector<std::string_view> parts;
  if (name.starts_with('/') || name.find('\0') != name.npos) return std::nullopt;
  for (std::string_view rest : {from, name}) {
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('/'), rest.size());
      const std::string_view part = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (part.empty() || part == ".") continue;
      if (part != "..") {
        parts.push_back(part);
      } else if (parts.empty()) {
        return std::nullopt;
      } else {
        parts.pop_back();
      }
    }
  }
  std::string clean;
  for (const std::string_view part : parts) clean.append(clean.empty() ? "" : "/").append(part);
  return clean;
}

std::string_view folder_of_entry(std::string_view name) {
  const std::size_t slash = name.rfind('/');
  return slash == name.npos ? std::string_view() : name.substr(0, slash);
}

// The digest that a file's name promises: "blobs/sha256/<hex>", and of Docker's older archives
// "<hex>.json" and "sha256:<hex>".
Result<std::optional<Digest>> promised_digest(std::string_view name) {
  if (name.starts_with(archive::blobs_prefix)) {
    std::string text(name.substr(archive::blobs_prefix.size()));
    const std::size_t slash = text.find('/');
    if (slash == text.npos) return bad_entry(name, "is no blob of an image layout");
    text[slash] = ':';
    Result<Digest> digest = Digest::parse(text);
    if (!digest) return digest.error().within(tar::shown(name));
    return std::optional<Digest>(std::move(*digest));
  }
  if (name.ends_with(".json")) {
    name.remove_suffix(5);
    if (name.size() != 64) return std::optional<Digest>();
    const Result<Digest> digest = Digest::parse("sha256:" + std::string(name));
    return digest ? std::optional<Digest>(*digest) : std::nullopt;
  }
  const Result<Digest> digest = Digest::parse(name);
  return digest ? std::optional<Digest>(*digest) : std::nullopt;
}

// What an archive has under a name.
struct ArchiveEntry {
  std::optional<std::string> bytes;  // not in the store yet
  std::string link;                  // of a link: the name that it leads to
  Descriptor blob;                   // digest and size
};

class ArchiveReader {
 public:
  ArchiveReader(ImageStore& store, ByteSource& source, const ImportOptions& options)
      : store_(store),
        limits_{
            .bytes_max = options.bytes_max, .entries_max = options.entries_max, .whiteouts = false},
        reader_(source, limits_),
        piece_(imported_piece_bytes) {}

  Result<void> read_all() {
    while (true) {
      Result<std::optional<tar::Entry>> entry = reader_.next();
      if (!entry) return entry.error();
      if (!*entry) break;
      if (Result<void> taken = take(**entry); !taken) return taken;
    }
    const Result<UnpackedLayer> finished = reader_.finish();
    return finished ? Result<void>() : finished.error();
  }

  bool has(std::string_view name) const { return entries_.contains(name); }

  // A file by its name in a document, which `what` shows; links are followed.
  Result<Descriptor> file(std::string_view name, std::string_view what) {
    std::optional<std::string> at = clean_entry("", name);
    for (int followed = 0; at && followed < archive_links_followed_max; ++followed) {
      const auto found = entries_.find(*at);
      if (found == entries_.end()) break;
      ArchiveEntry& entry = found->second;
      if (!entry.link.empty()) {
        at = entry.link;
        continue;
      }
      if (entry.bytes) {
        Result<Descriptor> stored = put(*entry.bytes, entry.blob.digest);
        if (!stored) return stored;
        entry.bytes.reset();
      }
      return entry.blob;
    }
    return fail(Errc::invalid_argument, std::string(what) + " names \"" +
                                            std::string(name.substr(0, 300)) +
                                            "\", which is no file of the archive");
  }

  Result<std::string> document(std::string_view name, std::string_view what) {
    Result<Descriptor> blob = file(name, what);
    if (!blob) return blob.error();
    Result<std::string> text = store_.get_blob(*blob, document_bytes_max);
    return text ? std::move(text) : text.error().within(tar::shown(name));
  }

  // "index.json" and its like, which are no blobs.
  Result<std::string> own_document(std::string_view name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end() || !found->second.bytes) {
      return bad_entry(name, "is missing or no file");
    }
    return *found->second.bytes;
  }

 private:
  Result<void> take(const tar::Entry& entry) {
    const std::optional<std::string> name = clean_entry("", entry.name);
    if (!name) return bad_entry(entry.name, "leads out of the archive");
    if (entry.type == '5') return {};
    if (name->empty()) return bad_entry(entry.name, "has no name");
    ArchiveEntry taken;
    if (entry.type == '1' || entry.type == '2') {
      const std::string_view from = entry.type == '2' ? folder_of_entry(*name) : "";
      const std::optional<std::string> target = clean_entry(from, entry.link);
      if (!target || target->empty() || entry.link.empty()) {
        return bad_entry(entry.name, "is a link that leads out of the archive");
      }
      taken.link = *target;
    } else if (entry.type == '0') {
      Result<void> read = read_file(entry, *name, taken);
      if (!read) return read;
    } else {
      return bad_entry(entry.name, "is neither a file nor a folder nor a link");
    }
    if (!entries_.emplace(*name, std::move(taken)).second) {
      return bad_entry(entry.name, "is there twice");
    }
    return {};
  }

  static bool is_own_document(std::string_view name) {
    return name == archive::index_file || name == archive::legacy_file ||
           name == archive::layout_file;
  }

  Result<void> read_file(const tar::Entry& entry, const std::string& name, ArchiveEntry& taken) {
    Result<std::optional<Digest>> promised = promised_digest(name);
    if (!promised) return promised.error();
    const bool own = is_own_document(name);
    if (own && entry.size > document_bytes_max) {
      return fail(Errc::resource_exhausted, tar::shown(entry.name) + ": is larger than " +
                                                std::to_string(document_bytes_max) + " bytes");
    }
    const bool small =
        entry.size <= kept_bytes_max && kept_bytes_ + entry.size <= all_kept_bytes_max;
    Result<void> read = own || small ? keep(entry, *promised, taken) : store(*promised, taken);
    return read ? read : read.error().within(tar::shown(entry.name));
  }

  template <class Consume>
  Result<void> each_piece(Consume consume) {
    std::uint64_t offset = 0;
    while (true) {
      Result<std::size_t> count = reader_.content(piece_, offset);
      if (!count) return count.error();
      if (*count == 0) return {};
      Result<void> consumed = consume(offset, std::string_view(piece_.data(), *count));
      if (!consumed) return consumed;
    }
  }

  Result<void> keep(const tar::Entry& entry, const std::optional<Digest>& promised,
                    ArchiveEntry& taken) {
    std::string& bytes = taken.bytes.emplace(static_cast<std::size_t>(entry.size), '\0');
    Result<void> read = each_piece([&bytes](std::uint64_t at, std::string_view piece) {
      bytes.replace(static_cast<std::size_t>(at), piece.size(), piece);
      return Result<void>();
    });
    if (!read) return read;
    kept_bytes_ += bytes.size();
    const DigestAlgorithm algorithm = promised ? promised->algorithm() : DigestAlgorithm::sha256;
    taken.blob.digest = Digest::of(bytes, algorithm);
    taken.blob.size_bytes = bytes.size();
    if (promised && *promised != taken.blob.digest) {
      return other_digest(*promised, taken.blob.digest);
    }
    return {};
  }

  Result<void> store(const std::optional<Digest>& promised, ArchiveEntry& taken) {
    Result<std::unique_ptr<BlobWriter>> blob =
        promised ? store_.new_blob(promised->algorithm()) : store_.new_blob();
    if (!blob) return blob.error();
    std::uint64_t written = 0;
    Result<void> read = each_piece([&](std::uint64_t at, std::string_view piece) -> Result<void> {
      if (at != written) return fail(Errc::unimplemented, "is a sparse file");
      written += piece.size();
      return (*blob)->write(piece);
    });
    if (!read) return read;
    Result<Descriptor> stored = promised ? (*blob)->commit(*promised) : (*blob)->commit();
    if (!stored) return stored.error();
    taken.blob = *std::move(stored);
    return {};
  }

  Result<Descriptor> put(const std::string& bytes, const Digest& digest) {
    Result<std::unique_ptr<BlobWriter>> blob = store_.new_blob(digest.algorithm());
    if (!blob) return blob.error();
    if (Result<void> written = (*blob)->write(bytes); !written) return written.error();
    return (*blob)->commit(digest);
  }

  ImageStore& store_;
  const UnpackOptions limits_;
  tar::Reader reader_;
  std::vector<char> piece_;
  std::map<std::string, ArchiveEntry, std::less<>> entries_;
  std::size_t kept_bytes_ = 0;
};

// One image of Docker's manifest.json.
struct LegacyImage {
  std::string config;
  std::vector<std::string> tags;
  std::vector<std::string> layers;
};

Result<std::vector<std::string>> texts_of(const Value::Map& from, std::string_view key,
                                          const std::string& where) {
  std::vector<std::string> texts;
  const auto found = from.find(key);
  if (found == from.end() || found->second.is_null()) return texts;
  const Value::List* const list = found->second.if_list();
  const bool good = list != nullptr && std::all_of(list->begin(), list->end(),
                                                   [](const Value& v) { return v.is_string(); });
  if (!good) {
    return fail(Errc::invalid_argument, where + "." + std::string(key) + ": no list of texts");
  }
  for (const Value& text : *list) texts.push_back(text.as_string());
  return texts;
}

Result<std::vector<LegacyImage>> parse_legacy(std::string_view text) {
  const std::string where(archive::legacy_file);
  Result<Value> value = Value::parse_json(text);
  if (!value) return value.error().within(where);
  const Value::List* const list = value->if_list();
  if (list == nullptr || list->empty() || list->size() > legacy_images_max) {
    return fail(Errc::invalid_argument, where + ": no list of images");
  }
  std::vector<LegacyImage> images;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string at = where + "[" + std::to_string(i) + "]";
    const Value::Map* const map = (*list)[i].if_map();
    const Value* const config = (*list)[i].find("Config");
    if (map == nullptr || config == nullptr || !config->is_string()) {
      return fail(Errc::invalid_argument, at + ".Config: missing or no text");
    }
    Result<std::vector<std::string>> tags = texts_of(*map, "RepoTags", at);
    if (!tags) return tags.error();
    Result<std::vector<std::string>> layers = texts_of(*map, "Layers", at);
    if (!layers) return layers.error();
    images.push_back({config->as_string(), std::move(*tags), std::move(*layers)});
  }
  return images;
}

class ArchiveImport {
 public:
  ArchiveImport(ImageStore& store, ByteSource& source, const ImportOptions& options)
      : store_(store),
        options_(options),
        reader_(store, source, options),
        bytes_left_(options.bytes_max) {}

  Result<std::vector<ImportedImage>> run() {
    if (Result<void> read = reader_.read_all(); !read) return read.error();
    std::vector<LegacyImage> legacy;
    if (reader_.has(archive::legacy_file)) {
      Result<std::string> text = reader_.own_document(archive::legacy_file);
      if (!text) return text.error();
      Result<std::vector<LegacyImage>> parsed = parse_legacy(*text);
      if (!parsed) return parsed.error();
      legacy = std::move(*parsed);
    }
    Result<void> found = reader_.has(archive::index_file) ? find_in_layout(legacy)
                         : !legacy.empty()                ? find_legacy(legacy)
                                                          : nothing();
    if (!found) return found.error();
    if (Result<void> named = apply_name(); !named) return named.error();
    for (const ImportedImage& image : images_) {
      Result<void> bound = store_.set_reference(image.name, image.manifest);
      if (!bound) return bound.error();
    }
    return std::move(images_);
  }

 private:
  static Error nothing() {
    return fail(Errc::invalid_argument,
                "no archive of images: it has neither index.json nor manifest.json");
  }

  // ---- an image layout

  Result<void> find_in_layout(const std::vector<LegacyImage>& legacy) {
    Result<std::string> text = reader_.own_document(archive::index_file);
    if (!text) return text.error();
    Result<Index> index = Index::parse(*text);
    if (!index) return index.error().within(archive::index_file);
    const FindDocument find = [this](const Descriptor& at) -> Result<std::optional<std::string>> {
      const std::string name = archive::blob_name(at.digest);
      if (!reader_.has(name)) return std::optional<std::string>();
      Result<std::string> document = reader_.document(name, archive::index_file);
      if (!document) return document.error();
      return std::optional<std::string>(std::move(*document));
    };
    const VisitPart visit = [this](const Descriptor& part) -> Result<void> {
      const std::string name = archive::blob_name(part.digest);
      Result<Descriptor> blob = reader_.file(name, "a manifest");
      if (!blob) return blob.error();
      if (blob->size_bytes == part.size_bytes) return {};
      return fail(Errc::data_loss, tar::shown(name) + ": has " + std::to_string(blob->size_bytes) +
                                       " bytes, not " + std::to_string(part.size_bytes));
    };
    for (Descriptor& entry : index->manifests) {
      if (Result<void> there = visit_image(entry, find, visit); !there) {
        return there.error().within(archive::index_file);
      }
      if (Result<void> good = check_layers(store_, entry, find, bytes_left_); !good) {
        return good.error().within(archive::index_file);
      }
      std::vector<std::string> names = names_of(entry, legacy);
      entry.annotations.erase(std::string(archive::ref_name));
      entry.annotations.erase(std::string(archive::image_name));
      if (Result<void> added = add(names, entry); !added) return added;
    }
    return index->manifests.empty() ? Result<void>(nothing()) : Result<void>();
  }

  // Docker's own annotation is whole; `ref_name` is the tag alone in some archives, whose
  // manifest.json says more.
  std::vector<std::string> names_of(const Descriptor& entry,
                                    const std::vector<LegacyImage>& legacy) {
    const auto whole = entry.annotations.find(std::string(archive::image_name));
    if (whole != entry.annotations.end()) return {whole->second};
    if (const Result<std::string> text =
            reader_.document(archive::blob_name(entry.digest), archive::index_file)) {
      const Result<Manifest> manifest = Manifest::parse(*text);
      for (const LegacyImage& image : legacy) {
        const bool same = manifest && image.config == archive::blob_name(manifest->config.digest);
        if (same && !image.tags.empty()) return image.tags;
      }
    }
    const auto name = entry.annotations.find(std::string(archive::ref_name));
    return name == entry.annotations.end() ? std::vector<std::string>()
                                           : std::vector<std::string>{name->second};
  }

  // ---- manifest.json alone

  Result<void> find_legacy(const std::vector<LegacyImage>& legacy) {
    for (const LegacyImage& image : legacy) {
      Result<Manifest> manifest = manifest_of(image);
      if (!manifest) return manifest.error();
      Result<Descriptor> stored = store_.put_blob(manifest->to_json(), media_type::manifest);
      if (!stored) return stored.error();
      if (Result<void> added = add(image.tags, *stored); !added) return added;
    }
    return {};
  }

  Result<Manifest> manifest_of(const LegacyImage& image) {
    Result<std::string> text = reader_.document(image.config, archive::legacy_file);
    if (!text) return text.error();
    Result<ImageConfig> config = ImageConfig::parse(*text);
    if (!config) return config.error().within(tar::shown(image.config));
    if (image.layers.size() != config->diff_ids.size() || image.layers.size() > legacy_layers_max) {
      return bad_entry(image.config, "lists " + std::to_string(config->diff_ids.size()) +
                                         " layers, manifest.json " +
                                         std::to_string(image.layers.size()));
    }
    Manifest manifest;
    manifest.config = *reader_.file(image.config, archive::legacy_file);
    manifest.config.media_type = media_type::config;
    for (std::size_t i = 0; i < image.layers.size(); ++i) {
      Result<Descriptor> layer = layer_of(image.layers[i], config->diff_ids[i]);
      if (!layer) return layer.error();
      manifest.layers.push_back(std::move(*layer));
    }
    return manifest;
  }

  Result<Descriptor> layer_of(const std::string& name, const Digest& diff_id) {
    Result<Descriptor> layer = reader_.file(name, archive::legacy_file);
    if (!layer) return layer;
    Result<std::unique_ptr<BlobContent>> content = store_.read_blob(layer->digest);
    if (!content) return content.error();
    std::array<char, 6> head{};
    const Result<std::size_t> count = (*content)->read_at(0, head);
    if (!count) return count.error();
    const std::string_view first(head.data(), *count);
    const bool gzip = first.starts_with("\x1f\x8b");
    const bool zstd = tar::begins_as_zstd(first);
    layer->media_type = gzip   ? media_type::layer_gzip
                        : zstd ? media_type::layer_zstd
                               : media_type::layer;
    Result<void> good = check_layer(store_, *layer, diff_id, bytes_left_);
    return good ? std::move(layer) : good.error().within(tar::shown(name));
  }

  // ---- names

  Result<void> add(const std::vector<std::string>& names, const Descriptor& manifest) {
    if (options_.name) {
      const bool known = std::any_of(
          images_.begin(), images_.end(),
          [&](const ImportedImage& image) { return image.manifest.digest == manifest.digest; });
      if (!known) images_.push_back({*options_.name, manifest});
      return {};
    }
    if (names.empty()) {
      return fail(Errc::invalid_argument, "the archive does not say what its image " +
                                              manifest.digest.to_string() + " is called");
    }
    for (const std::string& text : names) {
      Result<Reference> name = Reference::parse(text);
      if (!name) return name.error().within("a name in the archive");
      name->digest = Digest();
      images_.push_back({name->with_default_tag(), manifest});
    }
    return {};
  }

  Result<void> apply_name() const {
    if (!options_.name || images_.size() == 1) return {};
    return fail(Errc::invalid_argument, "the archive has " + std::to_string(images_.size()) +
                                            " images, which cannot have one name");
  }

  ImageStore& store_;
  const ImportOptions& options_;
  ArchiveReader reader_;
  std::vector<ImportedImage> images_;
  std::uint64_t bytes_left_;  // for layers to unpack to
};

}  // namespace

Result<std::vector<ImportedImage>> import_archive(ImageStore& store, ByteSource& source,
                                                  const ImportOptions& options) {
  Result<std::unique_ptr<tar::DecodedSource>> plain =
      tar::DecodedSource::over(source, {.hash = false});
  if (!plain) return plain.error();
  return ArchiveImport(store, **plain, options).run();
}

Result<std::vector<ImportedImage>> import_images(ImageStore& store, Files& files,
                                                 const std::string& path,
                                                 const ImportOptions& options) {
  Result<FileInfo> info = files.info(path);
  if (!info) return info.error();
  if (info->type != FileType::directory) {
    Result<std::unique_ptr<ByteSource>> source = open_source(files, path);
    if (!source) return source.error();
    Result<std::vector<ImportedImage>> images = import_archive(store, **source, options);
    return images ? std::move(images) : images.error().within(path);
  }
  Result<std::shared_ptr<ImageStore>> layout = open_image_layout(files, path, {.create = false});
  if (!layout) return layout.error();
  Result<std::vector<std::pair<Reference, Descriptor>>> all = (*layout)->references();
  if (!all) return all.error();
  if (all->empty() || (options.name && all->size() != 1)) {
    return fail(Errc::invalid_argument, path + " has " + std::to_string(all->size()) +
                                            " images with names" +
                                            (all->empty() ? "" : ", which cannot have one name"));
  }
  std::uint64_t bytes_left = options.bytes_max;
  for (const auto& [name, manifest] : *all) {
    const Result<void> good = check_layers(**layout, manifest, documents_of(**layout), bytes_left);
    if (!good) return good.error().within(path);
  }
  std::vector<ImportedImage> images;
  for (const auto& [name, manifest] : *all) {
    const Reference& to = options.name ? *options.name : name;
    Result<Descriptor> copied = copy_image(**layout, name, store, to);
    if (!copied) return copied.error().within(path);
    images.push_back({to, std::move(*copied)});
  }
  return images;
}

}  // namespace knative::oci
