#include "estargz/footer.h"

#include <gtest/gtest.h>

#include <string>

#include "estargz/gzip_member.h"

namespace starling::estargz {
namespace {

constexpr uint64_t kBlobBytes = 0x1000;

std::string Text(const std::array<std::byte, kFooterBytes>& footer) {
  return std::string(AsText(footer));
}

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

std::string With(std::string text, size_t at, std::string_view bytes) {
  return text.replace(at, bytes.size(), bytes);
}

// What a reader of `footer` at the end of a blob of kBlobBytes has in hand.
StatusOr<Footer> Parse(std::string footer) {
  if (footer.size() < kFooterBytes) {
    footer.insert(0, kFooterBytes - footer.size(), 'x');
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
  const StatusOr<Footer> legacy = Parse(Legacy("0000000000000abc"));
  ASSERT_TRUE(legacy.ok());
  EXPECT_EQ(legacy->kind, FooterKind::kLegacyStargz);
  EXPECT_EQ(legacy->toc_offset, 0xabcU);
  EXPECT_EQ(legacy->size_bytes, 47U);
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
  EXPECT_EQ(ParseFooter(AsBytes(Legacy("0000000000000000")), 47).status().code(),
            StatusCode::kDataLoss)
      << "a blob that is only a footer has no TOC";
}

TEST(MakeFooter, IsAnEmptyGzipMemberThatParses) {
  const auto footer = MakeFooter(0x123);
  const StatusOr<Footer> parsed = ParseFooter(footer, kBlobBytes);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->toc_offset, 0x123U);
  const StatusOr<InflatedMember> member = GzipInflater().InflateMember(footer, {});
  ASSERT_TRUE(member.ok()) << member.status();
  EXPECT_EQ(member->compressed_bytes, kFooterBytes);
  EXPECT_EQ(member->decompressed_bytes, 0U);
}

}  // namespace
}  // namespace starling::estargz
