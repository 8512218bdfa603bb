// What a child does first, between fork and exec: system calls only.
#pragma once

#include <signal.h>

namespace knative::base {

/// Every signal as a program expects it: default actions, none blocked.
inline void reset_signals() noexcept {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace knative::base
