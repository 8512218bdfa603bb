/// \file
/// Reads the vectors of tests/corpus/http1; the format is told in its README.
#pragma once

#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/paths.hpp"

namespace knative::testing {

struct HttpVector {
  std::string verdict;
  std::string name;
  int status = 0;
  std::map<std::string, std::string> expected;
  std::string bytes;
  std::optional<std::size_t> offset;
};

/// Undo the escapes; `{!}` yields the offset.
inline std::string unescape(std::string_view text, std::optional<std::size_t>* offset = nullptr) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      const char c = text[++i];
      switch (c) {
        case 'r': out += '\r'; break;
        case 'n': out += '\n'; break;
        case 't': out += '\t'; break;
        case 'x':
          out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
          i += 2;
          break;
        default: out += c;
      }
    } else if (text.substr(i, 3) == "{!}") {
      if (offset != nullptr) *offset = out.size();
      i += 2;
    } else if (text[i] == '{') {
      const std::size_t end = text.find('}', i);
      const std::string_view inner = text.substr(i + 1, end - i - 1);
      const std::size_t star = inner.rfind('*');
      const std::string piece = unescape(inner.substr(0, star));
      const int count = std::stoi(std::string(inner.substr(star + 1)));
      for (int k = 0; k < count; ++k) out += piece;
      i = end;
    } else {
      out += text[i];
    }
  }
  return out;
}

inline std::vector<HttpVector> load_http_vectors(const std::string& file) {
  std::ifstream in(testing_paths::source() + "/tests/corpus/http1/" + file);
  std::vector<HttpVector> vectors;
  std::string line;
  while (std::getline(in, line)) {
    const std::size_t bar = line.find(" |");
    if (line.empty() || line[0] == '#' || bar == std::string::npos) continue;
    HttpVector vector;
    std::vector<std::string> words;
    std::string_view rest = std::string_view(line).substr(0, bar);
    while (!rest.empty()) {
      const std::size_t end = rest.find(' ');
      words.emplace_back(rest.substr(0, end));
      rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
    }
    vector.verdict = words.front();
    vector.name = words.back();
    for (std::size_t i = 1; i + 1 < words.size(); ++i) {
      const std::size_t equals = words[i].find('=');
      if (equals == std::string::npos) {
        vector.status = std::stoi(words[i]);
      } else {
        vector.expected[words[i].substr(0, equals)] = unescape(words[i].substr(equals + 1));
      }
    }
    const std::size_t begin = bar + 2 < line.size() ? bar + 3 : line.size();
    vector.bytes = unescape(std::string_view(line).substr(begin), &vector.offset);
    vectors.push_back(std::move(vector));
  }
  return vectors;
}

}  // namespace knative::testing
