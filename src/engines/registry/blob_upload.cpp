// One blob to one repository: not sent when it is there or can be mounted, gone on with where the
// upload broke (distribution-spec, pushing blobs).
#include <algorithm>

#include "engines/registry/blob_reader.hpp"
#include "engines/registry/image_pusher.hpp"
#include "engines/registry/registry_text.hpp"
#include "wire/http_text.hpp"

namespace knative::oci {

namespace {

// Up to here a blob goes in one request with the end of the upload.
constexpr std::uint64_t whole_bytes_max = 1 << 20;
constexpr int sessions_max = 100;

// An upload that the registry has begun.
struct Upload {
  http::Url location;
  std::uint64_t offset = 0;
  std::uint64_t chunk_bytes_min = 0;
};

class BlobUpload {
 public:
  BlobUpload(RepositoryAccess& place, std::shared_ptr<ImageStore> store, Descriptor blob)
      : place_(place),
        blob_(std::move(blob)),
        what_("blob " + blob_.digest.to_string()),
        reader_(place.world().disk, std::move(store), blob_) {}

  Task<Result<bool>> there();
  Task<Result<bool>> mount(std::string from);
  Task<Result<void>> send();

 private:
  Task<Result<bool>> begin(std::string query);
  Task<Result<bool>> part();
  Task<Result<bool>> finish(bool with_bytes);
  Task<bool> look();
  Result<void> follow(const http::Response& response, const http::Url& asked);
  Task<Result<bool>> outcome(Result<http::Response>& response);

  RepositoryAccess& place_;
  Descriptor blob_;
  std::string what_;
  BlobReader reader_;
  std::optional<Upload> upload_;
  std::optional<Error> last_;
};

Task<Result<bool>> BlobUpload::there() {
  RegistryCall call;
  call.method = "HEAD";
  call.path = "/blobs/" + blob_.digest.to_string();
  Result<http::Response> response = co_await place_.send(call);
  if (!response) co_return place_.failed(what_, response.error());
  if (response->status == 404) co_return false;
  if (response->ok()) co_return true;
  Error error = co_await place_.refused(what_, *response);
  co_return error;
}

// The place of an upload moves with each answer.
Result<void> BlobUpload::follow(const http::Response& response, const http::Url& asked) {
  const std::optional<std::string_view> location = response.headers.get("Location");
  if (!location) {
    return upload_ ? Result<void>()
                   : fail(Errc::invalid_argument, "the registry does not say where to send it");
  }
  Result<http::Url> url = place_.location(*location, asked);
  if (!url) return std::move(url).error();
  if (!upload_) upload_.emplace();
  upload_->location = *std::move(url);
  return {};
}

// True: nothing more to do, it is mounted.
Task<Result<bool>> BlobUpload::begin(std::string query) {
  upload_.reset();
  RegistryCall call;
  call.method = "POST";
  call.path = "/blobs/uploads/" + query;
  Result<http::Response> response = co_await place_.send(call);
  if (!response) co_return place_.failed(what_, response.error());
  if (response->status == 201) co_return true;
  if (response->status != 202) {
    Error error = co_await place_.refused(what_, *response);
    co_return error;
  }
  Result<void> followed = follow(*response, place_.url(call.path));
  if (!followed) co_return place_.failed(what_, followed.error());
  upload_->chunk_bytes_min =
      http::wire::parse_length(response->headers.get("OCI-Chunk-Min-Length").value_or(""))
          .value_or(0);
  co_return false;
}

Task<Result<bool>> BlobUpload::mount(std::string from) {
  Task<Result<bool>> beginning =
      begin("?" + form_text({{"mount", blob_.digest.to_string()}, {"from", from}}));
  Result<bool> mounted = co_await std::move(beginning);
  // A registry that may not mount from there is asked for an ordinary upload.
  if (!mounted && mounted.error().code != Errc::unavailable) co_return false;
  co_return mounted;
}

// True: the request was taken. False: it may be tried again. Otherwise nothing helps.
Task<Result<bool>> BlobUpload::outcome(Result<http::Response>& response) {
  if (reader_.failure()) co_return *reader_.failure();
  if (!response) {
    last_ = place_.failed(what_, response.error());
    const bool passing = last_->code == Errc::unavailable || last_->code == Errc::deadline_exceeded;
    if (!passing) co_return *last_;
    co_return false;
  }
  if (response->ok()) co_return true;
  const int status = response->status;
  last_ = co_await place_.refused(what_, *response);
  // The upload is gone, or stands elsewhere than we believed.
  const bool passing =
      status == 404 || status == 408 || status == 416 || status == 429 || status >= 500;
  if (!passing) co_return *last_;
  co_return false;
}

Task<Result<bool>> BlobUpload::part() {
  const std::uint64_t offset = upload_->offset;
  const std::uint64_t chunk = place_.world().options.chunk_bytes;
  std::uint64_t length = blob_.size_bytes - offset;
  if (chunk > 0) length = std::min(length, std::max(chunk, upload_->chunk_bytes_min));
  RegistryCall call;
  call.method = "PATCH";
  call.url = upload_->location;
  call.once = true;
  call.headers.set("Content-Type", "application/octet-stream");
  call.headers.set("Content-Range",
                   std::to_string(offset) + "-" + std::to_string(offset + length - 1));
  call.body = [this, offset, length] { return reader_.body(offset, length); };
  Result<http::Response> response = co_await place_.send(call);
  Task<Result<bool>> judging = outcome(response);
  Result<bool> taken = co_await std::move(judging);
  if (!taken || !*taken) co_return taken;
  Result<void> followed = follow(*response, *call.url);
  if (!followed) co_return place_.failed(what_, followed.error());
  const std::optional<std::uint64_t> arrived =
      read_upload_range(response->headers.get("Range").value_or(""));
  upload_->offset = std::min(arrived.value_or(offset + length), offset + length);
  if (upload_->offset <= offset) {
    co_return place_.failed(Errc::unavailable, what_, "the registry takes nothing of it");
  }
  co_return true;
}

Task<Result<bool>> BlobUpload::finish(bool with_bytes) {
  RegistryCall call;
  call.method = "PUT";
  call.url = upload_->location;
  std::string& target = call.url->target;
  target +=
      (target.find('?') == std::string::npos ? "?digest=" : "&digest=") + blob_.digest.to_string();
  call.once = true;
  call.headers.set("Content-Type", "application/octet-stream");
  if (with_bytes) call.body = [this] { return reader_.body(0, blob_.size_bytes); };
  Result<http::Response> response = co_await place_.send(call);
  Task<Result<bool>> judging = outcome(response);
  co_return co_await std::move(judging);
}

// How far did it get? False: it has to begin anew.
Task<bool> BlobUpload::look() {
  RegistryCall call;
  call.url = upload_->location;
  Result<http::Response> response = co_await place_.send(call);
  if (!response || !response->ok()) co_return false;
  const std::optional<std::uint64_t> arrived =
      read_upload_range(response->headers.get("Range").value_or(""));
  if (!arrived || *arrived > blob_.size_bytes || !follow(*response, *call.url)) co_return false;
  upload_->offset = *arrived;
  co_return true;
}

Task<Result<void>> BlobUpload::send() {
  RegistryWorld& world = place_.world();
  int failures = 0;
  std::uint64_t furthest = 0;
  for (int tries = 0; tries < sessions_max; ++tries) {
    if (!upload_) {
      Task<Result<bool>> beginning = begin("");
      Result<bool> begun = co_await std::move(beginning);
      if (!begun) co_return std::move(begun).error();
    }
    const std::uint64_t chunk = world.options.chunk_bytes;
    const std::uint64_t at_once = chunk > 0 ? std::min(chunk, whole_bytes_max) : whole_bytes_max;
    const bool whole = upload_->offset == 0 && blob_.size_bytes <= at_once;
    const bool complete = upload_->offset == blob_.size_bytes;
    Task<Result<bool>> stepping = whole || complete ? finish(whole) : part();
    Result<bool> taken = co_await std::move(stepping);
    if (!taken) co_return std::move(taken).error();
    if (*taken && (whole || complete)) co_return Result<void>();
    if (*taken) {
      --tries;  // bounded by the blob's size
      continue;
    }
    Task<bool> looking = look();
    const bool known = co_await std::move(looking);
    const bool further = known && upload_->offset > furthest;
    if (further) furthest = upload_->offset;
    failures = further ? 1 : failures + 1;
    if (failures >= world.options.attempts_max) break;
    co_await world.timers.sleep_for(place_.pause_after(failures));
    if (known) continue;
    upload_.reset();
    // The answer may have been lost, not the blob.
    Task<Result<bool>> asking = there();
    const Result<bool> arrived = co_await std::move(asking);
    if (arrived && *arrived) co_return Result<void>();
  }
  co_return *last_;
}

}  // namespace

Task<Result<BlobArrival>> upload_blob(RepositoryAccess& place, std::shared_ptr<ImageStore> store,
                                      Descriptor blob, std::vector<std::string> mount_from) {
  BlobUpload upload(place, std::move(store), std::move(blob));
  Task<Result<bool>> asking = upload.there();
  Result<bool> known = co_await std::move(asking);
  if (!known) co_return std::move(known).error();
  if (*known) co_return BlobArrival::there;
  for (std::string& from : mount_from) {
    Task<Result<bool>> mounting = upload.mount(std::move(from));
    Result<bool> mounted = co_await std::move(mounting);
    if (!mounted) co_return std::move(mounted).error();
    if (*mounted) co_return BlobArrival::mounted;
  }
  Task<Result<void>> sending = upload.send();
  Result<void> sent = co_await std::move(sending);
  if (!sent) co_return std::move(sent).error();
  co_return BlobArrival::sent;
}

}  // namespace knative::oci
