#include "engines/builder/credentials.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/text.hpp"
#include "knative/http_url.hpp"
#include "knative/value.hpp"

namespace knative::builder {

namespace {

constexpr std::string_view docker_prefix = "build.knative.dev/docker-";
constexpr std::string_view git_prefix = "build.knative.dev/git-";
constexpr std::string_view no_mail = "not@val.id";
constexpr std::uint16_t ssh_port = 22;

// One entry of a docker configuration.
struct DockerEntry {
  std::string user;
  std::string password;
  std::string auth;
  std::string mail;
};
using DockerEntries = std::map<std::string, DockerEntry, std::less<>>;

// Values of the annotations of a family, sorted.
std::vector<std::string> targets(const core::Secret& secret, std::string_view prefix) {
  std::vector<std::string> values;
  for (const auto& [key, value] : secret.metadata.annotations) {
    if (key.starts_with(prefix)) values.push_back(value);
  }
  std::sort(values.begin(), values.end());
  return values;
}

Result<std::string> entry(const core::Secret& secret, std::string_view key) {
  if (const auto text = secret.string_data.find(key); text != secret.string_data.end()) {
    return text->second;
  }
  const auto found = secret.data.find(key);
  if (found != secret.data.end()) return found->second.bytes;
  return fail(Errc::failed_precondition,
              "secret \"" + secret.metadata.name + "\" has no key \"" + std::string(key) + "\"");
}

bool is_one_line(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 32; });
}

// Everything but letters, digits and "-._~", so that it stands between "//" and "@" of a URL.
std::string escaped(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    if (base::is_letter(c) || base::is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      result.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    result.append(1, '%').append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
  }
  return result;
}

// As Go prints a quoted string.
std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result.push_back('\\');
    result.push_back(c);
  }
  return result + "\"";
}

std::string text_at(const Value& map, std::string_view key) {
  const Value* found = map.find(key);
  return found != nullptr && found->is_string() ? found->as_string() : std::string();
}

Result<DockerEntries> docker_entries(const core::Secret& secret, const Value& map) {
  DockerEntries entries;
  if (!map.is_map()) {
    return fail(Errc::invalid_argument,
                "secret \"" + secret.metadata.name + "\" holds no docker configuration");
  }
  for (const auto& [url, value] : map.as_map()) {
    if (!value.is_map()) continue;
    entries[url] = {text_at(value, "username"), text_at(value, "password"), text_at(value, "auth"),
                    text_at(value, "email")};
  }
  return entries;
}

Result<Value> json_of(const core::Secret& secret, std::string_view key) {
  const Result<std::string> text = entry(secret, key);
  if (!text) return text.error();
  Result<Value> value = Value::parse_json(*text);
  if (value) return value;
  return fail(Errc::invalid_argument, "secret \"" + secret.metadata.name + "\": \"" +
                                          std::string(key) + "\" is not a JSON text");
}

class Collector {
 public:
  explicit Collector(std::string_view home) : home_(home) {}

  Result<void> add(const core::Secret& secret) {
    if (secret.type == "kubernetes.io/basic-auth") return add_basic(secret);
    if (secret.type == "kubernetes.io/ssh-auth") return add_ssh(secret);
    if (secret.type == "kubernetes.io/dockerconfigjson") {
      const Result<Value> value = json_of(secret, ".dockerconfigjson");
      if (!value) return value.error();
      const Value* auths = value->find("auths");
      Result<DockerEntries> entries =
          docker_entries(secret, auths == nullptr ? Value(Value::Map{}) : *auths);
      if (!entries) return entries.error();
      config_json_ = std::move(*entries);  // the last one wins
    } else if (secret.type == "kubernetes.io/dockercfg") {
      const Result<Value> value = json_of(secret, ".dockercfg");
      if (!value) return value.error();
      Result<DockerEntries> entries = docker_entries(secret, *value);
      if (!entries) return entries.error();
      config_ = std::move(*entries);
    }
    return {};
  }

  BuildCredentials finish() {
    files_[docker_config_path] = docker_config();
    add_git_files();
    add_ssh_files();
    return {std::move(sources_), std::move(files_)};
  }

 private:
  static Result<void> check_target(const core::Secret& secret, const std::string& target) {
    if (target.find('=') == target.npos && is_one_line(target)) return {};
    return fail(Errc::invalid_argument, "Expect entries of the form secret=url, got: " +
                                            secret.metadata.name + "=" + target);
  }
  static Error twice(const std::string& target) {
    return fail(Errc::invalid_argument, "Multiple entries for url: " + target);
  }

  Result<void> add_basic(const core::Secret& secret) {
    const std::vector<std::string> docker = targets(secret, docker_prefix);
    const std::vector<std::string> git = targets(secret, git_prefix);
    if (docker.empty() && git.empty()) return {};
    const Result<std::string> user = entry(secret, "username");
    if (!user) return user.error();
    const Result<std::string> password = entry(secret, "password");
    if (!password) return password.error();
    if (!is_one_line(*user)) {
      return fail(Errc::invalid_argument,
                  "secret \"" + secret.metadata.name + "\": username holds a line break");
    }
    for (const std::string& url : docker) {
      if (Result<void> good = check_target(secret, url); !good) return good;
      if (annotated_.contains(url)) return twice(url);
      annotated_[url] = {*user, *password, base::to_base64(*user + ":" + *password),
                         std::string(no_mail)};
    }
    for (const std::string& url : git) {
      if (Result<void> good = check_target(secret, url); !good) return good;
      if (!git_urls_.insert(url).second) return twice(url);
      sources_.basic.push_back({url, *user, *password});
    }
    return {};
  }

  Result<void> add_ssh(const core::Secret& secret) {
    for (const std::string& target : targets(secret, git_prefix)) {
      if (Result<void> good = check_target(secret, target); !good) return good;
      if (!hosts_.insert(target).second) return twice(target);
      const Result<std::string> key = entry(secret, "ssh-privatekey");
      if (!key) return key.error();
      SourceCredentials::Ssh ssh;
      ssh.host = target;
      const std::size_t colon = target.rfind(':');
      if (colon != target.npos) {
        ssh.host = target.substr(0, colon);
        const char* const end = target.data() + target.size();
        const auto [rest, code] = std::from_chars(target.data() + colon + 1, end, ssh.port);
        if (code != std::errc() || rest != end) {
          return fail(Errc::invalid_argument, "\"" + target + "\" is no host and port");
        }
      }
      const bool plain = !ssh.host.empty() && ssh.host.front() != '-' &&
                         ssh.host.find_first_of(" \"*?!#") == std::string::npos;
      if (!plain) return fail(Errc::invalid_argument, "\"" + target + "\" is no host");
      ssh.private_key = *key;
      if (const Result<std::string> known = entry(secret, "known_hosts")) ssh.known_hosts = *known;
      ssh.secret = secret.metadata.name;
      sources_.ssh.push_back(std::move(ssh));
    }
    return {};
  }

  std::string docker_config() {
    DockerEntries all = config_;
    for (auto& [url, one] : config_json_) all.insert_or_assign(url, one);
    for (auto& [url, one] : annotated_) all.insert_or_assign(url, one);
    std::string text = "{\"auths\":{";
    bool first = true;
    for (const auto& [url, one] : all) {
      text.append(first ? "" : ",").append(Value(url).to_json());
      text.append(":{\"username\":").append(Value(one.user).to_json());
      text.append(",\"password\":").append(Value(one.password).to_json());
      text.append(",\"auth\":").append(Value(one.auth).to_json());
      text.append(",\"email\":").append(Value(one.mail).to_json()).append("}");
      first = false;
    }
    return text + "}}";
  }

  void add_git_files() {
    std::string config = "[credential]\n\thelper = store\n";
    std::string credentials;
    for (const SourceCredentials::Basic& basic : sources_.basic) {
      config.append("[credential ").append(quoted(basic.url)).append("]\n\tusername = ");
      config.append(basic.user).append("\n");
      const std::size_t scheme = basic.url.find("://");
      const std::size_t host = scheme == basic.url.npos ? 0 : scheme + 3;
      credentials.append(basic.url, 0, host);
      credentials.append(escaped(basic.user)).append(":").append(escaped(basic.password));
      credentials.append("@").append(basic.url, host).append("\n");
    }
    files_[".gitconfig"] = std::move(config);
    files_[".git-credentials"] = std::move(credentials);
  }

  void add_ssh_files() {
    std::string config;
    std::string known;
    for (std::size_t i = 0; i < sources_.ssh.size(); ++i) {
      const SourceCredentials::Ssh& ssh = sources_.ssh[i];
      const std::string file = ".ssh/id_" + ssh.secret;
      files_[file] = ssh.private_key;
      config.append("Host " + ssh.host + "\n    HostName " + ssh.host + "\n    IdentityFile ");
      config.append(home_).append("/" + file + "\n    Port " + std::to_string(ssh.port) + "\n");
      known.append(i == 0 ? "" : "\n").append(ssh.known_hosts);
    }
    files_[".ssh/config"] = std::move(config);
    files_[".ssh/known_hosts"] = std::move(known);
  }

  std::string home_;
  SourceCredentials sources_;
  std::map<std::string, std::string> files_;
  DockerEntries config_;
  DockerEntries config_json_;
  DockerEntries annotated_;
  std::set<std::string, std::less<>> git_urls_;
  std::set<std::string, std::less<>> hosts_;
};

// The parts of a URL that say whom it belongs to.
struct Place {
  std::string origin;  // scheme, host and port
  std::string path;    // without slashes at its end
};

std::optional<Place> place_of(std::string_view text) {
  const Result<http::Url> url = http::Url::parse(text);
  if (!url) return std::nullopt;
  Place place;
  place.origin = url->scheme + "://" + url->host + ":" + std::to_string(url->port);
  place.path = url->target;
  while (!place.path.empty() && place.path.back() == '/') place.path.pop_back();
  return place;
}

}  // namespace

Result<BuildCredentials> credentials_of(const std::vector<core::Secret>& secrets,
                                        std::string_view home) {
  Collector collector(home);
  for (const core::Secret& secret : secrets) {
    if (Result<void> added = collector.add(secret); !added) return added.error();
  }
  return collector.finish();
}

Result<void> check_annotations(const std::vector<core::Secret>& secrets) {
  for (const core::Secret& secret : secrets) {
    for (const auto& [key, value] : secret.metadata.annotations) {
      if (!key.starts_with(docker_prefix) || value != "index.docker.io") continue;
      return fail(Errc::invalid_argument,
                  "BadSecretAnnotation: Secret \"" + secret.metadata.name +
                      "\" has incorrect annotation \"" + key + "\" / \"" + value +
                      "\", value should be \"https://index.docker.io/v1/\"");
    }
  }
  return {};
}

const SourceCredentials::Basic* basic_for(const SourceCredentials& credentials,
                                          std::string_view url) {
  const std::optional<Place> wanted = place_of(url);
  if (!wanted) return nullptr;
  const SourceCredentials::Basic* best = nullptr;
  std::size_t best_length = 0;
  for (const SourceCredentials::Basic& basic : credentials.basic) {
    const std::optional<Place> place = place_of(basic.url);
    if (!place || place->origin != wanted->origin) continue;
    const std::string& prefix = place->path;
    const bool covers = wanted->path.starts_with(prefix) && (wanted->path.size() == prefix.size() ||
                                                             wanted->path[prefix.size()] == '/');
    if (!covers || (best != nullptr && prefix.size() <= best_length)) continue;
    best = &basic;
    best_length = prefix.size();
  }
  return best;
}

const SourceCredentials::Ssh* ssh_for(const SourceCredentials& credentials, std::string_view host,
                                      std::optional<std::uint16_t> port) {
  const SourceCredentials::Ssh* best = nullptr;
  for (const SourceCredentials::Ssh& ssh : credentials.ssh) {
    if (ssh.host != host) continue;
    if (ssh.port == port.value_or(ssh_port)) return &ssh;
    if (!port && best == nullptr) best = &ssh;
  }
  return best;
}

}  // namespace knative::builder
