// Many readers at once: what is on the way for them keeps to the budget.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <deque>
#include <future>
#include <memory>
#include <thread>

#include "base/temp_dir.h"
#include "erofs/image_writer.h"
#include "layer/lazy_layer.h"
#include "store/layer_store.h"
#include "tests/support/gzip.h"
#include "tests/support/gzip_text.h"
#include "tests/support/manual_executor.h"
#include "tests/support/memory_blob.h"
#include "tests/support/name_source.h"

namespace starling::layer {
namespace {

using testing_support::MemoryBlob;
using testing_support::Noise;

constexpr uint64_t kChunk = 32 << 10;

/// Notes what the budget held at most when it was asked, and how much was asked for.
class WatchedBlob : public MemoryBlob {
 public:
  WatchedBlob(Bytes bytes, BufferBudget& budget) : MemoryBlob(std::move(bytes)), budget_(budget) {}
  void Stream(oci::BlobRange range, const oci::ReadOptions& options, Part part,
              StreamDone done) override {
    uint64_t peak = peak_bytes_;
    const uint64_t held = budget_.held_bytes();
    while (peak < held && !peak_bytes_.compare_exchange_weak(peak, held)) {
    }
    largest_bytes_ = std::max<uint64_t>(largest_bytes_, range.size_bytes);
    MemoryBlob::Stream(range, options, std::move(part), std::move(done));
  }
  uint64_t peak_bytes() const { return peak_bytes_; }
  uint64_t largest_bytes() const { return largest_bytes_; }
  uint64_t asked_bytes() const {
    uint64_t bytes = 0;
    for (const oci::BlobRange& range : ranges()) {
      bytes += range.size_bytes;
    }
    return bytes;
  }

 private:
  BufferBudget& budget_;
  std::atomic<uint64_t> peak_bytes_ = 0;
  std::atomic<uint64_t> largest_bytes_ = 0;
};

class LoadTest : public testing::Test {
 protected:
  struct Layer {
    std::string content;
    std::shared_ptr<WatchedBlob> blob;
    std::shared_ptr<LazyLayer> lazy;
  };
  using Reading = std::future<StatusOr<Bytes>>;

  void TearDown() override {
    scheduler_->Close();
    for (const Layer& layer : layers_) {
      layer.lazy->Close();
    }
  }
  void MakeScheduler(uint64_t demand_bytes, uint64_t buffer_bytes = 12 << 20) {
    scheduler_ = FetchScheduler::Make({.buffer_bytes = buffer_bytes, .demand_bytes = demand_bytes},
                                      {.clock = clock_, .executor = cpu_, .timer = timer_});
  }
  /// Of `chunks` members of a chunk each; `chunk_bytes` of noise or, to compress well, of zeros.
  Layer& Add(uint32_t chunks, const std::string& host, uint64_t chunk_bytes = kChunk,
             bool is_noise = true) {
    Layer layer;
    ChunkTableSpec spec;
    std::string blob;
    const auto seed = static_cast<uint32_t>(layers_.size() * 10'000);
    for (uint32_t i = 0; i < chunks; ++i) {
      const std::string content =
          is_noise ? Noise(chunk_bytes, seed + i) : std::string(chunk_bytes, 'z');
      const std::string member = testing_support::Gzip(content);
      spec.members.push_back({.blob_offset = blob.size(), .blob_size = member.size()});
      spec.chunks.push_back({.data_address = i * chunk_bytes,
                             .size_bytes = chunk_bytes,
                             .member = i,
                             .digest = oci::Digest::Of(AsBytes(content)).value()});
      blob += member;
      layer.content += content;
    }
    spec.data_size_bytes = layer.content.size();
    spec.blob_size_bytes = blob.size();
    const erofs::InodeSpec root{.mode = S_IFDIR | 0755, .nlink = 2};
    const auto image = erofs::WriteImage(std::span(&root, 1), spec.data_size_bytes);
    const auto stored = store_->Create(
        {.layer = oci::Digest::Of(AsBytes(blob)), .toc = oci::Digest::Of(AsBytes(host))},
        {.blob_size_bytes = spec.blob_size_bytes,
         .data_size_bytes = spec.data_size_bytes,
         .chunk_count = spec.chunks.size()},
        *image, *WriteChunkTable(spec));
    EXPECT_TRUE(stored.ok()) << stored.status();
    layer.blob = std::make_shared<WatchedBlob>(ToBytes(blob), scheduler_->demand_budget());
    layer.lazy = *LazyLayer::Open(*stored, cpu_, counters_, {}, scheduler_);
    testing_support::NameSource(*layer.lazy, "image", host, [blob = layer.blob] { return blob; });
    EXPECT_TRUE(layer.lazy->OpenSource().ok());  // so that reads are sent at once
    layers_.push_back(std::move(layer));
    return layers_.back();
  }
  static Reading Start(const Layer& layer, DataRange range) {
    auto promise = std::make_shared<std::promise<StatusOr<Bytes>>>();
    auto future = promise->get_future();
    layer.lazy->Read(range, oci::FetchClass::kDemand,
                     [promise](StatusOr<Bytes> bytes) { promise->set_value(std::move(bytes)); });
    return future;
  }
  static void ExpectRight(const Layer& layer, DataRange range, Reading& reading) {
    const auto bytes = reading.get();
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(AsText(*bytes), layer.content.substr(range.data_address, range.size_bytes));
  }
  /// Once nothing is on the way any more: decoded bytes are given back after the reader has them.
  void AwaitNothingHeld() {
    while (scheduler_->demand_budget().held_bytes() > 0) {
      std::this_thread::yield();
    }
  }

  TempDir directory_ = *TempDir::Make("/tmp", "load-");
  std::unique_ptr<store::LayerStore> store_ =
      *store::LayerStore::Open(directory_.path() / "store", RealFileSystem());
  FetchCounters counters_;
  testing_support::ManualClock clock_;
  testing_support::ManualTimer timer_{clock_};
  ThreadPool cpu_{"cpu", 2};
  std::shared_ptr<FetchScheduler> scheduler_;
  std::deque<Layer> layers_;
};

TEST_F(LoadTest, FiveHundredReadersAtOnceKeepToTheBudget) {
  constexpr uint64_t kBudget = 2 << 20;
  constexpr uint64_t kBuffer = 1 << 20;
  constexpr uint32_t kReaders = 500;
  MakeScheduler(kBudget, kBuffer);
  Layer& layer = Add(kReaders, "host");
  layer.blob->Hold();
  std::vector<std::pair<DataRange, Reading>> readings;
  for (uint32_t i = 0; i < kReaders; ++i) {
    const DataRange range{(i * 211 % kReaders) * kChunk, kChunk};  // in no order
    readings.emplace_back(range, Start(layer, range));
  }
  BufferBudget& budget = scheduler_->demand_budget();
  EXPECT_GT(budget.waiting(), 20U) << "unsent, and on no thread";
  EXPECT_LT(layer.blob->asked_bytes(), kBudget + kBuffer + 2 * layer.blob->largest_bytes())
      << "with what is read ahead";
  layer.blob->Release();
  for (auto& [range, reading] : readings) {
    ExpectRight(layer, range, reading);
  }
  AwaitNothingHeld();
  EXPECT_EQ(budget.waiting(), 0U);
  EXPECT_LT(layer.blob->peak_bytes(), kBudget + layer.blob->largest_bytes());
  EXPECT_EQ(layer.blob->asked_bytes(), layer.blob->SizeBytes()) << "each byte once";
}

TEST_F(LoadTest, AHostThatDoesNotAnswerLeavesRoomForOthers) {
  constexpr uint64_t kBudget = 256 << 10;
  MakeScheduler(kBudget);
  Layer& away = Add(40, "away");
  Layer& well = Add(40, "well");
  away.blob->Hold();
  std::vector<Reading> stuck;
  for (uint32_t i = 0; i < 40; ++i) {
    stuck.push_back(Start(away, {i * kChunk, kChunk}));
  }
  for (uint32_t i = 0; i < 40; ++i) {
    const DataRange range{i * kChunk, kChunk};
    Reading reading = Start(well, range);
    ExpectRight(well, range, reading);
  }
  EXPECT_GT(away.blob->requests(), 0U);
  away.blob->Release();
  for (Reading& reading : stuck) {
    EXPECT_TRUE(reading.get().ok());
  }
}

TEST_F(LoadTest, ReadersThatWaitUnsentHaveNoMoreTimeThanOthers) {
  MakeScheduler(1);
  Layer& first = Add(1, "host");
  Layer& second = Add(1, "host");
  Layer& later = Add(1, "host");
  first.blob->FailNext(MakeError(StatusCode::kDeadlineExceeded, "away"));
  first.blob->Hold();
  Reading sent = Start(first, {0, 1});
  Reading unsent = Start(second, {0, 1});
  clock_.Advance(std::chrono::seconds(290));
  Reading unsent_later = Start(later, {0, 1});
  EXPECT_EQ(scheduler_->demand_budget().waiting(), 2U);
  first.blob->Release();
  EXPECT_EQ(sent.get().status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(unsent.get().status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(second.blob->requests(), 0U);
  ExpectRight(later, {0, 1}, unsent_later);
}

TEST_F(LoadTest, MembersThatDecodeToMuchAreDecodedOneAfterTheOther) {
  constexpr uint64_t kLarge = 20 << 20;
  MakeScheduler(kLarge);
  Layer& layer = Add(3, "host", kLarge, /*is_noise=*/false);
  ASSERT_LT(layer.blob->SizeBytes(), kLarge / 100);
  // What lies before it is asked for too, in a request that waits.
  layer.blob->Hold();
  Reading last = Start(layer, {2 * kLarge, 1});
  EXPECT_GT(scheduler_->demand_budget().held_bytes(), kLarge);
  Reading first = Start(layer, {0, 1});
  EXPECT_LT(scheduler_->demand_budget().held_bytes(), 2 * kLarge);
  layer.blob->Release();
  ExpectRight(layer, {2 * kLarge, 1}, last);
  ExpectRight(layer, {0, 1}, first);
  AwaitNothingHeld();
  EXPECT_LT(layer.blob->peak_bytes(), 2 * kLarge);
}

TEST_F(LoadTest, ALayerThatIsClosedAnswersWhatWaitsUnsent) {
  MakeScheduler(1);
  Layer& first = Add(1, "host");
  Layer& second = Add(1, "host");
  first.blob->Hold();
  Reading sent = Start(first, {0, 1});
  Reading unsent = Start(second, {0, 1});
  second.lazy->Close();
  EXPECT_EQ(unsent.get().status().code(), StatusCode::kCancelled);
  EXPECT_EQ(scheduler_->demand_budget().waiting(), 0U);
  first.blob->Release();
  ExpectRight(first, {0, 1}, sent);
  EXPECT_EQ(second.blob->requests(), 0U);
}

}  // namespace
}  // namespace starling::layer
