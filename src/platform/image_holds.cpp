#include "platform/image_holds.hpp"

#include <utility>

namespace knative {

namespace {

std::set<oci::Digest> digests_held(const std::vector<std::string>& images) {
  std::set<oci::Digest> digests;
  for (const std::string& image : images) {
    const Result<oci::Reference> name = oci::Reference::parse(image);
    if (name && !name->digest.empty()) digests.insert(name->digest);
  }
  return digests;
}

}  // namespace

ImageHolds::ImageHolds(std::shared_ptr<oci::ImageStore> store, Env& env)
    : store_(std::move(store)), env_(env), tasks_(env.executor) {}

ImageHolds::~ImageHolds() = default;

std::vector<oci::Digest> ImageHolds::enter(const std::string& uid,
                                           const std::vector<std::string>& images) {
  std::set<oci::Digest> digests = digests_held(images);
  std::vector<oci::Digest> fresh;
  for (const oci::Digest& digest : digests) {
    Held& held = images_[digest];
    if (held.owners.empty()) fresh.push_back(digest);
    held.owners.insert(uid);
  }
  std::set<oci::Digest>& owned = owners_[uid];
  for (const oci::Digest& digest : owned) {
    if (!digests.contains(digest)) let_go(uid, digest);
  }
  owned = std::move(digests);
  if (owned.empty()) owners_.erase(uid);
  return fresh;
}

void ImageHolds::let_go(const std::string& uid, const oci::Digest& image) {
  const auto held = images_.find(image);
  held->second.owners.erase(uid);
  if (held->second.owners.empty()) images_.erase(held);
}

void ImageHolds::keep(const std::string& uid, const std::vector<std::string>& images) {
  for (const oci::Digest& digest : enter(uid, images)) tasks_.add(pin(digest));
}

void ImageHolds::keep_at_once(const std::string& uid, const std::vector<std::string>& images) {
  for (const oci::Digest& digest : enter(uid, images)) {
    const Result<oci::Pin> pin = store_->pin(digest);
    if (pin) came(digest, *pin);
  }
}

void ImageHolds::release(const std::string& uid) { (void)enter(uid, {}); }

void ImageHolds::came(const oci::Digest& image, const oci::Pin& pin) {
  const auto held = images_.find(image);
  if (held != images_.end()) held->second.pin = pin;
}

// What is not here yet is pinned when it comes.
Task<void> ImageHolds::pin(oci::Digest image) {
  auto work = [store = store_, image] { return store->pin(image); };
  Task<Result<oci::Pin>> pinning = env_.disk.run(work);
  const Result<oci::Pin> pinned = co_await std::move(pinning);
  if (pinned) came(image, *pinned);
}

}  // namespace knative
