// The keeper with servers that do nothing: this program plays both, by its own main().
#include "keeper/keeper.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <thread>

#include "base/temp_dir.h"
#include "keeper/descriptors.h"
#include "keeper/service_manager.h"

namespace starling::keeper {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRole = "--play-keeper=";
constexpr int kRefusal = 3;

/// A server that counts its lives in what is kept, and tells the service manager of each.
int PlayServer(const fs::path& directory, int state, bool checks) {
  auto kept = TakeInherited(UniqueFd(state));
  if (!kept.ok() || fs::exists(directory / (checks ? "refuse" : "fail"))) {
    return kRefusal;
  }
  if (checks) {
    return 0;
  }
  sigset_t ends;
  sigemptyset(&ends);
  for (const int signal : {SIGTERM, SIGHUP}) {
    sigaddset(&ends, signal);
  }
  ::sigprocmask(SIG_BLOCK, &ends, nullptr);
  Channel channel(std::move(FindKept(*kept, kChannelName)->fd));
  int life = 1;
  std::vector<Kept> to_keep;
  if (Kept* counter = FindKept(*kept, "counter")) {
    char text[16] = {};
    (void)!::pread(counter->fd.get(), text, sizeof text - 1, 0);
    life = std::atoi(text) + 1;
    to_keep.push_back(std::move(*counter));
  } else {
    to_keep.push_back({.name = "counter",
                       .value = ToBytes("a value"),
                       .fd = UniqueFd(::memfd_create("counter", MFD_CLOEXEC))});
  }
  const std::string text = std::to_string(life);
  (void)!::pwrite(to_keep.front().fd.get(), text.data(), text.size(), 0);
  int open_fds = 0;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    open_fds += std::stoi(entry.path().filename()) > 2 ? 1 : 0;
  }
  const Kept* listener = FindKept(*kept, kListenerName);
  if (!channel.SendKept(to_keep).ok() ||
      !NotifyServiceManager(fmt::format("SERVER {} {} {} {} {}", ::getpid(), ::getppid(), life,
                                        AsText(to_keep.front().value),
                                        listener == nullptr ? "-" : AsText(listener->value)))
           .ok() ||
      !NotifyServiceManager(fmt::format("OPEN {}", open_fds)).ok() || !channel.SendReady().ok()) {
    return 1;
  }
  if (fs::remove(directory / "linger")) {
    std::thread([] { ::pause(); }).detach();
    ::syscall(SYS_exit, 0);  // of this thread alone
  }
  int signal = 0;
  ::sigwait(&ends, &signal);
  return 0;
}

int Play(int argc, char** argv) {
  std::string_view directory;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string_view option = argument.substr(0, equals);
    int number = -1;
    std::from_chars(argument.data() + equals + 1, argument.data() + argument.size(), number);
    if (argument.starts_with(kRole)) {
      directory = argument.substr(kRole.size());
    } else if (option == kServerOption || option == kCheckOption) {
      return PlayServer(directory, number, option == kCheckOption);
    } else if (option == kResumeOption) {
      const auto code = RunKeeper({.arguments = {argv, argv + i}, .resume = UniqueFd(number)});
      return code.ok() ? *code : 90;
    }
  }
  const auto code = RunKeeper({.arguments = {argv, argv + argc}, .resume = {}});
  return code.ok() ? *code : 91;
}

/// A keeper process below a service manager that is this test.
class KeeperTest : public testing::Test {
 protected:
  KeeperTest() : dir_(*TempDir::Make("/tmp", "keeper-")) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = dir_.path() / "notify";
    std::memcpy(address.sun_path, path.data(), path.size());
    manager_ = UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(manager_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
  }
  ~KeeperTest() override {
    if (keeper_ > 0) {
      EXPECT_EQ(Stop(), 0);
    }
  }

  /// `passed`: what the service manager has from 3 on.
  void StartKeeper(const std::vector<std::pair<std::string, int>>& passed = {}) {
    std::string program = fs::read_symlink("/proc/self/exe");
    if (fs::exists(dir_.path() / "program")) {
      program = dir_.path() / "program";
    }
    const std::string role = std::string(kRole) + dir_.path().native();
    keeper_ = ::fork();
    ASSERT_GE(keeper_, 0);
    if (keeper_ > 0) {
      return;
    }
    ::setenv("NOTIFY_SOCKET", (dir_.path() / "notify").c_str(), 1);
    std::string names;
    std::vector<int> high;
    for (const auto& [name, fd] : passed) {
      names += (names.empty() ? "" : ":") + name;
      high.push_back(::fcntl(fd, F_DUPFD, 200));
    }
    for (size_t i = 0; i < high.size(); ++i) {
      ::dup2(high[i], static_cast<int>(3 + i));
      ::close(high[i]);
    }
    if (!passed.empty()) {
      ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
      ::setenv("LISTEN_FDS", std::to_string(passed.size()).c_str(), 1);
      ::setenv("LISTEN_FDNAMES", names.c_str(), 1);
    }
    ::execl(program.c_str(), program.c_str(), role.c_str(), nullptr);
    ::_exit(99);
  }

  struct Said {
    std::string text;
    UniqueFd fd;
  };
  /// The next word to the service manager; empty after a long time.
  Said Hear() {
    pollfd watched{.fd = manager_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&watched, 1, 60'000) != 1) {
      return {};
    }
    char text[512];
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    iovec part{.iov_base = text, .iov_len = sizeof text};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t size = ::recvmsg(manager_.get(), &message, MSG_CMSG_CLOEXEC);
    Said said{.text = std::string(text, size < 0 ? 0 : static_cast<size_t>(size)), .fd = {}};
    if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
      said.fd = UniqueFd(fd);
    }
    return said;
  }
  /// The next that begins with `start`. What is stored on the way is kept.
  std::string HearUntil(std::string_view start) {
    for (;;) {
      Said said = Hear();
      if (said.text.starts_with("FDSTORE=1")) {
        stored_[said.text.substr(said.text.rfind('=') + 1)] = std::move(said.fd);
      } else if (said.text.starts_with("FDSTOREREMOVE=1")) {
        stored_.erase(said.text.substr(said.text.rfind('=') + 1));
      }
      if (said.text.empty() || said.text.starts_with(start)) {
        return said.text;
      }
    }
  }
  struct Server {
    pid_t pid = 0;
    pid_t keeper = 0;
    int life = 0;
    std::string rest;
  };
  Server HearOfServer() {
    std::istringstream words(HearUntil("SERVER "));
    std::string word;
    Server server;
    words >> word >> server.pid >> server.keeper >> server.life;
    std::getline(words, server.rest);
    return server;
  }
  int WaitForKeeper() {
    int status = 0;
    EXPECT_EQ(::waitpid(std::exchange(keeper_, -1), &status, 0) > 0, true);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  int Stop() {
    ::kill(keeper_, SIGTERM);
    return WaitForKeeper();
  }
  void Touch(const std::string& name) { std::ofstream(dir_.path() / name) << "x"; }

  TempDir dir_;
  UniqueFd manager_;
  std::map<std::string, UniqueFd> stored_;
  pid_t keeper_ = -1;
};

TEST_F(KeeperTest, AFailingFirstServerEndsIt) {
  Touch("fail");
  StartKeeper();
  EXPECT_EQ(WaitForKeeper(), kRefusal);
}

TEST_F(KeeperTest, AStopIsOrderly) {
  StartKeeper();
  const Server server = HearOfServer();
  EXPECT_EQ(server.keeper, keeper_);
  EXPECT_EQ(server.life, 1);
  EXPECT_EQ(HearUntil("READY"), "READY=1");
  EXPECT_EQ(Stop(), 0);
  EXPECT_EQ(HearUntil("STOPPING"), "STOPPING=1");
  EXPECT_EQ(::kill(server.pid, 0), -1);
  while (!stored_.empty()) {
    ASSERT_NE(HearUntil("FDSTOREREMOVE"), "") << "what was unmounted is of no use";
  }
}

TEST_F(KeeperTest, AKilledServersDescriptorsGoToTheNext) {
  constexpr int kLives = 12;
  StartKeeper();
  pid_t last = 0;
  std::string open_at_first;
  for (int life = 1; life <= kLives; ++life) {
    const Server server = HearOfServer();
    EXPECT_EQ(server.life, life);
    EXPECT_EQ(server.rest, " a value -");
    EXPECT_NE(server.pid, last);
    last = server.pid;
    const std::string open = HearUntil("OPEN ");
    EXPECT_EQ(open, open_at_first.empty() ? open : open_at_first) << "nothing piles up";
    open_at_first = open;
    EXPECT_EQ(HearUntil("READY"), "READY=1");
    if (life < kLives) {
      ::kill(server.pid, SIGKILL);
    }
  }
}

TEST_F(KeeperTest, AServerGetsNothingThatStrangersLeftOpen) {
  const UniqueFd strangers(::open("/dev/null", O_RDONLY));
  StartKeeper();
  EXPECT_EQ(HearUntil("OPEN "), "OPEN 3") << "the channel, the counter and the list itself";
  HearUntil("READY");
}

TEST_F(KeeperTest, AThreadThatDoesNotEndHoldsUpNothing) {
  Touch("linger");
  StartKeeper();
  const Server first = HearOfServer();
  EXPECT_EQ(HearOfServer().life, 2);
  HearUntil("READY");
  EXPECT_EQ(::kill(first.pid, 0), 0)
      << "it is still there, as one whose thread waits for an answer";
  ::kill(first.pid, SIGKILL);
}

TEST_F(KeeperTest, AReloadBecomesTheProgramOnTheDisk) {
  fs::copy_file(fs::read_symlink("/proc/self/exe"), dir_.path() / "program");
  StartKeeper();
  const Server first = HearOfServer();
  HearUntil("READY");
  // As a package manager replaces a program that runs.
  fs::copy_file(dir_.path() / "program", dir_.path() / "new");
  fs::rename(dir_.path() / "new", dir_.path() / "program");
  ::kill(keeper_, SIGHUP);
  EXPECT_NE(HearUntil("RELOADING=1"), "");
  const Server second = HearOfServer();
  EXPECT_EQ(second.life, 2);
  EXPECT_EQ(second.keeper, keeper_) << "the main process stays";
  EXPECT_EQ(::kill(first.pid, 0), -1) << "it handed over before";
  EXPECT_EQ(HearUntil("READY"), "READY=1");
  EXPECT_EQ(fs::read_symlink(fmt::format("/proc/{}/exe", keeper_)), dir_.path() / "program");
  EXPECT_EQ(fs::read_symlink(fmt::format("/proc/{}/exe", second.pid)), dir_.path() / "program");
  ::kill(second.pid, SIGKILL);
  EXPECT_EQ(HearOfServer().life, 3) << "it goes on as any keeper";
  HearUntil("READY");
}

TEST_F(KeeperTest, ASuccessorThatRefusesChangesNothing) {
  fs::copy_file(fs::read_symlink("/proc/self/exe"), dir_.path() / "program");
  StartKeeper();
  const Server server = HearOfServer();
  HearUntil("READY");
  const struct {
    std::string_view name;
    std::function<void()> replace;
  } kCases[] = {
      {"refuses", [&] { Touch("refuse"); }},
      {"is no program",
       [&] {
         fs::remove(dir_.path() / "program");
         std::ofstream(dir_.path() / "program") << "text";
       }},
      {"is missing", [&] { fs::remove(dir_.path() / "program"); }},
  };
  for (const auto& c : kCases) {
    c.replace();
    ::kill(keeper_, SIGHUP);
    EXPECT_NE(HearUntil("RELOADING=1"), "") << c.name;
    EXPECT_EQ(HearUntil("READY"), "READY=1") << c.name;
    EXPECT_EQ(::kill(server.pid, 0), 0) << c.name;
  }
  ::kill(server.pid, SIGKILL);
  EXPECT_EQ(HearOfServer().life, 2) << "the program that runs is still there to be run";
  HearUntil("READY");
}

TEST_F(KeeperTest, AnotherKeeperGoesOnWithWhatTheServiceManagerStored) {
  StartKeeper();
  const Server first = HearOfServer();
  HearUntil("READY");
  ASSERT_EQ(stored_.size(), 2U);
  ASSERT_TRUE(stored_.contains("starling-counter"));
  ASSERT_TRUE(stored_.contains("starling-state"));
  // As systemd ends a service whose main process has died.
  ::kill(keeper_, SIGKILL);
  WaitForKeeper();
  ::kill(first.pid, SIGKILL);
  const UniqueFd counter = std::move(stored_["starling-counter"]);
  const UniqueFd state = std::move(stored_["starling-state"]);
  StartKeeper({{"starling-state", state.get()}, {"starling-counter", counter.get()}});
  EXPECT_EQ(HearOfServer().life, 2);
  HearUntil("READY");
}

TEST_F(KeeperTest, BeginsAnewWhenWhatWasStoredIsNotAllThere) {
  StartKeeper();
  const Server first = HearOfServer();
  HearUntil("READY");
  ::kill(keeper_, SIGKILL);
  WaitForKeeper();
  ::kill(first.pid, SIGKILL);
  const UniqueFd state = std::move(stored_["starling-state"]);
  StartKeeper({{"starling-state", state.get()}});
  EXPECT_EQ(HearOfServer().life, 1);
  HearUntil("READY");
}

TEST_F(KeeperTest, ASocketOfTheServiceManagerGoesToTheServer) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  StartKeeper({{"starling.socket", socket.get()}});
  EXPECT_EQ(HearOfServer().rest, " a value ") << "a listener without a path of ours";
  HearUntil("READY");
}

}  // namespace
}  // namespace starling::keeper

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]).starts_with(starling::keeper::kRole)) {
      return starling::keeper::Play(argc, argv);
    }
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
