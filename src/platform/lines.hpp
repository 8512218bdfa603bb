// Lines out of pieces, for whoever wants output by line.
#pragma once

#include <functional>
#include <string_view>
#include <utility>

namespace knative {

class LineSplitter {
 public:
  explicit LineSplitter(std::function<void(std::string_view, std::string_view)> sink)
      : sink_(std::move(sink)) {}
  void operator()(std::string_view source, std::string_view text) const {
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      const std::string_view line = text.substr(0, end);
      if (!line.empty()) sink_(source, line);
      if (end == std::string_view::npos) break;
      text.remove_prefix(end + 1);
    }
  }

 private:
  std::function<void(std::string_view, std::string_view)> sink_;
};

}  // namespace knative
