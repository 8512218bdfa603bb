// Git repositories of this machine, as blocking calls for a worker thread, and those of others with
// the loop's own connections. libgit2 keeps objects and appears in fetch_git.cpp only.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engines/builder/git_checkout.hpp"
#include "engines/builder/git_protocol.hpp"
#include "knative/builder.hpp"

namespace knative::builder::git {

// Initialises libgit2 at the first `start()`. Not before: it parses the machine's certificates,
// which takes tens of milliseconds. It is never shut down: libgit2 counts its users, and shutting
// it down while worker threads live would leak what it keeps for each of them. Thread-safe.
class Library {
 public:
  void start();

 private:
  std::once_flag started_;
};

struct Credentials {
  std::string user;
  std::string password;
};

struct CloneRequest {
  std::string url;
  std::string revision;
  std::string directory;
  Credentials credentials;
  std::optional<SourceCredentials::Ssh> ssh;
  FetcherOptions limits;
  bool submodules = false;  // `Checkout` says what they are
};

// Check out of the repository at `path`, which is read where it lies: the checkout's own gets the
// objects of the one commit.
Result<Checkout> clone_local(Files& files, const CloneRequest& request, const std::string& path,
                             const std::atomic<bool>& cancelled);

// What arrived from a server: a pack file and what it is of.
struct ReceivedPack {
  std::string file;
  std::vector<std::string> shallow;
};

// Make `directory` a repository of `url` with this pack, then check out `id`: a commit or tag,
// full or short.
Result<Checkout> check_out_pack(Files& files, const CloneRequest& request, const ReceivedPack& pack,
                                const std::string& id, const std::atomic<bool>& cancelled);

// Set when whoever waits for the work is gone; the work looks at it now and then.
struct CancelOnDrop {
  std::shared_ptr<std::atomic<bool>> flag = std::make_shared<std::atomic<bool>>(false);
  CancelOnDrop() = default;
  CancelOnDrop(const CancelOnDrop&) = delete;
  CancelOnDrop& operator=(const CancelOnDrop&) = delete;
  ~CancelOnDrop() { flag->store(true); }
};

// Where a fetch takes place.
struct RemoteWorld {
  http::Outbound& outbound;
  Timers& timers;
  Network& network;
  Processes& processes;
  Files& files;
  Offload& offload;
};

// http://, https://, git:// and ssh
bool is_remote(std::string_view url);

// Fetch such a URL with the loop's connections: cancellable, with time limits, and only the wanted
// commit when the server allows that. `world` must stay until the task is done.
Task<Result<Checkout>> clone_remote(const RemoteWorld& world, std::shared_ptr<Library> library,
                                    CloneRequest request);

}  // namespace knative::builder::git
