/// Parts of TOML as text, for what is written into files of others.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace starling {

/// `text` as a TOML string, with its quotes.
std::string TomlString(std::string_view text);
/// As a TOML list of strings, on one line.
std::string TomlStrings(const std::vector<std::string>& texts);
/// `name` as it stands in a header or in front of =: bare if it can be.
std::string TomlKey(std::string_view name);
/// Names with dots between them.
std::string TomlPathText(const std::vector<std::string>& path);

}  // namespace starling
