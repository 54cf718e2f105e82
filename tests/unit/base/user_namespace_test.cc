#include "base/user_namespace.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <thread>
#include <vector>

namespace starling {
namespace {

/// What we are in that namespace, as "UID GID". Asked by a program, because only a process with one
/// thread may enter a user namespace.
std::string OursInside(const UniqueFd& name_space) {
  const std::string command = fmt::format(
      "nsenter --user=/proc/{}/fd/{} --preserve-credentials sh -c 'echo $(id -u) $(id -g)'",
      ::getpid(), name_space.get());
  FILE* const output = ::popen(command.c_str(), "re");
  char line[100] = "";
  if (output == nullptr || ::fgets(line, sizeof line, output) == nullptr) {
    line[0] = '\0';
  }
  if (output != nullptr) {
    ::pclose(output);
  }
  return line;
}

TEST(MakeUserNamespace, MapsIdsAndNeedsNoProcess) {
  const IdRange uids[] = {{.inside = 7, .outside = 0, .count = 1}};
  const IdRange gids[] = {{.inside = 0, .outside = 100, .count = 10},
                          {.inside = 9000, .outside = 0, .count = 1}};
  const StatusOr<UniqueFd> made = MakeUserNamespace(uids, gids);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(OursInside(*made), "7 9000\n");
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a process is left";
}

TEST(MakeUserNamespace, RefusesWhatTheKernelRefuses) {
  const IdRange fine[] = {{.inside = 0, .outside = 0, .count = 1}};
  const IdRange overlapping[] = {{.inside = 0, .outside = 0, .count = 10},
                                 {.inside = 5, .outside = 100, .count = 10}};
  EXPECT_FALSE(MakeUserNamespace({}, fine).ok());
  EXPECT_FALSE(MakeUserNamespace(overlapping, fine).ok());
  EXPECT_FALSE(MakeUserNamespace(fine, overlapping).ok());
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a process is left";
}

TEST(MakeUserNamespace, WorksForManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 8; ++i) {
    threads.emplace_back([i] {
      const IdRange range[] = {{.inside = 0, .outside = i * 1000, .count = 1000}};
      const StatusOr<UniqueFd> made = MakeUserNamespace(range, range);
      EXPECT_TRUE(made.ok()) << made.status();
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a process is left";
}

}  // namespace
}  // namespace starling
