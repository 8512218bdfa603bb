// Finding out what is on disk after whatever happened. The rule (docs/log-format.md, "Recovery"):
// a frame is written only after the one before it was synced, so an invalid frame with a valid one
// behind it is damage, and an invalid one with nothing valid behind it is a commit that was never
// acknowledged.
#include <algorithm>
#include <cstring>

#include "state/log_segments.hpp"

namespace knative::log_segments {
namespace format = log_format;
namespace {

constexpr std::string_view suffix = ".segment";
constexpr std::size_t number_digits = 12;
constexpr std::size_t chunk_bytes = std::size_t{4} << 20;

std::string segment_name(std::uint64_t number) {
  std::string digits = std::to_string(number);
  digits.insert(0, number_digits - std::min(number_digits, digits.size()), '0');
  return digits + std::string(suffix);
}

std::optional<std::uint64_t> segment_number(std::string_view name) {
  if (name.size() != number_digits + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : name.substr(0, number_digits)) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return number;
}

Error damaged(const std::string& path, std::uint64_t byte, std::string_view what) {
  return fail(Errc::data_loss,
              path + " at byte " + std::to_string(byte) + ": " + std::string(what));
}

/// A window of a file that moves forward.
class Window {
 public:
  explicit Window(File& file) : file_(file) {}

  /// At least `size` bytes at `byte`, fewer only at the end of the file.
  Result<std::string_view> at(std::uint64_t byte, std::size_t size) {
    if (byte >= begin_ && byte - begin_ <= bytes_.size() &&
        bytes_.size() - (byte - begin_) >= size) {
      return view(byte);
    }
    begin_ = byte;
    bytes_.resize(std::max(size, chunk_bytes));
    Result<std::size_t> got = file_.read_at(byte, bytes_);
    if (!got) {
      bytes_.clear();
      return got.error();
    }
    bytes_.resize(*got);
    return view(byte);
  }

 private:
  std::string_view view(std::uint64_t byte) const {
    return std::string_view(bytes_).substr(static_cast<std::size_t>(byte - begin_));
  }
  File& file_;
  std::uint64_t begin_ = 0;
  std::string bytes_;
};

/// The frame at `byte`: empty when it is incomplete or damaged.
Result<std::optional<format::Frame>> frame_at(Window& window, std::uint64_t byte,
                                              std::uint32_t seed) {
  Result<std::string_view> head = window.at(byte, format::frame_header_bytes);
  if (!head) return head.error();
  const std::optional<std::uint32_t> size = format::frame_size(*head, seed);
  if (!size) return std::optional<format::Frame>();
  Result<std::string_view> all = window.at(byte, *size);
  if (!all) return all.error();
  return format::decode_frame(*all, seed);
}

/// Whether an intact frame begins anywhere from `byte` on.
Result<std::optional<std::uint64_t>> find_frame(File& file, std::uint64_t byte, std::uint64_t size,
                                                std::uint32_t seed) {
  constexpr std::string_view magic = "KNF1";
  Window scan(file);
  Window check(file);
  while (byte < size) {
    Result<std::string_view> bytes = scan.at(byte, format::frame_header_bytes);
    if (!bytes) return bytes.error();
    for (std::size_t at = bytes->find(magic); at != std::string_view::npos;
         at = bytes->find(magic, at + 1)) {
      Result<std::optional<format::Frame>> frame = frame_at(check, byte + at, seed);
      if (!frame) return frame.error();
      if (*frame) return std::optional<std::uint64_t>(byte + at);
    }
    if (bytes->size() <= magic.size()) break;
    byte += bytes->size() - (magic.size() - 1);
  }
  return std::optional<std::uint64_t>();
}

/// Walk the newest segment: its frames, its cursors, and what to cut off.
Result<void> scan_newest(Place& place, Segment& segment, Recovered& state) {
  Result<std::uint64_t> size = segment.file->size();
  if (!size) return size.error();
  Window window(*segment.file);
  std::uint64_t byte = format::header_bytes;
  bool known = false;
  state.end = segment.first;
  state.chain = segment.header_chain;
  state.last_time = segment.created;
  while (byte < *size) {
    Result<std::optional<format::Frame>> found = frame_at(window, byte, place.seed);
    if (!found) return found.error();
    const std::optional<format::Frame>& frame = *found;
    if (!frame || frame->previous != state.chain || frame->first != state.end) break;
    known = format::apply_cursors(*frame, state.cursors) || known;
    state.chain = frame->chain;
    state.end += frame->events;
    state.last_time = frame->time;
    byte += frame->size;
  }
  if (byte < *size) {
    Result<std::optional<std::uint64_t>> later = find_frame(*segment.file, byte, *size, place.seed);
    if (!later) return later.error();
    if (*later) {
      return damaged(segment.path, byte,
                     "damaged, but an intact commit follows at byte " + std::to_string(**later));
    }
  }
  if (!known) return damaged(segment.path, byte, "the cursors at the beginning are damaged");
  if (byte < *size) {
    state.truncated = *size - byte;
    if (Result<void> cut = segment.file->truncate(byte); !cut) return cut;
    if (Result<void> synced = segment.file->sync(); !synced) return synced;
  }
  segment.bytes = byte;
  return {};
}

Result<Segment> open_segment(Place& place, const FileInfo& info, std::uint64_t number) {
  Segment segment;
  segment.number = number;
  segment.path = place.directory + "/" + info.name;
  segment.bytes = info.size_bytes;
  OpenOptions options;
  options.write = true;
  Result<std::unique_ptr<File>> file = place.files.open(segment.path, options);
  if (!file) return file.error();
  segment.file = std::move(*file);
  std::string bytes(format::header_bytes, '\0');
  Result<std::size_t> got = segment.file->read_at(0, bytes);
  if (!got) return got.error();
  bytes.resize(*got);
  const std::optional<format::SegmentHeader> header = format::decode_header(bytes);
  if (!header) return damaged(segment.path, 0, "the header is damaged");
  segment.first = header->first;
  segment.created = header->created;
  segment.header_chain = header->chain;
  segment.previous_bytes = header->previous_bytes;
  if (place.log_id == 0) {
    place.log_id = header->log_id;
    place.seed = format::seed_of(header->log_id);
  }
  if (place.log_id != header->log_id) {
    return damaged(segment.path, 0, "the segment belongs to another log");
  }
  return segment;
}

}  // namespace

Result<Recovered> recover(Place& place, std::uint64_t new_log_id, std::int64_t now) {
  Result<std::vector<FileInfo>> entries = place.files.list(place.directory);
  if (!entries) return entries.error();
  Recovered state;
  for (const FileInfo& info : *entries) {
    if (info.name.ends_with(".new")) {  // a segment that never came into use
      Result<void> removed = place.files.remove(place.directory + "/" + info.name);
      if (!removed) return removed.error();
      continue;
    }
    const std::optional<std::uint64_t> number = segment_number(info.name);
    if (!number) continue;
    Result<Segment> segment = open_segment(place, info, *number);
    if (!segment) return segment.error();
    const std::vector<Segment>& before = state.segments;
    if (!before.empty() &&
        (segment->first < before.back().first || segment->number != before.back().number + 1)) {
      return damaged(segment->path, 0, "a segment before it is missing");
    }
    if (!before.empty() && before.back().bytes < segment->previous_bytes) {
      return damaged(before.back().path, before.back().bytes,
                     "the file ends here, but " + std::to_string(segment->previous_bytes) +
                         " bytes of it were committed");
    }
    if (!before.empty()) state.segments.back().file.reset();
    state.segments.push_back(std::move(*segment));
  }
  if (state.segments.empty()) {
    place.log_id = new_log_id;
    place.seed = format::seed_of(new_log_id);
    format::SegmentHeader header;
    header.created = now;
    Result<Segment> first = create(place, 1, header, state.cursors, state.chain);
    if (!first) return first.error();
    state.last_time = now;
    state.segments.push_back(std::move(*first));
    return state;
  }
  Result<void> scanned = scan_newest(place, state.segments.back(), state);
  if (!scanned) return scanned.error();
  for (auto& [name, next] : state.cursors) next = std::min(next, state.end);
  return state;
}

Result<Segment> create(Place& place, std::uint64_t number, format::SegmentHeader header,
                       const format::Cursors& cursors, std::uint32_t& chain) {
  header.log_id = place.log_id;
  std::string bytes = format::encode(header);
  format::FrameBuilder frame;
  for (const auto& [name, next] : cursors) {
    frame.add(format::RecordType::cursor, format::cursor_head(next), name);
  }
  frame.add(format::RecordType::cursors_known, {});
  const std::uint32_t new_chain =
      frame.seal(place.seed, header.chain, header.first, header.created);
  bytes += frame.bytes();

  Segment segment;
  segment.number = number;
  segment.path = place.directory + "/" + segment_name(number);
  segment.first = header.first;
  segment.created = header.created;
  segment.header_chain = header.chain;
  segment.previous_bytes = header.previous_bytes;
  segment.bytes = bytes.size();
  const std::string path = segment.path + ".new";
  OpenOptions options;
  options.write = options.create = options.truncate = true;
  options.mode = 0600;
  Result<std::unique_ptr<File>> file = place.files.open(path, options);
  if (!file) return file.error();
  if (Result<void> done = (*file)->write_at(0, bytes); !done) return done.error();
  if (Result<void> done = (*file)->sync(); !done) return done.error();
  if (Result<void> done = place.files.rename(path, segment.path); !done) return done.error();
  if (Result<void> done = place.files.sync_directory(place.directory); !done) {
    return done.error();
  }
  segment.file = std::move(*file);
  chain = new_chain;
  return segment;
}

Result<ReadResult> read(Place& place, const Segment& segment, Position begin, Offset from,
                        Offset end, ReadLimits limits) {
  ReadResult result;
  result.file = segment.file;
  if (!result.file) {
    Result<std::unique_ptr<File>> file = place.files.open(segment.path, OpenOptions{});
    if (!file) return file.error();
    result.file = std::move(*file);
  }
  Window window(*result.file);
  result.next = begin;
  std::size_t bytes = 0;
  while (result.next.offset < end) {
    Position& at = result.next;
    Result<std::optional<format::Frame>> found = frame_at(window, at.byte, place.seed);
    if (!found) return found.error();
    const std::optional<format::Frame>& frame = *found;
    if (!frame || frame->previous != at.chain || frame->first != at.offset) {
      return damaged(segment.path, at.byte,
                     "damaged; record " + std::to_string(at.offset) + " cannot be read");
    }
    Offset offset = frame->first;
    for (const format::RecordView& record : frame->records) {
      if (record.type != format::RecordType::event) continue;
      const Offset here = offset++;
      if (here < from || here >= end) continue;
      const bool full = result.records.size() >= limits.records_max ||
                        bytes + record.bytes.size() > limits.bytes_max;
      if (full && !result.records.empty()) return result;
      result.records.push_back(
          Record{here, WallTime(Duration(frame->time)), std::string(record.bytes)});
      bytes += record.bytes.size();
    }
    at.offset = offset;
    at.byte += frame->size;
    at.chain = frame->chain;
  }
  return result;
}

}  // namespace knative::log_segments
