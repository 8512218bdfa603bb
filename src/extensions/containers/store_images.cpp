#include "extensions/containers/store_images.hpp"

#include <utility>

#include "base/file_tree.hpp"
#include "base/handover.hpp"

namespace knative {

namespace {

// A folder of its own around the root: a clone that was interrupted is never taken for one.
Result<std::string> clone_root(Files& files, const std::string& from, const std::string& directory,
                               bool shared) {
  if (Result<void> made = files.make_directories(directory); !made) return made.error();
  Result<std::string> folder = files.make_temporary_directory(directory + "/container-");
  if (!folder || shared) return folder;
  Result<void> cloned = base::clone_tree(files, from, *folder + "/root");
  if (cloned) return folder;
  (void)files.remove_all(*folder);
  return cloned.error();
}

/// A clone on its way to a container that may be told to stop meanwhile.
struct Cloning {
  std::string folder;  ///< Set before the work leaves.
  base::Handover handover;
};

ImageDefaults defaults_of(const oci::ImageConfig& config) {
  ImageDefaults defaults;
  defaults.entrypoint = config.entrypoint;
  defaults.cmd = config.command;
  defaults.working_directory = config.working_directory;
  defaults.user = config.user;
  for (const std::string& variable : config.environment) {
    const std::size_t equals = variable.find('=');
    if (equals != std::string::npos) {
      defaults.environment[variable.substr(0, equals)] = variable.substr(equals + 1);
    }
  }
  return defaults;
}

}  // namespace

// What outlives a container by the time that removing its files takes.
struct StoreImages::Clones {
  Clones(Env& e, std::string d) : env(e), directory(std::move(d)), removals(e.executor) {}

  Task<void> remove(std::string folder) {
    auto work = [&files = env.files, folder] { (void)files.remove_all(folder); };
    Task<void> removing = env.disk.run(work);
    co_await std::move(removing);
  }

  void remove_later(std::string folder) {
    if (!closed && !folder.empty()) removals.add(remove(std::move(folder)));
  }

  Env& env;
  const std::string directory;
  bool closed = false;
  TaskSet removals;
};

/// On the side of the container: what came too late for it goes again.
struct StoreImages::Waiting {
  std::shared_ptr<Clones> clones;
  std::shared_ptr<Cloning> cloning = std::make_shared<Cloning>();
  bool got = false;

  ~Waiting() {
    if (cloning->handover.leave() && !got) clones->remove_later(cloning->folder);
  }
};

StoreImages::StoreImages(ImageSource& source, oci::UnpackCache& cache, Env& env,
                         std::string directory)
    : source_(source),
      cache_(cache),
      env_(env),
      clones_(std::make_shared<Clones>(env, std::move(directory))) {}

StoreImages::~StoreImages() {
  clones_->closed = true;
  clones_->removals.clear();
  (void)env_.files.remove_all(clones_->directory);
}

Task<Result<std::string>> StoreImages::pin(const ContainerSpec& spec) { return source_.pin(spec); }

Task<Result<ImageRoot>> StoreImages::provide(const ContainerSpec& spec) {
  return provide_with(spec, false);
}

Task<Result<ImageRoot>> StoreImages::provide_shared(const ContainerSpec& spec) {
  return provide_with(spec, true);
}

Task<Result<ImageRoot>> StoreImages::provide_with(const ContainerSpec& spec, bool shared) {
  Task<Result<FetchedImage>> fetching = source_.fetch_to_run(spec);
  const Result<FetchedImage> image = co_await std::move(fetching);
  if (!image) co_return image.error();
  Task<Result<oci::UnpackedImage>> unpacking = cache_.get(image->name);
  const Result<oci::UnpackedImage> unpacked = co_await std::move(unpacking);
  if (!unpacked) co_return unpacked.error();
  if (!unpacked->losses.empty()) {
    env_.logger.log(LogLevel::warning, "images", "not everything of an image could be made",
                    {{"image", image->name.to_string()}, {"what", unpacked->losses.to_string()}});
  }
  const oci::ImagePlatform host = oci::host_platform();
  const oci::ImagePlatform& made_for = unpacked->config.platform;
  if (!made_for.architecture.empty() && made_for.architecture != host.architecture) {
    env_.logger.log(LogLevel::warning, "images", "an image is made for another architecture",
                    {{"image", image->name.to_string()},
                     {"architecture", made_for.architecture},
                     {"host", host.architecture}});
  }
  const std::shared_ptr<Clones> clones = clones_;
  Waiting waiting{.clones = clones};
  auto work = [&files = env_.files, from = unpacked->directory, into = clones->directory,
               cloning = waiting.cloning, shared]() -> Result<std::string> {
    if (!cloning->handover.awaited()) return fail(Errc::cancelled, "nobody waits for it");
    Result<std::string> made = clone_root(files, from, into, shared);
    if (made) cloning->folder = *made;
    if (cloning->handover.leave() && made) (void)files.remove_all(*made);
    return made;
  };
  Task<Result<std::string>> cloning = env_.disk.run(work);
  const Result<std::string> folder = co_await std::move(cloning);
  waiting.got = true;
  if (!folder) co_return folder.error().within("a root for " + spec.image);
  ImageRoot root;
  root.directory = shared ? unpacked->directory : *folder + "/root";
  if (shared) root.upper = *folder;
  root.defaults = defaults_of(unpacked->config);
  auto remove = [clones, folder = *folder, pin = image->pin](void*) {
    clones->remove_later(folder);
  };
  root.keep = std::shared_ptr<void>(clones.get(), std::move(remove));
  co_return root;
}

}  // namespace knative
