// One blob from one place: streamed, checked as it comes, gone on with where it broke.
#include <algorithm>

#include "engines/registry/blob_sink.hpp"
#include "engines/registry/image_puller.hpp"
#include "engines/registry/registry_text.hpp"

namespace knative::oci {

namespace {

// However little comes each time, it ends.
constexpr int breaks_max = 100;

constexpr Duration pace_window = std::chrono::minutes(1);

// Who sends a byte now and then is never idle, and never done.
class Pace {
 public:
  Pace(Timers& timers, std::uint64_t rate_min)
      : timers_(timers), rate_min_(rate_min), since_(timers.now()) {}
  // Whether what came since the last window's end was enough.
  bool holds(std::size_t more) {
    bytes_ += more;
    const Instant now = timers_.now();
    if (now - since_ < pace_window) return true;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - since_).count();
    const bool enough = bytes_ >= rate_min_ * static_cast<std::uint64_t>(seconds);
    bytes_ = 0;
    since_ = now;
    return enough;
  }

 private:
  Timers& timers_;
  std::uint64_t rate_min_;
  Instant since_;
  std::uint64_t bytes_ = 0;
};

// How a body came.
struct Streamed {
  std::optional<Error> broken;  // The connection's failure.
  std::optional<Error> wrong;   // What no repetition mends.
};

// `skip` bytes are known already.
Task<Streamed> stream_body(http::Body& body, BlobSink& sink, std::uint64_t size, std::uint64_t skip,
                           Pace pace) {
  Streamed streamed;
  http::BodySource* const source = body.source();
  std::string_view piece = body.bytes();
  for (bool more = source == nullptr;; more = false) {
    if (!more && source == nullptr) co_return streamed;
    if (source != nullptr) {
      Result<std::string_view> next = co_await source->next();
      if (!next) {
        streamed.broken = std::move(next).error();
        co_return streamed;
      }
      piece = *next;
      if (piece.empty()) co_return streamed;
    }
    if (!pace.holds(piece.size())) {
      streamed.wrong = fail(Errc::unavailable, "comes too slowly");
      co_return streamed;
    }
    const std::uint64_t known = std::min<std::uint64_t>(skip, piece.size());
    skip -= known;
    piece.remove_prefix(static_cast<std::size_t>(known));
    if (piece.size() > size - sink.size()) {
      streamed.wrong = fail(Errc::data_loss, "is larger than promised");
      co_return streamed;
    }
    if (!sink.append(piece)) continue;
    Task<Result<void>> flushing = sink.flush();
    Result<void> flushed = co_await std::move(flushing);
    if (!flushed) {
      streamed.wrong = std::move(flushed).error();
      co_return streamed;
    }
  }
}

// How many bytes of an answer come before the first one that is missing. Fails with `data_loss`
// when it is an answer to something else.
Result<std::uint64_t> known_bytes(const http::Response& response, const Descriptor& blob,
                                  std::uint64_t have) {
  std::uint64_t skip = have;
  if (response.status == 206) {
    const auto range = read_content_range(response.headers.get("Content-Range").value_or(""));
    if (!range || range->first != have || (range->total && *range->total != blob.size_bytes)) {
      return fail(Errc::data_loss, "the registry sends another part than was asked for");
    }
    skip = 0;
  }
  const std::optional<std::uint64_t> length = response.body.length();
  if (length && *length != blob.size_bytes - have + skip) {
    return fail(Errc::data_loss, "expected " + std::to_string(blob.size_bytes) +
                                     " bytes, the registry has " +
                                     std::to_string(*length + have - skip));
  }
  return skip;
}

}  // namespace

Task<Result<void>> ImagePuller::download_from(RepositoryAccess& place, const Descriptor& blob,
                                              std::optional<http::Url> url) {
  const std::string what = "blob " + blob.digest.to_string();
  Executor& executor = co_await this_executor();
  BlobSink sink(executor, world_->disk, store_);
  Task<Result<void>> opening = sink.begin();
  Result<void> opened = co_await std::move(opening);
  if (!opened) co_return place.failed(what, opened.error());
  int failures = 0;
  for (int breaks = 0;; ++breaks) {
    const std::uint64_t have = sink.size();
    RegistryCall call;
    call.path = "/blobs/" + blob.digest.to_string();
    call.url = url;
    if (have > 0) call.headers.set("Range", "bytes=" + std::to_string(have) + "-");
    Result<http::Response> response = co_await place.send(call);
    if (!response) co_return place.failed(what, response.error());
    if (response->status != 200 && (response->status != 206 || have == 0)) {
      Error error = co_await place.refused(what, *response);
      co_return error;
    }
    Result<std::uint64_t> skip = known_bytes(*response, blob, have);
    if (!skip) co_return place.failed(what, skip.error());
    const Pace pace(world_->timers, world_->options.blob_rate_min);
    Task<Streamed> streaming = stream_body(response->body, sink, blob.size_bytes, *skip, pace);
    Streamed streamed = co_await std::move(streaming);
    if (streamed.wrong) co_return place.failed(what, *streamed.wrong);
    if (sink.size() == blob.size_bytes) break;
    failures = sink.size() > have ? 1 : failures + 1;
    if (failures >= world_->options.attempts_max || breaks >= breaks_max) {
      const std::string why = streamed.broken ? streamed.broken->detail : "it ends early";
      co_return place.failed(Errc::unavailable, what,
                             "breaks after " + std::to_string(sink.size()) + " of " +
                                 std::to_string(blob.size_bytes) + " bytes: " + why);
    }
    response = fail(Errc::internal, "");
    co_await world_->timers.sleep_for(place.pause_after(failures));
  }
  Task<Result<void>> finishing = sink.finish(blob);
  Result<void> finished = co_await std::move(finishing);
  if (!finished) co_return place.failed(what, finished.error());
  co_return finished;
}

}  // namespace knative::oci
