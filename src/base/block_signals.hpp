// Signals belong to the host's threads: what is made meanwhile inherits a full mask.
#pragma once

#include <pthread.h>
#include <signal.h>

namespace knative::base {

/// While it lives the calling thread receives no signals, nor does a thread or child that it
/// begins.
class BlockSignals {
 public:
  BlockSignals() noexcept {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockSignals(const BlockSignals&) = delete;
  BlockSignals& operator=(const BlockSignals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace knative::base
