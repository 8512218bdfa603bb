/// \file
/// What a segment log consists of and how far it had got, in a small file beside the segments
/// (docs/log-format.md, "The manifest"). Everything here blocks. Private to the state floor.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "knative/files.hpp"
#include "knative/log.hpp"

namespace knative::log_manifest {

/// How far the newest segment was committed.
struct Mark {
  std::uint64_t segment = 0;  ///< Its number; 0: none was begun.
  std::uint64_t bytes = 0;
  Offset end = 0;  ///< One past the last event.
};

/// The whole manifest.
struct Content {
  std::uint64_t log_id = 0;
  std::uint64_t oldest = 1;  ///< Number of the first segment that belongs to the log.
  Offset first = 0;          ///< Its first event.
  std::uint64_t newest = 0;  ///< At least this segment exists; 0: perhaps none.
  Mark mark;
};

/// The file of one log. Used by one job at a time.
class Manifest {
 public:
  Manifest(Files& files, std::string directory);

  const std::string& path() const noexcept { return path_; }
  /// Read it and keep it open; empty when there is none, `data_loss` when it is damaged.
  Result<std::optional<Content>> load();
  /// Replace it as a whole, durably.
  Result<void> replace(const Content& content);
  /// Note that the log got this far, which must be durable. The note itself costs no sync: it
  /// outlives the process at once, and a power failure once the system wrote it.
  Result<void> mark(const Mark& mark);
  /// Make the notes durable.
  Result<void> sync();
  /// Whether the path still leads to this file.
  Result<bool> linked() const;

 private:
  Files& files_;
  std::string directory_;
  std::string path_;
  std::unique_ptr<File> file_;
  std::uint64_t log_id_ = 0;
  std::uint64_t sequence_ = 0;
  std::uint32_t unsynced_ = 0;
};

}  // namespace knative::log_manifest
