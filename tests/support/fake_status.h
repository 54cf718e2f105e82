/// A status that is as it was told.
#pragma once

#include <vector>

#include "layer/status.h"

namespace starling::testing_support {

class FakeStatus : public layer::StatusSource {
 public:
  StatusOr<std::vector<layer::LayerStatus>> Layers() override {
    return error.ok() ? StatusOr<std::vector<layer::LayerStatus>>(layers) : error;
  }
  StatusOr<layer::TracedReads> SlowReads() override {
    return error.ok() ? StatusOr<layer::TracedReads>(traced) : error;
  }

  StatusOr<std::vector<layer::ImageStart>> Starts() override {
    return error.ok() ? StatusOr<std::vector<layer::ImageStart>>(starts) : error;
  }

  std::vector<layer::LayerStatus> layers;
  layer::TracedReads traced;
  std::vector<layer::ImageStart> starts;
  Status error;
};

/// With a value of its own in every field.
inline layer::NamedRead SomeRead(std::string_view file, uint64_t seed) {
  using std::chrono::milliseconds;
  return {.read = {.layer = {.layer = oci::Digest::Of(AsBytes("layer")),
                             .toc = oci::Digest::Of(AsBytes("toc"))},
                   .range = {.data_address = seed * 4096, .size_bytes = 4096 + seed},
                   .times = {.queue = milliseconds(seed + 1),
                             .network = milliseconds(seed * 10 + 2),
                             .decode = milliseconds(seed + 3),
                             .disk = milliseconds(seed + 4)},
                   .ended = std::chrono::system_clock::time_point(
                       std::chrono::seconds(1'700'000'000 + seed)),
                   .failed = seed % 2 == 1,
                   .container = "c" + std::to_string(seed)},
          .file = std::string(file),
          .more_files = seed};
}

inline layer::Fallback SomeFallback(std::string image) {
  return {.image = std::move(image),
          .layer = oci::Digest::Of(AsBytes("layer")),
          .reason = MakeError(StatusCode::kNotFound, "the registry has no such blob"),
          .time = std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000))};
}

inline layer::ImageStart SomeStart(std::string image) {
  using std::chrono::milliseconds;
  const store::LayerKey key = SomeRead("", 0).read.layer;
  const auto begun =
      std::chrono::system_clock::time_point(std::chrono::milliseconds(1'700'000'000'500));
  return {.image = std::move(image),
          .manifest = oci::Digest::Of(AsBytes("manifest")),
          .begun = begun,
          .goes_on = true,
          .is_cut = true,
          .totals = {.needed_files = 11,
                     .needed_bytes = 12,
                     .requests = 13,
                     .fetched_bytes = 14,
                     .slow_reads = 15},
          .needs = {{.layer = key,
                     .file = {.path = "/usr/bin/x",
                              .size_bytes = 100,
                              .needed_bytes = 50,
                              .first_need = milliseconds(250),
                              .runs = 1}}},
          .fetches = {{.fetch = {.layer = key,
                                 .purpose = layer::Purpose::kPrefetch,
                                 .range = {.data_address = 5, .size_bytes = 6},
                                 .requests = 2,
                                 .bytes = 77,
                                 .sent = begun - milliseconds(500),
                                 .ended = begun + milliseconds(1500),
                                 .failed = true},
                       .file = "\xff odd",
                       .more_files = 3}},
          .reads = {SomeRead("/usr/bin/x", 7)}};
}

inline layer::LayerStatus SomeLayer(uint64_t number, std::vector<std::string> images) {
  layer::LayerStatus status{
      .key = {.layer = oci::Digest::Of(AsBytes("layer")), .toc = oci::Digest::Of(AsBytes("toc"))},
      .number = number,
      .images = std::move(images),
      .is_complete = true,
      .is_new = true,
      .decision =
          layer::FetchDecision{.mode = layer::FetchMode::kLazyAndEager, .reason = "it is so"},
      .use = {.blob_bytes = 100,
              .held_blob_bytes = 90,
              .total_bytes = 300,
              .held_bytes = 200,
              .needed_bytes = 150,
              .wasted_bytes = 40},
      .worst_reads = {SomeRead("/usr/bin/x", 7), SomeRead("\xff odd", 4)},
      .places = {{.name = "mirror", .host = "registry", .is_preferred = true},
                 {.name = "origin",
                  .host = "registry",
                  .since_failure = std::chrono::seconds(12),
                  .brought_wrong_bytes = true}},
      .credentials = {{"a:1", "a file"}}};
  for (size_t i = 0; i < layer::kPurposes.size(); ++i) {
    status.use.fetched[i] = {.requests = i + 1, .bytes = 10 * (i + 1)};
    status.use.came[i] = {.bytes = 20 * (i + 1), .needed_bytes = 5 * (i + 1)};
  }
  status.use.parts = {{.total_bytes = 150, .held_bytes = 120, .needed_bytes = 100},
                      {.total_bytes = 150, .held_bytes = 80, .needed_bytes = 50}};
  status.use.stalls = {.reads = 2, .failed = 1, .times = status.worst_reads[0].read.times};
  status.waits = {{.read = {.range = {.data_address = 77, .size_bytes = 5},
                            .waited = std::chrono::milliseconds(1234),
                            .container = "c1"},
                   .file = "/etc/waits",
                   .more_files = 6}};
  status.use.waiting = {.reads = 3, .longest = {status.waits[0].read}};
  for (const layer::NamedRead& named : status.worst_reads) {
    status.use.stalls.worst.push_back(named.read);
  }
  return status;
}

}  // namespace starling::testing_support
