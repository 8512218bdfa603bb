// A platform with its registry, for peers of other makers and to be killed:
//   registry_serve DIRECTORY [--sparse] [--user NAME PASSWORD]
// Prints its port and serves until it or whoever started it is killed.
#include <signal.h>
#include <sys/prctl.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "knative/knative.hpp"

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  knative::PlatformOptions options;
  options.data_directory = argv[1];
  options.registry.emplace();
  for (int i = 2; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--sparse") options.registry->sparse = true;
    if (argument == "--user" && i + 2 < argc) {
      options.registry->users.push_back(
          {argv[i + 1], argv[i + 2], knative::registry::Access::write});
      options.registry->anonymous = knative::registry::Access::none;
      i += 2;
    }
  }
  knative::Loop loop;
  knative::FunctionTable functions;
  knative::Platform platform(loop.env(), functions, options);
  if (const knative::Result<void> started = platform.start(); !started) {
    std::fprintf(stderr, "%s\n", started.error().to_string().c_str());
    return 1;
  }
  std::printf("%u\n", static_cast<unsigned>(platform.endpoint().port));
  std::fflush(stdout);
  loop.run();
  return 0;
}
