#include "extensions/serving/ingress.hpp"

#include <utility>

namespace knative {

namespace {

class LocalQueue final : public RevisionQueue {
 public:
  LocalQueue(Activator& activator, std::shared_ptr<Throttler> throttler)
      : activator_(activator), throttler_(std::move(throttler)) {}
  ~LocalQueue() override { activator_.remove(*throttler_); }

  void add_endpoint(std::shared_ptr<http::Handler> endpoint) override {
    throttler_->add_endpoint(std::move(endpoint));
  }
  Task<void> remove_endpoint(const http::Handler& endpoint) override {
    return throttler_->remove_endpoint(endpoint);
  }
  void abort_endpoint(const http::Handler& endpoint) noexcept override {
    throttler_->abort_endpoint(endpoint);
  }
  void fail_waiting(std::string_view reason) override { throttler_->fail_waiting(reason); }
  void close() override { activator_.remove(*throttler_); }
  RequestStats::Report report(Instant now) override { return throttler_->stats().report(now); }

 private:
  Activator& activator_;
  std::shared_ptr<Throttler> throttler_;
};

}  // namespace

Ingress::Ingress(Env& env, Metrics& metrics, std::function<void(std::string_view)> wanted)
    : wanted_(std::move(wanted)),
      activator_(env.timers, env.random.split("activator"), *this, &metrics),
      router_(activator_, env.random.split("router")) {}

std::unique_ptr<RevisionQueue> Ingress::queue_for(const RevisionOptions& limits) {
  return std::make_unique<LocalQueue>(activator_, activator_.add(limits));
}

}  // namespace knative
