/// A blob in memory that counts, holds back, fails and lies as a test tells it.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "oci/blob_reader.h"

namespace starling::testing_support {

/// Threads: safe. Answers on the caller's thread, or on that of Release.
class MemoryBlob : public oci::BlobReader {
 public:
  explicit MemoryBlob(Bytes bytes) : bytes_(std::move(bytes)) {}

  /// Reads wait for Release from now on.
  void Hold() {
    MutexLock lock(mutex_);
    is_holding_ = true;
  }
  /// Answers what waits and holds nothing back any more.
  void Release() {
    std::vector<std::pair<oci::BlobRange, Done>> held;
    std::vector<std::function<void()>> streams;
    {
      MutexLock lock(mutex_);
      is_holding_ = false;
      hold_streams_after_.reset();
      held.swap(held_);
      streams.swap(held_streams_);
    }
    for (const auto& stream : streams) {
      stream();
    }
    for (auto& [range, done] : held) {
      Answer(range, done);
    }
  }
  /// The next read without an order yet fails with `error`.
  void FailNext(Status error) {
    MutexLock lock(mutex_);
    orders_.push_back({.error = std::move(error)});
  }
  /// The next read without an order yet brings other bytes than are stored.
  void DamageNext() {
    MutexLock lock(mutex_);
    orders_.push_back({.damage = true});
  }
  /// The next read without an order yet hands on this many bytes, then fails with `error`.
  void BreakNext(uint64_t size_bytes, Status error) {
    MutexLock lock(mutex_);
    orders_.push_back({.error = std::move(error), .damage = false, .broken_after = size_bytes});
  }
  /// Streams from now on hand on this many bytes, then wait for Release.
  void HoldStreamsAfter(uint64_t size_bytes) {
    MutexLock lock(mutex_);
    hold_streams_after_ = size_bytes;
  }
  void SetPaused(bool is_paused) {
    MutexLock lock(mutex_);
    is_paused_ = is_paused;
  }
  /// Changes a stored byte for good.
  void Spoil(uint64_t blob_offset) {
    MutexLock lock(mutex_);
    bytes_[blob_offset] ^= std::byte{0xff};
  }
  /// Reads beyond fail, although the blob claims its full size.
  void TruncateAt(uint64_t size_bytes) {
    MutexLock lock(mutex_);
    readable_bytes_ = size_bytes;
  }

  /// The last bytes, as far as they are readable.
  Bytes Tail(uint64_t tail_bytes) const {
    MutexLock lock(mutex_);
    const auto tail = static_cast<ptrdiff_t>(std::min<uint64_t>(tail_bytes, bytes_.size()));
    return {bytes_.end() - tail, bytes_.end()};
  }

  std::vector<oci::BlobRange> ranges() const {
    MutexLock lock(mutex_);
    return ranges_;
  }
  size_t requests() const { return ranges().size(); }
  /// What the latest read was asked to keep to.
  oci::ReadOptions last_options() const {
    MutexLock lock(mutex_);
    return last_options_;
  }

  uint64_t SizeBytes() const override {
    MutexLock lock(mutex_);
    return bytes_.size();
  }
  bool IsPaused() override {
    MutexLock lock(mutex_);
    return is_paused_;
  }
  void Read(oci::BlobRange range, const oci::ReadOptions& options, Done done) override {
    {
      MutexLock lock(mutex_);
      ranges_.push_back(range);
      last_options_ = options;
      if (is_holding_) {
        held_.emplace_back(range, std::move(done));
        return;
      }
    }
    Answer(range, done);
  }

  void Stream(oci::BlobRange range, const oci::ReadOptions& options, Part part,
              StreamDone done) override {
    std::optional<uint64_t> held_after;
    std::optional<Order> broken;
    {
      MutexLock lock(mutex_);
      held_after = hold_streams_after_;
      if (!orders_.empty() && orders_.front().broken_after) {
        broken = std::move(orders_.front());
        orders_.pop_front();
      }
    }
    if (broken) {
      Read({.blob_offset = range.blob_offset, .size_bytes = *broken->broken_after}, options,
           [part, done, error = broken->error](const StatusOr<Bytes>& bytes) {
             part(*bytes);
             done(error);
           });
      return;
    }
    if (!held_after) {
      BlobReader::Stream(range, options, std::move(part), std::move(done));
      return;
    }
    Read(range, options, [this, held_after, part, done](const StatusOr<Bytes>& bytes) {
      if (!bytes.ok()) {
        done(bytes.status());
        return;
      }
      const size_t now = std::min<size_t>(*held_after, bytes->size());
      part(ByteSpan(*bytes).first(now));
      MutexLock lock(mutex_);
      held_streams_.push_back([part, done, rest = Bytes(bytes->begin() + now, bytes->end())] {
        part(rest);
        done(OkStatus());
      });
    });
  }

 private:
  struct Order {
    Status error;
    bool damage = false;
    std::optional<uint64_t> broken_after;
  };

  StatusOr<Bytes> Take(oci::BlobRange range) {
    MutexLock lock(mutex_);
    Order order;
    if (!orders_.empty()) {
      order = std::move(orders_.front());
      orders_.pop_front();
    }
    if (!order.error.ok()) {
      return order.error;
    }
    if (range.end() > std::min<uint64_t>(bytes_.size(), readable_bytes_)) {
      return MakeError(StatusCode::kOutOfRange, "read past the end of the blob");
    }
    const auto begin = bytes_.begin() + static_cast<ptrdiff_t>(range.blob_offset);
    Bytes out(begin, begin + static_cast<ptrdiff_t>(range.size_bytes));
    if (order.damage) {
      out[out.size() / 2] ^= std::byte{0xff};
    }
    return out;
  }
  void Answer(oci::BlobRange range, const Done& done) { done(Take(range)); }

  mutable Mutex mutex_;  // leaf
  Bytes bytes_ GUARDED_BY(mutex_);
  uint64_t readable_bytes_ GUARDED_BY(mutex_) = UINT64_MAX;
  bool is_holding_ GUARDED_BY(mutex_) = false;
  bool is_paused_ GUARDED_BY(mutex_) = false;
  std::vector<std::pair<oci::BlobRange, Done>> held_ GUARDED_BY(mutex_);
  std::optional<uint64_t> hold_streams_after_ GUARDED_BY(mutex_);
  std::vector<std::function<void()>> held_streams_ GUARDED_BY(mutex_);
  std::deque<Order> orders_ GUARDED_BY(mutex_);
  std::vector<oci::BlobRange> ranges_ GUARDED_BY(mutex_);
  oci::ReadOptions last_options_ GUARDED_BY(mutex_);
};

}  // namespace starling::testing_support
