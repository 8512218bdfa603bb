// The guest of tests/engines/workload/sandbox_guest.cpp as an image, and what is left of it.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "knative/container_runtimes.hpp"
#include "support/paths.hpp"
#include "support/real_world.hpp"
#include "support/seen_processes.hpp"

namespace knative::guests {

using testing_world::is_gone;
using testing_world::processes_with;
using testing_world::TemporaryDirectory;

/// One image with the guest in it, and an upper folder for everybody who wants it.
class GuestImages final : public ImageProvider {
 public:
  explicit GuestImages(const TemporaryDirectory& folder)
      : root_(folder / "image"), uppers_(folder / "upper") {
    namespace fs = std::filesystem;
    for (const char* made : {"/bin", "/etc", "/data"}) fs::create_directories(root_ + made);
    fs::copy_file(testing_paths::binary() + "/tests/sandbox_guest", root_ + "/guest");
    fs::create_symlink("/guest", root_ + "/bin/tool");  // as /bin/sh of a busybox
    std::ofstream(root_ + "/etc/passwd") << "root:x:0:0:root:/root:/bin/sh\n"
                                            "app:x:1000:2000:An app:/home/app:/bin/sh\n";
    std::ofstream(root_ + "/etc/group") << "root:x:0:\nwheel:x:10:root,app\nmedia:x:44:app\n";
    std::ofstream(root_ + "/data/file") << "of the image\n";
    fs::create_symlink("../run/resolv.conf", root_ + "/etc/resolv.conf");
    defaults.entrypoint = {"/guest"};
  }

  Task<Result<ImageRoot>> provide(const ContainerSpec&) override {
    ImageRoot root;
    root.directory = uppers_ + std::to_string(++count_);
    std::filesystem::copy(
        root_, root.directory,
        std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
    root.defaults = defaults;
    co_return root;
  }
  Task<Result<ImageRoot>> provide_shared(const ContainerSpec&) override {
    ImageRoot root;
    root.directory = root_;
    if (!same_upper) ++count_;
    root.upper = uppers_ + std::to_string(count_);
    std::filesystem::create_directories(root.upper);
    root.defaults = defaults;
    co_return root;
  }
  const std::string& root() const { return root_; }
  void set_root(std::string root) { root_ = std::move(root); }

  ImageDefaults defaults;
  bool same_upper = false;  ///< As before, as when a program is started anew.

 private:
  std::string root_;
  std::string uppers_;
  int count_ = 0;
};

struct Outcome {
  ExitStatus status;
  std::vector<std::string> lines;

  bool says(std::string_view line) const {
    return std::find(lines.begin(), lines.end(), line) != lines.end();
  }
  std::string text() const {
    std::string all;
    for (const std::string& line : lines) all.append(line).append("\n");
    return all;
  }
};

/// Folders of control groups that a process of that number has made.
inline std::vector<std::string> groups_of(int pid) {
  std::vector<std::string> found;
  const std::string prefix = "knative-" + std::to_string(pid) + "-";
  std::error_code ignored;
  const auto all = std::filesystem::directory_options::skip_permission_denied;
  for (std::filesystem::recursive_directory_iterator at("/sys/fs/cgroup", all, ignored), end;
       at != end; at.increment(ignored)) {
    if (!at->is_directory(ignored)) continue;
    if (at->path().filename().string().starts_with(prefix)) found.push_back(at->path());
  }
  return found;
}

}  // namespace knative::guests
