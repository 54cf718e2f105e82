#include "transport/image_name.h"

#include <gtest/gtest.h>

namespace starling::transport {
namespace {

TEST(ImageName, IsSpelledAsInSkopeo) {
  const struct {
    std::string_view text;
    Kind kind;
    std::string_view path;
    std::string_view reference;
    std::string_view again;
  } cases[] = {
      {"ubuntu:22.04", Kind::kRegistry, "", "ubuntu:22.04", "docker://ubuntu:22.04"},
      {"docker://ghcr.io/o/r", Kind::kRegistry, "", "ghcr.io/o/r", "docker://ghcr.io/o/r"},
      {"localhost:5000/a:b", Kind::kRegistry, "", "localhost:5000/a:b",
       "docker://localhost:5000/a:b"},
      {"oci:dir", Kind::kOciLayout, "dir", "", "oci:dir"},
      {"oci:/a/b:tag", Kind::kOciLayout, "/a/b", "tag", "oci:/a/b:tag"},
      {"oci:./x:with:colon", Kind::kOciLayout, "./x", "with:colon", "oci:./x:with:colon"},
      {"oci-archive:f.tar", Kind::kOciArchive, "f.tar", "", "oci-archive:f.tar"},
      {"oci-archive:f.tar:v1", Kind::kOciArchive, "f.tar", "v1", "oci-archive:f.tar:v1"},
      {"docker-archive:f.tar", Kind::kDockerArchive, "f.tar", "", "docker-archive:f.tar"},
      {"docker-archive:f.tar:ubuntu:22.04", Kind::kDockerArchive, "f.tar", "ubuntu:22.04",
       "docker-archive:f.tar:ubuntu:22.04"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto name = ImageName::Parse(c.text);
    ASSERT_TRUE(name.ok()) << name.status();
    EXPECT_EQ(name->kind, c.kind);
    EXPECT_EQ(name->path, std::filesystem::path(c.path));
    EXPECT_EQ(name->reference, c.reference);
    EXPECT_EQ(name->ToString(), c.again);
  }
}

TEST(ImageName, RefusesOtherSpellings) {
  const struct {
    std::string_view text;
    StatusCode want;
  } cases[] = {
      {"", StatusCode::kInvalidArgument},
      {"docker://", StatusCode::kInvalidArgument},
      {"docker://UPPER", StatusCode::kInvalidArgument},
      {"https://ghcr.io/a", StatusCode::kInvalidArgument},
      {"oci:", StatusCode::kInvalidArgument},
      {"oci::tag", StatusCode::kInvalidArgument},
      {"oci:dir:", StatusCode::kInvalidArgument},
      {"docker-archive:f.tar:UPPER", StatusCode::kInvalidArgument},
      {"dir:/tmp/x", StatusCode::kUnimplemented},
      {"docker-daemon:ubuntu:latest", StatusCode::kUnimplemented},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(ImageName::Parse(c.text).status().code(), c.want);
  }
}

}  // namespace
}  // namespace starling::transport
