// From documents to objects, and messages with their place in the text.
#include "knative/manifest.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "model/yaml_document.hpp"

namespace knative::manifest {
namespace {

bool starts_like_json(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && (text[first] == '{' || text[first] == '[');
}

// YAML first, for its positions; JSON that is no YAML (escaped surrogate pairs) second.
Result<std::vector<Document>> read(std::string_view text, const ParseOptions& options,
                                   std::vector<Problem>& problems) {
  Result<std::vector<Document>> documents = read_yaml(text, options.limits, problems);
  if (documents || documents.error().code != Errc::invalid_argument || !starts_like_json(text)) {
    return documents;
  }
  JsonLimits limits;
  limits.depth_max = options.limits.depth_max;
  limits.bytes_max = options.limits.bytes_max;
  Result<Value> value = Value::parse_json(text, limits);
  if (!value) return documents;
  problems.clear();
  std::vector<Document> out;
  out.push_back({*std::move(value), {}});
  return out;
}

std::string place(const ParseOptions& options, Position at) {
  std::string out = options.file_name;
  if (!out.empty()) out += ':';
  return out + std::to_string(at.line) + ':' + std::to_string(at.column) + ": ";
}

void add_field_errors(const FieldErrors& errors, FieldError::Level level, const SourceMap& source,
                      std::vector<Problem>& problems) {
  for (const FieldError& error : errors) {
    if (error.level != level) continue;
    std::string details = error.details;
    std::replace(details.begin(), details.end(), '\n', ' ');
    if (!details.empty()) details = "; " + details;
    // One line per place; fields in the same place stay together.
    std::vector<Problem> lines;
    for (const std::string& path : error.paths) {
      const Position at = source.find(path);
      if (!lines.empty() && lines.back().at == at) {
        lines.back().message += ", " + path;
      } else {
        lines.push_back({at, error.message + (path.empty() ? "" : ": ") + path});
      }
    }
    if (lines.empty()) lines.push_back({source.at, error.message});
    for (Problem& line : lines) problems.push_back({line.at, std::move(line.message) + details});
  }
}

void sort(std::vector<Problem>& problems) {
  std::stable_sort(problems.begin(), problems.end(), [](const Problem& a, const Problem& b) {
    return a.at != b.at ? a.at < b.at : a.message < b.message;
  });
}

Error to_error(std::vector<Problem> problems, const ParseOptions& options) {
  sort(problems);
  static constexpr std::size_t lines_max = 100;
  std::string detail;
  for (std::size_t i = 0; i < problems.size(); ++i) {
    if (i > 0) detail += '\n';
    if (i == lines_max) {
      detail += "and " + std::to_string(problems.size() - i) + " more";
      break;
    }
    detail += place(options, problems[i].at) + problems[i].message;
  }
  return fail(Errc::invalid_argument, std::move(detail));
}

class Reader {
 public:
  Reader(const ParseOptions& options, std::vector<Problem>& problems)
      : options_(options),
        kinds_(options.kinds ? *options.kinds : default_kinds()),
        problems_(problems) {}

  void read(const Value& value, const SourceMap& source) {
    ++document_;
    if (value.is_null()) return;
    if (const Value* items = list_items(value)) {
      const std::string& kind = value.find("kind")->as_string();
      read_items(value, kind, items->as_list(), source);
    } else {
      read_object(value, source, "");
    }
  }
  std::vector<AnyObject> take() { return std::move(objects_); }
  // What was accepted without effect, as lines of text.
  void report_warnings() {
    if (!options_.warnings) return;
    sort(warnings_);
    for (const Problem& warning : warnings_) {
      options_.warnings->push_back(place(options_, warning.at) + warning.message);
    }
  }

 private:
  // The items of "List", or of "BuildList" and the like.
  const Value* list_items(const Value& value) const {
    const Value* kind = value.find("kind");
    const Value* version = value.find("apiVersion");
    const Value* items = value.find("items");
    if (!kind || !kind->is_string() || !version || !version->is_string()) return nullptr;
    if (!items || !items->is_list()) return nullptr;
    const std::string_view name = *kind->if_string();
    if (name == "List") return items;
    const bool typed = name.ends_with("List") &&
                       kinds_.find(*version->if_string(), name.substr(0, name.size() - 4));
    return typed ? items : nullptr;
  }

  void read_items(const Value& list, std::string_view kind, const Value::List& items,
                  const SourceMap& source) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      const std::string prefix = "items[" + std::to_string(i) + "]";
      if (kind == "List" || !items[i].is_map()) {
        read_object(items[i], source, prefix);
        continue;
      }
      // Items of a typed list may leave out what they are.
      Value item = items[i];
      if (!item.find("apiVersion")) item["apiVersion"] = *list.find("apiVersion");
      if (!item.find("kind")) item["kind"] = Value(kind.substr(0, kind.size() - 4));
      read_object(item, source, prefix);
    }
  }

  void read_object(const Value& value, const SourceMap& source, const std::string& prefix) {
    if (options_.skip_unknown_kinds && is_unknown(value, source)) return;
    FieldErrors errors;
    std::optional<AnyObject> object = kinds_.decode(value, options_.strictness, errors);
    if (object && options_.apply_defaults) object->apply_defaults();
    std::optional<AnyObject> readable = object;
    if (!object && options_.validate) {  // what else is wrong is said, too
      FieldErrors known;
      readable = kinds_.decode(value, Strictness::lenient, known);
    }
    if (readable && options_.validate) {
      AnyObject complete = *std::move(readable);
      if (options_.rules) {
        errors.add(options_.rules(complete));
      } else {
        complete.apply_defaults();
        errors.add(complete.validate());
      }
    }
    if (!prefix.empty()) errors = std::move(errors).via_field(prefix);
    const FieldErrors merged = errors.merged();
    add_field_errors(merged, FieldError::Level::error, source, problems_);
    add_field_errors(merged, FieldError::Level::warning, source, warnings_);
    if (object) note_repeated(*object, source, prefix);
    if (object) objects_.push_back(*std::move(object));
  }

  // Objects are applied in turn; says so when that hides what an earlier document wants.
  void note_repeated(const AnyObject& object, const SourceMap& source, const std::string& prefix) {
    ObjectRef ref = object.ref();
    if (ref.name.empty()) return;
    if (ref.namespace_.empty() && object.info().namespaced) ref.namespace_ = default_namespace;
    const std::string group = ref.api_version.substr(0, ref.api_version.rfind('/'));
    const Seen here{document_, source.find(prefix)};
    const auto [first, fresh] =
        seen_.emplace(std::array{group, ref.kind, ref.namespace_, ref.name}, here);
    if (fresh) return;
    const auto place_of = [](const Seen& seen) {
      return "document " + std::to_string(seen.document) + ", line " + std::to_string(seen.at.line);
    };
    warnings_.push_back({here.at, ref.kind + " \"" + ref.name + "\" is given twice: what " +
                                      place_of(first->second) + " says is replaced by " +
                                      place_of(here)});
    first->second = here;
  }

  // Whether nobody registered this kind; says so.
  bool is_unknown(const Value& value, const SourceMap& source) {
    const Value* version = value.find("apiVersion");
    const Value* kind = value.find("kind");
    if (!version || !kind || !version->is_string() || !kind->is_string()) return false;
    if (kinds_.find(*version->if_string(), *kind->if_string())) return false;
    warnings_.push_back({source.at, "left out: no kind \"" + *kind->if_string() +
                                        "\" in version \"" + *version->if_string() + '"'});
    return true;
  }

  struct Seen {
    std::size_t document;
    Position at;
  };
  static constexpr std::string_view default_namespace = "default";

  const ParseOptions& options_;
  const KindRegistry& kinds_;
  std::vector<Problem>& problems_;
  std::vector<Problem> warnings_;
  std::vector<AnyObject> objects_;
  std::size_t document_ = 0;
  std::map<std::array<std::string, 4>, Seen> seen_;  // group, kind, namespace, name
};

// `read`, with the file's name in front of what is wrong.
Result<std::vector<Document>> read_file_text(std::string_view text, const ParseOptions& options,
                                             std::vector<Problem>& problems) {
  Result<std::vector<Document>> documents = read(text, options, problems);
  if (documents || options.file_name.empty()) return documents;
  Error error = std::move(documents).error();
  error.detail = options.file_name + ':' + error.detail;
  return error;
}

}  // namespace

Result<std::vector<Value>> parse_values(std::string_view text, const ParseOptions& options) {
  std::vector<Problem> problems;
  Result<std::vector<Document>> documents = read_file_text(text, options, problems);
  if (!documents) return documents.error();
  if (!problems.empty()) return to_error(std::move(problems), options);
  std::vector<Value> out;
  for (Document& document : *documents) out.push_back(std::move(document.value));
  return out;
}

Result<std::vector<AnyObject>> parse(std::string_view text, const ParseOptions& options) {
  std::vector<Problem> problems;
  Result<std::vector<Document>> documents = read_file_text(text, options, problems);
  if (!documents) return documents.error();
  Reader reader(options, problems);
  for (const Document& document : *documents) reader.read(document.value, document.source);
  if (!problems.empty()) return to_error(std::move(problems), options);
  reader.report_warnings();
  return reader.take();
}

}  // namespace knative::manifest
