#include "layer/image_start.h"

#include <algorithm>

namespace starling::layer {
namespace {

using WallTime = std::chrono::system_clock::time_point;

/// The times that the start takes, with its pull.
struct Window {
  WallTime from;
  WallTime to;

  bool Has(WallTime begun, WallTime ended) const { return begun >= from && ended <= to; }
};

Window WindowOf(const RecordedRun& run) {
  std::chrono::milliseconds last_need{0};
  for (const LayerAccess& access : run.needs) {
    for (const AccessRange& range : access.ranges) {
      last_need = std::max(last_need, range.first_need);
    }
  }
  return {.from = run.begun - ImageStart::kPullBefore,
          .to = run.ended ? run.begun + last_need + ImageStart::kAfterLastNeed : WallTime::max()};
}

template <typename T>
void Keep(std::vector<T>& entries) {
  entries.erase(
      entries.begin() + static_cast<ptrdiff_t>(std::min(entries.size(), ImageStart::kMaxEntries)),
      entries.end());
}

void AddNeeds(const NotesOfStart& notes, ImageStart& start) {
  for (const LayerAccess& access : notes.run.needs) {
    for (NeededFile& file : notes.files_of(access)) {
      ++start.totals.needed_files;
      start.totals.needed_bytes += file.needed_bytes;
      start.needs.push_back({.layer = access.key, .file = std::move(file)});
    }
  }
  std::ranges::stable_sort(start.needs, {},
                           [](const ImageStart::Need& need) { return need.file.first_need; });
  Keep(start.needs);
}

}  // namespace

ImageStart StartOf(const NotesOfStart& notes) {
  const RecordedRun& run = notes.run;
  const Window window = WindowOf(run);
  ImageStart start{.image = run.image,
                   .manifest = run.manifest,
                   .begun = run.begun,
                   .goes_on = !run.ended.has_value()};
  AddNeeds(notes, start);

  for (const TracedFetch& fetch : notes.fetches.kept) {
    if (notes.layers.contains(fetch.layer) && window.Has(fetch.sent, fetch.ended)) {
      start.totals.requests += fetch.requests;
      start.totals.fetched_bytes += fetch.bytes;
      start.fetches.push_back({.fetch = fetch, .file = {}});
    }
  }
  std::ranges::stable_sort(start.fetches, {},
                           [](const ImageStart::Fetch& one) { return one.fetch.sent; });
  Keep(start.fetches);
  NameFiles(start.fetches, notes.names_of,
            [](const ImageStart::Fetch& one) -> const TracedFetch& { return one.fetch; });

  const auto begun_of = [](const SlowRead& read) {
    return read.ended -
           std::chrono::duration_cast<std::chrono::system_clock::duration>(read.times.total());
  };
  for (const SlowRead& read : notes.slow_reads.reads) {
    if (notes.layers.contains(read.layer) && window.Has(begun_of(read), read.ended)) {
      ++start.totals.slow_reads;
      start.reads.push_back({.read = read, .file = {}});
    }
  }
  std::ranges::stable_sort(start.reads, {},
                           [&](const NamedRead& one) { return begun_of(one.read); });
  Keep(start.reads);
  NameFiles(start.reads, notes.names_of,
            [](const NamedRead& one) -> const SlowRead& { return one.read; });

  const auto forgot = [&](uint64_t forgotten, WallTime oldest) {
    return forgotten > 0 && oldest > run.begun;
  };
  start.is_cut = (!notes.fetches.kept.empty() &&
                  forgot(notes.fetches.forgotten, notes.fetches.kept.front().ended)) ||
                 (!notes.slow_reads.reads.empty() &&
                  forgot(notes.slow_reads.forgotten, notes.slow_reads.reads.front().ended));
  return start;
}

}  // namespace starling::layer
