// A git server over HTTP for the time of a test.
#pragma once

#include "builder_fixture.hpp"
#include "support/paths.hpp"

namespace knative {

class GitHttpServer {
 public:
  /// Serves the repositories in `folder`; see git_http_server.py.
  GitHttpServer(Loop& loop, const std::string& folder) {
    ProcessOptions options;
    options.argv = {"python3",
                    testing_paths::source() + "/tests/engines/builder/git_http_server.py", folder};
    options.environment = {{"PATH", "/usr/local/bin:/usr/bin:/bin"}};
    options.on_stdout = [this](std::string_view text) { port_ += text; };
    Env& env = loop.env();
    process_ = env.processes.spawn(options).value();
    const Instant limit = env.timers.now() + std::chrono::seconds(20);
    while (port_.find('\n') == std::string::npos && env.timers.now() < limit) {
      loop.run_for(std::chrono::milliseconds(5));
    }
    port_ = port_.substr(0, port_.find('\n'));
    EXPECT_FALSE(port_.empty()) << "the test's git server did not start";
  }
  const std::string& port() const { return port_; }
  std::string url(const std::string& rest) const { return "http://127.0.0.1:" + port_ + rest; }

 private:
  std::string port_;
  std::unique_ptr<Process> process_;
};

}  // namespace knative
