// Credentials by place: docker's config.json and its relatives.
#include <algorithm>

#include "base/text.hpp"
#include "engines/registry/registry_place.hpp"
#include "knative/registry_credentials.hpp"
#include "knative/value.hpp"

namespace knative::oci {

namespace {

constexpr std::size_t config_bytes_max = std::size_t{1} << 20;

// "*" and "?" stand for characters other than the dot.
bool host_matches(std::string_view pattern, std::string_view host) {
  std::size_t p = 0;
  std::size_t h = 0;
  std::size_t star = std::string_view::npos;
  std::size_t resume = 0;
  while (h < host.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = h;
    } else if (p < pattern.size() &&
               (pattern[p] == host[h] || (pattern[p] == '?' && host[h] != '.'))) {
      ++p;
      ++h;
    } else if (star != std::string_view::npos && host[resume] != '.') {
      p = star + 1;
      h = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool path_covers(std::string_view prefix, std::string_view path) {
  if (prefix.empty()) return true;
  return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

// "https://Host:5000/v1/" gives "host:5000" and no path; "host/team/shop" gives both.
Result<std::pair<std::string, std::string>> split_place(std::string_view place) {
  std::string_view rest = place;
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (rest.starts_with(scheme)) rest.remove_prefix(scheme.size());
  }
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view host = rest.substr(0, slash);
  std::string_view path = rest.substr(slash);
  while (path.starts_with('/')) path.remove_prefix(1);
  while (path.ends_with('/')) path.remove_suffix(1);
  for (const std::string_view version : {"v1", "v2"}) {
    if (path == version || (path.starts_with(version) && path[version.size()] == '/')) {
      path.remove_prefix(std::min(path.size(), version.size() + 1));
    }
  }
  if (host.empty() || host.find_first_of("@ \t\r\n") != std::string_view::npos) {
    return fail(Errc::invalid_argument, "is no registry");
  }
  return std::pair(canonical_registry(host), std::string(path));
}

// A place as an error may show it: what stands before an "@" could be a password.
std::string shown_place(std::string_view place) {
  const std::size_t at = place.rfind('@');
  const std::string_view shown = at == std::string_view::npos ? place : place.substr(at + 1);
  return base::valid_utf8(shown.substr(0, 200));
}

Result<std::string> text_member(const Value& map, std::string_view key) {
  const Value* value = map.find(key);
  if (value == nullptr || value->is_null()) return std::string();
  if (const std::string* text = value->if_string()) return *text;
  return fail(Errc::invalid_argument, std::string(key) + ": expected a string");
}

Result<RegistryCredential> read_credential(const Value& entry) {
  RegistryCredential credential;
  if (!entry.is_map()) return fail(Errc::invalid_argument, "expected an object");
  struct Member {
    std::string_view name;
    std::string* into;
  };
  std::string auth;
  for (const Member& member :
       {Member{"username", &credential.user}, Member{"password", &credential.password},
        Member{"identitytoken", &credential.identity_token},
        Member{"registrytoken", &credential.registry_token}, Member{"auth", &auth}}) {
    Result<std::string> text = text_member(entry, member.name);
    if (!text) return text.error();
    *member.into = *std::move(text);
  }
  if (auth.empty()) return credential;
  // Some tools leave the padding out.
  while (!auth.empty() && auth.back() == '=') auth.pop_back();
  while (auth.size() % 4 != 0) auth.push_back('=');
  const Result<std::string> pair = base::from_base64(auth);
  const std::size_t colon = pair ? pair->find(':') : std::string::npos;
  if (colon == std::string::npos) {
    return fail(Errc::invalid_argument, "auth: expected \"user:password\" in base64");
  }
  credential.user = pair->substr(0, colon);
  credential.password = pair->substr(colon + 1);
  while (credential.password.ends_with('\0')) credential.password.pop_back();
  return credential;
}

Result<void> read_auths(const Value& auths, std::string_view where, RegistryKeyring& into) {
  const Value::Map* map = auths.if_map();
  if (map == nullptr)
    return fail(Errc::invalid_argument, std::string(where) + "expected an object");
  for (const auto& [place, entry] : *map) {
    const std::string name = std::string(where) + "\"" + shown_place(place) + "\"";
    Result<RegistryCredential> credential = read_credential(entry);
    if (!credential) return std::move(credential).error().within(name);
    // An empty one says that a helper knows it.
    if (credential->empty()) continue;
    Result<void> added = into.add(place, *std::move(credential));
    if (!added) return added.error().within(name);
  }
  return {};
}

bool is_helper_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return base::is_letter(c) || base::is_digit(c) || c == '-' || c == '_' || c == '.';
  });
}

Result<Value> read_config(std::string_view json) {
  const JsonLimits limits{8, config_bytes_max};
  Result<Value> value = Value::parse_json(json, limits);
  // The parser's words name a byte, never what stands there.
  if (!value) return value.error();
  if (!value->is_map()) return fail(Errc::invalid_argument, "expected an object");
  return value;
}

}  // namespace

std::string canonical_registry(std::string_view host) {
  std::string name(host);
  std::transform(name.begin(), name.end(), name.begin(), base::to_lower);
  const std::string domain = "." + std::string(default_registry_name);
  if (name == default_registry_host || name == "index" + domain || name == "registry" + domain) {
    return std::string(default_registry_name);
  }
  return name;
}

RegistryPlace place_of(const Reference& name) {
  const std::string_view registry = name.registry();
  RegistryPlace place;
  if (!registry.empty()) {
    place.host = canonical_registry(registry);
    place.repository = name.repository.substr(registry.size() + 1);
  } else {
    place.host = default_registry_name;
    place.repository = name.repository;
  }
  if (place.host == default_registry_name && place.repository.find('/') == std::string::npos) {
    place.repository.insert(0, "library/");
  }
  return place;
}

Result<RegistryKeyring> RegistryKeyring::parse_docker_config(std::string_view json) {
  Result<Value> config = read_config(json);
  if (!config) return config.error();
  RegistryKeyring keyring;
  if (const Value* auths = config->find("auths"); auths != nullptr && !auths->is_null()) {
    if (Result<void> read = read_auths(*auths, "auths: ", keyring); !read) return read.error();
  }
  const auto helper = [](const Value& value, const std::string& where) -> Result<std::string> {
    const std::string* name = value.if_string();
    if (name != nullptr && is_helper_name(*name)) return *name;
    return fail(Errc::invalid_argument, where + ": is no name of a credential helper");
  };
  if (const Value* store = config->find("credsStore"); store != nullptr && !store->is_null()) {
    const std::string* none = store->if_string();
    Result<std::string> name = helper(*store, "credsStore");
    if (!name && (none == nullptr || !none->empty())) return name.error();
    if (name) keyring.store_ = *std::move(name);
  }
  const Value* helpers = config->find("credHelpers");
  if (helpers == nullptr || helpers->is_null()) return keyring;
  if (!helpers->is_map()) return fail(Errc::invalid_argument, "credHelpers: expected an object");
  for (const auto& [place, value] : helpers->as_map()) {
    const std::string where = "credHelpers: \"" + shown_place(place) + "\"";
    Result<std::string> name = helper(value, where);
    if (!name) return name.error();
    Result<std::pair<std::string, std::string>> parts = split_place(place);
    if (!parts) return parts.error().within(where);
    keyring.helpers_[parts->first] = *std::move(name);
  }
  return keyring;
}

Result<RegistryKeyring> RegistryKeyring::parse_dockercfg(std::string_view json) {
  Result<Value> config = read_config(json);
  if (!config) return config.error();
  RegistryKeyring keyring;
  if (Result<void> read = read_auths(*config, "", keyring); !read) return read.error();
  return keyring;
}

Result<void> RegistryKeyring::add(std::string_view place, RegistryCredential credential) {
  Result<std::pair<std::string, std::string>> parts = split_place(place);
  if (!parts) return parts.error();
  entries_.push_back({std::move(parts->first), std::move(parts->second), std::move(credential)});
  return {};
}

void RegistryKeyring::append(const RegistryKeyring& other) {
  entries_.insert(entries_.end(), other.entries_.begin(), other.entries_.end());
  helpers_.insert(other.helpers_.begin(), other.helpers_.end());
  if (store_.empty()) store_ = other.store_;
}

std::vector<RegistryCredential> RegistryKeyring::find(const Reference& image) const {
  const RegistryPlace place = place_of(image);
  std::vector<const Entry*> fitting;
  for (const Entry& entry : entries_) {
    if (host_matches(entry.host, place.host) && path_covers(entry.path, place.repository)) {
      fitting.push_back(&entry);
    }
  }
  std::stable_sort(fitting.begin(), fitting.end(),
                   [](const Entry* a, const Entry* b) { return a->path.size() > b->path.size(); });
  std::vector<RegistryCredential> found;
  for (const Entry* entry : fitting) {
    if (std::find(found.begin(), found.end(), entry->credential) == found.end()) {
      found.push_back(entry->credential);
    }
  }
  return found;
}

std::string RegistryKeyring::helper(const Reference& image) const {
  const auto named = helpers_.find(place_of(image).host);
  return named == helpers_.end() ? store_ : named->second;
}

}  // namespace knative::oci
