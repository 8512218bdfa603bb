// Containers by the command line of another runtime.
#include "knative/oci_runtime.hpp"

#include <algorithm>
#include <utility>

#include "engines/workload/isolated_program.hpp"
#include "engines/workload/oci_config.hpp"
#include "knative/value.hpp"

namespace knative {
namespace {

constexpr const char* system_folders[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                          "/usr/bin",        "/sbin",          "/bin"};
constexpr std::uint64_t runtime_log_bytes_max = std::uint64_t{64} << 10;
constexpr int signals_max = 31;      // real-time ones have no name that a reason could give
constexpr int signalled_code = 128;  // and the signal's number

/// What a runtime works with for one container.
class Bundle {
 public:
  static Result<std::shared_ptr<Bundle>> make(Files& files, const std::string& directory) {
    Result<std::string> folder = files.make_temporary_directory(directory + "/bundle-");
    if (!folder) return folder.error();
    return std::shared_ptr<Bundle>(new Bundle(files, std::move(*folder)));
  }
  ~Bundle() { (void)files_.remove_all(folder_); }
  Bundle(const Bundle&) = delete;
  Bundle& operator=(const Bundle&) = delete;

  const std::string& folder() const noexcept { return folder_; }

  Result<void> write(const ProcessOptions& program) {
    if (Result<void> made = files_.make_directories(folder_ + "/files"); !made) return made;
    const std::vector<IsolationFile>& all = program.isolation->files;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::string path = folder_ + "/files/" + std::to_string(i);
      if (Result<void> done = write(path, all[i].content, 0644); !done) return done;
    }
    // Its variables may be secrets.
    return write(folder_ + "/config.json", oci_config(program), 0600);
  }

  /// The last error in the runtime's log.
  Error failure(const std::string& runtime) const {
    const std::string text =
        files_.read_file(folder_ + "/log", runtime_log_bytes_max).value_or(std::string());
    std::string said;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      const Result<Value> line =
          Value::parse_json(std::string_view(text).substr(begin, end - begin));
      begin = end + 1;
      const Value* const message = line ? line->find("msg") : nullptr;
      if (message != nullptr && message->is_string()) said = message->as_string();
    }
    if (said.empty()) return Error{Errc::internal, runtime + " has ended without a word"};
    const bool absent =
        said.find("not found") != said.npos || said.find("o such file or directory") != said.npos;
    return Error{absent ? Errc::not_found : Errc::failed_precondition, runtime + ": " + said};
  }

 private:
  Bundle(Files& files, std::string folder) : files_(files), folder_(std::move(folder)) {}

  // Not durable: it is of no use to another run of the platform.
  Result<void> write(const std::string& path, std::string_view content, unsigned mode) {
    OpenOptions options{.write = true, .create = true, .exclusive = true};
    options.mode = mode;
    Result<std::unique_ptr<File>> file = files_.open(path, options);
    return file ? (*file)->write_at(0, content) : Result<void>(file.error());
  }

  Files& files_;
  const std::string folder_;
};

std::string name_of_program(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

}  // namespace

struct OciRuntime::Impl final : IsolatingStarter {
  Impl(Env& e, ImageProvider& i, const OciRuntimeOptions& o)
      : IsolatingStarter(e, i, o.isolating, "a container of another runtime"),
        oci(o),
        name(name_of_program(o.program)) {}

  Result<Program> program(const ContainerSpec& spec, const ImageRoot& image, std::uint16_t port,
                          const ContainerSpec* beside) override {
    Result<ProcessOptions> wanted = isolated(spec, image, port, beside);
    if (!wanted) return wanted.error();
    Result<std::shared_ptr<Bundle>> made = Bundle::make(env.files, oci.directory);
    if (!made) return made.error();
    const std::shared_ptr<Bundle> bundle = std::move(*made);
    const std::string& folder = bundle->folder();
    wanted->isolation->stage = folder;
    if (Result<void> written = bundle->write(*wanted); !written) return written.error();

    Program result;
    result.start.isolation = wanted->isolation;
    result.start.environment = {
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}};
    std::vector<std::string>& words = result.start.argv;
    words = {oci.program, "--root=" + folder + "/state", "--log=" + folder + "/log",
             "--log-format=json"};
    // The group is made already. runc has no such word, and does without groups that it cannot
    // make.
    if (name == "crun") words.emplace_back("--cgroup-manager=disabled");
    result.begun = folder + "/pid";
    for (const std::string& word : {std::string("run"), "--bundle=" + folder,
                                    "--pid-file=" + result.begun, std::string("container")}) {
      words.push_back(word);
    }
    result.beside = std::move(*wanted);
    result.failure = [bundle, runtime = name] { return bundle->failure(runtime); };
    result.keep = bundle;
    return result;
  }

  // Whoever waits for a program in another's name can only tell by its own code what ended it.
  ExitStatus told(const ExitStatus& process) const override {
    ExitStatus status = process;
    if (process.code > signalled_code && process.code <= signalled_code + signals_max) {
      status.signal = process.code - signalled_code;
      status.code = 0;
    }
    return status;
  }

  const OciRuntimeOptions oci;
  const std::string name;
};

Result<std::string> OciRuntime::find(Files& files, std::string_view name) {
  for (const char* folder : system_folders) {
    const std::string path = std::string(folder).append("/").append(name);
    const Result<FileInfo> info = files.info(path);
    if (info && info->type != FileType::directory) return path;
  }
  return fail(Errc::not_found, std::string(name).append(" is not installed"));
}

OciRuntime::OciRuntime(Env& env, ImageProvider& images, OciRuntimeOptions options)
    : impl_(std::make_shared<Impl>(env, images, options)) {}

OciRuntime::~OciRuntime() = default;

FieldErrors OciRuntime::unsupported(const ContainerSpec& spec) const {
  FieldErrors errors;
  if (impl_->oci.program.empty()) errors.add(field_error(impl_->oci.reason, {"runtimeClassName"}));
  errors.add(impl_->unsupported(spec));
  return errors;
}

bool OciRuntime::can_exec(const ContainerSpec&) const { return true; }

bool OciRuntime::can_freeze(const ContainerSpec&) const {
  return impl_->isolating.support.freezing;
}

Task<Result<std::string>> OciRuntime::pin(const ContainerSpec& spec) {
  return impl_->images.pin(spec);
}

Task<Result<std::unique_ptr<Container>>> OciRuntime::start(const ContainerSpec& spec,
                                                           ContainerOutput output) {
  if (impl_->oci.program.empty()) {
    co_return fail(Errc::unimplemented, impl_->oci.reason);
  }
  Task<Result<std::unique_ptr<Container>>> starting =
      IsolatingStarter::start(impl_, spec, nullptr, std::move(output));
  co_return co_await std::move(starting);
}

Task<Result<std::unique_ptr<Container>>> OciRuntime::start_beside(Container& other,
                                                                  const ContainerSpec& spec,
                                                                  ContainerOutput output) {
  if (impl_->oci.program.empty()) {
    co_return fail(Errc::unimplemented, impl_->oci.reason);
  }
  Task<Result<std::unique_ptr<Container>>> starting =
      IsolatingStarter::start_beside(impl_, other, spec, std::move(output));
  co_return co_await std::move(starting);
}

}  // namespace knative
