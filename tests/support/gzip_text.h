/// Contents that deflate compresses about as well as it does programs and texts.
#pragma once

#include <cstdint>
#include <random>
#include <string>

namespace starling::testing_support {

/// `size_bytes` of words, numbers and some noise; the same for the same `seed`.
inline std::string CompressibleText(size_t size_bytes, uint32_t seed) {
  std::mt19937 random(seed);
  std::string words[64];
  for (std::string& word : words) {
    for (auto letters = 2 + random() % 9; letters > 0; --letters) {
      word += static_cast<char>('a' + random() % 26);
    }
  }
  std::string text;
  text.reserve(size_bytes + 32);
  while (text.size() < size_bytes) {
    const auto dice = static_cast<uint32_t>(random());
    if (dice % 16 == 0) {
      for (int i = 0; i < 12; ++i) {
        text += static_cast<char>(random());
      }
    } else {
      text += words[dice / 16 % 64];
      text += dice % 5 == 0 ? std::to_string(dice / 1024) : " ";
    }
  }
  text.resize(size_bytes);
  return text;
}

/// Bytes that deflate stores as they are.
inline std::string Noise(size_t size_bytes, uint32_t seed) {
  std::mt19937 random(seed);
  std::string noise(size_bytes, '\0');
  for (char& c : noise) {
    c = static_cast<char>(random());
  }
  return noise;
}

}  // namespace starling::testing_support
