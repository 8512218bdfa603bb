// Image names: the grammar that container tools share, kept in the short form that people type.
#include <array>

#include "base/text.hpp"
#include "knative/oci.hpp"

namespace knative::oci {

namespace {

constexpr std::size_t repository_bytes_max = 255;
constexpr std::size_t tag_bytes_max = 128;
// The registry that is meant when a name has none, under its two host names.
constexpr std::string_view default_registry =
    "docker"
    ".io";
constexpr std::string_view default_registry_index =
    "index.docker"
    ".io";
constexpr std::string_view default_namespace = "library/";

using base::is_digit;
using base::is_lower;
using base::is_upper;

// component := alphanumeric (separator alphanumeric)*, separator := "." | "_" | "__" | "-"+
bool is_path_component(std::string_view text) {
  std::size_t i = 0;
  const auto word = [&] {
    const std::size_t start = i;
    while (i < text.size() && (is_lower(text[i]) || is_digit(text[i]))) ++i;
    return i > start;
  };
  if (!word()) return false;
  while (i < text.size()) {
    if (text[i] == '-') {
      while (i < text.size() && text[i] == '-') ++i;
    } else if (text.substr(i, 2) == "__") {
      i += 2;
    } else if (text[i] == '.' || text[i] == '_') {
      ++i;
    } else {
      return false;
    }
    if (!word()) return false;
  }
  return true;
}

// host[:port], as the first component when it has a dot, a colon, upper case, or is "localhost".
bool looks_like_registry(std::string_view text) {
  if (text == "localhost" || text.find_first_of(".:[") != std::string_view::npos) return true;
  for (const char c : text) {
    if (is_upper(c)) return true;
  }
  return false;
}

bool is_registry(std::string_view text) {
  std::string_view host = text;
  const std::size_t colon = text.rfind(':');
  const bool bracketed = !text.empty() && text.front() == '[';
  const std::size_t bracket = text.find(']');
  if (bracketed && bracket == std::string_view::npos) return false;
  if (colon != std::string_view::npos && (!bracketed || colon > bracket)) {
    const std::string_view port = text.substr(colon + 1);
    if (port.empty() || port.size() > 5) return false;
    for (const char c : port) {
      if (!is_digit(c)) return false;
    }
    host = text.substr(0, colon);
  }
  if (bracketed) {
    if (host.size() < 4 || host.back() != ']') return false;
    return host.substr(1, host.size() - 2).find_first_not_of("0123456789abcdefABCDEF:") ==
           std::string_view::npos;
  }
  if (host.empty() || host.front() == '-' || host.front() == '.' || host.back() == '-' ||
      host.back() == '.' || host.find("..") != std::string_view::npos) {
    return false;
  }
  for (const char c : host) {
    if (!is_lower(c) && !is_upper(c) && !is_digit(c) && c != '-' && c != '.') return false;
  }
  return true;
}

bool is_tag(std::string_view text) {
  if (text.empty() || text.size() > tag_bytes_max) return false;
  if (text.front() == '.' || text.front() == '-') return false;
  for (const char c : text) {
    if (!is_lower(c) && !is_upper(c) && !is_digit(c) && c != '_' && c != '.' && c != '-') {
      return false;
    }
  }
  return true;
}

Error wrong(std::string_view text, std::string_view why) {
  return fail(Errc::invalid_argument,
              "image reference \"" + std::string(text.substr(0, 300)) + "\": " + std::string(why));
}

Result<void> check_repository(std::string_view text, std::string_view repository) {
  if (repository.empty()) return wrong(text, "has no name");
  if (repository.size() > repository_bytes_max) return wrong(text, "the name is too long");
  std::string_view path = repository;
  const std::size_t slash = repository.find('/');
  if (slash != std::string_view::npos && looks_like_registry(repository.substr(0, slash))) {
    // A dot may also stand in the first part of a path.
    const std::string_view first = repository.substr(0, slash);
    if (is_registry(first)) {
      path = repository.substr(slash + 1);
    } else if (!is_path_component(first)) {
      return wrong(text, "malformed registry host");
    }
  }
  while (true) {
    const std::size_t end = path.find('/');
    if (!is_path_component(path.substr(0, end))) {
      return wrong(text,
                   "each part of the name is lower-case letters and digits, separated by "
                   "\".\", \"_\" or \"-\"");
    }
    if (end == std::string_view::npos) return {};
    path.remove_prefix(end + 1);
  }
}

std::string short_form(std::string_view repository) {
  const std::size_t slash = repository.find('/');
  if (slash != std::string_view::npos) {
    const std::string_view first = repository.substr(0, slash);
    if (first == default_registry || first == default_registry_index) {
      repository.remove_prefix(slash + 1);
    }
    if (repository.substr(0, default_namespace.size()) == default_namespace &&
        repository.find('/', default_namespace.size()) == std::string_view::npos) {
      repository.remove_prefix(default_namespace.size());
    }
  }
  return std::string(repository);
}

}  // namespace

Result<Reference> Reference::parse(std::string_view text) {
  Reference reference;
  std::string_view rest = text;
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    Result<Digest> digest = Digest::parse(rest.substr(at + 1));
    if (!digest) return digest.error().within("image reference");
    reference.digest = *digest;
    rest = rest.substr(0, at);
  }
  const std::size_t slash = rest.rfind('/');
  const std::size_t colon = rest.rfind(':');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    if (!is_tag(rest.substr(colon + 1))) return wrong(text, "malformed tag");
    reference.tag = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
  }
  if (Result<void> good = check_repository(text, rest); !good) return good.error();
  reference.repository = short_form(rest);
  return reference;
}

Reference Reference::with_default_tag() const {
  Reference result = *this;
  if (result.tag.empty() && result.digest.empty()) result.tag = "latest";
  return result;
}

std::string_view Reference::registry() const noexcept {
  const std::size_t slash = repository.find('/');
  if (slash == std::string::npos) return {};
  const std::string_view first = std::string_view(repository).substr(0, slash);
  return looks_like_registry(first) ? first : std::string_view();
}

std::string Reference::to_string() const {
  std::string text = repository;
  if (!tag.empty()) text.append(":").append(tag);
  if (!digest.empty()) text.append("@").append(digest.to_string());
  return text;
}

}  // namespace knative::oci
