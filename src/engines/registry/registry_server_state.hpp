// What the requests of a registry server share.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "engines/registry/registry_server_text.hpp"
#include "knative/oci.hpp"
#include "knative/registry_server.hpp"

namespace knative::registry {

inline constexpr std::size_t piece_bytes = 256 << 10;

/// The file of an upload. Used by one job on the disk's threads after the other: a connection that
/// breaks leaves its last write under way.
struct UploadFile {
  std::mutex mutex;
  std::unique_ptr<oci::BlobWriter> writer;
  std::uint64_t size = 0;
  std::optional<Error> broken;  ///< A write failed: what lies there is unknown.
};

struct Upload {
  std::string id;
  std::string repository;
  std::shared_ptr<UploadFile> file;
  Instant used_at{};
  bool busy = false;
};

/// A blob that was uploaded into a repository or mounted there.
struct Link {
  oci::Pin pin;
  Instant used_at{};
};

struct State : std::enable_shared_from_this<State> {
  State(Env& e, std::shared_ptr<oci::ImageStore> s, ServerOptions o)
      : env(e), store(std::move(s)), options(std::move(o)), tasks(e.executor) {}

  Env& env;
  const std::shared_ptr<oci::ImageStore> store;
  const ServerOptions options;
  std::map<std::string, std::shared_ptr<Upload>, std::less<>> uploads;
  std::map<std::pair<std::string, oci::Digest>, Link> links;
  std::size_t documents = 0;  ///< Manifests arriving.
  bool expiring = false;
  bool closed = false;
  TaskSet tasks;

  /// Forget an upload; its file goes beside the loop.
  void forget(const std::string& id);
  /// Drop what nobody uses: uploads, and the pins of blobs.
  void expire();
  void start_expiring();
  void link(const std::string& repository, const oci::Digest& digest, oci::Pin pin);
  bool linked(const std::string& repository, const oci::Digest& digest);
};
using StatePtr = std::shared_ptr<State>;

/// One request, taken apart. Lives as long as it is handled.
struct Call {
  StatePtr state;
  http::Request& request;
  Route route;
  Query query;
  std::string repository;  ///< In the store.
};

/// {"errors":[{"code","message"}]}
http::Response refuse(int status, std::string_view code, std::string_view message);
/// For a failure inside: says what the client can do about it, nothing of the store.
http::Response failed(const State& state, const Error& error);
http::Response not_allowed(std::string_view methods);

// Each answers one resource.
Task<http::Response> serve_blob(Call& call);
Task<http::Response> serve_manifest(Call& call);
Task<http::Response> serve_uploads(Call& call);
Task<http::Response> serve_upload(Call& call);

}  // namespace knative::registry
