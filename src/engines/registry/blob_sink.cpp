#include "engines/registry/blob_sink.hpp"

namespace knative::oci {

namespace {

constexpr std::size_t write_bytes = 512 << 10;

struct Written {
  Result<void> result;
  std::string buffer;  // Empty again, to be filled anew.
};

}  // namespace

BlobSink::BlobSink(Executor& executor, Offload& disk, std::shared_ptr<ImageStore> store)
    : disk_(disk), writing_(executor) {
  target_->store = std::move(store);
}

Task<Result<void>> BlobSink::begin() {
  auto work = [target = target_]() -> Result<void> {
    Result<std::unique_ptr<BlobWriter>> writer = target->store->new_blob();
    if (!writer) return writer.error();
    target->writer = *std::move(writer);
    return {};
  };
  Result<void> opened = co_await disk_.run(work);
  if (!opened) error_ = opened.error();
  co_return opened;
}

bool BlobSink::append(std::string_view bytes) {
  if (filling_.capacity() < write_bytes) filling_.reserve(write_bytes + (128 << 10));
  filling_.append(bytes);
  size_ += bytes.size();
  return filling_.size() >= write_bytes;
}

Task<void> BlobSink::write_busy() {
  auto work = [target = target_, buffer = std::move(busy_)]() mutable {
    target->hasher.update(buffer);
    Written written{target->writer->write(buffer), {}};
    buffer.clear();
    written.buffer = std::move(buffer);
    return written;
  };
  Written written = co_await disk_.run(work);
  busy_ = std::move(written.buffer);
  if (!written.result && !error_) error_ = std::move(written.result).error();
}

Task<Result<void>> BlobSink::flush() {
  co_await writing_.drained();
  if (error_) co_return *error_;
  if (filling_.empty()) co_return Result<void>();
  std::swap(filling_, busy_);
  writing_.add(write_busy());
  co_return Result<void>();
}

Task<Result<void>> BlobSink::finish(Descriptor expected) {
  Result<void> flushed = co_await flush();
  if (!flushed) co_return flushed;
  co_await writing_.drained();
  if (error_) co_return *error_;
  if (size_ != expected.size_bytes) {
    co_return fail(Errc::data_loss, "expected " + std::to_string(expected.size_bytes) +
                                        " bytes, got " + std::to_string(size_));
  }
  auto work = [target = target_, digest = expected.digest]() -> Result<bool> {
    if (target->hasher.finish() != digest) return false;
    Result<Descriptor> committed = target->writer->commit();
    if (!committed) return committed.error();
    return committed->digest == digest;
  };
  Result<bool> right = co_await disk_.run(work);
  if (!right) error_ = right.error();
  if (!right) co_return std::move(right).error();
  if (!*right) co_return fail(Errc::data_loss, "its content has another digest");
  co_return Result<void>();
}

}  // namespace knative::oci
