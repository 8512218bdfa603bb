// The in-memory disk: what programs see, and beside it what would survive a power failure.
//
// Every file keeps its durable bytes and the list of changes since; every directory its durable
// entries. Changes of entries stand in one journal of transactions: a rename is atomic, and
// syncing a directory takes along the earlier transactions that touch the same directories.
// A crash keeps what is durable and, by its mode, some of the rest.
#include <algorithm>
#include <deque>

#include "simulation/files_nodes.hpp"
#include "simulation/world.hpp"

namespace knative::simulation {
namespace {

constexpr std::size_t page_bytes = 4096;
constexpr int symlinks_max = 40;
constexpr std::uint64_t file_bytes_max = std::uint64_t{1} << 32;

/// Where a path leads: the directory, the name in it, and the node when it exists.
struct Place {
  NodePtr directory;
  std::string name;
  NodePtr node;
};

class VirtualDisk;

class SimFile final : public File {
 public:
  SimFile(VirtualDisk& disk, NodePtr node, std::string path, bool writable, bool lock);
  ~SimFile() override;
  Result<std::size_t> read_at(std::uint64_t offset, std::span<char> into) override;
  Result<void> write_at(std::uint64_t offset, std::string_view bytes) override;
  Result<void> sync() override;
  Result<void> truncate(std::uint64_t size) override;
  Result<std::uint64_t> size() override;
  Result<bool> is_at(const std::string& path) override;

 private:
  Result<void> usable(std::string_view what, bool to_write) const;
  VirtualDisk& disk_;
  NodePtr node_;
  std::string path_;
  std::uint64_t epoch_;
  bool writable_;
  bool lock_;
};

class VirtualDisk final : public DiskWorld, public Files, public SimDisk {
 public:
  VirtualDisk(World& w, std::string host, Random chance, Power& power)
      : world(w),
        random(chance),
        power_(power),
        host_(std::move(host)),
        root_(std::make_shared<Node>()) {
    root_->type = FileType::directory;
    root_->mode = 0755;
    auto tmp = std::make_shared<Node>(*root_);
    root_->entries["tmp"] = root_->durable_entries["tmp"] = std::move(tmp);
  }
  Files& files() noexcept override { return *this; }
  SimDisk& control() noexcept override { return *this; }
  std::vector<std::string> open_files() const override {
    return std::vector<std::string>(open_paths.begin(), open_paths.end());
  }

  Result<std::unique_ptr<File>> open(const std::string& path, const OpenOptions& options) override;
  Result<FileInfo> info(const std::string& path) override;
  Result<std::vector<FileInfo>> list(const std::string& directory) override;
  Result<void> make_directories(const std::string& path) override;
  Result<void> make_symlink(const std::string& target, const std::string& path) override;
  Result<std::string> read_symlink(const std::string& path) override;
  Result<void> set_mode(const std::string& path, unsigned mode) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> remove_all(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<std::string> make_temporary_directory(const std::string& prefix) override;
  Result<std::unique_ptr<File>> lock(const std::string& path) override;
  Result<void> make_hard_link(const std::string& existing, const std::string& path) override;
  Result<void> set_owner(const std::string& path, std::uint32_t owner,
                         std::uint32_t group) override;
  Result<void> set_modified(const std::string& path, std::int64_t nanoseconds) override;
  Result<void> set_attribute(const std::string& path, const std::string& name,
                             std::string_view value) override;
  Result<FileAttributes> attributes(const std::string& path) override;
  Result<void> make_special(const std::string& path, const SpecialFile& file) override;
  Result<SpecialFile> special(const std::string& path) override;

  void crash(CrashMode mode) override;
  void set_capacity(std::uint64_t bytes_max) override { capacity_ = bytes_max; }
  std::uint64_t used_bytes() const override { return used(*root_); }
  Result<void> flip_bit(const std::string& path, std::uint64_t bit) override;
  std::map<std::string, std::string> snapshot() const override;

  /// Count the operation, trace it, and fail it when a fault strikes.
  Result<void> begin(SimOperation operation, const std::string& path, std::uint64_t bytes = 0);
  Result<void> powered(const std::string& path) const;
  Result<Place> walk(const std::string& path, bool follow_last) const;
  std::string subject(SimOperation operation, const std::string& path) const {
    std::string text(to_string(operation));
    text += ' ';
    text += host_;
    text += ':';
    text += path;
    return text;
  }
  /// How many of `bytes` more fit.
  std::uint64_t room(std::uint64_t bytes) const {
    if (capacity_ == Faults::forever) return bytes;
    const std::uint64_t taken = used_bytes();
    return std::min(bytes, taken < capacity_ ? capacity_ - taken : 0);
  }
  static void flip(Node& node, std::uint64_t bit) {
    const auto byte = static_cast<std::size_t>(bit / 8);
    const auto mask = static_cast<char>(1 << (bit % 8));
    if (byte < node.data.size()) node.data[byte] = static_cast<char>(node.data[byte] ^ mask);
    if (byte < node.durable.size()) {
      node.durable[byte] = static_cast<char>(node.durable[byte] ^ mask);
    }
  }

  std::int64_t wall_ns() const noexcept { return world.clock.wall().time_since_epoch().count(); }

  World& world;
  Random random;
  std::uint64_t epoch = 0;
  std::multiset<std::string> open_paths;

 private:
  Result<Place> existing(const std::string& path, bool follow_last) const;
  Result<Place> absent(const std::string& path) const;
  Result<NodePtr> directory(const std::string& path) const;
  Result<NodePtr> changing(const std::string& path);
  Result<void> make_one_directory(const Place& place);
  Result<std::unique_ptr<File>> open_node(const std::string& path, const OpenOptions& options,
                                          bool lock);
  void commit(Transaction transaction);
  void remove_tree(const NodePtr& directory, const std::string& name);
  void recover(Node& node, CrashMode mode);
  static void count_links(const Node& directory);
  std::string surviving(const Node& node, CrashMode mode);
  static std::uint64_t used(const Node& node);
  static bool contains(const Node& tree, const Node& searched);
  static void collect(const Node& node, const std::string& path,
                      std::map<std::string, std::string>& into);

  Power& power_;
  std::string host_;
  NodePtr root_;
  std::deque<Transaction> journal_;
  std::uint64_t capacity_ = Faults::forever;
  std::uint64_t last_id_ = 0;
};

Error missing(const std::string& path) {
  return fail(Errc::not_found, path + ": no such file or directory");
}
Error io_error(const std::string& path, std::string_view what) {
  return fail(Errc::unavailable, path + ": input/output error in " + std::string(what));
}

// ---------------------------------------------------------------------------- file

SimFile::SimFile(VirtualDisk& disk, NodePtr node, std::string path, bool writable, bool lock)
    : disk_(disk),
      node_(std::move(node)),
      path_(std::move(path)),
      epoch_(disk.epoch),
      writable_(writable),
      lock_(lock) {
  if (lock_) node_->locked = true;
  disk_.open_paths.insert(path_);
}

SimFile::~SimFile() {
  if (lock_ && epoch_ == disk_.epoch) node_->locked = false;
  disk_.open_paths.erase(disk_.open_paths.find(path_));
}

Result<void> SimFile::usable(std::string_view what, bool to_write) const {
  if (epoch_ != disk_.epoch) {
    return fail(Errc::failed_precondition,
                path_ + ": " + std::string(what) + " on a file opened before the crash");
  }
  if (to_write && !writable_) {
    return fail(Errc::failed_precondition, path_ + ": not open for writing");
  }
  return {};
}

Result<std::size_t> SimFile::read_at(std::uint64_t offset, std::span<char> into) {
  if (Result<void> ok = usable("read", false); !ok) return ok.error();
  if (Result<void> ok = disk_.begin(SimOperation::file_read, path_, into.size()); !ok) {
    return ok.error();
  }
  const double rot = disk_.world.faults.plan().bit_rot;
  if (!node_->data.empty() && disk_.world.faults.chance(rot, "bit_rot", path_)) {
    VirtualDisk::flip(*node_, disk_.random.below(node_->data.size() * 8));
  }
  if (offset >= node_->data.size()) return std::size_t{0};
  const std::string_view bytes =
      std::string_view(node_->data).substr(static_cast<std::size_t>(offset), into.size());
  std::copy(bytes.begin(), bytes.end(), into.begin());
  return bytes.size();
}

Result<void> SimFile::write_at(std::uint64_t offset, std::string_view bytes) {
  if (Result<void> ok = usable("write", true); !ok) return ok.error();
  if (offset > file_bytes_max || bytes.size() > file_bytes_max - offset) {
    return fail(Errc::resource_exhausted, path_ + ": file too large");
  }
  const Result<void> struck = disk_.begin(SimOperation::file_write, path_, bytes.size());
  // A failed write leaves a prefix that is shorter than asked for.
  std::uint64_t fits = bytes.size();
  if (!struck && fits != 0) fits = disk_.random.below(fits);
  const std::uint64_t end = offset + bytes.size();
  const std::uint64_t growth = end > node_->data.size() ? end - node_->data.size() : 0;
  if (growth != 0) {
    const std::uint64_t lacking = growth - disk_.room(growth);
    fits = std::min<std::uint64_t>(fits,
                                   bytes.size() - std::min<std::uint64_t>(lacking, bytes.size()));
  }
  if (fits != 0) {
    Change change{false, offset, std::string(bytes.substr(0, static_cast<std::size_t>(fits)))};
    apply(node_->data, change, change.bytes.size());
    node_->modified_ns = disk_.wall_ns();
    node_->pending.push_back(std::move(change));
  }
  if (!struck || fits != bytes.size()) {
    return fail(Errc::resource_exhausted, path_ + ": no space left on device");
  }
  return {};
}

Result<void> SimFile::sync() {
  if (Result<void> ok = usable("sync", false); !ok) return ok.error();
  if (Result<void> ok = disk_.begin(SimOperation::file_sync, path_); !ok) {
    // The pages count as clean from here on although only some of them reached the disk: later
    // syncs succeed and do not bring them back. Linux does just that.
    const std::size_t kept =
        static_cast<std::size_t>(disk_.random.below(node_->pending.size() + 1));
    for (std::size_t i = 0; i < kept; ++i) {
      apply(node_->durable, node_->pending[i], std::string::npos);
    }
    node_->pending.clear();
    return ok.error();
  }
  for (const Change& change : node_->pending) apply(node_->durable, change, std::string::npos);
  node_->pending.clear();
  return {};
}

Result<void> SimFile::truncate(std::uint64_t size) {
  if (Result<void> ok = usable("truncate", true); !ok) return ok.error();
  if (Result<void> ok = disk_.begin(SimOperation::file_truncate, path_, size); !ok) {
    return ok.error();
  }
  if (size > file_bytes_max) return fail(Errc::resource_exhausted, path_ + ": file too large");
  Change change{true, size, {}};
  apply(node_->data, change, 0);
  node_->modified_ns = disk_.wall_ns();
  node_->pending.push_back(std::move(change));
  return {};
}

Result<std::uint64_t> SimFile::size() {
  if (Result<void> ok = usable("size", false); !ok) return ok.error();
  if (Result<void> ok = disk_.begin(SimOperation::file_query, path_); !ok) return ok.error();
  return static_cast<std::uint64_t>(node_->data.size());
}

Result<bool> SimFile::is_at(const std::string& path) {
  // Neither traced nor failed: it reads nothing from the disk.
  if (Result<void> ok = usable("look", false); !ok) return ok.error();
  if (Result<void> ok = disk_.powered(path); !ok) return ok.error();
  const Result<Place> place = disk_.walk(path, false);
  return place.has_value() && place->node == node_;
}

// ---------------------------------------------------------------------------- paths

Result<void> VirtualDisk::powered(const std::string& path) const {
  if (!power_.on) return fail(Errc::unavailable, path + ": the host has no power");
  return {};
}

Result<void> VirtualDisk::begin(SimOperation operation, const std::string& path,
                                std::uint64_t bytes) {
  if (Result<void> ok = powered(path); !ok) return ok;
  const std::string text = subject(operation, path);
  world.record(TraceKind::file, text, bytes);
  if (world.faults.strikes(operation, path)) return io_error(path, to_string(operation));
  return {};
}

Result<Place> VirtualDisk::walk(const std::string& path, bool follow_last) const {
  if (path.empty()) return missing("\"\"");
  // A last "/" or "/." asks for a directory, behind a symbolic link too.
  const bool last_dot = path.ends_with("/.");
  const bool wants_directory = last_dot || path.ends_with('/');
  if (wants_directory) follow_last = true;
  std::vector<std::string> parts = components(path);
  std::deque<std::string> rest(parts.begin(), parts.end());
  std::vector<NodePtr> chain{root_};
  Place place{root_, "", root_};
  int links = 0;
  while (!rest.empty()) {
    const std::string name = std::move(rest.front());
    rest.pop_front();
    if (chain.back()->type != FileType::directory) {
      return fail(Errc::not_found, path + ": not a directory on the way");
    }
    if (name == "..") {
      if (chain.size() > 1) chain.pop_back();
      place = Place{chain.back(), "", chain.back()};
      continue;
    }
    const auto found = chain.back()->entries.find(name);
    if (found == chain.back()->entries.end()) {
      if (!rest.empty() || last_dot) return missing(path);
      return Place{chain.back(), name, nullptr};
    }
    const NodePtr node = found->second;
    if (node->type == FileType::symlink && (follow_last || !rest.empty())) {
      if (++links > symlinks_max) {
        return fail(Errc::invalid_argument, path + ": too many symbolic links");
      }
      std::vector<std::string> target = components(node->data);
      rest.insert(rest.begin(), target.begin(), target.end());
      if (!node->data.empty() && node->data.front() == '/') chain.resize(1);
      place = Place{chain.back(), "", chain.back()};
      continue;
    }
    place = Place{chain.back(), name, node};
    chain.push_back(node);
  }
  if (wants_directory && place.node->type != FileType::directory) {
    return fail(Errc::not_found, path + ": not a directory");
  }
  return place;
}

Result<Place> VirtualDisk::existing(const std::string& path, bool follow_last) const {
  Result<Place> place = walk(path, follow_last);
  if (place && place->node == nullptr) return missing(path);
  return place;
}

Result<Place> VirtualDisk::absent(const std::string& path) const {
  Result<Place> place = walk(path, false);
  if (place && place->node != nullptr) {
    return fail(Errc::already_exists, path + ": exists already");
  }
  return place;
}

Result<NodePtr> VirtualDisk::directory(const std::string& path) const {
  Result<Place> place = existing(path, true);
  if (!place) return place.error();
  if (place->node->type != FileType::directory) {
    return fail(Errc::not_found, path + ": not a directory");
  }
  return place->node;
}

void VirtualDisk::commit(Transaction transaction) {
  for (const EntryChange& change : transaction) {
    std::map<std::string, NodePtr>& entries = change.directory->entries;
    if (const auto old = entries.find(change.name); old != entries.end()) {
      --old->second->links;
      entries.erase(old);
    }
    change.directory->modified_ns = wall_ns();
    if (change.node == nullptr) continue;
    if (change.node->id == 0) {
      change.node->id = ++last_id_;
      change.node->modified_ns = wall_ns();
    }
    ++change.node->links;
    entries[change.name] = change.node;
  }
  journal_.push_back(std::move(transaction));
}

// ---------------------------------------------------------------------------- files

Result<std::unique_ptr<File>> VirtualDisk::open_node(const std::string& path,
                                                     const OpenOptions& options, bool lock) {
  if (Result<void> ok = begin(SimOperation::file_open, path); !ok) return ok.error();
  // Exclusive creation does not follow a symbolic link.
  Result<Place> place = walk(path, !(options.create && options.exclusive));
  if (!place) return place.error();
  NodePtr node = place->node;
  if (node != nullptr) {
    if (options.create && options.exclusive) {
      return fail(Errc::already_exists, path + ": exists already");
    }
    if (node->type == FileType::directory) {
      return fail(Errc::failed_precondition, path + ": is a directory");
    }
    if (node->special) {
      return fail(Errc::failed_precondition, path + ": is a pipe or a device");
    }
    if (lock && node->locked) {
      return fail(Errc::failed_precondition, path + ": locked by another holder");
    }
    if (options.truncate && options.write && !node->data.empty()) {
      node->data.clear();
      node->modified_ns = wall_ns();
      node->pending.push_back(Change{true, 0, {}});
    }
  } else {
    if (!options.create) return missing(path);
    node = std::make_shared<Node>();
    node->mode = options.mode & 07777;
    commit({EntryChange{place->directory, place->name, node}});
  }
  return std::unique_ptr<File>(
      std::make_unique<SimFile>(*this, std::move(node), path, options.write, lock));
}

Result<std::unique_ptr<File>> VirtualDisk::open(const std::string& path,
                                                const OpenOptions& options) {
  return open_node(path, options, false);
}

Result<std::unique_ptr<File>> VirtualDisk::lock(const std::string& path) {
  OpenOptions options;
  options.write = true;
  options.create = true;
  return open_node(path, options, true);
}

FileInfo info_of(const std::string& name, const Node& node) {
  FileInfo info;
  info.name = name;
  info.type = node.type;
  info.size_bytes = node.type == FileType::directory ? 0 : node.data.size();
  info.mode = node.mode;
  info.id = node.id;
  info.links = node.type == FileType::directory ? 1 : node.links;
  info.owner = node.owner;
  info.group = node.group;
  info.modified_ns = node.modified_ns;
  return info;
}

Result<FileInfo> VirtualDisk::info(const std::string& path) {
  if (Result<void> ok = begin(SimOperation::file_query, path); !ok) return ok.error();
  Result<Place> place = existing(path, false);
  if (!place) return place.error();
  std::string_view name = path;
  while (name.size() > 1 && name.ends_with('/')) name.remove_suffix(1);
  if (name.size() > 1) name.remove_prefix(name.rfind('/') + 1);
  return info_of(std::string(name), *place->node);
}

Result<std::vector<FileInfo>> VirtualDisk::list(const std::string& path) {
  if (Result<void> ok = begin(SimOperation::file_query, path); !ok) return ok.error();
  Result<NodePtr> node = directory(path);
  if (!node) return node.error();
  std::vector<FileInfo> infos;
  for (const auto& entry : (*node)->entries) infos.push_back(info_of(entry.first, *entry.second));
  return infos;
}

Result<void> VirtualDisk::make_one_directory(const Place& place) {
  auto node = std::make_shared<Node>();
  node->type = FileType::directory;
  node->mode = 0755;
  commit({EntryChange{place.directory, place.name, std::move(node)}});
  return {};
}

Result<void> VirtualDisk::make_directories(const std::string& path) {
  if (Result<void> ok = begin(SimOperation::file_change, path); !ok) return ok.error();
  std::string sofar = path.empty() || path.front() != '/' ? "" : "/";
  for (const std::string& part : components(path)) {
    if (!sofar.empty() && sofar.back() != '/') sofar += '/';
    sofar += part;
    Result<Place> place = walk(sofar, false);
    if (!place) return place.error();
    if (place->node == nullptr) {
      if (Result<void> made = make_one_directory(*place); !made) return made;
      continue;
    }
    const Result<Place> followed = walk(sofar, true);
    const bool good =
        followed && followed->node != nullptr && followed->node->type == FileType::directory;
    if (!good) return fail(Errc::already_exists, sofar + ": exists and is not a directory");
  }
  return {};
}

Result<void> VirtualDisk::make_symlink(const std::string& target, const std::string& path) {
  if (Result<void> ok = begin(SimOperation::file_change, path); !ok) return ok.error();
  Result<Place> place = absent(path);
  if (!place) return place.error();
  auto node = std::make_shared<Node>();
  node->type = FileType::symlink;
  node->mode = 0777;
  node->data = target;
  commit({EntryChange{place->directory, place->name, std::move(node)}});
  return {};
}

Result<NodePtr> VirtualDisk::changing(const std::string& path) {
  if (Result<void> ok = begin(SimOperation::file_change, path); !ok) return ok.error();
  Result<Place> place = existing(path, false);
  if (!place) return place.error();
  return place->node;
}

Result<void> VirtualDisk::make_hard_link(const std::string& there, const std::string& path) {
  Result<NodePtr> node = changing(there);
  if (!node) return node.error();
  if ((*node)->type == FileType::directory) {
    return fail(Errc::failed_precondition, there + ": is a directory");
  }
  Result<Place> place = absent(path);
  if (!place) return place.error();
  commit({EntryChange{place->directory, place->name, *node}});
  return {};
}

Result<void> VirtualDisk::set_owner(const std::string& path, std::uint32_t owner,
                                    std::uint32_t group) {
  Result<NodePtr> node = changing(path);
  if (!node) return node.error();
  (*node)->owner = owner;
  (*node)->group = group;
  // As Linux does, for whoever owned it gave a right that the new owner must give himself.
  if ((*node)->type == FileType::regular) (*node)->mode &= ~06000u;
  return {};
}

Result<void> VirtualDisk::set_modified(const std::string& path, std::int64_t nanoseconds) {
  Result<NodePtr> node = changing(path);
  if (!node) return node.error();
  (*node)->modified_ns = nanoseconds;
  return {};
}

Result<void> VirtualDisk::set_attribute(const std::string& path, const std::string& name,
                                        std::string_view value) {
  Result<NodePtr> node = changing(path);
  if (!node) return node.error();
  if (name.find('.') == std::string::npos) {
    return fail(Errc::unimplemented, path + ": " + name + " cannot be kept here");
  }
  (*node)->attributes[name] = value;
  return {};
}

Result<FileAttributes> VirtualDisk::attributes(const std::string& path) {
  if (Result<void> ok = begin(SimOperation::file_query, path); !ok) return ok.error();
  Result<Place> place = existing(path, false);
  if (!place) return place.error();
  return place->node->attributes;
}

Result<void> VirtualDisk::make_special(const std::string& path, const SpecialFile& file) {
  if (Result<void> ok = begin(SimOperation::file_change, path); !ok) return ok.error();
  Result<Place> place = absent(path);
  if (!place) return place.error();
  if (file.kind != SpecialFile::Kind::pipe) {
    return fail(Errc::unimplemented, path + ": this machine's programs may make no devices");
  }
  auto node = std::make_shared<Node>();
  node->type = FileType::other;
  node->mode = file.mode & 0777;
  node->special = file;
  commit({EntryChange{place->directory, place->name, std::move(node)}});
  return {};
}

Result<SpecialFile> VirtualDisk::special(const std::string& path) {
  if (Result<void> ok = begin(SimOperation::file_query, path); !ok) return ok.error();
  Result<Place> place = existing(path, false);
  if (!place) return place.error();
  if (!place->node->special) {
    return fail(Errc::unimplemented, path + ": neither a pipe nor a device");
  }
  SpecialFile file = *place->node->special;
  file.name = place->name;
  file.mode = place->node->mode;
  return file;
}

Result<std::string> VirtualDisk::read_symlink(const std::string& path) {
  if (Result<void> ok = begin(SimOperation::file_query, path); !ok) return ok.error();
  Result<Place> place = existing(path, false);
  if (!place) return place.error();
  if (place->node->type != FileType::symlink) {
    return fail(Errc::invalid_argument, path + ": not a symbolic link");
  }
  return place->node->data;
}

Result<void> VirtualDisk::set_mode(const std::string& path, unsigned mode) {
  if (Result<void> ok = begin(SimOperation::file_change, path); !ok) return ok.error();
  Result<Place> place = existing(path, true);
  if (!place) return place.error();
  place->node->mode = mode & 07777;
  return {};
}

bool VirtualDisk::contains(const Node& tree, const Node& searched) {
  if (&tree == &searched) return true;
  for (const auto& entry : tree.entries) {
    if (contains(*entry.second, searched)) return true;
  }
  return false;
}

Result<void> VirtualDisk::rename(const std::string& from, const std::string& to) {
  if (Result<void> ok = begin(SimOperation::file_rename, from); !ok) return ok.error();
  Result<Place> source = walk(from, false);
  if (!source) return source.error();
  Result<Place> target = walk(to, false);
  if (!target) return target.error();
  if (source->node == nullptr) return missing(from);
  if (source->name.empty() || target->name.empty()) {
    return fail(Errc::invalid_argument, from + ": cannot be renamed to " + to);
  }
  if (source->node == target->node) return {};
  if (contains(*source->node, *target->directory)) {
    return fail(Errc::invalid_argument, from + ": cannot be moved into itself");
  }
  if (target->node != nullptr) {
    const bool onto_directory = target->node->type == FileType::directory;
    const bool of_directory = source->node->type == FileType::directory;
    if (onto_directory && !of_directory) {
      return fail(Errc::failed_precondition, to + ": is a directory");
    }
    if (of_directory && !onto_directory) return fail(Errc::not_found, to + ": not a directory");
    if (onto_directory && !target->node->entries.empty()) {
      return fail(Errc::failed_precondition, to + ": directory not empty");
    }
  }
  commit({EntryChange{source->directory, source->name, nullptr},
          EntryChange{target->directory, target->name, source->node}});
  return {};
}

Result<void> VirtualDisk::remove(const std::string& path) {
  if (Result<void> ok = begin(SimOperation::file_change, path); !ok) return ok.error();
  Result<Place> place = existing(path, false);
  if (!place) return place.error();
  if (place->name.empty()) return fail(Errc::invalid_argument, path + ": cannot be removed");
  if (!place->node->entries.empty()) {
    return fail(Errc::failed_precondition, path + ": directory not empty");
  }
  commit({EntryChange{place->directory, place->name, nullptr}});
  return {};
}

void VirtualDisk::remove_tree(const NodePtr& parent, const std::string& name) {
  const NodePtr node = parent->entries.at(name);
  while (!node->entries.empty()) remove_tree(node, std::string(node->entries.begin()->first));
  commit({EntryChange{parent, name, nullptr}});
}

Result<void> VirtualDisk::remove_all(const std::string& path) {
  if (Result<void> ok = begin(SimOperation::file_change, path); !ok) return ok.error();
  Result<Place> place = walk(path, false);
  if (!place) {
    // Absent is fine; a file where a directory should be is not.
    if (place.error() == missing(path)) return {};
    return place.error();
  }
  if (place->node == nullptr) return {};
  if (place->name.empty()) return fail(Errc::invalid_argument, path + ": cannot be removed");
  remove_tree(place->directory, place->name);
  return {};
}

Result<void> VirtualDisk::sync_directory(const std::string& path) {
  if (Result<void> ok = begin(SimOperation::directory_sync, path); !ok) return ok.error();
  Result<NodePtr> node = directory(path);
  if (!node) return node.error();
  // Backwards: a transaction is needed when it touches a directory that is needed, and then its
  // other directories are needed too (a rename between two of them must not be torn apart).
  std::set<const Node*> needed{node->get()};
  std::vector<bool> included(journal_.size(), false);
  for (std::size_t i = journal_.size(); i-- > 0;) {
    for (const EntryChange& change : journal_[i]) {
      if (needed.count(change.directory.get()) != 0) included[i] = true;
    }
    if (!included[i]) continue;
    for (const EntryChange& change : journal_[i]) needed.insert(change.directory.get());
  }
  std::deque<Transaction> rest;
  for (std::size_t i = 0; i < journal_.size(); ++i) {
    if (included[i]) {
      apply(journal_[i]);
    } else {
      rest.push_back(std::move(journal_[i]));
    }
  }
  journal_ = std::move(rest);
  return {};
}

Result<std::string> VirtualDisk::make_temporary_directory(const std::string& prefix) {
  if (Result<void> ok = begin(SimOperation::file_open, prefix); !ok) return ok.error();
  const std::string base = prefix.find('/') == std::string::npos ? "/tmp/" + prefix : prefix;
  for (;;) {
    static constexpr char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    std::string path = base;
    for (int i = 0; i < 6; ++i) path += digits[random.below(36)];
    Result<Place> place = walk(path, false);
    if (!place) return place.error();
    if (place->node != nullptr) continue;
    if (Result<void> made = make_one_directory(*place); !made) return made.error();
    place->directory->entries.at(place->name)->mode = 0700;
    return path;
  }
}

// ---------------------------------------------------------------------------- control

std::string VirtualDisk::surviving(const Node& node, CrashMode mode) {
  std::string content = node.durable;
  const std::size_t count = node.pending.size();
  switch (mode) {
    case CrashMode::seeded:
    case CrashMode::lose_all: break;
    case CrashMode::keep_all: content = node.data; break;
    case CrashMode::torn: {
      const auto whole = static_cast<std::size_t>(random.below(count + 1));
      for (std::size_t i = 0; i < whole; ++i) apply(content, node.pending[i], std::string::npos);
      if (whole < count && !node.pending[whole].truncate) {
        const std::size_t size = node.pending[whole].bytes.size();
        apply(content, node.pending[whole], static_cast<std::size_t>(random.below(size + 1)));
      }
      break;
    }
    case CrashMode::reordered:
      for (const Change& change : node.pending) {
        if (change.truncate) {
          if (random.below(2) == 0) apply(content, change, 0);
          continue;
        }
        // Pages reach the disk one by one, or not.
        std::size_t begin = 0;
        while (begin < change.bytes.size()) {
          const auto offset = static_cast<std::size_t>(change.offset) + begin;
          const std::size_t size =
              std::min(page_bytes - offset % page_bytes, change.bytes.size() - begin);
          if (random.below(2) == 0) {
            apply(content, Change{false, offset, change.bytes.substr(begin, size)}, size);
          }
          begin += size;
        }
      }
      break;
  }
  return content;
}

void VirtualDisk::recover(Node& node, CrashMode mode) {
  if (node.type == FileType::regular) {
    if (!node.pending.empty() || node.data != node.durable) {
      CrashMode chosen = mode;
      if (mode == CrashMode::seeded) {
        constexpr CrashMode modes[] = {CrashMode::lose_all, CrashMode::torn, CrashMode::reordered,
                                       CrashMode::keep_all};
        chosen = modes[random.below(4)];
      }
      node.durable = surviving(node, chosen);
      node.data = node.durable;
      node.pending.clear();
    }
    node.locked = false;
  }
  node.entries = node.durable_entries;
  node.links = 0;  // counted again by the folders that still name it
  for (const auto& entry : node.entries) recover(*entry.second, mode);
}

void VirtualDisk::count_links(const Node& directory) {
  for (const auto& entry : directory.entries) {
    ++entry.second->links;
    count_links(*entry.second);
  }
}

void VirtualDisk::crash(CrashMode mode) {
  ++epoch;
  power_.on = true;
  std::size_t kept = 0;
  const std::size_t count = journal_.size();
  switch (mode) {
    case CrashMode::lose_all: break;
    case CrashMode::keep_all: kept = count; break;
    case CrashMode::seeded:
    case CrashMode::torn:
    case CrashMode::reordered:  // entries are journaled in order, whatever happens to pages
      kept = static_cast<std::size_t>(random.below(count + 1));
      break;
  }
  for (std::size_t i = 0; i < kept; ++i) apply(journal_[i]);
  journal_.clear();
  recover(*root_, mode);
  count_links(*root_);
  world.record(TraceKind::fault, "crash " + host_, kept);
}

Result<void> VirtualDisk::flip_bit(const std::string& path, std::uint64_t bit) {
  Result<Place> place = existing(path, true);
  if (!place) return place.error();
  if (place->node->type != FileType::regular || bit / 8 >= place->node->data.size()) {
    return fail(Errc::invalid_argument, path + ": has no bit " + std::to_string(bit));
  }
  flip(*place->node, bit);
  return {};
}

std::uint64_t VirtualDisk::used(const Node& node) {
  std::uint64_t sum = node.type == FileType::regular ? node.data.size() : 0;
  for (const auto& entry : node.entries) sum += used(*entry.second);
  return sum;
}

void VirtualDisk::collect(const Node& node, const std::string& path,
                          std::map<std::string, std::string>& into) {
  for (const auto& entry : node.entries) {
    const std::string name = path + "/" + entry.first;
    if (entry.second->type == FileType::directory) {
      into[name + "/"] = "";
      collect(*entry.second, name, into);
    } else {
      into[name] = entry.second->data;
    }
  }
}

std::map<std::string, std::string> VirtualDisk::snapshot() const {
  std::map<std::string, std::string> all;
  collect(*root_, "", all);
  return all;
}

}  // namespace

std::unique_ptr<DiskWorld> make_disk(World& world, std::string host, Random random, Power& power) {
  return std::make_unique<VirtualDisk>(world, std::move(host), random, power);
}

}  // namespace knative::simulation
