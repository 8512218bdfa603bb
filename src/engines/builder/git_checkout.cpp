#include "engines/builder/git_checkout.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "engines/builder/git_files.hpp"
#include "engines/builder/tree_writer.hpp"

namespace knative::builder::git {

namespace {

constexpr std::size_t tree_depth_max = 256;
constexpr int tags_of_tags_max = 16;
constexpr std::size_t link_bytes_max = 4095;
constexpr std::uint64_t description_bytes_max = std::uint64_t{256} << 20;
constexpr std::uint64_t modules_bytes_max = std::uint64_t{1} << 20;
constexpr std::uint32_t gitlink_mode = 0160000;
constexpr std::string_view modules_name = ".gitmodules";
constexpr std::string_view objects_folder = "/.git/objects/pack";

Error was_cancelled() { return fail(Errc::cancelled, "the fetch was cancelled"); }

std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

std::string below(const std::string& folder, std::string_view name) {
  std::string path = folder;
  if (!path.empty()) path.push_back('/');
  return path.append(name);
}

// What says what is to be written, and not the files themselves. A small pack may hold very large
// objects.
Result<Objects::Object> read_description(Objects& objects, const Id& id) {
  const Result<Objects::Header> header = objects.header(id);
  if (!header) return header.error();
  if (header->size_bytes > description_bytes_max) {
    return fail(Errc::resource_exhausted,
                "a commit, tag or tree of the repository is larger than " +
                    std::to_string(description_bytes_max) + " bytes");
  }
  return objects.read(id);
}

// ------------------------------------------------------------------------ the commit

struct FoundCommit {
  Id id;
  Commit commit;
};

Result<FoundCommit> find_commit(Objects& objects, const std::string& revision) {
  Result<Id> id = objects.find(revision);
  if (!id && id.error().code == Errc::not_found) {
    return fail(Errc::not_found, "revision \"" + revision +
                                     "\" does not exist: the repository has no commit with "
                                     "this id");
  }
  if (!id) return id.error();
  for (int tags = 0; tags <= tags_of_tags_max; ++tags) {
    Result<Objects::Object> object = read_description(objects, *id);
    if (!object) return object.error().within("revision \"" + revision + "\"");
    if (object->type == ObjectType::commit) {
      Result<Commit> commit = parse_commit(object->bytes);
      if (!commit) return commit.error();
      return FoundCommit{*id, *commit};
    }
    if (object->type != ObjectType::tag) break;
    id = parse_tag(object->bytes);
    if (!id) return id.error();
  }
  return fail(Errc::invalid_argument, "revision \"" + revision + "\" is not a commit");
}

// ------------------------------------------------------------------------ counting

// What a tree comes to when it is written out. A few objects may stand for any number of files:
// each tree is looked at once.
class Counter {
 public:
  struct Totals {
    std::uint64_t entries = 0;
    std::uint64_t bytes = 0;
    std::size_t depth = 0;
  };

  Counter(Objects& objects, const FetcherOptions& limits, const std::atomic<bool>& cancelled)
      : objects_(objects), limits_(limits), cancelled_(cancelled) {}

  Result<Totals> tree(const Id& id, const std::string& path, std::size_t depth) {
    if (const auto known = trees_.find(id); known != trees_.end()) return known->second;
    if (cancelled_.load()) return was_cancelled();
    if (depth > tree_depth_max) return too_deep();
    Result<Objects::Object> object = read_description(objects_, id);
    if (!object) return missing(object.error(), path.empty() ? "its root" : path);
    if (object->type != ObjectType::tree) return damaged(path);
    Result<std::vector<TreeEntry>> entries = parse_tree(object->bytes);
    if (!entries) return entries.error();
    Totals totals;
    for (const TreeEntry& entry : *entries) {
      Result<Totals> part = entry_totals(entry, path, depth);
      if (!part) return part;
      totals.entries = sum(totals.entries, sum(part->entries, 1));
      totals.bytes = sum(totals.bytes, part->bytes);
      totals.depth = std::max(totals.depth, part->depth + 1);
      // Distinct entries are no more than all of them.
      if (std::max(totals.entries, ++looked_at_) > limits_.files_max) return too_many();
      if (totals.bytes > limits_.bytes_max) return too_large();
      if (depth + totals.depth > tree_depth_max + 1) return too_deep();
    }
    trees_.emplace(id, totals);
    return totals;
  }

  // The distinct objects below and including the tree.
  std::unordered_set<Id, IdHash> objects() const {
    std::unordered_set<Id, IdHash> all;
    all.reserve(trees_.size() + files_.size() + 1);
    for (const auto& [id, totals] : trees_) all.insert(id);
    for (const auto& [id, size] : files_) all.insert(id);
    return all;
  }

 private:
  Result<Totals> entry_totals(const TreeEntry& entry, const std::string& path, std::size_t depth) {
    if (entry.kind == EntryKind::submodule) return Totals{};
    if (entry.kind == EntryKind::folder) return tree(entry.id, below(path, entry.name), depth + 1);
    if (const auto known = files_.find(entry.id); known != files_.end()) {
      return Totals{0, known->second, 0};
    }
    const Result<Objects::Header> header = objects_.header(entry.id);
    if (!header) return missing(header.error(), below(path, entry.name));
    if (header->type != ObjectType::blob) return damaged(below(path, entry.name));
    if (entry.kind == EntryKind::link && header->size_bytes > link_bytes_max) {
      return fail(Errc::invalid_argument,
                  "\"" + below(path, entry.name) + "\" is a link to a place too long to be one");
    }
    files_.emplace(entry.id, header->size_bytes);
    return Totals{0, header->size_bytes, 0};
  }

  static Error damaged(const std::string& path) {
    return fail(Errc::invalid_argument,
                "the commit is damaged: \"" + path + "\" is an object of another kind");
  }
  static Error missing(const Error& error, const std::string& path) {
    if (error.code != Errc::not_found) return error;
    return fail(Errc::not_found, "the repository lacks an object of the commit, \"" + path +
                                     "\": it is damaged, or a partial clone");
  }
  Error too_many() const {
    return fail(
        Errc::resource_exhausted,
        "the commit has more than " + std::to_string(limits_.files_max) + " files and folders");
  }
  Error too_large() const {
    return fail(Errc::resource_exhausted, "the files of the commit are larger than " +
                                              std::to_string(limits_.bytes_max) + " bytes");
  }
  static Error too_deep() {
    return fail(Errc::resource_exhausted,
                "the commit is more than " + std::to_string(tree_depth_max) + " folders deep");
  }

  Objects& objects_;
  const FetcherOptions& limits_;
  const std::atomic<bool>& cancelled_;
  std::unordered_map<Id, Totals, IdHash> trees_;
  std::unordered_map<Id, std::uint64_t, IdHash> files_;
  std::uint64_t looked_at_ = 0;
};

// ------------------------------------------------------------------------ writing

// As git fills it in, so that its commands see at once that nothing has changed.
IndexEntry index_entry(const std::string& real, const std::string& path, std::uint32_t mode,
                       const Id& id) {
  IndexEntry entry;
  entry.path = path;
  entry.id = id;
  entry.mode = mode;
  struct stat status;
  if (mode == gitlink_mode || ::lstat(real.c_str(), &status) != 0) return entry;
  const auto low = [](auto value) { return static_cast<std::uint32_t>(value); };
  entry.changed_seconds = low(status.st_ctim.tv_sec);
  entry.changed_nanoseconds = low(status.st_ctim.tv_nsec);
  entry.modified_seconds = low(status.st_mtim.tv_sec);
  entry.modified_nanoseconds = low(status.st_mtim.tv_nsec);
  entry.device = low(status.st_dev);
  entry.inode = low(status.st_ino);
  entry.user = low(status.st_uid);
  entry.group = low(status.st_gid);
  entry.size_bytes = low(status.st_size);
  return entry;
}

class WorkingTree {
 public:
  WorkingTree(Objects& objects, TreeWriter writer, std::unique_ptr<PackWriter> pack,
              std::unordered_set<Id, IdHash> unpacked, const std::atomic<bool>& cancelled)
      : objects_(objects),
        writer_(std::move(writer)),
        pack_(std::move(pack)),
        unpacked_(std::move(unpacked)),
        cancelled_(cancelled) {}

  Result<void> write(const FoundCommit& found) {
    Result<Objects::Object> commit = objects_.read(found.id);
    if (!commit) return commit.error();
    if (Result<void> r = keep(found.id, *commit); !r) return r;
    if (Result<void> r = tree(found.commit.tree, ""); !r) return r;
    return pack_ ? pack_->finish() : Result<void>();
  }
  const std::vector<IndexEntry>& index() const { return index_; }

 private:
  // The counter has seen that this ends.
  Result<void> tree(const Id& id, const std::string& path) {
    Result<Objects::Object> object = objects_.read(id);
    if (!object) return object.error();
    if (Result<void> r = keep(id, *object); !r) return r;
    Result<std::vector<TreeEntry>> entries = parse_tree(object->bytes);
    if (!entries) return entries.error();
    for (const TreeEntry& entry : *entries) {
      if (cancelled_.load()) return was_cancelled();
      const std::string name = below(path, entry.name);
      Result<void> done;
      if (entry.kind == EntryKind::folder || entry.kind == EntryKind::submodule) {
        done = writer_.folder(name);
        if (done && entry.kind == EntryKind::folder) {
          done = tree(entry.id, name);
        } else if (done) {
          note(name, gitlink_mode, entry.id);
        }
      } else {
        done = file(entry, name);
      }
      if (!done) return done;
    }
    return {};
  }

  Result<void> file(const TreeEntry& entry, const std::string& name) {
    Result<Objects::Object> object = objects_.read(entry.id);
    if (!object) return object.error();
    if (Result<void> r = keep(entry.id, *object); !r) return r;
    if (entry.kind == EntryKind::link) {
      if (object->bytes.empty() || object->bytes.find('\0') != object->bytes.npos) {
        return fail(Errc::invalid_argument, "\"" + name + "\" is a link to nowhere");
      }
      Result<void> made = writer_.link(std::string(object->bytes), name);
      if (made) note(name, 0120000, entry.id);
      return made;
    }
    const bool program = entry.kind == EntryKind::program;
    Result<std::unique_ptr<File>> opened = writer_.file(name, program ? 0755 : 0644);
    if (!opened) return opened.error();
    Result<void> written;
    if (!object->bytes.empty()) written = (*opened)->write_at(0, object->bytes);
    if (written) note(name, program ? 0100755 : 0100644, entry.id);
    return written;
  }

  Result<void> keep(const Id& id, const Objects::Object& object) {
    if (!pack_ || unpacked_.erase(id) == 0) return {};
    return pack_->add(id, object.type, object.bytes);
  }

  void note(const std::string& path, std::uint32_t mode, const Id& id) {
    index_.push_back(index_entry(writer_.absolute(path), path, mode, id));
  }

  Objects& objects_;
  TreeWriter writer_;
  std::unique_ptr<PackWriter> pack_;  // null: the repository has the objects
  std::unordered_set<Id, IdHash> unpacked_;
  const std::atomic<bool>& cancelled_;
  std::vector<IndexEntry> index_;
};

// Files of a repository that lives no longer than its build: nothing is synced.
Result<void> put(Files& files, const std::string& path, std::string_view text) {
  const OpenOptions how{.write = true, .create = true, .truncate = true};
  Result<std::unique_ptr<File>> file = files.open(path, how);
  if (!file) return file.error();
  return (*file)->write_at(0, text);
}

// From the commit: what lies in the workspace may be a link.
Result<std::string> read_modules(Objects& objects, const Id& root) {
  const Result<Objects::Object> tree = objects.read(root);
  if (!tree) return tree.error();
  const Result<std::vector<TreeEntry>> entries = parse_tree(tree->bytes);
  if (!entries) return entries.error();
  for (const TreeEntry& entry : *entries) {
    if (entry.name != modules_name) continue;
    if (entry.kind == EntryKind::link || entry.kind == EntryKind::folder) {
      return fail(Errc::invalid_argument, ".gitmodules is no file");
    }
    const Result<Objects::Header> header = objects.header(entry.id);
    if (!header) return header.error();
    if (header->size_bytes > modules_bytes_max) {
      return fail(Errc::resource_exhausted, ".gitmodules is too large");
    }
    const Result<Objects::Object> object = objects.read(entry.id);
    if (!object) return object.error();
    return std::string(object->bytes);
  }
  return std::string();
}

// A value in git's configuration, in quotes.
std::string configured(std::string_view value) {
  std::string text = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') text.push_back('\\');
    if (c == '\n') {
      text.append("\\n");
    } else {
      text.push_back(c);
    }
  }
  return text.append("\"");
}

}  // namespace

Result<void> make_repository(Files& files, const CheckoutRequest& request) {
  const std::string folder = request.directory + "/.git";
  if (files.info(folder)) {
    return fail(Errc::already_exists, "the target directory holds a repository already");
  }
  for (const char* name : {"/objects/pack", "/objects/info", "/refs/heads", "/refs/tags"}) {
    if (Result<void> made = files.make_directories(folder + name); !made) return made;
  }
  return put(files, folder + "/config",
             "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"
             "[remote \"origin\"]\n\turl = " +
                 configured(request.url) + "\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n");
}

Result<Checkout> check_out(Files& files, Objects& objects, const CheckoutRequest& request,
                           const std::atomic<bool>& cancelled) {
  const Result<FoundCommit> found = find_commit(objects, request.revision);
  if (!found) return found.error();
  Counter counter(objects, request.limits, cancelled);
  const Result<Counter::Totals> counted = counter.tree(found->commit.tree, "", 0);
  if (!counted) return counted.error();
  Result<TreeWriter> writer = TreeWriter::into(files, request.directory, ".git");
  if (!writer) return writer.error();
  const std::string name = found->id.hex();
  std::unique_ptr<PackWriter> pack;
  std::unordered_set<Id, IdHash> unpacked;
  if (request.keep_objects) {
    if (Result<void> made = make_repository(files, request); !made) return made.error();
    unpacked = counter.objects();
    unpacked.insert(found->id);
    Result<std::unique_ptr<PackWriter>> created =
        PackWriter::create(files, request.directory + std::string(objects_folder) + "/pack-" + name,
                           static_cast<std::uint32_t>(unpacked.size()));
    if (!created) return created.error();
    pack = std::move(*created);
    if (found->commit.has_parents) {  // so that git commands of steps know where history ends
      Result<void> cut = put(files, request.directory + "/.git/shallow", name + "\n");
      if (!cut) return cut.error();
    }
  }
  Checkout checkout{name, found->commit.time_seconds, counted->entries, counted->bytes, {}, {}};
  if (request.submodules) {
    Result<std::string> modules = read_modules(objects, found->commit.tree);
    if (!modules) return modules.error();
    checkout.modules = std::move(*modules);
  }
  WorkingTree tree(objects, std::move(*writer), std::move(pack), std::move(unpacked), cancelled);
  if (Result<void> written = tree.write(*found); !written) return written.error();
  Result<void> ended = write_index(files, request.directory + "/.git/index", tree.index());
  if (ended) ended = put(files, request.directory + "/.git/HEAD", name + "\n");
  if (!ended) return ended.error();
  for (const IndexEntry& entry : tree.index()) {
    if (!request.submodules || entry.mode != gitlink_mode) continue;
    checkout.gitlinks.push_back({entry.path, entry.id.hex()});
  }
  return checkout;
}

}  // namespace knative::builder::git
