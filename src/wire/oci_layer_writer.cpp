// Packs a layer: headers and content as tar bytes, which oci_block_packer.hpp makes a blob of.
#include <algorithm>
#include <cstring>
#include <functional>
#include <map>

#include "wire/oci_block_packer.hpp"

namespace knative::oci {

namespace {

constexpr std::uint64_t octal_size_max = 077777777777;
constexpr std::uint64_t octal_number_max = 07777777;  // of owners and devices
constexpr unsigned executable_bits = 0111;
constexpr std::size_t name_bytes_max = 64u << 10;
constexpr std::size_t left_out_max = 1000;

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
  char type = '0';
  EntryMetadata metadata;
  unsigned device_major = 0;
  unsigned device_minor = 0;
};

// What an entry has when nothing is kept.
EntryMetadata normalised(unsigned mode) { return {.mode = mode, .attributes = {}}; }

// Those that mean the same on every machine. The rest is this machine's policy (labels, signatures,
// what its file systems note down) or, as access lists are, names its users.
bool is_kept(std::string_view attribute) {
  return attribute.starts_with("user.") || attribute == "security.capability";
}
bool is_of_the_machine(std::string_view attribute) {
  return attribute.starts_with("security.") || attribute.starts_with("trusted.");
}

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

// A number in octal where it fits, else in a record.
template <std::size_t N>
void put_number(std::array<char, N>& field, std::uint64_t value, std::uint64_t most,
                std::string_view key, std::string& pax) {
  if (value > most) pax += pax_record(key, std::to_string(value));
  put_octal(field, value <= most ? value : 0);
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
  put_number(header.size, entry.size, octal_size_max, "size", pax);
  put_octal(header.mode, entry.metadata.mode & 07777);
  put_number(header.uid, entry.metadata.owner, octal_number_max, "uid", pax);
  put_number(header.gid, entry.metadata.group, octal_number_max, "gid", pax);
  for (const auto& [name, value] : entry.metadata.attributes) {
    pax += pax_record("SCHILY.xattr." + name, value);
  }
  put_octal(header.mtime, static_cast<std::uint64_t>(std::max<std::int64_t>(entry.mtime, 0)));
  header.type = entry.type;
  put_text(header.magic, std::string_view("ustar\0", 6));
  put_text(header.version, "00");
  put_octal(header.device_major, entry.device_major);
  put_octal(header.device_minor, entry.device_minor);
  put_octal(std::span<char>(header.checksum).first(7), tar::checksum(header));
  header.checksum[7] = ' ';
  return header;
}

}  // namespace

struct LayerWriter::Impl {
  Impl(ByteSink& destination, LayerOptions settings)
      : options(settings), packer(destination, options) {}

  const LayerOptions options;
  BlockPacker packer;
  std::uint64_t entries = 0;
  std::string last;
  std::map<std::uint64_t, std::string> names;  // of files that have several, by what they are
  std::vector<std::string> left_out;
  bool finished = false;

  Result<void> put_padding(std::uint64_t size) {
    constexpr std::array<char, tar::block_bytes> zeros{};
    return packer.put(std::string_view(zeros.data(), static_cast<std::size_t>(size)));
  }

  Result<void> put_header(const NewEntry& entry) {
    std::string pax;
    const tar::Header header = make_header(entry, pax);
    if (!pax.empty()) {
      const NewEntry extra{.name = "pax",
                           .link = "",
                           .size = pax.size(),
                           .mtime = 0,
                           .type = 'x',
                           .metadata = normalised(0644)};
      std::string none;
      const tar::Header pax_header = make_header(extra, none);
      if (Result<void> r = packer.put(view(pax_header)); !r) return r;
      if (Result<void> r = packer.put(pax); !r) return r;
      if (Result<void> r = put_padding(tar::padding_after(pax.size())); !r) return r;
    }
    ++entries;
    return packer.put(view(header));
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
      Result<std::size_t> count = content.read(packer.room(left));
      if (!count) return count.error();
      if (*count == 0) return changed(name);
      left -= *count;
      if (Result<void> filled = packer.filled(*count); !filled) return filled;
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

  Result<void> add(std::string_view name, NewEntry entry) {
    for (const auto& [attribute, value] : entry.metadata.attributes) {
      if (!is_kept(attribute) || !fits_a_record(attribute)) {
        return fail(Errc::invalid_argument, "layer entry \"" + std::string(name) +
                                                "\": the attribute \"" + attribute +
                                                "\" cannot be kept");
      }
    }
    if (Result<void> accepted = accept(name); !accepted) return accepted;
    entry.name = entry.type == '5' ? std::string(name) + "/" : std::string(name);
    entry.mtime = options.mtime_seconds;
    return put_header(entry);
  }

  void leave_out(std::string_view name, std::string_view why) {
    if (left_out.size() == left_out_max) return;
    left_out.push_back("\"" + std::string(name) + "\": " + std::string(why));
  }

  // A record ends its key at the first of these.
  static bool fits_a_record(std::string_view attribute) {
    return attribute.find('=') == std::string_view::npos;
  }

  // What a file of a tree keeps.
  Result<EntryMetadata> metadata_of(Files& files, const std::string& path, const FileInfo& info,
                                    std::string_view name) {
    if (!options.preserve) {
      const bool program = (info.mode & executable_bits) != 0;
      const bool wide = info.type == FileType::directory || program;
      return normalised(info.type == FileType::symlink ? 0777 : wide ? 0755 : 0644);
    }
    EntryMetadata metadata;
    metadata.mode = info.mode & 07777;
    metadata.owner = info.owner == options.root_owner ? 0 : info.owner;
    metadata.group = info.group == options.root_group ? 0 : info.group;
    Result<FileAttributes> all = files.attributes(path);
    if (!all) {
      if (all.error().code == Errc::unimplemented) return metadata;  // no file has any here
      return all.error();
    }
    for (auto& [attribute, value] : *all) {
      if (is_kept(attribute) && fits_a_record(attribute)) {
        metadata.attributes.emplace(attribute, std::move(value));
      } else if (!is_of_the_machine(attribute)) {
        leave_out(name, "its attribute " + attribute + " is not kept");
      }
    }
    return metadata;
  }
};

LayerWriter::LayerWriter(ByteSink& sink, LayerOptions options)
    : impl_(std::make_unique<Impl>(sink, options)) {}
LayerWriter::~LayerWriter() = default;

Result<void> LayerWriter::add_directory(std::string_view name) {
  return add_directory(name, normalised(0755));
}

Result<void> LayerWriter::add_directory(std::string_view name, const EntryMetadata& metadata) {
  return impl_->add(name, {.name = "", .link = "", .type = '5', .metadata = metadata});
}

Result<void> LayerWriter::add_file(std::string_view name, std::string_view bytes, bool executable) {
  const std::unique_ptr<ByteSource> source = memory_source(bytes);
  return add_file(name, bytes.size(), *source, executable);
}

Result<void> LayerWriter::add_file(std::string_view name, std::uint64_t size_bytes,
                                   ByteSource& content, bool executable) {
  return add_file(name, size_bytes, content, normalised(executable ? 0755 : 0644));
}

Result<void> LayerWriter::add_file(std::string_view name, std::uint64_t size_bytes,
                                   ByteSource& content, const EntryMetadata& metadata) {
  Result<void> written =
      impl_->add(name, {.name = "", .link = "", .size = size_bytes, .metadata = metadata});
  if (!written) return written;
  return impl_->copy(name, size_bytes, content);
}

Result<void> LayerWriter::add_symlink(std::string_view name, std::string_view target) {
  return add_symlink(name, target, normalised(0777));
}

Result<void> LayerWriter::add_symlink(std::string_view name, std::string_view target,
                                      const EntryMetadata& metadata) {
  return impl_->add(name,
                    {.name = "", .link = std::string(target), .type = '2', .metadata = metadata});
}

Result<void> LayerWriter::add_hard_link(std::string_view name, std::string_view existing) {
  // What stands further down cannot have been added.
  if (!fault_in(existing).empty() || !comes_after(name, existing)) {
    return fail(Errc::invalid_argument, "layer entry \"" + std::string(name.substr(0, 300)) +
                                            "\": is no other name for \"" +
                                            std::string(existing.substr(0, 300)) + "\"");
  }
  return impl_->add(
      name, {.name = "", .link = std::string(existing), .type = '1', .metadata = normalised(0644)});
}

Result<void> LayerWriter::add_special(std::string_view name, const SpecialFile& file,
                                      const EntryMetadata& metadata) {
  using Kind = SpecialFile::Kind;
  const char type = file.kind == Kind::pipe ? '6' : file.kind == Kind::block_device ? '4' : '3';
  if (file.major > octal_number_max || file.minor > octal_number_max) {
    return fail(Errc::invalid_argument,
                "layer entry \"" + std::string(name) + "\": no archive holds such a device");
  }
  return impl_->add(name, {.name = "",
                           .link = "",
                           .type = type,
                           .metadata = metadata,
                           .device_major = file.major,
                           .device_minor = file.minor});
}

Result<void> LayerWriter::add_path(Files& files, const std::string& path, std::string_view name) {
  Result<FileInfo> info = files.info(path);
  if (!info) return info.error();
  return add_found(files, path, *info, name);
}

Result<void> LayerWriter::add_found(Files& files, const std::string& path, const FileInfo& info,
                                    std::string_view name) {
  Result<SpecialFile> special = SpecialFile{};
  if (info.type == FileType::other) {
    special = files.special(path);
    if (!special && special.error().code != Errc::unimplemented) return special.error();
    if (!special || !impl_->options.preserve) {
      impl_->leave_out(name, !special                                   ? "a socket"
                             : special->kind == SpecialFile::Kind::pipe ? "a named pipe"
                                                                        : "a device");
      return {};
    }
  }
  const bool several =
      impl_->options.preserve && info.links > 1 && info.type != FileType::directory;
  if (several) {
    const auto [known, fresh] = impl_->names.emplace(info.id, name);
    if (!fresh) return add_hard_link(name, known->second);
  }
  Result<EntryMetadata> metadata = impl_->metadata_of(files, path, info, name);
  if (!metadata) return metadata.error();
  switch (info.type) {
    case FileType::directory: return add_directory(name, *metadata);
    case FileType::other: return add_special(name, *special, *metadata);
    case FileType::symlink: {
      Result<std::string> target = files.read_symlink(path);
      return target ? add_symlink(name, *target, *metadata) : target.error();
    }
    case FileType::regular: break;
  }
  Result<std::unique_ptr<ByteSource>> source = open_source(files, path);
  if (!source) return source.error();
  return add_file(name, info.size_bytes, **source, *metadata);
}

Result<void> LayerWriter::add_tree(Files& files, const std::string& directory,
                                   std::string_view prefix, const std::set<std::string>& exclude) {
  for (std::size_t end = prefix.find('/'); end != std::string_view::npos;
       end = prefix.find('/', end + 1)) {
    if (Result<void> r = add_directory(prefix.substr(0, end)); !r) return r;
  }
  if (!prefix.empty()) {
    if (Result<void> r = add_path(files, directory, prefix); !r) return r;
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
    if (Result<void> r = add_found(files, path, entry, base + relative); !r) return r;
    if (entry.type != FileType::directory) continue;
    Result<std::vector<FileInfo>> inner = files.list(path);
    if (!inner) return inner.error();
    stack.push_back(Pending{relative, std::move(*inner)});
  }
  return {};
}

Result<LayerInfo> LayerWriter::finish() {
  KN_ASSERT(!impl_->finished);
  // Two blocks of zeros end the archive; no further padding to a record, as Go's writers do.
  for (int i = 0; i < 2; ++i) {
    if (Result<void> r = impl_->put_padding(tar::block_bytes); !r) return r.error();
  }
  Result<BlockPacker::Sums> sums = impl_->packer.finish();
  if (!sums) return sums.error();
  impl_->finished = true;
  LayerInfo info;
  info.blob.media_type =
      std::string(impl_->options.gzip ? media_type::layer_gzip : media_type::layer);
  info.blob.digest = std::move(sums->blob);
  info.blob.size_bytes = sums->blob_bytes;
  info.diff_id = std::move(sums->tar);
  info.tar_bytes = sums->tar_bytes;
  info.entries = impl_->entries;
  info.left_out = std::move(impl_->left_out);
  return info;
}

}  // namespace knative::oci
