// Blobs and manifests: given, taken, deleted.
#include <algorithm>
#include <utility>

#include "engines/registry/registry_server_state.hpp"

namespace knative::registry {

namespace {

constexpr std::string_view docker_manifest = "application/vnd.docker.distribution.manifest.v2+json";
constexpr std::string_view docker_index =
    "application/vnd.docker.distribution.manifest.list.v2+json";
constexpr std::string_view document_methods = "GET, HEAD, PUT, DELETE";
constexpr std::string_view blob_methods = "GET, HEAD, DELETE";

http::Response deletion_is_off() {
  return refuse(405, "UNSUPPORTED", "nothing is deleted in this registry");
}

http::Response accepted() {
  http::Response response;
  response.status = 202;
  return response;
}

// ---------------------------------------------------------------------------- blobs

/// Bytes of a blob as they are read from the disk.
class BlobBody final : public http::BodySource {
 public:
  BlobBody(Offload& disk, std::shared_ptr<oci::BlobContent> blob, ByteRange range)
      : disk_(disk), blob_(std::move(blob)), range_(range) {}

  std::optional<std::uint64_t> length() const override { return range_.end - range_.first; }

  Task<Result<std::string_view>> next() override {
    piece_.clear();
    if (range_.first == range_.end) co_return std::string_view();
    const std::size_t wanted =
        static_cast<std::size_t>(std::min<std::uint64_t>(piece_bytes, range_.end - range_.first));
    // The buffer goes along: whoever drops this meanwhile takes nothing away from the work.
    auto work = [blob = blob_, offset = range_.first, wanted,
                 piece = std::move(piece_)]() mutable -> Result<std::string> {
      piece.resize(wanted);
      const Result<std::size_t> got = blob->read_at(offset, piece);
      if (!got) return got.error();
      piece.resize(*got);
      return std::move(piece);
    };
    Task<Result<std::string>> reading = disk_.run(work);
    Result<std::string> piece = co_await std::move(reading);
    if (!piece) co_return piece.error();
    if (piece->empty()) co_return fail(Errc::data_loss, "a blob ends early");
    piece_ = std::move(*piece);
    range_.first += piece_.size();
    co_return std::string_view(piece_);
  }

 private:
  Offload& disk_;
  std::shared_ptr<oci::BlobContent> blob_;
  ByteRange range_;
  std::string piece_;
};

http::Response unknown_blob() {
  return refuse(404, "BLOB_UNKNOWN", "there is no such blob in the repository");
}

/// The blob, if this repository has it.
Result<std::shared_ptr<oci::BlobContent>> open_in(oci::ImageStore& store,
                                                  const std::string& repository,
                                                  const oci::Digest& digest, bool linked) {
  if (!linked) {
    const Result<bool> refers = store.refers_to(repository, digest);
    if (!refers) return refers.error();
    if (!*refers) {
      const Result<std::optional<oci::Descriptor>> manifest = store.find({repository, "", digest});
      if (!manifest) return manifest.error();
      if (!*manifest) return fail(Errc::not_found, "not in the repository");
    }
  }
  // Who asks for it means to use it.
  const Result<std::optional<std::uint64_t>> size = store.blob_size(digest);
  if (!size) return size.error();
  Result<std::unique_ptr<oci::BlobContent>> blob = store.read_blob(digest);
  if (!blob) return blob.error();
  return std::shared_ptr<oci::BlobContent>(std::move(*blob));
}

Task<http::Response> give_blob(Call& call, oci::Digest digest) {
  const bool linked = call.state->linked(call.repository, digest);
  auto work = [store = call.state->store, repository = call.repository, digest, linked] {
    return open_in(*store, repository, digest, linked);
  };
  Task<Result<std::shared_ptr<oci::BlobContent>>> opening = call.state->env.disk.run(work);
  Result<std::shared_ptr<oci::BlobContent>> blob = co_await std::move(opening);
  if (!blob) {
    if (blob.error().code == Errc::not_found) co_return unknown_blob();
    co_return failed(*call.state, blob.error());
  }
  const std::uint64_t size = (*blob)->size();
  const std::string tag = "\"" + digest.to_string() + "\"";
  http::Response response;
  response.headers.set("Docker-Content-Digest", digest.to_string());
  response.headers.set("ETag", tag);
  response.headers.set("Accept-Ranges", "bytes");
  response.headers.set("Cache-Control", "max-age=31536000");
  const http::Headers& asked = call.request.headers;
  if (asked.get("If-None-Match") == tag) {
    response.status = 304;
    co_return response;
  }
  response.headers.set("Content-Type", "application/octet-stream");
  ByteRange range{0, size};
  const auto condition = asked.get("If-Range");
  if (const auto field = asked.get("Range"); field && (!condition || *condition == tag)) {
    const RangeAnswer answer = parse_range(*field, size, range);
    if (answer == RangeAnswer::none) {
      http::Response none = refuse(416, "RANGE_INVALID", "the range is outside of the blob");
      none.headers.set("Content-Range", "bytes */" + std::to_string(size));
      co_return none;
    }
    if (answer == RangeAnswer::part) {
      response.status = 206;
      response.headers.set("Content-Range", "bytes " + std::to_string(range.first) + "-" +
                                                std::to_string(range.end - 1) + "/" +
                                                std::to_string(size));
    }
  }
  if (call.request.method == "HEAD") {
    response.headers.set("Content-Length", std::to_string(range.end - range.first));
    co_return response;
  }
  response.body =
      http::Body(std::make_unique<BlobBody>(call.state->env.disk, std::move(*blob), range));
  co_return response;
}

enum class Deleted : unsigned char { done, absent, needed };

Result<Deleted> delete_blob(oci::ImageStore& store, const std::string& repository,
                            const oci::Digest& digest, bool linked, bool elsewhere) {
  const Result<bool> refers = store.refers_to(repository, digest);
  if (!refers) return refers.error();
  const Result<std::optional<std::uint64_t>> size = store.blob_size(digest);
  if (!size) return size.error();
  if (!*size) return Deleted::absent;
  if (*refers) return Deleted::needed;
  if (!linked) return Deleted::absent;
  if (elsewhere) return Deleted::done;
  Result<void> removed = store.remove_blob(digest);
  if (removed || removed.error().code == Errc::not_found) return Deleted::done;
  // Other repositories keep it.
  if (removed.error().code == Errc::failed_precondition) return Deleted::done;
  return removed.error();
}

Task<http::Response> drop_blob(Call& call, oci::Digest digest) {
  if (!call.state->options.deletion) co_return deletion_is_off();
  auto& links = call.state->links;
  const bool linked = links.erase({call.repository, digest}) > 0;
  const bool elsewhere = std::any_of(
      links.begin(), links.end(), [&](const auto& entry) { return entry.first.second == digest; });
  auto work = [store = call.state->store, repository = call.repository, digest, linked, elsewhere] {
    return delete_blob(*store, repository, digest, linked, elsewhere);
  };
  Task<Result<Deleted>> deleting = call.state->env.disk.run(work);
  const Result<Deleted> deleted = co_await std::move(deleting);
  if (!deleted) co_return failed(*call.state, deleted.error());
  if (*deleted == Deleted::absent) co_return unknown_blob();
  if (*deleted == Deleted::needed) {
    co_return refuse(405, "UNSUPPORTED", "the blob is part of a manifest of this repository");
  }
  co_return accepted();
}

// ---------------------------------------------------------------------------- manifests

http::Response unknown_manifest() {
  return refuse(404, "MANIFEST_UNKNOWN", "there is no such manifest in the repository");
}

http::Response bad_reference(std::string_view text) {
  if (text.find(':') != std::string_view::npos) {
    return refuse(400, "DIGEST_INVALID", "the digest is malformed");
  }
  return refuse(400, "TAG_INVALID", "the tag is malformed");
}

/// Tag or digest of a repository.
Result<oci::Reference> reference_of(const std::string& repository, std::string_view text) {
  if (text.find(':') != std::string_view::npos) {
    Result<oci::Digest> digest = oci::Digest::parse(text);
    if (!digest) return digest.error();
    return oci::Reference{repository, "", std::move(*digest)};
  }
  Result<oci::Reference> tagged = oci::Reference::parse("x:" + std::string(text));
  if (!tagged) return tagged.error();
  return oci::Reference{repository, std::move(tagged->tag), oci::Digest()};
}

struct Document {
  oci::Descriptor descriptor;
  std::string bytes;
};

Task<http::Response> give_manifest(Call& call, oci::Reference name) {
  auto work = [store = call.state->store, name,
               bytes_max = call.state->options.manifest_bytes_max]() -> Result<Document> {
    Result<std::optional<oci::Descriptor>> found = store->find(name);
    if (!found) return found.error();
    if (!*found) return fail(Errc::not_found, "not in the repository");
    Result<std::string> bytes = store->get_blob(**found, bytes_max);
    if (!bytes) return bytes.error();
    return Document{std::move(**found), std::move(*bytes)};
  };
  Task<Result<Document>> reading = call.state->env.disk.run(work);
  Result<Document> document = co_await std::move(reading);
  if (!document) {
    if (document.error().code == Errc::not_found) co_return unknown_manifest();
    co_return failed(*call.state, document.error());
  }
  const std::string digest = document->descriptor.digest.to_string();
  const std::string tag = "\"" + digest + "\"";
  http::Response response;
  response.headers.set("Docker-Content-Digest", digest);
  response.headers.set("ETag", tag);
  if (call.request.headers.get("If-None-Match") == tag) {
    response.status = 304;
    co_return response;
  }
  response.headers.set("Content-Type", document->descriptor.media_type);
  if (call.request.method == "HEAD") {
    response.headers.set("Content-Length", std::to_string(document->bytes.size()));
    co_return response;
  }
  response.body = http::Body(std::move(document->bytes));
  co_return response;
}

Task<http::Response> drop_manifest(Call& call, oci::Reference name) {
  if (!call.state->options.deletion) co_return deletion_is_off();
  auto work = [store = call.state->store, name]() -> Result<void> {
    if (name.digest.empty()) return store->remove_reference(name);
    return store->remove_manifest(name.repository, name.digest);
  };
  Task<Result<void>> removing = call.state->env.disk.run(work);
  const Result<void> removed = co_await std::move(removing);
  if (removed) co_return accepted();
  if (removed.error().code == Errc::not_found) co_return unknown_manifest();
  co_return failed(*call.state, removed.error());
}

/// What is pushed, and under which names.
struct Push {
  std::string repository;
  std::string bytes;
  std::string media_type;  ///< As its header says; may be empty.
  std::optional<oci::Digest> digest;
  std::vector<std::string> tags;
  bool sparse = false;
};

/// Refused by its content: the code and what is wrong.
struct Refusal {
  int status = 400;
  std::string_view code;
  std::string message;
};

struct Pushed {
  oci::Digest digest;
  std::optional<oci::Digest> subject;
  std::optional<Refusal> refusal;
};

Refusal invalid(std::string message) { return {400, "MANIFEST_INVALID", std::move(message)}; }

bool is_elsewhere(const oci::Descriptor& blob) {
  return !blob.urls.empty() || blob.media_type.find("nondistributable") != std::string::npos ||
         blob.media_type.find(".foreign.") != std::string::npos;
}

/// What the document is, and the blobs that it needs here.
struct Understood {
  std::string media_type;
  std::vector<oci::Descriptor> blobs;
  std::optional<oci::Digest> subject;
};

Result<Understood> understand(const Push& push) {
  Understood result;
  const std::string& type = push.media_type;
  const bool of_index = type == oci::media_type::index || type == docker_index;
  const bool of_manifest = type == oci::media_type::manifest || type == docker_manifest;
  if (!type.empty() && !of_index && !of_manifest) {
    return fail(Errc::invalid_argument, "the media type is none of a manifest or an index");
  }
  Result<oci::Manifest> manifest =
      of_index ? fail(Errc::invalid_argument, "an index") : oci::Manifest::parse(push.bytes);
  if (manifest) {
    result.media_type = type.empty() ? std::string(manifest->own_media_type()) : type;
    if (!type.empty() && manifest->docker != (type == docker_manifest)) {
      return fail(Errc::invalid_argument, "its mediaType is another than its Content-Type");
    }
    result.blobs = std::move(manifest->layers);
    result.blobs.push_back(std::move(manifest->config));
    if (manifest->subject) result.subject = manifest->subject->digest;
    return result;
  }
  if (of_manifest) return manifest.error();
  Result<oci::Index> index = oci::Index::parse(push.bytes);
  if (!index) return of_index ? index.error() : manifest.error();
  const std::string_view own = index->docker ? docker_index : oci::media_type::index;
  if (!type.empty() && index->docker != (type == docker_index)) {
    return fail(Errc::invalid_argument, "its mediaType is another than its Content-Type");
  }
  result.media_type = type.empty() ? std::string(own) : type;
  if (index->subject) result.subject = index->subject->digest;
  return result;
}

/// Beside the loop: a document of megabytes takes its time.
Result<Pushed> take_document(oci::ImageStore& store, const Push& push) {
  Pushed pushed;
  const oci::DigestAlgorithm algorithm =
      push.digest ? push.digest->algorithm() : oci::DigestAlgorithm::sha256;
  pushed.digest = oci::Digest::of(push.bytes, algorithm);
  if (push.digest && *push.digest != pushed.digest) {
    pushed.refusal = Refusal{400, "DIGEST_INVALID", "the manifest has another digest"};
    return pushed;
  }
  Result<Understood> document = understand(push);
  if (!document) {
    pushed.refusal = invalid(document.error().detail.substr(0, 300));
    return pushed;
  }
  for (const oci::Descriptor& blob : document->blobs) {
    if (is_elsewhere(blob)) continue;
    const Result<std::optional<std::uint64_t>> size = store.blob_size(blob.digest);
    if (!size) return size.error();
    if (!*size && push.sparse) continue;
    if (!*size) {
      pushed.refusal = Refusal{404, "MANIFEST_BLOB_UNKNOWN",
                               "the registry does not have " + blob.digest.to_string()};
      return pushed;
    }
    if (**size != blob.size_bytes) {
      pushed.refusal = invalid("another size than the blob's: " + blob.digest.to_string());
      return pushed;
    }
  }
  pushed.subject = document->subject;
  Result<std::unique_ptr<oci::BlobWriter>> writer = store.new_blob(algorithm);
  if (!writer) return writer.error();
  if (Result<void> written = (*writer)->write(push.bytes); !written) return written.error();
  Result<oci::Descriptor> blob = (*writer)->commit(pushed.digest);
  if (!blob) return blob.error();
  blob->media_type = document->media_type;
  if (Result<void> kept = store.keep_manifest(push.repository, *blob); !kept) return kept.error();
  for (const std::string& tag : push.tags) {
    const oci::Reference name{push.repository, tag, oci::Digest()};
    if (Result<void> bound = store.set_reference(name, *blob); !bound) return bound.error();
  }
  return pushed;
}

/// A place among the documents that arrive, which are held in memory.
class Place {
 public:
  explicit Place(State& state) : state_(state) { ++state_.documents; }
  ~Place() { --state_.documents; }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  State& state_;
};

/// Media types compare without parameters.
std::string media_type_of(const http::Request& request) {
  std::string_view field = request.headers.get("Content-Type").value_or("");
  field = field.substr(0, field.find(';'));
  while (field.ends_with(' ')) field.remove_suffix(1);
  return std::string(field);
}

Task<http::Response> put_manifest(Call& call, oci::Reference name) {
  State& state = *call.state;
  if (state.documents >= state.options.documents_max) {
    http::Response busy = refuse(429, "TOOMANYREQUESTS", "too many manifests arrive at once");
    busy.headers.set("Retry-After", "1");
    co_return busy;
  }
  const Place place(state);
  const std::size_t bytes_max = state.options.manifest_bytes_max;
  const auto too_large = [] {
    return refuse(413, "SIZE_INVALID", "the manifest is larger than the registry takes");
  };
  if (call.request.body.length().value_or(0) > bytes_max) co_return too_large();
  Task<Result<void>> reading = call.request.body.read_all(bytes_max);
  const Result<void> read = co_await std::move(reading);
  if (!read) {
    if (read.error().code == Errc::resource_exhausted) co_return too_large();
    co_return refuse(400, "MANIFEST_INVALID", "the body ended early");
  }
  Push push;
  push.repository = call.repository;
  push.sparse = state.options.sparse;
  push.bytes = call.request.body.take_bytes();
  push.media_type = media_type_of(call.request);
  if (name.digest.empty()) {
    push.tags.push_back(name.tag);
    if (const auto digest = call.query.get("digest")) {
      const Result<oci::Digest> wanted = oci::Digest::parse(*digest);
      if (!wanted) co_return bad_reference(":");
      push.digest = *wanted;
    }
  } else {
    push.digest = name.digest;
    for (const std::string_view tag : call.query.all("tag")) {
      const Result<oci::Reference> good = reference_of(call.repository, tag);
      if (!good || good->tag.empty()) co_return bad_reference("");
      push.tags.emplace_back(tag);
    }
  }
  const std::vector<std::string> tags = push.tags;
  auto work = [store = state.store, push = std::move(push)] { return take_document(*store, push); };
  Task<Result<Pushed>> taking = state.env.disk.run(work);
  const Result<Pushed> pushed = co_await std::move(taking);
  if (!pushed) co_return failed(state, pushed.error());
  if (pushed->refusal) {
    co_return refuse(pushed->refusal->status, pushed->refusal->code, pushed->refusal->message);
  }
  const std::string digest = pushed->digest.to_string();
  http::Response response;
  response.status = 201;
  response.headers.set("Location", "/v2/" + call.route.name + "/manifests/" + digest);
  response.headers.set("Docker-Content-Digest", digest);
  if (pushed->subject) response.headers.set("OCI-Subject", pushed->subject->to_string());
  if (!name.digest.empty()) {
    for (const std::string& tag : tags) response.headers.add("OCI-Tag", tag);
  }
  co_return response;
}

}  // namespace

Task<http::Response> serve_blob(Call& call) {
  const std::string& method = call.request.method;
  const bool giving = method == "GET" || method == "HEAD";
  if (!giving && method != "DELETE") co_return not_allowed(blob_methods);
  const Result<oci::Digest> digest = oci::Digest::parse(call.route.last);
  if (!digest) co_return refuse(400, "DIGEST_INVALID", "the digest is malformed");
  Task<http::Response> serving = giving ? give_blob(call, *digest) : drop_blob(call, *digest);
  co_return co_await std::move(serving);
}

Task<http::Response> serve_manifest(Call& call) {
  const std::string& method = call.request.method;
  const bool giving = method == "GET" || method == "HEAD";
  if (!giving && method != "PUT" && method != "DELETE") co_return not_allowed(document_methods);
  const Result<oci::Reference> name = reference_of(call.repository, call.route.last);
  if (!name) co_return bad_reference(call.route.last);
  Task<http::Response> serving = giving            ? give_manifest(call, *name)
                                 : method == "PUT" ? put_manifest(call, *name)
                                                   : drop_manifest(call, *name);
  co_return co_await std::move(serving);
}

}  // namespace knative::registry
