// How long the threads of another process have run.
#pragma once

#include <dirent.h>

#include <cstdint>
#include <cstdio>
#include <string>

/// Nanoseconds that the threads of a process have run; 0 when there is none.
inline std::uint64_t run_time(int pid) {
  std::uint64_t sum = 0;
  const std::string folder = "/proc/" + std::to_string(pid) + "/task";
  DIR* directory = ::opendir(folder.c_str());
  if (directory == nullptr) return 0;
  while (const dirent* entry = ::readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    const std::string path = folder + "/" + entry->d_name + "/schedstat";
    if (std::FILE* file = std::fopen(path.c_str(), "r")) {
      unsigned long long ran = 0;
      if (std::fscanf(file, "%llu", &ran) == 1) sum += ran;
      std::fclose(file);
    }
  }
  ::closedir(directory);
  return sum;
}
