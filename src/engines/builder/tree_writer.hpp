// Fills a folder of a workspace that earlier sources may have filled, and writes nowhere else:
// what stands in the way is replaced, but no link is followed. Blocking.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "knative/files.hpp"

namespace knative::builder {

class TreeWriter {
 public:
  // `directory` exists. Nobody else may write there meanwhile. `ours` names an entry of it that
  // nothing will be written to.
  static Result<TreeWriter> into(Files& files, std::string directory, std::string_view ours = {});

  // Paths are relative and without "." and ".."; the folders above were made by `folder`.
  // Modes are 0755 and the given one, whatever the umask: images may keep them.
  Result<void> folder(const std::string& path);
  Result<std::unique_ptr<File>> file(const std::string& path, unsigned mode);
  Result<void> link(const std::string& target, const std::string& path);

  std::string absolute(const std::string& path) const { return directory_ + "/" + path; }

 private:
  TreeWriter(Files& files, std::string directory, bool fresh)
      : files_(files), directory_(std::move(directory)), fresh_(fresh) {}
  Result<void> make_way(const std::string& path);
  Result<std::unique_ptr<File>> fresh_file(const std::string& path, unsigned mode);

  Files& files_;
  std::string directory_;
  bool fresh_;  // it was empty: whatever is there is ours
};

}  // namespace knative::builder
