// The parts of io.hpp that are the same in every world.
#include "knative/io.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "base/file_tree.hpp"
#include "base/inside.hpp"

namespace knative {
namespace {

Result<std::uint16_t> parse_port(std::string_view text, std::string_view whole) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() ||
      port > std::numeric_limits<std::uint16_t>::max()) {
    return fail(Errc::invalid_argument,
                "endpoint \"" + std::string(whole) + "\": bad port \"" + std::string(text) + "\"");
  }
  return static_cast<std::uint16_t>(port);
}

Error no_such_call(const std::string& path, std::string_view what) {
  return fail(Errc::unimplemented, path + ": this file system has no " + std::string(what));
}

}  // namespace

Result<void> Files::make_inside(const std::string& directory, const std::string& relative) {
  const std::size_t slash = relative.rfind('/');
  const std::string above = slash == relative.npos ? std::string() : relative.substr(0, slash);
  Result<std::string> folder = base::resolve_inside(*this, directory, above, "path", "its folder");
  if (!folder) return folder.error();
  const std::string last = slash == relative.npos ? relative : relative.substr(slash + 1);
  const std::string below = folder->empty() ? last : *folder + "/" + last;
  const Result<FileInfo> there = info(directory + "/" + below);
  if (there && there->type == FileType::regular) return {};
  const Result<std::string> real =
      base::resolve_inside(*this, directory, below, "path", "its folder");
  return real ? make_directories(directory + "/" + *real) : Result<void>(real.error());
}
Result<std::uint64_t> Files::disk_usage(const std::string& directory, std::uint64_t bytes_max) {
  constexpr std::uint64_t block = 4096;
  std::uint64_t bytes = 0;
  std::vector<std::string> folders{directory};
  while (!folders.empty() && bytes <= bytes_max) {
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    const Result<std::vector<FileInfo>> entries = list(folder);
    if (!entries && entries.error().code == Errc::not_found) continue;  // removed meanwhile
    if (!entries) return entries.error();
    for (const FileInfo& entry : *entries) {
      const bool is_folder = entry.type == FileType::directory;
      bytes += is_folder ? block : std::max(entry.size_bytes, block);
      if (is_folder) folders.push_back(folder + "/" + entry.name);
    }
  }
  return bytes;
}
Result<void> Files::make_hard_link(const std::string&, const std::string& path) {
  return no_such_call(path, "hard links");
}
Result<void> Files::set_owner(const std::string& path, std::uint32_t, std::uint32_t) {
  return no_such_call(path, "owners");
}
Result<void> Files::set_modified(const std::string& path, std::int64_t) {
  return no_such_call(path, "times");
}
Result<void> Files::set_attribute(const std::string& path, const std::string&, std::string_view) {
  return no_such_call(path, "extended attributes");
}
Result<FileAttributes> Files::attributes(const std::string&) { return FileAttributes(); }
Result<void> Files::make_special(const std::string& path, const SpecialFile&) {
  return no_such_call(path, "pipes and devices");
}
Result<SpecialFile> Files::special(const std::string& path) {
  return no_such_call(path, "pipes and devices");
}

Result<Endpoint> Endpoint::parse(std::string_view text) {
  Endpoint endpoint;
  if (text.starts_with("unix:")) {
    endpoint.path = text.substr(5);
    if (endpoint.path.empty()) {
      return fail(Errc::invalid_argument, "endpoint \"unix:\": the path is missing");
    }
    return endpoint;
  }
  const auto bad = [text](std::string_view why) {
    return fail(Errc::invalid_argument,
                "endpoint \"" + std::string(text) + "\": " + std::string(why));
  };
  std::string_view host;
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == text.npos) return bad("']' is missing");
    host = text.substr(1, end - 1);
    if (host.find(':') == host.npos) return bad("brackets are for IPv6 addresses");
    if (end + 1 >= text.size() || text[end + 1] != ':') return bad("the port is missing");
    port = text.substr(end + 2);
  } else {
    const std::size_t colon = text.rfind(':');
    if (colon == text.npos) return bad("the port is missing");
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (host.find(':') != host.npos) return bad("an IPv6 address needs brackets");
    if (host.find_first_of(" \t/@") != host.npos) return bad("bad host name");
    if (host.empty()) host = "0.0.0.0";
  }
  Result<std::uint16_t> number = parse_port(port, text);
  if (!number) return number.error();
  endpoint.host = host;
  endpoint.port = *number;
  return endpoint;
}

std::string Endpoint::to_string() const {
  if (!path.empty()) return "unix:" + path;
  const bool brackets = host.find(':') != host.npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

bool Endpoint::is_loopback() const {
  if (!path.empty() || host == "::1" || host == "localhost") return true;
  if (!host.starts_with("127.")) return false;
  // 127.0.0.0/8 and not a name such as 127.example.org
  return host.find_first_not_of("0123456789.") == host.npos;
}

StreamOp::~StreamOp() {
  if (pending_) stream_.cancel(*this);
}

bool StreamOp::await_ready() {
  pending_ = true;
  return stream_.start(*this);
}

void StreamOp::complete(Result<std::size_t> result) noexcept {
  if (result) {
    complete(*result);
    return;
  }
  error_ = std::move(result).error();
  complete(0);
}

Task<Result<std::size_t>> Stream::write_all(std::string_view bytes) {
  const std::string_view buffers[] = {bytes};
  co_return co_await write(buffers);
}

std::string ExitStatus::to_string() const {
  std::string text = signal != 0 ? "killed by signal " + std::to_string(signal)
                                 : "exit code " + std::to_string(code);
  if (out_of_memory) text += ": OOMKilled, out of memory";
  if (evicted) text += ": Evicted, it wrote too much";
  return text;
}

Result<ProcessUsage> Process::usage() const {
  return fail(Errc::unimplemented, "what this process uses is not counted");
}

Result<std::unique_ptr<Process>> Process::enter(const ProcessOptions&) {
  return fail(Errc::unimplemented, "this process is not isolated");
}

Result<void> Process::freeze() {
  return fail(Errc::unimplemented, "this process cannot be kept from running");
}

Result<void> Process::thaw() { return {}; }

std::shared_ptr<Network> Process::network() const { return nullptr; }

Result<std::unique_ptr<Datagrams>> Network::listen_datagrams(const Endpoint& endpoint) {
  return fail(Errc::unimplemented, endpoint.to_string() + ": this network has no datagrams");
}

IsolationSupport Processes::isolation(const std::string&) {
  IsolationSupport none;
  none.reason = "processes of this world cannot be isolated";
  return none;
}

Result<std::string> Files::read_file(const std::string& path, std::uint64_t bytes_max) {
  const OpenOptions options;
  Result<std::unique_ptr<File>> file = open(path, options);
  if (!file) return file.error();
  // The size is only a hint: files of /proc say 0, and others may grow meanwhile.
  Result<std::uint64_t> size = (*file)->size();
  if (!size) return size.error();
  const auto too_large = [&] {
    return fail(Errc::resource_exhausted,
                path + ": larger than " + std::to_string(bytes_max) + " bytes");
  };
  if (*size > bytes_max) return too_large();
  std::string bytes(static_cast<std::size_t>(*size), '\0');
  std::size_t filled = 0;
  for (;;) {
    if (filled == bytes.size()) {
      if (filled > bytes_max) return too_large();
      bytes.resize(filled + 4096);
    }
    Result<std::size_t> got =
        (*file)->read_at(filled, std::span(bytes.data() + filled, bytes.size() - filled));
    if (!got) return std::move(got).error();
    if (*got == 0) break;
    filled += *got;
  }
  if (filled > bytes_max) return too_large();
  bytes.resize(filled);
  return bytes;
}

Result<void> Files::write_file(const std::string& path, std::string_view bytes, unsigned mode) {
  const std::string temporary = path + ".new";
  OpenOptions options;
  options.write = options.create = options.truncate = true;
  options.mode = mode;
  const auto write = [&]() -> Result<void> {
    Result<std::unique_ptr<File>> file = open(temporary, options);
    if (!file) return file.error();
    if (Result<void> done = (*file)->write_at(0, bytes); !done) return done;
    return (*file)->sync();
  };
  Result<void> done = write();
  if (done) done = rename(temporary, path);
  if (!done) {
    (void)remove(temporary);  // the first failure is the one to tell
    return done;
  }
  return sync_directory(base::parent_of(path));
}

}  // namespace knative
