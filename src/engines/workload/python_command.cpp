#include "engines/workload/python_command.hpp"

#include <algorithm>

namespace knative {
namespace {

constexpr std::string_view plain_flags = "bBdEIOPqRsSuv";
constexpr std::string_view flags_with_value = "WX";

/// "python3", "/usr/bin/python3.11".
bool names_python(std::string_view word) {
  word.remove_prefix(word.rfind('/') + 1);
  constexpr std::string_view name = "python";
  if (!word.starts_with(name)) return false;
  word.remove_prefix(name.size());
  if (word.empty()) return true;
  if (word.front() != '3') return false;
  word.remove_prefix(1);
  if (word.empty()) return true;
  return word.size() > 1 && word.front() == '.' &&
         word.find_first_not_of("0123456789", 1) == word.npos;
}

Error not_run(const std::vector<std::string>& argv, std::string_view why) {
  constexpr std::size_t words_shown_max = 4;
  std::string command;
  for (std::size_t i = 0; i < std::min(argv.size(), words_shown_max); ++i) {
    command.append(i == 0 ? "" : " ").append(argv[i], 0, 100);
  }
  return fail(Errc::invalid_argument,
              "a zygote runs python3 [flags] FILE, -m MODULE or -c CODE, and this is \"" + command +
                  "\"" + std::string(why));
}

/// How many of the words from `at` on a group of flags is; 0: it is not known. `last` is the flag
/// that says what is run, and then `rest` what stands behind it in its word.
std::size_t flag_words(std::string_view word, char& last, std::string_view& rest) {
  last = 0;
  for (std::size_t i = 1; i < word.size(); ++i) {
    const char flag = word[i];
    if (plain_flags.find(flag) != plain_flags.npos) continue;
    rest = word.substr(i + 1);
    if (flags_with_value.find(flag) != flags_with_value.npos) return rest.empty() ? 2 : 1;
    if (flag != 'm' && flag != 'c') return 0;
    last = flag;
    return rest.empty() ? 2 : 1;
  }
  return 1;
}

}  // namespace

std::string_view PythonCommand::kind_name() const noexcept {
  switch (kind) {
    case Kind::module: return "module";
    case Kind::code: return "code";
    case Kind::file: break;
  }
  return "file";
}

Result<PythonCommand> PythonCommand::parse(const std::vector<std::string>& argv) {
  if (argv.empty() || !names_python(argv.front())) {
    return not_run(argv, ": programs of other languages do not fork");
  }
  PythonCommand result;
  result.interpreter.push_back(argv.front());
  for (std::size_t at = 1; at < argv.size();) {
    const std::string& word = argv[at];
    if (word == "--" && at + 1 < argv.size()) {
      ++at;
    } else if (word.size() > 1 && word.front() == '-' && word != "--") {
      char last = 0;
      std::string_view rest;
      const std::size_t count = flag_words(word, last, rest);
      if (count == 0) return not_run(argv, ": " + word + " is not among its flags");
      if (at + count > argv.size()) return not_run(argv, ": nothing follows " + word);
      const auto first = argv.begin() + static_cast<std::ptrdiff_t>(at);
      at += count;
      if (last == 0) {
        result.interpreter.insert(result.interpreter.end(), first,
                                  first + static_cast<std::ptrdiff_t>(count));
        continue;
      }
      const std::string_view flags = std::string_view(word).substr(0, word.find(last));
      if (flags.size() > 1) result.interpreter.emplace_back(flags);
      result.kind = last == 'm' ? Kind::module : Kind::code;
      result.program = rest.empty() ? argv[at - 1] : std::string(rest);
      result.words.assign(argv.begin() + static_cast<std::ptrdiff_t>(at), argv.end());
      return result;
    }
    if (argv[at] == "-" || argv[at].empty()) break;
    result.program = argv[at];
    result.words.assign(argv.begin() + static_cast<std::ptrdiff_t>(at) + 1, argv.end());
    return result;
  }
  return not_run(argv, ": it names no program");
}

}  // namespace knative
