#include "control/status_messages.h"

#include <algorithm>
#include <chrono>

namespace starling::control {
namespace {

using std::chrono::nanoseconds;

/// Half of what a duration can be: four of them still add up to one.
constexpr uint64_t kMaxNanoseconds = INT64_MAX / 8;

uint64_t ToNanoseconds(layer::ReadTimes::Duration time) {
  return static_cast<uint64_t>(std::chrono::duration_cast<nanoseconds>(time).count());
}

nanoseconds FromNanoseconds(uint64_t count) {
  return nanoseconds(static_cast<int64_t>(std::min(count, kMaxNanoseconds)));
}

int64_t ToUnix(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<nanoseconds>(time.time_since_epoch()).count();
}

std::chrono::system_clock::time_point FromUnix(int64_t count) {
  return std::chrono::system_clock::time_point(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(nanoseconds(count)));
}

void Set(const layer::ReadTimes& from, v1::ReadTimes& to) {
  to.set_queue_nanoseconds(ToNanoseconds(from.queue));
  to.set_network_nanoseconds(ToNanoseconds(from.network));
  to.set_decode_nanoseconds(ToNanoseconds(from.decode));
  to.set_disk_nanoseconds(ToNanoseconds(from.disk));
}

layer::ReadTimes TimesOf(const v1::ReadTimes& from) {
  return {.queue = FromNanoseconds(from.queue_nanoseconds()),
          .network = FromNanoseconds(from.network_nanoseconds()),
          .decode = FromNanoseconds(from.decode_nanoseconds()),
          .disk = FromNanoseconds(from.disk_nanoseconds())};
}

StatusOr<store::LayerKey> KeyOf(const std::string& layer, const std::string& toc) {
  store::LayerKey key;
  ASSIGN_OR_RETURN(key.layer, oci::Digest::Parse(layer));
  ASSIGN_OR_RETURN(key.toc, oci::Digest::Parse(toc));
  return key;
}

/// kUnknown for what is no error.
StatusCode CodeOf(int32_t code) {
  const bool is_known = code > 0 && code <= static_cast<int32_t>(StatusCode::kUnauthenticated);
  return is_known ? static_cast<StatusCode>(code) : StatusCode::kUnknown;
}

StatusOr<std::optional<layer::FetchDecision>> DecisionOf(const v1::LayerStatus& from) {
  if (from.mode().empty()) {
    return std::nullopt;
  }
  for (const layer::FetchMode mode :
       {layer::FetchMode::kLazy, layer::FetchMode::kLazyAndEager, layer::FetchMode::kEager}) {
    if (NameOf(mode) == from.mode()) {
      return layer::FetchDecision{.mode = mode, .reason = from.mode_reason()};
    }
  }
  return MakeError(StatusCode::kInvalidArgument,
                   fmt::format("unknown mode \"{}\"", from.mode().substr(0, 100)));
}

}  // namespace

v1::SlowRead ToProto(const layer::NamedRead& named) {
  const layer::SlowRead& read = named.read;
  v1::SlowRead to;
  to.set_digest(read.layer.layer.ToString());
  to.set_toc_digest(read.layer.toc.ToString());
  to.set_data_address(read.range.data_address);
  to.set_size_bytes(read.range.size_bytes);
  Set(read.times, *to.mutable_times());
  to.set_ended_unix_nanoseconds(ToUnix(read.ended));
  to.set_failed(read.failed);
  to.set_container(read.container);
  to.set_file(named.file);
  to.set_more_files(named.more_files);
  return to;
}

v1::ContainerStalls ToProto(const layer::ContainerStalls& stalls) {
  v1::ContainerStalls to;
  to.set_container(stalls.container);
  to.set_reads(stalls.reads);
  to.set_failed(stalls.failed);
  Set(stalls.times, *to.mutable_times());
  return to;
}

layer::ContainerStalls FromProto(const v1::ContainerStalls& from) {
  return {.container = from.container(),
          .reads = from.reads(),
          .failed = from.failed(),
          .times = TimesOf(from.times())};
}

v1::Fallback ToProto(const layer::Fallback& fallback) {
  v1::Fallback to;
  to.set_image(fallback.image);
  to.set_digest(fallback.layer.ToString());
  to.set_code(static_cast<int32_t>(fallback.reason.code()));
  to.set_reason(std::string(MessageOf(fallback.reason)));
  to.set_unix_nanoseconds(ToUnix(fallback.time));
  return to;
}

StatusOr<layer::Fallback> FromProto(const v1::Fallback& from) {
  layer::Fallback fallback{.image = from.image(),
                           .layer = {},
                           .reason = MakeError(CodeOf(from.code()), from.reason()),
                           .time = FromUnix(from.unix_nanoseconds())};
  ASSIGN_OR_RETURN(fallback.layer, oci::Digest::Parse(from.digest()));
  return fallback;
}

v1::LayerStatus ToProto(const layer::LayerStatus& status) {
  const layer::LayerUse& use = status.use;
  v1::LayerStatus to;
  to.set_digest(status.key.layer.ToString());
  to.set_toc_digest(status.key.toc.ToString());
  to.set_number(status.number);
  to.mutable_images()->Add(status.images.begin(), status.images.end());
  to.set_whole(status.is_whole);
  to.set_complete(status.is_complete);
  to.set_unseen(status.is_unseen);
  to.set_fresh(status.is_new);
  if (status.decision) {
    to.set_mode(std::string(NameOf(status.decision->mode)));
    to.set_mode_reason(status.decision->reason);
  }
  to.set_blob_bytes(use.blob_bytes);
  to.set_held_blob_bytes(use.held_blob_bytes);
  to.set_total_bytes(use.total_bytes);
  to.set_held_bytes(use.held_bytes);
  to.set_needed_bytes(use.needed_bytes);
  to.set_wasted_bytes(use.wasted_bytes);
  for (const layer::LayerUse::Fetched& fetched : use.fetched) {
    v1::LayerStatus::Fetched& part = *to.add_fetched();
    part.set_requests(fetched.requests);
    part.set_bytes(fetched.bytes);
  }
  for (const layer::LayerUse::Came& came : use.came) {
    v1::LayerStatus::Came& part = *to.add_came();
    part.set_bytes(came.bytes);
    part.set_needed_bytes(came.needed_bytes);
  }
  to.mutable_credentials()->insert(status.credentials.begin(), status.credentials.end());
  for (const layer::LayerUse::Part& from : use.parts) {
    v1::LayerStatus::Part& part = *to.add_parts();
    part.set_total_bytes(from.total_bytes);
    part.set_held_bytes(from.held_bytes);
    part.set_needed_bytes(from.needed_bytes);
  }
  to.set_stalled_reads(use.stalls.reads);
  to.set_failed_reads(use.stalls.failed);
  Set(use.stalls.times, *to.mutable_stall_times());
  for (const layer::NamedRead& read : status.worst_reads) {
    *to.add_worst_reads() = ToProto(read);
  }
  to.set_waiting_reads(use.waiting.reads);
  for (const layer::NamedWait& wait : status.waits) {
    v1::WaitingRead& part = *to.add_longest_waits();
    part.set_data_address(wait.read.range.data_address);
    part.set_size_bytes(wait.read.range.size_bytes);
    part.set_waited_nanoseconds(ToNanoseconds(wait.read.waited));
    part.set_file(wait.file);
    part.set_more_files(wait.more_files);
    part.set_container(wait.read.container);
  }
  for (const layer::BlobSources::Health& health : status.places) {
    v1::LayerStatus::Place& place = *to.add_places();
    place.set_name(health.name);
    place.set_host(health.host);
    place.set_preferred(health.is_preferred);
    if (health.since_failure) {
      place.set_seconds_since_failure(static_cast<uint64_t>(health.since_failure->count()));
    }
    place.set_wrong_bytes(health.brought_wrong_bytes);
  }
  return to;
}

StatusOr<layer::NamedRead> FromProto(const v1::SlowRead& from) {
  layer::NamedRead named{
      .read = {.layer = {},
               .range = {.data_address = from.data_address(), .size_bytes = from.size_bytes()},
               .times = TimesOf(from.times()),
               .ended = {},
               .failed = from.failed(),
               .container = from.container()},
      .file = from.file(),
      .more_files = from.more_files()};
  named.read.ended = FromUnix(from.ended_unix_nanoseconds());
  ASSIGN_OR_RETURN(named.read.layer, KeyOf(from.digest(), from.toc_digest()));
  return named;
}

StatusOr<layer::LayerStatus> FromProto(const v1::LayerStatus& from) {
  layer::LayerStatus status{.key = {},
                            .number = from.number(),
                            .images = {from.images().begin(), from.images().end()},
                            .is_whole = from.whole(),
                            .is_complete = from.complete(),
                            .is_unseen = from.unseen(),
                            .is_new = from.fresh()};
  ASSIGN_OR_RETURN(status.key, KeyOf(from.digest(), from.toc_digest()));
  ASSIGN_OR_RETURN(status.decision, DecisionOf(from));
  layer::LayerUse& use = status.use;
  use.blob_bytes = from.blob_bytes();
  use.held_blob_bytes = from.held_blob_bytes();
  use.total_bytes = from.total_bytes();
  use.held_bytes = from.held_bytes();
  use.needed_bytes = from.needed_bytes();
  use.wasted_bytes = from.wasted_bytes();
  // A newer server may know more purposes.
  for (int i = 0; i < std::min<int>(from.fetched_size(), static_cast<int>(use.fetched.size()));
       ++i) {
    use.fetched[static_cast<size_t>(i)] = {.requests = from.fetched(i).requests(),
                                           .bytes = from.fetched(i).bytes()};
  }
  for (int i = 0; i < std::min<int>(from.came_size(), static_cast<int>(use.came.size())); ++i) {
    use.came[static_cast<size_t>(i)] = {.bytes = from.came(i).bytes(),
                                        .needed_bytes = from.came(i).needed_bytes()};
  }
  status.credentials = {from.credentials().begin(), from.credentials().end()};
  for (const v1::LayerStatus::Part& part : from.parts()) {
    use.parts.push_back({.total_bytes = part.total_bytes(),
                         .held_bytes = part.held_bytes(),
                         .needed_bytes = part.needed_bytes()});
  }
  use.stalls.reads = from.stalled_reads();
  use.stalls.failed = from.failed_reads();
  use.stalls.times = TimesOf(from.stall_times());
  for (const v1::SlowRead& read : from.worst_reads()) {
    ASSIGN_OR_RETURN(layer::NamedRead named, FromProto(read));
    use.stalls.worst.push_back(named.read);
    status.worst_reads.push_back(std::move(named));
  }
  use.waiting.reads = from.waiting_reads();
  for (const v1::WaitingRead& part : from.longest_waits()) {
    const layer::LayerUse::WaitingRead read{
        .range = {.data_address = part.data_address(), .size_bytes = part.size_bytes()},
        .waited = FromNanoseconds(part.waited_nanoseconds()),
        .container = part.container()};
    use.waiting.longest.push_back(read);
    status.waits.push_back({.read = read, .file = part.file(), .more_files = part.more_files()});
  }
  for (const v1::LayerStatus::Place& place : from.places()) {
    layer::BlobSources::Health health{.name = place.name(),
                                      .host = place.host(),
                                      .is_preferred = place.preferred(),
                                      .brought_wrong_bytes = place.wrong_bytes()};
    if (place.has_seconds_since_failure()) {
      health.since_failure =
          std::chrono::seconds(std::min<uint64_t>(place.seconds_since_failure(), UINT32_MAX));
    }
    status.places.push_back(std::move(health));
  }
  return status;
}

std::vector<v1::StartsPart> ToProto(const layer::ImageStart& from) {
  std::vector<v1::StartsPart> parts(1);
  v1::ImageStart& start = *parts.back().mutable_start();
  start.set_image(from.image);
  start.set_manifest_digest(from.manifest.ToString());
  start.set_begun_unix_nanoseconds(ToUnix(from.begun));
  start.set_goes_on(from.goes_on);
  start.set_cut(from.is_cut);
  start.set_needed_files(from.totals.needed_files);
  start.set_needed_bytes(from.totals.needed_bytes);
  start.set_requests(from.totals.requests);
  start.set_fetched_bytes(from.totals.fetched_bytes);
  start.set_slow_reads(from.totals.slow_reads);
  for (const auto& [key, file] : from.needs) {
    v1::FirstNeed& need = *parts.emplace_back().mutable_need();
    need.set_digest(key.layer.ToString());
    need.set_toc_digest(key.toc.ToString());
    need.set_file(file.path);
    need.set_size_bytes(file.size_bytes);
    need.set_needed_bytes(file.needed_bytes);
    need.set_milliseconds(static_cast<uint64_t>(file.first_need.count()));
  }
  for (const layer::ImageStart::Fetch& named : from.fetches) {
    v1::Fetch& fetch = *parts.emplace_back().mutable_fetch();
    fetch.set_digest(named.fetch.layer.layer.ToString());
    fetch.set_toc_digest(named.fetch.layer.toc.ToString());
    fetch.set_purpose(std::string(NameOf(named.fetch.purpose)));
    fetch.set_data_address(named.fetch.range.data_address);
    fetch.set_size_bytes(named.fetch.range.size_bytes);
    fetch.set_requests(named.fetch.requests);
    fetch.set_bytes(named.fetch.bytes);
    fetch.set_sent_unix_nanoseconds(ToUnix(named.fetch.sent));
    fetch.set_ended_unix_nanoseconds(ToUnix(named.fetch.ended));
    fetch.set_failed(named.fetch.failed);
    fetch.set_file(named.file);
    fetch.set_more_files(named.more_files);
  }
  for (const layer::NamedRead& read : from.reads) {
    *parts.emplace_back().mutable_read() = ToProto(read);
  }
  return parts;
}

namespace {

StatusOr<layer::ImageStart> StartOf(const v1::ImageStart& from) {
  layer::ImageStart start{.image = from.image(),
                          .manifest = {},
                          .begun = FromUnix(from.begun_unix_nanoseconds()),
                          .goes_on = from.goes_on(),
                          .is_cut = from.cut(),
                          .totals = {.needed_files = from.needed_files(),
                                     .needed_bytes = from.needed_bytes(),
                                     .requests = from.requests(),
                                     .fetched_bytes = from.fetched_bytes(),
                                     .slow_reads = from.slow_reads()}};
  ASSIGN_OR_RETURN(start.manifest, oci::Digest::Parse(from.manifest_digest()));
  return start;
}

StatusOr<layer::ImageStart::Need> NeedOf(const v1::FirstNeed& from) {
  constexpr auto kMax = static_cast<uint64_t>(layer::AccessProfile::kMaxFirstNeed.count());
  layer::ImageStart::Need need{
      .layer = {},
      .file = {.path = from.file(),
               .size_bytes = from.size_bytes(),
               .needed_bytes = from.needed_bytes(),
               .first_need = std::chrono::milliseconds(std::min(from.milliseconds(), kMax)),
               .runs = 1}};
  ASSIGN_OR_RETURN(need.layer, KeyOf(from.digest(), from.toc_digest()));
  return need;
}

StatusOr<layer::ImageStart::Fetch> FetchOf(const v1::Fetch& from) {
  const auto purpose = std::ranges::find_if(
      layer::kPurposes, [&](layer::Purpose one) { return NameOf(one) == from.purpose(); });
  if (purpose == layer::kPurposes.end()) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("unknown purpose \"{}\"", from.purpose().substr(0, 100)));
  }
  layer::ImageStart::Fetch named{
      .fetch = {.layer = {},
                .purpose = *purpose,
                .range = {.data_address = from.data_address(), .size_bytes = from.size_bytes()},
                .requests = from.requests(),
                .bytes = from.bytes(),
                .sent = FromUnix(from.sent_unix_nanoseconds()),
                .ended = FromUnix(from.ended_unix_nanoseconds()),
                .failed = from.failed()},
      .file = from.file(),
      .more_files = from.more_files()};
  ASSIGN_OR_RETURN(named.fetch.layer, KeyOf(from.digest(), from.toc_digest()));
  return named;
}

}  // namespace

Status AddPart(const v1::StartsPart& part, std::vector<layer::ImageStart>& starts) {
  if (part.has_start()) {
    ASSIGN_OR_RETURN(layer::ImageStart start, StartOf(part.start()));
    starts.push_back(std::move(start));
    return OkStatus();
  }
  if (starts.empty()) {
    return MakeError(StatusCode::kInvalidArgument, "an entry of no start");
  }
  layer::ImageStart& start = starts.back();
  if (part.has_need()) {
    ASSIGN_OR_RETURN(layer::ImageStart::Need need, NeedOf(part.need()));
    start.needs.push_back(std::move(need));
  } else if (part.has_fetch()) {
    ASSIGN_OR_RETURN(layer::ImageStart::Fetch fetch, FetchOf(part.fetch()));
    start.fetches.push_back(std::move(fetch));
  } else if (part.has_read()) {
    ASSIGN_OR_RETURN(layer::NamedRead read, FromProto(part.read()));
    start.reads.push_back(std::move(read));
  }
  return OkStatus();
}

}  // namespace starling::control
