#include "extensions/eventing/destinations.hpp"

#include <utility>

#include "knative/event_broker.hpp"

namespace knative {

namespace {

constexpr std::string_view local_domain = ".sinks.knative.internal";

Result<Reply> outcome(DeliveryAttempt attempt) {
  if (attempt.ok()) return std::move(attempt.reply);
  return fail(Errc::unavailable, attempt.cause());
}

class PipeSink final : public Sink {
 public:
  PipeSink(std::shared_ptr<Sink> first, std::shared_ptr<Sink> second)
      : first_(std::move(first)), second_(std::move(second)) {}
  Task<Result<Reply>> deliver(const CloudEvent& event) override {
    DeliveryAttempt done = co_await attempt(event);
    co_return outcome(std::move(done));
  }
  Task<DeliveryAttempt> attempt(const CloudEvent& event) override {
    if (!first_) co_return co_await forward(event);
    DeliveryAttempt answered = co_await first_->attempt(event);
    if (!answered.ok() || !answered.reply) co_return answered;
    // The reply goes on where the event was: it has as many hops left.
    CloudEvent reply = std::move(*answered.reply);
    reply.remove_extension(hops_attribute);
    if (const ExtensionValue* hops = event.extension(hops_attribute)) {
      reply.set_extension(std::string(hops_attribute), *hops);
    }
    co_return co_await forward(reply);
  }
  bool hands_on() const noexcept override { return true; }

 private:
  Task<DeliveryAttempt> forward(const CloudEvent& event) {
    if (!second_) co_return DeliveryAttempt{};
    DeliveryAttempt taken = co_await second_->attempt(event);
    taken.reply.reset();
    co_return taken;
  }
  std::shared_ptr<Sink> first_;
  std::shared_ptr<Sink> second_;
};

}  // namespace

class Destinations::UrlSink final : public Sink {
 public:
  UrlSink(Destinations& owner, http::Url url, ContentMode mode)
      : owner_(owner), url_(std::move(url)), mode_(mode) {}
  Task<Result<Reply>> deliver(const CloudEvent& event) override {
    DeliveryAttempt done = co_await attempt(event);
    co_return outcome(std::move(done));
  }
  Task<DeliveryAttempt> attempt(const CloudEvent& event) override {
    return owner_.deliver(url_, mode_, event);
  }
  bool hands_on() const noexcept override { return true; }

 private:
  Destinations& owner_;
  http::Url url_;
  ContentMode mode_;
};

/// One URL outside, as a handler.
class Destinations::Outside final : public http::Handler {
 public:
  Outside(http::Outbound& outbound, const http::Url& url) : outbound_(outbound), url_(url) {}
  Task<http::Response> handle(http::Request& request) override {
    http::SendOptions how;
    how.redirects = false;  // an event goes where its Trigger says
    Result<http::Response> response = co_await outbound_.send(url_, request, how);
    if (response) co_return std::move(*response);
    unanswered_ = response.error();
    co_return http::Response{.status = http::gateway_status_of(response.error().code)};
  }
  /// Why no answer came; the last request's.
  const std::optional<Error>& unanswered() const noexcept { return unanswered_; }

 private:
  std::optional<Error> unanswered_;
  http::Outbound& outbound_;
  http::Url url_;
};

Result<std::shared_ptr<Sink>> Destinations::sink(std::string_view text, ContentMode mode) {
  Result<http::Url> url = http::Url::parse(text);
  if (!url) return url.error();
  return std::shared_ptr<Sink>(std::make_shared<UrlSink>(*this, std::move(*url), mode));
}

std::string Destinations::add_local(const std::string& name, std::shared_ptr<Sink> sink) {
  local_[name] = std::move(sink);
  return "http://" + name + std::string(local_domain) + "/";
}

Task<DeliveryAttempt> Destinations::deliver_local(std::string_view host, const CloudEvent& event) {
  const std::string name(host.substr(0, host.size() - local_domain.size()));
  const auto found = local_.find(name);
  if (found == local_.end()) {
    co_return DeliveryAttempt::from(fail(Errc::unavailable, "nobody listens as " + name));
  }
  const std::shared_ptr<Sink> sink = found->second;
  if (event.extension(hops_attribute) == nullptr) co_return co_await sink->attempt(event);
  CloudEvent shown = event;
  shown.remove_extension(hops_attribute);
  co_return co_await sink->attempt(shown);
}

Task<DeliveryAttempt> Destinations::deliver(const http::Url& url, ContentMode mode,
                                            const CloudEvent& event) {
  if (url.host.ends_with(local_domain)) co_return co_await deliver_local(url.host, event);
  HttpSinkOptions options;
  options.target = url.target;
  options.host = url.host;
  options.mode = mode;
  std::shared_ptr<http::Handler> handler = door_.at_url(url);
  // Functions are not told the hops; brokers are, ours and (it may be one) whoever is outside.
  options.hands_on = handler == nullptr || dynamic_cast<const EventDoor*>(handler.get()) != nullptr;
  if (handler != nullptr) {
    HttpSink sink(*handler, std::move(options));
    co_return co_await sink.attempt(event);
  }
  Outside outside(outbound_, url);
  HttpSink sink(outside, std::move(options));
  DeliveryAttempt attempt = co_await sink.attempt(event);
  if (outside.unanswered()) attempt.detail = outside.unanswered()->to_string();
  co_return attempt;
}

std::shared_ptr<Sink> pipe(std::shared_ptr<Sink> subscriber, std::shared_ptr<Sink> reply) {
  return std::make_shared<PipeSink>(std::move(subscriber), std::move(reply));
}

}  // namespace knative
