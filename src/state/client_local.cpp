#include "knative/client.hpp"

namespace knative {

namespace {

class LocalClient final : public Client {
 public:
  explicit LocalClient(Store& store) : store_(store) {}

  Result<AnyObject> get(const ObjectRef& ref) const override { return store_.get(ref); }
  Result<ObjectList> list(std::string_view api_version, std::string_view kind,
                          const ListOptions& options) const override {
    return store_.list(api_version, kind, options);
  }
  Result<std::unique_ptr<Watch>> watch(std::string_view api_version, std::string_view kind,
                                       const WatchOptions& options) override {
    return store_.watch(api_version, kind, options);
  }
  std::string resource_version() const override { return store_.resource_version(); }

  Task<Result<AnyObject>> create(const AnyObject& object) override {
    co_return store_.create(object);
  }
  Task<Result<AnyObject>> update(const AnyObject& object) override {
    co_return store_.update(object);
  }
  Task<Result<AnyObject>> apply(const AnyObject& object) override {
    co_return store_.apply(object);
  }
  Task<Result<AnyObject>> update_status(const AnyObject& object) override {
    co_return store_.update_status(object);
  }
  Task<Result<AnyObject>> patch(const ObjectRef& ref, const Value& patch,
                                const PatchOptions& options) override {
    co_return store_.patch(ref, patch, options);
  }
  Task<Result<AnyObject>> remove(const ObjectRef& ref, const RemoveOptions& options) override {
    co_return store_.remove(ref, options);
  }
  Task<Result<void>> durable(std::string resource_version) override {
    return store_.durable(std::move(resource_version));
  }

 private:
  Store& store_;
};

}  // namespace

std::unique_ptr<Client> local_client(Store& store) { return std::make_unique<LocalClient>(store); }

}  // namespace knative
