#include "oci/toc_digest.h"

#include <gtest/gtest.h>

namespace starling::oci {
namespace {

TEST(FindTocDigest, TakesTheAnnotationsOfEveryDialect) {
  const Digest one = Digest::Of(AsBytes("1"));
  const Digest two = Digest::Of(AsBytes("2"));
  const std::string json(annotation::kTocDigest);
  const std::string compressed(annotation::kCompressedTocDigest);
  const std::string old(annotation::kOldCompressedTocDigest);
  const struct {
    std::string_view name;
    Annotations annotations;
    StatusCode want;
    TocDigest digest;
  } cases[] = {
      {"eStargz", {{json, one.ToString()}}, StatusCode::kOk, {one, TocDigestOf::kJson}},
      {"stargz' zstd:chunked",
       {{old, two.ToString()}, {json, one.ToString()}},
       StatusCode::kOk,
       {one, TocDigestOf::kJson}},
      {"containers/storage",
       {{compressed, one.ToString()}},
       StatusCode::kOk,
       {one, TocDigestOf::kCompressed}},
      {"containers/storage, old",
       {{old, one.ToString()}},
       StatusCode::kOk,
       {one, TocDigestOf::kCompressed}},
      {"the label of our client",
       {{std::string(kCompressedTocLabel), one.ToString()}},
       StatusCode::kOk,
       {one, TocDigestOf::kCompressed}},
      {"none", {{"other", one.ToString()}}, StatusCode::kNotFound, {}},
      {"an empty label", {{json, ""}}, StatusCode::kNotFound, {}},
      {"no digest", {{compressed, "x"}}, StatusCode::kInvalidArgument, {}},
      {"a broken one hides no good one",
       {{json, "sha256:0"}, {compressed, one.ToString()}},
       StatusCode::kInvalidArgument,
       {}},
      {"another algorithm",
       {{compressed, "sha512:" + std::string(128, 'a')}},
       StatusCode::kUnimplemented,
       {}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const StatusOr<TocDigest> found = FindTocDigest(c.annotations);
    ASSERT_EQ(found.status().code(), c.want) << found.status();
    if (found.ok()) {
      EXPECT_EQ(*found, c.digest);
    } else if (c.want != StatusCode::kNotFound) {
      EXPECT_NE(MessageOf(found.status()).find(c.annotations.begin()->first.substr(0, 3)),
                std::string_view::npos)
          << "names the annotation";
    }
  }
}

}  // namespace
}  // namespace starling::oci
