// Over a connection of its own (git://), which stays for everything that is asked.
#include "engines/builder/git_conversation.hpp"
#include "knative/http_url.hpp"
#include "knative/network.hpp"

namespace knative::builder::git {

namespace {

constexpr std::size_t read_bytes = 64 << 10;
constexpr std::uint16_t git_port = 9418;
constexpr std::string_view stream_scheme = "git://";

// "git://host[:port]/path"
struct GitAddress {
  Endpoint endpoint;
  std::string host;  // as the server is to read it
  std::string path;

  static Result<GitAddress> parse(const std::string& text) {
    // The form of an authority and a path is http's.
    Result<http::Url> url = http::Url::parse("http://" + text.substr(stream_scheme.size()));
    if (!url) return fail(Errc::invalid_argument, "invalid host, port or path");
    const std::size_t slash = text.find('/', stream_scheme.size());
    const std::string authority = text.substr(stream_scheme.size(), slash - stream_scheme.size());
    const bool has_port = authority.rfind(':') != std::string::npos && authority.back() != ']';
    GitAddress address;
    address.endpoint = {.host = url->host, .port = has_port ? url->port : git_port, .path = {}};
    address.host = authority;
    address.path = http::percent_decode(url->target);
    return address;
  }
};

class StreamConversation final : public Conversation {
 public:
  StreamConversation(const RemoteWorld& world, const CloneRequest& request, GitAddress address)
      : world_(world), limits_(request.limits), address_(std::move(address)) {}

  Task<Result<Advertisement>> greet() override {
    stream_.reset();
    Task<Result<void>> connecting = connect();
    const Result<void> connected = co_await std::move(connecting);
    if (!connected) co_return connected.error();
    std::string greeting = "git-upload-pack " + address_.path;
    greeting.append(1, '\0').append("host=" + address_.host).append(2, '\0');
    greeting.append("version=2").append(1, '\0');
    Task<Result<void>> asking = ask(packet(greeting));
    const Result<void> asked = co_await std::move(asking);
    if (!asked) co_return asked.error();
    Task<Result<std::string>> hearing = hear_until_flush(*this);
    const Result<std::string> text = co_await std::move(hearing);
    if (!text) co_return text.error();
    if (text->empty()) co_return fail(Errc::unavailable, "the server closed the connection");
    co_return parse_advertisement(*text);
  }

  Task<Result<void>> ask(std::string request) override {
    auto writing = with_deadline(world_.timers, stream_->write_all(request),
                                 world_.timers.now() + limits_.idle_timeout);
    const std::optional<Result<std::size_t>> sent = co_await std::move(writing);
    if (!sent) co_return fail(Errc::deadline_exceeded, "the server takes no request");
    if (!*sent) co_return sent->error();
    co_return Result<void>();
  }

  Task<Result<std::string_view>> next() override {
    auto read = [](Stream& from, std::span<char> into) -> Task<Result<std::size_t>> {
      StreamOp operation = from.read_some(into);
      Result<std::size_t> got = co_await operation;
      co_return got;
    };
    auto reading = with_deadline(world_.timers, read(*stream_, buffer_),
                                 world_.timers.now() + limits_.idle_timeout);
    const std::optional<Result<std::size_t>> got = co_await std::move(reading);
    if (!got) co_return fail(Errc::deadline_exceeded, "the server does not answer");
    if (!*got) co_return got->error();
    co_return std::string_view(buffer_.data(), **got);
  }

 private:
  Task<Result<void>> connect() {
    auto dialing = with_deadline(world_.timers, world_.network.connect(address_.endpoint),
                                 world_.timers.now() + limits_.connect_timeout);
    std::optional<Result<std::unique_ptr<Stream>>> connected = co_await std::move(dialing);
    if (!connected) {
      co_return fail(Errc::deadline_exceeded, "the server does not accept the connection");
    }
    if (!*connected) co_return connected->error();
    stream_ = std::move(**connected);
    co_return Result<void>();
  }

  const RemoteWorld& world_;
  const FetcherOptions& limits_;
  GitAddress address_;
  std::unique_ptr<Stream> stream_;
  std::vector<char> buffer_ = std::vector<char>(read_bytes);
};

}  // namespace

Result<std::unique_ptr<Conversation>> converse_stream(const RemoteWorld& world,
                                                      const CloneRequest& request) {
  Result<GitAddress> address = GitAddress::parse(request.url);
  if (!address) return address.error();
  return std::unique_ptr<Conversation>(
      std::make_unique<StreamConversation>(world, request, std::move(*address)));
}

}  // namespace knative::builder::git
