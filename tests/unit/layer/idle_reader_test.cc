#include "layer/idle_reader.h"

#include <future>
#include <thread>

#include "tests/support/lazy_layer_fixture.h"
#include "tests/support/manual_executor.h"
#include "tests/support/name_source.h"
#include "tests/support/tar_builder.h"

namespace starling::layer {
namespace {

using std::chrono::milliseconds;

class IdleReaderTest : public testing_support::LazyLayerFixture {
 protected:
  void SetUp() override {
    OpenLayer(testing_support::TarBuilder()
                  .Add({.name = "file", .content = std::string(300'000, 'x')})
                  .Finish(),
              64 << 10);
    testing_support::NameSource(*layer_, "image", "host", [this] { return blob_; });
    scheduler_ = FetchScheduler::Make({.quiet = milliseconds(500)},
                                      {.clock = clock_, .executor = cpu_, .timer = timer_});
    reader_ = std::make_shared<IdleReader>(layer_, scheduler_, counters_);
  }
  void TearDown() override {
    scheduler_->Close();
    LazyLayerFixture::TearDown();
  }
  std::future<StatusOr<Bytes>> StartRead(oci::BlobRange range) {
    return std::async(std::launch::async, [this, range] { return reader_->Read(range); });
  }
  /// Until the scheduler's timer knows of something that waits.
  void AwaitTimer() {
    while (timer_.waiting() == 0) {
      std::this_thread::yield();
    }
  }

  testing_support::ManualClock clock_;
  testing_support::ManualTimer timer_{clock_};
  std::shared_ptr<FetchScheduler> scheduler_;
  std::shared_ptr<IdleReader> reader_;
};

TEST_F(IdleReaderTest, ReadsOneRangeAfterTheOther) {
  const uint64_t requests = counters_.requests;
  const uint64_t bytes = counters_.bytes;
  for (const oci::BlobRange range : {oci::BlobRange{0, 10}, oci::BlobRange{5, 100}}) {
    const auto read = reader_->Read(range);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, *blob_->ReadAndWait(range));
  }
  EXPECT_EQ(counters_.requests - requests, 2U);
  EXPECT_EQ(counters_.bytes - bytes, 110U);
}

TEST_F(IdleReaderTest, WaitsWhileTheLinkIsBusy) {
  auto urgent = scheduler_->Begin("host", oci::FetchClass::kDemand, 1000, "image");
  const size_t before = blob_->requests();
  auto read = StartRead({.blob_offset = 0, .size_bytes = 10});
  urgent.reset();
  AwaitTimer();
  EXPECT_EQ(blob_->requests(), before);
  while (read.wait_for(milliseconds(0)) != std::future_status::ready) {
    timer_.Advance(milliseconds(500));
  }
  EXPECT_TRUE(read.get().ok());
  EXPECT_EQ(blob_->last_options().fetch_class, oci::FetchClass::kRest);
}

TEST_F(IdleReaderTest, TellsErrorsAndGoesOn) {
  blob_->FailNext(MakeError(StatusCode::kUnavailable, "away"));
  EXPECT_EQ(reader_->Read({.blob_offset = 0, .size_bytes = 10}).status().code(),
            StatusCode::kUnavailable);
  EXPECT_TRUE(reader_->Read({.blob_offset = 0, .size_bytes = 10}).ok());
  layer_->Close();
  EXPECT_FALSE(reader_->Read({.blob_offset = 0, .size_bytes = 10}).ok());
}

TEST_F(IdleReaderTest, IsCancelledWhereverItWaits) {
  // For its bytes: whoever reads the blob is told to stop.
  blob_->Hold();
  const size_t before = blob_->requests();
  auto begun = StartRead({.blob_offset = 0, .size_bytes = 10});
  while (blob_->requests() == before) {
    std::this_thread::yield();
  }
  EXPECT_FALSE(blob_->last_options().stop.stop_requested());
  reader_->Cancel();
  EXPECT_TRUE(blob_->last_options().stop.stop_requested());
  blob_->Release();
  (void)begun.get();
  // Before it begins.
  EXPECT_EQ(reader_->Read({.blob_offset = 0, .size_bytes = 10}).status().code(),
            StatusCode::kCancelled);
  // For its turn.
  const auto urgent = scheduler_->Begin("host", oci::FetchClass::kDemand, 1000, "image");
  reader_ = std::make_shared<IdleReader>(layer_, scheduler_, counters_);
  auto waiting = StartRead({.blob_offset = 0, .size_bytes = 10});
  reader_->Cancel();
  EXPECT_EQ(waiting.get().status().code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace starling::layer
