#include "layer/gap_log.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "base/temp_dir.h"
#include "tests/support/faulty_file_system.h"

namespace starling::layer {
namespace {

/// Members 0 to 9 with a chunk each at inner offset 100, and member 10 with two that lie apart.
class GapLogTest : public testing::Test {
 protected:
  GapLogTest() {
    ChunkTableSpec spec;
    for (uint32_t member = 0; member <= 10; ++member) {
      spec.members.push_back({.blob_offset = member * 1000, .blob_size = 1000});
      spec.chunks.push_back({.data_address = member * uint64_t{8192},
                             .size_bytes = 50,
                             .inner_offset = 100,
                             .member = member});
    }
    spec.chunks.push_back(
        {.data_address = 90112, .size_bytes = 50, .inner_offset = 200, .member = 10});
    spec.data_size_bytes = 98304;
    spec.blob_size_bytes = 11000;
    table_bytes_ = *WriteChunkTable(std::move(spec));
    table_ = *ChunkTable::Open(table_bytes_);
  }

  /// Bytes that tell their place.
  static Bytes Inner(uint32_t member, size_t size_bytes) {
    Bytes inner(size_bytes);
    for (size_t i = 0; i < size_bytes; ++i) {
      inner[i] = static_cast<std::byte>(member * 31 + i);
    }
    return inner;
  }
  StatusOr<Gaps> OpenGaps() { return Gaps::Open(files_, path_, table_.members().size()); }

  TempDir directory_ = *TempDir::Make(testing::TempDir(), "gaps");
  std::filesystem::path path_ = directory_.path() / "gaps";
  testing_support::FaultyFileSystem files_;
  Bytes table_bytes_;
  ChunkTable table_;
};

TEST_F(GapLogTest, FindsWhatNoChunkCovers) {
  const struct {
    std::string_view name;
    uint32_t member;
    uint64_t inner_bytes;
    std::vector<InnerRange> want;
  } cases[] = {
      {"before and behind", 0, 200, {{0, 100}, {150, 50}}},
      {"nothing behind", 0, 150, {{0, 100}}},
      {"cut off in the chunk", 0, 120, {{0, 100}}},
      {"cut off before it", 0, 60, {{0, 60}}},
      {"between two", 10, 300, {{0, 100}, {150, 50}, {250, 50}}},
      {"nothing at all", 0, 0, {}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(GapsOf(table_, c.member, c.inner_bytes), c.want);
  }
}

TEST_F(GapLogTest, KeepsGapsOverARestart) {
  {
    GapLog log(path_, files_);
    EXPECT_FALSE(std::filesystem::exists(path_)) << "opens nothing yet";
    log.Add(table_, 3, Inner(3, 400));
    log.Add(table_, 10, Inner(10, 250));
  }
  GapLog later(path_, files_);
  later.Add(table_, 0, Inner(0, 151));
  const auto gaps = OpenGaps();
  ASSERT_TRUE(gaps.ok()) << gaps.status();
  for (uint32_t member = 0; member <= 10; ++member) {
    EXPECT_EQ(gaps->Has(member), member == 0 || member == 3 || member == 10) << member;
  }
  const auto three = gaps->Read(3);
  ASSERT_TRUE(three.ok()) << three.status();
  Bytes want = Inner(3, 400);
  want.erase(want.begin() + 100, want.begin() + 150);
  EXPECT_EQ(*three, want);
  EXPECT_EQ(gaps->Read(10)->size(), 150U);
  EXPECT_EQ(gaps->Read(0)->size(), 101U);
  later.Discard();
  EXPECT_FALSE(std::filesystem::exists(path_));
  later.Add(table_, 0, Inner(0, 151));
  EXPECT_FALSE(std::filesystem::exists(path_)) << "discarded for good";
  EXPECT_FALSE(OpenGaps()->Has(3));
}

TEST_F(GapLogTest, AMemberThatComesAgainIsKeptOnce) {
  uint64_t size_bytes = 0;
  for (int process = 0; process < 2; ++process) {
    GapLog log(path_, files_);
    log.Add(table_, 3, Inner(3, 400));
    log.Add(table_, 3, Inner(3, 400));
    if (process == 0) {
      size_bytes = std::filesystem::file_size(path_);
    }
    EXPECT_EQ(std::filesystem::file_size(path_), size_bytes);
  }
  GapLog log(path_, files_);
  log.Add(table_, 4, Inner(4, 400));
  EXPECT_EQ(std::filesystem::file_size(path_), 2 * size_bytes);
}

TEST_F(GapLogTest, ATornEndIsForgotten) {
  {
    GapLog log(path_, files_);
    log.Add(table_, 1, Inner(1, 300));
    log.Add(table_, 2, Inner(2, 300));
  }
  const uint64_t size_bytes = std::filesystem::file_size(path_);
  for (const uint64_t cut : {size_bytes - 1, size_bytes / 2 + 1, size_bytes / 2, uint64_t{5}}) {
    SCOPED_TRACE(cut);
    std::filesystem::resize_file(path_, cut);
    EXPECT_EQ(OpenGaps()->Has(1), cut >= size_bytes / 2);
    EXPECT_FALSE(OpenGaps()->Has(2));
    GapLog log(path_, files_);
    log.Add(table_, 2, Inner(2, 300));
    EXPECT_TRUE(OpenGaps()->Read(2).ok()) << "found behind what was torn";
  }
}

TEST_F(GapLogTest, NonsenseIsNothing) {
  const struct {
    std::string_view name;
    std::string content;
  } cases[] = {
      {"empty", ""},
      {"short", "GAP1"},
      {"text", std::string(1000, 'x')},
      {"zeros", std::string(1000, '\0')},
      {"a record that claims more than there is", "GAP1" + std::string(20, '\xff')},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    ASSERT_TRUE(WriteFileAtomically(RealFileSystem(), path_, AsBytes(c.content), 0600).ok());
    const auto gaps = OpenGaps();
    ASSERT_TRUE(gaps.ok()) << gaps.status();
    EXPECT_FALSE(gaps->Has(0));
  }
}

TEST_F(GapLogTest, AChangedByteIsSeen) {
  {
    GapLog log(path_, files_);
    log.Add(table_, 1, Inner(1, 300));
  }
  const auto whole = ReadFile(RealFileSystem(), path_, 1 << 20);
  for (size_t at = 0; at < whole->size(); ++at) {
    Bytes changed = *whole;
    changed[at] ^= std::byte{1};
    ASSERT_TRUE(WriteFileAtomically(RealFileSystem(), path_, changed, 0600).ok());
    const auto gaps = OpenGaps();
    for (uint32_t member = 0; member <= 10; ++member) {
      EXPECT_FALSE(gaps->Has(member) && gaps->Read(member).ok()) << at;
    }
  }
}

TEST_F(GapLogTest, TooMuchAndAFullDiskLeaveOut) {
  GapLog log(path_, files_);
  log.Add(table_, 1, Inner(1, GapLog::kMaxGapBytes + 51));
  log.Add(table_, 2, Inner(2, GapLog::kMaxGapBytes + 50));
  EXPECT_FALSE(OpenGaps()->Has(1));
  EXPECT_TRUE(OpenGaps()->Has(2));
  files_.set_free_bytes(0);
  log.Add(table_, 3, Inner(3, 300));
  files_.set_free_bytes(UINT64_MAX);
  log.Add(table_, 4, Inner(4, 300));
  EXPECT_TRUE(OpenGaps()->Has(2));
  EXPECT_FALSE(OpenGaps()->Has(3));
  EXPECT_FALSE(OpenGaps()->Has(4)) << "nothing more, since it might not be found";
  GapLog later(path_, files_);
  later.Add(table_, 4, Inner(4, 300));
  EXPECT_TRUE(OpenGaps()->Read(4).ok());
}

TEST_F(GapLogTest, ManyAddAtOnce) {
  GapLog log(path_, files_);
  std::vector<std::thread> threads;
  for (uint32_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (uint32_t member = thread; member <= 10; member += 4) {
        for (size_t size_bytes = 151; size_bytes < 200; ++size_bytes) {
          log.Add(table_, member, Inner(member, size_bytes));
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const auto gaps = OpenGaps();
  for (uint32_t member = 0; member <= 10; ++member) {
    EXPECT_TRUE(gaps->Has(member) && gaps->Read(member).ok()) << member;
  }
}

}  // namespace
}  // namespace starling::layer
