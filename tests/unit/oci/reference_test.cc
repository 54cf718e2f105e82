#include "oci/reference.h"

#include <gtest/gtest.h>

namespace starling::oci {
namespace {

constexpr std::string_view kHex =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

TEST(Reference, NormalisesAsDockerDoes) {
  const std::string at_digest = "@sha256:" + std::string(kHex);
  const struct {
    std::string text;
    std::string_view domain;
    std::string repository;
    std::string tag;
    bool has_digest = false;
  } cases[] = {
      {"ubuntu", "docker.io", "library/ubuntu", "latest"},
      {"ubuntu:22.04", "docker.io", "library/ubuntu", "22.04"},
      {"user/app", "docker.io", "user/app", "latest"},
      {"a/b/c", "docker.io", "a/b/c", "latest"},
      {"docker.io/ubuntu", "docker.io", "library/ubuntu", "latest"},
      {"index.docker.io/ubuntu", "docker.io", "library/ubuntu", "latest"},
      {"index.docker.io/user/app:v1", "docker.io", "user/app", "v1"},
      {"docker.io/library/ubuntu", "docker.io", "library/ubuntu", "latest"},
      {"localhost/app", "localhost", "app", "latest"},
      {"localhost:5000/app:x", "localhost:5000", "app", "x"},
      {"127.0.0.1:5000/a/b", "127.0.0.1:5000", "a/b", "latest"},
      {"[::1]:5000/app", "[::1]:5000", "app", "latest"},
      {"[fe80::1]/app:v1", "[fe80::1]", "app", "v1"},
      {"ghcr.io/o/r:v1.2_3-x", "ghcr.io", "o/r", "v1.2_3-x"},
      {"UPPER.example/app", "UPPER.example", "app", "latest"},
      {"Registry/app", "Registry", "app", "latest"},
      {"host.example/app" + at_digest, "host.example", "app", "", true},
      {"host.example/app:v1" + at_digest, "host.example", "app", "v1", true},
      {"ubuntu" + at_digest, "docker.io", "library/ubuntu", "", true},
      {"a__b/c--d.e_f", "docker.io", "a__b/c--d.e_f", "latest"},
      {"xn--n3h.example/app", "xn--n3h.example", "app", "latest"},
      {"ubuntu:_1", "docker.io", "library/ubuntu", "_1"},
      {"ubuntu:" + std::string(128, 'a'), "docker.io", "library/ubuntu", std::string(128, 'a')},
      {std::string(237, 'a'), "docker.io", "library/" + std::string(237, 'a'), "latest"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto reference = Reference::Parse(c.text);
    ASSERT_TRUE(reference.ok()) << reference.status();
    EXPECT_EQ(reference->domain(), c.domain);
    EXPECT_EQ(reference->repository(), c.repository);
    EXPECT_EQ(reference->tag(), c.tag);
    EXPECT_EQ(reference->digest().has_value(), c.has_digest);
    const auto again = Reference::Parse(reference->ToString());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*again, *reference);
  }
}

TEST(Reference, RefusesWhatDockerRefuses) {
  const struct {
    std::string text;
    std::string_view says;
  } cases[] = {
      {"", "empty"},
      {"Ubuntu", "lower-case"},
      {"ghcr.io/Owner/app", "lower-case"},
      {"a//b", "not a repository's name"},
      {"/a", "not a repository's name"},
      {"a/", "not a repository's name"},
      {"a..b/c", "not a registry's host"},
      {"ghcr.io/", "names no repository"},
      {"ghcr.io/a..b", "not a repository's name"},
      {"a___b", "not a repository's name"},
      {"-a", "not a repository's name"},
      {"a-", "not a repository's name"},
      {"a:", "not a tag"},
      {"a:-x", "not a tag"},
      {"a:.x", "not a tag"},
      {"a:b:c", "not a tag"},
      {"a:" + std::string(129, 'x'), "not a tag"},
      {"a b", "not a repository's name"},
      {"https://ghcr.io/a", "not a registry's host"},
      {"host:port/a", "not a registry's host"},
      {"host:/a", "not a registry's host"},
      {"-host.example/a", "not a registry's host"},
      {"[::1/a", "not a registry's host"},
      {"[:]:/a", "not a registry's host"},
      {"[::g]/a", "not a registry's host"},
      {"a@", "is not a digest"},
      {"a@sha256:abc", "is not a digest"},
      {"a@sha256:" + std::string(64, 'A'), "is not a digest"},
      {std::string(kHex), "a digest, not a name"},
      {std::string(238, 'a'), "longer than 255"},
      {std::string("a\0b", 3), "not a repository's name"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto reference = Reference::Parse(c.text);
    EXPECT_EQ(reference.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(MessageOf(reference.status()).find(c.says), std::string_view::npos)
        << reference.status();
  }
  EXPECT_EQ(Reference::Parse("a@sha512:" + std::string(128, 'a')).status().code(),
            StatusCode::kUnimplemented);
}

TEST(Reference, KnowsWhomToAskForWhat) {
  EXPECT_EQ(Reference::Parse("ubuntu")->Host(), "registry-1.docker.io");
  EXPECT_EQ(Reference::Parse("localhost:5000/a")->Host(), "localhost:5000");
  EXPECT_EQ(Reference::Parse("ubuntu:22.04")->Object(), "22.04");
  const Digest digest = Digest::Of(AsBytes("x"));
  const auto both = Reference::Parse("ubuntu:22.04@" + digest.ToString());
  EXPECT_EQ(both->Object(), digest.ToString());
  EXPECT_EQ(both->ToString(), "docker.io/library/ubuntu:22.04@" + digest.ToString());
  EXPECT_EQ(Reference::Parse("ubuntu:22.04")->WithDigest(digest).ToString(),
            "docker.io/library/ubuntu@" + digest.ToString());
}

}  // namespace
}  // namespace starling::oci
