// Names of hosts, looked up on threads of their own: a name server that keeps silent holds up
// nobody but those who want that name, and no loop waits for it at its end.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "knative/env.hpp"

namespace knative::base {

/// Numeric addresses of a host, best first.
using Addresses = std::vector<std::string>;

/// Ask the operating system; blocks for as long as that takes. `unavailable` when there are none.
Result<Addresses> look_up(const std::string& host);

/// Belongs to the loop of `mailbox`. `look_up` is called on other threads, also after this is gone.
class Resolver {
 public:
  using LookUp = std::function<Result<Addresses>(const std::string& host)>;
  Resolver(Mailbox& mailbox, LookUp look_up);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// Everybody who asks for the same name at the same time waits for one thread; beyond
  /// `threads_max` of them names wait for their turn, and are not looked up when nobody waits any
  /// more. Dropping the task leaves the thread alone.
  Task<Result<Addresses>> resolve(std::string host);
  std::size_t under_way() const noexcept { return asked_.size() - waiting_.size(); }

  static constexpr std::size_t threads_max = 64;

 private:
  struct Asked;
  struct Way;
  Result<void> start(const std::string& host);
  void settle(const std::string& host, Result<Addresses> answer);
  void finish(const std::string& host, Result<Addresses> answer);

  std::shared_ptr<Way> way_;
  std::map<std::string, std::shared_ptr<Asked>, std::less<>> asked_;
  std::deque<std::string> waiting_;  ///< Of those, without a thread yet.
};

}  // namespace knative::base
