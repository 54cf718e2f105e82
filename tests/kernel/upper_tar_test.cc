// What overlayfs leaves in an upper directory, as a layer that GNU tar unpacks.
#include "diff/upper_tar.h"

#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "tests/support/file_tree.h"
#include "tests/support/private_mounts.h"

namespace starling::diff {
namespace {

using testing_support::Shell;
using testing_support::TreeComparison;

class UpperTarOnOverlayTest : public testing_support::PrivateMountsFixture {
 protected:
  void SetUp() override {
    auto directory = TempDir::Make("/tmp", "upper-tar-");
    ASSERT_TRUE(directory.ok()) << directory.status();
    directory_.emplace(*std::move(directory));
    // Not on what /tmp may be: the upper directory of an overlay cannot lie on another one.
    Shell(fmt::format("mount -t tmpfs none {0} && cd {0} && mkdir base upper work merged unpacked",
                      Root().native()));
  }
  void TearDown() override { Shell(fmt::format("umount -R {} || true", Root().native())); }
  std::filesystem::path Root() const { return directory_->path(); }

  std::optional<TempDir> directory_;
};

TEST_F(UpperTarOnOverlayTest, UnpackedOverTheBaseItIsTheMergedTree) {
  Shell(fmt::format(R"sh(cd {}/base
    mkdir -p kept removed/below replaced/below emptied touched/deep renamed
    for d in . kept removed removed/below replaced replaced/below emptied touched/deep renamed; do
      echo "$d" > $d/file; ln -s file $d/link
    done
    ln kept/file kept/second
    touch -d @1000000000 file kept/file)sh",
                    Root().native()));
  Shell(fmt::format(R"sh(cd {}
    mount -t overlay none -o lowerdir=base,upperdir=upper,workdir=work,redirect_dir=off,metacopy=off,index=off merged
    cd merged
    rm -rf removed emptied/* kept/link
    rm -rf replaced && mkdir replaced && echo new > replaced/other
    mkdir -p new/sub && echo x > new/sub/x && chmod 2750 new && chown 3:4 new/sub/x
    cp -a renamed moved && rm -rf renamed
    ln touched/deep/file touched/again
    echo more >> kept/file
    chmod 600 kept/second
    rm link && mkfifo link && mknod null c 1 3
    ln -s /etc/passwd new/absolute
    truncate -s 5M new/sparse
    name=$(printf 'n%.0s' $(seq 250)); echo long > new/$name && ln -s ../$name/$name new/long-link
    touch -d @1500000000 new/sub/x new
    rm -f file && mkdir file && echo f > file/file)sh",
                    Root().native()));
  const auto tar = UpperTar::Open(
      Root() / "upper", {.is_below = [this](const std::string& path) {
        return std::filesystem::exists(std::filesystem::symlink_status(Root() / "base" / path));
      }});
  ASSERT_TRUE(tar.ok()) << tar.status();
  {
    std::ofstream file(Root() / "layer.tar", std::ios::binary);
    const auto bytes = ReadAll(**tar, 64 << 20);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    file << AsText(*bytes);
  }
  // As the OCI image specification has it: whiteouts speak of the layers below only.
  Shell(fmt::format(R"sh(cd {}
    cp -a base/. unpacked
    tar -tf layer.tar | while read -r name; do
      directory=unpacked/$(dirname "$name")
      case $(basename "$name") in
        .wh..wh..opq) find "$directory" -mindepth 1 -delete ;;
        .wh.*) hidden=$(basename "$name"); rm -rf "$directory/${{hidden#.wh.}}" ;;
      esac
    done
    tar --xattrs --xattrs-include='*' --same-owner --exclude='.wh.*' -C unpacked -xpf layer.tar
    tar -tf layer.tar | grep -q '^replaced/.wh..wh..opq$'
    ! tar -tf layer.tar | grep -q '^new/.wh')sh",
                    Root().native()));
  TreeComparison comparison;
  comparison.CompareBelow(Root() / "merged", Root() / "unpacked");
  EXPECT_GT(comparison.compared(), 20U);
}

}  // namespace
}  // namespace starling::diff
