#include "engines/builder/tree_writer.hpp"

namespace knative::builder {

Result<TreeWriter> TreeWriter::into(Files& files, std::string directory, std::string_view ours) {
  Result<std::vector<FileInfo>> entries = files.list(directory);
  if (!entries) return entries.error();
  std::erase_if(*entries, [ours](const FileInfo& entry) { return entry.name == ours; });
  return TreeWriter(files, std::move(directory), entries->empty());
}

Result<void> TreeWriter::folder(const std::string& path) {
  if (!fresh_) {
    const Result<FileInfo> info = files_.info(absolute(path));
    if (info && info->type == FileType::directory) return {};
    if (info && info->type == FileType::symlink) {
      return fail(Errc::invalid_argument,
                  "\"" + path +
                      "\" leaves the workspace: it is a folder here and a link of an earlier "
                      "source");
    }
    if (info) {
      return fail(Errc::already_exists,
                  "\"" + path + "\" is a folder here and a file of an earlier source");
    }
    if (info.error().code != Errc::not_found) return info.error();
  }
  if (Result<void> made = files_.make_directories(absolute(path)); !made) return made;
  return files_.set_mode(absolute(path), 0755);
}

Result<std::unique_ptr<File>> TreeWriter::file(const std::string& path, unsigned mode) {
  Result<std::unique_ptr<File>> opened = fresh_file(path, mode);
  if (opened || opened.error().code != Errc::already_exists) return opened;
  if (Result<void> free = make_way(path); !free) return free.error();
  return fresh_file(path, mode);
}

Result<std::unique_ptr<File>> TreeWriter::fresh_file(const std::string& path, unsigned mode) {
  const OpenOptions how{.write = true, .create = true, .exclusive = true, .mode = mode};
  Result<std::unique_ptr<File>> opened = files_.open(absolute(path), how);
  if (!opened) return opened;
  if (Result<void> set = files_.set_mode(absolute(path), mode); !set) return set.error();
  return opened;
}

Result<void> TreeWriter::link(const std::string& target, const std::string& path) {
  Result<void> made = files_.make_symlink(target, absolute(path));
  if (made || made.error().code != Errc::already_exists) return made;
  if (Result<void> free = make_way(path); !free) return free;
  return files_.make_symlink(target, absolute(path));
}

Result<void> TreeWriter::make_way(const std::string& path) {
  const Result<FileInfo> info = files_.info(absolute(path));
  if (!info) return info.error();
  if (info->type == FileType::directory) {
    return fail(Errc::already_exists,
                "\"" + path + "\" is a file here and a folder of an earlier source");
  }
  return files_.remove(absolute(path));
}

}  // namespace knative::builder
