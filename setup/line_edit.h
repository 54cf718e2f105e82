#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace starling::setup {

/// A change of whole lines of a text file.
struct LineEdit {
  size_t line = 1;                 // counted from 1; one more than there are: at the end
  size_t removed = 0;              // so many lines go, from `line` on
  std::vector<std::string> added;  // what comes there, without ends of lines

  friend bool operator==(const LineEdit&, const LineEdit&) = default;
};

/// The lines of a text, without their ends; a last one without an end counts. Borrowed.
std::vector<std::string_view> LinesOf(std::string_view text);

/// All of `edits`, whose lines are those of `text`, made at once; of two at one line the first is
/// above. Added lines end as the first line of `text` does.
std::string Edited(std::string_view text, std::span<const LineEdit> edits);

}  // namespace starling::setup
