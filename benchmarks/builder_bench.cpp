// Builds and images: packing and unpacking a tree of 200 MB, the primitives that bound it, and
// builds that do nothing. Bytes per second are of the unpacked tree.
#include <benchmark/benchmark.h>

#include "knative/builder.hpp"
#include "knative/container_runtimes.hpp"
#include "knative/http_outbound.hpp"
#include "wire/oci_tar.hpp"

namespace knative {
namespace {

constexpr std::size_t tree_bytes = std::size_t{200} << 20;
constexpr std::size_t file_bytes = 512 << 10;

// About as compressible as programs and sources are: words, numbers, and some noise.
std::string make_content(Random& random, std::size_t size) {
  static constexpr std::size_t words = 4096;
  std::string text;
  text.reserve(size + 16);
  while (text.size() < size) {
    std::uint64_t word = random.below(words) * random.below(words) / words;
    do {
      text.push_back(static_cast<char>('a' + word % 23));
      word /= 5;
    } while (word > 0);
    if (random.below(8) == 0) {
      const std::uint64_t noise = random();
      text.append(reinterpret_cast<const char*>(&noise), 6);
    }
    text.push_back(' ');
  }
  text.resize(size);
  return text;
}

// A tree in a temporary folder, made once per program run.
class Tree {
 public:
  Tree() : root_(files().make_temporary_directory("builder-bench-").value()) {
    Random random(1);
    for (std::size_t i = 0; i < tree_bytes / file_bytes; ++i) {
      const std::string folder = root_ + "/tree/d" + std::to_string(i % 16);
      files().make_directories(folder).value();
      const OpenOptions how{.write = true, .create = true};
      files()
          .open(folder + "/f" + std::to_string(i), how)
          .value()
          ->write_at(0, make_content(random, file_bytes))
          .value();
    }
  }
  ~Tree() { (void)files().remove_all(root_); }
  Files& files() { return loop_.env().files; }
  Loop& loop() { return loop_; }
  std::string tree() const { return root_ + "/tree"; }
  std::string in(const std::string& name) const { return root_ + "/" + name; }

 private:
  Loop loop_;
  std::string root_;
};

Tree& tree() {
  static Tree instance;
  return instance;
}

void set_bytes(benchmark::State& state, std::uint64_t bytes) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
}

void sha256(benchmark::State& state) {
  Random random(2);
  const std::string block = make_content(random, 1 << 20);
  oci::Hasher hasher;
  for (auto _ : state) hasher.update(block);
  benchmark::DoNotOptimize(hasher.finish());
  set_bytes(state, block.size());
}
BENCHMARK(sha256);

void gzip_block(benchmark::State& state) {
  Random random(2);
  const std::string block = make_content(random, 1 << 20);
  oci::tar::BlockCompressor compressor(static_cast<int>(state.range(0)));
  std::size_t size = 0;
  for (auto _ : state) size = compressor.compress(block).size();
  state.counters["ratio"] = static_cast<double>(size) / static_cast<double>(block.size());
  set_bytes(state, block.size());
}
BENCHMARK(gzip_block)->Arg(1)->Arg(6);

// What is compressed already, as pictures and archives are.
void gzip_block_of_noise(benchmark::State& state) {
  Random random(2);
  std::string block(1 << 20, '\0');
  for (char& byte : block) byte = static_cast<char>(random());
  oci::tar::BlockCompressor compressor(1);
  for (auto _ : state) benchmark::DoNotOptimize(compressor.compress(block));
  set_bytes(state, block.size());
}
BENCHMARK(gzip_block_of_noise);

class NullSink : public oci::ByteSink {
 public:
  Result<void> write(std::string_view) override { return {}; }
};

void pack_layer(benchmark::State& state) {
  (void)tree();  // made before the clock starts
  for (auto _ : state) {
    NullSink sink;
    oci::LayerWriter writer(sink, {.gzip = state.range(0) > 0});
    writer.add_tree(tree().files(), tree().tree()).value();
    benchmark::DoNotOptimize(writer.finish().value());
  }
  set_bytes(state, tree_bytes);
}
BENCHMARK(pack_layer)
    ->ArgName("gzip")
    ->Arg(0)
    ->Arg(1)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// What steps run on.
struct Steps {
  Steps(Env& env, const FunctionTable& functions) {
    runtimes.add("function", std::make_shared<FunctionRuntime>(functions, env.executor, env.timers,
                                                               env.offload, env.logger));
    runtimes.add("host", std::make_shared<ProcessRuntime>(env, host));
  }
  HostImages host;
  ContainerRuntimes runtimes;
};

// What a build does after its steps: layer into a layout folder, config, manifest, index.
void pack_image(benchmark::State& state) {
  FunctionTable functions;
  Env& env = tree().loop().env();
  Steps steps(env, functions);
  http::Outbound outbound(env.executor, env.timers, env.network);
  auto fetcher =
      source_fetcher(outbound, env.timers, env.network, env.processes, env.files, env.offload);
  auto store =
      oci::open_image_layout(env.files, tree().in("images"), {.sync = state.range(0) > 0}).value();
  BuilderOptions options;
  options.directory = tree().in("builds");
  Builder builder(env.timers, env.files, env.offload, *fetcher, steps.runtimes, store, options);
  build::Build build;
  build.metadata.name = "pack";
  build.spec.source.gcs = build::GcsSource{"Archive", tree().tree()};
  build.spec.image = "local/pack";
  build.spec.image_config.emplace().entrypoint = {"/bin/true"};
  for (auto _ : state) {
    benchmark::DoNotOptimize(tree().loop().run(builder.run(build)).value().image);
    state.PauseTiming();
    (void)env.files.remove_all(tree().in("images/blobs"));
    env.files.make_directories(tree().in("images/blobs/sha256")).value();
    state.ResumeTiming();
  }
  set_bytes(state, tree_bytes);
}
BENCHMARK(pack_image)
    ->ArgName("sync")
    ->Arg(0)
    ->Arg(1)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void unpack_image(benchmark::State& state) {
  auto store = oci::memory_image_store();
  std::unique_ptr<oci::BlobWriter> blob = store->new_blob().value();
  oci::LayerWriter writer(*blob);
  writer.add_tree(tree().files(), tree().tree()).value();
  const oci::LayerInfo layer = writer.finish().value();
  blob->commit().value();
  oci::ImageConfig config;
  config.platform = oci::host_platform();
  config.diff_ids = {layer.diff_id};
  oci::Manifest manifest;
  manifest.config = store->put_blob(config.to_json(), oci::media_type::config).value();
  manifest.layers = {layer.blob};
  const oci::Reference name = oci::Reference::parse("local/x").value();
  store->put_manifest(name, manifest).value();
  for (auto _ : state) {
    store->unpack(tree().files(), name, tree().in("root")).value();
    state.PauseTiming();
    tree().files().remove_all(tree().in("root")).value();
    state.ResumeTiming();
  }
  set_bytes(state, tree_bytes);
}
BENCHMARK(unpack_image)->Unit(benchmark::kMillisecond)->UseRealTime();

// A build of one step that does nothing: 0 a function, 1 a process, 2 a process and an image.
void null_build(benchmark::State& state) {
  FunctionTable functions;
  functions.program(
      "nothing",
      [](const ContainerSpec&, const ContainerOutput&) -> Task<Result<int>> { co_return 0; });
  Env& env = tree().loop().env();
  Steps steps(env, functions);
  http::Outbound outbound(env.executor, env.timers, env.network);
  auto fetcher =
      source_fetcher(outbound, env.timers, env.network, env.processes, env.files, env.offload);
  auto store = oci::open_image_layout(env.files, tree().in("null-images"), {.sync = false}).value();
  BuilderOptions options;
  options.directory = tree().in("null-builds");
  Builder builder(env.timers, env.files, env.offload, *fetcher, steps.runtimes, store, options);
  build::Build build;
  build.metadata.name = "null";
  build::Step step;
  step.name = "nothing";
  step.image = "fn:nothing";
  if (state.range(0) > 0) {
    step.image = "host";
    step.command = {"/bin/true"};
  }
  build.spec.steps = {step};
  if (state.range(0) > 1) {
    build.spec.image = "local/null";
    build.spec.image_config.emplace().entrypoint = {"/bin/true"};
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(tree().loop().run(builder.run(build)).value().status.start_time);
  }
}
BENCHMARK(null_build)->DenseRange(0, 2)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace knative
