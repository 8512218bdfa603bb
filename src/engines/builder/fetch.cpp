// Brings sources: picks the way by the kind of source and the form of its URL.
#include <algorithm>
#include <array>

#include "engines/builder/credentials.hpp"
#include "engines/builder/fetch_git.hpp"
#include "engines/builder/git_ssh.hpp"
#include "engines/builder/temporary_folder.hpp"
#include "engines/builder/tree_writer.hpp"
#include "engines/builder/zip_source.hpp"
#include "knative/http.hpp"
#include "knative/http_outbound.hpp"

namespace knative {

namespace {

using builder::TreeWriter;
using builder::git::CancelOnDrop;
using builder::git::Checkout;
using builder::git::CloneRequest;
using builder::git::Credentials;

constexpr std::size_t copy_bytes = 256 << 10;
constexpr std::size_t directory_depth_max = 256;
constexpr int links_followed_max = 40;

bool begins(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Move "user:password@" out of a URL, so that it appears in no file, log or error.
Credentials split_credentials(std::string& url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string::npos) return {};
  const std::size_t start = scheme + 3;
  const std::size_t slash = std::min(url.find('/', start), url.size());
  const std::size_t at = url.rfind('@', slash);
  if (at == std::string::npos || at < start) return {};
  const std::string who = url.substr(start, at - start);
  url.erase(start, at - start + 1);
  const std::size_t colon = std::min(who.find(':'), who.size());
  Credentials credentials;
  credentials.user = http::percent_decode(who.substr(0, colon));
  if (colon < who.size()) credentials.password = http::percent_decode(who.substr(colon + 1));
  return credentials;
}

// Those of the URL itself, else those that the build has for it.
Credentials take_credentials(std::string& url, const SourceCredentials& known) {
  Credentials own = split_credentials(url);
  if (!own.user.empty() || !own.password.empty()) return own;
  const SourceCredentials::Basic* basic = builder::basic_for(known, url);
  return basic == nullptr ? own : Credentials{basic->user, basic->password};
}

// The path of a location on this machine; a file:// URL is percent-encoded.
Result<std::string> local_path(std::string_view location) {
  std::string path(location);
  if (begins(location, "file://")) {
    location.remove_prefix(7);
    if (begins(location, "localhost/")) location.remove_prefix(9);
    if (!begins(location, "/")) {
      return fail(Errc::invalid_argument, "a file:// URL of another host");
    }
    path = http::percent_decode(location);
  }
  if (path.find('\0') != path.npos) return fail(Errc::invalid_argument, "contains a zero byte");
  return path;
}

// Copies a folder, counting before it writes. Runs beside the loop.
class TreeCopy {
 public:
  TreeCopy(Files& files, std::string from, TreeWriter to, const FetcherOptions& limits,
           const std::atomic<bool>& cancelled)
      : files_(files),
        from_(std::move(from)),
        to_(std::move(to)),
        limits_(limits),
        cancelled_(cancelled) {}

  Result<void> run() {
    while (!pending_.empty()) {
      const std::string folder = std::move(pending_.back());
      pending_.pop_back();
      if (cancelled_.load()) return fail(Errc::cancelled, "the fetch was cancelled");
      Result<std::vector<FileInfo>> entries = files_.list(from_ + "/" + folder);
      if (!entries) return entries.error();
      for (const FileInfo& entry : *entries) {
        Result<void> done = add(entry, folder.empty() ? entry.name : folder + "/" + entry.name);
        if (!done) return done;
      }
    }
    return {};
  }

 private:
  Error too_large() const {
    return fail(Errc::resource_exhausted, from_ + " is larger than a source may be");
  }

  Result<void> add(const FileInfo& entry, const std::string& name) {
    const auto depth = static_cast<std::size_t>(std::count(name.begin(), name.end(), '/'));
    if (++count_ > limits_.files_max || depth >= directory_depth_max) return too_large();
    if (entry.type == FileType::directory) {
      pending_.push_back(name);
      return to_.folder(name);
    }
    if (entry.type == FileType::symlink) {
      Result<std::string> target = files_.read_symlink(from_ + "/" + name);
      return target ? to_.link(*target, name) : Result<void>(target.error());
    }
    return entry.type == FileType::regular ? copy(entry, name) : Result<void>();
  }

  Result<void> copy(const FileInfo& entry, const std::string& name) {
    if (entry.size_bytes > limits_.bytes_max - bytes_) return too_large();
    Result<std::unique_ptr<oci::ByteSource>> source = oci::open_source(files_, from_ + "/" + name);
    if (!source) return source.error();
    Result<std::unique_ptr<File>> file = to_.file(name, entry.mode & 0777u);
    if (!file) return file.error();
    std::uint64_t offset = 0;
    while (true) {
      Result<std::size_t> got = (*source)->read(buffer_);
      if (!got) return got.error();
      if (*got == 0) return {};
      if (*got > limits_.bytes_max - bytes_) return too_large();  // it has grown
      Result<void> written = (*file)->write_at(offset, std::string_view(buffer_.data(), *got));
      if (!written) return written;
      offset += *got;
      bytes_ += *got;
    }
  }

  Files& files_;
  std::string from_;
  TreeWriter to_;
  const FetcherOptions& limits_;
  const std::atomic<bool>& cancelled_;
  std::vector<std::string> pending_{""};
  std::vector<char> buffer_ = std::vector<char>(copy_bytes);
  std::uint64_t count_ = 0;
  std::uint64_t bytes_ = 0;
};

Result<void> copy_tree(Files& files, const std::string& from, const std::string& to,
                       const FetcherOptions& limits, const std::atomic<bool>& cancelled) {
  Result<TreeWriter> writer = TreeWriter::into(files, to);
  if (!writer) return writer.error();
  return TreeCopy(files, from, std::move(*writer), limits, cancelled).run();
}

// What a path means in the end. Only regular files and folders have one.
Result<std::pair<std::string, FileType>> file_or_folder(Files& files, std::string path) {
  for (int links = 0; links <= links_followed_max; ++links) {
    Result<FileInfo> info = files.info(path);
    if (!info) return info.error();
    if (info->type == FileType::regular || info->type == FileType::directory) {
      return std::pair(std::move(path), info->type);
    }
    if (info->type != FileType::symlink) {
      return fail(Errc::invalid_argument, path + " is neither a file nor a folder");
    }
    Result<std::string> target = files.read_symlink(path);
    if (!target) return target.error();
    const bool whole = target->starts_with('/');
    path = whole ? *target : path.substr(0, path.rfind('/') + 1) + *target;
  }
  return fail(Errc::invalid_argument, path + ": too many symbolic links");
}

// Hashes what passes through, until nobody waits for it any more.
class HashingSource final : public oci::ByteSource {
 public:
  HashingSource(std::unique_ptr<oci::ByteSource> inner, const std::atomic<bool>& cancelled)
      : inner_(std::move(inner)), cancelled_(cancelled) {}
  Result<std::size_t> read(std::span<char> into) override {
    if (cancelled_.load()) return fail(Errc::cancelled, "the fetch was cancelled");
    Result<std::size_t> count = inner_->read(into);
    if (count) hasher_.update(std::string_view(into.data(), *count));
    return count;
  }
  oci::Digest digest() { return hasher_.finish(); }

 private:
  std::unique_ptr<oci::ByteSource> inner_;
  const std::atomic<bool>& cancelled_;
  oci::Hasher hasher_;
};

Result<bool> starts_as_zip(Files& files, const std::string& path) {
  Result<std::unique_ptr<File>> file = files.open(path, OpenOptions{});
  if (!file) return file.error();
  std::array<char, 4> head{};
  const Result<std::size_t> got = (*file)->read_at(0, head);
  if (!got) return got.error();
  return builder::is_zip(std::string_view(head.data(), *got));
}

Result<void> unpack_zip(Files& files, const std::string& path, const std::string& directory,
                        const oci::UnpackOptions& options, const std::atomic<bool>& cancelled) {
  Result<std::unique_ptr<File>> file = files.open(path, OpenOptions{});
  if (!file) return file.error();
  Result<std::unique_ptr<oci::ByteSource>> tar =
      builder::open_zip(std::move(*file), {options.bytes_max, options.entries_max});
  if (!tar) return tar.error();
  HashingSource source(std::move(*tar), cancelled);
  const Result<oci::UnpackedLayer> unpacked = oci::unpack_layer(files, source, directory, options);
  return unpacked ? Result<void>() : unpacked.error();
}

Result<void> pass_through(HashingSource& source) {
  std::vector<char> buffer(copy_bytes);
  while (true) {
    const Result<std::size_t> got = source.read(buffer);
    if (!got) return got.error();
    if (*got == 0) return {};
  }
}

Result<std::string> unpack_archive(Files& files, const std::string& path, const std::string& type,
                                   const std::string& directory, const FetcherOptions& limits,
                                   const std::atomic<bool>& cancelled) {
  Result<std::unique_ptr<oci::ByteSource>> file = oci::open_source(files, path);
  if (!file) return file.error();
  HashingSource source(std::move(*file), cancelled);
  const Result<bool> zip = type != "TarGzArchive" ? starts_as_zip(files, path) : false;
  if (!zip) return zip.error();
  if (!*zip && type == "ZipArchive") {
    return fail(Errc::invalid_argument, "it is no zip archive");
  }
  oci::UnpackOptions options;
  options.bytes_max = limits.bytes_max;
  options.entries_max = limits.files_max;
  options.depth_max = directory_depth_max;
  options.refuse_escaping_links = true;
  options.whiteouts = false;
  if (*zip) {
    Result<void> done = unpack_zip(files, path, directory, options, cancelled);
    if (done) done = pass_through(source);  // what it is known by is the archive's digest, too
    if (!done) return done.error();
    return source.digest().to_string();
  }
  Result<oci::UnpackedLayer> unpacked = oci::unpack_layer(files, source, directory, options);
  if (!unpacked) return unpacked.error();
  return source.digest().to_string();
}

class SourceFetcher final : public Fetcher {
 public:
  SourceFetcher(http::Outbound& outbound, Timers& timers, Network& network, Processes& processes,
                Files& files, Offload& offload, FetcherOptions options)
      : outbound_(outbound),
        timers_(timers),
        network_(network),
        processes_(processes),
        files_(files),
        offload_(offload),
        options_(std::move(options)) {}

  Task<Result<Fetched>> fetch(const build::SourceSpec& source, const std::string& directory,
                              const SourceCredentials& credentials) override {
    if (source.git) return fetch_git(source, directory, credentials);
    if (source.gcs) return fetch_archive(source, directory, credentials);
    return nothing_known();
  }

 private:
  static Task<Result<Fetched>> nothing_known() {
    co_return fail(Errc::unimplemented, "this kind of source cannot be fetched");
  }

  static Result<Fetched> finish(const build::SourceSpec& source, const std::string& url,
                                const Result<Checkout>& checkout) {
    if (!checkout) return checkout.error().within("git source " + url);
    Fetched fetched;
    fetched.resolved = {source.name, url, checkout->commit};
    fetched.time_seconds = checkout->time_seconds;
    return fetched;
  }

  static void take_key(CloneRequest& request, const SourceCredentials& known) {
    const Result<builder::git::SshAddress> address = builder::git::parse_ssh(request.url);
    if (!address) return;  // said by who uses it
    const SourceCredentials::Ssh* ssh = builder::ssh_for(known, address->host, address->port);
    if (ssh != nullptr) request.ssh = *ssh;
  }

  Task<Result<Fetched>> fetch_git(const build::SourceSpec& source, const std::string& directory,
                                  const SourceCredentials& known) {
    CloneRequest request;
    request.url = source.git->url;
    request.revision = source.git->revision;
    if (builder::git::is_ssh(request.url)) {
      take_key(request, known);
    } else {
      request.credentials = take_credentials(request.url, known);
    }
    request.directory = directory;
    request.limits = options_;
    const std::string shown = http::shown_url(request.url);
    if (request.url.empty()) co_return fail(Errc::invalid_argument, "git source: url is missing");
    const std::size_t scheme = request.url.find("://");
    const bool local = scheme == std::string::npos || begins(request.url, "file://");
    if (builder::git::is_remote(request.url)) {
      const builder::git::RemoteWorld world{outbound_,  timers_, network_,
                                            processes_, files_,  offload_};
      Task<Result<Checkout>> cloning = builder::git::clone_remote(world, library_, request);
      Result<Checkout> checkout = co_await std::move(cloning);
      co_return finish(source, shown, checkout);
    }
    if (!local) {
      co_return fail(Errc::invalid_argument, "git source " + shown + ": unknown kind of URL");
    }
    const Result<std::string> path = local_path(request.url);
    if (!path) co_return path.error().within("git source " + shown);
    const CancelOnDrop drop;
    auto work = [&files = files_, request, path = *path, library = library_, flag = drop.flag] {
      library->start();
      return builder::git::clone_local(files, request, path, *flag);
    };
    Task<Result<Checkout>> cloning = offload_.run(work);
    Result<Checkout> checkout = co_await std::move(cloning);
    co_return finish(source, shown, checkout);
  }

  Task<Result<Fetched>> fetch_archive(const build::SourceSpec& source, const std::string& directory,
                                      const SourceCredentials& known) {
    std::string location = source.gcs->location;
    const Credentials credentials = take_credentials(location, known);
    const std::string type = source.gcs->type;
    const std::string shown = http::shown_url(location);
    const std::string where = "source " + shown;
    if (type != "Archive" && type != "TarGzArchive" && type != "ZipArchive") {
      co_return fail(Errc::unimplemented,
                     where + ": type \"" + type +
                         "\" is not supported, only Archive, ZipArchive and TarGzArchive");
    }
    std::string path = location;
    std::shared_ptr<builder::TemporaryFolder> downloaded;
    if (begins(location, "http://") || begins(location, "https://")) {
      Result<std::string> made = files_.make_temporary_directory(directory + ".download-");
      if (!made) co_return made.error();
      downloaded = std::make_shared<builder::TemporaryFolder>(files_, *made);
      path = *made + "/archive";
      Task<Result<void>> downloading = download(location, credentials, path);
      Result<void> done = co_await std::move(downloading);
      if (!done) co_return done.error().within(where);
    } else if (location.find("://") != std::string::npos && !begins(location, "file://")) {
      co_return fail(Errc::unimplemented,
                     where + ": only paths, file://, http:// and https:// are supported");
    } else {
      Result<std::string> local = local_path(location);
      if (!local) co_return local.error().within(where);
      path = *std::move(local);
    }
    const CancelOnDrop drop;
    auto work = [&files = files_, path, type, directory, limits = options_, flag = drop.flag,
                 downloaded]() -> Result<std::string> {
      const Result<std::pair<std::string, FileType>> found = file_or_folder(files, path);
      if (!found) return found.error();
      if (found->second == FileType::regular) {
        return unpack_archive(files, found->first, type, directory, limits, *flag);
      }
      Result<void> copied = copy_tree(files, found->first, directory, limits, *flag);
      if (!copied) return copied.error();
      return std::string();
    };
    Task<Result<std::string>> unpacking = offload_.run(work);
    Result<std::string> digest = co_await std::move(unpacking);
    if (!digest) co_return digest.error().within(where);
    Fetched fetched;
    fetched.resolved = {source.name, shown, *digest};
    co_return fetched;
  }

  Task<Result<void>> download(const std::string& location, const Credentials& credentials,
                              const std::string& path) {
    Result<http::Url> url = http::Url::parse(location);
    if (!url) co_return url.error();
    http::Request request = http::get("/");
    if (!credentials.user.empty()) {
      request.headers.set("Authorization",
                          http::basic_authorization(credentials.user, credentials.password));
    }
    auto sending = with_deadline(timers_, outbound_.send(*url, request),
                                 timers_.now() + options_.idle_timeout);
    std::optional<Result<http::Response>> answered = co_await std::move(sending);
    if (!answered) co_return fail(Errc::deadline_exceeded, "the server does not answer");
    if (!*answered) co_return answered->error();
    http::Response response = std::move(**answered);
    if (response.status != 200) {
      co_return fail(response.status == 404 ? Errc::not_found : Errc::unavailable,
                     "the server answered " + std::to_string(response.status) + " " +
                         std::string(http::reason_phrase(response.status)));
    }
    const OpenOptions how{.write = true, .create = true, .truncate = true};
    Result<std::unique_ptr<File>> file = files_.open(path, how);
    if (!file) co_return file.error();
    http::BodySource* body = response.body.source();
    if (body == nullptr) co_return (*file)->write_at(0, response.body.bytes());
    std::uint64_t size = 0;
    while (true) {
      auto reading = with_deadline(timers_, body->next(), timers_.now() + options_.idle_timeout);
      const std::optional<Result<std::string_view>> piece = co_await std::move(reading);
      if (!piece) co_return fail(Errc::deadline_exceeded, "the server does not go on");
      if (!*piece) co_return piece->error();
      if ((*piece)->empty()) co_return Result<void>();
      if (size + (*piece)->size() > options_.bytes_max) {
        co_return fail(Errc::resource_exhausted,
                       "is larger than " + std::to_string(options_.bytes_max) + " bytes");
      }
      Result<void> written = (*file)->write_at(size, **piece);
      if (!written) co_return written;
      size += (*piece)->size();
    }
  }

  http::Outbound& outbound_;
  Timers& timers_;
  Network& network_;
  Processes& processes_;
  Files& files_;
  Offload& offload_;
  FetcherOptions options_;
  // libgit2 stays initialised while this fetcher or any of its work lives.
  std::shared_ptr<builder::git::Library> library_ = std::make_shared<builder::git::Library>();
};

}  // namespace

std::unique_ptr<Fetcher> source_fetcher(http::Outbound& outbound, Timers& timers, Network& network,
                                        Processes& processes, Files& files, Offload& offload,
                                        FetcherOptions options) {
  return std::make_unique<SourceFetcher>(outbound, timers, network, processes, files, offload,
                                         std::move(options));
}

}  // namespace knative
