/// What the lazy layers of one host make of a link that they share, on a clock of the test's own.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "base/temp_dir.h"
#include "erofs/image_writer.h"
#include "layer/fetch_scheduler.h"
#include "layer/lazy_layer.h"
#include "store/layer_store.h"
#include "tests/support/gzip.h"
#include "tests/support/manual_executor.h"

namespace starling::layer {
namespace {

using oci::FetchClass;
using std::chrono::milliseconds;
using testing_support::ManualClock;
using testing_support::ManualExecutor;
using testing_support::ManualTimer;

constexpr int64_t kRoundTripMs = 20;
constexpr uint64_t kBytesPerMs = 12'500;
constexpr uint64_t kFileBytes = 16 << 10;
constexpr uint32_t kFiles = 512;
constexpr size_t kImages = 10;

/// A link whose answers begin a round trip after they were asked for and share its rate evenly.
class FakeLink {
 public:
  FakeLink(ManualExecutor& executor, ManualTimer& timer) : executor_(executor), timer_(timer) {}

  void Send(ByteSpan bytes, oci::BlobReader::Part part, oci::BlobReader::StreamDone done) {
    answers_.push_back({.bytes = bytes,
                        .part = std::move(part),
                        .done = std::move(done),
                        .begins_at_ms = now_ms_ + kRoundTripMs});
  }
  /// A millisecond passes.
  void Advance() {
    ++now_ms_;
    timer_.Advance(milliseconds(1));
    executor_.RunAll();
    std::vector<Answer> coming;
    std::erase_if(answers_, [&](Answer& answer) {
      if (answer.begins_at_ms > now_ms_) {
        return false;
      }
      coming.push_back(std::move(answer));
      return true;
    });
    for (Answer& answer : coming) {
      const size_t came = std::min<size_t>(kBytesPerMs / coming.size(), answer.bytes.size());
      answer.part(answer.bytes.first(came));
      answer.bytes = answer.bytes.subspan(came);
      if (answer.bytes.empty()) {
        answer.done(OkStatus());
      } else {
        answers_.push_back(std::move(answer));
      }
    }
    coming.clear();
    executor_.RunAll();
  }
  int64_t now_ms() const { return now_ms_; }
  /// Asked for and not here yet.
  uint64_t waiting_bytes() const {
    uint64_t bytes = 0;
    for (const Answer& answer : answers_) {
      bytes += answer.bytes.size();
    }
    return bytes;
  }

 private:
  struct Answer {
    ByteSpan bytes;
    oci::BlobReader::Part part;
    oci::BlobReader::StreamDone done;
    int64_t begins_at_ms = 0;
  };
  ManualExecutor& executor_;
  ManualTimer& timer_;
  std::vector<Answer> answers_;
  int64_t now_ms_ = 0;
};

class FarBlob : public oci::BlobReader {
 public:
  FarBlob(ByteSpan bytes, FakeLink& link) : bytes_(bytes), link_(link) {}

  uint64_t SizeBytes() const override { return bytes_.size(); }
  void Read(oci::BlobRange, const oci::ReadOptions&, Done done) override {
    done(MakeError(StatusCode::kFailedPrecondition, "layers stream"));
  }
  void Stream(oci::BlobRange range, const oci::ReadOptions&, Part part, StreamDone done) override {
    link_.Send(bytes_.subspan(range.blob_offset, range.size_bytes), std::move(part),
               std::move(done));
  }

 private:
  const ByteSpan bytes_;
  FakeLink& link_;
};

/// A layer of files that do not compress, each a member of its own.
struct FakeLayer {
  FakeLayer() {
    std::mt19937 generator(1);
    std::string content(kFileBytes, '\0');
    for (uint32_t file = 0; file < kFiles; ++file) {
      std::ranges::generate(content, [&generator] { return static_cast<char>(generator()); });
      const std::string member = testing_support::Gzip(content, 1);
      spec.members.push_back({.blob_offset = blob.size(), .blob_size = member.size()});
      spec.chunks.push_back({.data_address = file * kFileBytes,
                             .size_bytes = kFileBytes,
                             .member = file,
                             .digest = oci::Digest::Of(AsBytes(content)).value()});
      blob += member;
    }
    spec.data_size_bytes = kFiles * kFileBytes;
    spec.blob_size_bytes = blob.size();
  }

  std::string blob;
  ChunkTableSpec spec;
};

/// A program: some of the files of a directory in their order, then another directory; a while
/// passes between two reads.
class Program {
 public:
  Program(LazyLayer& layer, FakeLink& link, uint32_t seed) : layer_(layer), link_(link) {
    constexpr uint32_t kDirectoryFiles = 16;
    std::mt19937 generator(seed);
    for (int directory = 0; directory < 12; ++directory) {
      const uint32_t first = generator() % (kFiles / kDirectoryFiles) * kDirectoryFiles;
      for (uint32_t file = first; file < first + kDirectoryFiles; ++file) {
        if (generator() % 2 == 0) {
          files_.push_back(file);
        }
      }
    }
  }

  /// Begins its next read when that is due.
  void Advance() {
    if (!reading_ && next_ < files_.size() && link_.now_ms() >= next_read_at_ms_) {
      reading_ = true;
      const int64_t begin_ms = link_.now_ms();
      layer_.Read({.data_address = files_[next_++] * kFileBytes, .size_bytes = kFileBytes},
                  FetchClass::kDemand, [this, begin_ms](const StatusOr<Bytes>& bytes) {
                    ASSERT_TRUE(bytes.ok()) << bytes.status();
                    latencies_ms_.push_back(link_.now_ms() - begin_ms);
                    next_read_at_ms_ = link_.now_ms() + kThinksMs;
                    ended_at_ms_ = link_.now_ms();
                    reading_ = false;
                  });
    }
  }
  bool has_ended() const { return !reading_ && next_ == files_.size(); }
  const std::vector<int64_t>& latencies_ms() const { return latencies_ms_; }
  int64_t ended_at_ms() const { return ended_at_ms_; }

 private:
  static constexpr int64_t kThinksMs = 20;
  LazyLayer& layer_;
  FakeLink& link_;
  std::vector<uint64_t> files_;
  size_t next_ = 0;
  bool reading_ = false;
  int64_t next_read_at_ms_ = 0;
  int64_t ended_at_ms_ = 0;
  std::vector<int64_t> latencies_ms_;
};

enum class Sources { kOpen, kKnown };

/// A node with the layers of ten images, all of which are to be fetched in the background.
class Node {
 public:
  explicit Node(const FakeLayer& layer, Sources sources = Sources::kOpen) {
    auto layers = store::LayerStore::Open(directory_.path() / "store", RealFileSystem());
    layers_ = *std::move(layers);
    scheduler_ =
        FetchScheduler::Make({}, {.clock = clock_, .executor = executor_, .timer = timer_});
    const erofs::InodeSpec root{.mode = S_IFDIR | 0755, .nlink = 2};
    const Bytes index = *erofs::WriteImage(std::span(&root, 1), layer.spec.data_size_bytes);
    const Bytes table = *WriteChunkTable(layer.spec);
    const store::LayerInfo info{.blob_size_bytes = layer.spec.blob_size_bytes,
                                .data_size_bytes = layer.spec.data_size_bytes,
                                .chunk_count = layer.spec.chunks.size()};
    blob_ = std::make_shared<FarBlob>(AsBytes(layer.blob), link_);
    for (size_t number = 0; number < kImages; ++number) {
      const std::string name = std::to_string(number);
      const auto stored = layers_->Create(
          {.layer = oci::Digest::Of(AsBytes(name)), .toc = oci::Digest::Of(AsBytes("toc"))}, info,
          index, table);
      images_.push_back(*LazyLayer::Open(*stored, executor_, counters_, {}, scheduler_));
      images_.back()->AddSource(name, "registry", [this] { return blob_; });
      if (sources == Sources::kOpen) {
        images_.back()->UseReader(blob_);
      }
      images_.back()->FetchAll();
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
    std::vector<int64_t> reads_ms;
    std::vector<int64_t> programs_ms;
  };
  /// Runs a program in each of those images at once, when background work has long filled the link.
  Waits Run(const std::vector<size_t>& numbers) {
    Advance(700);
    const int64_t begin_ms = link_.now_ms();
    std::vector<std::unique_ptr<Program>> programs;
    for (const size_t number : numbers) {
      programs.push_back(std::make_unique<Program>(*images_[number], link_, number));
    }
    const auto has_ended = [](const auto& program) { return program->has_ended(); };
    while (!std::ranges::all_of(programs, has_ended)) {
      for (const auto& program : programs) {
        program->Advance();
      }
      link_.Advance();
    }
    Waits waits;
    for (const auto& program : programs) {
      std::ranges::copy(program->latencies_ms(), std::back_inserter(waits.reads_ms));
      waits.programs_ms.push_back(program->ended_at_ms() - begin_ms);
    }
    return waits;
  }
  void Advance(int milliseconds_count) {
    for (int i = 0; i < milliseconds_count; ++i) {
      link_.Advance();
    }
  }
  FakeLink& link() { return link_; }
  const std::vector<std::shared_ptr<LazyLayer>>& images() const { return images_; }

 private:
  TempDir directory_ = *TempDir::Make("/tmp", "shared-link-");
  ManualClock clock_;
  ManualExecutor executor_;
  ManualTimer timer_{clock_};
  FakeLink link_{executor_, timer_};
  FetchCounters counters_;
  std::unique_ptr<store::LayerStore> layers_;
  std::shared_ptr<FetchScheduler> scheduler_;
  std::shared_ptr<FarBlob> blob_;
  std::vector<std::shared_ptr<LazyLayer>> images_;
};

int64_t Quantile(std::vector<int64_t> values, double share) {
  std::ranges::sort(values);
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

TEST(SharedLinkTest, ProgramsOfManyImagesWaitAtMostTwiceAsLongAsOne) {
  const FakeLayer layer;
  Node::Waits alone;
  std::vector<size_t> all;
  for (size_t number = 0; number < kImages; ++number) {
    const Node::Waits one = Node(layer).Run({number});
    std::ranges::copy(one.reads_ms, std::back_inserter(alone.reads_ms));
    std::ranges::copy(one.programs_ms, std::back_inserter(alone.programs_ms));
    all.push_back(number);
  }
  const Node::Waits together = Node(layer).Run(all);
  ASSERT_EQ(alone.reads_ms.size(), together.reads_ms.size());
  EXPECT_GE(Quantile(alone.reads_ms, 0.99), kRoundTripMs) << "reads that wait for the link";
  EXPECT_LE(Quantile(together.reads_ms, 0.99), 2 * Quantile(alone.reads_ms, 0.99));
  for (size_t number = 0; number < kImages; ++number) {
    EXPECT_LE(together.programs_ms[number], 2 * alone.programs_ms[number]) << "starved: " << number;
  }
}

TEST(SharedLinkTest, BackgroundWorkOfAllImagesGetsItsShare) {
  const FakeLayer layer;
  Node node(layer);
  const auto present_bytes = [](const auto& image) { return image->present_bytes(); };
  // The first begins alone, before the others are there.
  node.Advance(4000);
  const auto [least, most] = std::ranges::minmax(node.images(), {}, present_bytes);
  EXPECT_GT(least->present_bytes(), 0u);
  EXPECT_LE(most->present_bytes(), 2 * least->present_bytes());
  node.Advance(3300);
  EXPECT_EQ(std::ranges::min(node.images(), {}, present_bytes)->present_bytes(),
            layer.spec.data_size_bytes)
      << "the link alone needs 6.7 s";
}

TEST(SharedLinkTest, LayersWithoutAnOpenSourceAskForNoMoreThanOthers) {
  const FakeLayer layer;
  Node node(layer, Sources::kKnown);
  uint64_t most_bytes = 0;
  for (int i = 0; i < 1000; ++i) {
    node.Advance(1);
    most_bytes = std::max(most_bytes, node.link().waiting_bytes());
  }
  EXPECT_GT(most_bytes, 0u);
  EXPECT_LE(most_bytes, 3'000'000u) << "less than two, and one more, of the assumed round trip";
}

}  // namespace
}  // namespace starling::layer
