/// \file
/// Files whose writes stay in the memory of this process until they are synced.
///
/// Killing a process leaves the page cache of the machine alone, so a kill cannot show what a power
/// cut would lose. Here unsynced bytes die with the process, as they would with the machine.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "knative/env.hpp"
#include "support/forwarding_files.hpp"

namespace knative::testing_support {

class UnsyncedFile final : public File {
 public:
  explicit UnsyncedFile(std::unique_ptr<File> file) : file_(std::move(file)) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<char> into) override {
    const std::lock_guard lock(mutex_);
    Result<std::uint64_t> whole = size_locked();
    if (!whole) return whole.error();
    if (offset >= *whole) return std::size_t{0};
    const std::size_t count =
        static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), *whole - offset));
    std::fill_n(into.begin(), count, '\0');
    const Result<std::size_t> got = file_->read_at(offset, into.first(count));
    if (!got) return got.error();
    for (const auto& [at, bytes] : pending_) {
      const std::uint64_t begin = std::max(at, offset);
      const std::uint64_t end = std::min(at + bytes.size(), offset + count);
      if (begin >= end) continue;
      std::memcpy(into.data() + (begin - offset), bytes.data() + (begin - at),
                  static_cast<std::size_t>(end - begin));
    }
    return count;
  }
  Result<void> write_at(std::uint64_t offset, std::string_view bytes) override {
    const std::lock_guard lock(mutex_);
    pending_.emplace_back(offset, std::string(bytes));
    return {};
  }
  /// The kernel's cache survives the death of the process, so writing is enough here.
  Result<void> sync() override {
    const std::lock_guard lock(mutex_);
    for (const auto& [at, bytes] : pending_) {
      if (Result<void> written = file_->write_at(at, bytes); !written) return written;
    }
    pending_.clear();
    return {};
  }
  Result<void> truncate(std::uint64_t size) override {
    const std::lock_guard lock(mutex_);
    for (const auto& [at, bytes] : pending_) {
      if (Result<void> written = file_->write_at(at, bytes); !written) return written;
    }
    pending_.clear();
    return file_->truncate(size);
  }
  Result<std::uint64_t> size() override {
    const std::lock_guard lock(mutex_);
    return size_locked();
  }
  Result<bool> is_at(const std::string& path) override { return file_->is_at(path); }

 private:
  Result<std::uint64_t> size_locked() {
    Result<std::uint64_t> size = file_->size();
    if (!size) return size;
    for (const auto& [at, bytes] : pending_) *size = std::max(*size, at + bytes.size());
    return size;
  }
  std::mutex mutex_;
  std::unique_ptr<File> file_;
  std::vector<std::pair<std::uint64_t, std::string>> pending_;
};

class UnsyncedFiles final : public ForwardingFiles {
 public:
  using ForwardingFiles::ForwardingFiles;

  Result<std::unique_ptr<File>> open(const std::string& path, const OpenOptions& options) override {
    Result<std::unique_ptr<File>> file = files_.open(path, options);
    if (!file) return file;
    return std::unique_ptr<File>(std::make_unique<UnsyncedFile>(std::move(*file)));
  }
};

}  // namespace knative::testing_support
