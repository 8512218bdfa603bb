#include "engines/builder/fetch_storage.hpp"
#include <algorithm>
#include <array>

#include "base/wait_for.hpp"
#include "engines/builder/archive_source.hpp"
#include "engines/builder/download.hpp"
#include "engines/builder/git_files.hpp"
#include "engines/builder/source_locations.hpp"
#include "engines/builder/storage_manifest.hpp"
#include "engines/builder/temporary_folder.hpp"
#include "engines/builder/tree_writer.hpp"
#include "knative/http.hpp"
#include "knative/oci.hpp"

namespace knative::builder {

namespace {

constexpr std::string_view manifest_type = "Manifest";
constexpr std::uint64_t manifest_bytes_max = std::uint64_t{64} << 20;
constexpr unsigned manifest_file_mode = 0555;  // as Google's fetcher leaves them
constexpr std::size_t copy_piece_bytes = 256 << 10;
// As that one: a request is made so often, with twice the pause each time.
constexpr int object_tries_max = 4;
constexpr Duration first_pause = std::chrono::milliseconds(100);

// As a manifest has it.
std::string in_hex(std::string_view bytes) {
  std::string hex;
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    hex.append(1, "0123456789abcdef"[value >> 4]).append(1, "0123456789abcdef"[value & 15]);
  }
  return hex;
}

// Where something is, without what is not for everybody.
struct StoragePlace {
  std::string url;    // http or https; empty: a file of this machine
  std::string path;   // of that
  std::string shown;  // for messages
  std::string authorization;
};

Result<std::string> copy_exactly(Files& files, const std::string& from, File& file,
                                 std::uint64_t count, const std::atomic<bool>& cancelled) {
  Result<std::unique_ptr<oci::ByteSource>> source = oci::open_source(files, from);
  if (!source) return source.error();
  std::vector<char> buffer(copy_piece_bytes);
  git::Sha1 sum;
  for (std::uint64_t offset = 0;;) {
    if (cancelled.load()) return fail(Errc::cancelled, "the fetch was cancelled");
    const Result<std::size_t> got = (*source)->read(buffer);
    if (!got) return got.error();
    if (*got == 0) return in_hex(sum.finish());
    if (*got > count - offset) return fail(Errc::unavailable, from + " changes");
    const std::string_view piece(buffer.data(), *got);
    sum.update(piece);
    if (Result<void> written = file.write_at(offset, piece); !written) return written.error();
    offset += *got;
  }
}

class StorageFetch {
 public:
  StorageFetch(const git::RemoteWorld& world, const FetcherOptions& options,
               const std::string& directory, const SourceCredentials& known)
      : world_(world), options_(options), directory_(directory), known_(known) {
    if (options_.storage_token) token_ = options_.storage_token();
  }

  Task<Result<std::string>> archive(StoragePlace from, std::string type) {
    Task<Result<std::string>> bringing = bring(std::move(from), options_.bytes_max);
    const Result<std::string> path = co_await std::move(bringing);
    if (!path) co_return path.error();
    const git::CancelOnDrop drop;
    auto work = [&files = world_.files, path = *path, type, directory = directory_,
                 limits = options_, flag = drop.flag, keep = downloads_] {
      return take_archive(files, path, type, directory, limits, *flag);
    };
    Task<Result<std::string>> unpacking = world_.offload.run(work);
    co_return co_await std::move(unpacking);
  }

  Task<Result<std::string>> manifest(StoragePlace from) {
    const bool local = from.url.empty();
    Task<Result<std::string>> bringing = bring(std::move(from), manifest_bytes_max);
    const Result<std::string> path = co_await std::move(bringing);
    if (!path) co_return path.error();
    const std::uint64_t most = options_.files_max;
    auto work = [&files = world_.files, path = *path, most,
                 keep = downloads_]() -> Result<ReadManifest> {
      const Result<std::string> text = files.read_file(path, manifest_bytes_max);
      if (!text) return text.error();
      Result<std::vector<ManifestEntry>> entries = parse_manifest(*text, most);
      if (!entries) return entries.error();
      return ReadManifest{std::move(*entries), oci::Digest::of(*text).to_string()};
    };
    Task<Result<ReadManifest>> reading = world_.offload.run(work);
    Result<ReadManifest> read = co_await std::move(reading);
    if (!read) co_return read.error();
    entries_ = std::move(read->entries);
    Result<void> ready = prepare_entries(local);
    if (!ready) co_return ready.error();
    Task<Result<void>> all = fetch_entries();
    const Result<void> fetched = co_await std::move(all);
    if (!fetched) co_return fetched.error();
    co_return std::move(read->digest);
  }

  Result<StoragePlace> place_of(std::string location) const {
    StoragePlace place;
    if (location.starts_with(storage_scheme)) {
      place.shown = location;
      Result<std::string> url = storage_url(location, options_.storage_endpoint);
      if (!url) return url.error().within(place.shown);
      place.url = std::move(*url);
      if (!token_.empty()) place.authorization = http::bearer_authorization(token_);
      return place;
    }
    const git::Credentials credentials = take_credentials(location, known_);
    place.shown = http::shown_url(location);
    if (is_http(location)) {
      place.url = location;
      if (!credentials.user.empty()) {
        place.authorization = http::basic_authorization(credentials.user, credentials.password);
      } else if (!token_.empty() && is_of_storage(location)) {
        place.authorization = http::bearer_authorization(token_);
      }
      return place;
    }
    if (!is_local(location)) {
      return fail(Errc::invalid_argument,
                  place.shown + ": only paths, file://, http://, https:// and gs:// are supported");
    }
    Result<std::string> path = local_path(location);
    if (!path) return path.error().within(place.shown);
    place.path = std::move(*path);
    return place;
  }

 private:
  struct ReadManifest {
    std::vector<ManifestEntry> entries;
    std::string digest;
  };

  // Whoever has the token's endpoint in a URL gets it sent there, and nowhere else.
  bool is_of_storage(const std::string& location) const {
    const Result<http::Url> asked = http::Url::parse(location);
    const Result<http::Url> storage = http::Url::parse(options_.storage_endpoint);
    return asked && storage && asked->scheme == storage->scheme && asked->host == storage->host &&
           asked->port == storage->port;
  }

  // What is not here yet comes into a folder beside the workspace's; a path.
  Task<Result<std::string>> bring(StoragePlace from, std::uint64_t bytes_max) {
    if (from.url.empty()) co_return std::move(from.path);
    Result<std::string> made = world_.files.make_temporary_directory(directory_ + ".download-");
    if (!made) co_return made.error();
    downloads_ = std::make_shared<TemporaryFolder>(world_.files, *made);
    std::string path = *made + "/object";
    const OpenOptions how{.write = true, .create = true, .truncate = true};
    const Result<std::unique_ptr<File>> file = world_.files.open(path, how);
    if (!file) co_return file.error();
    Budget budget{0, bytes_max};
    Task<Result<void>> downloading = into_file(std::move(from), **file, budget, nullptr);
    const Result<void> done = co_await std::move(downloading);
    if (!done) co_return done.error();
    co_return path;
  }

  // Bytes of several at a time that count together.
  struct Budget {
    std::uint64_t used = 0;
    std::uint64_t most = 0;
    Result<void> take(std::uint64_t count) {
      if (count > most - used) {
        return fail(Errc::resource_exhausted, "is larger than " + std::to_string(most) + " bytes");
      }
      used += count;
      return {};
    }
  };

  // From the beginning each time it is tried. `sum`, which may be null, is of what is in the file.
  Task<Result<void>> into_file(StoragePlace from, File& file, Budget& budget, git::Sha1* sum) {
    Duration pause = first_pause;
    for (int tries = 1;; ++tries) {
      std::uint64_t size = 0;
      git::Sha1 own;
      const DownloadSink sink = [&file, &budget, &own, &size, sum](std::string_view piece) {
        if (Result<void> fits = budget.take(piece.size()); !fits) return fits;
        if (sum != nullptr) own.update(piece);
        Result<void> written = file.write_at(size, piece);
        size += piece.size();
        return written;
      };
      const DownloadRequest request{from.url, from.authorization, options_.idle_timeout};
      Task<Result<void>> loading = download(world_.outbound, world_.timers, request, sink);
      Result<void> loaded = co_await std::move(loading);
      if (loaded && sum != nullptr) *sum = std::move(own);
      const bool again = !loaded && loaded.error().code == Errc::unavailable;
      if (!again || tries == object_tries_max) co_return loaded;
      budget.used -= size;
      if (Result<void> cut = file.truncate(0); !cut) co_return cut;
      co_await world_.timers.sleep_for(pause);
      pause *= 2;
    }
  }

  // Folders, before files are written side by side.
  Result<void> prepare_entries(bool local) {
    for (const ManifestEntry& entry : entries_) {
      Result<StoragePlace> place = place_of(entry.location);
      if (!place) return place.error().within(entry.name);
      // Whoever wrote a manifest elsewhere has no say over this machine's files.
      if (place->url.empty() && !local) {
        return fail(Errc::invalid_argument,
                    entry.name + ": a manifest from elsewhere names a file of this machine");
      }
      places_.push_back(std::move(*place));
    }
    Result<TreeWriter> writer = TreeWriter::into(world_.files, directory_);
    if (!writer) return writer.error();
    writer_.emplace(std::move(*writer));
    std::string made;
    for (const ManifestEntry& entry : entries_) {
      for (std::size_t slash = entry.name.find('/'); slash != std::string::npos;
           slash = entry.name.find('/', slash + 1)) {
        std::string folder = entry.name.substr(0, slash);
        if (made == folder || (made + "/").starts_with(folder + "/")) continue;
        if (Result<void> done = writer_->folder(folder); !done) return done;
        made = std::move(folder);
      }
    }
    return {};
  }

  // Some at a time; the first failure ends all.
  Task<Result<void>> fetch_entries() {
    budget_.most = options_.bytes_max;
    std::vector<Task<void>> workers;
    const std::size_t most = std::max<std::size_t>(options_.downloads_max, 1);
    for (std::size_t i = 0; i < std::min(most, entries_.size()); ++i) workers.push_back(work());
    Task<std::vector<Done>> all = when_all(std::move(workers));
    Task<void> failing = base::wait_for(failed_);
    auto racing = race(std::move(all), std::move(failing));
    static_cast<void>(co_await std::move(racing));
    if (failure_) co_return *failure_;
    co_return Result<void>();
  }

  Task<void> work() {
    while (next_ < entries_.size() && !failure_) {
      const std::size_t index = next_++;
      Task<Result<void>> fetching = fetch_entry(index);
      const Result<void> fetched = co_await std::move(fetching);
      if (fetched) continue;
      if (!failure_) failure_ = fetched.error().within(entries_[index].name);
      failed_.notify_all();
    }
  }

  Task<Result<void>> fetch_entry(std::size_t index) {
    const ManifestEntry& entry = entries_[index];
    const StoragePlace& place = places_[index];
    Result<std::unique_ptr<File>> opened = writer_->file(entry.name, manifest_file_mode);
    if (!opened) co_return opened.error();
    const std::shared_ptr<File> file = std::move(*opened);
    std::string got;
    if (place.url.empty()) {
      Task<Result<std::string>> copying = copy(place.path, file);
      Result<std::string> copied = co_await std::move(copying);
      if (!copied) co_return copied.error();
      got = std::move(*copied);
    } else {
      git::Sha1 sum;
      Task<Result<void>> loading = into_file(place, *file, budget_, &sum);
      const Result<void> loaded = co_await std::move(loading);
      if (!loaded) co_return loaded.error().within(place.shown);
      got = in_hex(sum.finish());
    }
    if (!entry.sha1.empty() && entry.sha1 != got) {
      co_return fail(Errc::invalid_argument, place.shown + ": SHA mismatch, got \"" + got +
                                                 "\", want \"" + entry.sha1 + "\"");
    }
    co_return Result<void>();
  }

  // Of a file of this machine; its SHA-1.
  Task<Result<std::string>> copy(const std::string& path, std::shared_ptr<File> file) {
    const Result<std::pair<std::string, FileType>> found = file_or_folder(world_.files, path);
    if (!found) co_return found.error();
    if (found->second != FileType::regular) {
      co_return fail(Errc::invalid_argument, path + " is no file");
    }
    const Result<FileInfo> info = world_.files.info(found->first);
    if (!info) co_return info.error();
    const std::uint64_t most = info->size_bytes;
    if (Result<void> fits = budget_.take(most); !fits) co_return fits.error();
    const git::CancelOnDrop drop;
    auto work = [&files = world_.files, from = found->first, file, most, flag = drop.flag] {
      return copy_exactly(files, from, *file, most, *flag);
    };
    Task<Result<std::string>> copying = world_.offload.run(work);
    co_return co_await std::move(copying);
  }

  const git::RemoteWorld& world_;
  const FetcherOptions& options_;
  const std::string& directory_;
  const SourceCredentials& known_;
  std::string token_;
  std::shared_ptr<TemporaryFolder> downloads_;  // shared with work that outlives a dropped task
  std::vector<ManifestEntry> entries_;
  std::vector<StoragePlace> places_;  // of the entries
  std::optional<TreeWriter> writer_;
  Budget budget_;
  std::size_t next_ = 0;
  std::optional<Error> failure_;
  Wakeup failed_;
};

}  // namespace

Task<Result<Fetched>> fetch_storage(const git::RemoteWorld& world, const FetcherOptions& options,
                                    const build::SourceSpec& source, const std::string& directory,
                                    const SourceCredentials& known) {
  StorageFetch fetch(world, options, directory, known);
  const std::string type = source.gcs->type;
  Result<StoragePlace> place = fetch.place_of(source.gcs->location);
  if (!place) co_return place.error().within("source");
  const std::string shown = place->shown;
  Task<Result<std::string>> fetching = type == manifest_type
                                           ? fetch.manifest(std::move(*place))
                                           : fetch.archive(std::move(*place), type);
  Result<std::string> digest = co_await std::move(fetching);
  if (!digest) co_return digest.error().within("source " + shown);
  Fetched fetched;
  fetched.resolved = {source.name, shown, *digest};
  co_return fetched;
}

}  // namespace knative::builder
