#include "base/toml_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace starling {

std::string TomlString(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        quoted += "\\\"";
        break;
      case '\\':
        quoted += "\\\\";
        break;
      case '\n':
        quoted += "\\n";
        break;
      case '\t':
        quoted += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          quoted += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
        } else {
          quoted += c;
        }
    }
  }
  return quoted + '"';
}

std::string TomlStrings(const std::vector<std::string>& texts) {
  std::string list = "[";
  for (const std::string& text : texts) {
    list += (list.size() > 1 ? ", " : "") + TomlString(text);
  }
  return list + ']';
}

std::string TomlKey(std::string_view name) {
  const bool is_bare = !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
  return is_bare ? std::string(name) : TomlString(name);
}

std::string TomlPathText(const std::vector<std::string>& path) {
  std::string text;
  for (const std::string& name : path) {
    text += (text.empty() ? "" : ".") + TomlKey(name);
  }
  return text;
}

}  // namespace starling
