// Converts an image that umoci made, and has skopeo and umoci judge the result.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>

#include "base/temp_dir.h"
#include "convert/convert.h"
#include "transport/docker_archive.h"
#include "transport/layout_destination.h"
#include "transport/layout_source.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

class ConvertWithToolsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || Shell("command -v umoci skopeo >/dev/null") != 0) {
      GTEST_SKIP() << "missing: root, umoci, skopeo";
    }
    // Two layers with what tars are hard at: links, devices, owners, long names, removals.
    constexpr const char* kMakeImage = R"sh(set -e
      umoci init --layout in; umoci new --image in:v1
      umoci unpack --image in:v1 first >/dev/null 2>&1; cd first/rootfs
      deep="$(printf 'd%.0s' $(seq 120))/$(printf 'e%.0s' $(seq 120))"
      mkdir -p etc bin "$deep"
      echo one > etc/one; ln etc/one etc/hard; ln -s ../etc/one bin/soft; mknod bin/dev c 1 3
      head -c 9000000 /dev/urandom > bin/random; head -c 5000000 /dev/zero > bin/zeros; : > etc/empty
      chown 12:34 etc/one; chmod 4755 bin/random; touch -d 1999-01-01T00:00:00Z bin/zeros
      echo deep > "$deep/$(printf 'f%.0s' $(seq 99))"
      cd ../..; umoci repack --image in:v1 first >/dev/null 2>&1
      umoci unpack --image in:v1 second >/dev/null 2>&1
      rm second/rootfs/etc/empty; echo two > second/rootfs/etc/two
      umoci repack --image in:v1 second >/dev/null 2>&1)sh";
    ASSERT_EQ(Shell(kMakeImage), 0);
  }

  /// Runs `script` in the test's directory; its exit status.
  int Shell(const std::string& script) const {
    const std::string command = fmt::format("cd '{}' && {}", dir_.path().string(), script);
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  fs::path At(const std::string& name) const { return dir_.path() / name; }

  static StatusOr<convert::ConvertReport> Convert(oci::ImageSource& source,
                                                  oci::ImageDestination& destination,
                                                  const fs::path& spool,
                                                  const estargz::WriteOptions& layer = {}) {
    NoProgress progress;
    return convert::ConvertImage(source, destination, {.layer = layer, .spool_directory = spool},
                                 progress);
  }
  StatusOr<std::shared_ptr<transport::LayoutSource>> Input() const {
    return transport::LayoutSource::Open(std::make_shared<transport::DirectoryFiles>(At("in")),
                                         "v1", "oci:in:v1");
  }

  TempDir dir_ = *TempDir::Make(fs::temp_directory_path(), "convert-tools-");
};

TEST_F(ConvertWithToolsTest, UnpacksToTheSameTree) {
  const auto source = Input();
  ASSERT_TRUE(source.ok()) << source.status();
  const auto destination = transport::LayoutDestination::Open(At("out"), "v1");
  ASSERT_TRUE(destination.ok()) << destination.status();
  const auto report = Convert(**source, **destination, At("spool"));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->layers.size(), 2U);
  EXPECT_EQ(Shell("skopeo inspect oci:out:v1 >/dev/null"), 0);
  ASSERT_EQ(Shell("umoci unpack --image in:v1 want >/dev/null 2>&1 && umoci unpack --image out:v1 "
                  "have >/dev/null 2>&1"),
            0);
  // Removing what only the format needs changes the time of the root, so that is set in both.
  EXPECT_EQ(Shell("rm have/rootfs/stargz.index.json have/rootfs/.no.prefetch.landmark && "
                  "touch -d @0 want/rootfs have/rootfs"),
            0);
  for (const char* tree : {"want", "have"}) {
    ASSERT_EQ(Shell(fmt::format("(cd {0}/rootfs && find . -printf '%p %y %m %U %G %T@ %n %l\\n' && "
                                "find . -type f -exec sha256sum {{}} ';') | sort > {0}.list",
                                tree)),
              0);
  }
  EXPECT_EQ(Shell("test $(wc -l < want.list) -gt 12 && diff want.list have.list"), 0);

  // The same tar, apart from the TOC, in fewer members.
  const auto smaller = transport::LayoutDestination::Open(At("out"), "shared");
  ASSERT_TRUE(smaller.ok()) << smaller.status();
  const auto shared = Convert(**source, **smaller, At("spool"), {.shared_member_bytes = 1 << 20});
  ASSERT_TRUE(shared.ok()) << shared.status();
  EXPECT_NE(shared->layers[0].to.digest, report->layers[0].to.digest);
  EXPECT_EQ(Shell("umoci unpack --image out:shared smaller >/dev/null 2>&1 && "
                  "rm smaller/rootfs/stargz.index.json smaller/rootfs/.no.prefetch.landmark && "
                  "diff -r --no-dereference want/rootfs/etc smaller/rootfs/etc && "
                  "cmp want/rootfs/bin/random smaller/rootfs/bin/random && "
                  "cmp want/rootfs/bin/zeros smaller/rootfs/bin/zeros"),
            0);
}

TEST_F(ConvertWithToolsTest, ReadsWhatSkopeoWritesAndTheOtherWayRound) {
  ASSERT_EQ(Shell("skopeo copy -q oci:in:v1 docker-archive:in.tar:app:v1 && "
                  "skopeo copy -q oci:in:v1 oci-archive:in-oci.tar:v1"),
            0);
  auto docker_files = transport::TarFiles::Open(At("in.tar"));
  ASSERT_TRUE(docker_files.ok()) << docker_files.status();
  const auto docker =
      transport::DockerArchiveSource::Open(*std::move(docker_files), "app:v1", "in.tar");
  ASSERT_TRUE(docker.ok()) << docker.status();
  auto oci_files = transport::TarFiles::Open(At("in-oci.tar"));
  ASSERT_TRUE(oci_files.ok()) << oci_files.status();
  const auto oci = transport::LayoutSource::Open(*std::move(oci_files), "v1", "in-oci.tar");
  ASSERT_TRUE(oci.ok()) << oci.status();

  std::vector<oci::Descriptor> layers[2];
  oci::ImageSource* const sources[] = {docker->get(), oci->get()};
  for (int i = 0; i < 2; ++i) {
    const std::string file = fmt::format("out{}.tar", i);
    const auto destination = transport::ArchiveDestination::Open(At(file), "v1");
    ASSERT_TRUE(destination.ok()) << destination.status();
    const auto report = Convert(*sources[i], **destination, At("spool"));
    ASSERT_TRUE(report.ok()) << report.status();
    for (const convert::ConvertedLayer& layer : report->layers) {
      layers[i].push_back(layer.to);
    }
    EXPECT_EQ(Shell(fmt::format("skopeo copy -q oci-archive:{}:v1 oci:copied:v{}", file, i)), 0);
    EXPECT_EQ(Shell(fmt::format("umoci unpack --image copied:v{0} bundle{0} >/dev/null 2>&1", i)),
              0);
  }
  EXPECT_EQ(layers[0], layers[1]) << "one image in two forms converts to the same layers";
}

}  // namespace
}  // namespace starling
