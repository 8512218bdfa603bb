// One unpacked root per manifest digest. The folder's name is the promise: it appears by rename
// when everything in it has been checked.
#include "knative/oci.hpp"

namespace knative::oci {

namespace {

std::string folder_of(const std::string& directory, const Digest& digest) {
  return directory + "/" + std::string(digest.algorithm_name()) + "-" + std::string(digest.hex());
}

// Whether this process may make files another user's.
bool may_give_away(Files& files, const std::string& directory) {
  const Result<FileInfo> mine = files.info(directory);
  constexpr std::uint32_t nobody = 65534;
  return mine && files.set_owner(directory, nobody, nobody) &&
         files.set_owner(directory, mine->owner, mine->group);
}

// Runs beside the loop, so it owns what it uses.
Result<UnpackedImage> fetch_root(ImageStore& store, Files& files, const Reference& name,
                                 const std::string& directory) {
  Result<Descriptor> manifest = store.resolve(name);
  if (!manifest) return manifest.error();
  Result<ImageConfig> config = store.config(name);
  if (!config) return config.error();
  UnpackedImage image{
      folder_of(directory, manifest->digest), manifest->digest, std::move(*config), {}};
  Result<FileInfo> there = files.info(image.directory);
  if (there) return image;
  if (there.error().code != Errc::not_found) return there.error();
  if (Result<void> made = files.make_directories(directory); !made) return made.error();
  Result<std::string> temporary = files.make_temporary_directory(directory + "/.unpack-");
  if (!temporary) return temporary.error();
  Reference exact = name;
  exact.digest = manifest->digest;
  // What a privileged process unpacks has owners and rights as the image says; others' files are
  // their own whatever it says.
  Result<ImageConfig> unpacked =
      store.unpack(files, exact, *temporary + "/root",
                   {.preserve = may_give_away(files, *temporary)}, &image.losses);
  if (unpacked) {
    Result<void> moved = files.rename(*temporary + "/root", image.directory);
    // Another process may have been faster; its root is as good.
    if (!moved && !files.info(image.directory)) {
      (void)files.remove_all(*temporary);
      return moved.error();
    }
  }
  (void)files.remove_all(*temporary);
  if (!unpacked) return unpacked.error();
  return image;
}

}  // namespace

struct UnpackCache::Impl {
  std::shared_ptr<ImageStore> store;
  Files& files;
  Offload& offload;
  std::string directory;
  std::map<Reference, std::shared_ptr<Wakeup>> running;

  // Ends the turn of one name, also when its task is dropped.
  struct Turn {
    Impl& impl;
    Reference name;
    ~Turn() {
      const auto at = impl.running.find(name);
      const std::shared_ptr<Wakeup> finished = std::move(at->second);
      impl.running.erase(at);
      finished->set();
    }
  };
};

UnpackCache::UnpackCache(std::shared_ptr<ImageStore> store, Files& files, Offload& offload,
                         std::string directory)
    : impl_(new Impl{std::move(store), files, offload, std::move(directory), {}}) {}
UnpackCache::~UnpackCache() = default;

Task<Result<UnpackedImage>> UnpackCache::get(const Reference& name) {
  Impl& impl = *impl_;
  const Reference wanted = name.with_default_tag();
  while (true) {
    const auto at = impl.running.find(wanted);
    if (at == impl.running.end()) break;
    const std::shared_ptr<Wakeup> other = at->second;
    co_await other->wait();
  }
  impl.running[wanted] = std::make_shared<Wakeup>();
  const Impl::Turn turn{impl, wanted};
  auto work = [store = impl.store, &files = impl.files, wanted, directory = impl.directory] {
    return fetch_root(*store, files, wanted, directory);
  };
  Task<Result<UnpackedImage>> task = impl.offload.run(work);
  Result<UnpackedImage> image = co_await std::move(task);
  co_return image;
}

}  // namespace knative::oci
