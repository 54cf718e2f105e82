#include "mount/host_status.h"

#include <gtest/gtest.h>

namespace starling::mount {
namespace {

using std::chrono::milliseconds;

store::LayerKey KeyOf(std::string_view name) {
  return {.layer = oci::Digest::Of(AsBytes(name)), .toc = oci::Digest::Of(AsBytes("toc"))};
}

/// Names what is read of the layer "known" by its address.
std::vector<layer::FilesOfRange> Names(const store::LayerKey& key,
                                       std::span<const layer::DataRange> ranges) {
  std::vector<layer::FilesOfRange> files(ranges.size());
  for (size_t i = 0; key == KeyOf("known") && i < ranges.size(); ++i) {
    files[i].first = fmt::format("/at/{}", ranges[i].data_address);
  }
  return files;
}

layer::SlowRead ReadOf(std::string_view layer, uint64_t data_address) {
  layer::SlowRead read{.layer = KeyOf(layer),
                       .range = {.data_address = data_address, .size_bytes = 1},
                       .times = {},
                       .ended = {},
                       .container = {}};
  read.times.network = milliseconds(100);
  return read;
}

TEST(HostStatus, NamesWhatIsWaitedFor) {
  layer::LayerStatus known;
  known.key = KeyOf("known");
  known.use.stalls.worst = {ReadOf("known", 7)};
  known.use.waiting.longest = {{.range = {.data_address = 3, .size_bytes = 1}, .container = {}}};
  layer::LayerStatus closed;
  closed.key = KeyOf("closed");
  closed.use.stalls.worst = {ReadOf("closed", 7)};
  HostStatus status([&] { return std::vector{known, closed}; }, Names,
                    [] { return std::vector<layer::ImageStart>(); });
  const auto layers = status.Layers();
  ASSERT_TRUE(layers.ok()) << layers.status();
  ASSERT_EQ(layers->size(), 2u);
  ASSERT_EQ(layers->at(0).worst_reads.size(), 1u);
  EXPECT_EQ(layers->at(0).worst_reads[0].file, "/at/7");
  ASSERT_EQ(layers->at(0).waits.size(), 1u);
  EXPECT_EQ(layers->at(0).waits[0].file, "/at/3");
  ASSERT_EQ(layers->at(1).worst_reads.size(), 1u);
  EXPECT_EQ(layers->at(1).worst_reads[0].file, "") << "it is not open any more";
}

TEST(HostStatus, ListsTheSlowReadsThatLayersHaveNoted) {
  HostStatus status([] { return std::vector<layer::LayerStatus>(); }, Names,
                    [] { return std::vector<layer::ImageStart>(); });
  status.slow_reads()->Add(ReadOf("known", 5));
  const auto traced = status.SlowReads();
  ASSERT_TRUE(traced.ok()) << traced.status();
  ASSERT_EQ(traced->reads.size(), 1u);
  EXPECT_EQ(traced->reads[0].file, "/at/5");
  EXPECT_EQ(traced->forgotten, 0u);
}

TEST(HostStatus, KeepsTheLatestLayersThatWereLeftToTheClient) {
  HostStatus status([] { return std::vector<layer::LayerStatus>(); }, Names,
                    [] { return std::vector<layer::ImageStart>(); });
  LayerSpec spec;
  for (int i = 0; i < 100; ++i) {
    spec.image = fmt::format("image-{}", i);
    status.OnFallback(spec, MakeError(StatusCode::kDataLoss, std::string(5000, 'x')));
  }
  const auto traced = status.SlowReads();
  ASSERT_TRUE(traced.ok()) << traced.status();
  ASSERT_EQ(traced->fallbacks.size(), 64u);
  EXPECT_EQ(traced->fallbacks.back().image, "image-99");
  EXPECT_EQ(traced->fallbacks.back().reason.code(), StatusCode::kDataLoss);
  EXPECT_EQ(MessageOf(traced->fallbacks.back().reason).size(), 1024u)
      << "a registry may say anything";
}

}  // namespace
}  // namespace starling::mount
