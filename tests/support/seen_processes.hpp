// What /proc shows of processes, whoever started them.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace knative::testing_world {

/// Processes of this machine that have a word among theirs.
inline std::vector<int> processes_with(const std::string& word) {
  std::vector<int> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != name.npos) continue;
    std::ifstream file(entry.path() / "cmdline", std::ios::binary);
    std::string words;
    std::getline(file, words, '\1');  // one that ends meanwhile cannot be read to its end
    if (words.find(word) != words.npos) found.push_back(std::stoi(name));
  }
  return found;
}

/// As the kernel says it: 'T' is stopped, 'Z' waits to be reaped, 0 is gone.
inline char state_of(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t after_name = text.rfind(')');
  return after_name == text.npos || text.size() <= after_name + 2 ? '\0' : text[after_name + 2];
}

/// Not there, or only waiting to be reaped.
inline bool is_gone(int pid) { return state_of(pid) == '\0' || state_of(pid) == 'Z'; }

}  // namespace knative::testing_world
