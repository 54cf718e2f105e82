#include "layer/fetch_decision.h"

#include <gtest/gtest.h>

namespace starling::layer {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kMegabyte = 1'000'000;
/// Moves 1 MB in a round trip.
constexpr MeasuredLink kOrdinary{.round_trip = milliseconds(10), .bytes_per_second = 100'000'000};

TEST(DecideFetch, Table) {
  const struct {
    std::string_view name;
    FetchPreference preference = FetchPreference::kAuto;
    FetchFacts facts;
    FetchMode want;
    std::string_view reason;
  } cases[] = {
      {.name = "no table of contents",
       .facts = {.blob_bytes = 500 * kMegabyte, .can_be_lazy = false},
       .want = FetchMode::kEager,
       .reason = "it can only be read as a whole"},
      {.name = "no table of contents, lazy wished",
       .preference = FetchPreference::kLazy,
       .facts = {.blob_bytes = 500 * kMegabyte, .can_be_lazy = false},
       .want = FetchMode::kEager,
       .reason = "it can only be read as a whole"},
      {.name = "lazy as configured",
       .preference = FetchPreference::kLazy,
       .facts = {.blob_bytes = 10, .needed_share = 1.0},
       .want = FetchMode::kLazy,
       .reason = "as configured"},
      {.name = "eager as configured",
       .preference = FetchPreference::kEager,
       .facts = {.blob_bytes = 500 * kMegabyte, .needed_share = 0.0},
       .want = FetchMode::kEager,
       .reason = "as configured"},
      {.name = "small for the link",
       .facts = {.blob_bytes = 2 * kMegabyte, .link = kOrdinary, .needed_share = 0.1},
       .want = FetchMode::kEager,
       .reason = "2000000 bytes are no more than the 2000000 that the link moves in 2 round trips"},
      {.name = "a byte more",
       .facts = {.blob_bytes = 2 * kMegabyte + 1, .link = kOrdinary, .needed_share = 0.1},
       .want = FetchMode::kLazy,
       .reason = "10 % of its bytes are needed by runs"},
      {.name = "small, nothing measured",
       .facts = {.blob_bytes = 2 * kMegabyte},
       .want = FetchMode::kEager,
       .reason = "2000000 bytes are no more than the 2000000 that an ordinary link moves in 2 "
                 "round trips"},
      {.name = "large, nothing known",
       .facts = {.blob_bytes = 300 * kMegabyte},
       .want = FetchMode::kLazy,
       .reason = "nothing is known of what its runs need"},
      {.name = "a long and fast link does not make all small",
       .facts = {.blob_bytes = 20 * kMegabyte,
                 .link = MeasuredLink{.round_trip = milliseconds(100),
                                      .bytes_per_second = 1'000'000'000}},
       .want = FetchMode::kLazy,
       .reason = "nothing is known of what its runs need"},
      {.name = "a slow link",
       .facts = {.blob_bytes = kMegabyte,
                 .link =
                     MeasuredLink{.round_trip = milliseconds(50), .bytes_per_second = 1'000'000}},
       .want = FetchMode::kLazy,
       .reason = "nothing is known of what its runs need"},
      {.name = "dense",
       .facts = {.blob_bytes = 300 * kMegabyte, .link = kOrdinary, .needed_share = 0.7},
       .want = FetchMode::kEager,
       .reason = "70 % of its bytes are needed by runs"},
      {.name = "half dense",
       .facts = {.blob_bytes = 300 * kMegabyte, .link = kOrdinary, .needed_share = 0.3},
       .want = FetchMode::kLazyAndEager,
       .reason = "30 % of its bytes are needed by runs"},
      {.name = "sparse",
       .facts = {.blob_bytes = 300 * kMegabyte, .link = kOrdinary, .needed_share = 0.0},
       .want = FetchMode::kLazy,
       .reason = "0 % of its bytes are needed by runs"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const FetchDecision decision = DecideFetch(c.preference, c.facts);
    EXPECT_EQ(NameOf(decision.mode), NameOf(c.want));
    EXPECT_EQ(decision.reason, c.reason);
    const auto parsed = ParseFetchDecision(ToText(decision));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, decision);
  }
}

TEST(ParseFetchDecision, RefusesOtherText) {
  for (const std::string& text :
       {std::string(), std::string("lazy\n"), std::string("lazy: cut off"),
        std::string("often: why\n"), "lazy: " + std::string(2000, 'r') + "\n"}) {
    EXPECT_EQ(ParseFetchDecision(text).status().code(), StatusCode::kDataLoss) << text;
  }
}

}  // namespace
}  // namespace starling::layer
