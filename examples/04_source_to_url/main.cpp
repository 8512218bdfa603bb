// From a git repository to a running URL: build the image, run it as a process, call it.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <knative/knative.hpp>
#include <random>

namespace kn = knative;

int main(int argc, char** argv) {
  // A repository with the sample application; yours may be any git URL.
  const auto scratch = std::filesystem::temp_directory_path() /
                       ("knative-example-" + std::to_string(std::random_device{}()));
  const std::string repository = argc > 1 ? argv[1] : (scratch / "app").string();
  if (argc <= 1) {
    std::filesystem::create_directories(scratch);
    const std::string git =
        "git -c user.name=example -c user.email=example@localhost -C " + repository + " ";
    const std::string commands = "cp -r '" SAMPLE_APP "' " + repository + " && " + git +
                                 "init -q && " + git + "add -A && " + git + "commit -qm app";
    if (std::system(commands.c_str()) != 0) return 1;
  }
  {
    kn::FunctionTable functions;
    kn::PlatformThread platform(functions);

    kn::build::Build build;
    build.metadata.name = "app";
    build.spec.source.git = kn::build::GitSource{.url = repository};
    build.spec.image = "local/app";  // no steps: the source is recognised (a Procfile)
    const kn::BuildResult built = platform.build(build).value();
    std::printf("image %s\n", built.image.c_str());

    platform.apply(kn::serving::service("app", built.image)).value();
    platform.wait_ready("app").value();
    const auto reply = platform.invoke("app", kn::http::get("/")).value();
    std::printf("%d %s", reply.status, reply.body.bytes().c_str());
  }
  std::filesystem::remove_all(scratch);
}
