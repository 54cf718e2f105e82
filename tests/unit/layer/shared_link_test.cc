/// What the lazy layers of one host make of a link that they share, in the time of a simulated
/// line.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "base/temp_dir.h"
#include "layer/fetch_scheduler.h"
#include "layer/lazy_layer.h"
#include "tests/support/manual_executor.h"
#include "tests/support/name_source.h"
#include "tests/support/recorded_start.h"
#include "tests/support/simulated_layer.h"
#include "tests/support/simulated_link.h"

namespace starling::layer {
namespace {

using oci::FetchClass;
using std::chrono::milliseconds;
using testing_support::RecordedStart;
using testing_support::SimulatedBlob;
using testing_support::SimulatedLink;
using Members = std::vector<RecordedStart::Member>;

constexpr size_t kImages = 10;
constexpr uint32_t kFiles = 512;

/// A layer of files that do not compress well, each a member of its own.
Members SmallFiles() { return Members(kFiles, {.blob_size = 16 << 10, .data_bytes = 16 << 10}); }

enum class Sources { kOpen, kKnown };

/// A node with the layers of images of one host, all of which are to be fetched in the background.
class Node {
 public:
  explicit Node(const Members& members, size_t images = kImages, Sources sources = Sources::kOpen) {
    auto directory = TempDir::Make("/tmp", "shared-link-");
    EXPECT_TRUE(directory.ok()) << directory.status();
    directory_.emplace(*std::move(directory));
    auto store = store::LayerStore::Open(directory_->path() / "store", RealFileSystem());
    EXPECT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    blob_ = std::make_shared<SimulatedBlob>(members, link_);
    scheduler_ = FetchScheduler::Make({}, {.clock = clock_, .executor = cpu_, .timer = timer_});
    for (uint32_t number = 0; number < images; ++number) {
      const auto stored = testing_support::StoreSimulated(members, number, *store_);
      EXPECT_TRUE(stored.ok()) << stored.status();
      auto layer = LazyLayer::Open(*stored, cpu_, counters_, {}, scheduler_);
      EXPECT_TRUE(layer.ok()) << layer.status();
      testing_support::NameSource(**layer, fmt::format("image {}", number), "host",
                                  [this] { return blob_; });
      if (sources == Sources::kOpen) {
        (*layer)->UseReader(blob_);
      }
      (*layer)->FetchAll();
      images_.push_back(*std::move(layer));
    }
  }
  ~Node() {
    scheduler_->Close();
    for (const auto& image : images_) {
      image->Close();
    }
  }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  struct Waits {
    std::vector<milliseconds> reads;
    std::vector<milliseconds> programs;
  };
  /// Runs a program in each of those images at once, when background work has long filled the link.
  Waits Run(const std::vector<size_t>& images);
  void Advance(milliseconds time) {
    bool is_over = false;
    timer_.RunAfter(time, [&is_over] { is_over = true; });
    RunUntil([&is_over] { return is_over; });
  }
  void RunUntil(const std::function<bool()>& is_over) {
    cpu_.RunAll();
    while (!is_over() && timer_.RunNext()) {
      cpu_.RunAll();
    }
  }
  milliseconds now() const { return clock_.passed(); }
  testing_support::ManualTimer& timer() { return timer_; }
  const SimulatedLink& link() const { return link_; }
  const std::vector<std::shared_ptr<LazyLayer>>& images() const { return images_; }

 private:
  testing_support::ManualClock clock_;
  testing_support::ManualTimer timer_{clock_};
  testing_support::ManualExecutor cpu_;
  SimulatedLink link_{clock_, timer_, {}};
  FetchCounters counters_;
  std::optional<TempDir> directory_;
  std::unique_ptr<store::LayerStore> store_;
  std::shared_ptr<FetchScheduler> scheduler_;
  std::shared_ptr<SimulatedBlob> blob_;
  std::vector<std::shared_ptr<LazyLayer>> images_;
};

/// A program: some of the files of a directory in their order, then another directory; a while
/// passes between two reads.
class Program {
 public:
  Program(Node& node, size_t image) : node_(node), layer_(*node.images()[image]) {
    constexpr uint32_t kDirectoryFiles = 16;
    std::mt19937 generator(static_cast<uint32_t>(image));
    for (int directory = 0; directory < 12; ++directory) {
      const uint32_t first = generator() % (kFiles / kDirectoryFiles) * kDirectoryFiles;
      for (uint32_t file = first; file < first + kDirectoryFiles; ++file) {
        if (generator() % 2 == 0) {
          files_.push_back(file);
        }
      }
    }
  }

  void ReadNext() {
    if (next_ == files_.size()) {
      ended_at_ = node_.now();
      return;
    }
    layer_.Read(layer_.chunks().chunks()[files_[next_++]].range(), FetchClass::kDemand,
                [this, begin = node_.now()](const StatusOr<Bytes>& bytes) {
                  EXPECT_TRUE(bytes.ok()) << bytes.status();
                  waits_.push_back(node_.now() - begin);
                  node_.timer().RunAfter(kThinks, [this] { ReadNext(); });
                });
  }
  const std::vector<milliseconds>& waits() const { return waits_; }
  std::optional<milliseconds> ended_at() const { return ended_at_; }

 private:
  static constexpr milliseconds kThinks{20};
  Node& node_;
  LazyLayer& layer_;
  std::vector<uint32_t> files_;
  size_t next_ = 0;
  std::vector<milliseconds> waits_;
  std::optional<milliseconds> ended_at_;
};

Node::Waits Node::Run(const std::vector<size_t>& images) {
  Advance(milliseconds(700));
  const milliseconds begin = now();
  std::vector<std::unique_ptr<Program>> programs;
  for (const size_t image : images) {
    programs.push_back(std::make_unique<Program>(*this, image));
    programs.back()->ReadNext();
  }
  RunUntil([&programs] {
    return std::ranges::all_of(programs,
                               [](const auto& program) { return program->ended_at().has_value(); });
  });
  Waits waits;
  for (const auto& program : programs) {
    std::ranges::copy(program->waits(), std::back_inserter(waits.reads));
    waits.programs.push_back(*program->ended_at() - begin);
  }
  return waits;
}

milliseconds Quantile(std::vector<milliseconds> values, double share) {
  std::ranges::sort(values);
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

TEST(SharedLinkTest, ProgramsOfManyImagesWaitAtMostTwiceAsLongAsOne) {
  Node::Waits alone;
  std::vector<size_t> all;
  for (size_t image = 0; image < kImages; ++image) {
    const Node::Waits one = Node(SmallFiles()).Run({image});
    std::ranges::copy(one.reads, std::back_inserter(alone.reads));
    std::ranges::copy(one.programs, std::back_inserter(alone.programs));
    all.push_back(image);
  }
  Node node(SmallFiles());
  const Node::Waits together = node.Run(all);
  ASSERT_EQ(alone.reads.size(), together.reads.size());
  RecordProperty("alone_p99", static_cast<int>(Quantile(alone.reads, 0.99).count()));
  RecordProperty("together_p99", static_cast<int>(Quantile(together.reads, 0.99).count()));
  EXPECT_GE(Quantile(alone.reads, 0.99), milliseconds(28)) << "reads that wait for the link";
  EXPECT_LE(Quantile(together.reads, 0.99), 2 * Quantile(alone.reads, 0.99));
  for (size_t image = 0; image < kImages; ++image) {
    EXPECT_LE(together.programs[image], 2 * alone.programs[image]) << "starved: " << image;
  }
}

TEST(SharedLinkTest, BackgroundWorkOfAllImagesGetsItsShare) {
  Node node(SmallFiles());
  const auto present_bytes = [](const auto& image) { return image->present_bytes(); };
  node.Advance(milliseconds(1100));
  const auto [least, most] = std::ranges::minmax(node.images(), {}, present_bytes);
  EXPECT_GT(least->present_bytes(), 0u);
  EXPECT_LE(most->present_bytes(), 2 * least->present_bytes());
  node.RunUntil([&node] {
    return std::ranges::all_of(node.images(), [](const auto& image) {
      return image->present_bytes() == image->chunks().data_size_bytes();
    });
  });
  RecordProperty("time_ms", static_cast<int>(node.now().count()));
  EXPECT_LE(node.now(), milliseconds(1820)) << "the link alone needs 1.68 s";
}

TEST(SharedLinkTest, LayersWithoutAnOpenSourceAskForNoMoreThanOthers) {
  Node node(SmallFiles(), kImages, Sources::kKnown);
  node.Advance(milliseconds(1000));
  EXPECT_GT(node.link().bytes(), 0u);
  RecordProperty("most_bytes", static_cast<int>(node.link().most_asked_bytes()));
  EXPECT_LE(node.link().most_asked_bytes(), 3 * node.link().shape().BytesIn(milliseconds(28)));
}

/// A layer of one file in members of 4 MiB that do not compress.
Members OneLargeFile() { return Members(64, {.blob_size = 4 << 20, .data_bytes = 4 << 20}); }

TEST(SharedLinkTest, AFileThatIsReadOnwardsComesAsFastAsTheLinkIs) {
  Node node(OneLargeFile(), 1);
  node.images().front()->StopFetchingAhead();
  LazyLayer& layer = *node.images().front();
  const milliseconds begin = node.now();
  uint64_t at = 0;
  std::function<void()> read_next = [&] {
    constexpr uint64_t kReadBytes = 1 << 20;
    const DataRange range{.data_address = at, .size_bytes = kReadBytes};
    at += kReadBytes;
    const auto go_on = [&] {
      if (at < layer.chunks().data_size_bytes()) {
        node.timer().RunAfter(milliseconds(1), read_next);
      } else {
        at = UINT64_MAX;
      }
    };
    Bytes out(kReadBytes);
    const auto present = layer.ReadPresent(range.data_address, out);
    ASSERT_TRUE(present.ok()) << present.status();
    if (*present) {
      go_on();
      return;
    }
    layer.Read(range, FetchClass::kDemand, [go_on](const StatusOr<Bytes>& bytes) {
      EXPECT_TRUE(bytes.ok()) << bytes.status();
      go_on();
    });
  };
  read_next();
  node.RunUntil([&at] { return at == UINT64_MAX; });
  const auto took = node.now() - begin;
  RecordProperty("time_ms", static_cast<int>(took.count()));
  RecordProperty("requests", static_cast<int>(node.link().requests()));
  const uint64_t link_ms =
      layer.chunks().blob_size_bytes() * 1000 / node.link().shape().bytes_per_second;
  RecordProperty("link_ms", static_cast<int>(link_ms));
  EXPECT_LE(static_cast<uint64_t>(took.count()), link_ms * 105 / 100);
}

}  // namespace
}  // namespace starling::layer
