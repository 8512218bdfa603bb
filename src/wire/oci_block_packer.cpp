#include "wire/oci_block_packer.hpp"

#include <algorithm>
#include <cstring>

namespace knative::oci {

BlockPacker::BlockPacker(ByteSink& sink, const LayerOptions& options)
    : sink_(sink), options_(options) {}

BlockPacker::Block& BlockPacker::current() {
  if (current_ != nullptr) return *current_;
  if (free_.empty()) {
    blocks_.push_back(std::make_unique<Block>(options_.level));
    free_.push_back(blocks_.back().get());
  }
  current_ = free_.back();
  free_.pop_back();
  current_->size = 0;
  return *current_;
}

std::span<char> BlockPacker::room(std::uint64_t most) {
  Block& block = current();
  const std::size_t left = gzip_block_bytes - block.size;
  return {block.bytes.get() + block.size,
          static_cast<std::size_t>(std::min<std::uint64_t>(most, left))};
}

Result<void> BlockPacker::filled(std::size_t count) {
  current_->size += count;
  return current_->size == gzip_block_bytes ? send() : Result<void>();
}

Result<void> BlockPacker::put(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::span<char> into = room(bytes.size());
    std::memcpy(into.data(), bytes.data(), into.size());
    bytes.remove_prefix(into.size());
    if (Result<void> sent = filled(into.size()); !sent) return sent;
  }
  return {};
}

// What fits into one block is not worth a thread.
Result<void> BlockPacker::send() {
  Block* const block = std::exchange(current_, nullptr);
  if (!crew_) {
    const bool more = block->size == gzip_block_bytes && options_.threads_max > 1;
    const unsigned helpers =
        more ? std::min(base::Crew::idle_processors(), options_.threads_max - 1) : 0;
    crew_.emplace(helpers);
    sent_max_ = 1 + 2 * std::size_t{helpers};
  }
  sums_.tar_bytes += block->size;
  block->hashed = crew_->add_in_order([this, block] { tar_hasher_.update(block->plain()); });
  if (options_.gzip) {
    block->compressed =
        crew_->add([block] { block->packed = block->compressor.compress(block->plain()); });
  }
  sent_.push_back(block);
  return sent_.size() < sent_max_ ? Result<void>() : retire();
}

Result<void> BlockPacker::retire() {
  Block* const block = sent_.front();
  sent_.pop_front();
  if (options_.gzip) crew_->wait(block->compressed);
  const std::string_view out = options_.gzip ? block->packed : block->plain();
  if (options_.gzip && options_.blob_digest) blob_hasher_.update(out);
  sums_.blob_bytes += out.size();
  Result<void> written = sink_.write(out);
  crew_->wait(block->hashed);
  free_.push_back(block);
  return written;
}

Result<BlockPacker::Sums> BlockPacker::finish() {
  if (current_ != nullptr && current_->size > 0) {
    if (Result<void> sent = send(); !sent) return sent.error();
  }
  while (!sent_.empty()) {
    if (Result<void> retired = retire(); !retired) return retired.error();
  }
  sums_.tar = tar_hasher_.finish();
  if (options_.blob_digest) sums_.blob = options_.gzip ? blob_hasher_.finish() : sums_.tar;
  return sums_;
}

}  // namespace knative::oci
