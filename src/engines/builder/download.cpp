#include "engines/builder/download.hpp"

#include "knative/http.hpp"

namespace knative::builder {

namespace {

Errc code_of_status(int status) {
  if (status == 404 || status == 410) return Errc::not_found;
  return status == 408 || status == 429 || status >= 500 ? Errc::unavailable
                                                         : Errc::failed_precondition;
}

}  // namespace

Task<Result<void>> download(http::Outbound& outbound, Timers& timers, DownloadRequest from,
                            DownloadSink sink) {
  Result<http::Url> url = http::Url::parse(from.url);
  if (!url) co_return url.error();
  http::Request request = http::get("/");
  if (!from.authorization.empty()) request.headers.set("Authorization", from.authorization);
  auto sending =
      with_deadline(timers, outbound.send(*url, request), timers.now() + from.idle_timeout);
  std::optional<Result<http::Response>> answered = co_await std::move(sending);
  if (!answered) co_return fail(Errc::deadline_exceeded, "the server does not answer");
  if (!*answered) co_return answered->error();
  http::Response response = std::move(**answered);
  if (response.status != 200) {
    co_return fail(code_of_status(response.status),
                   "the server answered " + std::to_string(response.status) + " " +
                       std::string(http::reason_phrase(response.status)));
  }
  http::BodySource* const body = response.body.source();
  if (body == nullptr) co_return sink(response.body.bytes());
  while (true) {
    auto reading = with_deadline(timers, body->next(), timers.now() + from.idle_timeout);
    const std::optional<Result<std::string_view>> piece = co_await std::move(reading);
    if (!piece) co_return fail(Errc::deadline_exceeded, "the server does not go on");
    if (!*piece) co_return piece->error();
    if ((*piece)->empty()) co_return Result<void>();
    if (Result<void> taken = sink(**piece); !taken) co_return taken;
  }
}

}  // namespace knative::builder
