#include "dockerfile/build/cache_mounts.h"

#include <gtest/gtest.h>

#include <fstream>
#include <future>

#include "base/temp_dir.h"

namespace starling::dockerfile::build {
namespace {

using syntax::CacheSharing;

class CacheMountsTest : public ::testing::Test {
 protected:
  TempDir directory_ = *TempDir::Make("/tmp", "cache-mounts-");
  CacheMounts caches_{directory_.path()};
};

TEST_F(CacheMountsTest, OneIdIsOneDirectory) {
  const auto first = caches_.Take("id", CacheSharing::kShared, {});
  const auto second = caches_.Take("id", CacheSharing::kShared, {});
  const auto other = caches_.Take("../other", CacheSharing::kShared, {});
  ASSERT_TRUE(first.ok() && second.ok() && other.ok());
  EXPECT_EQ(first->path(), second->path());
  EXPECT_NE(first->path(), other->path());
  EXPECT_TRUE(other->path().native().starts_with(directory_.path().native() + "/"));
}

TEST_F(CacheMountsTest, IsFilledOnce) {
  int filled = 0;
  const auto fill = [&](const std::filesystem::path& path) {
    ++filled;
    std::ofstream(path / "seed") << "x";
    return OkStatus();
  };
  for (int i = 0; i < 3; ++i) {
    const auto lease = caches_.Take("id", CacheSharing::kLocked, fill);
    ASSERT_TRUE(lease.ok()) << lease.status();
    EXPECT_TRUE(std::filesystem::exists(lease->path() / "seed"));
  }
  EXPECT_EQ(filled, 1);
}

TEST_F(CacheMountsTest, WhatCouldNotBeFilledIsFilledTheNextTime) {
  const auto refuse = [](const std::filesystem::path&) {
    return MakeError(StatusCode::kNotFound, "no seed");
  };
  EXPECT_EQ(caches_.Take("id", CacheSharing::kShared, refuse).status().code(),
            StatusCode::kNotFound);
  EXPECT_TRUE(caches_.Take("id", CacheSharing::kShared, {}).ok());
}

TEST_F(CacheMountsTest, ALockedOneIsWaitedFor) {
  auto held = caches_.Take("id", CacheSharing::kLocked, {});
  ASSERT_TRUE(held.ok());
  std::promise<void> begun;
  auto waiting = std::async(std::launch::async, [&] {
    begun.set_value();
    return caches_.Take("id", CacheSharing::kLocked, {}).ok();
  });
  begun.get_future().wait();
  EXPECT_EQ(waiting.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  held = MakeError(StatusCode::kCancelled, "given back");
  EXPECT_TRUE(waiting.get());
}

TEST_F(CacheMountsTest, APrivateOneIsNobodyElses) {
  auto first = caches_.Take("id", CacheSharing::kPrivate, {});
  const auto second = caches_.Take("id", CacheSharing::kPrivate, {});
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_NE(first->path(), second->path());
  const std::filesystem::path path = first->path();
  first = MakeError(StatusCode::kCancelled, "given back");
  EXPECT_EQ(caches_.Take("id", CacheSharing::kPrivate, {})->path(), path);
}

TEST_F(CacheMountsTest, ShowsWhatItHolds) {
  const auto refuse = [](const std::filesystem::path&) {
    return MakeError(StatusCode::kInternal, "looked at");
  };
  EXPECT_FALSE(*caches_.Look("id", refuse)) << "there is none";
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path())) << "and none is made";
  const auto shared = caches_.Take("id", CacheSharing::kShared, {});
  std::filesystem::path seen;
  const auto looked = caches_.Look("id", [&](const std::filesystem::path& path) {
    seen = path;
    return OkStatus();
  });
  ASSERT_TRUE(looked.ok() && *looked) << looked.status();
  EXPECT_EQ(seen, shared->path());
  EXPECT_EQ(caches_.Look("id", refuse).status().code(), StatusCode::kInternal);
}

TEST_F(CacheMountsTest, WaitsForAStepBeforeItIsShown) {
  auto held = caches_.Take("id", CacheSharing::kLocked, {});
  ASSERT_TRUE(held.ok());
  std::promise<void> begun;
  auto looking = std::async(std::launch::async, [&] {
    begun.set_value();
    return caches_.Look("id", [](const std::filesystem::path&) { return OkStatus(); });
  });
  begun.get_future().wait();
  EXPECT_EQ(looking.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  held = MakeError(StatusCode::kCancelled, "given back");
  const auto looked = looking.get();
  EXPECT_TRUE(looked.ok() && *looked);
}

TEST_F(CacheMountsTest, PrunesWhatNobodyUses) {
  {
    const auto lease = caches_.Take("old", CacheSharing::kShared, {});
    std::ofstream(lease->path() / "file") << std::string(1000, 'x');
  }
  const auto used = caches_.Take("used", CacheSharing::kShared, {});
  const auto removed = caches_.Prune();
  ASSERT_TRUE(removed.ok()) << removed.status();
  EXPECT_EQ(removed->directories, 1u);
  EXPECT_GE(removed->bytes, 1000u);
  EXPECT_TRUE(std::filesystem::exists(used->path()));
  EXPECT_FALSE(
      std::filesystem::exists(caches_.Take("old", CacheSharing::kShared, {})->path() / "file"));
}

}  // namespace
}  // namespace starling::dockerfile::build
