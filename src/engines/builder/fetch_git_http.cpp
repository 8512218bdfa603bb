// Git over HTTP with the loop's own connections: two requests, then libgit2 stores the pack.
#include <set>

#include "engines/builder/fetch_git.hpp"
#include "knative/http.hpp"
#include "knative/http_client.hpp"

namespace knative::builder::git {

namespace {

constexpr int redirects_max = 5;
constexpr std::size_t advertisement_bytes_max = 64u << 20;
constexpr std::size_t write_bytes = 1 << 20;
constexpr std::string_view refs_suffix = "/info/refs?service=git-upload-pack";
constexpr std::string_view advertisement_type = "application/x-git-upload-pack-advertisement";
constexpr std::string_view user_agent = "git/2.39 (knative)";

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

struct TemporaryFolder {
  Files& files;
  std::string path;
  ~TemporaryFolder() { (void)files.remove_all(path); }
};

// Everything of one fetch; lives in the frame of clone_http.
struct Session {
  Executor& executor;
  Timers& timers;
  Network& network;
  const CloneRequest& request;
  http::Url url;
  std::unique_ptr<http::Client> client;

  void connect() {
    http::ClientOptions options;
    options.connect_timeout = request.limits.connect_timeout;
    options.response_timeout = request.limits.idle_timeout;
    options.body_timeout = request.limits.idle_timeout;
    client = std::make_unique<http::Client>(executor, timers, network, url.endpoint(), options);
  }

  http::Request make(std::string method, std::string target) const {
    http::Request message;
    message.method = std::move(method);
    message.target = std::move(target);
    const bool default_port = url.port == 80;
    message.headers.set("Host", url.host + (default_port ? "" : ":" + std::to_string(url.port)));
    message.headers.set("User-Agent", user_agent);
    if (!request.credentials.user.empty()) {
      message.headers.set("Authorization", "Basic " + base64_encode(request.credentials.user + ":" +
                                                                    request.credentials.password));
    }
    return message;
  }
};

std::string without_trailing_slash(std::string text) {
  while (!text.empty() && text.back() == '/') text.pop_back();
  return text;
}

// The first line of what a server says in plain text.
std::string server_text(const http::Response& response) {
  const std::optional<std::string_view> type = response.headers.get("Content-Type");
  if (!type || type->substr(0, 10) != "text/plain") return {};
  std::string line = response.body.bytes().substr(0, 200);
  line = line.substr(0, line.find('\n'));
  while (!line.empty() && line.back() == '\r') line.pop_back();
  return line.empty() ? line : ": " + line;
}

Error refused(const http::Response& response) {
  const std::string said = "the server answered " + std::to_string(response.status) + " " +
                           std::string(http::reason_phrase(response.status)) +
                           server_text(response);
  switch (response.status) {
    case 401: return fail(Errc::failed_precondition, "requires credentials; " + said);
    case 403: return fail(Errc::failed_precondition, "access is refused; " + said);
    case 404:
    case 410: return fail(Errc::not_found, "the repository does not exist; " + said);
    default: return fail(Errc::unavailable, said);
  }
}

// Follow a redirect of the first request. An https target ends up in `redirected`.
Result<void> redirect(Session& session, const http::Response& response, std::string& redirected) {
  const std::optional<std::string_view> location = response.headers.get("Location");
  if (!location) return fail(Errc::unavailable, "the server redirects to nowhere");
  std::string target(*location);
  if (!target.empty() && target.front() == '/') {
    target = "http://" + session.url.host + ":" + std::to_string(session.url.port) + target;
  }
  const std::size_t suffix = target.rfind(refs_suffix);
  if (suffix == std::string::npos || suffix + refs_suffix.size() != target.size()) {
    return fail(Errc::unavailable, "the server redirects to \"" + target.substr(0, 300) +
                                       "\", which is no git repository");
  }
  target.resize(suffix);
  if (target.substr(0, 8) == "https://") {
    redirected = target;
    return {};
  }
  Result<http::Url> url = http::Url::parse(target);
  if (!url) return url.error().within("redirect");
  session.url = *url;
  session.connect();
  return {};
}

Task<Result<Advertisement>> advertisement(Session& session, std::string& redirected) {
  for (int turn = 0; turn < redirects_max; ++turn) {
    const std::string base = without_trailing_slash(session.url.target);
    http::Request request = session.make("GET", base + std::string(refs_suffix));
    Task<Result<http::Response>> sent = session.client->send(request);
    Result<http::Response> response = co_await std::move(sent);
    if (!response) co_return response.error();
    Task<Result<void>> reading = response->body.read_all(advertisement_bytes_max);
    Result<void> read = co_await std::move(reading);
    if (!read) co_return read.error();
    if (response->status >= 301 && response->status <= 308 && response->status != 304) {
      Result<void> followed = redirect(session, *response, redirected);
      if (!followed) co_return followed.error();
      if (!redirected.empty()) co_return Advertisement{};
      continue;
    }
    if (response->status != 200) co_return refused(*response);
    const std::optional<std::string_view> type = response->headers.get("Content-Type");
    if (!type || type->substr(0, advertisement_type.size()) != advertisement_type) {
      co_return fail(Errc::invalid_argument,
                     "there is no git repository behind this URL (the server does not speak git's "
                     "smart protocol)");
    }
    co_return parse_advertisement(response->body.bytes());
  }
  co_return fail(Errc::unavailable, "the server redirects too often");
}

struct Wanted {
  std::vector<std::string> ids;
  int depth = 0;
};

// One commit when the server lets us ask for it, else all of history.
Wanted what_to_ask(const Advertisement& remote, const Choice& choice) {
  const bool by_id =
      remote.can("allow-tip-sha1-in-want") || remote.can("allow-reachable-sha1-in-want");
  if (!choice.ref.empty() || (is_full_id(choice.id) && by_id)) {
    return {{choice.id}, remote.can("shallow") ? 1 : 0};
  }
  std::set<std::string> ids;
  for (const RemoteRef& ref : remote.refs) {
    const std::string_view name = ref.name;
    if (name.substr(0, 11) == "refs/heads/" ||
        (name.substr(0, 10) == "refs/tags/" && name.find('^') == name.npos)) {
      ids.insert(ref.id);
    }
  }
  return {{ids.begin(), ids.end()}, 0};
}

Task<Result<ReceivedPack>> receive_pack(Session& session, Files& files, const std::string& path,
                                        const Wanted& wanted, const Advertisement& remote) {
  const std::string base = without_trailing_slash(session.url.target);
  http::Request request = session.make("POST", base + "/git-upload-pack");
  request.headers.set("Content-Type", "application/x-git-upload-pack-request");
  request.headers.set("Accept", "application/x-git-upload-pack-result");
  request.body = http::Body(fetch_request(wanted.ids, wanted.depth, remote));
  Task<Result<http::Response>> sent = session.client->send(request);
  Result<http::Response> response = co_await std::move(sent);
  if (!response) co_return response.error();
  if (response->status != 200) {
    Task<Result<void>> reading = response->body.read_all(advertisement_bytes_max);
    Result<void> read = co_await std::move(reading);
    if (!read) co_return read.error();
    co_return refused(*response);
  }
  const OpenOptions how{.write = true, .create = true, .exclusive = true};
  Result<std::unique_ptr<File>> file = files.open(path, how);
  if (!file) co_return file.error();
  PackFile pack(std::move(*file), session.request.limits.bytes_max);
  FetchResponse parser(remote.can("side-band-64k"),
                       [&pack](std::string_view bytes) { return pack.add(bytes); });
  if (wanted.depth > 0) parser.expect_shallow_lines();
  http::BodySource* source = response->body.source();
  if (source == nullptr) {
    Result<void> fed = parser.feed(response->body.bytes());
    if (!fed) co_return fed.error();
  }
  while (source != nullptr) {
    Task<Result<std::string_view>> reading = source->next();
    Result<std::string_view> piece = co_await std::move(reading);
    if (!piece) co_return piece.error();
    if (piece->empty()) break;
    Result<void> fed = parser.feed(*piece);
    if (!fed) co_return fed.error();
  }
  Result<void> complete = parser.finish();
  if (complete) complete = pack.flush();
  if (!complete) co_return complete.error();
  co_return ReceivedPack{path, parser.shallow()};
}

}  // namespace

Task<Result<Checkout>> clone_http(Executor& executor, Timers& timers, Network& network,
                                  Files& files, Offload& offload, std::shared_ptr<Library> library,
                                  CloneRequest request, std::string& redirected) {
  Result<http::Url> url = http::Url::parse(request.url);
  if (!url) co_return url.error();
  Session session{executor, timers, network, request, *url, nullptr};
  session.connect();
  Task<Result<Advertisement>> asking = advertisement(session, redirected);
  Result<Advertisement> remote = co_await std::move(asking);
  if (!remote) co_return remote.error();
  if (!redirected.empty()) co_return Checkout{};
  Result<Choice> choice = choose(remote->refs, request.revision);
  if (!choice) co_return choice.error();
  Result<std::string> made = files.make_temporary_directory(request.directory + ".pack-");
  if (!made) co_return made.error();
  // Kept by the work below as well: a dropped task must not take the pack away from it.
  std::shared_ptr<TemporaryFolder> folder(new TemporaryFolder{files, *made});
  const Wanted wanted = what_to_ask(*remote, *choice);
  const std::string path = folder->path + "/pack";
  Task<Result<ReceivedPack>> receiving = receive_pack(session, files, path, wanted, *remote);
  Result<ReceivedPack> pack = co_await std::move(receiving);
  if (!pack) co_return pack.error();
  const CancelOnDrop drop;
  auto work = [&files, library, request, pack = *pack, id = choice->id, flag = drop.flag, folder] {
    library->start();
    return check_out_pack(files, request, pack, id, *flag);
  };
  Task<Result<Checkout>> storing = offload.run(work);
  Result<Checkout> result = co_await std::move(storing);
  co_return result;
}

}  // namespace knative::builder::git
