#include "knative/event.hpp"
#include "knative/functions.hpp"
#include "knative/oci.hpp"

namespace knative {
namespace {

constexpr std::size_t reply_id_digits = 32;

// What a reply lacks to be an event. An event that is delivered again is answered under the same
// id, so that receivers can tell a repetition.
void identify(CloudEvent& reply, const CloudEvent& event, const ContainerIdentity& identity) {
  if (reply.id().empty()) {
    std::string seed = event.source();
    for (const std::string& part : {event.id(), identity.uid, identity.revision, reply.type()}) {
      seed.append(1, '\0').append(part);
    }
    reply.set_id(std::string(oci::Digest::of(seed).hex().substr(0, reply_id_digits)));
  }
  if (reply.source().empty()) {
    reply.set_source("/functions/" +
                     (identity.service.empty() ? identity.revision : identity.service));
  }
}

}  // namespace

Task<std::optional<http::Response>> Function::read_body(http::Request& request,
                                                        const FunctionContext& context) {
  if (!request.body.streamed()) {
    if (request.body.bytes().size() <= context.body_bytes_max) co_return std::nullopt;
    co_return http::error_response(413, "the body is too large");
  }
  const Result<void> read = co_await request.body.read_all(context.body_bytes_max);
  if (read) co_return std::nullopt;
  const bool large = read.error().code == Errc::resource_exhausted;
  co_return http::error_response(large ? 413 : 400,
                                 large ? "the body is too large" : "the body was cut short");
}

Task<http::Response> EventFunction::call(http::Request& request,
                                         const FunctionContext& context) const {
  std::optional<http::Response> refused = co_await read_body(request, context);
  if (refused) co_return std::move(*refused);
  const Result<CloudEvent> event = from_http(request);
  if (!event) {
    const bool known = event.error().code == Errc::invalid_argument;
    co_return http::error_response(known ? 400 : 415, event.error().detail);
  }
  Result<Reply> reply = co_await deliver(*event);
  if (!reply) {
    if (context.failed) context.failed(event->id(), reply.error().to_string());
    co_return http::error_response(http::status_of(reply.error().code), reply.error().detail);
  }
  http::Response response;
  response.status = 202;
  if (*reply) {
    identify(**reply, *event, context.identity);
    if (const Result<void> valid = (*reply)->validate(); !valid) {
      const std::string cause = "its reply is no valid event: " + valid.error().detail;
      if (context.failed) context.failed(event->id(), cause);
      co_return http::error_response(500, "the function's reply is no valid event");
    }
    response = to_http_response(**reply);
  }
  co_return response;
}

}  // namespace knative
