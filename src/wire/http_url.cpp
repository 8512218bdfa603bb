// Absolute http and https URLs (RFC 3986, RFC 9110 section 4.2).
#include <algorithm>
#include <string>

#include "knative/http.hpp"
#include "wire/http_authority.hpp"
#include "wire/http_text.hpp"

namespace knative::http {

namespace wire {

Authority parse_authority(std::string_view text) {
  Authority result;
  std::size_t i = 0;
  if (!text.empty() && text.front() == '[') {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return Authority{{}, {}, text.size(), false};
    for (i = 1; i < close; ++i) {
      const char c = text[i];
      if (hex_value(c) < 0 && c != ':' && c != '.') return Authority{{}, {}, i, false};
    }
    if (close < 3) return Authority{{}, {}, close, false};
    i = close + 1;
  } else {
    i = first_not(text, host_char);
    const std::size_t escape = first_bad_escape(text.substr(0, i));
    if (escape < i) return Authority{{}, {}, escape, false};
    if (i == 0) return Authority{{}, {}, 0, false};
  }
  result.host = text.substr(0, i);
  if (i < text.size()) {
    if (text[i] != ':') return Authority{{}, {}, i, false};
    const std::size_t first = ++i;
    unsigned port = 0;
    for (; i < text.size(); ++i) {
      if (text[i] < '0' || text[i] > '9') return Authority{{}, {}, i, false};
      port = port * 10 + static_cast<unsigned>(text[i] - '0');
      if (port > 65535) return Authority{{}, {}, i, false};
    }
    if (i > first) result.port = static_cast<std::uint16_t>(port);
  }
  result.valid = true;
  return result;
}

std::size_t first_bad_escape(std::string_view text) noexcept {
  for (std::size_t i = text.find('%'); i != std::string_view::npos; i = text.find('%', i + 1)) {
    if (i + 2 >= text.size() || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0) {
      return i;
    }
  }
  return text.size();
}

namespace {

/// Take "." and ".." out of a path (RFC 3986 section 5.2.4).
std::string without_dots(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    const std::size_t end = path.find('/', 1);
    const std::string_view segment = path.substr(0, end);
    path = end == std::string_view::npos ? "" : path.substr(end);
    if (segment == "/." || segment == "/..") {
      if (segment == "/..") out.resize(out.rfind('/') == std::string::npos ? 0 : out.rfind('/'));
      if (path.empty()) out.push_back('/');
    } else {
      out.append(segment);
    }
  }
  return out;
}

bool has_scheme(std::string_view reference) noexcept {
  const std::size_t end = reference.find_first_of(":/?#");
  return end != std::string_view::npos && end > 0 && reference[end] == ':';
}

}  // namespace

Result<Url> resolve(const Url& base, std::string_view reference) {
  reference = reference.substr(0, reference.find('#'));
  if (has_scheme(reference)) return Url::parse(reference);
  if (reference.substr(0, 2) == "//") return Url::parse(base.scheme + ":" + std::string(reference));
  const std::string_view base_path = std::string_view(base.target).substr(0, base.target.find('?'));
  const std::size_t query_begin = reference.find('?');
  const std::string_view path = reference.substr(0, query_begin);
  std::string_view query =
      query_begin == std::string_view::npos ? "" : reference.substr(query_begin);
  std::string target;
  if (path.empty()) {
    if (query.empty()) query = std::string_view(base.target).substr(base_path.size());
    target = base_path;
  } else if (path.front() == '/') {
    target = without_dots(path);
  } else {
    target = without_dots(std::string(base_path.substr(0, base_path.rfind('/') + 1)).append(path));
  }
  Url origin = base;
  origin.target = "";
  return Url::parse(origin.to_string() + target + std::string(query));
}

}  // namespace wire

Result<Url> Url::parse(std::string_view text) {
  auto wrong = [&text](std::size_t offset, std::string_view why) {
    return fail(Errc::invalid_argument, "URL \"" + shown_url(text).substr(0, 200) +
                                            "\": " + std::string(why) + " at byte " +
                                            std::to_string(offset));
  };
  Url url;
  const std::size_t colon = text.find("://");
  if (colon == std::string_view::npos) return wrong(0, "no scheme");
  const std::string_view scheme = text.substr(0, colon);
  if (wire::equal_ignoring_case(scheme, "http")) {
    url.scheme = "http";
    url.port = 80;
  } else if (wire::equal_ignoring_case(scheme, "https")) {
    url.scheme = "https";
    url.port = 443;
  } else {
    return wrong(0, "scheme is neither http nor https");
  }
  const std::size_t begin = colon + 3;
  std::size_t end = text.find_first_of("/?#", begin);
  if (end == std::string_view::npos) end = text.size();
  const wire::Authority authority = wire::parse_authority(text.substr(begin, end - begin));
  if (!authority.valid) return wrong(begin + authority.error_offset, "invalid host or port");
  std::string_view host = authority.host;
  if (host.front() == '[') host = host.substr(1, host.size() - 2);
  url.host.assign(host);
  for (char& c : url.host) c = wire::to_lower(c);
  if (authority.port) url.port = *authority.port;
  const std::string_view target = text.substr(end);
  const std::size_t invalid = wire::first_not(target, wire::target_char);
  if (invalid < target.size()) return wrong(end + invalid, "invalid character");
  const std::size_t escape = wire::first_bad_escape(target);
  if (escape < target.size()) return wrong(end + escape, "invalid escape");
  url.target.assign(target);
  if (url.target.empty() || url.target.front() != '/') url.target.insert(0, "/");
  return url;
}

std::string shown_url(std::string_view url) {
  std::string shown(url);
  const std::size_t scheme = shown.find("://");
  if (scheme == std::string::npos) return shown;
  const std::size_t begin = scheme + 3;
  std::size_t end = std::min(shown.find_first_of("/?#", begin), shown.size());
  if (!wire::parse_authority(url.substr(begin, end - begin)).valid) {
    // Perhaps a password with anything in it.
    const std::size_t at = shown.rfind('@');
    if (at != std::string::npos && at >= begin) {
      shown.replace(begin, at - begin, "[redacted]");
      end = shown.find('@', begin);
    }
  }
  const std::size_t query = shown.find_first_of("?#", end);
  if (query != std::string::npos && query + 1 < shown.size()) {
    shown.replace(query, std::string::npos, "?redacted");
  }
  return shown;
}

std::string Url::shown() const { return shown_url(to_string()); }

std::string Url::to_string() const {
  std::string text = scheme + "://";
  const bool v6 = host.find(':') != std::string::npos;
  text += v6 ? "[" + host + "]" : host;
  if (port != (scheme == "https" ? 443 : 80)) text += ":" + std::to_string(port);
  return text + target;
}

}  // namespace knative::http
