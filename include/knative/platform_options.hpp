/// \file
/// How a platform is set up.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "knative/autoscaler_config.hpp"
#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/fwd.hpp"
#include "knative/http_outbound.hpp"
#include "knative/http_server.hpp"
#include "knative/registry_server.hpp"
#include "knative/store.hpp"
#include "knative/tls.hpp"

namespace knative {

/// How manifests are applied.
struct ApplyOptions {
  /// Leave out objects of kinds that nobody registered, with a warning; else they are errors.
  bool skip_unknown_kinds = false;
};

/// TLS on a platform's listener, which then speaks nothing else; URLs outside are https.
struct ListenTls {
  /// Certificate and private key. With `trusted` clients must show a certificate that these vouch
  /// for. Looked at every `follow.interval`: new connections use what has changed, once it fits
  /// together. Without files the platform is its own authority, for tests and local use: who trusts
  /// "tls/authority.pem" of the data directory (see `Platform::authority`) trusts it under every
  /// name that it answers for. The authority is made once and kept, its certificates are renewed.
  tls::Paths files;
  tls::FollowOptions follow;
  tls::KeyType key_type = tls::KeyType::p256;  ///< Of what is made here.
};

/// How a platform is set up. Every bound has a default.
struct PlatformOptions {
  /// Objects, images and event logs live here and survive a restart. Empty: memory only, and
  /// what must be a file (checked-out sources, unpacked images) goes to a temporary directory.
  /// Secrets stand there as they are: a directory that is made here is for its user only (0700),
  /// one that was there keeps its mode.
  std::string data_directory;
  /// Where HTTP is served; port 0 takes any free one. Empty: in-process calls only.
  std::optional<Endpoint> listen = Endpoint{};
  /// Allow `listen` to be an address that strangers can reach; otherwise `start()` refuses it.
  bool listen_beyond_loopback = false;
  /// Empty: clear text.
  std::optional<ListenTls> listen_tls;
  /// How everything goes out: events to subscribers elsewhere, sources of builds. Whom to trust for
  /// https, and which proxies to go through: none, unless the host says so (`http::Proxies::from`).
  http::OutboundOptions outbound;
  /// Hosts are NAME.NAMESPACE.DOMAIN and TAG-NAME.NAMESPACE.DOMAIN, as Knative's templates.
  std::string domain = "localhost";
  /// How images come that are not in the store (registry_client.hpp): hosts, mirrors and the host
  /// program's own credentials, whose helpers are run. Null: as by default, without credentials.
  std::shared_ptr<const oci::RegistryClientOptions> registries;
  /// Without it a registry is never asked: an image is in the store, or it is missing.
  bool pull_images = true;
  /// Builds whose image begins with a registry ("ghcr.io/team/shop") push it there, with the
  /// credentials of their ServiceAccount or else those of `registries`. Without it, or without
  /// `pull_images`, what is built stays in the store.
  bool push_images = true;
  /// Bounds of what builds fetch, and where buckets are (builder.hpp). Null: as by default.
  std::shared_ptr<const FetcherOptions> sources;
  std::string default_namespace = "default";
  /// config-autoscaler, with Knative's defaults.
  AutoscalerConfig autoscaler;
  http::ServerOptions server;
  /// Be a registry of the image store for docker, skopeo and the like, at the listener's address.
  /// Empty: none. Where others can reach the listener, writing needs one of its users.
  std::optional<registry::ServerOptions> registry;
  /// Bytes of all images; 0: as many as the disk has. See `oci::ImageStoreLimits`.
  std::uint64_t image_bytes_max = 0;
  /// Opens the object store with the platform's rules (admission, default namespace) in it; empty:
  /// SQLite in the data directory (of the world's `Files`), or memory without one.
  std::function<Result<std::unique_ptr<Store>>(Env&, StoreOptions)> open_store;
  /// Bound of events accepted and not yet on disk, per Broker or Channel.
  std::size_t event_pending_bytes_max = std::size_t{16} << 20;
  /// Environment of build steps and processes: PATH and what the host program allows.
  std::string path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  /// Whether volumes of kind hostPath may name files of this machine. Who may write a manifest may
  /// then read and write whatever this process may.
  bool host_path_volumes = false;
  /// Runs images where an object names no runtime (`runtimeClassName`): "process", or "sandbox"
  /// where this host can isolate; "auto" leaves the choice to the platform, which says it in the
  /// log. Programs of "process" are not isolated.
  std::string image_runtime = "auto";
  /// Sandboxes use this machine's network instead of one of their own, where there is nothing but
  /// loopback and the platform.
  bool sandbox_host_network = false;
  /// How many idle instances stay in memory, frozen, for Revisions that ask for it
  /// (serving.knative.dev/idle); when they are as many, others are stopped. 0: none.
  int frozen_instances_max = 64;
  /// Called with each line of a build step or a workload; empty: the log at level debug.
  std::function<void(std::string_view source, std::string_view line)> on_output;
  /// Takes what `apply` accepts without effect: the object (empty when the warning begins with its
  /// place in a file), and what has no effect and why. Empty: the log at level warning. The
  /// object's status says it too, as the condition Warnings of severity Warning.
  std::function<void(std::string_view where, std::string_view warning)> on_warning;
};

}  // namespace knative
