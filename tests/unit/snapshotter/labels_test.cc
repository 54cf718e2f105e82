#include "snapshotter/labels.h"

#include <gtest/gtest.h>

#include <string>

#include "oci/descriptor.h"
#include "tests/support/snapshot_fixture.h"

namespace starling::snapshotter {
namespace {

using testing_support::kLayerDigest;
using testing_support::kTocDigest;
using testing_support::LazyLabels;

const std::string kOther = "sha256:" + std::string(64, 'c');
const std::string kThird = "sha256:" + std::string(64, 'd');

oci::Digest DigestOf(const std::string& text) { return *oci::Digest::Parse(text); }

TEST(LayerRequestFromLabels, ReadsTheLabelsOfCri) {
  Labels labels = LazyLabels("chain");
  labels["containerd.io/snapshot/cri.image-layers"] = kLayerDigest + "," + kOther + "," + kThird;
  const auto request = LayerRequestFromLabels(labels);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->image_reference, "docker.io/library/x:1");
  EXPECT_EQ(request->layer, DigestOf(kLayerDigest));
  EXPECT_EQ(request->toc, DigestOf(kTocDigest));
  EXPECT_EQ(request->image_layers,
            (std::vector<oci::Digest>{DigestOf(kLayerDigest), DigestOf(kOther), DigestOf(kThird)}));
}

TEST(LayerRequestFromLabels, ReadsWhichLayersCanBeLazy) {
  using Layers = std::vector<std::pair<oci::Digest, oci::Digest>>;
  const std::string pair = kLayerDigest + "=" + kTocDigest;
  const Layers one = {{DigestOf(kLayerDigest), DigestOf(kTocDigest)}};
  std::string too_many = pair;
  for (int i = 0; i < 128; ++i) {
    too_many += "," + pair;
  }
  const struct {
    std::string_view name;
    std::string label;
    Layers want;
  } cases[] = {
      {.name = "none", .label = "", .want = {}},
      {.name = "one", .label = pair, .want = one},
      {.name = "two",
       .label = pair + "," + kOther + "=" + kThird,
       .want = {one[0], {DigestOf(kOther), DigestOf(kThird)}}},
      {.name = "without a TOC", .label = kLayerDigest, .want = {}},
      {.name = "with an empty TOC", .label = kLayerDigest + "=", .want = {}},
      {.name = "one that is no digest", .label = pair + ",x=y", .want = {}},
      {.name = "an empty one", .label = pair + ",," + pair, .want = {}},
      {.name = "too many", .label = too_many, .want = {}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Labels labels = LazyLabels("chain");
    labels["containerd.io/snapshot/starling/lazy-layers"] = c.label;
    EXPECT_EQ(LayerRequestFromLabels(labels)->lazy_layers, c.want);
  }
}

TEST(LayerRequestFromLabels, ReadsWhoReads) {
  const struct {
    std::string_view name;
    Labels more;
    Reader want;
  } cases[] = {
      {.name = "nobody says", .more = {}, .want = Reader::kContainer},
      {.name = "a build",
       .more = {{"containerd.io/snapshot/starling/for", "build"}},
       .want = Reader::kBuild},
      {.name = "something unknown",
       .more = {{"containerd.io/snapshot/starling/for", "fun"}},
       .want = Reader::kContainer},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Labels labels = LazyLabels("chain");
    labels.insert(c.more.begin(), c.more.end());
    EXPECT_EQ(LayerRequestFromLabels(labels)->reader, c.want);
    EXPECT_EQ(ReaderOf(c.more), c.want);
  }
}

TEST(LayerRequestFromLabels, ReadsHowMuchToPrefetch) {
  const struct {
    std::string_view name;
    std::string label;
    std::optional<uint64_t> want;
  } cases[] = {
      {.name = "a number", .label = "10485760", .want = 10485760},
      {.name = "nothing", .label = "0", .want = 0},
      {.name = "negative", .label = "-1", .want = {}},
      {.name = "with a unit", .label = "10M", .want = {}},
      {.name = "too large", .label = "99999999999999999999", .want = {}},
      {.name = "empty", .label = "", .want = {}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Labels labels = LazyLabels("chain");
    labels["containerd.io/snapshot/remote/stargz.prefetch"] = c.label;
    const auto request = LayerRequestFromLabels(labels);
    ASSERT_TRUE(request.ok()) << request.status();
    EXPECT_EQ(request->prefetch_bytes, c.want);
  }
}

TEST(LayerRequestFromLabels, ReadsTheLabelsOfStargz) {
  const auto request = LayerRequestFromLabels(
      {{"containerd.io/snapshot/remote/stargz.reference", "ghcr.io/y:2"},
       {"containerd.io/snapshot/remote/stargz.digest", kOther},
       {"containerd.io/snapshot/remote/stargz.layers", kThird + "," + kOther},
       {"containerd.io/snapshot/stargz/toc.digest", kTocDigest}});
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->image_reference, "ghcr.io/y:2");
  EXPECT_EQ(request->layer, DigestOf(kOther));
  EXPECT_EQ(request->image_layers, (std::vector<oci::Digest>{DigestOf(kThird), DigestOf(kOther)}));
}

TEST(LayerRequestFromLabels, PrefersCriWhenBothAreThere) {
  Labels labels = LazyLabels("chain");
  labels["containerd.io/snapshot/remote/stargz.reference"] = "ghcr.io/y:2";
  labels["containerd.io/snapshot/remote/stargz.digest"] = kOther;
  EXPECT_EQ(LayerRequestFromLabels(labels)->layer, DigestOf(kLayerDigest));
}

TEST(LayerRequestFromLabels, SaysWhyALayerIsNotLazy) {
  const auto with = [](const std::string& key, const std::string& value) {
    Labels labels = LazyLabels("chain");
    labels[key] = value;
    return labels;
  };
  const struct {
    std::string_view name;
    Labels labels;
    StatusCode want;
    std::string_view message;
  } cases[] = {
      {"no labels", {}, StatusCode::kNotFound, "no label names the image"},
      {"TOC digest of another algorithm",
       with(std::string(oci::annotation::kTocDigest), "sha512:" + std::string(128, '0')),
       StatusCode::kUnimplemented, "toc.digest"},
      {"no digest of the layer", with("containerd.io/snapshot/cri.layer-digest", ""),
       StatusCode::kNotFound, "no label names the image"},
      {"a layer digest that climbs", with("containerd.io/snapshot/cri.layer-digest", "../../etc"),
       StatusCode::kInvalidArgument, "cri.layer-digest"},
      {"a reference with a line break", with("containerd.io/snapshot/cri.image-ref", "x\ny"),
       StatusCode::kInvalidArgument, "cri.image-ref"},
      {"a reference without end",
       with("containerd.io/snapshot/cri.image-ref", std::string(5000, 'x')),
       StatusCode::kInvalidArgument, "cri.image-ref"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const Status status = LayerRequestFromLabels(c.labels).status();
    EXPECT_EQ(status.code(), c.want);
    EXPECT_NE(MessageOf(status).find(c.message), std::string_view::npos) << status;
  }
}

TEST(LayerRequestFromLabels, TakesTheDigestOfACompressedTocWhenThereIsNoOther) {
  Labels labels = LazyLabels("chain");
  labels[std::string(oci::kCompressedTocLabel)] = kOther;
  EXPECT_EQ(LayerRequestFromLabels(labels)->toc, DigestOf(kTocDigest));
  EXPECT_EQ(LayerRequestFromLabels(labels)->toc_of, oci::TocDigestOf::kJson);
  labels.erase(std::string(oci::annotation::kTocDigest));
  EXPECT_EQ(LayerRequestFromLabels(labels)->toc, DigestOf(kOther));
  EXPECT_EQ(LayerRequestFromLabels(labels)->toc_of, oci::TocDigestOf::kCompressed);
  labels[std::string(oci::kCompressedTocLabel)] = "sha256:1";
  EXPECT_EQ(LayerRequestFromLabels(labels).status().code(), StatusCode::kInvalidArgument);
}

TEST(LayerRequestFromLabels, ALayerWithoutATocDigestIsPlain) {
  Labels labels = LazyLabels("chain");
  EXPECT_FALSE(oci::IsPlain(DigestOf(kLayerDigest), LayerRequestFromLabels(labels)->toc));
  labels[std::string(oci::annotation::kTocDigest)] = "";
  const auto request = LayerRequestFromLabels(labels);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_TRUE(oci::IsPlain(request->layer, request->toc));
}

TEST(LayerRequestFromLabels, LeavesOutNeighboursThatAreNoDigests) {
  Labels labels = LazyLabels("chain");
  std::string list = "nonsense,," + kOther + "," + kOther + ",sha256:12,";
  labels["containerd.io/snapshot/cri.image-layers"] = list;
  EXPECT_EQ(LayerRequestFromLabels(labels)->image_layers,
            (std::vector<oci::Digest>{DigestOf(kLayerDigest), DigestOf(kOther)}));
}

TEST(LayerRequestFromLabels, BoundsTheNeighbours) {
  Labels labels = LazyLabels("chain");
  std::string list;
  for (int i = 0; i < 1000; ++i) {
    list += fmt::format("sha256:{:064x},", i);
  }
  labels["containerd.io/snapshot/cri.image-layers"] = list;
  EXPECT_EQ(LayerRequestFromLabels(labels)->image_layers.size(), 129U);
}

TEST(SnapshotRefOf, IsNoneWithoutAValue) {
  EXPECT_EQ(SnapshotRefOf({}), std::nullopt);
  EXPECT_EQ(SnapshotRefOf({{"containerd.io/snapshot.ref", ""}}), std::nullopt);
  EXPECT_EQ(SnapshotRefOf({{"containerd.io/snapshot.ref", "sha256:1"}}), "sha256:1");
}

TEST(ChainIdOf, IsTheRefOrTheName) {
  const std::string chain = "sha256:" + std::string(64, 'c');
  const std::string other = "sha256:" + std::string(64, 'd');
  const struct {
    std::string_view name;
    Info snapshot;
    std::optional<oci::Digest> want;
  } cases[] = {
      {"a lazy layer",
       {.name = RemoteSnapshotName(chain, ""), .labels = {{"containerd.io/snapshot.ref", chain}}},
       DigestOf(chain)},
      {"unpacked by containerd", {.name = "default/12/" + chain}, DigestOf(chain)},
      {"with no namespace", {.name = chain}, DigestOf(chain)},
      {"the ref counts before the name",
       {.name = "default/12/" + chain, .labels = {{"containerd.io/snapshot.ref", other}}},
       DigestOf(other)},
      {"of a client without names of its own",
       {.name = "standalone/1f/" + chain,
        .labels = {{"containerd.io/snapshot.ref", "standalone/1f/" + chain}}},
       DigestOf(chain)},
      {"committed by a builder", {.name = "default/3/my-container"}, std::nullopt},
      {"a ref that is no digest",
       {.name = chain, .labels = {{"containerd.io/snapshot.ref", "sha256:1"}}},
       std::nullopt},
      {"no name", {}, std::nullopt},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(ChainIdOf(c.snapshot), c.want);
  }
}

TEST(RemoteSnapshotName, DependsOnRefAndParent) {
  EXPECT_EQ(RemoteSnapshotName("sha256:1", ""), "remote/sha256:1/e3b0c44298fc1c14");
  EXPECT_NE(RemoteSnapshotName("sha256:1", "p"), RemoteSnapshotName("sha256:1", "q"));
  EXPECT_NE(RemoteSnapshotName("sha256:1", "p"), RemoteSnapshotName("sha256:2", "p"));
  EXPECT_EQ(RemoteSnapshotName("standalone/1f/sha256:1", "p"), "standalone/1f/sha256:1");
}

}  // namespace
}  // namespace starling::snapshotter
