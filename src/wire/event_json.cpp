// The JSON format of CloudEvents. The `data` member is copied byte for byte, so that numbers and
// spelling survive; only the attributes are converted.
#include <limits>

#include "base/text.hpp"
#include "knative/event.hpp"
#include "wire/event_text.hpp"

namespace knative {
namespace text = event_text;
namespace {

// --------------------------------------------------------------------------- writing

void put_member(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  if (out.size() > 1) out += ',';
  append_json_string(out, name);
  out += ':';
  append_json_string(out, value);
}

void put_raw(std::string& out, std::string_view name, std::string_view raw) {
  if (out.size() > 1) out += ',';
  append_json_string(out, name);
  out += ':';
  out += raw;
}

void put_data(std::string& out, const CloudEvent& event) {
  const EventData& data = event.data();
  if (!data.present()) return;
  if (data.is_json() && Value::parse_json(data.bytes())) {
    put_raw(out, "data", data.bytes());
  } else if ((!data.content_type().empty() && !data.is_json() && text::is_utf8(data.bytes())) ||
             event.specversion() == "0.3") {
    if (out.size() > 1) out += ',';
    out += "\"data\":";
    append_json_string(out, data.bytes());
  } else {
    put_raw(out, "data_base64", "\"" + base::to_base64(data.bytes()) + "\"");
  }
}

// --------------------------------------------------------------------------- reading

/// Walks over JSON text that is known to be valid.
class Skimmer {
 public:
  explicit Skimmer(std::string_view json) : json_(json) {}

  /// The text of the member `name` of the outermost object.
  std::string_view member(std::string_view name) {
    blanks();
    ++at_;  // {
    for (;;) {
      blanks();
      if (json_[at_] == '}') return {};
      const std::string_view key = value();
      blanks();
      ++at_;  // :
      blanks();
      const std::string_view found = value();
      if (key.substr(1, key.size() - 2) == name) return found;
      if (key.find('\\') != std::string_view::npos) {  // an escaped spelling of the name
        const Result<Value> spelled = Value::parse_json(key);
        if (spelled && *spelled == Value(name)) return found;
      }
      blanks();
      if (json_[at_] == ',') ++at_;
    }
  }

  /// The texts of the elements of the outermost array.
  std::vector<std::string_view> elements() {
    std::vector<std::string_view> found;
    blanks();
    ++at_;  // [
    for (;;) {
      blanks();
      if (json_[at_] == ']') return found;
      found.push_back(value());
      blanks();
      if (json_[at_] == ',') ++at_;
    }
  }

 private:
  void blanks() {
    while (at_ < json_.size() &&
           std::string_view(" \t\r\n").find(json_[at_]) != std::string_view::npos) {
      ++at_;
    }
  }
  void string() {
    for (++at_; json_[at_] != '"'; ++at_) {
      if (json_[at_] == '\\') ++at_;
    }
    ++at_;
  }
  std::string_view value() {
    const std::size_t begin = at_;
    std::size_t depth = 0;
    do {
      const char c = json_[at_];
      if (c == '"') {
        string();
        continue;
      }
      if (c == '{' || c == '[') ++depth;
      if (c == '}' || c == ']') --depth;
      ++at_;
      if (depth == 0 && (c == '}' || c == ']')) break;
      if (depth == 0) {  // number or word: up to the next delimiter
        while (at_ < json_.size() &&
               std::string_view(",]} \t\r\n").find(json_[at_]) == std::string_view::npos) {
          ++at_;
        }
        break;
      }
    } while (depth > 0);
    return json_.substr(begin, at_ - begin);
  }

  std::string_view json_;
  std::size_t at_ = 0;
};

Result<void> read_attribute(CloudEvent& event, const std::string& name, const Value& value) {
  if (value.is_null()) return {};
  const bool schema = name == "schemaurl" && event.specversion() == "0.3";
  if (text::slot_of(name) != text::Slot::extension || schema) {
    const std::string* string = value.if_string();
    if (string == nullptr) return text::bad(name, "must be a string");
    if (string->empty()) return text::bad(name, "must not be empty");
    event.set_attribute(name, *string);
    return {};
  }
  if (const std::string* string = value.if_string()) {
    event.set_extension(name, *string);
  } else if (const bool* boolean = value.if_bool()) {
    event.set_extension(name, *boolean);
  } else if (const std::int64_t* number = value.if_int();
             number != nullptr && *number >= std::numeric_limits<std::int32_t>::min() &&
             *number <= std::numeric_limits<std::int32_t>::max()) {
    event.set_extension(name, static_cast<std::int32_t>(*number));
  } else {
    return text::bad(name, "must be a string, a boolean or a 32-bit integer");
  }
  return {};
}

Result<EventData> read_data(const CloudEvent& event, const Value* data, const Value* encoded,
                            std::string_view text) {
  std::string content_type = event.datacontenttype();
  const bool has_data = data != nullptr && !data->is_null();
  if (encoded != nullptr && !encoded->is_null()) {
    if (has_data) return text::bad("data_base64", "must not stand beside data");
    const std::string* string = encoded->if_string();
    if (string == nullptr) return text::bad("data_base64", "must be a base64 string");
    Result<std::string> bytes = base::from_base64(*string);
    if (!bytes) return text::bad("data_base64", "must be a base64 string: " + bytes.error().detail);
    return EventData::of(std::move(*bytes), std::move(content_type));
  }
  if (!has_data) {
    EventData none;
    none.set_content_type(std::move(content_type));
    return none;
  }
  if (content_type.empty()) content_type = "application/json";
  EventData result = EventData::of("", content_type);
  const std::string* string = data->if_string();
  if (!result.is_json() || (event.specversion() == "0.3" && string != nullptr)) {
    if (string == nullptr) return text::bad("data", "must be a string for " + content_type);
    return EventData::of(*string, std::move(content_type));
  }
  return EventData::of(std::string(Skimmer(text).member("data")), std::move(content_type));
}

Result<CloudEvent> read_event(const Value& value, std::string_view json) {
  const Value::Map* members = value.if_map();
  if (members == nullptr) return fail(Errc::invalid_argument, "an event must be a JSON object");
  CloudEvent event;
  event.set_specversion("");
  if (const Value* version = value.find("specversion")) {
    if (Result<void> read = read_attribute(event, "specversion", *version); !read) {
      return read.error();
    }
  }
  for (const auto& [name, member] : *members) {
    if (name == "data" || name == "data_base64") continue;
    if (Result<void> read = read_attribute(event, name, member); !read) return read.error();
  }
  Result<EventData> data = read_data(event, value.find("data"), value.find("data_base64"), json);
  if (!data) return data.error();
  event.set_data(std::move(*data));
  if (Result<void> valid = event.validate(); !valid) return valid.error();
  return event;
}

}  // namespace

std::string to_json(const CloudEvent& event) {
  std::string out = "{";
  put_member(out, "specversion", event.specversion());
  put_member(out, "id", event.id());
  put_member(out, "source", event.source());
  put_member(out, "type", event.type());
  put_member(out, "subject", event.subject());
  put_member(out, "time", event.time());
  put_member(out, event.specversion() == "0.3" ? "schemaurl" : "dataschema", event.dataschema());
  put_member(out, "datacontenttype", event.datacontenttype());
  for (const auto& [name, value] : event.extensions()) {
    if (const std::string* string = std::get_if<std::string>(&value)) {
      if (out.size() > 1) out += ',';
      append_json_string(out, name);
      out += ':';
      append_json_string(out, *string);
    } else {
      put_raw(out, name, to_string(value));
    }
  }
  put_data(out, event);
  out += '}';
  return out;
}

Result<CloudEvent> event_from_json(std::string_view json) {
  Result<Value> value = Value::parse_json(json);
  if (!value) return value.error().within("event");
  return read_event(*value, json);
}

Result<std::vector<CloudEvent>> events_from_json_batch(std::string_view json) {
  Result<Value> value = Value::parse_json(json);
  if (!value) return value.error().within("batch");
  const Value::List* list = value->if_list();
  if (list == nullptr) return fail(Errc::invalid_argument, "a batch must be a JSON array");
  const std::vector<std::string_view> texts = Skimmer(json).elements();
  std::vector<CloudEvent> events;
  for (std::size_t index = 0; index < list->size(); ++index) {
    Result<CloudEvent> event = read_event((*list)[index], texts[index]);
    if (!event) return event.error().within("event " + std::to_string(index));
    events.push_back(std::move(*event));
  }
  return events;
}

}  // namespace knative
