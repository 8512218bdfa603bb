#include "engines/builder/git_ssh.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "knative/http_url.hpp"

namespace knative::builder::git {

namespace {

constexpr std::array<std::string_view, 3> ssh_schemes{"ssh://", "git+ssh://", "ssh+git://"};

std::string_view ssh_scheme(std::string_view url) {
  for (const std::string_view scheme : ssh_schemes) {
    if (url.starts_with(scheme)) return scheme;
  }
  return {};
}

bool is_plain_word(std::string_view text) {
  return text.empty() || (text.front() != '-' && std::all_of(text.begin(), text.end(), [](char c) {
                            return static_cast<unsigned char>(c) > 32 && c != 127;
                          }));
}

Result<void> split_authority(std::string_view authority, SshAddress& address) {
  const std::size_t at = authority.rfind('@');
  if (at != authority.npos) {
    address.user = http::percent_decode(authority.substr(0, at));
    authority.remove_prefix(at + 1);
  }
  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  if (bracket == authority.npos) return fail(Errc::invalid_argument, "invalid host");
  const std::size_t colon = authority.find(':', bracket);
  if (colon != authority.npos) {
    const std::string_view digits = authority.substr(colon + 1);
    std::uint16_t port = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (code != std::errc() || end != digits.data() + digits.size() || port == 0) {
      return fail(Errc::invalid_argument, "invalid port");
    }
    address.port = port;
    authority = authority.substr(0, colon);
  }
  if (bracket > 0) authority = authority.substr(1, bracket - 1);
  address.host = authority;
  return {};
}

}  // namespace

bool is_ssh(std::string_view url) {
  if (!ssh_scheme(url).empty()) return true;
  // A colon before any slash, as git has it.
  return url.find("://") == url.npos && !url.empty() && url.front() != '/' &&
         url.find(':') < url.find('/');
}

Result<SshAddress> parse_ssh(std::string_view url) {
  SshAddress address;
  const std::string_view scheme = ssh_scheme(url);
  if (!scheme.empty()) {
    url.remove_prefix(scheme.size());
    const std::size_t slash = std::min(url.find('/'), url.size());
    if (Result<void> good = split_authority(url.substr(0, slash), address); !good) {
      return good.error();
    }
    address.path = http::percent_decode(url.substr(slash));
    if (address.path.starts_with("/~")) address.path.erase(0, 1);
  } else {
    const std::size_t colon = url.find(':');
    const std::size_t at = url.substr(0, colon).rfind('@');
    if (at != url.npos) address.user = url.substr(0, at);
    const std::size_t host = at == url.npos ? 0 : at + 1;
    address.host = url.substr(host, colon - host);
    address.path = url.substr(colon + 1);
  }
  if (address.user.find(':') != std::string::npos) {
    return fail(Errc::invalid_argument, "ssh takes no password in a URL");
  }
  if (address.host.empty() || !is_plain_word(address.host) || !is_plain_word(address.user)) {
    return fail(Errc::invalid_argument, "invalid host or user");
  }
  if (address.path.empty() || address.path.front() == '-' ||
      address.path.find('\0') != std::string::npos) {
    return fail(Errc::invalid_argument, "invalid path");
  }
  return address;
}

std::string shell_word(std::string_view text) {
  std::string word = "'";
  for (const char c : text) {
    if (c == '\'' || c == '!') {
      word.append("'\\").append(1, c).append("'");
    } else {
      word.push_back(c);
    }
  }
  return word + "'";
}

}  // namespace knative::builder::git
