#include "engines/registry/blob_reader.hpp"

#include <algorithm>

namespace knative::oci {

namespace {

constexpr std::uint64_t read_bytes_max = 256 << 10;

}  // namespace

BlobReader::BlobReader(Offload& disk, std::shared_ptr<ImageStore> store, Descriptor blob)
    : disk_(disk) {
  state_->store = std::move(store);
  state_->blob = std::move(blob);
}

Result<void> BlobReader::State::go_to(std::uint64_t offset, std::string& buffer) {
  if (!source || position > offset) {
    Result<std::unique_ptr<ByteSource>> opened = store->open_blob(blob);
    if (!opened) return opened.error();
    source = *std::move(opened);
    position = 0;
  }
  while (position < offset) {
    const auto room =
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), offset - position));
    Result<std::size_t> got = source->read(std::span<char>(buffer.data(), room));
    if (!got) return got.error();
    if (*got == 0) return fail(Errc::data_loss, "the blob is shorter than it was");
    position += *got;
  }
  return {};
}

// Some bytes from `offset` on. Before the last ones are given away, all have been checked.
Result<std::string> BlobReader::State::read(std::uint64_t offset, std::uint64_t length) {
  std::string buffer(static_cast<std::size_t>(std::min(length, read_bytes_max)), '\0');
  if (Result<void> there = go_to(offset, buffer); !there) return there.error();
  std::size_t have = 0;
  while (have < buffer.size()) {
    Result<std::size_t> got = source->read(std::span<char>(buffer).subspan(have));
    if (!got) return got.error();
    if (*got == 0) return fail(Errc::data_loss, "the blob is shorter than it was");
    have += *got;
    position += *got;
  }
  if (position == blob.size_bytes) {
    char none = 0;
    Result<std::size_t> end = source->read(std::span<char>(&none, 1));
    if (!end) return end.error();
  }
  return buffer;
}

class BlobReader::Part final : public http::BodySource {
 public:
  Part(Offload& disk, std::shared_ptr<State> state, std::uint64_t offset, std::uint64_t length)
      : disk_(disk), state_(std::move(state)), offset_(offset), left_(length), length_(length) {}

  Task<Result<std::string_view>> next() override {
    if (left_ == 0) co_return std::string_view();
    auto work = [state = state_, offset = offset_, left = left_] {
      return state->read(offset, left);
    };
    Result<std::string> read = co_await disk_.run(work);
    if (!read) {
      state_->failure = read.error();
      co_return std::move(read).error();
    }
    piece_ = *std::move(read);
    offset_ += piece_.size();
    left_ -= piece_.size();
    co_return std::string_view(piece_);
  }
  std::optional<std::uint64_t> length() const override { return length_; }

 private:
  Offload& disk_;
  std::shared_ptr<State> state_;
  std::uint64_t offset_;
  std::uint64_t left_;
  std::uint64_t length_;
  std::string piece_;
};

http::Body BlobReader::body(std::uint64_t offset, std::uint64_t length) {
  return http::Body(std::make_unique<Part>(disk_, state_, offset, length));
}

}  // namespace knative::oci
