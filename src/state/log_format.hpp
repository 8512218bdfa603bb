/// \file
/// The bytes of segment files, as docs/log-format.md describes them. Private to the state floor.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"
#include "knative/log.hpp"

namespace knative::log_format {

inline constexpr std::size_t header_bytes = 64;
inline constexpr std::size_t frame_header_bytes = 40;
inline constexpr std::size_t record_header_bytes = 9;
/// No frame is larger; a length beyond it is damage.
inline constexpr std::uint32_t frame_bytes_max = 1u << 30;

/// What a record of a frame is. Values are persisted.
enum class RecordType : std::uint8_t {
  event = 1,           ///< A record of the log; takes an offset.
  cursor = 2,          ///< u64 next, then the name.
  cursor_removed = 3,  ///< The name.
  cursors_known = 4,   ///< All cursors and notes stand before this record in this segment.
  note = 5,            ///< u32 length of the name, the name, the text.
  note_removed = 6,    ///< The name.
};

/// What stands beside the records.
struct Beside {
  std::map<std::string, Offset, std::less<>> cursors;
  LogNotes notes;
};

/// The first bytes of a segment.
struct SegmentHeader {
  std::uint32_t version = 0;  ///< 1 had no manifest beside it, 2 no notes.
  std::uint64_t log_id = 0;
  Offset first = 0;
  std::int64_t created = 0;  ///< Wall time, ns.
  /// Bytes of the segment before it that were committed when this one began; 0: not known.
  std::uint64_t previous_bytes = 0;
  std::uint32_t chain = 0;  ///< The header's checksum; the first frame continues it.
};
std::string encode(SegmentHeader& header);
std::optional<SegmentHeader> decode_header(std::string_view bytes);
/// What checksums of frames begin with: a frame of another log never validates.
std::uint32_t seed_of(std::uint64_t log_id) noexcept;

/// One commit: built by `FrameBuilder`, sealed when its place in the chain is known.
class FrameBuilder {
 public:
  /// `buffer`: memory to use; what it holds is dropped.
  explicit FrameBuilder(std::string buffer = {}) : bytes_(std::move(buffer)) {
    bytes_.assign(frame_header_bytes, '\0');
  }
  void add(RecordType type, std::string_view head, std::string_view body = {});
  void add_note(std::string_view name, std::string_view text);
  std::size_t size() const noexcept { return bytes_.size(); }
  std::uint32_t entries() const noexcept { return entries_; }
  std::uint32_t events() const noexcept { return events_; }
  /// Fill in header and checksums. Returns the chain value for the next frame.
  std::uint32_t seal(std::uint32_t seed, std::uint32_t previous, Offset first, std::int64_t time);
  const std::string& bytes() const noexcept { return bytes_; }
  /// Give the memory away; the builder is at its end.
  std::string release() noexcept { return std::move(bytes_); }
  /// Call `f` with the bytes of every event, in order.
  template <class F>
  void each_event(F f) const {
    const std::string_view all = bytes_;
    for (std::size_t at = frame_header_bytes; at < all.size();) {
      const std::size_t length = length_at(at);
      if (static_cast<RecordType>(all[at + 4]) == RecordType::event) {
        f(all.substr(at + record_header_bytes, length));
      }
      at += record_header_bytes + length;
    }
  }

 private:
  std::size_t length_at(std::size_t record) const noexcept;
  std::string bytes_;
  std::uint32_t entries_ = 0;
  std::uint32_t events_ = 0;
};

/// A record inside a frame that was checked.
struct RecordView {
  RecordType type;
  std::string_view bytes;
};

/// A frame that was checked against its own checksums.
struct Frame {
  std::uint32_t size = 0;
  std::uint32_t events = 0;
  std::uint32_t previous = 0;
  std::uint32_t chain = 0;  ///< For the next frame.
  Offset first = 0;
  std::int64_t time = 0;
  std::vector<RecordView> records;
};

/// The size a frame header at the beginning of `bytes` claims, when the header is intact.
std::optional<std::uint32_t> frame_size(std::string_view bytes, std::uint32_t seed);
/// The frame at the beginning of `bytes`; empty when it is incomplete or damaged.
std::optional<Frame> decode_frame(std::string_view bytes, std::uint32_t seed);

/// Apply what a frame says of cursors and notes. Returns true when all of them were told.
bool apply(const Frame& frame, Beside& beside);
std::string cursor_head(Offset next);
/// The newest version of segments.
inline constexpr std::uint32_t segment_version = 3;

}  // namespace knative::log_format
