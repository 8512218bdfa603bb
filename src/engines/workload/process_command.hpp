/// \file
/// What of a workload and its image becomes the options of a process. Private to the workload.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "knative/workload.hpp"

namespace knative {

/// Combine spec and image into argv, environment and directories, with `port` as PORT. $(NAME) in
/// the spec's own command and arguments is expanded as in Kubernetes; the image's stay.
/// Fails with `invalid_argument` when there is nothing to run.
Result<ProcessOptions> process_options(const WorkloadSpec& spec, const ImageRoot& image,
                                       const ProcessRuntimeOptions& options, std::uint16_t port,
                                       Files& files);

/// Cuts a stream into lines and keeps the last ones.
class LineSplitter {
 public:
  LineSplitter(std::size_t line_bytes_max, std::function<void(std::string_view)> line)
      : line_bytes_max_(line_bytes_max), line_(std::move(line)) {}
  void append(std::string_view piece);
  /// The stream has ended: emit what is left without a line break.
  void finish();

 private:
  std::size_t line_bytes_max_;
  std::function<void(std::string_view)> line_;
  std::string partial_;
};

}  // namespace knative
