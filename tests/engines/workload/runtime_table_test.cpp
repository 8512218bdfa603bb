// The table "what a runtime cannot do" of docs/runtimes.md is what the runtimes themselves say.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "knative/container_runtimes.hpp"
#include "knative/oci_runtime.hpp"
#include "knative/sandbox_runtime.hpp"
#include "knative/simulation.hpp"
#include "knative/zygote_runtime.hpp"
#include "support/paths.hpp"

namespace knative {
namespace {

struct TableRow {
  const char* field;
  std::function<void(ContainerSpec&)> ask;
};

std::vector<TableRow> table_rows() {
  const auto capabilities = [](ContainerSpec& spec) -> core::Capabilities& {
    return spec.security.capabilities.emplace();
  };
  const auto limit = [](const char* name) {
    return [name](ContainerSpec& spec) { spec.resources.limits[name] = Quantity(1); };
  };
  const auto port = [](core::ContainerPort port) {
    return [port](ContainerSpec& spec) { spec.ports.push_back(port); };
  };
  return {
      {"volumeMounts",
       [](ContainerSpec& spec) {
         spec.mounts.push_back({.source = "/volume", .target = "/data"});
       }},
      {"volumeMounts[].readOnly, of a build's step",
       [](ContainerSpec& spec) {
         spec.identity.step = "step";
         spec.mounts.push_back({.source = "/volume", .target = "/data", .read_only = true});
       }},
      {"resources.limits.memory", limit("memory")},
      {"resources.limits.cpu", limit("cpu")},
      {"resources.limits.ephemeral-storage", limit("ephemeral-storage")},
      {"resources.requests.cpu",
       [](ContainerSpec& spec) { spec.resources.requests["cpu"] = Quantity(1); }},
      {"the image's user, by name or number", [](ContainerSpec& spec) { spec.user = "app"; }},
      {"securityContext.runAsUser", [](ContainerSpec& spec) { spec.security.run_as_user = 1000; }},
      {"securityContext.runAsGroup",
       [](ContainerSpec& spec) { spec.security.run_as_group = 1000; }},
      {"securityContext.runAsNonRoot",
       [](ContainerSpec& spec) { spec.security.run_as_non_root = true; }},
      {"securityContext.privileged", [](ContainerSpec& spec) { spec.security.privileged = true; }},
      {"securityContext.capabilities.add",
       [capabilities](ContainerSpec& spec) { capabilities(spec).add = {"SYS_TIME"}; }},
      {"securityContext.capabilities.drop",
       [capabilities](ContainerSpec& spec) { capabilities(spec).drop = {"ALL"}; }},
      {"securityContext.allowPrivilegeEscalation",
       [](ContainerSpec& spec) { spec.security.allow_privilege_escalation = false; }},
      {"securityContext.readOnlyRootFilesystem",
       [](ContainerSpec& spec) { spec.security.read_only_root_filesystem = true; }},
      {"securityContext.seccompProfile: RuntimeDefault, Unconfined",
       [](ContainerSpec& spec) {
         spec.security.seccomp_profile = core::SeccompProfile{.type = "RuntimeDefault"};
       }},
      {"securityContext.seccompProfile: Localhost",
       [](ContainerSpec& spec) {
         spec.security.seccomp_profile = core::SeccompProfile{.type = "Localhost"};
       }},
      {"ports[].name: h2c", port({.name = "h2c", .container_port = 8080})},
      {"ports[].protocol: UDP", port({.container_port = 8080, .protocol = "UDP"})},
  };
}

/// What the runtimes say where the host can do everything.
std::string table_of(Env& env, ImageProvider& images) {
  SandboxRuntimeOptions sandbox;
  sandbox.support = {.possible = true,
                     .reason = {},
                     .overlay = true,
                     .any_user = true,
                     .own_network = true,
                     .memory_limit = true,
                     .cpu_limit = true,
                     .process_limit = true,
                     .freezing = true};
  OciRuntimeOptions oci;
  oci.program = "/usr/bin/crun";
  oci.directory = "/containers";
  oci.isolating = sandbox;
  std::vector<std::pair<std::string, std::unique_ptr<ContainerRuntime>>> runtimes;
  runtimes.emplace_back("`process`, `host`", std::make_unique<ProcessRuntime>(env, images));
  runtimes.emplace_back("`zygote`", std::make_unique<ZygoteRuntime>(env, images));
  runtimes.emplace_back("`sandbox`", std::make_unique<SandboxRuntime>(env, images, sandbox));
  runtimes.emplace_back("`crun`, `runc`", std::make_unique<OciRuntime>(env, images, oci));
  std::string text = "| of a container |";
  std::string line = "| --- |";
  for (const auto& [name, runtime] : runtimes) {
    text.append(" ").append(name).append(" |");
    line.append(" --- |");
  }
  text.append("\n").append(line).append("\n");
  for (const TableRow& row : table_rows()) {
    ContainerSpec spec;
    row.ask(spec);
    text.append("| ").append(row.field).append(" |");
    for (const auto& [name, runtime] : runtimes) {
      const FieldErrors said = runtime->unsupported(spec);
      text.append(said.empty() ? " done |" : said.has_errors() ? " refused |" : " warned about |");
    }
    text.append("\n");
  }
  return text;
}

// KNATIVE_UPDATE_DOCS=1 writes it.
TEST(RuntimeTable, IsWhatTheRuntimesSay) {
  Simulation simulation(1);
  HostImages images;
  const std::string table = table_of(simulation.env(), images);
  const std::string path = testing_paths::source() + "/docs/runtimes.md";
  std::ifstream file(path);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::string begin_mark = "<!-- What runtimes say: begin -->\n";
  const std::size_t begin = text.find(begin_mark);
  const std::size_t end = text.find("<!-- What runtimes say: end -->");
  ASSERT_NE(begin, text.npos);
  ASSERT_NE(end, text.npos);
  const std::size_t first = begin + begin_mark.size();
  if (std::getenv("KNATIVE_UPDATE_DOCS") != nullptr) {
    text.replace(first, end - first, table);
    std::ofstream(path) << text;
    return;
  }
  EXPECT_EQ(text.substr(first, end - first), table)
      << "run this test with KNATIVE_UPDATE_DOCS=1 to write it";
}

}  // namespace
}  // namespace knative
