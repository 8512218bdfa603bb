// Git repositories of servers: what to ask for, and the pack that comes. Everything goes over the
// loop's own connections, so that a server that does not answer holds nothing but its own task.
// libgit2 only stores the pack.
#include <algorithm>
#include <set>

#include "engines/builder/git_conversation.hpp"
#include "engines/builder/git_ssh.hpp"

namespace knative::builder::git {

namespace {

constexpr std::size_t refs_bytes_max = 64u << 20;
constexpr std::size_t write_bytes = 1 << 20;
constexpr std::string_view git_scheme = "git://";

// Writes the pack to a file in large pieces.
class PackFile {
 public:
  PackFile(std::unique_ptr<File> file, std::uint64_t bytes_max)
      : file_(std::move(file)), bytes_max_(bytes_max) {}

  Result<void> add(std::string_view bytes) {
    if (size_ + pending_.size() + bytes.size() > bytes_max_) {
      return fail(Errc::resource_exhausted,
                  "the repository is larger than " + std::to_string(bytes_max_) + " bytes");
    }
    pending_.append(bytes);
    return pending_.size() < write_bytes ? Result<void>() : flush();
  }

  Result<void> flush() {
    Result<void> written = file_->write_at(size_, pending_);
    size_ += pending_.size();
    pending_.clear();
    return written;
  }

 private:
  std::unique_ptr<File> file_;
  std::uint64_t bytes_max_;
  std::string pending_;
  std::uint64_t size_ = 0;
};

struct Wanted {
  std::vector<std::string> ids;
  int depth = 0;
};

struct Plan {
  std::string id;  // what to check out
  Wanted wanted;
  bool unseen = false;  // nobody has said that the server has it
};

int depth_of(const Advertisement& remote) {
  return remote.can("shallow") || remote.can("fetch", "shallow") ? 1 : 0;
}

// One commit when the server lets us ask for it, else all of history.
Wanted what_to_ask(const Advertisement& remote, const std::vector<RemoteRef>& refs,
                   const Choice& choice) {
  const bool by_id =
      remote.can("allow-tip-sha1-in-want") || remote.can("allow-reachable-sha1-in-want");
  if (!choice.ref.empty() || (is_full_id(choice.id) && by_id)) {
    return {{choice.id}, depth_of(remote)};
  }
  std::set<std::string> ids;
  for (const RemoteRef& ref : refs) {
    const std::string_view name = ref.name;
    if (name.substr(0, 11) == "refs/heads/" ||
        (name.substr(0, 10) == "refs/tags/" && name.find('^') == name.npos)) {
      ids.insert(ref.id);
    }
  }
  return {{ids.begin(), ids.end()}, 0};
}

// Version 2: the refs that begin with one of these.
Task<Result<std::vector<RemoteRef>>> refs_of(Conversation& server, const Advertisement& remote,
                                             const std::vector<std::string>& prefixes) {
  Task<Result<void>> asking = server.ask(refs_request(prefixes, remote));
  const Result<void> asked = co_await std::move(asking);
  if (!asked) co_return asked.error();
  Task<Result<std::string>> hearing = hear_until_flush(server);
  const Result<std::string> text = co_await std::move(hearing);
  if (!text) co_return text.error();
  co_return parse_refs(*text);
}

std::vector<std::string> everything() { return {"HEAD", "refs/heads/", "refs/tags/"}; }

// Of a server of version 2, which is asked for no more refs than the revision may mean. A full id
// needs none, whether a branch leads to it or not.
Task<Result<Plan>> plan_by_asking(Conversation& server, const Advertisement& remote,
                                  const std::string& revision) {
  if (const std::optional<std::string> id = full_id(revision)) {
    co_return Plan{*id, {{*id}, depth_of(remote)}, true};
  }
  const std::vector<std::string> names = names_of(revision);
  Task<Result<std::vector<RemoteRef>>> looking = refs_of(server, remote, names);
  const Result<std::vector<RemoteRef>> few = co_await std::move(looking);
  if (!few) co_return few.error();
  const Result<Choice> likely = choose(*few, revision);
  if (likely && !likely->ref.empty()) {
    co_return Plan{likely->id, what_to_ask(remote, *few, *likely)};
  }
  const std::vector<std::string> whole = everything();
  Task<Result<std::vector<RemoteRef>>> listing = refs_of(server, remote, whole);
  const Result<std::vector<RemoteRef>> all = co_await std::move(listing);
  if (!all) co_return all.error();
  const Result<Choice> choice = choose(*all, revision);
  if (!choice) co_return choice.error();
  co_return Plan{choice->id, what_to_ask(remote, *all, *choice)};
}

// Why a server does not give a commit that it was asked for by its id.
Task<Error> why_refused(Conversation& server, const std::string& revision, Error said) {
  Task<Result<Advertisement>> greeting = server.greet();
  const Result<Advertisement> remote = co_await std::move(greeting);
  if (!remote) co_return said;
  const std::vector<std::string> whole = everything();
  Task<Result<std::vector<RemoteRef>>> listing = refs_of(server, *remote, whole);
  const Result<std::vector<RemoteRef>> all = co_await std::move(listing);
  if (all && all->empty()) co_return choose(*all, revision).error();
  co_return said.within("revision \"" + revision + "\"");
}

// The pack as it comes, into a file.
struct Receiver {
  static Result<std::unique_ptr<Receiver>> make(Files& files, const std::string& path,
                                                const CloneRequest& request, AnswerForm form) {
    const OpenOptions how{.write = true, .create = true, .exclusive = true};
    Result<std::unique_ptr<File>> file = files.open(path, how);
    if (!file) return file.error();
    return std::make_unique<Receiver>(std::move(*file), request.limits.bytes_max, form);
  }
  Receiver(std::unique_ptr<File> file, std::uint64_t bytes_max, AnswerForm form)
      : pack(std::move(file), bytes_max),
        parser(form, [this](std::string_view bytes) { return pack.add(bytes); }) {}
  Result<ReceivedPack> finish(const std::string& path) {
    Result<void> complete = parser.finish();
    if (complete) complete = pack.flush();
    if (!complete) return complete.error();
    return ReceivedPack{path, parser.shallow()};
  }
  PackFile pack;
  FetchResponse parser;
};

Task<Result<ReceivedPack>> receive(const RemoteWorld& world, const CloneRequest& request,
                                   Conversation& server, const std::string& path,
                                   const Advertisement& remote, const Wanted& wanted) {
  Result<std::unique_ptr<Receiver>> receiver =
      Receiver::make(world.files, path, request, AnswerForm::of(remote, wanted.depth));
  if (!receiver) co_return receiver.error();
  FetchResponse& parser = (*receiver)->parser;
  Task<Result<void>> asking = server.ask(fetch_request(wanted.ids, wanted.depth, remote));
  const Result<void> asked = co_await std::move(asking);
  if (!asked) co_return asked.error();
  while (!parser.ended()) {
    Task<Result<std::string_view>> reading = server.next();
    const Result<std::string_view> piece = co_await std::move(reading);
    if (!piece) co_return piece.error();
    if (piece->empty()) break;
    Result<void> fed = parser.feed(*piece);
    if (!fed) co_return fed.error();
  }
  co_return (*receiver)->finish(path);
}

// A pack that has come, with the folder that holds it.
struct Arrived {
  std::string id;
  ReceivedPack pack;
  std::shared_ptr<TemporaryFolder> folder;
};

Task<Result<Arrived>> fetch_from(const RemoteWorld& world, const CloneRequest& request,
                                 Conversation& server) {
  Task<Result<Advertisement>> greeting = server.greet();
  const Result<Advertisement> remote = co_await std::move(greeting);
  if (!remote) co_return remote.error();
  Result<Plan> plan = Plan();
  if (remote->version == 2) {
    Task<Result<Plan>> planning = plan_by_asking(server, *remote, request.revision);
    plan = co_await std::move(planning);
    if (!plan) co_return plan.error();
  } else {
    const Result<Choice> choice = choose(remote->refs, request.revision);
    if (!choice) co_return choice.error();
    *plan = {choice->id, what_to_ask(*remote, remote->refs, *choice)};
  }
  Result<std::string> room = world.files.make_temporary_directory(request.directory + ".pack-");
  if (!room) co_return room.error();
  Arrived arrived{plan->id, {}, nullptr};
  arrived.folder = std::make_shared<TemporaryFolder>(world.files, *room);
  const std::string path = *room + "/pack";
  Task<Result<ReceivedPack>> receiving =
      receive(world, request, server, path, *remote, plan->wanted);
  Result<ReceivedPack> pack = co_await std::move(receiving);
  if (!pack && plan->unseen && pack.error().code == Errc::not_found) {
    Task<Error> asking = why_refused(server, request.revision, pack.error());
    Error why = co_await std::move(asking);
    co_return why;
  }
  if (!pack) co_return pack.error();
  arrived.pack = std::move(*pack);
  co_return arrived;
}

}  // namespace

Task<Result<std::string>> hear_until_flush(Conversation& server) {
  UntilFlush packets(refs_bytes_max);
  while (true) {
    Task<Result<std::string_view>> reading = server.next();
    const Result<std::string_view> piece = co_await std::move(reading);
    if (!piece) co_return piece.error();
    if (piece->empty()) break;  // the parser says what is missing
    const Result<bool> complete = packets.add(*piece);
    if (!complete) co_return complete.error();
    if (*complete) break;
  }
  co_return packets.text();
}

bool is_remote(std::string_view url) {
  return url.starts_with("http://") || url.starts_with("https://") || url.starts_with(git_scheme) ||
         is_ssh(url);
}

Task<Result<Checkout>> clone_remote(const RemoteWorld& world, std::shared_ptr<Library> library,
                                    CloneRequest request) {
  const auto converse = is_ssh(request.url)                   ? converse_ssh
                        : request.url.starts_with(git_scheme) ? converse_stream
                                                              : converse_http;
  Result<std::unique_ptr<Conversation>> server = converse(world, request);
  if (!server) co_return server.error();
  Task<Result<Arrived>> fetching = fetch_from(world, request, **server);
  Result<Arrived> arrived = co_await std::move(fetching);
  if (!arrived) co_return arrived.error();
  server->reset();
  const CancelOnDrop drop;
  // The folder is kept by the work: a dropped task must not take the pack away from it.
  auto work = [&files = world.files, library, request, arrived = *arrived, flag = drop.flag] {
    library->start();
    return check_out_pack(files, request, arrived.pack, arrived.id, *flag);
  };
  Task<Result<Checkout>> storing = world.offload.run(work);
  Result<Checkout> result = co_await std::move(storing);
  co_return result;
}

}  // namespace knative::builder::git
