#include "oci/descriptor.h"

#include <gtest/gtest.h>

namespace starling::oci {
namespace {

TEST(MediaType, SortsEachIntoOneClass) {
  const struct {
    std::string_view type;
    bool manifest = false;
    bool index = false;
    bool layer = false;
    bool foreign_layer = false;
  } cases[] = {
      {.type = media_type::kOciManifest, .manifest = true},
      {.type = media_type::kDockerManifest, .manifest = true},
      {.type = media_type::kOciIndex, .index = true},
      {.type = media_type::kDockerManifestList, .index = true},
      {.type = media_type::kOciLayerTar, .layer = true},
      {.type = media_type::kOciLayerGzip, .layer = true},
      {.type = media_type::kOciLayerZstd, .layer = true},
      {.type = media_type::kDockerLayerGzip, .layer = true},
      {.type = media_type::kDockerLayerTar, .layer = true},
      {.type = "application/vnd.docker.image.rootfs.diff.tar.zstd", .layer = true},
      {.type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", .foreign_layer = true},
      {.type = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
       .foreign_layer = true},
      {.type = media_type::kOciConfig},
      {.type = "application/vnd.in-toto+json"},
      {.type = ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.type);
    EXPECT_EQ(media_type::IsManifest(c.type), c.manifest);
    EXPECT_EQ(media_type::IsIndex(c.type), c.index);
    EXPECT_EQ(media_type::IsLayer(c.type), c.layer);
    EXPECT_EQ(media_type::IsForeignLayer(c.type), c.foreign_layer);
  }
}

}  // namespace
}  // namespace starling::oci
