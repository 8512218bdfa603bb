// The reference registry of the distribution project, started by the test, and the tools of others.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "knative/http_outbound.hpp"
#include "knative/registry_client.hpp"
#include "knative/tls.hpp"
#include "support/paths.hpp"
#include "support/real_world.hpp"

namespace knative::oci::testing {

namespace fs = std::filesystem;

inline Reference name_of(std::string_view text) { return Reference::parse(text).value(); }

/// A real world with a folder, a registry and a client in it.
class RegistryPeerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* tool : {"docker-registry", "skopeo", "umoci", "htpasswd"}) {
      if (std::system(("command -v " + std::string(tool) + " >/dev/null").c_str()) != 0) {
        GTEST_SKIP() << tool << " is not installed: scripts/bootstrap --tests brings it";
      }
    }
    store = open_image_layout(env().files, folder / "store", {.sync = false}).value();
  }
  Env& env() { return loop.env(); }

  static std::string free_port() {
    Loop world(testing_world::quiet());
    return std::to_string(world.env().network.listen(Endpoint{}).value()->endpoint().port);
  }
  std::string read(const std::string& name) {
    std::ifstream file(folder / name);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  /// Run a command in the folder; its output, without the line's end.
  std::string shell(const std::string& command) {
    const std::string line = "cd " + folder.path() +
                             " && export REGISTRY_AUTH_FILE=" + folder.path() +
                             "/no-auth.json && { " + command + "\n} >out 2>err";
    EXPECT_EQ(std::system(line.c_str()), 0) << command << "\n" << read("err") << read("out");
    std::string text = read("out");
    while (text.ends_with('\n')) text.pop_back();
    return text;
  }

  std::unique_ptr<Process> spawn(std::vector<std::string> argv, std::string& output) {
    ProcessOptions how;
    how.argv = std::move(argv);
    how.environment = {{"PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin"}};
    how.on_stdout = [&output](std::string_view text) { output += text; };
    return env().processes.spawn(how).value();
  }
  bool wait_for(const std::function<bool()>& condition) {
    return loop.run(testing_world::eventually(env().timers, condition));
  }

  /// Start a registry; `more` goes into its configuration, `http` into the part of that name.
  void start(const std::string& more = "", const std::string& http = "") {
    port = free_port();
    std::ofstream(folder / "registry.yml")
        << "version: 0.1\nlog: {level: error}\nstorage:\n  filesystem: {rootdirectory: "
        << folder / "registry"
        << "}\n  delete: {enabled: true}\nhttp:\n  addr: 127.0.0.1:" << port << "\n"
        << http << more;
    registry = spawn({"docker-registry", "serve", folder / "registry.yml"}, registry_output);
    const auto answers = [this] {
      return !testing_world::exchange_bytes(
                  Endpoint{"127.0.0.1", static_cast<std::uint16_t>(std::stoi(port)), {}},
                  "GET / HTTP/1.0\r\n\r\n")
                  .starts_with("unavailable");
    };
    ASSERT_TRUE(wait_for(answers)) << registry_output;
  }
  std::string address() const { return "127.0.0.1:" + port; }
  std::string at(const std::string& rest) const { return address() + "/" + rest; }

  /// An image layout "made" with tag "v1", made by umoci: two layers, one of them large.
  void make_image() {
    shell(
        "mkdir files && head -c 3000000 /dev/urandom >files/big && echo hello >files/small && "
        "umoci init --layout made && umoci new --image made:v1 && "
        "umoci insert --image made:v1 files/big /big && "
        "umoci insert --image made:v1 files/small /etc/small && "
        "umoci config --image made:v1 --config.cmd /big --config.env A=b");
  }
  /// The same as skopeo sees it.
  std::string raw(const std::string& where, const std::string& flags = "--tls-verify=false") {
    return shell("skopeo inspect --raw " + flags + " " + where);
  }

  RegistryClient& client() {
    if (!client_) {
      outbound =
          std::make_unique<http::Outbound>(env().executor, env().timers, env().network, outgoing);
      options.retry_pause = std::chrono::milliseconds(10);
      client_ = std::make_unique<RegistryClient>(*outbound, env().timers, env().random, env().disk,
                                                 options);
    }
    return *client_;
  }
  Result<PulledImage> pull(const std::string& name, PullOptions how = {}) {
    const Reference reference = name_of(name);
    return loop.run(client().pull(reference, store, std::move(how)));
  }
  static RegistryKeyring keyring(const std::string& place, RegistryCredential credential) {
    RegistryKeyring keys;
    EXPECT_TRUE(keys.add(place, std::move(credential)));
    return keys;
  }
  /// The store has what the registry has, to the byte.
  void expect_same(const PulledImage& pulled, const std::string& name,
                   const std::string& flags = "--tls-verify=false") {
    std::string bytes = store->get_blob(pulled.root).value();
    while (bytes.ends_with('\n')) bytes.pop_back();
    EXPECT_EQ(bytes, raw("docker://" + name, flags));
    const ImageConfig config = store->config(name_of(name)).value();
    EXPECT_EQ(config.command, std::vector<std::string>{"/big"});
    const std::string root = folder / "root";
    ASSERT_TRUE(store->unpack(env().files, name_of(name), root));
    shell("cmp files/big root/big && cmp files/small root/etc/small");
  }

  testing_world::TemporaryDirectory folder;
  Loop loop{testing_world::quiet()};
  http::OutboundOptions outgoing;
  RegistryClientOptions options;
  std::shared_ptr<ImageStore> store;
  std::unique_ptr<http::Outbound> outbound;
  std::string port;
  std::string registry_output;
  std::unique_ptr<Process> registry;

 private:
  std::unique_ptr<RegistryClient> client_;
};

}  // namespace knative::oci::testing
