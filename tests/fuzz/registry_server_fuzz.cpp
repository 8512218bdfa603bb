// Feeds arbitrary requests, one after the other, to a registry server in virtual time.
//
// An input is requests separated by zero bytes, each a line "METHOD TARGET", lines of header
// fields, an empty line and the body. "{digest}" means that of the body, "{place}" where the last
// upload goes on: what bytes by chance never are.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "base/text.hpp"
#include "engines/registry/registry_server_text.hpp"
#include "knative/oci.hpp"
#include "knative/registry_server.hpp"
#include "knative/simulation.hpp"

namespace {

using namespace knative;

constexpr std::size_t requests_max = 24;

void require(bool holds) {
  if (!holds) std::abort();
}

void replace(std::string& text, std::string_view what, std::string_view with) {
  const std::size_t at = text.find(what);
  if (at != std::string::npos) text.replace(at, what.size(), with);
}

std::string_view cut(std::string_view& text, std::string_view end) {
  const std::size_t at = text.find(end);
  const std::string_view first = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view() : text.substr(at + end.size());
  return first;
}

// Nothing where the edge would have refused it before the server.
bool read_request(std::string_view text, const std::string& place, http::Request& request) {
  const std::string_view head = cut(text, "\n\n");
  std::string lines(head);
  replace(lines, "{digest}", oci::Digest::of(text).to_string());
  replace(lines, "{place}", place);
  std::string_view rest = lines;
  std::string_view target = cut(rest, "\n");
  request.method = cut(target, " ");
  request.target = target;
  if (!target.starts_with('/')) return false;
  for (const char c : target) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) return false;
  }
  while (!rest.empty()) {
    std::string_view line = cut(rest, "\n");
    const std::string_view name = cut(line, ": ");
    if (!request.headers.add(name, line)) return false;
  }
  request.body = http::Body(std::string(text));
  return true;
}

std::size_t entries(Files& files) {
  const auto found = files.list("/");
  return found ? found->size() : 0;
}

Task<std::string> ask(registry::Server& server, http::Request& request) {
  Task<http::Response> handling = server.handle(request);
  http::Response response = co_await std::move(handling);
  require(response.status >= 200 && response.status < 500);
  Task<Result<void>> reading = response.body.read_all();
  require((co_await std::move(reading)).has_value());
  for (const auto& [name, value] : response.headers) {
    require(value.find_first_of(std::string_view("\r\n\0", 3)) == value.npos);
  }
  const std::string& body = response.body.bytes();
  const auto digest = response.headers.get("Docker-Content-Digest");
  if (request.method == "GET" && response.status == 200 && digest) {
    const Result<oci::Digest> named = oci::Digest::parse(*digest);
    require(named && oci::Digest::of(body, named->algorithm()) == *named);
  }
  co_return std::string(response.headers.get("Location").value_or(""));
}

void texts(std::string_view text) {
  if (const auto decoded = registry::decode(text)) {
    require(registry::decode(registry::encode(*decoded)) == decoded);
  }
  registry::ByteRange range;
  if (registry::parse_range(text, 1000, range) == registry::RangeAnswer::part) {
    require(range.first < range.end && range.end <= 1000);
  }
  if (const auto chunk = registry::parse_content_range(text)) require(chunk->first < chunk->end);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  texts(rest);
  Simulation world(7);
  auto store = oci::open_image_layout(world.env().files, "/images");
  require(store.has_value());
  registry::ServerOptions options;
  options.uploads_max = 4;
  options.manifest_bytes_max = 4096;
  registry::Server server(world.env(), *store, options);
  std::string place = "/v2/a/blobs/uploads/x";
  const std::size_t around = entries(world.env().files);
  for (std::size_t i = 0; i < requests_max && !rest.empty(); ++i) {
    http::Request request;
    if (!read_request(cut(rest, std::string_view("\0", 1)), place, request)) continue;
    std::string location = world.run(ask(server, request));
    if (!location.empty()) place = std::move(location);
  }
  require(server.uploads() <= options.uploads_max);
  require(entries(world.env().files) == around);  // nothing beside the store
  return 0;
}
