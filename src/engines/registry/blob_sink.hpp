// A blob on its way from the loop into a store: hashed and written beside the loop, in order.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "knative/oci.hpp"
#include "knative/offload.hpp"
#include "knative/task.hpp"

namespace knative::oci {

// Collects bytes in one buffer while another one is being written. Dropping it discards the blob,
// once a write that is under way is done.
class BlobSink {
 public:
  BlobSink(Executor& executor, Offload& disk, std::shared_ptr<ImageStore> store);

  Task<Result<void>> begin();
  // Take bytes. True: `flush()` must be awaited before the next call.
  bool append(std::string_view bytes);
  Task<Result<void>> flush();
  // Check size and digest of everything, and make it part of the store.
  Task<Result<void>> finish(Descriptor expected);
  std::uint64_t size() const noexcept { return size_; }
  // The store failed, not who sends.
  bool broken() const noexcept { return error_.has_value(); }

 private:
  // What outlives the sink until its last write is done.
  struct Target {
    std::shared_ptr<ImageStore> store;
    std::unique_ptr<BlobWriter> writer;
    Hasher hasher;
  };
  Task<void> write_busy();

  Offload& disk_;
  std::shared_ptr<Target> target_ = std::make_shared<Target>();
  std::string filling_;
  std::string busy_;
  std::uint64_t size_ = 0;
  std::optional<Error> error_;
  TaskSet writing_;
};

}  // namespace knative::oci
