// Files of the real world, for loop_epoll.cpp.
#pragma once

#include <memory>

#include "knative/io.hpp"

namespace knative::base {

/// Ownable, as `Files` itself has no public destructor.
class PosixFilesBase : public Files {
 public:
  virtual ~PosixFilesBase() = default;
};

std::unique_ptr<PosixFilesBase> make_posix_files();

}  // namespace knative::base
