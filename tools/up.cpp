// `knative up`: apply manifests, say when and where things are ready, run until interrupted.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <knative/knative.hpp>
#include <map>
#include <optional>

#include "command.hpp"

namespace kn = knative;

namespace command {

namespace {

int complain(const kn::Error& error) {
  std::fprintf(stderr, "knative: %s\n", error.detail.c_str());
  return 1;
}

// The command line is wrong.
int misused(const kn::Error& error) {
  (void)complain(error);
  return 2;
}

// Say what became of every object, each as soon as it is known; together they have `timeout`. What
// is `needed` ends the command when it does not become ready.
kn::Task<void> report(kn::Platform& platform, std::vector<kn::ObjectRef> refs, kn::Duration timeout,
                      bool needed, std::atomic<bool>& failed) {
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
    if (ready || !needed) continue;
    failed = true;
    ::kill(::getpid(), SIGTERM);
    co_return;
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

using Sources = std::vector<kn::manifest::Source>;

// A name for the Service of an image: the last word of its repository, as a DNS label.
std::string name_for(const kn::oci::Reference& image) {
  std::string name = image.repository.substr(image.repository.rfind('/') + 1);
  for (char& c : name) {
    if (c == '.' || c == '_') c = '-';
  }
  while (!name.empty() && (name.front() < 'a' || name.front() > 'z')) name.erase(0, 1);
  name.resize(std::min<std::size_t>(name.size(), 50));
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name.empty() ? "app" : name;
}

// The manifest of `knative run`.
kn::Result<std::string> service_for(const Arguments& arguments) {
  if (arguments.words.empty()) {
    return kn::fail(kn::Errc::invalid_argument, "run: which image? knative help run tells more");
  }
  const std::string& image = arguments.words.front();
  const kn::Result<kn::oci::Reference> reference = kn::oci::Reference::parse(image);
  if (!reference) return reference.error();
  kn::serving::Service service =
      kn::serving::service(arguments.get("--name", name_for(*reference)), image);
  kn::serving::RevisionSpec& spec = service.spec.template_.spec;
  kn::core::Container& container = spec.containers.front();
  container.args.assign(arguments.words.begin() + 1, arguments.words.end());
  if (const auto given = arguments.values.find("--env"); given != arguments.values.end()) {
    for (const std::string& variable : given->second) {
      const std::size_t equals = variable.find('=');
      if (equals == variable.npos || equals == 0) {
        return kn::fail(kn::Errc::invalid_argument, "--env: not NAME=VALUE: " + variable);
      }
      container.env.push_back(
          {.name = variable.substr(0, equals), .value = variable.substr(equals + 1)});
    }
  }
  if (const std::string runtime = arguments.get("--runtime"); !runtime.empty()) {
    spec.runtime_class_name = runtime;
  }
  if (const std::string port = arguments.get("--port"); !port.empty()) {
    if (port.size() > 5 || port.find_first_not_of("0123456789") != port.npos) {
      return kn::fail(kn::Errc::invalid_argument, "--port: not a port: " + port);
    }
    container.ports = {{.container_port = std::stoi(port)}};
  }
  return kn::manifest::print(kn::AnyObject(service));
}

// Everything that the command line names, or all that cannot be read of it.
kn::Result<Sources> read_all(kn::Platform& platform, const Arguments& arguments) {
  Sources sources;
  std::string missing;
  const auto files = arguments.values.find("--filename");
  if (files == arguments.values.end()) return sources;
  for (const std::string& path : files->second) {
    if (path == "-") {
      sources.push_back({"stdin", read_input()});
      continue;
    }
    kn::Result<Sources> read = platform.read_manifests(path, arguments.has("--recursive"));
    if (read) {
      std::move(read->begin(), read->end(), std::back_inserter(sources));
    } else {
      if (!missing.empty()) missing += '\n';
      missing += read.error().detail;
    }
  }
  if (!missing.empty()) return kn::fail(kn::Errc::not_found, std::move(missing));
  return sources;
}

// Seconds, or a duration as manifests write it.
kn::Result<kn::Duration> parse_timeout(std::string text) {
  const std::string given = text;
  const std::size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  const bool number = text.size() > sign && text.find_first_not_of("0123456789", sign) == text.npos;
  if (number) text += "s";
  const kn::Result<kn::Duration> timeout = kn::parse_duration(text);
  const std::string why = !timeout                     ? timeout.error().detail
                          : *timeout < kn::Duration(0) ? "must not be negative: " + given
                                                       : std::string();
  if (why.empty()) return timeout;
  return kn::fail(kn::Errc::invalid_argument, why + "; give seconds, or e.g. 90s or 1m30s");
}

// The listener's certificates, when TLS is asked for.
kn::Result<std::optional<kn::ListenTls>> listen_tls(const Arguments& arguments) {
  for (const auto& [given, other] :
       {std::pair{"--tls-cert", "--tls-key"}, std::pair{"--tls-key", "--tls-cert"}}) {
    if (!arguments.get(given).empty() && arguments.get(other).empty()) {
      return kn::fail(kn::Errc::invalid_argument,
                      std::string(given) + ": " + other + " belongs to it");
    }
  }
  kn::ListenTls tls;
  tls.files.certificates = arguments.get("--tls-cert");
  tls.files.private_key = arguments.get("--tls-key");
  tls.files.trusted = arguments.get("--tls-client-ca");
  const bool files = !tls.files.certificates.empty() || !tls.files.private_key.empty() ||
                     !tls.files.trusted.empty();
  std::optional<kn::ListenTls> wanted;
  if (files || arguments.has("--tls")) wanted = std::move(tls);
  return wanted;
}

// Whom to trust and which proxies to take for what goes out.
kn::Result<kn::http::OutboundOptions> outbound(const Arguments& arguments, kn::Files& files) {
  kn::http::OutboundOptions options;
  if (const auto found = arguments.values.find("--trust"); found != arguments.values.end()) {
    for (const std::string& path : found->second) {
      kn::Result<kn::tls::Material> read = kn::tls::load(files, {{}, {}, path});
      if (!read) return read.error().within("--trust");
      options.tls.trust.certificates += read->trusted + "\n";
    }
  }
  if (arguments.has("--proxies-from-environment")) {
    std::map<std::string, std::string> environment;
    for (char** entry = ::environ; *entry != nullptr; ++entry) {
      const std::string_view text = *entry;
      const std::size_t equals = text.find('=');
      if (equals == text.npos) continue;
      environment.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    kn::Result<kn::http::Proxies> proxies = kn::http::Proxies::from(environment);
    if (!proxies) return proxies.error();
    options.proxies = std::move(*proxies);
  }
  return options;
}

// How other registries are reached.
kn::Result<std::shared_ptr<const kn::oci::RegistryClientOptions>> registries(
    const Arguments& arguments, kn::Files& files) {
  auto options = std::make_shared<kn::oci::RegistryClientOptions>();
  if (const std::string path = arguments.get("--registry-config"); !path.empty()) {
    const kn::Result<std::string> text = files.read_file(path);
    if (!text) return text.error().within("--registry-config");
    kn::Result<kn::oci::RegistryKeyring> keyring =
        kn::oci::RegistryKeyring::parse_docker_config(*text);
    if (!keyring) return keyring.error().within("--registry-config " + path);
    options->credentials = std::move(*keyring);
  }
  const auto insecure = arguments.values.find("--insecure-registry");
  if (insecure != arguments.values.end()) {
    for (const std::string& host : insecure->second) options->hosts[host].plain_http = true;
  }
  for (const char* name : {"PATH", "HOME"}) {
    if (const char* value = std::getenv(name)) options->helper_environment[name] = value;
  }
  return std::shared_ptr<const kn::oci::RegistryClientOptions>(std::move(options));
}

// Where the platform answers, and whom clients may have to trust.
void announce(kn::PlatformThread& platform, bool secure) {
  const std::string endpoint = platform.endpoint().to_string();
  std::printf("listening on http%s://%s\n", secure ? "s" : "", endpoint.c_str());
  std::string authority;
  platform.call([&authority](kn::Platform& inner) { authority = inner.authority_file(); });
  if (!authority.empty()) std::printf("clients trust %s\n", authority.c_str());
  std::fflush(stdout);
}

// A platform with the files that are named and what is `added`, until interrupted.
int serve(const Arguments& arguments, const Sources& added) {
  block_signals();
  kn::PlatformOptions options;
  kn::Result<kn::Endpoint> endpoint =
      kn::Endpoint::parse(arguments.get("--listen", "127.0.0.1:8080"));
  if (!endpoint) return misused(endpoint.error().within("--listen"));
  options.listen = *endpoint;
  options.listen_beyond_loopback = arguments.has("--listen-beyond-loopback");
  if (!options.listen_beyond_loopback && !endpoint->is_loopback()) {
    return misused(kn::fail(kn::Errc::failed_precondition,
                            "--listen " + endpoint->to_string() +
                                ": strangers could connect; --listen-beyond-loopback allows it"));
  }
  kn::Result<std::optional<kn::ListenTls>> tls = listen_tls(arguments);
  if (!tls) return misused(tls.error());
  options.listen_tls = std::move(*tls);
  options.data_directory = arguments.get("--data-dir");
  options.domain = arguments.get("--domain", "localhost");
  if (const std::string wrong = kn::check_dns1123_subdomain(options.domain); !wrong.empty()) {
    return misused(
        kn::fail(kn::Errc::invalid_argument, "--domain: \"" + options.domain + "\": " + wrong));
  }
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
  if (!timeout) return misused(timeout.error().within("--timeout"));

  kn::FunctionTable functions;
  kn::LoopOptions loop;
  loop.log_level = kn::LogLevel::warning;
  kn::Result<kn::http::OutboundOptions> going_out = outbound(arguments, kn::Loop().env().files);
  if (!going_out) return complain(going_out.error());
  options.outbound = std::move(*going_out);
  auto reached = registries(arguments, kn::Loop().env().files);
  if (!reached) return misused(reached.error());
  options.registries = std::move(*reached);
  if (arguments.has("--registry")) options.registry.emplace();
  options.push_images = !arguments.has("--no-push");
  const bool secure = options.listen_tls.has_value();
  kn::PlatformThread platform(functions, options, loop);
  kn::ApplyOptions applying;
  applying.skip_unknown_kinds = arguments.has("--skip-unknown-kinds");
  kn::Result<Sources> sources = Sources{};
  kn::Result<void> valid;
  // Before anything begins: what is wrong leaves no trace.
  platform.call([&](kn::Platform& inner) {
    sources = read_all(inner, arguments);
    if (sources) sources->insert(sources->end(), added.begin(), added.end());
    if (sources) valid = inner.check_texts(*sources, applying);
  });
  if (!sources) return complain(sources.error());
  if (!valid) return complain(valid.error());
  if (kn::Result<void> started = platform.start(); !started) return complain(started.error());
  kn::Result<std::vector<kn::ObjectRef>> applied = std::vector<kn::ObjectRef>{};
  platform.call([&](kn::Platform& inner) { applied = inner.apply_texts(*sources, applying); });
  if (!applied) return complain(applied.error());
  if (applied->empty() && arguments.has("--filename")) {
    std::fprintf(stderr, "warning: -f: there are no objects in what is named\n");
  }
  announce(platform, secure);
  // Beside the waiting for a signal: an interrupt must not wait for what never becomes ready.
  std::optional<kn::TaskSet> reports;
  std::atomic<bool> failed = false;
  platform.call([&](kn::Platform& inner) {
    reports.emplace(inner.env().executor)
        .add(report(inner, std::move(*applied), *timeout, !added.empty(), failed));
  });
  wait_for_signal();
  std::printf("stopping\n");
  std::fflush(stdout);
  platform.call([&](kn::Platform&) { reports.reset(); });
  platform.stop();
  return failed ? 1 : 0;
}

}  // namespace

int up(const Arguments& arguments) { return serve(arguments, {}); }

int run(const Arguments& arguments) {
  const kn::Result<std::string> service = service_for(arguments);
  if (!service) return misused(service.error());
  return serve(arguments, {{"the command line", *service}});
}

}  // namespace command
