#include "dockerfile/build/layer_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "estargz/decompress.h"
#include "estargz/tar.h"
#include "tests/support/tar_builder.h"

namespace starling::dockerfile::build {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using testing_support::TarBuilder;

TEST(ParseCompression, KnowsWhatUsersOfBuildxWrite) {
  const std::pair<const char*, Compression> cases[] = {
      {"estargz", Compression::kEstargz},
      {"zstdchunked", Compression::kZstdChunked},
      {"zstd:chunked", Compression::kZstdChunked},
      {"gzip", Compression::kGzip},
      {"zstd", Compression::kZstd},
      {"uncompressed", Compression::kUncompressed}};
  for (const auto& [text, compression] : cases) {
    const auto parsed = ParseCompression(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(*parsed, compression) << text;
  }
  EXPECT_EQ(NameOf(Compression::kGzip), "gzip");
  const auto refused = ParseCompression("lzma");
  EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(MessageOf(refused.status())), HasSubstr("estargz"));
}

Bytes SomeTar() {
  const std::string tar = TarBuilder()
                              .Add({.name = "a", .content = std::string(300'000, 'a')})
                              .Add({.name = "b", .content = "short"})
                              .Finish();
  const ByteSpan bytes = AsBytes(tar);
  return {bytes.begin(), bytes.end()};
}

StatusOr<WrittenBlob> Write(const Bytes& tar, const LayerFormat& format, Bytes& blob) {
  SpanSource source(tar);
  BytesSink sink;
  ASSIGN_OR_RETURN(WrittenBlob written, WriteBlob(source, sink, format));
  blob = std::move(sink.bytes());
  return written;
}

/// The names of a blob's tar, in their order.
std::vector<std::string> NamesIn(const Bytes& blob) {
  SpanSource stored(blob);
  estargz::DecompressedTar decompressed(stored);
  estargz::TarReader reader(decompressed);
  std::vector<std::string> names;
  for (;;) {
    auto entry = reader.Next();
    EXPECT_TRUE(entry.ok()) << entry.status();
    if (!entry.ok() || !*entry) {
      return names;
    }
    names.push_back((*entry)->name);
  }
}

class WriteBlobTest : public ::testing::TestWithParam<Compression> {};

TEST_P(WriteBlobTest, HasTheTarInItWhateverTheNumberOfThreads) {
  const Bytes tar = SomeTar();
  Bytes blob;
  Bytes other;
  const auto written = Write(tar, {.compression = GetParam(), .threads = 1}, blob);
  ASSERT_TRUE(written.ok()) << written.status();
  ASSERT_TRUE(Write(tar, {.compression = GetParam(), .threads = 4}, other).ok());
  EXPECT_EQ(blob, other);
  EXPECT_EQ(written->descriptor.digest, oci::Digest::Of(blob));
  EXPECT_EQ(written->descriptor.size_bytes, blob.size());

  SpanSource stored(blob);
  estargz::DecompressedTar decompressed(stored);
  const auto back = ReadAll(decompressed, 10 << 20);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(oci::Digest::Of(*back), written->diff_id);
  const bool is_lazy =
      GetParam() == Compression::kEstargz || GetParam() == Compression::kZstdChunked;
  if (is_lazy) {
    EXPECT_THAT(written->descriptor.annotations,
                Contains(Key(std::string(oci::annotation::kTocDigest))));
  } else {
    EXPECT_EQ(*back, tar);
    EXPECT_THAT(written->descriptor.annotations, IsEmpty());
  }
}

INSTANTIATE_TEST_SUITE_P(All, WriteBlobTest,
                         ::testing::Values(Compression::kEstargz, Compression::kZstdChunked,
                                           Compression::kGzip, Compression::kZstd,
                                           Compression::kUncompressed),
                         [](const auto& test) { return std::string(NameOf(test.param)); });

TEST(WriteBlob, PutsWhatIsReadFirstInFrontOfItsLandmark) {
  struct Case {
    const char* name;
    Compression compression;
    std::vector<std::string> read_first;
    const char* want;
  };
  const Case cases[] = {
      {"nothing", Compression::kEstargz, {}, ".no.prefetch.landmark a b stargz.index.json"},
      {"one file", Compression::kEstargz, {"b"}, "b .prefetch.landmark a stargz.index.json"},
      {"one that is not there",
       Compression::kEstargz,
       {"c", "b"},
       "b .prefetch.landmark a stargz.index.json"},
      {"zstd:chunked", Compression::kZstdChunked, {"b"}, "b .prefetch.landmark a"},
      {"a layer that is not lazy", Compression::kGzip, {"b"}, "a b"},
  };
  for (const Case& c : cases) {
    Bytes blob;
    const auto written =
        Write(SomeTar(), {.compression = c.compression, .read_first = c.read_first}, blob);
    ASSERT_TRUE(written.ok()) << c.name << written.status();
    EXPECT_EQ(fmt::format("{}", fmt::join(NamesIn(blob), " ")), c.want) << c.name;
  }
}

TEST(WriteBlob, RefusesALevelThatThereIsNone) {
  Bytes blob;
  for (const Compression compression : {Compression::kGzip, Compression::kZstd}) {
    EXPECT_EQ(Write(SomeTar(), {.compression = compression, .level = 100}, blob).status().code(),
              StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace starling::dockerfile::build
