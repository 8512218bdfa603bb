// Over http and https: one request for each thing that is asked.
#include "engines/builder/git_conversation.hpp"
#include "knative/http_outbound.hpp"

namespace knative::builder::git {

namespace {

constexpr std::size_t answer_bytes_max = 64u << 20;
constexpr std::size_t words_bytes_max = 4096;
constexpr std::string_view refs_suffix = "/info/refs?service=git-upload-pack";
constexpr std::string_view advertisement_type = "application/x-git-upload-pack-advertisement";
constexpr std::string_view user_agent = "git/2.39 (knative)";

std::string without_trailing_slash(std::string text) {
  while (!text.empty() && text.back() == '/') text.pop_back();
  return text;
}

// The first line of what a server says in plain text.
std::string server_text(const http::Response& response, const std::string& text) {
  const std::optional<std::string_view> type = response.headers.get("Content-Type");
  if (!type || type->substr(0, 10) != "text/plain") return {};
  std::string line = text.substr(0, 200);
  line = line.substr(0, line.find('\n'));
  while (!line.empty() && line.back() == '\r') line.pop_back();
  return line.empty() ? line : ": " + line;
}

Error refused(const http::Response& response, const std::string& text) {
  const std::string said = "the server answered " + std::to_string(response.status) + " " +
                           std::string(http::reason_phrase(response.status)) +
                           server_text(response, text);
  switch (response.status) {
    case 401: return fail(Errc::failed_precondition, "requires credentials; " + said);
    case 403: return fail(Errc::failed_precondition, "access is refused; " + said);
    case 404:
    case 410: return fail(Errc::not_found, "the repository does not exist; " + said);
    default: return fail(Errc::unavailable, said);
  }
}

class HttpConversation final : public Conversation {
 public:
  HttpConversation(const RemoteWorld& world, const CloneRequest& request, http::Url url)
      : world_(world),
        limits_(request.limits),
        credentials_(request.credentials),
        url_(std::move(url)) {}

  Task<Result<Advertisement>> greet() override {
    const http::Url asked = below(refs_suffix);
    http::Url arrived = asked;
    http::Request request = make("GET");
    Task<Result<void>> sending = send(asked, request, arrived);
    const Result<void> sent = co_await std::move(sending);
    if (!sent) co_return sent.error();
    if (!(arrived == asked)) {
      Result<void> moved = move_to(arrived);
      if (!moved) co_return moved.error();
    }
    const std::optional<std::string_view> type = response_.headers.get("Content-Type");
    if (!type || !type->starts_with(advertisement_type)) {
      co_return fail(Errc::invalid_argument,
                     "there is no git repository behind this URL (the server does not speak git's "
                     "smart protocol)");
    }
    Task<Result<std::string>> reading = rest(answer_bytes_max);
    const Result<std::string> text = co_await std::move(reading);
    if (!text) co_return text.error();
    co_return parse_advertisement(*text);
  }

  Task<Result<void>> ask(std::string request) override {
    const http::Url to = below("/git-upload-pack");
    http::Url arrived = to;
    http::Request message = make("POST");
    message.headers.set("Content-Type", "application/x-git-upload-pack-request");
    message.headers.set("Accept", "application/x-git-upload-pack-result");
    message.body = http::Body(std::move(request));
    Task<Result<void>> sending = send(to, message, arrived);
    const Result<void> sent = co_await std::move(sending);
    co_return sent;
  }

  Task<Result<std::string_view>> next() override {
    http::BodySource* const source = response_.body.source();
    if (source == nullptr) {
      const std::string_view whole = told_ ? std::string_view() : response_.body.bytes();
      told_ = true;
      co_return whole;
    }
    auto reading =
        with_deadline(world_.timers, source->next(), world_.timers.now() + limits_.idle_timeout);
    const std::optional<Result<std::string_view>> piece = co_await std::move(reading);
    if (!piece) co_return fail(Errc::deadline_exceeded, "the server does not go on");
    co_return *piece;
  }

 private:
  http::Request make(std::string method) const {
    http::Request message;
    message.method = std::move(method);
    message.headers.set("User-Agent", user_agent);
    message.headers.set("Git-Protocol", "version=2");
    if (!credentials_.user.empty()) {
      message.headers.set("Authorization",
                          http::basic_authorization(credentials_.user, credentials_.password));
    }
    return message;
  }

  http::Url below(std::string_view path) const {
    http::Url result = url_;
    result.target = without_trailing_slash(url_.target).append(path);
    return result;
  }

  // Up to the header of an answer that is one.
  Task<Result<void>> send(const http::Url& to, http::Request& message, http::Url& arrived) {
    http::SendOptions how;
    how.arrived = &arrived;
    auto sending = with_deadline(world_.timers, world_.outbound.send(to, message, how),
                                 world_.timers.now() + limits_.idle_timeout);
    std::optional<Result<http::Response>> response = co_await std::move(sending);
    if (!response) co_return fail(Errc::deadline_exceeded, "the server does not answer");
    if (!*response) co_return response->error();
    response_ = std::move(**response);
    told_ = false;
    if (response_.status == 200) co_return Result<void>();
    Task<Result<std::string>> reading = rest(words_bytes_max);
    const Result<std::string> words = co_await std::move(reading);
    co_return refused(response_, words ? *words : std::string());
  }

  Task<Result<std::string>> rest(std::size_t bytes_max) {
    std::string text;
    while (true) {
      Task<Result<std::string_view>> reading = next();
      const Result<std::string_view> piece = co_await std::move(reading);
      if (!piece) co_return piece.error();
      if (piece->empty()) co_return text;
      if (piece->size() > bytes_max - text.size()) {
        co_return fail(Errc::resource_exhausted, "the server's answer is too long");
      }
      text.append(*piece);
    }
  }

  // The repository is where the first request was led to. Credentials do not go to another origin.
  Result<void> move_to(const http::Url& arrived) {
    if (!arrived.target.ends_with(refs_suffix)) {
      return fail(Errc::unavailable, "the server redirects to \"" + arrived.shown().substr(0, 300) +
                                         "\", which is no git repository");
    }
    if (url_.scheme != arrived.scheme || url_.host != arrived.host || url_.port != arrived.port) {
      credentials_ = {};
    }
    url_ = arrived;
    url_.target.resize(arrived.target.size() - refs_suffix.size());
    return {};
  }

  const RemoteWorld& world_;
  const FetcherOptions& limits_;
  Credentials credentials_;
  http::Url url_;
  http::Response response_;
  bool told_ = false;
};

}  // namespace

Result<std::unique_ptr<Conversation>> converse_http(const RemoteWorld& world,
                                                    const CloneRequest& request) {
  Result<http::Url> url = http::Url::parse(request.url);
  if (!url) return url.error();
  return std::unique_ptr<Conversation>(
      std::make_unique<HttpConversation>(world, request, std::move(*url)));
}

}  // namespace knative::builder::git
