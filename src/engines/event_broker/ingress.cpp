#include "engines/event_broker/ingress.hpp"

#include <vector>

#include "base/wait_for.hpp"

namespace knative {
namespace {

/// The answer to a method other than POST (webhook specification, section 4, for OPTIONS).
http::Response other_method(std::string_view method) {
  http::Response response =
      method == "OPTIONS" ? http::text("") : http::error_response(405, "events are sent with POST");
  response.headers.set("allow", "POST, OPTIONS");
  if (method == "OPTIONS") {
    response.headers.set("webhook-allowed-origin", "*");
    response.headers.set("webhook-allowed-rate", "*");
  }
  return response;
}

http::Response refusal(const Error& error, const BrokerOptions& options) {
  const int status = broker::refusal_status(error);
  if (status == 503) return http::unavailable(error.detail, options.retry_after);
  return http::error_response(status, error.detail);
}

/// A streamed body into memory. It is not waited for when the broker goes.
Task<Result<void>> read(http::Body& body, std::size_t bytes_max, Wakeup& retired) {
  Task<Result<void>> all = body.read_all(bytes_max);
  Task<void> gone = base::wait_for(retired);
  auto raced = co_await race(std::move(all), std::move(gone));
  if (raced.first) co_return std::move(*raced.first);
  co_return fail(Errc::unavailable, "the broker was removed");
}

Task<http::Response> accept(std::shared_ptr<broker::Acceptor> acceptor, http::Request& request) {
  const BrokerOptions& options = acceptor->rules();
  const auto refuse = [&acceptor](http::Response response) {
    acceptor->refused(response.status);
    return response;
  };
  const auto refuse_large = [&refuse, &options] {
    return refuse(http::error_response(
        413, "an event of more than " + std::to_string(options.event_bytes_max) + " bytes"));
  };
  if (request.method != "POST") co_return other_method(request.method);
  const std::optional<std::uint64_t> length = request.body.length();
  if (length && *length > options.event_bytes_max) co_return refuse_large();
  Result<void> body;
  if (request.body.streamed()) {
    body = co_await read(request.body, options.event_bytes_max, acceptor->retired);
  }
  if (!body && body.error().code == Errc::resource_exhausted) co_return refuse_large();
  if (!body && acceptor->retired.is_set()) co_return refuse(refusal(body.error(), options));
  if (!body) co_return refuse(http::error_response(400, body.error().detail));
  const Result<CloudEvent> event = from_http(request);
  if (!event) {
    // It came whole: what is too much in it is the sender's, who would send it again for a 503.
    Error why = event.error();
    if (why.code == Errc::resource_exhausted) why.code = Errc::invalid_argument;
    co_return refuse(refusal(why, options));
  }
  const Result<Offset> offset = co_await acceptor->accept(*event);
  if (!offset) {
    // What the log says names files: it is for the status and for our own log.
    const Errc code = offset.error().code;
    const bool ours = code == Errc::unavailable || code == Errc::data_loss ||
                      code == Errc::internal || code == Errc::resource_exhausted;
    const Error told = fail(code, "the event cannot be stored now");
    co_return refusal(ours ? told : offset.error(), options);
  }
  http::Response accepted;
  accepted.status = 202;
  co_return accepted;
}

}  // namespace

namespace broker {

int refusal_status(const Error& error) noexcept {
  // An event of a format that no broker takes (webhook specification, section 2.1).
  return error.code == Errc::unimplemented ? 415 : http::status_of(error.code);
}

Task<http::Response> Ingress::handle(http::Request& request) {
  return accept(acceptor_.shared_from_this(), request);
}

}  // namespace broker

void BrokerIngress::add(std::string_view namespace_, std::string_view name,
                        std::shared_ptr<EventBroker> broker) {
  brokers_.insert_or_assign(std::string(namespace_) + "/" + std::string(name), std::move(broker));
}

void BrokerIngress::remove(std::string_view namespace_, std::string_view name) {
  brokers_.erase(std::string(namespace_) + "/" + std::string(name));
}

Task<http::Response> BrokerIngress::handle(http::Request& request) {
  auto answer = [](http::Response response) -> Task<http::Response> { co_return response; };
  if (request.method != "POST") return answer(other_method(request.method));
  std::string_view path = request.path();
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (path == "/" || path.empty()) return answer(http::error_response(404, "no broker here"));
  path.remove_prefix(1);
  const std::size_t slash = path.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == path.size() ||
      path.find('/', slash + 1) != std::string_view::npos) {
    return answer(http::error_response(400, "the path of a broker is /<namespace>/<name>"));
  }
  const auto found = brokers_.find(path);
  if (found == brokers_.end()) {
    return answer(http::error_response(404, "no broker " + std::string(path)));
  }
  return found->second->ingress().handle(request);
}

}  // namespace knative
