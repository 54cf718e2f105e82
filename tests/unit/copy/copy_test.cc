#include "copy/copy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/memory_image.h"

namespace starling::copy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_support::MemoryImageDestination;
using testing_support::MemoryImageSource;

constexpr std::string_view kForeign =
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";

/// A source whose repository and referrers are known.
class KnownSource : public MemoryImageSource {
 public:
  std::vector<oci::BlobOrigin> OriginsOf(const oci::Descriptor&) override {
    return {{.registry = "a.example", .repository = "b"}};
  }
  StatusOr<std::vector<oci::Descriptor>> ReadReferrers(const oci::Digest& subject) override {
    const auto found = referrers.find(subject);
    return found == referrers.end() ? std::vector<oci::Descriptor>() : found->second;
  }
  std::map<oci::Digest, std::vector<oci::Descriptor>> referrers;
};

oci::Descriptor AddImage(MemoryImageSource& source, const std::string& name,
                         std::vector<oci::Descriptor> layers = {}) {
  if (layers.empty()) {
    layers = {source.Add(oci::media_type::kOciLayerGzip, AsBytes("base")),
              source.Add(oci::media_type::kOciLayerGzip, AsBytes(name + " layer"))};
  }
  return source.Add(
      oci::Manifest{.media_type = std::string(oci::media_type::kOciManifest),
                    .config = source.Add(oci::media_type::kOciConfig, AsBytes("{} of " + name)),
                    .layers = std::move(layers)});
}

oci::Descriptor On(oci::Descriptor image, const std::string& architecture) {
  image.platform = oci::Platform{.os = "linux", .architecture = architecture};
  return image;
}

oci::Descriptor AddIndex(MemoryImageSource& source, std::vector<oci::Descriptor> entries) {
  return source.Add(oci::Index{.media_type = std::string(oci::media_type::kOciIndex),
                               .manifests = std::move(entries)});
}

StatusOr<CopyReport> Copy(oci::ImageSource& source, oci::ImageDestination& destination,
                          const CopyOptions& options = {}) {
  NoProgress progress;
  return CopyImage(source, destination, options, progress);
}

TEST(CopyImage, CopiesAnIndexOfIndexesChildrenFirst) {
  KnownSource source;
  const oci::Descriptor one = On(AddImage(source, "one"), "amd64");
  const oci::Descriptor two = On(AddImage(source, "two"), "arm64");
  const oci::Descriptor inner = AddIndex(source, {two});
  const oci::Descriptor top = AddIndex(source, {one, inner, one});
  source.SetTop(top);
  MemoryImageDestination destination;
  const auto report = Copy(source, destination);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->target, top.digest);
  EXPECT_EQ(destination.top(), top.digest);
  EXPECT_THAT(destination.manifests_in_order(),
              ElementsAre(one.digest, two.digest, inner.digest, top.digest));
  EXPECT_EQ(report->manifests, 4u);
  EXPECT_EQ(report->sent_blobs, 5u) << "the base of both once";
  EXPECT_EQ(report->sent_bytes, source.blob_bytes_read());
  EXPECT_THAT(destination.origins(), testing::Each(source.OriginsOf({}).front()));
}

TEST(CopyImage, AsksForNothingThatWasMountedForIt) {
  KnownSource source;
  const oci::Descriptor base = source.Add(oci::media_type::kOciLayerGzip, AsBytes("base"));
  source.SetTop(AddImage(source, "one", {base}));
  MemoryImageDestination destination;
  destination.Hold(base.digest);
  const auto report = Copy(source, destination, {.mounted = {base.digest}});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->mounted_blobs, 1u);
  EXPECT_EQ(report->present_blobs, 0u);
  EXPECT_EQ(report->sent_blobs, 1u);
  EXPECT_EQ(destination.origins().size(), 1u) << "the configuration's";
}

TEST(CopyImage, SendsWhatWasMountedForItAndIsGone) {
  KnownSource source;
  const oci::Descriptor base = source.Add(oci::media_type::kOciLayerGzip, AsBytes("base"));
  source.SetTop(AddImage(source, "one", {base}));
  MemoryImageDestination destination;
  const auto report = Copy(source, destination, {.mounted = {base.digest}});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->mounted_blobs, 0u);
  EXPECT_EQ(report->sent_blobs, 2u);
  EXPECT_EQ(destination.top(), report->target);
}

TEST(CopyImage, TriesNothingAgainForAnotherReason) {
  KnownSource source;
  const oci::Descriptor base = source.Add(oci::media_type::kOciLayerGzip, AsBytes("base"));
  source.SetTop(AddImage(source, "one", {base}));
  MemoryImageDestination destination;
  destination.Hold(base.digest);
  destination.FailBlobsAfter(0, MakeError(StatusCode::kPermissionDenied, "no"));
  EXPECT_EQ(Copy(source, destination, {.mounted = {base.digest}}).status().code(),
            StatusCode::kPermissionDenied);
  EXPECT_EQ(source.blobs_streamed(), 1);
}

TEST(CopyImage, MovesOnlyWhatIsMissing) {
  KnownSource source;
  const oci::Descriptor base = source.Add(oci::media_type::kOciLayerGzip, AsBytes("base"));
  const oci::Descriptor shared = source.Add(oci::media_type::kOciLayerGzip, AsBytes("shared"));
  source.SetTop(AddImage(source, "one", {base, shared}));
  MemoryImageDestination destination;
  destination.Hold(base.digest);
  destination.OfferToMount(shared.digest);
  const auto report = Copy(source, destination);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->present_blobs, 1u);
  EXPECT_EQ(report->mounted_blobs, 1u);
  EXPECT_EQ(report->sent_blobs, 1u);
  EXPECT_EQ(source.blobs_streamed(), 1) << "the configuration";
}

TEST(CopyImage, CopiesOnePlatform) {
  KnownSource source;
  const oci::Descriptor one = On(AddImage(source, "one"), "amd64");
  const oci::Descriptor two = On(AddImage(source, "two"), "arm64");
  source.SetTop(AddIndex(source, {one, two}));
  MemoryImageDestination destination;
  const auto report = Copy(source, destination, {.platform = *oci::Platform::Parse("linux/arm64")});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(destination.top(), two.digest);
  EXPECT_THAT(destination.manifests_in_order(), ElementsAre(two.digest));
  MemoryImageDestination nothing;
  EXPECT_EQ(
      Copy(source, nothing, {.platform = *oci::Platform::Parse("linux/s390x")}).status().code(),
      StatusCode::kNotFound);
}

TEST(CopyImage, RefusesForeignLayersUnlessAllowed) {
  const struct {
    const char* name;
    std::string media_type;
    std::vector<std::string> urls;
    size_t foreign_layers;  // when allowed
  } cases[] = {
      {"elsewhere", std::string(kForeign), {"https://c.example/layer"}, 1},
      {"elsewhere, of an ordinary type",
       std::string(oci::media_type::kOciLayerGzip),
       {"https://c.example/layer"},
       1},
      {"in the registry", std::string(kForeign), {}, 0},
      {"Docker's",
       "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
       {"https://c.example/layer"},
       1},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    KnownSource source;
    oci::Descriptor layer = source.Add(c.media_type, AsBytes("layer"));
    layer.urls = c.urls;
    source.SetTop(AddImage(source, "one", {layer}));
    MemoryImageDestination refused;
    const Status status = Copy(source, refused).status();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(Describe(status), HasSubstr("--allow-foreign"));
    EXPECT_EQ(refused.blobs_written(), 0);
    MemoryImageDestination allowed;
    const auto report = Copy(source, allowed, {.allow_foreign = true});
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->foreign_layers, c.foreign_layers);
    EXPECT_EQ(allowed.content().contains(layer.digest), c.foreign_layers == 0);
  }
}

TEST(CopyImage, TakesReferrersAlong) {
  KnownSource source;
  const oci::Descriptor image = AddImage(source, "one");
  const auto attach = [&source](const oci::Descriptor& subject, const std::string& what) {
    oci::Manifest manifest{.media_type = std::string(oci::media_type::kOciManifest),
                           .config = source.Add("application/vnd.oci.empty.v1+json", AsBytes("{}")),
                           .layers = {source.Add("application/vnd.test", AsBytes(what))},
                           .subject = subject,
                           .artifact_type = "application/vnd.test"};
    const oci::Descriptor artifact = source.Add(manifest);
    source.referrers[subject.digest].push_back(artifact);
    return artifact;
  };
  const oci::Descriptor sbom = attach(image, "sbom");
  const oci::Descriptor signature = attach(sbom, "signature of the sbom");
  source.SetTop(image);
  MemoryImageDestination without;
  EXPECT_EQ(Copy(source, without)->referrers, 0u);
  MemoryImageDestination with;
  const auto report = Copy(source, with, {.referrers = true});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->referrers, 2u);
  EXPECT_THAT(with.manifests_in_order(), ElementsAre(sbom.digest, signature.digest, image.digest));
}

TEST(CopyImage, AFailureLeavesTheNameAsItWas) {
  KnownSource source;
  const oci::Descriptor layer = source.Add(oci::media_type::kOciLayerGzip, AsBytes("layer"));
  const oci::Descriptor image = AddImage(source, "one", {layer});
  source.SetTop(image);
  source.Fail(layer.digest, MakeError(StatusCode::kUnavailable, "reset"));
  MemoryImageDestination destination;
  EXPECT_EQ(Copy(source, destination).status().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(destination.top().empty());
  EXPECT_TRUE(destination.manifests_in_order().empty());
}

TEST(CopyImage, IsBounded) {
  KnownSource source;
  oci::Descriptor nested = AddIndex(source, {AddImage(source, "one")});
  for (int i = 0; i < oci::kMaxIndexDepth; ++i) {
    nested = AddIndex(source, {nested});
  }
  source.SetTop(nested);
  MemoryImageDestination destination;
  EXPECT_EQ(Copy(source, destination).status().code(), StatusCode::kDataLoss);

  std::vector<oci::Descriptor> many;
  for (size_t i = 0; i < kMaxManifests; ++i) {
    many.push_back(AddImage(source, std::to_string(i)));
  }
  source.SetTop(AddIndex(source, many));
  EXPECT_EQ(Copy(source, destination).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(destination.blobs_written(), 0);

  const oci::Descriptor odd = source.Add("application/vnd.other", AsBytes("{}"));
  source.SetTop(AddIndex(source, {odd}));
  EXPECT_EQ(Copy(source, destination).status().code(), StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace starling::copy
