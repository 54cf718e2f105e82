#include "layer/toc_image.h"

#include <gtest/gtest.h>

#include "tests/support/toc_image.h"

namespace starling::layer {
namespace {

using testing_support::FillImageOfTocs;
using testing_support::MemoryImageSource;

TEST(TocImage, IsNamedAfterTheTag) {
  const struct {
    std::string_view image;
    std::string_view want;  // empty: refused
  } cases[] = {
      {"ghcr.io/me/app:1", "ghcr.io/me/app:1-esgztoc"},
      {"localhost:5000/app:1", "localhost:5000/app:1-esgztoc"},
      {"localhost:5000/app", "localhost:5000/app:latest-esgztoc"},
      {"oci:images:app", "oci:images:app-esgztoc"},
      {"ghcr.io/me/app@sha256:1111", ""},
      {"ghcr.io/me/app:1@sha256:1111", ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.image);
    const StatusOr<std::string> name = TocImage::NameFor(std::string(c.image));
    EXPECT_EQ(name.ok() ? *name : "", c.want);
    EXPECT_EQ(name.status().code(),
              c.want.empty() ? StatusCode::kFailedPrecondition : StatusCode::kOk);
  }
}

TEST(TocImage, FindsTheTocOfEachLayer) {
  const oci::Digest layer = oci::Digest::Of(AsBytes("layer"));
  MemoryImageSource source;
  FillImageOfTocs(source, layer, AsBytes("toc"));
  int opened = 0;
  TocImage image([&]() -> StatusOr<std::shared_ptr<oci::ImageSource>> {
    ++opened;
    return std::shared_ptr<oci::ImageSource>(std::shared_ptr<void>(), &source);
  });
  EXPECT_EQ(opened, 0) << "nothing was asked for";
  const StatusOr<Bytes> toc = image.Read(layer, {});
  ASSERT_TRUE(toc.ok()) << toc.status();
  EXPECT_EQ(AsText(*toc), "toc");
  EXPECT_EQ(AsText(*image.Read(oci::Digest::Of(AsBytes("another layer")), {})), "another");
  EXPECT_EQ(image.Read(oci::Digest::Of(AsBytes("a third")), {}).status().code(),
            StatusCode::kNotFound);
  EXPECT_EQ(image.Read(layer, {.compressed_bytes = 2}).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(opened, 1);
  EXPECT_EQ(source.manifests_read(), 1);
  EXPECT_EQ(source.blobs_streamed(), 2) << "not the one that is too large";
}

TEST(TocImage, TriesAgainAfterAnError) {
  const oci::Digest layer = oci::Digest::Of(AsBytes("layer"));
  MemoryImageSource source;
  FillImageOfTocs(source, layer, AsBytes("toc"));
  bool is_away = true;
  TocImage image([&]() -> StatusOr<std::shared_ptr<oci::ImageSource>> {
    if (is_away) {
      return MakeError(StatusCode::kUnavailable, "away");
    }
    return std::shared_ptr<oci::ImageSource>(std::shared_ptr<void>(), &source);
  });
  EXPECT_EQ(image.Read(layer, {}).status().code(), StatusCode::kUnavailable);
  is_away = false;
  EXPECT_TRUE(image.Read(layer, {}).ok());
}

}  // namespace
}  // namespace starling::layer
