#include "knative/fields.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace knative::fields {
namespace {

bool same_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

// Edits (insert, delete, replace, swap neighbours) between two short texts, ignoring case.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  static constexpr std::size_t length_max = 64;
  if (a.size() > length_max || b.size() > length_max) return length_max;
  std::array<std::array<std::size_t, length_max + 1>, 3> rows{};
  for (std::size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto& before = rows[(i + 2) % 3];
    const auto& two_before = rows[(i + 1) % 3];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool equal = lower(a[i - 1]) == lower(b[j - 1]);
      row[j] = std::min({before[j] + 1, row[j - 1] + 1, before[j - 1] + (equal ? 0 : 1)});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
          lower(a[i - 2]) == lower(b[j - 1])) {
        row[j] = std::min(row[j], two_before[j - 2] + 1);
      }
    }
  }
  return rows[a.size() % 3][b.size()];
}

// A field of the struct or of an inlined member, and the object that holds it.
struct Found {
  const Field* field = nullptr;
  void* holder = nullptr;
};

Found find_field(const Struct& type, void* object, std::string_view key) {
  for (const Field& field : type.fields) {
    if (field.flags & inlined) {
      const Found found = find_field(field.ops->fields(), field.member(object), key);
      if (found.field) return found;
    } else if (field.name == key ||
               ((field.flags & any_case) && same_ignoring_case(field.name, key))) {
      return {&field, object};
    }
  }
  return {};
}

void collect_names(const Struct& type, std::vector<std::string_view>& names) {
  for (const Field& field : type.fields) {
    if (field.flags & inlined) {
      collect_names(field.ops->fields(), names);
    } else {
      names.push_back(field.name);
    }
  }
}

void encode_fields(const Struct& type, const void* object, Value::Map& into) {
  for (const Field& field : type.fields) {
    const void* member = field.member(object);
    if (field.flags & inlined) {
      encode_fields(field.ops->fields(), member, into);
    } else if ((field.flags & always) || !field.ops->empty(*field.ops, member)) {
      into.insert_or_assign(std::string(field.name), field.ops->encode(*field.ops, member));
    }
  }
}

// An object's root has apiVersion and kind beside the described fields.
bool is_type_meta(const Path& path, std::string_view key) noexcept {
  return path.step == Path::Step::root && (key == "apiVersion" || key == "kind");
}

void append_path(const Path& path, std::string& out) {
  if (path.parent) append_path(*path.parent, out);
  switch (path.step) {
    case Path::Step::root: break;
    case Path::Step::field:
      if (!out.empty()) out += '.';
      out += path.name;
      break;
    case Path::Step::index: out += '[' + std::to_string(path.index) + ']'; break;
    case Path::Step::key:
      out += '[';
      out += path.name;
      out += ']';
      break;
  }
}

// "integer 5", "string \"a\"", "a list"
std::string describe_value(const Value& value) {
  switch (value.type()) {
    case Value::Type::null: return "null";
    case Value::Type::list: return "a list";
    case Value::Type::map: return "a map";
    default: break;
  }
  std::string text = value.to_json();
  static constexpr std::size_t length_max = 80;
  if (text.size() > length_max) {
    std::size_t length = length_max;
    // Not within a character.
    while ((static_cast<unsigned char>(text[length]) & 0xc0U) == 0x80U) --length;
    text = text.substr(0, length) + "…";
  }
  return std::string(value.type_name()) + " " + text;
}

}  // namespace

std::string_view to_string(Mark mark) noexcept {
  switch (mark) {
    case Mark::acts: return "acts";
    case Mark::reported: return "reported";
    case Mark::warned: return "warned";
    case Mark::refused: return "refused";
  }
  return "";
}

Field acts(std::string_view name, Member member, unsigned flags) {
  return {name, member.ops, member.offset, flags, Mark::acts, {}};
}
Field reported(std::string_view name, Member member, unsigned flags) {
  return {name, member.ops, member.offset, flags, Mark::reported, {}};
}
Field warned(std::string_view name, Member member, std::string_view text, unsigned flags) {
  return {name, member.ops, member.offset, flags, Mark::warned, text};
}
Field refused(std::string_view name, Member member, std::string_view text, unsigned flags) {
  return {name, member.ops, member.offset, flags, Mark::refused, text};
}

const Field* Struct::find(std::string_view field) const noexcept {
  for (const Field& candidate : fields) {
    if (candidate.name == field) return &candidate;
  }
  return nullptr;
}

std::string Path::to_string() const {
  std::string out;
  append_path(*this, out);
  return out;
}

void Decoder::error(const Path& path, std::string message, std::string details) {
  if (tolerating_) return;
  errors_.add(FieldError{std::move(message), {path.to_string()}, std::move(details)});
}

void Decoder::wrong_type(const Path& path, std::string_view expected, const Value& found,
                         std::string details) {
  const std::string what = concealing_ ? std::string(found.type_name()) : describe_value(found);
  error(path, "expected " + std::string(expected) + ", found " + what, std::move(details));
}

std::string_view did_you_mean(std::string_view wrong,
                              std::span<const std::string_view> candidates) {
  std::string_view best;
  // One edit per three characters, at least one: "nmae" finds "name", "foo" finds nothing long.
  std::size_t limit = std::max<std::size_t>(1, wrong.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(wrong, candidate);
    if (distance < limit) {
      limit = distance;
      best = candidate;
    }
  }
  return best;
}

namespace detail {

void Shapes::decode_structure(const Ops& self, void* to, const Value& from, Decoder& decoder,
                              const Path& path) {
  if (from.is_null()) return;
  const Value::Map* map = from.if_map();
  if (!map) {
    decoder.wrong_type(path, "a map", from);
    return;
  }
  const Struct& type = self.fields();
  for (const auto& [key, value] : *map) {
    const Found found = find_field(type, to, key);
    if (found.field) {
      if (value.is_null()) continue;
      const Field& field = *found.field;
      const bool concealed = (field.flags & secret) && decoder.conceal(true);
      const bool tolerated = (field.flags & tolerant) && decoder.tolerate(true);
      field.ops->decode(*field.ops, field.member(found.holder), value, decoder, path.field(key));
      if (field.flags & secret) decoder.conceal(concealed);
      if (field.flags & tolerant) decoder.tolerate(tolerated);
    } else if (decoder.strict() && !is_type_meta(path, key)) {
      std::vector<std::string_view> names;
      collect_names(type, names);
      const std::string_view similar = did_you_mean(key, names);
      decoder.error(
          path.field(key), "unknown field",
          similar.empty() ? std::string() : "did you mean \"" + std::string(similar) + "\"?");
    }
  }
}

Value Shapes::encode_structure(const Ops& self, const void* object) {
  Value::Map map;
  encode_fields(self.fields(), object, map);
  return Value(std::move(map));
}

bool Shapes::structure_empty(const Ops& self, const void* object) {
  const std::span<const Field> list = self.fields().fields;
  return std::all_of(list.begin(), list.end(), [&](const Field& field) {
    return field.ops->empty(*field.ops, field.member(object));
  });
}

bool Shapes::structure_equal(const Ops& self, const void* a, const void* b) {
  const std::span<const Field> list = self.fields().fields;
  return std::all_of(list.begin(), list.end(), [&](const Field& field) {
    return field.ops->equal(*field.ops, field.member(a), field.member(b));
  });
}

void Shapes::copy_structure(const Ops& self, void* to, const void* from) {
  for (const Field& field : self.fields().fields) {
    field.ops->copy(*field.ops, field.member(to), field.member(from));
  }
}

void Shapes::decode_optional(const Ops& self, void* to, const Value& from, Decoder& decoder,
                             const Path& path) {
  self.element->decode(*self.element, self.reset(to, 1), from, decoder, path);
}

Value Shapes::encode_optional(const Ops& self, const void* object) {
  std::size_t count = 0;
  const void* value = self.data(object, count);
  return count != 0 ? self.element->encode(*self.element, value) : Value();
}

void Shapes::decode_list(const Ops& self, void* to, const Value& from, Decoder& decoder,
                         const Path& path) {
  const Value::List* list = from.if_list();
  if (!list) {
    decoder.wrong_type(path, "a list", from);
    return;
  }
  const Ops& element = *self.element;
  char* slot = static_cast<char*>(self.reset(to, list->size()));
  for (std::size_t i = 0; i < list->size(); ++i, slot += element.size) {
    const Path here = path.element(i);
    if ((*list)[i].is_null() && element.fields) {
      decoder.wrong_type(here, "a map", (*list)[i]);
    } else {
      element.decode(element, slot, (*list)[i], decoder, here);
    }
  }
}

Value Shapes::encode_list(const Ops& self, const void* object) {
  Value::List out;
  std::size_t count = 0;
  const char* slot = static_cast<const char*>(self.data(object, count));
  out.reserve(count);
  for (std::size_t i = 0; i < count; ++i, slot += self.element->size) {
    out.push_back(self.element->encode(*self.element, slot));
  }
  return Value(std::move(out));
}

bool Shapes::sequence_empty(const Ops& self, const void* object) {
  std::size_t count = 0;
  self.data(object, count);
  return count == 0;
}

bool Shapes::sequence_equal(const Ops& self, const void* a, const void* b) {
  std::size_t left_count = 0;
  std::size_t right_count = 0;
  const char* left = static_cast<const char*>(self.data(a, left_count));
  const char* right = static_cast<const char*>(self.data(b, right_count));
  if (left_count != right_count) return false;
  const Ops& element = *self.element;
  for (std::size_t i = 0; i < left_count; ++i, left += element.size, right += element.size) {
    if (!element.equal(element, left, right)) return false;
  }
  return true;
}

void Shapes::copy_sequence(const Ops& self, void* to, const void* from) {
  std::size_t count = 0;
  const char* source = static_cast<const char*>(self.data(from, count));
  const Ops& element = *self.element;
  char* slot = static_cast<char*>(self.reset(to, count));
  for (std::size_t i = 0; i < count; ++i, slot += element.size, source += element.size) {
    element.copy(element, slot, source);
  }
}

void Shapes::decode_map(const Ops& self, void* to, const Value& from, Decoder& decoder,
                        const Path& path) {
  const Value::Map* map = from.if_map();
  if (!map) {
    decoder.wrong_type(path, "a map", from);
    return;
  }
  self.reset(to, 0);
  for (const auto& [key, value] : *map) {
    void* slot = self.insert(to, key);
    // Kubernetes reads a null entry as an empty one.
    if (!value.is_null()) {
      self.element->decode(*self.element, slot, value, decoder, path.entry(key));
    }
  }
}

Value Shapes::encode_map(const Ops& self, const void* object) {
  struct Context {
    Value::Map out;
    const Ops& element;
  } context{{}, *self.element};
  self.each(object, &context, [](void* raw, const std::string& key, const void* value) {
    auto& here = *static_cast<Context*>(raw);
    here.out.emplace(key, here.element.encode(here.element, value));
  });
  return Value(std::move(context.out));
}

}  // namespace detail

// ---------------------------------------------------------------------------- scalars

namespace {

template <class Int>
void decode_int(Int& target, const Value& from, Decoder& decoder, const Path& path) {
  const std::int64_t* number = from.if_int();
  if (!number) {
    const bool digits = from.is_string() && !from.if_string()->empty() &&
                        from.if_string()->find_first_not_of("0123456789") == std::string::npos;
    decoder.wrong_type(path, "an integer", from,
                       digits ? "write the number without quotes" : std::string());
    return;
  }
  if (*number < std::numeric_limits<Int>::min() || *number > std::numeric_limits<Int>::max()) {
    decoder.wrong_type(path, "an integer of " + std::to_string(sizeof(Int) * 8) + " bits", from);
    return;
  }
  target = static_cast<Int>(*number);
}

template <class T>
void decode_text(T& target, const Value& from, Decoder& decoder, const Path& path,
                 std::string_view expected) {
  const std::string* text = from.if_string();
  if (!text) {
    decoder.wrong_type(path, expected, from);
    return;
  }
  Result<T> parsed = T::parse(*text);
  if (parsed) {
    target = *std::move(parsed);
  } else {
    decoder.wrong_type(path, expected, from, parsed.error().detail);
  }
}

}  // namespace

void Custom<bool>::decode(bool& target, const Value& from, Decoder& decoder, const Path& path) {
  if (const bool* value = from.if_bool()) {
    target = *value;
  } else {
    decoder.wrong_type(path, "true or false", from);
  }
}
Value Custom<bool>::encode(const bool& value) { return Value(value); }
bool Custom<bool>::empty(const bool& value) { return !value; }

void Custom<std::int32_t>::decode(std::int32_t& target, const Value& from, Decoder& decoder,
                                  const Path& path) {
  decode_int(target, from, decoder, path);
}
Value Custom<std::int32_t>::encode(const std::int32_t& value) { return Value(value); }
bool Custom<std::int32_t>::empty(const std::int32_t& value) { return value == 0; }

void Custom<std::int64_t>::decode(std::int64_t& target, const Value& from, Decoder& decoder,
                                  const Path& path) {
  decode_int(target, from, decoder, path);
}
Value Custom<std::int64_t>::encode(const std::int64_t& value) { return Value(value); }
bool Custom<std::int64_t>::empty(const std::int64_t& value) { return value == 0; }

void Custom<double>::decode(double& target, const Value& from, Decoder& decoder, const Path& path) {
  if (from.is_number()) {
    target = from.as_double();
  } else {
    decoder.wrong_type(path, "a number", from);
  }
}
Value Custom<double>::encode(const double& value) { return Value(value); }
bool Custom<double>::empty(const double& value) { return value == 0; }

void Custom<std::string>::decode(std::string& target, const Value& from, Decoder& decoder,
                                 const Path& path) {
  if (const std::string* text = from.if_string()) {
    target = *text;
    return;
  }
  const bool scalar = !from.is_list() && !from.is_map();
  decoder.wrong_type(path, "a string", from, scalar ? "write the value in quotes" : "");
}
Value Custom<std::string>::encode(const std::string& value) { return Value(value); }
bool Custom<std::string>::empty(const std::string& value) { return value.empty(); }

void Custom<Value>::decode(Value& target, const Value& from, Decoder&, const Path&) {
  target = from;
}
Value Custom<Value>::encode(const Value& value) { return value; }
bool Custom<Value>::empty(const Value& value) { return value.is_null(); }

void Custom<Timestamp>::decode(Timestamp& target, const Value& from, Decoder& decoder,
                               const Path& path) {
  decode_text(target, from, decoder, path, "a time as in \"2019-06-01T12:00:00Z\"");
}
Value Custom<Timestamp>::encode(const Timestamp& value) { return Value(value.to_string()); }
bool Custom<Timestamp>::empty(const Timestamp& value) { return value == Timestamp(); }

void Custom<Duration>::decode(Duration& target, const Value& from, Decoder& decoder,
                              const Path& path) {
  static constexpr std::string_view expected = "a duration as in \"1m30s\"";
  const std::string* text = from.if_string();
  if (!text) {
    decoder.wrong_type(path, expected, from);
    return;
  }
  Result<Duration> parsed = parse_duration(*text);
  if (parsed) {
    target = *parsed;
  } else {
    decoder.wrong_type(path, expected, from, parsed.error().detail);
  }
}
Value Custom<Duration>::encode(const Duration& value) { return Value(format_duration(value)); }
bool Custom<Duration>::empty(const Duration& value) { return value == Duration::zero(); }

void Custom<Quantity>::decode(Quantity& target, const Value& from, Decoder& decoder,
                              const Path& path) {
  // Numbers are allowed: `cpu: 2`.
  if (from.is_number()) {
    decode_text(target, Value(from.to_json()), decoder, path, "a quantity as in \"500m\"");
  } else {
    decode_text(target, from, decoder, path, "a quantity as in \"500m\"");
  }
}
Value Custom<Quantity>::encode(const Quantity& value) { return Value(value.to_string()); }
bool Custom<Quantity>::empty(const Quantity& value) { return value.is_zero(); }

void Custom<IntOrString>::decode(IntOrString& target, const Value& from, Decoder& decoder,
                                 const Path& path) {
  if (const std::string* text = from.if_string()) {
    target = IntOrString(*text);
  } else if (from.if_int()) {
    std::int32_t number = 0;
    decode_int(number, from, decoder, path);
    target = IntOrString(number);
  } else {
    decoder.wrong_type(path, "an integer or a string", from);
  }
}
Value Custom<IntOrString>::encode(const IntOrString& value) {
  return value.is_string() ? Value(value.name()) : Value(value.number());
}
bool Custom<IntOrString>::empty(const IntOrString& value) { return value.is_zero(); }

void Custom<Bytes>::decode(Bytes& target, const Value& from, Decoder& decoder, const Path& path) {
  const std::string* text = from.if_string();
  // The content may be secret: it is not repeated in messages.
  if (!text) {
    decoder.error(path, "expected a base64 string, found " + std::string(from.type_name()));
    return;
  }
  Result<std::string> decoded = base64_decode(*text);
  if (decoded) {
    target.bytes = *std::move(decoded);
  } else {
    decoder.error(path, "expected a base64 string", decoded.error().detail);
  }
}
Value Custom<Bytes>::encode(const Bytes& value) { return Value(base64_encode(value.bytes)); }
bool Custom<Bytes>::empty(const Bytes& value) { return value.bytes.empty(); }

}  // namespace knative::fields
