#include "state/log_manifest.hpp"

#include <array>
#include <utility>

#include "state/little_endian.hpp"
#include "state/log_format.hpp"

namespace knative::log_manifest {
namespace {

using state::get_number;
using state::put_number;

constexpr std::string_view magic = "KNATMAN\x01";
constexpr std::uint32_t version = 1;
constexpr std::size_t base_bytes = 80;
constexpr std::size_t mark_bytes = 36;
/// Two, written in turn: when one is torn the other is whole.
constexpr std::array<std::size_t, 2> mark_places = {128, 192};
constexpr std::size_t file_bytes = 256;
/// Notes between two syncs of their file. It bounds what a power failure can make unknown.
constexpr std::uint32_t unsynced_max = 1024;

std::string encode(const Content& content) {
  std::string out(file_bytes, '\0');
  out.replace(0, magic.size(), magic);
  put_number(out, 8, version);
  put_number(out, 16, content.log_id);
  put_number(out, 24, content.oldest);
  put_number(out, 32, content.first);
  put_number(out, 40, content.newest);
  put_number(out, 48, content.mark.segment);
  put_number(out, 56, content.mark.bytes);
  put_number(out, 64, content.mark.end);
  put_number(out, base_bytes - 4, crc32c(std::string_view(out).substr(0, base_bytes - 4)));
  return out;
}

std::optional<Content> decode(std::string_view bytes) {
  if (bytes.size() < base_bytes || !bytes.starts_with(magic)) return std::nullopt;
  if (get_number<std::uint32_t>(bytes, base_bytes - 4) != crc32c(bytes.substr(0, base_bytes - 4))) {
    return std::nullopt;
  }
  if (get_number<std::uint32_t>(bytes, 8) != version) return std::nullopt;
  Content content;
  content.log_id = get_number<std::uint64_t>(bytes, 16);
  content.oldest = get_number<std::uint64_t>(bytes, 24);
  content.first = get_number<std::uint64_t>(bytes, 32);
  content.newest = get_number<std::uint64_t>(bytes, 40);
  content.mark.segment = get_number<std::uint64_t>(bytes, 48);
  content.mark.bytes = get_number<std::uint64_t>(bytes, 56);
  content.mark.end = get_number<std::uint64_t>(bytes, 64);
  return content;
}

std::string encode(const Mark& mark, std::uint64_t sequence, std::uint64_t log_id) {
  std::string out(mark_bytes, '\0');
  put_number(out, 0, sequence);
  put_number(out, 8, mark.segment);
  put_number(out, 16, mark.bytes);
  put_number(out, 24, mark.end);
  put_number(out, 32, crc32c(std::string_view(out).substr(0, 32), log_format::seed_of(log_id)));
  return out;
}

struct Note {
  std::uint64_t sequence = 0;
  Mark mark;
};

std::optional<Note> decode_note(std::string_view bytes, std::uint64_t log_id) {
  if (bytes.size() < mark_bytes) return std::nullopt;
  const std::uint32_t sum = crc32c(bytes.substr(0, 32), log_format::seed_of(log_id));
  if (get_number<std::uint32_t>(bytes, 32) != sum) return std::nullopt;
  Note note;
  note.sequence = get_number<std::uint64_t>(bytes, 0);
  note.mark.segment = get_number<std::uint64_t>(bytes, 8);
  note.mark.bytes = get_number<std::uint64_t>(bytes, 16);
  note.mark.end = get_number<std::uint64_t>(bytes, 24);
  return note;
}

}  // namespace

Manifest::Manifest(Files& files, std::string directory)
    : files_(files), directory_(std::move(directory)), path_(directory_ + "/manifest") {}

Result<std::optional<Content>> Manifest::load() {
  OpenOptions options;
  options.write = true;
  Result<std::unique_ptr<File>> file = files_.open(path_, options);
  if (!file && file.error().code == Errc::not_found) return std::optional<Content>();
  if (!file) return file.error();
  std::string bytes(file_bytes, '\0');
  Result<std::size_t> got = (*file)->read_at(0, bytes);
  if (!got) return got.error();
  bytes.resize(*got);
  std::optional<Content> content = decode(bytes);
  if (!content) {
    return fail(Errc::data_loss,
                path_ + " at byte 0: damaged; what the log consists of is not known");
  }
  bytes.resize(file_bytes);
  for (const std::size_t place : mark_places) {
    const std::optional<Note> note =
        decode_note(std::string_view(bytes).substr(place), content->log_id);
    if (!note || note->sequence <= sequence_) continue;
    sequence_ = note->sequence;
    content->mark = note->mark;
  }
  file_ = std::move(*file);
  log_id_ = content->log_id;
  return content;
}

Result<void> Manifest::replace(const Content& content) {
  const std::string fresh = path_ + ".new";
  OpenOptions options;
  options.write = options.create = options.truncate = true;
  options.mode = 0600;
  Result<std::unique_ptr<File>> file = files_.open(fresh, options);
  if (!file) return file.error();
  if (Result<void> done = (*file)->write_at(0, encode(content)); !done) return done;
  if (Result<void> done = (*file)->sync(); !done) return done;
  if (Result<void> done = files_.rename(fresh, path_); !done) return done;
  // From here on the path leads to the new file, whatever becomes of the directory's sync.
  file_ = std::move(*file);
  log_id_ = content.log_id;
  sequence_ = 0;
  unsynced_ = 0;
  return files_.sync_directory(directory_);
}

Result<void> Manifest::mark(const Mark& mark) {
  ++sequence_;
  const std::size_t place = mark_places[sequence_ % mark_places.size()];
  if (Result<void> done = file_->write_at(place, encode(mark, sequence_, log_id_)); !done) {
    return done;
  }
  return ++unsynced_ < unsynced_max ? Result<void>() : sync();
}

Result<void> Manifest::sync() {
  if (unsynced_ == 0) return {};
  unsynced_ = 0;
  return file_->sync();
}

Result<bool> Manifest::linked() const { return file_->is_at(path_); }

}  // namespace knative::log_manifest
