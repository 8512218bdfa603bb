// References to variables in texts of a container.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace knative::core {

// Kubernetes' references in commands, arguments and values: $(NAME) for a known variable, $$ for
// "$" before a parenthesis, everything else as it is.
std::string expand_references(std::string_view text,
                              const std::map<std::string, std::string>& variables);

// A text that `expand_references` turns into `text`, whatever the variables are.
std::string escape_references(std::string_view text);

}  // namespace knative::core
