#include "engines/builder/git_submodules.hpp"

#include <algorithm>
#include <optional>

#include "base/text.hpp"
#include "engines/builder/fetch_git.hpp"
#include "engines/builder/git_ssh.hpp"

namespace knative::builder::git {

namespace {

bool is_name_character(char c) { return base::is_letter(c) || base::is_digit(c) || c == '-'; }

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), base::to_lower);
  return lower;
}

// Reads git's configuration: sections, and "name = value" with quotes, escapes and comments.
class ConfigurationReader {
 public:
  struct Variable {
    std::string section;  // in small letters
    std::string subsection;
    std::string name;  // in small letters
    std::string value;
  };

  explicit ConfigurationReader(std::string_view text) : text_(text) {
    if (text_.starts_with("\xef\xbb\xbf")) text_.remove_prefix(3);
  }

  // The next variable; none at the end.
  Result<std::optional<Variable>> next() {
    while (true) {
      skip_blank();
      if (at_end()) return std::optional<Variable>();
      if (peek() == '[') {
        if (!read_section()) return wrong();
        continue;
      }
      if (section_.empty()) return wrong();
      Variable variable{section_, subsection_, {}, "true"};
      while (!at_end() && is_name_character(peek())) variable.name.push_back(take());
      variable.name = lower_case(variable.name);
      while (!at_end() && (peek() == ' ' || peek() == '\t')) take();
      if (variable.name.empty()) return wrong();
      if (!at_end() && peek() == '=') {
        take();
        variable.value.clear();
        if (!read_value(variable.value)) return wrong();
      } else if (!at_end() && peek() != '\n' && peek() != '\r' && peek() != '#' && peek() != ';') {
        return wrong();
      }
      return std::optional<Variable>(std::move(variable));
    }
  }

 private:
  Error wrong() const {
    return fail(Errc::invalid_argument,
                ".gitmodules: bad config line " + std::to_string(line_) + " in it");
  }
  bool at_end() const { return text_.empty(); }
  char peek() const { return text_.front(); }
  char take() {
    const char c = text_.front();
    text_.remove_prefix(1);
    if (c == '\n') ++line_;
    return c;
  }
  void skip_line() {
    while (!at_end() && peek() != '\n') take();
  }
  void skip_blank() {
    while (!at_end()) {
      const char c = peek();
      if (c == '#' || c == ';') {
        skip_line();
      } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
        take();
      } else {
        return;
      }
    }
  }

  bool read_section() {
    take();
    section_.clear();
    subsection_.clear();
    while (!at_end() && (is_name_character(peek()) || peek() == '.')) section_.push_back(take());
    section_ = lower_case(section_);
    const std::size_t dot = section_.find('.');
    if (dot != section_.npos) {  // an older way to write it
      subsection_ = section_.substr(dot + 1);
      section_.resize(dot);
    }
    while (!at_end() && (peek() == ' ' || peek() == '\t')) take();
    if (!at_end() && peek() == '"') {
      take();
      if (!read_subsection()) return false;
    }
    return !at_end() && take() == ']' && !section_.empty();
  }

  bool read_subsection() {
    subsection_.clear();
    while (!at_end()) {
      char c = take();
      if (c == '"') return true;
      if (c == '\\' && !at_end()) c = take();
      if (c == '\n' || c == '\0') return false;
      subsection_.push_back(c);
    }
    return false;
  }

  // Blanks at the ends belong to it in quotes only.
  bool read_value(std::string& value) {
    bool quoted = false;
    std::size_t kept = 0;  // of `value`, blanks at its end left out
    while (!at_end()) {
      char c = take();
      if (c == '\n') return finish_value(value, kept, quoted);
      if (!quoted && (c == '#' || c == ';')) {
        skip_line();
        continue;
      }
      if (c == '"') {
        quoted = !quoted;
        kept = std::max(kept, value.size());
        continue;
      }
      const bool blank = c == ' ' || c == '\t' || c == '\r';
      if (c == '\\') {
        if (at_end()) return false;
        c = take();
        if (c == '\n') continue;  // goes on in the next line
        if (!unescape(c)) return false;
      } else if (blank && !quoted) {
        if (!value.empty()) value.push_back(c);
        continue;
      }
      if (c == '\0') return false;
      value.push_back(c);
      kept = value.size();
    }
    return finish_value(value, kept, quoted);
  }

  static bool finish_value(std::string& value, std::size_t kept, bool quoted) {
    value.resize(kept);
    return !quoted;
  }

  static bool unescape(char& c) {
    switch (c) {
      case 'n': c = '\n'; return true;
      case 't': c = '\t'; return true;
      case 'b': c = '\b'; return true;
      default: return c == '"' || c == '\\';
    }
  }

  std::string_view text_;
  std::size_t line_ = 1;
  std::string section_;
  std::string subsection_;
};

bool has_parent_part(std::string_view path) {
  return ("/" + std::string(path) + "/").find("/../") != std::string::npos;
}

Error wrong_submodule(const std::string& name, const std::string& why) {
  return fail(Errc::invalid_argument, "submodule \"" + name + "\": " + why);
}

Result<void> check_submodule(const SubmoduleEntry& entry) {
  if (entry.name.empty() || has_parent_part(entry.name)) {
    return wrong_submodule(entry.name, "its name is not permitted");
  }
  if (entry.path.starts_with('-') || entry.path.starts_with('/') || has_parent_part(entry.path)) {
    return wrong_submodule(entry.name, "its path \"" + entry.path + "\" is not permitted");
  }
  if (entry.update.starts_with('!')) {
    return wrong_submodule(entry.name, "its update is a command, which is not permitted");
  }
  return {};
}

// A repository's URL in parts that "../" may take from, and the part that it may not.
struct RelativeBase {
  std::string fixed;  // scheme and server; empty for paths
  std::string path;
  char separator = '/';  // behind `fixed`
};

RelativeBase base_of(std::string_view parent) {
  while (parent.size() > 1 && parent.ends_with('/')) parent.remove_suffix(1);
  const std::size_t scheme = parent.find("://");
  if (scheme != parent.npos) {
    const std::size_t slash = std::min(parent.find('/', scheme + 3), parent.size());
    return {std::string(parent.substr(0, slash)), std::string(parent.substr(slash)), '/'};
  }
  if (is_ssh(parent)) {
    const std::size_t colon = parent.find(':');
    return {std::string(parent.substr(0, colon)), std::string(parent.substr(colon + 1)), ':'};
  }
  return {"", std::string(parent), '/'};
}

Result<std::string> resolved(std::string_view parent, std::string_view url) {
  RelativeBase base = base_of(parent);
  const auto leaves = [&] {
    return fail(Errc::invalid_argument,
                "the relative URL \"" + std::string(url) + "\" leaves what it is relative to");
  };
  std::string_view rest = url;
  while (true) {
    if (rest.starts_with("./")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with("../")) {
      rest.remove_prefix(3);
      if (base.path.empty() || base.path == "/") return leaves();
      const std::size_t slash = base.path.rfind('/');
      base.path.resize(slash == base.path.npos ? 0 : slash);
    } else {
      break;
    }
  }
  while (rest.ends_with('/')) rest.remove_suffix(1);
  // As git: what is relative to a folder of no name is relative to the working directory.
  if (rest.empty() || has_parent_part(rest)) return leaves();
  if (base.separator == ':') {
    return base.fixed + ":" + base.path + (base.path.empty() ? "" : "/") + std::string(rest);
  }
  return base.fixed + base.path +
         (base.fixed.empty() && base.path.empty() && parent.front() != '/' ? "" : "/") +
         std::string(rest);
}

}  // namespace

Result<std::vector<SubmoduleEntry>> parse_modules(std::string_view text, std::size_t most) {
  ConfigurationReader reader(text);
  std::vector<SubmoduleEntry> entries;
  while (true) {
    Result<std::optional<ConfigurationReader::Variable>> variable = reader.next();
    if (!variable) return variable.error();
    if (!*variable) break;
    if ((*variable)->section != "submodule") continue;
    const std::string& name = (*variable)->subsection;
    auto entry = std::find_if(entries.begin(), entries.end(),
                              [&](const SubmoduleEntry& known) { return known.name == name; });
    if (entry == entries.end()) {
      if (entries.size() == most) {
        return fail(Errc::resource_exhausted,
                    ".gitmodules names more than " + std::to_string(most) + " submodules");
      }
      entry = entries.insert(entry, {name, {}, {}, {}});
    }
    if ((*variable)->name == "path") entry->path = (*variable)->value;
    if ((*variable)->name == "url") entry->url = (*variable)->value;
    if ((*variable)->name == "update") entry->update = (*variable)->value;
  }
  for (const SubmoduleEntry& entry : entries) {
    if (Result<void> good = check_submodule(entry); !good) return good.error();
  }
  return entries;
}

Result<std::string> submodule_url(std::string_view parent, std::string_view url) {
  const auto refused = [&](const std::string& why) {
    return fail(Errc::invalid_argument, "its URL " + why);
  };
  if (url.empty()) return refused("is missing");
  const bool control = std::any_of(url.begin(), url.end(), [](char c) {
    return static_cast<unsigned char>(c) < 32 || c == 127;
  });
  if (url.front() == '-' || control) return refused("is not permitted");
  std::string whole(url);
  if (url.starts_with("./") || url.starts_with("../")) {
    Result<std::string> made = resolved(parent, url);
    if (!made) return made;
    whole = std::move(*made);
  }
  // "ext::command" and its like are programs of git.
  if (whole.find("::") < std::min(whole.find("://"), whole.find('/'))) {
    return refused("names a program that git would run");
  }
  if (is_remote(whole)) return whole;
  const bool local = whole.find("://") == whole.npos || whole.starts_with("file://");
  if (!local) return refused("is of an unknown kind");
  if (is_remote(parent)) return refused("is of this machine, and its repository is not");
  return whole;
}

}  // namespace knative::builder::git
