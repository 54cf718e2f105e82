#include "layer/file_names.h"

#include <gtest/gtest.h>

#include "tests/support/gzip_text.h"
#include "tests/support/lazy_layer_fixture.h"
#include "tests/support/tar_builder.h"

namespace starling::layer {
namespace {

using testing_support::Noise;

class FileNamesTest : public testing_support::LazyLayerFixture {
 protected:
  DataRange RangeOf(std::string_view directory, std::string_view name) const {
    erofs::Nid at = layer_->index().root();
    if (!directory.empty()) {
      at = *layer_->index().Lookup(at, directory);
    }
    const auto file = *layer_->index().Stat(*layer_->index().Lookup(at, name));
    return {.data_address = file.data_address, .size_bytes = file.size_bytes};
  }
};

TEST_F(FileNamesTest, ARangeIsNamedByTheFileThatItBeginsIn) {
  testing_support::TarBuilder tar;
  tar.Add({.name = "first", .content = Noise(10'000, 1)});
  tar.Add({.name = "dir/second", .content = Noise(20'000, 2)});
  tar.Add({.name = "dir/third", .content = Noise(30'000, 3)});
  tar.Add({.name = "dir/empty", .content = ""});
  OpenLayer(tar.Finish(), 4096);
  const DataRange first = RangeOf("", "first");
  const DataRange second = RangeOf("dir", "second");
  const DataRange third = RangeOf("dir", "third");
  ASSERT_LT(first.data_address, second.data_address);
  ASSERT_LT(second.data_address, third.data_address);
  const DataRange ranges[] = {
      {.data_address = second.data_address, .size_bytes = 1},
      {.data_address = first.end() - 1, .size_bytes = 1},
      {.data_address = first.data_address + 5, .size_bytes = third.end() - first.data_address},
      {.data_address = third.end(), .size_bytes = 100},
      {.data_address = second.data_address, .size_bytes = 0},
  };
  const std::vector<FilesOfRange> want = {
      {.first = "/dir/second"}, {.first = "/first"}, {.first = "/first", .more_files = 2}, {}, {}};
  EXPECT_EQ(FindFiles(layer_->index(), ranges), want);
  EXPECT_TRUE(FindFiles(layer_->index(), {}).empty());
}

TEST_F(FileNamesTest, AFileOfSeveralNamesIsOne) {
  testing_support::TarBuilder tar;
  tar.Add({.name = "name", .content = Noise(10'000, 1)});
  tar.Add({.name = "other", .type = '1', .link_name = "name"});
  OpenLayer(tar.Finish(), 4096);
  const DataRange range = RangeOf("", "name");
  const std::vector<FilesOfRange> want = {{.first = "/name"}};
  EXPECT_EQ(FindFiles(layer_->index(), std::span(&range, 1)), want);
}

}  // namespace
}  // namespace starling::layer
