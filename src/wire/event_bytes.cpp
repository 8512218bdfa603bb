// The compact form of events in the log (docs/log-format.md, "An event"): a form byte, then
// length-prefixed texts in a fixed order, then the extensions, then the data.
#include "knative/event.hpp"

namespace knative {
namespace {

constexpr char form_1 = 1;

void put_length(std::string& out, std::size_t length) {
  while (length >= 0x80) {
    out += static_cast<char>((length & 0x7f) | 0x80);
    length >>= 7;
  }
  out += static_cast<char>(length);
}

void put_text(std::string& out, std::string_view text) {
  put_length(out, text.size());
  out += text;
}

void put_extension(std::string& out, std::string_view name, const ExtensionValue& value) {
  put_text(out, name);
  out += static_cast<char>(value.index());
  if (const std::string* text = std::get_if<std::string>(&value)) {
    put_text(out, *text);
  } else {
    put_text(out, to_string(value));
  }
}

/// The event's extensions and the stamps, in the order of their names.
void put_extensions(std::string& out, const CloudEvent::Extensions& own,
                    std::span<const ExtensionStamp> stamps) {
  std::size_t count = own.size() + stamps.size();
  for (const ExtensionStamp& stamp : stamps) count -= own.count(stamp.name);
  put_length(out, count);
  auto next = own.begin();
  for (const ExtensionStamp& stamp : stamps) {
    for (; next != own.end() && next->first < stamp.name; ++next) {
      put_extension(out, next->first, next->second);
    }
    if (next != own.end() && next->first == stamp.name) ++next;
    put_extension(out, stamp.name, stamp.value);
  }
  for (; next != own.end(); ++next) put_extension(out, next->first, next->second);
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  bool good() const { return good_; }
  std::string_view rest() const { return rest_; }
  char byte() {
    if (rest_.empty()) {
      good_ = false;
      return 0;
    }
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }
  std::size_t length() {
    std::size_t value = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
      const auto c = static_cast<unsigned char>(byte());
      value |= static_cast<std::size_t>(c & 0x7f) << shift;
      if ((c & 0x80) == 0) return value;
    }
    good_ = false;
    return 0;
  }
  std::string text() {
    const std::size_t size = length();
    if (size > rest_.size()) {
      good_ = false;
      return {};
    }
    std::string found(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return found;
  }

 private:
  std::string_view rest_;
  bool good_ = true;
};

}  // namespace

std::string to_bytes(const CloudEvent& event) {
  std::string out;
  append_bytes(out, event, {});
  return out;
}

void append_bytes(std::string& out, const CloudEvent& event,
                  std::span<const ExtensionStamp> stamps) {
  out.reserve(out.size() + event.data().bytes().size() + 256);
  out += form_1;
  put_text(out, event.specversion());
  put_text(out, event.id());
  put_text(out, event.source());
  put_text(out, event.type());
  put_text(out, event.subject());
  put_text(out, event.time());
  put_text(out, event.dataschema());
  put_text(out, event.datacontenttype());
  put_extensions(out, event.extensions(), stamps);
  out += static_cast<char>(event.data().present() ? 1 : 0);
  out += event.data().bytes();
}

Result<CloudEvent> event_from_bytes(std::string_view bytes) {
  const Error damaged = fail(Errc::data_loss, "a log record holds no event");
  Reader reader(bytes);
  if (reader.byte() != form_1) return damaged;
  CloudEvent event;
  event.set_specversion(reader.text());
  event.set_id(reader.text());
  event.set_source(reader.text());
  event.set_type(reader.text());
  event.set_subject(reader.text());
  event.set_time(reader.text());
  event.set_dataschema(reader.text());
  std::string content_type = reader.text();
  for (std::size_t count = reader.length(); count > 0 && reader.good(); --count) {
    std::string name = reader.text();
    const char kind = reader.byte();
    std::string value = reader.text();
    if (kind == 0) {
      event.set_extension(std::move(name), std::move(value));
    } else if (kind == 1) {
      event.set_extension(std::move(name), value == "true");
    } else {
      std::int64_t number = 0;
      for (const char c : value) number = c == '-' ? 0 : number * 10 + (c - '0');
      if (!value.empty() && value.front() == '-') number = -number;
      event.set_extension(std::move(name), static_cast<std::int32_t>(number));
    }
  }
  const bool present = reader.byte() != 0;
  if (!reader.good()) return damaged;
  EventData data;
  if (present) data = EventData::of(std::string(reader.rest()), "");
  data.set_content_type(std::move(content_type));
  event.set_data(std::move(data));
  return event;
}

}  // namespace knative
