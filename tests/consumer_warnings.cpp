// A host program's own flags: the documented `{.name = …}` style prints no warning under
// -Wall -Wextra -Werror. Compiled only.
#include <knative/knative.hpp>

namespace kn = knative;

namespace {

kn::build::Build a_build() {
  return {.metadata = {.name = "shop"},
          .spec = {.source = {.git = kn::build::GitSource{.url = "https://example.org/shop.git"}},
                   .steps = {{.name = "compile", .image = "gcc:12", .command = {"make"}}},
                   .image = "local/shop"}};
}

kn::core::Secret a_secret() {
  return {.metadata = {.name = "git"},
          .type = "kubernetes.io/basic-auth",
          .string_data = {{"username", "ada"}, {"password", "x"}}};
}

kn::core::Container a_container() {
  return {.name = "compile",
          .image = "gcc:12",
          .env = {{.name = "CFLAGS", .value = "-O2"}},
          .readiness_probe = kn::core::Probe{.http_get = kn::core::HttpGetAction{.path = "/"}}};
}

kn::serving::Service a_service() {
  kn::serving::Service service = kn::serving::service("hello", "fn:hello");
  service.spec.traffic = {{.revision_name = "hello-00001", .percent = 90},
                          {.latest_revision = true, .percent = 10, .tag = "canary"}};
  return service;
}

kn::eventing::Trigger a_trigger() {
  return {.metadata = {.name = "orders"},
          .spec = {.broker = "default",
                   .filter = kn::eventing::TriggerFilter{{{"type", "order.created"}}},
                   .subscriber = {.uri = "http://127.0.0.1:8080/"},
                   .delivery = kn::eventing::DeliverySpec{.retry = 3}}};
}

}  // namespace

// So that nothing above is unused.
std::size_t all_of_them() {
  return a_build().metadata.name.size() + a_secret().type.size() + a_container().name.size() +
         a_service().metadata.name.size() + a_trigger().metadata.name.size();
}
