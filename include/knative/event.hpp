/// \file
/// CloudEvents 1.0: the event itself, its HTTP and JSON forms, sinks that take events, and filters.
///
/// A `CloudEvent` is an ordinary value. A `Sink` takes events and may answer each with one. A
/// `Filter` is an immutable predicate, compiled once and cheap to copy. Nothing here does I/O.
/// Rules: CloudEvents 1.0.2, its HTTP binding and JSON format, CloudEvents SQL 1.0.
///
/// \code
/// knative::CloudEvent order("order.created", "/web", {{"id", 7}, {"total", 120}});
/// knative::Filter big = knative::Filter::exact("type", "order.created").value();
/// if (big.matches(order)) knative::http::Request request = knative::to_http(order);
/// \endcode
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/http.hpp"
#include "knative/task.hpp"
#include "knative/value.hpp"

namespace knative {

/// The payload of an event: bytes, and the media type that says what they are.
class KNATIVE_EXPORT EventData {
 public:
  /// No payload at all.
  EventData() = default;
  /// application/json
  static EventData json(const Value& value);
  /// text/plain
  static EventData text(std::string text);
  /// Any bytes; an empty `content_type` leaves the attribute `datacontenttype` unset.
  static EventData of(std::string bytes, std::string content_type = "application/octet-stream");

  /// False when the event has no payload; an empty payload is one.
  bool present() const noexcept { return present_; }
  const std::string& bytes() const noexcept { return bytes_; }
  /// The attribute `datacontenttype`; empty when unset.
  const std::string& content_type() const noexcept { return content_type_; }
  void set_content_type(std::string content_type) { content_type_ = std::move(content_type); }
  /// True for "*/json" and "*/*+json", with or without parameters.
  bool is_json() const noexcept;
  /// The payload read as JSON, whatever its media type. `invalid_argument` when it is no JSON,
  /// `not_found` when there is no payload.
  Result<Value> parse() const;

  friend bool operator==(const EventData&, const EventData&) = default;

 private:
  bool present_ = false;
  std::string bytes_;
  std::string content_type_;
};

/// The value of an extension attribute. Events that came in HTTP binary mode hold only strings.
using ExtensionValue = std::variant<std::string, bool, std::int32_t>;

/// The canonical text of an extension value: "true", "42", or the string itself.
KNATIVE_EXPORT std::string to_string(const ExtensionValue& value);

/// An event: what happened (`type`), where (`source`), which occurrence (`id`), and data.
///
/// Setters take anything; `validate()` judges. A broker gives an event without id one when it is
/// published in the process; over HTTP an event without id is rejected.
class KNATIVE_EXPORT CloudEvent {
 public:
  using Extensions = std::map<std::string, ExtensionValue, std::less<>>;

  CloudEvent() = default;
  CloudEvent(std::string type, std::string source)
      : type_(std::move(type)), source_(std::move(source)) {}
  /// With JSON data: a map, a list, a string, a number.
  CloudEvent(std::string type, std::string source, const Value& data)
      : CloudEvent(std::move(type), std::move(source), EventData::json(data)) {}
  CloudEvent(std::string type, std::string source, EventData data)
      : type_(std::move(type)), source_(std::move(source)), data_(std::move(data)) {}

  const std::string& id() const noexcept { return id_; }
  const std::string& source() const noexcept { return source_; }
  const std::string& type() const noexcept { return type_; }
  /// "1.0"; an event that was received as 0.3 says so and is passed on as 0.3.
  const std::string& specversion() const noexcept { return specversion_; }
  /// Empty when unset, as are the following three.
  const std::string& subject() const noexcept { return subject_; }
  /// RFC 3339, exactly as it was received or set.
  const std::string& time() const noexcept { return time_; }
  const std::string& dataschema() const noexcept { return dataschema_; }
  const std::string& datacontenttype() const noexcept { return data_.content_type(); }
  const EventData& data() const noexcept { return data_; }
  /// The data read as JSON; errors as `EventData::parse`.
  Result<Value> json() const { return data_.parse(); }
  const Extensions& extensions() const noexcept { return extensions_; }
  /// An extension, or null.
  const ExtensionValue* extension(std::string_view name) const noexcept;
  /// The text of any attribute by its name, context attribute or extension; empty when unset.
  std::optional<std::string> attribute(std::string_view name) const;

  CloudEvent& set_id(std::string id) { return set(id_, std::move(id)); }
  CloudEvent& set_source(std::string source) { return set(source_, std::move(source)); }
  CloudEvent& set_type(std::string type) { return set(type_, std::move(type)); }
  CloudEvent& set_specversion(std::string text) { return set(specversion_, std::move(text)); }
  CloudEvent& set_subject(std::string subject) { return set(subject_, std::move(subject)); }
  CloudEvent& set_time(std::string rfc3339) { return set(time_, std::move(rfc3339)); }
  CloudEvent& set_time(WallTime time);
  CloudEvent& set_dataschema(std::string uri) { return set(dataschema_, std::move(uri)); }
  CloudEvent& set_data(EventData data) {
    data_ = std::move(data);
    return *this;
  }
  CloudEvent& set_data(const Value& json) { return set_data(EventData::json(json)); }
  CloudEvent& set_extension(std::string name, ExtensionValue value);
  CloudEvent& remove_extension(std::string_view name);
  /// Set any attribute by name from its text; an extension becomes a string.
  CloudEvent& set_attribute(std::string_view name, std::string text);

  /// Check every rule of the specification: required attributes, names, characters, `time`,
  /// `dataschema`. Fails with `invalid_argument`; the detail begins with the attribute's name:
  /// "id: missing".
  Result<void> validate() const;

  friend bool operator==(const CloudEvent&, const CloudEvent&) = default;

 private:
  CloudEvent& set(std::string& field, std::string value) {
    field = std::move(value);
    return *this;
  }
  std::string id_;
  std::string type_;
  std::string source_;
  std::string specversion_ = "1.0";
  std::string subject_;
  std::string time_;
  std::string dataschema_;
  EventData data_;
  Extensions extensions_;
};

// ---------------------------------------------------------------------------- forms

/// How an event travels in an HTTP message.
enum class ContentMode : unsigned char {
  binary,      ///< Attributes as "ce-" fields, data as the body.
  structured,  ///< Everything in one application/cloudevents+json body.
};

/// POST with the event. Never fails: an invalid event gives an invalid request, so `validate()`
/// first what comes from outside.
KNATIVE_EXPORT http::Request to_http(const CloudEvent& event,
                                     ContentMode mode = ContentMode::binary,
                                     std::string_view target = "/");
/// A response that carries the event (a reply).
KNATIVE_EXPORT http::Response to_http_response(const CloudEvent& event, int status = 200,
                                               ContentMode mode = ContentMode::binary);
/// What kind of message this is by its fields.
enum class HttpEventKind : unsigned char { none, binary, structured, batch, unsupported_format };
KNATIVE_EXPORT HttpEventKind event_kind(const http::Headers& headers) noexcept;
/// Read an event from fields and body (which must be in memory: `Body::read_all` first).
/// `invalid_argument` with the attribute's name when it is no valid event, `unimplemented` for a
/// batch and for formats other than JSON.
KNATIVE_EXPORT Result<CloudEvent> from_http(const http::Headers& headers, std::string_view body);
KNATIVE_EXPORT Result<CloudEvent> from_http(const http::Request& request);
KNATIVE_EXPORT Result<CloudEvent> from_http(const http::Response& response);

/// The JSON format (application/cloudevents+json).
KNATIVE_EXPORT std::string to_json(const CloudEvent& event);
/// Read one event in the JSON format and validate it. Data is kept byte for byte as written.
KNATIVE_EXPORT Result<CloudEvent> event_from_json(std::string_view text);
/// Read a batch (application/cloudevents-batch+json); the error names the index.
KNATIVE_EXPORT Result<std::vector<CloudEvent>> events_from_json_batch(std::string_view text);

/// An extension, written as if the event had it (not its own of that name). It owns neither part.
struct ExtensionStamp {
  std::string_view name;
  const ExtensionValue& value;
};

/// The compact form of the event log, docs/log-format.md.
KNATIVE_EXPORT std::string to_bytes(const CloudEvent& event);
/// The same behind what `out` holds, with `stamps` (in the order of their names): a stamped event
/// without a copy of it.
KNATIVE_EXPORT void append_bytes(std::string& out, const CloudEvent& event,
                                 std::span<const ExtensionStamp> stamps);
/// `data_loss` when the bytes are no such form.
KNATIVE_EXPORT Result<CloudEvent> event_from_bytes(std::string_view bytes);

// ---------------------------------------------------------------------------- sinks

/// What a sink answers with: an event, or nothing.
using Reply = std::optional<CloudEvent>;

/// One attempt to deliver an event, as seen by whoever decides about another attempt.
struct KNATIVE_EXPORT DeliveryAttempt {
  int status = 202;    ///< HTTP status, or the one that stands for the error; 0: no answer.
  Reply reply;         ///< Only after success.
  std::string body;    ///< After a failure: what the subscriber answered, for the dead letter.
  std::string detail;  ///< After a failure: our own words, for the log; empty: see `body`.
  std::optional<Duration> retry_after;  ///< The Retry-After field of the response.
  bool ok() const noexcept { return status >= 200 && status < 300; }
  const std::string& cause() const noexcept { return detail.empty() ? body : detail; }
  /// Success with a reply, or the failure that stands for `result`'s error, which has no body.
  static DeliveryAttempt from(Result<Reply> result);
};

/// Takes events: a function, a subscriber, a broker, an HTTP endpoint.
class KNATIVE_EXPORT Sink {
 public:
  virtual ~Sink() = default;
  /// Deliver `event`, which stays until the task is done. Success means that the sink has taken
  /// responsibility. May be called again with the same event after a failure or a crash.
  virtual Task<Result<Reply>> deliver(const CloudEvent& event) = 0;
  /// Like `deliver`, with the details that a retry decision needs. Exceptions of `deliver` become
  /// status 500.
  virtual Task<DeliveryAttempt> attempt(const CloudEvent& event);
  /// Whether the sink hands events on, as a broker does. Only then is it told how many hops an
  /// event has left: in the extension `knativebrokerttl`, which it must pass on.
  virtual bool hands_on() const noexcept { return false; }
};

/// Calls a function with the event. The function returns `Reply`, `Task<Reply>`, `Result<Reply>`,
/// `Task<Result<Reply>>`, `void` or `Task<void>`; what it throws is a failed attempt.
template <class F>
std::unique_ptr<Sink> make_sink(F function) {
  class FunctionSink final : public Sink {
   public:
    explicit FunctionSink(F function) : function_(std::move(function)) {}
    Task<Result<Reply>> deliver(const CloudEvent& event) override {
      using R = std::invoke_result_t<F&, const CloudEvent&>;
      if constexpr (std::is_void_v<R>) {
        function_(event);
        co_return Reply();
      } else if constexpr (std::is_same_v<R, Task<void>>) {
        co_await function_(event);
        co_return Reply();
      } else if constexpr (requires(R task) { typename R::promise_type; }) {
        co_return co_await function_(event);
      } else if constexpr (std::is_same_v<R, Result<Reply>>) {
        co_return function_(event);
      } else {
        co_return Reply(function_(event));
      }
    }

   private:
    F function_;
  };
  return std::make_unique<FunctionSink>(std::move(function));
}

// ---------------------------------------------------------------------------- filters

/// An immutable predicate on events. What does not parse is an error, never an open filter.
///
/// Attribute names are those of the specification and "schemaurl" (dataschema) and
/// "datamediatype" (datacontenttype without parameters); everything else is an extension.
class KNATIVE_EXPORT Filter {
 public:
  /// Matches every event.
  Filter() = default;
  /// The attribute is set and its text equals `value`. Fails with `invalid_argument` for a
  /// malformed name or an empty value; so do `prefix` and `suffix`.
  static Result<Filter> exact(std::string_view attribute, std::string_view value);
  static Result<Filter> prefix(std::string_view attribute, std::string_view value);
  static Result<Filter> suffix(std::string_view attribute, std::string_view value);
  /// Every filter matches. Fails with `invalid_argument` when the list is empty; so does `any`.
  static Result<Filter> all(std::vector<Filter> filters);
  static Result<Filter> any(std::vector<Filter> filters);
  static Filter not_(Filter filter);
  /// `spec.filter.attributes` of a Trigger: an empty value asks only that the attribute is set and
  /// not empty; a value of an extension that is no string never equals. An empty map matches all.
  static Result<Filter> attributes(const std::map<std::string, std::string>& wanted);
  /// A CloudEvents SQL expression; an evaluation error means no match. Fails with
  /// `invalid_argument` and the position when the expression does not parse.
  static Result<Filter> cesql(std::string_view expression);

  bool matches(const CloudEvent& event) const;
  bool matches_everything() const noexcept { return node_ == nullptr; }

  /// A compiled filter; private to the library.
  struct Node;

 private:
  explicit Filter(std::shared_ptr<const Node> node) : node_(std::move(node)) {}
  std::shared_ptr<const Node> node_;
};

}  // namespace knative
