#include "layer/access_profile.h"

#include <algorithm>
#include <tuple>

#include "oci/json_fields.h"

namespace starling::layer {
namespace {

using oci::Json;
using std::chrono::milliseconds;

constexpr uint64_t kVersion = 1;
constexpr std::string_view kWhat = "access profile";
constexpr size_t kFields = 4;  // of a range: gap, size, first need, runs

// The widest range is "[17592186044416,17592186044416,4294967295,128]," and the widest layer has
// two digests and its keys.
static_assert(AccessProfile::kMaxRanges * 48 + AccessProfile::kMaxLayers * 256 + 256 <=
              AccessProfile::kMaxJsonBytes);

Status Invalid(std::string_view problem) {
  return MakeError(StatusCode::kInvalidArgument, fmt::format("{}: {}", kWhat, problem));
}

Status Malformed(std::string_view problem) {
  return MakeError(StatusCode::kDataLoss, fmt::format("{}: {}", kWhat, problem));
}

bool SaysTheSame(const AccessRange& a, const AccessRange& b) {
  return a.first_need == b.first_need && a.runs == b.runs;
}

/// Needed by less than half of the runs.
bool IsRare(uint32_t runs, uint32_t of_runs) { return uint64_t{runs} * 2 < of_runs; }

/// Adds `next` behind the others, joined with the last one when it continues it.
void Append(std::vector<AccessRange>& ranges, const AccessRange& next) {
  if (!ranges.empty() && ranges.back().range.end() == next.range.data_address &&
      SaysTheSame(ranges.back(), next)) {
    ranges.back().range.size_bytes += next.range.size_bytes;
    return;
  }
  ranges.push_back(next);
}

Status CheckRanges(const std::vector<AccessRange>& ranges, uint32_t runs) {
  uint64_t free_from = 0;
  for (const AccessRange& access : ranges) {
    const DataRange& range = access.range;
    if (range.data_address < free_from || range.size_bytes == 0 ||
        range.data_address > AccessProfile::kMaxDataBytes ||
        range.size_bytes > AccessProfile::kMaxDataBytes - range.data_address) {
      return Invalid("ranges are empty, overlap, are not sorted or leave the data device");
    }
    if (access.first_need < milliseconds(0) || access.first_need > AccessProfile::kMaxFirstNeed) {
      return Invalid("an impossible time");
    }
    if (access.runs == 0 || access.runs > runs) {
      return Invalid("a range was needed by no run or by more than there are");
    }
    free_from = range.end();
  }
  return OkStatus();
}

/// Drops what is needed by the fewest runs, then latest, until kMaxRanges are left.
void DropTheLeastUseful(std::vector<LayerAccess>& layers) {
  size_t count = 0;
  for (const LayerAccess& layer : layers) {
    count += layer.ranges.size();
  }
  if (count <= AccessProfile::kMaxRanges) {
    return;
  }
  // The place in the list makes the order total, so the result does not depend on the sort.
  using Usefulness = std::tuple<int64_t, milliseconds, size_t>;
  std::vector<Usefulness> order;
  order.reserve(count);
  for (const LayerAccess& layer : layers) {
    for (const AccessRange& access : layer.ranges) {
      order.emplace_back(-int64_t{access.runs}, access.first_need, order.size());
    }
  }
  std::vector<bool> is_kept(count, false);
  std::nth_element(order.begin(), order.begin() + AccessProfile::kMaxRanges, order.end());
  for (size_t i = 0; i < AccessProfile::kMaxRanges; ++i) {
    is_kept[std::get<2>(order[i])] = true;
  }
  size_t place = 0;
  for (LayerAccess& layer : layers) {
    std::erase_if(layer.ranges, [&](const AccessRange&) { return !is_kept[place++]; });
  }
}

/// Every range of the two lists, cut where the other one begins or ends.
std::vector<AccessRange> MergeRanges(const std::vector<AccessRange>& a,
                                     const std::vector<AccessRange>& b) {
  std::vector<AccessRange> merged;
  auto left = a.begin();
  auto right = b.begin();
  uint64_t from = 0;  // everything before is done
  while (left != a.end() || right != b.end()) {
    const uint64_t left_start =
        left == a.end() ? UINT64_MAX : std::max(from, left->range.data_address);
    const uint64_t right_start =
        right == b.end() ? UINT64_MAX : std::max(from, right->range.data_address);
    from = std::min(left_start, right_start);
    uint64_t to = left_start == right_start ? UINT64_MAX : std::max(left_start, right_start);
    AccessRange piece{.first_need = AccessProfile::kMaxFirstNeed, .runs = 0};
    for (const auto& [at, start, end] :
         {std::tuple(left, left_start, a.end()), std::tuple(right, right_start, b.end())}) {
      if (at != end && start == from) {
        to = std::min(to, at->range.end());
        piece.first_need = std::min(piece.first_need, at->first_need);
        piece.runs += at->runs;
      }
    }
    piece.range = {.data_address = from, .size_bytes = to - from};
    Append(merged, piece);
    from = to;
    while (left != a.end() && left->range.end() <= from) {
      ++left;
    }
    while (right != b.end() && right->range.end() <= from) {
      ++right;
    }
  }
  return merged;
}

void Halve(uint32_t& runs, std::vector<LayerAccess>& layers) {
  runs /= 2;
  for (LayerAccess& layer : layers) {
    std::vector<AccessRange> kept;
    for (AccessRange access : layer.ranges) {
      access.runs /= 2;
      if (access.runs > 0) {
        Append(kept, access);
      }
    }
    layer.ranges = std::move(kept);
  }
}

/// A field as it was read, or what is wrong with it.
template <typename T>
StatusOr<T> Checked(StatusOr<T> field, std::string_view name) {
  if (field.ok()) {
    return field;
  }
  return Malformed(fmt::format("{}: {}", name, MessageOf(field.status())));
}

/// Numbers [gap, size, first need, runs]; the gap is counted from the range before.
StatusOr<AccessRange> ParseRange(const Json& item, uint64_t previous_end) {
  if (!item.is_array() || item.size() != kFields) {
    return Malformed("a range is not a list of four numbers");
  }
  uint64_t fields[kFields];
  for (size_t i = 0; i < kFields; ++i) {
    if (!item[i].is_number_unsigned()) {
      return Malformed("a range holds something that is no number");
    }
    fields[i] = item[i].get<uint64_t>();
  }
  if (fields[0] > AccessProfile::kMaxDataBytes || fields[1] > AccessProfile::kMaxDataBytes ||
      fields[2] > static_cast<uint64_t>(AccessProfile::kMaxFirstNeed.count()) ||
      fields[3] > AccessProfile::kMaxRuns) {
    return Malformed("a range holds an impossible number");
  }
  return AccessRange{.range = {.data_address = previous_end + fields[0], .size_bytes = fields[1]},
                     .first_need = milliseconds(fields[2]),
                     .runs = static_cast<uint32_t>(fields[3])};
}

StatusOr<LayerAccess> ParseLayer(const Json& item, size_t& ranges_left) {
  if (!item.is_object() || item.size() != 3) {
    return Malformed("a layer is not an object of three members");
  }
  LayerAccess layer;
  ASSIGN_OR_RETURN(layer.key.layer, Checked(oci::DigestField(item, "layer"), "layer"));
  ASSIGN_OR_RETURN(layer.key.toc, Checked(oci::DigestField(item, "toc"), "toc"));
  const Json* ranges = oci::FindField(item, "ranges");
  if (ranges == nullptr || !ranges->is_array()) {
    return Malformed("a layer has no list of ranges");
  }
  if (ranges->size() > ranges_left) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("{}: more than {} ranges", kWhat, AccessProfile::kMaxRanges));
  }
  ranges_left -= ranges->size();
  layer.ranges.reserve(ranges->size());
  uint64_t end = 0;
  for (const Json& range : *ranges) {
    ASSIGN_OR_RETURN(const AccessRange access, ParseRange(range, end));
    end = access.range.end();
    layer.ranges.push_back(access);
    if (end > AccessProfile::kMaxDataBytes) {
      return Malformed("a range leaves the data device");
    }
  }
  return layer;
}

StatusOr<AccessProfile> ParseProfile(const Json& document) {
  if (document.size() != 4) {
    return Malformed("not an object of four members");
  }
  ASSIGN_OR_RETURN(const uint64_t version, Checked(oci::SizeField(document, "version"), "version"));
  if (version != kVersion) {
    return Malformed(fmt::format("version {} is unknown", version));
  }
  ASSIGN_OR_RETURN(const oci::Digest image, Checked(oci::DigestField(document, "image"), "image"));
  ASSIGN_OR_RETURN(const uint64_t runs, Checked(oci::SizeField(document, "runs"), "runs"));
  if (runs > AccessProfile::kMaxRuns) {
    return Malformed(fmt::format("{} runs, at most {} are counted", runs, AccessProfile::kMaxRuns));
  }
  const Json* items = oci::FindField(document, "layers");
  if (items == nullptr || !items->is_array()) {
    return Malformed("it has no list of layers");
  }
  if (items->size() > AccessProfile::kMaxLayers) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("{}: {} layers, at most {} are accepted", kWhat, items->size(),
                                 AccessProfile::kMaxLayers));
  }
  std::vector<LayerAccess> layers;
  layers.reserve(items->size());
  size_t ranges_left = AccessProfile::kMaxRanges;
  for (const Json& item : *items) {
    ASSIGN_OR_RETURN(LayerAccess layer, ParseLayer(item, ranges_left));
    layers.push_back(std::move(layer));
  }
  return AccessProfile::Make(image, static_cast<uint32_t>(runs), std::move(layers));
}

}  // namespace

StatusOr<AccessProfile> AccessProfile::Make(const oci::Digest& image, uint32_t runs,
                                            std::vector<LayerAccess> layers) {
  if (runs == 0 || runs > kMaxRuns) {
    return Invalid(fmt::format("{} runs instead of 1 to {}", runs, kMaxRuns));
  }
  if (layers.size() > kMaxLayers) {
    return Invalid(fmt::format("{} layers, at most {} are accepted", layers.size(), kMaxLayers));
  }
  std::ranges::sort(layers, {}, &LayerAccess::key);
  if (std::ranges::adjacent_find(layers, {}, &LayerAccess::key) != layers.end()) {
    return Invalid("a layer is named twice");
  }
  for (LayerAccess& layer : layers) {
    RETURN_IF_ERROR(CheckRanges(layer.ranges, runs));
    std::vector<AccessRange> joined;
    for (const AccessRange& access : layer.ranges) {
      Append(joined, access);
    }
    layer.ranges = std::move(joined);
  }
  DropTheLeastUseful(layers);
  std::erase_if(layers, [](const LayerAccess& layer) { return layer.ranges.empty(); });
  return AccessProfile(image, runs, std::move(layers));
}

StatusOr<AccessProfile> AccessProfile::Parse(ByteSpan json) {
  ASSIGN_OR_RETURN(const Json document, oci::ParseJsonObject(json, kMaxJsonBytes, kWhat));
  auto profile = ParseProfile(document);
  if (profile.status().code() == StatusCode::kInvalidArgument) {
    return MakeError(StatusCode::kDataLoss, MessageOf(profile.status()));
  }
  return profile;
}

std::string AccessProfile::ToJson() const {
  Json items = Json::array();
  for (const LayerAccess& layer : layers_) {
    Json ranges = Json::array();
    uint64_t end = 0;
    for (const AccessRange& access : layer.ranges) {
      ranges.push_back(Json::array({access.range.data_address - end, access.range.size_bytes,
                                    access.first_need.count(), access.runs}));
      end = access.range.end();
    }
    items.push_back({{"layer", layer.key.layer.ToString()},
                     {"toc", layer.key.toc.ToString()},
                     {"ranges", std::move(ranges)}});
  }
  const Json document = {{"version", kVersion},
                         {"image", image_.ToString()},
                         {"runs", runs_},
                         {"layers", std::move(items)}};
  return oci::WriteJson(document);
}

size_t AccessProfile::range_count() const {
  size_t count = 0;
  for (const LayerAccess& layer : layers_) {
    count += layer.ranges.size();
  }
  return count;
}

uint64_t AccessProfile::needed_bytes() const {
  uint64_t bytes = 0;
  for (const LayerAccess& layer : layers_) {
    for (const AccessRange& access : layer.ranges) {
      bytes += access.range.size_bytes;
    }
  }
  return bytes;
}

StatusOr<AccessProfile> AccessProfile::Merge(const AccessProfile& a, const AccessProfile& b) {
  if (a.image_ != b.image_) {
    return Invalid(
        fmt::format("{} and {} are two images", a.image_.ToString(), b.image_.ToString()));
  }
  std::vector<LayerAccess> layers;
  auto left = a.layers_.begin();
  auto right = b.layers_.begin();
  while (left != a.layers_.end() || right != b.layers_.end()) {
    if (right == b.layers_.end() || (left != a.layers_.end() && left->key < right->key)) {
      layers.push_back(*left++);
    } else if (left == a.layers_.end() || right->key < left->key) {
      layers.push_back(*right++);
    } else {
      layers.push_back({.key = left->key, .ranges = MergeRanges(left->ranges, right->ranges)});
      ++left;
      ++right;
    }
  }
  uint32_t runs = a.runs_ + b.runs_;
  if (runs > kMaxRuns) {
    Halve(runs, layers);
  }
  return Make(a.image_, runs, std::move(layers));
}

StatusOr<AccessProfile> AccessProfile::FillUnseen(const AccessProfile& run,
                                                  const AccessProfile& kept,
                                                  const std::set<store::LayerKey>& seen) {
  std::vector<LayerAccess> habits;
  for (const LayerAccess& layer : kept.layers_) {
    if (seen.contains(layer.key)) {
      continue;
    }
    LayerAccess habit{.key = layer.key, .ranges = {}};
    for (AccessRange access : layer.ranges) {
      if (!IsRare(access.runs, kept.runs_)) {
        access.runs = 1;
        Append(habit.ranges, access);
      }
    }
    habits.push_back(std::move(habit));
  }
  ASSIGN_OR_RETURN(const AccessProfile usual, Make(kept.image_, 1, std::move(habits)));
  ASSIGN_OR_RETURN(const AccessProfile both, Merge(run, usual));
  // Two runs by the count of Merge, but it was one.
  std::vector<LayerAccess> layers;
  for (const LayerAccess& layer : both.layers_) {
    LayerAccess once{.key = layer.key, .ranges = {}};
    for (AccessRange access : layer.ranges) {
      access.runs = 1;
      Append(once.ranges, access);
    }
    layers.push_back(std::move(once));
  }
  return Make(run.image_, 1, std::move(layers));
}

std::vector<PlannedAccess> InOrderOfNeed(const AccessProfile& profile) {
  std::vector<PlannedAccess> plan;
  plan.reserve(profile.range_count());
  for (size_t layer = 0; layer < profile.layers().size(); ++layer) {
    for (const AccessRange& access : profile.layers()[layer].ranges) {
      plan.push_back({.layer = layer,
                      .range = access.range,
                      .first_need = access.first_need,
                      .runs = access.runs});
    }
  }
  const auto rank = [&profile](const PlannedAccess& access) {
    return std::tuple(IsRare(access.runs, profile.runs()), access.first_need, access.layer,
                      access.range.data_address);
  };
  std::ranges::sort(
      plan, [&rank](const PlannedAccess& a, const PlannedAccess& b) { return rank(a) < rank(b); });
  return plan;
}

}  // namespace starling::layer
