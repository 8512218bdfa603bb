#include "support/paths.hpp"

namespace knative::testing_paths {

std::string source() { return KNATIVE_SOURCE_DIR; }
std::string binary() { return KNATIVE_BINARY_DIR; }

}  // namespace knative::testing_paths
