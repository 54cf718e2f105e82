#include "metrics/page.h"

#include <array>
#include <atomic>

#include "base/status.h"
#include "metrics/exposition.h"
#include "oci/blob_reader.h"

namespace starling::metrics {
namespace {

using layer::Purpose;
using Number = std::atomic<uint64_t>;

uint64_t Value(const Number& number) { return number.load(std::memory_order_relaxed); }

void AddReads(const layer::FetchCounters& fetches, Exposition& page) {
  page.Histogram("starling_read_duration_seconds",
                 "Reads that the kernel asked for, by where their bytes were.");
  page.Add(fetches.held_reads, {{"source", "held"}});
  page.Add(fetches.waited_reads, {{"source", "waited"}});
  page.Counter("starling_read_bytes_total", "Bytes of files that reads were given.");
  page.Add(Value(fetches.served_bytes));
  page.Counter("starling_read_failures_total", "Reads that waited and failed.");
  page.Add(Value(fetches.failed_reads));
  page.Gauge("starling_reads_waiting", "Reads that wait for bytes now.");
  page.Add(Value(fetches.waiting_reads));
}

void AddFetches(const layer::FetchCounters& fetches, Exposition& page) {
  page.Counter("starling_fetch_requests_total", "Range requests for bytes of layers, by purpose.");
  for (const Purpose purpose : layer::kPurposes) {
    page.Add(Value(fetches.Of(purpose).requests), {{"purpose", NameOf(purpose)}});
  }
  page.Counter("starling_fetch_bytes_total", "Compressed bytes of layers that came, by purpose.");
  for (const Purpose purpose : layer::kPurposes) {
    page.Add(Value(fetches.Of(purpose).bytes), {{"purpose", NameOf(purpose)}});
  }
  page.Histogram("starling_fetch_duration_seconds",
                 "Range requests from sending to their last byte, retries included, by purpose.");
  for (const Purpose purpose : layer::kPurposes) {
    if (purpose != Purpose::kIndex) {  // of which the time is in that of the mount
      page.Add(fetches.Of(purpose).durations, {{"purpose", NameOf(purpose)}});
    }
  }
  page.Counter("starling_fetch_second_requests_total",
               "Requests that were sent because an earlier one for the same bytes was late.");
  page.Add(Value(fetches.second_requests));
  page.Counter("starling_fetch_moves_total",
               "Fetches that failed at one place and went on at another.");
  page.Add(Value(fetches.moved_fetches));
  page.Counter("starling_wrong_members_total",
               "Compressed members that came and were not what their layer promises.");
  page.Add(Value(fetches.wrong_members));
  page.Histogram("starling_decode_duration_seconds",
                 "Decoding of one member, with its verification and storing.");
  page.Add(fetches.decodes);
  page.Counter("starling_copied_bytes_total",
               "Bytes of files that other layers held and that were not fetched.");
  page.Add(Value(fetches.copied_bytes));
  page.Counter("starling_evicted_bytes_total", "Bytes of files that were given up for room.");
  page.Add(Value(fetches.evicted_bytes));
}

void AddMounts(const mount::MountCounters& mounts, Exposition& page) {
  page.Histogram("starling_prepare_duration_seconds",
                 "Showing of one layer, from the client's call, by what became of it.");
  page.Add(mounts.lazy, {{"result", "lazy"}});
  page.Add(mounts.whole, {{"result", "whole"}});
  page.Add(mounts.failed, {{"result", "fallback"}});
  page.Counter("starling_fallbacks_total",
               "Layers that were left to the client to download, by the error's code.");
  for (size_t code = 1; code < mounts.failures.size(); ++code) {
    page.Add(Value(mounts.failures[code]),
             {{"code", absl::StatusCodeToString(static_cast<StatusCode>(code))}});
  }
}

void AddTransfers(const registry::TransferCounters& transfers, Exposition& page) {
  page.Counter("starling_registry_requests_total",
               "HTTP exchanges with registries, token servers and storage, by how they ended.");
  page.Add(Value(transfers.succeeded), {{"result", "2xx"}});
  page.Add(Value(transfers.redirected), {{"result", "3xx"}});
  page.Add(Value(transfers.refused), {{"result", "4xx"}});
  page.Add(Value(transfers.server_errors), {{"result", "5xx"}});
  page.Add(Value(transfers.failed), {{"result", "failed"}});
  page.Add(Value(transfers.dropped), {{"result", "dropped"}});
  page.Counter("starling_registry_retries_total",
               "Those of them that were sent because an earlier one had failed.");
  page.Add(Value(transfers.retries));
  page.Counter("starling_registry_received_bytes_total",
               "Bytes of the bodies of all answers, manifests and errors included.");
  page.Add(Value(transfers.received_bytes));
}

void AddHost(const mount::HostState& host, Exposition& page) {
  page.Gauge("starling_layers", "Layers that are open: shown, or opened ahead for a pull.");
  page.Add(host.shown_layers, {{"state", "shown"}});
  page.Add(host.waiting_layers, {{"state", "ahead"}});
  page.Gauge("starling_layers_complete", "Open layers of which everything is held.");
  page.Add(host.complete_layers);
  page.Gauge("starling_images", "Images that shown layers were mounted for.");
  page.Add(host.images);
  page.Gauge("starling_mounts", "Shown layers and merged chains, by what shows them.");
  page.Add(host.trees, {{"plane", "tree"}});
  page.Add(host.erofs_over_fuse, {{"plane", "erofs-over-fuse"}});
  page.Add(host.erofs_stored, {{"plane", "erofs-stored"}});
  page.Add(host.merged_chains, {{"plane", "merged-chain"}});
  page.Gauge("starling_held_bytes", "Bytes of files that open layers hold.");
  page.Add(host.held_bytes);
  page.Gauge("starling_total_bytes", "Bytes of files that open layers have, held or not.");
  page.Add(host.total_bytes);
  page.Gauge("starling_store_disk_bytes", "What the store takes of the disk.");
  page.Add(host.disk_bytes);
  page.Gauge("starling_store_max_bytes", "What it may take; 0 is no cap.");
  page.Add(host.max_disk_bytes);
  page.Gauge("starling_fetch_requests_in_flight",
             "Range requests that were sent and whose bytes are not decoded yet, by purpose.");
  for (size_t i = 0; i < host.in_flight.size(); ++i) {
    page.Add(host.in_flight[i].requests, {{"purpose", NameOf(layer::kScheduledPurposes[i])}});
  }
  page.Gauge("starling_fetch_bytes_in_flight", "The bytes that they ask for, by purpose.");
  for (size_t i = 0; i < host.in_flight.size(); ++i) {
    page.Add(host.in_flight[i].bytes, {{"purpose", NameOf(layer::kScheduledPurposes[i])}});
  }
}

}  // namespace

std::string WritePage(const PageSources& sources) {
  Exposition page;
  page.Gauge("starling_info", "Always 1; the labels say what runs.");
  page.Add(1, {{"version", sources.version}, {"data_plane", sources.data_plane}});
  AddReads(sources.fetches, page);
  AddFetches(sources.fetches, page);
  AddMounts(sources.mounts, page);
  AddTransfers(sources.transfers, page);
  AddHost(sources.host, page);
  return page.Take();
}

http::Handler HandlerOf(std::function<std::string()> write) {
  return [write = std::move(write)](const http::Request& request) -> http::Answer {
    if (request.path != "/metrics") {
      return http::Refusal("404 Not Found", "there is /metrics only");
    }
    return {.content_type = std::string(Exposition::kContentType), .headers = {}, .body = write()};
  };
}

}  // namespace starling::metrics
