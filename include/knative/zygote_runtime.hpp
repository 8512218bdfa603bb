/// \file
/// `ZygoteRuntime`: Python programs that are forked from an interpreter which has their imports.
///
/// The first instance of a Revision starts an interpreter, the zygote, that imports what the
/// program imports at its top, from the standard library and from installed packages; every
/// instance is a fork of it and begins in milliseconds, also after the Revision was scaled to zero.
/// Nothing is isolated, as with `ProcessRuntime`: run only what you trust. docs/runtimes.md says in
/// what a fork differs from a fresh interpreter. Everything belongs to its loop.
///
/// \code
/// kn::ZygoteOptions options;
/// options.preload = {"numpy"};
/// runtimes.add("zygote", std::make_shared<kn::ZygoteRuntime>(env, images, options));
/// \endcode
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "knative/container.hpp"
#include "knative/container_runtimes.hpp"
#include "knative/timers.hpp"

namespace knative {

/// How zygotes are kept.
struct ZygoteOptions {
  /// Beyond that the one that was used least recently ends, of those without programs.
  std::size_t zygotes_max = 16;
  Duration idle = std::chrono::minutes(10);  ///< One without programs ends after that.
  /// To start an interpreter and to import; then the start fails, naming the module.
  Duration preload_timeout = std::chrono::seconds(10);
  /// A zygote that does not answer for so long ends, and its programs with it.
  Duration answer_timeout = std::chrono::seconds(10);
  /// Imported beside what the program imports and what its variable KNATIVE_ZYGOTE_PRELOAD names
  /// (separated by commas). These may be modules of the program's own folder, too.
  std::vector<std::string> preload;
  /// Ports, variables and output, as for processes. Roots and views are not changed.
  ProcessRuntimeOptions program;
};

/// Runs `python3 [flags] FILE`, `-m MODULE` and `-c CODE`; anything else is `invalid_argument`.
class KNATIVE_EXPORT ZygoteRuntime final : public ContainerRuntime {
 public:
  ZygoteRuntime(Env& env, ImageProvider& images, ZygoteOptions options = {});
  /// Zygotes end with it and with the last container that it has started.
  ~ZygoteRuntime() override;
  FieldErrors unsupported(const ContainerSpec& spec) const override;
  bool can_exec(const ContainerSpec& spec) const override;
  bool can_freeze(const ContainerSpec& spec) const override;
  Task<Result<std::string>> pin(const ContainerSpec& spec) override;
  /// Done when its zygote has been asked for it. `not_found` without an interpreter,
  /// `deadline_exceeded` when that does not finish its imports.
  Task<Result<std::unique_ptr<Container>>> start(const ContainerSpec& spec,
                                                 ContainerOutput output) override;

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace knative
