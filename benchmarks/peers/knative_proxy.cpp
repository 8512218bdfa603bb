// A process behind a Service of a platform: listener, routes, queue, accounting, and a socket to
// the program, which runs from an image. The whole product between a client and a program.
//
//   peer_knative_proxy PORT PROGRAM BODY_BYTES
//
// PROGRAM is peer_epoll_server; it listens on $PORT and prints that port. The first line of
// output is our port, the second the program's. Answers for hello.default.example.com.
#include <cstdio>
#include <cstdlib>
#include <knative/knative.hpp>
#include <string>

namespace kn = knative;
namespace oci = knative::oci;

namespace {

/// An image with the program in it, under the name that the Service runs.
void make_image(kn::Platform& platform, kn::Files& files, const std::string& program,
                const std::string& body_bytes) {
  oci::ImageStore& images = platform.images();
  const auto blob = images.new_blob().value();
  oci::LayerWriter layer(*blob);
  const std::uint64_t size = files.info(program).value().size_bytes;
  const auto content = oci::open_source(files, program).value();
  layer.add_file("server", size, *content, true).value();
  const oci::LayerInfo written = layer.finish().value();
  blob->commit().value();
  oci::ImageConfig config;
  config.platform = oci::host_platform();
  config.entrypoint = {"/server"};
  config.command = {"$PORT", body_bytes};
  config.diff_ids = {written.diff_id};
  oci::Manifest manifest;
  manifest.config = images.put_blob(config.to_json(), oci::media_type::config).value();
  manifest.layers = {written.blob};
  const auto name = oci::Reference::parse("local/epoll-server:v1").value();
  images.put_manifest(name, manifest).value();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  std::string upstream;
  kn::PlatformOptions options;
  options.listen = kn::Endpoint{};
  options.listen->port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  options.domain = "example.com";
  options.on_output = [&upstream](std::string_view, std::string_view line) { upstream = line; };
  kn::LoopOptions quiet;
  quiet.log_level = kn::LogLevel::error;
  kn::Loop loop(quiet);
  kn::FunctionTable functions;
  kn::Platform platform(loop.env(), functions, options);
  platform.start().value();
  make_image(platform, loop.env().files, argv[2], argv[3]);
  kn::serving::Service hello = kn::serving::service("hello", "local/epoll-server:v1");
  hello.spec.template_.metadata.annotations = {{"autoscaling.knative.dev/min-scale", "1"},
                                               {"autoscaling.knative.dev/max-scale", "1"}};
  const kn::ObjectRef ref = platform.apply(hello).value();
  loop.run(platform.ready(ref)).value();
  std::printf("%d\n%s\n", platform.endpoint().port, upstream.c_str());
  std::fflush(stdout);
  loop.run();
}
