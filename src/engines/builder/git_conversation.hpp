// A conversation with a git server, whatever carries it: the client's side of gitprotocol-pack,
// gitprotocol-v2 and gitprotocol-http up to the bytes. Every step has the idle limit.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engines/builder/fetch_git.hpp"
#include "engines/builder/git_protocol.hpp"
#include "engines/builder/temporary_folder.hpp"
#include "knative/task.hpp"

namespace knative::builder::git {

class Conversation {
 public:
  virtual ~Conversation() = default;
  // Begin (anew) and hear what the server says first.
  virtual Task<Result<Advertisement>> greet() = 0;
  virtual Task<Result<void>> ask(std::string request) = 0;
  // The next bytes of the answer, valid until the next call; empty at its end.
  virtual Task<Result<std::string_view>> next() = 0;
};

// `world` and `request` must stay.
Result<std::unique_ptr<Conversation>> converse_http(const RemoteWorld& world,
                                                    const CloneRequest& request);
Result<std::unique_ptr<Conversation>> converse_stream(const RemoteWorld& world,
                                                      const CloneRequest& request);

Result<std::unique_ptr<Conversation>> converse_ssh(const RemoteWorld& world,
                                                   const CloneRequest& request);

// The packets that a server says up to the first flush, or to its end.
Task<Result<std::string>> hear_until_flush(Conversation& server);

}  // namespace knative::builder::git
