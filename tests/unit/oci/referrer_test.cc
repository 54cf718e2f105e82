#include "oci/referrer.h"

#include <gtest/gtest.h>

namespace starling::oci {
namespace {

RawManifest RawOf(std::string_view type, const std::string& json) {
  const Bytes bytes = ToBytes(json);
  return {.media_type = std::string(type), .digest = Digest::Of(bytes), .bytes = bytes};
}

const Descriptor kSubject{.media_type = std::string(media_type::kOciManifest),
                          .digest = Digest::Of(AsBytes("subject")),
                          .size_bytes = 7};

TEST(ReferrerOf, IsListedAsTheSpecificationSays) {
  Manifest manifest;
  manifest.media_type = media_type::kOciManifest;
  manifest.config = {
      .media_type = "application/x.config", .digest = Digest::Of(AsBytes("{}")), .size_bytes = 2};
  manifest.annotations["a"] = "b";
  EXPECT_FALSE(ReferrerOf(RawOf(manifest.media_type, manifest.ToJson()))->has_value());
  manifest.subject = kSubject;
  const RawManifest untyped = RawOf(manifest.media_type, manifest.ToJson());
  const auto by_config = ReferrerOf(untyped);
  ASSERT_TRUE(by_config.ok() && *by_config) << by_config.status();
  EXPECT_EQ((*by_config)->subject, kSubject.digest);
  EXPECT_EQ((*by_config)->entry.artifact_type, "application/x.config");
  EXPECT_EQ((*by_config)->entry.digest, untyped.digest);
  EXPECT_EQ((*by_config)->entry.size_bytes, untyped.bytes.size());
  EXPECT_EQ((*by_config)->entry.annotations.at("a"), "b");
  manifest.artifact_type = "application/x.sbom";
  const auto by_type = ReferrerOf(RawOf(manifest.media_type, manifest.ToJson()));
  EXPECT_EQ((*by_type)->entry.artifact_type, "application/x.sbom");

  Index index;
  index.media_type = media_type::kOciIndex;
  index.subject = kSubject;
  index.artifact_type = "application/x.list";
  const auto of_index = ReferrerOf(RawOf(index.media_type, index.ToJson()));
  ASSERT_TRUE(of_index.ok() && *of_index) << of_index.status();
  EXPECT_EQ((*of_index)->entry.artifact_type, "application/x.list");
}

TEST(ReferrerOf, RefusesWhatIsNoManifest) {
  for (const char* text : {"", "{", "[]", R"({"schemaVersion":2,"subject":5})"}) {
    EXPECT_FALSE(ReferrerOf(RawOf(media_type::kOciManifest, text)).ok()) << text;
  }
}

TEST(ReferrersTagOf, IsADigestAsATag) {
  EXPECT_EQ(ReferrersTagOf(kSubject.digest), "sha256-" + kSubject.digest.Hex());
}

}  // namespace
}  // namespace starling::oci
