#include "engines/builder/storage_manifest.hpp"

#include <algorithm>
#include <set>

#include "engines/builder/paths.hpp"
#include "knative/value.hpp"

namespace knative::builder {

namespace {

constexpr std::size_t sha1_digits = 40;

Error wrong_entry(const std::string& name, const std::string& why) {
  return fail(Errc::invalid_argument, "manifest entry \"" + name + "\": " + why);
}

std::string text_member(const Value& object, std::string_view key) {
  const Value* found = object.find(key);
  const std::string* text = found == nullptr ? nullptr : found->if_string();
  return text == nullptr ? std::string() : *text;
}

Result<ManifestEntry> manifest_entry(const std::string& name, const Value& value) {
  if (!value.is_map()) return wrong_entry(name, "is no object");
  ManifestEntry entry;
  const Result<std::string> clean = clean_relative(name, "manifest entry");
  if (!clean) return clean.error();
  if (clean->empty() || name.starts_with('/') || name.ends_with('/')) {
    return wrong_entry(name, "names no file of the workspace");
  }
  entry.name = *clean;
  entry.location = text_member(value, "sourceUrl");
  entry.sha1 = text_member(value, "sha1sum");
  if (entry.location.empty()) return wrong_entry(name, "has no sourceUrl");
  const bool digits = std::all_of(entry.sha1.begin(), entry.sha1.end(), [](char& c) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c + 32);
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
  if (!entry.sha1.empty() && (!digits || entry.sha1.size() != sha1_digits)) {
    return wrong_entry(name, "its sha1sum is none");
  }
  return entry;
}

}  // namespace

Result<std::vector<ManifestEntry>> parse_manifest(std::string_view text, std::uint64_t files_max) {
  const Result<Value> document = Value::parse_json(text);
  if (!document) return document.error().within("the manifest");
  if (!document->is_map()) {
    return fail(Errc::invalid_argument, "the manifest is no JSON object");
  }
  std::vector<ManifestEntry> entries;
  std::set<std::string, std::less<>> folders;
  for (const auto& [name, value] : document->as_map()) {
    Result<ManifestEntry> entry = manifest_entry(name, value);
    if (!entry) return entry.error();
    for (std::size_t slash = entry->name.find('/'); slash != std::string::npos;
         slash = entry->name.find('/', slash + 1)) {
      folders.insert(entry->name.substr(0, slash));
    }
    entries.push_back(std::move(*entry));
    if (entries.size() + folders.size() > files_max) {
      return fail(Errc::resource_exhausted,
                  "the manifest has more than " + std::to_string(files_max) + " files and folders");
    }
  }
  const auto by_name = [](const ManifestEntry& a, const ManifestEntry& b) {
    return a.name < b.name;
  };
  std::sort(entries.begin(), entries.end(), by_name);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::string& name = entries[i].name;
    if (i > 0 && entries[i - 1].name == name) return wrong_entry(name, "is there twice");
    if (folders.contains(name)) return wrong_entry(name, "is a file and a folder");
  }
  return entries;
}

}  // namespace knative::builder
