/// \file
/// Files that hand everything on to others; a test overrides what it is about.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "knative/files.hpp"

namespace knative::testing_support {

class ForwardingFiles : public Files {
 public:
  explicit ForwardingFiles(Files& files) : files_(files) {}

  Result<std::unique_ptr<File>> open(const std::string& path, const OpenOptions& options) override {
    return files_.open(path, options);
  }
  Result<FileInfo> info(const std::string& path) override { return files_.info(path); }
  Result<std::vector<FileInfo>> list(const std::string& path) override { return files_.list(path); }
  Result<void> make_directories(const std::string& path) override {
    return files_.make_directories(path);
  }
  Result<void> make_symlink(const std::string& target, const std::string& path) override {
    return files_.make_symlink(target, path);
  }
  Result<std::string> read_symlink(const std::string& path) override {
    return files_.read_symlink(path);
  }
  Result<void> set_mode(const std::string& path, unsigned mode) override {
    return files_.set_mode(path, mode);
  }
  Result<void> rename(const std::string& from, const std::string& to) override {
    return files_.rename(from, to);
  }
  Result<void> remove(const std::string& path) override { return files_.remove(path); }
  Result<void> remove_all(const std::string& path) override { return files_.remove_all(path); }
  Result<void> sync_directory(const std::string& path) override {
    return files_.sync_directory(path);
  }
  Result<std::string> make_temporary_directory(const std::string& prefix) override {
    return files_.make_temporary_directory(prefix);
  }
  Result<void> make_hard_link(const std::string& existing, const std::string& path) override {
    return files_.make_hard_link(existing, path);
  }
  Result<void> set_owner(const std::string& path, std::uint32_t owner,
                         std::uint32_t group) override {
    return files_.set_owner(path, owner, group);
  }
  Result<void> set_modified(const std::string& path, std::int64_t nanoseconds) override {
    return files_.set_modified(path, nanoseconds);
  }
  Result<void> set_attribute(const std::string& path, const std::string& name,
                             std::string_view value) override {
    return files_.set_attribute(path, name, value);
  }
  Result<FileAttributes> attributes(const std::string& path) override {
    return files_.attributes(path);
  }
  Result<void> make_special(const std::string& path, const SpecialFile& file) override {
    return files_.make_special(path, file);
  }
  Result<SpecialFile> special(const std::string& path) override { return files_.special(path); }
  Result<std::unique_ptr<File>> lock(const std::string& path) override { return files_.lock(path); }

 protected:
  Files& files_;
};

}  // namespace knative::testing_support
