// The last part of `knative demo`: a build step runs in a container of its image, and a Service
// whose program nobody has to trust runs in a sandbox.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <knative/knative.hpp>

#include "demo.hpp"
#include "knative/oci.hpp"
#include "knative/processes.hpp"

namespace kn = knative;
using namespace std::chrono_literals;

namespace command {

namespace {

constexpr const char* shell_path = "/bin/busybox";
constexpr const char* image_name = "demo/shell";
constexpr const char* step_source_end = " build-step-look";

// What a program sees from inside, as an answer of a web server.
constexpr const char* look_script = R"sh(#!/bin/busybox sh
set -- /proc/[0-9]*
printf 'Content-Type: text/plain\r\n\r\n'
echo $# processes';' network: $(/bin/busybox sed -n 's/:.*//p' /proc/net/dev)';' $(/bin/busybox ls /)
)sh";

/// An image of a shell that needs nothing else, as `docker import` would make it.
kn::Result<void> store_shell(kn::oci::ImageStore& images, const std::string& program) {
  kn::Result<std::unique_ptr<kn::oci::BlobWriter>> blob = images.new_blob();
  if (!blob) return blob.error();
  kn::oci::LayerWriter writer(**blob);
  kn::Result<void> added = writer.add_file("bin/busybox", program, true);
  if (added) added = writer.add_symlink("bin/sh", "busybox");
  if (added) added = writer.add_file("www/cgi-bin/look", look_script, true);
  if (!added) return added;
  const kn::Result<kn::oci::LayerInfo> layer = writer.finish();
  if (!layer) return layer.error();
  if (kn::Result<kn::oci::Descriptor> kept = (*blob)->commit(); !kept) return kept.error();
  kn::oci::ImageConfig config;
  config.platform = kn::oci::host_platform();
  config.entrypoint = {"/bin/sh", "-c",
                       "trap exit TERM; /bin/busybox httpd -f -p $PORT -h /www & wait"};
  config.environment = {"PATH=/bin"};
  config.diff_ids = {layer->diff_id};
  const kn::Result<kn::oci::Descriptor> described =
      images.put_blob(config.to_json(), kn::oci::media_type::config);
  if (!described) return described.error();
  kn::oci::Manifest manifest;
  manifest.config = *described;
  manifest.layers = {layer->blob};
  const kn::Result<kn::oci::Reference> name = kn::oci::Reference::parse(image_name);
  if (!name) return name.error();
  const kn::Result<kn::oci::Descriptor> bound = images.put_manifest(*name, manifest);
  return bound ? kn::Result<void>() : bound.error();
}

std::string read_program(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

int step_in_container(kn::PlatformThread& platform) {
  kn::build::Build build;
  build.metadata.name = "look";
  kn::core::Container step;
  step.name = "look";
  step.image = image_name;
  step.command = {"/bin/sh", "-c"};
  step.args = {"echo $(busybox ls /) as user $(busybox id -u), process $$"};
  build.spec.steps = {step};
  const Clock::time_point begin = Clock::now();
  const kn::Result<kn::BuildResult> built = platform.build(build);
  if (!built) return failed("build step", built.error());
  line("step has ended", std::string("in a container of ") + image_name, milliseconds_since(begin));
  return 0;
}

int service_in_sandbox(kn::PlatformThread& platform) {
  kn::serving::Service service = kn::serving::service("guest", image_name);
  service.spec.template_.spec.runtime_class_name = "sandbox";
  Clock::time_point begin = Clock::now();
  const kn::Result<kn::ObjectRef> ref = platform.apply(service);
  if (!ref) return failed("service", ref.error());
  if (kn::Result<void> ready = platform.ready(*ref, 30s); !ready) {
    return failed("service", ready.error());
  }
  line("ready in a sandbox", platform.url(*ref), milliseconds_since(begin));
  begin = Clock::now();
  const kn::Result<kn::http::Response> seen =
      fetch(platform, "guest.default.localhost", "/cgi-bin/look");
  if (!seen) return failed("request", seen.error());
  if (!seen->ok()) return failed("request", kn::fail(kn::Errc::internal, seen->body.bytes()));
  line("it sees", trimmed(seen->body.bytes()), milliseconds_since(begin));
  return 0;
}

}  // namespace

void show_output(std::string_view source, std::string_view text) {
  if (source.ends_with(step_source_end)) line("step says", std::string(text), 0);
}

int containers_part(kn::PlatformThread& platform, const std::string& files) {
  heading("4. Containers: a step in its image, and a Service in a sandbox");
  const kn::IsolationSupport support = kn::Loop().env().processes.isolation(files);
  const std::string program = read_program(shell_path);
  if (!support.possible || program.empty()) {
    line("left out", support.possible ? std::string("no ") + shell_path : support.reason, 0);
    return 0;
  }
  kn::Result<void> stored;
  platform.call([&](kn::Platform& inner) { stored = store_shell(inner.images(), program); });
  if (!stored) return failed("image", stored.error());
  if (int code = step_in_container(platform)) return code;
  return service_in_sandbox(platform);
}

}  // namespace command
