// A client of the gRPC health checking protocol (grpc.health.v1), for probes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "knative/network.hpp"
#include "knative/task.hpp"

namespace knative::grpc {

/// Ask the server at the other end of `stream` (HTTP/2 in clear text, with prior knowledge) for
/// the health of `service`; empty means the server as a whole. What is wrong, or nothing when it
/// answers SERVING. Reads at most some 100 KB. Strings must stay until the task is done.
Task<std::optional<std::string>> ask_health(Stream& stream, std::string_view authority,
                                            std::string_view service);

// ---- for tests and fuzzing

/// The frames that arrive, read far enough to know the health.
class HealthReply {
 public:
  /// Take bytes in; false when nothing more is wanted.
  bool feed(std::string_view bytes);
  /// What must be sent now: answers to settings and pings.
  std::string take_output();
  /// What is wrong, once nothing more is wanted; also when the peer has ended.
  std::optional<std::string> problem() const;

 private:
  bool frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view payload);
  bool data(std::uint8_t flags, std::string_view payload);
  bool give_up(std::string why);

  std::string input_;
  std::string output_;
  std::string message_;
  std::size_t taken_ = 0;
  std::optional<std::uint64_t> status_;
  std::string why_ = "the connection ended before it answered";
};

}  // namespace knative::grpc
