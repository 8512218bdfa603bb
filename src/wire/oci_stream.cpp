// Byte sources over files and memory.
#include <algorithm>
#include <cstring>

#include "knative/oci.hpp"

namespace knative::oci {

namespace {

class FileSource : public ByteSource {
 public:
  explicit FileSource(std::unique_ptr<File> file) : file_(std::move(file)) {}
  Result<std::size_t> read(std::span<char> into) override {
    Result<std::size_t> count = file_->read_at(offset_, into);
    if (count) offset_ += *count;
    return count;
  }

 private:
  std::unique_ptr<File> file_;
  std::uint64_t offset_ = 0;
};

class MemorySource : public ByteSource {
 public:
  explicit MemorySource(std::string_view bytes) : rest_(bytes) {}
  Result<std::size_t> read(std::span<char> into) override {
    const std::size_t count = std::min(into.size(), rest_.size());
    if (count == 0) return count;  // what is empty may have no address
    std::memcpy(into.data(), rest_.data(), count);
    rest_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view rest_;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> open_source(Files& files, const std::string& path) {
  Result<std::unique_ptr<File>> file = files.open(path, OpenOptions{});
  if (!file) return file.error();
  return std::unique_ptr<ByteSource>(std::make_unique<FileSource>(std::move(*file)));
}

std::unique_ptr<ByteSource> memory_source(std::string_view bytes) {
  return std::make_unique<MemorySource>(bytes);
}

}  // namespace knative::oci
