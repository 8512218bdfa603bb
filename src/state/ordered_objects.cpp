#include "state/ordered_objects.hpp"

#include <algorithm>

#include "knative/error.hpp"

namespace knative::state {
namespace {

std::size_t common_prefix(std::string_view a, std::string_view b) {
  const std::size_t most = std::min(a.size(), b.size());
  const auto differ =
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin());
  return static_cast<std::size_t>(differ.first - a.begin());
}

/// Eight bytes as a number that compares as they do; what is not there counts as zero, so equal
/// numbers do not mean equal texts.
std::uint64_t chunk_of(std::string_view text, std::size_t skip) {
  std::uint64_t chunk = 0;
  const std::size_t size = skip < text.size() ? text.size() - skip : 0;
  if (size >= sizeof chunk) {
    for (std::size_t i = 0; i < sizeof chunk; ++i) {
      chunk = chunk << 8 | static_cast<unsigned char>(text[skip + i]);
    }
    return chunk;
  }
  for (std::size_t i = 0; i < size; ++i) {
    chunk |= static_cast<std::uint64_t>(static_cast<unsigned char>(text[skip + i])) << (56 - 8 * i);
  }
  return chunk;
}

/// The shortest text that is above `before` and not above `after`.
std::string bound_between(std::string_view before, std::string_view after) {
  return std::string(after.substr(0, common_prefix(before, after) + 1));
}

}  // namespace

OrderedObjects::~OrderedObjects() {
  for (const Top& top : tops_) {
    for (std::size_t i = 0; i < top.block->count; ++i) delete top.block->entries[i];
    delete top.block;
  }
}

// ---------------------------------------------------------------------------- finding

/// The last block that does not begin above `path`.
std::size_t OrderedObjects::block_of(std::string_view path) const {
  if (tops_.size() < 2) return 0;
  const std::string_view common = std::string_view(tops_[1].block->low).substr(0, top_skip_);
  const int order = path.substr(0, top_skip_).compare(common);
  if (order != 0) return order < 0 ? 0 : tops_.size() - 1;
  const Chunk chunk = chunk_of(path, top_skip_);
  const auto after = std::upper_bound(tops_.begin() + 1, tops_.end(), path,
                                      [chunk](std::string_view of, const Top& top) {
                                        if (chunk != top.chunk) return chunk < top.chunk;
                                        return of < top.block->low;
                                      });
  return static_cast<std::size_t>(after - tops_.begin()) - 1;
}

std::size_t OrderedObjects::lower_bound_in(const Block& block, std::string_view path) {
  const Chunk chunk = chunk_of(path, block.skip);
  std::size_t at = 0;
  std::size_t last = block.count;
  while (at < last) {
    const std::size_t middle = at + (last - at) / 2;
    const Chunk there = block.chunks[middle];
    if (there != chunk ? there < chunk : block.entries[middle]->key.path() < path) {
      at = middle + 1;
    } else {
      last = middle;
    }
  }
  return at;
}

OrderedObjects::Position OrderedObjects::position_of(std::string_view path) const {
  Position position;
  if (tops_.empty()) return position;
  position.block = block_of(path);
  position.at = lower_bound_in(*tops_[position.block].block, path);
  return position;
}

bool OrderedObjects::is_at(const Position& position, std::string_view path) const {
  if (tops_.empty()) return false;
  const Block& block = *tops_[position.block].block;
  return position.at < block.count && block.entries[position.at]->key.path() == path;
}

Entry* OrderedObjects::find(const Key& key) const {
  const Position position = position_of(key.path());
  if (!is_at(position, key.path())) return nullptr;
  return tops_[position.block].block->entries[position.at];
}

OrderedObjects::Iterator OrderedObjects::lower_bound(const Key& key) const {
  Position position = position_of(key.path());
  if (!tops_.empty() && position.at == tops_[position.block].block->count) {
    position = {position.block + 1, 0};
  }
  return {*this, position};
}

std::size_t OrderedObjects::most_from(const Key& key) const {
  if (tops_.empty()) return 0;
  const Position from = position_of(key.path());
  Position to{tops_.size() - 1, tops_.back().block->count};
  if (!key.namespace_().empty()) {
    to = position_of(std::string(key.namespace_()) + '\1');  // just behind the namespace
  }
  if (from.block == to.block) return to.at - from.at;
  return tops_[from.block].block->count - from.at + (to.block - from.block - 1) * block_max + to.at;
}

// ---------------------------------------------------------------------------- changing

Entry& OrderedObjects::insert(std::unique_ptr<Entry> entry) {
  const std::string_view path = entry->key.path();
  if (tops_.empty()) add_block(0, std::make_unique<Block>());
  Position position = position_of(path);
  KN_ASSERT(!is_at(position, path));
  if (tops_[position.block].block->count == block_max) position = make_room(position, path);
  Block& block = *tops_[position.block].block;
  const auto behind = static_cast<std::ptrdiff_t>(position.at);
  const auto end = static_cast<std::ptrdiff_t>(block.count);
  std::copy_backward(block.chunks.begin() + behind, block.chunks.begin() + end,
                     block.chunks.begin() + end + 1);
  std::copy_backward(block.entries.begin() + behind, block.entries.begin() + end,
                     block.entries.begin() + end + 1);
  block.chunks[position.at] = chunk_of(path, block.skip);
  block.entries[position.at] = entry.get();
  ++block.count;
  ++size_;
  return *entry.release();
}

/// Split the full block at `position`; where in one of the halves the key belongs then.
OrderedObjects::Position OrderedObjects::make_room(Position position, std::string_view path) {
  Block& block = *tops_[position.block].block;
  auto next = std::make_unique<Block>();
  // Cut where the key belongs, if not too near an edge: keys that come in order, wherever that is,
  // leave full blocks behind and each is moved once.
  const std::size_t keep = position.at == block_max
                               ? block_max
                               : std::clamp(position.at, block_max / 4, 3 * block_max / 4);
  const std::string_view before = block.entries[keep - 1]->key.path();
  next->low = bound_between(before, keep == block_max ? path : block.entries[keep]->key.path());
  next->count = block_max - keep;
  std::copy(block.entries.begin() + keep, block.entries.end(), next->entries.begin());
  block.count = keep;
  add_block(position.block + 1, std::move(next));
  refresh(position.block);
  refresh(position.block + 1);
  return position_of(path);
}

std::unique_ptr<Entry> OrderedObjects::erase(const Key& key) {
  const Position position = position_of(key.path());
  KN_ASSERT(is_at(position, key.path()));
  Block& block = *tops_[position.block].block;
  std::unique_ptr<Entry> entry(block.entries[position.at]);
  const auto behind = static_cast<std::ptrdiff_t>(position.at) + 1;
  const auto end = static_cast<std::ptrdiff_t>(block.count);
  std::copy(block.chunks.begin() + behind, block.chunks.begin() + end,
            block.chunks.begin() + behind - 1);
  std::copy(block.entries.begin() + behind, block.entries.begin() + end,
            block.entries.begin() + behind - 1);
  --block.count;
  --size_;
  merge_small(position.block);
  return entry;
}

/// A block that has become small joins a neighbour that is small too, an empty one any.
void OrderedObjects::merge_small(std::size_t at) {
  const std::size_t count = tops_[at].block->count;
  if (count >= block_max / 4) return;
  if (tops_.size() == 1) {
    if (count == 0) remove_block(0);
    return;
  }
  const std::size_t left = at == 0 ? 0 : at - 1;
  Block& into = *tops_[left].block;
  const Block& from = *tops_[left + 1].block;
  if (count != 0 && into.count + from.count > block_max / 2) return;
  std::copy(from.entries.begin(), from.entries.begin() + static_cast<std::ptrdiff_t>(from.count),
            into.entries.begin() + static_cast<std::ptrdiff_t>(into.count));
  into.count += from.count;
  remove_block(left + 1);
  refresh(left);
}

/// The bounds of the block have changed, or what is in it.
void OrderedObjects::refresh(std::size_t at) {
  Block& block = *tops_[at].block;
  const bool bounded = at != 0 && at + 1 != tops_.size();
  block.skip = bounded ? common_prefix(block.low, tops_[at + 1].block->low) : 0;
  for (std::size_t i = 0; i < block.count; ++i) {
    block.chunks[i] = chunk_of(block.entries[i]->key.path(), block.skip);
  }
}

void OrderedObjects::add_block(std::size_t at, std::unique_ptr<Block> block) {
  const Top top{chunk_of(block->low, top_skip_), block.get()};
  tops_.insert(tops_.begin() + static_cast<std::ptrdiff_t>(at), top);
  (void)block.release();
  if (at == 1 || at + 1 == tops_.size()) refresh_tops();
}

void OrderedObjects::remove_block(std::size_t at) {
  delete tops_[at].block;
  tops_.erase(tops_.begin() + static_cast<std::ptrdiff_t>(at));
  if (tops_.size() < 3) refresh_tops();
}

/// The lowest or the highest bound is another one.
void OrderedObjects::refresh_tops() {
  if (tops_.size() < 2) {
    top_skip_ = 0;
    return;
  }
  const std::string_view first = tops_[1].block->low;
  const std::size_t skip = common_prefix(first, tops_.back().block->low);
  if (skip >= top_skip_ && tops_.size() > 2) return;
  top_skip_ = skip;
  for (auto top = tops_.begin() + 1; top != tops_.end(); ++top) {
    top->chunk = chunk_of(top->block->low, top_skip_);
  }
}

}  // namespace knative::state
