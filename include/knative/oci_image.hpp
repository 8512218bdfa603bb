/// \file
/// What an image is: digests, names, manifests, indexes and configs.
///
/// What is made here follows the OCI image specification 1.1 (media types, descriptor); what is
/// read may also be Docker's schema 2, and is written back in it. Reading and writing a document
/// loses nothing. Values, which belong to whoever holds them.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"

namespace knative::oci {

// ---------------------------------------------------------------------------- digests

/// What makes a digest of bytes. `other`: named by a document and unknown here, so that it can be
/// kept and compared but not checked.
enum class DigestAlgorithm : unsigned char { sha256, sha512, other };

/// A content digest, algorithm and encoded bytes as "sha256:" and 64 lower-case hex digits; empty
/// when default-constructed.
class KNATIVE_EXPORT Digest {
 public:
  Digest() = default;
  /// Of sha256 or sha512. Fails with `invalid_argument` when malformed, `unimplemented` for other
  /// algorithms.
  static Result<Digest> parse(std::string_view text);
  /// Of any algorithm, by the specification's grammar (image-spec, descriptor).
  static Result<Digest> parse_any(std::string_view text);
  static Digest of(std::string_view bytes, DigestAlgorithm algorithm = DigestAlgorithm::sha256);

  bool empty() const noexcept { return text_.empty(); }
  /// "sha256:<hex>", or "" when empty.
  const std::string& to_string() const noexcept { return text_; }
  DigestAlgorithm algorithm() const noexcept;
  /// "sha256"
  std::string_view algorithm_name() const noexcept;
  /// What follows the algorithm: hex digits, of sha256 64. "" when empty.
  std::string_view hex() const noexcept;
  friend auto operator<=>(const Digest&, const Digest&) = default;

 private:
  friend class Hasher;
  std::string text_;
};

/// A digest over pieces.
class KNATIVE_EXPORT Hasher {
 public:
  /// Of sha256 or sha512.
  explicit Hasher(DigestAlgorithm algorithm = DigestAlgorithm::sha256);
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  void update(std::string_view bytes);
  /// The digest of everything so far; the hasher is fresh again afterwards.
  Digest finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// ---------------------------------------------------------------------------- names

/// An image name: `[registry/]path[:tag][@digest]`, the grammar of container tools.
///
/// Kept in the short form people type: the default registry and its "library/" prefix are
/// dropped, so that equal images have equal references.
struct KNATIVE_EXPORT Reference {
  std::string repository;  ///< "busybox", "local/shop", "ghcr.example:5000/team/shop".
  std::string tag;         ///< May be empty.
  Digest digest;           ///< May be empty.

  /// Fails with `invalid_argument` naming the part that is wrong.
  static Result<Reference> parse(std::string_view text);
  /// The reference with tag "latest" when it has neither tag nor digest.
  Reference with_default_tag() const;
  /// The registry's host and port; empty for the default registry.
  std::string_view registry() const noexcept;
  /// "repository[:tag][@digest]"
  std::string to_string() const;
  friend auto operator<=>(const Reference&, const Reference&) = default;
};

// ---------------------------------------------------------------------------- documents

namespace media_type {
inline constexpr std::string_view index = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view manifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view config = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view layer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view layer_gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view layer_zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
}  // namespace media_type

/// Members of a document that have no field here: names and JSON texts, written back as they were.
using OtherMembers = std::map<std::string, std::string>;

/// What an image runs on, in Go's names: "amd64", "linux".
struct ImagePlatform {
  std::string architecture;
  std::string os;
  std::string variant;
  std::string os_version;
  std::vector<std::string> os_features;
  OtherMembers others;
  friend bool operator==(const ImagePlatform&, const ImagePlatform&) = default;
};
/// The platform that this library was compiled for, e.g. linux/amd64.
KNATIVE_EXPORT ImagePlatform host_platform();

using Annotations = std::map<std::string, std::string>;

/// Says what some bytes are and how to check them (image-spec, descriptor).
struct Descriptor {
  std::string media_type;
  Digest digest;
  std::uint64_t size_bytes = 0;
  Annotations annotations;
  std::optional<ImagePlatform> platform;
  std::vector<std::string> urls;  ///< Where else the bytes are.
  std::string data;               ///< The bytes themselves in base64, may be empty.
  std::string artifact_type;
  OtherMembers others;
  friend bool operator==(const Descriptor&, const Descriptor&) = default;
};

/// Image manifest.
struct KNATIVE_EXPORT Manifest {
  Descriptor config;
  std::vector<Descriptor> layers;  ///< Base first.
  Annotations annotations;
  bool docker = false;  ///< Written as Docker's schema 2, else as OCI's.
  std::string artifact_type;
  std::optional<Descriptor> subject;
  OtherMembers others;

  /// How a descriptor of this manifest calls it.
  std::string_view own_media_type() const noexcept;
  /// Call everything as OCI does, where Docker's names say the same.
  void use_oci_media_types();
  /// Other tools refuse what calls one part as Docker does and another as OCI: `invalid_argument`
  /// naming it.
  Result<void> check_media_types() const;

  /// Fails with `invalid_argument` naming the field.
  static Result<Manifest> parse(std::string_view json);
  /// Canonical JSON: fixed field order, no white space.
  std::string to_json() const;
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

/// Image index, also the content of a layout's index.json.
struct KNATIVE_EXPORT Index {
  std::vector<Descriptor> manifests;
  Annotations annotations;
  bool docker = false;  ///< Written as Docker's manifest list, else as OCI's index.
  std::string artifact_type;
  std::optional<Descriptor> subject;
  OtherMembers others;

  static Result<Index> parse(std::string_view json);
  std::string to_json() const;
  friend bool operator==(const Index&, const Index&) = default;
};

/// What a container gets when it runs the image, and the list of its layers.
struct KNATIVE_EXPORT ImageConfig {
  struct History {
    std::string created;
    std::string created_by;
    std::string comment;
    bool empty_layer = false;
    std::string author;
    OtherMembers others;
    friend bool operator==(const History&, const History&) = default;
  };

  std::string created;  ///< RFC 3339, may be empty.
  std::string author;
  ImagePlatform platform;
  std::string user;
  std::vector<std::string> environment;  ///< "NAME=value"
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;  ///< Default arguments ("Cmd").
  std::string working_directory;
  std::set<std::string> exposed_ports;  ///< "8080/tcp"
  std::set<std::string> volumes;
  std::map<std::string, std::string> labels;
  std::string stop_signal;
  std::vector<Digest> diff_ids;  ///< Digests of the uncompressed layers.
  std::vector<History> history;
  OtherMembers others;
  /// Of "config": "Healthcheck", "OnBuild", "Shell" and whatever else.
  OtherMembers execution_others;
  OtherMembers rootfs_others;

  static Result<ImageConfig> parse(std::string_view json);
  std::string to_json() const;
  friend bool operator==(const ImageConfig&, const ImageConfig&) = default;
};

/// "1970-01-01T00:00:00Z" for 0: seconds since the epoch as RFC 3339.
KNATIVE_EXPORT std::string format_epoch(std::int64_t seconds);

}  // namespace knative::oci
