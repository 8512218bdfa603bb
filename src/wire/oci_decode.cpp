#include "wire/oci_decode.hpp"

#include <algorithm>
#include <cstring>

#include "wire/oci_block_packer.hpp"

namespace knative::oci::tar {

namespace {

constexpr std::size_t decoded_bytes = 1 << 20;
constexpr std::size_t read_bytes = 256 << 10;
constexpr std::size_t decoded_ahead = 3;  // pieces

// As it is.
class PlainDecoder final : public Decoder {
 public:
  Result<std::size_t> decode(std::string_view& in, bool, std::span<char> out) override {
    const std::size_t count = std::min(in.size(), out.size());
    if (count > 0) std::memcpy(out.data(), in.data(), count);
    in.remove_prefix(count);
    return count;
  }
  Result<void> end() const override { return {}; }
};

}  // namespace

Result<std::unique_ptr<DecodedSource>> DecodedSource::over(ByteSource& inner,
                                                           const DecodeOptions& options) {
  std::string head(6, '\0');
  std::size_t have = 0;
  while (have < head.size()) {
    Result<std::size_t> count = inner.read(std::span<char>(head).subspan(have));
    if (!count) return count.error();
    if (*count == 0) break;
    have += *count;
  }
  head.resize(have);
  constexpr std::string_view xz(
      "\xfd"
      "7zXZ\0",
      6);
  if (head == xz || head.starts_with("BZh")) {
    return fail(Errc::unimplemented, "archives compressed with xz or bzip2 are not supported");
  }
  std::unique_ptr<Decoder> decoder;
  if (begins_as_zstd(head)) {
    decoder = zstd_decoder();
  } else if (begins_as_gzip(head)) {
    decoder = gzip_decoder();
  } else {
    decoder = std::make_unique<PlainDecoder>();
  }
  return std::unique_ptr<DecodedSource>(
      new DecodedSource(inner, std::move(head), std::move(decoder), options));
}

DecodedSource::DecodedSource(ByteSource& inner, std::string head, std::unique_ptr<Decoder> decoder,
                             const DecodeOptions& options)
    : inner_(inner), head_(std::move(head)), options_(options) {
  work_.decoder = std::move(decoder);
  work_.hash = options.hash;
}

Result<std::size_t> DecodedSource::read(std::span<char> into) {
  if (into.empty()) return std::size_t{0};
  while (current_ == nullptr || offset_ == current_->size) {
    if (current_ != nullptr) {
      if (current_->error) return *current_->error;
      if (current_->last) return std::size_t{0};
      free_.push_back(std::exchange(current_, nullptr));
    }
    do {
      if (Result<void> sent = send(); !sent) return sent.error();
    } while (sent_.size() < sent_max_);
    crew_->wait(sent_.front()->done);
    current_ = sent_.front();
    sent_.pop_front();
    offset_ = 0;
    ahead_ -= current_->consumed;
  }
  const std::size_t count = std::min(into.size(), current_->size - offset_);
  std::memcpy(into.data(), current_->bytes.get() + offset_, count);
  offset_ += count;
  return count;
}

// Enough for every piece that is under way, so that a gzip member of our own is there as a whole.
Result<void> DecodedSource::read_ahead(std::string& into) {
  const std::uint64_t wanted = (sent_.size() + 1) * (gzip_block_bytes + read_bytes);
  into = std::exchange(head_, std::string());
  while (!inner_ended_ && ahead_ + into.size() < wanted) {
    const std::size_t before = into.size();
    into.resize(before + read_bytes);
    Result<std::size_t> count = inner_.read(std::span<char>(into).subspan(before));
    into.resize(before + (count ? *count : 0));
    if (!count) return count.error();
    inner_ended_ = *count == 0;
  }
  ahead_ += into.size();
  return {};
}

Result<void> DecodedSource::send() {
  if (free_.empty()) {
    pieces_.push_back(std::make_unique<Piece>());
    pieces_.back()->bytes = std::make_unique_for_overwrite<char[]>(decoded_bytes);
    free_.push_back(pieces_.back().get());
  }
  Piece* const piece = free_.back();
  if (Result<void> read = read_ahead(piece->input); !read) return read;
  free_.pop_back();
  piece->whole = inner_ended_;
  if (!crew_) {  // what fits into one piece is not worth a thread
    const unsigned helpers =
        inner_ended_ ? 0 : std::min(base::Crew::idle_processors(), options_.helpers_max);
    crew_.emplace(helpers);
    if (helpers > 0) sent_max_ = decoded_ahead;
  }
  piece->done = crew_->add_in_order([this, piece] { work_.on(*piece); });
  sent_.push_back(piece);
  return {};
}

void DecodedSource::Work::on(Piece& piece) {
  piece.size = piece.consumed = 0;
  piece.last = ended;
  piece.error.reset();
  if (ended) return;
  if (taken >= input.size() / 2) {
    input.erase(0, taken);
    taken = 0;
  }
  input += piece.input;
  Result<void> filled = fill(piece);
  if (hash) hasher.update({piece.bytes.get(), piece.size});
  if (filled) return;
  piece.error = filled.error();
  ended = true;
}

Result<void> DecodedSource::Work::fill(Piece& piece) {
  std::string_view in = std::string_view(input).substr(taken);
  const std::size_t before = in.size();
  while (piece.size < decoded_bytes) {
    const std::size_t left = in.size();
    const std::span<char> room(piece.bytes.get() + piece.size, decoded_bytes - piece.size);
    Result<std::size_t> count = decoder->decode(in, piece.whole, room);
    piece.consumed = before - in.size();
    if (!count) return count.error();
    piece.size += *count;
    if (*count == 0 && in.size() == left) break;
  }
  taken += piece.consumed;
  if (!piece.whole || piece.size == decoded_bytes) return {};
  piece.last = ended = true;
  return decoder->end();
}

}  // namespace knative::oci::tar
