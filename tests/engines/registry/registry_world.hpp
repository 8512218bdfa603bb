/// \file
/// A registry server in virtual time, asked without a connection.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "knative/oci.hpp"
#include "knative/registry_server.hpp"
#include "knative/simulation.hpp"
#include "knative/value.hpp"

namespace knative::registry {

/// What came back, with its body read.
struct Answer {
  int status = 0;
  http::Headers headers;
  std::string body;

  std::string header(std::string_view name) const {
    return std::string(headers.get(name).value_or(""));
  }
  /// The first error's code.
  std::string code() const {
    const Result<Value> value = Value::parse_json(body);
    const Value* const code = value ? value->at_path("errors[0].code") : nullptr;
    return code == nullptr || code->if_string() == nullptr ? "" : *code->if_string();
  }
};

class RegistryWorld : public ::testing::Test {
 protected:
  explicit RegistryWorld(ServerOptions options = {}) { open(std::move(options)); }

  void open(ServerOptions options = {}) {
    server_.reset();
    if (store_ == nullptr) store_ = oci::open_image_layout(files(), "/images").value();
    server_ = std::make_unique<Server>(world_.env(), store_, std::move(options));
  }
  void restart(ServerOptions options = {}) {
    server_.reset();
    store_.reset();
    open(std::move(options));
  }

  Files& files() { return world_.env().files; }

  Answer ask(std::string_view method, std::string target, std::string body = {},
             http::Headers headers = {}) {
    http::Request request;
    request.method = method;
    request.target = std::move(target);
    request.headers = std::move(headers);
    request.body = http::Body(std::move(body));
    return ask(request);
  }

  Answer ask(http::Request& request) {
    auto run = [](Server& server, http::Request& request) -> Task<Answer> {
      Task<http::Response> handling = server.handle(request);
      http::Response response = co_await std::move(handling);
      Task<Result<void>> reading = response.body.read_all();
      const Result<void> read = co_await std::move(reading);
      EXPECT_TRUE(read) << read.error().to_string();
      co_return Answer{response.status, response.headers, response.body.bytes()};
    };
    return world_.run(run(*server_, request));
  }

  /// A blob in one request.
  std::string push_blob(const std::string& name, const std::string& bytes,
                        oci::DigestAlgorithm algorithm = oci::DigestAlgorithm::sha256) {
    const std::string digest = oci::Digest::of(bytes, algorithm).to_string();
    const Answer answer = ask("POST", "/v2/" + name + "/blobs/uploads/?digest=" + digest, bytes);
    EXPECT_EQ(answer.status, 201) << answer.body;
    return digest;
  }

  std::string begin(const std::string& name, const std::string& query = "") {
    const Answer answer = ask("POST", "/v2/" + name + "/blobs/uploads/" + query);
    EXPECT_EQ(answer.status, 202) << answer.body;
    return answer.header("Location");
  }

  static std::string descriptor(const std::string& bytes, std::string_view type) {
    return "{\"mediaType\":\"" + std::string(type) + "\",\"digest\":\"" +
           oci::Digest::of(bytes).to_string() + "\",\"size\":" + std::to_string(bytes.size()) + "}";
  }

  /// The manifest of an image with one layer; with spaces, which must come back.
  static std::string image(const std::string& layer, const std::string& more = "") {
    return "{ \"schemaVersion\": 2, \"mediaType\":\"" + std::string(oci::media_type::manifest) +
           "\", \"config\":" + descriptor("{}", oci::media_type::config) + ", \"layers\":[" +
           descriptor(layer, oci::media_type::layer) + "]" + more + " }";
  }

  /// Layer, config and manifest; its digest.
  std::string push_image(const std::string& name, const std::string& reference,
                         const std::string& layer = "layer", const std::string& more = "") {
    push_blob(name, layer);
    push_blob(name, "{}");
    const std::string manifest = image(layer, more);
    const Answer answer = put_manifest(name, reference, manifest);
    EXPECT_EQ(answer.status, 201) << answer.body;
    return oci::Digest::of(manifest).to_string();
  }

  Answer put_manifest(const std::string& name, const std::string& reference,
                      const std::string& bytes, std::string_view type = oci::media_type::manifest) {
    return ask("PUT", "/v2/" + name + "/manifests/" + reference, bytes, {{"Content-Type", type}});
  }

  Simulation world_{7};
  std::shared_ptr<oci::ImageStore> store_;
  std::unique_ptr<Server> server_;
};

}  // namespace knative::registry
