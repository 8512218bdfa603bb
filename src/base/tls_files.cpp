// Certificates in files: read and checked as a whole, and looked at again while a host runs.
#include <utility>

#include "base/tls_certificates.hpp"

namespace knative::tls {
namespace {

constexpr std::uint64_t file_bytes_max = std::uint64_t{8} << 20;

bool same(const Material& a, const Material& b) {
  return a.trusted == b.trusted && a.identity.has_value() == b.identity.has_value() &&
         (!a.identity || (a.identity->certificates == b.identity->certificates &&
                          a.identity->private_key == b.identity->private_key));
}

}  // namespace

Result<Material> load(Files& files, const Paths& paths) {
  Material material;
  if (paths.certificates.empty() != paths.private_key.empty()) {
    return fail(Errc::invalid_argument, paths.certificates.empty()
                                            ? "certificates: no file, but there is one of the key"
                                            : "private_key: no file, but there is one of the "
                                              "certificates");
  }
  if (!paths.certificates.empty()) {
    Result<std::string> certificates = files.read_file(paths.certificates, file_bytes_max);
    if (!certificates) return certificates.error();
    Result<std::string> key = files.read_file(paths.private_key, file_bytes_max);
    if (!key) return key.error();
    material.identity = Identity{std::move(*certificates), std::move(*key)};
    Result<Credentials> read = parse_identity(*material.identity);
    if (!read) {
      return read.error().within(paths.certificates + ", " + paths.private_key);
    }
  }
  if (!paths.trusted.empty()) {
    Result<std::string> trusted = files.read_file(paths.trusted, file_bytes_max);
    if (!trusted) return trusted.error();
    material.trusted = std::move(*trusted);
    Result<std::vector<Certificate>> read = parse_certificates(material.trusted);
    if (!read) return read.error().within(paths.trusted);
  }
  return material;
}

Task<void> follow(Timers& timers, Files& files, Offload& offload, Logger& logger, Paths paths,
                  Material current, std::function<Result<void>(const Material&)> apply,
                  FollowOptions options) {
  std::string last_problem;
  for (;;) {
    co_await timers.sleep_for(options.interval);
    auto read = [&files, paths] { return load(files, paths); };
    Result<Material> found = co_await offload.run(read);
    std::string problem;
    if (!found) {
      problem = found.error().to_string();
    } else if (!same(*found, current)) {
      Result<void> applied = apply(*found);
      if (applied) {
        current = std::move(*found);
        logger.log(LogLevel::info, "tls", "certificates reloaded",
                   {{"certificates", paths.certificates}, {"trusted", paths.trusted}});
      } else {
        problem = applied.error().to_string();
      }
    }
    if (!problem.empty() && problem != last_problem) {
      logger.log(LogLevel::warning, "tls", "certificates not reloaded", {{"error", problem}});
    }
    last_problem = std::move(problem);
  }
}

}  // namespace knative::tls
