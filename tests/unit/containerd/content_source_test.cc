#include "containerd/content_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "containerd/content_labels.h"
#include "tests/support/fake_containerd.h"

namespace starling::containerd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_support::FakeContainerd;

constexpr const char* kName = "a.example/b:1";

oci::Descriptor DescriptorOf(std::string_view media_type, std::string_view content) {
  return {.media_type = std::string(media_type),
          .digest = oci::Digest::Of(AsBytes(content)),
          .size_bytes = content.size()};
}

class ContentSourceTest : public testing::Test {
 protected:
  oci::Descriptor Hold(std::string_view media_type, const std::string& content,
                       FakeContainerd::Labels labels = {}) {
    oci::Descriptor blob = DescriptorOf(media_type, content);
    containerd_.Change([&](FakeContainerd::State& state) {
      state.blobs[blob.digest.ToString()] = {.content = content, .labels = std::move(labels)};
    });
    return blob;
  }
  void Name(const oci::Descriptor& target) {
    containerd_.Change([&](FakeContainerd::State& state) {
      auto& image = state.images[kName];
      image.set_media_type(target.media_type);
      image.set_digest(target.digest.ToString());
      image.set_size(static_cast<int64_t>(target.size_bytes));
    });
  }

  TempDir directory_ = *TempDir::Make("/tmp", "containerd-");
  FakeContainerd containerd_{(directory_.path() / "c.sock").string()};
  Client client_{{.address = (directory_.path() / "c.sock").string(), .namespace_name = "ns"}};
  ContentSource source_{client_, kName};
};

TEST_F(ContentSourceTest, ReadsWhatContainerdHolds) {
  const std::string content(2500, 'x');  // three pieces
  const oci::Descriptor layer = Hold(oci::media_type::kOciLayerGzip, content + "end");
  const oci::Descriptor config = Hold(oci::media_type::kOciConfig, "{}");
  const oci::Manifest manifest{.media_type = std::string(oci::media_type::kOciManifest),
                               .config = config,
                               .layers = {layer}};
  const oci::Descriptor top = Hold(manifest.media_type, manifest.ToJson());
  Name(top);
  const auto image = oci::SelectImage(source_, oci::Platform::Host());
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->manifest, manifest);
  for (const uint64_t offset : {uint64_t{0}, uint64_t{2400}, layer.size_bytes}) {
    BytesSink sink;
    ASSERT_TRUE(source_.ReadBlobFrom(layer, offset, sink).ok());
    EXPECT_EQ(AsText(sink.bytes()), std::string_view(content + "end").substr(offset));
  }
  BytesSink whole;
  EXPECT_TRUE(source_.ReadBlob(layer, whole).ok());
  const auto opened = source_.OpenBlob(layer, 3);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(AsText(opened->tail), "end");
  EXPECT_EQ(AsText(*opened->reader->ReadAndWait({.blob_offset = 2499, .size_bytes = 2})), "xe");
  EXPECT_EQ(opened->reader->ReadAndWait({.blob_offset = 2499, .size_bytes = 5}).status().code(),
            StatusCode::kOutOfRange);
}

TEST_F(ContentSourceTest, SaysWhatIsMissingAndWhatHelps) {
  EXPECT_EQ(source_.ReadTopManifest().status().code(), StatusCode::kNotFound);
  oci::Descriptor other = DescriptorOf(oci::media_type::kOciManifest, "other");
  other.platform = oci::Platform{.os = "linux", .architecture = "arm64"};
  const Status manifest = source_.ReadManifest(other).status();
  EXPECT_EQ(manifest.code(), StatusCode::kNotFound);
  EXPECT_THAT(Describe(manifest),
              testing::AllOf(HasSubstr(kName), HasSubstr("linux/arm64"), HasSubstr("--platform")));
  BytesSink sink;
  const Status layer = source_.ReadBlob(DescriptorOf("type", "lazy"), sink);
  EXPECT_EQ(layer.code(), StatusCode::kNotFound);
  EXPECT_THAT(Describe(layer), HasSubstr("starling copy"));
}

TEST_F(ContentSourceTest, ChecksDigests) {
  const oci::Descriptor blob = DescriptorOf("type", "what was promised");
  containerd_.Change([&](FakeContainerd::State& state) {
    state.blobs[blob.digest.ToString()] = {.content = "what is there now"};
  });
  BytesSink sink;
  EXPECT_EQ(source_.ReadBlob(blob, sink).code(), StatusCode::kDataLoss);
}

TEST_F(ContentSourceTest, KnowsWhereABlobCameFrom) {
  const oci::Descriptor blob =
      Hold("type", "content",
           {{"containerd.io/distribution.source.a.example", "one/a,,two"},
            {"containerd.io/distribution.source.docker.io", "library/debian"},
            {"containerd.io/uncompressed", "sha256:0"}});
  EXPECT_THAT(source_.OriginsOf(blob), ElementsAre(oci::BlobOrigin{"a.example", "one/a"},
                                                   oci::BlobOrigin{"a.example", "two"},
                                                   oci::BlobOrigin{"docker.io", "library/debian"}));
  EXPECT_TRUE(source_.OriginsOf(DescriptorOf("type", "nowhere")).empty());
}

TEST(OriginLabelOf, HasNoPort) {
  const struct {
    const char* domain;
    const char* host;
  } cases[] = {{"docker.io", "docker.io"},
               {"127.0.0.1:5000", "127.0.0.1"},
               {"[::1]:5000", "::1"},
               {"[::1]", "::1"}};
  for (const auto& c : cases) {
    EXPECT_EQ(OriginLabelOf(c.domain), "containerd.io/distribution.source." + std::string(c.host));
  }
}

}  // namespace
}  // namespace starling::containerd
