#include "layer/lazy_layer.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "estargz/gzip_member.h"

namespace starling::layer {
namespace {

/// Chunks kept in memory while the disk is full, so that small reads of a large chunk fetch it
/// once.
constexpr uint64_t kSpillBytes = 16 << 20;
/// Registries that hold one layer are few; more are old names of them.
constexpr size_t kMaxSources = 8;

/// Errors that say nothing about the bytes: every member of the range shares them.
bool IsTransportError(StatusCode code) {
  switch (code) {
    case StatusCode::kUnavailable:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kCancelled:
    case StatusCode::kNotFound:
    case StatusCode::kPermissionDenied:
    case StatusCode::kUnauthenticated:
    case StatusCode::kResourceExhausted:
      return true;
    default:
      return false;
  }
}

enum class Wants { kPresence, kBytes };

/// What follows a file's last chunk in its member: padding and the tar headers up to the next file.
constexpr uint64_t kMemberSlackBytes = 64 << 10;
/// Several chunks may share a member; all of them are decoded at once.
constexpr uint64_t kMaxMemberBytes = 2 * kMaxChunkBytes;

/// Memory that is written before it is read, so it need not be zeroed.
struct DecodedBytes {
  std::unique_ptr<std::byte[]> memory;
  uint64_t size_bytes = 0;

  ByteSpan span() const { return {memory.get(), size_bytes}; }
};

/// The first `wanted_bytes` of what `compressed` decompresses to.
StatusOr<DecodedBytes> Decode(ByteSpan compressed, uint64_t wanted_bytes) {
  thread_local estargz::GzipInflater inflater;
  if (wanted_bytes / estargz::kMaxDeflateRatio > compressed.size()) {
    return MakeError(StatusCode::kDataLoss, "gzip member: too short for what it should hold");
  }
  const uint64_t capacity = wanted_bytes + kMemberSlackBytes;
  DecodedBytes out{.memory = std::make_unique_for_overwrite<std::byte[]>(capacity),
                   .size_bytes = wanted_bytes};
  const auto whole = inflater.InflateMember(compressed, {out.memory.get(), capacity});
  if (whole.ok() && whole->decompressed_bytes >= wanted_bytes) {
    return out;
  }
  // A larger member, or several: slower, in pieces.
  RETURN_IF_ERROR(inflater.InflateRange(compressed, 0, {out.memory.get(), wanted_bytes}));
  return out;
}

}  // namespace

/// One Read or MakePresent on its way.
struct LazyLayer::Request {
  Request(DataRange range_in, ChunkSpan chunks_in, oci::FetchClass class_in, Wants wants_in,
          ReadDone done_in)
      : range(range_in),
        chunks(chunks_in),
        fetch_class(class_in),
        wants(wants_in),
        done(std::move(done_in)) {}

  bool Needs(uint32_t chunk) const { return chunk >= chunks.first && chunk < chunks.last; }

  const DataRange range;
  const ChunkSpan chunks;
  const oci::FetchClass fetch_class;
  const Wants wants;
  const ReadDone done;

  Mutex mutex;  // leaf
  size_t members_left GUARDED_BY(mutex) = 0;
  Status error GUARDED_BY(mutex);
  std::vector<SpilledChunk> spilled GUARDED_BY(mutex);
};

StatusOr<std::shared_ptr<LazyLayer>> LazyLayer::Open(std::shared_ptr<store::StoredLayer> stored,
                                                     Executor& cpu, FetchCounters& counters,
                                                     const FetchLimits& limits) {
  ASSIGN_OR_RETURN(erofs::ImageReader index, erofs::ImageReader::Open(stored->index()));
  ASSIGN_OR_RETURN(ChunkTable table, ChunkTable::Open(stored->chunk_table()));
  if (table.chunks().size() != stored->info().chunk_count ||
      table.data_size_bytes() != stored->info().data_size_bytes) {
    return MakeError(StatusCode::kDataLoss, "layer: index and chunk table do not belong together");
  }
  return std::shared_ptr<LazyLayer>(
      new LazyLayer(std::move(stored), index, table, cpu, counters, limits));
}

LazyLayer::LazyLayer(std::shared_ptr<store::StoredLayer> stored, erofs::ImageReader index,
                     ChunkTable table, Executor& cpu, FetchCounters& counters,
                     const FetchLimits& limits)
    : stored_(std::move(stored)),
      index_(index),
      table_(table),
      cpu_(cpu),
      counters_(counters),
      limits_(limits) {}

void LazyLayer::AddSource(const std::string& name, BlobSource source) {
  MutexLock lock(mutex_);
  const auto known = std::ranges::find(sources_, name, &std::pair<std::string, BlobSource>::first);
  if (known != sources_.end()) {
    known->second = std::move(source);
    return;
  }
  if (sources_.size() == kMaxSources) {
    sources_.erase(sources_.begin());
    current_source_ = current_source_ == 0 ? 0 : current_source_ - 1;
  }
  sources_.emplace_back(name, std::move(source));
}

void LazyLayer::UseReader(std::shared_ptr<oci::BlobReader> reader) {
  MutexLock lock(mutex_);
  if (!closed_) {
    reader_.swap(reader);  // the old one goes after the lock
  }
}

bool LazyLayer::IsPresent(DataRange range) const {
  const ChunkSpan span = table_.Find(range);
  for (uint32_t chunk = span.first; chunk < span.last; ++chunk) {
    if (!stored_->IsPresent(chunk)) {
      return false;
    }
  }
  return true;
}

Status LazyLayer::ReadPresent(uint64_t data_address, std::span<std::byte> out) const {
  return stored_->Read(data_address, out);
}

void LazyLayer::Read(DataRange range, oci::FetchClass fetch_class, ReadDone done) {
  Start(std::make_shared<Request>(range, table_.Find(range), fetch_class, Wants::kBytes,
                                  std::move(done)));
}

void LazyLayer::MakePresent(DataRange range, oci::FetchClass fetch_class, PresentDone done) {
  Start(std::make_shared<Request>(
      range, table_.Find(range), fetch_class, Wants::kPresence,
      [done = std::move(done)](const StatusOr<Bytes>& bytes) { done(bytes.status()); }));
}

void LazyLayer::Start(const std::shared_ptr<Request>& request) {
  if (request->range.data_address > table_.data_size_bytes() ||
      request->range.size_bytes > table_.data_size_bytes() - request->range.data_address) {
    request->done(MakeError(StatusCode::kOutOfRange, "layer: a read past the end of its data"));
    return;
  }
  std::vector<Fetch> fetches;
  bool nothing_missing = false;
  {
    MutexLock lock(mutex_);
    if (!closed_) {
      fetches = Enlist(request);
      MutexLock request_lock(request->mutex);
      nothing_missing = request->members_left == 0;
    } else {
      nothing_missing = true;
      MutexLock request_lock(request->mutex);
      request->error = MakeError(StatusCode::kCancelled, "layer: closed");
    }
  }
  if (nothing_missing &&
      !PostToCpu([self = shared_from_this(), request] { self->Complete(request); })) {
    Complete(request);
    return;
  }
  for (const Fetch& fetch : fetches) {
    StartFetch(fetch);
  }
}

/// Registers `request` with every absent member that it needs; returns the fetches that nobody
/// has started yet.
std::vector<LazyLayer::Fetch> LazyLayer::Enlist(const std::shared_ptr<Request>& request) {
  std::vector<uint32_t> missing;
  for (uint32_t chunk = request->chunks.first; chunk < request->chunks.last; ++chunk) {
    if (!stored_->IsPresent(chunk) && !TakeSpilled(chunk, *request)) {
      missing.push_back(table_.chunks()[chunk].member);
    }
  }
  std::ranges::sort(missing);
  missing.erase(std::ranges::unique(missing).begin(), missing.end());
  std::vector<uint32_t> wanted;
  for (const uint32_t member : missing) {
    if (!in_flight_.contains(member)) {
      wanted.push_back(member);
    }
  }
  const auto is_free = [this](uint32_t member) EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !in_flight_.contains(member) && IsAbsent(member);
  };
  std::vector<Fetch> fetches;
  for (const PlannedFetch& plan : PlanFetches(table_.members(), wanted, is_free, limits_)) {
    for (uint32_t member = plan.first_member; member < plan.last_member; ++member) {
      in_flight_.try_emplace(member);
    }
    fetches.push_back({.plan = plan, .fetch_class = request->fetch_class});
  }
  for (const uint32_t member : missing) {
    in_flight_[member].push_back(request);
  }
  MutexLock lock(request->mutex);
  request->members_left = missing.size();
  return fetches;
}

bool LazyLayer::IsAbsent(uint32_t member) const {
  return std::ranges::any_of(table_.ChunksOf(member),
                             [this](uint32_t chunk) { return !stored_->IsPresent(chunk); });
}

bool LazyLayer::TakeSpilled(uint32_t chunk, Request& request) {
  const auto found = std::ranges::find(spilled_, chunk, &SpilledChunk::chunk);
  if (request.wants != Wants::kBytes || found == spilled_.end()) {
    return false;
  }
  MutexLock lock(request.mutex);
  request.spilled.push_back(*found);
  return true;
}

void LazyLayer::StartFetch(const Fetch& fetch) {
  std::shared_ptr<oci::BlobReader> reader;
  {
    MutexLock lock(mutex_);
    if (closed_) {
      return;  // Close has answered everybody
    }
    reader = reader_;
    if (!reader) {
      waiting_for_reader_.push_back(fetch);
      if (std::exchange(opening_, true)) {
        return;
      }
    }
  }
  if (reader) {
    ReadBlob(reader, fetch);
  } else {
    PostToCpu([self = shared_from_this()] { self->OpenSource(); });
  }
}

/// Opens the first source that can be opened, beginning with the current one, and starts the
/// fetches that wait for it.
void LazyLayer::OpenSource() {
  std::vector<std::pair<std::string, BlobSource>> sources;
  size_t current = 0;
  {
    MutexLock lock(mutex_);
    sources = sources_;
    current = current_source_;
  }
  StatusOr<std::shared_ptr<oci::BlobReader>> reader =
      MakeError(StatusCode::kUnavailable, "layer: no place to fetch from is known");
  for (size_t i = 0; i < sources.size() && !reader.ok(); ++i) {
    current = (current + i) % sources.size();
    reader = sources[current].second();
  }
  std::vector<Fetch> fetches;
  {
    MutexLock lock(mutex_);
    opening_ = false;
    fetches.swap(waiting_for_reader_);
    if (reader.ok() && !closed_) {
      reader_ = *reader;
      current_source_ = current;
    }
  }
  for (const Fetch& fetch : fetches) {
    if (reader.ok()) {
      ReadBlob(*reader, fetch);
    } else {
      OnFetchFailed(fetch, reader.status());
    }
  }
}

void LazyLayer::ReadBlob(const std::shared_ptr<oci::BlobReader>& reader, const Fetch& fetch) {
  counters_.requests.fetch_add(1, std::memory_order_relaxed);
  // The callback owns layer and reader, so both outlive it.
  reader->Read(fetch.plan.range, {.fetch_class = fetch.fetch_class},
               [self = shared_from_this(), reader, fetch](StatusOr<Bytes> bytes) {
                 self->OnFetched(reader, fetch, std::move(bytes));
               });
}

void LazyLayer::OnFetched(const std::shared_ptr<oci::BlobReader>& reader, const Fetch& fetch,
                          StatusOr<Bytes> bytes) {
  if (bytes.ok() && bytes->size() != fetch.plan.range.size_bytes) {
    bytes = MakeError(StatusCode::kDataLoss, "layer: a range of the wrong size arrived");
  }
  if (!bytes.ok()) {
    {
      MutexLock lock(mutex_);
      if (reader_ == reader && sources_.size() > 1 && IsTransportError(bytes.status().code())) {
        reader_.reset();  // not the last owner: `reader` is one
        current_source_ = (current_source_ + 1) % sources_.size();
      }
    }
    PostToCpu([self = shared_from_this(), fetch, error = bytes.status()] {
      self->OnFetchFailed(fetch, error);
    });
    return;
  }
  counters_.bytes.fetch_add(bytes->size(), std::memory_order_relaxed);
  const auto arrived = std::make_shared<const Bytes>(*std::move(bytes));
  std::vector<uint32_t> order;
  {
    MutexLock lock(mutex_);
    for (uint32_t member = fetch.plan.first_member; member < fetch.plan.last_member; ++member) {
      order.push_back(member);
    }
    // Those that somebody waits for come first.
    std::ranges::stable_partition(order, [this](uint32_t member) EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      const auto found = in_flight_.find(member);
      return found != in_flight_.end() && !found->second.empty();
    });
  }
  for (const uint32_t member : order) {
    PostToCpu([self = shared_from_this(), fetch, arrived, member] {
      const MemberRecord& record = self->table_.members()[member];
      self->DecodeMember(fetch, member,
                         ByteSpan(*arrived).subspan(
                             record.blob_offset - fetch.plan.range.blob_offset, record.blob_size));
    });
  }
}

void LazyLayer::OnFetchFailed(const Fetch& fetch, const Status& error) {
  const PlannedFetch& plan = fetch.plan;
  if (plan.last_member - plan.first_member == 1 || IsTransportError(error.code())) {
    for (uint32_t member = plan.first_member; member < plan.last_member; ++member) {
      Finish(member, {.error = error});
    }
    return;
  }
  // Something in the range is broken: those who wait for the rest of it must not suffer.
  std::vector<uint32_t> awaited;
  {
    MutexLock lock(mutex_);
    for (uint32_t member = plan.first_member; member < plan.last_member; ++member) {
      const auto found = in_flight_.find(member);
      if (found == in_flight_.end()) {
        continue;
      }
      if (found->second.empty()) {
        in_flight_.erase(found);
      } else {
        awaited.push_back(member);
      }
    }
  }
  for (const uint32_t member : awaited) {
    const MemberRecord& record = table_.members()[member];
    StartFetch(
        {.plan = {.range = {.blob_offset = record.blob_offset, .size_bytes = record.blob_size},
                  .first_member = member,
                  .last_member = member + 1},
         .fetch_class = fetch.fetch_class});
  }
}

void LazyLayer::DecodeMember(const Fetch& fetch, uint32_t member, ByteSpan compressed) {
  const Outcome outcome = StoreMember(member, compressed);
  const bool is_broken =
      outcome.error.code() == StatusCode::kDataLoss ||
      std::ranges::any_of(outcome.failed_chunks, [](const std::pair<uint32_t, Status>& failed) {
        return failed.second.code() == StatusCode::kDataLoss;
      });
  if (is_broken && !fetch.is_refetch) {
    // A cache on the way may have spoiled it: ask once more.
    const MemberRecord& record = table_.members()[member];
    StartFetch(
        {.plan = {.range = {.blob_offset = record.blob_offset, .size_bytes = record.blob_size},
                  .first_member = member,
                  .last_member = member + 1},
         .fetch_class = fetch.fetch_class,
         .is_refetch = true});
    return;
  }
  Finish(member, outcome);
}

/// Decodes a member as far as its absent chunks reach, verifies and stores them.
LazyLayer::Outcome LazyLayer::StoreMember(uint32_t member, ByteSpan compressed) {
  std::vector<uint32_t> absent;
  uint64_t decoded_bytes = 0;
  for (const uint32_t chunk : table_.ChunksOf(member)) {
    if (!stored_->IsPresent(chunk)) {
      const ChunkRecord& record = table_.chunks()[chunk];
      absent.push_back(chunk);
      decoded_bytes = std::max(decoded_bytes, record.inner_offset + record.size_bytes);
    }
  }
  Outcome outcome;
  if (absent.empty()) {
    return outcome;
  }
  if (decoded_bytes > kMaxMemberBytes) {
    outcome.error = MakeError(
        StatusCode::kResourceExhausted,
        fmt::format("gzip member: a chunk ends {} bytes into it, more than the {} that are decoded "
                    "in memory",
                    decoded_bytes, kMaxMemberBytes));
    return outcome;
  }
  const StatusOr<DecodedBytes> decoded = Decode(compressed, decoded_bytes);
  if (!decoded.ok()) {
    outcome.error = decoded.status();
    return outcome;
  }
  for (const uint32_t chunk : absent) {
    const ChunkRecord& record = table_.chunks()[chunk];
    const oci::Digest digest(record.digest);
    const ByteSpan bytes = decoded->span().subspan(record.inner_offset, record.size_bytes);
    Status status = stored_->Put(chunk, record.data_address, bytes, digest);
    // Only what is proven leaves this function, so the digest is asked here too.
    if (status.code() == StatusCode::kResourceExhausted && oci::Digest::Of(bytes) == digest) {
      outcome.spilled.push_back(
          {.chunk = chunk, .bytes = std::make_shared<Bytes>(bytes.begin(), bytes.end())});
    } else if (!status.ok()) {
      outcome.failed_chunks.emplace_back(chunk, std::move(status));
    }
  }
  return outcome;
}

void LazyLayer::Finish(uint32_t member, const Outcome& outcome) {
  std::vector<std::shared_ptr<Request>> waiting;
  {
    MutexLock lock(mutex_);
    const auto found = in_flight_.find(member);
    if (found == in_flight_.end()) {
      return;  // closed meanwhile
    }
    waiting = std::move(found->second);
    in_flight_.erase(found);
    for (const SpilledChunk& spilled : outcome.spilled) {
      spilled_.push_back(spilled);
      spilled_bytes_ += spilled.bytes->size();
    }
    while (spilled_bytes_ > kSpillBytes) {
      spilled_bytes_ -= spilled_.front().bytes->size();
      spilled_.pop_front();
    }
  }
  for (const std::shared_ptr<Request>& request : waiting) {
    Settle(request, outcome);
  }
}

void LazyLayer::Settle(const std::shared_ptr<Request>& request, const Outcome& outcome) {
  {
    MutexLock lock(request->mutex);
    request->error.Update(outcome.error);
    for (const auto& [chunk, error] : outcome.failed_chunks) {
      if (request->Needs(chunk)) {
        request->error.Update(error);
      }
    }
    for (const SpilledChunk& spilled : outcome.spilled) {
      if (!request->Needs(spilled.chunk)) {
        continue;
      }
      if (request->wants == Wants::kBytes) {
        request->spilled.push_back(spilled);
      } else {
        request->error.Update(MakeError(StatusCode::kResourceExhausted, "layer: the disk is full"));
      }
    }
    if (--request->members_left > 0) {
      return;
    }
  }
  Complete(request);
}

void LazyLayer::Complete(const std::shared_ptr<Request>& request) {
  Status error;
  std::vector<SpilledChunk> spilled;
  {
    MutexLock lock(request->mutex);
    error = request->error;
    spilled.swap(request->spilled);
  }
  if (!error.ok() || request->wants == Wants::kPresence) {
    request->done(error.ok() ? StatusOr<Bytes>(Bytes()) : error);
    return;
  }
  Bytes out(request->range.size_bytes);
  const DataRange range = request->range;
  // Holes of the data file read as zeros; what is not on the disk is put over them.
  if (Status status = stored_->Read(range.data_address, out); !status.ok()) {
    request->done(status);
    return;
  }
  for (const SpilledChunk& part : spilled) {
    const DataRange chunk = table_.chunks()[part.chunk].range();
    const uint64_t from = std::max(chunk.data_address, range.data_address);
    const uint64_t to = std::min(chunk.end(), range.end());
    std::memcpy(out.data() + (from - range.data_address),
                part.bytes->data() + (from - chunk.data_address), to - from);
  }
  request->done(std::move(out));
}

bool LazyLayer::PostToCpu(std::function<void()> task) {
  MutexLock lock(mutex_);
  if (closed_) {
    return false;
  }
  // Under the lock, so that Close ends every use of the executor.
  cpu_.Post(std::move(task));
  return true;
}

void LazyLayer::Close() {
  std::unordered_map<uint32_t, std::vector<std::shared_ptr<Request>>> in_flight;
  std::shared_ptr<oci::BlobReader> reader;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    in_flight.swap(in_flight_);
    reader.swap(reader_);
    waiting_for_reader_.clear();
  }
  const Outcome outcome{.error = MakeError(StatusCode::kCancelled, "layer: closed")};
  for (const auto& [member, waiting] : in_flight) {
    for (const std::shared_ptr<Request>& request : waiting) {
      Settle(request, outcome);
    }
  }
}

}  // namespace starling::layer
