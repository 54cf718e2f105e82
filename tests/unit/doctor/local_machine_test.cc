#include "doctor/local_machine.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <filesystem>

#include "base/temp_dir.h"
#include "base/unique_fd.h"

namespace starling::doctor {
namespace {

/// This machine, with nothing to ask.
class Machine : public LocalMachine {
 public:
  StatusOr<RunningContainerd> AskContainerd(const std::string& socket) override {
    return MakeError(StatusCode::kNotFound, socket);
  }
  StatusOr<std::string> InstalledContainerd() override {
    return MakeError(StatusCode::kNotFound, "containerd");
  }
  Status AskStarlingd(const std::string&) override { return OkStatus(); }
  Status ReadImage(const std::string&, const config::Settings&) override { return OkStatus(); }
};

TEST(LocalMachine, KnowsItsKernel) {
  Machine machine;
  utsname name{};
  ASSERT_EQ(::uname(&name), 0);
  EXPECT_EQ(machine.KernelRelease(), name.release);
  EXPECT_EQ(machine.IsRoot(), ::geteuid() == 0);
}

TEST(LocalMachine, KnowsFileSystems) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root: fsopen";
  }
  Machine machine;
  EXPECT_TRUE(machine.HasFileSystem("tmpfs").ok());
  EXPECT_EQ(machine.HasFileSystem("nosuchfs").code(), StatusCode::kUnimplemented);
}

TEST(LocalMachine, DescribesTheVolumeOfWhatIsNotThereYet) {
  Machine machine;
  struct statvfs wanted{};
  ASSERT_EQ(::statvfs("/tmp", &wanted), 0);
  const auto volume = machine.VolumeAt("/tmp/no/such/directory");
  ASSERT_TRUE(volume.ok()) << volume.status();
  EXPECT_EQ(volume->total_bytes, wanted.f_blocks * wanted.f_bsize);
  EXPECT_FALSE(volume->is_read_only);
  EXPECT_FALSE(volume->type.empty());
  const auto proc = machine.VolumeAt("/proc/sys");
  ASSERT_TRUE(proc.ok());
  EXPECT_EQ(proc->mount_point, "/proc");
}

TEST(LocalMachine, TriesAnOverlayAndLeavesNothing) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root: mounts an overlay";
  }
  Machine machine;
  const TempDir directory = *TempDir::Make("/tmp", "doctor-");
  if (!machine.HasFileSystem("overlay").ok()) {
    GTEST_SKIP() << "needs overlayfs";
  }
  EXPECT_TRUE(machine.OverlayAt(directory.path()).ok()) << machine.OverlayAt(directory.path());
  (void)machine.SharesBlocksAt(directory.path());
  (void)machine.MapsIdsAt(directory.path());
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
  EXPECT_FALSE(machine.MapsIdsAt("/proc"));
  // /proc holds no upper directory, and no scratch either.
  EXPECT_FALSE(machine.OverlayAt("/proc").ok());
}

TEST(LocalMachine, ComparesTheMountsOfThoseWhoListen) {
  const TempDir directory = *TempDir::Make("/tmp", "doctor-");
  const std::string path = directory.path() / "s";
  const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX};
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(listener.get(), 4), 0);
  Machine machine;
  const auto same = machine.ShareMounts(path, path);
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_TRUE(*same);
  EXPECT_EQ(machine.ShareMounts(path, path + "x").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(machine.ShareMounts(std::string(200, 'x'), path).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace starling::doctor
