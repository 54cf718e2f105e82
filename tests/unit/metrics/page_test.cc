#include "metrics/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>

namespace starling::metrics {
namespace {

using layer::Purpose;
using testing::HasSubstr;

struct Numbers {
  layer::FetchCounters fetches;
  mount::MountCounters mounts;
  registry::TransferCounters transfers;
  mount::HostState host;

  std::string Write() const {
    return WritePage({.fetches = fetches,
                      .mounts = mounts,
                      .transfers = transfers,
                      .host = host,
                      .version = "1.2",
                      .data_plane = "erofs"});
  }
};

TEST(WritePageTest, EveryNumberIsWhereItBelongs) {
  Numbers numbers;
  numbers.fetches.CountRequest(Purpose::kPrefetch);
  numbers.fetches.CountBytes(Purpose::kPrefetch, 11);
  numbers.fetches.CountBytes(Purpose::kWhole, 12);
  numbers.fetches.Of(Purpose::kDemand).durations.Observe(std::chrono::milliseconds(20));
  numbers.fetches.second_requests = 13;
  numbers.fetches.moved_fetches = 14;
  numbers.fetches.wrong_members = 15;
  numbers.fetches.served_bytes = 16;
  numbers.fetches.failed_reads = 17;
  numbers.fetches.waiting_reads = 18;
  numbers.fetches.copied_bytes = 19;
  numbers.fetches.evicted_bytes = 20;
  numbers.fetches.held_reads.Observe(std::chrono::microseconds(1));
  numbers.fetches.decodes.Observe(std::chrono::seconds(2));
  numbers.mounts.whole.Observe(std::chrono::seconds(5));
  numbers.mounts.failures[static_cast<size_t>(StatusCode::kNotFound)] = 21;
  numbers.transfers.CountEnd(206);
  numbers.transfers.CountEnd(307);
  numbers.transfers.CountEnd(429);
  numbers.transfers.CountEnd(503);
  numbers.transfers.failed = 22;
  numbers.transfers.dropped = 23;
  numbers.transfers.retries = 24;
  numbers.transfers.received_bytes = 25;
  numbers.host = {.shown_layers = 26,
                  .waiting_layers = 27,
                  .complete_layers = 28,
                  .images = 29,
                  .held_bytes = 30,
                  .total_bytes = 31,
                  .disk_bytes = 32,
                  .max_disk_bytes = 33,
                  .in_flight = {{{1, 34}, {2, 35}, {3, 36}, {4, 37}}},
                  .trees = 38,
                  .erofs_over_fuse = 39,
                  .erofs_stored = 40,
                  .merged_chains = 41};
  const std::string page = numbers.Write();
  for (const char* line : {
           "starling_info{version=\"1.2\",data_plane=\"erofs\"} 1",
           "starling_fetch_requests_total{purpose=\"prefetch\"} 1",
           "starling_fetch_requests_total{purpose=\"demand\"} 0",
           "starling_fetch_bytes_total{purpose=\"prefetch\"} 11",
           "starling_fetch_bytes_total{purpose=\"whole\"} 12",
           "starling_fetch_duration_seconds_bucket{purpose=\"demand\",le=\"0.01\"} 0",
           "starling_fetch_duration_seconds_bucket{purpose=\"demand\",le=\"0.03\"} 1",
           "starling_fetch_second_requests_total 13",
           "starling_fetch_moves_total 14",
           "starling_wrong_members_total 15",
           "starling_read_bytes_total 16",
           "starling_read_failures_total 17",
           "starling_reads_waiting 18",
           "starling_copied_bytes_total 19",
           "starling_evicted_bytes_total 20",
           "starling_read_duration_seconds_count{source=\"held\"} 1",
           "starling_read_duration_seconds_count{source=\"waited\"} 0",
           "starling_decode_duration_seconds_sum 2",
           "starling_prepare_duration_seconds_count{result=\"whole\"} 1",
           "starling_prepare_duration_seconds_count{result=\"fallback\"} 0",
           "starling_fallbacks_total{code=\"NOT_FOUND\"} 21",
           "starling_fallbacks_total{code=\"DATA_LOSS\"} 0",
           "starling_registry_requests_total{result=\"2xx\"} 1",
           "starling_registry_requests_total{result=\"3xx\"} 1",
           "starling_registry_requests_total{result=\"4xx\"} 1",
           "starling_registry_requests_total{result=\"5xx\"} 1",
           "starling_registry_requests_total{result=\"failed\"} 22",
           "starling_registry_requests_total{result=\"dropped\"} 23",
           "starling_registry_retries_total 24",
           "starling_registry_received_bytes_total 25",
           "starling_layers{state=\"shown\"} 26",
           "starling_layers{state=\"ahead\"} 27",
           "starling_layers_complete 28",
           "starling_images 29",
           "starling_held_bytes 30",
           "starling_total_bytes 31",
           "starling_store_disk_bytes 32",
           "starling_store_max_bytes 33",
           "starling_fetch_requests_in_flight{purpose=\"readahead\"} 2",
           "starling_fetch_bytes_in_flight{purpose=\"demand\"} 34",
           "starling_fetch_bytes_in_flight{purpose=\"background\"} 37",
           "starling_mounts{plane=\"tree\"} 38",
           "starling_mounts{plane=\"erofs-over-fuse\"} 39",
           "starling_mounts{plane=\"erofs-stored\"} 40",
           "starling_mounts{plane=\"merged-chain\"} 41",
       }) {
    EXPECT_THAT("\n" + page, HasSubstr("\n" + std::string(line) + "\n"));
  }
}

/// A scraper keeps each series for ever: what happens must not make more of them.
TEST(WritePageTest, TheSeriesAreTheSameWhateverHappens) {
  const auto series = [](const std::string& page) {
    std::set<std::string> names;
    std::istringstream lines(page);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with('#')) {
        continue;
      }
      EXPECT_TRUE(names.insert(line.substr(0, line.rfind(' '))).second) << line;
    }
    return names;
  };
  Numbers busy;
  for (const Purpose purpose : layer::kPurposes) {
    busy.fetches.CountBytes(purpose, 1);
  }
  for (auto& failures : busy.mounts.failures) {
    failures = 7;
  }
  busy.transfers.CountEnd(599);
  EXPECT_EQ(series(busy.Write()), series(Numbers().Write()));
  EXPECT_LT(series(Numbers().Write()).size(), 300U);
}

TEST(HandlerOfTest, ServesThePageAtItsPathAlone) {
  const http::Handler handler = HandlerOf([] { return std::string("numbers"); });
  const http::Answer page = handler({.path = "/metrics", .host = "any.example"});
  EXPECT_EQ(page.status, "200 OK");
  EXPECT_EQ(page.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(page.body, "numbers");
  for (const char* path : {"/", "/metrics/x", "/metricsx"}) {
    EXPECT_EQ(handler({.path = path, .host = {}}).status, "404 Not Found") << path;
  }
}

}  // namespace
}  // namespace starling::metrics
