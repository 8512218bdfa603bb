/// \file
/// From source to image: fetch, run steps in a workspace, pack what they left into an image.
///
/// `Builder` composes three seams: a `Fetcher` brings sources, a `ContainerRuntime` runs the steps
/// of build.knative.dev/v1alpha1, an `oci::ImageStore` takes the image. Objects belong to their
/// loop; blocking work runs on `Offload`.
///
/// A step whose image is "host" runs on the runtime of that name, one of "fn:NAME" is a function,
/// every other one a container of its image on the runtime that is chosen for it. `/workspace`,
/// `/builder/home` and volumes are folders of this machine, mounted into each step, so that paths
/// that a compiler writes down are the same in every build. A step on the host sees them there,
/// too, where this process may give it a view of its own (as root); elsewhere it has their real
/// places in `$WORKSPACE` and `$HOME`, as its working directory, and wherever such a path stands in
/// its command, arguments or environment. Those are the same each time for builds of one namespace
/// and name that do not run at once; other ones are told in the build's log. It isolates nothing:
/// such a step may do whatever this process may.
///
/// \code
/// knative::http::Outbound outbound(env.executor, env.timers, env.network);
/// auto fetcher = knative::source_fetcher(outbound, env.timers, env.network, env.processes,
///                                        env.files, env.offload);
/// knative::HostImages host;
/// knative::ProcessRuntime steps(env, host);
/// knative::Builder builder(env.timers, env.files, env.offload, *fetcher, steps, store);
/// auto result = co_await builder.run(build);  // result->image == "local/shop@sha256:..."
/// \endcode
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knative/build.hpp"
#include "knative/container.hpp"
#include "knative/core.hpp"
#include "knative/env.hpp"
#include "knative/error.hpp"
#include "knative/fwd.hpp"
#include "knative/oci.hpp"
#include "knative/task.hpp"

namespace knative {

// ---------------------------------------------------------------------------- sources

/// What came out of fetching one source.
struct Fetched {
  build::ResolvedSource resolved;            ///< Commit id of git, digest of archives.
  std::optional<std::int64_t> time_seconds;  ///< Committer time of git.
  struct Submodule {
    std::string path;  ///< Below the source's directory, where it has its ".git".
    build::ResolvedSource resolved;
  };
  std::vector<Submodule> submodules = {};  ///< In the order they came.
};

/// What a fetch may show to servers, each to those that it is for.
struct SourceCredentials {
  struct Basic {
    std::string url;  ///< Scheme, host and port, and perhaps the beginning of a path.
    std::string user;
    std::string password;
  };
  struct Ssh {
    std::string host;
    std::uint16_t port = 22;
    std::string private_key;
    std::string known_hosts;  ///< Lines of OpenSSH's form.
    std::string secret;       ///< Name of the Secret it came from.
  };
  std::vector<Basic> basic;
  std::vector<Ssh> ssh;
};

/// Brings a source into a directory.
class KNATIVE_EXPORT Fetcher {
 public:
  virtual ~Fetcher() = default;
  /// Fill `directory` (exists, may have files of earlier sources). Errors say what is wrong with
  /// URL or revision, with the server's message where it sends one: `not_found`,
  /// `invalid_argument`, `unavailable`, `unimplemented` (a kind of source it does not know). They
  /// hold nothing of `credentials`. All three must stay until the task is done.
  virtual Task<Result<Fetched>> fetch(const build::SourceSpec& source, const std::string& directory,
                                      const SourceCredentials& credentials) = 0;
  virtual Task<Result<Fetched>> fetch(build::SourceSpec&&, const std::string&,
                                      const SourceCredentials&) = delete;
  virtual Task<Result<Fetched>> fetch(const build::SourceSpec&, const std::string&,
                                      SourceCredentials&&) = delete;
};

/// Bounds and time limits of fetching.
struct FetcherOptions {
  /// Bounds of one source: of what is transferred, and of what is written to the workspace, where
  /// files, folders and links count alike. Beyond them: `resource_exhausted`.
  std::uint64_t bytes_max = std::uint64_t{4} << 30;
  std::uint64_t files_max = 1'000'000;
  /// Of git:// and ssh; `http::Outbound` has its own.
  Duration connect_timeout = std::chrono::seconds(30);
  /// No byte for that long ends a transfer.
  Duration idle_timeout = std::chrono::seconds(60);
  /// OpenSSH's client, a path or a name in /usr/local/bin, /usr/bin or /bin.
  std::string ssh_program = "ssh";
  /// Where gs://BUCKET/OBJECT is: Google Cloud Storage, or what answers like it.
  std::string storage_endpoint = "https://storage.googleapis.com";
  /// An access token for what is fetched from there, asked for at the start of a source; empty, or
  /// one that is empty: nobody in particular.
  std::function<std::string()> storage_token;
  std::size_t downloads_max = 16;  ///< Objects of a manifest at a time.
  /// Submodules of a source, those of submodules included, and how deep they may stand.
  std::size_t submodules_max = 256;
  std::size_t submodule_depth_max = 8;
};

/// Git (path, file://, http://, https://, git://, ssh://, user@host:path), folders and archives.
///
/// Git: the revision is a branch, a tag, a full or short commit id, or any ref; empty means the
/// remote's default branch. The commit is checked out detached, with its repository in ".git".
/// Hooks, content filters and configuration of anybody have no effect. Submodules are fetched when
/// the source says so, each its one commit, and count into the source's bounds; those of a
/// repository from elsewhere are never of this machine. Names that stand for options or leave their
/// repository, and places that are links, are refused.
/// A local repository is read where it lies, whoever owns it; its history is not copied. A server
/// is asked, in version 2 of git's protocol, for the refs that the revision may mean and for the
/// one commit, whether a ref leads to it or not. All that branches and tags lead to is transferred,
/// within `bytes_max`, for a short id, and for an id that a server without versions does not give.
/// One that is silent for `idle_timeout` fails the fetch (`deadline_exceeded`) and holds up nobody
/// else. What a commit comes to is counted before it is written out. What an earlier source left is
/// replaced, but a link of it that leads away is never followed.
/// Archive: a gcs source of type Archive, ZipArchive or TarGzArchive whose location is a zip or a
/// tar file, plain or gzip, told by its first bytes, given as path, file://, http://, https:// or
/// gs://BUCKET/OBJECT[#GENERATION]. Manifest: a JSON object of names, each with "sourceUrl" (a
/// location as above; of a manifest that came from elsewhere none of this machine) and "sha1sum".
/// Its files are 0555, as Google's fetcher makes them; it is known by its own digest.
/// A custom source is a step and not fetched here. What is http goes out by `outbound`, with
/// its trust and proxies; "user:password@" of a URL is for its origin alone. git:// is in clear
/// text. ssh is a child process with a key of the credentials, in a file that is there until the
/// server has let it in; hosts must be among `known_hosts` when there are any, otherwise every host
/// key is taken. All must outlive the fetcher and its work.
KNATIVE_EXPORT std::unique_ptr<Fetcher> source_fetcher(http::Outbound& outbound, Timers& timers,
                                                       Network& network, Processes& processes,
                                                       Files& files, Offload& offload,
                                                       FetcherOptions options = {});

// ---------------------------------------------------------------------------- templates

/// Fill a template in: `spec.template_` is replaced by the template's steps and volumes with
/// ${NAME} substituted in one pass from parameter defaults and arguments. What is not a known name
/// stays as it is. Fails with `invalid_argument`; the detail begins with Knative's token
/// (DuplicateArgName, UnsatisfiedParameter, NestedPlaceholder).
KNATIVE_EXPORT Result<build::BuildSpec> instantiate(const build::BuildSpec& spec,
                                                    const build::BuildTemplateSpec& from);

// ---------------------------------------------------------------------------- detection

/// How to build and start a source that brings no build instructions.
struct DetectedSource {
  std::string kind;    ///< "procfile", "cmake", "make", "go", "node", "python" or "shell".
  std::string reason;  ///< For people: what was found.
  std::vector<build::Step> steps;
  build::ImageConfig image;  ///< Entrypoint, environment and contents.
};

/// Recognise the source in `directory`. Blocks briefly. `not_found` lists what is recognised.
KNATIVE_EXPORT Result<DetectedSource> detect_source(Files& files, const std::string& directory);

// ---------------------------------------------------------------------------- builder

/// Where and how builds run.
struct BuilderOptions {
  /// Builds get directories below this one, removed when they end.
  std::string directory = "/tmp/knative-build";
  /// Looks up "BuildTemplate" (in the namespace) or "ClusterBuildTemplate"; empty: none exist.
  std::function<Result<build::BuildTemplateSpec>(std::string_view kind, std::string_view namespace_,
                                                 std::string_view name)>
      find_template;
  /// The environment of a step with the values that stand in other objects of the namespace, as
  /// literals. Empty: a step with such values is refused.
  std::function<Result<std::vector<core::EnvVar>>(const build::Build& build,
                                                  const core::Container& step)>
      environment;
  /// Where the volumes of a build are, by name, made below `directory` (which is removed with the
  /// build) or kept elsewhere; those of kind gitRepo empty. `failed_precondition` when an object is
  /// absent that may still come: the build stays Pending. Empty: emptyDir and gitRepo only.
  std::function<Result<std::map<std::string, ContainerMount>>(const build::Build& build,
                                                              const std::string& directory)>
      volumes;
  /// The Secrets of the build's ServiceAccount in their order. Empty: none.
  std::function<Result<std::vector<core::Secret>>(const build::Build& build)> secrets;
  /// Brings an image whose name begins with a registry ("ghcr.example/team/shop") there, once the
  /// store has it; the build succeeds when that did. `docker_config` is what the build's
  /// ServiceAccount gives to registries, as a config.json ("" when nothing). The arguments stay
  /// until the task is done. Empty: every image is in the store alone.
  std::function<Task<Result<void>>(const oci::Reference& name, const oci::Descriptor& manifest,
                                   const std::string& docker_config)>
      publish;
  /// Brings the image that `image_config.base` names (`spec.image`, as a step of the build would)
  /// into the store, and says under which name it is there and what keeps it. `spec` stays until
  /// the task is done. Empty: it must be there.
  std::function<Task<Result<std::pair<oci::Reference, oci::Pin>>>(const ContainerSpec& spec)>
      fetch_base;
  /// A line of output of a build, as `BuildCallbacks::on_log`; besides the callbacks' own.
  std::function<void(const build::Build& build, std::string_view step, std::string_view line)>
      on_log;
  /// Time of files in images, seconds since the epoch. The image's own time is the commit's.
  std::int64_t source_date_epoch = 0;
  int compression_level = 1;
  /// Keep the directory of a failed build, for looking at it.
  bool keep_failed = false;
};

/// Called on the loop while a build runs; either may be empty.
struct BuildCallbacks {
  /// A line of output of a step or source, by its container name ("build-step-compile"), without
  /// its end. Always valid UTF-8.
  std::function<void(std::string_view step, std::string_view line)> on_log;
  /// After every change of the status, the last one included.
  std::function<void(const build::BuildStatus&)> on_status;
};

/// How a build ended. Reasons of the condition Succeeded: "Pending" and "Building" while Unknown;
/// when False BuildValidationFailed, BuildCancelled, BuildTimeout, BuildExecuteFailed as in Knative
/// Build, and where that has none: SourceFailed, SourceNotRecognised, StepFailed, ImageFailed.
struct BuildOutcome {
  build::BuildStatus status;
  std::optional<Error> error;  ///< Set when the condition Succeeded is False.
};

/// A build that succeeded.
struct BuildResult {
  std::string image;  ///< "name@sha256:…", empty when the build makes no image.
  oci::Digest digest;
  build::BuildStatus status;
};

/// Runs builds: sources in order, then custom sources and steps, then the image.
///
/// Several builds may run at once; each has its own directory. Dropping a task cancels its build.
/// Same sources, steps and configuration give the same image digest as far as the steps are
/// deterministic themselves (they get SOURCE_DATE_EPOCH): times in an image are always those of the
/// options. When a step ran in a container, the image keeps owners, whole modes, extended
/// attributes, hard links and pipes of the workspace (`oci::LayerOptions::preserve`; what belongs
/// to this process belongs to root), unless `imageConfig.normalize`; after host steps and functions
/// it is normalised. What cannot be in an image, as sockets, is named in the log.
class KNATIVE_EXPORT Builder {
 public:
  /// Everything must outlive the builder, and the builder its tasks.
  Builder(Timers& timers, Files& files, Offload& offload, Fetcher& fetcher,
          ContainerRuntime& runtime, std::shared_ptr<oci::ImageStore> store,
          BuilderOptions options = {});
  ~Builder();
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  /// Build to the end, whatever it is; conditions carry Knative's reasons. The object is defaulted
  /// and validated first. `callbacks` must stay until the task is done.
  Task<BuildOutcome> execute(const build::Build& build, const BuildCallbacks& callbacks);
  Task<BuildOutcome> execute(build::Build&&, const BuildCallbacks&) = delete;

  /// Build and report failure as an error: `invalid_argument` (not valid), `failed_precondition`
  /// (a step failed), `deadline_exceeded`, `cancelled` (spec.status), or the fetcher's.
  Task<Result<BuildResult>> run(const build::Build& build);
  Task<Result<BuildResult>> run(build::Build&&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knative
