// Packs a layer: tar bytes go through one block buffer; each full block is hashed for the DiffID,
// compressed as a gzip member of its own, hashed for the blob's digest and handed on. The block
// size is part of the format: it decides the bytes.
#include <algorithm>
#include <cstring>
#include <functional>

#include "wire/oci_tar.hpp"

namespace knative::oci {

namespace {

constexpr std::size_t gzip_block_bytes = 1 << 20;
constexpr std::uint64_t octal_size_max = 077777777777;
constexpr unsigned executable_bits = 0111;
constexpr std::size_t name_bytes_max = 64u << 10;

void put_octal(std::span<char> field, std::uint64_t value) {
  std::size_t i = field.size() - 1;
  field[i] = '\0';
  while (i > 0) {
    field[--i] = static_cast<char>('0' + (value & 7));
    value >>= 3;
  }
}

template <std::size_t N>
void put_text(std::array<char, N>& field, std::string_view text) {
  std::memcpy(field.data(), text.data(), std::min(N, text.size()));
}

bool is_plain_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 32 && c < 127; });
}

// Component by component, so that a directory comes right before what is in it.
bool comes_after(std::string_view name, std::string_view previous) {
  return std::lexicographical_compare(
      previous.begin(), previous.end(), name.begin(), name.end(), [](char a, char b) {
        const auto rank = [](char c) { return c == '/' ? 0 : static_cast<unsigned char>(c) + 1; };
        return rank(a) < rank(b);
      });
}

// What is wrong with a name in a layer; empty when nothing is.
std::string_view fault_in(std::string_view name) {
  if (name.size() > name_bytes_max) return "the name is too long";
  if (name.empty() || name.front() == '/') return "not a clean name";
  if (name.find('\0') != std::string_view::npos) return "the name contains a zero byte";
  for (std::size_t start = 0; start <= name.size();) {
    const std::size_t end = std::min(name.find('/', start), name.size());
    const std::string_view part = name.substr(start, end - start);
    if (part.empty() || part == "." || part == "..") return "not a clean name";
    if (part.starts_with(".wh.")) {
      return "a name that begins with \".wh.\" removes a file in a layer and cannot be packed";
    }
    start = end + 1;
  }
  return {};
}

struct NewEntry {
  std::string name;  // directories end in '/'
  std::string link;
  std::uint64_t size = 0;
  std::int64_t mtime = 0;
  unsigned mode = 0644;
  char type = '0';
};

// "<length> key=value\n", where the length counts itself.
std::string pax_record(std::string_view key, std::string_view value) {
  const std::size_t rest = key.size() + value.size() + 3;  // blank, '=', line break
  std::size_t length = rest;
  while (length != rest + std::to_string(length).size()) {
    length = rest + std::to_string(length).size();
  }
  std::string record = std::to_string(length);
  record.append(" ").append(key).append("=").append(value).append("\n");
  return record;
}

// Where to cut a long name into prefix and name; npos when it cannot be cut.
std::size_t ustar_cut(std::string_view name) {
  const std::size_t start = name.size() > 101 ? name.size() - 101 : 0;
  for (std::size_t i = start; i < name.size() && i <= 155; ++i) {
    if (name[i] == '/' && i + 1 < name.size() && i > 0) return i;
  }
  return std::string_view::npos;
}

tar::Header make_header(const NewEntry& entry, std::string& pax) {
  tar::Header header{};
  const bool ascii = is_plain_ascii(entry.name);
  if (ascii && entry.name.size() <= header.name.size()) {
    put_text(header.name, entry.name);
  } else if (const std::size_t cut = ustar_cut(entry.name);
             ascii && cut != std::string_view::npos) {
    put_text(header.prefix, std::string_view(entry.name).substr(0, cut));
    put_text(header.name, std::string_view(entry.name).substr(cut + 1));
  } else {
    pax += pax_record("path", entry.name);
    put_text(header.name, "pax");
  }
  if (is_plain_ascii(entry.link) && entry.link.size() <= header.link.size()) {
    put_text(header.link, entry.link);
  } else {
    pax += pax_record("linkpath", entry.link);
  }
  if (entry.size <= octal_size_max) {
    put_octal(header.size, entry.size);
  } else {
    pax += pax_record("size", std::to_string(entry.size));
    put_octal(header.size, 0);
  }
  put_octal(header.mode, entry.mode);
  put_octal(header.uid, 0);
  put_octal(header.gid, 0);
  put_octal(header.mtime, static_cast<std::uint64_t>(std::max<std::int64_t>(entry.mtime, 0)));
  header.type = entry.type;
  put_text(header.magic, std::string_view("ustar\0", 6));
  put_text(header.version, "00");
  put_octal(header.device_major, 0);
  put_octal(header.device_minor, 0);
  put_octal(std::span<char>(header.checksum).first(7), tar::checksum(header));
  header.checksum[7] = ' ';
  return header;
}

}  // namespace

struct LayerWriter::Impl {
  Impl(ByteSink& destination, LayerOptions settings)
      : sink(destination), options(settings), compressor(settings.level) {
    block.reserve(gzip_block_bytes);
  }

  ByteSink& sink;
  LayerOptions options;
  tar::BlockCompressor compressor;
  std::string block;
  Hasher tar_hasher;
  Hasher blob_hasher;
  std::uint64_t tar_bytes = 0;
  std::uint64_t blob_bytes = 0;
  std::uint64_t entries = 0;
  std::string last;
  bool finished = false;

  Result<void> flush() {
    if (block.empty()) return {};
    tar_hasher.update(block);
    tar_bytes += block.size();
    const std::string_view out = options.gzip ? compressor.compress(block) : block;
    blob_hasher.update(out);
    blob_bytes += out.size();
    Result<void> written = sink.write(out);
    block.clear();
    return written;
  }

  Result<void> put(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::size_t count = std::min(bytes.size(), gzip_block_bytes - block.size());
      block.append(bytes.substr(0, count));
      bytes.remove_prefix(count);
      if (block.size() == gzip_block_bytes) {
        if (Result<void> flushed = flush(); !flushed) return flushed;
      }
    }
    return {};
  }

  Result<void> put_padding(std::uint64_t size) {
    constexpr std::array<char, tar::block_bytes> zeros{};
    return put(std::string_view(zeros.data(), static_cast<std::size_t>(size)));
  }

  Result<void> put_header(const NewEntry& entry) {
    std::string pax;
    const tar::Header header = make_header(entry, pax);
    if (!pax.empty()) {
      const NewEntry extra{.name = "pax", .link = "", .size = pax.size(), .mtime = 0, .type = 'x'};
      std::string none;
      const tar::Header pax_header = make_header(extra, none);
      if (Result<void> r = put(view(pax_header)); !r) return r;
      if (Result<void> r = put(pax); !r) return r;
      if (Result<void> r = put_padding(tar::padding_after(pax.size())); !r) return r;
    }
    ++entries;
    return put(view(header));
  }

  static std::string_view view(const tar::Header& header) {
    return {reinterpret_cast<const char*>(&header), sizeof header};
  }

  // Check the name and the order; remembers it.
  Result<void> accept(std::string_view name) {
    KN_ASSERT(!finished);
    const std::string shown(name.substr(0, 300));
    if (const std::string_view fault = fault_in(name); !fault.empty()) {
      return fail(Errc::invalid_argument, "layer entry \"" + shown + "\": " + std::string(fault));
    }
    if (!last.empty() && !comes_after(name, last)) {
      return fail(Errc::invalid_argument, "layer entry \"" + shown + "\": comes after \"" + last +
                                              "\", but names must ascend");
    }
    last = name;
    return {};
  }

  // Straight into the block, without a copy in between.
  Result<void> copy(std::string_view name, std::uint64_t size, ByteSource& content) {
    std::uint64_t left = size;
    while (left > 0) {
      const std::size_t start = block.size();
      const std::size_t room =
          static_cast<std::size_t>(std::min<std::uint64_t>(left, gzip_block_bytes - start));
      block.resize(start + room);
      Result<std::size_t> count = content.read(std::span<char>(block).subspan(start));
      block.resize(start + (count ? *count : 0));
      if (!count) return count.error();
      if (*count == 0) return changed(name);
      left -= *count;
      if (block.size() == gzip_block_bytes) {
        if (Result<void> flushed = flush(); !flushed) return flushed;
      }
    }
    char more = 0;
    Result<std::size_t> count = content.read(std::span<char>(&more, 1));
    if (!count) return count.error();
    if (*count != 0) return changed(name);
    return put_padding(tar::padding_after(size));
  }

  static Error changed(std::string_view name) {
    return fail(Errc::failed_precondition,
                "layer entry \"" + std::string(name) + "\" changed its size while being packed");
  }
};

LayerWriter::LayerWriter(ByteSink& sink, LayerOptions options)
    : impl_(std::make_unique<Impl>(sink, options)) {}
LayerWriter::~LayerWriter() = default;

Result<void> LayerWriter::add_directory(std::string_view name) {
  if (Result<void> accepted = impl_->accept(name); !accepted) return accepted;
  const NewEntry entry{.name = std::string(name) + "/",
                       .link = "",
                       .mtime = impl_->options.mtime_seconds,
                       .mode = 0755,
                       .type = '5'};
  return impl_->put_header(entry);
}

Result<void> LayerWriter::add_file(std::string_view name, std::string_view bytes, bool executable) {
  const std::unique_ptr<ByteSource> source = memory_source(bytes);
  return add_file(name, bytes.size(), *source, executable);
}

Result<void> LayerWriter::add_file(std::string_view name, std::uint64_t size_bytes,
                                   ByteSource& content, bool executable) {
  if (Result<void> accepted = impl_->accept(name); !accepted) return accepted;
  const NewEntry entry{.name = std::string(name),
                       .link = "",
                       .size = size_bytes,
                       .mtime = impl_->options.mtime_seconds,
                       .mode = executable ? 0755u : 0644u,
                       .type = '0'};
  if (Result<void> written = impl_->put_header(entry); !written) return written;
  return impl_->copy(name, size_bytes, content);
}

Result<void> LayerWriter::add_symlink(std::string_view name, std::string_view target) {
  if (Result<void> accepted = impl_->accept(name); !accepted) return accepted;
  const NewEntry entry{.name = std::string(name),
                       .link = std::string(target),
                       .mtime = impl_->options.mtime_seconds,
                       .mode = 0777,
                       .type = '2'};
  return impl_->put_header(entry);
}

Result<void> LayerWriter::add_tree(Files& files, const std::string& directory,
                                   std::string_view prefix, const std::set<std::string>& exclude) {
  for (std::size_t end = prefix.find('/'); !prefix.empty(); end = prefix.find('/', end + 1)) {
    if (Result<void> r = add_directory(prefix.substr(0, end)); !r) return r;
    if (end == std::string_view::npos) break;
  }
  struct Pending {
    std::string relative;  // "" for the root
    std::vector<FileInfo> entries;
    std::size_t next = 0;
  };
  const std::string base = prefix.empty() ? "" : std::string(prefix) + "/";
  Result<std::vector<FileInfo>> top = files.list(directory);
  if (!top) return top.error();
  std::vector<Pending> stack;
  stack.push_back(Pending{"", std::move(*top)});
  while (!stack.empty()) {
    if (stack.back().next == stack.back().entries.size()) {
      stack.pop_back();
      continue;
    }
    Pending& level = stack.back();
    const FileInfo entry = level.entries[level.next++];
    const std::string relative =
        level.relative.empty() ? entry.name : level.relative + "/" + entry.name;
    if (exclude.contains(relative)) continue;
    const std::string path = directory + "/" + relative;
    if (entry.type == FileType::directory) {
      if (Result<void> r = add_directory(base + relative); !r) return r;
      Result<std::vector<FileInfo>> inner = files.list(path);
      if (!inner) return inner.error();
      stack.push_back(Pending{relative, std::move(*inner)});
    } else if (entry.type == FileType::symlink) {
      Result<std::string> target = files.read_symlink(path);
      if (!target) return target.error();
      if (Result<void> r = add_symlink(base + relative, *target); !r) return r;
    } else if (entry.type == FileType::regular) {
      Result<std::unique_ptr<ByteSource>> source = open_source(files, path);
      if (!source) return source.error();
      const bool executable = (entry.mode & executable_bits) != 0;
      Result<void> r = add_file(base + relative, entry.size_bytes, **source, executable);
      if (!r) return r;
    }
  }
  return {};
}

Result<LayerInfo> LayerWriter::finish() {
  KN_ASSERT(!impl_->finished);
  // Two blocks of zeros end the archive; no further padding to a record, as Go's writers do.
  for (int i = 0; i < 2; ++i) {
    if (Result<void> r = impl_->put_padding(tar::block_bytes); !r) return r.error();
  }
  if (Result<void> r = impl_->flush(); !r) return r.error();
  impl_->finished = true;
  LayerInfo info;
  info.blob.media_type =
      std::string(impl_->options.gzip ? media_type::layer_gzip : media_type::layer);
  info.blob.digest = impl_->blob_hasher.finish();
  info.blob.size_bytes = impl_->blob_bytes;
  info.diff_id = impl_->tar_hasher.finish();
  info.tar_bytes = impl_->tar_bytes;
  info.entries = impl_->entries;
  return info;
}

}  // namespace knative::oci
