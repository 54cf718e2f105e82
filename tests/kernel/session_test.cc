// A mount that outlives its server.
#include "fuse/session.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <future>
#include <thread>

#include "base/user_namespace.h"
#include "fuse/mount_table.h"
#include "fuse/read_ahead.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/file_tree.h"
#include "tests/support/lazy_layer_fixture.h"
#include "tests/support/private_mounts.h"
#include "tests/support/tar_builder.h"

namespace starling::fuse {
namespace {

using testing_support::ReadWhole;

class SessionTest : public testing_support::LazyLayerFixture {
 protected:
  static void SetUpTestSuite() {
    ASSERT_EQ(::geteuid(), 0U) << "needs root";
    const Status status = testing_support::EnterPrivateMounts();
    ASSERT_TRUE(status.ok()) << status;
  }
  void SetUp() override {
    std::filesystem::create_directories(MountPoint());
    const std::string tar = testing_support::TarBuilder()
                                .Add({.name = "d", .type = '5', .mode = 0755})
                                .Add({.name = "d/a", .content = std::string(5000, 'a')})
                                .Add({.name = "d/b", .content = std::string(700000, 'b')})
                                .Finish();
    ASSERT_NO_FATAL_FAILURE(
        OpenLayer(tar, 1 << 20, {.neighbourhood_bytes = 0, .merge_gap_bytes = 0}));
    ASSERT_TRUE(table_.Add(3, layer_).ok());
  }
  std::filesystem::path MountPoint() const { return directory_.path() / "mount"; }
  Session::Options Options() const { return {.mount_point = MountPoint()}; }
  bool IsMounted() const {
    return ReadWhole("/proc/self/mounts").find(MountPoint().native()) != std::string::npos;
  }

  LayerTable table_;
  Operations operations_{table_, Operations::Xattrs::kNone};
};

TEST_F(SessionTest, IdsCanBeMapped) {
  auto session = Session::Mount(Options(), operations_);
  ASSERT_TRUE(session.ok()) << session.status();
  const IdRange uids[] = {{.inside = 0, .outside = 5000, .count = 100}};
  const IdRange gids[] = {{.inside = 0, .outside = 7000, .count = 100}};
  const auto name_space = MakeUserNamespace(uids, gids);
  ASSERT_TRUE(name_space.ok()) << name_space.status();
  const UniqueFd mapped(
      ::open_tree(AT_FDCWD, MountPoint().c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  ASSERT_TRUE(mapped.valid()) << strerror(errno);
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(name_space->get());
  ASSERT_EQ(::mount_setattr(mapped.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes), 0)
      << strerror(errno);
  struct stat entry{};
  ASSERT_EQ(::fstatat(mapped.get(), "3/d/a", &entry, 0), 0);
  EXPECT_EQ(entry.st_uid, 5000U);
  EXPECT_EQ(entry.st_gid, 7000U);
  const UniqueFd file(::openat(mapped.get(), "3/d/a", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(file.valid()) << strerror(errno);
  std::string content(5000, '\0');
  EXPECT_EQ(::read(file.get(), content.data(), content.size()), 5000);
  EXPECT_EQ(content, std::string(5000, 'a'));
}

TEST_F(SessionTest, AnotherSessionAdoptsTheDevice) {
  auto first = Session::Mount(Options(), operations_);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto file = MountPoint() / "3/d/a";
  EXPECT_EQ(ReadWhole(file), std::string(5000, 'a'));
  const UniqueFd open_before(::open((MountPoint() / "3/d/b").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(open_before.valid());

  auto device = (*first)->Release();
  ASSERT_TRUE(device.ok()) << device.status();
  first->reset();
  EXPECT_TRUE(IsMounted()) << "a released mount stays";
  // Asked while nobody serves: answered by the successor.
  auto waiting = std::async(std::launch::async,
                            [&] { return testing_support::NamesIn(MountPoint() / "3/d"); });

  auto second = Session::Adopt(Options(), operations_, *std::move(device));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(waiting.get(), (std::vector<std::string>{"a", "b"}));
  std::string old_descriptor(700000, '\0');
  EXPECT_EQ(::pread(open_before.get(), old_descriptor.data(), old_descriptor.size(), 0), 700000);
  EXPECT_EQ(old_descriptor, std::string(700000, 'b')) << "opened under the first server";
  EXPECT_FALSE(std::filesystem::exists(MountPoint() / "4"));
  second->reset();
  EXPECT_FALSE(IsMounted());
}

TEST_F(SessionTest, RequestsThatTheFirstServerTookAreAnsweredByTheSecond) {
  auto first = Session::Mount(Options(), operations_);
  ASSERT_TRUE(first.ok()) << first.status();
  blob_->Hold();
  auto reader = std::async(std::launch::async, [&] { return ReadWhole(MountPoint() / "3/d/a"); });
  const auto held = [&] { return blob_->requests(); };
  const size_t before = held();
  while (held() == before) {
    std::this_thread::yield();
  }
  auto device = (*first)->Release();
  ASSERT_TRUE(device.ok()) << device.status();
  first->reset();
  blob_->Release();  // the answer to the first server's request goes nowhere
  auto second = Session::Adopt(Options(), operations_, *std::move(device));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(reader.get(), std::string(5000, 'a'));
}

/// A child that touches one page of `file` and nothing more: the kernel asks for it in a request
/// that the child waits for, not only for the page.
pid_t StartPageReader(const std::filesystem::path& file) {
  const pid_t child = ::fork();
  if (child == 0) {
    const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    void* const page = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
    ::madvise(page, 4096, MADV_RANDOM);
    ::_exit(*static_cast<volatile const char*>(page) == 'a' ? 0 : 1);
  }
  return child;
}

TEST_F(SessionTest, WhoWaitsForTheNetworkCanBeKilledButNotDisturbed) {
  auto session = Session::Mount(Options(), operations_);
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_TRUE(std::filesystem::exists(MountPoint() / "3/d/a"));
  blob_->Hold();
  const size_t before = blob_->requests();
  const pid_t killed = StartPageReader(MountPoint() / "3/d/a");
  while (blob_->requests() == before) {
    std::this_thread::yield();
  }
  // Who waits for the same page must not suffer.
  const pid_t other = StartPageReader(MountPoint() / "3/d/a");
  ::kill(killed, SIGKILL);
  int status = 0;
  EXPECT_EQ(::waitpid(killed, &status, 0), killed);
  EXPECT_TRUE(WIFSIGNALED(status));
  blob_->Release();
  EXPECT_EQ(::waitpid(other, &status, 0), other);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(ReadWhole(MountPoint() / "3/d/a"), std::string(5000, 'a'));
}

TEST_F(SessionTest, ASignalThatKillsNobodyIsNoError) {
  auto session = Session::Mount(Options(), operations_);
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_TRUE(std::filesystem::exists(MountPoint() / "3/d/a"));
  blob_->Hold();
  const size_t before = blob_->requests();
  ::signal(SIGUSR1, [](int) {});  // the child has it, too
  const pid_t child = StartPageReader(MountPoint() / "3/d/a");
  while (blob_->requests() == before) {
    std::this_thread::yield();
  }
  ::kill(child, SIGUSR1);
  // The kernel tells of the signal on the way of the next request.
  EXPECT_FALSE(std::filesystem::exists(MountPoint() / "3/d/none"));
  blob_->Release();
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

class SlowDiskTest : public SessionTest {
 protected:
  FileSystem& files() override { return files_; }

  testing_support::FaultyFileSystem files_;
};

TEST_F(SlowDiskTest, OthersServeWhileTheOneThatServesAloneWaitsForTheDisk) {
  {
    const auto first = Session::Mount(Options(), operations_);
    ASSERT_TRUE(first.ok()) << first.status();
    ASSERT_EQ(ReadWhole(MountPoint() / "3/d/a"), std::string(5000, 'a')) << "held from now on";
  }
  std::promise<void> may_read;
  std::atomic<bool> waits = false;
  files_.set_hook([&, read = may_read.get_future().share()](const auto& call) {
    if (call.operation == testing_support::FaultyFileSystem::Operation::kRead &&
        call.path.filename() == "data" && !waits.exchange(true)) {
      read.wait();
    }
    return OkStatus();
  });
  auto session = Session::Mount(Options(), operations_);
  ASSERT_TRUE(session.ok()) << session.status();
  // One question after the other, each of them the kernel's, too.
  const auto ask = [&](std::string_view kind) {
    for (int i = 0; i < 1000; ++i) {
      EXPECT_FALSE(std::filesystem::exists(MountPoint() / "3/d" / fmt::format("{}{}", kind, i)));
    }
  };
  ask("before");
  auto reader = std::async(std::launch::async, [&] { return ReadWhole(MountPoint() / "3/d/a"); });
  while (!waits.load()) {
    ask(fmt::format("meanwhile-{}-", std::chrono::steady_clock::now().time_since_epoch().count()));
  }
  ask("afterwards");
  EXPECT_EQ(reader.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  may_read.set_value();
  EXPECT_EQ(reader.get(), std::string(5000, 'a'));
}

TEST_F(SessionTest, SetsHowFarTheKernelReadsAhead) {
  Session::Options options = Options();
  options.read_ahead_kib = 384;
  auto session = Session::Mount(options, operations_);
  ASSERT_TRUE(session.ok()) << session.status();
  const auto mount = FindMount(MountPoint());
  ASSERT_TRUE(mount.ok() && mount->has_value());
  EXPECT_EQ(ReadWhole("/sys/class/bdi/" + (*mount)->device + "/read_ahead_kb"), "384\n");
  EXPECT_FALSE(SetReadAhead("no-such-device", 128));
}

TEST_F(SessionTest, RefusesToAdoptWithoutTheFirstRequest) {
  auto first = Session::Mount(Options(), operations_);
  ASSERT_TRUE(first.ok()) << first.status();
  auto copy = (*first)->CopyDevice();
  ASSERT_TRUE(copy.ok()) << copy.status();
  copy->init_request.resize(10);
  EXPECT_EQ(Session::Adopt(Options(), operations_, *std::move(copy)).status().code(),
            StatusCode::kInternal);
  EXPECT_EQ(ReadWhole(MountPoint() / "3/d/a"), std::string(5000, 'a')) << "and harms nothing";
}

}  // namespace
}  // namespace starling::fuse
