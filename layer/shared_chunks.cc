#include "layer/shared_chunks.h"

#include <utility>

#include "base/log.h"
#include "layer/chunk_digests.h"

namespace starling::layer {
namespace {

/// Each is kept open.
constexpr size_t kMaxDonors = 64;

struct Match {
  uint32_t wanted = 0;
  uint32_t held = 0;
};

/// The chunks that `key` has in common with `wanted`, held or not.
std::vector<Match> MatchesWith(const ChunkDigests& wanted, const store::LayerKey& key,
                               KeptDigests& kept) {
  std::vector<Match> matches;
  const auto digests = kept.Find(key);
  if (digests.status().code() == StatusCode::kNotFound) {
    return matches;  // they are still to be kept
  }
  if (!digests.ok()) {
    log::Warning("a layer is not compared with others",
                 {{"layer", key.layer.ToString()}, {"error", Describe(digests.status())}});
    return matches;
  }
  ForEachShared(wanted, **digests, [&](uint32_t wanted_chunk, uint32_t held_chunk) {
    matches.push_back({.wanted = wanted_chunk, .held = held_chunk});
  });
  return matches;
}

}  // namespace

SharedChunks SharedChunks::Find(const store::StoredLayer& layer, const ChunkTable& table,
                                store::LayerStore& layers, KeptDigests& kept) {
  SharedChunks shared;
  const auto others = layers.List();
  if (!others.ok() || others->empty() || (others->size() == 1 && others->front() == layer.key())) {
    return shared;
  }
  const ChunkDigests wanted = ChunkDigests::Of(table);
  for (const store::LayerKey& key : *others) {
    if (key == layer.key() || shared.donors_.size() == kMaxDonors) {
      continue;
    }
    const std::vector<Match> matches = MatchesWith(wanted, key, kept);
    if (matches.empty()) {
      continue;
    }
    const auto stored = layers.Find(key);
    const auto held = stored.ok() ? ChunkTable::Open((*stored)->chunk_table()) : stored.status();
    if (!held.ok()) {
      continue;  // removed meanwhile, or damaged
    }
    shared.places_.resize(table.chunks().size());
    const auto number = static_cast<uint32_t>(shared.donors_.size());
    bool is_donor = false;
    for (const Match& match : matches) {
      if (match.held >= held->chunks().size() || shared.Has(match.wanted) ||
          layer.IsPresent(match.wanted) || !(*stored)->IsPresent(match.held)) {
        continue;
      }
      const ChunkRecord& ours = table.chunks()[match.wanted];
      const ChunkRecord& theirs = held->chunks()[match.held];
      if (ours.digest == theirs.digest && ours.size_bytes == theirs.size_bytes) {
        shared.places_[match.wanted] = {.donor = number, .chunk = match.held};
        shared.size_bytes_ += ours.size_bytes;
        is_donor = true;
      }
    }
    if (is_donor) {
      shared.donors_.push_back({.layer = *stored, .table = *held});
    }
  }
  return shared;
}

Status SharedChunks::CopyTo(store::StoredLayer& layer, const ChunkTable& table,
                            uint32_t chunk) const {
  const Place& place = places_[chunk];
  const Donor& donor = donors_[place.donor];
  const ChunkRecord& record = table.chunks()[chunk];
  return layer.PutShared(chunk, record.data_address, record.size_bytes, oci::Digest(record.digest),
                         {.layer = *donor.layer,
                          .chunk = place.chunk,
                          .data_address = donor.table.chunks()[place.chunk].data_address});
}

}  // namespace starling::layer
