#include "knative/event.hpp"
#include "knative/workload.hpp"

namespace knative {
namespace {

constexpr std::size_t event_bytes_max = std::size_t{16} << 20;

}  // namespace

Task<http::Response> EventFunction::call(http::Request& request, Offload&) const {
  const Result<void> read = co_await request.body.read_all(event_bytes_max);
  if (!read) co_return http::error_response(413, read.error().detail);
  const Result<CloudEvent> event = from_http(request);
  if (!event) {
    const bool known = event.error().code == Errc::invalid_argument;
    co_return http::error_response(known ? 400 : 415, event.error().detail);
  }
  const Result<Reply> reply = co_await deliver(*event);
  if (!reply)
    co_return http::error_response(http::status_of(reply.error().code), reply.error().detail);
  http::Response response;
  response.status = 202;
  if (*reply) response = to_http_response(**reply);
  co_return response;
}

}  // namespace knative
