#include "mount/index_finder.h"

#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "tests/support/gzip_layer.h"
#include "tests/support/manual_executor.h"

namespace starling::mount {
namespace {

using testing_support::MakeGzipLayer;

class IndexFinderTest : public testing::Test {
 protected:
  static estargz::GzipLayerIndex Copy(const estargz::GzipLayerIndex& index) {
    return *estargz::GzipLayerIndex::Parse(Bytes(index.bytes().begin(), index.bytes().end()));
  }
  static LayerSpec SpecOf(std::string_view image) {
    return {.image = std::string(image), .manifest = oci::Digest::Of(AsBytes(image))};
  }
  void Ask(const LayerSpec& spec) {
    finder_.Ask(spec);
    executor_.RunAll();
  }

  TempDir directory_ = *TempDir::Make("/tmp", "index-finder-");
  layer::GzipIndexStore indexes_{directory_.path() / "indexes", RealFileSystem()};
  testing_support::ManualExecutor executor_;
  std::vector<std::string> asked_;
  Status error_;
  std::vector<estargz::GzipLayerIndex> attached_;
  std::vector<oci::Digest> found_;
  IndexFinder finder_{
      {.find = [this](const LayerSpec& spec) -> StatusOr<std::vector<estargz::GzipLayerIndex>> {
         asked_.push_back(spec.image);
         RETURN_IF_ERROR(error_);
         std::vector<estargz::GzipLayerIndex> copies;
         for (const auto& index : attached_) {
           copies.push_back(Copy(index));
         }
         return copies;
       },
       .indexes = indexes_,
       .found = [this](const oci::Digest& layer) { found_.push_back(layer); },
       .executor = executor_}};
};

TEST_F(IndexFinderTest, KeepsWhatIsAttachedAndAsksOnceForEachImage) {
  attached_.push_back(std::move(MakeGzipLayer(1)->index));
  attached_.push_back(std::move(MakeGzipLayer(2)->index));
  finder_.Ask(SpecOf("one"));
  EXPECT_TRUE(asked_.empty()) << "the caller does not wait";
  finder_.Ask(SpecOf("one"));
  executor_.RunAll();
  Ask(SpecOf("one"));
  EXPECT_EQ(asked_, std::vector<std::string>{"one"});
  EXPECT_EQ(found_, (std::vector{attached_[0].layer(), attached_[1].layer()}));
  for (const auto& index : attached_) {
    EXPECT_EQ(*indexes_.DigestOf(index.layer()), index.digest());
  }
  Ask(SpecOf("two"));
  EXPECT_EQ(asked_, (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(found_.size(), 2U) << "they are kept already";
}

TEST_F(IndexFinderTest, WhatTheNodeHasStays) {
  const auto made = MakeGzipLayer(1);
  SpanSource blob(AsBytes(made->blob));
  const auto own = estargz::IndexGzipLayer(blob, made->index.layer(), {.spacing_bytes = 300'000});
  ASSERT_TRUE(own.ok());
  ASSERT_NE(own->digest(), made->index.digest());
  ASSERT_TRUE(indexes_.Add(*own).ok());
  attached_.push_back(Copy(made->index));
  Ask(SpecOf("one"));
  EXPECT_EQ(*indexes_.DigestOf(own->layer()), own->digest());
  EXPECT_TRUE(found_.empty());
}

TEST_F(IndexFinderTest, RemembersAnswersButNoFailures) {
  error_ = MakeError(StatusCode::kNotFound, "none is of type");
  Ask(SpecOf("one"));
  Ask(SpecOf("one"));
  EXPECT_EQ(asked_.size(), 1U);
  error_ = MakeError(StatusCode::kUnavailable, "away");
  Ask(SpecOf("two"));
  Ask(SpecOf("two"));
  EXPECT_EQ(asked_.size(), 3U);
}

TEST_F(IndexFinderTest, AsksNothingWhenTheImageIsNotNamed) {
  Ask({.image = "one", .manifest = std::nullopt});
  EXPECT_TRUE(asked_.empty());
}

}  // namespace
}  // namespace starling::mount
