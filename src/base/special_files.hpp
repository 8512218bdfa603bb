// What `Files` has no word for: named pipes and device nodes, which other people's images have.
#pragma once

#include <string>

#include "knative/error.hpp"
#include "knative/files.hpp"

namespace knative::base {

/// A named pipe or a device node.
struct SpecialFile {
  enum class Kind : unsigned char { pipe, character_device, block_device };
  Kind kind = Kind::pipe;
  unsigned mode = 0644;
  unsigned major = 0;  ///< Of a device.
  unsigned minor = 0;
  friend bool operator==(const SpecialFile&, const SpecialFile&) = default;
};

/// A capability that some file systems have beside `Files`.
class SpecialFiles {
 public:
  /// `unimplemented` when this process may not make it here.
  virtual Result<void> make_special(const std::string& path, const SpecialFile& file) = 0;
  /// What lies at `path`; `unimplemented` for what is none of these, as a socket.
  virtual Result<SpecialFile> special(const std::string& path) = 0;

 protected:
  ~SpecialFiles() = default;
};

/// Null when these files know of none.
inline SpecialFiles* special_files(Files& files) { return dynamic_cast<SpecialFiles*>(&files); }

}  // namespace knative::base
