// The only file that knows libgit2. No hook runs (the library has none), no filter runs (they are
// switched off at checkout), and no configuration of the user or the machine redirects a URL.
#include "engines/builder/fetch_git.hpp"

#include <git2.h>

#include <cstring>

namespace knative::builder::git {

namespace {

constexpr std::string_view remote_name = "origin";
constexpr std::size_t pack_piece_bytes = 1 << 20;

template <class T, void (*Free)(T*)>
struct Holder {
  struct Deleter {
    void operator()(T* object) const { Free(object); }
  };
  using Pointer = std::unique_ptr<T, Deleter>;
};
using Repository = Holder<git_repository, git_repository_free>::Pointer;
using Remote = Holder<git_remote, git_remote_free>::Pointer;
using Object = Holder<git_object, git_object_free>::Pointer;
using oci::ByteSource;
using Odb = Holder<git_odb, git_odb_free>::Pointer;

struct Progress {
  const std::atomic<bool>& cancelled;
  const FetcherOptions& limits;
  const Credentials& credentials;
  int credential_asks = 0;
  std::string remark;  // the server's last words
  std::optional<Error> error;
};

Error last_error(const char* doing, const Progress& progress) {
  if (progress.cancelled.load()) return fail(Errc::cancelled, "the fetch was cancelled");
  if (progress.error) return *progress.error;
  const git_error* last = git_error_last();
  std::string detail(doing);
  if (last != nullptr && last->message != nullptr) detail.append(": ").append(last->message);
  if (!progress.remark.empty()) detail.append("; the server said: ").append(progress.remark);
  Errc code = Errc::unavailable;
  const int kind = last == nullptr ? 0 : last->klass;
  const std::string_view text = last != nullptr && last->message ? last->message : "";
  if (kind == GIT_ERROR_OS || kind == GIT_ERROR_REPOSITORY ||
      text.find("404") != std::string_view::npos || text.find("not found") != text.npos ||
      text.find("failed to resolve path") != text.npos) {
    code = Errc::not_found;
  } else if (kind == GIT_ERROR_CHECKOUT || kind == GIT_ERROR_TREE || kind == GIT_ERROR_INVALID ||
             kind == GIT_ERROR_INDEXER || kind == GIT_ERROR_ODB || kind == GIT_ERROR_ZLIB) {
    code = Errc::invalid_argument;
  } else if (kind == GIT_ERROR_NOMEMORY) {
    code = Errc::resource_exhausted;
  }
  return fail(code, detail);
}

bool over_limits(const git_indexer_progress* stats, Progress& progress) {
  if (stats->received_bytes > progress.limits.bytes_max) {
    progress.error =
        fail(Errc::resource_exhausted, "the repository is larger than " +
                                           std::to_string(progress.limits.bytes_max) + " bytes");
    return true;
  }
  return progress.cancelled.load();
}

int on_transfer(const git_indexer_progress* stats, void* payload) {
  return over_limits(stats, *static_cast<Progress*>(payload)) ? -1 : 0;
}

int on_sideband(const char* text, int length, void* payload) {
  auto& progress = *static_cast<Progress*>(payload);
  std::string remark(text, static_cast<std::size_t>(length));
  while (!remark.empty() && (remark.back() == '\n' || remark.back() == '\r')) remark.pop_back();
  if (!remark.empty()) progress.remark = remark.substr(0, 400);
  return progress.cancelled.load() ? -1 : 0;
}

int on_credentials(git_credential** out, const char* url, const char*, unsigned allowed,
                   void* payload) {
  auto& progress = *static_cast<Progress*>(payload);
  const bool known = !progress.credentials.user.empty();
  if (!known || progress.credential_asks++ > 0 ||
      (allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT) == 0) {
    progress.error =
        fail(Errc::failed_precondition,
             std::string(url) + (known ? " rejects the credentials" : " requires credentials"));
    return -1;
  }
  return git_credential_userpass_plaintext_new(out, progress.credentials.user.c_str(),
                                               progress.credentials.password.c_str());
}

git_remote_callbacks callbacks_for(Progress& progress) {
  git_remote_callbacks callbacks;
  git_remote_init_callbacks(&callbacks, GIT_REMOTE_CALLBACKS_VERSION);
  callbacks.transfer_progress = on_transfer;
  callbacks.sideband_progress = on_sideband;
  callbacks.credentials = on_credentials;
  callbacks.payload = &progress;
  return callbacks;
}

// A fresh repository in `directory`, which may have files but no ".git".
Result<Repository> create_repository(const std::string& directory, const Progress& progress) {
  git_repository_init_options options;
  git_repository_init_options_init(&options, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
  options.flags = GIT_REPOSITORY_INIT_MKPATH | GIT_REPOSITORY_INIT_NO_REINIT;
  options.initial_head = "main";
  git_repository* raw = nullptr;
  const int code = git_repository_init_ext(&raw, directory.c_str(), &options);
  Repository repository(raw);
  if (code == GIT_EEXISTS) {
    return fail(Errc::already_exists, "the target directory holds a repository already");
  }
  if (code != 0) return last_error("cannot make a repository", progress);
  return repository;
}

Result<Remote> create_remote(git_repository* repository, const std::string& url,
                             const Progress& progress) {
  git_remote_create_options options;
  git_remote_create_options_init(&options, GIT_REMOTE_CREATE_OPTIONS_VERSION);
  options.repository = repository;
  options.name = remote_name.data();
  options.flags = GIT_REMOTE_CREATE_SKIP_INSTEADOF;
  git_remote* raw = nullptr;
  const int code = git_remote_create_with_opts(&raw, url.c_str(), &options);
  Remote remote(raw);
  if (code != 0) return last_error("cannot use this URL", progress);
  return remote;
}

Result<std::vector<RemoteRef>> list_refs(git_remote* remote, Progress& progress) {
  git_remote_callbacks callbacks = callbacks_for(progress);
  git_proxy_options proxy;
  git_proxy_options_init(&proxy, GIT_PROXY_OPTIONS_VERSION);
  if (git_remote_connect(remote, GIT_DIRECTION_FETCH, &callbacks, &proxy, nullptr) != 0) {
    return last_error("cannot reach the repository", progress);
  }
  const git_remote_head** heads = nullptr;
  std::size_t count = 0;
  if (git_remote_ls(&heads, &count, remote) != 0) {
    return last_error("cannot list the repository's refs", progress);
  }
  std::vector<RemoteRef> refs;
  for (std::size_t i = 0; i < count; ++i) {
    refs.push_back({heads[i]->name, git_oid_tostr_s(&heads[i]->oid)});
  }
  return refs;
}

// One ref when it is known, else everything that may contain the commit.
Result<void> download(git_remote* remote, const Choice& choice, Progress& progress) {
  std::vector<std::string> specs;
  if (choice.ref.empty()) {
    specs = {"+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"};
  } else {
    specs = {"+" + choice.ref + ":refs/knative/wanted"};
  }
  std::vector<char*> pointers;
  pointers.reserve(specs.size());
  for (std::string& spec : specs) pointers.push_back(spec.data());
  const git_strarray list{pointers.data(), pointers.size()};
  git_fetch_options options;
  git_fetch_options_init(&options, GIT_FETCH_OPTIONS_VERSION);
  options.callbacks = callbacks_for(progress);
  options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
  options.update_fetchhead = 0;
  if (git_remote_fetch(remote, &list, &options, "fetch") != 0) {
    return last_error("cannot fetch", progress);
  }
  return {};
}

Result<Object> find_commit(git_repository* repository, const std::string& id,
                           const Progress& progress) {
  git_oid oid;
  if (git_oid_fromstrn(&oid, id.data(), id.size()) != 0) {
    return last_error("not a commit id", progress);
  }
  git_object* raw = nullptr;
  const int code = git_object_lookup_prefix(&raw, repository, &oid, id.size(), GIT_OBJECT_ANY);
  const Object object(raw);
  if (code == GIT_EAMBIGUOUS) {
    return fail(Errc::invalid_argument, "commit id \"" + id + "\" is ambiguous");
  }
  if (code != 0) {
    return fail(Errc::not_found, "revision \"" + id +
                                     "\" does not exist: no commit that a branch or tag of the "
                                     "remote leads to has this id");
  }
  git_object* peeled = nullptr;
  if (git_object_peel(&peeled, object.get(), GIT_OBJECT_COMMIT) != 0) {
    return fail(Errc::invalid_argument, "revision \"" + id + "\" is not a commit");
  }
  return Object(peeled);
}

struct CheckoutCheck {
  Progress& progress;
  std::uint64_t files = 0;
};

int on_checkout(git_checkout_notify_t, const char*, const git_diff_file*, const git_diff_file*,
                const git_diff_file*, void* payload) {
  auto& check = *static_cast<CheckoutCheck*>(payload);
  if (++check.files > check.progress.limits.files_max) {
    check.progress.error = fail(Errc::resource_exhausted, "the commit has too many files");
    return -1;
  }
  return check.progress.cancelled.load() ? -1 : 0;
}

// libgit2 refuses tree entries named "..", ".git" and the like, and never writes through a
// symbolic link that it has made.
Result<Checkout> check_out(git_repository* repository, git_object* commit, Progress& progress) {
  CheckoutCheck check{progress, 0};
  git_checkout_options options;
  git_checkout_options_init(&options, GIT_CHECKOUT_OPTIONS_VERSION);
  options.checkout_strategy = GIT_CHECKOUT_FORCE;
  options.disable_filters = 1;
  options.notify_flags = GIT_CHECKOUT_NOTIFY_UPDATED;
  options.notify_cb = on_checkout;
  options.notify_payload = &check;
  if (git_checkout_tree(repository, commit, &options) != 0) {
    return last_error("cannot check out", progress);
  }
  const git_oid* id = git_object_id(commit);
  if (git_repository_set_head_detached(repository, id) != 0) {
    return last_error("cannot check out", progress);
  }
  Checkout result;
  result.commit = git_oid_tostr_s(id);
  result.time_seconds = git_commit_time(reinterpret_cast<git_commit*>(commit));
  return result;
}

Result<void> index_pack(git_repository* repository, ByteSource& pack, Progress& progress) {
  git_odb* raw = nullptr;
  if (git_repository_odb(&raw, repository) != 0) {
    return last_error("cannot open the object database", progress);
  }
  const Odb odb(raw);
  git_odb_writepack* writer = nullptr;
  if (git_odb_write_pack(&writer, odb.get(), on_transfer, &progress) != 0) {
    return last_error("cannot store the pack", progress);
  }
  const std::unique_ptr<git_odb_writepack, void (*)(git_odb_writepack*)> holder(
      writer, [](git_odb_writepack* pack) { pack->free(pack); });
  std::vector<char> piece(pack_piece_bytes);
  git_indexer_progress stats{};
  while (true) {
    Result<std::size_t> count = pack.read(piece);
    if (!count) return count.error();
    if (*count == 0) break;
    if (writer->append(writer, piece.data(), *count, &stats) != 0) {
      return last_error("the server sent a damaged pack", progress);
    }
  }
  if (writer->commit(writer, &stats) != 0) {
    return last_error("the server sent a damaged pack", progress);
  }
  return {};
}

}  // namespace

void Library::start() {
  std::call_once(started_, [] { KN_ASSERT(git_libgit2_init() >= 0); });
}

Result<Checkout> clone(const CloneRequest& request, const std::atomic<bool>& cancelled) {
  Progress progress{cancelled, request.limits, request.credentials, 0, {}, {}};
  Result<Repository> repository = create_repository(request.directory, progress);
  if (!repository) return repository.error();
  Result<Remote> remote = create_remote(repository->get(), request.url, progress);
  if (!remote) return remote.error();
  Result<std::vector<RemoteRef>> refs = list_refs(remote->get(), progress);
  if (!refs) return refs.error();
  Result<Choice> choice = choose(*refs, request.revision);
  if (!choice) return choice.error();
  if (Result<void> got = download(remote->get(), *choice, progress); !got) return got.error();
  Result<Object> commit = find_commit(repository->get(), choice->id, progress);
  if (!commit) return commit.error();
  return check_out(repository->get(), commit->get(), progress);
}

Result<Checkout> check_out_pack(Files& files, const CloneRequest& request, const ReceivedPack& pack,
                                const std::string& id, const std::atomic<bool>& cancelled) {
  Progress progress{cancelled, request.limits, request.credentials, 0, {}, {}};
  Result<Repository> repository = create_repository(request.directory, progress);
  if (!repository) return repository.error();
  Result<Remote> remote = create_remote(repository->get(), request.url, progress);
  if (!remote) return remote.error();
  Result<std::unique_ptr<ByteSource>> source = oci::open_source(files, pack.file);
  if (!source) return source.error();
  if (Result<void> stored = index_pack(repository->get(), **source, progress); !stored) {
    return stored.error();
  }
  if (!pack.shallow.empty()) {  // so that git commands of steps know where history ends
    std::string lines;
    for (const std::string& cut : pack.shallow) lines.append(cut).append("\n");
    Result<void> written = files.write_file(request.directory + "/.git/shallow", lines);
    if (!written) return written.error();
  }
  Result<Object> commit = find_commit(repository->get(), id, progress);
  if (!commit) return commit.error();
  return check_out(repository->get(), commit->get(), progress);
}

}  // namespace knative::builder::git
