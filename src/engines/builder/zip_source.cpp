#include "engines/builder/zip_source.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace knative::builder {

namespace {

constexpr std::uint32_t end_signature = 0x06054b50;
constexpr std::uint32_t end64_signature = 0x06064b50;
constexpr std::uint32_t locator64_signature = 0x07064b50;
constexpr std::uint32_t entry_signature = 0x02014b50;
constexpr std::uint32_t local_signature = 0x04034b50;
constexpr std::size_t end_bytes = 22;
constexpr std::size_t end64_bytes = 56;
constexpr std::size_t locator64_bytes = 20;
constexpr std::size_t entry_bytes = 46;
constexpr std::size_t local_bytes = 30;
constexpr std::size_t comment_bytes_max = 65535;
constexpr std::uint64_t directory_bytes_max = std::uint64_t{256} << 20;
constexpr std::uint64_t link_bytes_max = 4096;
constexpr std::uint32_t all_ones_32 = 0xffffffff;
constexpr std::uint16_t all_ones_16 = 0xffff;
constexpr std::uint16_t stored_method = 0;
constexpr std::uint16_t deflated_method = 8;
constexpr std::uint16_t zip64_extra = 1;
constexpr std::uint16_t encrypted_flag = 1;
constexpr unsigned made_by_unix = 3;
constexpr unsigned type_mask = 0170000;
constexpr unsigned type_folder = 0040000;
constexpr unsigned type_file = 0100000;
constexpr unsigned type_link = 0120000;
constexpr std::size_t tar_block = 512;
constexpr std::size_t piece_bytes = 64 << 10;

Error damaged_zip(const std::string& why) {
  return fail(Errc::invalid_argument, "the zip archive is damaged: " + why);
}

// Little-endian numbers of a record whose size is known.
class Record {
 public:
  explicit Record(std::string_view bytes) : bytes_(bytes) {}
  std::uint64_t number(std::size_t at, std::size_t size) const {
    std::uint64_t value = 0;
    for (std::size_t i = size; i-- > 0;) {
      value = value << 8 | static_cast<unsigned char>(bytes_[at + i]);
    }
    return value;
  }
  std::uint16_t half(std::size_t at) const { return static_cast<std::uint16_t>(number(at, 2)); }
  std::uint32_t word(std::size_t at) const { return static_cast<std::uint32_t>(number(at, 4)); }
  std::uint64_t large(std::size_t at) const { return number(at, 8); }

 private:
  std::string_view bytes_;
};

struct ZipEntry {
  std::string name;
  char tar_type = '0';
  unsigned mode = 0644;
  std::uint16_t method = 0;
  std::uint32_t checksum = 0;
  std::uint64_t packed_bytes = 0;
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;
};

Result<std::string> read_exactly(File& file, std::uint64_t at, std::size_t count) {
  std::string bytes(count, '\0');
  const Result<std::size_t> got = file.read_at(at, bytes);
  if (!got) return got.error();
  if (*got != count) return damaged_zip("it is cut short");
  return bytes;
}

// Where the central directory is.
struct ZipDirectory {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t entries = 0;
};

Result<void> read_end64(File& file, std::uint64_t end, ZipDirectory& found) {
  if (end < locator64_bytes) return damaged_zip("its end is incomplete");
  const Result<std::string> locator = read_exactly(file, end - locator64_bytes, locator64_bytes);
  if (!locator) return locator.error();
  if (Record(*locator).word(0) != locator64_signature) return {};  // the numbers mean themselves
  const Result<std::string> text = read_exactly(file, Record(*locator).large(8), end64_bytes);
  if (!text) return text.error();
  const Record record(*text);
  if (record.word(0) != end64_signature) return damaged_zip("its end is incomplete");
  found = {record.large(48), record.large(40), record.large(32)};
  return {};
}

Result<ZipDirectory> find_directory(File& file) {
  const Result<std::uint64_t> size = file.size();
  if (!size) return size.error();
  const auto count =
      static_cast<std::size_t>(std::min<std::uint64_t>(*size, end_bytes + comment_bytes_max));
  const Result<std::string> tail = read_exactly(file, *size - count, count);
  if (!tail) return tail.error();
  for (std::size_t at = count >= end_bytes ? count - end_bytes + 1 : 0; at-- > 0;) {
    const Record record(std::string_view(*tail).substr(at, end_bytes));
    if (record.word(0) != end_signature || at + end_bytes + record.half(20) != count) continue;
    if (record.half(4) != record.half(6) || record.half(8) != record.half(10)) {
      return fail(Errc::unimplemented, "a zip archive in several parts");
    }
    ZipDirectory found{record.word(16), record.word(12), record.half(10)};
    if (found.offset == all_ones_32 || found.bytes == all_ones_32 || found.entries == all_ones_16) {
      Result<void> larger = read_end64(file, *size - count + at, found);
      if (!larger) return larger.error();
    }
    if (found.offset > *size || found.bytes > *size - found.offset) {
      return damaged_zip("its directory is outside of it");
    }
    return found;
  }
  return damaged_zip("it has no end");
}

// Numbers that do not fit into their fields stand in an extra field, in this order.
Result<void> read_zip64(std::string_view extra, ZipEntry& entry) {
  const std::array<std::uint64_t*, 3> numbers{&entry.bytes, &entry.packed_bytes, &entry.offset};
  const bool needed = std::any_of(numbers.begin(), numbers.end(),
                                  [](const std::uint64_t* n) { return *n == all_ones_32; });
  while (needed && extra.size() >= 4) {
    const Record head(extra);
    const std::size_t size = head.half(2);
    if (size > extra.size() - 4) break;
    const Record values(extra.substr(4, size));
    std::size_t at = 0;
    for (std::uint64_t* number : numbers) {
      if (head.half(0) != zip64_extra || *number != all_ones_32) continue;
      if (size - at < 8) return damaged_zip("an entry has no size");
      *number = values.large(at);
      at += 8;
    }
    extra.remove_prefix(4 + size);
  }
  return {};
}

Result<void> set_kind(ZipEntry& entry, unsigned made_by, std::uint32_t attributes) {
  const unsigned mode = made_by == made_by_unix ? attributes >> 16 : 0;
  const bool folder = entry.name.ends_with('/');
  const unsigned type = mode & type_mask;
  entry.mode = (mode & 0777) != 0 ? mode & 0777 : folder ? 0755 : 0644;
  if (folder || type == type_folder) {
    entry.tar_type = '5';
    return entry.bytes == 0 ? Result<void>() : damaged_zip("a folder has content");
  }
  if (type == type_link) {
    entry.tar_type = '2';
    return entry.bytes <= link_bytes_max ? Result<void>() : damaged_zip("a link is too long");
  }
  if (type == 0 || type == type_file) return {};
  return fail(Errc::invalid_argument, "zip entry \"" + entry.name + "\" is no file or folder");
}

// Takes one entry off the directory.
Result<ZipEntry> next_entry(std::string_view& directory) {
  if (directory.size() < entry_bytes) return damaged_zip("its directory is cut short");
  const Record record(directory);
  const std::size_t name = record.half(28);
  const std::size_t extra = record.half(30);
  const std::size_t comment = record.half(32);
  if (record.word(0) != entry_signature) return damaged_zip("its directory has no entry");
  if (name + extra + comment > directory.size() - entry_bytes) {
    return damaged_zip("its directory is cut short");
  }
  ZipEntry entry;
  entry.name = directory.substr(entry_bytes, name);
  entry.method = record.half(10);
  entry.checksum = record.word(16);
  entry.packed_bytes = record.word(20);
  entry.bytes = record.word(24);
  entry.offset = record.word(42);
  const bool wrong_name = entry.name.empty() || entry.name.find('\0') != std::string::npos;
  if (wrong_name) return damaged_zip("an entry has no name");
  Result<void> good = read_zip64(directory.substr(entry_bytes + name, extra), entry);
  if (good) good = set_kind(entry, record.half(4) >> 8, record.word(38));
  if (!good) return good.error();
  if ((record.half(8) & encrypted_flag) != 0) {
    return fail(Errc::unimplemented, "zip entry \"" + entry.name + "\" is encrypted");
  }
  if (entry.method != stored_method && entry.method != deflated_method) {
    return fail(Errc::unimplemented, "zip entry \"" + entry.name + "\" is packed by method " +
                                         std::to_string(entry.method) +
                                         ", only stored and deflated are supported");
  }
  if (entry.method == stored_method && entry.packed_bytes != entry.bytes) {
    return damaged_zip("\"" + entry.name + "\" has two sizes");
  }
  directory.remove_prefix(entry_bytes + name + extra + comment);
  return entry;
}

Result<std::vector<ZipEntry>> read_entries(File& file, const ZipLimits& limits) {
  const Result<ZipDirectory> where = find_directory(file);
  if (!where) return where.error();
  const auto too_large = [](const std::string& of, std::uint64_t most) {
    return fail(Errc::resource_exhausted,
                "the archive has more than " + std::to_string(most) + " " + of);
  };
  if (where->entries > limits.entries_max) return too_large("entries", limits.entries_max);
  if (where->bytes > directory_bytes_max) {
    return too_large("bytes in its directory", directory_bytes_max);
  }
  const Result<std::string> text =
      read_exactly(file, where->offset, static_cast<std::size_t>(where->bytes));
  if (!text) return text.error();
  std::string_view rest = *text;
  std::vector<ZipEntry> entries;
  std::uint64_t bytes = 0;
  for (std::uint64_t i = 0; i < where->entries; ++i) {
    Result<ZipEntry> entry = next_entry(rest);
    if (!entry) return entry.error();
    if (entry->bytes > limits.bytes_max - bytes) return too_large("bytes", limits.bytes_max);
    bytes += entry->bytes;
    entries.push_back(std::move(*entry));
  }
  return entries;
}

// ------------------------------------------------------------------------ one entry's content

// Gives exactly the bytes that the directory promises, or an error.
class Content {
 public:
  Content(File& file, const ZipEntry& entry) : file_(file), entry_(entry) {
    KN_ASSERT(inflateInit2(&stream_, -MAX_WBITS) == Z_OK);
  }
  ~Content() { inflateEnd(&stream_); }
  Content(const Content&) = delete;
  Content& operator=(const Content&) = delete;

  Result<void> begin() {
    const Result<std::string> text = read_exactly(file_, entry_.offset, local_bytes);
    if (!text) return text.error();
    const Record record(*text);
    if (record.word(0) != local_signature) return damaged("has no header");
    at_ = entry_.offset + local_bytes + record.half(26) + record.half(28);
    return {};
  }

  bool at_end() const { return given_ == entry_.bytes; }

  // Some bytes, at least one before the end.
  Result<std::size_t> read(std::span<char> into) {
    const std::uint64_t most = std::min<std::uint64_t>(into.size(), entry_.bytes - given_);
    const std::span<char> room = into.first(static_cast<std::size_t>(most));
    Result<std::size_t> got = entry_.method == stored_method ? take(room) : inflate_some(room);
    if (!got) return got;
    if (*got == 0) return damaged("is cut short");
    checksum_ =
        crc32(checksum_, reinterpret_cast<const Bytef*>(room.data()), static_cast<uInt>(*got));
    given_ += *got;
    return got;
  }

  // Call at the end.
  Result<void> finish() {
    if (entry_.method == deflated_method && !finished_) {
      std::array<char, 1> more{};
      const Result<std::size_t> got = inflate_some(more);
      if (!got) return got.error();
      if (*got != 0 || !finished_) return damaged("is longer than it says");
    }
    return checksum_ == entry_.checksum ? Result<void>() : damaged("has another checksum");
  }

 private:
  Error damaged(const std::string& why) const {
    return damaged_zip("\"" + entry_.name + "\" " + why);
  }

  Result<std::size_t> take(std::span<char> into) {
    const std::uint64_t most = std::min<std::uint64_t>(into.size(), entry_.packed_bytes - taken_);
    Result<std::size_t> got =
        file_.read_at(at_ + taken_, into.first(static_cast<std::size_t>(most)));
    if (got) taken_ += *got;
    return got;
  }

  Result<std::size_t> inflate_some(std::span<char> into) {
    stream_.next_out = reinterpret_cast<Bytef*>(into.data());
    stream_.avail_out = static_cast<uInt>(into.size());
    while (stream_.avail_out == into.size() && !finished_) {
      if (stream_.avail_in == 0) {
        Result<std::size_t> got = take(input_);
        if (!got) return got;
        if (*got == 0) break;
        stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
        stream_.avail_in = static_cast<uInt>(*got);
      }
      const int code = inflate(&stream_, Z_NO_FLUSH);
      finished_ = code == Z_STREAM_END;
      if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) {
        return damaged("cannot be inflated");
      }
    }
    return into.size() - stream_.avail_out;
  }

  File& file_;
  const ZipEntry& entry_;
  z_stream stream_{};
  std::vector<char> input_ = std::vector<char>(piece_bytes);
  std::uint64_t at_ = 0;
  std::uint64_t taken_ = 0;
  std::uint64_t given_ = 0;
  uLong checksum_ = 0;
  bool finished_ = false;
};

// ------------------------------------------------------------------------ as tar

void add_pax_record(std::string& text, std::string_view key, std::string_view value) {
  const std::size_t rest = key.size() + value.size() + 3;  // " ", "=", "\n"
  std::size_t length = rest + 1;
  while (std::to_string(length).size() + rest != length) ++length;
  text.append(std::to_string(length)).append(" ").append(key).append("=");
  text.append(value).append("\n");
}

std::string tar_header(char type, unsigned mode, std::uint64_t size) {
  std::string block(tar_block, '\0');
  const auto put = [&block](std::size_t at, std::size_t width, std::uint64_t value) {
    std::array<char, 24> digits{};
    std::snprintf(digits.data(), digits.size(), "%0*llo", static_cast<int>(width),
                  static_cast<unsigned long long>(value));
    std::memcpy(block.data() + at, digits.data(), width);
  };
  std::memcpy(block.data(), "entry", 5);  // the name stands in the record before
  put(100, 7, mode);
  put(108, 7, 0);
  put(116, 7, 0);
  put(124, 11, size <= 077777777777 ? size : 0);
  put(136, 11, 0);
  block[156] = type;
  std::memcpy(block.data() + 257, "ustar\00000", 8);
  std::memset(block.data() + 148, ' ', 8);
  std::uint64_t sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  put(148, 6, sum);
  block[154] = '\0';
  return block;
}

void pad_to_block(std::string& text) {
  text.append((tar_block - text.size() % tar_block) % tar_block, '\0');
}

class ZipAsTar final : public oci::ByteSource {
 public:
  ZipAsTar(std::shared_ptr<File> file, std::vector<ZipEntry> entries)
      : file_(std::move(file)), entries_(std::move(entries)) {}

  Result<std::size_t> read(std::span<char> into) override {
    if (into.empty()) return std::size_t{0};
    while (true) {
      if (told_ < ready_.size()) {
        const std::size_t count = std::min(into.size(), ready_.size() - told_);
        std::memcpy(into.data(), ready_.data() + told_, count);
        told_ += count;
        return count;
      }
      if (ended_) return std::size_t{0};
      ready_.clear();
      told_ = 0;
      if (content_) {
        if (!content_->at_end()) return content_->read(into);
        if (Result<void> done = end_entry(); !done) return done.error();
        continue;
      }
      if (Result<void> begun = begin_entry(); !begun) return begun.error();
    }
  }

 private:
  Result<void> begin_entry() {
    if (next_ == entries_.size()) {
      ready_.assign(2 * tar_block, '\0');
      ended_ = true;
      return {};
    }
    const ZipEntry& entry = entries_[next_];
    auto content = std::make_unique<Content>(*file_, entry);
    if (Result<void> begun = content->begin(); !begun) return begun;
    std::string records;
    add_pax_record(records, "path", entry.name);
    std::uint64_t size = entry.bytes;
    if (entry.tar_type == '2') {
      Result<std::string> target = whole(*content);
      if (!target) return target.error();
      add_pax_record(records, "linkpath", *target);
      size = 0;
    }
    if (size > 0) add_pax_record(records, "size", std::to_string(size));
    ready_ = tar_header('x', 0644, records.size());
    ready_ += records;
    pad_to_block(ready_);
    ready_ += tar_header(entry.tar_type, entry.mode, size);
    content_ = std::move(content);
    return {};
  }

  Result<void> end_entry() {
    if (Result<void> good = content_->finish(); !good) return good;
    const ZipEntry& entry = entries_[next_++];
    content_.reset();
    if (entry.tar_type == '0') {
      ready_.assign((tar_block - entry.bytes % tar_block) % tar_block, '\0');
    }
    return {};
  }

  static Result<std::string> whole(Content& content) {
    std::string text(link_bytes_max, '\0');
    std::size_t size = 0;
    while (!content.at_end()) {
      const Result<std::size_t> got = content.read(std::span(text).subspan(size));
      if (!got) return got.error();
      size += *got;
    }
    text.resize(size);
    if (text.empty() || text.find('\0') != text.npos) return damaged_zip("a link leads nowhere");
    return text;
  }

  std::shared_ptr<File> file_;
  std::vector<ZipEntry> entries_;
  std::size_t next_ = 0;
  std::unique_ptr<Content> content_;  // of the next one, which has begun
  std::string ready_;
  std::size_t told_ = 0;
  bool ended_ = false;
};

}  // namespace

bool is_zip(std::string_view head) {
  return head.starts_with("PK\x03\x04") || head.starts_with("PK\x05\x06");
}

Result<std::unique_ptr<oci::ByteSource>> open_zip(std::shared_ptr<File> file,
                                                  const ZipLimits& limits) {
  Result<std::vector<ZipEntry>> entries = read_entries(*file, limits);
  if (!entries) return entries.error();
  return std::unique_ptr<oci::ByteSource>(
      std::make_unique<ZipAsTar>(std::move(file), std::move(*entries)));
}

}  // namespace knative::builder
