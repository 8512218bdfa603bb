// Where a git repository behind ssh is. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "knative/error.hpp"

namespace knative::builder::git {

struct SshAddress {
  std::string user;  // empty: whoever the client takes
  std::string host;
  std::optional<std::uint16_t> port;
  std::string path;
};

// "ssh://…", "git+ssh://…", "ssh+git://…", and "[user@]host:path".
bool is_ssh(std::string_view url);
// Refuses what could be taken for an option, and a password.
Result<SshAddress> parse_ssh(std::string_view url);

// As one word of the shell at the other side.
std::string shell_word(std::string_view text);

}  // namespace knative::builder::git
