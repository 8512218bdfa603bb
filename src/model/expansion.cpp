#include "model/expansion.hpp"

namespace knative::core {

std::string expand_references(std::string_view text,
                              const std::map<std::string, std::string>& variables) {
  std::string result;
  std::size_t i = 0;
  while (i < text.size()) {
    if (text.substr(i, 3) == "$$(") {
      result.append("$(");
      i += 3;
      continue;
    }
    if (text.substr(i, 2) == "$(") {
      const std::size_t close = text.find(')', i);
      if (close != std::string_view::npos) {
        const auto known = variables.find(std::string(text.substr(i + 2, close - i - 2)));
        if (known != variables.end()) {
          result.append(known->second);
          i = close + 1;
          continue;
        }
      }
    }
    result.push_back(text[i++]);
  }
  return result;
}

std::string escape_references(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) == "$(") result.push_back('$');
    result.push_back(text[i]);
  }
  return result;
}

}  // namespace knative::core
