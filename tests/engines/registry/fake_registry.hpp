// A registry in a simulated world that does as it is told, and a client of it.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "knative/http_outbound.hpp"
#include "knative/http_server.hpp"
#include "knative/registry_client.hpp"
#include "knative/simulation.hpp"
#include "knative/tls.hpp"

namespace knative::oci::testing {

using namespace std::chrono_literals;

inline Reference named(std::string_view text) { return Reference::parse(text).value(); }

/// A body that says its length, sends some of it, and then breaks or goes on for ever.
class FaultyBody final : public http::BodySource {
 public:
  FaultyBody(std::string bytes, std::optional<std::uint64_t> length, bool breaks)
      : bytes_(std::move(bytes)), length_(length), breaks_(breaks) {}
  Task<Result<std::string_view>> next() override {
    if (sent_ && breaks_) co_return fail(Errc::unavailable, "broken on purpose");
    sent_ = true;
    co_return std::string_view(bytes_);
  }
  std::optional<std::uint64_t> length() const override { return length_; }

 private:
  std::string bytes_;
  std::optional<std::uint64_t> length_;
  bool breaks_;
  bool sent_ = false;
};

/// What a registry was asked.
struct Asked {
  std::string line;  ///< "GET /v2/..."
  http::Headers headers;
  std::string body;
};

/// Serves what it holds; `hook` comes first.
class FakeRegistry {
 public:
  using Hook = std::function<std::optional<http::Response>(const http::Request&)>;
  struct Document {
    std::string type;
    std::string bytes;
  };

  FakeRegistry(Env& env, std::unique_ptr<Listener> listener = nullptr)
      : handler_(http::make_handler([this](http::Request& request) -> Task<http::Response> {
          Result<void> read = co_await request.body.read_all();
          if (!read) co_return http::error_response(400);
          asked.push_back(
              Asked{request.method + " " + request.target, request.headers, request.body.bytes()});
          if (hook) {
            std::optional<http::Response> response = hook(request);
            if (response) co_return *std::move(response);
          }
          co_return answer(request);
        })),
        server_(env.executor, env.timers, env.logger,
                listener ? std::move(listener) : env.network.listen(Endpoint{}).value(),
                *handler_) {}

  std::string address() const { return server_.endpoint().to_string(); }
  std::string url(std::string_view target) const {
    return "http://" + address() + std::string(target);
  }

  Descriptor put_blob(std::string bytes, std::string_view type) {
    Descriptor blob;
    blob.media_type = type;
    blob.digest = Digest::of(bytes);
    blob.size_bytes = bytes.size();
    blobs[blob.digest.to_string()] = std::move(bytes);
    return blob;
  }
  Descriptor put_document(const std::string& reference, std::string bytes, std::string_view type) {
    Descriptor document;
    document.media_type = type;
    document.digest = Digest::of(bytes);
    document.size_bytes = bytes.size();
    documents[document.digest.to_string()] = {std::string(type), bytes};
    if (!reference.empty()) documents[reference] = {std::string(type), std::move(bytes)};
    return document;
  }
  /// An image of these layers, as they are.
  Descriptor put_image(const std::string& tag, const std::vector<std::string>& layers,
                       ImagePlatform platform = host_platform()) {
    ImageConfig config;
    config.platform = platform;
    Manifest manifest;
    for (const std::string& layer : layers) {
      manifest.layers.push_back(put_blob(layer, media_type::layer));
      config.diff_ids.push_back(manifest.layers.back().digest);
    }
    manifest.config = put_blob(config.to_json(), media_type::config);
    return put_document(tag, manifest.to_json(), media_type::manifest);
  }
  std::size_t count(std::string_view prefix) const {
    std::size_t number = 0;
    for (const Asked& one : asked) number += one.line.starts_with(prefix) ? 1 : 0;
    return number;
  }

  Hook hook;
  std::vector<Asked> asked;
  std::map<std::string, std::string> blobs;
  std::map<std::string, Document> documents;

 private:
  http::Response answer(const http::Request& request) {
    const std::string_view target = request.target;
    const std::size_t manifest = target.find("/manifests/");
    const std::size_t blob = target.find("/blobs/");
    if (manifest != target.npos) {
      const auto found = documents.find(std::string(target.substr(manifest + 11)));
      if (found == documents.end()) return refusal(404, "MANIFEST_UNKNOWN", "manifest unknown");
      http::Response response = http::text(found->second.bytes);
      response.headers.set("Content-Type", found->second.type);
      response.headers.set("Docker-Content-Digest", Digest::of(found->second.bytes).to_string());
      return response;
    }
    if (blob != target.npos) {
      const auto found = blobs.find(std::string(target.substr(blob + 7)));
      if (found == blobs.end()) return refusal(404, "BLOB_UNKNOWN", "blob unknown");
      return part_of(found->second, request);
    }
    return refusal(404, "NAME_UNKNOWN", "nothing here");
  }

 public:
  static http::Response refusal(int status, std::string_view code, std::string_view message) {
    return http::json_text("{\"errors\":[{\"code\":\"" + std::string(code) + "\",\"message\":\"" +
                               std::string(message) + "\"}]}",
                           status);
  }
  static http::Response part_of(const std::string& bytes, const http::Request& request) {
    const std::string_view range = request.headers.get("Range").value_or("");
    if (!range.starts_with("bytes=")) return http::text(bytes);
    const std::size_t first = std::stoull(std::string(range.substr(6)));
    if (first >= bytes.size()) return http::error_response(416);
    http::Response response = http::text(bytes.substr(first), 206);
    response.headers.set("Content-Range", "bytes " + std::to_string(first) + "-" +
                                              std::to_string(bytes.size() - 1) + "/" +
                                              std::to_string(bytes.size()));
    return response;
  }

 private:
  std::unique_ptr<http::Handler> handler_;
  http::Server server_;
};

/// A simulated world with a client and a store.
class RegistryWorldTest : public ::testing::Test {
 protected:
  RegistryWorldTest() : sim(1), env(sim.env()) {}

  RegistryClient& client() {
    if (!client_) {
      http::OutboundOptions outgoing;
      outgoing.tls.trust.system = false;
      outgoing.tls.trust.certificates = authority.certificate();
      outbound_ = std::make_unique<http::Outbound>(env.executor, env.timers, env.network, outgoing);
      client_ =
          std::make_unique<RegistryClient>(*outbound_, env.timers, env.random, env.disk, options);
    }
    return *client_;
  }
  Result<PulledImage> pull(const std::string& name, PullOptions how = {}) {
    const Reference reference = named(name);
    return sim.run(client().pull(reference, store, std::move(how)));
  }
  Result<Descriptor> resolve(const std::string& name, RegistryKeyring keyring = {}) {
    const Reference reference = named(name);
    return sim.run(client().resolve(reference, std::move(keyring)));
  }

  Simulation sim;
  Env& env;
  tls::Authority authority = tls::Authority::create({}, env.timers.wall()).value();
  RegistryClientOptions options;
  std::shared_ptr<ImageStore> store = memory_image_store();

 private:
  std::unique_ptr<http::Outbound> outbound_;
  std::unique_ptr<RegistryClient> client_;
};

}  // namespace knative::oci::testing
