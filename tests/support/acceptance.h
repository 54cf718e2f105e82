/// Tables of other projects' expectations, which stand beside the repository and not in it.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tests/support/read_whole.h"

namespace starling::testing {

/// STARLING_ACCEPTANCE_DIR of the environment, else of the build.
inline std::filesystem::path AcceptanceDirectory() {
  const char* given = std::getenv("STARLING_ACCEPTANCE_DIR");
  return given != nullptr ? given : STARLING_ACCEPTANCE_DIR;
}

using testing_support::ReadWhole;

inline nlohmann::json ReadJson(const std::filesystem::path& path) {
  return nlohmann::json::parse(ReadWhole(path));
}

/// Where a row's expectation is not ours: the row's name, and why.
using Deviations = std::map<std::string, std::string>;

/// Counts the rows of one table. A row fails when it differs and no deviation names it, and when a
/// deviation names it although it does not differ.
class AcceptanceTable {
 public:
  AcceptanceTable(std::string file, Deviations deviations)
      : file_(std::move(file)), deviations_(std::move(deviations)) {}
  ~AcceptanceTable() {
    for (const auto& [name, reason] : deviations_) {
      EXPECT_TRUE(deviated_.contains(name)) << file_ << ": " << name << " no longer deviates";
    }
    EXPECT_GT(rows_, 0) << file_ << " has no rows";
    std::printf("%s: %d rows, %zu deviations\n", file_.c_str(), rows_, deviated_.size());
  }

  /// `difference` is what the row has that we have not, or empty.
  void Row(const std::string& name, const std::string& difference) {
    ++rows_;
    if (difference.empty()) {
      return;
    }
    deviated_.insert(name);
    EXPECT_TRUE(deviations_.contains(name)) << file_ << ": " << name << "\n" << difference;
  }

 private:
  std::string file_;
  Deviations deviations_;
  std::set<std::string> deviated_;
  int rows_ = 0;
};

}  // namespace starling::testing

#define STARLING_NEED_ACCEPTANCE(path)                                                 \
  if (!std::filesystem::exists(::starling::testing::AcceptanceDirectory() / (path))) { \
    GTEST_SKIP() << "no acceptance data: "                                             \
                 << (::starling::testing::AcceptanceDirectory() / (path)).string();    \
  }
