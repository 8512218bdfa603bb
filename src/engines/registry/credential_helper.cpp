// Programs that know credentials (docker-credential-helpers: "get").
#include "engines/registry/registry_access.hpp"
#include "engines/registry/registry_text.hpp"

namespace knative::oci {

namespace {

constexpr std::size_t helper_answer_bytes_max = 64 << 10;
constexpr Duration helper_time = std::chrono::seconds(30);
// What all helpers say of a registry that they do not know.
constexpr std::string_view unknown_registry = "credentials not found";
constexpr std::string_view identity_user = "<token>";
// Children read nothing, so that a shell hands over the question.
constexpr const char* question = "printf '%s\\n' \"$1\" | \"docker-credential-$2\" get";

}  // namespace

Task<Result<RegistryCredential>> ask_credential_helper(RegistryWorld& world, std::string helper,
                                                       std::string host) {
  const std::string where = "credential helper \"" + helper + "\"";
  if (world.options.processes == nullptr) {
    co_return fail(Errc::failed_precondition, where + ": nobody here may run it");
  }
  const std::string asked =
      host == default_registry_name ? std::string(default_registry_url) : host;
  auto output = std::make_shared<std::string>();
  ProcessOptions options;
  options.argv = {"/bin/sh", "-c", question, "sh", asked, helper};
  options.environment = world.options.helper_environment;
  options.on_stdout = [output](std::string_view text) {
    output->append(text.substr(0, helper_answer_bytes_max - output->size()));
  };
  Result<std::unique_ptr<Process>> process = world.options.processes->spawn(options);
  if (!process) co_return std::move(process).error().within(where);
  auto waiting = with_deadline(world.timers, (*process)->wait(), world.timers.now() + helper_time);
  const std::optional<ExitStatus> ended = co_await std::move(waiting);
  if (!ended) co_return fail(Errc::deadline_exceeded, where + ": does not answer");
  if (!ended->success()) {
    if (output->find(unknown_registry) != std::string::npos) co_return RegistryCredential();
    // What it says may hold anything, so it is not shown.
    co_return fail(Errc::failed_precondition, where + ": " + ended->to_string());
  }
  Result<HelperAnswer> answer = read_helper_answer(*output);
  if (!answer) co_return std::move(answer).error().within(where);
  RegistryCredential credential;
  if (answer->user == identity_user) {
    credential.identity_token = std::move(answer->secret);
  } else {
    credential.user = std::move(answer->user);
    credential.password = std::move(answer->secret);
  }
  co_return credential;
}

}  // namespace knative::oci
