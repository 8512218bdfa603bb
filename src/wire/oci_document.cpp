// The JSON documents of an image. Reading is tolerant as the specification asks (unknown members
// are kept, null is absent); writing is canonical (keys in byte order, nothing empty).
#include <algorithm>
#include <array>
#include <cstdio>

#include "knative/oci.hpp"
#include "knative/value.hpp"

namespace knative::oci {

namespace {

constexpr std::string_view docker_manifest = "application/vnd.docker.distribution.manifest.v2+json";
constexpr std::string_view docker_index =
    "application/vnd.docker.distribution.manifest.list.v2+json";

// Docker's names and OCI's for the same bytes.
struct SameType {
  std::string_view docker;
  std::string_view oci;
};
constexpr std::array same_types{
    SameType{docker_manifest, media_type::manifest},
    SameType{docker_index, media_type::index},
    SameType{"application/vnd.docker.container.image.v1+json", media_type::config},
    SameType{"application/vnd.docker.image.rootfs.diff.tar", media_type::layer},
    SameType{"application/vnd.docker.image.rootfs.diff.tar.gzip", media_type::layer_gzip},
    SameType{"application/vnd.docker.image.rootfs.diff.tar.zstd", media_type::layer_zstd},
    SameType{"application/vnd.docker.image.rootfs.foreign.diff.tar",
             "application/vnd.oci.image.layer.nondistributable.v1.tar"},
    SameType{"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
             "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"},
};

// Reads members of one map; keeps the first thing that is wrong.
class Members {
 public:
  Members(const Value& value, std::string where, std::optional<Error>& error)
      : where_(std::move(where)), error_(error), map_(value.if_map()) {
    if (map_ == nullptr) wrong("", "expected an object, got " + std::string(value.type_name()));
  }

  const Value* find(std::string_view key) {
    if (map_ == nullptr) return nullptr;
    asked_.insert(key);
    const auto at = map_->find(key);
    return at == map_->end() || at->second.is_null() ? nullptr : &at->second;
  }

  const Value* required(std::string_view key) {
    const Value* value = find(key);
    if (value == nullptr && map_ != nullptr) wrong(key, "is missing");
    return value;
  }

  std::string text(std::string_view key) {
    const Value* value = find(key);
    return value == nullptr ? std::string() : text_of(*value, key);
  }

  bool flag(std::string_view key) {
    const Value* value = find(key);
    if (value == nullptr) return false;
    if (const bool* flag = value->if_bool()) return *flag;
    wrong(key, "expected a boolean, got " + std::string(value->type_name()));
    return false;
  }

  std::vector<std::string> texts(std::string_view key) {
    std::vector<std::string> result;
    for (const Value& value : list(key)) result.push_back(text_of(value, key));
    return result;
  }

  std::map<std::string, std::string> text_map(std::string_view key) {
    std::map<std::string, std::string> result;
    for (const auto& [name, value] : map(key)) result[name] = text_of(value, key);
    return result;
  }

  // The keys of a map that is used as a set: {"8080/tcp": {}}.
  std::set<std::string> keys(std::string_view key) {
    std::set<std::string> result;
    for (const auto& entry : map(key)) result.insert(entry.first);
    return result;
  }

  const Value::List& list(std::string_view key) {
    static const Value::List none;
    const Value* value = find(key);
    if (value == nullptr) return none;
    if (const Value::List* list = value->if_list()) return *list;
    wrong(key, "expected a list, got " + std::string(value->type_name()));
    return none;
  }

  const Value::Map& map(std::string_view key) {
    static const Value::Map none;
    const Value* value = find(key);
    if (value == nullptr) return none;
    if (const Value::Map* map = value->if_map()) return *map;
    wrong(key, "expected an object, got " + std::string(value->type_name()));
    return none;
  }

  Digest digest(const Value& value, std::string_view key) {
    Result<Digest> digest = Digest::parse_any(text_of(value, key));
    if (digest) return *digest;
    if (!error_) error_ = digest.error().within(path(key));
    return Digest();
  }

  // Everything that nobody asked for.
  OtherMembers others() const {
    OtherMembers result;
    if (map_ == nullptr) return result;
    for (const auto& [key, value] : *map_) {
      if (!asked_.contains(key)) result[key] = value.to_json();
    }
    return result;
  }

  std::string path(std::string_view key) const {
    if (key.empty()) return where_;
    return where_.empty() ? std::string(key) : where_ + "." + std::string(key);
  }

  void wrong(std::string_view key, const std::string& why) {
    if (!error_) error_ = fail(Errc::invalid_argument, path(key) + ": " + why);
  }

 private:
  std::string text_of(const Value& value, std::string_view key) {
    if (const std::string* text = value.if_string()) return *text;
    wrong(key, "expected a string, got " + std::string(value.type_name()));
    return {};
  }

  std::string where_;
  std::optional<Error>& error_;
  const Value::Map* map_;
  std::set<std::string_view> asked_;  // literals
};

ImagePlatform read_platform(Members& members) {
  return {.architecture = members.text("architecture"),
          .os = members.text("os"),
          .variant = members.text("variant"),
          .os_version = members.text("os.version"),
          .os_features = members.texts("os.features")};
}

Descriptor read_descriptor(const Value& value, const std::string& where,
                           std::optional<Error>& error) {
  Members members(value, where, error);
  Descriptor descriptor;
  descriptor.media_type = members.text("mediaType");
  if (const Value* digest = members.required("digest")) {
    descriptor.digest = members.digest(*digest, "digest");
  }
  if (const Value* size = members.required("size")) {
    const std::int64_t* count = size->if_int();
    if (count == nullptr || *count < 0) {
      members.wrong("size", "expected a size in bytes");
    } else {
      descriptor.size_bytes = static_cast<std::uint64_t>(*count);
    }
  }
  descriptor.annotations = members.text_map("annotations");
  if (const Value* platform = members.find("platform")) {
    Members inner(*platform, members.path("platform"), error);
    descriptor.platform = read_platform(inner);
    descriptor.platform->others = inner.others();
  }
  descriptor.urls = members.texts("urls");
  descriptor.data = members.text("data");
  descriptor.artifact_type = members.text("artifactType");
  descriptor.others = members.others();
  return descriptor;
}

void put(Value::Map& map, const char* key, const std::string& text) {
  if (!text.empty()) map[key] = text;
}

void put(Value::Map& map, const char* key, const std::map<std::string, std::string>& texts) {
  if (texts.empty()) return;
  Value::Map inner;
  for (const auto& [name, text] : texts) inner[name] = text;
  map[key] = std::move(inner);
}

void put(Value::Map& map, const char* key, const std::vector<std::string>& texts) {
  if (texts.empty()) return;
  Value::List list;
  for (const std::string& text : texts) list.emplace_back(text);
  map[key] = std::move(list);
}

void put(Value::Map& map, const char* key, const std::set<std::string>& names) {
  if (names.empty()) return;
  Value::Map inner;
  for (const std::string& name : names) inner[name] = Value(Value::Map());
  map[key] = std::move(inner);
}

// What is no JSON is left out: it was not read from a document.
void put_others(Value::Map& map, const OtherMembers& others) {
  for (const auto& [name, text] : others) {
    Result<Value> value = Value::parse_json(text);
    if (value) map.try_emplace(name, *std::move(value));
  }
}

void put_platform(Value::Map& map, const ImagePlatform& platform) {
  put(map, "architecture", platform.architecture);
  put(map, "os", platform.os);
  put(map, "variant", platform.variant);
  put(map, "os.version", platform.os_version);
  put(map, "os.features", platform.os_features);
}

Value write_descriptor(const Descriptor& descriptor) {
  Value::Map map;
  put(map, "mediaType", descriptor.media_type);
  map["digest"] = descriptor.digest.to_string();
  map["size"] = descriptor.size_bytes;
  put(map, "annotations", descriptor.annotations);
  if (descriptor.platform) {
    Value::Map platform;
    put_platform(platform, *descriptor.platform);
    put_others(platform, descriptor.platform->others);
    map["platform"] = std::move(platform);
  }
  put(map, "urls", descriptor.urls);
  put(map, "data", descriptor.data);
  put(map, "artifactType", descriptor.artifact_type);
  put_others(map, descriptor.others);
  return Value(std::move(map));
}

// Media type first: a document of another kind must not be half understood. True for Docker's.
bool check_kind(Members& members, std::string_view oci, std::string_view docker) {
  const std::string kind = members.text("mediaType");
  if (!kind.empty() && kind != oci && kind != docker) {
    members.wrong("mediaType", "expected \"" + std::string(oci) + "\", got \"" + kind + "\"");
  }
  const Value* version = members.required("schemaVersion");
  const std::int64_t* number = version == nullptr ? nullptr : version->if_int();
  if (version != nullptr && (number == nullptr || *number != 2)) {
    members.wrong("schemaVersion", "expected 2");
  }
  return kind == docker;
}

// What manifests and indexes have in common.
template <class Document>
void read_rest(Members& members, Document& document, std::optional<Error>& error) {
  document.annotations = members.text_map("annotations");
  document.artifact_type = members.text("artifactType");
  if (const Value* subject = members.find("subject")) {
    document.subject = read_descriptor(*subject, "subject", error);
  }
  document.others = members.others();
}

template <class Document>
void put_rest(Value::Map& map, const Document& document) {
  put(map, "annotations", document.annotations);
  put(map, "artifactType", document.artifact_type);
  if (document.subject) map["subject"] = write_descriptor(*document.subject);
  put_others(map, document.others);
}

Value::Map document(std::string_view kind) {
  Value::Map map;
  map["schemaVersion"] = 2;
  map["mediaType"] = kind;
  return map;
}

void read_execution(const Value& value, ImageConfig& config, std::optional<Error>& error) {
  Members members(value, "config", error);
  config.user = members.text("User");
  config.environment = members.texts("Env");
  config.entrypoint = members.texts("Entrypoint");
  config.command = members.texts("Cmd");
  config.working_directory = members.text("WorkingDir");
  config.exposed_ports = members.keys("ExposedPorts");
  config.volumes = members.keys("Volumes");
  config.labels = members.text_map("Labels");
  config.stop_signal = members.text("StopSignal");
  config.execution_others = members.others();
}

Value::Map write_execution(const ImageConfig& config) {
  Value::Map map;
  put(map, "User", config.user);
  put(map, "Env", config.environment);
  put(map, "Entrypoint", config.entrypoint);
  put(map, "Cmd", config.command);
  put(map, "WorkingDir", config.working_directory);
  put(map, "ExposedPorts", config.exposed_ports);
  put(map, "Volumes", config.volumes);
  put(map, "Labels", config.labels);
  put(map, "StopSignal", config.stop_signal);
  put_others(map, config.execution_others);
  return map;
}

}  // namespace

ImagePlatform host_platform() {
#if defined(__x86_64__)
  return {"amd64", "linux", ""};
#elif defined(__aarch64__)
  return {"arm64", "linux", ""};
#elif defined(__riscv)
  return {"riscv64", "linux", ""};
#elif defined(__powerpc64__)
  return {"ppc64le", "linux", ""};
#elif defined(__s390x__)
  return {"s390x", "linux", ""};
#else
  return {"386", "linux", ""};
#endif
}

Result<Manifest> Manifest::parse(std::string_view json) {
  Result<Value> value = Value::parse_json(json);
  if (!value) return value.error();
  std::optional<Error> error;
  Members members(*value, "", error);
  Manifest manifest;
  manifest.docker = check_kind(members, media_type::manifest, docker_manifest);
  if (const Value* config = members.required("config")) {
    manifest.config = read_descriptor(*config, "config", error);
  }
  members.required("layers");
  for (const Value& layer : members.list("layers")) {
    const std::string where = "layers[" + std::to_string(manifest.layers.size()) + "]";
    manifest.layers.push_back(read_descriptor(layer, where, error));
  }
  read_rest(members, manifest, error);
  if (error) return *error;
  return manifest;
}

std::string_view Manifest::own_media_type() const noexcept {
  return docker ? docker_manifest : media_type::manifest;
}

void Manifest::use_oci_media_types() {
  docker = false;
  const auto rename = [](Descriptor& part) {
    for (const SameType& same : same_types) {
      if (part.media_type == same.docker) part.media_type = same.oci;
    }
  };
  rename(config);
  std::for_each(layers.begin(), layers.end(), rename);
  if (subject) rename(*subject);
}

Result<void> Manifest::check_media_types() const {
  const auto strange = [this](const Descriptor& part) {
    return std::any_of(same_types.begin(), same_types.end(), [&](const SameType& same) {
      return part.media_type == (docker ? same.oci : same.docker);
    });
  };
  const auto refuse = [this](const std::string& where, const Descriptor& part) {
    return fail(Errc::invalid_argument, where + ".mediaType: \"" + part.media_type +
                                            "\" does not go with a manifest that is " +
                                            (docker ? "Docker's" : "OCI's"));
  };
  if (strange(config)) return refuse("config", config);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (strange(layers[i])) return refuse("layers[" + std::to_string(i) + "]", layers[i]);
  }
  return {};
}

std::string Manifest::to_json() const {
  Value::Map map = document(own_media_type());
  map["config"] = write_descriptor(config);
  Value::List list;
  for (const Descriptor& layer : layers) list.push_back(write_descriptor(layer));
  map["layers"] = std::move(list);
  put_rest(map, *this);
  return Value(std::move(map)).to_json();
}

Result<Index> Index::parse(std::string_view json) {
  Result<Value> value = Value::parse_json(json);
  if (!value) return value.error();
  std::optional<Error> error;
  Members members(*value, "", error);
  Index index;
  index.docker = check_kind(members, media_type::index, docker_index);
  members.required("manifests");
  for (const Value& manifest : members.list("manifests")) {
    const std::string where = "manifests[" + std::to_string(index.manifests.size()) + "]";
    index.manifests.push_back(read_descriptor(manifest, where, error));
  }
  read_rest(members, index, error);
  if (error) return *error;
  return index;
}

std::string Index::to_json() const {
  Value::Map map = document(docker ? docker_index : media_type::index);
  Value::List list;
  for (const Descriptor& manifest : manifests) list.push_back(write_descriptor(manifest));
  map["manifests"] = std::move(list);
  put_rest(map, *this);
  return Value(std::move(map)).to_json();
}

Result<ImageConfig> ImageConfig::parse(std::string_view json) {
  Result<Value> value = Value::parse_json(json);
  if (!value) return value.error();
  std::optional<Error> error;
  Members members(*value, "", error);
  ImageConfig config;
  config.created = members.text("created");
  config.author = members.text("author");
  members.required("architecture");
  members.required("os");
  config.platform = read_platform(members);
  if (const Value* execution = members.find("config")) read_execution(*execution, config, error);
  if (const Value* rootfs = members.required("rootfs")) {
    Members inner(*rootfs, "rootfs", error);
    if (inner.text("type") != "layers") inner.wrong("type", "expected \"layers\"");
    for (const Value& id : inner.list("diff_ids")) {
      config.diff_ids.push_back(inner.digest(id, "diff_ids"));
    }
    config.rootfs_others = inner.others();
  }
  for (const Value& entry : members.list("history")) {
    Members inner(entry, "history", error);
    History step{.created = inner.text("created"),
                 .created_by = inner.text("created_by"),
                 .comment = inner.text("comment"),
                 .empty_layer = inner.flag("empty_layer"),
                 .author = inner.text("author")};
    step.others = inner.others();
    config.history.push_back(std::move(step));
  }
  config.others = members.others();
  if (error) return *error;
  return config;
}

std::string ImageConfig::to_json() const {
  Value::Map map;
  put(map, "created", created);
  put(map, "author", author);
  put_platform(map, platform);
  map["architecture"] = platform.architecture;  // required, so empty rather than absent
  map["os"] = platform.os;
  map["config"] = write_execution(*this);
  Value::List ids;
  for (const Digest& id : diff_ids) ids.emplace_back(id.to_string());
  Value::Map rootfs;
  rootfs["type"] = "layers";
  rootfs["diff_ids"] = std::move(ids);
  put_others(rootfs, rootfs_others);
  map["rootfs"] = std::move(rootfs);
  Value::List entries;
  for (const History& entry : history) {
    Value::Map inner;
    put(inner, "created", entry.created);
    put(inner, "created_by", entry.created_by);
    put(inner, "comment", entry.comment);
    if (entry.empty_layer) inner["empty_layer"] = true;
    put(inner, "author", entry.author);
    put_others(inner, entry.others);
    entries.emplace_back(std::move(inner));
  }
  if (!entries.empty()) map["history"] = std::move(entries);
  put_others(map, others);
  return Value(std::move(map)).to_json();
}

std::string format_epoch(std::int64_t seconds) {
  const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  std::array<char, 48> text;
  const int length = std::snprintf(
      text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
      static_cast<int>(clock.seconds().count()));
  return std::string(text.data(), static_cast<std::size_t>(length));
}

}  // namespace knative::oci
