/// Where something stands in a Dockerfile, and what is wrong there.
#pragma once

#include <string>

namespace starling::dockerfile::syntax {

/// A place in the text: line and column count from 1, the column in bytes. Line 0 is nowhere.
struct Position {
  int line = 0;
  int column = 0;
  bool operator==(const Position&) const = default;
};

/// From `begin` to `end`, which no longer belongs to it.
struct Range {
  Position begin;
  Position end;
  bool operator==(const Range&) const = default;
};

/// A piece of the text as it was written (variables not expanded) and where.
struct Text {
  std::string value;
  Range range;
};

/// Why a Dockerfile is refused. `suggestion` is what was probably meant, or empty.
struct Problem {
  std::string message;
  Range range;
  std::string suggestion;
};

}  // namespace starling::dockerfile::syntax
