// Our registry under the tools of others, and under kill -9.
#include <gtest/gtest.h>

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "knative/oci.hpp"
#include "support/paths.hpp"
#include "support/real_world.hpp"

namespace knative::registry {
namespace {

class RegistryServerPeers : public ::testing::Test {
 protected:
  void start(const std::vector<std::string>& more = {}) {
    process_.reset();
    output_.clear();
    ProcessOptions how;
    how.argv = {testing_paths::binary() + "/tests/registry_serve", folder_ / "data"};
    how.argv.insert(how.argv.end(), more.begin(), more.end());
    how.environment = {{"PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin"}};
    how.on_stdout = [this](std::string_view text) { output_ += text; };
    process_ = loop_.env().processes.spawn(how).value();
    const auto ready = [this] { return output_.ends_with('\n'); };
    ASSERT_TRUE(loop_.run(testing_world::eventually(loop_.env().timers, ready)));
    port_ = output_.substr(0, output_.size() - 1);
  }

  static bool have(const std::string& tool) {
    return std::system(("command -v " + tool + " >/dev/null 2>&1").c_str()) == 0;
  }
  std::string read(const std::string& name) {
    std::ifstream file(folder_ / name);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  /// Run a command in the folder, with $R as our registry; its output.
  std::string shell(const std::string& command) {
    std::ofstream(folder_ / "no-auth.json") << "{}";
    std::ofstream(folder_ / "script") << "set -euo pipefail\n" << command << "\n";
    const std::string line = "cd " + folder_.path() + " && R=127.0.0.1:" + port_ +
                             " REGISTRY_AUTH_FILE=" + folder_.path() +
                             "/no-auth.json bash script >out 2>err";
    EXPECT_EQ(std::system(line.c_str()), 0) << command << "\n" << read("err") << read("out");
    return read("out");
  }

  Loop loop_{testing_world::quiet()};
  testing_world::TemporaryDirectory folder_;
  std::string output_;
  std::string port_;
  std::unique_ptr<Process> process_;
};

TEST_F(RegistryServerPeers, CurlPushesAndPulls) {
  if (!have("curl")) GTEST_SKIP() << "curl is not installed";
  start();
  shell(R"(
head -c 3000000 /dev/urandom >blob
D=sha256:$(sha256sum blob | cut -d' ' -f1)
L=$(curl -sS -X POST -D - http://$R/v2/a/blobs/uploads/ | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
curl -sSf -X PATCH -H 'Transfer-Encoding: chunked' --data-binary @blob http://$R$L
curl -sSf -X PUT "http://$R$L?digest=$D"
curl -sSf http://$R/v2/a/blobs/$D | cmp - blob
curl -sSf -r 100-199 http://$R/v2/a/blobs/$D | cmp - <(tail -c +101 blob | head -c 100)
head -c 70000000 /dev/zero >large
D=sha256:$(sha256sum large | cut -d' ' -f1)
curl -sSf -X POST -H 'Content-Type: application/octet-stream' --data-binary @large "http://$R/v2/a/blobs/uploads/?digest=$D"
curl -sSf http://$R/v2/a/blobs/$D | cmp - large
)");
}

TEST_F(RegistryServerPeers, SkopeoAndUmociBringAndTakeImages) {
  if (!have("skopeo") || !have("umoci")) GTEST_SKIP() << "skopeo or umoci is not installed";
  start();
  shell(R"(
umoci init --layout l; umoci new --image l:t; mkdir -p tree/app; echo hello >tree/app/f
umoci insert --image l:t --rootless tree /
skopeo copy --insecure-policy --dest-tls-verify=false --preserve-digests oci:l:t docker://$R/team/shop:v1
skopeo copy --insecure-policy --dest-tls-verify=false --format v2s2 oci:l:t docker://$R/team/shop:docker
skopeo copy --insecure-policy --src-tls-verify=false --dest-tls-verify=false docker://$R/team/shop:v1 docker://$R/other:v1
skopeo copy --insecure-policy --src-tls-verify=false docker://$R/other:v1 oci:back:t
umoci unpack --rootless --image back:t bundle; cmp bundle/rootfs/app/f tree/app/f
skopeo list-tags --tls-verify=false docker://$R/team/shop | grep -q '"docker"'
skopeo inspect --tls-verify=false docker://$R/team/shop:docker >/dev/null
skopeo delete --tls-verify=false docker://$R/other:v1
if skopeo inspect --tls-verify=false docker://$R/other:v1; then exit 1; fi
)");
}

TEST_F(RegistryServerPeers, BuildahPushesWhatItBuilt) {
  if (!have("buildah") || ::geteuid() != 0) GTEST_SKIP() << "needs buildah and root";
  start({"--user", "ann", "secret"});
  shell(R"(
B="buildah --root $PWD/root --runroot $PWD/run --storage-driver vfs"
C=$($B from scratch); cp /bin/busybox . 2>/dev/null || cp /bin/true busybox
$B copy $C busybox /bin/busybox; $B config --entrypoint '["/bin/busybox"]' $C
$B commit $C made; $B push --tls-verify=false --creds ann:secret made docker://$R/made:1
if $B push --tls-verify=false --creds ann:wrong made docker://$R/made:2; then exit 1; fi
$B rm $C; $B rmi made; $B pull --tls-verify=false --creds ann:secret docker://$R/made:1
$B images | grep -q made
)");
}

TEST_F(RegistryServerPeers, PodmanPushesAndPullsInBothFormats) {
  if (!have("podman") || ::geteuid() != 0) GTEST_SKIP() << "needs podman and root";
  start();
  shell(R"y(
P="podman --root $PWD/root --runroot $PWD/run --tmpdir $PWD/tmp --storage-driver vfs"
P="$P --events-backend none --cgroup-manager cgroupfs"
mkdir tree; echo hello >tree/f
tar -C tree -c . | $P import --change 'ENTRYPOINT ["/bin/app"]' - made
$P push --tls-verify=false made $R/team/made:oci
$P push --tls-verify=false --format v2s2 made $R/team/made:docker
$P rmi -a -f
for T in oci docker; do $P pull --tls-verify=false $R/team/made:$T; done
test "$($P image inspect --format '{{.Config.Entrypoint}}' $R/team/made:oci)" = '[/bin/app]'
$P search --tls-verify=false --list-tags $R/team/made | grep -q docker
)y");
}

TEST_F(RegistryServerPeers, KilledWhileAPushIsUnderWayTheNextOneSucceeds) {
  if (!have("skopeo")) GTEST_SKIP() << "skopeo is not installed";
  start();
  shell(R"(
umoci init --layout l; umoci new --image l:t; mkdir tree
head -c 30000000 /dev/urandom >tree/f; umoci insert --image l:t --rootless tree /a
)");
  const std::string push =
      "skopeo copy --insecure-policy --dest-tls-verify=false oci:l:t docker://$R/shop:v1";
  for (int round = 0; round < 8; ++round) {
    const std::string line = "cd " + folder_.path() + " && export R=127.0.0.1:" + port_ + " && { " +
                             push + " & } >push.log 2>&1; sleep 0." +
                             std::to_string(round * 11 + 10);
    EXPECT_EQ(std::system(line.c_str()), 0);
    process_->signal(SIGKILL);
    process_.reset();
    start();
    // What was half written has gone; what is there is whole.
    shell(
        "! ls -d data/images/.blob-* 2>/dev/null\n"
        "cd data/images/blobs/sha256; for f in *; do [ \"$f\" = '*' ] || "
        "echo \"$f  $f\" | sha256sum -c --quiet; done");
  }
  shell(push +
        "\nskopeo copy --insecure-policy --src-tls-verify=false docker://$R/shop:v1 oci:back:t");
}

}  // namespace
}  // namespace knative::registry
