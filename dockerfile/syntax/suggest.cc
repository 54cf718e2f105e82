#include "dockerfile/syntax/suggest.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/text.h"

namespace starling::dockerfile::syntax {
namespace {

constexpr size_t kMaxDistance = 2;
// Nothing of ours is longer; a hostile word costs no more than this.
constexpr size_t kMaxWordBytes = 128;
constexpr size_t kMaxOptions = 1000;

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string Suggest(std::string_view word, std::span<const std::string_view> options) {
  if (word.size() > kMaxWordBytes || options.size() > kMaxOptions) {
    return {};
  }
  const std::string lower = LowerCase(word);
  std::string_view best;
  size_t best_distance = kMaxDistance + 1;
  for (const std::string_view option : options) {
    const size_t distance = EditDistance(lower, LowerCase(option));
    if (option == word) {
      return {};
    }
    if (distance < best_distance && distance < std::max(word.size(), option.size())) {
      best = option;
      best_distance = distance;
    }
  }
  return std::string(best);
}

std::string DidYouMean(std::string_view suggestion, std::string_view prefix) {
  return suggestion.empty() ? "" : fmt::format(" (did you mean {}{}?)", prefix, suggestion);
}

}  // namespace starling::dockerfile::syntax
