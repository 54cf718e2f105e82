#include "dockerfile/build/result_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "tests/support/fake_containerd.h"

namespace starling::dockerfile::build {
namespace {

using ::testing::IsEmpty;
using testing_support::FakeContainerd;

constexpr const char* kSnapshotter = "stargz";

oci::Digest DigestOf(std::string_view text) { return oci::Digest::Of(AsBytes(text)); }

class ResultCacheTest : public ::testing::Test {
 protected:
  CachedResult ResultOf(const std::string& name, uint64_t size_bytes = 10) {
    const std::string snapshot = DigestOf("snapshot " + name).ToString();
    containerd_.Change(
        [&](FakeContainerd::State& state) { state.snapshots[snapshot] = {.committed = true}; });
    Layer base{.blob = {.media_type = "base", .digest = DigestOf("base"), .size_bytes = 1},
               .diff_id = DigestOf("base diff"),
               .origin = "r.test/base:1"};
    Layer own{.blob = {.media_type = "own",
                       .digest = DigestOf("blob " + name),
                       .size_bytes = size_bytes,
                       .annotations = {{"a", "b"}}},
              .diff_id = DigestOf("diff " + name),
              .created = std::chrono::sys_seconds(std::chrono::seconds(1234))};
    return {.key = DigestOf(name),
            .tree = {.layers = {base, own}, .snapshot = snapshot},
            .title = "[1/2] RUN " + name,
            .parts = {{"command", name}, {"user", ""}}};
  }
  /// Lets the record of `result` look as if it was last used then.
  void Use(const CachedResult& result, int64_t seconds) {
    containerd_.Change([&](FakeContainerd::State& state) {
      for (auto& [digest, blob] : state.blobs) {
        if (blob.labels["starling.dev/build.key"] == result.key.Hex()) {
          blob.labels["starling.dev/build.used"] = std::to_string(seconds);
        }
      }
    });
  }

  TempDir directory_ = *TempDir::Make("/tmp", "result-cache-");
  std::string socket_ = (directory_.path() / "c.sock").string();
  FakeContainerd containerd_{socket_};
  containerd::Client client_{{.address = socket_, .namespace_name = "ns"}};
  ResultCache cache_{client_, kSnapshotter};
};

TEST_F(ResultCacheTest, FindsWhatWasPut) {
  const CachedResult result = ResultOf("make");
  EXPECT_FALSE(cache_.Find(result.key)->has_value());
  ASSERT_TRUE(cache_.Put(result).ok());
  const auto found = cache_.Find(result.key);
  ASSERT_TRUE(found.ok() && found->has_value()) << found.status();
  EXPECT_EQ((*found)->tree, result.tree);
  EXPECT_EQ((*found)->parts, result.parts);
  EXPECT_EQ((*found)->title, result.title);
}

TEST_F(ResultCacheTest, KeepsSnapshotAndLayerFromTheCollector) {
  const CachedResult result = ResultOf("make");
  ASSERT_TRUE(cache_.Put(result).ok());
  const auto blobs = containerd_.state().blobs;
  ASSERT_EQ(blobs.size(), 1u);
  const FakeContainerd::Labels labels = blobs.begin()->second.labels;
  EXPECT_TRUE(labels.contains("containerd.io/gc.root"));
  EXPECT_EQ(labels.at("containerd.io/gc.ref.snapshot.stargz"), result.tree.snapshot);
  EXPECT_EQ(labels.at("containerd.io/gc.ref.content.layer"),
            result.tree.layers[1].blob.digest.ToString());
}

TEST_F(ResultCacheTest, DoesNotFindAResultWhoseSnapshotIsGone) {
  const CachedResult result = ResultOf("make");
  ASSERT_TRUE(cache_.Put(result).ok());
  containerd_.Change([](FakeContainerd::State& state) { state.snapshots.clear(); });
  EXPECT_FALSE(cache_.Find(result.key)->has_value());
}

TEST_F(ResultCacheTest, FindsALayerThatIsTheSameOnAnyBase) {
  CachedResult result = ResultOf("copy");
  result.parts = {{"base", "one"}, {"files of x", "content"}, {"link", "true"}};
  result.is_alone = true;
  ASSERT_TRUE(cache_.Put(result).ok());
  const auto found =
      cache_.FindAlone({{"base", "another"}, {"files of x", "content"}, {"link", "true"}});
  ASSERT_TRUE(found.ok() && found->has_value()) << found.status();
  EXPECT_EQ((*found)->tree, result.tree);
  EXPECT_FALSE(
      cache_.FindAlone({{"base", "one"}, {"files of x", "other"}, {"link", "true"}})->has_value());
  CachedResult other = ResultOf("run");
  other.parts = {{"base", "one"}, {"command", "make"}};
  ASSERT_TRUE(cache_.Put(other).ok());
  EXPECT_FALSE(cache_.FindAlone(other.parts)->has_value()) << "it looks at its base";
}

TEST_F(ResultCacheTest, BelongsToOneSnapshotter) {
  const CachedResult result = ResultOf("make");
  ASSERT_TRUE(cache_.Put(result).ok());
  EXPECT_FALSE(ResultCache(client_, "overlayfs").Find(result.key)->has_value());
}

TEST_F(ResultCacheTest, ANewResultReplacesTheFormerOne) {
  CachedResult result = ResultOf("make");
  ASSERT_TRUE(cache_.Put(result).ok());
  const CachedResult other = ResultOf("made again");
  result.tree = other.tree;
  ASSERT_TRUE(cache_.Put(result).ok());
  EXPECT_EQ(containerd_.state().blobs.size(), 1u);
  EXPECT_EQ((*cache_.Find(result.key))->tree.snapshot, other.tree.snapshot);
}

TEST_F(ResultCacheTest, LeavesARecordAloneThatItCannotRead) {
  const CachedResult result = ResultOf("make");
  for (const std::string& text :
       {std::string("{}"), std::string("no JSON"), std::string(R"({"version":99})"),
        std::string(R"({"version":1,"key":"sha256:1","title":1,"snapshot":"","layers":[]})")}) {
    containerd_.Change([&](FakeContainerd::State& state) {
      state.blobs = {{DigestOf(text).ToString(),
                      {.content = text,
                       .labels = {{"starling.dev/build.key", result.key.Hex()},
                                  {"starling.dev/build.snapshotter", kSnapshotter}}}}};
    });
    const auto found = cache_.Find(result.key);
    ASSERT_TRUE(found.ok()) << text << found.status();
    EXPECT_FALSE(found->has_value()) << text;
  }
}

TEST_F(ResultCacheTest, FindsTheLatestOfATitle) {
  CachedResult old = ResultOf("make");
  CachedResult latest = ResultOf("made");
  latest.title = old.title;
  ASSERT_TRUE(cache_.Put(old).ok());
  ASSERT_TRUE(cache_.Put(latest).ok());
  Use(old, 1000);
  EXPECT_EQ((*cache_.FindByTitle(old.title))->key, latest.key);
  EXPECT_FALSE(cache_.FindByTitle("another")->has_value());
}

TEST_F(ResultCacheTest, NotesAUseOnceAnHour) {
  const CachedResult result = ResultOf("make");
  ASSERT_TRUE(cache_.Put(result).ok());
  const size_t before = containerd_.CallsOf("content.Update");
  ASSERT_TRUE(cache_.Find(result.key)->has_value());
  EXPECT_EQ(containerd_.CallsOf("content.Update"), before);
  Use(result, 1000);
  ASSERT_TRUE(cache_.Find(result.key)->has_value());
  ASSERT_TRUE(cache_.Find(result.key)->has_value());
  EXPECT_EQ(containerd_.CallsOf("content.Update"), before + 1);
}

TEST_F(ResultCacheTest, PrunesWhatWasUsedLongestAgo) {
  const CachedResult results[] = {ResultOf("a", 100), ResultOf("b", 100), ResultOf("c", 100)};
  for (size_t i = 0; i < std::size(results); ++i) {
    ASSERT_TRUE(cache_.Put(results[i]).ok());
    Use(results[i], static_cast<int64_t>(1000 + i));
  }
  ASSERT_EQ(cache_.List()->size(), 3u);
  EXPECT_EQ((*cache_.List())[0].title, results[0].title);
  const auto pruned = cache_.Prune(200);
  ASSERT_TRUE(pruned.ok()) << pruned.status();
  EXPECT_EQ(pruned->entries, 1u);
  EXPECT_EQ(pruned->bytes, 100u);
  EXPECT_FALSE(cache_.Find(results[0].key)->has_value());
  EXPECT_TRUE(cache_.Find(results[1].key)->has_value());
  EXPECT_EQ(cache_.Prune(0)->entries, 2u);
  EXPECT_THAT(*cache_.List(), IsEmpty());
}

}  // namespace
}  // namespace starling::dockerfile::build
