// Archives that our writer would never make, byte by byte.
#pragma once

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "wire/oci_tar.hpp"

namespace knative::oci::testing_tar {

struct Raw {
  std::string name;
  char type = '0';
  std::string content = {};
  std::string link = {};
  unsigned mode = 0644;
  unsigned device_major = 0;
  unsigned device_minor = 0;
};

inline std::string octal(std::uint64_t value, int width) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%0*llo", width, static_cast<unsigned long long>(value));
  return text.data();
}

inline void put(std::span<char> field, std::string_view text) {
  std::copy_n(text.begin(), std::min(text.size(), field.size()), field.begin());
}

inline tar::Header raw_header(const Raw& raw) {
  tar::Header header{};
  put(header.name, raw.name);
  put(header.mode, octal(raw.mode, 7));
  put(header.size, octal(raw.content.size(), 11));
  put(header.mtime, octal(0, 11));
  header.type = raw.type;
  put(header.link, raw.link);
  put(header.magic, std::string_view("ustar\0", 6));
  put(header.version, "00");
  put(header.device_major, octal(raw.device_major, 7));
  put(header.device_minor, octal(raw.device_minor, 7));
  put(header.checksum, octal(tar::checksum(header), 6));
  return header;
}

inline std::string bytes_of(const tar::Header& header) {
  return std::string(reinterpret_cast<const char*>(&header), sizeof header);
}

inline std::string padded(std::string content) {
  content.append(tar::padding_after(content.size()), '\0');
  return content;
}

inline std::string raw_entry(const Raw& raw) {
  return bytes_of(raw_header(raw)) + padded(raw.content);
}

inline std::string raw_tar(const std::vector<Raw>& entries) {
  std::string bytes;
  for (const Raw& entry : entries) bytes += raw_entry(entry);
  return bytes + std::string(1024, '\0');
}

// "<length> key=value\n"
inline std::string pax_record(const std::string& key, const std::string& value) {
  const std::string rest = " " + key + "=" + value + "\n";
  std::size_t length = rest.size() + 1;
  while (std::to_string(length).size() + rest.size() != length) ++length;
  return std::to_string(length) + rest;
}

// A zstd frame (RFC 8878) of one uncompressed block, at most 128 KiB, for a window of 2^log bytes.
inline std::string zstd_frame(const std::string& content, unsigned window_log = 21) {
  std::string frame("\x28\xb5\x2f\xfd\0", 5);
  frame.push_back(static_cast<char>((window_log - 10) << 3));
  const auto block = static_cast<unsigned>(content.size() << 3 | 1);
  for (unsigned shift = 0; shift < 24; shift += 8)
    frame.push_back(static_cast<char>(block >> shift));
  return frame + content;
}

// A frame that a reader skips.
inline std::string zstd_skippable(const std::string& content) {
  std::string frame("\x52\x2a\x4d\x18", 4);
  for (unsigned shift = 0; shift < 32; shift += 8) {
    frame.push_back(static_cast<char>(content.size() >> shift));
  }
  return frame + content;
}

}  // namespace knative::oci::testing_tar
