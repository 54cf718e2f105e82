/// Which bytes of an image its runs need, and when: knowledge for the next cold start.
#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "layer/chunk_table.h"
#include "oci/digest.h"
#include "store/layer_store.h"

namespace starling::layer {

/// The type of the artifact, and of its one layer, in which a profile travels.
inline constexpr std::string_view kAccessProfileType =
    "application/vnd.starling.access-profile.v1+json";

/// A part of a layer's data device that runs needed.
struct AccessRange {
  DataRange range;
  /// Since the image's first read, in the run that needed it earliest.
  std::chrono::milliseconds first_need{0};
  uint32_t runs = 1;  // how many of the profile's runs needed it

  friend bool operator==(const AccessRange&, const AccessRange&) = default;
};

/// What was needed of one layer. Addresses are those of the index that BuildIndex makes from the
/// TOC, so they mean the same on every machine that verified it.
struct LayerAccess {
  store::LayerKey key;
  std::vector<AccessRange> ranges;  // sorted by address, disjoint, none empty

  friend bool operator==(const LayerAccess&, const LayerAccess&) = default;
};

/// The accesses of one image, known by its manifest's digest. An ordinary value, always within the
/// limits below and in one canonical form: layers by key, ranges by address, neighbours that say
/// the same joined.
class AccessProfile {
 public:
  static constexpr size_t kMaxLayers = 1000;
  static constexpr size_t kMaxRanges = 1 << 17;  // of all layers
  static constexpr uint64_t kMaxDataBytes = uint64_t{1} << 44;
  static constexpr uint32_t kMaxRuns = 128;
  static constexpr std::chrono::milliseconds kMaxFirstNeed{UINT32_MAX};
  /// Every valid profile is written shorter.
  static constexpr uint64_t kMaxJsonBytes = 8 << 20;

  /// A profile of `runs` runs. Beyond kMaxRanges the ranges needed by the fewest runs go first,
  /// among those the latest. kInvalidArgument when a rule above is broken.
  static StatusOr<AccessProfile> Make(const oci::Digest& image, uint32_t runs,
                                      std::vector<LayerAccess> layers);
  /// Reads what ToJson wrote, from anywhere. Errors: kResourceExhausted beyond a limit, kDataLoss
  /// for anything else that ToJson does not write.
  static StatusOr<AccessProfile> Parse(ByteSpan json);
  /// Compact and canonical: equal profiles give equal bytes.
  std::string ToJson() const;

  const oci::Digest& image() const { return image_; }
  uint32_t runs() const { return runs_; }
  const std::vector<LayerAccess>& layers() const { return layers_; }
  size_t range_count() const;
  uint64_t needed_bytes() const;

  /// The accesses of the runs of both. Runs add up and so do, for every byte, the runs that needed
  /// it; its first need is the earliest, because the run with the fewest stalls is closest to what
  /// the program itself asks for. So neither the order nor the grouping of merges matters. Beyond
  /// kMaxRuns all counts are halved and what then has none is forgotten: an image's habits may
  /// change. kInvalidArgument for two images.
  static StatusOr<AccessProfile> Merge(const AccessProfile& a, const AccessProfile& b);

  /// `run`, one run that was watched at the layers `seen` alone. Of the others it is taken to have
  /// needed also what at least half of the runs in `kept` did, so that merging the two makes
  /// nothing rarer that could not be seen. kInvalidArgument for two images.
  static StatusOr<AccessProfile> FillUnseen(const AccessProfile& run, const AccessProfile& kept,
                                            const std::set<store::LayerKey>& seen);

  friend bool operator==(const AccessProfile&, const AccessProfile&) = default;

 private:
  AccessProfile(const oci::Digest& image, uint32_t runs, std::vector<LayerAccess> layers)
      : image_(image), runs_(runs), layers_(std::move(layers)) {}

  oci::Digest image_;
  uint32_t runs_ = 0;
  std::vector<LayerAccess> layers_;
};

/// One step of a prefetch.
struct PlannedAccess {
  size_t layer = 0;  // in AccessProfile::layers()
  DataRange range;
  std::chrono::milliseconds first_need{0};
  uint32_t runs = 0;

  friend bool operator==(const PlannedAccess&, const PlannedAccess&) = default;
};

/// All accesses of the image as one list over its layers, in the order in which to fetch them: what
/// at least half of the runs needed by first need, then the rest by first need.
std::vector<PlannedAccess> InOrderOfNeed(const AccessProfile& profile);

}  // namespace starling::layer
