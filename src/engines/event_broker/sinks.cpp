#include "knative/event_broker.hpp"

namespace knative {
namespace {

constexpr std::size_t error_body_bytes_max = 64 * 1024;

/// A body up to `bytes_max`; what is beyond is left unread.
struct Piece {
  std::string bytes;
  bool whole = true;
};

Task<Result<Piece>> read_piece(http::Body& body, std::size_t bytes_max) {
  Piece piece;
  if (!body.streamed()) {
    piece.whole = body.bytes().size() <= bytes_max;
    piece.bytes = body.bytes().substr(0, bytes_max);
    co_return piece;
  }
  for (;;) {
    const Result<std::string_view> next = co_await body.source()->next();
    if (!next) co_return next.error();
    if (next->empty()) co_return piece;
    const std::size_t room = bytes_max - piece.bytes.size();
    piece.bytes += next->substr(0, room);
    if (next->size() > room) {
      piece.whole = false;
      co_return piece;
    }
  }
}

std::optional<Duration> retry_after(const http::Headers& headers) {
  const std::string_view text = headers.get("retry-after").value_or("");
  std::int64_t seconds = 0;
  for (const char c : text) {
    if (c < '0' || c > '9' || seconds > 1'000'000) return std::nullopt;
    seconds = seconds * 10 + (c - '0');
  }
  if (text.empty()) return std::nullopt;
  return std::chrono::seconds(seconds);
}

DeliveryAttempt failure(int status, std::string detail) {
  DeliveryAttempt attempt;
  attempt.status = status;
  attempt.detail = std::move(detail);
  return attempt;
}

}  // namespace

HttpSink::HttpSink(http::Handler& handler, HttpSinkOptions options)
    : handler_(handler), options_(std::move(options)) {}

HttpSink::~HttpSink() = default;

http::Request HttpSink::request_of(const CloudEvent& event) const {
  if (options_.hands_on) return to_http(event, options_.mode, options_.target);
  if (options_.mode == ContentMode::structured) {
    CloudEvent shown = event;
    shown.remove_extension(hops_attribute);
    return to_http(shown, options_.mode, options_.target);
  }
  http::Request request = to_http(event, options_.mode, options_.target);
  request.headers.remove("ce-" + std::string(hops_attribute));
  return request;
}

Task<DeliveryAttempt> HttpSink::attempt(const CloudEvent& event) {
  http::Request request = request_of(event);
  if (!options_.host.empty()) request.headers.set("host", options_.host);
  request.headers.set("prefer", "reply");
  request.repeatable = true;  // events arrive at least once
  for (const http::Headers::Field field : options_.headers) {
    request.headers.set(field.name, field.value);
  }
  http::Response response = co_await handler_.handle(request);
  DeliveryAttempt attempt;
  attempt.status = response.status;
  const std::size_t most = response.ok() ? options_.reply_bytes_max : error_body_bytes_max;
  Result<Piece> piece = co_await read_piece(response.body, most);
  if (!response.ok()) {
    attempt.retry_after = retry_after(response.headers);
    if (piece) attempt.body = std::move(piece->bytes);
    co_return attempt;
  }
  if (response.status == 202) co_return attempt;  // success, and never a reply
  if (!piece) co_return failure(502, "reading the answer: " + piece.error().to_string());
  if (!piece->whole) {
    co_return failure(502, "a reply of more than " + std::to_string(most) + " bytes");
  }
  if (event_kind(response.headers) == HttpEventKind::none) {
    const bool good = piece->bytes.empty() || options_.non_event_reply == NonEventReply::ignore;
    if (good) co_return attempt;
    co_return failure(502, "the answer has a body that is no event");
  }
  Result<CloudEvent> reply = from_http(response.headers, piece->bytes);
  if (!reply) co_return failure(502, "the reply is no valid event: " + reply.error().detail);
  attempt.reply = std::move(*reply);
  co_return attempt;
}

Task<Result<Reply>> HttpSink::deliver(const CloudEvent& event) {
  DeliveryAttempt done = co_await attempt(event);
  if (done.ok()) co_return std::move(done.reply);
  const bool retry = RetrySchedule::retryable(done.status);
  co_return fail(retry ? Errc::unavailable : Errc::invalid_argument,
                 "status " + std::to_string(done.status) + ": " + done.cause().substr(0, 200));
}

Task<Result<Reply>> BrokerSink::deliver(const CloudEvent& event) {
  const Result<Offset> offset = co_await broker_->publish(event);
  if (!offset) co_return offset.error();
  co_return Reply();
}

// Why a broker of ours takes nothing is for our log and not for a dead letter.
Task<DeliveryAttempt> BrokerSink::attempt(const CloudEvent& event) {
  Result<Reply> taken = co_await deliver(event);
  co_return DeliveryAttempt::from(std::move(taken));
}

}  // namespace knative
