#include "layer/access_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

namespace starling::layer {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

oci::Digest DigestOf(std::string_view text) { return oci::Digest::Of(AsBytes(text)); }

store::LayerKey Key(std::string_view name) {
  return {.layer = DigestOf(name), .toc = DigestOf("toc")};
}

/// Two keys, the lesser one first.
std::pair<store::LayerKey, store::LayerKey> TwoKeys() { return std::minmax({Key("a"), Key("b")}); }

AccessRange Access(uint64_t address, uint64_t size_bytes, int64_t ms, uint32_t runs = 1) {
  return {.range = {.data_address = address, .size_bytes = size_bytes},
          .first_need = milliseconds(ms),
          .runs = runs};
}

AccessProfile OneLayer(uint32_t runs, std::vector<AccessRange> ranges) {
  auto profile = AccessProfile::Make(DigestOf("image"), runs,
                                     {{.key = Key("a"), .ranges = std::move(ranges)}});
  EXPECT_TRUE(profile.ok()) << Describe(profile.status());
  return *profile;
}

std::vector<AccessRange> RangesOf(const AccessProfile& profile) {
  return profile.layers().empty() ? std::vector<AccessRange>() : profile.layers().front().ranges;
}

TEST(AccessProfile, HasOneForm) {
  const auto [first, second] = TwoKeys();
  const auto profile = AccessProfile::Make(
      DigestOf("image"), 2,
      {{.key = second, .ranges = {Access(0, 4096, 5), Access(4096, 4096, 5)}},
       {.key = Key("never read"), .ranges = {}},
       {.key = first, .ranges = {Access(0, 10, 5), Access(10, 10, 6), Access(21, 4, 6)}}});
  ASSERT_TRUE(profile.ok()) << Describe(profile.status());
  ASSERT_EQ(profile->layers().size(), 2U);
  EXPECT_EQ(profile->layers()[0].key, first);
  EXPECT_EQ(profile->layers()[0].ranges.size(), 3U) << "other times, and a gap";
  EXPECT_EQ(profile->layers()[1].ranges, std::vector{Access(0, 8192, 5)}) << "joined";
  EXPECT_EQ(profile->range_count(), 4U);
  EXPECT_EQ(profile->needed_bytes(), 8192U + 24U);
}

TEST(AccessProfile, RefusesWhatBreaksItsRules) {
  const uint64_t device = AccessProfile::kMaxDataBytes;
  const struct {
    std::string_view name;
    uint32_t runs;
    std::vector<AccessRange> ranges;
  } cases[] = {
      {"no run", 0, {}},
      {"too many runs", AccessProfile::kMaxRuns + 1, {}},
      {"empty range", 1, {Access(0, 0, 0)}},
      {"overlap", 1, {Access(0, 10, 0), Access(9, 1, 0)}},
      {"not sorted", 1, {Access(10, 1, 0), Access(0, 1, 0)}},
      {"past the device", 1, {Access(device - 1, 2, 0)}},
      {"address past the device", 1, {Access(device + 1, 1, 0)}},
      {"an end beyond 64 bits", 1, {Access(5, UINT64_MAX, 0)}},
      {"needed by no run", 1, {Access(0, 1, 0, 0)}},
      {"needed by more runs than there are", 2, {Access(0, 1, 0, 3)}},
      {"before the start", 1, {Access(0, 1, -1)}},
      {"too late", 1, {Access(0, 1, AccessProfile::kMaxFirstNeed.count() + 1)}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto profile =
        AccessProfile::Make(DigestOf("image"), c.runs, {{.key = Key("a"), .ranges = c.ranges}});
    EXPECT_EQ(profile.status().code(), StatusCode::kInvalidArgument);
  }
  const LayerAccess layer{.key = Key("a"), .ranges = {Access(0, 1, 0)}};
  EXPECT_EQ(AccessProfile::Make(DigestOf("image"), 1, {layer, layer}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(AccessProfile::Make(DigestOf("image"), 1,
                                std::vector<LayerAccess>(AccessProfile::kMaxLayers + 1))
                .status()
                .code(),
            StatusCode::kInvalidArgument);
}

TEST(AccessProfile, IsWrittenCompactly) {
  const AccessProfile profile = OneLayer(3, {Access(4096, 100, 7, 3), Access(8192, 4096, 20, 1)});
  EXPECT_EQ(profile.ToJson(),
            fmt::format(R"({{"version":1,"image":"{}","runs":3,"layers":[{{"layer":"{}",)"
                        R"("toc":"{}","ranges":[[4096,100,7,3],[3996,4096,20,1]]}}]}})",
                        DigestOf("image").ToString(), DigestOf("a").ToString(),
                        DigestOf("toc").ToString()));
}

TEST(AccessProfile, ParsesNothingButWhatItWrites) {
  const std::string good = OneLayer(3, {Access(4096, 100, 7, 3)}).ToJson();
  const struct {
    std::string_view name;
    std::string from;
    std::string to;
    std::string_view message;
  } cases[] = {
      {"not JSON", "}]}", "}", "not JSON"},
      {"unknown member", "\"runs\"", "\"more\":1,\"runs\"", "four members"},
      {"newer version", "\"version\":1", "\"version\":2", "version 2"},
      {"no image", "\"image\":\"sha256:", "\"image\":\"", "image"},
      {"no runs", "\"runs\":3", "\"runs\":0", "runs"},
      {"too many runs", "\"runs\":3", "\"runs\":4294967299", "runs"},
      {"layers no list", "\"layers\":[", "\"layers\":7,\"x\":[", "members"},
      {"misnamed layer", "\"layer\":", "\"lazer\":", "layer"},
      {"another digest", "\"toc\":\"sha256:", "\"toc\":\"sha512:", "toc"},
      {"short range", "[4096,100,7,3]", "[4096,100,7]", "four numbers"},
      {"long range", "[4096,100,7,3]", "[4096,100,7,3,1]", "four numbers"},
      {"text", "[4096,100,7,3]", "[4096,100,\"7\",3]", "no number"},
      {"negative", "[4096,100,7,3]", "[-4096,100,7,3]", "no number"},
      {"fraction", "[4096,100,7,3]", "[4096,100.5,7,3]", "no number"},
      {"empty range", "[4096,100,7,3]", "[4096,0,7,3]", "empty"},
      {"more runs than there are", "[4096,100,7,3]", "[4096,100,7,4]", "more than there are"},
      {"too large", "[4096,100,7,3]", "[4096,99999999999999,7,3]", "impossible number"},
      {"sum too large", "[4096,100,7,3]", "[17592186044416,1,7,3]", "device"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    std::string json = good;
    const size_t at = json.find(c.from);
    ASSERT_NE(at, std::string::npos);
    json.replace(at, c.from.size(), c.to);
    const auto parsed = AccessProfile::Parse(AsBytes(json));
    EXPECT_EQ(parsed.status().code(), StatusCode::kDataLoss);
    EXPECT_THAT(MessageOf(parsed.status()), HasSubstr(c.message));
  }
}

TEST(AccessProfile, BoundsWhatItReads) {
  std::string ranges;
  for (size_t i = 0; i <= AccessProfile::kMaxRanges; ++i) {
    ranges += ranges.empty() ? "[1,1,1,1]" : ",[1,1,1,1]";
  }
  std::string many = OneLayer(1, {Access(1, 1, 1)}).ToJson();
  many.replace(many.find("[1,1,1,1]"), 9, ranges);
  EXPECT_EQ(AccessProfile::Parse(AsBytes(many)).status().code(), StatusCode::kResourceExhausted);
  const std::string large(AccessProfile::kMaxJsonBytes + 1, ' ');
  EXPECT_EQ(AccessProfile::Parse(AsBytes(large)).status().code(), StatusCode::kResourceExhausted);
}

TEST(AccessProfile, KeepsTheMostUsefulWithinItsBounds) {
  std::vector<AccessRange> ranges;
  for (size_t i = 0; i < AccessProfile::kMaxRanges; ++i) {
    ranges.push_back(Access(i * 2, 1, static_cast<int64_t>(i), 2));
  }
  const uint64_t behind = AccessProfile::kMaxRanges * 2;
  ranges.push_back(Access(behind, 1, 0, 1));      // by one run only
  ranges.push_back(Access(behind + 2, 1, 1, 2));  // pushes out the latest
  const AccessProfile profile = OneLayer(2, std::move(ranges));
  EXPECT_EQ(profile.range_count(), AccessProfile::kMaxRanges);
  EXPECT_EQ(RangesOf(profile).back(), Access(behind + 2, 1, 1, 2));
  EXPECT_EQ(RangesOf(profile)[AccessProfile::kMaxRanges - 2].range.data_address,
            (AccessProfile::kMaxRanges - 2) * 2);
  EXPECT_LE(profile.ToJson().size(), AccessProfile::kMaxJsonBytes);
}

TEST(AccessProfile, MergesByFrequencyAndFirstNeed) {
  const struct {
    std::string_view name;
    std::vector<AccessRange> a;  // of 2 runs
    std::vector<AccessRange> b;  // of 1 run
    std::vector<AccessRange> want;
  } cases[] = {
      {"nothing", {}, {}, {}},
      {"one side", {Access(0, 10, 5, 2)}, {}, {Access(0, 10, 5, 2)}},
      {"apart",
       {Access(0, 10, 5, 2)},
       {Access(20, 10, 1)},
       {Access(0, 10, 5, 2), Access(20, 10, 1, 1)}},
      {"the same", {Access(0, 10, 5, 2)}, {Access(0, 10, 3)}, {Access(0, 10, 3, 3)}},
      {"overlap",
       {Access(0, 10, 5, 2)},
       {Access(5, 10, 3)},
       {Access(0, 5, 5, 2), Access(5, 5, 3, 3), Access(10, 5, 3, 1)}},
      {"inside",
       {Access(0, 30, 5, 2)},
       {Access(10, 10, 9)},
       {Access(0, 10, 5, 2), Access(10, 10, 5, 3), Access(20, 10, 5, 2)}},
      {"over a gap",
       {Access(0, 5, 1), Access(8, 5, 1)},
       {Access(0, 13, 2)},
       {Access(0, 5, 1, 2), Access(5, 3, 2, 1), Access(8, 5, 1, 2)}},
      {"neighbours that say the same join",
       {Access(0, 10, 5, 1)},
       {Access(10, 10, 5)},
       {Access(0, 20, 5, 1)}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto merged = AccessProfile::Merge(OneLayer(2, c.a), OneLayer(1, c.b));
    ASSERT_TRUE(merged.ok()) << Describe(merged.status());
    EXPECT_EQ(merged->runs(), 3U);
    EXPECT_EQ(RangesOf(*merged), c.want);
    EXPECT_EQ(*AccessProfile::Merge(OneLayer(1, c.b), OneLayer(2, c.a)), *merged);
  }
}

TEST(AccessProfile, MergesLayersByKey) {
  const auto [first, second] = TwoKeys();
  const LayerAccess one{.key = first, .ranges = {Access(0, 1, 1)}};
  const LayerAccess two{.key = second, .ranges = {Access(5, 1, 2)}};
  const oci::Digest image = DigestOf("image");
  const auto merged = AccessProfile::Merge(*AccessProfile::Make(image, 1, {two}),
                                           *AccessProfile::Make(image, 1, {one, two}));
  ASSERT_TRUE(merged.ok());
  ASSERT_EQ(merged->layers().size(), 2U);
  EXPECT_EQ(merged->layers()[0], one);
  EXPECT_EQ(merged->layers()[1].ranges, std::vector{Access(5, 1, 2, 2)});
  EXPECT_EQ(AccessProfile::Merge(*merged, *AccessProfile::Make(DigestOf("other"), 1, {one}))
                .status()
                .code(),
            StatusCode::kInvalidArgument);
}

TEST(AccessProfile, ForgetsOldHabits) {
  const AccessProfile old = OneLayer(
      AccessProfile::kMaxRuns, {Access(0, 10, 1, AccessProfile::kMaxRuns), Access(10, 10, 2, 1)});
  const auto merged = AccessProfile::Merge(old, OneLayer(1, {Access(0, 10, 1)}));
  ASSERT_TRUE(merged.ok());
  EXPECT_EQ(merged->runs(), (AccessProfile::kMaxRuns + 1) / 2);
  EXPECT_EQ(RangesOf(*merged), std::vector{Access(0, 10, 1, (AccessProfile::kMaxRuns + 1) / 2)});
}

/// What a profile says of each byte.
std::map<uint64_t, std::pair<int64_t, uint32_t>> ByteByByte(const AccessProfile& profile) {
  std::map<uint64_t, std::pair<int64_t, uint32_t>> bytes;
  for (const AccessRange& access : RangesOf(profile)) {
    for (uint64_t at = access.range.data_address; at < access.range.end(); ++at) {
      bytes[at] = {access.first_need.count(), access.runs};
    }
  }
  return bytes;
}

AccessProfile RandomProfile(std::mt19937& random) {
  const auto below = [&random](uint32_t bound) { return static_cast<uint32_t>(random() % bound); };
  const uint32_t runs = 1 + below(3);
  std::vector<AccessRange> ranges;
  for (uint64_t at = below(6); at < 60; at += below(6)) {
    const uint64_t size_bytes = 1 + below(9);
    ranges.push_back(Access(at, size_bytes, below(4), 1 + below(runs)));
    at += size_bytes;
  }
  return OneLayer(runs, std::move(ranges));
}

TEST(AccessProfile, WhatWasNotSeenIsTakenFromTheHabits) {
  const auto key = [](std::string_view name) {
    return store::LayerKey{.layer = DigestOf(name), .toc = DigestOf("toc")};
  };
  const oci::Digest image = DigestOf("image");
  const auto kept =
      *AccessProfile::Make(image, 3,
                           {{.key = key("seen"), .ranges = {{.range = {0, 10}, .runs = 3}}},
                            {.key = key("unseen"),
                             .ranges = {{.range = {0, 10}, .runs = 3},
                                        {.range = {10, 10}, .runs = 2},
                                        {.range = {20, 10}, .runs = 1}}}});
  const auto run = *AccessProfile::Make(image, 1,
                                        {{.key = key("seen"), .ranges = {{.range = {5, 10}}}},
                                         {.key = key("unseen"), .ranges = {{.range = {15, 10}}}}});
  const auto filled = AccessProfile::FillUnseen(run, kept, {key("seen")});
  ASSERT_TRUE(filled.ok()) << Describe(filled.status());
  EXPECT_EQ(*filled,
            *AccessProfile::Make(image, 1,
                                 {{.key = key("seen"), .ranges = {{.range = {5, 10}}}},
                                  {.key = key("unseen"), .ranges = {{.range = {0, 25}}}}}));
  EXPECT_EQ(AccessProfile::FillUnseen(run, kept, {key("seen"), key("unseen")})->layers(),
            run.layers());
  EXPECT_EQ(AccessProfile::FillUnseen(run, *AccessProfile::Make(DigestOf("other"), 1, {}), {})
                .status()
                .code(),
            StatusCode::kInvalidArgument);
}

TEST(AccessProfileProperty, MergeIsExactCommutativeAndAssociative) {
  std::mt19937 random(20);
  for (int round = 0; round < 500; ++round) {
    SCOPED_TRACE(round);
    const AccessProfile a = RandomProfile(random);
    const AccessProfile b = RandomProfile(random);
    const AccessProfile c = RandomProfile(random);
    const AccessProfile ab = *AccessProfile::Merge(a, b);
    auto want = ByteByByte(a);
    for (const auto& [at, value] : ByteByByte(b)) {
      const auto [known, is_new] = want.try_emplace(at, value);
      if (!is_new) {
        known->second = {std::min(known->second.first, value.first),
                         known->second.second + value.second};
      }
    }
    ASSERT_EQ(ByteByByte(ab), want);
    ASSERT_EQ(*AccessProfile::Merge(b, a), ab);
    ASSERT_EQ(*AccessProfile::Merge(ab, c), *AccessProfile::Merge(a, *AccessProfile::Merge(b, c)));
    const auto parsed = AccessProfile::Parse(AsBytes(ab.ToJson()));
    ASSERT_TRUE(parsed.ok()) << Describe(parsed.status());
    ASSERT_EQ(*parsed, ab);
  }
}

TEST(InOrderOfNeed, IsOneListOverAllLayers) {
  const auto [first, second] = TwoKeys();
  const auto profile = AccessProfile::Make(
      DigestOf("image"), 4,
      {{.key = first,
        .ranges = {Access(0, 10, 30, 4), Access(20, 10, 0, 1), Access(40, 10, 10, 2)}},
       {.key = second, .ranges = {Access(0, 5, 20, 3), Access(5, 5, 10, 4), Access(15, 5, 5, 1)}}});
  ASSERT_TRUE(profile.ok()) << Describe(profile.status());
  const auto step = [](size_t layer, uint64_t address, uint64_t size_bytes, int64_t ms,
                       uint32_t runs) {
    return PlannedAccess{.layer = layer,
                         .range = {.data_address = address, .size_bytes = size_bytes},
                         .first_need = milliseconds(ms),
                         .runs = runs};
  };
  const std::vector<PlannedAccess> want = {step(0, 40, 10, 10, 2), step(1, 5, 5, 10, 4),
                                           step(1, 0, 5, 20, 3), step(0, 0, 10, 30, 4),
                                           // Needed by fewer than half of the runs.
                                           step(0, 20, 10, 0, 1), step(1, 15, 5, 5, 1)};
  EXPECT_EQ(InOrderOfNeed(*profile), want);
}

}  // namespace
}  // namespace starling::layer
