// Each of these files ends in the SHA-1 of what stands before; OpenSSL is used for nothing else.
#include "engines/builder/git_files.hpp"

#include <libdeflate.h>
#include <openssl/evp.h>

#include <algorithm>
#include <initializer_list>

namespace knative::builder::git {

namespace {

constexpr std::size_t output_bytes = 1 << 20;
constexpr int fast_level = 1;
// What is larger is stored as it is, so that it need not be in memory twice.
constexpr std::size_t compressed_bytes_max = 32 << 20;
constexpr std::size_t stored_block_bytes = 65535;
constexpr std::uint32_t long_offset = 0x80000000u;
constexpr std::size_t index_entry_bytes = 62;
constexpr std::size_t index_name_bytes_max = 0xfff;

void put16(std::string& to, std::size_t value) {
  to.push_back(static_cast<char>(value >> 8 & 0xff));
  to.push_back(static_cast<char>(value & 0xff));
}
void put32(std::string& to, std::uint32_t value) {
  put16(to, value >> 16);
  put16(to, value & 0xffff);
}

}  // namespace

struct Sha1::State {
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context{EVP_MD_CTX_new(), EVP_MD_CTX_free};
};

Sha1::Sha1() : state_(std::make_unique<State>()) {
  EVP_MD_CTX* const context = state_->context.get();
  KN_ASSERT(context != nullptr && EVP_DigestInit_ex(context, EVP_sha1(), nullptr) == 1);
}
Sha1::~Sha1() = default;
Sha1::Sha1(Sha1&& other) noexcept = default;
Sha1& Sha1::operator=(Sha1&& other) noexcept = default;

void Sha1::update(std::string_view bytes) {
  KN_ASSERT(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) == 1);
}

std::string Sha1::finish() {
  std::string hash(sizeof(Id::bytes), '\0');
  auto* const to = reinterpret_cast<unsigned char*>(hash.data());
  KN_ASSERT(EVP_DigestFinal_ex(state_->context.get(), to, nullptr) == 1);
  return hash;
}

namespace {

// A file with its SHA-1 at its end, written in large pieces.
class HashedFile {
 public:
  static Result<HashedFile> create(Files& files, const std::string& path) {
    const OpenOptions how{.write = true, .create = true, .exclusive = true};
    Result<std::unique_ptr<File>> file = files.open(path, how);
    if (!file) return file.error();
    HashedFile result;
    result.file_ = std::move(*file);
    return result;
  }
  std::uint64_t size() const { return written_ + pending_.size(); }
  Result<void> add(std::string_view bytes) {
    hash_.update(bytes);
    pending_.append(bytes);
    return pending_.size() < output_bytes ? Result<void>() : flush();
  }
  // Gives the hash.
  Result<std::string> finish() {
    std::string hash = hash_.finish();
    pending_.append(hash);
    if (Result<void> flushed = flush(); !flushed) return flushed.error();
    return hash;
  }

 private:
  Result<void> flush() {
    Result<void> done = file_->write_at(written_, pending_);
    written_ += pending_.size();
    pending_.clear();
    return done;
  }
  std::unique_ptr<File> file_;
  Sha1 hash_;
  std::string pending_;
  std::uint64_t written_ = 0;
};

class WholePackWriter final : public PackWriter {
 public:
  WholePackWriter(Files& files, std::string path, HashedFile pack, std::uint32_t objects)
      : files_(files),
        path_(std::move(path)),
        pack_(std::move(pack)),
        expected_(objects),
        compressor_(libdeflate_alloc_compressor(fast_level)) {
    KN_ASSERT(compressor_ != nullptr);
  }

  Result<void> begin() {
    std::string header = "PACK";
    put32(header, 2);
    put32(header, expected_);
    return pack_.add(header);
  }

  Result<void> add(const Id& id, ObjectType type, std::string_view bytes) override {
    objects_.push_back({id, 0, pack_.size()});
    std::size_t size = bytes.size();
    std::string header;
    auto byte = static_cast<unsigned char>(static_cast<unsigned>(type) << 4 | (size & 15));
    for (size >>= 4; size > 0; size >>= 7) {
      header.push_back(static_cast<char>(byte | 0x80));
      byte = static_cast<unsigned char>(size & 0x7f);
    }
    header.push_back(static_cast<char>(byte));
    if (Result<void> r = emit(header); !r) return r;
    return bytes.size() > compressed_bytes_max ? store(bytes) : compress(bytes);
  }

  Result<void> finish() override {
    KN_ASSERT(objects_.size() == expected_);
    const Result<std::string> hash = pack_.finish();
    if (!hash) return hash.error();
    Result<HashedFile> index = HashedFile::create(files_, path_ + ".idx");
    if (!index) return index.error();
    std::sort(objects_.begin(), objects_.end(),
              [](const Object& a, const Object& b) { return a.id < b.id; });
    if (Result<void> r = index->add(index_text().append(*hash)); !r) return r;
    const Result<std::string> done = index->finish();
    return done ? Result<void>() : Result<void>(done.error());
  }

 private:
  struct Object {
    Id id;
    std::uint32_t check;  // CRC-32 of its bytes in the pack
    std::uint64_t offset;
  };
  struct Free {
    void operator()(libdeflate_compressor* compressor) const {
      libdeflate_free_compressor(compressor);
    }
  };

  Result<void> emit(std::string_view bytes) {
    std::uint32_t& check = objects_.back().check;
    check = libdeflate_crc32(check, bytes.data(), bytes.size());
    return pack_.add(bytes);
  }

  Result<void> compress(std::string_view bytes) {
    const std::size_t bound = libdeflate_zlib_compress_bound(compressor_.get(), bytes.size());
    if (buffer_.size() < bound) buffer_.resize(bound);
    const std::size_t used = libdeflate_zlib_compress(compressor_.get(), bytes.data(), bytes.size(),
                                                      buffer_.data(), buffer_.size());
    KN_ASSERT(used > 0);  // the bound is large enough by contract
    return emit(std::string_view(buffer_).substr(0, used));
  }

  // A zlib stream (RFC 1950) of stored blocks.
  Result<void> store(std::string_view bytes) {
    std::string tail;
    put32(tail, libdeflate_adler32(1, bytes.data(), bytes.size()));
    if (Result<void> r = emit("\x78\x01"); !r) return r;
    while (!bytes.empty()) {
      const std::string_view block = bytes.substr(0, stored_block_bytes);
      bytes.remove_prefix(block.size());
      const std::size_t length = block.size();
      const std::string header{static_cast<char>(bytes.empty() ? 1 : 0),
                               static_cast<char>(length & 0xff), static_cast<char>(length >> 8),
                               static_cast<char>(~length & 0xff),
                               static_cast<char>(~length >> 8 & 0xff)};
      if (Result<void> r = emit(header); !r) return r;
      if (Result<void> r = emit(block); !r) return r;
    }
    return emit(tail);
  }

  std::string index_text() const {
    std::string text = "\377tOc";
    put32(text, 2);
    auto next = objects_.begin();
    for (unsigned first = 0; first < 256; ++first) {
      while (next != objects_.end() && next->id.bytes[0] <= first) ++next;
      put32(text, static_cast<std::uint32_t>(next - objects_.begin()));
    }
    for (const Object& object : objects_) text.append(object.id.raw());
    for (const Object& object : objects_) put32(text, object.check);
    std::string far;
    for (const Object& object : objects_) {
      if (object.offset < long_offset) {
        put32(text, static_cast<std::uint32_t>(object.offset));
        continue;
      }
      put32(text, long_offset | static_cast<std::uint32_t>(far.size() / 8));
      put32(far, static_cast<std::uint32_t>(object.offset >> 32));
      put32(far, static_cast<std::uint32_t>(object.offset & 0xffffffffu));
    }
    return text.append(far);
  }

  Files& files_;
  std::string path_;
  HashedFile pack_;
  std::uint32_t expected_;
  std::vector<Object> objects_;
  std::unique_ptr<libdeflate_compressor, Free> compressor_;
  std::string buffer_;
};

}  // namespace

Result<std::unique_ptr<PackWriter>> PackWriter::create(Files& files, const std::string& path,
                                                       std::uint32_t objects) {
  Result<HashedFile> pack = HashedFile::create(files, path + ".pack");
  if (!pack) return pack.error();
  auto writer = std::make_unique<WholePackWriter>(files, path, std::move(*pack), objects);
  if (Result<void> begun = writer->begin(); !begun) return begun.error();
  return std::unique_ptr<PackWriter>(std::move(writer));
}

Result<void> write_index(Files& files, const std::string& path,
                         const std::vector<IndexEntry>& entries) {
  Result<HashedFile> file = HashedFile::create(files, path);
  if (!file) return file.error();
  std::string text = "DIRC";
  put32(text, 2);
  put32(text, static_cast<std::uint32_t>(entries.size()));
  for (const IndexEntry& entry : entries) {
    for (const std::uint32_t field :
         {entry.changed_seconds, entry.changed_nanoseconds, entry.modified_seconds,
          entry.modified_nanoseconds, entry.device, entry.inode, entry.mode, entry.user,
          entry.group, entry.size_bytes}) {
      put32(text, field);
    }
    text.append(entry.id.raw());
    put16(text, std::min(entry.path.size(), index_name_bytes_max));
    text.append(entry.path).append(8 - (index_entry_bytes + entry.path.size()) % 8, '\0');
    if (Result<void> r = file->add(text); !r) return r;
    text.clear();
  }
  if (Result<void> r = file->add(text); !r) return r;
  const Result<std::string> done = file->finish();
  return done ? Result<void>() : Result<void>(done.error());
}

}  // namespace knative::builder::git
