// What a command of a Python interpreter runs. Private to the workload.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"

namespace knative {

/// The words of a command, in three parts.
struct PythonCommand {
  enum class Kind : unsigned char { file, module, code };
  std::vector<std::string> interpreter;  ///< Its name and its flags.
  Kind kind = Kind::file;
  std::string program;             ///< A path, a module's name or code.
  std::vector<std::string> words;  ///< What comes after that.

  /// "python3 -u app.py --debug". Fails with `invalid_argument`, saying what it is instead.
  static Result<PythonCommand> parse(const std::vector<std::string>& argv);
  /// "file", "module" or "code".
  std::string_view kind_name() const noexcept;
};

}  // namespace knative
