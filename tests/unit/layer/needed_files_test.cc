#include "layer/needed_files.h"

#include <gtest/gtest.h>

#include "tests/support/gzip_text.h"
#include "tests/support/lazy_layer_fixture.h"
#include "tests/support/tar_builder.h"

namespace starling::layer {
namespace {

using std::chrono::milliseconds;
using testing_support::Noise;

class NeededFilesTest : public testing_support::LazyLayerFixture {
 protected:
  DataRange RangeOf(std::string_view name) const {
    const auto file = *layer_->index().Stat(*layer_->index().Lookup(layer_->index().root(), name));
    return {.data_address = file.data_address, .size_bytes = file.size_bytes};
  }
  static AccessRange Access(uint64_t begin, uint64_t end, int first_need, uint32_t runs = 1) {
    return {.range = {.data_address = begin, .size_bytes = end - begin},
            .first_need = milliseconds(first_need),
            .runs = runs};
  }
};

TEST_F(NeededFilesTest, AreThoseThatRangesTouchInTheOrderOfNeed) {
  testing_support::TarBuilder tar;
  tar.Add({.name = "a", .content = Noise(10'000, 1)});
  tar.Add({.name = "b", .content = Noise(20'000, 2)});
  tar.Add({.name = "b2", .type = '1', .link_name = "b"});
  tar.Add({.name = "c", .content = Noise(30'000, 3)});
  tar.Add({.name = "d", .content = Noise(40'000, 4)});
  tar.Add({.name = "empty", .content = ""});
  OpenLayer(tar.Finish(), 4096);
  const DataRange a = RangeOf("a");
  const DataRange b = RangeOf("b");
  const DataRange c = RangeOf("c");
  const DataRange d = RangeOf("d");
  ASSERT_LT(a.end(), b.data_address);
  const AccessRange ranges[] = {
      Access(a.data_address + 4096, a.data_address + 8192, 70),
      // From the end of one file over all of the next into the one after that.
      Access(b.end() - 100, c.data_address + 50, 40, 2),
      Access(c.data_address + 4096, c.data_address + 4196, 20),
      Access(d.end(), d.end() + 1, 0),
  };
  const std::vector<NeededFile> want = {
      {.path = "/c",
       .size_bytes = 30'000,
       .needed_bytes = 150,
       .parts = 2,
       .first_need = milliseconds(20),
       .runs = 2},
      {.path = "/b",
       .size_bytes = 20'000,
       .needed_bytes = 100,
       .parts = 1,
       .first_need = milliseconds(40),
       .runs = 2},
      {.path = "/a",
       .size_bytes = 10'000,
       .needed_bytes = 4096,
       .parts = 1,
       .first_need = milliseconds(70),
       .runs = 1},
  };
  EXPECT_EQ(FindNeededFiles(layer_->index(), ranges), want);
  EXPECT_TRUE(FindNeededFiles(layer_->index(), {}).empty());
}

TEST(WorthPrefetching, LeavesOutWhatIsRareOrSparse) {
  const auto file = [](const char* path, uint64_t size_bytes, uint64_t needed_bytes, uint32_t runs,
                       uint32_t parts = 1) {
    return NeededFile{.path = path,
                      .size_bytes = size_bytes,
                      .needed_bytes = needed_bytes,
                      .parts = parts,
                      .runs = runs};
  };
  const std::vector<NeededFile> files = {
      file("/dense", 10 << 20, 5 << 20, 4),
      file("/sparse", 10 << 20, 4 << 20, 4, 5),
      file("/small and sparse", 1 << 20, 1, 4),
      file("/in half of the runs", 100, 100, 2),
      file("/in less of the runs", 100, 100, 1),
      file("/sparse, in many parts", 10 << 20, 4 << 20, 4, 6),
  };
  const store::LayerInfo dense{.blob_size_bytes = 100, .data_size_bytes = 100};
  const std::vector<NeededFile> want = {files[0], files[2], files[3], files[5]};
  EXPECT_EQ(WorthPrefetching(files, 4, dense), want);
  EXPECT_EQ(WorthPrefetching(files, 2, dense).size(), 5U);
  EXPECT_EQ(ReadInParts(files, dense), std::vector<NeededFile>{files[1]});
  // Where the rest is so much smaller in the blob, it is not worth five requests.
  EXPECT_TRUE(ReadInParts(files, {.blob_size_bytes = 80, .data_size_bytes = 100}).empty());
  EXPECT_EQ(ReadInParts(files, {.blob_size_bytes = 90, .data_size_bytes = 100}).size(), 1U);
}

}  // namespace
}  // namespace starling::layer
