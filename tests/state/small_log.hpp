// What tests of damaged logs share.
#pragma once

#include <string>

#include "knative/log.hpp"

namespace knative::testing_state {

inline const std::string directory = "/data/log";

/// A few records fill a segment, and reading goes to the file.
inline SegmentLogOptions small_segments() {
  SegmentLogOptions options;
  options.segment_bytes = 2000;
  options.cache_bytes_max = 0;
  return options;
}

}  // namespace knative::testing_state
