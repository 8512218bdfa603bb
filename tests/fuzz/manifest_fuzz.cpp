// Feeds arbitrary text to the manifest parser; what it accepts must survive printing.
#include <cstdint>
#include <cstdlib>

#include "knative/manifest.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace knative;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  manifest::ParseOptions options;
  options.file_name = "f";
  options.validate = true;
  options.limits = {.bytes_max = 1 << 16, .depth_max = 32, .documents_max = 16, .nodes_max = 10000};
  if (const auto values = manifest::parse_values(text, options)) {
    for (const Value& value : *values) {
      // Bytes that are no text (from !!binary) are replaced when printed: compare the second round.
      const auto once = manifest::parse_values(manifest::to_yaml(value));
      if (!once || once->size() != 1) std::abort();
      const auto twice = manifest::parse_values(manifest::to_yaml(once->front()));
      if (!twice || twice->size() != 1 || !(twice->front() == once->front())) std::abort();
    }
  }
  if (const auto objects = manifest::parse(text, options)) {
    const auto again = manifest::parse(manifest::print(*objects));
    if (!again || again->size() != objects->size()) std::abort();
  }
  return 0;
}
