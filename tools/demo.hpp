// What the parts of `knative demo` share.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "knative/error.hpp"
#include "knative/http.hpp"
#include "knative/platform_thread.hpp"

namespace command {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point begin);
/// One line of the demo; nothing to measure: 0.
void line(const char* what, const std::string& value, double milliseconds);
void heading(const char* text);
/// Says what failed; the exit code.
int failed(const char* step, const knative::Error& error);
/// The first 56 bytes, without line ends behind them.
std::string trimmed(std::string text);
/// A real HTTP request over the listener, as any client would send it.
knative::Result<knative::http::Response> fetch(knative::PlatformThread& platform,
                                               const std::string& host, std::string_view path);

/// A build step in a container, and a Service in a sandbox. `files` is a directory for images'
/// files, where what this machine can isolate is looked up. Without /bin/busybox or without
/// isolation it says why and shows nothing.
int containers_part(knative::PlatformThread& platform, const std::string& files);
/// Takes the lines of output of steps and programs.
void show_output(std::string_view source, std::string_view text);

}  // namespace command
