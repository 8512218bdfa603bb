// Recognises a source that brings no build instructions. Each recogniser looks at names and a
// little text; the first that fits wins, from the most explicit to the least.
#include <algorithm>
#include <array>

#include "knative/builder.hpp"
#include "knative/value.hpp"

namespace knative {

namespace {

constexpr std::uint64_t text_bytes_max = 1 << 20;
constexpr std::string_view recognised =
    "a Procfile with a \"web:\" line, CMakeLists.txt, Makefile, go.mod, package.json, a Python "
    "program (main.py, app.py, server.py), or a shell script (start.sh, server)";

struct Source {
  Files& files;
  const std::string& directory;

  std::string path(std::string_view name) const { return directory + "/" + std::string(name); }
  bool has(std::string_view name) const {
    Result<FileInfo> info = files.info(path(name));
    return info && info->type == FileType::regular;
  }
  bool has_executable(std::string_view name) const {
    Result<FileInfo> info = files.info(path(name));
    return info && info->type == FileType::regular && (info->mode & 0111) != 0;
  }
  Result<std::string> text(std::string_view name) const {
    return files.read_file(path(name), text_bytes_max);
  }
};

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

build::Step shell_step(std::string name, std::string script) {
  build::Step step;
  step.name = std::move(name);
  step.image = "host";
  step.command = {"/bin/sh", "-ec"};
  step.args = {std::move(script)};
  return step;
}

// A command line as a program's arguments when no shell is needed, else through a shell that it
// replaces, so that signals reach it.
std::vector<std::string> command_line(std::string_view line) {
  line = trim(line);
  if (line.find_first_of("\"'\\$`&|;<>()*?[]#~=%{}!") != std::string_view::npos) {
    return {"/bin/sh", "-c", "exec " + std::string(line)};
  }
  std::vector<std::string> words;
  while (!line.empty()) {
    const std::size_t end = std::min(line.find_first_of(" \t"), line.size());
    words.emplace_back(line.substr(0, end));
    line = trim(line.substr(end));
  }
  // Relative programs are meant from the workspace, wherever the runtime starts them.
  if (!words.empty() && words[0].substr(0, 2) == "./") {
    words[0] = "/workspace/" + words[0].substr(2);
  }
  return words;
}

// The first word after `call`( in a CMake file, outside comments.
std::string cmake_argument(std::string_view text, std::string_view call) {
  std::string clean;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    clean.append(text.substr(0, end).substr(0, text.substr(0, end).find('#'))).push_back('\n');
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  std::string lower = clean;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  for (std::size_t at = lower.find(call); at != std::string::npos; at = lower.find(call, at + 1)) {
    std::string_view rest = trim(std::string_view(clean).substr(at + call.size()));
    if (rest.empty() || rest.front() != '(') continue;
    rest = trim(rest.substr(1));
    return std::string(rest.substr(0, rest.find_first_of(" \t\r\n)")));
  }
  return {};
}

build::Step cmake_step() {
  build::Step step =
      shell_step("cmake",
                 "cmake -S . -B \"$HOME/cmake\" -DCMAKE_BUILD_TYPE=Release "
                 "-DCMAKE_RUNTIME_OUTPUT_DIRECTORY=\"$WORKSPACE/bin\" "
                 "-DCMAKE_CXX_FLAGS=\"-ffile-prefix-map=$WORKSPACE=.\" "
                 "-DCMAKE_C_FLAGS=\"-ffile-prefix-map=$WORKSPACE=.\" -DCMAKE_SKIP_RPATH=ON\n"
                 "cmake --build \"$HOME/cmake\" --parallel 2");
  return step;
}

std::optional<DetectedSource> detect_cmake(const Source& source, std::optional<Error>& error) {
  if (!source.has("CMakeLists.txt")) return std::nullopt;
  DetectedSource found{.kind = "cmake", .reason = "CMakeLists.txt", .steps = {}, .image = {}};
  Result<std::string> text = source.text("CMakeLists.txt");
  std::string target = text ? cmake_argument(*text, "add_executable") : std::string();
  if (target == "${PROJECT_NAME}" || target == "${CMAKE_PROJECT_NAME}") {
    target = cmake_argument(*text, "project");
  }
  if (target.empty() || target.find('$') != std::string::npos) {
    error = fail(Errc::not_found,
                 "CMakeLists.txt names no executable (add_executable) to start; add a Procfile");
    return std::nullopt;
  }
  found.steps.push_back(cmake_step());
  found.image.entrypoint = {"/workspace/bin/" + target};
  return found;
}

std::optional<DetectedSource> detect_make(const Source& source) {
  for (const std::string_view name : {"Makefile", "makefile", "GNUmakefile"}) {
    if (!source.has(name)) continue;
    DetectedSource found{.kind = "make", .reason = std::string(name), .steps = {}, .image = {}};
    found.steps.push_back(shell_step("make", "make"));
    // What make will leave is not known yet: take the program that its text mentions.
    Result<std::string> text = source.text(name);
    const bool in_bin = text && text->find("bin/server") != std::string::npos;
    found.image.entrypoint = {in_bin ? "/workspace/bin/server" : "/workspace/server"};
    return found;
  }
  return std::nullopt;
}

std::optional<DetectedSource> detect_go(const Source& source) {
  if (!source.has("go.mod")) return std::nullopt;
  DetectedSource found{.kind = "go", .reason = "go.mod", .steps = {}, .image = {}};
  found.steps.push_back(shell_step("go",
                                   "CGO_ENABLED=0 GOCACHE=\"$HOME/go-cache\" GOPATH=\"$HOME/go\" "
                                   "go build -trimpath -buildvcs=false -o bin/server ."));
  found.image.contents = {{"bin", "/workspace/bin"}};
  found.image.entrypoint = {"/workspace/bin/server"};
  return found;
}

std::optional<DetectedSource> detect_node(const Source& source, std::optional<Error>& error) {
  if (!source.has("package.json")) return std::nullopt;
  Result<std::string> text = source.text("package.json");
  Result<Value> package = text ? Value::parse_json(*text) : Result<Value>(text.error());
  if (!package) {
    error = package.error().within("package.json");
    return std::nullopt;
  }
  DetectedSource found{.kind = "node", .reason = "package.json", .steps = {}, .image = {}};
  if (const Value* needed = package->find("dependencies"); needed && !needed->empty()) {
    const bool locked = source.has("package-lock.json");
    found.steps.push_back(
        shell_step("npm", locked ? "npm ci --omit=dev --ignore-scripts --no-audit --no-fund"
                                 : "npm install --omit=dev --ignore-scripts --no-audit --no-fund"));
  }
  const Value* start = package->at_path("scripts.start");
  const Value* main = package->find("main");
  if (start != nullptr && start->if_string() != nullptr) {
    found.image.entrypoint = command_line(*start->if_string());
  } else if (main != nullptr && main->if_string() != nullptr) {
    found.image.entrypoint = {"node", "/workspace/" + *main->if_string()};
  } else {
    found.image.entrypoint = {
        "node", source.has("server.js") ? "/workspace/server.js" : "/workspace/index.js"};
  }
  return found;
}

void add_python_packages(const Source& source, DetectedSource& found) {
  found.image.env.push_back({.name = "PYTHONUNBUFFERED", .value = "1", .value_from = {}});
  found.image.env.push_back({.name = "PYTHONDONTWRITEBYTECODE", .value = "1", .value_from = {}});
  if (!source.has("requirements.txt")) return;
  found.steps.push_back(
      shell_step("pip",
                 "python3 -m pip install --no-compile --disable-pip-version-check "
                 "--target .packages -r requirements.txt"));
  found.image.env.push_back(
      {.name = "PYTHONPATH", .value = "/workspace/.packages", .value_from = {}});
}

std::optional<DetectedSource> detect_python(const Source& source) {
  for (const std::string_view name : {"main.py", "app.py", "server.py"}) {
    if (!source.has(name)) continue;
    DetectedSource found{.kind = "python", .reason = std::string(name), .steps = {}, .image = {}};
    add_python_packages(source, found);
    found.image.entrypoint = {"python3", "/workspace/" + std::string(name)};
    return found;
  }
  return std::nullopt;
}

std::optional<DetectedSource> detect_shell(const Source& source) {
  for (const std::string_view name : {"start.sh", "server.sh", "server"}) {
    if (!source.has(name)) continue;
    const bool runs = source.has_executable(name);
    if (!runs && name == "server") continue;
    DetectedSource found{.kind = "shell", .reason = std::string(name), .steps = {}, .image = {}};
    const std::string path = "/workspace/" + std::string(name);
    found.image.entrypoint =
        runs ? std::vector<std::string>{path} : std::vector<std::string>{"/bin/sh", path};
    return found;
  }
  return std::nullopt;
}

// A Procfile says how to start; how to build comes from what else is there.
std::optional<DetectedSource> detect_procfile(const Source& source, std::optional<Error>& error) {
  if (!source.has("Procfile")) return std::nullopt;
  Result<std::string> text = source.text("Procfile");
  if (!text) {
    error = text.error();
    return std::nullopt;
  }
  std::string_view rest = *text;
  std::string_view web;
  while (!rest.empty() && web.empty()) {
    const std::string_view line = trim(rest.substr(0, rest.find('\n')));
    if (line.substr(0, 4) == "web:") web = trim(line.substr(4));
    rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1) + 1);
  }
  if (web.empty()) {
    error = fail(Errc::not_found, "the Procfile has no \"web:\" line");
    return std::nullopt;
  }
  DetectedSource found{.kind = "procfile", .reason = "Procfile", .steps = {}, .image = {}};
  if (source.has("CMakeLists.txt")) {
    found.steps.push_back(cmake_step());
  } else if (std::optional<DetectedSource> made = detect_make(source)) {
    found.steps = made->steps;
  } else if (std::optional<DetectedSource> go = detect_go(source)) {
    found.steps = go->steps;
  } else if (std::optional<Error> ignored;
             std::optional<DetectedSource> node = detect_node(source, ignored)) {
    found.steps = node->steps;
  } else if (source.has("requirements.txt")) {
    add_python_packages(source, found);
  }
  found.image.entrypoint = command_line(web);
  return found;
}

}  // namespace

Result<DetectedSource> detect_source(Files& files, const std::string& directory) {
  const Source source{files, directory};
  std::optional<Error> error;
  std::optional<DetectedSource> found = detect_procfile(source, error);
  if (!found && !error) found = detect_cmake(source, error);
  if (!found && !error) found = detect_make(source);
  if (!found && !error) found = detect_go(source);
  if (!found && !error) found = detect_node(source, error);
  if (!found && !error) found = detect_python(source);
  if (!found && !error) found = detect_shell(source);
  if (error) return *error;
  if (!found) {
    std::string detail =
        "the source is not recognised and the build has no steps; recognised are " +
        std::string(recognised);
    if (source.has("Dockerfile")) detail += "; a Dockerfile is not supported yet";
    return fail(Errc::not_found, detail);
  }
  if (found->image.working_dir.empty()) found->image.working_dir = "/workspace";
  return *std::move(found);
}

}  // namespace knative
