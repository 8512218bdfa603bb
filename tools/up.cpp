// `knative up`: apply manifests, say when and where things are ready, run until interrupted.
#include <algorithm>
#include <cstdio>
#include <iterator>
#include <knative/knative.hpp>
#include <optional>

#include "command.hpp"

namespace kn = knative;

namespace command {

namespace {

int complain(const kn::Error& error) {
  std::fprintf(stderr, "knative up: %s\n", error.detail.c_str());
  return 1;
}

// Say what became of every object, each as soon as it is known; together they have `timeout`.
kn::Task<void> report(kn::Platform& platform, std::vector<kn::ObjectRef> refs,
                      kn::Duration timeout) {
  const kn::Instant deadline = platform.env().timers.now() + timeout;
  for (const kn::ObjectRef& ref : refs) {
    const kn::Duration left = deadline - platform.env().timers.now();
    const kn::Result<void> ready = co_await platform.ready(ref, std::max(left, kn::Duration(0)));
    const std::string name = ref.kind + " " + ref.namespace_ + "/" + ref.name;
    if (ready) {
      std::printf("%-40s ready  %s\n", name.c_str(), platform.url(ref).c_str());
    } else {
      std::printf("%-40s not ready: %s\n", name.c_str(), ready.error().detail.c_str());
    }
    std::fflush(stdout);
  }
  std::printf("up; interrupt to stop\n");
  std::fflush(stdout);
}

// Everything on the standard input.
std::string read_input() {
  std::string text;
  char buffer[65536];
  while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, stdin)) {
    text.append(buffer, count);
  }
  return text;
}

// Apply all files together: one that is wrong keeps all from being applied.
kn::Result<std::vector<kn::ObjectRef>> apply(kn::Platform& platform, const Arguments& arguments) {
  std::vector<kn::manifest::Source> sources;
  std::string missing;
  const auto files = arguments.values.find("--filename");
  if (files == arguments.values.end()) return std::vector<kn::ObjectRef>();
  for (const std::string& path : files->second) {
    if (path == "-") {
      sources.push_back({"stdin", read_input()});
      continue;
    }
    kn::Result<std::vector<kn::manifest::Source>> read =
        platform.read_manifests(path, arguments.has("--recursive"));
    if (read) {
      std::move(read->begin(), read->end(), std::back_inserter(sources));
    } else {
      if (!missing.empty()) missing += '\n';
      missing += read.error().detail;
    }
  }
  if (!missing.empty()) return kn::fail(kn::Errc::not_found, std::move(missing));
  kn::ApplyOptions options;
  options.skip_unknown_kinds = arguments.has("--skip-unknown-kinds");
  return platform.apply_texts(sources, options);
}

// Seconds, or a duration as manifests write it.
kn::Result<kn::Duration> parse_timeout(std::string text) {
  if (text.find_first_not_of("0123456789") == text.npos) text += "s";
  kn::Result<kn::Duration> timeout = kn::parse_duration(text);
  if (timeout && *timeout < kn::Duration(0)) {
    return kn::fail(kn::Errc::invalid_argument, "must not be negative: " + text);
  }
  return timeout;
}

}  // namespace

int up(const Arguments& arguments) {
  block_signals();
  kn::PlatformOptions options;
  kn::Result<kn::Endpoint> endpoint =
      kn::Endpoint::parse(arguments.get("--listen", "127.0.0.1:8080"));
  if (!endpoint) return complain(endpoint.error().within("--listen"));
  options.listen = *endpoint;
  options.listen_beyond_loopback = arguments.has("--listen-beyond-loopback");
  if (!options.listen_beyond_loopback && !endpoint->is_loopback()) {
    return complain(kn::fail(kn::Errc::failed_precondition,
                             "--listen " + endpoint->to_string() +
                                 ": strangers could connect; --listen-beyond-loopback allows it"));
  }
  options.data_directory = arguments.get("--data-dir");
  options.domain = arguments.get("--domain", "localhost");
  options.on_output = [](std::string_view source, std::string_view line) {
    std::printf("[%.*s] %.*s\n", static_cast<int>(source.size()), source.data(),
                static_cast<int>(line.size()), line.data());
    std::fflush(stdout);
  };
  options.on_warning = [](std::string_view where, std::string_view warning) {
    std::fprintf(stderr, "warning: %.*s%s%.*s\n", static_cast<int>(where.size()), where.data(),
                 where.empty() ? "" : ": ", static_cast<int>(warning.size()), warning.data());
  };
  options.autoscaler.allow_zero_initial_scale = arguments.has("--allow-zero-initial-scale");
  const kn::Result<kn::Duration> timeout = parse_timeout(arguments.get("--timeout", "60"));
  if (!timeout) return complain(timeout.error().within("--timeout"));

  kn::FunctionTable functions;
  kn::LoopOptions loop;
  loop.log_level = kn::LogLevel::warning;
  kn::PlatformThread platform(functions, options, loop);
  if (kn::Result<void> started = platform.start(); !started) return complain(started.error());
  std::printf("listening on http://%s\n", platform.endpoint().to_string().c_str());
  std::fflush(stdout);

  kn::Result<std::vector<kn::ObjectRef>> applied = std::vector<kn::ObjectRef>{};
  platform.call([&](kn::Platform& inner) { applied = apply(inner, arguments); });
  if (!applied) return complain(applied.error());
  // Beside the waiting for a signal: an interrupt must not wait for what never becomes ready.
  std::optional<kn::TaskSet> reports;
  platform.call([&](kn::Platform& inner) {
    reports.emplace(inner.env().executor).add(report(inner, std::move(*applied), *timeout));
  });
  wait_for_signal();
  std::printf("stopping\n");
  std::fflush(stdout);
  platform.call([&](kn::Platform&) { reports.reset(); });
  platform.stop();
  return 0;
}

}  // namespace command
