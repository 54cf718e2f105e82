#include "layer/profile_store.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/temp_dir.h"
#include "tests/support/faulty_file_system.h"

namespace starling::layer {
namespace {

oci::Digest DigestOf(std::string_view text) { return oci::Digest::Of(AsBytes(text)); }

AccessProfile Profile(std::string_view image, uint64_t size_bytes = 10) {
  return *AccessProfile::Make(DigestOf(image), 1,
                              {{.key = {.layer = DigestOf("layer"), .toc = DigestOf("toc")},
                                .ranges = {{.range = {0, size_bytes}}}}});
}

class ProfileStoreTest : public testing::Test {
 protected:
  std::filesystem::path PathOf(std::string_view image) const {
    return directory_ / (DigestOf(image).Hex() + ".json");
  }
  size_t FileCount() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory_), {}));
  }

  TempDir parent_ = *TempDir::Make(testing::TempDir(), "profiles");
  std::filesystem::path directory_ = parent_.path() / "deep" / "profiles";
  testing_support::FaultyFileSystem files_;
  ProfileStore profiles_{directory_, files_, 3};
};

TEST_F(ProfileStoreTest, MergesWhatItKeeps) {
  EXPECT_EQ(profiles_.Find(DigestOf("a")).status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(profiles_.Remove(DigestOf("a")).ok());
  ASSERT_TRUE(profiles_.Add(Profile("a")).ok());
  EXPECT_EQ(*profiles_.Find(DigestOf("a")), Profile("a"));
  const auto merged = profiles_.Add(Profile("a", 20));
  ASSERT_TRUE(merged.ok()) << Describe(merged.status());
  EXPECT_EQ(*merged, *AccessProfile::Merge(Profile("a"), Profile("a", 20)));
  ProfileStore later(directory_, files_, 3);
  EXPECT_EQ(*later.Find(DigestOf("a")), *merged);
  EXPECT_EQ(later.Find(DigestOf("b")).status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(later.Remove(DigestOf("a")).ok());
  EXPECT_EQ(profiles_.Find(DigestOf("a")).status().code(), StatusCode::kNotFound);
}

TEST_F(ProfileStoreTest, ADamagedFileIsAbsentOnce) {
  const struct {
    std::string_view name;
    std::string content;
  } cases[] = {
      {"empty", ""},
      {"half", Profile("a").ToJson().substr(0, 50)},
      {"of another image", Profile("b").ToJson()},
      {"too large", std::string(AccessProfile::kMaxJsonBytes + 1, ' ')},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    ASSERT_TRUE(profiles_.Add(Profile("a")).ok());
    std::ofstream(PathOf("a")) << c.content;
    testing::internal::CaptureStderr();
    EXPECT_EQ(profiles_.Find(DigestOf("a")).status().code(), StatusCode::kNotFound);
    EXPECT_EQ(profiles_.Find(DigestOf("a")).status().code(), StatusCode::kNotFound);
    const std::string log = testing::internal::GetCapturedStderr();
    EXPECT_EQ(std::ranges::count(log, '\n'), 1) << log;
    EXPECT_FALSE(std::filesystem::exists(PathOf("a")));
    ASSERT_TRUE(profiles_.Add(Profile("a")).ok());
    EXPECT_EQ(*profiles_.Find(DigestOf("a")), Profile("a"));
    ASSERT_TRUE(profiles_.Remove(DigestOf("a")).ok());
  }
}

TEST_F(ProfileStoreTest, TheOldestGo) {
  const auto now = std::filesystem::file_time_type::clock::now();
  const auto age = [&](std::string_view image, int hours) {
    std::filesystem::last_write_time(PathOf(image), now - std::chrono::hours(hours));
  };
  for (const std::string_view image : {"a", "b", "c"}) {
    ASSERT_TRUE(profiles_.Add(Profile(image)).ok());
  }
  age("a", 2);
  age("b", 3);
  age("c", 1);
  ASSERT_TRUE(profiles_.Add(Profile("d")).ok());
  EXPECT_EQ(profiles_.Find(DigestOf("b")).status().code(), StatusCode::kNotFound);
  for (const std::string_view image : {"a", "c", "d"}) {
    EXPECT_TRUE(profiles_.Find(DigestOf(image)).ok()) << image;
  }
  // Written again, a profile is young.
  ASSERT_TRUE(profiles_.Add(Profile("a")).ok());
  age("d", 1);
  age("c", 2);
  ASSERT_TRUE(profiles_.Add(Profile("e")).ok());
  EXPECT_EQ(profiles_.Find(DigestOf("c")).status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(profiles_.Find(DigestOf("a")).ok());
  EXPECT_EQ(FileCount(), 4U) << "three profiles and the lock";
  // And so is one that was used.
  age("a", 5);
  age("d", 4);
  age("e", 3);
  ASSERT_TRUE(profiles_.Find(DigestOf("a")).ok());
  ASSERT_TRUE(profiles_.Add(Profile("f")).ok());
  EXPECT_TRUE(profiles_.Find(DigestOf("a")).ok());
  EXPECT_EQ(profiles_.Find(DigestOf("d")).status().code(), StatusCode::kNotFound);
}

TEST_F(ProfileStoreTest, AFullDiskLeavesTheOldProfile) {
  ASSERT_TRUE(profiles_.Add(Profile("a")).ok());
  files_.set_free_bytes(0);
  EXPECT_EQ(profiles_.Add(Profile("a", 20)).status().code(), StatusCode::kResourceExhausted);
  files_.set_free_bytes(UINT64_MAX);
  EXPECT_EQ(*profiles_.Find(DigestOf("a")), Profile("a"));
  EXPECT_EQ(FileCount(), 2U) << "no unfinished file";
}

}  // namespace
}  // namespace starling::layer
