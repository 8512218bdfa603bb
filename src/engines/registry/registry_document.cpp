#include "engines/registry/registry_document.hpp"

#include <array>

#include "engines/registry/registry_text.hpp"
#include "knative/value.hpp"

namespace knative::oci {

namespace {

constexpr std::string_view parameters_begin = "; \t";

std::string_view without_parameters(std::string_view type) noexcept {
  return type.substr(0, type.find_first_of(parameters_begin));
}

// Variants that a machine runs, the best first: newer ones run what older ones do.
int variant_rank(const ImagePlatform& wanted, const ImagePlatform& offered) noexcept {
  const auto level = [](const ImagePlatform& of) {
    const std::string& variant = of.variant;
    const bool numbered = variant.size() == 2 && variant[0] == 'v';
    if (numbered && variant[1] >= '1' && variant[1] <= '9') return variant[1] - '0';
    if (of.architecture == "arm64") return 8;
    return of.architecture == "arm" ? 7 : 1;
  };
  if (wanted.variant == offered.variant) return 1000;
  const int offered_level = level(offered);
  return offered_level > level(wanted) ? 0 : 1 + offered_level;
}

}  // namespace

bool is_index_type(std::string_view media_type) noexcept {
  return media_type == media_type::index || media_type == docker_index_type;
}

bool is_manifest_type(std::string_view media_type) noexcept {
  return media_type == media_type::manifest || media_type == docker_manifest_type;
}

bool is_foreign_layer(const Descriptor& layer) noexcept {
  return layer.media_type.find(".nondistributable.") != std::string::npos ||
         layer.media_type.find(".foreign.") != std::string::npos;
}

Result<std::string> document_type(std::string_view bytes, std::string_view claimed) {
  const JsonLimits limits{64, std::size_t{64} << 20};
  const Result<Value> value = Value::parse_json(bytes, limits);
  if (!value) return value.error();
  if (!value->is_map()) return fail(Errc::invalid_argument, "is no JSON object");
  const Value* version = value->find("schemaVersion");
  const bool listing = value->find("manifests") != nullptr;
  const bool layered = value->find("layers") != nullptr || value->find("config") != nullptr;
  if (value->find("fsLayers") != nullptr ||
      (version != nullptr && version->if_int() != nullptr && *version->if_int() == 1)) {
    return fail(Errc::unimplemented, "is of Docker's schema 1, which is not supported");
  }
  // Who reads it otherwise than we do would get other content under the same digest.
  if (listing && layered) {
    return fail(Errc::invalid_argument, "could be read as a manifest and as an index");
  }
  const Value* own = value->find("mediaType");
  const std::string* named = own == nullptr ? nullptr : own->if_string();
  const std::string_view claim = without_parameters(claimed);
  const bool known_claim = is_index_type(claim) || is_manifest_type(claim);
  std::string type;
  if (named != nullptr && !named->empty()) {
    type = *named;
    if (known_claim && claim != type) {
      return fail(Errc::invalid_argument, "mediaType: is \"" + clean_text(type, 100) +
                                              "\", but it was announced as \"" +
                                              std::string(claim) + "\"");
    }
  } else {
    type = known_claim ? claim : listing ? media_type::index : media_type::manifest;
  }
  const bool right = listing ? is_index_type(type) : layered && is_manifest_type(type);
  if (right) return type;
  return fail(Errc::invalid_argument,
              "mediaType: \"" + clean_text(type, 100) + "\" is not what its members are");
}

const Descriptor* choose_platform(const Index& index, const ImagePlatform& wanted) noexcept {
  const Descriptor* best = nullptr;
  int best_rank = -1;
  for (const Descriptor& entry : index.manifests) {
    if (!is_index_type(entry.media_type) && !is_manifest_type(entry.media_type)) continue;
    int rank = 0;  // no platform: whatever it is, it is for everybody
    if (entry.platform) {
      const ImagePlatform& offered = *entry.platform;
      if (offered.os != wanted.os || offered.architecture != wanted.architecture) continue;
      rank = variant_rank(wanted, offered);
      if (rank == 0) continue;
    } else if (!entry.artifact_type.empty()) {
      continue;
    }
    if (rank > best_rank) {
      best = &entry;
      best_rank = rank;
    }
  }
  return best;
}

std::string platform_text(const ImagePlatform& platform) {
  std::string text = platform.os + "/" + platform.architecture;
  if (!platform.variant.empty()) text += "/" + platform.variant;
  return text;
}

}  // namespace knative::oci
