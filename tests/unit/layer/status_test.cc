#include "layer/status.h"

#include <gtest/gtest.h>

#include "tests/support/fake_status.h"

namespace starling::layer {
namespace {

using testing_support::SomeLayer;
using testing_support::SomeRead;

TEST(LayerStatusTest, WhatItCostIsWhatCameOrIsHeldOfAnEarlierProcess) {
  LayerStatus status;
  status.use.held_blob_bytes = 90;
  status.use.fetched[0].bytes = 70;
  status.is_new = true;
  EXPECT_EQ(status.cost_bytes(), 70U) << "the rest came from other layers";
  status.is_new = false;
  EXPECT_EQ(status.cost_bytes(), 90U);
  status.use.fetched[1].bytes = 30;
  EXPECT_EQ(status.cost_bytes(), 100U) << "some of it was evicted and fetched again";
}

TEST(ByImageTest, EachImageHasItsLayersInOrder) {
  const std::vector<LayerStatus> layers = {SomeLayer(7, {"b"}), SomeLayer(2, {"a", "b"}),
                                           SomeLayer(3, {})};
  const std::vector<ImageStatus> images = ByImage(layers);
  ASSERT_EQ(images.size(), 3U);
  EXPECT_EQ(images[0], (ImageStatus{.name = "", .layers = {layers[2]}}));
  EXPECT_EQ(images[1], (ImageStatus{.name = "a", .layers = {layers[1]}}));
  EXPECT_EQ(images[2], (ImageStatus{.name = "b", .layers = {layers[1], layers[0]}}));
}

TEST(ImageStatusTest, AddsUpItsLayers) {
  LayerStatus other = SomeLayer(2, {"a"});
  other.is_complete = false;
  const ImageStatus image{.name = "a", .layers = {SomeLayer(1, {"a"}), other}};
  EXPECT_EQ(image.complete_layers(), 1U);
  EXPECT_EQ(image.cost_bytes(), 420U);
  const LayerUse one = SomeLayer(1, {}).use;
  const LayerUse sum = image.Sum();
  EXPECT_EQ(sum.blob_bytes, 2 * one.blob_bytes);
  EXPECT_EQ(sum.held_blob_bytes, 2 * one.held_blob_bytes);
  EXPECT_EQ(sum.total_bytes, 2 * one.total_bytes);
  EXPECT_EQ(sum.held_bytes, 2 * one.held_bytes);
  EXPECT_EQ(sum.needed_bytes, 2 * one.needed_bytes);
  EXPECT_EQ(sum.wasted_bytes, 2 * one.wasted_bytes);
  EXPECT_EQ(sum.fetched_bytes(), 2 * one.fetched_bytes());
  EXPECT_EQ(sum.fetched[2].requests, 2 * one.fetched[2].requests);
  EXPECT_EQ(sum.came[3].needed_bytes, 2 * one.came[3].needed_bytes);
  EXPECT_EQ(sum.stalls.reads, 4U);
  EXPECT_EQ(sum.stalls.failed, 2U);
  EXPECT_EQ(sum.stalls.times.total(), 2 * one.stalls.times.total());
}

TEST(ImageStatusTest, ItsWorstReadsAreThoseOfAllLayers) {
  LayerStatus first = SomeLayer(1, {});
  LayerStatus second = SomeLayer(2, {});
  first.worst_reads = {SomeRead("/3", 3), SomeRead("/1", 1)};
  second.worst_reads.clear();
  for (uint64_t seed = 12; seed > 4; --seed) {
    second.worst_reads.push_back(SomeRead("/more", seed));
  }
  second.worst_reads.push_back(SomeRead("/2", 2));
  const auto worst = ImageStatus{.name = {}, .layers = {first, second}}.WorstReads();
  ASSERT_EQ(worst.size(), LayerTally::kWorst);
  EXPECT_EQ(worst.front(), SomeRead("/more", 12));
  EXPECT_EQ(worst.back(), SomeRead("/more", 5));
  second.worst_reads.resize(2);
  EXPECT_EQ((ImageStatus{.name = {}, .layers = {first, second}}.WorstReads()),
            (std::vector{SomeRead("/more", 12), SomeRead("/more", 11), SomeRead("/3", 3),
                         SomeRead("/1", 1)}));
}

TEST(AheadHitRateTest, IsOfPrefetchAndReadAheadAlone) {
  LayerUse use;
  EXPECT_EQ(AheadHitRate(use), std::nullopt);
  use.came[static_cast<size_t>(Purpose::kDemand)] = {.bytes = 100, .needed_bytes = 100};
  use.came[static_cast<size_t>(Purpose::kBackground)] = {.bytes = 100, .needed_bytes = 0};
  EXPECT_EQ(AheadHitRate(use), std::nullopt);
  use.came[static_cast<size_t>(Purpose::kPrefetch)] = {.bytes = 30, .needed_bytes = 30};
  use.came[static_cast<size_t>(Purpose::kReadahead)] = {.bytes = 10, .needed_bytes = 0};
  EXPECT_EQ(AheadHitRate(use), 0.75);
}

}  // namespace
}  // namespace starling::layer
