#include "store/bus_error_guard.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <csignal>
#include <numeric>
#include <thread>
#include <vector>

#include "base/temp_dir.h"
#include "base/unique_fd.h"

namespace starling::store {
namespace {

constexpr size_t kPageBytes = 4096;

/// A mapped file of pages that are full of the page's number, counted from 1.
class MappedPages {
 public:
  explicit MappedPages(size_t pages, bool writable = false)
      : directory_(*TempDir::Make(testing::TempDir(), "guard")), size_bytes_(pages * kPageBytes) {
    file_ = UniqueFd(::open((directory_.path() / "file").c_str(), O_RDWR | O_CREAT, 0600));
    for (size_t page = 0; page < pages; ++page) {
      const std::vector<char> content(kPageBytes, static_cast<char>(page + 1));
      EXPECT_EQ(
          ::pwrite(file_.get(), content.data(), kPageBytes, static_cast<off_t>(page * kPageBytes)),
          static_cast<ssize_t>(kPageBytes));
    }
    start_ = ::mmap(nullptr, size_bytes_, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
                    file_.get(), 0);
    EXPECT_NE(start_, MAP_FAILED);
  }
  MappedPages(const MappedPages&) = delete;
  MappedPages& operator=(const MappedPages&) = delete;
  ~MappedPages() { ::munmap(start_, size_bytes_); }

  std::span<std::byte> bytes() const { return {static_cast<std::byte*>(start_), size_bytes_}; }
  /// Touches a page: a cut file answers as a disk with EIO does.
  int At(size_t page) const {
    return static_cast<int>(
        *static_cast<const volatile std::byte*>(bytes().data() + page * kPageBytes));
  }
  void Cut(size_t pages) const {
    EXPECT_EQ(::ftruncate(file_.get(), static_cast<off_t>(pages * kPageBytes)), 0);
  }

 private:
  TempDir directory_;
  size_t size_bytes_;
  UniqueFd file_;
  void* start_ = nullptr;
};

TEST(BusErrorGuard, WhatWasCutOffReadsAsZerosAndIsTold) {
  const MappedPages pages(4);
  const MappedPages others(2);
  const BusErrorGuard guard(pages.bytes(), BusErrorGuard::Access::kRead);
  const BusErrorGuard other_guard(others.bytes(), BusErrorGuard::Access::kRead);
  pages.Cut(2);
  EXPECT_EQ(pages.At(1), 2);
  EXPECT_FALSE(guard.is_damaged());
  errno = 77;
  EXPECT_EQ(pages.At(2), 0);
  EXPECT_EQ(errno, 77);
  EXPECT_TRUE(guard.is_damaged());
  EXPECT_EQ(pages.At(3), 0);
  EXPECT_EQ(pages.At(1), 2);
  EXPECT_FALSE(other_guard.is_damaged());
  EXPECT_EQ(others.At(1), 2);
}

TEST(BusErrorGuard, WhatIsWrittenThereIsKeptInMemory) {
  const MappedPages pages(2, true);
  const BusErrorGuard guard(pages.bytes(), BusErrorGuard::Access::kReadAndWrite);
  pages.Cut(1);
  pages.bytes()[kPageBytes] = std::byte{9};
  EXPECT_TRUE(guard.is_damaged());
  EXPECT_EQ(pages.At(1), 9);
}

TEST(BusErrorGuard, MovesWithItsOwner) {
  const MappedPages pages(2);
  BusErrorGuard guard(pages.bytes(), BusErrorGuard::Access::kRead);
  const BusErrorGuard moved = std::move(guard);
  EXPECT_FALSE(BusErrorGuard().is_damaged());
  pages.Cut(1);
  EXPECT_EQ(pages.At(1), 0);
  EXPECT_TRUE(moved.is_damaged());
}

TEST(BusErrorGuard, ASlotThatIsUsedAgainIsWhole) {
  for (int round = 0; round < 300; ++round) {
    const MappedPages pages(2);
    const BusErrorGuard guard(pages.bytes(), BusErrorGuard::Access::kRead);
    ASSERT_FALSE(guard.is_damaged());
    pages.Cut(1);
    ASSERT_EQ(pages.At(1), 0);
    ASSERT_TRUE(guard.is_damaged());
  }
}

TEST(BusErrorGuard, ManyThreadsMeetItWhileRangesComeAndGo) {
  constexpr int kThreads = 4;
  constexpr size_t kPages = 64;
  const MappedPages pages(kPages);
  const BusErrorGuard guard(pages.bytes(), BusErrorGuard::Access::kRead);
  pages.Cut(1);
  std::vector<int> sums(kThreads, -1);
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        const MappedPages own(2);
        std::vector<BusErrorGuard> guards;
        int sum = 0;
        for (size_t page = kPages; page-- > 1;) {  // downwards: each page is met by somebody
          guards.emplace_back(own.bytes(), BusErrorGuard::Access::kRead);
          sum += pages.At(page);
        }
        sums[static_cast<size_t>(thread)] = sum;
      });
    }
  }
  EXPECT_EQ(std::accumulate(sums.begin(), sums.end(), 0), 0);
  EXPECT_TRUE(guard.is_damaged());
}

using BusErrorGuardDeathTest = testing::Test;

/// In a child: with the default action, which sanitizers replace.
[[noreturn]] void MeetUnguarded(bool with_another_guarded) {
  ::signal(SIGBUS, SIG_DFL);
  const MappedPages guarded(1);
  const MappedPages pages(2);
  {
    const BusErrorGuard guard(with_another_guarded ? guarded.bytes() : pages.bytes(),
                              BusErrorGuard::Access::kRead);
    if (with_another_guarded) {
      pages.Cut(1);
      std::_Exit(pages.At(1));
    }
  }
  pages.Cut(1);
  std::_Exit(pages.At(1));
}

[[noreturn]] void AreSentOne() {
  ::signal(SIGBUS, SIG_DFL);
  const MappedPages pages(1);
  const BusErrorGuard guard(pages.bytes(), BusErrorGuard::Access::kRead);
  ::raise(SIGBUS);
  std::_Exit(0);
}

TEST(BusErrorGuardDeathTest, AnywhereElseTheProcessEnds) {
  // A process of its own, in which there was no guard before.
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const testing::KilledBySignal by_bus_error(SIGBUS);
  EXPECT_EXIT(MeetUnguarded(true), by_bus_error, "");
  EXPECT_EXIT(MeetUnguarded(false), by_bus_error, "");
  EXPECT_EXIT(AreSentOne(), by_bus_error, "");
}

}  // namespace
}  // namespace starling::store
