/// \file
/// The door of a platform: which handler answers for which host or path, and the one table of its
/// own addresses.
///
/// Hosts are exact and have one owner each; whoever wants a host that another has is told whose it
/// is. What comes without a name (an address, "localhost") is answered by path. Belongs to the
/// platform's loop; a handler that leaves the door answers the requests it has to their end.
///
/// \code
/// into.door().set_hosts("route/default/hello", {"hello.default.localhost"}, handler).value();
/// into.door().set_path("/dashboard", page).value();
/// \endcode
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "knative/error.hpp"
#include "knative/http.hpp"
#include "knative/task.hpp"

namespace knative {

/// How the URLs of a platform are made: NAME.NAMESPACE.DOMAIN outside, and
/// NAME.NAMESPACE.svc.cluster.local inside.
class KNATIVE_EXPORT Addresses {
 public:
  explicit Addresses(std::string domain) : domain_(std::move(domain)) {}
  const std::string& domain() const noexcept { return domain_; }
  /// Of the listener; 0 without one.
  std::uint16_t port() const noexcept { return port_; }
  void set_port(std::uint16_t port) noexcept { port_ = port; }
  /// Whether the listener speaks TLS; then URLs outside are https.
  bool secure() const noexcept { return secure_; }
  void set_secure(bool secure) noexcept { secure_ = secure; }

  /// "http://hello.default.localhost:8080"; without port when there is no listener or it is the
  /// scheme's own.
  std::string external_url(std::string_view name, std::string_view namespace_) const;
  /// "http://hello.default.svc.cluster.local"
  static std::string internal_url(std::string_view name, std::string_view namespace_);
  /// Every host under which a name of a namespace is known: NAME.NAMESPACE with ".svc",
  /// ".svc.cluster.local", alone, and, unless it is private, with the domain.
  std::vector<std::string> hosts(std::string_view name, std::string_view namespace_,
                                 bool is_private = false) const;

 private:
  std::string domain_;
  std::uint16_t port_ = 0;
  bool secure_ = false;
};

/// For whom a host is answered.
enum class Reach : unsigned char {
  everyone,
  /// Callers in this process, and of the listener those on this machine: over loopback or a unix
  /// socket. A proxy that hands on what comes from elsewhere is such a caller, too.
  inside,
};

/// Hands requests to who answers for their host or path.
class KNATIVE_EXPORT Door final : public http::Handler {
 public:
  explicit Door(const Addresses& addresses) : addresses_(addresses) {}

  /// Answer for exactly these hosts (lower case, without port) on behalf of `owner`, in the place
  /// of those it had. Fails with `already_exists`, naming host and owner, when another owner has
  /// one of them or it stands twice among them; then nothing changes. For whom it does not answer,
  /// there is no such host.
  Result<void> set_hosts(std::string_view owner, std::vector<std::string> hosts,
                         std::shared_ptr<http::Handler> handler, Reach reach = Reach::everyone);
  /// Give up every host of `owner`.
  void remove_hosts(std::string_view owner);
  /// Answer for a path and what lies below it on the bare address ("/metrics"); the longest path
  /// wins. Fails with `already_exists`.
  /// A handler that streams bodies to disk says how long they may be, where that is more than the
  /// listener takes otherwise (`http::ServerOptions::body_bytes_max`).
  Result<void> set_path(std::string path, std::shared_ptr<http::Handler> handler,
                        std::uint64_t body_bytes_max = 0);
  void remove_path(std::string_view path);

  /// Who answers for a host (lower case, without port); null: nobody here.
  std::shared_ptr<http::Handler> at_host(std::string_view host) const;
  std::shared_ptr<http::Handler> at_path(std::string_view path) const;
  /// How long a request's body may be by the word of who answers for its path; 0: as any other.
  std::uint64_t body_bytes_max(const http::Request& request) const;
  /// Who answers for a URL of this platform itself: its host is one of ours, and its port the
  /// listener's or that of http (of https, if that is what the listener speaks). Null: it leads
  /// outside.
  std::shared_ptr<http::Handler> at_url(const http::Url& url) const;
  std::size_t hosts() const noexcept { return hosts_.size(); }
  /// Call `added` with every host from now on that was not one before.
  void on_host(std::function<void(std::string_view host)> added) { added_ = std::move(added); }

  /// 404 for a host or path that nobody answers for. Who calls it is inside.
  Task<http::Response> handle(http::Request& request) override { return answer(request, false); }
  /// What a listener serves: the same, for each peer what reaches it. Lives as long as the door.
  http::Handler& front() noexcept { return front_; }
  /// For programs that run here, as in a cluster: every host, but no path of the bare address, so
  /// nothing that steers the platform. Lives as long as the door.
  http::Handler& inside() noexcept { return inside_; }

 private:
  struct Text {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>()(text);
    }
  };
  struct Entry {
    std::string owner;
    std::shared_ptr<http::Handler> handler;
    Reach reach;
  };
  class Front final : public http::Handler {
   public:
    explicit Front(Door& door) : door_(door) {}
    Task<http::Response> handle(http::Request& request) override {
      return door_.answer(request, true);
    }

   private:
    Door& door_;
  };
  class Inside final : public http::Handler {
   public:
    explicit Inside(Door& door) : door_(door) {}
    Task<http::Response> handle(http::Request& request) override;

   private:
    Door& door_;
  };
  /// Who answers for the host of a request; null: nobody. `host` is as it was looked for, which may
  /// lie in `lowered`.
  const Entry* entry_at_host(const http::Request& request, std::string_view& host,
                             std::string& lowered) const;
  /// `arrived`: at a listener, from the request's peer.
  Task<http::Response> answer(http::Request& request, bool arrived);

  const Addresses& addresses_;
  Front front_{*this};
  Inside inside_{*this};
  std::function<void(std::string_view host)> added_;
  std::unordered_map<std::string, Entry, Text, std::equal_to<>> hosts_;
  std::unordered_map<std::string, std::vector<std::string>, Text, std::equal_to<>> owners_;
  struct PathEntry {
    std::shared_ptr<http::Handler> handler;
    std::uint64_t body_bytes_max = 0;
  };
  const PathEntry* entry_at_path(std::string_view path) const;

  std::map<std::string, PathEntry, std::less<>> paths_;
};

}  // namespace knative
