#include "dockerfile/entrypoint/judgements.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/temp_dir.h"

namespace starling::dockerfile::entrypoint {
namespace {

TEST(Judgements, RememberWhatWasJudged) {
  const TempDir directory = *TempDir::Make("/tmp", "judgements-");
  const Judgements kept(directory.path() / "kept");
  const Start start{.entrypoint = {"/e", "a b"}, .search_path = "/bin", .working_directory = "/w"};
  EXPECT_EQ(kept.Find("tree", start), std::nullopt);
  for (const Verdict verdict : {Verdict::kDoes, Verdict::kDoesNot, Verdict::kCannotTell}) {
    const Judgement judgement{.verdict = verdict, .file = "/e", .reason = "line 1: exec \"$@\""};
    ASSERT_TRUE(kept.Remember("tree", start, judgement).ok());
    EXPECT_EQ(Judgements(directory.path() / "kept").Find("tree", start), judgement);
  }
  // All that counts is a part of what it is remembered by.
  const Start others[] = {
      {.entrypoint = {"/e", "a", "b"}, .search_path = "/bin", .working_directory = "/w"},
      {.entrypoint = {"/e", "a b"}, .search_path = "/usr/bin", .working_directory = "/w"},
      {.entrypoint = {"/e", "a b"}, .search_path = "/bin", .working_directory = "/"}};
  for (const Start& other : others) {
    EXPECT_EQ(kept.Find("tree", other), std::nullopt);
  }
  EXPECT_EQ(kept.Find("other tree", start), std::nullopt);
}

TEST(Judgements, AreFewHoweverManyThereWere) {
  const TempDir directory = *TempDir::Make("/tmp", "judgements-");
  const Judgements kept(directory.path());
  const Start start{.entrypoint = {"/e"}, .search_path = {}, .working_directory = {}};
  for (int i = 0; i < 600; ++i) {
    ASSERT_TRUE(kept.Remember(std::to_string(i), start, {.reason = "two\nlines"}).ok());
  }
  EXPECT_EQ(kept.Find("599", start)->reason, "two lines");
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    ++files;
    std::ofstream(entry.path()) << "broken";
  }
  EXPECT_LE(files, 256U);
  EXPECT_EQ(kept.Find("599", start), std::nullopt);
}

}  // namespace
}  // namespace starling::dockerfile::entrypoint
