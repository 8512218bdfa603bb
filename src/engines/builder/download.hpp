// One GET, whose body goes somewhere piece by piece.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "knative/builder.hpp"
#include "knative/http_outbound.hpp"

namespace knative::builder {

struct DownloadRequest {
  std::string url;            // http or https
  std::string authorization;  // of its first origin; empty: none
  Duration idle_timeout{0};
};

using DownloadSink = std::function<Result<void>(std::string_view piece)>;

// Fails with `not_found`, `unavailable` (the server may answer otherwise later),
// `failed_precondition` (it refuses), `deadline_exceeded`, or what `sink` says.
Task<Result<void>> download(http::Outbound& outbound, Timers& timers, DownloadRequest request,
                            DownloadSink sink);

}  // namespace knative::builder
