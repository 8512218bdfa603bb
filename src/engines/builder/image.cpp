#include "engines/builder/image.hpp"

#include <algorithm>

#include "engines/builder/paths.hpp"

namespace knative::builder {

namespace {

constexpr std::string_view created_by = "knative build";
constexpr std::string_view revision_annotation = "org.opencontainers.image.revision";
constexpr std::string_view created_annotation = "org.opencontainers.image.created";

struct Base {
  oci::Manifest manifest;
  oci::ImageConfig config;
};

// Other tools want a step of the history for each layer, so that ours is not taken for theirs.
void describe_layers(oci::ImageConfig& config) {
  const auto with_layer = std::count_if(config.history.begin(), config.history.end(),
                                        [](const auto& step) { return !step.empty_layer; });
  for (auto known = static_cast<std::size_t>(with_layer); known < config.diff_ids.size(); ++known) {
    config.history.push_back({config.created, "unknown", "layer of the base image", false});
  }
}

Result<Base> find_base(oci::ImageStore& store, const std::string& name) {
  Base base;
  base.config.platform = oci::host_platform();
  if (is_scratch(name)) return base;
  Result<oci::Reference> reference = oci::Reference::parse(name);
  if (!reference) return reference.error().within("base");
  Result<oci::Manifest> manifest = store.manifest(*reference);
  if (!manifest) return manifest.error().within("base");
  Result<oci::ImageConfig> config = store.config(*reference);
  if (!config) return config.error().within("base");
  // What comes of it is an OCI image, whatever it is built on; the layers stay the bytes they are.
  manifest->use_oci_media_types();
  base.manifest.layers = std::move(manifest->layers);
  base.config = *std::move(config);
  describe_layers(base.config);
  return base;
}

// A path in the image without its leading slash.
Result<std::string> image_path(std::string_view path) {
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  return clean_relative(path, "image target");
}

Result<void> add_parents(oci::LayerWriter& writer, std::string_view path) {
  for (std::size_t slash = path.find('/'); slash != std::string_view::npos;
       slash = path.find('/', slash + 1)) {
    if (Result<void> r = writer.add_directory(path.substr(0, slash)); !r) return r;
  }
  return {};
}

Result<void> write_content(Files& files, oci::LayerWriter& writer, const PackRequest& request,
                           const build::ImageContent& content, const std::string& working_dir) {
  Result<std::string> from = clean_relative(content.path, "image content");
  if (!from) return from.error();
  Result<std::string> to = image_path(content.target.empty() ? working_dir : content.target);
  if (!to) return to.error();
  const std::string real = request.workspace + (from->empty() ? "" : "/" + *from);
  Result<FileInfo> info = find_inside(files, request.workspace, *from, "image content");
  if (!info) return info.error();
  if (info->type == FileType::directory) {
    const std::set<std::string> none;
    return writer.add_tree(files, real, *to, from->empty() ? request.excluded : none);
  }
  const bool into_folder = content.target.empty() || content.target.back() == '/';
  const std::string name = into_folder ? (to->empty() ? info->name : *to + "/" + info->name) : *to;
  if (Result<void> r = add_parents(writer, name); !r) return r;
  return writer.add_path(files, real, name);
}

Result<oci::LayerInfo> write_layer(Files& files, oci::ImageStore& store, const PackRequest& request,
                                   const build::ImageContent& content,
                                   const std::string& working_dir) {
  Result<std::unique_ptr<oci::BlobWriter>> blob = store.new_blob();
  if (!blob) return blob.error();
  oci::LayerWriter writer(**blob, {.mtime_seconds = request.mtime_seconds,
                                   .level = request.compression_level,
                                   .blob_digest = false,
                                   .preserve = request.preserve,
                                   .root_owner = request.root_owner,
                                   .root_group = request.root_group});
  if (Result<void> r = write_content(files, writer, request, content, working_dir); !r) {
    return r.error();
  }
  Result<oci::LayerInfo> layer = writer.finish();
  if (!layer) return layer;
  Result<oci::Descriptor> stored = (*blob)->commit();
  if (!stored) return stored.error();
  layer->blob.digest = std::move(stored->digest);
  return layer;
}

void set_variable(std::vector<std::string>& environment, const core::EnvVar& variable) {
  const std::string prefix = variable.name + "=";
  std::erase_if(environment, [&](const std::string& entry) {
    return entry.compare(0, prefix.size(), prefix) == 0;
  });
  environment.push_back(prefix + variable.value);
}

Result<void> configure(oci::ImageConfig& config, const build::ImageConfig& image) {
  for (const core::EnvVar& variable : image.env) {
    if (variable.value_from) {
      return fail(Errc::unimplemented,
                  "image env " + variable.name + ": only literal values are supported");
    }
    set_variable(config.environment, variable);
  }
  if (!image.entrypoint.empty()) {
    config.entrypoint = image.entrypoint;
    config.command.clear();  // arguments of the base's program mean nothing to this one
  }
  if (!image.command.empty()) config.command = image.command;
  if (!image.user.empty()) config.user = image.user;
  config.working_directory = image.working_dir;
  for (const std::int32_t port : image.ports) {
    config.exposed_ports.insert(std::to_string(port) + "/tcp");
  }
  for (const auto& [key, value] : image.labels) config.labels[key] = value;
  return {};
}

}  // namespace

bool is_scratch(std::string_view base) { return base.empty() || base == "scratch"; }

Result<FileInfo> find_inside(Files& files, const std::string& root, const std::string& relative,
                             std::string_view what) {
  const std::string shown = std::string(what) + " \"" + relative + "\"";
  std::size_t end = 0;
  while (true) {
    end = relative.empty() ? relative.npos : relative.find('/', end + 1);
    const std::string part = relative.substr(0, end);
    Result<FileInfo> info = files.info(part.empty() ? root : root + "/" + part);
    if (!info) {
      if (info.error().code != Errc::not_found) return info.error();
      return fail(Errc::not_found, shown + " does not exist in the workspace");
    }
    if (info->type == FileType::symlink || info->type == FileType::other) {
      return fail(Errc::invalid_argument, shown + ": \"" + part + "\" is a link or special file");
    }
    if (end == relative.npos) return info;
    if (info->type != FileType::directory) {
      return fail(Errc::not_found, shown + ": \"" + part + "\" is not a directory");
    }
  }
}

Result<PackedImage> pack_image(Files& files, oci::ImageStore& store, const PackRequest& request) {
  Result<Base> base = find_base(store, request.image.base);
  if (!base) return base.error();
  PackedImage packed{base->manifest, {}};
  oci::Manifest& manifest = packed.manifest;
  oci::ImageConfig config = base->config;
  build::ImageConfig image = request.image;
  if (image.working_dir.empty()) image.working_dir = std::string(workspace_path);
  if (image.contents.empty()) image.contents.push_back({});
  if (Result<void> good = configure(config, image); !good) return good.error();
  config.created = oci::format_epoch(request.created_seconds);
  for (const build::ImageContent& content : image.contents) {
    Result<oci::LayerInfo> layer = write_layer(files, store, request, content, image.working_dir);
    if (!layer) return layer.error();
    packed.left_out.insert(packed.left_out.end(), layer->left_out.begin(), layer->left_out.end());
    manifest.layers.push_back(layer->blob);
    config.diff_ids.push_back(layer->diff_id);
    config.history.push_back({config.created, std::string(created_by), "", false});
  }
  manifest.annotations[std::string(created_annotation)] = config.created;
  if (!request.revision.empty()) {
    manifest.annotations[std::string(revision_annotation)] = request.revision;
  }
  Result<oci::Descriptor> stored = store.put_blob(config.to_json(), oci::media_type::config);
  if (!stored) return stored.error();
  manifest.config = *stored;
  return packed;
}

}  // namespace knative::builder
