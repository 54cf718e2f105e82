#include "estargz/footer.h"

#include <gtest/gtest.h>

#include <string>

#include "estargz/gzip_member.h"
#include "tests/support/zstd_blob.h"

namespace starling::estargz {
namespace {

using testing_support::ZstdDialect;

constexpr uint64_t kBlobBytes = 0x1000;

std::string Text(ByteSpan footer) { return std::string(AsText(footer)); }

std::string Modern(std::string_view digits) {
  std::string footer = Text(MakeFooter(0));
  return footer.replace(16, 16, digits);
}

std::string Legacy(std::string_view digits) {
  std::string footer("\x1f\x8b\x08\x04\0\0\0\0\0\xff\x16\0", 12);
  footer += digits;
  footer += "STARGZ";
  footer.append("\x01\0\0\xff\xff\0\0\0\0\0\0\0\0", 13);
  return footer;
}

std::string External(std::string_view text = "STARGZEXTERNALTOC") {
  std::string footer("\x1f\x8b\x08\x04\0\0\0\0\0\xff\x15\0SG\x11\0", 16);
  footer += text;
  footer.append("\x01\0\0\xff\xff\0\0\0\0\0\0\0\0", 13);
  return footer;
}

std::string Zstd(uint64_t toc_offset, uint64_t toc_bytes, ZstdDialect dialect, uint64_t type = 1) {
  return testing_support::ZstdFooter(toc_offset, toc_bytes, 5000, dialect, type);
}

std::string With(std::string text, size_t at, std::string_view bytes) {
  return text.replace(at, bytes.size(), bytes);
}

// What a reader of `footer` at the end of a blob of kBlobBytes has in hand.
StatusOr<Footer> Parse(std::string footer) {
  if (footer.size() < kMaxFooterBytes) {
    footer.insert(0, kMaxFooterBytes - footer.size(), 'x');
  }
  return ParseFooter(AsBytes(footer), kBlobBytes);
}

TEST(ParseFooter, ClassifiesInput) {
  const struct {
    std::string_view name;
    std::string footer;
    StatusCode want;
  } cases[] = {
      {"eStargz", Modern("0000000000000200"), StatusCode::kOk},
      {"legacy", Legacy("0000000000000200"), StatusCode::kOk},
      {"another time stamp", With(Modern("0000000000000200"), 4, "\x11\x22\x33\x44"),
       StatusCode::kOk},
      {"another operating system", With(Modern("0000000000000200"), 9, "\x03"), StatusCode::kOk},
      {"another empty block", With(Modern("0000000000000200"), 38, "\x03"), StatusCode::kOk},
      {"last possible offset", Modern("0000000000000fcc"), StatusCode::kOk},
      {"offset in the footer", Modern("0000000000000fcd"), StatusCode::kDataLoss},
      {"legacy offset in the footer", Legacy("0000000000000fd1"), StatusCode::kDataLoss},
      {"offset of 2^64-1", Modern("ffffffffffffffff"), StatusCode::kDataLoss},
      {"upper case", Modern("000000000000020A"), StatusCode::kDataLoss},
      {"sign", Modern("-000000000000200"), StatusCode::kDataLoss},
      {"space", Modern("             200"), StatusCode::kDataLoss},
      {"no gzip magic", With(Modern("0000000000000200"), 0, "\x1e"), StatusCode::kNotFound},
      {"no deflate", With(Modern("0000000000000200"), 2, "\x07"), StatusCode::kNotFound},
      {"no extra flag", With(Modern("0000000000000200"), 3, std::string_view("\0", 1)),
       StatusCode::kNotFound},
      {"extra too long", With(Modern("0000000000000200"), 10, "\xff\xff"), StatusCode::kNotFound},
      {"extra as long as the member", With(Modern("0000000000000200"), 10, "\x27"),
       StatusCode::kNotFound},
      {"extra short, subfield says 22", With(Modern("0000000000000200"), 10, "\x04"),
       StatusCode::kNotFound},
      {"extra empty", With(Modern("0000000000000200"), 10, std::string_view("\0", 1)),
       StatusCode::kNotFound},
      {"subfield too short", With(Modern("0000000000000200"), 14, "\x15"), StatusCode::kNotFound},
      {"other subfield", With(Modern("0000000000000200"), 12, "AB"), StatusCode::kNotFound},
      {"other magic", With(Modern("0000000000000200"), 32, "STARGX"), StatusCode::kNotFound},
      {"legacy other magic", With(Legacy("0000000000000200"), 28, "X"), StatusCode::kNotFound},
      {"external", External(), StatusCode::kOk},
      {"external, other text", External("STARGZEXTERNALTOX"), StatusCode::kNotFound},
      {"external, other subfield", With(External(), 12, "AB"), StatusCode::kNotFound},
      {"external, subfield too long", With(External(), 14, "\x12"), StatusCode::kNotFound},
      {"external, extra short", With(External(), 10, "\x03"), StatusCode::kNotFound},
      {"zstd", Zstd(0x200, 100, ZstdDialect::kStargz), StatusCode::kOk},
      {"zstd, containers", Zstd(0x200, 100, ZstdDialect::kContainers), StatusCode::kOk},
      {"zstd, TOC up to the footer", Zstd(0x200, 0x1000 - 48 - 0x200, ZstdDialect::kStargz),
       StatusCode::kOk},
      {"zstd, TOC in the footer", Zstd(0x200, 0x1000 - 47 - 0x200, ZstdDialect::kStargz),
       StatusCode::kDataLoss},
      {"zstd, no payload and no frame header", Zstd(7, 100, ZstdDialect::kStargz),
       StatusCode::kDataLoss},
      {"zstd, no payload", Zstd(8, 100, ZstdDialect::kStargz), StatusCode::kOk},
      {"zstd, offset outside", Zstd(0x1000, 1, ZstdDialect::kContainers), StatusCode::kDataLoss},
      {"zstd, offset of 2^64-1", Zstd(UINT64_MAX, 1, ZstdDialect::kStargz), StatusCode::kDataLoss},
      {"zstd, size of 2^64-1", Zstd(0x200, UINT64_MAX, ZstdDialect::kContainers),
       StatusCode::kDataLoss},
      {"zstd, empty TOC", Zstd(0x200, 0, ZstdDialect::kStargz), StatusCode::kDataLoss},
      {"zstd, another type of TOC", Zstd(0x200, 100, ZstdDialect::kStargz, 2),
       StatusCode::kDataLoss},
      {"zstd, no skippable frame", With(Zstd(0x200, 100, ZstdDialect::kStargz), 0, "Q"),
       StatusCode::kNotFound},
      {"zstd, frame of another size", With(Zstd(0x200, 100, ZstdDialect::kStargz), 4, "\x29"),
       StatusCode::kNotFound},
      {"zstd, other magic", With(Zstd(0x200, 100, ZstdDialect::kContainers), 70, "y"),
       StatusCode::kNotFound},
      {"zstd, the longer one's magic in a short one",
       With(Zstd(0x200, 100, ZstdDialect::kStargz), 41, "N"), StatusCode::kNotFound},
      {"zeros", std::string(kFooterBytes, '\0'), StatusCode::kNotFound},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(Parse(c.footer).status().code(), c.want);
  }
}

TEST(ParseFooter, TellsKindOffsetAndSize) {
  const StatusOr<Footer> modern = Parse(Modern("0000000000000abc"));
  ASSERT_TRUE(modern.ok());
  EXPECT_EQ(modern->kind, FooterKind::kEstargz);
  EXPECT_EQ(modern->toc_offset, 0xabcU);
  EXPECT_EQ(modern->size_bytes, 51U);
  EXPECT_EQ(modern->payload_end, 0xabcU);
  EXPECT_EQ(modern->toc_bytes, 0x1000U - 51 - 0xabc);
  const StatusOr<Footer> legacy = Parse(Legacy("0000000000000abc"));
  ASSERT_TRUE(legacy.ok());
  EXPECT_EQ(legacy->kind, FooterKind::kLegacyStargz);
  EXPECT_EQ(legacy->toc_offset, 0xabcU);
  EXPECT_EQ(legacy->size_bytes, 47U);
  const StatusOr<Footer> external = Parse(External());
  ASSERT_TRUE(external.ok());
  EXPECT_EQ(external->kind, FooterKind::kExternalToc);
  EXPECT_EQ(external->payload_end, 0x1000U - 46);
  EXPECT_EQ(external->toc_bytes, 0U);
  EXPECT_FALSE(IsZstd(external->kind));
}

TEST(ParseFooter, FindsTheTocOfZstdChunked) {
  const struct {
    ZstdDialect dialect;
    FooterKind kind;
    uint64_t size_bytes;
  } cases[] = {{ZstdDialect::kStargz, FooterKind::kZstdChunked, 48},
               {ZstdDialect::kOldContainers, FooterKind::kZstdChunked, 48},
               {ZstdDialect::kContainers, FooterKind::kZstdChunkedTarSplit, 72}};
  for (const auto& c : cases) {
    const StatusOr<Footer> footer = Parse(Zstd(0xabc, 0x123, c.dialect));
    ASSERT_TRUE(footer.ok()) << footer.status();
    EXPECT_EQ(footer->kind, c.kind);
    EXPECT_TRUE(IsZstd(footer->kind));
    EXPECT_EQ(footer->toc_offset, 0xabcU);
    EXPECT_EQ(footer->toc_bytes, 0x123U);
    EXPECT_EQ(footer->json_bytes, 5000U);
    EXPECT_EQ(footer->payload_end, 0xab4U) << "where the TOC's skippable frame starts";
    EXPECT_EQ(footer->size_bytes, c.size_bytes);
  }
}

TEST(ParseFooter, ReadsOnlyTheEndOfALongerTail) {
  EXPECT_TRUE(
      ParseFooter(AsBytes(std::string(100, 'x') + Modern("0000000000000200")), kBlobBytes).ok());
}

TEST(ParseFooter, KnowsShortBlobs) {
  EXPECT_EQ(ParseFooter({}, 0).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(ParseFooter(AsBytes("short"), 5).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(ParseFooter(AsBytes("short"), 1000).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ParseFooter(AsBytes(Modern("0000000000000000")), 50).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(ParseFooter(AsBytes(Modern("0000000000000000")), 1000).status().code(),
            StatusCode::kInvalidArgument)
      << "a longer footer would not fit";
  EXPECT_EQ(ParseFooter(AsBytes(Legacy("0000000000000000")), 47).status().code(),
            StatusCode::kDataLoss)
      << "a blob that is only a footer has no TOC";
}

TEST(MakeFooter, IsAnEmptyGzipMemberThatParses) {
  const auto footer = MakeFooter(0x123);
  const StatusOr<Footer> parsed = Parse(Text(footer));
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->toc_offset, 0x123U);
  const StatusOr<InflatedMember> member = GzipInflater().InflateMember(footer, {});
  ASSERT_TRUE(member.ok()) << member.status();
  EXPECT_EQ(member->compressed_bytes, kFooterBytes);
  EXPECT_EQ(member->decompressed_bytes, 0U);
}

TEST(MakeZstdFooter, IsASkippableFrameThatParses) {
  const FramedPart toc{.blob_offset = 0xabc, .stored_bytes = 0x123, .decompressed_bytes = 5000};
  const FramedPart tar_split{.blob_offset = 0xbe7, .stored_bytes = 10, .decompressed_bytes = 100};
  EXPECT_EQ(Text(MakeZstdFooter(toc)),
            ZstdFooter(0xabc, 0x123, 5000, testing_support::ZstdDialect::kStargz));
  EXPECT_EQ(Text(MakeZstdTarSplitFooter(toc, tar_split)),
            ZstdFooter(0xabc, 0x123, 5000, testing_support::ZstdDialect::kContainers));
  EXPECT_EQ(Text(MakeSkippableHeader(0x10203)), std::string("\x50\x2a\x4d\x18\3\2\1\0", 8));
}

}  // namespace
}  // namespace starling::estargz
