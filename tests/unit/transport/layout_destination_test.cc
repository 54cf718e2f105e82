#include "transport/layout_destination.h"

#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "oci/manifest.h"
#include "tests/support/read_whole.h"
#include "transport/layout_source.h"

namespace starling::transport {
namespace {

using testing_support::ReadWhole;

namespace fs = std::filesystem;

class LayoutDestinationTest : public ::testing::Test {
 protected:
  fs::path layout() const { return dir_.path() / "layout"; }

  static oci::ImageDestination::OpenStream StreamOf(std::string_view content) {
    return oci::StreamOf(AsBytes(content));
  }
  static oci::Descriptor Described(std::string_view content) {
    return {.media_type = std::string(oci::media_type::kOciConfig),
            .digest = oci::Digest::Of(AsBytes(content)),
            .size_bytes = content.size()};
  }
  static oci::RawManifest ManifestOf(const oci::Descriptor& config) {
    oci::Manifest manifest;
    manifest.media_type = oci::media_type::kOciManifest;
    manifest.config = config;
    const Bytes bytes = ToBytes(manifest.ToJson());
    return {.media_type = manifest.media_type, .digest = oci::Digest::Of(bytes), .bytes = bytes};
  }
  /// Writes an image whose config is `config`; returns the digest of its manifest.
  static StatusOr<oci::Digest> WriteImage(oci::ImageDestination& to, std::string_view config) {
    RETURN_IF_ERROR(to.WriteBlob(Described(config), StreamOf(config)));
    const oci::RawManifest manifest = ManifestOf(Described(config));
    RETURN_IF_ERROR(to.WriteTopManifest(manifest));
    return manifest.digest;
  }
  static StatusOr<oci::Digest> TopOf(std::shared_ptr<const MemberFiles> files,
                                     const std::string& tag) {
    ASSIGN_OR_RETURN(const auto source, LayoutSource::Open(std::move(files), tag, "test"));
    ASSIGN_OR_RETURN(const oci::RawManifest top, source->ReadTopManifest());
    return top.digest;
  }
  StatusOr<oci::Digest> TopOf(const std::string& tag) const {
    return TopOf(std::make_shared<DirectoryFiles>(layout()), tag);
  }
  size_t FilesIn(const fs::path& directory) const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
  }

  TempDir dir_ = *TempDir::Make(fs::temp_directory_path(), "layout-");
};

TEST_F(LayoutDestinationTest, WritesALayout) {
  auto destination = LayoutDestination::Open(layout(), "v1");
  ASSERT_TRUE(destination.ok()) << destination.status();
  EXPECT_FALSE(fs::exists(layout())) << "nothing is made before something is written";
  const auto written = WriteImage(**destination, "config");
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(ReadWhole(layout() / "oci-layout"), R"({"imageLayoutVersion":"1.0.0"})");
  EXPECT_EQ(ReadWhole(layout() / "blobs/sha256" / Described("config").digest.Hex()), "config");
  EXPECT_EQ(*TopOf("v1"), *written);
  EXPECT_EQ(FilesIn(layout() / "blobs/sha256"), 2U) << "no unfinished file stays";
  EXPECT_EQ(FilesIn(layout()), 3U);
}

TEST_F(LayoutDestinationTest, KeepsOtherTagsAndReplacesItsOwn) {
  const auto first = WriteImage(**LayoutDestination::Open(layout(), "v1"), "1");
  const auto second = WriteImage(**LayoutDestination::Open(layout(), "v2"), "2");
  const auto untagged = WriteImage(**LayoutDestination::Open(layout(), ""), "3");
  const auto again = WriteImage(**LayoutDestination::Open(layout(), "v1"), "4");
  ASSERT_TRUE(first.ok() && second.ok() && untagged.ok() && again.ok());
  EXPECT_EQ(*TopOf("v1"), *again);
  EXPECT_EQ(*TopOf("v2"), *second);
  const auto index = oci::Index::Parse(AsBytes(ReadWhole(layout() / "index.json")), "");
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(index->manifests.size(), 3U);
}

TEST_F(LayoutDestinationTest, KeepsWhatItDoesNotUnderstandInTheIndex) {
  ASSERT_TRUE(WriteImage(**LayoutDestination::Open(layout(), "v1"), "1").ok());
  std::string index = ReadWhole(layout() / "index.json");
  index.insert(index.size() - 1, R"(,"org.example":{"kept":true})");
  std::ofstream(layout() / "index.json", std::ios::trunc) << index;
  ASSERT_TRUE(WriteImage(**LayoutDestination::Open(layout(), "v2"), "2").ok());
  EXPECT_NE(ReadWhole(layout() / "index.json").find(R"("org.example":{"kept":true})"),
            std::string::npos);
}

TEST_F(LayoutDestinationTest, ReferrersAreFoundAndStay) {
  const auto referrer_of = [](const oci::RawManifest& subject, std::string_view config) {
    oci::Manifest manifest;
    manifest.media_type = oci::media_type::kOciManifest;
    manifest.config = Described(config);
    manifest.subject = oci::Descriptor{.media_type = subject.media_type,
                                       .digest = subject.digest,
                                       .size_bytes = subject.bytes.size()};
    manifest.artifact_type = "application/x.sbom";
    manifest.annotations[std::string(oci::annotation::kRefName)] = "v1";
    const Bytes bytes = ToBytes(manifest.ToJson());
    return oci::RawManifest{
        .media_type = manifest.media_type, .digest = oci::Digest::Of(bytes), .bytes = bytes};
  };
  const oci::RawManifest image = ManifestOf(Described("1"));
  const oci::RawManifest about = referrer_of(image, "about");
  for (const char* tag : {"", "v1", ""}) {
    const auto to = *LayoutDestination::Open(layout(), tag);
    ASSERT_TRUE(to->WriteBlob(Described("1"), StreamOf("1")).ok());
    ASSERT_TRUE(to->WriteBlob(Described("about"), StreamOf("about")).ok());
    ASSERT_TRUE(to->WriteManifest(about).ok());
    ASSERT_TRUE(to->WriteTopManifest(image).ok());
  }
  const auto other = WriteImage(**LayoutDestination::Open(layout(), ""), "2");
  ASSERT_TRUE(other.ok());
  const auto index = oci::Index::Parse(AsBytes(ReadWhole(layout() / "index.json")), "");
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(index->manifests.size(), 3U) << "the referrer once, v1, and the one without a name";
  EXPECT_EQ(*TopOf("v1"), image.digest) << "not what a referrer's annotation calls itself";
  const auto source = LayoutSource::Open(std::make_shared<DirectoryFiles>(layout()), "v1", "test");
  const auto referrers = (*source)->ReadReferrers(image.digest);
  ASSERT_TRUE(referrers.ok()) << referrers.status();
  ASSERT_EQ(referrers->size(), 1U);
  EXPECT_EQ(referrers->front().digest, about.digest);
  EXPECT_EQ(referrers->front().artifact_type, "application/x.sbom");
}

TEST_F(LayoutDestinationTest, TwoWritersLoseNothing) {
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 2; ++writer) {
    writers.emplace_back([&, writer] {
      for (int i = 0; i < 10; ++i) {
        const std::string name = fmt::format("v{}-{}", writer, i);
        EXPECT_TRUE(WriteImage(**LayoutDestination::Open(layout(), name), name).ok());
      }
    });
  }
  for (std::thread& writer : writers) {
    writer.join();
  }
  const auto index = oci::Index::Parse(AsBytes(ReadWhole(layout() / "index.json")), "");
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(index->manifests.size(), 20U);
}

TEST_F(LayoutDestinationTest, RefusesContentOfAnotherDigestOrSize) {
  const auto destination = *LayoutDestination::Open(layout(), "v1");
  EXPECT_EQ(destination->WriteBlob(Described("abc"), StreamOf("abd")).code(),
            StatusCode::kDataLoss);
  EXPECT_EQ(destination->WriteBlob(Described("abc"), StreamOf("abcd")).code(),
            StatusCode::kDataLoss);
  EXPECT_FALSE(*destination->HasBlob(Described("abc")));
  EXPECT_EQ(FilesIn(layout() / "blobs/sha256"), 0U) << "no unfinished file stays";
  EXPECT_FALSE(fs::exists(layout() / "index.json"));
}

TEST_F(LayoutDestinationTest, DoesNotReadWhatItHas) {
  const auto destination = *LayoutDestination::Open(layout(), "v1");
  ASSERT_TRUE(destination->WriteBlob(Described("abc"), StreamOf("abc")).ok());
  int opened = 0;
  EXPECT_TRUE(destination
                  ->WriteBlob(Described("abc"),
                              [&](uint64_t) -> StatusOr<std::unique_ptr<ByteSource>> {
                                ++opened;
                                return MakeError(StatusCode::kInternal, "opened");
                              })
                  .ok());
  EXPECT_EQ(opened, 0);
  EXPECT_TRUE(*destination->HasBlob(Described("abc")));
}

TEST_F(LayoutDestinationTest, RefusesADirectoryOfSomethingElse) {
  std::ofstream(dir_.path() / "precious") << "x";
  EXPECT_EQ(LayoutDestination::Open(dir_.path(), "").status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(LayoutDestination::Open(dir_.path() / "precious", "").status().code(),
            StatusCode::kFailedPrecondition);
}

TEST_F(LayoutDestinationTest, ArchiveAppearsWholeAndIsReproducible) {
  const fs::path file = dir_.path() / "image.tar";
  std::string bytes;
  for (int run = 0; run < 2; ++run) {
    const auto destination = ArchiveDestination::Open(file, "v1");
    ASSERT_TRUE(destination.ok()) << destination.status();
    ASSERT_TRUE((*destination)->WriteBlob(Described("config"), StreamOf("config")).ok());
    EXPECT_EQ(fs::exists(file), run == 1) << "the target stays as it was until the end";
    ASSERT_TRUE((*destination)->WriteTopManifest(ManifestOf(Described("config"))).ok());
    auto files = TarFiles::Open(file);
    ASSERT_TRUE(files.ok()) << files.status();
    EXPECT_EQ(*TopOf(std::shared_ptr<const MemberFiles>(std::move(*files)), "v1"),
              ManifestOf(Described("config")).digest);
    EXPECT_TRUE(run == 0 || ReadWhole(file) == bytes);
    bytes = ReadWhole(file);
  }
  EXPECT_EQ(FilesIn(dir_.path()), 1U) << "no staging directory stays";
}

}  // namespace
}  // namespace starling::transport
