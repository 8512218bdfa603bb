// Brings sources: picks the way by their kind.
#include "engines/builder/fetch_storage.hpp"
#include "engines/builder/git_source.hpp"
#include "knative/http_outbound.hpp"

namespace knative {

namespace {

class SourceFetcher final : public Fetcher {
 public:
  SourceFetcher(const builder::git::RemoteWorld& world, FetcherOptions options)
      : world_(world), options_(std::move(options)) {}

  Task<Result<Fetched>> fetch(const build::SourceSpec& source, const std::string& directory,
                              const SourceCredentials& credentials) override {
    if (source.git) {
      return builder::git::fetch_source(world_, library_, options_, source, directory, credentials);
    }
    if (source.gcs) {
      return builder::fetch_storage(world_, options_, source, directory, credentials);
    }
    return nothing_known();
  }

 private:
  static Task<Result<Fetched>> nothing_known() {
    co_return fail(Errc::unimplemented, "this kind of source cannot be fetched");
  }

  const builder::git::RemoteWorld world_;
  const FetcherOptions options_;
  // libgit2 stays initialised while this fetcher or any of its work lives.
  std::shared_ptr<builder::git::Library> library_ = std::make_shared<builder::git::Library>();
};

}  // namespace

std::unique_ptr<Fetcher> source_fetcher(http::Outbound& outbound, Timers& timers, Network& network,
                                        Processes& processes, Files& files, Offload& offload,
                                        FetcherOptions options) {
  const builder::git::RemoteWorld world{outbound, timers, network, processes, files, offload};
  return std::make_unique<SourceFetcher>(world, std::move(options));
}

}  // namespace knative
