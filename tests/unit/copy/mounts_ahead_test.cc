#include "copy/mounts_ahead.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/memory_image.h"

namespace starling::copy {
namespace {

using testing_support::MemoryImageDestination;

MountsAhead::Blob BlobNamed(const std::string& name) {
  return {.descriptor = {.media_type = std::string(oci::media_type::kOciLayerGzip),
                         .digest = oci::Digest::Of(AsBytes(name)),
                         .size_bytes = 1000},
          .origins = {{.registry = "a.example", .repository = name}}};
}

TEST(MountsAhead, TakesWhatTheRegistryHasAndSendsNothing) {
  const auto destination = std::make_shared<MemoryImageDestination>();
  std::vector<MountsAhead::Blob> blobs;
  for (const char* name : {"mountable", "there", "nowhere", "mountable too"}) {
    blobs.push_back(BlobNamed(name));
  }
  destination->OfferToMount(blobs[0].descriptor.digest);
  destination->Hold(blobs[1].descriptor.digest);
  destination->OfferToMount(blobs[3].descriptor.digest);
  MountsAhead mounts(destination, blobs);
  const std::set<oci::Digest> want = {blobs[0].descriptor.digest, blobs[3].descriptor.digest};
  EXPECT_EQ(mounts.Finish(), want);
  EXPECT_EQ(mounts.Finish(), want) << "again";
  EXPECT_EQ(destination->blobs_written(), 0);
  for (const size_t number : {0, 1, 3}) {
    EXPECT_TRUE(*destination->HasBlob(blobs[number].descriptor)) << number;
  }
  EXPECT_FALSE(*destination->HasBlob(blobs[2].descriptor));
  EXPECT_THAT(destination->origins(), testing::Contains(blobs[3].origins.front()));
}

TEST(MountsAhead, MayEndBeforeAllWereTried) {
  const auto destination = std::make_shared<MemoryImageDestination>();
  std::vector<MountsAhead::Blob> blobs(1000, BlobNamed("one"));
  {
    const MountsAhead mounts(destination, blobs);
  }
  EXPECT_EQ(destination.use_count(), 1);
}

}  // namespace
}  // namespace starling::copy
