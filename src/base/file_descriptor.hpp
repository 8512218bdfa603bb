// A file descriptor with an owner.
#pragma once

#include <unistd.h>

#include <utility>

namespace knative::base {

/// Closes what it holds, unless that was released.
struct FileDescriptor {
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd, other.fd);
    return *this;
  }
  ~FileDescriptor() {
    if (fd >= 0) ::close(fd);
  }
  int release() noexcept { return std::exchange(fd, -1); }
  int fd = -1;
};

}  // namespace knative::base
