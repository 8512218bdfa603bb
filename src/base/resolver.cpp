#include "base/resolver.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/block_signals.hpp"
#include "knative/task.hpp"

namespace knative::base {

namespace {

std::string numeric(const addrinfo& entry) {
  char text[INET6_ADDRSTRLEN] = {};
  const void* address = nullptr;
  if (entry.ai_family == AF_INET) {
    address = &reinterpret_cast<const sockaddr_in*>(entry.ai_addr)->sin_addr;
  } else if (entry.ai_family == AF_INET6) {
    address = &reinterpret_cast<const sockaddr_in6*>(entry.ai_addr)->sin6_addr;
  }
  if (address == nullptr) return {};
  return ::inet_ntop(entry.ai_family, address, text, sizeof text) == nullptr ? "" : text;
}

}  // namespace

Result<Addresses> look_up(const std::string& host) {
  if (host.find('\0') != host.npos) return fail(Errc::invalid_argument, "a host name with NUL");
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* first = nullptr;
  const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &first);
  if (code != 0) {
    const char* why = code == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(code);
    return fail(Errc::unavailable, host + ": " + why);
  }
  Addresses addresses;
  for (const addrinfo* entry = first; entry != nullptr; entry = entry->ai_next) {
    std::string address = numeric(*entry);
    if (!address.empty()) addresses.push_back(std::move(address));
  }
  ::freeaddrinfo(first);
  if (addresses.empty()) return fail(Errc::unavailable, host + ": it has no address");
  return addresses;
}

/// A name that somebody wants. Belongs to the loop; those who wait hold it.
struct Resolver::Asked {
  Wakeup answered;
  Result<Addresses> answer = Addresses();
};

/// What a thread shares with the resolver, which may go first.
struct Resolver::Way {
  explicit Way(Mailbox& to, LookUp with) : look_up(std::move(with)), mailbox(&to) {}
  const LookUp look_up;
  std::mutex mutex;
  Mailbox* mailbox;  ///< Null once nobody is there.
};

Resolver::Resolver(Mailbox& mailbox, LookUp look_up)
    : way_(std::make_shared<Way>(mailbox, std::move(look_up))) {}

Resolver::~Resolver() {
  const std::lock_guard lock(way_->mutex);
  way_->mailbox = nullptr;
}

Task<Result<Addresses>> Resolver::resolve(std::string host) {
  std::shared_ptr<Asked> asked;
  if (const auto found = asked_.find(host); found != asked_.end()) {
    asked = found->second;
  } else {
    asked = std::make_shared<Asked>();
    asked_.emplace(host, asked);
    if (under_way() > threads_max) {
      waiting_.push_back(host);
    } else if (Result<void> started = start(host); !started) {
      settle(host, started.error());
    }
  }
  co_await asked->answered.wait();
  co_return asked->answer;
}

Result<void> Resolver::start(const std::string& host) {
  auto work = [this, way = way_, host] {
    Result<Addresses> answer = way->look_up(host);
    const std::lock_guard lock(way->mutex);
    if (way->mailbox == nullptr) return;
    // What is posted never runs without its loop, which the resolver belongs to.
    way->mailbox->post(
        [this, host, answer = std::move(answer)]() mutable { finish(host, std::move(answer)); });
  };
  const BlockSignals blocked;
  try {
    std::thread(std::move(work)).detach();
  } catch (const std::system_error& error) {
    return fail(Errc::resource_exhausted, host + ": no thread to look it up: " + error.what());
  }
  return {};
}

void Resolver::settle(const std::string& host, Result<Addresses> answer) {
  const auto found = asked_.find(host);
  KN_ASSERT(found != asked_.end());
  const std::shared_ptr<Asked> asked = std::move(found->second);
  asked_.erase(found);
  asked->answer = std::move(answer);
  asked->answered.set();
}

void Resolver::finish(const std::string& host, Result<Addresses> answer) {
  settle(host, std::move(answer));
  while (!waiting_.empty()) {
    const std::string next = std::move(waiting_.front());
    waiting_.pop_front();
    const auto wanted = asked_.find(next);
    if (wanted->second.use_count() == 1) {  // who wanted it has gone
      asked_.erase(wanted);
      continue;
    }
    const Result<void> started = start(next);
    if (started) return;
    settle(next, started.error());
  }
}

}  // namespace knative::base
