// From a commit in an object database to files in a folder. Everything is counted before anything
// is written. Blocking; knows nothing of where the objects are.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engines/builder/git_objects.hpp"
#include "knative/builder.hpp"

namespace knative::builder::git {

// An object database.
class Objects {
 public:
  struct Header {
    ObjectType type;
    std::uint64_t size_bytes;
  };
  struct Object {
    ObjectType type;
    std::string_view bytes;
    std::shared_ptr<const void> owner;  // of `bytes`
  };
  virtual ~Objects() = default;
  // `not_found` when there is no such object.
  virtual Result<Header> header(const Id& id) = 0;
  virtual Result<Object> read(const Id& id) = 0;
  // By the first digits of its id; `invalid_argument` when there are several.
  virtual Result<Id> find(const std::string& digits) = 0;
};

// Another repository's commit in a commit.
struct Gitlink {
  std::string path;
  std::string commit;
  friend bool operator==(const Gitlink&, const Gitlink&) = default;
};

struct Checkout {
  std::string commit;
  std::int64_t time_seconds = 0;
  // What was written.
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  // With `CheckoutRequest::submodules`:
  std::vector<Gitlink> gitlinks;
  std::string modules;  // the text of ".gitmodules"; "" when there is none
};

struct CheckoutRequest {
  std::string url;       // for the repository's configuration
  std::string revision;  // a commit or tag by its id, full or short
  std::string directory;
  FetcherOptions limits;
  bool submodules = false;  // what they are is wanted
  // The repository of the checkout gets the commit's objects; false when it has them.
  bool keep_objects = false;
};

// Make ".git" in `directory` without objects and HEAD; `already_exists` when there is one.
Result<void> make_repository(Files& files, const CheckoutRequest& request);

// Count, then fill `directory`. With `keep_objects` the repository is made, too.
Result<Checkout> check_out(Files& files, Objects& objects, const CheckoutRequest& request,
                           const std::atomic<bool>& cancelled);

}  // namespace knative::builder::git
