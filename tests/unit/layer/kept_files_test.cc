#include "layer/kept_files.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "base/temp_dir.h"

namespace starling::layer {
namespace {

TEST(RemoveOldest, KeepsTheNewestAndWhatIsNotItsOwn) {
  const TempDir directory = *TempDir::Make(testing::TempDir(), "kept");
  const auto now = std::filesystem::file_time_type::clock::now();
  int age = 0;
  for (const char* name : {"new.x", "middle.x", "old.x", "older.x", "oldest.x", "other"}) {
    std::ofstream(directory.path() / name) << "content";
    std::filesystem::last_write_time(directory.path() / name, now - std::chrono::hours(age++));
  }
  // The clock was set back: the latest file looks like the oldest.
  ASSERT_TRUE(
      RemoveOldest(directory.path(), ".x", {.files = 3}, directory.path() / "oldest.x").ok());
  std::set<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    left.insert(entry.path().filename());
  }
  EXPECT_EQ(left, (std::set<std::string>{"new.x", "middle.x", "oldest.x", "other"}));
}

TEST(RemoveOldest, CountsBytes) {
  const TempDir directory = *TempDir::Make(testing::TempDir(), "kept");
  const auto now = std::filesystem::file_time_type::clock::now();
  int age = 0;
  for (const char* name : {"new.x", "middle.x", "old.x"}) {
    std::ofstream(directory.path() / name) << std::string(100, 'c');
    std::filesystem::last_write_time(directory.path() / name, now - std::chrono::hours(age++));
  }
  const struct {
    uint64_t max_bytes;
    size_t left;
  } cases[] = {{300, 3}, {299, 2}, {200, 2}, {50, 1}};
  for (const auto& c : cases) {
    ASSERT_TRUE(
        RemoveOldest(directory.path(), ".x", {.bytes = c.max_bytes}, directory.path() / "new.x")
            .ok());
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), c.left)
        << c.max_bytes;
  }
  EXPECT_TRUE(std::filesystem::exists(directory.path() / "new.x"));
}

TEST(RemoveOldest, SaysThatThereIsNoDirectory) {
  EXPECT_EQ(RemoveOldest("/nowhere/at/all", ".x", {.files = 3}, {}).code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace starling::layer
