// Which images objects refer to, so that none of them is collected.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "knative/env.hpp"
#include "knative/oci.hpp"
#include "knative/task.hpp"

namespace knative {

/// Pins what objects refer to by digest, from the time it is in the store until they let go of it.
/// Belongs to its loop.
class ImageHolds {
 public:
  /// `env` must outlive it.
  ImageHolds(std::shared_ptr<oci::ImageStore> store, Env& env);
  ~ImageHolds();

  /// The object with this uid refers to these images ("repository@sha256:..."; one without a
  /// digest is none), and to what it named before no more.
  void keep(const std::string& uid, const std::vector<std::string>& images);
  /// The same at once, for a time when nothing else uses the store.
  void keep_at_once(const std::string& uid, const std::vector<std::string>& images);
  void release(const std::string& uid);
  /// The image is in the store now, and `pin` keeps it there.
  void came(const oci::Digest& image, const oci::Pin& pin);

 private:
  struct Held {
    std::set<std::string> owners;
    oci::Pin pin;  ///< Null: it is not here.
  };
  /// The new ones.
  std::vector<oci::Digest> enter(const std::string& uid, const std::vector<std::string>& images);
  void let_go(const std::string& uid, const oci::Digest& image);
  Task<void> pin(oci::Digest image);

  std::shared_ptr<oci::ImageStore> store_;
  Env& env_;
  std::map<oci::Digest, Held> images_;
  std::map<std::string, std::set<oci::Digest>> owners_;
  TaskSet tasks_;
};

}  // namespace knative
