#include "layer/start_files.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/layer_of_files_fixture.h"

namespace starling::layer {
namespace {

using testing_support::TarFile;

class StartFilesTest : public testing_support::LayerOfFilesFixture {
 protected:
  std::vector<std::string> FoundIn(const std::vector<TarFile>& files) {
    OpenFiles(files, 4096);
    return NamesOf(FindStartFiles(layer_->index()));
  }
};

using Names = std::vector<std::string>;

TEST_F(StartFilesTest, OfDebian) {
  EXPECT_EQ(
      FoundIn({Link("lib", "usr/lib"), Link("lib64", "usr/lib64"),
               File("usr/lib/x86_64-linux-gnu/libc.so.6"),
               File("usr/lib/x86_64-linux-gnu/libm.so.6"),
               File("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
               File("usr/lib/x86_64-linux-gnu/libz.so.1"),
               Link("usr/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
               File("etc/ld.so.cache"), File("etc/passwd")}),
      (Names{"/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/etc/ld.so.cache",
             "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libm.so.6"}))
      << "in the order of need, each once";
}

TEST_F(StartFilesTest, OfALayerAboveTheOneWithTheLinks) {
  EXPECT_EQ(FoundIn({File("usr/lib/aarch64-linux-gnu/libc-2.36.so"),
                     Link("usr/lib/aarch64-linux-gnu/libc.so.6", "./libc-2.36.so")}),
            Names{"/usr/lib/aarch64-linux-gnu/libc-2.36.so"});
}

TEST_F(StartFilesTest, OfMusl) {
  EXPECT_EQ(FoundIn({File("lib/ld-musl-x86_64.so.1"), File("bin/busybox")}),
            Names{"/lib/ld-musl-x86_64.so.1"});
}

TEST_F(StartFilesTest, NoneWhereThereAreNone) {
  EXPECT_EQ(FoundIn({File("app"), File("etc/passwd")}), Names{});
}

TEST_F(StartFilesTest, HostileTreesHaveNone) {
  EXPECT_EQ(
      FoundIn({Link("lib64", "lib64/lib64"), Link("lib", "lib"),
               Link("usr", "../../../../nowhere/usr"), Link("etc", "etc2"), Link("etc2", "/etc")}),
      Names{});
}

TEST_F(StartFilesTest, LinksLeadNoFurtherThanTheRoot) {
  EXPECT_EQ(FoundIn({Link("lib", "../../usr/lib"), Link("usr/lib", "../../../own"),
                     File("own/ld-musl-x86_64.so.1"), TarFile{.name = "lib64/", .type = '5'},
                     TarFile{.name = "lib64/libc.so.6/", .type = '5'}}),
            Names{"/own/ld-musl-x86_64.so.1"})
      << "and a directory is no library";
}

}  // namespace
}  // namespace starling::layer
