#include "inspect/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "estargz/writer.h"
#include "layer/toc_fetch.h"
#include "tests/support/gzip.h"
#include "tests/support/lazy_image.h"
#include "tests/support/memory_image.h"
#include "tests/support/tar_builder.h"
#include "tests/support/toc_image.h"
#include "tests/support/toc_json.h"
#include "tests/support/zstd_blob.h"

namespace starling::inspect {
namespace {

using testing::HasSubstr;
using testing_support::FakeDigest;
using testing_support::FillImageOfTocs;
using testing_support::Gzip;
using testing_support::LazyLayerBlob;
using testing_support::MakeLazyLayer;
using testing_support::MakeZstdLayer;
using testing_support::MemoryImageSource;
using testing_support::MoveTocOut;
using testing_support::TarBuilder;
using testing_support::ZstdDialect;
using testing_support::ZstdFile;

std::string SampleTar() {
  return TarBuilder()
      .Add({.name = "a", .content = "seven b"})
      .Add({.name = "d/", .type = '5'})
      .Finish();
}

/// An image of one layer with these bytes and annotations, inspected.
StatusOr<ImageReport> InspectOne(std::string_view media_type, ByteSpan layer,
                                 const oci::Annotations& annotations,
                                 layer::TocImage* toc_image = nullptr) {
  MemoryImageSource source;
  oci::Manifest manifest;
  manifest.media_type = oci::media_type::kOciManifest;
  manifest.config = source.Add(oci::media_type::kOciConfig, AsBytes("{}"));
  manifest.layers = {source.Add(media_type, layer)};
  manifest.layers[0].annotations = annotations;
  source.SetTop(source.Add(manifest));
  return InspectImage(source, {.os = "linux", .architecture = "amd64"}, toc_image);
}

TEST(InspectImage, SaysOfEachLayerWhetherItWouldBeLazy) {
  const LazyLayerBlob lazy = *MakeLazyLayer(SampleTar(), 4 << 20);
  const std::string key(oci::annotation::kTocDigest);
  Bytes broken = lazy.blob;
  // Inside the TOC's member, which ends where the footer begins.
  broken[broken.size() - 100] ^= std::byte{0xff};
  const std::string compressed_key(oci::annotation::kCompressedTocDigest);
  const std::string old_compressed_key(oci::annotation::kOldCompressedTocDigest);
  const std::vector<ZstdFile> files = {{.name = "f", .parts = {{.content = "content"}}}};
  const LazyLayerBlob stargz = MakeZstdLayer(files, ZstdDialect::kStargz);
  const LazyLayerBlob old_containers = MakeZstdLayer(files, ZstdDialect::kOldContainers);
  const LazyLayerBlob containers = MakeZstdLayer(files, ZstdDialect::kContainers);
  LazyLayerBlob external = lazy;
  (void)MoveTocOut(external);
  const Bytes legacy =
      ToBytes(std::string("\x1f\x8b and more\x1f\x8b\x08\x04\0\0\0\0\0\xff\x16\0", 23) +
              "0000000000000001STARGZ" + std::string("\x01\0\0\xff\xff\0\0\0\0\0\0\0\0", 13));
  const struct {
    std::string_view name;
    Bytes layer;
    oci::Annotations annotations;
    LayerFormat format;
    bool lazy;
    std::string reason;
  } cases[] = {
      {"eStargz", lazy.blob, {{key, lazy.toc.ToString()}}, LayerFormat::kEstargz, true, ""},
      {"no annotation", lazy.blob, {}, LayerFormat::kEstargz, false, "no annotation"},
      {"another TOC promised",
       lazy.blob,
       {{key, oci::Digest().ToString()}},
       LayerFormat::kEstargz,
       false,
       "promises the TOC"},
      {"broken TOC", broken, {{key, lazy.toc.ToString()}}, LayerFormat::kEstargz, false, "TOC"},
      {"legacy stargz", legacy, {}, LayerFormat::kLegacyStargz, false, "nothing could be verified"},
      {"external TOC",
       external.blob,
       {{key, lazy.toc.ToString()}},
       LayerFormat::kEstargzExternalToc,
       false,
       "in another image"},
      {"zstd:chunked of stargz",
       stargz.blob,
       {{key, stargz.toc.ToString()}, {old_compressed_key, FakeDigest('1')}},
       LayerFormat::kZstdChunked,
       true,
       ""},
      {"zstd:chunked of old containers/storage",
       old_containers.blob,
       {{old_compressed_key, old_containers.toc.ToString()}},
       LayerFormat::kZstdChunkedContainers,
       true,
       ""},
      {"zstd:chunked of containers/storage",
       containers.blob,
       {{compressed_key, containers.toc.ToString()}},
       LayerFormat::kZstdChunkedContainers,
       true,
       ""},
      {"zstd:chunked, another TOC promised",
       containers.blob,
       {{compressed_key, stargz.toc.ToString()}},
       LayerFormat::kZstdChunkedContainers,
       false,
       "promises the TOC"},
      {"zstd:chunked, no annotation",
       containers.blob,
       {},
       LayerFormat::kZstdChunkedContainers,
       false,
       "has no annotation"},
      {"gzip", ToBytes(Gzip(SampleTar())), {}, LayerFormat::kGzip, false, "ordinary gzip layer"},
      {"tar", ToBytes(SampleTar()), {}, LayerFormat::kTar, false, "ordinary tar layer"},
      {"zstd",
       ToBytes("\x28\xb5\x2f\xfd and more"),
       {},
       LayerFormat::kZstd,
       false,
       "ordinary zstd layer"},
      {"noise", ToBytes("noise"), {}, LayerFormat::kUnknown, false, "ordinary unknown layer"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const StatusOr<ImageReport> report =
        InspectOne(oci::media_type::kOciLayerGzip, c.layer, c.annotations);
    ASSERT_TRUE(report.ok()) << Describe(report.status());
    ASSERT_EQ(report->layers.size(), 1U);
    EXPECT_EQ(report->layers[0].format, c.format) << NameOf(report->layers[0].format);
    EXPECT_EQ(report->layers[0].lazy, c.lazy);
    EXPECT_EQ(report->lazy(), c.lazy);
    EXPECT_THAT(report->layers[0].reason, HasSubstr(c.reason));
    EXPECT_EQ(report->size_bytes(), c.layer.size());
    const bool needs_our_client = c.lazy && c.format == LayerFormat::kZstdChunkedContainers;
    EXPECT_EQ(!report->layers[0].note.empty(), needs_our_client);
  }
}

TEST(InspectImage, LooksIntoTheImageOfTocs) {
  LazyLayerBlob layer = *MakeLazyLayer(SampleTar(), 4 << 20);
  const Bytes toc = MoveTocOut(layer);
  MemoryImageSource tocs;
  FillImageOfTocs(tocs, layer.digest, toc);
  layer::TocImage toc_image([&]() -> StatusOr<std::shared_ptr<oci::ImageSource>> {
    return std::shared_ptr<oci::ImageSource>(std::shared_ptr<void>(), &tocs);
  });
  const auto report =
      InspectOne(oci::media_type::kOciLayerGzip, layer.blob,
                 {{std::string(oci::annotation::kTocDigest), layer.toc.ToString()}}, &toc_image);
  ASSERT_TRUE(report.ok()) << Describe(report.status());
  EXPECT_TRUE(report->lazy()) << report->layers[0].reason;
  EXPECT_EQ(report->layers[0].format, LayerFormat::kEstargzExternalToc);
  EXPECT_EQ(report->layers[0].files, 3U);
}

TEST(InspectImage, CountsFilesAndContent) {
  const LazyLayerBlob lazy = *MakeLazyLayer(SampleTar(), 4 << 20);
  const auto report = InspectOne(oci::media_type::kOciLayerGzip, lazy.blob,
                                 {{std::string(oci::annotation::kTocDigest), lazy.toc.ToString()}});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->layers[0].files, 3U) << "the root, a file and a directory";
  EXPECT_EQ(report->layers[0].content_bytes, 7U);
  EXPECT_EQ(report->layers[0].toc_digest, lazy.toc);
}

/// A file of so many bytes that all differ, as far as chunks of 4 KiB can tell.
std::string TarOfFile(size_t size_bytes) {
  std::string content(size_bytes, 'x');
  for (size_t at = 0; at < size_bytes; at += 4096) {
    content.replace(at, 8, fmt::format("{:08}", at));
  }
  return TarBuilder()
      .Add({.name = "first", .content = "1"})
      .Add({.name = "f", .content = content})
      .Finish();
}

StatusOr<ImageReport> InspectWritten(std::string_view tar, estargz::WriteOptions options) {
  SpanSource source(AsBytes(tar));
  BytesSink sink;
  options.threads = 1;
  ASSIGN_OR_RETURN(const estargz::WrittenLayer written, estargz::WriteLayer(source, sink, options));
  return InspectOne(oci::media_type::kOciLayerGzip, sink.bytes(),
                    {{std::string(oci::annotation::kTocDigest), written.toc_digest.ToString()}});
}

TEST(InspectImage, CountsChunksAndFindsLandmarks) {
  const auto cut = InspectWritten(TarOfFile(10000), {.chunk_size_bytes = 4096});
  ASSERT_TRUE(cut.ok()) << Describe(cut.status());
  const LayerReport& small = cut->layers[0];
  EXPECT_EQ(small.chunks, 4U) << "one and three";
  EXPECT_EQ(small.largest_chunk_bytes, 4096U);
  EXPECT_EQ(small.huge_chunks, 0U);
  EXPECT_EQ(small.landmark, Landmark::kNoPrefetch);
  EXPECT_EQ(small.data_bytes, 4096U + 12288U) << "whole blocks";
  EXPECT_GT(small.toc_bytes, 0U);

  const auto huge = InspectWritten(TarOfFile(5 << 20),
                                   {.chunk_size_bytes = 8 << 20, .prioritized_files = {"first"}});
  ASSERT_TRUE(huge.ok()) << Describe(huge.status());
  const LayerReport& large = huge->layers[0];
  EXPECT_TRUE(large.lazy);
  EXPECT_EQ(large.chunks, 2U);
  EXPECT_EQ(large.largest_chunk_bytes, 5U << 20);
  EXPECT_EQ(large.huge_chunks, 1U);
  EXPECT_GT(large.largest_member_bytes, 1000U);
  EXPECT_LT(large.largest_member_bytes, large.descriptor.size_bytes);
  EXPECT_EQ(large.landmark, Landmark::kPrefetch);
  EXPECT_GT(large.prefetch_bytes, 0U);
  EXPECT_LT(large.prefetch_bytes, large.descriptor.size_bytes - large.largest_member_bytes);
}

TEST(InspectImage, ReadsNoMoreThanTails) {
  MemoryImageSource source;
  oci::Manifest manifest;
  manifest.media_type = oci::media_type::kOciManifest;
  manifest.config = source.Add(oci::media_type::kOciConfig, AsBytes("{}"));
  std::string noise(3 << 20, '\0');
  uint32_t state = 1;
  for (char& c : noise) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  const LazyLayerBlob lazy =
      *MakeLazyLayer(TarBuilder().Add({.name = "f", .content = noise}).Finish(), 1 << 20);
  manifest.layers = {source.Add(oci::media_type::kOciLayerGzip, lazy.blob),
                     source.Add(oci::media_type::kOciLayerGzip, ToBytes(Gzip(noise)))};
  manifest.layers[0].annotations[std::string(oci::annotation::kTocDigest)] = lazy.toc.ToString();
  source.SetTop(source.Add(manifest));
  const auto report = InspectImage(source, {.os = "linux", .architecture = "amd64"});
  ASSERT_TRUE(report.ok()) << Describe(report.status());
  EXPECT_TRUE(report->layers[0].lazy);
  EXPECT_FALSE(report->layers[1].lazy);
  EXPECT_EQ(source.manifests_read(), 1);
  EXPECT_EQ(source.blobs_streamed(), 0);
  EXPECT_EQ(source.blobs_opened(), 2);
  EXPECT_EQ(source.blob_bytes_read(), 2 * layer::kTailBytes + 512) << "tails, and a plain head";
}

TEST(InspectImage, NamesAMediaTypeThatIsNoLayer) {
  const auto report = InspectOne("application/vnd.example.model", AsBytes("weights"), {});
  ASSERT_TRUE(report.ok()) << Describe(report.status());
  EXPECT_FALSE(report->lazy());
  EXPECT_THAT(report->layers[0].reason, HasSubstr("application/vnd.example.model"));
}

}  // namespace
}  // namespace starling::inspect
