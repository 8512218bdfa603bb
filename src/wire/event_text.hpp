/// \file
/// Text rules that the forms of an event share. Private to the wire floor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "knative/error.hpp"
#include "knative/event.hpp"

namespace knative::event_text {

/// The error that names the attribute.
inline Error bad(std::string_view attribute, std::string_view why) {
  return fail(Errc::invalid_argument, std::string(attribute) + ": " + std::string(why));
}

/// The context attributes, as a number that is cheap to compare.
enum class Slot : std::uint8_t {
  id,
  source,
  type,
  specversion,
  subject,
  time,
  dataschema,
  datacontenttype,
  datamediatype,
  extension,
};

/// The slot of a lower-case attribute name.
Slot slot_of(std::string_view name) noexcept;
/// The same for filters, which also know "schemaurl" and "datamediatype".
Slot filter_slot_of(std::string_view name) noexcept;

/// "text/plain; charset=utf-8" without parameters and blanks.
std::string_view media_type(std::string_view content_type) noexcept;

/// The text of a context attribute, empty when unset. Not for `Slot::extension`. Every filter asks
/// for one with every event.
inline std::string_view context_text(const CloudEvent& event, Slot slot) noexcept {
  switch (slot) {
    case Slot::id: return event.id();
    case Slot::source: return event.source();
    case Slot::type: return event.type();
    case Slot::specversion: return event.specversion();
    case Slot::subject: return event.subject();
    case Slot::time: return event.time();
    case Slot::dataschema: return event.dataschema();
    case Slot::datacontenttype: return event.datacontenttype();
    case Slot::datamediatype: return media_type(event.datacontenttype());
    case Slot::extension: break;
  }
  return {};
}

/// One or more of a-z and 0-9.
bool is_attribute_name(std::string_view name) noexcept;

/// The byte position of the first code point that an attribute must not hold (control characters,
/// noncharacters, broken UTF-8); empty when there is none.
std::optional<std::size_t> bad_character(std::string_view text) noexcept;
bool is_utf8(std::string_view text) noexcept;

/// RFC 3339 date-time, calendar checked.
bool is_rfc3339(std::string_view text) noexcept;
std::string rfc3339(WallTime time);

/// The header codec of CloudEvents 1.0 (HTTP binding, section 3.1.3.2).
std::string percent_encode(std::string_view value);
std::optional<std::string> percent_decode(std::string_view value);

/// Compare and lower ASCII letters only.
bool same_letters(std::string_view a, std::string_view b) noexcept;
std::string lower(std::string_view text);

}  // namespace knative::event_text
