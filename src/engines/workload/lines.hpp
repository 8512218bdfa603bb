// Output as lines for people. Private to the workload.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace knative {

/// Cuts a stream into lines. What comes out is valid UTF-8; lines that are too long are broken
/// between characters.
class LineSplitter {
 public:
  LineSplitter(std::size_t line_bytes_max, std::function<void(std::string_view)> line)
      : line_bytes_max_(line_bytes_max), line_(std::move(line)) {}
  void append(std::string_view piece);
  /// The stream has ended: emit what is left without a line break.
  void finish();

 private:
  void emit(std::string_view line);
  std::size_t line_bytes_max_;
  std::function<void(std::string_view)> line_;
  std::string partial_;
};

/// The last lines of an output.
class LastLines {
 public:
  explicit LastLines(std::size_t lines_max) : lines_max_(lines_max) {}
  void add(std::string_view line) {
    lines_.emplace_back(line);
    if (lines_.size() > lines_max_) lines_.pop_front();
  }
  std::vector<std::string> all() const { return {lines_.begin(), lines_.end()}; }

 private:
  std::size_t lines_max_;
  std::deque<std::string> lines_;
};

}  // namespace knative
