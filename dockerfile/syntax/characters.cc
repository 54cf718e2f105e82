#include "dockerfile/syntax/characters.h"

#include <re2/re2.h>

#include <cstdint>
#include <string>

namespace starling::dockerfile::syntax {

Character FirstCharacter(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text.front());
  if (lead < 0x80) {
    return {text.substr(0, 1), lead};
  }
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  const Character invalid{text.substr(0, 1), kNoCharacter};
  if (length == 0 || lead > 0xF4 || text.size() < length) {
    return invalid;
  }
  char32_t code = lead & (0xFFU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if ((byte & 0xC0U) != 0x80) {
      return invalid;
    }
    code = code << 6U | (byte & 0x3FU);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  if (overlong || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
    return invalid;
  }
  return {text.substr(0, length), code};
}

bool IsSpace(char32_t code) {
  return (code >= '\t' && code <= '\r') || code == ' ' || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
         code == 0x202F || code == 0x205F || code == 0x3000;
}

bool IsNameCharacter(char32_t code) {
  if (code < 0x80) {
    return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z') ||
           (code >= '0' && code <= '9') || code == '_';
  }
  if (code == kNoCharacter) {
    return false;
  }
  static const RE2& letters = *new RE2(R"([\pL\p{Nd}])");
  std::string bytes;
  if (code < 0x800) {
    bytes = {static_cast<char>(0xC0U | code >> 6U), static_cast<char>(0x80U | (code & 0x3FU))};
  } else if (code < 0x10000) {
    bytes = {static_cast<char>(0xE0U | code >> 12U),
             static_cast<char>(0x80U | (code >> 6U & 0x3FU)),
             static_cast<char>(0x80U | (code & 0x3FU))};
  } else {
    bytes = {
        static_cast<char>(0xF0U | code >> 18U), static_cast<char>(0x80U | (code >> 12U & 0x3FU)),
        static_cast<char>(0x80U | (code >> 6U & 0x3FU)), static_cast<char>(0x80U | (code & 0x3FU))};
  }
  return RE2::FullMatch(bytes, letters);
}

std::string UpperCase(std::string_view text) {
  std::string upper;
  for (const char c : text) {
    upper += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return upper;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const Character next = FirstCharacter(text);
    if (next.code == kNoCharacter && next.bytes.size() == 1) {
      return false;
    }
    text.remove_prefix(next.bytes.size());
  }
  return true;
}

std::string ToUtf8(std::string_view text) {
  std::string valid;
  while (!text.empty()) {
    const Character next = FirstCharacter(text);
    valid += next.code == kNoCharacter ? "\xEF\xBF\xBD" : next.bytes;
    text.remove_prefix(next.bytes.size());
  }
  return valid;
}

std::string_view TrimSpaceLeft(std::string_view text) {
  while (!text.empty()) {
    const Character first = FirstCharacter(text);
    if (!IsSpace(first.code)) {
      break;
    }
    text.remove_prefix(first.bytes.size());
  }
  return text;
}

std::string_view TrimUnicodeSpace(std::string_view text) {
  text = TrimSpaceLeft(text);
  size_t end = 0;
  for (size_t at = 0; at < text.size();) {
    const Character next = FirstCharacter(text.substr(at));
    at += next.bytes.size();
    if (!IsSpace(next.code)) {
      end = at;
    }
  }
  return text.substr(0, end);
}

}  // namespace starling::dockerfile::syntax
