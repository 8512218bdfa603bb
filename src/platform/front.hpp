// The one door of a platform's listener: Routes by host, Brokers by path, Channels by host, and
// on the bare address health and metrics.
#pragma once

#include <functional>
#include <string>

#include "extensions/eventing/event_plane.hpp"
#include "knative/http.hpp"

namespace knative {

class Front final : public http::Handler {
 public:
  Front(http::Handler& router, EventPlane& events, std::function<std::string()> metrics_text)
      : router_(router), events_(events), metrics_text_(std::move(metrics_text)) {}
  Task<http::Response> handle(http::Request& request) override;

 private:
  Task<http::Response> handle_bare(http::Request& request);
  http::Handler& router_;
  EventPlane& events_;
  std::function<std::string()> metrics_text_;
};

}  // namespace knative
