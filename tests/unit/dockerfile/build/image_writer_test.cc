#include "dockerfile/build/image_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "tests/support/fake_containerd.h"
#include "tests/support/memory_image.h"

namespace starling::dockerfile::build {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing_support::FakeContainerd;

const oci::Platform kPlatform{.os = "linux", .architecture = "amd64"};

Layer LayerOf(const std::string& name, std::string_view type, int64_t created) {
  return {.blob = {.media_type = std::string(type),
                   .digest = oci::Digest::Of(AsBytes(name)),
                   .size_bytes = name.size(),
                   .annotations = {{"kept", name}}},
          .diff_id = oci::Digest::Of(AsBytes("diff " + name)),
          .created = std::chrono::sys_seconds(std::chrono::seconds(created))};
}

Tree SomeTree() {
  Tree tree{.layers = {LayerOf("base", oci::media_type::kDockerLayerGzip, 0),
                       LayerOf("own", oci::media_type::kOciLayerGzip, 86400)}};
  tree.layers[0].origin = "r.test/base:1";
  tree.snapshot = "sha256:top";
  return tree;
}

TEST(DescribeImage, IsTheSameForTheSame) {
  const plan::ImageDraft draft = plan::ImageDraft::Scratch(kPlatform);
  const auto image = DescribeImage(draft, SomeTree(), {});
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->manifest.digest, DescribeImage(draft, SomeTree(), {})->manifest.digest);
  EXPECT_EQ(image->parsed.layers[0].media_type, oci::media_type::kOciLayerGzip);
  EXPECT_EQ(image->parsed.layers[1].annotations.at("kept"), "own");
  EXPECT_EQ(image->parsed.config.digest, oci::Digest::Of(AsBytes(image->config)));
  // The latest layer's time.
  EXPECT_THAT(image->config, HasSubstr("1970-01-02T00:00:00Z"));
}

TEST(DescribeImage, HasTheTimeAndTheAnnotationsThatItIsTold) {
  const auto image = DescribeImage(
      plan::ImageDraft::Scratch(kPlatform), SomeTree(),
      {.annotations = {{"a", "b"}}, .created = std::chrono::sys_seconds(std::chrono::seconds(5))});
  EXPECT_THAT(image->config, HasSubstr("1970-01-01T00:00:05Z"));
  EXPECT_EQ(image->parsed.annotations.at("a"), "b");
}

TEST(DescribeImage, SpeaksDockersLanguageWhereThatHasTheWords) {
  const plan::ImageDraft draft = plan::ImageDraft::Scratch(kPlatform);
  const auto image = DescribeImage(draft, SomeTree(), {.docker_media_types = true});
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->parsed.media_type, oci::media_type::kDockerManifest);
  EXPECT_EQ(image->parsed.layers[1].media_type, oci::media_type::kDockerLayerGzip);
  Tree zstd = SomeTree();
  zstd.layers[1].blob.media_type = oci::media_type::kOciLayerZstd;
  EXPECT_EQ(DescribeImage(draft, zstd, {.docker_media_types = true}).status().code(),
            StatusCode::kInvalidArgument);
}

TEST(DescribeIndex, NamesEachImageWithItsPlatform) {
  const auto one = DescribeImage(plan::ImageDraft::Scratch(kPlatform), SomeTree(), {});
  const auto other = DescribeImage(
      plan::ImageDraft::Scratch({.os = "linux", .architecture = "386"}), SomeTree(), {});
  const oci::RawManifest index = DescribeIndex({*one, *other}, {});
  const auto parsed = oci::Index::Parse(index.bytes, index.media_type);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ASSERT_EQ(parsed->manifests.size(), 2u);
  EXPECT_EQ(parsed->manifests[0].platform->ToString(), "linux/amd64");
  EXPECT_EQ(parsed->manifests[1].digest, other->manifest.digest);
}

class StoredImageTest : public ::testing::Test {
 protected:
  TempDir directory_ = *TempDir::Make("/tmp", "image-writer-");
  std::string socket_ = (directory_.path() / "c.sock").string();
  FakeContainerd containerd_{socket_};
  containerd::Client client_{{.address = socket_, .namespace_name = "ns"}};
  std::vector<BuiltImage> images_ = {
      *DescribeImage(plan::ImageDraft::Scratch(kPlatform), SomeTree(), {})};
};

TEST_F(StoredImageTest, RefersToWhatItConsistsOf) {
  ASSERT_TRUE(StoreImage(client_, "stargz", "app:1", images_, {}).ok());
  const FakeContainerd::State state = containerd_.state();
  EXPECT_EQ(state.images.at("app:1").digest(), images_[0].manifest.digest.ToString());
  const auto labels_of = [&](const oci::Digest& digest) {
    return state.blobs.at(digest.ToString()).labels;
  };
  EXPECT_EQ(labels_of(images_[0].parsed.config.digest).at("containerd.io/gc.ref.snapshot.stargz"),
            "sha256:top");
  const auto labels = labels_of(images_[0].manifest.digest);
  EXPECT_EQ(labels.at("containerd.io/gc.ref.content.config"),
            images_[0].parsed.config.digest.ToString());
  EXPECT_EQ(labels.at("containerd.io/gc.ref.content.l.1"),
            images_[0].parsed.layers[1].digest.ToString());
}

TEST_F(StoredImageTest, ReadsOwnLayersHereAndThoseOfItsBaseThere) {
  auto base = std::make_shared<testing_support::MemoryImageSource>();
  oci::Manifest manifest;
  manifest.media_type = oci::media_type::kOciManifest;
  manifest.layers = {base->Add(oci::media_type::kDockerLayerGzip, AsBytes("base"))};
  manifest.config = base->Add(
      oci::media_type::kOciConfig,
      AsBytes(fmt::format(
          R"({{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":["{}"]}}}})",
          oci::Digest::Of(AsBytes("diff base")).ToString())));
  base->SetTop(base->Add(manifest));
  BaseImages bases([&](const std::string&) -> StatusOr<std::shared_ptr<oci::ImageSource>> {
    return std::shared_ptr<oci::ImageSource>(base);
  });
  ASSERT_TRUE(bases.ResolveImage("ghcr.io/me/base:1", kPlatform).ok());
  const auto& layers = images_[0].parsed.layers;
  ASSERT_TRUE(client_.PutContent(layers[1], AsBytes("own"), {}).ok());

  const std::optional<oci::RawManifest> no_index;
  const auto image = OpenImage(client_, bases, images_, no_index);
  EXPECT_EQ(image->ReadTopManifest()->digest, images_[0].manifest.digest);
  const auto read = [&](const oci::Descriptor& blob, uint64_t from) {
    BytesSink sink;
    EXPECT_TRUE(image->ReadBlobFrom(blob, from, sink).ok());
    return std::string(AsText(sink.bytes()));
  };
  EXPECT_EQ(read(layers[1], 1), "wn");
  BytesSink whole;
  ASSERT_TRUE(image->ReadBlob(layers[0], whole).ok());
  EXPECT_EQ(AsText(whole.bytes()), "base");
  EXPECT_EQ(read(images_[0].parsed.config, 0), images_[0].config);
  EXPECT_THAT(image->OriginsOf(layers[0]),
              ElementsAre(oci::BlobOrigin{.registry = "ghcr.io", .repository = "me/base"},
                          oci::BlobOrigin{.registry = "r.test", .repository = "base"}));
  EXPECT_THAT(image->OriginsOf(layers[1]), IsEmpty());
}

TEST_F(StoredImageTest, ReadsWhatAnEarlierBuildTookFromACacheThere) {
  auto cache = std::make_shared<testing_support::MemoryImageSource>();
  const oci::Descriptor layer = cache->Add(oci::media_type::kDockerLayerGzip, AsBytes("base"));
  std::vector<std::string> opened;
  BaseImages nothing([&](const std::string& name) -> StatusOr<std::shared_ptr<oci::ImageSource>> {
    opened.push_back(name);
    return std::shared_ptr<oci::ImageSource>(cache);
  });
  const std::optional<oci::RawManifest> no_index;
  const auto image = OpenImage(client_, nothing, images_, no_index);
  for (int i = 0; i < 2; ++i) {
    BytesSink sink;
    ASSERT_TRUE(image->ReadBlob(layer, sink).ok());
    EXPECT_EQ(AsText(sink.bytes()), "base");
  }
  EXPECT_THAT(opened, ElementsAre("r.test/base:1"));
}

}  // namespace
}  // namespace starling::dockerfile::build
