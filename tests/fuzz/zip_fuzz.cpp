// Feeds arbitrary bytes to the reader of zip archives. What comes out is a tar stream no longer
// than what was counted before.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "engines/builder/zip_source.hpp"

namespace {

using namespace knative;

constexpr std::uint64_t fuzz_bytes_max = 1 << 20;
constexpr std::uint64_t fuzz_entries_max = 1000;
constexpr std::uint64_t entry_overhead_max = 8192 + 65536 * 2;

class BytesAsFile final : public File {
 public:
  explicit BytesAsFile(std::string_view bytes) : bytes_(bytes) {}
  Result<std::size_t> read_at(std::uint64_t offset, std::span<char> into) override {
    if (offset >= bytes_.size()) return std::size_t{0};
    const std::string_view rest = bytes_.substr(static_cast<std::size_t>(offset), into.size());
    std::memcpy(into.data(), rest.data(), rest.size());
    return rest.size();
  }
  Result<void> write_at(std::uint64_t, std::string_view) override { std::abort(); }
  Result<std::uint64_t> size() override { return bytes_.size(); }
  Result<void> truncate(std::uint64_t) override { std::abort(); }
  Result<void> sync() override { std::abort(); }
  Result<bool> is_at(const std::string&) override { std::abort(); }

 private:
  std::string_view bytes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)builder::is_zip(bytes);
  const auto tar =
      builder::open_zip(std::make_shared<BytesAsFile>(bytes), {fuzz_bytes_max, fuzz_entries_max});
  if (!tar) return 0;
  std::vector<char> buffer(4096);
  std::uint64_t total = 0;
  while (true) {
    const Result<std::size_t> got = (*tar)->read(buffer);
    if (!got || *got == 0) break;
    total += *got;
    if (total > fuzz_bytes_max + fuzz_entries_max * entry_overhead_max) std::abort();
  }
  return 0;
}
