/// \file
/// A connection as the HTTP server and client use it: a stream with its read buffer, reading
/// ahead, and deadlines that cost nothing while they only move later. Knows no HTTP but bodies'
/// framing. Belongs to its loop.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "knative/env.hpp"
#include "knative/http_headers.hpp"
#include "wire/http_parser.hpp"

namespace knative::http::wire {

/// Long bodies are written in slices, so that a write timeout counts while nothing moves and not
/// while a slow reader reads.
inline constexpr std::size_t slice_bytes = 128 * 1024;

/// A due time. Moving it later only stores it; the timer looks when it fires, and then waits for
/// the rest.
class Deadline final : private TimerNode {
 public:
  explicit Deadline(Timers& timers) noexcept : timers_(timers) {}

  void set_after(Duration duration);
  void clear() noexcept { due_ = Instant::max(); }
  bool expired() const noexcept { return expired_; }
  /// Whom to make ready when it expires.
  void park(Fiber& fiber) noexcept { fiber_ = &fiber; }
  void unpark() noexcept { fiber_ = nullptr; }

 private:
  void fire() noexcept override;
  Timers& timers_;
  Instant due_ = Instant::max();
  Fiber* fiber_ = nullptr;
  bool expired_ = false;
};

class Channel {
 public:
  Channel(Timers& timers, std::unique_ptr<Stream> stream, std::size_t buffer_bytes);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  /// Whoever waits is woken with `cancelled`.
  ~Channel();

  Stream& stream() noexcept { return *stream_; }
  /// Give the stream away, with what was received and not consumed still to be read from it.
  /// Nobody may be waiting. Afterwards the channel is only good to be destroyed.
  std::unique_ptr<Stream> release();
  /// A write is in progress.
  bool writing() const noexcept { return write_.has_value(); }

  /// Received and not yet consumed. Valid until `more()` is awaited or `read_ahead()` called.
  std::string_view input() const noexcept {
    return std::string_view(buffer_.get() + begin_, end_ - begin_);
  }
  void consume(std::size_t bytes) noexcept { begin_ += bytes; }
  /// Let the buffer hold at least this much from the next read on.
  void want_capacity(std::size_t bytes) noexcept {
    if (bytes > capacity_wanted_) capacity_wanted_ = bytes;
  }

  /// Begin to read although nobody waits yet. Does nothing while a read is in progress or its
  /// result was not taken.
  void read_ahead();
  /// A read is in progress, that is, the peer has sent nothing since it began.
  bool reading() const noexcept { return read_ && read_->pending(); }
  /// Take the result of a finished read: bytes, 0 at the end, or the failure.
  Result<std::size_t> take_read();
  /// Make `fiber` ready when the read in progress finishes; to be undone by `unwatch()`.
  void watch(Fiber& fiber) noexcept { read_->park(fiber); }
  void unwatch() noexcept {
    if (read_) read_->unpark();
  }

  /// Of `more()`: `deadline_exceeded` when it passes.
  Deadline& read_deadline() noexcept { return read_deadline_; }

  /// Awaiting it yields `Result<std::size_t>`: more bytes were appended to `input()`, 0 at the
  /// end, `deadline_exceeded`, or the stream's failure. One at a time.
  class More {
   public:
    explicit More(Channel& channel) noexcept : channel_(&channel) {}
    More(const More&) = delete;
    More& operator=(const More&) = delete;
    ~More() {
      if (parked_ && channel_ != nullptr) channel_->forget_reader();
    }
    bool await_ready() {
      channel_->read_ahead();
      return !channel_->reading();
    }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) noexcept {
      fiber_ = handle.promise().fiber;
      parked_ = true;
      channel_->park_reader(*this);
    }
    Result<std::size_t> await_resume();

   private:
    friend class Channel;
    Channel* channel_;
    Fiber* fiber_ = nullptr;
    bool parked_ = false;
  };
  [[nodiscard]] More more() noexcept { return More(*this); }

  /// Awaiting it yields `Result<std::size_t>` when everything was written. At most four buffers;
  /// they must stay until then. The timeout counts while the peer does not read.
  class Write {
   public:
    Write(Channel& channel, Duration timeout) noexcept : channel_(&channel), timeout_(timeout) {}
    Write(const Write&) = delete;
    Write& operator=(const Write&) = delete;
    ~Write() {
      if (parked_ && channel_ != nullptr) channel_->forget_writer();
    }
    bool await_ready();
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) noexcept {
      fiber_ = handle.promise().fiber;
      parked_ = true;
      channel_->park_writer(*this);
    }
    Result<std::size_t> await_resume();

   private:
    friend class Channel;
    Channel* channel_;
    Duration timeout_;
    Fiber* fiber_ = nullptr;
    bool parked_ = false;
  };
  [[nodiscard]] Write write(Duration timeout, std::string_view first, std::string_view second = {},
                            std::string_view third = {}, std::string_view fourth = {}) noexcept;

 private:
  std::span<char> room();
  void park_reader(More& more) noexcept;
  void forget_reader() noexcept;
  void park_writer(Write& write) noexcept;
  void forget_writer() noexcept;

  std::unique_ptr<Stream> stream_;
  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t capacity_wanted_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::array<std::string_view, 4> out_;
  More* reader_ = nullptr;
  Write* writer_ = nullptr;
  Deadline read_deadline_;
  Deadline write_deadline_;
  // After the stream: operations go first.
  std::optional<StreamOp> read_;
  std::optional<StreamOp> write_;
};

/// Finds a body's pieces in a channel's input.
class BodyReader {
 public:
  void start(Framing framing, std::uint64_t length, std::uint64_t bytes_max) noexcept;
  /// The next piece that is there, as a view of the channel's buffer; the piece before is
  /// consumed. Empty: look at `complete()` and `failed()`, otherwise more input is needed.
  std::string_view take(Channel& channel);
  /// Consume the piece that was taken last.
  void release(Channel& channel) noexcept {
    channel.consume(piece_bytes_);
    piece_bytes_ = 0;
  }
  /// The stream has ended. True when that is a right end of this body.
  bool end_of_stream() noexcept;

  /// Give up on the body; `status` is what the client may be told.
  void fail(int status, std::string_view reason) noexcept {
    error_ = ParseError{status, static_cast<std::size_t>(bytes_), reason};
  }

  /// The fields after a chunked body that is complete; null: none, or taken already.
  std::unique_ptr<Headers> take_trailers();

  bool complete() const noexcept { return complete_; }
  bool failed() const noexcept { return error_.status != 0; }
  /// Status 413 when beyond `bytes_max`.
  const ParseError& error() const noexcept { return error_; }
  Framing framing() const noexcept { return framing_; }
  /// Of framing `length`: bytes not yet taken.
  std::uint64_t left() const noexcept { return left_; }
  /// Whether a body of known length was received to its end, though not yet taken.
  bool rest_is_here(const Channel& channel) const noexcept {
    return framing_ == Framing::length && left_ + piece_bytes_ <= channel.input().size();
  }

 private:
  std::string_view take_chunk(Channel& channel);
  std::string_view count(std::string_view piece) noexcept;
  Framing framing_ = Framing::none;
  bool complete_ = true;
  ParseError error_{0, 0, {}};
  std::uint64_t left_ = 0;
  std::uint64_t bytes_max_ = 0;
  std::uint64_t bytes_ = 0;
  std::size_t piece_bytes_ = 0;
  ChunkDecoder decoder_;
};

}  // namespace knative::http::wire
