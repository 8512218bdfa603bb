#include "knative/registry_client.hpp"

#include <algorithm>

#include "engines/registry/image_pusher.hpp"
#include "engines/registry/registry_access.hpp"
#include "engines/registry/registry_document.hpp"
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

Task<Result<Descriptor>> RegistryClient::resolve(const Reference& name) {
  return resolve(name, RegistryKeyring());
}

namespace {

// However the pull ends, and when it is dropped.
struct ArrivalEnd {
  std::shared_ptr<ImageArrival> arrival;
  ~ArrivalEnd() {
    if (arrival) arrival->end();
  }
};

}  // namespace

Task<Result<PulledImage>> RegistryClient::pull(const Reference& name,
                                               std::shared_ptr<ImageStore> store) {
  return pull(name, std::move(store), PullOptions());
}

Task<Result<PulledImage>> RegistryClient::pull(const Reference& name,
                                               std::shared_ptr<ImageStore> store,
                                               PullOptions options) {
  const std::shared_ptr<Impl> impl = impl_;
  const ArrivalEnd end{options.arrival};
  Result<ReadPlaces> places = read_places(impl, name, options.credentials);
  if (!places) co_return std::move(places).error();
  ImagePuller puller(impl, std::move(store), *std::move(places), std::move(options));
  Task<Result<PulledImage>> pulling = puller.run(name);
  co_return co_await std::move(pulling);
}

Task<Result<PushedImage>> RegistryClient::push(std::shared_ptr<ImageStore> store,
                                               const Reference& local, const Reference& to,
                                               PushOptions options) {
  const std::shared_ptr<Impl> impl = impl_;
  Result<std::shared_ptr<RegistryState>> state = impl->registry(place_of(to).host);
  if (!state) co_return std::move(state).error();
  ImagePusher pusher(impl, *std::move(state), std::move(store), to, std::move(options));
  Task<Result<PushedImage>> pushing = pusher.run(local);
  co_return co_await std::move(pushing);
}

// ---------------------------------------------------------------------------- lists

namespace {

/// Reads a list page by page, for what has at most so many entries.
template <class Entry>
class Pages {
 public:
  using Reader = Result<std::vector<Entry>> (*)(std::string_view body);
  Pages(RepositoryAccess& place, std::string what, std::size_t entries_max, Reader read)
      : place_(place), what_(std::move(what)), entries_max_(entries_max), read_(read) {}

  /// Nothing when the registry answers 404 to the first page.
  Task<Result<std::optional<std::vector<Entry>>>> all(std::string path) {
    std::vector<Entry> entries;
    RegistryCall call;
    call.path = std::move(path);
    for (;;) {
      Result<http::Response> response = co_await place_.send(call);
      if (!response) co_return place_.failed(what_, response.error());
      if (response->status == 404 && !call.url) co_return std::optional<std::vector<Entry>>();
      if (response->status != 200) {
        Error error = co_await place_.refused(what_, *response);
        co_return error;
      }
      Result<void> got = co_await response->body.read_all(page_bytes_max);
      if (!got) co_return place_.failed(what_, got.error());
      Result<std::vector<Entry>> page = read_(response->body.bytes());
      if (!page) co_return place_.failed(what_, page.error());
      const bool empty = page->empty();
      if (page->size() > entries_max_ - entries.size()) {
        co_return place_.failed(Errc::resource_exhausted, what_,
                                "more than " + std::to_string(entries_max_));
      }
      std::move(page->begin(), page->end(), std::back_inserter(entries));
      const http::Url here = call.url ? *call.url : place_.url(call.path);
      std::optional<http::Url> next = read_next_page(response->headers, here);
      // A page without entries leads nowhere new.
      if (!next || empty || *next == here) co_return std::optional(std::move(entries));
      call.url = *std::move(next);
    }
  }

 private:
  RepositoryAccess& place_;
  std::string what_;
  std::size_t entries_max_;
  Reader read_;
};

Result<std::vector<Descriptor>> read_listed(std::string_view body) {
  Result<Index> index = Index::parse(body);
  if (!index) return std::move(index).error();
  return std::move(index->manifests);
}

}  // namespace

Task<Result<std::vector<std::string>>> RegistryClient::tags(const Reference& name,
                                                            RegistryKeyring credentials) {
  const std::shared_ptr<Impl> impl = impl_;
  Result<std::shared_ptr<RegistryState>> state = impl->registry(place_of(name).host);
  if (!state) co_return std::move(state).error();
  RepositoryAccess place(impl, *std::move(state), name, "pull", std::move(credentials));
  Pages<std::string> pages(place, "tags", impl->options.tags_max, &read_tags);
  auto reading = pages.all(std::string(first_page));
  Result<std::optional<std::vector<std::string>>> all = co_await std::move(reading);
  if (!all) co_return std::move(all).error();
  if (!*all) co_return place.failed(Errc::not_found, "tags", "there is no such repository");
  co_return **std::move(all);
}

Task<Result<std::vector<Descriptor>>> RegistryClient::referrers(const Reference& name,
                                                                std::string artifact_type,
                                                                RegistryKeyring credentials) {
  const std::shared_ptr<Impl> impl = impl_;
  if (name.digest.empty()) {
    co_return fail(Errc::invalid_argument,
                   "referrers are those of a digest; \"" + name.to_string() + "\" has none");
  }
  Result<std::shared_ptr<RegistryState>> state = impl->registry(place_of(name).host);
  if (!state) co_return std::move(state).error();
  RepositoryAccess place(impl, *std::move(state), name, "pull", std::move(credentials));
  Pages<Descriptor> pages(place, "referrers", impl->options.tags_max, &read_listed);
  std::string path = "/referrers/" + name.digest.to_string();
  if (!artifact_type.empty()) path += "?" + form_text({{"artifactType", artifact_type}});
  auto reading = pages.all(std::move(path));
  Result<std::optional<std::vector<Descriptor>>> all = co_await std::move(reading);
  if (!all) co_return std::move(all).error();
  std::vector<Descriptor> found;
  if (*all) {
    found = **std::move(all);
  } else {  // a registry that keeps no such lists
    Task<Result<RegistryDocument>> fetching =
        fetch_document(place, Descriptor(), referrers_tag(name.digest));
    Result<RegistryDocument> list = co_await std::move(fetching);
    if (!list && list.error().code == Errc::not_found) co_return found;
    if (!list) co_return std::move(list).error();
    Result<std::vector<Descriptor>> listed = read_listed(list->bytes);
    if (!listed) co_return place.failed("referrers", listed.error());
    found = *std::move(listed);
  }
  if (!artifact_type.empty()) {
    std::erase_if(found, [&artifact_type](const Descriptor& one) {
      return one.artifact_type != artifact_type;
    });
  }
  co_return found;
}

Task<Result<void>> RegistryClient::remove(const Reference& name, RegistryKeyring credentials) {
  const std::shared_ptr<Impl> impl = impl_;
  Result<std::shared_ptr<RegistryState>> state = impl->registry(place_of(name).host);
  if (!state) co_return std::move(state).error();
  RepositoryAccess place(impl, *std::move(state), name, "delete,pull", std::move(credentials));
  const Reference full = name.with_default_tag();
  const std::string reference = full.digest.empty() ? full.tag : full.digest.to_string();
  RegistryCall call;
  call.method = "DELETE";
  call.path = "/manifests/" + reference;
  Result<http::Response> response = co_await place.send(call);
  const std::string what = "manifest \"" + reference + "\"";
  if (!response) co_return place.failed(what, response.error());
  if (response->ok()) co_return Result<void>();
  Error error = co_await place.refused(what, *response);
  // Old registries take what is no digest for a malformed one.
  if (full.digest.empty() && response->status == 400) {
    error = place.failed(Errc::unimplemented, what, "the registry removes no tags, only digests");
  }
  co_return error;
}

std::vector<std::string> local_registries() { return {"kind.local", "ko.local", "dev.local"}; }

bool keeps_tag(const Reference& name, const std::vector<std::string>& skipped) {
  if (!name.digest.empty()) return true;
  const RegistryPlace place = place_of(name);
  return std::any_of(skipped.begin(), skipped.end(), [&place](const std::string& registry) {
    return canonical_registry(registry) == place.host;
  });
}

}  // namespace knative::oci
