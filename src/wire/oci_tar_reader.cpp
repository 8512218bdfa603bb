#include "wire/oci_tar_reader.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/text.hpp"

namespace knative::oci::tar {

namespace {

constexpr std::uint64_t extension_bytes_max = 1 << 20;
constexpr std::size_t pieces_max = 256 << 10;
// What may follow the end marker: writers fill their last block, whose size is theirs.
constexpr std::uint64_t trailing_bytes_max = 64 << 20;
constexpr std::string_view sparse_prefix = "GNU.sparse.";

// GNU's old header for sparse files: where its parts lie in the block.
constexpr std::size_t gnu_map_at = 386;
constexpr std::size_t gnu_map_entries = 4;
constexpr std::size_t gnu_more_at = 482;
constexpr std::size_t gnu_size_at = 483;
constexpr std::size_t gnu_block_entries = 21;
constexpr std::size_t gnu_block_more_at = 504;
constexpr std::int64_t nanoseconds_per_second = 1'000'000'000;
constexpr std::uint64_t seconds_max = 253'402'300'799;  // the last of the year 9999
constexpr std::size_t gnu_number_bytes = 12;

// Octal text, or a big-endian number when the first bit is set (GNU).
std::optional<std::uint64_t> number_of(std::span<const char> field) {
  std::uint64_t value = 0;
  if (!field.empty() && (static_cast<unsigned char>(field[0]) & 0x80) != 0) {
    if (field[0] != static_cast<char>(0x80)) return std::nullopt;  // negative or enormous
    for (const char c : field.subspan(1)) {
      if (value >> 55 != 0) return std::nullopt;
      value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
  }
  std::size_t i = 0;
  while (i < field.size() && (field[i] == ' ' || field[i] == '\0')) ++i;
  for (; i < field.size() && field[i] != ' ' && field[i] != '\0'; ++i) {
    if (field[i] < '0' || field[i] > '7' || value >> 60 != 0) return std::nullopt;
    value = value << 3 | static_cast<std::uint64_t>(field[i] - '0');
  }
  return value;
}

template <std::size_t N>
std::string text_of(const std::array<char, N>& field) {
  return std::string(field.data(), strnlen(field.data(), N));
}

std::optional<std::uint64_t> decimal(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (value >> 62 != 0) return std::nullopt;  // no file is that large, and sums must not overflow
  return value;
}

std::string name_of(const Header& header) {
  std::string name = text_of(header.name);
  const bool posix = std::memcmp(header.magic.data(), "ustar\0", 6) == 0;
  if (posix && header.prefix[0] != '\0') name = text_of(header.prefix) + "/" + name;
  return name;
}

// Old programs summed the bytes with their signs.
bool sum_fits(const Header& header, std::uint64_t sum) {
  if (sum == checksum(header)) return true;
  const auto* bytes = reinterpret_cast<const signed char*>(&header);
  std::int64_t with_signs = 8 * 32;
  for (std::size_t i = 0; i < block_bytes; ++i) {
    if (i < offsetof(Header, checksum) || i >= offsetof(Header, type)) with_signs += bytes[i];
  }
  return with_signs >= 0 && static_cast<std::uint64_t>(with_signs) == sum;
}

// Links, directories, pipes and devices carry no content, whatever their size says.
bool has_content(char type) { return type == '0'; }

Error no_archive() { return fail(Errc::invalid_argument, "not a tar archive"); }
Error malformed(std::string_view what) {
  return fail(Errc::data_loss, "archive has a malformed " + std::string(what));
}

}  // namespace

std::string shown(std::string_view name) {
  return "archive entry \"" + base::shown_name(name) + "\"";
}

Result<std::optional<Entry>> Reader::next() {
  if (Result<void> skipped = skip(); !skipped) return skipped.error();
  Extended extended;
  bool announced = false;
  while (true) {
    Header header;
    Result<bool> more = read_header(header);
    if (!more) return more.error();
    if (!*more && announced) return fail(Errc::data_loss, "archive is truncated");
    if (!*more) return std::optional<Entry>();
    const std::optional<std::uint64_t> size = number_of(header.size);
    if (!size) return malformed("number in a header");
    if (header.type == 'x' || header.type == 'g' || header.type == 'L' || header.type == 'K') {
      Result<void> read = read_extension(header.type, *size, extended);
      if (!read) return read.error();
      announced = announced || header.type != 'g';
      continue;
    }
    Result<Entry> entry = entry_of(header, *size, extended);
    if (!entry) return entry.error();
    if (++entries_ + extra_folders_ > options_.entries_max) return too_many();
    Result<void> begun = begin_content(*entry, header, extended);
    if (!begun) return begun.error().within(shown(entry->name));
    return std::optional<Entry>(std::move(*entry));
  }
}

Result<Entry> Reader::entry_of(const Header& header, std::uint64_t size, Extended& extended) {
  const std::optional<std::uint64_t> mode = number_of(header.mode);
  if (!mode) return malformed("number in a header");
  Entry entry;
  entry.name = extended.name ? std::move(*extended.name) : name_of(header);
  if (extended.sparse_name) entry.name = std::move(*extended.sparse_name);
  entry.link = extended.link ? std::move(*extended.link) : text_of(header.link);
  entry.size = extended.size.value_or(size);
  entry.mode = static_cast<unsigned>(*mode & (options_.preserve ? 07777 : 0777));
  const bool regular = header.type == '\0' || header.type == '7' || header.type == 'S';
  entry.type = regular ? '0' : header.type;
  // Before there was a type for them, directories were files whose names end so.
  if (entry.type == '0' && header.type != 'S' && entry.name.ends_with('/')) entry.type = '5';
  if (entry.type == '3' || entry.type == '4') {
    const std::optional<std::uint64_t> major = number_of(header.device_major);
    const std::optional<std::uint64_t> minor = number_of(header.device_minor);
    if (!major || !minor || *major > UINT32_MAX || *minor > UINT32_MAX) {
      return malformed("device number").within(shown(entry.name));
    }
    entry.device_major = static_cast<unsigned>(*major);
    entry.device_minor = static_cast<unsigned>(*minor);
  }
  if (options_.preserve) {
    if (Result<void> read = read_owner(entry, header, extended); !read) return read.error();
  }
  return entry;
}

Result<void> Reader::read_owner(Entry& entry, const Header& header, Extended& extended) const {
  const auto number = [&](std::optional<std::uint64_t> said, std::span<const char> field,
                          std::uint64_t max) -> std::optional<std::uint64_t> {
    if (!said) said = number_of(field);
    return said && *said <= max ? said : std::nullopt;
  };
  const std::optional<std::uint64_t> owner = number(extended.owner, header.uid, UINT32_MAX - 1);
  const std::optional<std::uint64_t> group = number(extended.group, header.gid, UINT32_MAX - 1);
  if (!owner || !group) return malformed("owner").within(shown(entry.name));
  entry.owner = static_cast<std::uint32_t>(*owner);
  entry.group = static_cast<std::uint32_t>(*group);
  // Times that no clock shows: as if nothing was said.
  const std::optional<std::uint64_t> seconds = number(std::nullopt, header.mtime, seconds_max);
  entry.modified_ns = extended.modified_ns.value_or(static_cast<std::int64_t>(seconds.value_or(0)) *
                                                    nanoseconds_per_second);
  entry.attributes = std::move(extended.attributes);
  return {};
}

Result<void> Reader::begin_content(Entry& entry, const Header& header, Extended& extended) {
  if (!has_content(entry.type)) entry.size = 0;
  // Said before a byte of it is inflated and written.
  if (entry.size > options_.bytes_max - std::min(bytes_ + extra_bytes_, options_.bytes_max)) {
    return too_large();
  }
  left_ = entry.size;
  padding_ = padding_after(entry.size);
  offset_ = 0;
  pieces_.clear();
  piece_ = 0;
  sparse_ = false;
  if (!has_content(entry.type)) return {};
  std::vector<std::uint64_t> map;
  if (header.type == 'S') {
    const char* const bytes = reinterpret_cast<const char*>(&header);
    const std::optional<std::uint64_t> size = number_of({bytes + gnu_size_at, gnu_number_bytes});
    if (!size) return malformed("sparse size");
    if (Result<void> read = read_gnu_map(header, map); !read) return read;
    entry.size = *size;
  } else if (extended.sparse_version == "1.0") {
    if (Result<void> read = read_map_in_content(map); !read) return read;
    entry.size = extended.sparse_size.value_or(left_);
  } else if (extended.has_map) {
    map = std::move(extended.sparse_map);
    entry.size = extended.sparse_size.value_or(left_);
  } else {
    return {};
  }
  return set_pieces(entry, map);
}

// A map is believed when its pieces ascend, lie in the file, and are what the archive holds.
Result<void> Reader::set_pieces(const Entry& entry, const std::vector<std::uint64_t>& map) {
  if (map.size() % 2 != 0) return malformed("sparse map");
  std::uint64_t end = 0;
  std::uint64_t stored = 0;
  for (std::size_t i = 0; i < map.size(); i += 2) {
    const Piece piece{map[i], map[i + 1]};
    const bool fits = piece.offset >= end && piece.offset <= entry.size &&
                      piece.size <= entry.size - piece.offset && piece.size <= left_ - stored;
    if (!fits) return malformed("sparse map");
    end = piece.offset + piece.size;
    stored += piece.size;
    if (piece.size > 0) pieces_.push_back(piece);
  }
  if (stored != left_) return malformed("sparse map");
  sparse_ = true;
  // Holes count: not every file system keeps them when the file is copied.
  return charge_bytes(entry.size - stored);
}

Result<void> Reader::read_gnu_map(const Header& header, std::vector<std::uint64_t>& map) {
  std::array<char, block_bytes> block;
  std::memcpy(block.data(), &header, block_bytes);
  std::size_t at = gnu_map_at;
  std::size_t entries = gnu_map_entries;
  std::size_t more_at = gnu_more_at;
  while (true) {
    for (std::size_t i = 0; i < entries; ++i, at += 2 * gnu_number_bytes) {
      if (block[at] == '\0') break;
      const auto offset = number_of(std::span<const char>(block).subspan(at, gnu_number_bytes));
      const auto size =
          number_of(std::span<const char>(block).subspan(at + gnu_number_bytes, gnu_number_bytes));
      if (!offset || !size || *offset >> 62 != 0 || *size >> 62 != 0)
        return malformed("sparse map");
      if (map.size() >= 2 * pieces_max) {
        return fail(Errc::resource_exhausted, "sparse file of too many pieces");
      }
      map.push_back(*offset);
      map.push_back(*size);
    }
    if (block[more_at] == '\0') return {};
    if (Result<void> read = exactly(block); !read) return read;
    at = 0;
    entries = gnu_block_entries;
    more_at = gnu_block_more_at;
  }
}

// Version 1.0: decimal lines before the bytes, filled up to a block. Count, then offset and size
// of each piece.
Result<void> Reader::read_map_in_content(std::vector<std::uint64_t>& map) {
  std::array<char, block_bytes> block;
  std::size_t at = block_bytes;
  const Result<std::uint64_t> count = read_map_number(block, at);
  if (!count) return count.error();
  if (*count > pieces_max) {
    return fail(Errc::resource_exhausted, "sparse file of too many pieces");
  }
  while (map.size() < 2 * *count) {
    const Result<std::uint64_t> number = read_map_number(block, at);
    if (!number) return number.error();
    map.push_back(*number);
  }
  return {};
}

Result<std::uint64_t> Reader::read_map_number(std::array<char, block_bytes>& block,
                                              std::size_t& at) {
  std::string digits;
  while (digits.size() < 20) {
    if (at == block_bytes) {
      if (left_ < block_bytes) return malformed("sparse map");
      if (Result<void> read = exactly(block); !read) return read.error();
      left_ -= block_bytes;
      at = 0;
    }
    const char c = block[at++];
    if (c != '\n') {
      digits.push_back(c);
      continue;
    }
    const std::optional<std::uint64_t> value = decimal(digits);
    if (!value) break;
    return *value;
  }
  return malformed("sparse map");
}

Result<std::size_t> Reader::content(std::span<char> into, std::uint64_t& offset) {
  std::uint64_t room = left_;
  offset = offset_;
  if (sparse_) {
    if (piece_ == pieces_.size()) return std::size_t{0};
    offset = pieces_[piece_].offset;
    room = pieces_[piece_].size;
  }
  const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(room, into.size()));
  if (want == 0) return std::size_t{0};
  if (Result<void> got = exactly(into.first(want)); !got) return got.error();
  left_ -= want;
  offset_ += want;
  if (sparse_) {
    pieces_[piece_].offset += want;
    pieces_[piece_].size -= want;
    if (pieces_[piece_].size == 0) ++piece_;
  }
  return want;
}

Result<void> Reader::skip() {
  std::array<char, 4096> scratch;
  while (left_ > 0) {
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(left_, scratch.size()));
    if (Result<void> got = exactly(std::span<char>(scratch).first(want)); !got) return got;
    left_ -= want;
  }
  while (padding_ > 0) {
    const Result<std::size_t> count =
        some(std::span<char>(scratch).first(static_cast<std::size_t>(padding_)));
    if (!count) return count.error();
    if (*count == 0) break;  // some writers do not fill up the last block
    padding_ -= *count;
  }
  padding_ = 0;
  return {};
}

Result<UnpackedLayer> Reader::finish() {
  std::array<char, 4096> scratch;
  for (std::uint64_t trailing = 0; trailing <= trailing_bytes_max;) {
    Result<std::size_t> count = some(scratch);
    if (!count) return count.error();
    if (*count == 0) {
      UnpackedLayer layer;
      layer.tar_bytes = bytes_;
      layer.entries = entries_;
      layer.extra_bytes = extra_bytes_;
      layer.extra_folders = extra_folders_;
      return layer;
    }
    trailing += *count;
  }
  return fail(Errc::resource_exhausted, "archive goes on for more than " +
                                            std::to_string(trailing_bytes_max) +
                                            " bytes after its end");
}

Result<void> Reader::charge_bytes(std::uint64_t bytes) {
  const std::uint64_t used = std::min(bytes_ + extra_bytes_, options_.bytes_max);
  if (bytes > options_.bytes_max - used) return too_large();
  extra_bytes_ += bytes;
  return {};
}

Result<void> Reader::charge_folder() {
  if (entries_ + ++extra_folders_ > options_.entries_max) return too_many();
  return {};
}

Result<std::size_t> Reader::some(std::span<char> into) {
  Result<std::size_t> count = source_.read(into);
  if (!count) return count;
  bytes_ += *count;
  if (bytes_ + extra_bytes_ > options_.bytes_max) return too_large();
  return count;
}

Result<void> Reader::exactly(std::span<char> into) {
  while (!into.empty()) {
    Result<std::size_t> count = some(into);
    if (!count) return count.error();
    if (*count == 0) return fail(Errc::data_loss, "archive is truncated");
    into = into.subspan(*count);
  }
  return {};
}

// False at the end: a block of zeros, or the end of the stream.
Result<bool> Reader::read_header(Header& header) {
  const std::span<char> bytes(reinterpret_cast<char*>(&header), sizeof header);
  Result<std::size_t> first = some(bytes);
  if (!first) return first.error();
  if (*first == 0) {
    // Docker and containerd take a layer of no bytes for one of no files.
    if (bytes_ == 0 && !options_.whiteouts) {
      return fail(Errc::invalid_argument, "not a tar archive: it is empty");
    }
    return false;
  }
  const bool beginning = bytes_ == *first;
  Result<void> rest = exactly(bytes.subspan(*first));
  if (!rest) {
    if (beginning && rest.error().code == Errc::data_loss) return no_archive();
    return rest.error();
  }
  if (std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0; })) return false;
  const std::optional<std::uint64_t> sum = number_of(header.checksum);
  if (!sum || !sum_fits(header, *sum)) {
    if (beginning) return no_archive();
    return fail(Errc::data_loss, "archive header has a wrong checksum");
  }
  return true;
}

Error Reader::too_large() const {
  return fail(Errc::resource_exhausted,
              "archive unpacks to more than " + std::to_string(options_.bytes_max) + " bytes");
}

Error Reader::too_many() const {
  return fail(Errc::resource_exhausted,
              "archive has more than " + std::to_string(options_.entries_max) + " entries");
}

Result<void> Reader::read_extension(char type, std::uint64_t size, Extended& extended) {
  if (size > extension_bytes_max) {
    return fail(Errc::resource_exhausted,
                "archive has an extended header of " + std::to_string(size) + " bytes");
  }
  std::string body(static_cast<std::size_t>(size), '\0');
  if (Result<void> r = exactly(body); !r) return r;
  left_ = 0;
  padding_ = padding_after(size);
  if (Result<void> r = skip(); !r) return r;
  if (type == 'L') extended.name = body.substr(0, body.find('\0'));
  if (type == 'K') extended.link = body.substr(0, body.find('\0'));
  if (type == 'x') return parse_pax(body, extended);
  return {};  // 'g', of all that follows: comments and times
}

// Records "<length> key=value\n" (POSIX.1-2001).
Result<void> Reader::parse_pax(std::string_view body, Extended& extended) const {
  while (!body.empty()) {
    std::size_t length = 0;
    std::size_t i = 0;
    for (; i < body.size() && i < 8 && body[i] >= '0' && body[i] <= '9'; ++i) {
      length = length * 10 + static_cast<std::size_t>(body[i] - '0');
    }
    if (i == 0 || i >= body.size() || body[i] != ' ' || length <= i + 1 || length > body.size() ||
        body[length - 1] != '\n') {
      return malformed("extended header");
    }
    const std::string_view record = body.substr(i + 1, length - i - 2);
    body.remove_prefix(length);
    const std::size_t equals = record.find('=');
    if (equals == std::string_view::npos) return malformed("extended header");
    Result<void> taken = accept_pax(record.substr(0, equals), record.substr(equals + 1), extended);
    if (!taken) return taken;
  }
  return {};
}

// What only matters to who keeps it. A time is decimal seconds with a fraction.
Result<void> Reader::accept_metadata(std::string_view key, std::string_view value,
                                     Extended& extended) {
  if (key == "uid" || key == "gid") {
    const std::optional<std::uint64_t> number = decimal(value);
    if (!number && !value.empty()) return malformed("owner");
    (key == "uid" ? extended.owner : extended.group) = number;
  }
  if (key == "mtime") {
    const std::size_t point = std::min(value.find('.'), value.size());
    const std::optional<std::uint64_t> seconds = decimal(value.substr(0, point));
    if (!seconds || *seconds > seconds_max) return {};
    std::int64_t fraction = 0;
    std::int64_t place = nanoseconds_per_second / 10;
    for (const char c : value.substr(std::min(point + 1, value.size()))) {
      if (c < '0' || c > '9') return {};
      fraction += (c - '0') * place;
      place /= 10;
    }
    extended.modified_ns = static_cast<std::int64_t>(*seconds) * nanoseconds_per_second + fraction;
  }
  constexpr std::string_view attribute = "SCHILY.xattr.";
  if (!key.starts_with(attribute)) return {};
  const std::string_view name = key.substr(attribute.size());
  const bool kept = name.starts_with("user.") || name == "security.capability";
  if (!kept || name.find('\0') != std::string_view::npos) return {};
  extended.attributes[std::string(name)] = value;
  return {};
}

// An empty value takes back what was said before.
Result<void> Reader::accept_pax(std::string_view key, std::string_view value,
                                Extended& extended) const {
  const auto set = [value](std::optional<std::string>& text) {
    text = value.empty() ? std::nullopt : std::optional<std::string>(value);
  };
  if (key == "path") set(extended.name);
  if (key == "linkpath") set(extended.link);
  if (options_.preserve) {
    if (Result<void> taken = accept_metadata(key, value, extended); !taken) return taken;
  }
  if (key == "size") {
    extended.size = decimal(value);
    if (!extended.size && !value.empty()) return malformed("extended size");
  }
  if (!key.starts_with(sparse_prefix)) return {};
  return accept_sparse(key.substr(sparse_prefix.size()), value, extended);
}

// Versions 0.0 (repeated offset and numbytes), 0.1 (map) and 1.0 (a map before the content).
Result<void> Reader::accept_sparse(std::string_view key, std::string_view value,
                                   Extended& extended) {
  if (key == "major") extended.sparse_version = std::string(value);
  if (key == "minor") extended.sparse_version.append(".").append(value);
  if (key == "name" && !value.empty()) extended.sparse_name = value;
  if (key == "size" || key == "realsize") {
    extended.sparse_size = decimal(value);
    if (!extended.sparse_size) return malformed("sparse size");
  }
  if (key != "map" && key != "offset" && key != "numbytes") return {};
  extended.has_map = true;
  while (!value.empty()) {
    const std::size_t end = std::min(value.find(','), value.size());
    const std::optional<std::uint64_t> number = decimal(value.substr(0, end));
    if (!number || extended.sparse_map.size() >= 2 * pieces_max) return malformed("sparse map");
    extended.sparse_map.push_back(*number);
    value.remove_prefix(std::min(end + 1, value.size()));
  }
  return {};
}

}  // namespace knative::oci::tar
