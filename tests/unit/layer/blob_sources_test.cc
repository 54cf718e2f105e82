#include "layer/blob_sources.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/support/memory_blob.h"

namespace starling::layer {
namespace {

using testing_support::MemoryBlob;

class BlobSourcesTest : public testing::Test {
 protected:
  BlobSources::Open Counted(const std::string& name,
                            StatusOr<std::shared_ptr<oci::BlobReader>> result) {
    return [this, name, result]() -> StatusOr<std::shared_ptr<oci::BlobReader>> {
      ++opened_[name];
      return result;
    };
  }
  std::shared_ptr<MemoryBlob> Add(const std::string& name) {
    auto blob = std::make_shared<MemoryBlob>(Bytes(1));
    sources_.Set(name, name + ".example", {{name, Counted(name, blob)}});
    return blob;
  }
  void AddBroken(const std::string& name, StatusCode code) {
    sources_.Set(name, name + ".example", {{name, Counted(name, MakeError(code, name))}});
  }
  BlobSources::Source Best(BlobSources::Experience experience = {}) {
    auto best = sources_.OpenBest(experience, now_);
    EXPECT_TRUE(best.ok()) << best.status();
    return best.ok() ? *best : BlobSources::Source{};
  }

  BlobSources sources_;
  std::map<std::string, int> opened_;
  BlobSources::TimePoint now_{std::chrono::hours(1)};
};

TEST_F(BlobSourcesTest, OpensTheFirstOnceWhenItIsAskedFor) {
  const auto first = Add("first");
  Add("second");
  EXPECT_EQ(sources_.Preferred(now_).host, "first.example");
  EXPECT_FALSE(sources_.Opened({}, now_).has_value());
  EXPECT_TRUE(opened_.empty());
  EXPECT_EQ(Best().reader, first);
  const auto opened = sources_.Opened({}, now_);
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ(opened->name, "first");
  EXPECT_EQ(opened->host, "first.example");
  EXPECT_EQ(Best().reader, first);
  EXPECT_EQ(opened_, (std::map<std::string, int>{{"first", 1}}));
}

TEST_F(BlobSourcesTest, PassesOverWhatCannotBeOpened) {
  AddBroken("gone", StatusCode::kNotFound);
  AddBroken("forbidden", StatusCode::kPermissionDenied);
  BlobSources::Experience experience;
  EXPECT_EQ(sources_.OpenBest(experience, now_).status().code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(experience.failed.size(), 2U);
  EXPECT_FALSE(sources_.HasOther(experience));
  EXPECT_EQ(sources_.OpenBest(experience, now_).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(opened_["gone"], 1) << "not twice for one fetch";
  const auto good = Add("good");
  EXPECT_EQ(Best().reader, good);
  EXPECT_EQ(opened_["gone"], 1) << "nor soon for another";
}

TEST_F(BlobSourcesTest, ASourceThatFailedRests) {
  Add("first");
  Add("second");
  const auto first = Best();
  sources_.OnFailed(first.id, now_);
  EXPECT_EQ(Best().name, "second");
  EXPECT_TRUE(sources_.HasHealthyOther({.failed = {first.id}, .spoiled = {}}, now_));
  now_ += std::chrono::seconds(1);
  sources_.OnFailed(Best().id, now_);
  EXPECT_FALSE(sources_.HasHealthyOther({.failed = {first.id}, .spoiled = {}}, now_));
  EXPECT_TRUE(sources_.HasOther({.failed = {first.id}, .spoiled = {}}));
  EXPECT_EQ(Best().name, "first") << "when all failed, the one whose failure is the longest ago";
  now_ += BlobSources::kRest - std::chrono::milliseconds(1001);
  EXPECT_EQ(Best({.failed = {first.id}, .spoiled = {}}).name, "second");
  EXPECT_EQ(sources_.Preferred(now_).host, "first.example");
  sources_.OnFailed(first.id, now_);
  now_ += std::chrono::milliseconds(1001);
  EXPECT_EQ(Best().name, "second") << "has rested";
  now_ += BlobSources::kRest;
  EXPECT_EQ(Best().name, "first") << "preferred again";
}

TEST_F(BlobSourcesTest, WhoSpoiledBytesIsAskedLast) {
  Add("first");
  Add("second");
  const BlobSources::Id first = Best().id;
  const auto second = Best({.failed = {}, .spoiled = first});
  EXPECT_EQ(second.name, "second");
  sources_.OnFailed(second.id, now_);
  EXPECT_EQ(Best({.failed = {}, .spoiled = first}).name, "second") << "even when it failed lately";
  EXPECT_EQ(Best({.failed = {second.id}, .spoiled = first}).name, "first");
}

TEST_F(BlobSourcesTest, AnOpenedBlobBelongsToTheFirst) {
  const auto blob = std::make_shared<MemoryBlob>(Bytes(1));
  sources_.Use(blob);
  EXPECT_EQ(Best().reader, blob);
  EXPECT_EQ(sources_.Preferred(now_).host, "");
  Add("first");
  Add("second");
  EXPECT_EQ(Best().reader, blob);
  EXPECT_EQ(Best().name, "first");
  EXPECT_TRUE(opened_.empty());
}

TEST_F(BlobSourcesTest, TheSameNameReplaces) {
  const auto old = Add("first");
  ASSERT_EQ(Best().reader, old);
  const BlobSources::Id id = Best().id;
  const auto renewed = Add("first");
  EXPECT_EQ(Best().reader, old) << "what works is kept";
  EXPECT_EQ(Best().id, id);
  sources_.OnFailed(id, now_);
  const auto cured = Add("first");
  EXPECT_EQ(Best().reader, cured);
}

TEST_F(BlobSourcesTest, ForgetsTheFirstOfTooMany) {
  for (int i = 0; i < 9; ++i) {
    Add(std::to_string(i));
  }
  EXPECT_EQ(Best().name, "1");
}

TEST_F(BlobSourcesTest, AnImagesPlacesAreReplacedTogether) {
  const auto blob = std::make_shared<MemoryBlob>(Bytes(1));
  const auto set = [&](const std::vector<std::string>& names) {
    std::vector<BlobSources::Named> named;
    for (const std::string& name : names) {
      named.push_back({name, Counted(name, blob)});
    }
    sources_.Set("image", "example", std::move(named));
  };
  const auto order = [&] {
    std::vector<std::string> names;
    BlobSources::Experience experience;
    while (sources_.HasOther(experience)) {
      const auto source = *sources_.OpenBest(experience, now_);
      names.push_back(source.name);
      experience.failed.push_back(source.id);
    }
    return names;
  };
  using Names = std::vector<std::string>;
  Add("before");
  set({"mirror", "registry"});
  Add("after");
  EXPECT_EQ(order(), (Names{"before", "mirror", "registry", "after"}));
  EXPECT_EQ(opened_["registry"], 1);
  set({"other", "registry"});
  EXPECT_EQ(order(), (Names{"before", "other", "registry", "after"})) << "where they were";
  EXPECT_EQ(opened_["registry"], 1) << "what works is kept";
  set({"registry"});
  EXPECT_EQ(order(), (Names{"before", "registry", "after"}));
  set({"1", "2", "3", "4", "5", "6", "7", "8", "9"});
  EXPECT_EQ(order(), (Names{"1", "2", "3", "4", "5", "6", "7", "8"}));
  set({"last"});
  EXPECT_EQ(order(), (Names{"last"}));
}

TEST_F(BlobSourcesTest, CloseLetsGoOfEverything) {
  std::weak_ptr<MemoryBlob> blob = Add("first");
  ASSERT_EQ(Best().name, "first");
  EXPECT_FALSE(blob.expired());
  sources_.Close();
  EXPECT_TRUE(blob.expired());
  Add("second");
  sources_.Use(std::make_shared<MemoryBlob>(Bytes(1)));
  BlobSources::Experience experience;
  EXPECT_EQ(sources_.OpenBest(experience, now_).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(sources_.Preferred(now_).host, "");
}

TEST_F(BlobSourcesTest, WrongBytesPutASourceInQuarantine) {
  Add("first");
  Add("second");
  const BlobSources::Source first = Best();
  const auto told = sources_.OnSpoiled(first.id, now_);
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->name, "first");
  EXPECT_FALSE(sources_.OnSpoiled(first.id, now_).has_value()) << "told once";
  EXPECT_FALSE(sources_.OnSpoiled(99, now_).has_value());
  now_ += BlobSources::kQuarantine - std::chrono::seconds(1);
  EXPECT_EQ(Best().name, "second");
  sources_.OnFailed(Best().id, now_);
  EXPECT_EQ(Best().name, "second") << "an outage is better than wrong bytes";
  Add("first");
  EXPECT_EQ(Best().name, "second") << "named again, it is the same source";
  now_ += std::chrono::seconds(1);
  EXPECT_EQ(Best().name, "first");
  EXPECT_TRUE(sources_.OnSpoiled(first.id, now_).has_value());
}

}  // namespace
}  // namespace starling::layer
