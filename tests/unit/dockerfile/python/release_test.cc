#include "dockerfile/python/release.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::python {
namespace {

using ::testing::HasSubstr;

std::string Described(const std::optional<Release>& release) {
  if (!release) {
    return "";
  }
  return fmt::format("{} {} {} v{} {}{}", VersionOf(*release), release->tag, release->architecture,
                     release->cpu, NameOf(release->libc), release->is_stripped ? " stripped" : "");
}

TEST(ParseReleaseFile, ReadsWhatTheNameSays) {
  struct Case {
    const char* name;
    const char* file;
    const char* want;  // empty: not for us
  };
  const Case cases[] = {
      {"a baseline", "cpython-3.12.3+20240415-x86_64-unknown-linux-gnu-install_only.tar.gz",
       "3.12.3 20240415 amd64 v1 gnu"},
      {"without symbols",
       "cpython-3.12.3+20240415-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz",
       "3.12.3 20240415 amd64 v1 gnu stripped"},
      {"v2", "cpython-3.9.20+20241008-x86_64_v2-unknown-linux-gnu-install_only.tar.gz",
       "3.9.20 20241008 amd64 v2 gnu"},
      {"v3", "cpython-3.9.20+20241008-x86_64_v3-unknown-linux-musl-install_only.tar.gz",
       "3.9.20 20241008 amd64 v3 musl"},
      {"v4", "cpython-3.9.20+20241008-x86_64_v4-unknown-linux-gnu-install_only.tar.gz",
       "3.9.20 20241008 amd64 v4 gnu"},
      {"arm64", "cpython-3.13.0+20241008-aarch64-unknown-linux-gnu-install_only.tar.gz",
       "3.13.0 20241008 arm64 v1 gnu"},
      {"free-threaded",
       "cpython-3.14.4+20260408-x86_64-unknown-linux-gnu-freethreaded-install_only_stripped.tar.gz",
       "3.14.4t 20260408 amd64 v1 gnu stripped"},
      {"free-threaded, as it was at first",
       "cpython-3.13.0+20241008-x86_64-unknown-linux-gnu-freethreaded+pgo+lto-full.tar.zst",
       "3.13.0t 20241008 amd64 v1 gnu"},
      {"for arm64 too",
       "cpython-3.13.0+20241008-aarch64-unknown-linux-gnu-freethreaded+lto-full.tar.zst",
       "3.13.0t 20241008 arm64 v1 gnu"},
      {"a full archive", "cpython-3.12.3+20240415-x86_64-unknown-linux-gnu-pgo+lto-full.tar.zst",
       ""},
      {"for debugging", "cpython-3.12.3+20240415-x86_64-unknown-linux-gnu-debug-full.tar.zst", ""},
      {"free-threaded for debugging",
       "cpython-3.13.0+20241008-x86_64-unknown-linux-gnu-freethreaded+debug-full.tar.zst", ""},
      {"a preview", "cpython-3.15.0a1+20251014-x86_64-unknown-linux-gnu-install_only.tar.gz", ""},
      {"another system", "cpython-3.12.3+20240415-x86_64-apple-darwin-install_only.tar.gz", ""},
      {"another library", "cpython-3.12.3+20240415-armv7-unknown-linux-gnueabi-install_only.tar.gz",
       ""},
      {"another processor", "cpython-3.12.3+20240415-s390x-unknown-linux-gnu-install_only.tar.gz",
       ""},
      {"another Python", "pypy-3.10.1+20240415-x86_64-unknown-linux-gnu-install_only.tar.gz", ""},
      {"no date", "cpython-3.12.3+../../-x86_64-unknown-linux-gnu-install_only.tar.gz", ""},
      {"a long number",
       "cpython-3.99999999999.3+20240415-x86_64-unknown-linux-gnu-install_only.tar.gz", ""},
      {"the end missing", "cpython-3.12.3+20240415-x86_64-unknown-linux-gnu", ""},
      {"nothing", "", ""},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Described(ParseReleaseFile(c.file)), c.want) << c.name;
  }
}

TEST(ParseVersionRequest, ReadsSeriesAndVersions) {
  struct Case {
    const char* text;
    VersionRequest want;
  };
  const Case cases[] = {{"3.12", {.minor = 12}},
                        {"3.9", {.minor = 9}},
                        {"3.12.4", {.minor = 12, .micro = 4}},
                        {"3.12.0", {.minor = 12, .micro = 0}},
                        {"3.14t", {.minor = 14, .is_free_threaded = true}},
                        {"3.13.2t", {.minor = 13, .micro = 2, .is_free_threaded = true}}};
  for (const Case& c : cases) {
    const auto request = ParseVersionRequest(c.text);
    ASSERT_TRUE(request.ok()) << c.text << request.status();
    EXPECT_EQ(*request, c.want) << c.text;
  }
  for (const char* wrong : {"", "3", "3.", "2.7", "3.12.", "3.12.4.1", "3.12tt", "t", "3.x",
                            "3.12 ", "3.12.99999", "latest"}) {
    const auto request = ParseVersionRequest(wrong);
    EXPECT_EQ(request.status().code(), StatusCode::kInvalidArgument) << wrong;
    EXPECT_THAT(std::string(MessageOf(request.status())), HasSubstr("3.12.4")) << wrong;
  }
}

}  // namespace
}  // namespace starling::dockerfile::python
