// Unpacks an archive that nobody vouches for. Two halves: `Reader` turns bytes into entries and
// counts what it reads; `Extractor` puts entries below a root, and never writes through a name
// that it has not resolved component by component.
#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "wire/oci_tar.hpp"

namespace knative::oci {

namespace {

constexpr std::uint64_t extension_bytes_max = 1 << 20;
constexpr int links_followed_max = 40;
constexpr std::size_t copy_bytes = 256 << 10;
// What may follow the end marker: writers fill their last block, whose size is theirs.
constexpr std::uint64_t trailing_bytes_max = 64 << 20;
constexpr std::string_view whiteout_prefix = ".wh.";
constexpr std::string_view whiteout_opaque = ".wh..wh..opq";

std::string shown(std::string_view name) {
  return "archive entry \"" + std::string(name.substr(0, 300)) + "\"";
}

struct Entry {
  std::string name;
  std::string link;
  std::uint64_t size = 0;
  unsigned mode = 0;
  char type = '0';
};

template <std::size_t N>
std::string text_of(const std::array<char, N>& field) {
  return std::string(field.data(), strnlen(field.data(), N));
}

// Octal text, or a big-endian number when the first bit is set (GNU).
template <std::size_t N>
std::optional<std::uint64_t> number_of(const std::array<char, N>& field) {
  std::uint64_t value = 0;
  if ((static_cast<unsigned char>(field[0]) & 0x80) != 0) {
    if (field[0] != static_cast<char>(0x80)) return std::nullopt;  // negative or enormous
    for (std::size_t i = 1; i < N; ++i) {
      if (value >> 55 != 0) return std::nullopt;
      value = value << 8 | static_cast<unsigned char>(field[i]);
    }
    return value;
  }
  std::size_t i = 0;
  while (i < N && field[i] == ' ') ++i;
  for (; i < N && field[i] != ' ' && field[i] != '\0'; ++i) {
    if (field[i] < '0' || field[i] > '7') return std::nullopt;
    value = value << 3 | static_cast<std::uint64_t>(field[i] - '0');
  }
  return value;
}

class Reader {
 public:
  Reader(ByteSource& source, const UnpackOptions& options) : source_(source), options_(options) {}

  // The next entry, its content not yet read; nothing at the end.
  Result<std::optional<Entry>> next() {
    Extended extended;
    while (true) {
      tar::Header header;
      Result<bool> more = read_header(header);
      if (!more) return more.error();
      if (!*more) return std::optional<Entry>();
      const std::optional<std::uint64_t> size = number_of(header.size);
      const std::optional<std::uint64_t> mode = number_of(header.mode);
      if (!size || !mode) return fail(Errc::data_loss, "archive header has a malformed number");
      if (header.type == 'x' || header.type == 'g' || header.type == 'L' || header.type == 'K') {
        Result<void> read = read_extension(header.type, *size, extended);
        if (!read) return read.error();
        continue;
      }
      Entry entry;
      entry.name = extended.name.value_or(name_of(header));
      entry.link = extended.link.value_or(text_of(header.link));
      entry.size = extended.size.value_or(*size);
      entry.mode = static_cast<unsigned>(*mode & 0777);
      entry.type = header.type == '\0' || header.type == '7' ? '0' : header.type;
      if (entry.type == '0' && !entry.name.empty() && entry.name.back() == '/') entry.type = '5';
      if (entry.type != '0') entry.size = 0;  // links and directories carry no content
      if (++entries_ > options_.entries_max) {
        return fail(Errc::resource_exhausted,
                    "archive has more than " + std::to_string(options_.entries_max) + " entries");
      }
      // Said before a byte of it is inflated and written.
      if (entry.size > options_.bytes_max - std::min(bytes_, options_.bytes_max)) {
        return too_large().within(shown(entry.name));
      }
      left_ = entry.size;
      padding_ = tar::padding_after(entry.size);
      return std::optional<Entry>(std::move(entry));
    }
  }

  // Content of the current entry; 0 at its end.
  Result<std::size_t> content(std::span<char> into) {
    const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(left_, into.size()));
    if (want == 0) return std::size_t{0};
    Result<void> got = exactly(into.first(want));
    if (!got) return got.error();
    left_ -= want;
    return want;
  }

  Result<void> skip() {
    std::array<char, 4096> scratch;
    while (left_ > 0) {
      if (Result<std::size_t> r = content(scratch); !r) return r.error();
    }
    Result<void> got = exactly(std::span<char>(scratch).first(padding_));
    padding_ = 0;
    return got;
  }

  // Read what follows the end marker, so that the whole stream has been hashed.
  Result<UnpackedLayer> finish() {
    std::array<char, 4096> scratch;
    for (std::uint64_t trailing = 0; trailing <= trailing_bytes_max;) {
      Result<std::size_t> count = some(scratch);
      if (!count) return count.error();
      if (*count == 0) return UnpackedLayer{hasher_.finish(), bytes_, entries_};
      trailing += *count;
    }
    return fail(Errc::resource_exhausted, "archive goes on for more than " +
                                              std::to_string(trailing_bytes_max) +
                                              " bytes after its end");
  }

 private:
  struct Extended {
    std::optional<std::string> name;
    std::optional<std::string> link;
    std::optional<std::uint64_t> size;
  };

  static std::string name_of(const tar::Header& header) {
    std::string name = text_of(header.name);
    const bool posix = std::memcmp(header.magic.data(), "ustar\0", 6) == 0;
    if (posix && header.prefix[0] != '\0') name = text_of(header.prefix) + "/" + name;
    return name;
  }

  Result<std::size_t> some(std::span<char> into) {
    Result<std::size_t> count = source_.read(into);
    if (!count) return count;
    hasher_.update(std::string_view(into.data(), *count));
    bytes_ += *count;
    if (bytes_ > options_.bytes_max) return too_large();
    return count;
  }

  Result<void> exactly(std::span<char> into) {
    while (!into.empty()) {
      Result<std::size_t> count = some(into);
      if (!count) return count.error();
      if (*count == 0) return fail(Errc::data_loss, "archive is truncated");
      into = into.subspan(*count);
    }
    return {};
  }

  // False at the end: two blocks of zeros, or the end of the stream.
  Result<bool> read_header(tar::Header& header) {
    const std::span<char> bytes(reinterpret_cast<char*>(&header), sizeof header);
    Result<std::size_t> first = some(bytes);
    if (!first) return first.error();
    if (*first == 0) {
      if (bytes_ == 0) return fail(Errc::invalid_argument, "not a tar archive: it is empty");
      return false;
    }
    const bool beginning = bytes_ == *first;
    Result<void> rest = exactly(bytes.subspan(*first));
    if (!rest) {
      if (beginning && rest.error().code == Errc::data_loss) return no_archive();
      return rest.error();
    }
    if (std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0; })) return false;
    const std::optional<std::uint64_t> sum = number_of(header.checksum);
    if (!sum || *sum != tar::checksum(header)) {
      if (beginning) return no_archive();
      return fail(Errc::data_loss, "archive header has a wrong checksum");
    }
    return true;
  }

  Error too_large() const {
    return fail(Errc::resource_exhausted,
                "archive unpacks to more than " + std::to_string(options_.bytes_max) + " bytes");
  }

  static Error no_archive() { return fail(Errc::invalid_argument, "not a tar archive"); }

  Result<void> read_extension(char type, std::uint64_t size, Extended& extended) {
    if (size > extension_bytes_max) {
      return fail(Errc::resource_exhausted,
                  "archive has an extended header of " + std::to_string(size) + " bytes");
    }
    std::string body(static_cast<std::size_t>(size), '\0');
    if (Result<void> r = exactly(body); !r) return r;
    left_ = 0;
    padding_ = tar::padding_after(size);
    if (Result<void> r = skip(); !r) return r;
    if (type == 'L') extended.name = body.substr(0, body.find('\0'));
    if (type == 'K') extended.link = body.substr(0, body.find('\0'));
    if (type == 'x') return parse_pax(body, extended);
    return {};
  }

  // Records "<length> key=value\n" (POSIX.1-2001).
  static Result<void> parse_pax(std::string_view body, Extended& extended) {
    while (!body.empty()) {
      std::size_t length = 0;
      std::size_t i = 0;
      for (; i < body.size() && i < 8 && body[i] >= '0' && body[i] <= '9'; ++i) {
        length = length * 10 + static_cast<std::size_t>(body[i] - '0');
      }
      if (i == 0 || i >= body.size() || body[i] != ' ' || length <= i + 1 || length > body.size() ||
          body[length - 1] != '\n') {
        return fail(Errc::data_loss, "archive has a malformed extended header");
      }
      const std::string_view record = body.substr(i + 1, length - i - 2);
      body.remove_prefix(length);
      const std::size_t equals = record.find('=');
      if (equals == std::string_view::npos) {
        return fail(Errc::data_loss, "archive has a malformed extended header");
      }
      const std::string_view key = record.substr(0, equals);
      const std::string_view value = record.substr(equals + 1);
      if (key == "path") extended.name = value;
      if (key == "linkpath") extended.link = value;
      if (key == "size") {
        if (value.empty() || value.size() > 18 ||
            value.find_first_not_of("0123456789") != std::string_view::npos) {
          return fail(Errc::data_loss, "archive has a malformed extended size");
        }
        extended.size = std::stoull(std::string(value));
      }
      if (key.substr(0, 11) == "GNU.sparse.") {
        return fail(Errc::unimplemented, "sparse files in archives are not supported");
      }
    }
    return {};
  }

  ByteSource& source_;
  const UnpackOptions& options_;
  Hasher hasher_;
  std::uint64_t bytes_ = 0;
  std::uint64_t entries_ = 0;
  std::uint64_t left_ = 0;
  std::uint64_t padding_ = 0;
};

std::string join(const std::vector<std::string>& parts) {
  std::string path;
  for (const std::string& part : parts) path.append(path.empty() ? "" : "/").append(part);
  return path;
}

class Extractor {
 public:
  Extractor(Files& files, std::string root, const UnpackOptions& options)
      : files_(files), root_(std::move(root)), options_(options) {}

  Result<void> put(const Entry& entry, Reader& reader) {
    Result<std::vector<std::string_view>> parts =
        tar::split_name(entry.name, options_.name_bytes_max);
    if (!parts) return parts.error().within("archive entry");
    std::vector<std::string> names(parts->begin(), parts->end());
    const std::size_t dropped = std::min(options_.strip_components, names.size());
    names.erase(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(dropped));
    if (names.empty()) {
      if (entry.type == '5' || dropped > 0 || entry.type == 'g') return {};
      return fail(Errc::invalid_argument, shown(entry.name) + ": has no name");
    }
    const std::string base = names.back();
    names.pop_back();
    Result<std::string> parent = resolve(names, entry.name);
    if (!parent) return parent.error();
    if (options_.whiteouts && base.substr(0, whiteout_prefix.size()) == whiteout_prefix) {
      return whiteout(entry, *parent, base);
    }
    const std::string relative = parent->empty() ? base : *parent + "/" + base;
    if (options_.whiteouts) made_.insert(relative);
    return create(entry, relative, reader);
  }

 private:
  std::string absolute(const std::string& relative) const {
    return relative.empty() ? root_ : root_ + "/" + relative;
  }

  // The real directory (relative to the root, free of links) that a parent's name means. Missing
  // directories are made; links are followed as if the root were "/".
  Result<std::string> resolve(const std::vector<std::string>& names, std::string_view entry) {
    const std::string key = join(names);
    if (const auto known = resolved_.find(key); known != resolved_.end()) return known->second;
    // From the nearest folder above that is known.
    std::vector<std::string> pending(names.rbegin(), names.rend());
    std::vector<std::string> real;
    std::size_t left = names.size();
    for (std::string above = key; left-- > 0;) {
      above.resize(left == 0 ? 0 : above.rfind('/'));
      const auto known = resolved_.find(above);
      if (known == resolved_.end()) continue;
      pending.resize(names.size() - left);
      push_components(known->second, real);
      std::reverse(real.begin(), real.end());
      break;
    }
    int followed = 0;
    while (!pending.empty()) {
      const std::string name = pending.back();
      pending.pop_back();
      if (name.empty() || name == ".") continue;
      if (name == "..") {
        if (!real.empty()) real.pop_back();
        continue;
      }
      real.push_back(name);
      if (real.size() > options_.depth_max) {
        return fail(Errc::resource_exhausted, shown(entry) + ": is more than " +
                                                  std::to_string(options_.depth_max) +
                                                  " folders deep");
      }
      const std::string path = absolute(join(real));
      Result<FileInfo> info = files_.info(path);
      if (!info && info.error().code != Errc::not_found) return info.error();
      if (!info) {
        if (Result<void> made = files_.make_directories(path); !made) return made.error();
      } else if (info->type == FileType::symlink) {
        if (++followed > links_followed_max) {
          return fail(Errc::invalid_argument, shown(entry) + ": too many symbolic links");
        }
        Result<std::string> target = files_.read_symlink(path);
        if (!target) return target.error();
        real.pop_back();
        if (!target->empty() && target->front() == '/') real.clear();
        push_components(*target, pending);
      } else if (info->type != FileType::directory) {
        return fail(Errc::invalid_argument,
                    shown(entry) + ": \"" + join(real) + "\" is not a directory");
      }
    }
    return resolved_[key] = join(real);
  }

  static void push_components(std::string_view path, std::vector<std::string>& pending) {
    std::vector<std::string> parts;
    while (!path.empty()) {
      const std::size_t end = std::min(path.find('/'), path.size());
      if (end > 0) parts.emplace_back(path.substr(0, end));
      path.remove_prefix(std::min(end + 1, path.size()));
    }
    pending.insert(pending.end(), parts.rbegin(), parts.rend());
  }

  Result<void> create(const Entry& entry, const std::string& relative, Reader& reader) {
    const std::string path = absolute(relative);
    Result<FileInfo> there = files_.info(path);
    if (there && !(there->type == FileType::directory && entry.type == '5')) {
      resolved_.clear();
      if (Result<void> gone = files_.remove_all(path); !gone) return gone;
    }
    switch (entry.type) {
      case '0': return write_file(entry, path, reader);
      case '1': return copy_link(entry, path);
      case '2':
        if (options_.refuse_escaping_links && escapes(relative, entry.link)) {
          return fail(Errc::invalid_argument, shown(entry.name) + ": symbolic link to \"" +
                                                  entry.link.substr(0, 300) +
                                                  "\" leaves the archive");
        }
        return files_.make_symlink(entry.link, path);
      case '5': {
        if (Result<void> made = files_.make_directories(path); !made) return made;
        return files_.set_mode(path, entry.mode | 0700);  // its owner must be able to fill it
      }
      case '3':
      case '4':
      case '6':
        return fail(Errc::invalid_argument, shown(entry.name) + ": device nodes are refused");
      default:
        return fail(Errc::unimplemented, shown(entry.name) + ": unknown type '" + entry.type + "'");
    }
  }

  // Would following `link` from `relative` leave the root, judged by its text alone?
  static bool escapes(const std::string& relative, std::string_view link) {
    if (link.empty() || link.front() == '/') return true;
    std::ptrdiff_t depth = std::count(relative.begin(), relative.end(), '/');
    std::vector<std::string> parts;
    push_components(link, parts);
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
      if (*part == ".") continue;
      depth += *part == ".." ? -1 : 1;
      if (depth < 0) return true;
    }
    return false;
  }

  Result<std::unique_ptr<File>> create_file(const std::string& path, unsigned mode) {
    const OpenOptions how{.write = true, .create = true, .exclusive = true, .mode = mode | 0400};
    Result<std::unique_ptr<File>> file = files_.open(path, how);
    if (!file) return file;
    // The process's umask may have taken bits away.
    if (Result<void> set = files_.set_mode(path, mode | 0400); !set) return set.error();
    return file;
  }

  Result<void> write_file(const Entry& entry, const std::string& path, Reader& reader) {
    Result<std::unique_ptr<File>> file = create_file(path, entry.mode);
    if (!file) return file.error();
    buffer_.resize(copy_bytes);
    std::uint64_t offset = 0;
    while (true) {
      Result<std::size_t> count = reader.content(buffer_);
      if (!count) return count.error().within(shown(entry.name));
      if (*count == 0) return {};
      const std::string_view bytes(buffer_.data(), *count);
      if (Result<void> written = (*file)->write_at(offset, bytes); !written) return written;
      offset += *count;
    }
  }

  // A hard link shares its file's bytes; here it becomes a copy, bounded like content.
  Result<void> copy_link(const Entry& entry, const std::string& path) {
    Result<std::vector<std::string_view>> parts =
        tar::split_name(entry.link, options_.name_bytes_max);
    if (!parts) return parts.error().within(shown(entry.name) + ": hard link");
    std::vector<std::string> names(parts->begin(), parts->end());
    const std::size_t dropped = std::min(options_.strip_components, names.size());
    names.erase(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(dropped));
    if (names.empty()) {
      return fail(Errc::invalid_argument, shown(entry.name) + ": hard link to nothing");
    }
    const std::string base = names.back();
    names.pop_back();
    Result<std::string> parent = resolve(names, entry.name);
    if (!parent) return parent.error();
    const std::string target = absolute(parent->empty() ? base : *parent + "/" + base);
    Result<FileInfo> info = files_.info(target);
    if (!info || info->type == FileType::directory || info->type == FileType::other) {
      return fail(Errc::invalid_argument, shown(entry.name) + ": hard link to \"" +
                                              entry.link.substr(0, 300) +
                                              "\", which is no file of the archive");
    }
    if (info->type == FileType::symlink) {
      Result<std::string> link = files_.read_symlink(target);
      if (!link) return link.error();
      return files_.make_symlink(*link, path);
    }
    copied_ += info->size_bytes;
    if (copied_ > options_.bytes_max) {
      return fail(Errc::resource_exhausted, "hard links of the archive unpack to more than " +
                                                std::to_string(options_.bytes_max) + " bytes");
    }
    return copy_file(target, path, info->mode & 0777);
  }

  Result<void> copy_file(const std::string& from, const std::string& to, unsigned mode) {
    Result<std::unique_ptr<ByteSource>> source = open_source(files_, from);
    if (!source) return source.error();
    Result<std::unique_ptr<File>> file = create_file(to, mode);
    if (!file) return file.error();
    buffer_.resize(copy_bytes);
    std::uint64_t offset = 0;
    while (true) {
      Result<std::size_t> count = (*source)->read(buffer_);
      if (!count) return count.error();
      if (*count == 0) return {};
      const std::string_view bytes(buffer_.data(), *count);
      if (Result<void> written = (*file)->write_at(offset, bytes); !written) return written;
      offset += *count;
    }
  }

  Result<void> whiteout(const Entry& entry, const std::string& parent, const std::string& base) {
    if (base == whiteout_opaque) return clear_lower(parent);
    const std::string hidden = base.substr(whiteout_prefix.size());
    if (hidden.empty() || hidden == "." || hidden == "..") {
      return fail(Errc::invalid_argument, shown(entry.name) + ": whiteout of nothing");
    }
    const std::string relative = parent.empty() ? hidden : parent + "/" + hidden;
    if (made_here(relative)) return {};
    resolved_.clear();
    return files_.remove_all(absolute(relative));
  }

  // Is it, or anything below it, from this very layer?
  bool made_here(const std::string& relative) const {
    const auto first = made_.lower_bound(relative);
    if (first != made_.end() && *first == relative) return true;
    const auto below = made_.lower_bound(relative + "/");
    return below != made_.end() && below->compare(0, relative.size() + 1, relative + "/") == 0;
  }

  // An opaque directory hides what lower layers put into it, not what this one does.
  Result<void> clear_lower(const std::string& directory) {
    resolved_.clear();
    std::vector<std::string> pending{directory};
    while (!pending.empty()) {
      const std::string current = std::move(pending.back());
      pending.pop_back();
      Result<std::vector<FileInfo>> entries = files_.list(absolute(current));
      if (!entries) return entries.error();
      for (const FileInfo& entry : *entries) {
        const std::string relative = current.empty() ? entry.name : current + "/" + entry.name;
        if (!made_here(relative)) {
          if (Result<void> gone = files_.remove_all(absolute(relative)); !gone) return gone;
        } else if (entry.type == FileType::directory) {
          pending.push_back(relative);
        }
      }
    }
    return {};
  }

  Files& files_;
  std::string root_;
  const UnpackOptions& options_;
  std::unordered_map<std::string, std::string> resolved_;
  std::set<std::string> made_;
  std::vector<char> buffer_;
  std::uint64_t copied_ = 0;
};

}  // namespace

Result<std::vector<std::string_view>> tar::split_name(std::string_view name,
                                                      std::size_t bytes_max) {
  const auto refuse = [&](std::string_view why) {
    return fail(Errc::invalid_argument,
                "\"" + std::string(name.substr(0, 300)) + "\": " + std::string(why));
  };
  if (name.size() > bytes_max) return refuse("the name is too long");
  if (!name.empty() && name.front() == '/') return refuse("the name is absolute");
  if (name.find('\0') != std::string_view::npos) return refuse("the name contains a zero byte");
  std::vector<std::string_view> parts;
  std::string_view rest = name;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, end);
    if (part == "..") return refuse("the name contains \"..\"");
    if (!part.empty() && part != ".") parts.push_back(part);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return parts;
}

Result<UnpackedLayer> unpack_layer(Files& files, ByteSource& archive, const std::string& root,
                                   const UnpackOptions& options) {
  Result<std::unique_ptr<ByteSource>> plain = tar::decompress(archive);
  if (!plain) return plain.error();
  Reader reader(**plain, options);
  Extractor extractor(files, root, options);
  while (true) {
    Result<std::optional<Entry>> entry = reader.next();
    if (!entry) return entry.error();
    if (!*entry) return reader.finish();
    if (Result<void> put = extractor.put(**entry, reader); !put) return put.error();
    if (Result<void> skipped = reader.skip(); !skipped) return skipped.error();
  }
}

}  // namespace knative::oci
