// The only file that knows libgit2, of which no more than the object database is used: no
// repository is opened, so that nobody's configuration is read, nobody's ownership asked for, and
// neither hooks nor filters exist.
#include "engines/builder/fetch_git.hpp"

#include <git2.h>

#include <algorithm>

#include "engines/builder/git_local.hpp"

namespace knative::builder::git {

namespace {

constexpr std::size_t pack_piece_bytes = 1 << 20;
constexpr std::size_t pack_header_bytes = 12;
constexpr std::size_t pack_count_offset = 8;
constexpr std::uint64_t pack_object_bytes_min = 9;  // its header, and nothing deflated

using oci::ByteSource;

Error last_error(const std::string& doing) {
  const git_error* last = git_error_last();
  std::string detail = doing;
  if (last != nullptr && last->message != nullptr) detail.append(": ").append(last->message);
  const int kind = last == nullptr ? 0 : last->klass;
  if (kind == GIT_ERROR_NOMEMORY) return fail(Errc::resource_exhausted, detail);
  return fail(kind == GIT_ERROR_OS ? Errc::unavailable : Errc::invalid_argument, detail);
}

git_oid oid_of(const Id& id) {
  git_oid oid;
  git_oid_fromraw(&oid, id.bytes.data());
  return oid;
}

Id id_of(const git_oid& oid) {
  Id id;
  std::copy_n(oid.id, id.bytes.size(), id.bytes.begin());
  return id;
}

// The folder "objects" of a repository, with those that it borrows from.
class ObjectFolder final : public Objects {
 public:
  static Result<std::unique_ptr<ObjectFolder>> at(const std::string& path) {
    git_odb* raw = nullptr;
    if (git_odb_open(&raw, path.c_str()) != 0) return last_error("cannot open the repository");
    auto folder = std::make_unique<ObjectFolder>();
    folder->database_.reset(raw);
    return folder;
  }

  Result<Header> header(const Id& id) override {
    const git_oid oid = oid_of(id);
    std::size_t size = 0;
    git_object_t type = GIT_OBJECT_INVALID;
    const int code = git_odb_read_header(&size, &type, database_.get(), &oid);
    if (code != 0) return failed(code, id);
    const Result<ObjectType> known = type_of(type);
    if (!known) return known.error();
    return Header{*known, size};
  }

  Result<Object> read(const Id& id) override {
    const git_oid oid = oid_of(id);
    git_odb_object* raw = nullptr;
    const int code = git_odb_read(&raw, database_.get(), &oid);
    if (code != 0) return failed(code, id);
    std::shared_ptr<git_odb_object> object(raw, git_odb_object_free);
    const Result<ObjectType> known = type_of(git_odb_object_type(raw));
    if (!known) return known.error();
    const std::string_view bytes(static_cast<const char*>(git_odb_object_data(raw)),
                                 git_odb_object_size(raw));
    return Object{*known, bytes, std::move(object)};
  }

  Result<Id> find(const std::string& digits) override {
    git_oid part;
    git_oid found;
    if (git_oid_fromstrn(&part, digits.data(), digits.size()) != 0) {
      return last_error("not a commit id");
    }
    const int code = git_odb_exists_prefix(&found, database_.get(), &part, digits.size());
    if (code == GIT_EAMBIGUOUS) {
      return fail(Errc::invalid_argument, "commit id \"" + digits + "\" is ambiguous");
    }
    if (code == GIT_ENOTFOUND) return fail(Errc::not_found, "there is no object " + digits);
    if (code != 0) return last_error("cannot read the repository");
    return id_of(found);
  }

 private:
  struct Free {
    void operator()(git_odb* database) const { git_odb_free(database); }
  };
  static Error failed(int code, const Id& id) {
    if (code == GIT_ENOTFOUND) return fail(Errc::not_found, "there is no object " + id.hex());
    return last_error("cannot read object " + id.hex());
  }
  static Result<ObjectType> type_of(git_object_t type) {
    switch (type) {
      case GIT_OBJECT_COMMIT: return ObjectType::commit;
      case GIT_OBJECT_TREE: return ObjectType::tree;
      case GIT_OBJECT_BLOB: return ObjectType::blob;
      case GIT_OBJECT_TAG: return ObjectType::tag;
      default: return fail(Errc::invalid_argument, "the repository has objects of unknown kind");
    }
  }
  std::unique_ptr<git_odb, Free> database_;
};

int on_indexed(const git_indexer_progress*, void* payload) {
  return static_cast<const std::atomic<bool>*>(payload)->load() ? -1 : 0;
}

// Room is made for as many objects as a pack says it has.
Result<void> plausible(Files& files, const std::string& path) {
  Result<std::unique_ptr<File>> file = files.open(path, OpenOptions{});
  if (!file) return file.error();
  std::string header(pack_header_bytes, '\0');
  const Result<std::size_t> got = (*file)->read_at(0, header);
  const Result<std::uint64_t> size = (*file)->size();
  if (!got) return got.error();
  if (!size) return size.error();
  std::uint64_t count = 0;
  for (const char c : header.substr(pack_count_offset)) {
    count = count << 8 | static_cast<unsigned char>(c);
  }
  if (*got == header.size() && count <= *size / pack_object_bytes_min) return {};
  return fail(Errc::invalid_argument, "the server sent a damaged pack: it is too short");
}

Result<void> index_pack(Files& files, const std::string& pack, const std::string& folder,
                        const std::atomic<bool>& cancelled) {
  if (Result<void> good = plausible(files, pack); !good) return good;
  Result<std::unique_ptr<ByteSource>> source = oci::open_source(files, pack);
  if (!source) return source.error();
  git_indexer_options options;
  git_indexer_options_init(&options, GIT_INDEXER_OPTIONS_VERSION);
  options.progress_cb = on_indexed;
  options.progress_cb_payload = const_cast<std::atomic<bool>*>(&cancelled);
  git_indexer* raw = nullptr;
  if (git_indexer_new(&raw, folder.c_str(), 0, nullptr, &options) != 0) {
    return last_error("cannot store the pack");
  }
  const std::unique_ptr<git_indexer, void (*)(git_indexer*)> indexer(raw, git_indexer_free);
  const auto damaged = [&cancelled] {
    if (cancelled.load()) return fail(Errc::cancelled, "the fetch was cancelled");
    return last_error("the server sent a damaged pack");
  };
  std::vector<char> piece(pack_piece_bytes);
  git_indexer_progress stats{};
  while (true) {
    Result<std::size_t> count = (*source)->read(piece);
    if (!count) return count.error();
    if (*count == 0) break;
    if (git_indexer_append(raw, piece.data(), *count, &stats) != 0) return damaged();
  }
  if (git_indexer_commit(raw, &stats) != 0) return damaged();
  return {};
}

CheckoutRequest checkout_of(const CloneRequest& request, const std::string& id, bool keep_objects) {
  return {request.url, id, request.directory, request.limits, request.submodules, keep_objects};
}

}  // namespace

void Library::start() {
  std::call_once(started_, [] { KN_ASSERT(git_libgit2_init() >= 0); });
}

Result<Checkout> clone_local(Files& files, const CloneRequest& request, const std::string& path,
                             const std::atomic<bool>& cancelled) {
  Result<LocalRepository> repository = open_local(files, path);
  if (!repository) return repository.error();
  const Result<Choice> choice = choose(repository->refs, request.revision);
  if (!choice) return choice.error();
  Result<std::unique_ptr<ObjectFolder>> objects = ObjectFolder::at(repository->objects);
  if (!objects) return objects.error();
  return check_out(files, **objects, checkout_of(request, choice->id, true), cancelled);
}

Result<Checkout> check_out_pack(Files& files, const CloneRequest& request, const ReceivedPack& pack,
                                const std::string& id, const std::atomic<bool>& cancelled) {
  const CheckoutRequest checkout = checkout_of(request, id, false);
  if (Result<void> made = make_repository(files, checkout); !made) return made.error();
  const std::string folder = request.directory + "/.git";
  Result<void> stored = index_pack(files, pack.file, folder + "/objects/pack", cancelled);
  if (!stored) return stored.error();
  if (!pack.shallow.empty()) {  // so that git commands of steps know where history ends
    std::string lines;
    for (const std::string& cut : pack.shallow) lines.append(cut).append("\n");
    Result<void> written = files.write_file(folder + "/shallow", lines);
    if (!written) return written.error();
  }
  Result<std::unique_ptr<ObjectFolder>> objects = ObjectFolder::at(folder + "/objects");
  if (!objects) return objects.error();
  return check_out(files, **objects, checkout, cancelled);
}

}  // namespace knative::builder::git
