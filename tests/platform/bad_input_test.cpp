// Bad input at every door of a real platform: one clear error that names the place, and the
// platform goes on serving requests and accepting events.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "knative/platform_thread.hpp"
#include "support/real_world.hpp"

namespace knative {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

std::string octal(std::uint64_t number, std::size_t width) {
  std::string digits(width - 1, '0');
  for (std::size_t i = width - 1; i-- > 0; number /= 8) {
    digits[i] = static_cast<char>('0' + number % 8);
  }
  return digits + '\0';
}

/// A tar archive with one file of this name, whatever the name is.
std::string tar_with(const std::string& name, const std::string& content) {
  std::string header(512, '\0');
  header.replace(0, name.size(), name);
  header.replace(100, 8, octal(0644, 8));
  header.replace(124, 12, octal(content.size(), 12));
  header.replace(136, 12, octal(0, 12));
  header.replace(148, 8, "        ");
  header[156] = '0';
  header.replace(257, 8,
                 std::string("ustar\0"
                             "00",
                             8));
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  header.replace(148, 8, octal(sum, 7) + ' ');
  std::string body = content;
  body.resize((content.size() + 511) / 512 * 512);
  return header + body + std::string(1024, '\0');
}

/// A platform with a data directory, one service and one Broker, and its listener.
class BadInput : public ::testing::Test {
 protected:
  BadInput() {
    std::string name = (fs::temp_directory_path() / "knative-bad-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
    functions_.http("hello", [](http::Request&) { return http::text("hello"); });
    PlatformOptions options;
    options.data_directory = root_ + "/data";
    LoopOptions loop;
    loop.log_sink = [](const LogRecord&) {};
    platform_ = std::make_unique<PlatformThread>(functions_, options, loop);
    platform_->apply(serving::service("hello", "fn:hello")).value();
    platform_->wait_ready("hello").value();
    const ObjectRef broker = platform_->apply(eventing::broker("default")).value();
    platform_->ready(broker).value();
  }
  /// Whatever a test did: requests are answered and events accepted, by HTTP and in process.
  ~BadInput() override {
    const std::string close = "Connection: close\r\n\r\n";
    const std::string answer = raw("GET / HTTP/1.1\r\nHost: hello.default.localhost\r\n" + close);
    EXPECT_EQ(answer.rfind("HTTP/1.1 200", 0), 0u) << answer;
    EXPECT_TRUE(answer.ends_with("hello")) << answer;
    const std::string accepted = raw(
        "POST /default/default HTTP/1.1\r\nHost: 127.0.0.1\r\nce-specversion: 1.0\r\nce-id: 1\r\n"
        "ce-type: a\r\nce-source: /b\r\nContent-Length: 0\r\n" +
        close);
    EXPECT_EQ(accepted.rfind("HTTP/1.1 202", 0), 0u) << accepted;
    const CloudEvent event("a", "/b");
    EXPECT_TRUE(platform_->publish("default", event));
    platform_.reset();
    fs::remove_all(root_);
  }

  std::string path(const std::string& name) const { return root_ + "/" + name; }

  void write(const std::string& name, const std::string& text) {
    fs::create_directories(fs::path(path(name)).parent_path());
    std::ofstream(path(name), std::ios::binary) << text;
  }
  std::string read(const std::string& name) const {
    std::ifstream file(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  /// Raw bytes over a new connection; the whole answer until the peer closes.
  std::string raw(const std::string& bytes) {
    return testing_world::exchange_bytes(platform_->endpoint(), bytes);
  }

  /// Run a shell command with a git that knows no configuration but the test's.
  void shell(const std::string& command) {
    const std::string line =
        "export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a "
        "GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b; cd " +
        root_ + " && { " + command + "\n} >output 2>&1";
    ASSERT_EQ(std::system(line.c_str()), 0) << command << "\n" << read("output");
  }

  /// The error of a manifest that must not be taken.
  std::string refusal(const std::string& text) {
    const Result<std::vector<ObjectRef>> refs = [&] {
      Result<std::vector<ObjectRef>> applied = std::vector<ObjectRef>();
      platform_->call(
          [&](Platform& platform) { applied = platform.apply_text(text, "shop.yaml"); });
      return applied;
    }();
    EXPECT_FALSE(refs);
    if (refs) return {};
    EXPECT_EQ(refs.error().code, Errc::invalid_argument);
    EXPECT_FALSE(platform_->get<serving::Service>("shop"));
    return refs.error().detail;
  }

  /// The message of an object that must fail.
  std::string failure(const ObjectRef& ref) {
    const Result<void> ready = platform_->ready(ref, 30s);
    EXPECT_FALSE(ready);
    if (ready) return {};
    EXPECT_EQ(ready.error().code, Errc::failed_precondition) << ready.error().to_string();
    return ready.error().detail;
  }

  std::string failed_build(build::Build build) {
    build.metadata.name = "shop";
    return failure(platform_->apply(build).value());
  }
  std::string failed_git(const std::string& url, const std::string& revision) {
    build::Build build;
    build.spec.source.git = build::GitSource{url, revision};
    build.spec.image = "local/shop";
    return failed_build(build);
  }
  static build::Step sh(const std::string& name, const std::string& script) {
    build::Step step;
    step.name = name;
    step.image = "host";
    step.command = {"/bin/sh", "-c"};
    step.args = {script};
    return step;
  }

  void expect_in(const std::string& text, std::initializer_list<std::string_view> parts) {
    for (const std::string_view part : parts) {
      EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in: " << text;
    }
    // One error, not a wall of text.
    EXPECT_LT(text.size(), 600u) << text;
  }

  std::string root_;
  FunctionTable functions_;
  std::unique_ptr<PlatformThread> platform_;
};

// ---------------------------------------------------------------------------- manifests

const std::string head =
    "apiVersion: serving.knative.dev/v1\n"
    "kind: Service\n"
    "metadata: {name: shop}\n"
    "spec:\n"
    "  template:\n"
    "    spec:\n";

TEST_F(BadInput, a_manifest_with_a_wrong_type_names_line_column_and_field) {
  const std::string error = refusal(head +
                                    "      containerConcurrency: many\n"
                                    "      containers: [{image: \"fn:hello\"}]\n");
  expect_in(error, {"shop.yaml:7:7: ", "spec.template.spec.containerConcurrency"});
}

TEST_F(BadInput, a_manifest_with_an_unknown_field_names_it_and_what_was_meant) {
  const std::string error = refusal(head + "      containers: [{imag: \"fn:hello\"}]\n");
  expect_in(error, {"shop.yaml:7:21: ", "spec.template.spec.containers[0].imag", "image"});
}

TEST_F(BadInput, a_manifest_with_a_duplicate_key_names_both_places) {
  const std::string error = refusal(
      "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata:\n  name: shop\n"
      "  name: shop2\n");
  expect_in(error, {"shop.yaml:5:3: ", "name"});
}

TEST_F(BadInput, a_manifest_whose_percents_do_not_sum_up_names_the_sum) {
  const std::string error = refusal(head +
                                    "      containers: [{image: \"fn:hello\"}]\n"
                                    "  traffic: [{latestRevision: true, percent: 90}]\n");
  expect_in(error, {"shop.yaml:8:", "spec.traffic", "90", "100"});
}

// ---------------------------------------------------------------------------- sources

TEST_F(BadInput, a_git_path_that_does_not_exist_is_named) {
  expect_in(failed_git(path("nowhere"), "main"), {path("nowhere")});
}

TEST_F(BadInput, a_git_file_url_that_does_not_exist_is_named) {
  const std::string url = "file://" + path("nowhere");
  expect_in(failed_git(url, "main"), {url});
}

TEST_F(BadInput, a_git_url_where_nobody_listens_is_named) {
  std::string url;
  {
    Loop loop;
    const auto listener = loop.env().network.listen(Endpoint{}).value();
    url = "http://" + listener->endpoint().to_string() + "/shop.git";
  }
  expect_in(failed_git(url, "main"), {url});
}

TEST_F(BadInput, a_git_revision_that_does_not_exist_is_named_with_its_repository) {
  shell("git init -q -b main shop && cd shop && git commit -q --allow-empty -m one");
  const std::string error = failed_git(path("shop"), "release-7");
  expect_in(error, {path("shop"), "release-7", "branch main"});
}

TEST_F(BadInput, a_source_archive_that_leaves_its_folder_is_refused_by_entry) {
  write("evil.tar", tar_with("../escaped", "x"));
  build::Build build;
  build.spec.source.gcs = build::GcsSource{"Archive", path("evil.tar")};
  build.spec.image = "local/shop";
  expect_in(failed_build(build), {"evil.tar", "../escaped"});
  EXPECT_FALSE(fs::exists(path("escaped")));
}

// ---------------------------------------------------------------------------- steps

TEST_F(BadInput, a_step_that_fails_is_named_with_exit_code_and_what_it_wants_to_be_told) {
  build::Build build;
  build.spec.steps = {
      sh("prepare", "true"),
      sh("compile", "echo 'shop.c:3: no such thing' > /dev/termination-log; exit 7")};
  expect_in(failed_build(build),
            {"step \"build-step-compile\"", "exit code 7", "shop.c:3: no such thing"});
}

/// Neither the process nor, when it leads one, its group.
bool is_gone(const std::string& pid) {
  const auto number = static_cast<pid_t>(std::stoi(pid));
  return ::kill(number, 0) == -1 && errno == ESRCH && ::kill(-number, 0) == -1 && errno == ESRCH;
}

TEST_F(BadInput, a_step_that_never_ends_is_ended_with_all_its_processes) {
  build::Build build;
  build.spec.timeout = 700ms;
  // The child ignores polite signals and outlives its parent shell.
  build.spec.steps = {sh("wait", "(trap '' TERM INT HUP; echo $$ > " + path("parent") +
                                     "; sh -c 'trap \"\" TERM; echo $$ > " + path("child") +
                                     "; sleep 1000; sleep 1000'; sleep 1000) ; sleep 1000")};
  const std::string error = failed_build(build);
  expect_in(error, {"shop", "700ms"});
  const auto limit = std::chrono::steady_clock::now() + 20s;
  const std::vector<std::string> pids = {read("parent"), read("child")};
  for (const std::string& pid : pids) {
    ASSERT_FALSE(pid.empty());
    while (!is_gone(pid) && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
    EXPECT_TRUE(is_gone(pid)) << "process " << pid << " is left";
  }
}

// ---------------------------------------------------------------------------- images

class BadImage : public BadInput {
 protected:
  /// Store "local/app" with one layer of these bytes.
  oci::Manifest store_image(const std::string& layer) {
    oci::Manifest manifest;
    platform_->call([&](Platform& platform) {
      oci::ImageStore& images = platform.images();
      manifest.layers = {images.put_blob(layer, oci::media_type::layer).value()};
      oci::ImageConfig config;
      config.platform = oci::host_platform();
      config.entrypoint = {"/bin/app"};
      config.diff_ids = {manifest.layers[0].digest};
      manifest.config = images.put_blob(config.to_json(), oci::media_type::config).value();
      const oci::Reference name = oci::Reference::parse("local/app").value();
      manifest_ = images.put_manifest(name, manifest).value().digest;
    });
    return manifest;
  }
  std::string blob(const oci::Digest& digest) {
    return "data/images/blobs/sha256/" + std::string(digest.hex());
  }
  std::string failed_service() {
    return failure(platform_->apply(serving::service("app", "local/app")).value());
  }
  oci::Digest manifest_;
};

TEST_F(BadImage, an_image_that_is_not_there_is_named_and_nothing_else_of_the_store) {
  store_image(tar_with("bin/app", "x"));
  const ObjectRef ref = platform_->apply(serving::service("app", "local/nothing:v1")).value();
  const std::string text = failure(ref);
  expect_in(text, {"local/nothing:v1", "is not in the store"});
  EXPECT_EQ(text.find("local/app"), std::string::npos) << text;
}

TEST_F(BadImage, a_manifest_that_is_garbage_is_named_by_digest) {
  store_image(tar_with("bin/app", "x"));
  write(blob(manifest_), std::string(read(blob(manifest_)).size(), 'g'));
  expect_in(failed_service(), {"local/app", manifest_.to_string()});
}

TEST_F(BadImage, a_layer_that_is_truncated_is_named_by_digest_and_bytes) {
  const oci::Digest layer = store_image(tar_with("bin/app", "x")).layers[0].digest;
  fs::resize_file(path(blob(layer)), 700);
  expect_in(failed_service(), {"local/app", layer.to_string(), "700"});
}

TEST_F(BadImage, a_layer_with_another_content_is_named_by_digest) {
  const oci::Digest layer = store_image(tar_with("bin/app", "x")).layers[0].digest;
  std::string bytes = read(blob(layer));
  bytes[512] = 'y';
  write(blob(layer), bytes);
  expect_in(failed_service(), {"local/app", layer.to_string()});
}

TEST_F(BadImage, a_layer_that_is_no_archive_is_named_by_digest) {
  const oci::Digest layer = store_image(std::string(2000, 'g')).layers[0].digest;
  expect_in(failed_service(), {"local/app", layer.to_string(), "not a tar archive"});
}

TEST_F(BadImage, a_layer_that_leaves_its_root_is_refused_by_entry) {
  const oci::Digest layer = store_image(tar_with("../../../escaped", "x")).layers[0].digest;
  expect_in(failed_service(), {"local/app", layer.to_string(), "../../../escaped"});
  for (const auto& entry : fs::recursive_directory_iterator(root_)) {
    EXPECT_NE(entry.path().filename(), "escaped") << entry.path();
  }
}

// ---------------------------------------------------------------------------- requests, events

TEST_F(BadInput, a_request_with_two_content_lengths_is_400_and_names_header_and_byte) {
  const std::string begin =
      "POST / HTTP/1.1\r\nHost: hello.default.localhost\r\n"
      "Content-Length: 1\r\n";
  const std::string answer = raw(begin + "Content-Length: 1\r\n\r\nx");
  EXPECT_EQ(answer.rfind("HTTP/1.1 400", 0), 0u) << answer;
  expect_in(answer, {"second Content-Length", "byte " + std::to_string(begin.size())});
}

TEST_F(BadInput, an_event_without_an_id_is_400_and_names_the_attribute) {
  const std::string answer = raw(
      "POST /default/default HTTP/1.1\r\nHost: 127.0.0.1\r\nce-specversion: 1.0\r\nce-type: a\r\n"
      "ce-source: /b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(answer.rfind("HTTP/1.1 400", 0), 0u) << answer;
  expect_in(answer, {"id"});
  const std::string body = "{\"specversion\":\"1.0\",\"type\":\"a\",\"source\":\"/b\"}";
  const std::string structured =
      raw("POST /default/default HTTP/1.1\r\nHost: 127.0.0.1\r\n"
          "Content-Type: application/cloudevents+json\r\nConnection: close\r\nContent-Length: " +
          std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_EQ(structured.rfind("HTTP/1.1 400", 0), 0u) << structured;
  expect_in(structured, {"id"});
}

}  // namespace
}  // namespace knative
