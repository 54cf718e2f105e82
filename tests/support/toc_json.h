/// TOCs for tests, as JSON and as the gzip member of a blob.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "estargz/toc.h"
#include "tests/support/gzip.h"

namespace starling::testing_support {

/// A TOC document around entries that are written as JSON objects.
inline std::string TocDocument(const std::vector<std::string>& entries) {
  std::string json = R"({"version":1,"entries":[)";
  for (const std::string& entry : entries) {
    json += json.back() == '[' ? "" : ",";
    json += entry;
  }
  return json + "]}";
}

/// "sha256:" and 64 times `digit`.
inline std::string FakeDigest(char digit) { return "sha256:" + std::string(64, digit); }

/// `  "digest":"sha256:111..."`, for the middle of an entry.
inline std::string DigestField(char digit = '1') {
  return R"("digest":")" + FakeDigest(digit) + R"(")";
}

/// A tar with one file, ended by two empty blocks. `type` is the header's type flag.
inline std::string TarOf(std::string_view name, std::string_view content, char type = '0') {
  std::string header(512, '\0');
  header.replace(0, name.size(), name);
  header.replace(100, 8, std::string_view("0000644\0", 8));
  char size[13];
  std::snprintf(size, sizeof(size), "%011zo", content.size());
  header.replace(124, 11, size, 11);
  header.replace(148, 8, "        ");
  header[156] = type;
  header.replace(257, 8, std::string_view("ustar\00000", 8));
  unsigned sum = 0;
  for (const char c : header) {
    sum += static_cast<unsigned char>(c);
  }
  char checksum[8];
  std::snprintf(checksum, sizeof(checksum), "%06o", sum);
  header.replace(148, 7, std::string_view(checksum, 7));
  std::string tar = header + std::string(content);
  tar.resize((tar.size() + 511) / 512 * 512 + 1024, '\0');
  return tar;
}

/// The TOC member of a blob.
inline std::string TocMember(std::string_view json) { return Gzip(TarOf(estargz::kTocName, json)); }

}  // namespace starling::testing_support
