/// \file
/// Network, files and child processes: the three headers in one.
///
/// `Env` (env.hpp) bundles them; both worlds (`Loop`, `Simulation`) implement them. Objects belong
/// to the loop they came from unless they say that they are thread-safe.
#pragma once

#include "knative/files.hpp"
#include "knative/network.hpp"
#include "knative/processes.hpp"
