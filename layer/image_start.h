#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "layer/access_recorder.h"
#include "layer/file_names.h"
#include "layer/needed_files.h"
#include "layer/recent_fetches.h"
#include "layer/slow_reads.h"

namespace starling::layer {

/// The start of an image's first container: what it needed when, what its reads waited for, and
/// what requests brought. All lists are in the order of time, and bounded.
struct ImageStart {
  /// Of each kind; the earliest are kept.
  static constexpr size_t kMaxEntries = 400;
  /// Requests that were sent no earlier than this before the first read are the pull's.
  static constexpr std::chrono::minutes kPullBefore{2};
  /// What ends so long after the last need is not the start's any more.
  static constexpr std::chrono::seconds kAfterLastNeed{1};

  struct Need {
    store::LayerKey layer;
    NeededFile file;
    friend bool operator==(const Need&, const Need&) = default;
  };
  struct Fetch {
    TracedFetch fetch;
    std::string file;         // as NamedRead's
    uint64_t more_files = 0;  // that it brought some of
    friend bool operator==(const Fetch&, const Fetch&) = default;
  };
  struct Totals {
    uint64_t needed_files = 0;
    uint64_t needed_bytes = 0;
    uint64_t requests = 0;
    uint64_t fetched_bytes = 0;  // compressed
    uint64_t slow_reads = 0;
    friend bool operator==(const Totals&, const Totals&) = default;
  };

  std::string image;                            // as it was pulled
  oci::Digest manifest;                         // of the image
  std::chrono::system_clock::time_point begun;  // by its first read
  bool goes_on = false;                         // what else is needed is still noted
  bool is_cut = false;                          // some requests or reads of it are forgotten
  Totals totals;                                // also of what is not listed
  std::vector<Need> needs;
  std::vector<Fetch> fetches;
  std::vector<NamedRead> reads;  // that were slow

  friend bool operator==(const ImageStart&, const ImageStart&) = default;
};

/// What a start is put together from.
struct NotesOfStart {
  RecordedRun run;
  std::set<store::LayerKey> layers;  // of the image
  RecentFetches::All fetches;
  SlowReads::Trace slow_reads;
  /// The files that ranges of a layer are of, and those that a layer's run needed; none of a layer
  /// that is not open any more.
  FilesOfRanges names_of;
  std::function<std::vector<NeededFile>(const LayerAccess&)> files_of;
};
ImageStart StartOf(const NotesOfStart& notes);

}  // namespace starling::layer
