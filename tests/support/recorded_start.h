/// A job's first reads of an image, from a file whose head says what it has.
#pragma once

#include <chrono>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/status.h"

namespace starling::testing_support {

struct RecordedStart {
  struct Member {
    uint64_t blob_size = 0;
    uint64_t data_bytes = 1;
    bool is_unlikely = false;
  };
  struct Read {
    std::chrono::milliseconds at{0};  // had nothing been waited for
    uint32_t layer = 0;
    uint32_t member = 0;
  };
  std::vector<std::vector<Member>> layers;  // members in the order of the blob, without holes
  std::vector<Read> reads;                  // of each member the first, in order

  uint64_t read_bytes() const {
    uint64_t bytes = 0;
    for (const Read& read : reads) {
      bytes += layers[read.layer][read.member].blob_size;
    }
    return bytes;
  }

  /// kDataLoss for anything else than tests/unit/layer/ml_start.txt describes.
  static StatusOr<RecordedStart> Load(const std::string& file) {
    std::ifstream stream(file);
    RecordedStart start;
    for (std::string line; std::getline(stream, line);) {
      std::istringstream words(line);
      std::string kind;
      words >> kind;
      if (kind == "layer") {
        start.layers.emplace_back();
      } else if (kind == "members" && !start.layers.empty()) {
        for (std::string word; words >> word;) {
          start.layers.back().push_back(ParseMember(word));
        }
      } else if (kind == "reads") {
        uint64_t at = 0;
        words >> at;
        Read read{.at = std::chrono::milliseconds(at)};
        for (std::string word; words >> word;) {
          const size_t colon = word.find(':');
          read.layer = static_cast<uint32_t>(std::stoul(word.substr(0, colon)));
          read.member = static_cast<uint32_t>(std::stoul(word.substr(colon + 1)));
          if (read.layer >= start.layers.size() || read.member >= start.layers[read.layer].size()) {
            return MakeError(StatusCode::kDataLoss, fmt::format("{}: no member {}", file, word));
          }
          start.reads.push_back(read);
        }
      } else if (!kind.starts_with('#') && !kind.empty()) {
        return MakeError(StatusCode::kDataLoss, fmt::format("{}: {}?", file, kind));
      }
    }
    if (start.reads.empty()) {
      return MakeError(StatusCode::kNotFound, fmt::format("{}: no reads in it", file));
    }
    return start;
  }

 private:
  /// BLOB_SIZE[:DATA_BYTES][u]
  static Member ParseMember(std::string word) {
    Member member;
    if (word.ends_with('u')) {
      member.is_unlikely = true;
      word.pop_back();
    }
    member.blob_size = std::stoull(word);
    if (const size_t colon = word.find(':'); colon != std::string::npos) {
      member.data_bytes = std::stoull(word.substr(colon + 1));
    }
    return member;
  }
};

}  // namespace starling::testing_support
