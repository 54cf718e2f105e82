/// UTF-8 as a Dockerfile has it: mostly right, and passed on as it is where it is not.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace starling::dockerfile::syntax {

/// One character: its bytes (borrowed from the text) and its code point.
struct Character {
  std::string_view bytes;
  char32_t code = 0;
};

/// What a byte that begins no character is taken for; its `bytes` is that one byte.
inline constexpr char32_t kNoCharacter = 0xFFFD;

/// The character at the start of `text`, which is not empty.
Character FirstCharacter(std::string_view text);

/// Unicode's White_Space.
bool IsSpace(char32_t code);
/// A letter or a decimal digit of any script, or '_': what a variable's name is made of.
bool IsNameCharacter(char32_t code);

/// ASCII letters in upper case.
std::string UpperCase(std::string_view text);

bool IsUtf8(std::string_view text);
/// The same with U+FFFD for each byte that belongs to no character.
std::string ToUtf8(std::string_view text);

/// Without white space at the start. Borrowed.
std::string_view TrimSpaceLeft(std::string_view text);
/// Without white space at both ends. Borrowed.
std::string_view TrimUnicodeSpace(std::string_view text);

}  // namespace starling::dockerfile::syntax
