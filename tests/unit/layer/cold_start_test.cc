/// What a cold start of a real image asks of its registry: requests, bytes and, in the time of a
/// simulated line, waiting.

#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "base/temp_dir.h"
#include "layer/fetch_scheduler.h"
#include "layer/lazy_layer.h"
#include "layer/prefetch_plan.h"
#include "tests/support/manual_executor.h"
#include "tests/support/name_source.h"
#include "tests/support/recorded_start.h"
#include "tests/support/simulated_layer.h"
#include "tests/support/simulated_link.h"

namespace starling::layer {
namespace {

using std::chrono::milliseconds;
using testing_support::RecordedStart;
using testing_support::SimulatedBlob;
using testing_support::SimulatedLink;

/// The layers of a recorded start, and its job.
class ColdStart {
 public:
  struct Took {
    milliseconds time{0};
    milliseconds waited{0};
    int misses = 0;  // reads that began a request
    int joins = 0;   // reads of what was on its way
  };

  ColdStart(const RecordedStart& start, const SimulatedLink::Shape& shape)
      : start_(start), link_(clock_, timer_, shape) {
    auto directory = TempDir::Make("/tmp", "cold-start-");
    EXPECT_TRUE(directory.ok()) << directory.status();
    directory_.emplace(*std::move(directory));
    auto store = store::LayerStore::Open(directory_->path() / "store", RealFileSystem());
    EXPECT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    scheduler_ = FetchScheduler::Make({}, {.clock = clock_, .executor = cpu_, .timer = timer_});
    for (uint32_t number = 0; number < start.layers.size(); ++number) {
      const auto& members = start.layers[number];
      const auto stored = testing_support::StoreSimulated(members, number, *store_);
      EXPECT_TRUE(stored.ok()) << stored.status();
      auto layer = LazyLayer::Open(*stored, cpu_, counters_, {}, scheduler_);
      EXPECT_TRUE(layer.ok()) << layer.status();
      testing_support::NameSource(
          **layer, "image", "host",
          [blob = std::make_shared<SimulatedBlob>(members, link_)] { return blob; });
      layers_.push_back(*std::move(layer));
    }
  }
  ~ColdStart() {
    scheduler_->Close();
    for (const auto& layer : layers_) {
      layer->Close();
    }
  }

  /// What of its layers the job reads, and when.
  AccessProfile Profile() const {
    std::vector<LayerAccess> accesses;
    for (const auto& layer : layers_) {
      accesses.push_back({.key = layer->key()});
    }
    for (const RecordedStart::Read& read : start_.reads) {
      accesses[read.layer].ranges.push_back(
          {.range = RangeOf(read), .first_need = read.at - start_.reads.front().at});
    }
    for (LayerAccess& access : accesses) {
      std::ranges::sort(access.ranges, {},
                        [](const AccessRange& range) { return range.range.data_address; });
    }
    std::erase_if(accesses, [](const LayerAccess& access) { return access.ranges.empty(); });
    auto profile = AccessProfile::Make(oci::Digest::Of(AsBytes("image")), 1, std::move(accesses));
    EXPECT_TRUE(profile.ok()) << profile.status();
    return *std::move(profile);
  }
  void PrefetchBy(const AccessProfile& profile) {
    plan_ = std::make_shared<PrefetchPlan>(profile, scheduler_);
    for (const auto& layer : layers_) {
      plan_->Attach(layer, "host");
    }
  }
  void HoldReadahead() {
    for (const auto& layer : layers_) {
      layer->HoldReadahead(true);
    }
  }
  void Prefetch(uint32_t layer, uint64_t blob_bytes) { layers_[layer]->Prefetch(blob_bytes); }

  /// Runs the job: it reads one thing after the other, and computes as long as it did when it was
  /// recorded.
  Took Run() {
    Took took;
    const auto begin = clock_.Now();
    milliseconds computed{0};
    for (const RecordedStart::Read& read : start_.reads) {
      RunUntil(clock_.Now() + (read.at - computed));
      computed = read.at;
      const auto asked = clock_.Now();
      const DataRange range = RangeOf(read);
      Bytes out(range.size_bytes);
      if (const auto present = layers_[read.layer]->ReadPresent(range.data_address, out);
          present.ok() && *present) {
        continue;
      }
      const uint64_t requests = link_.requests();
      bool is_done = false;
      layers_[read.layer]->Read(range, oci::FetchClass::kDemand,
                                [&is_done](const StatusOr<Bytes>& bytes) {
                                  EXPECT_TRUE(bytes.ok()) << bytes.status();
                                  is_done = true;
                                });
      ++(link_.requests() > requests ? took.misses : took.joins);
      cpu_.RunAll();
      while (!is_done && timer_.RunNext()) {
        cpu_.RunAll();
      }
      EXPECT_TRUE(is_done);
      took.waited += std::chrono::duration_cast<milliseconds>(clock_.Now() - asked);
    }
    took.time = std::chrono::duration_cast<milliseconds>(clock_.Now() - begin);
    return took;
  }

  const SimulatedLink& link() const { return link_; }

 private:
  DataRange RangeOf(const RecordedStart::Read& read) const {
    return layers_[read.layer]->chunks().chunks()[read.member].range();
  }
  void RunUntil(std::chrono::steady_clock::time_point when) {
    bool is_over = false;
    timer_.RunAt(when, [&is_over] { is_over = true; });
    cpu_.RunAll();
    while (!is_over && timer_.RunNext()) {
      cpu_.RunAll();
    }
  }

  const RecordedStart& start_;
  testing_support::ManualClock clock_;
  testing_support::ManualTimer timer_{clock_};
  testing_support::ManualExecutor cpu_;
  SimulatedLink link_;
  FetchCounters counters_;
  std::optional<TempDir> directory_;
  std::unique_ptr<store::LayerStore> store_;
  std::shared_ptr<FetchScheduler> scheduler_;
  std::vector<std::shared_ptr<LazyLayer>> layers_;
  std::shared_ptr<PrefetchPlan> plan_;
};

/// Python, as far as it is needed to print a line.
constexpr size_t kReadsOfShortJob = 18;

class ColdStartTest : public testing::Test {
 protected:
  void SetUp() override {
    auto start = RecordedStart::Load(STARLING_RECORDED_START);
    ASSERT_TRUE(start.ok()) << start.status();
    start_ = *std::move(start);
  }
  /// For comparing policies: --gtest_output=xml has them.
  static void Note(const ColdStart& cold, const ColdStart::Took& took) {
    RecordProperty("requests", static_cast<int>(cold.link().requests()));
    RecordProperty("bytes", static_cast<int>(cold.link().bytes()));
    RecordProperty("misses", took.misses);
    RecordProperty("joins", took.joins);
    RecordProperty("waited_ms", static_cast<int>(took.waited.count()));
    RecordProperty("time_ms", static_cast<int>(took.time.count()));
  }

  const SimulatedLink::Shape shape_;
  RecordedStart start_;
};

TEST_F(ColdStartTest, WithoutKnowledge) {
  ColdStart cold(start_, shape_);
  const auto took = cold.Run();
  Note(cold, took);
  EXPECT_LE(cold.link().requests(), 230U);
  EXPECT_LE(cold.link().bytes(), 145'000'000U);
  EXPECT_LE(took.misses, 45);
}

/// As a build's step, which reads less of its base than a container.
TEST_F(ColdStartTest, OfAShortJob) {
  start_.reads.resize(kReadsOfShortJob);
  ColdStart eager(start_, shape_);
  const auto eagerly = eager.Run();
  ColdStart held(start_, shape_);
  held.HoldReadahead();
  const auto took = held.Run();
  Note(held, took);
  EXPECT_LE(held.link().bytes(), eager.link().bytes() / 6);
  EXPECT_LE(took.time, eagerly.time) << "what is not fetched is in nobody's way";
}

TEST_F(ColdStartTest, OfALongJobWhoseReadaheadIsHeld) {
  ColdStart cold(start_, shape_);
  cold.HoldReadahead();
  const auto took = cold.Run();
  Note(cold, took);
  EXPECT_LE(cold.link().bytes(), 145'000'000U);
  EXPECT_LE(took.misses, 80);
}

TEST_F(ColdStartTest, OfLayersWithoutHints) {
  for (auto& layer : start_.layers) {
    for (RecordedStart::Member& member : layer) {
      member.is_unlikely = false;
    }
  }
  ColdStart cold(start_, shape_);
  const auto took = cold.Run();
  Note(cold, took);
  EXPECT_LE(cold.link().requests(), 260U);
  EXPECT_LE(cold.link().bytes(), 190'000'000U);
}

TEST_F(ColdStartTest, WithAProfile) {
  ColdStart cold(start_, shape_);
  cold.PrefetchBy(cold.Profile());
  const auto took = cold.Run();
  Note(cold, took);
  EXPECT_LE(cold.link().requests(), 95U);
  EXPECT_LE(cold.link().bytes(), start_.read_bytes() * 13 / 10);
  EXPECT_EQ(took.misses, 0);
  EXPECT_LE(cold.link().most_asked_bytes(), 6 * shape_.bandwidth_delay_bytes())
      << "what is needed first does not wait behind all of the rest";
}

/// The members that are read first in the blob, in the order of their need.
RecordedStart WithLandmarks(const RecordedStart& start, std::vector<uint64_t>& landmarks) {
  RecordedStart result;
  result.layers.resize(start.layers.size());
  landmarks.assign(start.layers.size(), 0);
  std::vector<std::set<uint32_t>> moved(start.layers.size());
  for (const RecordedStart::Read& read : start.reads) {
    if (moved[read.layer].insert(read.member).second) {
      const RecordedStart::Member& member = start.layers[read.layer][read.member];
      auto& members = result.layers[read.layer];
      result.reads.push_back(
          {.at = read.at, .layer = read.layer, .member = static_cast<uint32_t>(members.size())});
      members.push_back(member);
      landmarks[read.layer] += member.blob_size;
    }
  }
  for (size_t layer = 0; layer < start.layers.size(); ++layer) {
    for (uint32_t number = 0; number < start.layers[layer].size(); ++number) {
      if (!moved[layer].contains(number)) {
        result.layers[layer].push_back(start.layers[layer][number]);
      }
    }
  }
  return result;
}

TEST_F(ColdStartTest, WithLandmarks) {
  std::vector<uint64_t> landmarks;
  const RecordedStart start = WithLandmarks(start_, landmarks);
  ColdStart cold(start, shape_);
  for (uint32_t layer = 0; layer < landmarks.size(); ++layer) {
    if (landmarks[layer] > 0) {
      cold.Prefetch(layer, landmarks[layer]);
    }
  }
  const auto took = cold.Run();
  Note(cold, took);
  // Each layer ends with a part of one.
  EXPECT_LE(cold.link().requests(),
            start_.read_bytes() / shape_.bandwidth_delay_bytes() + start.layers.size());
  EXPECT_LE(cold.link().bytes(), start_.read_bytes() * 13 / 10);
  EXPECT_LE(took.misses, 1) << "of what the prefetch has not come to";
}

}  // namespace
}  // namespace starling::layer
