// `knative image`: the images of a data directory, without a platform.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <knative/knative.hpp>
#include <knative/oci_archive.hpp>
#include <map>

#include "command.hpp"

namespace kn = knative;
namespace oci = knative::oci;

namespace command {

namespace {

// The command line is wrong.
int image_misused(const std::string& why) {
  std::fprintf(stderr, "knative image: %s; knative help image tells more\n", why.c_str());
  return 2;
}

int image_failed(const kn::Error& error) {
  std::fprintf(stderr, "knative image: %s\n", error.detail.c_str());
  return 1;
}

class StandardInput final : public oci::ByteSource {
 public:
  kn::Result<std::size_t> read(std::span<char> into) override {
    const std::size_t count = std::fread(into.data(), 1, into.size(), stdin);
    if (count == 0 && std::ferror(stdin) != 0) {
      return kn::fail(kn::Errc::unavailable, "the standard input cannot be read");
    }
    return count;
  }
};

class StandardOutput final : public oci::ByteSink {
 public:
  kn::Result<void> write(std::string_view bytes) override {
    if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size()) return {};
    return kn::fail(kn::Errc::unavailable, "the standard output cannot be written");
  }
  static kn::Result<void> finish() {
    if (std::fflush(stdout) == 0) return {};
    return kn::fail(kn::Errc::unavailable, "the standard output cannot be written");
  }
};

// What the subcommands work on.
struct ImageCommand {
  const Arguments& arguments;
  kn::Files& files;
  oci::ImageStore& store;
  std::vector<oci::Reference> names;  // of the words after the subcommand, where those are names
};

kn::Result<void> list(ImageCommand& command) {
  const auto all = command.store.references();
  if (!all) return all.error();
  for (const auto& [name, at] : *all) {
    const kn::Result<oci::Manifest> manifest = command.store.manifest(name);
    std::string size = "for other machines";
    if (manifest) {
      std::uint64_t bytes = at.size_bytes + manifest->config.size_bytes;
      for (const oci::Descriptor& layer : manifest->layers) bytes += layer.size_bytes;
      size = std::to_string(bytes) + " bytes";
    }
    std::printf("%-40s %s  %s\n", name.to_string().c_str(), at.digest.to_string().c_str(),
                size.c_str());
  }
  return {};
}

kn::Result<void> inspect(ImageCommand& command) {
  const kn::Result<oci::Descriptor> at = command.store.resolve(command.names.front());
  if (!at) return at.error();
  const kn::Result<oci::Manifest> manifest = command.store.manifest(command.names.front());
  if (!manifest) return manifest.error();
  const kn::Result<oci::ImageConfig> config = command.store.config(command.names.front());
  if (!config) return config.error();
  kn::Value::Map shown;
  shown["digest"] = at->digest.to_string();
  shown["manifest"] = kn::Value::parse_json(manifest->to_json()).value();
  shown["config"] = kn::Value::parse_json(config->to_json()).value();
  std::printf("%s\n", kn::Value(std::move(shown)).to_json_pretty().c_str());
  return {};
}

kn::Result<void> bring_in(ImageCommand& command) {
  oci::ImportOptions options;
  if (const std::string name = command.arguments.get("--name"); !name.empty()) {
    kn::Result<oci::Reference> parsed = oci::Reference::parse(name);
    if (!parsed) return parsed.error().within("--name");
    options.name = parsed->with_default_tag();
  }
  const std::string& path = command.arguments.words[1];
  StandardInput input;
  const kn::Result<std::vector<oci::ImportedImage>> images =
      path == "-" ? oci::import_archive(command.store, input, options)
                  : oci::import_images(command.store, command.files, path, options);
  if (!images) return images.error();
  for (const oci::ImportedImage& image : *images) {
    std::printf("%s@%s\n", image.name.to_string().c_str(),
                image.manifest.digest.to_string().c_str());
  }
  return {};
}

kn::Result<void> take_out(ImageCommand& command) {
  const std::string format = command.arguments.get("--format", "docker");
  if (format != "docker" && format != "oci") {
    return kn::fail(kn::Errc::invalid_argument, "--format: docker or oci, not " + format);
  }
  const auto as = format == "oci" ? oci::ArchiveFormat::oci : oci::ArchiveFormat::docker;
  const std::string output = command.arguments.get("--output", "-");
  if (output != "-") {
    return oci::export_images(command.store, command.names, command.files, output, as);
  }
  if (::isatty(STDOUT_FILENO) == 1) {
    return kn::fail(kn::Errc::invalid_argument, "an archive is nothing for a terminal: give -o");
  }
  StandardOutput sink;
  kn::Result<void> written = oci::export_archive(command.store, command.names, sink, as);
  return written ? StandardOutput::finish() : written;
}

kn::Result<void> tag(ImageCommand& command) {
  const oci::Reference& from = command.names[0];
  kn::Result<std::optional<oci::Descriptor>> found = command.store.find(from.with_default_tag());
  if (!found) return found.error();
  kn::Result<oci::Descriptor> at =
      *found ? kn::Result<oci::Descriptor>(**found) : command.store.resolve(from);
  if (!at) return at.error();
  at->annotations.erase(std::string(oci::pulled_annotation));
  return command.store.set_reference(command.names[1], *at);
}

kn::Result<void> remove(ImageCommand& command) {
  for (const oci::Reference& name : command.names) {
    if (kn::Result<void> removed = command.store.remove_reference(name); !removed) return removed;
  }
  return {};
}

struct Subcommand {
  kn::Result<void> (*run)(ImageCommand&);
  std::size_t words_min;
  std::size_t words_max;
  bool names;  // its words are names of images
  std::vector<std::string> options;
};

const std::map<std::string, Subcommand>& subcommands() {
  constexpr std::size_t many = 10'000;
  static const std::map<std::string, Subcommand> all{
      {"list", {list, 0, 0, false, {}}},
      {"inspect", {inspect, 1, 1, true, {}}},
      {"import", {bring_in, 1, 1, false, {"--name"}}},
      {"export", {take_out, 1, many, true, {"--output", "--format"}}},
      {"tag", {tag, 2, 2, true, {}}},
      {"remove", {remove, 1, many, true, {}}}};
  return all;
}

}  // namespace

int image(const Arguments& arguments) {
  if (arguments.words.empty()) return image_misused("which command?");
  const std::string& name = arguments.words.front();
  const auto found = subcommands().find(name);
  if (found == subcommands().end()) return image_misused("unknown command \"" + name + "\"");
  const Subcommand& chosen = found->second;
  const std::size_t words = arguments.words.size() - 1;
  if (words < chosen.words_min) return image_misused(name + " needs more words");
  if (words > chosen.words_max) {
    return image_misused("unexpected argument " + arguments.words[chosen.words_max + 1]);
  }
  for (const auto& [option, values] : arguments.values) {
    const bool known = option == "--data-dir" ||
                       std::count(chosen.options.begin(), chosen.options.end(), option) > 0;
    if (!known) return image_misused(name + " has no option " + option);
  }
  if (!arguments.has("--data-dir")) return image_misused("whose? give --data-dir");
  std::vector<oci::Reference> names;
  for (std::size_t i = 1; chosen.names && i <= words; ++i) {
    kn::Result<oci::Reference> parsed = oci::Reference::parse(arguments.words[i]);
    if (!parsed) return image_misused(parsed.error().detail);
    names.push_back(std::move(*parsed));
  }
  kn::Loop loop;
  const std::string folder = arguments.get("--data-dir") + "/images";
  const bool makes = chosen.run == bring_in;
  auto store = oci::open_image_layout(loop.env().files, folder, {.create = makes});
  if (!store) return image_failed(store.error());
  ImageCommand command{arguments, loop.env().files, **store, std::move(names)};
  const kn::Result<void> done = chosen.run(command);
  return done ? 0 : image_failed(done.error());
}

}  // namespace command
