// The only file that knows libyaml: its event parser checks the syntax, the composer below makes
// Values, resolves scalars, expands aliases within a budget and merges "<<".
#include <yaml.h>

#include <algorithm>
#include <optional>
#include <set>

#include "model/yaml_document.hpp"
#include "model/yaml_scalar.hpp"

namespace knative::manifest {
namespace {

Position position_of(const yaml_mark_t& mark) { return {mark.line + 1, mark.column + 1}; }

std::string to_text(Position at) {
  return std::to_string(at.line) + ':' + std::to_string(at.column);
}

// An event, released when it goes.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { release(); }
  void release() {
    if (full_) yaml_event_delete(&event_);
    full_ = false;
  }
  yaml_event_t* fill() {
    release();
    full_ = true;
    return &event_;
  }
  void set_empty() { full_ = false; }
  yaml_event_type_t type() const { return event_.type; }
  const yaml_event_t& raw() const { return event_; }
  Position at() const { return position_of(event_.start_mark); }

 private:
  yaml_event_t event_{};
  bool full_ = false;
};

std::string_view text_of(const yaml_char_t* text) {
  return text ? std::string_view(reinterpret_cast<const char*>(text)) : std::string_view();
}

constexpr std::string_view tag_prefix = "tag:yaml.org,2002:";
// What was meant may be a password: it is not told.
constexpr const char* unknown_anchor = "unknown anchor (text that begins with * is quoted)";
constexpr const char* unknown_tag = "unknown tag (text that begins with ! is quoted)";

// A part of a document with what it cost.
struct Node {
  Value value;
  SourceMap source;
  std::size_t nodes = 1;  // Of the expanded tree.
  bool merge = false;     // The plain scalar "<<".
};

class Composer {
 public:
  Composer(std::string_view text, const Limits& limits, std::vector<Problem>& problems)
      : limits_(limits), problems_(problems) {
    yaml_parser_initialize(&parser_);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  Composer(const Composer&) = delete;
  Composer& operator=(const Composer&) = delete;
  ~Composer() { yaml_parser_delete(&parser_); }

  Result<std::vector<Document>> run() {
    std::vector<Document> documents;
    Event event;
    while (next(event)) {
      if (event.type() == YAML_STREAM_END_EVENT) return documents;
      if (event.type() != YAML_DOCUMENT_START_EVENT) continue;
      if (documents.size() == limits_.documents_max) {
        stop(event.at(), "more than " + std::to_string(limits_.documents_max) + " documents",
             Errc::resource_exhausted);
        break;
      }
      anchors_.clear();
      open_anchors_.clear();
      if (!next(event)) break;
      Node root;
      if (!compose(event, root, 0)) break;
      documents.push_back({std::move(root.value), std::move(root.source)});
    }
    return *failure_;
  }

 private:
  bool stop(Position at, std::string message, Errc code = Errc::invalid_argument) {
    if (!failure_) failure_ = fail(code, to_text(at) + ": " + std::move(message));
    return false;
  }
  void problem(Position at, std::string message) { problems_.push_back({at, std::move(message)}); }

  bool next(Event& event) {
    if (yaml_parser_parse(&parser_, event.fill())) return true;
    event.set_empty();
    std::string message = parser_.problem ? parser_.problem : "malformed YAML";
    Position at = position_of(parser_.problem_mark);
    if (parser_.error == YAML_READER_ERROR) {
      message += " at byte " + std::to_string(parser_.problem_offset);
      at = position_of(parser_.mark);
    } else if (parser_.context) {
      message += ' ';
      message += parser_.context;
      if (parser_.context_mark.line != parser_.problem_mark.line) {
        message += " at " + to_text(position_of(parser_.context_mark));
      }
    }
    if (parser_.error == YAML_MEMORY_ERROR) return stop(at, message, Errc::resource_exhausted);
    return stop(at, message);
  }

  bool count(Position at, std::size_t nodes) {
    nodes_ += nodes;
    if (nodes_ <= limits_.nodes_max) return true;
    return stop(at,
                "more than " + std::to_string(limits_.nodes_max) +
                    " values (aliases are counted where they are used)",
                Errc::resource_exhausted);
  }

  // Make `out` from `event`, the first of the node, and those that follow.
  bool compose(Event& event, Node& out, std::size_t depth) {
    const Position at = event.at();
    out.source.at = at;
    if (event.type() == YAML_ALIAS_EVENT) return compose_alias(event, out, depth);
    if (!count(at, 1)) return false;
    const yaml_char_t* raw_anchor =
        event.type() == YAML_SCALAR_EVENT           ? event.raw().data.scalar.anchor
        : event.type() == YAML_SEQUENCE_START_EVENT ? event.raw().data.sequence_start.anchor
        : event.type() == YAML_MAPPING_START_EVENT  ? event.raw().data.mapping_start.anchor
                                                    : nullptr;
    const std::string anchor(text_of(raw_anchor));
    if (!anchor.empty()) open_anchors_.insert(anchor);
    bool good = false;
    if (event.type() == YAML_SCALAR_EVENT) {
      good = compose_scalar(event, out);
    } else if (depth >= limits_.depth_max) {
      return stop(at, "nested deeper than " + std::to_string(limits_.depth_max),
                  Errc::resource_exhausted);
    } else if (event.type() == YAML_SEQUENCE_START_EVENT) {
      good = compose_list(event, out, depth);
    } else {
      good = compose_map(event, out, depth);
    }
    if (good && !anchor.empty()) {
      open_anchors_.erase(anchor);
      // Remembering a node copies it.
      if (!count(at, out.nodes)) return false;
      anchors_.insert_or_assign(anchor, std::pair(out, depth_of(out.value)));
    }
    return good;
  }

  static std::size_t depth_of(const Value& value) {
    std::size_t deepest = 0;
    if (const Value::List* list = value.if_list()) {
      for (const Value& element : *list) deepest = std::max(deepest, depth_of(element));
      return deepest + 1;
    }
    if (const Value::Map* map = value.if_map()) {
      for (const auto& entry : *map) deepest = std::max(deepest, depth_of(entry.second));
      return deepest + 1;
    }
    return 0;
  }

  bool compose_alias(Event& event, Node& out, std::size_t depth) {
    const Position at = event.at();
    const std::string name(text_of(event.raw().data.alias.anchor));
    const auto found = anchors_.find(name);
    if (open_anchors_.contains(name)) return stop(at, "anchor \"" + name + "\" contains itself");
    if (found == anchors_.end()) return stop(at, unknown_anchor);
    const auto& [node, node_depth] = found->second;
    if (!count(at, node.nodes)) return false;
    if (depth + node_depth > limits_.depth_max) {
      return stop(at, "nested deeper than " + std::to_string(limits_.depth_max),
                  Errc::resource_exhausted);
    }
    out = node;
    out.merge = false;
    out.source.at = at;
    return true;
  }

  bool compose_scalar(const Event& event, Node& out) {
    const auto& scalar = event.raw().data.scalar;
    const std::string_view text(reinterpret_cast<const char*>(scalar.value), scalar.length);
    std::string_view tag = text_of(scalar.tag);
    const bool plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (tag.empty()) {
      if (!plain) {
        out.value = Value(text);
        return true;
      }
      Scalar resolved = resolve_plain(text);
      out.merge = resolved.kind == ScalarKind::merge;
      if (resolved.kind == ScalarKind::not_finite) {
        problem(event.at(), "infinities and NaN cannot be written in JSON");
      }
      out.value = std::move(resolved.value);
      return true;
    }
    if (tag == "!" || tag == "tag:yaml.org,2002:str" || tag == "tag:yaml.org,2002:timestamp") {
      out.value = Value(text);
    } else if (tag.starts_with(tag_prefix)) {
      compose_tagged(event.at(), tag.substr(tag_prefix.size()), text, out);
    } else {
      problem(event.at(), unknown_tag);
    }
    return true;
  }

  // A scalar that says what it is.
  void compose_tagged(Position at, std::string_view tag, std::string_view text, Node& out) {
    if (tag == "binary") {
      Result<std::string> bytes = base64_decode(text);
      if (bytes) {
        out.value = Value(*std::move(bytes));
      } else {
        problem(at, bytes.error().detail);
      }
      return;
    }
    Scalar resolved = resolve_plain(text);
    const ScalarKind kind = resolved.kind;
    const bool fits =
        (tag == "int" && kind == ScalarKind::integer) ||
        (tag == "float" && (kind == ScalarKind::integer || kind == ScalarKind::real)) ||
        (tag == "bool" && kind == ScalarKind::boolean) ||
        (tag == "null" && kind == ScalarKind::null);
    if (fits) {
      out.value = std::move(resolved.value);
    } else if (tag == "merge" && kind == ScalarKind::merge) {
      out.merge = true;
      out.value = std::move(resolved.value);
    } else if (tag == "int" || tag == "float" || tag == "bool" || tag == "null") {
      problem(at, "cannot read the value as !!" + std::string(tag));
    } else {
      problem(at, unknown_tag);
    }
  }

  bool check_tag(const Event& event, const yaml_char_t* raw, std::string_view expected) {
    const std::string_view tag = text_of(raw);
    if (tag.empty() || tag == "!") return true;
    if (tag.starts_with(tag_prefix) && tag.substr(tag_prefix.size()) == expected) return true;
    problem(event.at(), unknown_tag);
    return false;
  }

  bool compose_list(Event& event, Node& out, std::size_t depth) {
    check_tag(event, event.raw().data.sequence_start.tag, "seq");
    Value::List list;
    while (next(event)) {
      if (event.type() == YAML_SEQUENCE_END_EVENT) {
        out.value = Value(std::move(list));
        return true;
      }
      Node element;
      if (!compose(event, element, depth + 1)) return false;
      out.nodes += element.nodes;
      list.push_back(std::move(element.value));
      out.source.items.push_back(std::move(element.source));
    }
    return false;
  }

  bool compose_map(Event& event, Node& out, std::size_t depth) {
    check_tag(event, event.raw().data.mapping_start.tag, "map");
    Value::Map map;
    std::vector<Node> merges;
    std::optional<Position> first_merge;
    while (next(event)) {
      if (event.type() == YAML_MAPPING_END_EVENT) {
        for (const Node& merged : merges) merge(merged, map, out);
        out.value = Value(std::move(map));
        return true;
      }
      Node key;
      if (!compose(event, key, depth + 1)) return false;
      const Position at = key.source.at;
      if (!next(event)) return false;
      Node member;
      if (!compose(event, member, depth + 1)) return false;
      out.nodes += key.nodes + member.nodes;
      if (key.merge) {
        if (first_merge) {
          problem(at, "duplicate key \"<<\", first at " + to_text(*first_merge));
        } else {
          first_merge = at;
          collect_merges(at, std::move(member), merges);
        }
        continue;
      }
      std::optional<std::string> name = key_text(at, key.value);
      if (!name) continue;
      if (const auto other = out.source.fields.find(*name); other != out.source.fields.end()) {
        problem(at, "duplicate key \"" + *name + "\", first at " + to_text(other->second.at));
        continue;
      }
      member.source.at = at;
      map.insert_or_assign(*name, std::move(member.value));
      out.source.fields.emplace(*std::move(name), std::move(member.source));
    }
    return false;
  }

  // Keys are text in JSON; numbers and booleans are written out.
  std::optional<std::string> key_text(Position at, const Value& key) {
    switch (key.type()) {
      case Value::Type::string: return *key.if_string();
      case Value::Type::boolean:
      case Value::Type::integer:
      case Value::Type::real: return key.to_json();
      default: break;
    }
    problem(at, "a key must be text, found " + std::string(key.type_name()));
    return std::nullopt;
  }

  void collect_merges(Position at, Node member, std::vector<Node>& merges) {
    if (member.value.is_map()) {
      merges.push_back(std::move(member));
      return;
    }
    Value::List* list = member.value.if_list();
    const bool maps = list && std::all_of(list->begin(), list->end(),
                                          [](const Value& value) { return value.is_map(); });
    if (!maps) {
      problem(at, "\"<<\" needs a map or a list of maps, found " +
                      std::string(member.value.type_name()));
      return;
    }
    for (std::size_t i = 0; i < list->size(); ++i) {
      merges.push_back({std::move((*list)[i]), std::move(member.source.items[i])});
    }
  }

  // Own keys win over merged ones, earlier maps over later ones.
  static void merge(const Node& merged, Value::Map& map, Node& out) {
    for (const auto& [key, value] : merged.value.as_map()) {
      if (!map.emplace(key, value).second) continue;
      const auto source = merged.source.fields.find(key);
      if (source != merged.source.fields.end()) out.source.fields.emplace(key, source->second);
    }
  }

  yaml_parser_t parser_{};
  const Limits& limits_;
  std::vector<Problem>& problems_;
  std::optional<Error> failure_;
  std::size_t nodes_ = 0;
  std::map<std::string, std::pair<Node, std::size_t>, std::less<>> anchors_;
  std::set<std::string, std::less<>> open_anchors_;
};

}  // namespace

Result<std::vector<Document>> read_yaml(std::string_view text, const Limits& limits,
                                        std::vector<Problem>& problems) {
  if (text.size() > limits.bytes_max) {
    return fail(Errc::resource_exhausted, "1:1: text of " + std::to_string(text.size()) +
                                              " bytes exceeds the limit of " +
                                              std::to_string(limits.bytes_max));
  }
  return Composer(text, limits, problems).run();
}

Position SourceMap::find(std::string_view path) const {
  const SourceMap* here = this;
  while (!path.empty()) {
    const SourceMap* inner = nullptr;
    if (path.front() == '[') {
      const std::size_t end = path.find(']');
      if (end == std::string_view::npos) break;
      const std::string_view inside = path.substr(1, end - 1);
      path.remove_prefix(end + 1);
      const bool digits = !inside.empty() && inside.size() < 10 &&
                          inside.find_first_not_of("0123456789") == std::string_view::npos;
      const std::size_t index =
          digits && !here->items.empty() ? std::stoul(std::string(inside)) : here->items.size();
      if (index < here->items.size()) {
        inner = &here->items[index];
      } else if (const auto found = here->fields.find(inside); found != here->fields.end()) {
        inner = &found->second;
      }
    } else {
      const std::size_t end = std::min(path.find_first_of(".["), path.size());
      const auto found = here->fields.find(path.substr(0, end));
      if (found != here->fields.end()) inner = &found->second;
      path.remove_prefix(end);
    }
    if (!inner) break;
    here = inner;
    if (!path.empty() && path.front() == '.') path.remove_prefix(1);
  }
  return here->at;
}

}  // namespace knative::manifest
