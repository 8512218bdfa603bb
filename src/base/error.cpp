#include "knative/error.hpp"

#include <cstdio>
#include <cstdlib>

namespace knative {

std::string_view to_string(Errc code) noexcept {
  switch (code) {
    case Errc::invalid_argument: return "invalid_argument";
    case Errc::not_found: return "not_found";
    case Errc::already_exists: return "already_exists";
    case Errc::conflict: return "conflict";
    case Errc::failed_precondition: return "failed_precondition";
    case Errc::unavailable: return "unavailable";
    case Errc::deadline_exceeded: return "deadline_exceeded";
    case Errc::cancelled: return "cancelled";
    case Errc::resource_exhausted: return "resource_exhausted";
    case Errc::unimplemented: return "unimplemented";
    case Errc::data_loss: return "data_loss";
    case Errc::internal: return "internal";
  }
  return "unknown";
}

std::string Error::to_string() const {
  std::string text(knative::to_string(code));
  if (!detail.empty()) text.append(": ").append(detail);
  return text;
}

Error Error::within(std::string_view where) const {
  return Error{code, std::string(where).append(": ").append(detail)};
}

Exception::Exception(Error error) : error_(std::move(error)), what_(error_.to_string()) {}

namespace detail {

void throw_error(const Error& error) { throw Exception(error); }

void assertion_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "%s:%d: invariant does not hold: %s\n", file, line, expression);
  std::abort();
}

}  // namespace detail
}  // namespace knative
