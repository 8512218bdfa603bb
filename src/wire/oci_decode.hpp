// Reads a stream as it is or, when it begins as a gzip or zstd stream, unpacked; another thread
// unpacks and hashes what comes next.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/crew.hpp"
#include "knative/oci.hpp"

namespace knative::oci::tar {

class Decoder {
 public:
  virtual ~Decoder() = default;
  // Takes some of `in` and gives some into `out`, which has room. What gives and takes nothing
  // needs more, of which there is none when `whole`. No memory but its own and these.
  virtual Result<std::size_t> decode(std::string_view& in, bool whole, std::span<char> out) = 0;
  // Whether the input may end here.
  virtual Result<void> end() const = 0;
};

std::unique_ptr<Decoder> gzip_decoder();
std::unique_ptr<Decoder> zstd_decoder();
// Does a stream with these bytes at its beginning consist of gzip members (RFC 1952), or of zstd
// frames (RFC 8878)?
bool begins_as_gzip(std::string_view head);
bool begins_as_zstd(std::string_view head);

struct DecodeOptions {
  bool hash = true;
  unsigned helpers_max = 1;
};

class DecodedSource final : public ByteSource {
 public:
  // `inner` must outlive it, and is read by the caller's thread only. `unimplemented` for streams
  // that are compressed in another way.
  static Result<std::unique_ptr<DecodedSource>> over(ByteSource& inner,
                                                     const DecodeOptions& options);

  Result<std::size_t> read(std::span<char> into) override;
  // Of all that was decoded; once, after the end.
  Digest digest() { return work_.hasher.finish(); }

 private:
  // What comes out of one piece of work.
  struct Piece {
    std::string input;
    bool whole = false;  // no input comes after this
    std::unique_ptr<char[]> bytes;
    std::size_t size = 0;
    std::size_t consumed = 0;
    bool last = false;
    std::optional<Error> error;
    base::Crew::Ticket done;
  };
  // Belongs to whoever works on a piece, one after another.
  struct Work {
    void on(Piece& piece);
    Result<void> fill(Piece& piece);

    std::unique_ptr<Decoder> decoder;
    bool hash = true;
    std::string input;
    std::size_t taken = 0;  // of `input`
    bool ended = false;
    Hasher hasher;
  };

  DecodedSource(ByteSource& inner, std::string head, std::unique_ptr<Decoder> decoder,
                const DecodeOptions& options);
  Result<void> send();
  Result<void> read_ahead(std::string& into);

  ByteSource& inner_;
  std::string head_;
  const DecodeOptions options_;
  bool inner_ended_ = false;
  std::uint64_t ahead_ = 0;  // bytes that were read and, as far as is known, not taken
  Work work_;
  std::vector<std::unique_ptr<Piece>> pieces_;
  std::deque<Piece*> sent_;
  std::vector<Piece*> free_;
  Piece* current_ = nullptr;
  std::size_t offset_ = 0;  // in it
  std::size_t sent_max_ = 1;
  std::optional<base::Crew> crew_;  // goes first: it works on the pieces
};

}  // namespace knative::oci::tar
