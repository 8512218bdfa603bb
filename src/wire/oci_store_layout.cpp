// Images in an OCI image layout folder (image-spec, image-layout): oci-layout, index.json and
// blobs/sha256/<hex>. A blob is written beside its place and renamed into it; index.json is
// replaced as a whole under a lock, so readers never see half of anything.
#include <algorithm>
#include <mutex>

#include "base/file_tree.hpp"
#include "knative/value.hpp"
#include "wire/oci_store.hpp"

namespace knative::oci {

namespace {

constexpr std::string_view layout_file = "oci-layout";
constexpr std::string_view layout_text = "{\"imageLayoutVersion\":\"1.0.0\"}";
constexpr std::string_view index_file = "index.json";
constexpr std::string_view blob_folder = ".blob-";
constexpr std::string_view lock_file = ".index.lock";
constexpr std::string_view ref_name = "org.opencontainers.image.ref.name";

std::string in(const std::string& directory, std::string_view name) {
  return directory + "/" + std::string(name);
}

struct Place {
  Files& files;
  std::string directory;
  bool sync;

  std::string blobs() const { return in(directory, "blobs/sha256"); }
  std::string blob(const Digest& digest) const { return in(blobs(), digest.hex()); }
};

class LayoutBlobWriter : public BlobWriter {
 public:
  LayoutBlobWriter(const Place& place, std::string folder, std::unique_ptr<File> file)
      : place_(place), folder_(std::move(folder)), file_(std::move(file)) {}
  ~LayoutBlobWriter() override {
    file_.reset();
    (void)place_.files.remove_all(folder_);
    lock_.reset();
  }
  LayoutBlobWriter(const LayoutBlobWriter&) = delete;
  LayoutBlobWriter& operator=(const LayoutBlobWriter&) = delete;

  static Result<std::unique_ptr<BlobWriter>> open(const Place& place) {
    Result<std::string> folder =
        place.files.make_temporary_directory(in(place.directory, blob_folder));
    if (!folder) return folder.error();
    // Held as long as the writer lives: what has no holder is swept when the layout is opened.
    Result<std::unique_ptr<File>> lock = place.files.lock(in(*folder, base::owner_lock));
    const OpenOptions how{.write = true, .create = true, .exclusive = true};
    Result<std::unique_ptr<File>> file =
        lock ? place.files.open(in(*folder, "data"), how) : lock.error();
    if (!file) {
      (void)place.files.remove_all(*folder);
      return file.error();
    }
    auto writer = std::make_unique<LayoutBlobWriter>(place, std::move(*folder), std::move(*file));
    writer->lock_ = std::move(*lock);
    return std::unique_ptr<BlobWriter>(std::move(writer));
  }

  Result<void> write(std::string_view bytes) override {
    Result<void> written = file_->write_at(size_, bytes);
    if (!written) return written;
    size_ += bytes.size();
    hasher_.update(bytes);
    return {};
  }

  Result<Descriptor> commit() override {
    Descriptor blob;
    blob.digest = hasher_.finish();
    blob.size_bytes = size_;
    const std::string path = place_.blob(blob.digest);
    // The same content, if complete, is there already: nothing to do. A shorter or longer file is
    // damaged and gets replaced.
    Result<FileInfo> there = place_.files.info(path);
    // Its name may not be durable yet: whoever put it there may have failed at just that.
    if (there && there->type == FileType::regular && there->size_bytes == size_) {
      if (Result<void> synced = sync_names(); !synced) return synced.error();
      return blob;
    }
    if (place_.sync) {
      if (Result<void> synced = file_->sync(); !synced) return synced.error();
    }
    file_.reset();
    if (Result<void> moved = place_.files.rename(in(folder_, "data"), path); !moved) {
      return moved.error();
    }
    if (Result<void> synced = sync_names(); !synced) return synced.error();
    return blob;
  }

 private:
  Result<void> sync_names() {
    return place_.sync ? place_.files.sync_directory(place_.blobs()) : Result<void>();
  }

  Place place_;
  std::string folder_;
  std::unique_ptr<File> lock_;
  std::unique_ptr<File> file_;
  Hasher hasher_;
  std::uint64_t size_ = 0;
};

class LayoutStore : public ImageStore {
 public:
  explicit LayoutStore(Place place) : place_(std::move(place)) {}

  Result<std::unique_ptr<BlobWriter>> new_blob() override { return LayoutBlobWriter::open(place_); }

  Result<std::optional<std::uint64_t>> blob_size(const Digest& digest) override {
    Result<FileInfo> info = place_.files.info(place_.blob(digest));
    if (info) return std::optional<std::uint64_t>(info->size_bytes);
    if (info.error().code == Errc::not_found) return std::optional<std::uint64_t>();
    return info.error();
  }

  Result<std::unique_ptr<ByteSource>> open_blob(const Descriptor& blob) override {
    Result<std::unique_ptr<ByteSource>> file = open_source(place_.files, place_.blob(blob.digest));
    if (!file) {
      if (file.error().code == Errc::not_found) return no_such_blob(blob.digest);
      return file.error();
    }
    return std::unique_ptr<ByteSource>(std::make_unique<VerifyingSource>(std::move(*file), blob));
  }

  Result<void> set_reference(const Reference& name, const Descriptor& manifest) override {
    Result<std::optional<std::uint64_t>> size = blob_size(manifest.digest);
    if (!size) return size.error();
    if (!*size) return no_such_blob(manifest.digest);
    const std::string key = reference_key(name).to_string();
    return change([&](Index& index) -> Result<void> {
      drop(index, key);
      Descriptor entry = manifest;
      entry.annotations[std::string(ref_name)] = key;
      index.manifests.push_back(std::move(entry));
      return {};
    });
  }

  Result<void> remove_reference(const Reference& name) override {
    const std::string key = reference_key(name).to_string();
    return change([&](Index& index) -> Result<void> {
      if (!drop(index, key)) return no_such_reference(name);
      return {};
    });
  }

  Result<std::vector<std::pair<Reference, Descriptor>>> references() override {
    Result<Index> index = read_index();
    if (!index) return index.error();
    std::vector<std::pair<Reference, Descriptor>> all;
    for (Descriptor& manifest : index->manifests) {
      const auto named = manifest.annotations.find(std::string(ref_name));
      if (named == manifest.annotations.end()) continue;
      Result<Reference> reference = Reference::parse(named->second);
      if (!reference) continue;  // other tools may use names that are no image references
      manifest.annotations.erase(named);
      all.emplace_back(reference->with_default_tag(), std::move(manifest));
    }
    std::sort(all.begin(), all.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    return all;
  }

  static Result<void> check(Files& files, const std::string& directory) {
    Result<std::string> text = files.read_file(in(directory, layout_file), 4096);
    if (!text) {
      if (text.error().code != Errc::not_found) return text.error();
      return fail(Errc::invalid_argument,
                  directory + " is no OCI image layout: it has no file \"oci-layout\"");
    }
    Result<Value> value = Value::parse_json(*text);
    if (!value) return value.error().within(in(directory, layout_file));
    const Value* version = value->find("imageLayoutVersion");
    const std::string* number = version == nullptr ? nullptr : version->if_string();
    if (number == nullptr || number->substr(0, 2) != "1.") {
      return fail(Errc::invalid_argument,
                  in(directory, layout_file) + ": imageLayoutVersion: expected 1.0.0");
    }
    return {};
  }

 private:
  // Other tools write the same name in other forms: without the tag "latest", with the registry.
  static bool drop(Index& index, const std::string& key) {
    return std::erase_if(index.manifests, [&](const Descriptor& entry) {
             const auto named = entry.annotations.find(std::string(ref_name));
             if (named == entry.annotations.end()) return false;
             const Result<Reference> name = Reference::parse(named->second);
             return name && reference_key(*name).to_string() == key;
           }) > 0;
  }

  Result<Index> read_index() {
    const std::string path = in(place_.directory, index_file);
    Result<std::string> text = place_.files.read_file(path);
    if (!text) return text.error();
    Result<Index> index = Index::parse(*text);
    if (!index) return index.error().within(path);
    return index;
  }

  template <class Edit>
  Result<void> change(Edit edit) {
    const std::lock_guard guard(mutex_);
    Result<std::unique_ptr<File>> lock = place_.files.lock(in(place_.directory, lock_file));
    if (!lock) {
      if (lock.error().code != Errc::failed_precondition) return lock.error();
      return fail(Errc::unavailable, place_.directory + ": another process changes the index");
    }
    Result<Index> index = read_index();
    if (!index) return index.error();
    if (Result<void> edited = edit(*index); !edited) return edited;
    return place_.files.write_file(in(place_.directory, index_file), index->to_json());
  }

  Place place_;
  std::mutex mutex_;
};

// A folder whose making was interrupted: nothing but what `make_layout` begins with.
bool is_unfinished(Files& files, const std::string& directory,
                   const std::vector<FileInfo>& entries) {
  const auto begun = [&](const FileInfo& entry) {
    if (entry.name == index_file) {
      const Result<std::string> text = files.read_file(in(directory, index_file), 4096);
      return text && Index{}.to_json().starts_with(*text);
    }
    return entry.name == "blobs" || entry.name == std::string(layout_file) + ".new";
  };
  return std::all_of(entries.begin(), entries.end(), begun);
}

Result<void> make_layout(Files& files, const std::string& directory) {
  if (Result<void> made = files.make_directories(in(directory, "blobs/sha256")); !made) return made;
  // Blobs are worth nothing without the names of the folders that lead to them.
  if (Result<void> r = files.sync_directory(in(directory, "blobs")); !r) return r;
  if (Result<void> r = files.sync_directory(base::parent_of(directory)); !r) return r;
  const OpenOptions fresh{.write = true, .create = true, .truncate = true};
  Result<std::unique_ptr<File>> index = files.open(in(directory, index_file), fresh);
  if (!index) return index.error();
  if (Result<void> r = (*index)->write_at(0, Index{}.to_json()); !r) return r;
  if (Result<void> r = (*index)->sync(); !r) return r;
  // Last: a folder with this file is complete. It also makes the index' name durable.
  return files.write_file(in(directory, layout_file), layout_text);
}

}  // namespace

Result<std::shared_ptr<ImageStore>> open_image_layout(Files& files, const std::string& directory,
                                                      const ImageLayoutOptions& options) {
  Result<std::vector<FileInfo>> there = files.list(directory);
  if (!there && there.error().code != Errc::not_found) return there.error();
  if (!there && !options.create) {
    return fail(Errc::not_found, "image layout " + directory + " does not exist");
  }
  if (options.create && (!there || is_unfinished(files, directory, *there))) {
    if (Result<void> made = make_layout(files, directory); !made) return made.error();
  } else if (Result<void> good = LayoutStore::check(files, directory); !good) {
    return good.error();
  }
  // Half blobs of a process that was killed.
  base::sweep_directories(files, directory, blob_folder, true);
  Result<void> blobs = files.make_directories(in(directory, "blobs/sha256"));
  if (!blobs) return blobs.error();
  return std::shared_ptr<ImageStore>(
      std::make_shared<LayoutStore>(Place{files, directory, options.sync}));
}

}  // namespace knative::oci
