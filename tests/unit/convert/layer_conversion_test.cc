#include "convert/layer_conversion.h"

#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "tests/support/gunzip.h"
#include "tests/support/memory_image.h"
#include "tests/support/read_whole.h"
#include "tests/support/tar_text.h"

namespace starling::convert {
namespace {

using estargz::WriteFormat;
using testing_support::Gunzip;
using testing_support::MemoryImageSource;
using testing_support::TarEnd;
using testing_support::TarText;

class LayerConversionTest : public ::testing::Test {
 protected:
  StatusOr<estargz::WrittenLayer> Convert(const oci::Descriptor& layer,
                                          WriteFormat format = WriteFormat::kEstargz) {
    NoProgress progress;
    return ConvertLayer(source_, layer, spool_, {.format = format}, progress, "part");
  }
  std::string Written() const { return testing_support::ReadWhole(spool_); }

  MemoryImageSource source_;
  TempDir dir_ = *TempDir::Make(std::filesystem::temp_directory_path(), "convert-");
  const std::filesystem::path spool_ = dir_.path() / "spool";
};

TEST_F(LayerConversionTest, WritesALayerThatIsWhatItsDescriptorSays) {
  const std::string tar = TarText({.name = "a", .content = std::string(100'000, 'a')}) + TarEnd();
  const oci::Descriptor from = source_.Add(oci::media_type::kOciLayerTar, AsBytes(tar));
  const auto written = Convert(from);
  ASSERT_TRUE(written.ok()) << written.status();
  const std::string blob = Written();
  EXPECT_EQ(oci::Digest::Of(AsBytes(blob)), written->digest);
  EXPECT_EQ(blob.size(), written->size_bytes);
  const auto content = Gunzip(AsBytes(blob));
  ASSERT_TRUE(content.has_value());
  EXPECT_EQ(oci::Digest::Of(AsBytes(*content)), written->diff_id);
  EXPECT_EQ(content->size(), written->uncompressed_bytes);
  EXPECT_EQ(source_.blobs_streamed(), 1);

  const oci::Descriptor to = source_.Add(oci::media_type::kOciLayerGzip, AsBytes(blob));
  const oci::Descriptor described = DescribeConverted(from, *written);
  EXPECT_EQ(described.digest, to.digest);
  EXPECT_TRUE(*HasFormat(source_, described, WriteFormat::kEstargz));
  EXPECT_FALSE(*HasFormat(source_, to, WriteFormat::kEstargz))
      << "without the annotation it cannot be verified";
}

TEST_F(LayerConversionTest, KnowsEachFormatThatItWrites) {
  constexpr WriteFormat kFormats[] = {WriteFormat::kEstargz, WriteFormat::kStargzZstd,
                                      WriteFormat::kContainersZstd};
  const std::string tar = TarText({.name = "a", .content = std::string(100'000, 'a')}) + TarEnd();
  const oci::Descriptor from = source_.Add(oci::media_type::kOciLayerTar, AsBytes(tar));
  for (const WriteFormat format : kFormats) {
    SCOPED_TRACE(static_cast<int>(format));
    const auto written = Convert(from, format);
    ASSERT_TRUE(written.ok()) << written.status();
    EXPECT_EQ(written->format, format);
    const oci::Descriptor to = DescribeConverted(from, *written);
    EXPECT_EQ(to.media_type, MediaTypeOf(format));
    source_.Add(to.media_type, AsBytes(Written()));
    for (const WriteFormat other : kFormats) {
      EXPECT_EQ(*HasFormat(source_, to, other), other == format) << static_cast<int>(other);
    }
  }
}

TEST_F(LayerConversionTest, ReportsTheCauseOfAFailure) {
  const oci::Descriptor broken = source_.Add(oci::media_type::kOciLayerTar, AsBytes("not a tar"));
  EXPECT_EQ(Convert(broken).status().code(), StatusCode::kDataLoss);

  // A large layer, so that the download is waiting for the pipe when the writer gives up.
  const oci::Descriptor large =
      source_.Add(oci::media_type::kOciLayerTar, AsBytes(std::string(40 << 20, 'x')));
  EXPECT_EQ(Convert(large).status().code(), StatusCode::kDataLoss);

  const oci::Descriptor away =
      source_.Add(oci::media_type::kOciLayerTar, AsBytes(TarText({.name = "a"}) + TarEnd()));
  source_.Fail(away.digest, MakeError(StatusCode::kUnavailable, "registry away"));
  EXPECT_EQ(Convert(away).status().code(), StatusCode::kUnavailable);
}

TEST(DescribeConverted, KeepsAnnotationsThatStillHold) {
  const oci::Descriptor from{
      .media_type = std::string(oci::media_type::kDockerLayerGzip),
      .annotations = {{"org.example", "kept"},
                      {std::string(oci::annotation::kTocDigest), "former"},
                      {"io.github.containers.zstd-chunked.manifest-position", "1:2:3:4"},
                      {"io.containers.zstd-chunked.manifest-checksum", "x"}},
      .urls = {"https://former.example/"}};
  const estargz::WrittenLayer written{.digest = oci::Digest::Of(AsBytes("blob")),
                                      .size_bytes = 7,
                                      .uncompressed_bytes = 12345,
                                      .toc_digest = oci::Digest::Of(AsBytes("toc"))};
  const oci::Descriptor to = DescribeConverted(from, written);
  EXPECT_EQ(to.media_type, oci::media_type::kOciLayerGzip);
  EXPECT_EQ(to.digest, written.digest);
  EXPECT_EQ(to.size_bytes, 7U);
  EXPECT_TRUE(to.urls.empty());
  EXPECT_EQ(
      to.annotations,
      (oci::Annotations{{"org.example", "kept"},
                        {std::string(oci::annotation::kTocDigest), written.toc_digest.ToString()},
                        {std::string(oci::annotation::kUncompressedSize), "12345"}}));
}

TEST(DescribeConverted, TellsEachFormatsReadersWhatTheyLookFor) {
  estargz::WrittenLayer written{.digest = oci::Digest::Of(AsBytes("blob")),
                                .size_bytes = 900,
                                .uncompressed_bytes = 12345,
                                .toc_digest = oci::Digest::Of(AsBytes("toc")),
                                .compressed_toc_digest = oci::Digest::Of(AsBytes("frame")),
                                .toc = {10, 20, 30}};
  const std::string toc = written.toc_digest.ToString();
  const std::string frame = written.compressed_toc_digest.ToString();
  const oci::Descriptor from{
      .annotations = {{std::string(oci::annotation::kTocDigest), "former"},
                      {std::string(oci::annotation::kUncompressedSize), "1"}}};

  written.format = WriteFormat::kStargzZstd;
  EXPECT_EQ(DescribeConverted(from, written).annotations,
            (oci::Annotations{{"containerd.io/snapshot/stargz/toc.digest", toc},
                              {"io.containers.estargz.uncompressed-size", "12345"},
                              {"io.containers.zstd-chunked.manifest-checksum", frame},
                              {"io.containers.zstd-chunked.manifest-position", "10:20:30:1"}}));

  written.format = WriteFormat::kContainersZstd;
  oci::Annotations want{{"io.github.containers.zstd-chunked.manifest-checksum", frame},
                        {"io.github.containers.zstd-chunked.manifest-position", "10:20:30:1"}};
  EXPECT_EQ(DescribeConverted(from, written).annotations, want);
  written.tar_split = {40, 50, 60};
  want["io.github.containers.zstd-chunked.tarsplit-position"] = "40:50:60";
  const oci::Descriptor to = DescribeConverted(from, written);
  EXPECT_EQ(to.annotations, want);
  EXPECT_EQ(to.media_type, "application/vnd.oci.image.layer.v1.tar+zstd");
}

TEST(HasFormat, AsksOnlyWhenAnAnnotationSaysSo) {
  MemoryImageSource source;
  oci::Descriptor layer =
      source.Add(oci::media_type::kOciLayerGzip, AsBytes(std::string(200, 'x')));
  EXPECT_FALSE(*HasFormat(source, layer, WriteFormat::kEstargz));
  EXPECT_EQ(source.blobs_opened(), 0);
  layer.annotations[std::string(oci::annotation::kTocDigest)] = layer.digest.ToString();
  EXPECT_FALSE(*HasFormat(source, layer, WriteFormat::kEstargz))
      << "the annotation lies: there is no footer";
  EXPECT_EQ(source.blobs_opened(), 1);
  EXPECT_EQ(source.blob_bytes_read(), 72U) << "as long as the longest footer";
}

}  // namespace
}  // namespace starling::convert
