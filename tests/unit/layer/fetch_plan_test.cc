#include "layer/fetch_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace starling::layer {
namespace {

constexpr FetchLimits kLimits{.neighbourhood_bytes = 300,
                              .bridged_bytes = 100,
                              .merge_gap_bytes = 200,
                              .request_bytes = 1000};

struct Expected {
  uint32_t first;
  uint32_t last;
};

TEST(PlanFetches, MergesWhatIsNear) {
  // Ten members of 100 bytes in a row; a hole before number 8.
  std::vector<MemberRecord> members;
  for (uint64_t i = 0; i < 10; ++i) {
    members.push_back({.blob_offset = i * 100 + (i >= 8 ? 50 : 0), .blob_size = 100});
  }
  const struct {
    std::string_view name;
    std::vector<uint32_t> wanted;
    std::set<uint32_t> present;
    std::vector<Expected> want;
  } cases[] = {
      {"nothing", {}, {}, {}},
      {"a miss brings its neighbourhood", {0}, {}, {{0, 3}}},
      {"up to what is there", {0}, {1}, {{0, 1}}},
      {"a wanted one in the neighbourhood is no second request", {0, 2}, {}, {{0, 3}}},
      {"a gap is bridged", {0, 5}, {}, {{0, 6}}},
      {"but not over what is there", {0, 5}, {4}, {{0, 4}, {5, 8}}},
      {"a wide gap is not", {0, 6}, {5}, {{0, 3}, {6, 8}}},
      {"nor a hole of the blob", {7, 8}, {6}, {{7, 8}, {8, 10}}},
      {"the end", {9}, {8}, {{9, 10}}},
      {"what is before a miss comes, too", {9}, {}, {{9, 10}, {8, 9}}},
      {"half as far as what follows", {4}, {}, {{4, 7}, {3, 4}}},
      {"after all that is wanted", {4, 9}, {7}, {{4, 7}, {9, 10}, {3, 4}, {8, 9}}},
      {"but not over what is there", {4}, {3}, {{4, 7}}},
      {"nor what an earlier request brings", {0, 3}, {2}, {{0, 2}, {3, 6}}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto plan = PlanFetches(
        members, c.wanted,
        [&c](uint32_t member) {
          return c.present.contains(member) ? Worth::kNothing : Worth::kMuch;
        },
        kLimits);
    ASSERT_EQ(plan.size(), c.want.size());
    for (size_t i = 0; i < plan.size(); ++i) {
      EXPECT_EQ(plan[i].first_member, c.want[i].first);
      EXPECT_EQ(plan[i].last_member, c.want[i].last);
      EXPECT_EQ(plan[i].range.blob_offset, members[c.want[i].first].blob_offset);
      EXPECT_EQ(plan[i].range.end(), members[c.want[i].last - 1].end());
      EXPECT_EQ(plan[i].is_guess, std::ranges::none_of(c.wanted, [&](uint32_t member) {
                  return member >= plan[i].first_member && member < plan[i].last_member;
                }));
    }
  }
}

TEST(PlanFetches, LeavesOutWhatIsUnlikely) {
  // Twenty members of 50 bytes in a row.
  std::vector<MemberRecord> members;
  for (uint64_t i = 0; i < 20; ++i) {
    members.push_back({.blob_offset = i * 50, .blob_size = 50});
  }
  const struct {
    std::string_view name;
    std::vector<uint32_t> wanted;
    std::set<uint32_t> unlikely;
    std::vector<Expected> want;
  } cases[] = {
      {"at the end", {0}, {4, 5}, {{0, 4}}},
      {"a short run between others comes along", {0}, {2, 3}, {{0, 6}}},
      {"a longer one ends the request", {0}, {2, 3, 4}, {{0, 2}}},
      {"between wanted ones it comes", {0, 4}, {1, 2, 3}, {{0, 6}}},
      {"it may be wanted", {0, 1}, {1}, {{0, 6}}},
      {"a miss of such brings others", {0}, {0, 1, 2, 3, 4}, {{0, 6}}},
      {"before a miss", {10}, {7, 8, 9}, {{10, 16}}},
      {"a short run before it", {10}, {8, 9}, {{10, 16}, {7, 10}}},
      {"the last before it", {10}, {7}, {{10, 16}, {8, 10}}},
      {"before a miss of such", {10}, {7, 8, 9, 10}, {{10, 16}, {7, 10}}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto plan = PlanFetches(
        members, c.wanted,
        [&c](uint32_t member) {
          return c.unlikely.contains(member) ? Worth::kLittle : Worth::kMuch;
        },
        kLimits);
    ASSERT_EQ(plan.size(), c.want.size());
    for (size_t i = 0; i < plan.size(); ++i) {
      EXPECT_EQ(plan[i].first_member, c.want[i].first);
      EXPECT_EQ(plan[i].last_member, c.want[i].last);
    }
  }
}

TEST(PlanFetches, CutsLongRunsAndKeepsLargeMembersWhole) {
  std::vector<MemberRecord> members;
  std::vector<uint32_t> all;
  for (uint32_t i = 0; i < 25; ++i) {
    members.push_back({.blob_offset = i * 100ULL, .blob_size = 100});
    all.push_back(i);
  }
  members.push_back({.blob_offset = 2500, .blob_size = 5000});
  all.push_back(25);
  const auto plan = PlanFetches(members, all, [](uint32_t) { return Worth::kMuch; }, kLimits);
  ASSERT_EQ(plan.size(), 4U);
  EXPECT_EQ(plan[0].range, (oci::BlobRange{0, 1000}));
  EXPECT_EQ(plan[1].range, (oci::BlobRange{1000, 1000}));
  EXPECT_EQ(plan[2].range, (oci::BlobRange{2000, 500}));
  EXPECT_EQ(plan[3].range, (oci::BlobRange{2500, 5000}));
}

}  // namespace
}  // namespace starling::layer
