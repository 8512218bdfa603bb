// Templates: parameters are filled in by plain text replacement, in one pass, so a value that
// itself looks like a placeholder is never expanded.
#include <algorithm>
#include <map>
#include <set>

#include "knative/builder.hpp"

namespace knative {

namespace {

using Table = std::map<std::string, std::string, std::less<>>;

std::string substitute(std::string_view text, const Table& table) {
  std::string result;
  while (true) {
    const std::size_t open = text.find("${");
    if (open == std::string_view::npos) break;
    result.append(text.substr(0, open));
    text.remove_prefix(open);
    const std::size_t close = text.find('}');
    const auto known =
        close == std::string_view::npos ? table.end() : table.find(text.substr(2, close - 2));
    if (known == table.end()) {
      result.append("${");
      text.remove_prefix(2);
    } else {
      result.append(known->second);
      text.remove_prefix(close + 1);
    }
  }
  return result.append(text);
}

// "${", at least one character that does not close it, then "$".
bool has_nested_placeholder(std::string_view text) {
  for (std::size_t open = text.find("${"); open != std::string_view::npos;
       open = text.find("${", open + 2)) {
    const std::size_t end = std::min(text.find('}', open), text.size());
    const std::size_t dollar = text.find('$', open + 3);
    if (dollar < end) return true;
  }
  return false;
}

// In Knative Build's words.
Result<void> check_nesting(const build::Step& step, std::size_t index) {
  const std::string of_step = "step " + std::to_string(index) + " ";
  const auto check = [](const std::string& text, const std::string& place) -> Result<void> {
    if (!has_nested_placeholder(text)) return {};
    return fail(Errc::invalid_argument,
                "NestedPlaceholder: nested placeholder in " + place + " \"" + text + "\"");
  };
  const auto check_all = [&](const auto& texts, const std::string& place) -> Result<void> {
    for (std::size_t i = 0; i < texts.size(); ++i) {
      Result<void> good = check(texts[i], of_step + place + " " + std::to_string(i) + ":");
      if (!good) return good;
    }
    return {};
  };
  std::vector<std::string> values;
  for (const core::EnvVar& variable : step.env) values.push_back(variable.value);
  Result<void> good = check(step.name, "step name " + std::to_string(index) + ":");
  if (good) good = check_all(step.args, "arg");
  if (good) good = check_all(values, "env value");
  if (good) good = check(step.working_dir, of_step + "working dir");
  return good ? check_all(step.command, "command") : good;
}

Result<Table> make_table(const build::TemplateInstantiationSpec& instantiation,
                         const build::BuildTemplateSpec& from) {
  Table table;
  std::set<std::string> given;
  for (const build::ArgumentSpec& argument : instantiation.arguments) {
    if (!given.insert(argument.name).second) {
      return fail(Errc::invalid_argument,
                  "DuplicateArgName: duplicate argument name \"" + argument.name + "\"");
    }
  }
  std::string missing;
  for (const build::ParameterSpec& parameter : from.parameters) {
    if (parameter.default_) {
      table[parameter.name] = *parameter.default_;
    } else if (!given.contains(parameter.name)) {
      missing +=
          (missing.empty() ? "{" : " {") + parameter.name + " " + parameter.description + "}";
    }
  }
  if (!missing.empty()) {
    return fail(Errc::invalid_argument,
                "UnsatisfiedParameter: build does not specify these required parameters: [" +
                    missing + "]");
  }
  for (const build::ArgumentSpec& argument : instantiation.arguments) {
    table[argument.name] = argument.value;
  }
  return table;
}

void fill_in(build::Step& step, const Table& table) {
  step.name = substitute(step.name, table);
  step.image = substitute(step.image, table);
  step.working_dir = substitute(step.working_dir, table);
  for (std::string& word : step.command) word = substitute(word, table);
  for (std::string& word : step.args) word = substitute(word, table);
  for (core::EnvVar& variable : step.env) variable.value = substitute(variable.value, table);
  for (core::VolumeMount& mount : step.volume_mounts) {
    mount.name = substitute(mount.name, table);
    mount.mount_path = substitute(mount.mount_path, table);
    mount.sub_path = substitute(mount.sub_path, table);
  }
}

void fill_in(core::Volume& volume, const Table& table) {
  volume.name = substitute(volume.name, table);
  if (volume.persistent_volume_claim) {
    std::string& claim = volume.persistent_volume_claim->claim_name;
    claim = substitute(claim, table);
  }
  if (volume.config_map) volume.config_map->name = substitute(volume.config_map->name, table);
  if (volume.secret) {
    volume.secret->secret_name = substitute(volume.secret->secret_name, table);
  }
}

// The instantiation's variables replace those of the same name and come last.
void add_environment(build::Step& step, const std::vector<core::EnvVar>& variables) {
  std::erase_if(step.env, [&](const core::EnvVar& own) {
    return std::any_of(variables.begin(), variables.end(),
                       [&](const core::EnvVar& other) { return other.name == own.name; });
  });
  step.env.insert(step.env.end(), variables.begin(), variables.end());
}

}  // namespace

Result<build::BuildSpec> instantiate(const build::BuildSpec& spec,
                                     const build::BuildTemplateSpec& from) {
  build::BuildSpec result = spec;
  result.template_.reset();
  build::TemplateInstantiationSpec instantiation;
  if (spec.template_) instantiation = *spec.template_;
  Result<Table> table = make_table(instantiation, from);
  if (!table) return table.error();
  for (std::size_t i = 0; i < from.steps.size(); ++i) {
    if (Result<void> good = check_nesting(from.steps[i], i); !good) return good.error();
  }
  for (core::EnvVar& variable : instantiation.env) {
    variable.value = substitute(variable.value, *table);
  }
  result.steps = from.steps;
  for (build::Step& step : result.steps) {
    fill_in(step, *table);
    add_environment(step, instantiation.env);
  }
  result.volumes.insert(result.volumes.end(), from.volumes.begin(), from.volumes.end());
  for (core::Volume& volume : result.volumes) fill_in(volume, *table);
  return result;
}

}  // namespace knative
