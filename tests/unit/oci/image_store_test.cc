#include "oci/image_store.h"

#include <gtest/gtest.h>

#include "tests/support/memory_image.h"

namespace starling::oci {
namespace {

using testing_support::MemoryImageSource;

const Platform kAmd64{.os = "linux", .architecture = "amd64"};
const Platform kArm64{.os = "linux", .architecture = "arm64"};

Descriptor AddManifest(MemoryImageSource& source, std::string_view config) {
  Manifest manifest;
  manifest.media_type = media_type::kOciManifest;
  manifest.config = source.Add(media_type::kOciConfig, AsBytes(config));
  return source.Add(manifest);
}

Descriptor AddIndex(MemoryImageSource& source, std::vector<Descriptor> entries) {
  Index index;
  index.media_type = media_type::kOciIndex;
  index.manifests = std::move(entries);
  return source.Add(index);
}

Descriptor On(Descriptor descriptor, const Platform& platform) {
  descriptor.platform = platform;
  return descriptor;
}

TEST(SelectImage, TakesAManifestAsItIs) {
  MemoryImageSource source;
  const Descriptor image = AddManifest(source, "config");
  source.SetTop(image);
  const auto selected = SelectImage(source, kAmd64);
  ASSERT_TRUE(selected.ok()) << selected.status();
  EXPECT_EQ(selected->target, image);
  EXPECT_EQ(selected->raw_manifest.digest, image.digest);
  EXPECT_EQ(selected->manifest.config.digest, Digest::Of(AsBytes("config")));
  EXPECT_EQ(source.manifests_read(), 1);
}

TEST(SelectImage, FollowsIndexesToThePlatform) {
  MemoryImageSource source;
  const Descriptor amd64 = AddManifest(source, "amd64");
  const Descriptor arm64 = AddManifest(source, "arm64");
  const Descriptor inner = AddIndex(source, {On(amd64, kAmd64), On(arm64, kArm64)});
  const Descriptor top = AddIndex(source, {AddIndex(source, {inner})});
  source.SetTop(top);
  const auto selected = SelectImage(source, kArm64);
  ASSERT_TRUE(selected.ok()) << selected.status();
  EXPECT_EQ(selected->target, top);
  EXPECT_EQ(selected->raw_manifest.digest, arm64.digest);
  EXPECT_EQ(source.manifests_read(), 4) << "three indexes and the manifest";
}

TEST(SelectImage, LooksIntoTheNextIndexWhenOneHasNothing) {
  MemoryImageSource source;
  const Descriptor first = AddIndex(source, {On(AddManifest(source, "arm64"), kArm64)});
  const Descriptor amd64 = AddManifest(source, "amd64");
  const Descriptor second = AddIndex(source, {On(amd64, kAmd64)});
  source.SetTop(AddIndex(source, {first, second}));
  const auto selected = SelectImage(source, kAmd64);
  ASSERT_TRUE(selected.ok()) << selected.status();
  EXPECT_EQ(selected->raw_manifest.digest, amd64.digest);
}

TEST(SelectImage, BoundsWhatItFollows) {
  MemoryImageSource source;
  Descriptor nested = AddManifest(source, "config");
  for (int i = 0; i < 4; ++i) {
    nested = AddIndex(source, {nested});
  }
  source.SetTop(nested);
  EXPECT_EQ(SelectImage(source, kAmd64).status().code(), StatusCode::kDataLoss);

  MemoryImageSource wide;
  std::vector<Descriptor> entries;
  for (int i = 0; i < 100; ++i) {
    entries.push_back(AddIndex(wide, {On(AddManifest(wide, fmt::format("config {}", i)), kArm64)}));
  }
  wide.SetTop(AddIndex(wide, entries));
  EXPECT_EQ(SelectImage(wide, kAmd64).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(wide.manifests_read(), 17) << "the top and 16 below it";
}

TEST(SelectImage, ReportsAPlatformThatIsNotThere) {
  MemoryImageSource source;
  source.SetTop(AddIndex(source, {On(AddManifest(source, "config"), kArm64)}));
  const Status status = SelectImage(source, kAmd64).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_EQ(MessageOf(status), "memory: no image for linux/amd64; there is linux/arm64");
}

TEST(ImageSource, ReadsFromAnOffsetAsWell) {
  MemoryImageSource source;
  const Descriptor blob = source.Add("type", AsBytes("0123456789"));
  for (const uint64_t offset : {0, 4, 10, 99}) {
    BytesSink sink;
    ASSERT_TRUE(source.ReadBlobFrom(blob, offset, sink).ok());
    EXPECT_EQ(AsText(sink.bytes()),
              std::string_view("0123456789").substr(std::min<uint64_t>(offset, 10)));
  }
  EXPECT_EQ(source.ReadReferrers(blob.digest).status().code(), StatusCode::kUnimplemented);
  EXPECT_TRUE(source.OriginsOf(blob).empty());
}

TEST(StreamOf, StartsAnywhere) {
  for (const uint64_t offset : {0, 4, 10, 99}) {
    const auto stream = StreamOf(AsBytes("0123456789"))(offset);
    ASSERT_TRUE(stream.ok());
    EXPECT_EQ(AsText(*ReadAll(**stream, 100)),
              std::string_view("0123456789").substr(std::min<uint64_t>(offset, 10)));
  }
}

}  // namespace
}  // namespace starling::oci
