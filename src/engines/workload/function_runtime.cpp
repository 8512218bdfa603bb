#include <exception>

#include "knative/workload.hpp"

namespace knative {
namespace {

/// A function on this loop. It is ready at once and ends only when stopped.
class FunctionInstance final : public Instance {
 public:
  FunctionInstance(std::string name, std::shared_ptr<const Function> function, Offload& offload,
                   Logger& logger)
      : name_(std::move(name)),
        function_(std::move(function)),
        offload_(offload),
        logger_(logger) {}

  Task<http::Response> handle(http::Request& request) override {
    std::string problem;
    try {
      co_return co_await function_->call(request, offload_);
    } catch (const std::exception& thrown) {
      problem = thrown.what();
    } catch (...) {
      problem = "an exception of unknown type";
    }
    logger_.log(LogLevel::error, "function", "threw", {{"revision", name_}, {"what", problem}});
    co_return http::error_response(500, "the function failed");
  }
  Task<Result<void>> ready() override { co_return Result<void>(); }
  Task<void> stop(Duration) override {
    stopped_.set();
    co_return;
  }
  Task<ExitStatus> exited() override {
    co_await stopped_.wait();
    co_return ExitStatus();
  }

 private:
  std::string name_;
  std::shared_ptr<const Function> function_;
  Offload& offload_;
  Logger& logger_;
  Wakeup stopped_;
};

}  // namespace

struct FunctionTable::Impl {
  std::map<std::string, std::shared_ptr<const Function>, std::less<>> functions;
};

FunctionTable::FunctionTable() : impl_(std::make_unique<Impl>()) {}
FunctionTable::~FunctionTable() = default;
FunctionTable::FunctionTable(FunctionTable&&) noexcept = default;
FunctionTable& FunctionTable::operator=(FunctionTable&&) noexcept = default;

void FunctionTable::add(std::string name, std::shared_ptr<const Function> function) {
  KN_ASSERT(function != nullptr);
  impl_->functions.insert_or_assign(std::move(name), std::move(function));
}

std::shared_ptr<const Function> FunctionTable::find(std::string_view name) const {
  const auto found = impl_->functions.find(name);
  return found == impl_->functions.end() ? nullptr : found->second;
}

std::vector<std::string> FunctionTable::names() const {
  std::vector<std::string> names;
  for (const auto& [name, function] : impl_->functions) names.push_back(name);
  return names;
}

struct FunctionRuntime::Impl {
  const FunctionTable& functions;
  Offload& offload;
  Logger& logger;

  Result<std::unique_ptr<Instance>> make(const WorkloadSpec& spec) const {
    if (!spec.image.starts_with(function_image_prefix)) {
      return fail(Errc::invalid_argument, spec.image + " is no function: fn:NAME is expected");
    }
    const std::string name = spec.image.substr(function_image_prefix.size());
    std::shared_ptr<const Function> function = functions.find(name);
    if (!function) {
      std::string known;
      for (const std::string& other : functions.names()) {
        known.append(known.empty() ? "" : ", ").append(other);
      }
      return fail(Errc::not_found, "function \"" + name + "\" is not registered; known are: " +
                                       (known.empty() ? std::string("none") : known));
    }
    return std::unique_ptr<Instance>(
        std::make_unique<FunctionInstance>(spec.name, std::move(function), offload, logger));
  }
};

FunctionRuntime::FunctionRuntime(const FunctionTable& functions, Offload& offload, Logger& logger)
    : impl_(new Impl{functions, offload, logger}) {}

FunctionRuntime::~FunctionRuntime() = default;

Task<Result<std::unique_ptr<Instance>>> FunctionRuntime::start(const WorkloadSpec& spec) {
  co_return impl_->make(spec);
}

}  // namespace knative
