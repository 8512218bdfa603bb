// Over OpenSSH's client, a child process. Its key and what it knows of hosts are in a private
// folder that goes with the conversation; the key goes once the server has let us in.
#include "base/text.hpp"
#include "engines/builder/git_conversation.hpp"
#include "engines/builder/git_ssh.hpp"
#include "knative/processes.hpp"

namespace knative::builder::git {

namespace {

constexpr std::size_t waiting_bytes_max = 64u << 20;
constexpr std::size_t words_kept_max = 2048;
constexpr int exit_code_no_program = 127;
constexpr std::string_view key_file = "key";
constexpr std::string_view hosts_file = "known_hosts";
constexpr std::string_view request_file = "request";

// A child's standard input is empty, so what we ask is appended to a file, from which it flows on.
// The shell becomes the client; what it leaves behind ends with it.
constexpr std::string_view script =
    "command -v \"$1\" >/dev/null 2>&1 || exit 127; mkfifo -m 600 input || exit 126; "
    "tail -c +1 -f request >input 2>/dev/null & exec \"$@\" <input";

class SshConversation final : public Conversation {
 public:
  SshConversation(const RemoteWorld& world, const CloneRequest& request, SshAddress address)
      : world_(world), request_(request), address_(std::move(address)) {}

  Task<Result<Advertisement>> greet() override {
    if (Result<void> begun = begin(); !begun) co_return begun.error();
    Task<Result<std::string>> hearing = hear_until_flush(*this);
    const Result<std::string> text = co_await std::move(hearing);
    (void)world_.files.remove_all(folder_->path + "/" + std::string(key_file));
    if (!text) co_return text.error();
    if (text->empty()) co_return fail(Errc::unavailable, "the server closed the connection");
    co_return parse_advertisement(*text);
  }

  Task<Result<void>> ask(std::string request) override {
    Result<void> written = requests_->write_at(asked_, request);
    asked_ += request.size();
    co_return written;
  }

  Task<Result<std::string_view>> next() override {
    given_.clear();
    if (waiting_.empty() && !ended_) {
      auto waiting =
          with_deadline(world_.timers, more(), world_.timers.now() + request_.limits.idle_timeout);
      const std::optional<bool> came = co_await std::move(waiting);
      if (!came) co_return fail(Errc::deadline_exceeded, "the server does not answer");
    }
    if (overflown_) co_return fail(Errc::resource_exhausted, "the server sends too fast");
    given_.swap(waiting_);
    if (given_.empty() && ended_ && !ended_->success()) co_return why_ended();
    co_return std::string_view(given_);
  }

 private:
  Result<void> begin() {
    process_.reset();
    folder_.reset();
    waiting_.clear();
    words_.clear();
    ended_.reset();
    asked_ = 0;
    if (!request_.ssh) {
      return fail(Errc::failed_precondition, "requires credentials: there is no ssh key for host " +
                                                 address_.host + " in the build's secrets");
    }
    Result<std::string> made = world_.files.make_temporary_directory(request_.directory + ".ssh-");
    if (!made) return made.error();
    folder_ = std::make_unique<TemporaryFolder>(world_.files, *made);
    std::string key = request_.ssh->private_key;
    if (!key.ends_with('\n')) key.push_back('\n');  // else the client does not see its end
    Result<void> kept = keep(key_file, key);
    if (kept) kept = keep(hosts_file, request_.ssh->known_hosts);
    if (kept) kept = keep(request_file, "");
    return kept ? start() : kept;
  }

  Result<void> keep(std::string_view name, std::string_view text) {
    const OpenOptions how{.write = true, .create = true, .exclusive = true, .mode = 0600};
    const std::string path = folder_->path + "/" + std::string(name);
    Result<std::unique_ptr<File>> file = world_.files.open(path, how);
    if (!file) return file.error();
    Result<void> written = (*file)->write_at(0, text);
    if (name == request_file) requests_ = std::move(*file);
    return written;
  }

  std::vector<std::string> command() const {
    const bool known = !request_.ssh->known_hosts.empty();
    std::vector<std::string> words{"sh", "-c", std::string(script), "sh"};
    words.insert(words.end(), {request_.limits.ssh_program, "-F", "none", "-T", "-x", "-a"});
    const std::string seconds = std::to_string(std::max<std::int64_t>(
        1,
        std::chrono::duration_cast<std::chrono::seconds>(request_.limits.connect_timeout).count()));
    for (const std::string& option :
         {std::string("BatchMode=yes"), std::string("IdentitiesOnly=yes"),
          std::string("IdentityAgent=none"), std::string("IdentityFile=key"),
          std::string("PreferredAuthentications=publickey"), std::string("UpdateHostKeys=no"),
          std::string("UserKnownHostsFile=known_hosts"), std::string("GlobalKnownHostsFile=none"),
          std::string("StrictHostKeyChecking=") + (known ? "yes" : "accept-new"),
          std::string("SendEnv=GIT_PROTOCOL"), std::string("ClearAllForwardings=yes"),
          std::string("LogLevel=ERROR"), "ConnectTimeout=" + seconds}) {
      words.insert(words.end(), {"-o", option});
    }
    words.insert(words.end(), {"-p", std::to_string(address_.port.value_or(request_.ssh->port))});
    if (!address_.user.empty()) words.insert(words.end(), {"-l", address_.user});
    words.insert(words.end(),
                 {"--", address_.host, "git-upload-pack " + shell_word(address_.path)});
    return words;
  }

  Result<void> start() {
    ProcessOptions options;
    options.argv = command();
    options.environment = {
        {"PATH", "/usr/local/bin:/usr/bin:/bin"}, {"LC_ALL", "C"}, {"GIT_PROTOCOL", "version=2"}};
    options.working_directory = folder_->path;  // names of files in messages are short, then
    options.on_stdout = [this](std::string_view piece) {
      overflown_ = overflown_ || piece.size() > waiting_bytes_max - waiting_.size();
      if (!overflown_) waiting_.append(piece);
      arrival_.notify_all();
    };
    options.on_stderr = [this](std::string_view piece) {
      words_.append(piece.substr(0, words_kept_max - words_.size()));
    };
    Result<std::unique_ptr<Process>> started = world_.processes.spawn(options);
    if (!started) return started.error();
    process_ = std::move(*started);
    return {};
  }

  Task<bool> more() {
    auto arrive = [](Wakeup& arrival, const std::string& waiting) -> Task<void> {
      while (waiting.empty()) co_await arrival.wait();
    };
    Task<ExitStatus> ending = process_->wait();
    Task<void> arriving = arrive(arrival_, waiting_);
    auto racing = race(std::move(ending), std::move(arriving));
    const auto first = co_await std::move(racing);
    if (first.first) ended_ = *first.first;
    co_return true;
  }

  Error why_ended() const {
    std::string said = base::valid_utf8(words_);
    std::replace_if(
        said.begin(), said.end(), [](char c) { return static_cast<unsigned char>(c) < 32; }, ' ');
    while (said.ends_with(' ')) said.pop_back();
    if (ended_->code == exit_code_no_program && said.empty()) {
      return fail(Errc::unimplemented, "there is no program \"" + request_.limits.ssh_program +
                                           "\", which git over ssh needs");
    }
    const std::string detail = said.empty() ? "ssh ended with " + ended_->to_string() : said;
    const auto says = [&said](std::string_view words) { return said.find(words) != said.npos; };
    if (says("Host key verification failed") || says("host key is known for")) {
      return fail(Errc::failed_precondition, "the server's host key is not known: " + detail);
    }
    if (says("Permission denied") || says("Too many authentication failures")) {
      return fail(Errc::failed_precondition, "access is refused: " + detail);
    }
    const bool absent = says("not appear to be a git repository") || says("not found");
    return fail(absent ? Errc::not_found : Errc::unavailable, detail);
  }

  const RemoteWorld& world_;
  const CloneRequest& request_;
  SshAddress address_;
  std::unique_ptr<TemporaryFolder> folder_;
  std::unique_ptr<File> requests_;
  std::uint64_t asked_ = 0;
  Wakeup arrival_;
  std::string waiting_;
  std::string given_;
  std::string words_;
  std::optional<ExitStatus> ended_;
  bool overflown_ = false;
  std::unique_ptr<Process> process_;  // ends before its folder goes
};

}  // namespace

Result<std::unique_ptr<Conversation>> converse_ssh(const RemoteWorld& world,
                                                   const CloneRequest& request) {
  Result<SshAddress> address = parse_ssh(request.url);
  if (!address) return address.error();
  return std::unique_ptr<Conversation>(
      std::make_unique<SshConversation>(world, request, std::move(*address)));
}

}  // namespace knative::builder::git
