#include "dockerfile/build/cache_mount_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/temp_dir.h"
#include "tests/support/fake_containerd.h"
#include "tests/support/memory_image.h"
#include "tests/support/read_whole.h"
#include "tests/support/tar_builder.h"

namespace starling::dockerfile::build {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing_support::FakeContainerd;
using testing_support::MemoryImageSource;

const oci::Platform kPlatform{.os = "linux", .architecture = "amd64"};
const std::set<std::string> kIds = {"empty", "none", "one", "two"};

TEST(CacheMountsOf, AreThoseOfNeededSteps) {
  const auto run = [](plan::NodeId base, const std::vector<std::string>& ids) {
    plan::Run step{.base = base};
    for (const std::string& id : ids) {
      step.mounts.push_back({.type = syntax::MountType::kCache, .id = id});
    }
    step.mounts.push_back({.type = syntax::MountType::kSecret, .id = "secret"});
    return step;
  };
  plan::Graph graph;
  graph.nodes.resize(4);
  graph.nodes[1].operation = run(0, {"b"});
  graph.nodes[2].operation = run(0, {"not needed"});
  graph.nodes[3].operation = run(1, {"a", "b"});
  EXPECT_THAT(CacheMountsOf(graph, 3), ElementsAre("a", "b"));
  EXPECT_THAT(CacheMountsOf(graph, 0), IsEmpty());
}

class StoreCacheMountsTest : public ::testing::Test {
 protected:
  /// A file in the mount `id`.
  void Write(const std::string& id, const std::string& name, const std::string& content) {
    const auto lease = mounts_.Take(id, syntax::CacheSharing::kShared, {});
    ASSERT_TRUE(lease.ok()) << lease.status();
    const std::filesystem::path path = lease->path() / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
    std::filesystem::last_write_time(path, std::filesystem::file_time_type());
  }
  StatusOr<StoredCacheMounts> Store() {
    return StoreCacheMounts(client_, mounts_, kIds, 1, kPlatform);
  }
  /// What was stored, as another machine finds it in a registry.
  StatusOr<std::unique_ptr<CacheImport>> Import(const BuiltImage& image) {
    source_->Add(oci::media_type::kOciConfig, AsBytes(image.config));
    for (const oci::Descriptor& layer : image.parsed.layers) {
      const FakeContainerd::State state = containerd_.state();
      source_->Add(layer.media_type, AsBytes(state.blobs.at(layer.digest.ToString()).content));
    }
    source_->SetTop(source_->Add(image.parsed));
    return CacheImport::Open(source_, std::nullopt, bases_);
  }
  static std::string Read(const std::filesystem::path& path) {
    return testing_support::ReadWhole(path);
  }

  const TempDir directory_ = *TempDir::Make("/tmp", "cache-mount-layers-");
  const std::string socket_ = (directory_.path() / "c.sock").string();
  FakeContainerd containerd_{socket_};
  containerd::Client client_{{.address = socket_, .namespace_name = "ns"}};
  CacheMounts mounts_{directory_.path() / "mounts"};
  std::shared_ptr<MemoryImageSource> source_ = std::make_shared<MemoryImageSource>();
  BaseImages bases_{[](const std::string& name) -> StatusOr<std::shared_ptr<oci::ImageSource>> {
    return MakeError(StatusCode::kNotFound, name);
  }};
};

TEST_F(StoreCacheMountsTest, FillsThoseOfAnotherMachine) {
  Write("one", "deep/er/file", "first");
  Write("two", "file", "second");
  ASSERT_TRUE(mounts_.Take("empty", syntax::CacheSharing::kShared, {}).ok());
  const auto stored = Store();
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_THAT(stored->changing, IsEmpty());
  ASSERT_TRUE(stored->image.has_value());
  EXPECT_EQ(stored->image->parsed.layers.size(), 2u);

  const auto import = Import(*stored->image);
  ASSERT_TRUE(import.ok()) << import.status();
  const std::filesystem::path there = directory_.path() / "there";
  for (const auto& [id, file, content] :
       {std::tuple("one", "deep/er/file", "first"), std::tuple("two", "file", "second")}) {
    std::filesystem::create_directories(there / id);
    const auto filled = (*import)->FillMount(id, there / id, {});
    ASSERT_TRUE(filled.ok() && *filled) << filled.status();
    EXPECT_EQ(Read(there / id / file), content);
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(there / "two"), {}), 1)
      << "nothing but its files";
  EXPECT_FALSE(*(*import)->FillMount("empty", there, {}));
  EXPECT_FALSE((*import)->Find(oci::Digest::Of(AsBytes("key"))).has_value());
}

TEST_F(StoreCacheMountsTest, SameFilesAreTheSameImage) {
  Write("one", "file", "content");
  const auto first = Store();
  ASSERT_TRUE(first.ok() && first->image) << first.status();
  const auto second = Store();
  ASSERT_TRUE(second.ok() && second->image) << second.status();
  EXPECT_EQ(first->image->manifest.digest, second->image->manifest.digest);
  Write("one", "file", "other");
  EXPECT_NE(Store()->image->manifest.digest, first->image->manifest.digest);
}

TEST_F(StoreCacheMountsTest, NothingIsNoImage) {
  const auto stored = Store();
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_FALSE(stored->image.has_value());
}

TEST_F(StoreCacheMountsTest, LeavesOutWhatChangesMeanwhile) {
  // Larger than all that is read ahead, and does not shrink.
  std::string large(32 << 20, '\0');
  uint32_t state = 1;
  for (char& c : large) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  Write("one", "file", large);
  Write("two", "file", "second");
  const std::filesystem::path file =
      mounts_.Take("one", syntax::CacheSharing::kShared, {})->path() / "file";
  containerd_.Before("content.Data", [&] {
    if (Read(file).size() > 1) {
      std::filesystem::resize_file(file, 1);
    }
  });
  const auto stored = Store();
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_THAT(stored->changing, ElementsAre("one"));
  ASSERT_TRUE(stored->image.has_value());
  EXPECT_EQ(stored->image->parsed.layers.size(), 1u);
}

TEST_F(StoreCacheMountsTest, AHostileLayerStaysInItsDirectory) {
  const std::string layer =
      testing_support::TarBuilder().Add({.name = "../outside", .content = "content"}).Finish();
  Tree tree;
  tree.layers.push_back({.blob = source_->Add(oci::media_type::kOciLayerTar, AsBytes(layer)),
                         .diff_id = oci::Digest::Of(AsBytes(layer))});
  const auto image =
      DescribeImage(plan::ImageDraft::Scratch(kPlatform), tree,
                    {.cache_records = CacheRecords{.mounts = {{.id = "one"}}, .created = {{}}}});
  ASSERT_TRUE(image.ok()) << image.status();
  source_->Add(oci::media_type::kOciConfig, AsBytes(image->config));
  source_->SetTop(source_->Add(image->parsed));
  const auto import = CacheImport::Open(source_, std::nullopt, bases_);
  ASSERT_TRUE(import.ok()) << import.status();
  const std::filesystem::path there = directory_.path() / "there";
  std::filesystem::create_directories(there);
  EXPECT_EQ((*import)->FillMount("one", there, {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(directory_.path() / "outside"));
}

}  // namespace
}  // namespace starling::dockerfile::build
