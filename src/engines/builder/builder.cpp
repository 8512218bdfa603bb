// Composes sources, steps and the image into one build and keeps its status.
#include "knative/builder.hpp"

#include <algorithm>
#include <deque>

#include "base/text.hpp"
#include "engines/builder/credentials.hpp"
#include "engines/builder/image.hpp"
#include "engines/builder/paths.hpp"

namespace knative {

namespace {

// As Kubernetes: what of the log stands for a message, and how long a message may be.
constexpr std::size_t output_tail_bytes = 2048;
constexpr std::size_t output_tail_lines = 80;
constexpr std::uint64_t termination_message_bytes_max = 4096;
constexpr std::string_view tmp_path = "/builder/tmp";
constexpr std::string_view fallback_to_logs = "FallbackToLogsOnError";
constexpr std::size_t words_bytes_max = 300;
constexpr std::size_t stable_name_bytes_max = 200;
constexpr std::string_view default_message_path = "/dev/termination-log";
constexpr std::string_view succeeded = "Succeeded";
constexpr std::string_view credential_step = "build-step-credential-initializer";
constexpr std::string_view host_image = "host";  // and the name of the runtime
constexpr Duration volume_pause = std::chrono::seconds(1);
constexpr unsigned for_any_user = 0777;  // whom a step runs as is its image's to say
constexpr unsigned for_one_user = 0600;
constexpr int binding_tries_max = 200;
constexpr int build_killed_by = 9;
constexpr int build_killed_code = 128 + build_killed_by;
constexpr Duration binding_pause = std::chrono::milliseconds(20);

// Why a build ended badly: the condition's reason, and the error for callers in C++.
struct Failure {
  std::string reason;
  Error error;
};

// One step of the build, with the container name it would have.
struct NamedStep {
  std::string name;
  build::Step step;
};

// Everything of one build; lives in the frame of Builder::execute.
struct Run {
  const BuilderOptions& options;
  const BuildCallbacks& callbacks;
  build::Build build;
  build::BuildStatus status;
  std::string directory;  // of this build; below it workspace/, home/, tmp/, volumes/
  std::string own_name;   // of that, as no other build's ever was
  std::string workspace;  // what steps see
  std::set<std::string> excluded;
  std::vector<NamedStep> steps;
  std::size_t sources_hidden = 0;  // of the steps: custom sources, which no status tells of
  std::vector<core::Secret> secrets;
  builder::BuildCredentials credentials;
  std::map<std::string, ContainerMount> volumes;
  build::ImageConfig image;
  oci::Pin base;  // of what the image is put on
  bool detected = false;
  std::optional<std::int64_t> source_time;
  std::string revision;
  std::string waits_for;         // what is missing that may come
  std::deque<std::string> tail;  // last lines of the current step

  std::string in(std::string_view name) const { return directory + "/" + std::string(name); }
  void log(std::string_view step, std::string_view line) const {
    if (callbacks.on_log) callbacks.on_log(step, line);
    if (options.on_log) options.on_log(build, step, line);
  }
  void keep(std::string_view line) {
    tail.emplace_back(line);
    if (tail.size() > output_tail_lines) tail.pop_front();
  }
  // The end of the output, by whole lines where they fit.
  std::string tail_text() const {
    std::string text;
    for (const std::string& line : tail) text.append(line).append("\n");
    if (text.size() > output_tail_bytes) text.erase(0, text.size() - output_tail_bytes);
    return base::valid_utf8(text);
  }
  void publish() const {
    if (callbacks.on_status) callbacks.on_status(status);
  }
};

// As of a cluster's containers.
std::string reason_of(const ExitStatus& ended) {
  if (ended.out_of_memory) return "OOMKilled";
  if (ended.evicted) return "Evicted";
  return ended.success() ? "Completed" : "Error";
}

std::string source_name(const build::SourceSpec& source, std::size_t index) {
  const std::string kind = source.git ? "git" : source.gcs ? "gcs" : "custom";
  return "build-step-" + kind + "-source-" +
         (source.name.empty() ? std::to_string(index) : source.name);
}

std::vector<build::SourceSpec> sources_of(const build::BuildSpec& spec) {
  if (!spec.sources.empty()) return spec.sources;
  if (spec.source.empty()) return {};
  return {spec.source};
}

bool is_container(const build::Step& step) {
  return step.image != host_image && !step.image.starts_with(function_image_prefix);
}

bool is_custom(const build::SourceSpec& source) {
  return !source.git && !source.gcs && source.custom;
}

// Where a volume of kind gitRepo has its files: as Kubernetes, in a folder of the repository's name
// unless the document names another one.
std::string repository_folder(const core::GitRepoVolumeSource& from) {
  if (!from.directory.empty()) return from.directory;
  std::string_view name = from.repository;
  while (name.ends_with('/')) name.remove_suffix(1);
  name.remove_prefix(std::min(name.find_last_of("/:") + 1, name.size()));
  if (name.ends_with(".git")) name.remove_suffix(4);
  return std::string(name);
}

// The end of what a step has said as one line, for the condition's message.
std::string last_words(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const std::size_t line = text.rfind('\n');
  if (line != std::string_view::npos) text.remove_prefix(line + 1);
  std::string clean(text.substr(0, base::utf8_prefix(text, words_bytes_max)));
  for (char& c : clean) {
    if (static_cast<unsigned char>(c) < 32) c = ' ';
  }
  return clean;
}

}  // namespace

struct Builder::Impl {
  Timers& timers;
  Files& files;
  Offload& offload;
  Fetcher& fetcher;
  ContainerRuntime& runtime;
  std::shared_ptr<oci::ImageStore> store;
  BuilderOptions options;
  ConditionSet conditions = build::build_conditions();
  // Directories of dropped builds whose work may still have been running; swept later.
  std::vector<std::string> leftovers;

  // Removes a build's directory when its task ends or is dropped.
  struct Cleanup {
    Impl& impl;
    Run& run;
    bool needed = false;
    ~Cleanup() {
      if (!needed) return;
      impl.move_directory(run, run.own_name);
      (void)impl.files.remove_all(run.directory);
      impl.leftovers.push_back(run.own_name);
    }
  };

  void sweep() {
    for (const std::string& directory : leftovers) (void)files.remove_all(directory);
    leftovers.clear();
  }

  Result<void> make_directories(Run& run) {
    if (Result<void> r = files.make_directories(options.directory); !r) return r;
    Result<std::string> made = files.make_temporary_directory(options.directory + "/build-");
    if (!made) return made.error();
    run.directory = run.own_name = *made;
    for (const char* name : {"workspace", "home", "tmp", "messages", "volumes"}) {
      if (Result<void> r = files.make_directories(run.in(name)); !r) return r;
    }
    for (const char* name : {"workspace", "home", "tmp"}) {
      if (Result<void> r = files.set_mode(run.in(name), for_any_user); !r) return r;
    }
    run.workspace = run.in("workspace");
    return write_credentials(run);
  }

  // Some steps see where it really is, and compilers write that down: it is the same each time
  // while they run. Only then: what was dropped while it filled or removed a folder may still be at
  // it, and must not meet another build. A folder that has something in it is not replaced.
  void take_stable_name(Run& run) {
    const ObjectMeta& metadata = run.build.metadata;
    const std::string name = metadata.namespace_ + "." + metadata.name;
    const bool plain = !metadata.name.empty() && name.size() <= stable_name_bytes_max &&
                       name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
    if (!plain) return;
    const std::string stable = options.directory + "/named-" + name;
    if (move_directory(run, stable)) return;
    run.log("build", "a build of this name is at work: the folders of this one are in " +
                         run.directory + " and not in " + stable);
  }

  bool move_directory(Run& run, const std::string& to) {
    if (!files.rename(run.directory, to)) return false;
    const std::string before = run.directory + "/";
    const auto follow = [&](std::string& path) {
      if (path.starts_with(before)) path = to + "/" + path.substr(before.size());
    };
    follow(run.workspace);
    for (auto& [name, volume] : run.volumes) {
      follow(volume.source);
      follow(volume.within);
    }
    run.directory = to;
    return true;
  }

  // Into the home that sources and steps share. Nothing packs it.
  Result<void> write_credentials(const Run& run) {
    for (const auto& [name, bytes] : run.credentials.files) {
      const std::string place = run.in("home/") + name;
      if (const std::size_t slash = name.rfind('/'); slash != name.npos) {
        Result<void> made = files.make_directories(run.in("home/") + name.substr(0, slash));
        if (!made) return made;
      }
      const OpenOptions how{.write = true,
                            .create = true,
                            .truncate = false,
                            .exclusive = true,
                            .mode = for_one_user};
      Result<std::unique_ptr<File>> file = files.open(place, how);
      if (!file) return file.error();
      if (Result<void> written = (*file)->write_at(0, bytes); !written) return written;
    }
    return {};
  }

  // Defaults, validation, template. Everything that can be said without touching the world.
  std::optional<Failure> prepare(Run& run) {
    build::apply_defaults(run.build);
    const FieldErrors errors = build::validate(run.build);
    if (errors.has_errors()) {
      return Failure{"BuildValidationFailed", fail(Errc::invalid_argument, errors.to_string())};
    }
    build::BuildSpec& spec = run.build.spec;
    if (spec.status == build::build_cancelled) {
      return Failure{"BuildCancelled",
                     fail(Errc::cancelled, build::cancelled_message(run.build.metadata.name))};
    }
    if (std::optional<Failure> wrong = collect_credentials(run)) return wrong;
    if (spec.template_) {
      Result<build::BuildTemplateSpec> from = find_template(run);
      if (!from) return Failure{"BuildValidationFailed", from.error()};
      Result<build::BuildSpec> filled = instantiate(spec, *from);
      if (!filled) return Failure{"BuildValidationFailed", filled.error()};
      spec = *std::move(filled);
    }
    if (Result<void> good = check_volume_names(run); !good) {
      return Failure{"BuildValidationFailed", good.error()};
    }
    if (!spec.image.empty()) {
      if (Result<oci::Reference> name = oci::Reference::parse(spec.image); !name) {
        return Failure{"BuildValidationFailed", name.error()};
      }
    }
    return std::nullopt;
  }

  std::optional<Failure> collect_credentials(Run& run) {
    if (options.secrets) {
      Result<std::vector<core::Secret>> secrets = options.secrets(run.build);
      if (!secrets) return Failure{"BuildValidationFailed", secrets.error()};
      run.secrets = std::move(*secrets);
    }
    if (Result<void> good = builder::check_annotations(run.secrets); !good) {
      return Failure{"BuildValidationFailed", good.error()};
    }
    Result<builder::BuildCredentials> found =
        builder::credentials_of(run.secrets, builder::home_path);
    if (!found) return Failure{"StepFailed", found.error().within(std::string(credential_step))};
    run.credentials = std::move(*found);
    return std::nullopt;
  }

  // Those of the build, of its template, and the ones that every build has.
  static Result<void> check_volume_names(const Run& run) {
    std::set<std::string_view> names{"workspace", "home"};
    for (const core::Volume& volume : run.build.spec.volumes) {
      if (names.insert(volume.name).second) continue;
      return fail(Errc::invalid_argument, multiple_one_of({"name"}).to_string() + ": volume \"" +
                                              volume.name + "\" is there already");
    }
    return {};
  }

  Result<build::BuildTemplateSpec> find_template(const Run& run) {
    const build::TemplateInstantiationSpec& wanted = *run.build.spec.template_;
    if (options.find_template) {
      return options.find_template(wanted.kind, run.build.metadata.namespace_, wanted.name);
    }
    const bool cluster = wanted.kind == build::ClusterBuildTemplate::kind;
    return fail(Errc::not_found, std::string(cluster ? "cluster" : "") +
                                     "buildtemplates.build.knative.dev \"" + wanted.name +
                                     "\" not found");
  }

  // ------------------------------------------------------------------------ sources

  Task<std::optional<Failure>> fetch_sources(Run& run) {
    const std::vector<build::SourceSpec> sources = sources_of(run.build.spec);
    std::string sub_path;
    for (std::size_t i = 0; i < sources.size(); ++i) {
      const build::SourceSpec& source = sources[i];
      const std::string name = source_name(source, i);
      if (!source.sub_path.empty()) sub_path = source.sub_path;
      if (!source.git && !source.gcs) continue;
      Result<std::string> target = builder::clean_relative(source.target_path, "targetPath");
      if (!target) co_return Failure{"BuildValidationFailed", target.error()};
      const std::string workspace = run.in("workspace");
      target = builder::resolve_inside(files, workspace, *target, "targetPath");
      if (!target) co_return Failure{"SourceFailed", target.error()};
      const std::string directory = workspace + (target->empty() ? "" : "/" + *target);
      if (Result<void> made = files.make_directories(directory); !made) {
        co_return Failure{"BuildExecuteFailed", made.error()};
      }
      run.excluded.insert(target->empty() ? ".git" : *target + "/.git");
      Task<Result<Fetched>> fetching = fetcher.fetch(source, directory, run.credentials.sources);
      Result<Fetched> fetched = co_await std::move(fetching);
      if (!fetched) {
        run.log(name, base::valid_utf8(fetched.error().detail));
        co_return Failure{"SourceFailed", fetched.error()};
      }
      run.log(name, "fetched " + fetched->resolved.url + " at " + fetched->resolved.revision);
      for (const Fetched::Submodule& submodule : fetched->submodules) {
        run.log(name, "fetched submodule " + base::valid_utf8(submodule.path) + " at " +
                          submodule.resolved.revision);
        run.excluded.insert((target->empty() ? "" : *target + "/") + submodule.path + "/.git");
      }
      if (run.revision.empty()) run.revision = fetched->resolved.revision;
      if (!run.source_time) run.source_time = fetched->time_seconds;
      run.status.sources.push_back(fetched->resolved);
      run.publish();
    }
    co_return enter_sub_path(run, sub_path);
  }

  // The folder that steps see as the workspace.
  std::optional<Failure> enter_sub_path(Run& run, const std::string& sub_path) {
    if (sub_path.empty()) return std::nullopt;
    Result<std::string> clean = builder::clean_relative(sub_path, "subPath");
    if (!clean) return Failure{"BuildValidationFailed", clean.error()};
    Result<std::string> real = builder::resolve_inside(files, run.workspace, *clean, "subPath");
    if (!real) return Failure{"SourceFailed", real.error()};
    if (real->empty()) return std::nullopt;
    run.workspace += "/" + *real;
    // As in a pod: what no source brought is there, and empty.
    if (Result<void> made = files.make_directories(run.workspace); !made) {
      return Failure{"BuildExecuteFailed", made.error()};
    }
    return std::nullopt;
  }

  // ------------------------------------------------------------------------ steps

  // Custom sources and steps by name; a source without instructions brings its own.
  std::optional<Failure> collect_steps(Run& run) {
    const build::BuildSpec& spec = run.build.spec;
    const std::vector<build::SourceSpec> sources = sources_of(spec);
    for (const build::SourceSpec& source : sources) {
      if (!is_custom(source)) continue;
      const std::string suffix = source.name.empty() ? "" : "-" + source.name;
      run.steps.push_back({"build-step-custom-source" + suffix, *source.custom});
    }
    run.sources_hidden = run.steps.size();
    std::vector<build::Step> steps = spec.steps;
    if (spec.image_config) run.image = *spec.image_config;
    if (!spec.image.empty() && (steps.empty() || run.image.entrypoint.empty())) {
      Result<DetectedSource> found = detect_source(files, run.workspace);
      if (!found && steps.empty() && run.steps.empty() && run.image.entrypoint.empty()) {
        return Failure{"SourceNotRecognised", found.error()};
      }
      if (found) use_detected(run, *found, steps);
    }
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const std::string name = steps[i].name.empty()
                                   ? "unnamed-" + std::to_string(i + run.sources_hidden)
                                   : steps[i].name;
      run.steps.push_back({"build-step-" + name, steps[i]});
    }
    return std::nullopt;
  }

  static void use_detected(Run& run, const DetectedSource& found, std::vector<build::Step>& steps) {
    if (steps.empty()) {
      steps = found.steps;
      run.detected = true;
      run.log("build", "recognised " + found.kind + " (" + found.reason + ")");
      if (run.image.contents.empty()) run.image.contents = found.image.contents;
    }
    if (run.image.entrypoint.empty()) run.image.entrypoint = found.image.entrypoint;
    if (run.image.working_dir.empty()) run.image.working_dir = found.image.working_dir;
    for (const core::EnvVar& variable : found.image.env) {
      const bool given =
          std::any_of(run.image.env.begin(), run.image.env.end(),
                      [&](const core::EnvVar& other) { return other.name == variable.name; });
      if (!given) run.image.env.push_back(variable);
    }
  }

  // ------------------------------------------------------------------------ volumes

  // As in a cluster, what a volume needs may come later: the build is Pending until then.
  Task<std::optional<Failure>> make_volumes(Run& run) {
    while (true) {
      Result<std::map<std::string, ContainerMount>> made = volumes_of(run);
      if (made) {
        run.waits_for.clear();
        run.volumes = std::move(*made);
        co_return std::nullopt;
      }
      if (made.error().code != Errc::failed_precondition) {
        co_return Failure{"BuildExecuteFailed", made.error()};
      }
      run.waits_for = made.error().detail;
      conditions.mark_unknown(run.status.conditions, succeeded, "Pending", run.waits_for,
                              Timestamp(timers.wall()));
      run.publish();
      co_await timers.sleep_for(volume_pause);
    }
  }

  Result<std::map<std::string, ContainerMount>> volumes_of(const Run& run) {
    const std::string directory = run.in("volumes");
    if (options.volumes) return options.volumes(run.build, directory);
    std::map<std::string, ContainerMount> result;
    const std::vector<core::Volume>& volumes = run.build.spec.volumes;
    for (std::size_t i = 0; i < volumes.size(); ++i) {
      const core::Volume& volume = volumes[i];
      const core::Volume plain{
          .name = volume.name, .empty_dir = volume.empty_dir, .git_repo = volume.git_repo};
      if (volume != plain) {
        return fail(Errc::unimplemented,
                    "volume \"" + volume.name + "\": only emptyDir and gitRepo are known here");
      }
      const std::string place = directory + "/" + std::to_string(i);
      if (Result<void> made = files.make_directories(place); !made) return made.error();
      if (Result<void> set = files.set_mode(place, for_any_user); !set) return set.error();
      result[volume.name].source = place;
      if (volume.empty_dir) result[volume.name].bytes_max = volume.empty_dir->bytes_max();
    }
    return result;
  }

  Task<std::optional<Failure>> fetch_repositories(Run& run) {
    const SourceCredentials none;  // whoever mounts it brings its own
    for (const core::Volume& volume : run.build.spec.volumes) {
      if (!volume.git_repo) continue;
      const std::string what = "volume \"" + volume.name + "\"";
      build::SourceSpec source;
      source.git = build::GitSource{volume.git_repo->repository, volume.git_repo->revision};
      const std::string folder = repository_folder(*volume.git_repo);
      const Result<std::string> clean =
          builder::clean_relative(folder, what + ": directory", "the volume");
      if (!clean) co_return Failure{"BuildValidationFailed", clean.error()};
      const std::string place = run.volumes.at(volume.name).source + "/" + *clean;
      if (Result<void> made = files.make_directories(place); !made) {
        co_return Failure{"BuildExecuteFailed", made.error()};
      }
      Task<Result<Fetched>> fetching = fetcher.fetch(source, place, none);
      const Result<Fetched> fetched = co_await std::move(fetching);
      if (!fetched) co_return Failure{"SourceFailed", fetched.error().within(what)};
    }
    co_return std::nullopt;
  }

  // What a step sees of this machine beside its image. What the document mounts at the same place
  // takes the place of what every step has.
  Result<std::vector<ContainerMount>> mounts_of(const Run& run, const build::Step& step,
                                                const std::string& message) {
    Result<std::vector<ContainerMount>> own = mount_volumes(run.volumes, step.volume_mounts);
    if (!own) return own;
    const std::string& message_path = step.termination_message_path;
    const std::vector<ContainerMount> implicit{
        {run.workspace, std::string(builder::workspace_path)},
        {run.in("home"), std::string(builder::home_path)},
        {run.in("tmp"), std::string(tmp_path)},
        {message, message_path.empty() ? std::string(default_message_path) : message_path}};
    if (Result<void> made = files.write_file(message, ""); !made) return made.error();
    if (Result<void> set = files.set_mode(message, 0666); !set) return set.error();
    std::vector<ContainerMount> mounts;
    for (const ContainerMount& mount : implicit) {
      const bool taken = std::any_of(own->begin(), own->end(), [&](const ContainerMount& other) {
        return builder::clean_target(other.target) == mount.target;
      });
      if (!taken) mounts.push_back(mount);
    }
    mounts.insert(mounts.end(), own->begin(), own->end());
    return mounts;
  }

  // A missing working directory is made, but nothing outside the build's own folder.
  Result<void> make_working_directory(const Run& run, const ContainerSpec& spec) {
    const std::string real = host_paths(spec.mounts, spec.working_directory);
    const std::string own = run.directory + "/";
    if (!real.starts_with(own)) return {};
    Result<std::string> inside =
        builder::resolve_inside(files, run.directory, real.substr(own.size()), "workingDir");
    if (!inside) return inside.error();
    return files.make_directories(own + *inside);
  }

  // The step with everything that is known now; what it names is looked up here.
  Result<ContainerSpec> make_step(const Run& run, const NamedStep& named,
                                  const std::string& message) {
    core::Container step = named.step;
    if (options.environment) {
      Result<std::vector<core::EnvVar>> literal = options.environment(run.build, step);
      if (!literal) return literal.error();
      step.env = std::move(*literal);
      step.env_from.clear();
    }
    const std::map<std::string, std::string> known{
        {"HOME", std::string(builder::home_path)},
        {"TMPDIR", std::string(tmp_path)},
        {"WORKSPACE", std::string(builder::workspace_path)},
        {"SOURCE_DATE_EPOCH", std::to_string(run.source_time.value_or(0))}};
    Result<ContainerSpec> spec = container_spec(step, known);
    if (!spec) return spec;
    Result<std::vector<ContainerMount>> mounts = mounts_of(run, step, message);
    if (!mounts) return mounts.error();
    spec->mounts = std::move(*mounts);
    spec->name = run.build.metadata.name + " " + named.name;
    spec->ports.clear();  // a step answers nobody
    spec->identity.namespace_ = run.build.metadata.namespace_;
    spec->identity.build = run.build.metadata.name;
    spec->identity.step = named.name;
    spec->identity.uid = run.build.metadata.uid;
    if (spec->image == host_image) spec->runtime = host_image;
    spec->image_pull.policy = step.image_pull_policy;
    spec->image_pull.service_account = run.build.spec.service_account_name;
    std::string& place = spec->working_directory;
    if (!place.starts_with('/')) {
      place = std::string(builder::workspace_path) + (place.empty() ? "" : "/" + place);
    }
    if (Result<void> made = make_working_directory(run, *spec); !made) return made.error();
    const FieldErrors refused = runtime.unsupported(*spec);
    for (const FieldError& warning : refused.filter(FieldError::Level::warning)) {
      run.log(named.name, "warning: " + warning.to_string());
    }
    if (refused.has_errors()) {
      const Result<void> why = refused.to_result();
      return fail(Errc::unimplemented, why.error().detail);
    }
    return spec;
  }

  Task<std::optional<Failure>> run_steps(Run& run) {
    run.status.step_states.resize(run.steps.size() - run.sources_hidden);
    for (core::ContainerState& state : run.status.step_states) state.waiting.emplace();
    take_stable_name(run);
    for (std::size_t i = 0; i < run.steps.size(); ++i) {
      Task<std::optional<Failure>> running = run_step(run, i);
      std::optional<Failure> failure = co_await std::move(running);
      if (failure) co_return failure;
    }
    co_return std::nullopt;
  }

  // Start the container and wait for its end. Dropping the task kills it; that is also how builds
  // time out and are cancelled.
  Task<Result<ExitStatus>> run_container(Run& run, const ContainerSpec& spec) {
    Run* const owner = &run;
    const std::string* const name = &spec.identity.step;
    const ContainerOutput output = [owner, name](std::string_view, std::string_view line) {
      owner->log(*name, line);
      owner->keep(line);
    };
    Task<Result<std::unique_ptr<Container>>> starting = runtime.start(spec, output);
    Result<std::unique_ptr<Container>> container = co_await std::move(starting);
    if (!container) co_return container.error();
    Task<ExitStatus> ending = (*container)->wait();
    const ExitStatus status = co_await std::move(ending);
    co_return status;
  }

  // What the step wanted to say at its end: the last of its message file, or of its output.
  std::string message_of(const Run& run, const build::Step& step, const std::string& path,
                         const Result<ExitStatus>& ended) {
    if (!ended) return base::valid_utf8(ended.error().detail);
    const std::string text = read_tail(path);
    const bool fall_back = step.termination_message_policy == fallback_to_logs;
    return text.empty() && fall_back && !ended->success() ? run.tail_text() : text;
  }

  std::string read_tail(const std::string& path) {
    const Result<FileInfo> info = files.info(path);
    if (!info || info->type != FileType::regular || info->size_bytes == 0) return {};
    const std::uint64_t count = std::min(info->size_bytes, termination_message_bytes_max);
    Result<std::unique_ptr<File>> file = files.open(path, OpenOptions{});
    if (!file) return {};
    std::string bytes(static_cast<std::size_t>(count), '\0');
    const Result<std::size_t> got = (*file)->read_at(info->size_bytes - count, bytes);
    if (!got) return {};
    bytes.resize(*got);
    return base::valid_utf8(bytes);
  }

  Task<std::optional<Failure>> run_step(Run& run, std::size_t index) {
    const NamedStep& named = run.steps[index];
    const std::string message = run.in("messages/") + std::to_string(index);
    const std::string where = "step \"" + named.name + "\"";
    Result<ContainerSpec> spec = make_step(run, named, message);
    if (!spec) co_return Failure{"BuildValidationFailed", spec.error().within(where)};
    core::ContainerState unseen;
    core::ContainerState& state =
        index < run.sources_hidden ? unseen : run.status.step_states[index - run.sources_hidden];
    const Timestamp started = timers.wall();
    state.waiting.reset();
    state.running.emplace().started_at = started;
    run.publish();
    run.tail.clear();
    Task<Result<ExitStatus>> running = run_container(run, *spec);
    Result<ExitStatus> ended = co_await std::move(running);
    core::ContainerStateTerminated terminated;
    terminated.started_at = started;
    terminated.finished_at = Timestamp(timers.wall());
    terminated.exit_code = ended ? ended->code : 128;
    terminated.signal = ended ? ended->signal : 0;
    if (ended && ended->signal != 0) terminated.exit_code = 128 + ended->signal;
    terminated.reason = ended ? reason_of(*ended) : "StartError";
    terminated.message = message_of(run, named.step, message, ended);
    state.running.reset();
    state.terminated = terminated;
    if (index >= run.sources_hidden) run.status.steps_completed.push_back(named.name);
    run.publish();
    if (!ended) co_return Failure{"StepFailed", ended.error().within(where)};
    if (ended->success()) co_return std::nullopt;
    std::string detail = where + " ended with " + ended->to_string();
    // Conditions are for everybody, the output may hold what is not.
    const std::string words = last_words(terminated.message);
    detail += words.empty() ? ", its output tells why" : ": " + words;
    co_return Failure{"StepFailed", fail(Errc::failed_precondition, detail)};
  }

  // For the log: what the build was doing.
  static std::string at_work(const Run& run) {
    for (std::size_t i = 0; i < run.status.step_states.size(); ++i) {
      if (!run.status.step_states[i].running) continue;
      return "step \"" + run.steps[i + run.sources_hidden].name + "\" was running";
    }
    return {};
  }

  // What it waited for belongs to the message, and what was running does not run any more.
  Failure timed_out(Run& run, Duration timeout) {
    std::string text = "Build \"" + run.build.metadata.name + "\" failed to finish within \"" +
                       format_duration(timeout) + "\"";
    if (!run.waits_for.empty()) text += ": " + run.waits_for;
    const Timestamp now = timers.wall();
    for (core::ContainerState& state : run.status.step_states) {
      if (!state.running) continue;
      core::ContainerStateTerminated terminated;
      terminated.started_at = state.running->started_at;
      terminated.finished_at = now;
      terminated.exit_code = build_killed_code;
      terminated.signal = build_killed_by;
      terminated.reason = "Error";
      state.running.reset();
      state.terminated = std::move(terminated);
    }
    return Failure{"BuildTimeout", fail(Errc::deadline_exceeded, std::move(text))};
  }

  // ------------------------------------------------------------------------ image

  // A recognised source is started by a program that its build was expected to leave.
  std::optional<Failure> check_entrypoint(const Run& run) {
    if (!run.detected || run.image.entrypoint.empty()) return std::nullopt;
    const std::string prefix = std::string(builder::workspace_path) + "/";
    const std::string& program = run.image.entrypoint[0];
    if (program.compare(0, prefix.size(), prefix) != 0) return std::nullopt;
    Result<FileInfo> info = files.info(run.workspace + "/" + program.substr(prefix.size()));
    if (info) return std::nullopt;
    return Failure{
        "SourceNotRecognised",
        fail(Errc::not_found, "the build left no program \"" + program.substr(prefix.size()) +
                                  "\" to start; say what to start in a Procfile, for "
                                  "example \"web: ./name\"")};
  }

  // Before the steps, so that a wrong name is told before the work.
  Task<std::optional<Failure>> fetch_base(Run& run) {
    const bool none = run.build.spec.image.empty() || builder::is_scratch(run.image.base);
    if (none || !options.fetch_base) co_return std::nullopt;
    ContainerSpec spec;
    spec.name = run.build.metadata.name + " base";
    spec.image = run.image.base;
    spec.identity.namespace_ = run.build.metadata.namespace_;
    spec.identity.build = run.build.metadata.name;
    spec.identity.uid = run.build.metadata.uid;
    spec.image_pull.service_account = run.build.spec.service_account_name;
    spec.image_pull.docker_config = run.credentials.files[builder::docker_config_path];
    Task<Result<std::pair<oci::Reference, oci::Pin>>> fetching = options.fetch_base(spec);
    Result<std::pair<oci::Reference, oci::Pin>> fetched = co_await std::move(fetching);
    if (!fetched) co_return Failure{"ImageFailed", fetched.error().within("image: base")};
    run.image.base = fetched->first.to_string();
    run.base = std::move(fetched->second);
    co_return std::nullopt;
  }

  // The image is in the store; where its name says so, it goes to its registry as well.
  Task<std::optional<Failure>> publish_image(Run& run, const oci::Reference& name,
                                             const oci::Descriptor& manifest) {
    if (options.publish && !name.registry().empty()) {
      const std::string& registries = run.credentials.files[builder::docker_config_path];
      Task<Result<void>> publishing = options.publish(name, manifest, registries);
      const Result<void> published = co_await std::move(publishing);
      if (!published) co_return Failure{"ImageFailed", published.error().within("image")};
    }
    run.status.image = name.repository + "@" + manifest.digest.to_string();
    co_return std::nullopt;
  }

  // Steps in containers say whose their files are and who may read them; what host steps leave has
  // this machine's users and umask.
  Result<void> decide_metadata(const Run& run, builder::PackRequest& request) {
    const bool contained = std::any_of(run.steps.begin(), run.steps.end(),
                                       [](const auto& named) { return is_container(named.step); });
    if (!contained || run.image.normalize) return {};
    request.preserve = true;
    Result<FileInfo> own = files.info(run.directory);
    if (!own) return own.error();
    request.root_owner = own->owner;
    request.root_group = own->group;
    // The mode that steps of any user needed is nobody's wish for the image.
    Result<FileInfo> workspace = files.info(run.workspace);
    if (!workspace) return workspace.error();
    return workspace->mode == for_any_user ? files.set_mode(run.workspace, 0755) : Result<void>();
  }

  Task<std::optional<Failure>> make_image(Run& run) {
    if (run.build.spec.image.empty()) co_return std::nullopt;
    if (std::optional<Failure> missing = check_entrypoint(run)) co_return missing;
    builder::PackRequest request;
    request.workspace = run.workspace;
    request.image = run.image;
    request.excluded = run.excluded;
    request.mtime_seconds = options.source_date_epoch;
    request.created_seconds = run.source_time.value_or(options.source_date_epoch);
    request.revision = run.revision;
    request.compression_level = options.compression_level;
    if (Result<void> decided = decide_metadata(run, request); !decided) {
      co_return Failure{"ImageFailed", decided.error().within("image")};
    }
    auto pack = [&world = files, target = store, request] {
      return builder::pack_image(world, *target, request);
    };
    Task<Result<builder::PackedImage>> packing = offload.run(pack);
    const Result<builder::PackedImage> packed = co_await std::move(packing);
    if (!packed) co_return Failure{"ImageFailed", packed.error().within("image")};
    for (const std::string& each : packed->left_out) {
      run.log("build", "warning: not in the image: " + each);
    }
    const oci::Reference name = *oci::Reference::parse(run.build.spec.image);
    for (int attempt = 0;; ++attempt) {
      auto bind = [target = store, name, document = packed->manifest] {
        return target->put_manifest(name, document);
      };
      Task<Result<oci::Descriptor>> binding = offload.run(bind);
      Result<oci::Descriptor> bound = co_await std::move(binding);
      if (bound) {
        Task<std::optional<Failure>> publishing = publish_image(run, name, *bound);
        co_return co_await std::move(publishing);
      }
      // Another process holds the index for a moment.
      if (bound.error().code != Errc::unavailable || attempt == binding_tries_max) {
        co_return Failure{"ImageFailed", bound.error().within("image")};
      }
      co_await timers.sleep_for(binding_pause);
    }
  }

  // ------------------------------------------------------------------------ the whole

  Task<std::optional<Failure>> work(Run& run) {
    Task<std::optional<Failure>> preparing = make_volumes(run);
    std::optional<Failure> failure = co_await std::move(preparing);
    if (failure) co_return failure;
    conditions.mark_unknown(run.status.conditions, succeeded, "Building", "",
                            Timestamp(timers.wall()));
    run.publish();
    Task<std::optional<Failure>> repositories = fetch_repositories(run);
    failure = co_await std::move(repositories);
    if (failure) co_return failure;
    Task<std::optional<Failure>> fetching = fetch_sources(run);
    failure = co_await std::move(fetching);
    if (!failure) failure = collect_steps(run);
    if (failure) co_return failure;
    Task<std::optional<Failure>> basing = fetch_base(run);
    failure = co_await std::move(basing);
    if (failure) co_return failure;
    Task<std::optional<Failure>> stepping = run_steps(run);
    failure = co_await std::move(stepping);
    if (failure) co_return failure;
    Task<std::optional<Failure>> packing = make_image(run);
    failure = co_await std::move(packing);
    co_return failure;
  }

  BuildOutcome finish(Run& run, const std::optional<Failure>& failure) {
    const Timestamp now = timers.wall();
    run.status.completion_time = now;
    if (failure) {
      conditions.mark_false(run.status.conditions, succeeded, failure->reason,
                            failure->error.detail, now);
    } else {
      conditions.mark_true(run.status.conditions, succeeded, now);
    }
    run.publish();
    BuildOutcome outcome;
    outcome.status = std::move(run.status);
    if (failure) outcome.error = failure->error;
    return outcome;
  }
};

Builder::Builder(Timers& timers, Files& files, Offload& offload, Fetcher& fetcher,
                 ContainerRuntime& runtime, std::shared_ptr<oci::ImageStore> store,
                 BuilderOptions options)
    : impl_(new Impl{timers,
                     files,
                     offload,
                     fetcher,
                     runtime,
                     std::move(store),
                     std::move(options),
                     build::build_conditions(),
                     {}}) {}

Builder::~Builder() { impl_->sweep(); }

Task<BuildOutcome> Builder::execute(const build::Build& build, const BuildCallbacks& callbacks) {
  Impl& impl = *impl_;
  Run run{.options = impl.options, .callbacks = callbacks, .build = build, .status = {}};
  run.status.observed_generation = build.metadata.generation;
  run.status.start_time = Timestamp(impl.timers.wall());
  impl.conditions.mark_unknown(run.status.conditions, succeeded, "Pending", "Pending",
                               *run.status.start_time);
  run.publish();
  impl.sweep();
  if (std::optional<Failure> failure = impl.prepare(run)) co_return impl.finish(run, failure);
  Impl::Cleanup cleanup{impl, run};
  if (Result<void> made = impl.make_directories(run); !made) {
    const std::optional<Failure> failure = Failure{"BuildExecuteFailed", made.error()};
    co_return impl.finish(run, failure);
  }
  cleanup.needed = true;
  const Duration timeout = run.build.spec.timeout.value_or(std::chrono::minutes(10));
  std::optional<std::optional<Failure>> ended;
  if (timeout > Duration::zero()) {
    Task<std::optional<Failure>> task = impl.work(run);
    auto limited = with_deadline(impl.timers, std::move(task), impl.timers.now() + timeout);
    ended = co_await std::move(limited);
  }
  std::optional<Failure> failure;
  if (ended) {
    failure = std::move(*ended);
  } else {
    if (const std::string doing = Impl::at_work(run); !doing.empty()) run.log("build", doing);
    failure = impl.timed_out(run, timeout);
  }
  if (ended || impl.options.keep_failed) impl.move_directory(run, run.own_name);
  if (failure && impl.options.keep_failed) {
    run.log("build", "kept " + run.directory);
  } else if (ended) {
    // Nothing works in there any more; large trees take a while to remove.
    auto remove = [&files = impl.files, directory = run.directory] {
      return files.remove_all(directory);
    };
    Task<Result<void>> removing = impl.offload.run(remove);
    (void)co_await std::move(removing);
  }
  if (ended || impl.options.keep_failed) cleanup.needed = false;
  co_return impl.finish(run, failure);
}

Task<Result<BuildResult>> Builder::run(const build::Build& build) {
  const BuildCallbacks quiet;
  Task<BuildOutcome> executing = execute(build, quiet);
  BuildOutcome outcome = co_await std::move(executing);
  if (outcome.error) co_return *std::move(outcome.error);
  BuildResult result;
  result.image = outcome.status.image;
  if (!result.image.empty()) result.digest = oci::Reference::parse(result.image).value().digest;
  result.status = std::move(outcome.status);
  co_return result;
}

}  // namespace knative
