#include "dockerfile/python/libc.h"

#include <gmock/gmock.h>

#include "tests/unit/dockerfile/python/tree_fixture.h"

namespace starling::dockerfile::python {
namespace {

using ::testing::HasSubstr;

class LibcTest : public TreeFixture {
 protected:
  std::string Found(const std::string& architecture = "amd64") const {
    const auto found = FindLibc(directory_.path(), architecture);
    if (!found.ok()) {
      return std::string(MessageOf(found.status()));
    }
    return fmt::format("{} {}", NameOf(found->libc), found->minor.value_or(-1));
  }
};

constexpr const char* kGnu = "/lib64/ld-linux-x86-64.so.2";
constexpr const char* kMusl = "/lib/ld-musl-x86_64.so.1";
constexpr const char* kText = "..GNU C Library (Debian) stable release version 2.36.\n..";

TEST_F(LibcTest, IsSeenInTheTree) {
  struct Case {
    const char* name;
    const char* script;
    const char* architecture;
    std::string want;
  };
  const Case cases[] = {
      {"Debian: everything below usr",
       "mkdir -p usr/lib64 usr/lib/x86_64-linux-gnu; ln -s usr/lib64 usr/lib .; cp libc "
       "usr/lib/x86_64-linux-gnu/libc.so.6; touch usr/lib/x86_64-linux-gnu/ld; ln -s "
       "/lib/x86_64-linux-gnu/ld usr/lib64/ld-linux-x86-64.so.2",
       "amd64", "gnu 36"},
      {"Fedora", "mkdir lib64; touch lib64/ld-linux-x86-64.so.2; cp libc lib64/libc.so.6", "amd64",
       "gnu 36"},
      {"a library that does not say it",
       "mkdir lib64; touch lib64/ld-linux-x86-64.so.2 lib64/libc.so.6", "amd64", "gnu -1"},
      {"Alpine", "mkdir lib; touch lib/ld-musl-x86_64.so.1", "amd64", "musl -1"},
      {"Alpine with a loader of GNU's name",
       "mkdir lib lib64 bin; touch lib/ld-musl-x86_64.so.1 lib64/ld-linux-x86-64.so.2; cp musl "
       "bin/busybox; ln -s /bin/busybox bin/sh",
       "amd64", "musl -1"},
      {"Debian with musl's loader",
       "mkdir lib lib64 bin; touch lib/ld-musl-x86_64.so.1 lib64/ld-linux-x86-64.so.2; cp gnu "
       "bin/sh",
       "amd64", "gnu -1"},
      {"arm64", "mkdir lib; touch lib/ld-linux-aarch64.so.1", "arm64", "gnu -1"},
      {"arm64 musl", "mkdir lib; touch lib/ld-musl-aarch64.so.1", "arm64", "musl -1"},
      {"of another architecture", "mkdir lib; touch lib/ld-linux-aarch64.so.1", "amd64",
       "the base has no C library for amd64 (neither /lib64/ld-linux-x86-64.so.2 nor "
       "/lib/ld-musl-x86_64.so.1), which Python needs; begin from an image that has one, such as "
       "debian:stable-slim"},
      {"another architecture", "mkdir lib", "riscv64",
       "there is no Python for riscv64, only for amd64 and arm64"},
      {"a loader that is a link out of the tree",
       "mkdir lib64; ln -s ../../../../../../etc/passwd lib64/ld-linux-x86-64.so.2", "amd64",
       "the base has no C library for amd64 (neither /lib64/ld-linux-x86-64.so.2 nor "
       "/lib/ld-musl-x86_64.so.1), which Python needs; begin from an image that has one, such as "
       "debian:stable-slim"},
      {"a shell that is a pipe",
       "mkdir lib lib64 bin; touch lib/ld-musl-x86_64.so.1 lib64/ld-linux-x86-64.so.2; mkfifo "
       "bin/sh",
       "amd64", "gnu -1"},
  };
  for (const Case& c : cases) {
    Run("rm -rf *");
    Write("libc", kText);
    Write("gnu", Program(kGnu));
    Write("musl", Program(kMusl));
    Run(c.script);
    EXPECT_EQ(Found(c.architecture), c.want) << c.name;
  }
}

TEST(CheckRuns, RefusesOldLibraries) {
  EXPECT_TRUE(CheckRuns({.libc = Libc::kGnu, .minor = 17}).ok());
  EXPECT_TRUE(CheckRuns({.libc = Libc::kGnu, .minor = {}}).ok());
  EXPECT_TRUE(CheckRuns({.libc = Libc::kMusl, .minor = {}}).ok());
  const Status old = CheckRuns({.libc = Libc::kGnu, .minor = 12});
  EXPECT_EQ(old.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(MessageOf(old)), HasSubstr("version 2.12 of the GNU C library"));
}

}  // namespace
}  // namespace starling::dockerfile::python
