#include "layer/gzip_index_store.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/temp_dir.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/gzip_layer.h"

namespace starling::layer {
namespace {

estargz::GzipLayerIndex IndexOf(std::string_view layer) {
  const std::string blob = testing_support::Gzip(std::string(1024, '\0'));
  SpanSource source(AsBytes(blob));
  return *estargz::IndexGzipLayer(source, oci::Digest::Of(AsBytes(layer)));
}

class GzipIndexStoreTest : public testing::Test {
 protected:
  std::filesystem::path PathOf(std::string_view layer) const {
    return directory_ / (oci::Digest::Of(AsBytes(layer)).Hex() + ".gzidx");
  }
  StatusCode Find(std::string_view layer) {
    return indexes_.Find(oci::Digest::Of(AsBytes(layer))).status().code();
  }

  TempDir parent_ = *TempDir::Make(testing::TempDir(), "indexes");
  std::filesystem::path directory_ = parent_.path() / "deep" / "indexes";
  testing_support::FaultyFileSystem files_;
  GzipIndexStore indexes_{directory_, files_, 2};
};

TEST_F(GzipIndexStoreTest, KeepsWhatWasAdded) {
  EXPECT_EQ(Find("a"), StatusCode::kNotFound);
  const estargz::GzipLayerIndex index = IndexOf("a");
  ASSERT_TRUE(indexes_.Add(index).ok());
  ASSERT_TRUE(indexes_.Add(index).ok()) << "again";
  const auto found = indexes_.Find(index.layer());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->digest(), index.digest());
  EXPECT_EQ(Find("b"), StatusCode::kNotFound);
}

TEST_F(GzipIndexStoreTest, RemovesWhatItDoesNotUnderstand) {
  for (const std::string& content : {std::string("nonsense"), std::string()}) {
    ASSERT_TRUE(indexes_.Add(IndexOf("a")).ok());
    std::ofstream(PathOf("a"), std::ios::trunc) << content;
    EXPECT_EQ(Find("a"), StatusCode::kNotFound);
    EXPECT_FALSE(std::filesystem::exists(PathOf("a")));
  }
  ASSERT_TRUE(indexes_.Add(IndexOf("a")).ok());
  std::filesystem::rename(PathOf("a"), PathOf("b"));
  EXPECT_EQ(Find("b"), StatusCode::kNotFound) << "it is of another layer";
}

TEST_F(GzipIndexStoreTest, IsBounded) {
  const auto now = std::filesystem::file_time_type::clock::now();
  int age = 3;
  for (const char* layer : {"a", "b", "c"}) {
    ASSERT_TRUE(indexes_.Add(IndexOf(layer)).ok());
    std::filesystem::last_write_time(PathOf(layer), now - std::chrono::hours(age--));
  }
  EXPECT_EQ(Find("a"), StatusCode::kNotFound);
  EXPECT_EQ(Find("b"), StatusCode::kOk);
  EXPECT_EQ(Find("c"), StatusCode::kOk);
}

TEST_F(GzipIndexStoreTest, WhatIsUsedStays) {
  const auto now = std::filesystem::file_time_type::clock::now();
  int age = 3;
  for (const char* layer : {"a", "b"}) {
    ASSERT_TRUE(indexes_.Add(IndexOf(layer)).ok());
    std::filesystem::last_write_time(PathOf(layer), now - std::chrono::hours(age--));
  }
  EXPECT_EQ(Find("a"), StatusCode::kOk);
  ASSERT_TRUE(indexes_.Add(IndexOf("c")).ok());
  EXPECT_EQ(Find("b"), StatusCode::kNotFound);
  EXPECT_EQ(Find("a"), StatusCode::kOk);
}

TEST_F(GzipIndexStoreTest, CountsBytes) {
  const uint64_t bytes = IndexOf("a").bytes().size();
  GzipIndexStore indexes(directory_, files_, 100, 2 * bytes);
  for (const char* layer : {"a", "b", "c"}) {
    ASSERT_TRUE(indexes.Add(IndexOf(layer)).ok());
    std::filesystem::last_write_time(
        PathOf(layer), std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  }
  EXPECT_EQ(Find("a"), StatusCode::kNotFound);
  EXPECT_EQ(Find("b"), StatusCode::kOk);
  EXPECT_EQ(Find("c"), StatusCode::kOk);
}

TEST_F(GzipIndexStoreTest, TellsADigestWithoutReadingAgain) {
  const estargz::GzipLayerIndex index = IndexOf("a");
  EXPECT_EQ(indexes_.DigestOf(index.layer()).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(indexes_.Add(index).ok());
  int opened = 0;
  files_.set_hook([&opened](const testing_support::FaultyFileSystem::Call& call) {
    opened += call.operation == testing_support::FaultyFileSystem::Operation::kOpen ? 1 : 0;
    return OkStatus();
  });
  for (int i = 0; i < 3; ++i) {
    const auto digest = indexes_.DigestOf(index.layer());
    ASSERT_TRUE(digest.ok()) << digest.status();
    EXPECT_EQ(*digest, index.digest());
  }
  EXPECT_EQ(opened, 1);
  files_.set_hook(nullptr);
  std::ofstream(PathOf("a"), std::ios::trunc) << "nonsense";
  EXPECT_EQ(indexes_.DigestOf(index.layer()).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(indexes_.Add(index).ok());
  std::filesystem::remove(PathOf("a"));
  EXPECT_EQ(indexes_.DigestOf(index.layer()).status().code(), StatusCode::kNotFound);
}

TEST_F(GzipIndexStoreTest, AFullDiskIsAnErrorAndLeavesTheOldOne) {
  ASSERT_TRUE(indexes_.Add(IndexOf("a")).ok());
  files_.set_free_bytes(0);
  EXPECT_EQ(indexes_.Add(IndexOf("b")).code(), StatusCode::kResourceExhausted);
  files_.set_free_bytes(UINT64_MAX);
  EXPECT_EQ(Find("a"), StatusCode::kOk);
  EXPECT_EQ(Find("b"), StatusCode::kNotFound);
}

}  // namespace
}  // namespace starling::layer
