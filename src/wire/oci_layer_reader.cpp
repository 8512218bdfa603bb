// Unpacks an archive that nobody vouches for: puts its entries (oci_tar_reader.hpp) below a root,
// and never writes through a name that it has not resolved component by component.
#include <algorithm>
#include <functional>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "base/text.hpp"
#include "wire/oci_decode.hpp"
#include "wire/oci_tar_reader.hpp"

namespace knative::oci {

namespace {

using tar::Entry;
using tar::Reader;
using tar::shown;

constexpr int links_followed_max = 40;
constexpr std::size_t copy_bytes = 256 << 10;
constexpr std::size_t resolved_bytes_max = 4 << 20;
constexpr std::size_t losses_max = 1000;
constexpr std::size_t losses_named_max = 5;  // in one line
// Names that are looked at on the way, all entries together: some seconds.
constexpr std::uint64_t steps_max = std::uint64_t{1} << 28;
constexpr std::string_view whiteout_prefix = ".wh.";
constexpr std::string_view whiteout_opaque = ".wh..wh..opq";
// What the union file system of Docker's first years kept in its layers: no files of the image.
constexpr std::string_view bookkeeping_prefix = ".wh..wh.";

// The components of a name as tar means it: from the archive's root whether it is absolute or not.
// `invalid_argument` when it leads out, has a zero byte or is too long.
Result<std::vector<std::string_view>> clean_name(std::string_view name, std::size_t bytes_max) {
  const auto refuse = [&](std::string_view why) {
    return fail(Errc::invalid_argument, "\"" + base::shown_name(name) + "\": " + std::string(why));
  };
  if (name.size() > bytes_max) return refuse("the name is too long");
  if (name.find('\0') != std::string_view::npos) return refuse("the name contains a zero byte");
  const bool absolute = name.starts_with('/');
  std::vector<std::string_view> parts;
  for (std::string_view rest = name; !rest.empty();) {
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty()) {
      parts.pop_back();
    } else if (!absolute) {
      return refuse("the name leads out of the archive");
    }
  }
  return parts;
}

// Names in reverse order, the next one last.
void push_components(std::string_view path, std::vector<std::string>& pending) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    if (end > 0) parts.emplace_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  pending.insert(pending.end(), std::make_move_iterator(parts.rbegin()),
                 std::make_move_iterator(parts.rend()));
}

// Would following `link` from `relative` leave the root, judged by its text alone?
bool escapes(const std::string& relative, std::string_view link) {
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

std::string child(const std::string& folder, std::string_view name) {
  std::string path = folder;
  return path.append(folder.empty() ? "" : "/").append(name);
}

std::size_t depth_of(std::string_view path) {
  if (path.empty()) return 0;
  return static_cast<std::size_t>(std::count(path.begin(), path.end(), '/')) + 1;
}

// A folder somewhere below the root, free of links.
class RealFolder {
 public:
  explicit RealFolder(std::string path) : path_(std::move(path)), depth_(depth_of(path_)) {}
  const std::string& path() const { return path_; }
  std::size_t depth() const { return depth_; }
  void enter(std::string_view name) {
    path_.append(path_.empty() ? "" : "/").append(name);
    ++depth_;
  }
  void leave() {
    if (depth_ == 0) return;
    path_.resize(--depth_ == 0 ? 0 : path_.rfind('/'));
  }
  void clear() {
    path_.clear();
    depth_ = 0;
  }

 private:
  std::string path_;
  std::size_t depth_;
};

class Extractor {
 public:
  Extractor(Files& files, std::string root, const UnpackOptions& options, Reader& reader)
      : files_(files), root_(std::move(root)), options_(options), reader_(reader) {}

  Result<void> put(const Entry& entry) {
    Result<Target> target = find(entry.name);
    if (!target) return target.error();
    if (target->bookkeeping) return {};
    if (target->base.empty()) return put_root(entry, target->dropped);
    Result<std::string> parent = resolve(target->parents, entry.name);
    if (!parent) return parent.error();
    const std::string& base = target->base;
    if (options_.whiteouts && base.starts_with(whiteout_prefix)) {
      return whiteout(entry, *parent, base);
    }
    const std::string relative = child(*parent, base);
    if (options_.whiteouts) remember(relative);
    return create(entry, relative);
  }

  // Folders get their times and modes last: what is put into them changes the one, and may not be
  // allowed by the other. Deepest first.
  Result<void> finish() {
    for (auto folder = folders_.rbegin(); folder != folders_.rend(); ++folder) {
      Result<void> set = set_metadata(folder->second, folder->first);
      if (!set) return set;
    }
    folders_.clear();
    return {};
  }

  UnpackLosses take_losses() { return std::move(losses_); }

 private:
  struct Metadata {
    unsigned mode = 0;
    std::uint32_t owner = 0;
    std::uint32_t group = 0;
    std::int64_t modified_ns = 0;
    FileAttributes attributes;
  };

  // An entry's name, taken apart.
  struct Target {
    std::vector<std::string_view> parents;
    std::string base;  // empty: the root itself
    bool dropped = false;
    bool bookkeeping = false;
  };

  Result<Target> find(std::string_view name) const {
    Result<std::vector<std::string_view>> parts = clean_name(name, options_.name_bytes_max);
    if (!parts) return parts.error().within("archive entry");
    Target target;
    const std::size_t dropped = std::min(options_.strip_components, parts->size());
    parts->erase(parts->begin(), parts->begin() + static_cast<std::ptrdiff_t>(dropped));
    target.dropped = dropped > 0;
    if (parts->empty()) return target;
    target.bookkeeping = options_.whiteouts && parts->front().starts_with(bookkeeping_prefix) &&
                         parts->front() != whiteout_opaque;
    target.base = parts->back();
    parts->pop_back();
    target.parents = std::move(*parts);
    return target;
  }

  // "/" and "./": archives of other tools begin with them.
  Result<void> put_root(const Entry& entry, bool dropped) {
    if (dropped) return {};
    if (entry.type != '5') {
      return fail(Errc::invalid_argument, shown(entry.name) + ": has no name");
    }
    if (!options_.whiteouts) return {};
    if (options_.preserve) keep_folder(entry, "");
    return files_.set_mode(root_, (entry.mode & 0777) | 0700);
  }

  void keep_folder(const Entry& entry, const std::string& relative) {
    folders_[relative] =
        Metadata{entry.mode, entry.owner, entry.group, entry.modified_ns, entry.attributes};
  }

  // It is not the folder any more that they were about: a link may stand there now.
  void forget_folders(const std::string& relative) {
    folders_.erase(relative);
    const std::string below = relative + "/";
    auto at = folders_.lower_bound(below);
    while (at != folders_.end() && at->first.starts_with(below)) at = folders_.erase(at);
  }

  // Of a file that was just made, no symbolic link on the way to it.
  Result<void> set_metadata(const Metadata& metadata, const std::string& relative,
                            bool symlink = false) {
    const std::string path = absolute(relative);
    unsigned mode = metadata.mode;
    Result<void> owned = files_.set_owner(path, metadata.owner, metadata.group);
    if (!owned) {
      const bool may_not = owned.error().code == Errc::failed_precondition ||
                           owned.error().code == Errc::invalid_argument ||  // unknown in here
                           owned.error().code == Errc::unimplemented;
      if (!may_not) return owned;
      lose(relative, "it does not belong to " + std::to_string(metadata.owner) + ":" +
                         std::to_string(metadata.group) + ": " + owned.error().detail);
      mode &= 01777;  // whoever owns it here never meant to lend his rights
    }
    if (!symlink) {
      if (Result<void> set = files_.set_mode(path, mode); !set) return set;
    }
    for (const auto& [name, value] : metadata.attributes) {
      Result<void> set = files_.set_attribute(path, name, value);
      const bool cannot = !set && (set.error().code == Errc::unimplemented ||
                                   set.error().code == Errc::failed_precondition);
      if (!set && !cannot) return set;
      if (!set) lose(relative, "its attribute " + name + " is lost: " + set.error().detail);
    }
    Result<void> timed = files_.set_modified(path, metadata.modified_ns);
    return timed || timed.error().code == Errc::unimplemented ? Result<void>() : timed;
  }

  void lose(const std::string& relative, const std::string& why) {
    if (losses_.changed.size() == losses_max) return;
    losses_.changed.push_back("\"" + (relative.empty() ? "/" : base::shown_name(relative)) +
                              "\": " + why);
  }

  std::string absolute(const std::string& relative) const {
    return relative.empty() ? root_ : root_ + "/" + relative;
  }

  // Every look at a path walks all of it.
  Result<void> step(std::size_t depth) {
    steps_ += depth + 1;
    if (steps_ <= steps_max) return {};
    return fail(Errc::resource_exhausted, "archive leads through too many folders");
  }

  // The real directory (relative to the root, free of links) that a parent's name means. Missing
  // directories are made; links are followed as if the root were "/".
  Result<std::string> resolve(const std::vector<std::string_view>& names, std::string_view entry) {
    std::string key;
    for (const std::string_view name : names) key.append(key.empty() ? "" : "/").append(name);
    if (const auto known = resolved_.find(key); known != resolved_.end()) {
      if (Result<void> counted = step(names.size()); !counted) return counted.error();
      return known->second;
    }
    // From the nearest folder above that is known.
    RealFolder real{std::string()};
    std::size_t known_names = names.size();
    for (std::string above = key; known_names-- > 0;) {
      above.resize(known_names == 0 ? 0 : above.rfind('/'));
      const auto known = resolved_.find(above);
      if (known == resolved_.end()) continue;
      real = RealFolder(known->second);
      break;
    }
    if (known_names > names.size()) known_names = 0;  // none: counted below zero
    std::vector<std::string> pending(names.rbegin(),
                                     names.rend() - static_cast<std::ptrdiff_t>(known_names));
    int followed = 0;
    while (!pending.empty()) {
      const std::string name = std::move(pending.back());
      pending.pop_back();
      if (name == ".") continue;
      if (name == "..") {
        real.leave();
        continue;
      }
      if (Result<void> entered = enter(real, name, entry, pending, followed); !entered) {
        return entered.error();
      }
    }
    keep_resolved(std::move(key), real.path());
    return real.path();
  }

  Result<void> enter(RealFolder& real, const std::string& name, std::string_view entry,
                     std::vector<std::string>& pending, int& followed) {
    real.enter(name);
    if (real.depth() > options_.depth_max) {
      return fail(
          Errc::resource_exhausted,
          shown(entry) + ": is more than " + std::to_string(options_.depth_max) + " folders deep");
    }
    if (Result<void> counted = step(real.depth()); !counted) return counted;
    const std::string path = absolute(real.path());
    Result<FileInfo> info = files_.info(path);
    if (!info) {
      if (info.error().code != Errc::not_found) return info.error();
      if (Result<void> charged = reader_.charge_folder(); !charged) return charged;
      return files_.make_directories(path);
    }
    if (info->type == FileType::directory) return {};
    if (info->type != FileType::symlink) {
      return fail(Errc::invalid_argument,
                  shown(entry) + ": \"" + real.path() + "\" is not a directory");
    }
    if (++followed > links_followed_max) {
      return fail(Errc::invalid_argument, shown(entry) + ": too many symbolic links");
    }
    Result<std::string> target = files_.read_symlink(path);
    if (!target) return target.error();
    real.leave();
    if (target->starts_with('/')) real.clear();
    push_components(*target, pending);
    return {};
  }

  void keep_resolved(std::string key, const std::string& real) {
    resolved_bytes_ += key.size() + real.size() + sizeof(std::string) * 4;
    if (resolved_bytes_ > resolved_bytes_max) {
      resolved_.clear();
      resolved_bytes_ = key.size() + real.size();
    }
    resolved_[std::move(key)] = real;
  }

  void forget_resolved() {
    resolved_.clear();
    resolved_bytes_ = 0;
  }

  Result<void> create(const Entry& entry, const std::string& relative) {
    const std::string path = absolute(relative);
    if (Result<void> counted = step(depth_of(relative)); !counted) return counted;
    Result<FileInfo> there = files_.info(path);
    if (there && there->type == FileType::directory && entry.type == '5') {
      if (options_.preserve) keep_folder(entry, relative);
      return files_.set_mode(path,
                             (entry.mode & 0777) | 0700);  // its owner must be able to fill it
    }
    std::string linked;
    if (entry.type == '1') {
      Result<std::string> target = hard_link_target(entry);
      if (!target) return target.error();
      if (*target == relative && there) return {};
      linked = std::move(*target);
    }
    if (there) {
      if (there->type != FileType::regular) {
        forget_resolved();
        forget_folders(relative);
      }
      if (Result<void> gone = files_.remove_all(path); !gone) return gone;
    }
    Result<void> made = make(entry, relative, path, linked);
    if (!made || !options_.preserve || entry.type == '1') return made;
    if (entry.type == '5') {
      keep_folder(entry, relative);
      return {};
    }
    const bool special = entry.type == '3' || entry.type == '4' || entry.type == '6';
    if (special && !files_.info(path)) return {};  // it was skipped
    const Metadata metadata{entry.mode, entry.owner, entry.group, entry.modified_ns,
                            entry.attributes};
    return set_metadata(metadata, relative, entry.type == '2');
  }

  Result<void> make(const Entry& entry, const std::string& relative, const std::string& path,
                    const std::string& linked) {
    switch (entry.type) {
      case '0': return write_file(entry, path);
      case '1': return copy_link(entry, relative, path, linked);
      case '2': return make_symlink(entry, relative, path);
      case '3':
      case '4':
      case '6': return make_special(entry, relative, path);
      case '5': {
        if (Result<void> made = files_.make_directories(path); !made) return made;
        return files_.set_mode(path, (entry.mode & 0777) | 0700);
      }
      default:
        return fail(Errc::unimplemented, shown(entry.name) + ": unknown type '" + entry.type + "'");
    }
  }

  Result<void> make_symlink(const Entry& entry, const std::string& relative,
                            const std::string& path) {
    const auto refuse = [&entry](std::string_view why) {
      return fail(Errc::invalid_argument, shown(entry.name) + ": symbolic link to \"" +
                                              base::shown_name(entry.link) + "\" " +
                                              std::string(why));
    };
    if (entry.link.size() > options_.name_bytes_max) return refuse("is too long");
    if (entry.link.find('\0') != std::string::npos) return refuse("contains a zero byte");
    if (options_.refuse_escaping_links && escapes(relative, entry.link)) {
      return refuse("leaves the archive");
    }
    return files_.make_symlink(entry.link, path);
  }

  Result<void> make_special(const Entry& entry, const std::string& relative,
                            const std::string& path) {
    if (!options_.whiteouts) {
      return fail(Errc::invalid_argument, shown(entry.name) + ": device nodes are refused");
    }
    using Kind = SpecialFile::Kind;
    SpecialFile file;
    file.kind = entry.type == '6'   ? Kind::pipe
                : entry.type == '3' ? Kind::character_device
                                    : Kind::block_device;
    file.mode = entry.mode;
    file.major = entry.device_major;
    file.minor = entry.device_minor;
    return make_special(file, relative, path);
  }

  // A device leads out of the root, to the machine's hardware, for whoever may open it.
  Result<void> make_special(SpecialFile file, const std::string& relative,
                            const std::string& path) {
    if (file.kind == SpecialFile::Kind::pipe || options_.make_devices) {
      Result<void> made = files_.make_special(path, file);
      if (made || made.error().code != Errc::unimplemented) return made;
    }
    skip(std::move(file), relative);
    return {};
  }

  void skip(SpecialFile file, const std::string& relative) {
    if (losses_.skipped.size() == losses_max) return;
    file.name = relative;
    losses_.skipped.push_back(std::move(file));
  }

  Result<std::unique_ptr<File>> create_file(const std::string& path, unsigned mode) {
    const OpenOptions how{.write = true, .create = true, .exclusive = true, .mode = mode | 0400};
    Result<std::unique_ptr<File>> file = files_.open(path, how);
    if (!file) return file;
    // The process's umask may have taken bits away; with `preserve` the whole mode is set later.
    if (options_.preserve) return file;
    if (Result<void> set = files_.set_mode(path, mode | 0400); !set) return set.error();
    return file;
  }

  Result<void> write_file(const Entry& entry, const std::string& path) {
    Result<std::unique_ptr<File>> file = create_file(path, entry.mode & 0777);
    if (!file) return file.error();
    buffer_.resize(copy_bytes);
    std::uint64_t end = 0;
    while (true) {
      std::uint64_t offset = 0;
      Result<std::size_t> count = reader_.content(buffer_, offset);
      if (!count) return count.error().within(shown(entry.name));
      if (*count == 0) break;
      const std::string_view bytes(buffer_.data(), *count);
      if (Result<void> written = (*file)->write_at(offset, bytes); !written) return written;
      end = offset + *count;
    }
    return end < entry.size ? (*file)->truncate(entry.size) : Result<void>();  // ends in a hole
  }

  // Of the file that a hard link shares, relative to the root. A link at its end is not followed.
  Result<std::string> hard_link_target(const Entry& entry) {
    Result<Target> target = find(entry.link);
    if (!target) return target.error().within(shown(entry.name) + ": hard link");
    if (target->base.empty()) {
      return fail(Errc::invalid_argument, shown(entry.name) + ": hard link to nothing");
    }
    Result<std::string> parent = resolve(target->parents, entry.name);
    if (!parent) return parent.error();
    return child(*parent, target->base);
  }

  // A hard link shares its file's bytes; here it becomes a copy, bounded like content.
  Result<void> copy_link(const Entry& entry, const std::string& relative, const std::string& path,
                         const std::string& linked) {
    const std::string target = absolute(linked);
    Result<FileInfo> info = files_.info(target);
    if (!info) {
      const std::vector<SpecialFile>& skipped = losses_.skipped;
      const auto same = std::find_if(skipped.begin(), skipped.end(),
                                     [&](const SpecialFile& file) { return file.name == linked; });
      if (same != skipped.end()) {
        skip(*same, relative);
        return {};
      }
    }
    if (!info || info->type == FileType::directory) {
      return fail(Errc::invalid_argument, shown(entry.name) + ": hard link to \"" +
                                              base::shown_name(entry.link) +
                                              "\", which is no file of the archive");
    }
    if (options_.preserve) {
      Result<void> made = files_.make_hard_link(target, path);
      const bool copied = !made && (made.error().code == Errc::unimplemented ||
                                    made.error().code == Errc::resource_exhausted);
      if (!copied) return made;
    }
    if (info->type == FileType::symlink) {
      Result<std::string> link = files_.read_symlink(target);
      if (!link) return link.error();
      return files_.make_symlink(*link, path);
    }
    if (info->type == FileType::other) {
      Result<SpecialFile> file = files_.special(target);
      if (!file) return file.error();
      return make_special(*file, relative, path);
    }
    if (Result<void> charged = reader_.charge_bytes(info->size_bytes); !charged) return charged;
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

  // Whiteouts hide what lower layers have, wherever in the archive they stand: what this layer
  // brings stays.
  Result<void> whiteout(const Entry& entry, const std::string& parent, const std::string& base) {
    if (base == whiteout_opaque) return clear_lower(parent);
    const std::string hidden = base.substr(whiteout_prefix.size());
    if (hidden.empty() || hidden == "." || hidden == "..") {
      return fail(Errc::invalid_argument, shown(entry.name) + ": whiteout of nothing");
    }
    const std::string relative = child(parent, hidden);
    if (Result<void> counted = step(depth_of(relative)); !counted) return counted;
    if (!made_here(relative)) {
      forget_resolved();
      return files_.remove_all(absolute(relative));
    }
    Result<FileInfo> info = files_.info(absolute(relative));
    const bool folder = info && info->type == FileType::directory;
    return folder ? clear_lower(relative) : Result<void>();
  }

  static std::uint64_t fingerprint(std::string_view path) {
    return std::hash<std::string_view>()(path);
  }

  // The path and all above it. Fingerprints, since a layer may have two million long names: two
  // that collide could only keep a file of a lower layer of the same image.
  void remember(std::string_view path) {
    while (made_.insert(fingerprint(path)).second) {
      const std::size_t slash = path.rfind('/');
      if (slash == std::string_view::npos) return;
      path = path.substr(0, slash);
    }
  }

  // Is it, or anything below it, from this very layer?
  bool made_here(std::string_view path) const { return made_.contains(fingerprint(path)); }

  // Remove what lower layers put into a directory, not what this one does.
  Result<void> clear_lower(const std::string& directory) {
    if (!cleared_.insert(fingerprint(directory)).second) return {};
    forget_resolved();
    std::vector<std::string> pending{directory};
    while (!pending.empty()) {
      const std::string current = std::move(pending.back());
      pending.pop_back();
      Result<std::vector<FileInfo>> entries = files_.list(absolute(current));
      if (!entries) return entries.error();
      for (const FileInfo& entry : *entries) {
        const std::string relative = child(current, entry.name);
        if (Result<void> counted = step(depth_of(relative)); !counted) return counted;
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
  Reader& reader_;
  std::unordered_map<std::string, std::string> resolved_;
  std::size_t resolved_bytes_ = 0;
  std::unordered_set<std::uint64_t> made_;
  std::unordered_set<std::uint64_t> cleared_;
  UnpackLosses losses_;
  std::map<std::string, Metadata> folders_;  // of this layer, with `preserve`
  std::vector<char> buffer_;
  std::uint64_t steps_ = 0;
};

}  // namespace

std::string UnpackLosses::to_string() const {
  std::vector<std::string> first;
  const auto add = [&first](const auto& all, const auto& text_of, std::string_view rest) {
    for (std::size_t i = 0; i < std::min(all.size(), losses_named_max); ++i) {
      first.push_back(text_of(all[i]));
    }
    if (all.size() <= losses_named_max) return;
    first.push_back(std::to_string(all.size() - losses_named_max) + std::string(rest));
  };
  const auto named = [](const SpecialFile& file) {
    return "\"" + base::shown_name(file.name) + "\" is not made: a " +
           (file.kind == SpecialFile::Kind::pipe ? "pipe" : "device");
  };
  add(skipped, named, " more are not made");
  add(
      changed, [](const std::string& text) { return text; }, " more are changed");
  std::string text;
  for (const std::string& each : first) text.append(text.empty() ? "" : "; ").append(each);
  return text;
}

Result<UnpackedLayer> unpack_layer(Files& files, ByteSource& archive, const std::string& root,
                                   const UnpackOptions& options) {
  Result<std::unique_ptr<tar::DecodedSource>> plain = tar::DecodedSource::over(archive, {});
  if (!plain) return plain.error();
  Reader reader(**plain, options);
  Extractor extractor(files, root, options, reader);
  while (true) {
    Result<std::optional<Entry>> entry = reader.next();
    if (!entry) return entry.error();
    if (!*entry) break;
    if (Result<void> put = extractor.put(**entry); !put) return put.error();
  }
  if (Result<void> finished = extractor.finish(); !finished) return finished.error();
  Result<UnpackedLayer> layer = reader.finish();
  if (!layer) return layer;
  layer->diff_id = (*plain)->digest();
  layer->losses = extractor.take_losses();
  return layer;
}

}  // namespace knative::oci
