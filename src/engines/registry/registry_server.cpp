#include "knative/registry_server.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.hpp"
#include "engines/registry/registry_server_state.hpp"
#include "knative/value.hpp"

namespace knative::registry {

namespace {

constexpr std::size_t links_max = 100'000;
constexpr std::size_t name_bytes_max = 255;
constexpr std::size_t page_bytes_max = std::size_t{4} << 20;
constexpr Duration expiry_interval = std::chrono::seconds(30);
constexpr std::string_view busy_seconds = "5";
constexpr std::string_view full_seconds = "60";

// Compared in a time that says nothing about where they differ.
bool same_secret(std::string_view a, std::string_view b) {
  unsigned different = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const char other = b.empty() ? '\0' : b[i % b.size()];
    different |= static_cast<unsigned char>(a[i] ^ other);
  }
  return different == 0;
}

Access access_of(const ServerOptions& options, const http::Request& request, bool& known) {
  const std::optional<std::string_view> field = request.headers.get("Authorization");
  known = true;
  if (!field) return options.anonymous;
  constexpr std::string_view scheme = "basic ";
  const bool basic = field->size() > scheme.size() &&
                     std::equal(scheme.begin(), scheme.end(), field->begin(),
                                [](char a, char b) { return a == base::to_lower(b); });
  known = false;
  if (!basic) return Access::none;
  const Result<std::string> pair = base::from_base64(field->substr(scheme.size()));
  const std::size_t colon = pair ? pair->find(':') : std::string::npos;
  if (colon == std::string::npos) return Access::none;
  Access access = Access::none;
  for (const User& user : options.users) {
    const bool name = same_secret(user.name, std::string_view(*pair).substr(0, colon));
    const bool password = same_secret(user.password, std::string_view(*pair).substr(colon + 1));
    if (!name || !password) continue;
    access = user.access;
    known = true;
  }
  return access;
}

bool is_reading(const http::Request& request) {
  return request.method == "GET" || request.method == "HEAD";
}

/// A component: words of [a-z0-9]+ between ".", "_", "__" or dashes.
bool is_name(std::string_view name) {
  if (name.empty() || name.size() > name_bytes_max) return false;
  bool word = false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (base::is_lower(c) || base::is_digit(c)) {
      word = true;
      continue;
    }
    if (!word) return false;
    if (c == '-') {
      while (i + 1 < name.size() && name[i + 1] == '-') ++i;
    } else if (c == '_') {
      if (i + 1 < name.size() && name[i + 1] == '_') ++i;
    } else if (c != '.' && c != '/') {
      return false;
    }
    word = false;
  }
  return word;
}

Task<http::Response> list_names(Call& call, bool of_tags);
Task<http::Response> list_referrers(Call& call);

}  // namespace

// ---------------------------------------------------------------------------- answers

http::Response refuse(int status, std::string_view code, std::string_view message) {
  Value::Map error;
  error["code"] = code;
  error["message"] = message;
  const Value body = Value::Map{{"errors", Value::List{Value(std::move(error))}}};
  return http::json_text(body.to_json(), status);
}

http::Response not_allowed(std::string_view methods) {
  http::Response response = refuse(405, "UNSUPPORTED", "the method is not supported here");
  response.headers.set("Allow", methods);
  return response;
}

http::Response failed(const State& state, const Error& error) {
  state.env.logger.log(LogLevel::warning, "registry", error.to_string(), {});
  if (error.code == Errc::resource_exhausted) {
    http::Response response = refuse(507, "DENIED", "the registry has no room left");
    response.headers.set("Retry-After", full_seconds);
    return response;
  }
  if (error.code == Errc::unavailable) {
    http::Response response = refuse(503, "UNAVAILABLE", "the registry is busy");
    response.headers.set("Retry-After", busy_seconds);
    return response;
  }
  return refuse(500, "UNKNOWN", "the registry cannot do this now");
}

// ---------------------------------------------------------------------------- state

void State::forget(const std::string& id) {
  const auto at = uploads.find(id);
  if (at == uploads.end()) return;
  std::shared_ptr<UploadFile> file = std::move(at->second->file);
  uploads.erase(at);
  if (closed) return;
  auto drop = [](Offload& disk, std::shared_ptr<UploadFile> file) -> Task<void> {
    auto work = [file = std::move(file)]() mutable { file.reset(); };
    Task<void> done = disk.run(work);
    co_await std::move(done);
  };
  tasks.add(drop(env.disk, std::move(file)));
}

void State::expire() {
  const Instant now = env.timers.now();
  std::vector<std::string> idle;
  for (const auto& [id, upload] : uploads) {
    if (!upload->busy && now - upload->used_at >= options.upload_idle_timeout) idle.push_back(id);
  }
  for (const std::string& id : idle) forget(id);
  for (auto& [key, link] : links) {
    if (link.pin && now - link.used_at >= options.blob_grace) link.pin.reset();
  }
}

void State::start_expiring() {
  if (expiring || closed) return;
  expiring = true;
  auto run = [](State& state) -> Task<void> {
    while (true) {
      co_await state.env.timers.sleep_for(expiry_interval);
      state.expire();
      const bool pinned =
          std::any_of(state.links.begin(), state.links.end(),
                      [](const auto& entry) { return entry.second.pin != nullptr; });
      if (state.uploads.empty() && !pinned) break;
    }
    state.expiring = false;
  };
  tasks.add(run(*this));
}

void State::link(const std::string& repository, const oci::Digest& digest, oci::Pin pin) {
  if (links.size() >= links_max) {
    const auto oldest = std::min_element(
        links.begin(), links.end(),
        [](const auto& a, const auto& b) { return a.second.used_at < b.second.used_at; });
    links.erase(oldest);
  }
  links[{repository, digest}] = Link{std::move(pin), env.timers.now()};
  start_expiring();
}

bool State::linked(const std::string& repository, const oci::Digest& digest) {
  const auto at = links.find({repository, digest});
  if (at == links.end()) return false;
  at->second.used_at = env.timers.now();
  return true;
}

// ---------------------------------------------------------------------------- requests

struct Server::Impl {
  StatePtr state;
};

Server::Server(Env& env, std::shared_ptr<oci::ImageStore> store, ServerOptions options)
    : impl_(new Impl{std::make_shared<State>(env, std::move(store), std::move(options))}) {}

Server::~Server() {
  impl_->state->closed = true;
  impl_->state->tasks.clear();
}

std::size_t Server::uploads() const noexcept { return impl_->state->uploads.size(); }

namespace {

std::optional<http::Response> check_access(const State& state, const http::Request& request) {
  bool known = false;
  const Access access = access_of(state.options, request, known);
  const Access wanted = is_reading(request) ? Access::read : Access::write;
  if (known && access >= wanted) return std::nullopt;
  if (known && request.headers.has("Authorization")) {
    return refuse(403, "DENIED", "this user may not do that");
  }
  if (state.options.users.empty()) return refuse(403, "DENIED", "nobody may do that here");
  http::Response response = refuse(401, "UNAUTHORIZED", "authentication is required");
  response.headers.set("WWW-Authenticate", "Basic realm=\"registry\", charset=\"UTF-8\"");
  return response;
}

Task<http::Response> dispatch(Call& call) {
  const http::Request& request = call.request;
  const bool reading = is_reading(request);
  switch (call.route.resource) {
    case Resource::base: {
      if (!reading) co_return not_allowed("GET, HEAD");
      co_return http::json_text("{}");
    }
    case Resource::catalog: {
      if (!reading) co_return not_allowed("GET, HEAD");
      co_return co_await list_names(call, false);
    }
    default: break;
  }
  if (!is_name(call.route.name)) {
    co_return refuse(400, "NAME_INVALID", "the name of the repository is malformed");
  }
  Result<oci::Reference> name = oci::Reference::parse(call.route.name);
  if (!name) co_return refuse(400, "NAME_INVALID", "the name of the repository is malformed");
  call.repository = std::move(name->repository);
  switch (call.route.resource) {
    case Resource::tags: {
      if (!reading) co_return not_allowed("GET, HEAD");
      co_return co_await list_names(call, true);
    }
    case Resource::referrers: {
      if (!reading) co_return not_allowed("GET, HEAD");
      co_return co_await list_referrers(call);
    }
    case Resource::manifest: co_return co_await serve_manifest(call);
    case Resource::blob: co_return co_await serve_blob(call);
    case Resource::uploads: co_return co_await serve_uploads(call);
    default: co_return co_await serve_upload(call);
  }
}

Task<http::Response> answer(StatePtr state, http::Request& request) {
  std::optional<Route> route = parse_route(request.path());
  if (!route) co_return refuse(404, "UNSUPPORTED", "no such path in the registry");
  if (std::optional<http::Response> refused = check_access(*state, request)) {
    co_return std::move(*refused);
  }
  Call call{std::move(state), request, std::move(*route), Query::parse(request.target), {}};
  co_return co_await dispatch(call);
}

}  // namespace

Task<http::Response> Server::handle(http::Request& request) {
  StatePtr state = impl_->state;
  Task<http::Response> answering = answer(std::move(state), request);
  http::Response response = co_await std::move(answering);
  response.headers.set("Docker-Distribution-Api-Version", "registry/2.0");
  response.headers.set("X-Content-Type-Options", "nosniff");
  co_return response;
}

// ---------------------------------------------------------------------------- lists

namespace {

/// How many are wanted; nothing: the parameter is no number.
std::optional<std::size_t> wanted_count(const Call& call) {
  const std::optional<std::string_view> text = call.query.get("n");
  const std::size_t page_max = call.state->options.page_max;
  if (!text) return page_max;
  const std::optional<std::uint64_t> number = parse_number(*text);
  if (!number) return std::nullopt;
  return static_cast<std::size_t>(std::min<std::uint64_t>(*number, page_max));
}

std::string next_link(const Call& call, std::size_t count, std::string_view last) {
  std::string link = "<";
  link.append(call.request.path()).append("?n=").append(std::to_string(count));
  return link.append("&last=").append(encode(last)).append(">; rel=\"next\"");
}

/// What a list of tags or repositories shows, and whether more follow.
struct Names {
  std::vector<std::string> names;
  bool more = false;
  bool known = true;
};

Result<Names> read_names(oci::ImageStore& store, const std::string& repository, bool of_tags,
                         const std::string& last, std::size_t count) {
  Result<std::vector<std::string>> names =
      of_tags ? store.tags(repository, last, count + 1) : store.repositories(last, count + 1);
  if (!names) return names.error();
  Names result{std::move(*names), false, true};
  result.more = result.names.size() > count;
  if (result.more) result.names.resize(count);
  if (!of_tags || !result.names.empty() || count == 0) return result;
  // A repository with manifests that have no tags is one, too.
  Result<std::vector<std::string>> all = store.repositories("", SIZE_MAX);
  if (!all) return all.error();
  result.known = std::binary_search(all->begin(), all->end(), repository);
  return result;
}

Task<http::Response> list_names(Call& call, bool of_tags) {
  const std::optional<std::size_t> count = wanted_count(call);
  if (!count) co_return refuse(400, "PAGINATION_NUMBER_INVALID", "n is not a number");
  auto work = [store = call.state->store, repository = call.repository, of_tags, count = *count,
               last = std::string(call.query.get("last").value_or(""))] {
    return read_names(*store, repository, of_tags, last, count);
  };
  Task<Result<Names>> reading = call.state->env.disk.run(work);
  Result<Names> names = co_await std::move(reading);
  if (!names) co_return failed(*call.state, names.error());
  const bool any_link =
      std::any_of(call.state->links.begin(), call.state->links.end(),
                  [&](const auto& entry) { return entry.first.first == call.repository; });
  if (!names->known && !any_link) {
    co_return refuse(404, "NAME_UNKNOWN", "there is no such repository");
  }
  Value::List list;
  for (const std::string& name : names->names) list.emplace_back(name);
  Value::Map body;
  if (of_tags) body["name"] = call.route.name;
  body[of_tags ? "tags" : "repositories"] = std::move(list);
  http::Response response = http::json_text(Value(std::move(body)).to_json());
  if (names->more && *count > 0) {
    response.headers.set("Link", next_link(call, *count, names->names.back()));
  }
  co_return response;
}

/// A page of referrers after `last`, bounded in entries and bytes.
struct Page {
  oci::Index index;
  std::string next;  ///< Digest that the next page begins after; empty: none.
};

Result<Page> read_referrers(oci::ImageStore& store, const std::string& repository,
                            const oci::Digest& subject, const std::string& type,
                            const std::string& last, std::size_t page_max) {
  Result<std::vector<oci::Descriptor>> all = store.referrers(repository, subject);
  if (!all) return all.error();
  Page page;
  std::size_t bytes = 0;
  for (oci::Descriptor& referrer : *all) {
    if (!type.empty() && referrer.artifact_type != type) continue;
    if (!last.empty() && referrer.digest.to_string() <= last) continue;
    oci::Index one;
    one.manifests.push_back(referrer);
    bytes += one.to_json().size();
    const std::size_t have = page.index.manifests.size();
    if (have == page_max || (have > 0 && bytes > page_bytes_max)) {
      page.next = page.index.manifests.back().digest.to_string();
      break;
    }
    page.index.manifests.push_back(std::move(referrer));
  }
  return page;
}

Task<http::Response> list_referrers(Call& call) {
  const Result<oci::Digest> subject = oci::Digest::parse(call.route.last);
  if (!subject) co_return refuse(400, "DIGEST_INVALID", "the digest is malformed");
  const std::string type(call.query.get("artifactType").value_or(""));
  auto work = [store = call.state->store, repository = call.repository, subject = *subject, type,
               last = std::string(call.query.get("last").value_or("")),
               page_max = call.state->options.page_max] {
    return read_referrers(*store, repository, subject, type, last, page_max);
  };
  Task<Result<Page>> reading = call.state->env.disk.run(work);
  Result<Page> page = co_await std::move(reading);
  if (!page) co_return failed(*call.state, page.error());
  http::Response response = http::json_text(page->index.to_json());
  response.headers.set("Content-Type", oci::media_type::index);
  if (!type.empty()) response.headers.set("OCI-Filters-Applied", "artifactType");
  if (!page->next.empty()) {
    std::string link = "<";
    link.append(call.request.path()).append("?last=").append(encode(page->next));
    if (!type.empty()) link.append("&artifactType=").append(encode(type));
    response.headers.set("Link", link.append(">; rel=\"next\""));
  }
  co_return response;
}

}  // namespace

// ---------------------------------------------------------------------------- names

oci::Reference plain_name(const oci::Reference& name, std::uint16_t port) {
  constexpr std::array<std::string_view, 3> hosts{"localhost", "127.0.0.1", "[::1]"};
  for (const std::string_view host : hosts) {
    const std::string prefix = std::string(host) + ":" + std::to_string(port) + "/";
    if (!name.repository.starts_with(prefix)) continue;
    Result<oci::Reference> plain =
        oci::Reference::parse(std::string_view(name.repository).substr(prefix.size()));
    if (!plain) return name;
    plain->tag = name.tag;
    plain->digest = name.digest;
    return std::move(*plain);
  }
  return name;
}

}  // namespace knative::registry
