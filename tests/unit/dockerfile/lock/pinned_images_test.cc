#include "dockerfile/lock/pinned_images.h"

#include <gtest/gtest.h>

#include <vector>

namespace starling::dockerfile::lock {
namespace {

const oci::Digest kIndex = oci::Digest::Of(AsBytes("index"));
const oci::Digest kMoved = oci::Digest::Of(AsBytes("moved"));

/// Notes what it is asked for.
class Images : public plan::ImageResolver {
 public:
  StatusOr<plan::BaseImage> ResolveImage(const std::string& reference,
                                         const oci::Platform& platform) override {
    asked.push_back(reference);
    return plan::BaseImage{.reference = reference,
                           .platform = platform,
                           .manifest = oci::Digest::Of(AsBytes("manifest")),
                           .config = "{}"};
  }
  std::vector<std::string> asked;
};

class PinnedImagesTest : public ::testing::Test {
 protected:
  std::string Asked(Pins& pins, const std::string& reference, const oci::Digest& target = kIndex) {
    PinnedImages pinned(pins, images_, [target](const plan::BaseImage&) { return target; });
    const auto image = pinned.ResolveImage(reference, {.os = "linux", .architecture = "amd64"});
    return image.ok() ? images_.asked.back() : std::string(MessageOf(image.status()));
  }
  Images images_;
};

TEST_F(PinnedImagesTest, AreNoted) {
  Pins pins;
  EXPECT_EQ(Asked(pins, "h.example/a:1"), "h.example/a:1");
  EXPECT_EQ(Asked(pins, "oci:/layout:x"), "oci:/layout:x");
  const std::string by_digest = "h.example/b@" + kIndex.ToString();
  EXPECT_EQ(Asked(pins, by_digest), by_digest);
  EXPECT_EQ(pins.used().images, (std::map<std::string, oci::Digest>{{"h.example/a:1", kIndex},
                                                                    {"oci:/layout:x", kIndex}}));
}

TEST_F(PinnedImagesTest, AreAskedForOnce) {
  Pins pins;
  PinnedImages pinned(pins, images_, [](const plan::BaseImage&) { return kIndex; });
  for (const char* architecture : {"amd64", "arm64", "amd64", "arm64"}) {
    EXPECT_TRUE(
        pinned.ResolveImage("h.example/a:1", {.os = "linux", .architecture = architecture}).ok());
  }
  EXPECT_EQ(images_.asked.size(), 2U);
}

TEST_F(PinnedImagesTest, AreAskedForByDigest) {
  Pins pins({.images = {{"h.example/a:1", kIndex}, {"oci:/layout:x", kIndex}},
             .pythons = {},
             .tools = {},
             .packages = {},
             .downloads = {},
             .repositories = {}},
            "L");
  EXPECT_EQ(Asked(pins, "h.example/a:1"), "h.example/a:1@" + kIndex.ToString());
  EXPECT_EQ(Asked(pins, "oci:/layout:x"), "oci:/layout:x");
  const std::string by_digest = "h.example/b@" + kMoved.ToString();
  EXPECT_EQ(Asked(pins, by_digest), by_digest);
  const size_t asked = images_.asked.size();
  EXPECT_EQ(Asked(pins, "h.example/b:1"),
            "the image h.example/b:1 is not in L; build once with --lock and without --locked to "
            "write it again");
  EXPECT_EQ(images_.asked.size(), asked);
  EXPECT_EQ(Asked(pins, "oci:/layout:x", kMoved),
            fmt::format("the image oci:/layout:x is {}, and L says {}", kMoved.ToString(),
                        kIndex.ToString()));
}

}  // namespace
}  // namespace starling::dockerfile::lock
