// The HTTP binding of CloudEvents: binary and structured mode, both directions.
#include <algorithm>
#include <set>

#include "knative/event.hpp"
#include "wire/event_text.hpp"

namespace knative {
namespace text = event_text;
namespace {

constexpr std::string_view structured_type = "application/cloudevents+json";

/// Calls `f(name, text)` for every attribute that travels as a "ce-" field.
template <class F>
void each_attribute(const CloudEvent& event, F f) {
  f("specversion", event.specversion());
  f("id", event.id());
  f("source", event.source());
  f("type", event.type());
  if (!event.subject().empty()) f("subject", event.subject());
  if (!event.time().empty()) f("time", event.time());
  if (!event.dataschema().empty()) {
    f(event.specversion() == "0.3" ? "schemaurl" : "dataschema", event.dataschema());
  }
  for (const auto& [name, value] : event.extensions()) f(name, to_string(value));
}

/// Puts the event into the fields and returns the body.
std::string put_event(const CloudEvent& event, ContentMode mode, http::Headers& headers) {
  if (mode == ContentMode::structured) {
    headers.set("content-type", structured_type);
    return to_json(event);
  }
  const bool encoded = event.specversion() != "0.3";
  each_attribute(event, [&](std::string_view name, const std::string& value) {
    headers.set("ce-" + std::string(name), encoded ? text::percent_encode(value) : value);
  });
  if (!event.datacontenttype().empty()) headers.set("content-type", event.datacontenttype());
  return event.data().bytes();
}

bool attribute_field(std::string_view name) noexcept {
  return name.size() > 3 && text::same_letters(name.substr(0, 3), "ce-");
}

Result<CloudEvent> from_binary(const http::Headers& headers, std::string_view body) {
  CloudEvent event;
  const std::string_view version = headers.get("ce-specversion").value_or("");
  event.set_specversion(std::string(version));
  std::set<std::string, std::less<>> seen;
  for (const http::Headers::Field field : headers) {
    if (!attribute_field(field.name)) continue;
    std::string name = text::lower(field.name.substr(3));
    if (!seen.insert(name).second) {
      return fail(Errc::invalid_argument, name + ": given twice");
    }
    if (name == "datacontenttype") {
      if (headers.has("content-type")) continue;  // which wins
      return fail(Errc::invalid_argument, name + ": belongs in the Content-Type field");
    }
    std::optional<std::string> value =
        version == "0.3" ? std::string(field.value) : text::percent_decode(field.value);
    if (!value) return fail(Errc::invalid_argument, name + ": no percent-encoded UTF-8");
    event.set_attribute(name, std::move(*value));
  }
  EventData data;
  if (!body.empty()) data = EventData::of(std::string(body), "");
  data.set_content_type(std::string(headers.get("content-type").value_or("")));
  event.set_data(std::move(data));
  if (Result<void> valid = event.validate(); !valid) return valid.error();
  return event;
}

}  // namespace

http::Request to_http(const CloudEvent& event, ContentMode mode, std::string_view target) {
  http::Request request;
  request.method = "POST";
  request.target = std::string(target);
  request.body = put_event(event, mode, request.headers);
  return request;
}

http::Response to_http_response(const CloudEvent& event, int status, ContentMode mode) {
  http::Response response;
  response.status = status;
  response.body = put_event(event, mode, response.headers);
  return response;
}

HttpEventKind event_kind(const http::Headers& headers) noexcept {
  const std::string_view type = text::media_type(headers.get("content-type").value_or(""));
  constexpr std::string_view prefix = "application/cloudevents";
  if (type.size() >= prefix.size() && text::same_letters(type.substr(0, prefix.size()), prefix)) {
    const std::string_view rest = type.substr(prefix.size());
    if (rest.empty() || text::same_letters(rest, "+json")) return HttpEventKind::structured;
    if (rest.front() == '+') return HttpEventKind::unsupported_format;
    if (text::same_letters(rest.substr(0, 6), "-batch")) return HttpEventKind::batch;
  }
  return headers.has("ce-specversion") ? HttpEventKind::binary : HttpEventKind::none;
}

Result<CloudEvent> from_http(const http::Headers& headers, std::string_view body) {
  switch (event_kind(headers)) {
    case HttpEventKind::binary: return from_binary(headers, body);
    case HttpEventKind::structured: return event_from_json(body);
    case HttpEventKind::batch:
      return fail(Errc::unimplemented, "batches of events are not accepted here");
    case HttpEventKind::unsupported_format:
      return fail(Errc::unimplemented, "events in another format than JSON");
    case HttpEventKind::none: break;
  }
  return fail(Errc::invalid_argument,
              "specversion: missing (no CloudEvent: neither a ce-specversion field nor the "
              "content type application/cloudevents+json)");
}

Result<CloudEvent> from_http(const http::Request& request) {
  return from_http(request.headers, request.body.bytes());
}

Result<CloudEvent> from_http(const http::Response& response) {
  return from_http(response.headers, response.body.bytes());
}

}  // namespace knative
