// The `knative` command: a platform in one process, from the command line.
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <knative/version.hpp>
#include <optional>
#include <set>
#include <string_view>

#include "command.hpp"

namespace {

constexpr const char* usage =
    "usage: knative COMMAND [OPTIONS]\n"
    "\n"
    "  up       run a platform with manifests until interrupted\n"
    "  run      run an image until interrupted\n"
    "  image    list, import, export, name and remove images\n"
    "  parked   list, show, redrive and discard events that could not be delivered\n"
    "  demo     show commit, image, URL and event, with times\n"
    "  version  print the version\n"
    "  help     print this, or the options of a command: knative help up\n";

constexpr const char* up_usage =
    "usage: knative up [OPTIONS]\n"
    "\n"
    "Run a platform with manifests until interrupted.\n"
    "\n"
    "  -f, --filename PATH     file, directory or - for the standard input (may be\n"
    "                          repeated); nothing is applied unless all is valid\n"
    "  -R, --recursive         directories with those in them\n"
    "  --skip-unknown-kinds    leave out, with a warning, what is of no known kind\n"
    "  --allow-zero-initial-scale  take the annotation initial-scale: \"0\"\n";

constexpr const char* run_usage =
    "usage: knative run [OPTIONS] IMAGE [ARGUMENT...]\n"
    "\n"
    "Run an image as a Service until interrupted: one of the data directory, or of\n"
    "its registry. What begins with a dash after IMAGE is the program's. One that does\n"
    "not become ready ends the command with status 1.\n"
    "\n"
    "  --name NAME             of the Service; default: the image's\n"
    "  -e, --env NAME=VALUE    (may be repeated)\n"
    "  --port NUMBER           that the program listens on; default $PORT\n"
    "  --runtime NAME          what it runs on, e.g. sandbox\n";

constexpr const char* image_usage =
    "usage: knative image COMMAND --data-dir DIR [OPTIONS]\n"
    "\n"
    "The images of a data directory, whether a platform runs there or not.\n"
    "\n"
    "  list                    names, digests and sizes\n"
    "  inspect NAME            manifest and config as JSON\n"
    "  import PATH             from an archive (docker save, oci-archive; plain, gzip or\n"
    "                          zstd), from - (the standard input), or from the folder of\n"
    "                          an image layout\n"
    "    --name NAME           what its one image is called here\n"
    "  export NAME...          into an archive that docker load reads\n"
    "    -o, --output FILE     where to; default: the standard output\n"
    "    --format FORMAT       docker (default) or oci\n"
    "  tag NAME NEW            give an image another name\n"
    "  remove NAME...          take names away; a platform with image_bytes_max makes room\n"
    "                          of what nothing of its needs any more\n";

constexpr const char* parked_usage =
    "usage: knative parked COMMAND BROKER [OPTIONS]\n"
    "\n"
    "Events that a Broker or Channel (NAME or NAMESPACE/NAME) of a platform on this machine\n"
    "could not deliver and no dead letter sink took.\n"
    "\n"
    "  list                    one a line: trigger, offset, since when, attempts, why, event\n"
    "  show                    all that is known of them, as JSON\n"
    "  redrive                 deliver them anew, with all attempts\n"
    "  discard                 throw them away\n"
    "\n"
    "  --trigger NAME          those of this Trigger or Subscription\n"
    "  --id ID, --source URI   those of this event, or of this source\n"
    "  --offset NUMBER         the one at this offset of the log\n"
    "  --all                   redrive or discard whatever there is\n"
    "  --kind KIND             Broker or Channel, where both have that name\n"
    "  --server URL            of the platform; default http://127.0.0.1:8080\n"
    "  --trust FILE            PEM of the authority of its certificate\n";

constexpr const char* platform_usage =
    "  --listen HOST:PORT      default 127.0.0.1:8080; loopback only, unless\n"
    "  --listen-beyond-loopback  says that strangers may connect\n"
    "  --tls                   serve https only, by an authority of its own, whose\n"
    "                          certificate is tls/authority.pem in the data directory\n"
    "  --tls-cert FILE --tls-key FILE  by this certificate (its issuers after it) and\n"
    "                          key, PEM; new ones in the same files are taken up\n"
    "  --tls-client-ca FILE    let in only who shows a certificate of these authorities\n"
    "  --trust FILE            PEM of authorities to trust for https that goes out,\n"
    "                          besides the system's (may be repeated)\n"
    "  --proxies-from-environment  go out through http_proxy, https_proxy, no_proxy\n"
    "  --data-dir DIR          keep objects, images and events there\n"
    "  --domain DOMAIN         default localhost\n"
    "  --registry              be a registry of the images, at the listener's address; who\n"
    "                          is not on this machine may only pull\n"
    "  --registry-config FILE  who we are at other registries, as docker's config.json\n"
    "  --insecure-registry HOST  speak http with that registry (may be repeated)\n"
    "  --no-push               builds push nothing; their images stay in the store\n"
    "  --timeout DURATION      to become ready, e.g. 90 or 2m; default 60 seconds\n";

constexpr const char* demo_usage =
    "usage: knative demo [OPTIONS]\n"
    "\n"
    "Show commit, image, URL and event, a step in a container and a Service in a\n"
    "sandbox, with times.\n"
    "\n"
    "  --repo URL --revision REV   with your own repository\n"
    "  --sample DIR                with an application in a directory\n"
    "  --quick                     do not wait for the fall to zero\n";

constexpr const char* version_usage =
    "usage: knative version\n"
    "\n"
    "Print the version.\n";

const char* usage_of(std::string_view command) {
  if (command == "up") return up_usage;
  if (command == "run") return run_usage;
  if (command == "image") return image_usage;
  if (command == "parked") return parked_usage;
  if (command == "demo") return demo_usage;
  if (command == "version") return version_usage;
  return usage;
}

int help(std::string_view command) {
  std::fputs(usage_of(command), stdout);
  if (command == "up" || command == "run") std::fputs(platform_usage, stdout);
  return 0;
}

// The command whose options are asked for ("": all commands); nothing when no help is wanted.
std::optional<std::string_view> asks_for_help(int argc, char** argv) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (first == "help") return argc > 2 ? argv[2] : "";
  // The words after an image are its program's.
  char** end = argv + argc;
  if (first == "run") {
    end = std::find_if(argv + 2, argv + argc,
                       [](std::string_view word) { return !word.starts_with("-"); });
  }
  const bool asks = std::any_of(argv + std::min(argc, 1), end, [](std::string_view word) {
    return word == "--help" || word == "-h";
  });
  return asks ? std::optional(first) : std::nullopt;
}

struct Spec {
  std::set<std::string> with_value;
  std::set<std::string> flags;
  bool words = false;          ///< From the first one on, everything is one.
  bool words_between = false;  ///< What is no option is one.
};

// What `up` and `run` share.
Spec platform_spec() {
  return {{"--listen", "--data-dir", "--domain", "--timeout", "--tls-cert", "--tls-key",
           "--tls-client-ca", "--trust", "--registry-config", "--insecure-registry"},
          {"--listen-beyond-loopback", "--tls", "--proxies-from-environment", "--registry",
           "--no-push"}};
}

// Read options; an unknown one is an error that names it.
bool parse(int argc, char** argv, const Spec& spec, command::Arguments& out) {
  for (int i = 2; i < argc; ++i) {
    std::string name = argv[i];
    std::string value;
    const std::size_t equals = name.find('=');
    const bool inline_value = name.starts_with("--") && equals != std::string::npos;
    if (inline_value) {
      value = name.substr(equals + 1);
      name.resize(equals);
    }
    if (spec.words && !name.starts_with("-")) {
      out.words.assign(argv + i, argv + argc);
      return true;
    }
    if (spec.words_between && (!name.starts_with("-") || name == "-")) {
      out.words.push_back(argv[i]);
      continue;
    }
    if (name == "-e") name = "--env";
    if (name == "-o") name = "--output";
    if (name == "-f") name = "--filename";
    if (name == "-R") name = "--recursive";
    if (spec.flags.contains(name) && !inline_value) {
      out.values[name];
    } else if (spec.with_value.contains(name)) {
      if (!inline_value) {
        if (i + 1 >= argc) {
          std::fprintf(stderr, "knative: %s needs a value\n", name.c_str());
          return false;
        }
        value = argv[++i];
      }
      out.values[name].push_back(value);
    } else {
      const bool option = name.starts_with("-");
      std::fprintf(
          stderr, "knative %s: %s %s%s\n", argv[1],
          option ? "unknown option" : "unexpected argument", argv[i],
          !option && spec.with_value.contains("--filename") ? "; files are given with -f" : "");
      return false;
    }
  }
  return true;
}

}  // namespace

namespace command {

namespace {
sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}
}  // namespace

void block_signals() {
  const sigset_t set = ending_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

int wait_for_signal() {
  const sigset_t set = ending_signals();
  int number = 0;
  sigwait(&set, &number);
  return number;
}

}  // namespace command

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  command::Arguments arguments;
  if (const auto wanted = asks_for_help(argc, argv)) return help(*wanted);
  if (name == "version" || name == "--version") {
    if (argc > 2) {
      std::fprintf(stderr, "knative version: unexpected argument %s\n", argv[2]);
      return 2;
    }
    std::printf("knative %s\n", KNATIVE_VERSION_STRING);
    return 0;
  }
  if (name == "up") {
    Spec spec = platform_spec();
    spec.with_value.insert("--filename");
    spec.flags.insert({"--recursive", "--skip-unknown-kinds", "--allow-zero-initial-scale"});
    if (!parse(argc, argv, spec, arguments)) return 2;
    return command::up(arguments);
  }
  if (name == "run") {
    Spec spec = platform_spec();
    spec.with_value.insert({"--name", "--env", "--port", "--runtime"});
    spec.words = true;
    if (!parse(argc, argv, spec, arguments)) return 2;
    return command::run(arguments);
  }
  if (name == "image") {
    const Spec spec{.with_value = {"--data-dir", "--name", "--output", "--format"},
                    .words_between = true};
    if (!parse(argc, argv, spec, arguments)) return 2;
    return command::image(arguments);
  }
  if (name == "parked") {
    const Spec spec{.with_value = {"--trigger", "--id", "--source", "--offset", "--kind",
                                   "--server", "--trust"},
                    .flags = {"--all"},
                    .words_between = true};
    if (!parse(argc, argv, spec, arguments)) return 2;
    return command::parked(arguments);
  }
  if (name == "demo") {
    const Spec spec{{"--repo", "--revision", "--sample"}, {"--quick"}};
    if (!parse(argc, argv, spec, arguments)) return 2;
    return command::demo(arguments);
  }
  if (!name.empty()) std::fprintf(stderr, "knative: unknown command \"%s\"\n\n", name.c_str());
  std::fputs(usage, stderr);
  return 2;
}
