/// \file
/// Library version and the export macro.
#pragma once

#define KNATIVE_VERSION_MAJOR 0
#define KNATIVE_VERSION_MINOR 1
#define KNATIVE_VERSION_PATCH 0
#define KNATIVE_VERSION_STRING "0.1.0"

#if defined(KNATIVE_SHARED) && (defined(__GNUC__) || defined(__clang__))
#define KNATIVE_EXPORT __attribute__((visibility("default")))
#else
#define KNATIVE_EXPORT
#endif
