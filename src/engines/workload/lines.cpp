#include "engines/workload/lines.hpp"

#include "base/text.hpp"

namespace knative {

void LineSplitter::append(std::string_view piece) {
  while (!piece.empty()) {
    const auto end = piece.find('\n');
    const std::string_view text = piece.substr(0, end);
    piece.remove_prefix(end == std::string_view::npos ? piece.size() : end + 1);
    if (partial_.empty() && end != std::string_view::npos && text.size() <= line_bytes_max_) {
      emit(text);
      continue;
    }
    partial_.append(text);
    while (partial_.size() > line_bytes_max_) {
      const std::size_t cut = base::utf8_prefix(partial_, line_bytes_max_);
      emit(std::string_view(partial_).substr(0, cut));
      partial_.erase(0, cut);
    }
    if (end == std::string_view::npos) continue;
    emit(partial_);
    partial_.clear();
  }
}

void LineSplitter::finish() {
  if (partial_.empty()) return;
  const std::string line = std::move(partial_);
  partial_.clear();
  emit(line);
}

void LineSplitter::emit(std::string_view line) { line_(base::valid_utf8(line)); }

}  // namespace knative
