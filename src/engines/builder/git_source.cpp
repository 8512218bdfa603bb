#include "engines/builder/git_source.hpp"

#include <algorithm>

#include "engines/builder/credentials.hpp"
#include "engines/builder/git_ssh.hpp"
#include "engines/builder/git_submodules.hpp"
#include "engines/builder/paths.hpp"
#include "engines/builder/source_locations.hpp"
#include "knative/http.hpp"

namespace knative::builder::git {

namespace {

// One repository to check out, below the source's folder.
struct RepositoryPlace {
  std::string url;
  std::string revision;
  std::string path;  // "" is the source itself
  std::size_t depth = 0;
};

class GitSourceFetch {
 public:
  GitSourceFetch(const RemoteWorld& world, std::shared_ptr<Library> library,
                 const FetcherOptions& options, const std::string& directory,
                 const SourceCredentials& known)
      : world_(world),
        library_(std::move(library)),
        options_(options),
        left_(options),
        directory_(directory),
        known_(known) {}

  Task<Result<Fetched>> run(const build::SourceSpec& source) {
    std::string url = source.git->url;
    if (url.empty()) co_return fail(Errc::invalid_argument, "git source: url is missing");
    if (!is_ssh(url)) remember_login(url);
    const std::string shown = http::shown_url(url);
    Fetched fetched;
    std::vector<RepositoryPlace> waiting{{url, source.git->revision, "", 0}};
    while (!waiting.empty()) {
      const RepositoryPlace place = std::move(waiting.back());
      waiting.pop_back();
      Task<Result<Checkout>> checking = check_out_at(place, source.git->submodules);
      Result<Checkout> checkout = co_await std::move(checking);
      const std::string where = "git source " + shown;
      if (!checkout) co_return of(place, checkout.error()).within(where);
      if (place.path.empty()) {
        fetched.resolved = {source.name, shown, checkout->commit};
        fetched.time_seconds = checkout->time_seconds;
      } else {
        fetched.submodules.push_back(
            {place.path, {{}, http::shown_url(place.url), checkout->commit}});
      }
      left_.files_max -= std::min(left_.files_max, checkout->entries);
      left_.bytes_max -= std::min(left_.bytes_max, checkout->bytes);
      Result<void> planned = plan_submodules(place, *checkout, waiting);
      if (!planned) co_return of(place, planned.error()).within(where);
    }
    co_return fetched;
  }

 private:
  static Error of(const RepositoryPlace& place, Error error) {
    return place.path.empty() ? error : error.within("submodule " + place.path);
  }

  // What stands in the source's own URL is for its origin alone, submodules there included.
  void remember_login(std::string& url) {
    const Credentials own = take_credentials(url, SourceCredentials{});
    if (own.user.empty() && own.password.empty()) return;
    const std::size_t host = url.find("://") + 3;
    const std::string origin = url.substr(0, std::min(url.find('/', host), url.size()));
    known_.basic.insert(known_.basic.begin(),
                        {{url, own.user, own.password}, {origin, own.user, own.password}});
  }

  void take_key(CloneRequest& request) const {
    const Result<SshAddress> address = parse_ssh(request.url);
    if (!address) return;  // said by who uses it
    const SourceCredentials::Ssh* ssh = ssh_for(known_, address->host, address->port);
    if (ssh != nullptr) request.ssh = *ssh;
  }

  Task<Result<Checkout>> check_out_at(const RepositoryPlace& place, bool submodules) {
    CloneRequest request;
    request.url = place.url;
    request.revision = place.revision;
    request.submodules = submodules;
    if (is_ssh(request.url)) {
      take_key(request);
    } else {
      request.credentials = take_credentials(request.url, known_);
    }
    request.directory = directory_ + (place.path.empty() ? "" : "/" + place.path);
    request.limits = left_;
    if (is_remote(request.url)) return clone_remote(world_, library_, std::move(request));
    return clone_of_this_machine(std::move(request));
  }

  Task<Result<Checkout>> clone_of_this_machine(CloneRequest request) {
    if (!is_local(request.url)) co_return fail(Errc::invalid_argument, "unknown kind of URL");
    const Result<std::string> path = local_path(request.url);
    if (!path) co_return path.error();
    const CancelOnDrop drop;
    auto work = [&files = world_.files, request, path = *path, library = library_,
                 flag = drop.flag] {
      library->start();
      return clone_local(files, request, path, *flag);
    };
    Task<Result<Checkout>> cloning = world_.offload.run(work);
    co_return co_await std::move(cloning);
  }

  Result<void> plan_submodules(const RepositoryPlace& parent, const Checkout& checkout,
                               std::vector<RepositoryPlace>& waiting) {
    if (checkout.gitlinks.empty()) return {};
    if (parent.depth == options_.submodule_depth_max) {
      return fail(
          Errc::resource_exhausted,
          "submodules are more than " + std::to_string(options_.submodule_depth_max) + " deep");
    }
    const Result<std::vector<SubmoduleEntry>> entries =
        parse_modules(checkout.modules, options_.submodules_max);
    if (!entries) return entries.error();
    for (const Gitlink& link : checkout.gitlinks) {
      const auto entry = std::find_if(entries->begin(), entries->end(),
                                      [&](const SubmoduleEntry& e) { return e.path == link.path; });
      if (entry == entries->end()) {
        return fail(Errc::invalid_argument,
                    "no url found for submodule path \"" + link.path + "\" in .gitmodules");
      }
      if (entry->update == "none") continue;
      if (++submodules_ > options_.submodules_max) {
        return fail(
            Errc::resource_exhausted,
            "there are more than " + std::to_string(options_.submodules_max) + " submodules");
      }
      Result<std::string> url = submodule_url(parent.url, entry->url);
      if (!url) return url.error().within("submodule \"" + entry->name + "\"");
      std::string path = parent.path + (parent.path.empty() ? "" : "/") + link.path;
      const Result<std::string> real = resolve_inside(world_.files, directory_, path, "submodule");
      if (!real) return real.error();
      if (*real != path) {
        return fail(Errc::invalid_argument, "submodule \"" + path + "\" is behind a link");
      }
      waiting.push_back({std::move(*url), link.commit, std::move(path), parent.depth + 1});
    }
    return {};
  }

  const RemoteWorld& world_;
  std::shared_ptr<Library> library_;
  const FetcherOptions& options_;
  FetcherOptions left_;  // of the bounds
  const std::string& directory_;
  SourceCredentials known_;
  std::size_t submodules_ = 0;
};

}  // namespace

Task<Result<Fetched>> fetch_source(const RemoteWorld& world, std::shared_ptr<Library> library,
                                   const FetcherOptions& options, const build::SourceSpec& source,
                                   const std::string& directory, const SourceCredentials& known) {
  GitSourceFetch fetch(world, std::move(library), options, directory, known);
  Task<Result<Fetched>> fetching = fetch.run(source);
  co_return co_await std::move(fetching);
}

}  // namespace knative::builder::git
