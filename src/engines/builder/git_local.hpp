// A repository on this machine, read where it lies: where its objects are, and its refs. Whose it
// is and what is configured does not matter; nothing of it is run. Blocking.
#pragma once

#include <string>
#include <vector>

#include "engines/builder/git_protocol.hpp"
#include "knative/files.hpp"

namespace knative::builder::git {

struct LocalRepository {
  std::string objects;  // folder
  std::vector<RemoteRef> refs;
};

// `path` is a working tree, also a further one (git worktree), or a bare repository. `not_found`
// when there is none, `unimplemented` when its objects or refs are kept in a way not known here.
Result<LocalRepository> open_local(Files& files, const std::string& path);

}  // namespace knative::builder::git
