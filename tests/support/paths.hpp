// Where the checkout and its build are. Asked for at run time, so that no test's object file
// depends on the folder it was built in.
#pragma once

#include <string>

namespace knative::testing_paths {

std::string source();  ///< The checkout.
std::string binary();  ///< The build folder.

}  // namespace knative::testing_paths
