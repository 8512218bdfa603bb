// Uploads of blobs: begun, continued, asked about, finished, cancelled.
#include <algorithm>
#include <utility>

#include "engines/registry/registry_server_state.hpp"

namespace knative::registry {

namespace {

constexpr std::size_t id_digits = 32;
constexpr std::string_view upload_methods = "GET, PATCH, PUT, DELETE";

std::string new_id(Random& random) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string id;
  while (id.size() < id_digits) id.push_back(digits[random.below(digits.size())]);
  return id;
}

http::Response unknown_upload() {
  return refuse(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload");
}

std::string location(const Call& call, std::string_view id) {
  return "/v2/" + call.route.name + "/blobs/uploads/" + std::string(id);
}

/// Where the upload stands.
http::Response progress(const Call& call, const Upload& upload, std::uint64_t size, int status) {
  http::Response response;
  response.status = status;
  response.headers.set("Location", location(call, upload.id));
  response.headers.set("Docker-Upload-UUID", upload.id);
  // Both ends are included, so that nothing and one byte look the same.
  response.headers.set("Range", "0-" + std::to_string(size == 0 ? 0 : size - 1));
  return response;
}

http::Response created(const Call& call, const oci::Digest& digest) {
  http::Response response;
  response.status = 201;
  response.headers.set("Location", "/v2/" + call.route.name + "/blobs/" + digest.to_string());
  response.headers.set("Docker-Content-Digest", digest.to_string());
  return response;
}

/// One request at a time uses an upload.
class Turn {
 public:
  Turn(State& state, std::shared_ptr<Upload> upload) : state_(state), upload_(std::move(upload)) {
    upload_->busy = true;
  }
  ~Turn() {
    upload_->busy = false;
    upload_->used_at = state_.env.timers.now();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  State& state_;
  std::shared_ptr<Upload> upload_;
};

Task<Result<std::uint64_t>> size_of(State& state, std::shared_ptr<UploadFile> file) {
  auto work = [file = std::move(file)]() -> Result<std::uint64_t> {
    const std::lock_guard guard(file->mutex);
    if (file->broken) return *file->broken;
    return file->size;
  };
  Task<Result<std::uint64_t>> asking = state.env.disk.run(work);
  Result<std::uint64_t> size = co_await std::move(asking);
  co_return size;
}

Task<Result<void>> append(State& state, std::shared_ptr<UploadFile> file, std::string bytes) {
  auto work = [file = std::move(file), bytes = std::move(bytes)]() -> Result<void> {
    const std::lock_guard guard(file->mutex);
    if (file->broken) return *file->broken;
    Result<void> written = file->writer->write(bytes);
    if (written) {
      file->size += bytes.size();
    } else {
      file->broken = written.error();
    }
    return written;
  };
  Task<Result<void>> writing = state.env.disk.run(work);
  Result<void> written = co_await std::move(writing);
  co_return written;
}

/// What became of a body.
struct Received {
  std::uint64_t bytes = 0;
  std::optional<http::Response> refused;
};

http::Response too_large() {
  return refuse(413, "SIZE_INVALID", "the blob is larger than the registry takes");
}

/// Write a request's body to the end of an upload, no more than `bytes_max` of it.
Task<Received> receive(Call& call, std::shared_ptr<UploadFile> file, std::uint64_t bytes_max) {
  Received received;
  http::Body& body = call.request.body;
  if (!body.streamed()) {
    received.bytes = body.bytes().size();
    if (received.bytes > bytes_max) {
      received.refused = too_large();
      co_return received;
    }
    if (received.bytes == 0) co_return received;
    Task<Result<void>> writing = append(*call.state, file, body.take_bytes());
    const Result<void> written = co_await std::move(writing);
    if (!written) received.refused = failed(*call.state, written.error());
    co_return received;
  }
  std::string piece;
  for (bool end = false; !end;) {
    Task<Result<std::string_view>> reading = body.source()->next();
    const Result<std::string_view> next = co_await std::move(reading);
    // The connection is broken: what came is kept, and the answer reaches nobody.
    const bool broken = !next.has_value();
    end = broken || next->empty();
    if (!end) {
      received.bytes += next->size();
      if (received.bytes > bytes_max) {
        received.refused = too_large();
        co_return received;
      }
      piece.append(*next);
    }
    if (piece.size() >= piece_bytes || (end && !piece.empty())) {
      Task<Result<void>> writing = append(*call.state, file, std::exchange(piece, {}));
      const Result<void> written = co_await std::move(writing);
      if (!written) {
        received.refused = failed(*call.state, written.error());
        co_return received;
      }
    }
    if (broken) {
      received.refused = refuse(400, "BLOB_UPLOAD_INVALID", "the body ended early");
      co_return received;
    }
  }
  co_return received;
}

struct Finished {
  oci::Descriptor blob;
  oci::Pin pin;
};

/// Make the blob part of the store, if it is what its digest says.
Task<http::Response> finish(Call& call, std::shared_ptr<Upload> upload, oci::Digest digest) {
  auto work = [store = call.state->store, file = upload->file, digest]() -> Result<Finished> {
    const std::lock_guard guard(file->mutex);
    if (file->broken) return *file->broken;
    Finished finished;
    Result<oci::Descriptor> blob = file->writer->commit(digest);
    file->broken = fail(Errc::failed_precondition, "the upload is finished");
    if (!blob) return blob.error();
    Result<oci::Pin> pin = store->pin(digest);
    if (!pin) return pin.error();
    return Finished{std::move(*blob), std::move(*pin)};
  };
  Task<Result<Finished>> finishing = call.state->env.disk.run(work);
  Result<Finished> finished = co_await std::move(finishing);
  call.state->forget(upload->id);
  if (!finished) {
    if (finished.error().code == Errc::data_loss) {
      co_return refuse(400, "DIGEST_INVALID", "the content has another digest");
    }
    co_return failed(*call.state, finished.error());
  }
  call.state->link(call.repository, digest, std::move(finished->pin));
  co_return created(call, digest);
}

/// Who has been idle for long gives way to a new one.
bool make_place(State& state) {
  if (state.uploads.size() < state.options.uploads_max) return true;
  state.expire();
  if (state.uploads.size() < state.options.uploads_max) return true;
  const Instant now = state.env.timers.now();
  const auto idle = std::min_element(state.uploads.begin(), state.uploads.end(),
                                     [](const auto& a, const auto& b) {
                                       return std::pair(a.second->busy, a.second->used_at) <
                                              std::pair(b.second->busy, b.second->used_at);
                                     });
  constexpr Duration impatience = std::chrono::minutes(1);
  if (idle->second->busy || now - idle->second->used_at < impatience) return false;
  state.forget(std::string(idle->first));
  return true;
}

http::Response too_many() {
  http::Response response = refuse(429, "TOOMANYREQUESTS", "too many uploads are under way");
  response.headers.set("Retry-After", "10");
  return response;
}

struct Begun {
  std::shared_ptr<Upload> upload;
  std::optional<http::Response> refused;
};

Task<Begun> begin(Call& call, oci::DigestAlgorithm algorithm) {
  State& state = *call.state;
  Begun begun;
  if (!make_place(state)) {
    begun.refused = too_many();
    co_return begun;
  }
  auto upload = std::make_shared<Upload>();
  upload->id = new_id(state.env.ids);
  upload->repository = call.repository;
  upload->file = std::make_shared<UploadFile>();
  upload->used_at = state.env.timers.now();
  state.uploads[upload->id] = upload;  // before anything is awaited: it has its place
  const Turn turn(state, upload);
  auto work = [store = state.store, file = upload->file, algorithm]() -> Result<void> {
    const std::lock_guard guard(file->mutex);
    Result<std::unique_ptr<oci::BlobWriter>> writer = store->new_blob(algorithm);
    if (!writer) {
      file->broken = writer.error();
      return writer.error();
    }
    file->writer = std::move(*writer);
    return {};
  };
  Task<Result<void>> opening = state.env.disk.run(work);
  const Result<void> opened = co_await std::move(opening);
  if (!opened) {
    state.forget(upload->id);
    begun.refused = failed(state, opened.error());
    co_return begun;
  }
  state.start_expiring();
  begun.upload = std::move(upload);
  co_return begun;
}

/// Whether a blob of another repository (of any, without a name) can be shared.
Task<std::optional<http::Response>> mount(Call& call, const oci::Digest& digest) {
  std::optional<std::string> from;
  if (const auto name = call.query.get("from"); name && !name->empty()) {
    const Result<oci::Reference> source = oci::Reference::parse(*name);
    if (!source) co_return std::nullopt;  // an upload it is
    from = source->repository;
  }
  const bool linked = from && call.state->linked(*from, digest);
  auto work = [store = call.state->store, digest, from, linked]() -> Result<oci::Pin> {
    if (from && !linked) {
      const Result<bool> refers = store->refers_to(*from, digest);
      if (!refers) return refers.error();
      if (!*refers) return oci::Pin();
    }
    Result<oci::Pin> pin = store->pin(digest);
    if (!pin && pin.error().code == Errc::not_found) return oci::Pin();
    return pin;
  };
  Task<Result<oci::Pin>> pinning = call.state->env.disk.run(work);
  Result<oci::Pin> pin = co_await std::move(pinning);
  if (!pin) co_return failed(*call.state, pin.error());
  if (*pin == nullptr) co_return std::nullopt;
  call.state->link(call.repository, digest, std::move(*pin));
  co_return created(call, digest);
}

http::Response bad_digest() { return refuse(400, "DIGEST_INVALID", "the digest is malformed"); }

/// A whole blob in one request.
Task<http::Response> put_whole(Call& call, oci::Digest digest) {
  Task<Begun> beginning = begin(call, digest.algorithm());
  Begun begun = co_await std::move(beginning);
  if (begun.refused) co_return std::move(*begun.refused);
  const Turn turn(*call.state, begun.upload);
  Task<Received> receiving = receive(call, begun.upload->file, call.state->options.blob_bytes_max);
  Received received = co_await std::move(receiving);
  if (received.refused) {
    call.state->forget(begun.upload->id);
    co_return std::move(*received.refused);
  }
  Task<http::Response> finishing = finish(call, begun.upload, digest);
  co_return co_await std::move(finishing);
}

/// Take a chunk. Empty when it was taken whole; `size` is then where the upload stands.
Task<std::optional<http::Response>> take_chunk(Call& call, std::shared_ptr<Upload> upload,
                                               std::uint64_t& size) {
  Task<Result<std::uint64_t>> asking = size_of(*call.state, upload->file);
  const Result<std::uint64_t> have = co_await std::move(asking);
  if (!have) {
    call.state->forget(upload->id);
    co_return failed(*call.state, have.error());
  }
  size = *have;
  std::uint64_t bytes_max =
      call.state->options.blob_bytes_max - std::min(*have, call.state->options.blob_bytes_max);
  std::optional<ByteRange> range;
  if (const auto field = call.request.headers.get("Content-Range")) {
    range = parse_content_range(*field);
    if (!range) co_return refuse(400, "BLOB_UPLOAD_INVALID", "Content-Range is malformed");
    if (range->first != *have) {
      co_return progress(call, *upload, *have, 416);
    }
    const std::optional<std::uint64_t> length = call.request.body.length();
    if (length && *length != range->end - range->first) {
      co_return refuse(400, "SIZE_INVALID", "Content-Range and the body's length differ");
    }
    if (range->end - range->first > bytes_max) co_return too_large();
    bytes_max = range->end - range->first;
  }
  Task<Received> receiving = receive(call, upload->file, bytes_max);
  Received received = co_await std::move(receiving);
  const bool lied = range && received.bytes != range->end - range->first;
  if (received.refused || lied) {
    // What a broken connection brought is kept; what was refused or promised otherwise is not.
    const bool broken = received.refused && received.refused->status == 400;
    if (!broken) call.state->forget(upload->id);
    if (received.refused) co_return std::move(*received.refused);
    co_return refuse(400, "SIZE_INVALID", "Content-Range and the body's length differ");
  }
  size += received.bytes;
  co_return std::nullopt;
}

}  // namespace

Task<http::Response> serve_uploads(Call& call) {
  if (call.request.method != "POST") co_return not_allowed("POST");
  if (const auto text = call.query.get("mount")) {
    const Result<oci::Digest> digest = oci::Digest::parse(*text);
    if (!digest) co_return bad_digest();
    Task<std::optional<http::Response>> mounting = mount(call, *digest);
    std::optional<http::Response> mounted = co_await std::move(mounting);
    if (mounted) co_return std::move(*mounted);
  } else if (const auto whole = call.query.get("digest")) {
    const Result<oci::Digest> digest = oci::Digest::parse(*whole);
    if (!digest) co_return bad_digest();
    Task<http::Response> putting = put_whole(call, *digest);
    co_return co_await std::move(putting);
  }
  oci::DigestAlgorithm algorithm = oci::DigestAlgorithm::sha256;
  if (const auto name = call.query.get("digest-algorithm")) {
    if (*name == "sha512") {
      algorithm = oci::DigestAlgorithm::sha512;
    } else if (*name != "sha256") {
      co_return refuse(400, "UNSUPPORTED", "digests are of sha256 or sha512 here");
    }
  }
  Task<Begun> beginning = begin(call, algorithm);
  Begun begun = co_await std::move(beginning);
  if (begun.refused) co_return std::move(*begun.refused);
  co_return progress(call, *begun.upload, 0, 202);
}

Task<http::Response> serve_upload(Call& call) {
  const std::string& method = call.request.method;
  const bool known = method == "GET" || method == "PATCH" || method == "PUT" || method == "DELETE";
  if (!known) co_return not_allowed(upload_methods);
  const auto at = call.state->uploads.find(call.route.last);
  if (at == call.state->uploads.end() || at->second->repository != call.repository) {
    co_return unknown_upload();
  }
  const std::shared_ptr<Upload> upload = at->second;
  if (upload->busy) {
    http::Response response =
        refuse(409, "BLOB_UPLOAD_INVALID", "another request uses this upload");
    response.headers.set("Retry-After", "1");
    co_return response;
  }
  const Turn turn(*call.state, upload);
  if (method == "DELETE") {
    call.state->forget(upload->id);
    http::Response response;
    response.status = 204;
    co_return response;
  }
  if (method == "GET") {
    Task<Result<std::uint64_t>> asking = size_of(*call.state, upload->file);
    const Result<std::uint64_t> size = co_await std::move(asking);
    if (!size) co_return failed(*call.state, size.error());
    co_return progress(call, *upload, *size, 204);
  }
  std::optional<oci::Digest> digest;
  if (method == "PUT") {
    const Result<oci::Digest> wanted = oci::Digest::parse(call.query.get("digest").value_or(""));
    if (!wanted) co_return bad_digest();
    digest = *wanted;
  }
  std::uint64_t size = 0;
  Task<std::optional<http::Response>> taking = take_chunk(call, upload, size);
  std::optional<http::Response> refused = co_await std::move(taking);
  if (refused) co_return std::move(*refused);
  if (!digest) co_return progress(call, *upload, size, 202);
  Task<http::Response> finishing = finish(call, upload, *digest);
  co_return co_await std::move(finishing);
}

}  // namespace knative::registry
