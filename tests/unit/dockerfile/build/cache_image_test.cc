#include "dockerfile/build/cache_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "base/temp_dir.h"
#include "dockerfile/build/image_writer.h"
#include "tests/support/fake_containerd.h"
#include "tests/support/memory_image.h"

namespace starling::dockerfile::build {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing_support::FakeContainerd;
using testing_support::MemoryImageSource;

const oci::Platform kPlatform{.os = "linux", .architecture = "amd64"};

oci::Digest DigestOf(std::string_view text) { return oci::Digest::Of(AsBytes(text)); }

Layer LayerOf(const std::string& name) {
  return {.blob = {.media_type = std::string(oci::media_type::kOciLayerGzip),
                   .digest = DigestOf(name),
                   .size_bytes = name.size(),
                   .annotations = {{"toc", name}}},
          .diff_id = DigestOf("diff " + name),
          .created = std::chrono::sys_seconds(std::chrono::seconds(name.size()))};
}

/// The result `key`, whose layers are one for each letter of `layers`.
CachedResult ResultOf(const std::string& key, std::string_view layers) {
  CachedResult result{.key = DigestOf(key), .title = "RUN " + key, .parts = {{"command", key}}};
  std::vector<oci::Digest> diff_ids;
  for (const char name : layers) {
    result.tree.layers.push_back(LayerOf(std::string(1, name)));
    diff_ids.push_back(result.tree.layers.back().diff_id);
  }
  result.tree.snapshot = diff_ids.empty() ? "" : oci::ChainIds(diff_ids).back().ToString();
  return result;
}

const std::vector<CachedResult> kResults = {ResultOf("copy", "ba"), ResultOf("run", "bac"),
                                            ResultOf("other stage", "x"), ResultOf("make", "bad")};

TEST(LongestTrees, HaveAllResultsOnTheirWay) {
  const std::vector<Tree> trees = LongestTrees(kResults);
  ASSERT_EQ(trees.size(), 3u);
  EXPECT_EQ(trees[2].layers.size(), 1u);
  std::vector<CachedResult> turned(kResults.rbegin(), kResults.rend());
  EXPECT_EQ(LongestTrees(turned), trees);
  EXPECT_THAT(LongestTrees({}), IsEmpty());
}

TEST(RecordsOf, AreThoseOfFirstLayers) {
  const CacheRecords records = RecordsOf(kResults[1].tree, kResults);
  ASSERT_EQ(records.records.size(), 2u);
  EXPECT_EQ(records.records[0].key, DigestOf("copy"));
  EXPECT_EQ(records.records[0].layers, 2u);
  EXPECT_EQ(records.records[1].title, "RUN run");
  EXPECT_EQ(records.created.size(), 3u);
}

TEST(CacheRecordsIn, GivesBackWhatWasPutThere) {
  CacheRecords records = RecordsOf(kResults[1].tree, kResults);
  records.mounts = {{.id = "/root/.cache", .layer = 2}, {.id = "go \"build\"", .layer = 0}};
  const auto image = DescribeImage(plan::ImageDraft::Scratch(kPlatform), kResults[1].tree,
                                   {.cache_records = records});
  ASSERT_TRUE(image.ok()) << image.status();
  const auto found = CacheRecordsIn(AsBytes(image->config));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, records);
  const auto without = DescribeImage(plan::ImageDraft::Scratch(kPlatform), kResults[1].tree, {});
  EXPECT_THAT(CacheRecordsIn(AsBytes(without->config))->records, IsEmpty());
}

TEST(CacheRecordsIn, RefusesWhatCannotBe) {
  CacheRecords records = RecordsOf(kResults[0].tree, kResults);
  records.mounts = {{.id = "m", .layer = 1}};
  const auto image = DescribeImage(plan::ImageDraft::Scratch(kPlatform), kResults[0].tree,
                                   {.cache_records = records});
  ASSERT_TRUE(image.ok());
  using Json = nlohmann::json;
  const std::pair<const char*, std::function<void(Json&)>> cases[] = {
      {"layers that there are not", [](Json& cache) { cache["records"][0]["layers"] = 3; }},
      {"no layers", [](Json& cache) { cache["records"][0]["layers"] = 0; }},
      {"negative layers", [](Json& cache) { cache["records"][0]["layers"] = -1; }},
      {"a key that is no digest", [](Json& cache) { cache["records"][0]["key"] = "sha256:../x"; }},
      {"parts of another kind", [](Json& cache) { cache["records"][0]["parts"] = {"x"}; }},
      {"no parts", [](Json& cache) { cache["records"][0].erase("parts"); }},
      {"a long title", [](Json& cache) { cache["records"][0]["title"] = std::string(5000, 'x'); }},
      {"records of another kind", [](Json& cache) { cache["records"] = "x"; }},
      {"too many records",
       [](Json& cache) {
         cache["records"] = Json(std::vector<Json>(kMaxCacheRecords + 1, cache["records"][0]));
       }},
      {"times of other layers", [](Json& cache) { cache["created"] = {1}; }},
      {"a time that cannot be", [](Json& cache) { cache["created"][0] = 1e18; }},
      {"a mount in a layer that there is not",
       [](Json& cache) { cache["mounts"][0]["layer"] = 2; }},
      {"a mount in no layer", [](Json& cache) { cache["mounts"][0].erase("layer"); }},
      {"a mount without a name", [](Json& cache) { cache["mounts"][0]["id"] = ""; }},
      {"a mount with a long name",
       [](Json& cache) {
         cache["mounts"][0]["id"] = std::string(kMaxCachedMountIdBytes + 1, 'x');
       }},
      {"mounts of another kind", [](Json& cache) { cache["mounts"] = "m"; }},
      {"too many mounts",
       [](Json& cache) {
         cache["mounts"] = Json(std::vector<Json>(kMaxCachedMounts + 1, cache["mounts"][0]));
       }},
      {"no version", [](Json& cache) { cache.erase("version"); }}};
  for (const auto& [name, change] : cases) {
    Json config = Json::parse(image->config);
    change(config["dev.starling.build.cache"]);
    EXPECT_FALSE(CacheRecordsIn(AsBytes(config.dump())).ok()) << name;
  }
  Json later = Json::parse(image->config);
  later["dev.starling.build.cache"]["version"] = 2;
  EXPECT_THAT(CacheRecordsIn(AsBytes(later.dump()))->records, IsEmpty());
}

class CacheImportTest : public ::testing::Test {
 protected:
  /// What DescribeCache makes of the results, as a registry has it.
  void Fill(const std::vector<CachedResult>& results) {
    const auto images = DescribeCache(results, kPlatform);
    ASSERT_TRUE(images.ok()) << images.status();
    for (const BuiltImage& image : *images) {
      source_->Add(oci::media_type::kOciConfig, AsBytes(image.config));
      source_->Add(image.parsed);
    }
    const oci::RawManifest index = DescribeIndex(*images, {});
    source_->SetTop(source_->Add(index.media_type, index.bytes));
  }
  StatusOr<std::unique_ptr<CacheImport>> Open() {
    return CacheImport::Open(source_, *oci::Reference::Parse("r.test/cache:1"), bases_);
  }

  std::shared_ptr<MemoryImageSource> source_ = std::make_shared<MemoryImageSource>();
  BaseImages bases_{[](const std::string& name) -> StatusOr<std::shared_ptr<oci::ImageSource>> {
    return MakeError(StatusCode::kNotFound, name);
  }};
};

TEST_F(CacheImportTest, FindsEachResult) {
  Fill(kResults);
  const auto cache = Open();
  ASSERT_TRUE(cache.ok()) << cache.status();
  for (const CachedResult& result : kResults) {
    const auto found = (*cache)->Find(result.key);
    ASSERT_TRUE(found.has_value()) << result.title;
    EXPECT_EQ(found->tree.snapshot, result.tree.snapshot);
    EXPECT_EQ(found->tree.layers.back().blob, result.tree.layers.back().blob);
    EXPECT_EQ(found->tree.layers.back().created, result.tree.layers.back().created);
    EXPECT_EQ(found->tree.layers.back().origin, "r.test/cache:1");
    EXPECT_EQ(found->parts, result.parts);
  }
  EXPECT_FALSE((*cache)->Find(DigestOf("never")).has_value());
  EXPECT_EQ(source_->blobs_streamed(), 3) << "the configurations alone";
  EXPECT_NE(bases_.FindByBlob(DigestOf("d")), nullptr) << "a push finds its layers";
}

TEST_F(CacheImportTest, BringsTheLayersOfAResultAlone) {
  Fill(kResults);
  const auto cache = Open();
  ASSERT_TRUE(cache.ok()) << cache.status();
  const TempDir directory = *TempDir::Make("/tmp", "cache-image-");
  const std::string socket = (directory.path() / "c.sock").string();
  FakeContainerd containerd(socket);
  containerd::Client client({.address = socket, .namespace_name = "ns"});
  containerd.Change([](FakeContainerd::State& state) {
    state.lazy_layers = {DigestOf("b").ToString(), DigestOf("a").ToString()};
  });
  NoProgress progress;
  const Status brought =
      (*cache)->Bring(*(*cache)->Find(DigestOf("copy")), client, "stargz", {}, progress);
  ASSERT_TRUE(brought.ok()) << brought;
  EXPECT_EQ(containerd.state().snapshots.size(), 2u);
  EXPECT_TRUE(containerd.state().snapshots.contains(kResults[0].tree.snapshot));
}

TEST_F(CacheImportTest, AnImageWithoutRecordsIsNoCache) {
  const auto image = DescribeImage(plan::ImageDraft::Scratch(kPlatform), kResults[0].tree, {});
  source_->Add(oci::media_type::kOciConfig, AsBytes(image->config));
  source_->SetTop(source_->Add(image->parsed));
  const auto cache = Open();
  EXPECT_EQ(cache.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(std::string(MessageOf(cache.status())), HasSubstr("memory"));
}

}  // namespace
}  // namespace starling::dockerfile::build
