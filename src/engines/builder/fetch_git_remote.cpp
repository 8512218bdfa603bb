// Git over http, https and git:// with the loop's own connections, so that a server that does not
// answer holds nothing but its own task. libgit2 only stores the pack that came.
#include <algorithm>
#include <set>

#include "engines/builder/fetch_git.hpp"
#include "knative/http_outbound.hpp"

namespace knative::builder::git {

namespace {

constexpr std::size_t advertisement_bytes_max = 64u << 20;
constexpr std::size_t write_bytes = 1 << 20;
constexpr std::size_t read_bytes = 64 << 10;
constexpr std::uint16_t git_port = 9418;
constexpr std::string_view git_scheme = "git://";
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

// Everything of one fetch over HTTP; lives in the frame of fetch_http.
struct Session {
  const RemoteWorld& world;
  CloneRequest request;
  http::Url url;

  http::Request make(std::string method) const {
    http::Request message;
    message.method = std::move(method);
    message.headers.set("User-Agent", user_agent);
    if (!request.credentials.user.empty()) {
      message.headers.set("Authorization", http::basic_authorization(request.credentials.user,
                                                                     request.credentials.password));
    }
    return message;
  }
  http::Url below(std::string_view path) const;

  // With the idle limit on everything until the response's header.
  Task<Result<http::Response>> send(const http::Url& to, http::Request& message,
                                    http::Url& arrived) const {
    http::SendOptions how;
    how.arrived = &arrived;
    auto sending = with_deadline(world.timers, world.outbound.send(to, message, how),
                                 world.timers.now() + request.limits.idle_timeout);
    std::optional<Result<http::Response>> response = co_await std::move(sending);
    if (!response) co_return fail(Errc::deadline_exceeded, "the server does not answer");
    co_return std::move(*response);
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

http::Url Session::below(std::string_view path) const {
  http::Url result = url;
  result.target = without_trailing_slash(url.target).append(path);
  return result;
}

// The repository is where the first request was led to. Credentials do not go to another origin.
Result<void> move_to(Session& session, const http::Url& arrived) {
  if (!arrived.target.ends_with(refs_suffix)) {
    return fail(Errc::unavailable, "the server redirects to \"" + arrived.shown().substr(0, 300) +
                                       "\", which is no git repository");
  }
  const http::Url& old = session.url;
  if (old.scheme != arrived.scheme || old.host != arrived.host || old.port != arrived.port) {
    session.request.credentials = {};
  }
  session.url = arrived;
  session.url.target.resize(arrived.target.size() - refs_suffix.size());
  return {};
}

Task<Result<Advertisement>> advertisement(Session& session) {
  const http::Url asked = session.below(refs_suffix);
  http::Url arrived = asked;
  http::Request request = session.make("GET");
  Task<Result<http::Response>> sent = session.send(asked, request, arrived);
  Result<http::Response> response = co_await std::move(sent);
  if (!response) co_return response.error();
  Task<Result<void>> reading = response->body.read_all(advertisement_bytes_max);
  Result<void> read = co_await std::move(reading);
  if (!read) co_return read.error();
  if (response->status != 200) co_return refused(*response);
  if (!(arrived == asked)) {
    Result<void> moved = move_to(session, arrived);
    if (!moved) co_return moved.error();
  }
  const std::optional<std::string_view> type = response->headers.get("Content-Type");
  if (!type || type->substr(0, advertisement_type.size()) != advertisement_type) {
    co_return fail(Errc::invalid_argument,
                   "there is no git repository behind this URL (the server does not speak git's "
                   "smart protocol)");
  }
  co_return parse_advertisement(response->body.bytes());
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

// The pack as it comes, into a file.
struct Receiver {
  static Result<std::unique_ptr<Receiver>> make(Files& files, const std::string& path,
                                                const CloneRequest& request, const Wanted& wanted,
                                                const Advertisement& remote) {
    const OpenOptions how{.write = true, .create = true, .exclusive = true};
    Result<std::unique_ptr<File>> file = files.open(path, how);
    if (!file) return file.error();
    auto receiver = std::make_unique<Receiver>(std::move(*file), request.limits.bytes_max,
                                               remote.can("side-band-64k"));
    if (wanted.depth > 0) receiver->parser.expect_shallow_lines();
    return receiver;
  }
  Receiver(std::unique_ptr<File> file, std::uint64_t bytes_max, bool side_band)
      : pack(std::move(file), bytes_max),
        parser(side_band, [this](std::string_view bytes) { return pack.add(bytes); }) {}
  Result<ReceivedPack> finish(const std::string& path) {
    Result<void> complete = parser.finish();
    if (complete) complete = pack.flush();
    if (!complete) return complete.error();
    return ReceivedPack{path, parser.shallow()};
  }
  PackFile pack;
  FetchResponse parser;
};

Task<Result<ReceivedPack>> receive_http(Session& session, const std::string& path,
                                        const Wanted& wanted, const Advertisement& remote) {
  const http::Url to = session.below("/git-upload-pack");
  http::Url arrived = to;
  http::Request request = session.make("POST");
  request.headers.set("Content-Type", "application/x-git-upload-pack-request");
  request.headers.set("Accept", "application/x-git-upload-pack-result");
  request.body = http::Body(fetch_request(wanted.ids, wanted.depth, remote));
  Task<Result<http::Response>> sent = session.send(to, request, arrived);
  Result<http::Response> response = co_await std::move(sent);
  if (!response) co_return response.error();
  if (response->status != 200) {
    Task<Result<void>> reading = response->body.read_all(advertisement_bytes_max);
    Result<void> read = co_await std::move(reading);
    if (!read) co_return read.error();
    co_return refused(*response);
  }
  Result<std::unique_ptr<Receiver>> receiver =
      Receiver::make(session.world.files, path, session.request, wanted, remote);
  if (!receiver) co_return receiver.error();
  http::BodySource* source = response->body.source();
  if (source == nullptr) {
    Result<void> fed = (*receiver)->parser.feed(response->body.bytes());
    if (!fed) co_return fed.error();
  }
  while (source != nullptr) {
    auto reading = with_deadline(session.world.timers, source->next(),
                                 session.world.timers.now() + session.request.limits.idle_timeout);
    const std::optional<Result<std::string_view>> piece = co_await std::move(reading);
    if (!piece) co_return fail(Errc::deadline_exceeded, "the server does not go on");
    if (!*piece) co_return piece->error();
    if ((*piece)->empty()) break;
    Result<void> fed = (*receiver)->parser.feed(**piece);
    if (!fed) co_return fed.error();
  }
  co_return (*receiver)->finish(path);
}

// ------------------------------------------------------------------------ git://

// "git://host[:port]/path"
struct GitAddress {
  Endpoint endpoint;
  std::string host;  // as the server is to read it
  std::string path;

  static Result<GitAddress> parse(const std::string& text) {
    // The form of an authority and a path is http's.
    Result<http::Url> url = http::Url::parse("http://" + text.substr(git_scheme.size()));
    if (!url) return fail(Errc::invalid_argument, "invalid host, port or path");
    const std::size_t slash = text.find('/', git_scheme.size());
    const std::string authority = text.substr(git_scheme.size(), slash - git_scheme.size());
    const bool has_port = authority.rfind(':') != std::string::npos && authority.back() != ']';
    GitAddress address;
    address.endpoint = {.host = url->host, .port = has_port ? url->port : git_port, .path = {}};
    address.host = authority;
    address.path = http::percent_decode(url->target);
    return address;
  }
};

// A connection with an idle limit.
struct Wire {
  const RemoteWorld& world;
  const FetcherOptions& limits;
  std::unique_ptr<Stream> stream;
  std::vector<char> buffer = std::vector<char>(read_bytes);

  Task<Result<void>> connect(const Endpoint& endpoint) {
    auto dialing = with_deadline(world.timers, world.network.connect(endpoint),
                                 world.timers.now() + limits.connect_timeout);
    std::optional<Result<std::unique_ptr<Stream>>> connected = co_await std::move(dialing);
    if (!connected) {
      co_return fail(Errc::deadline_exceeded, "the server does not accept the connection");
    }
    if (!*connected) co_return connected->error();
    stream = std::move(**connected);
    co_return Result<void>();
  }

  Task<Result<void>> send(std::string bytes) {
    auto writing = with_deadline(world.timers, stream->write_all(bytes),
                                 world.timers.now() + limits.idle_timeout);
    const std::optional<Result<std::size_t>> sent = co_await std::move(writing);
    if (!sent) co_return fail(Errc::deadline_exceeded, "the server takes no request");
    if (!*sent) co_return sent->error();
    co_return Result<void>();
  }

  // The next bytes; empty at the end.
  Task<Result<std::string_view>> next() {
    auto read = [](Stream& from, std::span<char> into) -> Task<Result<std::size_t>> {
      StreamOp operation = from.read_some(into);
      Result<std::size_t> got = co_await operation;
      co_return got;
    };
    auto reading = with_deadline(world.timers, read(*stream, buffer),
                                 world.timers.now() + limits.idle_timeout);
    const std::optional<Result<std::size_t>> got = co_await std::move(reading);
    if (!got) co_return fail(Errc::deadline_exceeded, "the server does not answer");
    if (!*got) co_return got->error();
    co_return std::string_view(buffer.data(), **got);
  }
};

// Packets up to the first flush.
Task<Result<Advertisement>> greet(Wire& wire, const GitAddress& address) {
  std::string greeting = "git-upload-pack " + address.path;
  greeting.append(1, '\0').append("host=" + address.host).append(1, '\0');
  Task<Result<void>> sending = wire.send(packet(greeting));
  const Result<void> sent = co_await std::move(sending);
  if (!sent) co_return sent.error();
  std::string text;
  while (!holds_flush(text)) {
    Task<Result<std::string_view>> reading = wire.next();
    const Result<std::string_view> piece = co_await std::move(reading);
    if (!piece) co_return piece.error();
    if (piece->empty()) break;  // the parser says what is missing
    text.append(*piece);
    if (text.size() > advertisement_bytes_max) {
      co_return fail(Errc::resource_exhausted, "the repository has too many refs");
    }
  }
  if (text.empty()) co_return fail(Errc::unavailable, "the server closed the connection");
  co_return parse_advertisement(text);
}

Task<Result<ReceivedPack>> receive_git(Wire& wire, const CloneRequest& request,
                                       const std::string& path, const Wanted& wanted,
                                       const Advertisement& remote) {
  Result<std::unique_ptr<Receiver>> receiver =
      Receiver::make(wire.world.files, path, request, wanted, remote);
  if (!receiver) co_return receiver.error();
  Task<Result<void>> sending = wire.send(fetch_request(wanted.ids, wanted.depth, remote));
  const Result<void> sent = co_await std::move(sending);
  if (!sent) co_return sent.error();
  while (true) {
    Task<Result<std::string_view>> reading = wire.next();
    const Result<std::string_view> piece = co_await std::move(reading);
    if (!piece) co_return piece.error();
    if (piece->empty()) break;
    Result<void> fed = (*receiver)->parser.feed(*piece);
    if (!fed) co_return fed.error();
  }
  co_return (*receiver)->finish(path);
}

// ------------------------------------------------------------------------ both

// A pack that has come, with the folder that holds it.
struct Arrived {
  std::string id;
  ReceivedPack pack;
  std::shared_ptr<TemporaryFolder> folder;
};

Result<Arrived> make_room(Files& files, const CloneRequest& request, const Choice& choice) {
  Result<std::string> made = files.make_temporary_directory(request.directory + ".pack-");
  if (!made) return made.error();
  return Arrived{
      choice.id, {}, std::shared_ptr<TemporaryFolder>(new TemporaryFolder{files, *made})};
}

Task<Result<Arrived>> fetch_http(const RemoteWorld& world, const CloneRequest& request) {
  Result<http::Url> url = http::Url::parse(request.url);
  if (!url) co_return url.error();
  Session session{world, request, *url};
  Task<Result<Advertisement>> asking = advertisement(session);
  const Result<Advertisement> remote = co_await std::move(asking);
  if (!remote) co_return remote.error();
  const Result<Choice> choice = choose(remote->refs, request.revision);
  if (!choice) co_return choice.error();
  Result<Arrived> arrived = make_room(world.files, request, *choice);
  if (!arrived) co_return arrived.error();
  const Wanted wanted = what_to_ask(*remote, *choice);
  const std::string path = arrived->folder->path + "/pack";
  Task<Result<ReceivedPack>> receiving = receive_http(session, path, wanted, *remote);
  Result<ReceivedPack> pack = co_await std::move(receiving);
  if (!pack) co_return pack.error();
  arrived->pack = std::move(*pack);
  co_return arrived;
}

Task<Result<Arrived>> fetch_stream(const RemoteWorld& world, const CloneRequest& request) {
  const Result<GitAddress> address = GitAddress::parse(request.url);
  if (!address) co_return address.error();
  Wire wire{world, request.limits, nullptr};
  Task<Result<void>> connecting = wire.connect(address->endpoint);
  const Result<void> connected = co_await std::move(connecting);
  if (!connected) co_return connected.error();
  Task<Result<Advertisement>> asking = greet(wire, *address);
  const Result<Advertisement> remote = co_await std::move(asking);
  if (!remote) co_return remote.error();
  const Result<Choice> choice = choose(remote->refs, request.revision);
  if (!choice) co_return choice.error();
  Result<Arrived> arrived = make_room(world.files, request, *choice);
  if (!arrived) co_return arrived.error();
  const Wanted wanted = what_to_ask(*remote, *choice);
  const std::string path = arrived->folder->path + "/pack";
  Task<Result<ReceivedPack>> receiving = receive_git(wire, request, path, wanted, *remote);
  Result<ReceivedPack> pack = co_await std::move(receiving);
  if (!pack) co_return pack.error();
  arrived->pack = std::move(*pack);
  co_return arrived;
}

}  // namespace

bool is_remote(std::string_view url) {
  return url.starts_with("http://") || url.starts_with("https://") || url.starts_with(git_scheme);
}

Task<Result<Checkout>> clone_remote(const RemoteWorld& world, std::shared_ptr<Library> library,
                                    CloneRequest request) {
  const bool stream = request.url.starts_with(git_scheme);
  Task<Result<Arrived>> fetching;
  if (stream) {
    fetching = fetch_stream(world, request);
  } else {
    fetching = fetch_http(world, request);
  }
  Result<Arrived> arrived = co_await std::move(fetching);
  if (!arrived) co_return arrived.error();
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
