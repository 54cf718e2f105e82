#include "standalone/layer_unpack.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/file_system.h"
#include "base/temp_dir.h"
#include "tests/support/private_mounts.h"
#include "tests/support/tar_builder.h"

namespace starling::standalone {
namespace {

using testing_support::TarBuilder;

class LayerUnpackTest : public testing_support::PrivateMountsFixture {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(Path("lower/d"));
    std::filesystem::create_directories(Path("upper"));
    std::filesystem::create_directories(Path("work"));
    std::ofstream(Path("lower/gone")) << "old";
    std::ofstream(Path("lower/d/hidden")) << "old";
  }
  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }
  StatusOr<oci::Digest> Unpack(const std::string& tar,
                               const std::vector<containerd::Mount>& mounts) {
    SpanSource layer(AsBytes(tar));
    ASSIGN_OR_RETURN(const UniqueFd scratch,
                     RealFileSystem().Open(directory_.path(), O_RDWR | O_TMPFILE, 0600));
    return UnpackLayer(layer, scratch, mounts, Path("mounted"));
  }
  static bool IsWhiteout(const std::filesystem::path& path) {
    return std::filesystem::symlink_status(path).type() == std::filesystem::file_type::character;
  }

  TempDir directory_ = *TempDir::Make("/tmp", "unpack-");
};

TEST_F(LayerUnpackTest, GivesTheSnapshotWhatTheLayerChanges) {
  const std::string tar = TarBuilder()
                              .Add({.name = ".wh.gone"})
                              .Add({.name = "d/.wh..wh..opq"})
                              .Add({.name = "d/new", .content = "new"})
                              .Finish();
  const auto digest = Unpack(
      tar, {{.type = "overlay",
             .source = "overlay",
             .options = {"lowerdir=" + Path("lower").native(), "upperdir=" + Path("upper").native(),
                         "workdir=" + Path("work").native()}}});
  ASSERT_TRUE(digest.ok()) << digest.status();
  EXPECT_EQ(*digest, oci::Digest::Of(AsBytes(tar)));
  EXPECT_TRUE(IsWhiteout(Path("upper/gone")));
  EXPECT_TRUE(IsWhiteout(Path("upper/d/hidden")));
  EXPECT_EQ(std::filesystem::file_size(Path("upper/d/new")), 3);
  EXPECT_TRUE(std::filesystem::is_empty(Path("mounted"))) << "nothing is seen of it here";
}

TEST_F(LayerUnpackTest, WritesTheLowestLayerToItsDirectory) {
  const std::vector<containerd::Mount> mounts = {
      {.type = "bind", .source = Path("upper").native(), .options = {"rw", "rbind"}}};
  ASSERT_TRUE(Unpack(TarBuilder().Add({.name = "f", .content = "x"}).Finish(), mounts).ok());
  EXPECT_EQ(std::filesystem::file_size(Path("upper/f")), 1);
  EXPECT_EQ(Unpack("no tar at all", mounts).status().code(), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace starling::standalone
