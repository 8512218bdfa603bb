// Who a user is in an image: its passwd and group files. Private to the workload.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "knative/error.hpp"
#include "knative/files.hpp"

namespace knative {

/// A user as the kernel knows him.
struct ImageUser {
  std::uint32_t user = 0;
  std::uint32_t group = 0;
  std::vector<std::uint32_t> groups;  ///< Supplementary ones, sorted.
  std::string home = "/";
};

/// The texts of /etc/passwd and /etc/group of an image; empty where it has none. Not through links:
/// those could lead out of it.
struct ImageUsers {
  std::string passwd;
  std::string group;

  static ImageUsers read(Files& files, const std::string& root);
  /// "NAME", "UID", either with ":GROUP" or ":GID"; empty: user 0. A number need not be listed.
  /// `not_found` for a name that is not.
  Result<ImageUser> find(std::string_view wanted) const;
};

}  // namespace knative
