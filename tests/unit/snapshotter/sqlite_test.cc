#include "snapshotter/sqlite.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "base/temp_dir.h"
#include "tests/support/sqlite_syncs.h"

namespace starling::snapshotter {
namespace {

class SqliteTest : public testing::Test {
 protected:
  SqliteTest() : dir_(*TempDir::Make("/tmp", "sqlite")) {}

  std::unique_ptr<Database> OpenWithTable() {
    auto database = Database::Open(dir_.path() / "d.db");
    EXPECT_TRUE(database.ok()) << database.status();
    EXPECT_TRUE((*database)->Execute("CREATE TABLE t (n INTEGER, s TEXT)").ok());
    return *std::move(database);
  }

  TempDir dir_;
};

TEST_F(SqliteTest, KeepsValuesBitForBit) {
  const auto database = OpenWithTable();
  const std::string text("a\0b \xe2\x82\xac", 7);
  ASSERT_TRUE(database->Prepare("INSERT INTO t VALUES (?, ?)")
                  .Bind(uint64_t{1} << 62)
                  .Bind(std::string_view(text))
                  .Run()
                  .ok());
  Query query = database->Prepare("SELECT n, s, NULL FROM t");
  ASSERT_TRUE(*query.Step());
  EXPECT_EQ(query.Number(0), uint64_t{1} << 62);
  EXPECT_EQ(query.Text(1), text);
  EXPECT_EQ(query.OptionalNumber(2), std::nullopt);
  EXPECT_FALSE(*query.Step());
}

TEST_F(SqliteTest, RollsBackWhatIsNotCommitted) {
  const auto database = OpenWithTable();
  {
    Transaction transaction(*database);
    ASSERT_TRUE(transaction.Begin().ok());
    ASSERT_TRUE(database->Execute("INSERT INTO t VALUES (1, 'x')").ok());
  }
  Query query = database->Prepare("SELECT count(*) FROM t");
  ASSERT_TRUE(*query.Step());
  EXPECT_EQ(query.Number(0), 0U);
}

TEST_F(SqliteTest, ForcesCommitsToTheDiskAtOnceUnlessTold) {
  const testing_support::SqliteSyncs syncs;
  const auto database = OpenWithTable();
  const auto syncs_of_a_commit = [&] {
    const uint64_t before = syncs.count();
    EXPECT_TRUE(database->Execute("INSERT INTO t VALUES (1, 'x')").ok());
    return syncs.count() - before;
  };
  EXPECT_EQ(syncs_of_a_commit(), 1U);
  ASSERT_TRUE(database->SetSync(Database::Sync::kWithTheNext).ok());
  EXPECT_EQ(syncs_of_a_commit(), 0U);
  ASSERT_TRUE(database->SetSync(Database::Sync::kAtOnce).ok());
  EXPECT_EQ(syncs_of_a_commit(), 1U);
  ASSERT_TRUE(database->SetSync(Database::Sync::kWithTheNext).ok());
  const uint64_t before = syncs.count();
  Transaction transaction(*database);
  ASSERT_TRUE(transaction.Begin().ok());
  ASSERT_TRUE(database->Execute("INSERT INTO t VALUES (1, 'x')").ok());
  ASSERT_TRUE(transaction.Commit().ok());
  EXPECT_EQ(syncs.count() - before, 1U) << "always";
}

TEST_F(SqliteTest, ResetsAStatementForItsNextUse) {
  const auto database = OpenWithTable();
  const char* sql = "INSERT INTO t VALUES (?, ?)";
  for (uint64_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(database->Prepare(sql).Bind(i).Bind("x").Run().ok());
  }
  Query query = database->Prepare("SELECT count(*) FROM t");
  ASSERT_TRUE(*query.Step());
  EXPECT_EQ(query.Number(0), 3U);
}

TEST_F(SqliteTest, NamesTheFileInErrors) {
  const auto file = dir_.path() / "garbage.db";
  std::ofstream(file) << std::string(4096, 'x');
  const Status status = Database::Open(file).status();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(MessageOf(status).find(file.string()), std::string_view::npos);
  EXPECT_EQ(OpenWithTable()->Prepare("SELECT nonsense").Run().code(), StatusCode::kInternal);
}

}  // namespace
}  // namespace starling::snapshotter
