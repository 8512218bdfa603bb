/// \file
/// A client of registries (OCI distribution specification 1.1; Docker's schema 2 is understood).
///
/// It pulls images into an `ImageStore` and pushes them from there, over one `http::Outbound`,
/// whose trust and proxies hold. What comes from a registry is believed when its digest says so;
/// sizes are bounded, memory is too: some MiB, whatever the image. What the other side has is not
/// sent.
///
/// Transient failures (429, 5xx, broken connections) are tried again after a pause, or when the
/// registry says; a broken blob goes on where it broke. Credentials go to their registry and to
/// the token service that it names, over TLS or on this machine, and nowhere else: not to where
/// a redirect leads, not into an error. Objects belong to the loop they were made on; dropping a
/// task cancels it and leaves no part of a blob.
///
/// Every task below fails with
///  - `invalid_argument`: a document, a name or an answer is malformed,
///  - `not_found`: the registry has no such image, blob or repository,
///  - `failed_precondition`: the registry refuses us (401, 403), or is not to be trusted,
///  - `unavailable`: it is not reached or fails; `deadline_exceeded`: it does not answer,
///  - `resource_exhausted`: a bound is passed, or the registry says 429,
///  - `data_loss`: bytes are not what their digest or size promises,
///  - `unimplemented`: e.g. Docker's schema 1, or an operation that the registry does not offer,
/// and with what the store fails with. The detail names registry, repository, and the registry's
/// own code and message.
///
/// \code
/// kn::oci::RegistryClient registry(outbound, env.timers, env.random, env.disk);
/// const auto name = kn::oci::Reference::parse("registry.example/team/shop:v1").value();
/// kn::Result<kn::oci::PulledImage> pulled = co_await registry.pull(name, store);
/// \endcode
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/http_outbound.hpp"
#include "knative/oci.hpp"
#include "knative/registry_credentials.hpp"
#include "knative/task.hpp"

namespace knative::oci {

/// How one registry is reached.
struct RegistryHost {
  /// Speak http. Registries on loopback addresses need no such word: they are asked in http
  /// first, and in https when that is what they speak.
  bool plain_http = false;
  /// Asked before it for what is read, in order: "host[:port][/prefix]", where the prefix comes
  /// before the repository's name. They have credentials of their own.
  std::vector<std::string> mirrors;
  /// Another client for it, e.g. with a private authority or a certificate; null: the usual one.
  /// Must outlive the registry client.
  http::Outbound* outbound = nullptr;
};

/// Bounds and ways of a `RegistryClient`.
struct RegistryClientOptions {
  std::map<std::string, RegistryHost> hosts;  ///< By "host[:port]"; the others are as by default.
  /// Used where a call brings no credentials that fit.
  RegistryKeyring credentials;
  /// Runs the credential helpers of `credentials`, never those of a call's; null: nobody does, and
  /// who needs one is refused. Must outlive the client.
  Processes* processes = nullptr;
  std::map<std::string, std::string> helper_environment;  ///< With PATH and HOME, as a rule.
  int attempts_max = 5;  ///< Of a request, or of a blob without progress.
  Duration retry_pause = std::chrono::milliseconds(250);  ///< Doubled each time.
  Duration retry_pause_max = std::chrono::seconds(10);    ///< Of our own.
  Duration retry_after_max = std::chrono::seconds(60);    ///< Who asks for more is refused.
  /// Bytes in a second, seen over a minute at a time: who sends a blob slower is given up.
  std::uint64_t blob_rate_min = 1024;
  std::size_t parallel_blobs_max = 4;                       ///< Of one pull or push.
  std::size_t manifest_bytes_max = std::size_t{4} << 20;    ///< Also of a config.
  std::size_t layers_max = 512;                             ///< Of one manifest.
  std::size_t manifests_max = 512;                          ///< Of one index, and of one pull.
  std::uint64_t image_bytes_max = std::uint64_t{64} << 30;  ///< Of all blobs of one pull.
  /// Blobs from this size on are sent in such pieces; 0: each in one, with a try to go on where
  /// it broke.
  std::uint64_t chunk_bytes = 0;
  std::size_t tags_max = 100'000;
};

/// What to pull.
struct PullOptions {
  RegistryKeyring credentials;  ///< imagePullSecrets and the like; its helpers are not run.
  ImagePlatform platform = host_platform();  ///< Of an index.
  bool all_platforms = false;  ///< Everything that an index lists; `platform` says nothing then.
  /// Fetch layers that may not be distributed (`urls`) where they say, over https, without
  /// credentials. Otherwise such a layer fails with `failed_precondition`, unless the registry has
  /// it.
  bool foreign_layers = false;
  /// Bound in the store at the end instead of the name that was asked for.
  std::optional<Reference> as;
  /// Told of the platform's image while it comes, its end included; null: nobody. Not with
  /// `all_platforms`.
  std::shared_ptr<ImageArrival> arrival = {};
};

/// What a pull has brought.
struct PulledImage {
  Descriptor root;                ///< What the name means: a manifest, or an index.
  Descriptor manifest;            ///< The platform's; `root` when all were asked for.
  std::size_t blobs_fetched = 0;  ///< With documents.
  std::size_t blobs_kept = 0;     ///< That the store had.
  std::uint64_t bytes_fetched = 0;
};

/// What to push.
struct PushOptions {
  RegistryKeyring credentials;  ///< As `PullOptions::credentials`.
  /// Push the host's manifest of an index instead of the index with all that it lists.
  bool one_platform = false;
  /// Repositories of the same registry that may have layers already ("team/base"); those that this
  /// client pulled the layers from are asked anyway.
  std::vector<std::string> mount_from;
};

/// What a push has done.
struct PushedImage {
  Descriptor root;  ///< What the name means now.
  std::size_t blobs_sent = 0;
  std::size_t blobs_mounted = 0;  ///< From another repository, without being sent.
  std::size_t blobs_there = 0;    ///< That the registry had.
  std::uint64_t bytes_sent = 0;
};

/// A client of all registries. Calls may run side by side. No call has default arguments: g++ 12
/// destroys those of awaited calls twice.
class KNATIVE_EXPORT RegistryClient {
 public:
  /// The capabilities must outlive it; `disk` is where the store's files are read and written.
  RegistryClient(http::Outbound& outbound, Timers& timers, Random& random, Offload& disk,
                 RegistryClientOptions options = {});
  ~RegistryClient();
  RegistryClient(const RegistryClient&) = delete;
  RegistryClient& operator=(const RegistryClient&) = delete;

  /// What a name means at its registry, an index as such; one HEAD request as a rule. A digest in
  /// the name wins over its tag and is asked for, too.
  Task<Result<Descriptor>> resolve(const Reference& name, RegistryKeyring credentials);
  Task<Result<Descriptor>> resolve(Reference&&, RegistryKeyring) = delete;
  Task<Result<Descriptor>> resolve(const Reference& name);
  Task<Result<Descriptor>> resolve(Reference&&) = delete;

  /// Bring an image into `store`: blobs side by side, checked, then its documents, byte by byte as
  /// they came, then the name. An index is stored and bound, but of what it lists only the chosen
  /// manifest is there; when `platform` is not the host's, the name means that manifest. A name
  /// with a digest is not bound, unless `as` says so.
  Task<Result<PulledImage>> pull(const Reference& name, std::shared_ptr<ImageStore> store,
                                 PullOptions options);
  Task<Result<PulledImage>> pull(Reference&&, std::shared_ptr<ImageStore>, PullOptions) = delete;
  Task<Result<PulledImage>> pull(const Reference& name, std::shared_ptr<ImageStore> store);
  Task<Result<PulledImage>> pull(Reference&&, std::shared_ptr<ImageStore>) = delete;

  /// Send what `local` means in `store` to where `to` says: blobs side by side, those that the
  /// registry has or can mount from another repository not at all, then configs, then documents,
  /// byte by byte, an index last. An image that is there already costs one HEAD request. What
  /// `to` means is changed by the last request alone. When the registry keeps no referrers, the
  /// index of them is kept for it (distribution-spec, referrers tag).
  ///
  /// Also fails with `failed_precondition` when an index lists what neither side has.
  Task<Result<PushedImage>> push(std::shared_ptr<ImageStore> store, const Reference& local,
                                 const Reference& to, PushOptions options);
  Task<Result<PushedImage>> push(std::shared_ptr<ImageStore>, Reference&&, const Reference&,
                                 PushOptions) = delete;
  Task<Result<PushedImage>> push(std::shared_ptr<ImageStore>, const Reference&, Reference&&,
                                 PushOptions) = delete;

  /// The tags of a repository, as the registry orders them; the name's own tag says nothing.
  Task<Result<std::vector<std::string>>> tags(const Reference& name, RegistryKeyring credentials);
  Task<Result<std::vector<std::string>>> tags(Reference&&, RegistryKeyring) = delete;

  /// What refers to the manifest of a name with a digest, of one artifact type or (empty) of all;
  /// empty when nothing does.
  Task<Result<std::vector<Descriptor>>> referrers(const Reference& name, std::string artifact_type,
                                                  RegistryKeyring credentials);
  Task<Result<std::vector<Descriptor>>> referrers(Reference&&, std::string,
                                                  RegistryKeyring) = delete;

  /// Remove the manifest that a digest names, with all its tags, or else the tag alone, which many
  /// registries do not offer (`unimplemented`).
  Task<Result<void>> remove(const Reference& name, RegistryKeyring credentials);
  Task<Result<void>> remove(Reference&&, RegistryKeyring) = delete;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

/// "kind.local", "ko.local" and "dev.local" stand for no registry: the images of local builds have
/// such names, nothing is pushed there, and their tags stay (config-deployment's
/// registries-skipping-tag-resolving).
KNATIVE_EXPORT std::vector<std::string> local_registries();

/// Whether Knative leaves a name's tag as it is instead of asking a registry what it means: those
/// of `skipped` registries, and names with a digest.
KNATIVE_EXPORT bool keeps_tag(const Reference& name, const std::vector<std::string>& skipped);

}  // namespace knative::oci
