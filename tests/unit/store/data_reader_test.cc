#include "store/data_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "tests/support/faulty_file_system.h"

namespace starling::store {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kRegionBytes = DataReader::kRegionBytes;
constexpr int kFd = 7;

/// A file whose bytes say where they are, and what of it the kernel has in memory: what was read
/// and what it was told to read ahead, at once. Threads: one.
class FakeDisk : public testing_support::FaultyFileSystem {
 public:
  explicit FakeDisk(uint64_t size_bytes) : size_bytes_(size_bytes) {}

  Status ReadAt(int fd, uint64_t file_offset, std::span<std::byte> out) override {
    EXPECT_EQ(fd, kFd);
    if (file_offset + out.size() > size_bytes_) {
      return MakeError(StatusCode::kOutOfRange, "the end");
    }
    ++waits_;
    Fill(file_offset, out);
    Keep(file_offset, out.size());
    return OkStatus();
  }
  StatusOr<size_t> ReadCached(int, uint64_t file_offset, std::span<std::byte> out) override {
    ++looks_;
    if (!can_tell_) {
      return MakeError(StatusCode::kUnimplemented, "no");
    }
    if (file_offset >= size_bytes_) {
      return MakeError(StatusCode::kOutOfRange, "the end");
    }
    uint64_t end = file_offset;
    while (end < file_offset + out.size() && pages_.contains(end / kPageBytes)) {
      end = (end / kPageBytes + 1) * kPageBytes;
    }
    const size_t count = std::min<size_t>(end - file_offset, out.size());
    Fill(file_offset, out.first(count));
    return count;
  }
  void ReadAhead(int fd, uint64_t file_offset, uint64_t size_bytes) override {
    EXPECT_EQ(fd, kFd);
    EXPECT_EQ(file_offset % kRegionBytes, 0U);
    EXPECT_EQ(size_bytes, kRegionBytes);
    asked_.push_back(file_offset / kRegionBytes);
    Keep(file_offset, size_bytes);
  }

  static void Fill(uint64_t file_offset, std::span<std::byte> out) {
    for (std::byte& byte : out) {
      byte = static_cast<std::byte>(file_offset / kPageBytes + file_offset);
      ++file_offset;
    }
  }
  void Keep(uint64_t file_offset, uint64_t size_bytes) {
    for (uint64_t page = file_offset / kPageBytes; page * kPageBytes < file_offset + size_bytes;
         ++page) {
      pages_.insert(page);
    }
  }
  void ForgetAll() { pages_.clear(); }
  void set_can_tell(bool can_tell) { can_tell_ = can_tell; }
  size_t waits() const { return waits_; }
  size_t looks() const { return looks_; }
  /// The regions, since the last call.
  std::vector<uint64_t> TakeAsked() { return std::exchange(asked_, {}); }

 private:
  const uint64_t size_bytes_;
  std::set<uint64_t> pages_;
  bool can_tell_ = true;
  size_t waits_ = 0;
  size_t looks_ = 0;
  std::vector<uint64_t> asked_;
};

class DataReaderTest : public testing::Test {
 protected:
  static constexpr uint64_t kFileBytes = 32 * kRegionBytes;

  /// Reads some pages, and sees that they are the file's.
  void Read(uint64_t data_address, uint64_t size_bytes = kPageBytes) {
    std::vector<std::byte> out(size_bytes);
    const Status status = reader_.Read(kFd, data_address, out);
    ASSERT_TRUE(status.ok()) << status;
    std::vector<std::byte> wanted(size_bytes);
    FakeDisk::Fill(data_address, wanted);
    ASSERT_TRUE(out == wanted) << data_address;
  }

  FakeDisk disk_{kFileBytes};
  DataReader reader_{disk_};
};

TEST(DataReaderCasesTest, ReadsAheadWhereReadsWaitNearby) {
  const struct {
    const char* name;
    std::vector<uint64_t> in_memory;  // regions
    std::vector<uint64_t> reads;      // of a page, in quarters of a region
    std::vector<uint64_t> asked;      // regions
  } cases[] = {
      {"one read", {}, {40}, {}},
      {"two of one region", {}, {40, 42}, {10, 11, 12, 13}},
      {"backwards", {}, {42, 40}, {10, 11, 12, 13}},
      {"the next region", {}, {40, 44}, {11, 12, 13, 14}},
      {"the region before", {}, {41, 39}, {9, 10, 11, 12}},
      {"the first region and the second", {}, {0, 4}, {1, 2, 3, 4}},
      {"far apart", {}, {40, 48, 56, 80, 160, 0}, {}},
      {"in memory", {10, 11}, {40, 41, 42, 43, 44, 45}, {}},
      {"only the second one waits", {10}, {40, 44}, {}},
      {"the others in between do not matter", {}, {40, 100, 160, 200, 42}, {10, 11, 12, 13}},
      {"what is in memory is not asked for", {11, 13}, {40, 42}, {10, 12}},
      {"whoever enters a region has the next ones", {}, {40, 42, 44}, {10, 11, 12, 13, 14}},
      {"once", {}, {40, 42, 44, 46, 40, 44, 41}, {10, 11, 12, 13, 14}},
      {"a jump ahead", {}, {40, 42, 52}, {10, 11, 12, 13, 14, 15, 16}},
      {"at the end", {}, {250, 251}, {62, 63}},
  };
  for (const auto& [name, in_memory, reads, asked] : cases) {
    FakeDisk disk(64 * kRegionBytes);
    DataReader reader(disk);
    for (const uint64_t region : in_memory) {
      disk.Keep(region * kRegionBytes, kRegionBytes);
    }
    for (const uint64_t quarter : reads) {
      std::vector<std::byte> page(kPageBytes);
      EXPECT_TRUE(reader.Read(kFd, quarter * kRegionBytes / 4, page).ok()) << name;
    }
    EXPECT_EQ(disk.TakeAsked(), asked) << name;
  }
}

TEST_F(DataReaderTest, SmallFilesInAnyOrderNearbyWaitForTheirFirstOnesOnly) {
  constexpr uint64_t kSmallFileBytes = 7 * kPageBytes;
  std::vector<uint64_t> addresses;
  for (uint64_t address = 0; address + kSmallFileBytes <= kFileBytes; address += kSmallFileBytes) {
    addresses.push_back(address);
  }
  std::mt19937 random(1);
  for (size_t begin = 0; begin < addresses.size(); begin += 60) {
    std::shuffle(addresses.begin() + static_cast<ptrdiff_t>(begin),
                 addresses.begin() + static_cast<ptrdiff_t>(std::min(begin + 60, addresses.size())),
                 random);
  }
  for (const uint64_t address : addresses) {
    ASSERT_NO_FATAL_FAILURE(Read(address, kSmallFileBytes));
  }
  EXPECT_LE(disk_.waits(), 3U) << "of " << addresses.size();
  const std::vector<uint64_t> asked = disk_.TakeAsked();
  EXPECT_LE(asked.size(), kFileBytes / kRegionBytes) << "each region once";
}

TEST_F(DataReaderTest, ReadsThatAreScatteredBringNothingElse) {
  std::mt19937_64 random(1);
  std::vector<uint64_t> regions(kFileBytes / kRegionBytes / 2);
  for (size_t i = 0; i < regions.size(); ++i) {
    regions[i] = 2 * i;  // no neighbours
  }
  std::shuffle(regions.begin(), regions.end(), random);
  for (const uint64_t region : regions) {
    ASSERT_NO_FATAL_FAILURE(Read(region * kRegionBytes + random() % 200 * kPageBytes));
  }
  EXPECT_EQ(disk_.TakeAsked(), std::vector<uint64_t>());
}

TEST_F(DataReaderTest, WhatTheKernelLetGoOfIsReadAheadAnew) {
  ASSERT_NO_FATAL_FAILURE(Read(0));
  ASSERT_NO_FATAL_FAILURE(Read(kPageBytes));
  EXPECT_EQ(disk_.TakeAsked(), (std::vector<uint64_t>{0, 1, 2, 3}));
  disk_.ForgetAll();
  const size_t before = disk_.waits();
  for (uint64_t address = 0; address < 4 * kRegionBytes; address += kPageBytes) {
    ASSERT_NO_FATAL_FAILURE(Read(address));
  }
  EXPECT_LE(disk_.waits() - before, 4U) << "one for each region";
}

TEST_F(DataReaderTest, TellsOfReadsThatWaitBeforeTheyDo) {
  std::vector<size_t> waits_before;
  DataReader reader(disk_, [&] { waits_before.push_back(disk_.waits()); });
  disk_.Keep(kRegionBytes, kPageBytes);
  std::vector<std::byte> page(kPageBytes);
  for (const uint64_t address : {uint64_t{0}, kRegionBytes, 9 * kRegionBytes, uint64_t{0}}) {
    ASSERT_TRUE(reader.Read(kFd, address, page).ok());
  }
  EXPECT_EQ(waits_before, (std::vector<size_t>{0, 1})) << "what is in memory does not wait";
}

TEST_F(DataReaderTest, WhatIsInMemoryIsLookedAtOnce) {
  disk_.Keep(0, kFileBytes);
  for (uint64_t address = 0; address < kFileBytes; address += kRegionBytes / 2) {
    ASSERT_NO_FATAL_FAILURE(Read(address));
  }
  EXPECT_EQ(disk_.looks(), 2 * kFileBytes / kRegionBytes);
  EXPECT_EQ(disk_.waits(), 0U);
}

TEST_F(DataReaderTest, APartInMemoryIsNotReadAgain) {
  disk_.Keep(0, 3 * kPageBytes);
  ASSERT_NO_FATAL_FAILURE(Read(100, 5 * kPageBytes));
  EXPECT_EQ(disk_.waits(), 1U);
}

TEST_F(DataReaderTest, AFileSystemThatAlwaysWaitsIsAskedOnce) {
  disk_.set_can_tell(false);
  for (uint64_t address = 0; address < 4 * kRegionBytes; address += kRegionBytes / 8) {
    ASSERT_NO_FATAL_FAILURE(Read(address));
  }
  EXPECT_EQ(disk_.looks(), 1U);
  EXPECT_EQ(disk_.TakeAsked(), std::vector<uint64_t>());
}

TEST_F(DataReaderTest, BeyondTheEndIsAnError) {
  std::vector<std::byte> out(kPageBytes);
  EXPECT_EQ(reader_.Read(kFd, kFileBytes, out).code(), StatusCode::kOutOfRange);
  EXPECT_EQ(reader_.Read(kFd, kFileBytes - 1, out).code(), StatusCode::kOutOfRange);
  disk_.Keep(kFileBytes - kPageBytes, kPageBytes);
  EXPECT_EQ(reader_.Read(kFd, kFileBytes - 1, out).code(), StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace starling::store
