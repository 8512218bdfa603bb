// A program that is to be isolated, in words of OCI runtimes. Private to the workload.
#pragma once

#include <string>

#include "knative/processes.hpp"

namespace knative {

/// The config.json for a runtime on the stage of `program.isolation`: paths are those that it finds
/// there, and `Isolation::files` lie in "files" by their numbers. It neither makes control groups
/// nor a network, both of which are around it; the namespace of users is around it, too.
std::string oci_config(const ProcessOptions& program);

}  // namespace knative
