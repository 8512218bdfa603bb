// What the subcommands of `knative` share: arguments, waiting for a signal, time for people.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace command {

/// Options of a command line: "--name value", "--name=value", "-f value" and flags.
struct Arguments {
  std::map<std::string, std::vector<std::string>> values;
  std::vector<std::string> words;  ///< What is no option, where a command takes such.

  bool has(const std::string& name) const { return values.contains(name); }
  std::string get(const std::string& name, const std::string& fallback = "") const {
    const auto found = values.find(name);
    return found == values.end() || found->second.empty() ? fallback : found->second.back();
  }
};

/// `knative up`: run manifests until interrupted.
int up(const Arguments& arguments);
/// `knative run`: run one image as a Service until interrupted.
int run(const Arguments& arguments);
/// `knative image`: look at the images of a data directory, bring some in and out.
int image(const Arguments& arguments);
/// `knative parked`: look at what a running platform could not deliver, redrive or discard it.
int parked(const Arguments& arguments);
/// `knative demo`: commit, image, URL, event, with the time of each.
int demo(const Arguments& arguments);

/// SIGINT and SIGTERM are delivered to `wait_for_signal` only. Call before threads are made.
void block_signals();
/// Wait for SIGINT or SIGTERM.
int wait_for_signal();

}  // namespace command
