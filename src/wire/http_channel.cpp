#include "wire/http_channel.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "wire/http_text.hpp"

namespace knative::http::wire {

// ---------------------------------------------------------------------------- deadlines

void Deadline::set_after(Duration duration) {
  const Instant now = timers_.now();
  due_ = duration < Instant::max() - now ? now + duration : Instant::max();
  expired_ = false;
  if (!armed() || due() > due_) timers_.arm(*this, due_);
}

void Deadline::fire() noexcept {
  if (due_ == Instant::max()) return;
  if (timers_.now() < due_) {
    timers_.arm(*this, due_);
    return;
  }
  expired_ = true;
  if (fiber_ != nullptr) fiber_->make_ready();
}

// ---------------------------------------------------------------------------- reading

Channel::Channel(Timers& timers, std::unique_ptr<Stream> stream, std::size_t buffer_bytes)
    : stream_(std::move(stream)),
      capacity_wanted_(buffer_bytes),
      read_deadline_(timers),
      write_deadline_(timers) {}

Channel::~Channel() {
  if (reader_ != nullptr) {
    reader_->channel_ = nullptr;
    reader_->fiber_->make_ready();
  }
  if (writer_ != nullptr) {
    writer_->channel_ = nullptr;
    writer_->fiber_->make_ready();
  }
}

namespace {

/// A stream of which a part was read already.
class Resumed final : public Stream {
 public:
  Resumed(std::unique_ptr<Stream> stream, std::string received)
      : stream_(std::move(stream)), received_(std::move(received)) {}
  void shutdown_write() noexcept override { stream_->shutdown_write(); }
  void abort() noexcept override {
    received_.clear();
    taken_ = 0;
    stream_->abort();
  }
  std::string peer() const override { return stream_->peer(); }
  const tls::Facts* tls_facts() const noexcept override { return stream_->tls_facts(); }

 private:
  bool start(StreamOp& op) override {
    if (!op.is_read() || taken_ == received_.size()) return start_on(*stream_, op);
    const std::size_t size = std::min(op.read_buffer().size(), received_.size() - taken_);
    std::memcpy(op.read_buffer().data(), received_.data() + taken_, size);
    taken_ += size;
    if (taken_ == received_.size()) {
      received_ = std::string();
      taken_ = 0;
    }
    op.complete(size);
    return true;
  }
  void cancel(StreamOp& op) noexcept override { cancel_on(*stream_, op); }

  std::unique_ptr<Stream> stream_;
  std::string received_;
  std::size_t taken_ = 0;
};

}  // namespace

std::unique_ptr<Stream> Channel::release() {
  KN_ASSERT(reader_ == nullptr && writer_ == nullptr);
  if (read_ && !read_->pending()) (void)take_read();  // an end or a failure is seen again
  read_.reset();
  write_.reset();
  if (input().empty()) return std::move(stream_);
  return std::make_unique<Resumed>(std::move(stream_), std::string(input()));
}

std::span<char> Channel::room() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (capacity_ - end_ < capacity_ / 4 + 1 && begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == capacity_ && capacity_ > 0)
    capacity_wanted_ = std::max(capacity_wanted_, capacity_ * 2);
  if (capacity_ < capacity_wanted_) {
    std::unique_ptr<char[]> larger(new char[capacity_wanted_]);
    if (end_ > begin_) std::memcpy(larger.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    buffer_ = std::move(larger);
    capacity_ = capacity_wanted_;
  }
  return std::span<char>(buffer_.get() + end_, capacity_ - end_);
}

void Channel::read_ahead() {
  if (read_) return;
  read_.emplace(*stream_, room());
  read_->begin();
}

Result<std::size_t> Channel::take_read() {
  Result<std::size_t> got = read_->await_resume();
  read_.reset();
  if (got) end_ += *got;
  return got;
}

void Channel::park_reader(More& more) noexcept {
  reader_ = &more;
  read_->park(*more.fiber_);
  read_deadline_.park(*more.fiber_);
}

void Channel::forget_reader() noexcept {
  reader_ = nullptr;
  if (read_) read_->unpark();
  read_deadline_.unpark();
}

Result<std::size_t> Channel::More::await_resume() {
  if (channel_ == nullptr) return fail(Errc::cancelled, "connection is gone");
  if (parked_) {
    parked_ = false;
    channel_->forget_reader();
  }
  if (channel_->reading()) {
    return fail(Errc::deadline_exceeded, channel_->stream().peer() + ": nothing received in time");
  }
  return channel_->take_read();
}

// ---------------------------------------------------------------------------- writing

Channel::Write Channel::write(Duration timeout, std::string_view first, std::string_view second,
                              std::string_view third, std::string_view fourth) noexcept {
  std::size_t count = 0;
  for (const std::string_view buffer : {first, second, third, fourth}) {
    if (!buffer.empty()) out_[count++] = buffer;
  }
  write_.emplace(*stream_, std::span<const std::string_view>(out_.data(), count));
  return Write(*this, timeout);
}

bool Channel::Write::await_ready() { return channel_->write_->begin(); }

void Channel::park_writer(Write& write) noexcept {
  writer_ = &write;
  write_deadline_.set_after(write.timeout_);
  write_deadline_.park(*write.fiber_);
  write_->park(*write.fiber_);
}

void Channel::forget_writer() noexcept {
  writer_ = nullptr;
  write_deadline_.unpark();
  write_deadline_.clear();
  write_.reset();
}

Result<std::size_t> Channel::Write::await_resume() {
  if (channel_ == nullptr) return fail(Errc::cancelled, "connection is gone");
  const bool late = channel_->write_->pending();
  Result<std::size_t> done =
      late ? fail(Errc::deadline_exceeded, channel_->stream().peer() + ": does not read")
           : channel_->write_->await_resume();
  if (parked_) {
    parked_ = false;
    channel_->forget_writer();
  } else {
    channel_->write_.reset();
  }
  return done;
}

// ---------------------------------------------------------------------------- bodies

void BodyReader::start(Framing framing, std::uint64_t length, std::uint64_t bytes_max) noexcept {
  framing_ = framing;
  complete_ = framing == Framing::none || (framing == Framing::length && length == 0);
  error_ = ParseError{0, 0, {}};
  left_ = length;
  bytes_max_ = bytes_max;
  bytes_ = 0;
  piece_bytes_ = 0;
  if (framing == Framing::chunked) decoder_.reset();
}

std::string_view BodyReader::count(std::string_view piece) noexcept {
  if (piece.size() > bytes_max_ - bytes_) {
    error_ = ParseError{413, static_cast<std::size_t>(bytes_max_), "body too large"};
    return {};
  }
  bytes_ += piece.size();
  return piece;
}

std::string_view BodyReader::take(Channel& channel) {
  release(channel);
  if (complete_ || failed()) return {};
  if (framing_ == Framing::chunked) return take_chunk(channel);
  std::string_view piece = channel.input();
  if (framing_ == Framing::length) {
    if (piece.size() >= left_) {
      piece = piece.substr(0, static_cast<std::size_t>(left_));
      complete_ = true;
    }
    left_ -= piece.size();
  }
  piece_bytes_ = piece.size();
  return count(piece);
}

std::string_view BodyReader::take_chunk(Channel& channel) {
  while (!channel.input().empty()) {
    const ChunkDecoder::Step step = decoder_.next(channel.input());
    if (step.state == Parse::failed) {
      error_ = decoder_.error();
      return {};
    }
    if (!step.data.empty()) {
      piece_bytes_ = step.consumed;
      return count(step.data);
    }
    channel.consume(step.consumed);
    if (step.state == Parse::done) {
      complete_ = true;
      break;
    }
  }
  return {};
}

std::unique_ptr<Headers> BodyReader::take_trailers() {
  if (framing_ != Framing::chunked || !complete_) return nullptr;
  const std::string lines = decoder_.take_trailers();
  if (lines.empty()) return nullptr;
  auto headers = std::make_unique<Headers>();
  for (std::string_view rest = lines; !rest.empty();) {
    const std::size_t end = rest.find("\r\n");
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 2);
    const std::size_t colon = line.find(':');
    const std::string_view name = line.substr(0, colon);
    if (may_be_trailer(name)) headers->add(name, line.substr(colon + 1));
  }
  return headers;
}

bool BodyReader::end_of_stream() noexcept {
  if (framing_ == Framing::until_close) complete_ = true;
  if (!complete_) {
    error_ = ParseError{400, static_cast<std::size_t>(bytes_), "connection closed inside the body"};
  }
  return complete_;
}

}  // namespace knative::http::wire
