#include "knative/event.hpp"

#include <algorithm>

#include "wire/event_text.hpp"
#include "wire/http_authority.hpp"

namespace knative {
namespace text = event_text;

// ---------------------------------------------------------------------------- data

EventData EventData::json(const Value& value) { return of(value.to_json(), "application/json"); }

EventData EventData::text(std::string text) { return of(std::move(text), "text/plain"); }

EventData EventData::of(std::string bytes, std::string content_type) {
  EventData data;
  data.present_ = true;
  data.bytes_ = std::move(bytes);
  data.content_type_ = std::move(content_type);
  return data;
}

bool EventData::is_json() const noexcept {
  const std::string_view type = text::media_type(content_type_);
  const std::size_t slash = type.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view subtype = type.substr(slash + 1);
  return text::same_letters(subtype, "json") ||
         (subtype.size() > 5 && text::same_letters(subtype.substr(subtype.size() - 5), "+json"));
}

Result<Value> EventData::parse() const {
  if (!present_) return fail(Errc::not_found, "the event has no data");
  Result<Value> value = Value::parse_json(bytes_);
  if (!value) return value.error().within("data");
  return value;
}

std::string to_string(const ExtensionValue& value) {
  if (const bool* boolean = std::get_if<bool>(&value)) return *boolean ? "true" : "false";
  if (const std::int32_t* number = std::get_if<std::int32_t>(&value)) {
    return std::to_string(*number);
  }
  return std::get<std::string>(value);
}

// ---------------------------------------------------------------------------- attributes

const ExtensionValue* CloudEvent::extension(std::string_view name) const noexcept {
  const auto found = extensions_.find(name);
  return found == extensions_.end() ? nullptr : &found->second;
}

std::optional<std::string> CloudEvent::attribute(std::string_view name) const {
  const text::Slot slot = text::slot_of(name);
  if (slot == text::Slot::extension) {
    const ExtensionValue* value = extension(name);
    if (value == nullptr) return std::nullopt;
    return to_string(*value);
  }
  const std::string_view value = text::context_text(*this, slot);
  if (value.empty()) return std::nullopt;
  return std::string(value);
}

CloudEvent& CloudEvent::set_time(WallTime time) { return set_time(text::rfc3339(time)); }

CloudEvent& CloudEvent::set_extension(std::string name, ExtensionValue value) {
  extensions_.insert_or_assign(std::move(name), std::move(value));
  return *this;
}

CloudEvent& CloudEvent::remove_extension(std::string_view name) {
  const auto found = extensions_.find(name);
  if (found != extensions_.end()) extensions_.erase(found);
  return *this;
}

CloudEvent& CloudEvent::set_attribute(std::string_view name, std::string value) {
  if (name == "schemaurl" && specversion_ == "0.3") return set_dataschema(std::move(value));
  switch (text::slot_of(name)) {
    case text::Slot::id: return set_id(std::move(value));
    case text::Slot::source: return set_source(std::move(value));
    case text::Slot::type: return set_type(std::move(value));
    case text::Slot::specversion: return set_specversion(std::move(value));
    case text::Slot::subject: return set_subject(std::move(value));
    case text::Slot::time: return set_time(std::move(value));
    case text::Slot::dataschema: return set_dataschema(std::move(value));
    case text::Slot::datacontenttype: data_.set_content_type(std::move(value)); return *this;
    case text::Slot::datamediatype:
    case text::Slot::extension: break;
  }
  return set_extension(std::string(name), std::move(value));
}

// ---------------------------------------------------------------------------- validation

namespace {

Result<void> check_text(std::string_view name, std::string_view value) {
  if (const auto at = text::bad_character(value)) {
    return text::bad(name, "a character that is not allowed at byte " + std::to_string(*at));
  }
  return {};
}

Result<void> check_required(std::string_view name, std::string_view value) {
  if (value.empty()) return text::bad(name, "missing");
  return check_text(name, value);
}

/// Brackets are around an address and nowhere else, and only a port comes behind (RFC 3986 section
/// 3.2.2).
bool is_authority(std::string_view text) {
  const std::size_t user = text.rfind('@');
  if (user != text.npos) text.remove_prefix(user + 1);
  if (!text.starts_with('[')) return text.find_first_of("[]") == text.npos;
  const std::size_t end = text.find(']');
  if (end == text.npos || end == 1) return false;
  const std::string_view port = text.substr(end + 1);
  return port.empty() || (port[0] == ':' && port.find_first_not_of("0123456789", 1) == port.npos);
}

/// RFC 3986 characters; letters beyond ASCII are let through, as everyone does.
Result<void> check_uri(std::string_view name, std::string_view value, bool absolute) {
  const std::size_t wrong =
      std::min(value.find_first_of(" \"<>\\^`{|}"), http::wire::first_bad_escape(value));
  if (wrong < value.size()) {
    return text::bad(name, "no URI: unexpected character at byte " + std::to_string(wrong));
  }
  const std::size_t authority = value.find("//");
  const bool network_path =
      authority == 0 || (authority != value.npos && value.find(':') == authority - 1);
  if (network_path) {
    const std::string_view rest = value.substr(authority + 2);
    if (!is_authority(rest.substr(0, rest.find_first_of("/?#")))) {
      return text::bad(name, "no URI: wrong host at byte " + std::to_string(authority + 2));
    }
  }
  if (!absolute) return {};
  const std::size_t colon = value.find(':');
  const std::string_view scheme = value.substr(0, colon);
  bool good = colon != std::string_view::npos && !scheme.empty() && value.size() > colon + 1;
  for (std::size_t at = 0; good && at < scheme.size(); ++at) {
    const char c = scheme[at];
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    good = letter || (at > 0 && ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'));
  }
  if (!good) return text::bad(name, "must be an absolute URI");
  return {};
}

Result<void> check_content_type(std::string_view value) {
  const std::string_view type = text::media_type(value);
  const std::size_t slash = type.find('/');
  bool good = slash != std::string_view::npos && slash > 0 && slash + 1 < type.size();
  for (std::size_t at = 0; good && at < type.size(); ++at) {
    const char c = type[at];
    good = at == slash || (c > 0x20 && c < 0x7f &&
                           std::string_view("()<>@,;:\\\"/[]?=").find(c) == std::string_view::npos);
  }
  if (!good) return text::bad("datacontenttype", "must be a media type such as application/json");
  return {};
}

Result<void> check_extensions(const CloudEvent& event) {
  for (const auto& [name, value] : event.extensions()) {
    if (!text::is_attribute_name(name)) {
      return text::bad(name.empty() ? "extension" : name,
                       "names of attributes are of lower-case letters and digits");
    }
    if (name == "data" || name == "data_base64" || text::slot_of(name) != text::Slot::extension) {
      return text::bad(name, "the name is taken by the specification");
    }
    if (const std::string* string = std::get_if<std::string>(&value)) {
      if (Result<void> checked = check_text(name, *string); !checked) return checked;
    }
  }
  return {};
}

}  // namespace

Result<void> CloudEvent::validate() const {
  if (specversion_.empty()) return text::bad("specversion", "missing");
  if (specversion_ != "1.0" && specversion_ != "0.3") {
    return text::bad("specversion", "\"" + specversion_.substr(0, 20) + "\" is not supported");
  }
  if (Result<void> checked = check_required("id", id_); !checked) return checked;
  if (Result<void> checked = check_required("source", source_); !checked) return checked;
  if (Result<void> checked = check_required("type", type_); !checked) return checked;
  if (Result<void> checked = check_uri("source", source_, false); !checked) return checked;
  if (Result<void> checked = check_text("subject", subject_); !checked) return checked;
  if (!time_.empty() && !text::is_rfc3339(time_)) {
    return text::bad("time", "must be an RFC 3339 timestamp");
  }
  if (!dataschema_.empty()) {
    if (Result<void> checked = check_text("dataschema", dataschema_); !checked) return checked;
    const bool absolute = specversion_ == "1.0";
    Result<void> checked = check_uri("dataschema", dataschema_, absolute);
    if (!checked) return checked;
  }
  if (!data_.content_type().empty()) {
    if (Result<void> checked = check_content_type(data_.content_type()); !checked) return checked;
    Result<void> checked = check_text("datacontenttype", data_.content_type());
    if (!checked) return checked;
  }
  return check_extensions(*this);
}

// ---------------------------------------------------------------------------- sinks

DeliveryAttempt DeliveryAttempt::from(Result<Reply> result) {
  DeliveryAttempt attempt;
  if (result) {
    attempt.reply = std::move(*result);
    attempt.status = attempt.reply ? 200 : 202;
  } else {
    attempt.status = http::status_of(result.error().code);
    attempt.detail = result.error().to_string();
  }
  return attempt;
}

Task<DeliveryAttempt> Sink::attempt(const CloudEvent& event) {
  std::optional<Result<Reply>> result;
  std::string said;
  try {
    result.emplace(co_await deliver(event));
    if (!*result) said = result->error().detail;
  } catch (const Exception& exception) {
    said = exception.error().detail;
    result.emplace(exception.error());
  } catch (const std::exception& exception) {
    said = exception.what();
    result.emplace(fail(Errc::internal, std::string("the subscriber threw: ") + exception.what()));
  } catch (...) {
    result.emplace(fail(Errc::internal, "the subscriber threw something unknown"));
  }
  DeliveryAttempt attempt = DeliveryAttempt::from(std::move(*result));
  attempt.body = std::move(said);
  co_return attempt;
}

}  // namespace knative
