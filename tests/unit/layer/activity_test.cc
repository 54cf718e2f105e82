#include "layer/activity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_status.h"

namespace starling::layer {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing_support::FakeStatus;

store::LayerKey KeyOf(std::string_view name) {
  return {.layer = oci::Digest::Of(AsBytes(name)), .toc = oci::Digest::Of(AsBytes("toc"))};
}

LayerStatus LayerOf(std::string_view name, std::vector<std::string> images, uint64_t fetched_bytes,
                    uint64_t stalled_reads) {
  LayerStatus status{.key = KeyOf(name), .images = std::move(images)};
  status.use.total_bytes = 1000;
  status.use.held_bytes = 10 * fetched_bytes;
  status.use.needed_bytes = 5 * fetched_bytes;
  status.use.fetched[0].bytes = fetched_bytes;
  status.use.stalls = {.reads = stalled_reads,
                       .failed = stalled_reads / 2,
                       .times = {.network = milliseconds(stalled_reads)}};
  return status;
}

NamedRead ReadOf(std::string_view layer, std::string file, int took) {
  return {.read = {.layer = KeyOf(layer), .range = {}, .times = {.network = milliseconds(took)}},
          .file = std::move(file)};
}

std::vector<std::string> FilesOf(const ImageActivity& activity) {
  std::vector<std::string> files;
  for (const NamedRead& named : activity.slow_reads) {
    files.push_back(named.file);
  }
  return files;
}

TEST(ActivityBetween, IsWhatIsNewOfEachImage) {
  const Look before{.time = {},
                    .layers = {LayerOf("shared", {"a", "b"}, 10, 2), LayerOf("own", {"b"}, 5, 0)},
                    .traced = {.reads = {ReadOf("shared", "/old", 50)}, .forgotten = 7}};
  Look now{.time = {},
           .layers = {LayerOf("shared", {"a", "b"}, 17, 6), LayerOf("own", {"b"}, 8, 0),
                      LayerOf("new", {"b"}, 3, 4)},
           .traced = {.reads = {ReadOf("shared", "/old", 50), ReadOf("shared", "/one", 20),
                                ReadOf("new", "/two", 30), ReadOf("elsewhere", "/three", 40)},
                      .forgotten = 7}};
  now.layers[1].use.waiting.reads = 2;
  now.layers[1].waits = {{.read = {.range = {}, .waited = milliseconds(9)}, .file = "/waits"}};
  const std::vector<ImageActivity> activities = ActivityBetween(before, now);
  ASSERT_EQ(activities.size(), 2U);
  EXPECT_EQ(activities[0].name, "a");
  EXPECT_EQ(activities[0].layers, 1U);
  EXPECT_EQ(activities[0].held_bytes, 170U);
  EXPECT_EQ(activities[0].fetched_bytes, 7U);
  EXPECT_EQ(activities[0].stalled_reads, 4U);
  EXPECT_EQ(activities[0].failed_reads, 2U);
  EXPECT_EQ(activities[0].stall_time, milliseconds(4));
  EXPECT_EQ(activities[0].waiting_reads, 0U);
  EXPECT_THAT(FilesOf(activities[0]), ElementsAre("/one"));
  EXPECT_EQ(activities[1].name, "b");
  EXPECT_EQ(activities[1].total_bytes, 3000U);
  EXPECT_EQ(activities[1].needed_bytes, 140U);
  EXPECT_EQ(activities[1].fetched_bytes, 7U + 3U + 3U);
  EXPECT_EQ(activities[1].stalled_reads, 8U);
  EXPECT_EQ(activities[1].waiting_reads, 2U);
  EXPECT_EQ(activities[1].longest_waits, now.layers[1].waits);
  EXPECT_THAT(FilesOf(activities[1]), ElementsAre("/two", "/one"));
}

TEST(ActivityBetween, CountsAllOfAProcessThatWasReplaced) {
  const Look before{.time = {},
                    .layers = {LayerOf("own", {"a"}, 50, 9)},
                    .traced = {.reads = {ReadOf("own", "/old", 50)}, .forgotten = 1000}};
  const Look now{.time = {},
                 .layers = {LayerOf("own", {"a"}, 3, 2)},
                 .traced = {.reads = {ReadOf("own", "/new", 50)}, .forgotten = 0}};
  const std::vector<ImageActivity> activities = ActivityBetween(before, now);
  ASSERT_EQ(activities.size(), 1U);
  EXPECT_EQ(activities[0].fetched_bytes, 3U);
  EXPECT_EQ(activities[0].stalled_reads, 2U);
  EXPECT_THAT(FilesOf(activities[0]), ElementsAre("/new"));
}

TEST(ActivityBetween, IsNothingWhenNothingHappened) {
  const Look look{.time = {},
                  .layers = {LayerOf("own", {"a"}, 50, 9)},
                  .traced = {.reads = {ReadOf("own", "/old", 50)}, .forgotten = 3}};
  const std::vector<ImageActivity> activities = ActivityBetween(look, look);
  ASSERT_EQ(activities.size(), 1U);
  EXPECT_EQ(activities[0].fetched_bytes, 0U);
  EXPECT_EQ(activities[0].stalled_reads, 0U);
  EXPECT_THAT(activities[0].slow_reads, IsEmpty());
}

TEST(LookAt, TakesWhatTheSourceTells) {
  FakeStatus source;
  source.layers = {LayerOf("own", {"a"}, 1, 1)};
  source.traced = {.reads = {ReadOf("own", "/x", 1)}, .forgotten = 2};
  const auto look = LookAt(source, SystemClock());
  ASSERT_TRUE(look.ok()) << look.status();
  EXPECT_EQ(look->layers, source.layers);
  EXPECT_EQ(look->traced, source.traced);
  source.error = MakeError(StatusCode::kUnavailable, "gone");
  EXPECT_EQ(LookAt(source, SystemClock()).status(), source.error);
}

}  // namespace
}  // namespace starling::layer
