// The admission rules of Knative Build 0.7, with the paths its webhook prints (some of them odd:
// "spec.steps.Image", "spec.sources.subpath"), because people search for them.
#include <algorithm>
#include <array>
#include <set>
#include <span>

#include "knative/build.hpp"
#include "knative/oci.hpp"
#include "model/pod_validation.hpp"

namespace knative::build {
namespace {

// The webhook's own limits on names, beside the general rules.
FieldErrors validate_name(const ObjectMeta& metadata) {
  FieldErrors errors;
  if (metadata.name.find('.') != std::string::npos) {
    errors.add(field_error("Invalid resource name: special character . must not be present",
                           {"metadata.name"}));
  }
  if (metadata.name.size() > 63) {
    errors.add(field_error("Invalid resource name: length must be no more than 63 characters",
                           {"metadata.name"}));
  }
  return errors;
}

FieldErrors validate_volumes(const std::vector<core::Volume>& volumes) {
  FieldErrors errors;
  std::set<std::string_view> names;
  for (const core::Volume& volume : volumes) {
    if (!names.insert(volume.name).second) errors.add(multiple_one_of({"name"}));
  }
  return errors;
}

FieldErrors validate_steps(const std::vector<Step>& steps) {
  FieldErrors errors;
  std::set<std::string_view> names;
  for (const Step& step : steps) {
    if (step.image.empty()) errors.add(missing_field({"Image"}));
    if (!step.name.empty() && !names.insert(step.name).second) {
      errors.add(multiple_one_of({"name"}));
    }
  }
  return errors;
}

FieldErrors validate_contents(const std::vector<core::Volume>& volumes) {
  FieldErrors errors;
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    FieldErrors wrong = core::validate_volume_content(volumes[i]);
    const bool in_memory = volumes[i].empty_dir && volumes[i].empty_dir->in_memory();
    if (in_memory) wrong.add(core::not_in_memory("emptyDir.medium"));
    errors.add(std::move(wrong).via_field_index("volumes", i));
  }
  return errors;
}

constexpr std::array<std::string_view, 4> gcs_types{"Archive", "ZipArchive", "TarGzArchive",
                                                    "Manifest"};
constexpr std::array<std::string_view, 4> gcs_schemes{"gs", "http", "https", "file"};
constexpr std::array<std::string_view, 7> git_schemes{"http", "https",   "git",    "file",
                                                      "ssh",  "git+ssh", "ssh+git"};

// The value in the error is the scheme alone: behind it a password may stand.
FieldErrors validate_scheme(std::string_view location, std::span<const std::string_view> known,
                            std::string_view field) {
  const std::size_t end = location.find("://");
  if (end == location.npos) return {};
  const std::string_view scheme = location.substr(0, end);
  if (std::find(known.begin(), known.end(), scheme) != known.end()) return {};
  std::string details = "only paths";
  for (const std::string_view name : known) details.append(", ").append(name).append("://");
  return invalid_value(location.substr(0, end + 3), field, std::move(details));
}

FieldErrors validate_gcs(const GcsSource& gcs) {
  FieldErrors errors;
  if (gcs.type.empty()) {
    errors.add(missing_field({"type"}));
  } else if (std::find(gcs_types.begin(), gcs_types.end(), gcs.type) == gcs_types.end()) {
    errors.add(
        invalid_value(gcs.type, "type", "only Archive, ZipArchive, TarGzArchive and Manifest"));
  }
  if (gcs.location.empty()) errors.add(missing_field({"location"}));
  errors.add(validate_scheme(gcs.location, gcs_schemes, "location"));
  const std::string_view location = gcs.location;
  if (location.starts_with("gs://")) {
    const std::size_t slash = location.find('/', 5);
    const std::size_t object =
        slash == location.npos ? slash : location.find_first_not_of('/', slash);
    if (slash == 5 || object == location.npos || location[object] == '#') {
      errors.add(invalid_value(location, "location", "must be gs://BUCKET/OBJECT"));
    }
  }
  return errors;
}

bool leaves_its_folder(std::string_view path) {
  const std::string whole = "/" + std::string(path) + "/";
  return whole.find("/../") != std::string::npos;
}

// What a cluster would find out only when it makes the pod, or when that runs.
FieldErrors validate_source(const SourceSpec& source) {
  FieldErrors errors;
  if (source.sub_path.starts_with('/')) {
    errors.add(invalid_value(source.sub_path, "subPath", "must be a relative path"));
  } else if (leaves_its_folder(source.sub_path)) {
    errors.add(invalid_value(source.sub_path, "subPath", "must not contain '..'"));
  }
  // A leading slash is the workspace's.
  if (leaves_its_folder(source.target_path)) {
    errors.add(invalid_value(source.target_path, "targetPath", "must not contain '..'"));
  }
  FieldError several = multiple_one_of({});
  const auto kind = [&several](bool there, const char* name) {
    if (there) several.paths.emplace_back(name);
  };
  kind(source.git.has_value(), "git");
  kind(source.gcs.has_value(), "gcs");
  kind(source.custom.has_value(), "custom");
  if (several.paths.size() > 1) errors.add(std::move(several));
  if (source.git) {
    if (source.git->url.empty()) errors.add(missing_field({"git.url"}));
    errors.add(validate_scheme(source.git->url, git_schemes, "git.url"));
  } else if (source.gcs) {
    errors.add(validate_gcs(*source.gcs).via_field("gcs"));
  } else if (source.custom) {
    if (!source.custom->name.empty()) errors.add(disallowed_field({"custom.name"}));
    if (source.custom->image.empty()) errors.add(missing_field({"custom.image"}));
  }
  return errors;
}

std::vector<std::string_view> components(std::string_view path) {
  std::vector<std::string_view> out;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    if (slash > 0 && path.substr(0, slash) != ".") out.push_back(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return out;
}

// One path lies in the other. The webhook compared text, so that it also refused "a/b" beside
// "a/bc"; whole components are compared here.
bool overlap(std::string_view a, std::string_view b) {
  const std::vector<std::string_view> left = components(a);
  const std::vector<std::string_view> right = components(b);
  const std::size_t shared = std::min(left.size(), right.size());
  return std::equal(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(shared),
                    right.begin());
}

FieldErrors validate_sources(const std::vector<SourceSpec>& sources) {
  FieldErrors errors;
  std::set<std::string_view> names;
  std::vector<std::string_view> targets;
  int sub_paths = 0;
  int without_target = 0;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const SourceSpec& source = sources[i];
    if (!names.insert(source.name).second) errors.add(multiple_one_of({"name"}));
    if (!source.sub_path.empty() && ++sub_paths == 2) errors.add(multiple_one_of({"subpath"}));
    const bool custom = source.custom && !source.git && !source.gcs;
    if (custom) {
      if (!source.target_path.empty()) {
        errors.add(invalid_value(source.target_path, "targetPath"));
      }
    } else if (source.target_path.empty()) {
      if (++without_target == 2) errors.add(invalid_value("Empty Target Path", "targetPath"));
    } else {
      const bool clash = std::any_of(targets.begin(), targets.end(), [&](std::string_view other) {
        return overlap(source.target_path, other);
      });
      if (clash) errors.add(field_error("Overlapping Target Paths", {"targetPath"}));
      targets.push_back(source.target_path);
    }
  }
  return errors;
}

FieldErrors validate_template(const TemplateInstantiationSpec& instantiation) {
  FieldErrors errors;
  if (instantiation.name.empty()) errors.add(missing_field({"name"}));
  const std::string& kind = instantiation.kind;
  if (!kind.empty() && kind != BuildTemplate::kind && kind != ClusterBuildTemplate::kind) {
    errors.add(invalid_value(kind, "kind"));
  }
  return errors;
}

FieldErrors validate_image_config(const ImageConfig& config) {
  FieldErrors errors;
  for (std::size_t i = 0; i < config.env.size(); ++i) {
    FieldErrors wrong;
    if (config.env[i].name.empty()) wrong.add(missing_field({"name"}));
    if (config.env[i].value_from) wrong.add(disallowed_field({"valueFrom"}));
    errors.add(std::move(wrong).via_field_index("env", i));
  }
  for (std::size_t i = 0; i < config.ports.size(); ++i) {
    if (config.ports[i] >= 1 && config.ports[i] <= 65535) continue;
    errors.add(
        FieldErrors(out_of_bounds(config.ports[i], 1, 65535, "")).via_field_index("ports", i));
  }
  const auto climbs = [](std::string_view path) {
    const auto parts = components(path);
    return std::find(parts.begin(), parts.end(), "..") != parts.end();
  };
  for (std::size_t i = 0; i < config.contents.size(); ++i) {
    const ImageContent& content = config.contents[i];
    FieldErrors wrong;
    if (climbs(content.path)) {
      wrong.add(invalid_value(content.path, "path", "must stay inside the workspace"));
    }
    if (climbs(content.target)) {
      wrong.add(invalid_value(content.target, "target", "must not have \"..\" in it"));
    }
    errors.add(std::move(wrong).via_field_index("contents", i));
  }
  const std::string& place = config.working_dir;
  if (!place.empty() && (place.front() != '/' || climbs(place))) {
    errors.add(invalid_value(place, "workingDir", "must be absolute, without \"..\" in it"));
  }
  return errors;
}

FieldErrors validate_spec(const BuildSpec& spec) {
  FieldErrors errors;
  if (spec.template_ && !spec.steps.empty()) {
    errors.add(multiple_one_of({"template", "steps"}));
  } else if (!spec.template_ && spec.steps.empty() && spec.image.empty()) {
    errors.add(missing_one_of({"template", "steps"}));
  }
  if (spec.template_) errors.add(validate_template(*spec.template_).via_field("template"));
  if (!spec.source.empty() && !spec.sources.empty()) {
    errors.add(multiple_one_of({"source", "sources"}));
  }
  errors.add(validate_source(spec.source).via_field("source"));
  errors.add(validate_sources(spec.sources).via_field("sources"));
  for (std::size_t i = 0; i < spec.sources.size(); ++i) {
    errors.add(validate_source(spec.sources[i]).via_field_index("sources", i));
  }
  errors.add(validate_volumes(spec.volumes).via_field("volumes"));
  errors.add(validate_contents(spec.volumes));
  if (spec.timeout &&
      (*spec.timeout < Duration::zero() || *spec.timeout > std::chrono::hours(24))) {
    errors.add(out_of_bounds(format_duration(*spec.timeout), "0", "24", "timeout"));
  }
  errors.add(validate_steps(spec.steps).via_field("steps"));
  if (!spec.status.empty() && spec.status != build_cancelled) {
    errors.add(invalid_value(spec.status, "status"));
  }
  if (!spec.image.empty()) {
    if (const auto reference = oci::Reference::parse(spec.image); !reference) {
      errors.add(invalid_value(spec.image, "image", reference.error().detail));
    }
  }
  if (spec.image_config) {
    if (spec.image.empty()) errors.add(missing_field({"image"}));
    errors.add(validate_image_config(*spec.image_config).via_field("imageConfig"));
  }
  return errors;
}

FieldErrors validate_template_spec(const BuildTemplateSpec& spec) {
  FieldErrors errors = validate_steps(spec.steps);
  errors.add(validate_volumes(spec.volumes));
  errors.add(validate_contents(spec.volumes));
  std::set<std::string_view> names;
  for (const ParameterSpec& parameter : spec.parameters) {
    if (!names.insert(parameter.name).second) {
      errors.add(invalid_key_name("ParamName", "b.spec.params"));
    }
  }
  return errors;
}

}  // namespace

FieldErrors validate(const Build& build) {
  FieldErrors errors = validate_name(build.metadata);
  errors.add(validate_spec(build.spec).via_field("spec"));
  return errors;
}

FieldErrors validate_update(const Build& newer, const Build& old) {
  if (!old.status.start_time) return {};
  BuildSpec asked = newer.spec;
  asked.status = old.spec.status;
  if (asked == old.spec) return {};
  return field_error("a build that has begun does not change: remove it and create it again",
                     {"spec"});
}

FieldErrors validate(const BuildTemplate& build_template) {
  FieldErrors errors = validate_name(build_template.metadata);
  errors.add(validate_template_spec(build_template.spec).via_field("spec"));
  return errors;
}

FieldErrors validate(const ClusterBuildTemplate& build_template) {
  FieldErrors errors = validate_name(build_template.metadata);
  errors.add(validate_template_spec(build_template.spec).via_field("spec"));
  return errors;
}

}  // namespace knative::build
