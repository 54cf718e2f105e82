/// How the bytes of a layer are to come: decided once, when it is first opened.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "layer/link_estimate.h"

namespace starling::layer {

enum class FetchMode {
  kLazy,          // what is read, and the rest once nothing else is to be done
  kLazyAndEager,  // what is read, and beside it all of the rest at once
  kEager,         // all of it at once
};

/// What the operator wants.
enum class FetchPreference { kAuto, kLazy, kEager };

/// What is known of a layer when it is opened.
struct FetchFacts {
  uint64_t blob_bytes = 0;
  bool can_be_lazy = true;
  /// Of the link to its registry; nothing until something was measured.
  std::optional<MeasuredLink> link;
  /// The share of its data that runs of its image needed, 0 to 1; nothing without a profile.
  std::optional<double> needed_share;
};

/// What was decided, and why, for people.
struct FetchDecision {
  FetchMode mode = FetchMode::kLazy;
  std::string reason;

  friend bool operator==(const FetchDecision&, const FetchDecision&) = default;
};

/// Depends on its arguments alone.
FetchDecision DecideFetch(FetchPreference preference, const FetchFacts& facts);

/// "lazy", "lazy+eager" or "eager".
std::string_view NameOf(FetchMode mode);

/// A decision as text, one line, and back. kDataLoss for what ToText does not write.
std::string ToText(const FetchDecision& decision);
StatusOr<FetchDecision> ParseFetchDecision(std::string_view text);

}  // namespace starling::layer
