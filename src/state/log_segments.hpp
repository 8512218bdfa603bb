/// \file
/// The files of a segment log: creating, recovering, reading, writing. Everything here blocks and
/// runs on the disk threads; nothing here knows about tasks. Private to the state floor.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "knative/env.hpp"
#include "knative/log.hpp"
#include "state/log_format.hpp"
#include "state/log_manifest.hpp"

namespace knative::log_segments {

/// Where a log lives; shared by the log and its jobs, so that the lock outlives both.
struct Place {
  Place(Files& where, std::string path)
      : files(where), directory(std::move(path)), manifest(files, directory) {}
  Files& files;
  const std::string directory;
  std::unique_ptr<File> lock;
  log_manifest::Manifest manifest;
  std::uint64_t log_id = 0;
  std::uint32_t seed = 0;
  FsyncMode fsync_mode = FsyncMode::data;
};

/// One file.
struct Segment {
  std::uint64_t number = 0;
  std::uint32_t version = 0;
  std::string path;
  Offset first = 0;
  std::int64_t created = 0;
  std::uint32_t header_chain = 0;
  std::uint64_t previous_bytes = 0;  ///< As in the header.
  std::uint64_t bytes = 0;           ///< Valid bytes, or the file's size when it was not scanned.
  std::shared_ptr<File> file;        ///< Open for reading; for writing only the newest.
};

/// What is on disk.
struct Recovered {
  std::vector<Segment> segments;  ///< Oldest first; never empty.
  log_format::Beside beside;
  Offset end = 0;
  std::uint32_t chain = 0;      ///< For the next frame in the newest segment.
  std::int64_t last_time = 0;   ///< Of the newest frame.
  std::uint64_t truncated = 0;  ///< Bytes of an incomplete commit that were cut off.
};

/// Read the state of `place`. Where there is no log one is begun, when `may_create`.
Result<Recovered> recover(Place& place, std::uint64_t new_log_id, std::int64_t now,
                          bool may_create);

/// Make the next segment durable, and the manifest that names it, before anything is written to
/// it. `header` names the offset and time of its beginning and the length of the segment before,
/// `content` the log as the manifest knows it.
Result<Segment> create(Place& place, std::uint64_t number, log_format::SegmentHeader header,
                       const log_format::Beside& beside, std::uint32_t& chain,
                       log_manifest::Content content);

/// Where a frame begins.
struct Position {
  Offset offset = 0;  ///< Of the frame's first event, or of the next one.
  std::uint64_t byte = 0;
  std::uint32_t chain = 0;
};

/// Records, and where to go on.
struct ReadResult {
  std::vector<Record> records;
  Position next;  ///< The frame that holds the record after the last one given.
  std::shared_ptr<File> file;
};

/// Read events from `from` on, beginning at the frame at `begin`, and not beyond `end`.
Result<ReadResult> read(Place& place, const Segment& segment, Position begin, Offset from,
                        Offset end, ReadLimits limits);

}  // namespace knative::log_segments
