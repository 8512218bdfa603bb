// Images in an OCI image layout folder (image-spec, image-layout): oci-layout, index.json and
// blobs/<algorithm>/<encoded>. A blob is written beside its place and renamed into it. A small
// index.json is replaced as a whole under a lock; changes of a large one go to a journal beside it,
// whose lines are absolute, so that replaying them over a newer index changes nothing.
#include <algorithm>

#include "base/file_tree.hpp"
#include "knative/value.hpp"
#include "wire/oci_store.hpp"

namespace knative::oci {

namespace {

constexpr std::string_view layout_file = "oci-layout";
constexpr std::string_view layout_text = "{\"imageLayoutVersion\":\"1.0.0\"}";
constexpr std::string_view index_file = "index.json";
constexpr std::string_view journal_file = ".index.journal";
constexpr std::string_view blob_folder = ".blob-";
constexpr std::string_view writer_folder = ".writer-";  // of a store that may add blobs
constexpr std::string_view lock_file = ".index.lock";
constexpr std::uint64_t journalled_bytes_min = 64 << 10;  // of index.json
constexpr std::uint64_t journal_share = 4;                // of the index, and it is folded in
constexpr std::size_t piece_bytes = 256 << 10;
constexpr int reload_attempts_max = 8;

std::string in(const std::string& directory, std::string_view name) {
  return directory + "/" + std::string(name);
}

struct Place {
  Files& files;
  std::string directory;
  bool sync;

  std::string blobs(const Digest& digest) const {
    return in(directory, "blobs/" + std::string(digest.algorithm_name()));
  }
  std::string blob(const Digest& digest) const { return in(blobs(digest), digest.hex()); }
};

// A folder of our own with a lock in it: what has no holder is swept by whoever comes later.
struct OwnFolder {
  static Result<OwnFolder> make(const Place& place, std::string_view prefix) {
    OwnFolder folder;
    Result<std::string> made = place.files.make_temporary_directory(in(place.directory, prefix));
    if (!made) return made.error();
    folder.path = std::move(*made);
    Result<std::unique_ptr<File>> lock = place.files.lock(in(folder.path, base::owner_lock));
    if (!lock) {
      (void)place.files.remove_all(folder.path);
      return lock.error();
    }
    folder.lock = std::move(*lock);
    return folder;
  }
  void remove(const Place& place) {
    if (!path.empty()) (void)place.files.remove_all(path);
    lock.reset();
  }
  std::string path;
  std::unique_ptr<File> lock;
};

class LayoutBlobContent : public BlobContent {
 public:
  LayoutBlobContent(std::unique_ptr<File> file, std::uint64_t size)
      : file_(std::move(file)), size_(size) {}
  std::uint64_t size() const noexcept override { return size_; }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<char> into) override {
    return file_->read_at(offset, into);
  }

 private:
  std::unique_ptr<File> file_;
  std::uint64_t size_;
};

class LayoutStore : public CatalogStore {
 public:
  LayoutStore(Place place, const ImageStoreLimits& limits)
      : CatalogStore(limits), place_(std::move(place)) {}
  ~LayoutStore() override;
  LayoutStore(const LayoutStore&) = delete;
  LayoutStore& operator=(const LayoutStore&) = delete;

  Result<std::unique_ptr<BlobWriter>> new_blob(DigestAlgorithm algorithm) override;
  using ImageStore::new_blob;

  Result<std::unique_ptr<ByteSource>> open_blob(const Descriptor& blob) override {
    if (blob.digest.algorithm() == DigestAlgorithm::other) return other_algorithm(blob.digest);
    Result<std::unique_ptr<ByteSource>> file = open_source(place_.files, place_.blob(blob.digest));
    if (!file) {
      if (file.error().code == Errc::not_found) return no_such_blob(blob.digest);
      return file.error();
    }
    return std::unique_ptr<ByteSource>(std::make_unique<VerifyingSource>(std::move(*file), blob));
  }

  Result<std::unique_ptr<BlobContent>> read_blob(const Digest& digest) override {
    Result<std::unique_ptr<File>> file = place_.files.open(place_.blob(digest), OpenOptions{});
    if (!file) {
      if (file.error().code == Errc::not_found) return no_such_blob(digest);
      return file.error();
    }
    const Result<std::uint64_t> size = (*file)->size();
    if (!size) return size.error();
    return std::unique_ptr<BlobContent>(
        std::make_unique<LayoutBlobContent>(std::move(*file), *size));
  }

  /// Move a finished file to its place.
  Result<void> settle_file(const std::string& from, const Digest& digest, std::uint64_t size);
  const Place& place() const noexcept { return place_; }

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

 protected:
  Result<std::unique_ptr<File>> hold() override;
  Result<bool> refresh(Catalog& catalog) override;
  Result<void> record(const Catalog& catalog, std::span<const CatalogChange> changes) override;
  void recorded(const Catalog& catalog) override;
  Result<void> check_alone() override;

  Result<std::optional<std::uint64_t>> stored_size(const Digest& digest) override {
    Result<FileInfo> info = place_.files.info(place_.blob(digest));
    if (info) return std::optional<std::uint64_t>(info->size_bytes);
    if (info.error().code == Errc::not_found) return std::optional<std::uint64_t>();
    return info.error();
  }
  Result<std::vector<BlobEntry>> list_blobs() override;
  Result<void> erase_blob(const Digest& digest) override {
    Result<void> removed = place_.files.remove(place_.blob(digest));
    if (!removed && removed.error().code == Errc::not_found) return {};
    return removed;
  }

 private:
  std::string index_path() const { return in(place_.directory, index_file); }
  std::string journal_path() const { return in(place_.directory, journal_file); }
  Result<std::uint64_t> journal_size();
  Result<void> be_present();
  Result<bool> index_is_known();
  Result<void> reload(Catalog& catalog);
  Result<std::uint64_t> replay(Catalog& catalog, std::uint64_t from);
  Result<void> write_index(const Catalog& catalog);
  Result<void> append(const std::string& lines);

  Place place_;
  OwnFolder presence_;
  std::mutex presence_mutex_;
  // The index.json that the catalog was read from, and how much of the journal is in it.
  std::unique_ptr<File> index_;
  FileInfo index_info_;
  std::uint64_t replayed_ = 0;
};

// ---------------------------------------------------------------------------- blobs

class LayoutBlobWriter : public BlobWriter {
 public:
  LayoutBlobWriter(std::shared_ptr<LayoutStore> store, DigestAlgorithm algorithm, OwnFolder folder,
                   std::unique_ptr<File> file)
      : store_(std::move(store)),
        algorithm_(algorithm),
        folder_(std::move(folder)),
        file_(std::move(file)),
        hasher_(algorithm) {}
  ~LayoutBlobWriter() override {
    file_.reset();
    folder_.remove(store_->place());
    store_->release(size_);
  }
  LayoutBlobWriter(const LayoutBlobWriter&) = delete;
  LayoutBlobWriter& operator=(const LayoutBlobWriter&) = delete;

  Result<void> write(std::string_view bytes) override {
    if (Result<void> room = store_->reserve(bytes.size()); !room) return room;
    if (Result<void> written = file_->write_at(size_, bytes); !written) {
      store_->release(bytes.size());
      return written;
    }
    size_ += bytes.size();
    hasher_.update(bytes);
    return {};
  }

  Result<Descriptor> commit() override { return put(hasher_.finish()); }

  Result<Descriptor> commit(const Digest& expected) override {
    if (expected.algorithm() == DigestAlgorithm::other) return other_algorithm(expected);
    Result<Digest> actual =
        expected.algorithm() == algorithm_ ? hasher_.finish() : hash_again(expected.algorithm());
    if (!actual) return actual.error();
    if (*actual != expected) return other_digest(expected, *actual);
    return put(expected);
  }

 private:
  std::string data() const { return in(folder_.path, "data"); }

  Result<Digest> hash_again(DigestAlgorithm algorithm) {
    Hasher hasher(algorithm);
    std::vector<char> piece(piece_bytes);
    for (std::uint64_t at = 0; at < size_;) {
      const Result<std::size_t> got = file_->read_at(at, piece);
      if (!got) return got.error();
      if (*got == 0) return fail(Errc::data_loss, "a blob being written lost its end");
      hasher.update(std::string_view(piece.data(), *got));
      at += *got;
    }
    return hasher.finish();
  }

  Result<Descriptor> put(const Digest& digest) {
    if (store_->place().sync) {
      if (Result<void> synced = file_->sync(); !synced) return synced.error();
    }
    file_.reset();
    if (Result<void> settled = store_->settle_file(data(), digest, size_); !settled) {
      return settled.error();
    }
    Descriptor blob;
    blob.digest = digest;
    blob.size_bytes = size_;
    return blob;
  }

  std::shared_ptr<LayoutStore> store_;
  DigestAlgorithm algorithm_;
  OwnFolder folder_;
  std::unique_ptr<File> file_;
  Hasher hasher_;
  std::uint64_t size_ = 0;
};

Result<std::unique_ptr<BlobWriter>> LayoutStore::new_blob(DigestAlgorithm algorithm) {
  if (Result<void> present = be_present(); !present) return present.error();
  Result<OwnFolder> folder = OwnFolder::make(place_, blob_folder);
  if (!folder) return folder.error();
  const OpenOptions how{.write = true, .create = true, .exclusive = true};
  Result<std::unique_ptr<File>> file = place_.files.open(in(folder->path, "data"), how);
  if (!file) {
    folder->remove(place_);
    return file.error();
  }
  return std::unique_ptr<BlobWriter>(
      std::make_unique<LayoutBlobWriter>(std::static_pointer_cast<LayoutStore>(shared_from_this()),
                                         algorithm, std::move(*folder), std::move(*file)));
}

Result<void> LayoutStore::settle_file(const std::string& from, const Digest& digest,
                                      std::uint64_t size) {
  const std::string path = place_.blob(digest);
  const auto sync_names = [this, &digest]() -> Result<void> {
    return place_.sync ? place_.files.sync_directory(place_.blobs(digest)) : Result<void>();
  };
  return settle(digest, size, [&]() -> Result<bool> {
    // The same content, if complete, is there already: nothing to do. A shorter or longer file is
    // damaged and gets replaced.
    const Result<FileInfo> there = place_.files.info(path);
    // Its name may not be durable yet: whoever put it there may have failed at just that.
    if (there && there->type == FileType::regular && there->size_bytes == size) {
      if (Result<void> synced = sync_names(); !synced) return synced.error();
      return false;
    }
    if (!there && !place_.files.info(place_.blobs(digest))) {
      Result<void> made = place_.files.make_directories(place_.blobs(digest));
      if (made && place_.sync) made = place_.files.sync_directory(in(place_.directory, "blobs"));
      if (!made) return made.error();
    }
    if (Result<void> moved = place_.files.rename(from, path); !moved) return moved.error();
    if (Result<void> synced = sync_names(); !synced) return synced.error();
    return true;
  });
}

Result<std::vector<CatalogStore::BlobEntry>> LayoutStore::list_blobs() {
  std::vector<BlobEntry> all;
  const std::string blobs = in(place_.directory, "blobs");
  const Result<std::vector<FileInfo>> algorithms = place_.files.list(blobs);
  if (!algorithms) return algorithms.error();
  for (const FileInfo& algorithm : *algorithms) {
    if (algorithm.type != FileType::directory) continue;
    const Result<std::vector<FileInfo>> files = place_.files.list(in(blobs, algorithm.name));
    if (!files) return files.error();
    for (const FileInfo& file : *files) {
      Result<Digest> digest = Digest::parse_any(algorithm.name + ":" + file.name);
      if (digest) all.push_back({std::move(*digest), file.size_bytes});
    }
  }
  return all;
}

// ---------------------------------------------------------------------------- index and journal

Result<std::unique_ptr<File>> LayoutStore::hold() {
  if (Result<void> present = be_present(); !present) return present.error();
  Result<std::unique_ptr<File>> lock = place_.files.lock(in(place_.directory, lock_file));
  if (!lock && lock.error().code == Errc::failed_precondition) {
    return fail(Errc::unavailable, place_.directory + ": another process changes the index");
  }
  return lock;
}

Result<void> LayoutStore::be_present() {
  const std::lock_guard guard(presence_mutex_);
  if (presence_.lock != nullptr) return {};
  Result<OwnFolder> folder = OwnFolder::make(place_, writer_folder);
  if (!folder) return folder.error();
  presence_ = std::move(*folder);
  return {};
}

Result<void> LayoutStore::check_alone() {
  base::sweep_directories(place_.files, place_.directory, writer_folder, true);
  const Result<std::vector<FileInfo>> entries = place_.files.list(place_.directory);
  if (!entries) return entries.error();
  for (const FileInfo& entry : *entries) {
    if (!entry.name.starts_with(writer_folder)) continue;
    if (in(place_.directory, entry.name) == presence_.path) continue;
    return fail(Errc::unavailable, place_.directory + ": another process writes to the store");
  }
  return {};
}

Result<std::uint64_t> LayoutStore::journal_size() {
  const Result<FileInfo> info = place_.files.info(journal_path());
  if (info) return info->size_bytes;
  if (info.error().code == Errc::not_found) return std::uint64_t{0};
  return info.error();
}

// Other tools replace the file, or write it again where it lies.
Result<bool> LayoutStore::index_is_known() {
  if (index_ == nullptr) return false;
  const Result<bool> same = index_->is_at(index_path());
  if (!same || !*same) return false;
  const Result<FileInfo> info = place_.files.info(index_path());
  if (!info) return info.error();
  return info->size_bytes == index_info_.size_bytes && info->modified_ns == index_info_.modified_ns;
}

Result<bool> LayoutStore::refresh(Catalog& catalog) {
  const Result<bool> known = index_is_known();
  if (!known) return known.error();
  if (*known) {
    const Result<std::uint64_t> size = journal_size();
    if (!size) return size.error();
    if (*size == replayed_) return false;
    if (*size > replayed_) {
      const std::uint64_t before = replayed_;
      const Result<std::uint64_t> replayed = replay(catalog, before);
      if (!replayed) return replayed.error();
      replayed_ = *replayed;
      return replayed_ != before;
    }
  }
  if (Result<void> done = reload(catalog); !done) return done.error();
  return true;
}

Result<void> LayoutStore::reload(Catalog& catalog) {
  for (int attempt = 0; attempt < reload_attempts_max; ++attempt) {
    Result<std::unique_ptr<File>> file = place_.files.open(index_path(), OpenOptions{});
    if (!file) return file.error();
    const Result<FileInfo> info = place_.files.info(index_path());
    if (!info) continue;
    Result<std::string> text = place_.files.read_file(index_path());
    if (!text) return text.error();
    Result<Catalog> read = Catalog::parse(*text);
    if (!read) return read.error().within(index_path());
    const Result<std::uint64_t> replayed = replay(*read, 0);
    if (!replayed) return replayed.error();
    // The journal that belongs to this index, unless the index was replaced in between.
    const Result<bool> same = (*file)->is_at(index_path());
    if (!same) return same.error();
    if (!*same) continue;
    catalog = std::move(*read);
    index_ = std::move(*file);
    index_info_ = *info;
    replayed_ = *replayed;
    return {};
  }
  return fail(Errc::unavailable, index_path() + ": changes faster than it can be read");
}

// Lines that are whole, up to the first that is not; what a crash left half written is no line.
Result<std::uint64_t> LayoutStore::replay(Catalog& catalog, std::uint64_t from) {
  const Result<std::string> text = place_.files.read_file(journal_path());
  if (!text && text.error().code == Errc::not_found) return std::uint64_t{0};
  if (!text) return text.error();
  std::size_t at = static_cast<std::size_t>(from);
  while (at < text->size()) {
    const std::size_t end = text->find('\n', at);
    if (end == std::string::npos) break;
    const Result<CatalogChange> change =
        CatalogChange::parse(std::string_view(*text).substr(at, end - at));
    if (!change) break;
    catalog.apply(*change);
    at = end + 1;
  }
  return at;
}

Result<void> LayoutStore::append(const std::string& lines) {
  const bool fresh = !place_.files.info(journal_path());
  const OpenOptions how{.write = true, .create = true};
  Result<std::unique_ptr<File>> file = place_.files.open(journal_path(), how);
  if (!file) return file.error();
  // What a crash left after the last whole line.
  Result<void> done = (*file)->truncate(replayed_);
  if (done) done = (*file)->write_at(replayed_, lines);
  if (done && place_.sync) done = (*file)->sync();
  if (done && place_.sync && fresh) done = place_.files.sync_directory(place_.directory);
  if (!done) {
    (void)(*file)->truncate(replayed_);
    return done;
  }
  replayed_ += lines.size();
  return {};
}

Result<void> LayoutStore::write_index(const Catalog& catalog) {
  Result<void> written = place_.files.write_file(index_path(), catalog.to_json());
  if (!written) return written;
  // A journal that stays is replayed to no effect.
  if (replayed_ > 0 && place_.files.remove(journal_path())) replayed_ = 0;
  index_.reset();
  Result<std::unique_ptr<File>> file = place_.files.open(index_path(), OpenOptions{});
  const Result<FileInfo> info = place_.files.info(index_path());
  if (file && info) {
    index_ = std::move(*file);
    index_info_ = *info;
  }
  return {};
}

Result<void> LayoutStore::record(const Catalog& catalog, std::span<const CatalogChange> changes) {
  if (replayed_ == 0 && index_info_.size_bytes < journalled_bytes_min) {
    Catalog next = catalog;
    for (const CatalogChange& change : changes) next.apply(change);
    return write_index(next);
  }
  std::string lines;
  for (const CatalogChange& change : changes) lines.append(change.to_json()).append("\n");
  return append(lines);
}

void LayoutStore::recorded(const Catalog& catalog) {
  if (replayed_ * journal_share < std::max(index_info_.size_bytes, journalled_bytes_min)) return;
  (void)write_index(catalog);  // what cannot be folded in now stands in the journal
}

LayoutStore::~LayoutStore() {
  if (replayed_ > 0) {
    const Result<std::unique_ptr<File>> held = hold();
    if (held && refresh(catalog())) (void)write_index(catalog());
  }
  presence_.remove(place_);
}

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
  base::sweep_directories(files, directory, writer_folder, true);
  Result<void> blobs = files.make_directories(in(directory, "blobs/sha256"));
  if (!blobs) return blobs.error();
  return std::shared_ptr<ImageStore>(
      std::make_shared<LayoutStore>(Place{files, directory, options.sync}, options.limits));
}

}  // namespace knative::oci
