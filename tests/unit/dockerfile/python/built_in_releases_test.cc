#include "dockerfile/python/built_in_releases.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "dockerfile/python/release_table.h"

namespace starling::dockerfile::python {
namespace {

TEST(BuiltInReleases, AreAllForUsAndHaveDigests) {
  ReleaseTable table;
  ASSERT_TRUE(table.Add(BuiltInSums()).ok()) << table.Add(BuiltInSums());
  const std::string_view text = BuiltInSums();
  // The first line end stands alone.
  EXPECT_EQ(table.size(), static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) - 1);
  // What sha256sum says of nothing: a download that failed.
  EXPECT_EQ(text.find(oci::Digest::Of({}).Hex()), std::string_view::npos);
}

TEST(BuiltInReleases, HaveEachSeries) {
  const ReleaseTable table = ReleaseTable::BuiltIn();
  for (const char* version : {"3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.13t", "3.14t"}) {
    for (const char* architecture : {"amd64", "arm64"}) {
      const auto chosen = table.Choose({version, architecture, kBaselineCpu, Libc::kGnu},
                                       [](const Release&) { return true; });
      EXPECT_TRUE(chosen.ok()) << version << chosen.status();
    }
  }
}

}  // namespace
}  // namespace starling::dockerfile::python
