#include "knative/registry_client.hpp"

#include <algorithm>

#include "engines/registry/image_puller.hpp"
#include "engines/registry/registry_access.hpp"
#include "engines/registry/registry_text.hpp"
#include "knative/value.hpp"

namespace knative::oci {

namespace {

constexpr std::size_t page_bytes_max = std::size_t{4} << 20;
constexpr std::string_view first_page = "/tags/list?n=1000";

Result<std::vector<std::string>> read_tags(std::string_view body) {
  Result<Value> value = Value::parse_json(body);
  if (!value) return value.error();
  std::vector<std::string> tags;
  const Value* list = value->find("tags");
  if (list == nullptr || list->is_null()) return tags;
  if (!list->is_list()) return fail(Errc::invalid_argument, "tags: expected a list");
  for (const Value& tag : list->as_list()) {
    const std::string* text = tag.if_string();
    if (text == nullptr || !Reference::parse("x:" + *text)) {
      return fail(Errc::invalid_argument, "tags: has what is no tag");
    }
    tags.push_back(*text);
  }
  return tags;
}

}  // namespace

struct RegistryClient::Impl : RegistryWorld {
  using RegistryWorld::RegistryWorld;
};

RegistryClient::RegistryClient(http::Outbound& outbound, Timers& timers, Random& random,
                               Offload& disk, RegistryClientOptions options)
    : impl_(std::make_shared<Impl>(outbound, timers, random, disk, std::move(options))) {}

RegistryClient::~RegistryClient() = default;

Task<Result<Descriptor>> RegistryClient::resolve(const Reference& name,
                                                 RegistryKeyring credentials) {
  const std::shared_ptr<Impl> impl = impl_;
  Result<ReadPlaces> places = read_places(impl, name, credentials);
  if (!places) co_return std::move(places).error();
  Task<Result<Descriptor>> resolving = resolve_at(*places, name);
  co_return co_await std::move(resolving);
}

Task<Result<PulledImage>> RegistryClient::pull(const Reference& name,
                                               std::shared_ptr<ImageStore> store,
                                               PullOptions options) {
  const std::shared_ptr<Impl> impl = impl_;
  Result<ReadPlaces> places = read_places(impl, name, options.credentials);
  if (!places) co_return std::move(places).error();
  ImagePuller puller(impl, std::move(store), *std::move(places), std::move(options));
  Task<Result<PulledImage>> pulling = puller.run(name);
  co_return co_await std::move(pulling);
}

Task<Result<std::vector<std::string>>> RegistryClient::tags(const Reference& name,
                                                            RegistryKeyring credentials) {
  const std::shared_ptr<Impl> impl = impl_;
  const std::string what = "tags";
  Result<std::shared_ptr<RegistryState>> state = impl->registry(place_of(name).host);
  if (!state) co_return std::move(state).error();
  RepositoryAccess place(impl, *std::move(state), name, "pull", std::move(credentials));
  std::vector<std::string> all;
  RegistryCall call;
  call.path = first_page;
  for (;;) {
    Result<http::Response> response = co_await place.send(call);
    if (!response) co_return place.failed(what, response.error());
    if (response->status != 200) {
      Error error = co_await place.refused(what, *response);
      co_return error;
    }
    Result<void> read = co_await response->body.read_all(page_bytes_max);
    if (!read) co_return place.failed(what, read.error());
    Result<std::vector<std::string>> page = read_tags(response->body.bytes());
    if (!page) co_return place.failed(what, page.error());
    all.insert(all.end(), page->begin(), page->end());
    if (all.size() > impl->options.tags_max) {
      co_return place.failed(Errc::resource_exhausted, what,
                             "more than " + std::to_string(impl->options.tags_max));
    }
    const http::Url here = call.url ? *call.url : place.url(call.path);
    std::optional<http::Url> next = read_next_page(response->headers, here);
    // A page without tags leads nowhere new.
    if (!next || page->empty() || *next == here) co_return all;
    call.url = *std::move(next);
  }
}

bool keeps_tag(const Reference& name, const std::vector<std::string>& skipped) {
  if (!name.digest.empty()) return true;
  const RegistryPlace place = place_of(name);
  return std::any_of(skipped.begin(), skipped.end(), [&place](const std::string& registry) {
    return canonical_registry(registry) == place.host;
  });
}

}  // namespace knative::oci
