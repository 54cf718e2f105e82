#include "layer/image_start.h"

#include <gtest/gtest.h>

namespace starling::layer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

store::LayerKey Key(std::string_view name) {
  return {.layer = oci::Digest::Of(AsBytes(name)), .toc = oci::Digest::Of(AsBytes("toc"))};
}

std::chrono::system_clock::time_point At(milliseconds since_begin) {
  return std::chrono::system_clock::time_point(seconds(1'700'000'000)) + since_begin;
}

TracedFetch Fetched(std::string_view layer, milliseconds sent, milliseconds ended, uint64_t bytes) {
  return {.layer = Key(layer),
          .purpose = Purpose::kPrefetch,
          .range = {.data_address = bytes, .size_bytes = 1},
          .bytes = bytes,
          .sent = At(sent),
          .ended = At(ended)};
}

SlowRead Waited(std::string_view layer, milliseconds took, milliseconds ended) {
  return {.layer = Key(layer), .range = {}, .times = {.network = took}, .ended = At(ended)};
}

/// Every file is named by its layer and address.
class StartOfTest : public testing::Test {
 protected:
  StartOfTest() {
    notes_.run = {.image = "a:1",
                  .manifest = oci::Digest::Of(AsBytes("m")),
                  .begun = At(milliseconds(0)),
                  .ended = At(seconds(60)),
                  .layers = {Key("one"), Key("two")},
                  .needs = {{.key = Key("one"),
                             .ranges = {{.range = {.data_address = 1, .size_bytes = 10},
                                         .first_need = milliseconds(200)},
                                        {.range = {.data_address = 50, .size_bytes = 10},
                                         .first_need = milliseconds(100)}}},
                            {.key = Key("two"),
                             .ranges = {{.range = {.data_address = 3, .size_bytes = 10},
                                         .first_need = milliseconds(150)}}}}};
    notes_.layers = {Key("one"), Key("two")};
    notes_.names_of = [](const store::LayerKey& key, std::span<const DataRange> ranges) {
      std::vector<FilesOfRange> files;
      for (const DataRange& range : ranges) {
        files.push_back({.first = NameOf(key, range.data_address), .more_files = 2});
      }
      return files;
    };
    notes_.files_of = [](const LayerAccess& access) {
      std::vector<NeededFile> files;
      for (const AccessRange& range : access.ranges) {
        files.push_back({.path = NameOf(access.key, range.range.data_address),
                         .size_bytes = 100,
                         .needed_bytes = range.range.size_bytes,
                         .first_need = range.first_need,
                         .runs = 1});
      }
      return files;
    };
  }
  static std::string NameOf(const store::LayerKey& key, uint64_t address) {
    return (key == Key("one") ? "/one/" : "/two/") + std::to_string(address);
  }

  NotesOfStart notes_;
};

TEST_F(StartOfTest, TellsWhatWasNeededInTheOrderOfTime) {
  const ImageStart start = StartOf(notes_);
  EXPECT_EQ(start.image, "a:1");
  EXPECT_EQ(start.begun, At(milliseconds(0)));
  EXPECT_FALSE(start.goes_on);
  EXPECT_FALSE(start.is_cut);
  std::vector<std::string> files;
  for (const ImageStart::Need& need : start.needs) {
    files.push_back(need.file.path);
  }
  EXPECT_EQ(files, (std::vector<std::string>{"/one/50", "/two/3", "/one/1"}));
  EXPECT_EQ(start.totals, (ImageStart::Totals{.needed_files = 3, .needed_bytes = 30}));
}

TEST_F(StartOfTest, TakesTheRequestsOfItsLayersInItsTime) {
  notes_.fetches.kept = {
      Fetched("one", milliseconds(300), milliseconds(500), 1),
      Fetched("two", -seconds(3), -seconds(2), 2),                // at the pull
      Fetched("one", -seconds(400), -seconds(399), 4),            // long before
      Fetched("other", milliseconds(100), milliseconds(200), 8),  // another image's
      Fetched("one", milliseconds(900), milliseconds(1500), 16),  // after the last need, but late
      Fetched("one", milliseconds(1000), milliseconds(1200), 32),
  };
  ImageStart start = StartOf(notes_);
  ASSERT_EQ(start.fetches.size(), 3U);
  EXPECT_EQ(start.fetches[0].file, "/two/2");
  EXPECT_EQ(start.fetches[0].more_files, 2U);
  EXPECT_EQ(start.fetches[1].file, "/one/1");
  EXPECT_EQ(start.fetches[2].fetch, notes_.fetches.kept[5]);
  EXPECT_EQ(start.totals.requests, 3U);
  EXPECT_EQ(start.totals.fetched_bytes, 35U);
  // One that is still recorded has no end.
  notes_.run.ended.reset();
  start = StartOf(notes_);
  EXPECT_TRUE(start.goes_on);
  EXPECT_EQ(start.totals.fetched_bytes, 51U);
}

TEST_F(StartOfTest, TakesTheReadsThatWaited) {
  notes_.slow_reads.reads = {
      Waited("two", milliseconds(100), milliseconds(400)),
      Waited("one", milliseconds(350), milliseconds(450)),  // began first
      Waited("other", milliseconds(100), milliseconds(400)),
      Waited("one", milliseconds(10), seconds(30)),
  };
  const ImageStart start = StartOf(notes_);
  ASSERT_EQ(start.reads.size(), 2U);
  EXPECT_EQ(start.reads[0].read, notes_.slow_reads.reads[1]);
  EXPECT_EQ(start.reads[0].file, "/one/0");
  EXPECT_EQ(start.reads[1].read, notes_.slow_reads.reads[0]);
  EXPECT_EQ(start.totals.slow_reads, 2U);
}

TEST_F(StartOfTest, KeepsTheEarliestAndCountsAll) {
  const auto count = static_cast<int>(ImageStart::kMaxEntries) + 5;
  std::vector<AccessRange>& ranges = notes_.run.needs[0].ranges;
  ranges.clear();
  for (int i = 0; i < count; ++i) {
    ranges.push_back({.range = {.data_address = static_cast<uint64_t>(i), .size_bytes = 1},
                      .first_need = milliseconds(count - i)});
    notes_.fetches.kept.push_back(Fetched("one", milliseconds(count - i), milliseconds(count), 10));
    notes_.slow_reads.reads.push_back(Waited("one", milliseconds(i), milliseconds(count)));
  }
  const ImageStart start = StartOf(notes_);
  EXPECT_EQ(start.needs.size(), ImageStart::kMaxEntries);
  EXPECT_EQ(start.needs.front().file.first_need, milliseconds(1));
  EXPECT_EQ(start.fetches.size(), ImageStart::kMaxEntries);
  EXPECT_EQ(start.fetches.front().fetch.sent, At(milliseconds(1)));
  EXPECT_EQ(start.reads.size(), ImageStart::kMaxEntries);
  EXPECT_EQ(start.totals.needed_files, static_cast<uint64_t>(count) + 1);
  EXPECT_EQ(start.totals.requests, static_cast<uint64_t>(count));
  EXPECT_EQ(start.totals.fetched_bytes, static_cast<uint64_t>(count) * 10);
  EXPECT_EQ(start.totals.slow_reads, static_cast<uint64_t>(count));
}

TEST_F(StartOfTest, SaysWhenSomeOfItIsForgotten) {
  notes_.fetches.kept = {Fetched("other", -seconds(4), -seconds(3), 1)};
  notes_.fetches.forgotten = 7;
  EXPECT_FALSE(StartOf(notes_).is_cut) << "what is forgotten was before it";
  notes_.fetches.kept = {Fetched("other", milliseconds(4), milliseconds(5), 1)};
  EXPECT_TRUE(StartOf(notes_).is_cut);
  notes_.fetches.forgotten = 0;
  EXPECT_FALSE(StartOf(notes_).is_cut);
  notes_.slow_reads.reads = {Waited("one", milliseconds(1), milliseconds(5))};
  notes_.slow_reads.forgotten = 1;
  EXPECT_TRUE(StartOf(notes_).is_cut);
}

}  // namespace
}  // namespace starling::layer
