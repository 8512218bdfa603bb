#include "engines/builder/archive_source.hpp"

#include <algorithm>
#include <array>

#include "engines/builder/tree_writer.hpp"
#include "engines/builder/zip_source.hpp"
#include "knative/oci.hpp"

namespace knative::builder {

namespace {

constexpr std::size_t copy_bytes = 256 << 10;
constexpr std::size_t directory_depth_max = 256;
constexpr int links_followed_max = 40;

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
  return is_zip(std::string_view(head.data(), *got));
}

Result<void> unpack_zip(Files& files, const std::string& path, const std::string& directory,
                        const oci::UnpackOptions& options, const std::atomic<bool>& cancelled) {
  Result<std::unique_ptr<File>> file = files.open(path, OpenOptions{});
  if (!file) return file.error();
  Result<std::unique_ptr<oci::ByteSource>> tar =
      open_zip(std::move(*file), {options.bytes_max, options.entries_max});
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

}  // namespace

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

Result<std::string> take_archive(Files& files, const std::string& path, const std::string& type,
                                 const std::string& directory, const FetcherOptions& limits,
                                 const std::atomic<bool>& cancelled) {
  const Result<std::pair<std::string, FileType>> found = file_or_folder(files, path);
  if (!found) return found.error();
  if (found->second == FileType::regular) {
    return unpack_archive(files, found->first, type, directory, limits, cancelled);
  }
  Result<void> copied = copy_tree(files, found->first, directory, limits, cancelled);
  if (!copied) return copied.error();
  return std::string();
}

}  // namespace knative::builder
