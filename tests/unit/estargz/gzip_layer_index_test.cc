#include "estargz/gzip_layer_index.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>

#include "estargz/layer_tree.h"
#include "tests/support/gzip.h"
#include "tests/support/gzip_text.h"
#include "tests/support/tar_builder.h"

namespace starling::estargz {
namespace {

using testing_support::CompressibleText;
using testing_support::Gzip;
using testing_support::Noise;
using testing_support::TarBuilder;

constexpr GzipIndexOptions kSmall{.spacing_bytes = 64 << 10, .chunk_size_bytes = 200'000};

std::string SampleTar() {
  TarBuilder tar;
  tar.Add({.name = "dir/", .type = '5', .mode = 0755});
  tar.Add({.name = "dir/large", .content = CompressibleText(2 << 20, 1), .mode = 0755});
  tar.Add({.name = "dir/empty"});
  tar.Add({.name = "dir/noise", .content = Noise(700'000, 2)});
  tar.Add({.name = "dir/zeros", .content = std::string(500'000, '\0')});
  tar.Add({.name = "link", .type = '2', .link_name = "dir/large"});
  tar.Add({.name = "hard", .type = '1', .link_name = "dir/noise"});
  for (uint32_t i = 0; i < 200; ++i) {
    tar.Add({.name = fmt::format("small/{}", i), .content = CompressibleText(10 + i * 37, i)});
  }
  return tar.Finish();
}

StatusOr<GzipLayerIndex> Index(std::string_view blob, const GzipIndexOptions& options = kSmall) {
  SpanSource source(AsBytes(blob));
  return IndexGzipLayer(source, oci::Digest::Of(AsBytes(blob)), options);
}

/// All files of the layer, read chunk by chunk through the index.
void ExpectReadable(const std::string& blob, const GzipLayerIndex& index, uint64_t content_bytes) {
  const auto json = index.ReadToc();
  ASSERT_TRUE(json.ok()) << json.status();
  auto toc = Toc::Parse(*json);
  ASSERT_TRUE(toc.ok()) << toc.status();
  const auto tree = LayerTree::Build(*std::move(toc), index.seek_index().blob_end());
  ASSERT_TRUE(tree.ok()) << tree.status();
  uint64_t read_bytes = 0;
  GzipSpanInflater inflater;
  for (const Inode& inode : tree->inodes()) {
    if (!S_ISREG(inode.mode)) {
      continue;
    }
    for (uint32_t i = 0; i < inode.chunk_count; ++i) {
      const Chunk& chunk = tree->chunks()[inode.first_chunk + i];
      const auto point = index.seek_index().PointAt(chunk.blob_offset);
      ASSERT_TRUE(point);
      Bytes out(chunk.inner_offset + chunk.size_bytes);
      const Status status =
          inflater.Inflate(index.seek_index(), *point,
                           AsBytes(blob).subspan(chunk.blob_offset, chunk.blob_size), out);
      ASSERT_TRUE(status.ok()) << status;
      EXPECT_EQ(oci::Digest::Of(ByteSpan(out).subspan(chunk.inner_offset)), chunk.digest);
      read_bytes += chunk.size_bytes;
    }
  }
  EXPECT_EQ(read_bytes, content_bytes);
}

TEST(IndexGzipLayer, EveryChunkCanBeHadFromItsSpan) {
  const std::string tar = SampleTar();
  uint64_t content_bytes = (2 << 20) + 700'000 + 500'000;
  for (uint32_t i = 0; i < 200; ++i) {
    content_bytes += 10 + i * 37;
  }
  const size_t third = tar.size() / 3;
  const struct {
    std::string_view name;
    std::string blob;
    GzipIndexOptions options = kSmall;
  } cases[] = {
      {"one member", Gzip(tar)},
      {"fast", Gzip(tar, 1)},
      {"best", Gzip(tar, 9)},
      {"stored", Gzip(tar, 0)},
      {"members and padding", Gzip(tar.substr(0, third)) + Gzip(tar.substr(third, third)) +
                                  Gzip(tar.substr(2 * third)) + std::string(3000, '\0')},
      {"points anywhere", Gzip(tar), {.spacing_bytes = 1, .chunk_size_bytes = 1000}},
      {"the defaults", Gzip(tar), {}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto index = Index(c.blob, c.options);
    ASSERT_TRUE(index.ok()) << index.status();
    EXPECT_EQ(index->layer(), oci::Digest::Of(AsBytes(c.blob)));
    EXPECT_EQ(index->blob_size_bytes(), c.blob.size());
    ExpectReadable(c.blob, *index, content_bytes);
  }
}

TEST(IndexGzipLayer, IsTheSameForTheSameLayer) {
  const std::string blob = Gzip(SampleTar());
  const auto one = Index(blob);
  const auto other = Index(blob);
  ASSERT_TRUE(one.ok() && other.ok());
  EXPECT_EQ(one->digest(), other->digest());
  EXPECT_EQ(one->digest(), oci::Digest::Of(one->bytes()));
}

TEST(IndexGzipLayer, RefusesWhatCannotBeDescribed) {
  const std::string tar = SampleTar();
  TarBuilder sparse;
  sparse.Add({.name = "sparse", .type = 'S', .content = "x"});
  const struct {
    std::string_view name;
    std::string blob;
    StatusCode code;
  } cases[] = {
      {"cut", Gzip(tar).substr(0, 100'000), StatusCode::kDataLoss},
      {"a cut tar", Gzip(tar.substr(0, 100'000)), StatusCode::kDataLoss},
      {"no tar", Gzip(CompressibleText(10'000, 1)), StatusCode::kDataLoss},
      {"a plain tar", tar, StatusCode::kDataLoss},
      {"empty", "", StatusCode::kDataLoss},
      {"sparse files", Gzip(sparse.Finish()), StatusCode::kUnimplemented},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(Index(c.blob).status().code(), c.code) << Index(c.blob).status();
  }
  EXPECT_EQ(Index(Gzip(tar), {.spacing_bytes = 0}).status().code(), StatusCode::kInvalidArgument);
}

TEST(GzipLayerIndex, RefusesWhatBreaksARule) {
  const auto index = Index(Gzip(SampleTar()));
  ASSERT_TRUE(index.ok());
  const Bytes whole(index->bytes().begin(), index->bytes().end());
  const struct {
    std::string_view name;
    size_t at;
    uint64_t value;
    StatusCode code;
  } cases[] = {
      {"magic", 0, 0, StatusCode::kDataLoss},
      {"version", 8, 9, StatusCode::kDataLoss},
      {"a blob that ends before its points", 48, 1000, StatusCode::kDataLoss},
      {"seek index of another size", 56, 100, StatusCode::kDataLoss},
      {"seek index beyond all bounds", 56, UINT64_MAX, StatusCode::kDataLoss},
      {"TOC of another size", 64, 100, StatusCode::kDataLoss},
      {"TOC beyond all bounds", 64, UINT64_MAX, StatusCode::kResourceExhausted},
      {"JSON beyond all bounds", 72, UINT64_MAX, StatusCode::kResourceExhausted},
      {"seek index broken", 80, 0, StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Bytes bytes = whole;
    std::memcpy(bytes.data() + c.at, &c.value, sizeof c.value);
    EXPECT_EQ(GzipLayerIndex::Parse(std::move(bytes)).status().code(), c.code);
  }
  EXPECT_EQ(GzipLayerIndex::Parse({}).status().code(), StatusCode::kDataLoss);
  Bytes cut(whole.begin(), whole.end() - 1);
  EXPECT_EQ(GzipLayerIndex::Parse(std::move(cut)).status().code(), StatusCode::kDataLoss);
  Bytes damaged = whole;
  damaged.back() ^= std::byte{0xff};
  const auto with_damaged_toc = GzipLayerIndex::Parse(std::move(damaged));
  ASSERT_TRUE(with_damaged_toc.ok());
  EXPECT_EQ(with_damaged_toc->ReadToc().status().code(), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace starling::estargz
