#include "transport/layout_source.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/temp_dir.h"
#include "oci/manifest.h"

namespace starling::transport {
namespace {

/// A layout directory written by hand, so that it does not depend on our own writer.
class LayoutSourceTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(dir_.path() / "blobs/sha256"); }

  oci::Descriptor AddBlob(std::string_view type, std::string_view content) {
    const oci::Digest digest = oci::Digest::Of(AsBytes(content));
    std::ofstream(dir_.path() / "blobs/sha256" / digest.Hex(), std::ios::binary) << content;
    return {.media_type = std::string(type), .digest = digest, .size_bytes = content.size()};
  }
  oci::Descriptor AddImage(std::string_view config) {
    oci::Manifest manifest;
    manifest.media_type = oci::media_type::kOciManifest;
    manifest.config = AddBlob(oci::media_type::kOciConfig, config);
    return AddBlob(manifest.media_type, manifest.ToJson());
  }
  static oci::Descriptor Tagged(oci::Descriptor descriptor, std::string tag) {
    descriptor.annotations[std::string(oci::annotation::kRefName)] = std::move(tag);
    return descriptor;
  }
  void WriteIndex(std::vector<oci::Descriptor> entries) {
    oci::Index index;
    index.media_type = oci::media_type::kOciIndex;
    index.manifests = std::move(entries);
    std::ofstream(dir_.path() / "index.json") << index.ToJson();
  }
  StatusOr<std::shared_ptr<LayoutSource>> Open(const std::string& tag) {
    return LayoutSource::Open(std::make_shared<DirectoryFiles>(dir_.path()), tag, "oci:test");
  }

  TempDir dir_ = *TempDir::Make(std::filesystem::temp_directory_path(), "layout-");
};

TEST_F(LayoutSourceTest, FindsImagesByTag) {
  const auto first = AddImage("1");
  const auto second = AddImage("2");
  auto third = AddImage("3");
  third.annotations["io.containerd.image.name"] = "docker.io/library/app:v3";
  WriteIndex({Tagged(first, "v1"), Tagged(second, "v2"), third});
  EXPECT_EQ((*Open("v1"))->ReadTopManifest()->digest, first.digest);
  EXPECT_EQ((*Open("v2"))->ReadTopManifest()->digest, second.digest);
  EXPECT_EQ((*Open("app:v3"))->ReadTopManifest()->digest, third.digest);
  EXPECT_EQ(MessageOf(Open("v9").status()), "oci:test: no image \"v9\"; there is: v1, v2");
  EXPECT_EQ(Open("v9").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Open("").status().code(), StatusCode::kInvalidArgument);
}

TEST_F(LayoutSourceTest, NeedsNoTagForTheOnlyImage) {
  const auto image = AddImage("1");
  WriteIndex({Tagged(image, "v1")});
  EXPECT_EQ((*Open(""))->ReadTopManifest()->digest, image.digest);
}

TEST_F(LayoutSourceTest, FollowsANestedIndex) {
  auto image = AddImage("1");
  image.platform = oci::Platform{.os = "linux", .architecture = "amd64"};
  oci::Index nested;
  nested.media_type = oci::media_type::kOciIndex;
  nested.manifests = {image};
  WriteIndex({Tagged(AddBlob(nested.media_type, nested.ToJson()), "v1")});
  const auto source = Open("v1");
  ASSERT_TRUE(source.ok()) << source.status();
  const auto selected = oci::SelectImage(**source, *image.platform);
  ASSERT_TRUE(selected.ok()) << selected.status();
  EXPECT_EQ(selected->raw_manifest.digest, image.digest);
}

TEST_F(LayoutSourceTest, FindsReferrersByTheirSubjects) {
  const auto image = AddImage("1");
  const auto other = AddImage("2");
  const auto about = [&](const oci::Descriptor& subject, const std::string& config) {
    oci::Manifest manifest;
    manifest.media_type = oci::media_type::kOciManifest;
    manifest.config = AddBlob("application/x.signature", config);
    manifest.subject = subject;
    manifest.annotations["a"] = config;
    return AddBlob(manifest.media_type, manifest.ToJson());
  };
  const auto first = about(image, "first");
  const auto listed = about(image, "listed");
  auto missing = about(image, "missing");
  std::filesystem::remove(dir_.path() / "blobs/sha256" / missing.digest.Hex());
  oci::Index list;
  list.media_type = oci::media_type::kOciIndex;
  list.manifests = {listed, first};
  WriteIndex({image, first, about(other, "of another"), missing,
              Tagged(AddBlob(list.media_type, list.ToJson()), oci::ReferrersTagOf(image.digest))});
  const auto source = Open("");
  EXPECT_EQ(source.status().code(), StatusCode::kInvalidArgument) << "a list has a name";
  WriteIndex({first, image, about(other, "of another"), missing});
  EXPECT_EQ(Open("").status().code(), StatusCode::kInvalidArgument) << "what is missing may be any";
  WriteIndex({first, image, about(other, "of another")});
  ASSERT_TRUE(Open("").ok()) << Open("").status();
  EXPECT_EQ((*Open(""))->ReadTopManifest()->digest, image.digest);

  WriteIndex({Tagged(image, "v1"), first, about(other, "of another"), missing,
              Tagged(AddBlob(list.media_type, list.ToJson()), oci::ReferrersTagOf(image.digest))});
  const auto referrers = (*Open("v1"))->ReadReferrers(image.digest);
  ASSERT_TRUE(referrers.ok()) << referrers.status();
  ASSERT_EQ(referrers->size(), 2u);
  EXPECT_EQ((*referrers)[0].digest, first.digest);
  EXPECT_EQ((*referrers)[0].artifact_type, "application/x.signature");
  EXPECT_EQ((*referrers)[0].annotations.at("a"), "first");
  EXPECT_EQ((*referrers)[1].digest, listed.digest);
  EXPECT_TRUE((*Open("v1"))->ReadReferrers(first.digest)->empty());
}

TEST_F(LayoutSourceTest, ReportsWhatIsBroken) {
  EXPECT_EQ(Open("").status().code(), StatusCode::kNotFound) << "no index.json";
  std::ofstream(dir_.path() / "index.json") << "{}";
  EXPECT_EQ(Open("").status().code(), StatusCode::kDataLoss);
  WriteIndex({});
  EXPECT_EQ(Open("").status().code(), StatusCode::kNotFound);
  const auto image = AddImage("1");
  WriteIndex({image});
  const auto source = Open("");
  ASSERT_TRUE(source.ok()) << source.status();
  std::ofstream(dir_.path() / "blobs/sha256" / image.digest.Hex(), std::ios::trunc)
      << std::string(image.size_bytes, 'x');
  EXPECT_EQ((*source)->ReadTopManifest().status().code(), StatusCode::kDataLoss);
  std::filesystem::remove(dir_.path() / "blobs/sha256" / image.digest.Hex());
  EXPECT_EQ((*source)->ReadTopManifest().status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace starling::transport
