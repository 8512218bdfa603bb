#include "platform/front.hpp"

#include "knative/metrics.hpp"

namespace knative {

namespace {

// "127.0.0.1", "[::1]", "localhost": the address itself, not a name of something.
bool is_bare(std::string_view host) {
  if (host.empty() || host == "localhost" || host.front() == '[') return true;
  return host.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace

Task<http::Response> Front::handle(http::Request& request) {
  const std::string host = request.host();
  if (is_bare(host)) return handle_bare(request);
  if (http::Handler* ingress = events_.ingress_of(host, request.path())) {
    return ingress->handle(request);
  }
  return router_.handle(request);
}

Task<http::Response> Front::handle_bare(http::Request& request) {
  const std::string_view path = request.path();
  if (path == "/healthz" || path == "/readyz") co_return http::text("ok\n");
  if (path == "/metrics") {
    http::Response response = http::text(metrics_text_());
    response.headers.set("content-type", prometheus_content_type);
    co_return response;
  }
  if (http::Handler* ingress = events_.ingress_of_path(path)) {
    co_return co_await ingress->handle(request);
  }
  co_return http::error_response(
      404, "no such path here; services answer by their host, e.g. NAME.NAMESPACE.localhost");
}

}  // namespace knative
