#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

namespace starling::testing_support {

/// What the file at `path` holds; nothing if it cannot be opened, and only a part if an error ends
/// it. Whole blocks at a time: an istreambuf_iterator, unoptimised, takes a hundred times as long.
inline std::string ReadWhole(const std::filesystem::path& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) {
    text << file.rdbuf();
  }
  return std::move(text).str();
}

}  // namespace starling::testing_support
