/// \file
/// What is asked of a container, and what is done when it starts and stops: probes and hooks of
/// Kubernetes core/v1. Part of pod.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "knative/scalars.hpp"

namespace knative::core {

/// A header that a probe sends.
struct HttpHeader {
  std::string name = {};
  std::string value = {};
  friend bool operator==(const HttpHeader&, const HttpHeader&) = default;
};

/// Healthy when a GET is answered with 200 to 399.
struct HttpGetAction {
  std::string path = {};
  IntOrString port = {};
  std::string host = {};
  std::string scheme = {};
  std::vector<HttpHeader> http_headers = {};
  friend bool operator==(const HttpGetAction&, const HttpGetAction&) = default;
};

/// Healthy when a connection is accepted.
struct TcpSocketAction {
  IntOrString port = {};
  std::string host = {};
  friend bool operator==(const TcpSocketAction&, const TcpSocketAction&) = default;
};

/// Healthy when a command exits with 0.
struct ExecAction {
  std::vector<std::string> command = {};
  friend bool operator==(const ExecAction&, const ExecAction&) = default;
};

/// Healthy when the gRPC health service says so.
struct GrpcAction {
  std::int32_t port = 0;
  std::optional<std::string> service = {};
  friend bool operator==(const GrpcAction&, const GrpcAction&) = default;
};

/// A health check; exactly one handler is set. Times are whole seconds as in Kubernetes.
struct Probe {
  std::optional<HttpGetAction> http_get = {};
  std::optional<TcpSocketAction> tcp_socket = {};
  std::optional<ExecAction> exec = {};
  std::optional<GrpcAction> grpc = {};
  std::int32_t initial_delay_seconds = 0;
  std::int32_t timeout_seconds = 0;
  std::int32_t period_seconds = 0;
  std::int32_t success_threshold = 0;
  std::int32_t failure_threshold = 0;
  std::optional<std::int64_t> termination_grace_period_seconds = {};
  friend bool operator==(const Probe&, const Probe&) = default;
};

/// Waits.
struct SleepAction {
  std::int64_t seconds = 0;
  friend bool operator==(const SleepAction&, const SleepAction&) = default;
};

/// What a hook does; exactly one is set.
struct LifecycleHandler {
  std::optional<ExecAction> exec = {};
  std::optional<HttpGetAction> http_get = {};
  std::optional<TcpSocketAction> tcp_socket = {};  ///< Known, but done by nobody.
  std::optional<SleepAction> sleep = {};
  friend bool operator==(const LifecycleHandler&, const LifecycleHandler&) = default;
};

/// Hooks: when a container has started, beside its program, and before it is told to stop.
struct Lifecycle {
  std::optional<LifecycleHandler> post_start = {};
  std::optional<LifecycleHandler> pre_stop = {};
  std::string stop_signal = {};
  friend bool operator==(const Lifecycle&, const Lifecycle&) = default;
};

}  // namespace knative::core
