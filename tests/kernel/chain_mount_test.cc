// Chains of layers as one mount.
#include "mount/chain_mount.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/temp_dir.h"
#include "fuse/mount_table.h"
#include "tests/support/file_tree.h"
#include "tests/support/private_mounts.h"
#include "tests/support/random_tree.h"

namespace starling::mount {
namespace {

using testing_support::NamesIn;
using testing_support::ReadWhole;
using testing_support::Tree;

/// Layers in a store; what would be their data over FUSE is another file, to tell it apart.
class ChainMountsTest : public testing_support::PrivateMountsFixture {
 protected:
  void SetUp() override {
    if (!testing_support::KernelKnowsFileSystem("erofs")) {
      GTEST_SKIP() << "this kernel has no erofs";
    }
    auto store = store::LayerStore::Open(Path("store"), RealFileSystem());
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    Start();
  }
  void TearDown() override {
    chains_.reset();
    EXPECT_EQ(MountsHere(), 0U) << "something is still mounted";
  }
  void Start() {
    chains_.reset();
    auto chains = ChainMounts::Start(Path("m"), RealFileSystem());
    ASSERT_TRUE(chains.ok()) << chains.status();
    chains_ = *std::move(chains);
  }
  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }
  size_t MountsHere() const {
    const auto mounts = fuse::MountsBelow(directory_.path());
    EXPECT_TRUE(mounts.ok()) << mounts.status();
    return mounts.ok() ? mounts->size() : 0;
  }

  /// A layer with one file of one block for each name; "x!" is a whiteout.
  ChainLayer MakeLayer(uint64_t number, const std::vector<std::string>& names) {
    Tree tree;
    for (const std::string& name : names) {
      if (name.ends_with('!')) {
        tree.Add(0, name.substr(0, name.size() - 1), {.mode = S_IFCHR});
      } else {
        tree.Add(0, name, {.size_bytes = erofs::kBlockBytes});
      }
    }
    return Store(number, tree);
  }
  ChainLayer Store(uint64_t number, const Tree& tree) {
    const auto index = tree.Image();
    EXPECT_TRUE(index.ok()) << index.status();
    const auto digest = oci::Digest::Of(AsBytes(fmt::format("layer {}", number)));
    auto stored = store_->Create(
        {.layer = digest, .toc = digest},
        {.blob_size_bytes = 1, .data_size_bytes = tree.data_bytes(), .chunk_count = 1}, *index,
        AsBytes("a table"));
    EXPECT_TRUE(stored.ok()) << stored.status();
    const std::string over_fuse(tree.data_bytes(), 'f');
    ChainLayer layer{.number = number,
                     .stored = *std::move(stored),
                     .data_over_fuse = Path(fmt::format("{}.fuse", number))};
    EXPECT_TRUE(
        WriteFileAtomically(RealFileSystem(), layer.data_over_fuse, AsBytes(over_fuse), 0600).ok());
    return layer;
  }
  /// The layer's one chunk, all of its data, as 's's.
  static void Complete(const ChainLayer& layer) {
    const std::string bytes(layer.stored->info().data_size_bytes, 's');
    const Status put = layer.stored->Put(0, 0, AsBytes(bytes), oci::Digest::Of(AsBytes(bytes)));
    ASSERT_TRUE(put.ok()) << put;
    ASSERT_TRUE(layer.stored->complete());
  }
  static std::string Block(char letter) { return std::string(erofs::kBlockBytes, letter); }

  TempDir directory_ = *TempDir::Make("/tmp", "chain-mount-");
  std::unique_ptr<store::LayerStore> store_;
  std::unique_ptr<ChainMounts> chains_;
};

TEST_F(ChainMountsTest, ShowsAChainOnceForAll) {
  const ChainLayer layers[] = {MakeLayer(3, {"a", "b"}), MakeLayer(5, {"b!", "c"})};
  const auto path = chains_->Show(layers);
  ASSERT_TRUE(path.has_value());
  EXPECT_EQ(*path, Path("m/5"));
  EXPECT_EQ(NamesIn(*path), (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(ReadWhole(*path / "a"), Block('f'));
  EXPECT_EQ(chains_->Show(layers), path);
  EXPECT_EQ(MountsHere(), 1U);
  const ChainLayer longer[] = {layers[0], layers[1], MakeLayer(6, {"d"})};
  EXPECT_EQ(chains_->Show(longer), Path("m/6"));
  EXPECT_EQ(chains_->Show(std::span(layers).subspan(1)), std::nullopt)
      << "layer 5 is the top of another chain";
  EXPECT_EQ(chains_->Show(std::span(longer).subspan(2)), std::nullopt);
  EXPECT_EQ(MountsHere(), 2U);
}

TEST_F(ChainMountsTest, GoesOverToTheStoredFilesWhenAllAreComplete) {
  const ChainLayer layers[] = {MakeLayer(1, {"a"}), MakeLayer(2, {"b"})};
  const auto path = chains_->Show(layers);
  ASSERT_TRUE(path.has_value());
  const UniqueFd open_before(::open((*path / "a").c_str(), O_RDONLY | O_CLOEXEC));
  Complete(layers[0]);
  chains_->UseStored(1);
  EXPECT_EQ(ReadWhole(*path / "a"), Block('f')) << "the other one is not complete";
  Complete(layers[1]);
  chains_->UseStored(9);
  EXPECT_EQ(ReadWhole(*path / "b"), Block('f')) << "another layer's business";
  chains_->UseStored(2);
  EXPECT_EQ(ReadWhole(*path / "a"), Block('s'));
  EXPECT_EQ(ReadWhole(*path / "b"), Block('s'));
  char letter = 0;
  EXPECT_EQ(::pread(open_before.get(), &letter, 1, 0), 1);
  EXPECT_EQ(letter, 'f') << "goes on with the old mount";
  EXPECT_EQ(MountsHere(), 1U);
  EXPECT_EQ(chains_->Show(layers), path);
}

TEST_F(ChainMountsTest, ShowsACompleteChainFromItsFilesAtOnce) {
  const ChainLayer layers[] = {MakeLayer(1, {"a"}), MakeLayer(2, {"b"})};
  Complete(layers[0]);
  Complete(layers[1]);
  const auto path = chains_->Show(layers);
  ASSERT_TRUE(path.has_value());
  EXPECT_EQ(ReadWhole(*path / "a"), Block('s'));
}

TEST_F(ChainMountsTest, GoesWithAnyOfItsLayers) {
  const ChainLayer first = MakeLayer(1, {"a"});
  const ChainLayer second = MakeLayer(2, {"b"});
  const ChainLayer third = MakeLayer(3, {"c"});
  const ChainLayer chains[][2] = {{first, second}, {first, third}};
  const auto path = chains_->Show(chains[0]);
  const auto other = chains_->Show(chains[1]);
  ASSERT_TRUE(path.has_value() && other.has_value());
  const UniqueFd inside(::open(other->c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  chains_->HideThoseWith(4);
  EXPECT_EQ(MountsHere(), 2U);
  chains_->HideThoseWith(2);
  EXPECT_EQ(MountsHere(), 1U);
  EXPECT_FALSE(std::filesystem::exists(*path));
  chains_->HideThoseWith(1);
  chains_->HideThoseWith(1);
  EXPECT_TRUE(std::filesystem::is_empty(Path("m"))) << "with their images";
  const UniqueFd file(::openat(inside.get(), "c", O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(file.valid()) << "who uses the mount keeps it: " << strerror(errno);
  EXPECT_EQ(chains_->Show(chains[1]), other) << "made anew";
}

TEST_F(ChainMountsTest, ARefusalLastsUntilALayerGoes) {
  Tree tree;
  testing_support::TreeInode directory = {.mode = S_IFDIR | 0755};
  directory.xattrs["trusted.overlay.redirect"] = "/elsewhere";
  tree.Add(0, "d", directory);
  const ChainLayer redirected[] = {MakeLayer(1, {"a"}), Store(2, tree)};
  EXPECT_EQ(chains_->Show(redirected), std::nullopt);
  ChainLayer absent[] = {MakeLayer(3, {"a"}), MakeLayer(4, {"b"})};
  const std::filesystem::path was = std::exchange(absent[1].data_over_fuse, Path("none"));
  EXPECT_EQ(chains_->Show(absent), std::nullopt);
  absent[1].data_over_fuse = was;
  EXPECT_EQ(chains_->Show(absent), std::nullopt) << "a live snapshot's mounts stay the same";
  EXPECT_TRUE(std::filesystem::is_empty(Path("m")));
  chains_->HideThoseWith(3);
  EXPECT_EQ(chains_->Show(absent), Path("m/4"));
}

TEST_F(ChainMountsTest, StartsInAnEmptyDirectory) {
  const ChainLayer layers[] = {MakeLayer(1, {"a"}), MakeLayer(2, {"b"})};
  ASSERT_TRUE(chains_->Show(layers).has_value());
  // As after a kill.
  const auto again = ChainMounts::Start(Path("m"), RealFileSystem());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(MountsHere(), 0U);
  EXPECT_TRUE(std::filesystem::is_empty(Path("m")));
  EXPECT_EQ((*again)->Show(layers), Path("m/2"));
}

}  // namespace
}  // namespace starling::mount
