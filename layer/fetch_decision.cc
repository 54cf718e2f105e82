#include "layer/fetch_decision.h"

#include <algorithm>
#include <chrono>

namespace starling::layer {
namespace {

/// Below this a layer costs about as much time as the questions about it.
constexpr uint64_t kSmallRoundTrips = 2;
/// An unmeasured link is taken for an ordinary one to a registry (LinkEstimate).
constexpr uint64_t kSmallBytesUnmeasured = 2'000'000;
/// However fast the link: what is taken whole is written whole, too.
constexpr uint64_t kMaxSmallBytes = 16 << 20;
/// Nearly all members hold something needed then, and reading in parts saves nothing.
constexpr double kDense = 0.7;
/// So much will be read that the rest is likely to be read soon, too.
constexpr double kHalfDense = 0.3;

constexpr size_t kMaxTextBytes = 1000;
constexpr std::pair<FetchMode, std::string_view> kNames[] = {
    {FetchMode::kLazy, "lazy"},
    {FetchMode::kLazyAndEager, "lazy+eager"},
    {FetchMode::kEager, "eager"}};

std::string Percent(double share) { return fmt::format("{:.0f} %", share * 100); }

FetchDecision ByDensity(double share) {
  const std::string needed = Percent(share) + " of its bytes are needed by runs";
  if (share >= kDense) {
    return {FetchMode::kEager, needed};
  }
  if (share >= kHalfDense) {
    return {FetchMode::kLazyAndEager, needed};
  }
  return {FetchMode::kLazy, needed};
}

}  // namespace

FetchDecision DecideFetch(FetchPreference preference, const FetchFacts& facts) {
  if (!facts.can_be_lazy) {
    return {FetchMode::kEager, "it can only be read as a whole"};
  }
  if (preference == FetchPreference::kLazy) {
    return {FetchMode::kLazy, "as configured"};
  }
  if (preference == FetchPreference::kEager) {
    return {FetchMode::kEager, "as configured"};
  }
  const uint64_t small_bytes =
      facts.link ? std::min(kSmallRoundTrips * facts.link->round_trip_bytes(), kMaxSmallBytes)
                 : kSmallBytesUnmeasured;
  if (facts.blob_bytes <= small_bytes) {
    return {FetchMode::kEager,
            fmt::format("{} bytes are no more than the {} that {} moves in {} "
                        "round trips",
                        facts.blob_bytes, small_bytes, facts.link ? "the link" : "an ordinary link",
                        kSmallRoundTrips)};
  }
  if (facts.needed_share) {
    return ByDensity(*facts.needed_share);
  }
  return {FetchMode::kLazy, "nothing is known of what its runs need"};
}

std::string_view NameOf(FetchMode mode) {
  return std::ranges::find(kNames, mode, &std::pair<FetchMode, std::string_view>::first)->second;
}

std::string ToText(const FetchDecision& decision) {
  return fmt::format("{}: {}\n", NameOf(decision.mode), decision.reason);
}

StatusOr<FetchDecision> ParseFetchDecision(std::string_view text) {
  const size_t colon = text.find(": ");
  if (colon == std::string_view::npos || text.size() > kMaxTextBytes || text.back() != '\n') {
    return MakeError(StatusCode::kDataLoss, "no fetch decision");
  }
  const auto* const name = std::ranges::find(kNames, text.substr(0, colon),
                                             &std::pair<FetchMode, std::string_view>::second);
  if (name == std::end(kNames)) {
    return MakeError(StatusCode::kDataLoss, "an unknown fetch decision");
  }
  return FetchDecision{.mode = name->first,
                       .reason = std::string(text.substr(colon + 2, text.size() - colon - 3))};
}

}  // namespace starling::layer
