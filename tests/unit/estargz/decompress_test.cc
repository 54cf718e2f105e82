#include "estargz/decompress.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include "tests/support/gzip.h"

namespace starling::estargz {
namespace {

using testing_support::Gzip;

std::string Zstd(std::string_view content) {
  std::string frame(ZSTD_compressBound(content.size()), '\0');
  frame.resize(ZSTD_compress(frame.data(), frame.size(), content.data(), content.size(), 3));
  return frame;
}

/// Gives one byte per read.
class SlowSource : public ByteSource {
 public:
  explicit SlowSource(ByteSpan bytes) : bytes_(bytes) {}
  StatusOr<size_t> Read(std::span<std::byte> out) override { return bytes_.Read(out.first(1)); }

 private:
  SpanSource bytes_;
};

TEST(DecompressedTar, NotesThePointsOfAGzipLayer) {
  const std::string content(200'000, 'c');
  const struct {
    std::string_view name;
    std::string input;
    DecompressedTar::GzipPoints points;
    bool want;
  } cases[] = {
      {"gzip", Gzip(content), DecompressedTar::GzipPoints::kNote, true},
      {"gzip, ignored", Gzip(content), DecompressedTar::GzipPoints::kIgnore, false},
      {"zstd", Zstd(content), DecompressedTar::GzipPoints::kNote, false},
      {"plain", content, DecompressedTar::GzipPoints::kNote, false},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    SpanSource source(AsBytes(c.input));
    DecompressedTar tar(source, c.points);
    EXPECT_EQ(tar.gzip_indexer(), nullptr) << "nothing was read";
    const StatusOr<Bytes> read = ReadAll(tar, 1 << 26);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(AsText(*read), content);
    ASSERT_EQ(tar.gzip_indexer() != nullptr, c.want);
    if (c.want) {
      EXPECT_EQ(tar.gzip_indexer()->blob_bytes(), c.input.size());
      const auto index = tar.gzip_indexer()->Finish();
      ASSERT_TRUE(index.ok()) << index.status();
      EXPECT_EQ(GzipSeekIndex::Open(*index)->tar_bytes(), content.size());
    }
  }
}

TEST(DecompressedTar, TellsKindsByTheirFirstBytes) {
  std::string content;
  for (uint32_t i = 0; i < 60000; ++i) {
    content += fmt::format("{} ", i * i);
  }
  const std::string gzip = Gzip(content);
  const std::string zstd = Zstd(content);
  const std::string skippable("\x50\x2a\x4d\x18\x03\0\0\0abc", 11);
  const std::string padding(3000, '\0');
  const struct {
    std::string_view name;
    std::string input;
    StatusCode code;
    std::string want;
  } cases[] = {
      {"plain", content, StatusCode::kOk, content},
      {"short", "abc", StatusCode::kOk, "abc"},
      {"empty", "", StatusCode::kOk, ""},
      {"gzip", gzip, StatusCode::kOk, content},
      {"gzip, members", gzip + Gzip("") + Gzip("x"), StatusCode::kOk, content + "x"},
      {"gzip, padded", gzip + padding, StatusCode::kOk, content},
      {"gzip, garbage behind", gzip + "garbage", StatusCode::kDataLoss, ""},
      {"gzip, garbage in padding", gzip + padding + "x", StatusCode::kDataLoss, ""},
      {"gzip, cut", gzip.substr(0, gzip.size() - 1), StatusCode::kDataLoss, ""},
      {"gzip, wrong checksum", gzip.substr(0, gzip.size() - 8) + "12345678", StatusCode::kDataLoss,
       ""},
      {"zstd", zstd, StatusCode::kOk, content},
      {"zstd, frames", zstd + skippable + Zstd("x"), StatusCode::kOk, content + "x"},
      {"zstd, skippable first", skippable + zstd, StatusCode::kOk, content},
      {"zstd, cut", zstd.substr(0, zstd.size() - 1), StatusCode::kDataLoss, ""},
      {"zstd, broken", zstd.substr(0, 20) + std::string(50, 'x'), StatusCode::kDataLoss, ""},
      {"bzip2", "BZh91AY", StatusCode::kUnimplemented, ""},
      {"xz",
       std::string("\xfd"
                   "7zXZ\0\0",
                   7),
       StatusCode::kUnimplemented, ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    SpanSource fast(AsBytes(c.input));
    SlowSource slow(AsBytes(c.input));
    for (ByteSource* source : {static_cast<ByteSource*>(&fast), static_cast<ByteSource*>(&slow)}) {
      DecompressedTar tar(*source);
      const StatusOr<Bytes> read = ReadAll(tar, 1 << 26);
      ASSERT_EQ(read.status().code(), c.code) << Describe(read.status());
      if (read.ok()) {
        EXPECT_TRUE(AsText(*read) == c.want);
      }
    }
  }
}

}  // namespace
}  // namespace starling::estargz
