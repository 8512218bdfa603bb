// One unpacked root per manifest digest. The folder's name is the promise: it appears by rename
// when everything in it has been checked.
#include "knative/oci.hpp"
#include "wire/oci_store.hpp"
#include "wire/oci_unpacking.hpp"

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

// A folder to unpack into; gone with whoever holds it, but for what was moved out.
class Scratch {
 public:
  Scratch(Files& files, std::string directory)
      : files_(files), directory_(std::move(directory)), root_(directory_ + "/root") {}
  ~Scratch() { (void)files_.remove_all(directory_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  static Result<std::shared_ptr<Scratch>> make(Files& files, const std::string& directory) {
    if (Result<void> made = files.make_directories(directory); !made) return made.error();
    Result<std::string> temporary = files.make_temporary_directory(directory + "/.unpack-");
    if (!temporary) return temporary.error();
    return std::make_shared<Scratch>(files, *std::move(temporary));
  }

  const std::string& root() const noexcept { return root_; }
  // What a privileged process unpacks has owners and rights as the image says; others' files are
  // their own whatever it says.
  UnpackOptions options() const { return {.preserve = may_give_away(files_, directory_)}; }
  Result<void> move_to(const std::string& place) {
    Result<void> moved = files_.rename(root_, place);
    // Another process may have been faster; its root is as good.
    return moved || files_.info(place) ? Result<void>() : moved;
  }

 private:
  Files& files_;
  std::string directory_;
  std::string root_;
};

Result<bool> is_there(Files& files, const std::string& place) {
  const Result<FileInfo> there = files.info(place);
  if (there) return true;
  if (there.error().code == Errc::not_found) return false;
  return there.error();
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
  const Result<bool> there = is_there(files, image.directory);
  if (!there) return there.error();
  if (*there) return image;
  Result<std::shared_ptr<Scratch>> scratch = Scratch::make(files, directory);
  if (!scratch) return scratch.error();
  Reference exact = name;
  exact.digest = manifest->digest;
  Result<ImageConfig> unpacked =
      store.unpack(files, exact, (*scratch)->root(), (*scratch)->options(), &image.losses);
  if (!unpacked) return unpacked.error();
  if (Result<void> moved = (*scratch)->move_to(image.directory); !moved) return moved.error();
  return image;
}

// An image that is unpacked while it arrives: shared by the loop and the work beside it, one of
// them at a time.
struct Arriving {
  std::shared_ptr<ImageStore> store;
  Files& files;
  std::string directory;
  Digest digest;
  Manifest manifest;
  std::shared_ptr<Scratch> scratch = {};
  std::optional<Unpacking> unpacking = {};

  // False: there is nothing to do.
  Result<bool> begin() {
    const Result<bool> there = is_there(files, folder_of(directory, digest));
    if (!there) return there.error();
    if (*there) return false;
    Result<std::string> text = store->get_blob(manifest.config, document_bytes_max);
    if (!text) return text.error();
    Result<ImageConfig> config = ImageConfig::parse(*text);
    if (!config) return config.error();
    Result<std::shared_ptr<Scratch>> made = Scratch::make(files, directory);
    if (!made) return made.error();
    scratch = std::move(*made);
    Result<Unpacking> begun =
        Unpacking::begin(*store, files, Reference{.repository = {}, .tag = {}, .digest = digest},
                         manifest, std::move(*config), scratch->root(), scratch->options());
    if (!begun) return begun.error();
    unpacking = std::move(*begun);
    return true;
  }
  Result<void> finish() { return scratch->move_to(folder_of(directory, digest)); }
};

}  // namespace

// ---------------------------------------------------------------------------- what arrives

void ImageArrival::found(const Digest& digest, Manifest manifest) {
  digest_ = digest;
  manifest_ = std::move(manifest);
  changed_.notify_all();
}

void ImageArrival::came(const Digest& blob) {
  blobs_.insert(blob);
  changed_.notify_all();
}

void ImageArrival::end() {
  ended_ = true;
  changed_.notify_all();
}

Task<const Manifest*> ImageArrival::manifest() {
  while (!manifest_ && !ended_) co_await changed_.wait();
  co_return manifest_ ? &*manifest_ : nullptr;
}

Task<bool> ImageArrival::blob(Digest digest) {
  while (!blobs_.contains(digest) && !ended_) co_await changed_.wait();
  co_return blobs_.contains(digest);
}

// ---------------------------------------------------------------------------- the cache

struct UnpackCache::Impl {
  std::shared_ptr<ImageStore> store;
  Files& files;
  Offload& offload;
  std::string directory;
  std::map<Reference, std::shared_ptr<Wakeup>> running;
  std::map<Digest, std::shared_ptr<Wakeup>> following;
  std::map<Digest, UnpackLosses> untold;  // of what was followed

  // Ends the turn of one name or digest, also when its task is dropped.
  template <class Key>
  class Turn {
   public:
    Turn(std::map<Key, std::shared_ptr<Wakeup>>& turns, Key key)
        : turns_(turns), key_(std::move(key)) {
      turns_[key_] = std::make_shared<Wakeup>();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() {
      const auto at = turns_.find(key_);
      const std::shared_ptr<Wakeup> finished = std::move(at->second);
      turns_.erase(at);
      finished->set();
    }

   private:
    std::map<Key, std::shared_ptr<Wakeup>>& turns_;
    Key key_;
  };

  template <class Key>
  static Task<void> others(const std::map<Key, std::shared_ptr<Wakeup>>& turns, Key key) {
    while (true) {
      const auto at = turns.find(key);
      if (at == turns.end()) co_return;
      const std::shared_ptr<Wakeup> other = at->second;
      co_await other->wait();
    }
  }

  // Whoever unpacks `name` while it arrives.
  Task<void> followers(const Reference& name) {
    auto work = [from = store, name] { return from->resolve(name); };
    Task<Result<Descriptor>> resolving = offload.run(work);
    const Result<Descriptor> manifest = co_await std::move(resolving);
    if (!manifest) co_return;
    Task<void> waiting = others(following, manifest->digest);
    co_await std::move(waiting);
  }

  Task<bool> unpack_layers(std::shared_ptr<ImageArrival> arrival, std::shared_ptr<Arriving> image);
};

UnpackCache::UnpackCache(std::shared_ptr<ImageStore> store, Files& files, Offload& offload,
                         std::string directory)
    : impl_(new Impl{std::move(store), files, offload, std::move(directory), {}, {}, {}}) {}
UnpackCache::~UnpackCache() = default;

Task<Result<UnpackedImage>> UnpackCache::get(const Reference& name) {
  Impl& impl = *impl_;
  const Reference wanted = name.with_default_tag();
  Task<void> waiting = Impl::others(impl.running, wanted);
  co_await std::move(waiting);
  const Impl::Turn<Reference> turn(impl.running, wanted);
  if (!impl.following.empty()) {
    Task<void> following = impl.followers(wanted);
    co_await std::move(following);
  }
  auto work = [store = impl.store, &files = impl.files, wanted, directory = impl.directory] {
    return fetch_root(*store, files, wanted, directory);
  };
  Task<Result<UnpackedImage>> task = impl.offload.run(work);
  Result<UnpackedImage> image = co_await std::move(task);
  if (image) {
    const auto untold = impl.untold.find(image->manifest);
    if (untold != impl.untold.end()) {
      if (image->losses.empty()) image->losses = std::move(untold->second);
      impl.untold.erase(untold);
    }
  }
  co_return image;
}

// True when the image lies in the scratch folder, whole.
Task<bool> UnpackCache::Impl::unpack_layers(std::shared_ptr<ImageArrival> arrival,
                                            std::shared_ptr<Arriving> image) {
  for (const Descriptor& layer : image->manifest.layers) {
    Task<bool> waiting = arrival->blob(layer.digest);
    const bool here = co_await std::move(waiting);
    if (!here) co_return false;
    auto work = [image] { return image->unpacking->next(); };
    Task<Result<void>> unpacking = offload.run(work);
    const Result<void> unpacked = co_await std::move(unpacking);
    if (!unpacked) co_return false;
  }
  co_return true;
}

// Whatever goes wrong is said by `get`, which then begins anew.
Task<void> UnpackCache::follow(std::shared_ptr<ImageArrival> arrival) {
  Impl& impl = *impl_;
  Task<const Manifest*> looking = arrival->manifest();
  const Manifest* const manifest = co_await std::move(looking);
  if (manifest == nullptr) co_return;
  const Digest digest = arrival->digest();
  if (impl.following.size() >= following_max || impl.following.contains(digest)) co_return;
  const Impl::Turn<Digest> turn(impl.following, digest);
  auto image = std::make_shared<Arriving>(
      Arriving{impl.store, impl.files, impl.directory, digest, *manifest});
  Task<bool> waiting = arrival->blob(image->manifest.config.digest);
  const bool configured = co_await std::move(waiting);
  if (!configured) co_return;
  auto begin = [image] { return image->begin(); };
  Task<Result<bool>> beginning = impl.offload.run(begin);
  const Result<bool> begun = co_await std::move(beginning);
  bool whole = false;
  if (begun && *begun) {
    Task<bool> unpacking = impl.unpack_layers(arrival, image);
    whole = co_await std::move(unpacking);
  }
  // Removing takes its time, too.
  auto finish = [image, whole]() -> Result<UnpackLosses> {
    const Result<void> moved = whole ? image->finish() : Result<void>();
    UnpackLosses losses;
    if (moved && whole) losses = image->unpacking->take_losses();
    image->unpacking.reset();
    image->scratch.reset();
    if (!moved) return moved.error();
    return losses;
  };
  Task<Result<UnpackLosses>> finishing = impl.offload.run(finish);
  Result<UnpackLosses> losses = co_await std::move(finishing);
  if (losses && !losses->empty()) impl.untold[digest] = std::move(*losses);
}

}  // namespace knative::oci
