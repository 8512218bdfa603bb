#include "state/log_format.hpp"

#include "state/little_endian.hpp"

namespace knative::log_format {
namespace {

using state::get_number;
using state::put_number;

constexpr std::string_view segment_magic = "KNATLOG\x01";
constexpr std::uint32_t frame_magic = 0x31464e4b;  // "KNF1"

}  // namespace

std::string encode(SegmentHeader& header) {
  std::string out(header_bytes, '\0');
  out.replace(0, segment_magic.size(), segment_magic);
  header.version = segment_version;
  put_number(out, 8, header.version);
  put_number(out, 16, header.log_id);
  put_number(out, 24, header.first);
  put_number(out, 32, header.created);
  put_number(out, 40, header.previous_bytes);
  header.chain = crc32c(std::string_view(out).substr(0, header_bytes - 4));
  put_number(out, header_bytes - 4, header.chain);
  return out;
}

std::optional<SegmentHeader> decode_header(std::string_view bytes) {
  if (bytes.size() < header_bytes || !bytes.starts_with(segment_magic)) return std::nullopt;
  SegmentHeader header;
  header.chain = crc32c(bytes.substr(0, header_bytes - 4));
  if (get_number<std::uint32_t>(bytes, header_bytes - 4) != header.chain) return std::nullopt;
  header.version = get_number<std::uint32_t>(bytes, 8);
  if (header.version == 0 || header.version > segment_version) return std::nullopt;
  header.log_id = get_number<std::uint64_t>(bytes, 16);
  header.first = get_number<std::uint64_t>(bytes, 24);
  header.created = get_number<std::int64_t>(bytes, 32);
  header.previous_bytes = get_number<std::uint64_t>(bytes, 40);
  return header;
}

std::uint32_t seed_of(std::uint64_t log_id) noexcept {
  std::string bytes(8, '\0');
  put_number(bytes, 0, log_id);
  return crc32c(bytes);
}

void FrameBuilder::add(RecordType type, std::string_view head, std::string_view body) {
  const std::size_t at = bytes_.size();
  bytes_.resize(at + record_header_bytes);
  bytes_[at + 4] = static_cast<char>(type);
  put_number(bytes_, at + 5, static_cast<std::uint32_t>(head.size() + body.size()));
  bytes_ += head;
  bytes_ += body;
  ++entries_;
  if (type == RecordType::event) ++events_;
}

void FrameBuilder::add_note(std::string_view name, std::string_view text) {
  std::string head(sizeof(std::uint32_t), '\0');
  put_number(head, 0, static_cast<std::uint32_t>(name.size()));
  head += name;
  add(RecordType::note, head, text);
}

std::uint32_t FrameBuilder::seal(std::uint32_t seed, std::uint32_t previous, Offset first,
                                 std::int64_t time) {
  put_number(bytes_, 0, frame_magic);
  put_number(bytes_, 4, static_cast<std::uint32_t>(bytes_.size()));
  put_number(bytes_, 8, events_);
  put_number(bytes_, 12, previous);
  put_number(bytes_, 16, first);
  put_number(bytes_, 24, time);
  put_number(bytes_, 32, entries_);
  const std::string_view all = bytes_;
  std::uint32_t chain = crc32c(all.substr(0, 36), seed);
  put_number(bytes_, 36, chain);
  for (std::size_t at = frame_header_bytes; at < bytes_.size();) {
    const std::size_t size = record_header_bytes + get_number<std::uint32_t>(all, at + 5);
    chain = crc32c(all.substr(at + 4, size - 4), chain);
    put_number(bytes_, at, chain);
    at += size;
  }
  return chain;
}

std::size_t FrameBuilder::length_at(std::size_t record) const noexcept {
  return get_number<std::uint32_t>(bytes_, record + 5);
}

std::optional<std::uint32_t> frame_size(std::string_view bytes, std::uint32_t seed) {
  if (bytes.size() < frame_header_bytes || get_number<std::uint32_t>(bytes, 0) != frame_magic ||
      get_number<std::uint32_t>(bytes, 36) != crc32c(bytes.substr(0, 36), seed)) {
    return std::nullopt;
  }
  const auto size = get_number<std::uint32_t>(bytes, 4);
  if (size < frame_header_bytes || size > frame_bytes_max) return std::nullopt;
  return size;
}

std::optional<Frame> decode_frame(std::string_view bytes, std::uint32_t seed) {
  const std::optional<std::uint32_t> size = frame_size(bytes, seed);
  if (!size || *size > bytes.size()) return std::nullopt;
  bytes = bytes.substr(0, *size);
  Frame frame;
  frame.size = *size;
  frame.events = get_number<std::uint32_t>(bytes, 8);
  frame.previous = get_number<std::uint32_t>(bytes, 12);
  frame.first = get_number<std::uint64_t>(bytes, 16);
  frame.time = get_number<std::int64_t>(bytes, 24);
  frame.chain = get_number<std::uint32_t>(bytes, 36);
  const auto entries = get_number<std::uint32_t>(bytes, 32);
  std::uint32_t events = 0;
  std::size_t at = frame_header_bytes;
  for (std::uint32_t i = 0; i < entries; ++i) {
    if (bytes.size() - at < record_header_bytes) return std::nullopt;
    const std::size_t length = get_number<std::uint32_t>(bytes, at + 5);
    if (length > bytes.size() - at - record_header_bytes) return std::nullopt;
    frame.chain = crc32c(bytes.substr(at + 4, record_header_bytes - 4 + length), frame.chain);
    if (get_number<std::uint32_t>(bytes, at) != frame.chain) return std::nullopt;
    const auto type = static_cast<RecordType>(bytes[at + 4]);
    if (type < RecordType::event || type > RecordType::note_removed) return std::nullopt;
    if (type == RecordType::event) ++events;
    frame.records.push_back(RecordView{type, bytes.substr(at + record_header_bytes, length)});
    at += record_header_bytes + length;
  }
  if (at != bytes.size() || events != frame.events) return std::nullopt;
  return frame;
}

namespace {

void apply_note(std::string_view bytes, LogNotes& notes) {
  if (bytes.size() < sizeof(std::uint32_t)) return;
  const std::size_t length = get_number<std::uint32_t>(bytes, 0);
  bytes.remove_prefix(sizeof(std::uint32_t));
  if (length > bytes.size()) return;
  notes.insert_or_assign(std::string(bytes.substr(0, length)), std::string(bytes.substr(length)));
}

template <class Map>
void forget(Map& map, std::string_view name) {
  const auto found = map.find(name);
  if (found != map.end()) map.erase(found);
}

}  // namespace

bool apply(const Frame& frame, Beside& beside) {
  bool known = false;
  for (const RecordView& record : frame.records) {
    if (record.type == RecordType::cursor && record.bytes.size() >= 8) {
      const auto next = get_number<std::uint64_t>(record.bytes, 0);
      beside.cursors.insert_or_assign(std::string(record.bytes.substr(8)), next);
    } else if (record.type == RecordType::cursor_removed) {
      forget(beside.cursors, record.bytes);
    } else if (record.type == RecordType::note) {
      apply_note(record.bytes, beside.notes);
    } else if (record.type == RecordType::note_removed) {
      forget(beside.notes, record.bytes);
    } else if (record.type == RecordType::cursors_known) {
      known = true;
    }
  }
  return known;
}

std::string cursor_head(Offset next) {
  std::string head(8, '\0');
  put_number(head, 0, next);
  return head;
}

}  // namespace knative::log_format
