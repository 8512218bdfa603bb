/// \file
/// A registry server over an image store: what docker, podman, skopeo, buildah, crane and ko push
/// into and pull from.
///
/// It speaks the OCI distribution specification 1.1 whole, with what its next version adds
/// (several tags at once, cancelled uploads, sha512). Names of the registry are plain names of the
/// store: what was pushed as "HOST:PORT/team/shop:v1" is the image "team/shop:v1".
///
/// \code
/// knative::registry::Server registry(loop.env(), images, {});
/// knative::http::Server http(env.executor, env.timers, env.logger,
///                            env.network.listen({}).value(), registry, limits);
/// \endcode
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "knative/env.hpp"
#include "knative/http.hpp"

namespace knative::oci {
class ImageStore;
struct Reference;
}  // namespace knative::oci

namespace knative::registry {

/// What somebody may do; each includes what comes before.
enum class Access : unsigned char { none, read, write };

/// Somebody who says who he is (HTTP basic authentication).
struct User {
  std::string name;
  std::string password;
  Access access = Access::write;
};

/// Bounds and rights. Every bound answers with the status in parentheses.
struct ServerOptions {
  std::vector<User> users;
  /// Of whoever brings no credentials.
  Access anonymous = Access::write;
  /// Take manifests of images some of whose blobs are not here. (404)
  bool sparse = false;
  bool deletion = true;                                     ///< (405)
  std::uint64_t blob_bytes_max = std::uint64_t{64} << 30;   ///< (413)
  std::size_t manifest_bytes_max = std::size_t{8} << 20;    ///< (413)
  std::size_t uploads_max = 256;                            ///< Under way. (429)
  std::size_t documents_max = 16;                           ///< Manifests arriving. (429)
  Duration upload_idle_timeout = std::chrono::minutes(15);  ///< Then it is forgotten. (404)
  /// How long a blob that no manifest refers to yet is kept from collection.
  Duration blob_grace = std::chrono::hours(1);
  std::size_t page_max = 1000;  ///< Tags, repositories and referrers of one answer.
};

/// Serves an image store. Bodies stream through `Env::disk` in bounded memory: 256 KiB for each
/// upload and download. Belongs to its loop; requests under way keep what they use.
///
/// Content is stored once; a blob is seen in a repository when it was uploaded or mounted there, or
/// a manifest there refers to it. Blobs that only were uploaded are not seen any more after a
/// restart, and are uploaded again. A blob that a manifest refers to is not deleted (405).
/// Manifests are given back byte by byte under the media type they came with.
class KNATIVE_EXPORT Server final : public http::Handler {
 public:
  /// `env` must outlive the server and its tasks.
  Server(Env& env, std::shared_ptr<oci::ImageStore> store, ServerOptions options);
  ~Server() override;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  Task<http::Response> handle(http::Request& request) override;
  std::size_t uploads() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The name in the store of an image that is named by a registry of this machine at `port`:
/// "localhost:5000/shop" (also 127.0.0.1 and [::1]) is "shop". Other names stay as they are.
KNATIVE_EXPORT oci::Reference plain_name(const oci::Reference& name, std::uint16_t port);

}  // namespace knative::registry
