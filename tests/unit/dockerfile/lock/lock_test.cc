#include "dockerfile/lock/lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::lock {
namespace {

using ::testing::HasSubstr;

const oci::Digest kDigest = oci::Digest::Of(AsBytes("content"));
const std::string kCommit(40, 'a');

TEST(WriteLock, IsReadAgain) {
  EXPECT_EQ(WriteLock({}), "{\n  \"version\": 1\n}\n");
  const Lock lock{
      .images = {{"docker.io/library/ubuntu:22.04", kDigest}, {"a.example/b:1", kDigest}},
      .pythons = {{"3.12 amd64 gnu v1",
                   {.file = "cpython-3.12.3+20240415.tar.gz", .digest = kDigest}}},
      .tools = {{"uv 0.13.9 amd64", {.file = "fe/12/uv-0.13.9.whl", .digest = kDigest}}},
      .packages = {{"linux/amd64 apt-get install -y git", {"git=1:2.1", "libc6=2.36"}},
                   {"linux/amd64 python -m pip install x", {}}},
      .downloads = {{"https://x.example/a?b=c", kDigest}},
      .repositories = {{"https://x.example/a.git#main", kCommit}}};
  const std::string text = WriteLock(lock);
  EXPECT_EQ(text, fmt::format(R"({{
  "version": 1,
  "images": {{
    "a.example/b:1": "{0}",
    "docker.io/library/ubuntu:22.04": "{0}"
  }},
  "pythons": {{
    "3.12 amd64 gnu v1": {{
      "file": "cpython-3.12.3+20240415.tar.gz",
      "digest": "{0}"
    }}
  }},
  "tools": {{
    "uv 0.13.9 amd64": {{
      "file": "fe/12/uv-0.13.9.whl",
      "digest": "{0}"
    }}
  }},
  "packages": {{
    "linux/amd64 apt-get install -y git": [
      "git=1:2.1",
      "libc6=2.36"
    ],
    "linux/amd64 python -m pip install x": []
  }},
  "downloads": {{
    "https://x.example/a?b=c": "{0}"
  }},
  "repositories": {{
    "https://x.example/a.git#main": "{1}"
  }}
}}
)",
                              kDigest.ToString(), kCommit));
  const auto again = ParseLock(AsBytes(text));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, lock);
}

TEST(ParseLock, RefusesWhatIsNoLock) {
  const struct {
    std::string_view name;
    std::string text;
    std::string_view want;
  } cases[] = {
      {"nothing", "", "not a JSON object"},
      {"a list", "[]", "not a JSON object"},
      {"no version", "{}", "/version: this program reads version 1"},
      {"another version", R"({"version": 2})", "/version: this program reads version 1"},
      {"another member", R"({"version": 1, "wheels": {}})", "/wheels: there is no such member"},
      {"a member twice", R"({"version": 1, "version": 1})", "\"version\" is there twice"},
      {"a name twice", R"({"version": 1, "images": {"a": 1, "a": 1}})", "\"a\" is there twice"},
      {"no object", R"({"version": 1, "images": []})", "/images: this must be an object"},
      {"no digest", R"({"version": 1, "images": {"a": 1}})", "/images/a: this must be a digest"},
      {"half a digest", R"({"version": 1, "downloads": {"a": "sha256:00"}})", "/downloads/a: "},
      {"half a commit", R"({"version": 1, "repositories": {"a": "abc"}})",
       "/repositories/a: this must be a whole commit"},
      {"no Python", R"({"version": 1, "pythons": {"a": {"file": "x"}}})", "/pythons/a: this must"},
      {"a path", R"({"version": 1, "pythons": {"a": {"file": "../x", "digest": "y"}}})",
       "/pythons/a/file: this must be the name of a file"},
      {"a path of a Python",
       R"({"version": 1, "pythons": {"a": {"file": "x/y", "digest": "sha256:)" +
           std::string(64, '0') + R"("}}})",
       "/pythons/a/file: this must be the name of a file"},
      {"a way up", R"({"version": 1, "tools": {"a": {"file": "x/../y", "digest": "y"}}})",
       "/tools/a/file: this must be the name of a file"},
      {"no lines", R"({"version": 1, "packages": {"a": "b"}})",
       "/packages/a: this must be an array"},
      {"two lines", R"({"version": 1, "packages": {"a": ["b", "c\nd"]}})",
       "/packages/a/1: this must be a line"},
      {"depth", std::string(1000, '['), "nested more than 4 deep"},
      {"size", std::string(kMaxLockBytes + 1, ' '), "at most 16777216 are read"},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(std::string(MessageOf(ParseLock(AsBytes(c.text)).status())),
                HasSubstr(std::string(c.want)))
        << c.name;
  }
}

}  // namespace
}  // namespace starling::dockerfile::lock
