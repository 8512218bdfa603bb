// A folder for the time that something takes.
#pragma once

#include <string>
#include <utility>

#include "knative/files.hpp"

namespace knative::builder {

// A folder that goes with this.
struct TemporaryFolder {
  TemporaryFolder(Files& where, std::string name) : files(where), path(std::move(name)) {}
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { (void)files.remove_all(path); }
  Files& files;
  std::string path;
};

}  // namespace knative::builder
