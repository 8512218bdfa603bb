// What is parked, over HTTP, for the `knative` command and for people at this machine.
//
//   GET  /-/parked/NAMESPACE/NAME            what a Broker or Channel has parked
//   POST /-/parked/NAMESPACE/NAME/redrive    deliver it anew
//   POST /-/parked/NAMESPACE/NAME/discard    throw it away
//
// Parameters choose: trigger, id, source, offset; a POST without any of them says all=true. `kind`
// is Broker or Channel, where both have the name; count bounds a list. Each stands once and is not
// empty, and there are no others: what chooses less than somebody meant throws away more. No
// namespace is called "-". Only who connects from this machine may ask, and a POST says
// application/json, which no page of a browser sends elsewhere without being allowed to.
#pragma once

#include <string_view>

#include "knative/access.hpp"
#include "knative/http.hpp"

namespace knative {

inline constexpr std::string_view parking_path = "/-/parked";

class ParkingDoor final : public http::Handler {
 public:
  /// `events` must outlive it.
  explicit ParkingDoor(EventAccess& events) : events_(events) {}
  Task<http::Response> handle(http::Request& request) override;

 private:
  http::Response list(const http::Request& request, std::string key);
  Task<http::Response> move(http::Request& request, std::string key, std::string action);
  EventAccess& events_;
};

}  // namespace knative
