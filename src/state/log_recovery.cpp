// Finding out what is on disk after whatever happened. The rule (docs/log-format.md, "Recovery"):
// a frame is written only after the one before it was synced, so an invalid frame with a valid one
// behind it is damage, and an invalid one with nothing valid behind it is a commit that was never
// acknowledged; unless the manifest says that it was.
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

/// Where the intact commits of a segment end.
struct Walked {
  std::uint64_t byte = format::header_bytes;
  std::uint64_t size = 0;  ///< Of the file.
  Offset end = 0;
  std::uint32_t chain = 0;
  std::int64_t time = 0;
  bool cursors_known = false;
};

Result<Walked> walk(Place& place, const Segment& segment, format::Beside& beside) {
  Result<std::uint64_t> size = segment.file->size();
  if (!size) return size.error();
  Walked walked;
  walked.size = *size;
  walked.end = segment.first;
  walked.chain = segment.header_chain;
  walked.time = segment.created;
  Window window(*segment.file);
  while (walked.byte < *size) {
    Result<std::optional<format::Frame>> found = frame_at(window, walked.byte, place.seed);
    if (!found) return found.error();
    const std::optional<format::Frame>& frame = *found;
    if (!frame || frame->previous != walked.chain || frame->first != walked.end) break;
    walked.cursors_known = format::apply(*frame, beside) || walked.cursors_known;
    walked.chain = frame->chain;
    walked.end += frame->events;
    walked.time = frame->time;
    walked.byte += frame->size;
  }
  return walked;
}

std::string first_missing(Offset offset) {
  return "record " + std::to_string(offset) + " is the first that is missing";
}

/// A segment that is shorter than what was committed of it, or damaged before that.
Error cut_short(const Segment& segment, const Walked& walked, std::uint64_t committed) {
  const std::string_view how = walked.byte < walked.size ? "damaged" : "the file ends here";
  return damaged(segment.path, walked.byte,
                 std::string(how) + ", but " + std::to_string(committed) +
                     " bytes of it were committed; " + first_missing(walked.end));
}

/// Walk the newest segment: its frames, its cursors, and what to cut off.
Result<void> scan_newest(Place& place, Segment& segment, const log_manifest::Mark& mark,
                         Recovered& state) {
  Result<Walked> walked = walk(place, segment, state.beside);
  if (!walked) return walked.error();
  const std::uint64_t byte = walked->byte;
  if (byte < walked->size) {
    Result<std::optional<std::uint64_t>> later =
        find_frame(*segment.file, byte, walked->size, place.seed);
    if (!later) return later.error();
    if (*later) {
      return damaged(segment.path, byte,
                     "damaged, but an intact commit follows at byte " + std::to_string(**later) +
                         "; " + first_missing(walked->end));
    }
  }
  if (!walked->cursors_known) {
    return damaged(segment.path, byte, "the cursors at the beginning are damaged");
  }
  if (mark.segment == segment.number && (byte < mark.bytes || walked->end < mark.end)) {
    return cut_short(segment, *walked, mark.bytes);
  }
  if (byte < walked->size) {
    state.truncated = walked->size - byte;
    if (Result<void> cut = segment.file->truncate(byte); !cut) return cut;
    if (Result<void> synced = segment.file->sync(); !synced) return synced;
  }
  state.end = walked->end;
  state.chain = walked->chain;
  state.last_time = walked->time;
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
  segment.version = header->version;
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

/// A segment that should be there and is not, behind `before` when there is one.
Error segment_missing(Place& place, std::uint64_t number, const Segment* before, Offset first) {
  if (before != nullptr) {
    Segment last = *before;
    format::Beside ignored;
    Result<std::unique_ptr<File>> file = place.files.open(last.path, OpenOptions{});
    if (!file) return file.error();
    last.file = std::move(*file);
    Result<Walked> walked = walk(place, last, ignored);
    if (!walked) return walked.error();
    first = walked->end;
  }
  return damaged(place.directory + "/" + segment_name(number), 0,
                 "the file is missing; " + first_missing(first));
}

struct Found {
  std::uint64_t number = 0;
  FileInfo info;
};

/// The segments that belong to the log, by number. What never came into use and what retention
/// had given up is removed.
Result<std::vector<Found>> find_segments(Place& place, std::uint64_t oldest) {
  Result<std::vector<FileInfo>> entries = place.files.list(place.directory);
  if (!entries) return entries.error();
  std::vector<Found> found;
  for (FileInfo& info : *entries) {
    const std::optional<std::uint64_t> number = segment_number(info.name);
    if (info.name.ends_with(".new") || (number && *number < oldest)) {
      Result<void> removed = place.files.remove(place.directory + "/" + info.name);
      if (!removed) return removed.error();
    } else if (number) {
      found.push_back(Found{*number, std::move(info)});
    }
  }
  return found;
}

/// Open the segments and hold them against each other and against the manifest.
Result<void> open_segments(Place& place, const std::vector<Found>& found,
                           const std::optional<log_manifest::Content>& manifest,
                           std::vector<Segment>& segments) {
  std::uint64_t expected = manifest ? manifest->oldest : found.front().number;
  for (const auto& [number, info] : found) {
    const Segment* before = segments.empty() ? nullptr : &segments.back();
    if (number != expected) {
      return segment_missing(place, expected, before, manifest ? manifest->first : 0);
    }
    ++expected;
    Result<Segment> segment = open_segment(place, info, number);
    if (!segment) return segment.error();
    if (before != nullptr && segment->first < before->first) {
      return damaged(segment->path, 0, "it begins before the segment before it");
    }
    if (before != nullptr && before->bytes < segment->previous_bytes) {
      format::Beside ignored;
      Result<Walked> walked = walk(place, *before, ignored);
      if (!walked) return walked.error();
      return cut_short(*before, *walked, segment->previous_bytes);
    }
    if (before == nullptr && manifest && segment->first != manifest->first) {
      return damaged(segment->path, 0,
                     "it begins at record " + std::to_string(segment->first) + "; " +
                         first_missing(manifest->first));
    }
    if (!segments.empty()) segments.back().file.reset();
    segments.push_back(std::move(*segment));
  }
  if (manifest && expected <= std::max(manifest->newest, manifest->mark.segment)) {
    return segment_missing(place, expected, segments.empty() ? nullptr : &segments.back(),
                           manifest->first);
  }
  return {};
}

Result<Recovered> begin_log(Place& place, std::uint64_t log_id, std::int64_t now) {
  place.log_id = log_id;
  place.seed = format::seed_of(log_id);
  log_manifest::Content content;
  content.log_id = log_id;
  // Before the segment, so that a segment without a manifest is always a loss.
  if (Result<void> done = place.manifest.replace(content); !done) return done.error();
  Recovered state;
  format::SegmentHeader header;
  header.created = now;
  Result<Segment> first = create(place, 1, header, state.beside, state.chain, content);
  if (!first) return first.error();
  state.last_time = now;
  state.segments.push_back(std::move(*first));
  return state;
}

}  // namespace

Result<Recovered> recover(Place& place, std::uint64_t new_log_id, std::int64_t now,
                          bool may_create) {
  Result<std::optional<log_manifest::Content>> loaded = place.manifest.load();
  if (!loaded) return loaded.error();
  const std::optional<log_manifest::Content>& manifest = *loaded;
  if (manifest) {
    place.log_id = manifest->log_id;
    place.seed = format::seed_of(manifest->log_id);
  }
  Result<std::vector<Found>> found = find_segments(place, manifest ? manifest->oldest : 0);
  if (!found) return found.error();
  if (!manifest && found->empty() && !may_create) {
    return fail(Errc::data_loss,
                place.manifest.path() + ": the log is missing; " + first_missing(0));
  }
  if (found->empty() && (!manifest || manifest->newest == 0)) {
    return begin_log(place, manifest ? manifest->log_id : new_log_id, now);
  }
  Recovered state;
  Result<void> opened = open_segments(place, *found, manifest, state.segments);
  if (!opened) return opened.error();
  Segment& newest = state.segments.back();
  if (!manifest && newest.version > 1) {
    return fail(Errc::data_loss, place.manifest.path() +
                                     ": the file is missing; how far the log had got is not known");
  }
  Result<void> scanned =
      scan_newest(place, newest, manifest ? manifest->mark : log_manifest::Mark{}, state);
  if (!scanned) return scanned.error();
  for (auto& [name, next] : state.beside.cursors) next = std::min(next, state.end);
  if (!manifest || manifest->newest < newest.number) {
    log_manifest::Content content;
    content.log_id = place.log_id;
    content.oldest = state.segments.front().number;
    content.first = state.segments.front().first;
    content.newest = newest.number;
    content.mark = log_manifest::Mark{newest.number, newest.bytes, state.end};
    if (Result<void> done = place.manifest.replace(content); !done) return done.error();
  }
  return state;
}

Result<Segment> create(Place& place, std::uint64_t number, format::SegmentHeader header,
                       const format::Beside& beside, std::uint32_t& chain,
                       log_manifest::Content content) {
  header.log_id = place.log_id;
  std::string bytes = format::encode(header);
  format::FrameBuilder frame;
  for (const auto& [name, next] : beside.cursors) {
    frame.add(format::RecordType::cursor, format::cursor_head(next), name);
  }
  for (const auto& [name, text] : beside.notes) frame.add_note(name, text);
  frame.add(format::RecordType::cursors_known, {});
  const std::uint32_t new_chain =
      frame.seal(place.seed, header.chain, header.first, header.created);
  bytes += frame.bytes();

  Segment segment;
  segment.number = number;
  segment.version = header.version;
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
  content.newest = number;
  content.mark = log_manifest::Mark{number, segment.bytes, header.first};
  if (Result<void> done = place.manifest.replace(content); !done) return done.error();
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
