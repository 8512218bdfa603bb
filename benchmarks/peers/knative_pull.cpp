// Pulls an image into a layout and unpacks it while it arrives, for comparisons with other
// programs:
//   peer_knative_pull NAME FOLDER
// Prints the seconds until it was there, and those that unpacking took beyond.
#include <chrono>
#include <cstdio>
#include <string>

#include "knative/http_outbound.hpp"
#include "knative/registry_client.hpp"

namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

int main(int argc, char** argv) {
  using namespace knative;
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s NAME FOLDER\n", argv[0]);
    return 2;
  }
  const std::string folder = argv[2];
  const oci::Reference name = oci::Reference::parse(argv[1]).value();
  Loop loop;
  Env& env = loop.env();
  oci::ImageLayoutOptions layout;
  layout.sync = false;  // nor do the others
  const auto store = oci::open_image_layout(env.files, folder + "/store", layout).value();
  http::Outbound outbound(env.executor, env.timers, env.network);
  oci::RegistryClient client(outbound, env.timers, env.random, env.disk);
  const auto begin = std::chrono::steady_clock::now();
  oci::UnpackCache cache(store, env.files, env.disk, folder + "/roots");
  oci::PullOptions options;
  options.arrival = std::make_shared<oci::ImageArrival>();
  TaskSet following(env.executor);
  following.add(cache.follow(options.arrival));
  const Result<oci::PulledImage> pulled = loop.run(client.pull(name, store, std::move(options)));
  if (!pulled) {
    std::fprintf(stderr, "%s\n", pulled.error().to_string().c_str());
    return 1;
  }
  const double pull = seconds_since(begin);
  const auto unpacking = std::chrono::steady_clock::now();
  const Result<oci::UnpackedImage> unpacked = loop.run(cache.get(name));
  if (!unpacked) {
    std::fprintf(stderr, "%s\n", unpacked.error().to_string().c_str());
    return 1;
  }
  std::printf("%.3f %.3f\n", pull, seconds_since(unpacking));
  return 0;
}
