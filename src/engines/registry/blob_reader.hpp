// A blob of a store as the body of requests: read beside the loop, from any offset.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "knative/http.hpp"
#include "knative/oci.hpp"
#include "knative/offload.hpp"

namespace knative::oci {

class BlobReader {
 public:
  BlobReader(Offload& disk, std::shared_ptr<ImageStore> store, Descriptor blob);

  // The bytes from `offset` on, `length` of them. One body at a time.
  http::Body body(std::uint64_t offset, std::uint64_t length);
  // What the store failed with while a body was read; such a request breaks.
  const std::optional<Error>& failure() const noexcept { return state_->failure; }

 private:
  struct State {
    std::shared_ptr<ImageStore> store;
    Descriptor blob;
    std::unique_ptr<ByteSource> source;
    std::uint64_t position = 0;
    std::optional<Error> failure;
    Result<std::string> read(std::uint64_t offset, std::uint64_t length);
    Result<void> go_to(std::uint64_t offset, std::string& buffer);
  };
  class Part;
  Offload& disk_;
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace knative::oci
