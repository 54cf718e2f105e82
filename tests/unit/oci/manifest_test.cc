#include "oci/manifest.h"

#include <gtest/gtest.h>

namespace starling::oci {
namespace {

std::string Described(std::string_view type, std::string_view size = "7") {
  return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":{}}})", type,
                     Digest::Of(AsBytes(type)).ToString(), size);
}

std::string ManifestText(std::string_view members) {
  return fmt::format(R"({{"schemaVersion":2,"config":{}{}}})", Described(media_type::kOciConfig),
                     members);
}

Manifest FullManifest() {
  Manifest manifest;
  manifest.media_type = media_type::kOciManifest;
  manifest.config = {.media_type = std::string(media_type::kOciConfig),
                     .digest = Digest::Of(AsBytes("config")),
                     .size_bytes = 6};
  manifest.layers = {{.media_type = std::string(media_type::kOciLayerGzip),
                      .digest = Digest::Of(AsBytes("layer")),
                      .size_bytes = uint64_t{1} << 62,
                      .annotations = {{"k", "v"}, {"a", "ä\n\""}},
                      .urls = {"https://example/x"}}};
  manifest.annotations = {{"x", "y"}};
  manifest.subject = manifest.config;
  manifest.artifact_type = "application/x";
  return manifest;
}

TEST(Manifest, RoundTrips) {
  const Manifest manifest = FullManifest();
  const auto again = Manifest::Parse(AsBytes(manifest.ToJson()), "");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, manifest);
  EXPECT_EQ(again->ToJson(), manifest.ToJson());
}

TEST(Manifest, TypeIsTheDocumentsElseTheHints) {
  const struct {
    std::string_view name;
    std::string stated;
    std::string_view hint;
    std::string_view want;
  } cases[] = {
      {"silent", "", "", media_type::kOciManifest},
      {"hint decides", "", media_type::kDockerManifest, media_type::kDockerManifest},
      {"hint with parameters", "",
       "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8",
       media_type::kDockerManifest},
      {"meaningless hint", "", "application/json", media_type::kOciManifest},
      {"stated", std::string(media_type::kDockerManifest), "application/json",
       media_type::kDockerManifest},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const std::string stated =
        c.stated.empty() ? "" : fmt::format(R"(,"mediaType":"{}")", c.stated);
    const std::string text = ManifestText(R"(,"layers":[])" + stated);
    const auto manifest = Manifest::Parse(AsBytes(text), c.hint);
    ASSERT_TRUE(manifest.ok()) << manifest.status();
    EXPECT_EQ(manifest->media_type, c.want);
    EXPECT_EQ(*DetectMediaType(AsBytes(text), c.hint), c.want);
  }
}

TEST(Manifest, RefusesHostileAndForeignDocuments) {
  const std::string layer = Described(media_type::kOciLayerGzip);
  std::string many = layer;
  for (size_t i = 1; i <= kMaxLayers; ++i) {
    many += "," + layer;
  }
  const struct {
    std::string_view name;
    std::string text;
    std::string_view hint;
    StatusCode want;
  } cases[] = {
      {"schema 1", R"({"schemaVersion":1,"fsLayers":[],"history":[]})", "",
       StatusCode::kUnimplemented},
      {"schema 1 by hint", R"({})", "application/vnd.docker.distribution.manifest.v1+prettyjws",
       StatusCode::kUnimplemented},
      {"no version", R"({"config":{},"layers":[]})", "", StatusCode::kDataLoss},
      {"also an index", ManifestText(R"(,"layers":[],"manifests":[])"), "", StatusCode::kDataLoss},
      {"states an index",
       ManifestText(fmt::format(R"(,"layers":[],"mediaType":"{}")", media_type::kOciIndex)), "",
       StatusCode::kDataLoss},
      {"comes as an index", ManifestText(R"(,"layers":[])"), media_type::kOciIndex,
       StatusCode::kDataLoss},
      {"states another type than its hint",
       ManifestText(fmt::format(R"(,"layers":[],"mediaType":"{}")", media_type::kOciManifest)),
       media_type::kDockerManifest, StatusCode::kDataLoss},
      {"unknown type", ManifestText(R"(,"layers":[],"mediaType":"application/x")"), "",
       StatusCode::kUnimplemented},
      {"no layers", ManifestText(""), "", StatusCode::kDataLoss},
      {"no config", R"({"schemaVersion":2,"layers":[]})", "", StatusCode::kDataLoss},
      {"negative size", ManifestText(fmt::format(R"(,"layers":[{}])", Described("x", "-1"))), "",
       StatusCode::kDataLoss},
      {"size of 2^63",
       ManifestText(fmt::format(R"(,"layers":[{}])", Described("x", "9223372036854775808"))), "",
       StatusCode::kDataLoss},
      {"digest of the wrong type",
       ManifestText(R"(,"layers":[{"mediaType":"x","digest":7,"size":1}])"), "",
       StatusCode::kDataLoss},
      {"broken digest",
       ManifestText(R"(,"layers":[{"mediaType":"x","digest":"sha256:00","size":1}])"), "",
       StatusCode::kDataLoss},
      {"too many layers", ManifestText(fmt::format(R"(,"layers":[{}])", many)), "",
       StatusCode::kResourceExhausted},
      {"too large", std::string(kMaxManifestBytes + 1, ' '), "", StatusCode::kResourceExhausted},
      {"layer without type", ManifestText(fmt::format(R"(,"layers":[{}])", Described(""))), "",
       StatusCode::kDataLoss},
      {"layer is a text", ManifestText(R"(,"layers":["x"])"), "", StatusCode::kDataLoss},
      {"annotation is a number", ManifestText(R"(,"layers":[],"annotations":{"a":1})"), "",
       StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(Manifest::Parse(AsBytes(c.text), c.hint).status().code(), c.want)
        << Manifest::Parse(AsBytes(c.text), c.hint).status();
  }
}

TEST(Manifest, ErrorNamesThePlace) {
  const std::string text =
      ManifestText(fmt::format(R"(,"layers":[{},{}])", Described("x"), Described("x", "-1")));
  EXPECT_EQ(MessageOf(Manifest::Parse(AsBytes(text), "").status()),
            "manifest: layers[1]: \"size\" is not a size in bytes");
}

Descriptor Entry(std::string_view platform, std::string_view content) {
  Descriptor entry{.media_type = std::string(media_type::kOciManifest),
                   .digest = Digest::Of(AsBytes(content)),
                   .size_bytes = 1};
  if (!platform.empty()) {
    const size_t slash = platform.find('/');
    entry.platform = Platform{.os = std::string(platform.substr(0, slash)),
                              .architecture = std::string(platform.substr(slash + 1))};
  }
  return entry;
}

TEST(Index, RoundTrips) {
  Index index;
  index.media_type = media_type::kOciIndex;
  index.manifests = {Entry("linux/amd64", "a"), Entry("", "b")};
  index.manifests[0].platform->variant = "v3";
  index.manifests[1].annotations = {{std::string(annotation::kRefName), "latest"}};
  index.annotations = {{"k", "v"}};
  index.subject = Entry("", "subject");
  index.artifact_type = "application/vnd.test";
  const auto again = Index::Parse(AsBytes(index.ToJson()), "");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, index);
  EXPECT_FALSE(Manifest::Parse(AsBytes(index.ToJson()), "").ok());
}

TEST(Index, SelectsTheBestFirstOfEquals) {
  Index index;
  index.manifests = {Entry("", "no platform"),      Entry("linux/arm64", "arm64"),
                     Entry("linux/386", "386"),     Entry("linux/amd64", "first"),
                     Entry("linux/amd64", "other"), Entry("unknown/unknown", "attestation")};
  const auto digest_for = [&](std::string_view platform) {
    return index.Select(*Platform::Parse(platform))->digest;
  };
  EXPECT_EQ(digest_for("linux/amd64"), Digest::Of(AsBytes("first")));
  EXPECT_EQ(digest_for("linux/arm64"), Digest::Of(AsBytes("arm64")));
  EXPECT_EQ(digest_for("linux/s390x"), Digest::Of(AsBytes("no platform")));
  EXPECT_EQ(index.Candidates(*Platform::Parse("linux/amd64")).size(), 4U);
}

TEST(Index, SaysWhatIsThere) {
  Index index;
  index.manifests = {Entry("linux/arm64", "a"), Entry("unknown/unknown", "b")};
  const Status status = index.Select(*Platform::Parse("linux/amd64")).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_EQ(MessageOf(status), "no image for linux/amd64; there is linux/arm64");
}

}  // namespace
}  // namespace starling::oci
