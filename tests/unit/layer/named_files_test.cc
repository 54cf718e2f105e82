#include "layer/named_files.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/layer_of_files_fixture.h"

namespace starling::layer {
namespace {

using testing_support::Noise;
using testing_support::TarFile;
using Names = std::vector<std::string>;

class NamedFilesTest : public testing_support::LayerOfFilesFixture {
 protected:
  /// What is found in a new layer of `files`.
  Names FindIn(NamedFiles& named, const std::vector<TarFile>& files) {
    TearDown();
    OpenFiles(files, 4096);
    return FindAgain(named);
  }
  Names FindAgain(NamedFiles& named) {
    found_ = named.FindIn(layer_->index());
    return NamesOf(found_);
  }

  std::vector<DataRange> found_;
};

TEST_F(NamedFilesTest, AreFoundInTheOrderOfTheNames) {
  NamedFiles named({"/usr/bin/b", "etc/../usr/bin/./a", "/usr/bin/c", "/usr/bin/b"});
  EXPECT_EQ(FindIn(named, {File("usr/bin/a"), File("usr/bin/b"), File("usr/bin/d")}),
            (Names{"/usr/bin/b", "/usr/bin/a"}));
}

TEST_F(NamedFilesTest, LinksLeadOnWithinALayer) {
  NamedFiles named({"bin/python3"});
  EXPECT_EQ(FindIn(named, {Link("bin", "usr/bin"), Link("usr/bin/python3", "python3.11"),
                           File("usr/bin/python3.11")}),
            Names{"/usr/bin/python3.11"});
}

TEST_F(NamedFilesTest, LinksLeadToOtherLayersWhicheverComesFirst) {
  NamedFiles named({"bin/python3"});
  EXPECT_EQ(FindIn(named, {Link("bin", "usr/bin")}), Names());
  EXPECT_EQ(FindIn(named, {File("opt/python3.11")}), Names());
  const size_t known = named.name_count();
  EXPECT_EQ(FindAgain(named), Names());
  EXPECT_EQ(named.name_count(), known) << "nothing leads further";
  const auto file_layer = layer_;
  layer_ = nullptr;
  EXPECT_EQ(FindIn(named, {Link("usr/bin/python3", "/opt/python3.11")}), Names());
  EXPECT_GT(named.name_count(), known);
  EXPECT_EQ(named.FindIn(file_layer->index()).size(), 1U);
  file_layer->Close();
}

TEST_F(NamedFilesTest, OfALargeOneTheFrontIsFound) {
  NamedFiles named({"big"});
  FindIn(named, {{.name = "big", .content = Noise(NamedFiles::kMaxFileBytes + 1, 1)}});
  ASSERT_EQ(found_.size(), 1U);
  EXPECT_EQ(found_[0].size_bytes, NamedFiles::kMaxFileBytes);
}

TEST_F(NamedFilesTest, WhatIsNoFileWithBytesIsNotFound) {
  NamedFiles named({"directory", "empty", "directory/in", "file/in", "", "/", ".."});
  EXPECT_EQ(FindIn(named, {{.name = "directory/", .type = '5'}, {.name = "empty"}, File("file")}),
            Names());
}

TEST_F(NamedFilesTest, HostileLinksEnd) {
  NamedFiles named({"a", "loop/x", "up"});
  EXPECT_EQ(FindIn(named, {Link("a", "b"), Link("b", "a"), Link("loop", "loop/loop"),
                           Link("up", "../../../../etc/passwd"), File("etc/passwd")}),
            Names{"/etc/passwd"})
      << "nothing is above the root";
  for (int i = 0; i < 100; ++i) {
    FindAgain(named);
  }
  EXPECT_LE(named.name_count(), 256U);
}

}  // namespace
}  // namespace starling::layer
