#include "engines/workload/process_command.hpp"

#include "model/expansion.hpp"

namespace knative {
namespace {

using Map = std::map<std::string, std::string>;

void merge(Map& into, const Map& from) {
  for (const auto& [key, value] : from) into.insert_or_assign(key, value);
}

/// The path inside the image if it exists there, else the path itself.
std::string inside(const std::string& path, const std::string& root, Files& files) {
  if (path.size() < 2 || path.front() != '/') return path;
  std::string mapped = root + path;
  return files.info(mapped) ? mapped : path;
}

/// Find a program without '/' in the image's PATH; left alone when the image has none.
std::string find_program(const std::string& name, std::string_view search, const std::string& root,
                         Files& files) {
  while (!search.empty()) {
    const auto colon = search.find(':');
    const std::string_view directory = search.substr(0, colon);
    search.remove_prefix(colon == std::string_view::npos ? search.size() : colon + 1);
    if (directory.empty() || directory.front() != '/') continue;
    std::string candidate = root;
    candidate.append(directory).append("/").append(name);
    if (files.info(candidate)) return candidate;
  }
  return name;
}

void map_into_image(ProcessOptions& process, const std::string& root, Files& files) {
  std::string& program = process.argv.front();
  if (program.find('/') == std::string::npos) {
    program = find_program(program, process.environment["PATH"], root, files);
  } else {
    program = inside(program, root, files);
  }
  for (std::size_t i = 1; i < process.argv.size(); ++i) {
    process.argv[i] = inside(process.argv[i], root, files);
  }
}

}  // namespace

Result<ProcessOptions> process_options(const WorkloadSpec& spec, const ImageRoot& image,
                                       const ProcessRuntimeOptions& options, std::uint16_t port,
                                       Files& files) {
  ProcessOptions process;
  process.environment = options.base_environment;
  merge(process.environment, image.environment);
  merge(process.environment, spec.environment);
  process.environment["K_SERVICE"] = spec.service;
  process.environment["K_CONFIGURATION"] = spec.configuration;
  process.environment["K_REVISION"] = spec.revision;
  process.environment["PORT"] = std::to_string(port);

  const auto add_own = [&process](const std::vector<std::string>& words) {
    for (const std::string& word : words) {
      process.argv.push_back(core::expand_references(word, process.environment));
    }
  };
  const auto add_images = [&process](const std::vector<std::string>& words) {
    process.argv.insert(process.argv.end(), words.begin(), words.end());
  };
  if (spec.command.empty()) {
    add_images(image.entrypoint);
  } else {
    add_own(spec.command);
  }
  if (!spec.args.empty()) {
    add_own(spec.args);
  } else if (spec.command.empty()) {
    add_images(image.cmd);
  }
  if (process.argv.empty()) {
    return fail(Errc::invalid_argument,
                "image " + spec.image + " names no program to run, and neither does the revision");
  }

  std::string directory =
      spec.working_directory.empty() ? image.working_directory : spec.working_directory;
  if (directory.empty()) directory = "/";
  if (image.directory.empty()) {
    process.working_directory = directory;
  } else if (options.change_root) {
    process.root_directory = image.directory;
    process.working_directory = directory;
  } else {
    if (directory.front() != '/') directory.insert(directory.begin(), '/');
    process.working_directory = image.directory + directory;
    map_into_image(process, image.directory, files);
  }
  return process;
}

void LineSplitter::append(std::string_view piece) {
  while (!piece.empty()) {
    const auto end = piece.find('\n');
    const std::string_view text = piece.substr(0, end);
    if (partial_.empty() && end != std::string_view::npos && text.size() <= line_bytes_max_) {
      line_(text);
      piece.remove_prefix(end + 1);
      continue;
    }
    const std::size_t room = line_bytes_max_ - partial_.size();
    partial_.append(text.substr(0, room));
    const bool full = text.size() > room;
    piece.remove_prefix(full ? room : end == std::string_view::npos ? piece.size() : end + 1);
    if (full || end != std::string_view::npos) finish();
  }
}

void LineSplitter::finish() {
  if (partial_.empty()) return;
  const std::string line = std::move(partial_);
  partial_.clear();
  line_(line);
}

}  // namespace knative
